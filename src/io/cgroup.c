/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Control groups as files: where a process is, whose that place is, and nesting below it.
 *
 * Nesting: in a cgroup with controllers turned on for its children no process may live, so all that are in the unit's
 * top cgroup go to a leaf before the container's is made beside it. Processes fork meanwhile, so that is repeated
 * until the top is empty, and a bound is set to it. Either all are moved or none: on failure whoever was moved goes
 * back. Nothing is ever written outside the unit's own directory.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "event/event.h"
#include "io/cgroup.h"
#include "io/proc.h"
#include "wire/cgtext.h"

#define ROOT "/sys/fs/cgroup"
#define CGROUP2_MAGIC 0x63677270
#define PROC_MAX (1024 * 1024)
#define NEST_ROUNDS 100
#define NEST_USEC 1000000ULL /* for processes that are exiting; their callers wait for us meanwhile */

static bool is_cgroup2(const char *path) {
        struct statfs s;

        return statfs(path, &s) == 0 && (unsigned long)s.f_type == CGROUP2_MAGIC;
}

/**
 * cgroup_unified() - does this host keep its controllers in cgroup v2?
 * @ret_root: where cgroup v2 is mounted, which it may be on other hosts too; NULL if it is not. May be NULL
 */
bool cgroup_unified(const char **ret_root) {
        bool unified = is_cgroup2(ROOT);

        if (ret_root)
                *ret_root = unified ? ROOT : is_cgroup2(ROOT "/unified") ? ROOT "/unified" : NULL;
        return unified;
}

/**
 * cgroup_own() - a process's cgroup v2 path
 * @ret_path: the caller's to free
 *
 * Return: 0, or a negative errno: -ENODATA if it has none that we could name.
 */
int cgroup_own(pid_t pid, char **ret_path) {
        _cleanup_free_ char *text = NULL;
        const char *path;
        size_t size, n;
        char proc[64];
        int r;

        (void)snprintf(proc, sizeof proc, "/proc/%d/cgroup", pid);
        r = fd_read_file(AT_FDCWD, proc, PROC_MAX, &text, &size);
        if (r < 0)
                return relay(r);
        if (cgtext_path(text, size, &path, &n) != 0)
                return fail(-ENODATA);
        *ret_path = strndup(path, n);
        return *ret_path ? 0 : fail(-ENOMEM);
}

/**
 * cgroup_in_unit() - has a process arrived in a unit?
 *
 * Return: 1 or 0, or a negative errno.
 */
int cgroup_in_unit(pid_t pid, const char *unit) {
        _cleanup_free_ char *path = NULL;
        CgUnit u;
        int r;

        r = cgroup_own(pid, &path);
        if (r < 0)
                return relay(r);
        return cgtext_unit(path, &u) == 0 && u.n_name == strlen(unit) && memcmp(u.name, unit, u.n_name) == 0;
}

/**
 * cgroup_open() - directory of a cgroup, for files beneath it
 *
 * Return: a descriptor, CLOEXEC, the caller's, or a negative errno.
 */
int cgroup_open(const char *path) {
        const char *root;
        char full[PATH_MAX];
        int n, fd;

        (void)cgroup_unified(&root);
        if (!root)
                return fail(-ENODEV);
        n = snprintf(full, sizeof full, "%s%s", root, path);
        if (n < 0 || (size_t)n >= sizeof full)
                return fail(-ENAMETOOLONG);
        fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? fail(-errno) : fd;
}

/**
 * cgroup_open_procs() - where processes are written to that shall move to a cgroup
 *
 * Return: a descriptor, CLOEXEC, the caller's, or a negative errno.
 */
int cgroup_open_procs(const char *path) {
        _cleanup_close_ int group = -1;
        int fd;

        group = cgroup_open(path);
        if (group < 0)
                return relay(group);
        fd = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        return fd < 0 ? fail(-errno) : fd;
}

/**
 * cgroup_kill() - SIGKILL to everything in a cgroup and below it, at once
 *
 * Return: 0, or a negative errno: -ENOENT if it has gone, or the kernel is older than 5.14.
 */
