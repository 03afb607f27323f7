/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file descriptor store of the unit whose main process we are (FileDescriptorStoreMax= in systemd.service(5)). What
 * is put there outlives us: systemd holds a copy, and passes it to the next main process like the sockets of a socket
 * unit, with a name. Ours begin with a prefix, since a service may have sockets besides, for the container.
 *
 * FDPOLL=0 is a must: else systemd drops a pipe as soon as its writer has gone, with all that is still in it.
 *
 * Whether there is a store nobody tells us, and messages are not answered.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "base/parse.h"
#include "systemd/notify-store.h"

#define PREFIX NOTIFY_STORE_OURS
#define FIRST 3
#define COUNT_MAX 65536

static int notify_store_tell(NotifyQueue *to, const char *text, int n, size_t size, int fd) {
        int r;

        if (n < 0 || (size_t)n >= size)
                return fail(-ENAMETOOLONG);
        r = notify_queue_send(to, text, fd);
        return r < 0 ? relay(r) : 0;
}

/**
 * notify_store_put() - have systemd keep a descriptor
 * @name: less than NOTIFY_STORE_NAME_MAX; one that is there already gets a companion
 * @fd: borrowed
 *
 * Return: 0, or a negative errno: -ENOTCONN if there is no manager that listens.
 */
int notify_store_put(NotifyQueue *to, const char *name, int fd) {
        char text[128];
        int n = snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=" PREFIX "%s", name);

        return notify_store_tell(to, text, n, sizeof text, fd);
}

/**
 * notify_store_remove() - have systemd close all that it keeps under a name
 *
 * Return: as notify_store_put().
 */
int notify_store_remove(NotifyQueue *to, const char *name) {
        char text[128];
        int n = snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%s", name);

        return notify_store_tell(to, text, n, sizeof text, -1);
}

static int how_many(void) {
        const char *count = getenv("LISTEN_FDS"), *of = getenv("LISTEN_PID");
        uint64_t n;
        pid_t pid;

        if (!count || !of || parse_pid(of, &pid) < 0 || pid != getpid() || parse_u64(count, &n) < 0 ||
            n > COUNT_MAX)
                return 0;
        return (int)n;
}

/* What is left is for the container, as if there had never been anything else. */
static int set_rest(int n, const char *names) {
        char number[16];
        int r;

        (void)snprintf(number, sizeof number, "%d", n);
        if (n > 0)
                r = setenv("LISTEN_FDS", number, 1) | setenv("LISTEN_FDNAMES", names, 1);
        else
                r = unsetenv("LISTEN_FDS") | unsetenv("LISTEN_FDNAMES") | unsetenv("LISTEN_PID");
        return r < 0 ? fail(-errno) : 0;
}

static int take_one(StoredFd *entry, int fd, int lowest, const char *name, size_t n_name) {
        (void)snprintf(entry->name, sizeof entry->name, "%.*s", (int)n_name, name);
        entry->fd = fd_dup_at_least(fd, lowest);
        if (entry->fd < 0)
                return relay(entry->fd);
        (void)close(fd);
        return 0;
}

static int move_down(int from, int to) {
        if (from == to)
                return 0;
        if (dup2(from, to) < 0)
                return fail(-errno);
        (void)close(from);
        return 0;
}

/* Ours, and not one of the container's that only looks like it. */
static bool is_ours(const char *name, size_t n) {
        static const char others[] = PREFIX NOTIFY_STORE_OTHERS;

        return n >= strlen(PREFIX) && strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
               (n < strlen(others) || strncmp(name, others, strlen(others)) != 0);
}

/* As the container calls it. */
static const char *given_name(const char *name, size_t *n) {
        static const char others[] = PREFIX NOTIFY_STORE_OTHERS;

        if (*n < strlen(others) || strncmp(name, others, strlen(others)) != 0)
                return name;
        *n -= strlen(others);
        return name + strlen(others);
}

/* @rest: as long as @names at least; what is not ours is named there, and moves down */
static int sort(int total, const char *names, StoredFd *entries, size_t *n, char *rest) {
        int kept = 0, r = 0;

        for (int i = 0; i < total && r >= 0; i++) {
                size_t length = strcspn(names, ":");

                if (is_ours(names, length)) {
                        r = take_one(&entries[*n], FIRST + i, FIRST + total, names + strlen(PREFIX),
                                     length - strlen(PREFIX));
                        *n += r >= 0;
                } else {
                        size_t n_given = length;
                        const char *given = given_name(names, &n_given);

                        rest += sprintf(rest, "%s%.*s", kept > 0 ? ":" : "", (int)n_given, given);
                        r = move_down(FIRST + i, FIRST + kept++);
                }
                names += length + (names[length] == ':');
        }
        return r < 0 ? relay(r) : kept;
}

/**
 * notify_store_take() - what the process before us has left
 * @ret: the array and its descriptors, CLOEXEC, are the caller's
 *
 * After this the environment tells of the others only.
 *
 * Return: 0 or a negative errno.
 */
int notify_store_take(StoredFd **ret, size_t *ret_n) {
        const char *names = getenv("LISTEN_FDNAMES");
        _cleanup_free_ StoredFd *entries = NULL;
        _cleanup_free_ char *rest = NULL;
        int total = how_many(), kept, r;
        size_t n = 0;

        *ret = NULL;
        *ret_n = 0;
        if (total == 0 || !names || !strstr(names, PREFIX))
                return 0;
        entries = calloc((size_t)total, sizeof *entries);
        rest = calloc(1, strlen(names) + 1);
        if (!entries || !rest)
                return fail(-ENOMEM);
        kept = sort(total, names, entries, &n, rest);
        r = kept < 0 ? kept : set_rest(kept, rest);
        if (r < 0) {
                notify_store_close(entries, n);
                return relay(r);
        }
        *ret = TAKE_PTR(entries);
        *ret_n = n;
        return 0;
}

/**
 * notify_store_close_rest() - close what is for the container, which has it: it has outlived the process before us
 */
void notify_store_close_rest(void) {
        int n = how_many();

        for (int fd = FIRST; fd < FIRST + n; fd++)
                foreign_close(&(int){ fd }, 1);
        (void)set_rest(0, NULL);
}

/**
 * notify_store_close() - close what nobody has taken out of the entries
 */
void notify_store_close(StoredFd *entries, size_t n) {
        for (size_t i = 0; i < n; i++)
                fd_close_many(&entries[i].fd, 1);
}
