/* SPDX-License-Identifier: Apache-2.0 */

/* As service: the messages that a manager gets. As its next main process: what is ours is told from what is not. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "systemd/notify-store.h"

static int manager(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char name[64];
        int fd, n;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(fd, 0);
        n = snprintf(name, sizeof name, "@test-notify-store-%d", getpid());
        memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
                     0);
        cr_assert_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
        return fd;
}

CleanTest(notify_store, manager_gets_a_descriptor_with_its_name) {
        _cleanup_close_ int listener = manager(), r = -1, w = -1;
        _cleanup_(event_unrefp) Event *event = NULL;
        _cleanup_(notify_queue_freep) NotifyQueue *to = NULL;
        size_t n_fds = 0;
        char text[256], byte;
        ssize_t n;
        int fd;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(notify_queue_new(&to, event, getenv("NOTIFY_SOCKET"), NULL, NULL), 0);
        cr_assert_geq(fd_pipe(&r, &w), 0);
        cr_assert_eq(notify_store_put(to, "stdout", r), 0);
        n = fd_receive(listener, text, sizeof text, &fd, 1, &n_fds);
        cr_assert_eq(n_fds, 1);
        cr_assert_eq(strncmp(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=scopemon-stdout", (size_t)n), 0);
        cr_assert_eq(write(w, "x", 1), 1);
        cr_assert_eq(read(fd, &byte, 1), 1, "it is that pipe");
        fd_close_many(&fd, 1);

        cr_assert_eq(notify_store_remove(to, "stdout"), 0);
        n = fd_receive(listener, text, sizeof text, &fd, 1, &n_fds);
        cr_assert_eq(n_fds, 0);
        cr_assert_eq(strncmp(text, "FDSTOREREMOVE=1\nFDNAME=scopemon-stdout", (size_t)n), 0);
}

CleanTest(notify_store, without_a_manager_that_is_said) {
        cr_assert_eq(notify_store_put(NULL, "stdout", 0), -ENOTCONN);
        cr_assert_eq(notify_store_remove(NULL, "stdout"), -ENOTCONN);
}

/* In a process of its own, where descriptors from 3 up are what a manager has passed: pipes that hold their number. */
static int in_child(const char *names, const char *pid, int total, int (*look)(void)) {
        char number[16];
        int status;
        pid_t child;

        (void)fflush(NULL);
        child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
                (void)fd_close_all_but(NULL, 0);
                for (int i = 0; i < total; i++) {
                        int ends[2];
                        char byte = (char)i;

                        if (pipe(ends) < 0 || ends[0] != 3 + i || write(ends[1], &byte, 1) != 1)
                                _exit(100);
                        (void)close(ends[1]);
                }
                (void)snprintf(number, sizeof number, "%d", total);
                (void)setenv("LISTEN_FDS", number, 1);
                (void)setenv("LISTEN_FDNAMES", names, 1);
                (void)snprintf(number, sizeof number, "%d", getpid());
                (void)setenv("LISTEN_PID", pid ? pid : number, 1);
                _exit(look());
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int number_in(int fd) {
        char byte = 0;

        return read(fd, &byte, 1) == 1 ? byte : -1;
}

/* http:scopemon-stdout:scopemon-client-7:more */
static int look_at_mixture(void) {
        StoredFd *entries;
        size_t n;

        if (notify_store_take(&entries, &n) != 0 || n != 2)
                return 1;
        if (strcmp(entries[0].name, "stdout") != 0 || number_in(entries[0].fd) != 1)
                return 2;
        if (strcmp(entries[1].name, "client-7") != 0 || number_in(entries[1].fd) != 2)
                return 3;
        if (!(fcntl(entries[0].fd, F_GETFD) & FD_CLOEXEC))
                return 4;
        if (strcmp(getenv("LISTEN_FDS"), "2") != 0 || strcmp(getenv("LISTEN_FDNAMES"), "http:more") != 0)
                return 5;
        if (number_in(3) != 0 || number_in(4) != 3)
                return 6;
        notify_store_close(entries, n);
        free(entries);
        return fcntl(5, F_GETFD) < 0 ? 0 : 7;
}

/* scopemon-container-scopemon-state0:scopemon-state0:container-a */
static int look_at_likeness(void) {
        StoredFd *entries;
        size_t n;

        if (notify_store_take(&entries, &n) != 0 || n != 1 || strcmp(entries[0].name, "state0") != 0)
                return 1;
        if (number_in(entries[0].fd) != 1)
                return 2;
        if (strcmp(getenv("LISTEN_FDNAMES"), "scopemon-state0:container-a") != 0 || number_in(4) != 2)
                return 3;
        notify_store_close(entries, n);
        free(entries);
        notify_store_close_rest();
        return getenv("LISTEN_FDS") || fcntl(3, F_GETFD) >= 0 || fcntl(4, F_GETFD) >= 0 ? 4 : 0;
}

CleanTest(notify_store, what_the_container_calls_like_ours_is_not_ours) {
        cr_assert_eq(in_child("scopemon-container-scopemon-state0:scopemon-state0:container-a", NULL, 3,
                              look_at_likeness),
                     0);
}

static int look_at_ours_alone(void) {
        StoredFd *entries;
        size_t n;

        if (notify_store_take(&entries, &n) != 0 || n != 2)
                return 1;
        notify_store_close(entries, n);
        free(entries);
        return getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES") ? 2 : 0;
}

static int look_at_others(void) {
        StoredFd *entries;
        size_t n;

        if (notify_store_take(&entries, &n) != 0 || n != 0 || entries)
                return 1;
        return strcmp(getenv("LISTEN_FDS"), "2") != 0;
}

CleanTest(notify_store, ours_are_told_from_the_containers_sockets) {
        cr_assert_eq(in_child("http:scopemon-stdout:scopemon-client-7:more", NULL, 4, look_at_mixture), 0);
        cr_assert_eq(in_child("scopemon-a:scopemon-b", NULL, 2, look_at_ours_alone), 0);
        cr_assert_eq(in_child("http:https", NULL, 2, look_at_others), 0);
        cr_assert_eq(in_child("scopemon-a:scopemon-b", "1", 2, look_at_others), 0,
                     "meant for another process");
}