int cgroup_kill(const char *path) {
        _cleanup_close_ int group = -1, fd = -1;

        group = cgroup_open(path);
        if (group < 0)
                return relay(group);
        fd = openat(group, "cgroup.kill", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return fail(-errno);
        return fd_write_full(fd, "1", 1);
}

/**
 * cgroup_delegated() - has systemd marked a unit's cgroup as delegated?
 * @path: of the unit itself, not of a cgroup below it
 *
 * Only the system's manager marks them; that a user manager's unit is not marked means nothing.
 *
 * Return: 1 or 0; 0 also if it cannot be told.
 */
int cgroup_delegated(const char *path) {
        static const char *const names[] = { "user.delegate", "trusted.delegate" };
        _cleanup_close_ int fd = -1;

        fd = cgroup_open(path);
        for (size_t i = 0; fd >= 0 && i < ELEMENTS(names); i++) {
                char value[8];
                ssize_t n = fgetxattr(fd, names[i], value, sizeof value);

                if (n >= 0)
                        return n == 1 && value[0] == '1';
        }
        return 0;
}

/**
 * cgroup_survives() - has somebody marked a cgroup as one whose processes a soft reboot leaves alone?
 *
 * Return: 1 or 0; 0 also if it cannot be told.
 */
int cgroup_survives(const char *path) {
        _cleanup_close_ int fd = cgroup_open(path);
        char value[8];

        return fd >= 0 && fgetxattr(fd, CGROUP_SURVIVES, value, sizeof value) == 1 && value[0] == '1';
}

typedef struct Nest {
        int unit; /* directories */
        int leaf;
        const char *name; /* of the leaf */
        bool made;
        char *moved; /* pids as text, each on a line of its own, for the way back */
        size_t n_moved;
} Nest;

static void nest_done(Nest *n) {
        cleanup_close(&n->leaf);
        cleanup_close(&n->unit);
        free(n->moved);
}

/* Moves each of the pids in @text; stops at the first that cannot be moved. */
static int move_all(int group, const char *text) {
        _cleanup_close_ int fd = -1;

        fd = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return fail(-errno);
        for (size_t n; text[0]; text += n + (text[n] == '\n')) {
                n = strcspn(text, "\n");
                if (n == 1 &&
                    text[0] == '0') /* of a pid name space we cannot see; the kernel would take us */
                        return fail(-EPERM);
                if (write(fd, text, n) < 0 && errno != ESRCH) /* gone is as good as moved */
                        return fail(-errno);
        }
        return 0;
}

static int nest_remember(Nest *n, const char *text, size_t size) {
        char *grown;

        grown = realloc(n->moved, n->n_moved + size + 1);
        if (!grown)
                return fail(-ENOMEM);
        memcpy(grown + n->n_moved, text, size + 1);
        n->n_moved += size;
        n->moved = grown;
        return 0;
}

static int nest_make_leaf(Nest *n) {
        if (n->leaf >= 0)
                return 0;
        if (mkdirat(n->unit, n->name, 0755) == 0)
                n->made = true;
        else if (errno != EEXIST)
                return fail(-errno);
        n->leaf = openat(n->unit, n->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return n->leaf < 0 ? fail(-errno) : 0;
}

/*
 * A process that is exiting stays where it is, whoever moves it, and is there until it has given back its memory:
 * the caller's child that has just started us, for example. Blocks until such have gone, or @deadline.
 */
static void nest_await_exits(const char *text, uint64_t deadline) {
        for (size_t n; text[0]; text += n + (text[n] == '\n')) {
                _cleanup_close_ int pidfd = -1;
                uint64_t now = event_now();
                char word[16];
                ProcStat stat;
                pid_t pid;

                n = strcspn(text, "\n");
                (void)snprintf(word, sizeof word, "%.*s", (int)n, text);
                if (now >= deadline || parse_pid(word, &pid) < 0 || proc_stat(pid, &stat) < 0 ||
                    !stat.exiting)
                        continue;
                pidfd = process_pidfd(pid);
                if (pidfd >= 0)
                        (void)poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1,
                                   (int)((deadline - now) / 1000) +
                                           1); /* cut short, there is another round */
        }
}

/* Return: 1 if there was somebody to move, 0 if the unit's top cgroup is empty. */
static int nest_round(Nest *n, bool again, uint64_t deadline) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = fd_read_file(n->unit, "cgroup.procs", PROC_MAX, &text, &size);
        if (r < 0)
                return relay(r);
        if (size == 0)
                return 0;
        if (again)
                nest_await_exits(text, deadline);
        r = nest_make_leaf(n);
        if (r >= 0)
                r = nest_remember(n, text, size);
        if (r >= 0)
                r = move_all(n->leaf, text);
        return r < 0 ? relay(r) : 1;
}

static int nest_self(Nest *n, pid_t self) {
        char text[16];
        int r;

        if (self == 0)
                return 0;
        (void)snprintf(text, sizeof text, "%d", self);
        r = nest_make_leaf(n);
        if (r >= 0)
                r = move_all(n->leaf, text);
        return r < 0 ? relay(r) : 0;
}

/* Best effort. Children that the moved have had since are in the leaf: if we made it, all in it go back. */
static void nest_undo(Nest *n) {
        if (n->moved)
                (void)move_all(n->unit, n->moved);
        for (int i = 0; n->made && i < NEST_ROUNDS; i++) {
                _cleanup_free_ char *text = NULL;

                if (unlinkat(n->unit, n->name, AT_REMOVEDIR) == 0)
                        return;
                if (fd_read_file(n->leaf, "cgroup.procs", PROC_MAX, &text, NULL) < 0 ||
                    move_all(n->unit, text) < 0)
                        return;
        }
}

/**
 * cgroup_nest() - move all processes of a unit's top cgroup to a leaf below it
 * @unit_path: cgroup of the unit, which must be delegated to us
 * @leaf: name of the leaf, made if it is not there
 * @self: a process that is moved too, wherever it is; 0 for none
 *
 * If the top is empty, nobody but @self is moved. On failure all are back where they were.
 *
 * Return: 0, or a negative errno: -EBUSY if new processes kept coming.
 */
int cgroup_nest(const char *unit_path, const char *leaf, pid_t self) {
        _cleanup_(nest_done) Nest n = { .unit = -1, .leaf = -1, .name = leaf };
        uint64_t deadline = event_now() + NEST_USEC;
        int r = 1;

        n.unit = cgroup_open(unit_path);
        if (n.unit < 0)
                return relay(n.unit);
        for (int i = 0; r > 0 && i < NEST_ROUNDS; i++)
                r = nest_round(&n, i > 0, deadline);
        if (r > 0)
                r = fail(-EBUSY);
        if (r == 0)
                r = nest_self(&n, self);
        if (r < 0) {
                nest_undo(&n);
                return relay(r);
        }
        return 0;
}
