/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a process can name that has left the file system. Each attempt is made by a child of its own, which tells the
 * outcome by how it ends.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

#define CAGE_FAILED 99
#define NOBODY 65534

/* A place with a socket, of which all processes here know the name, and a directory for each exit file. */
typedef struct Place {
        char path[64], dirs[_EXIT_FILE_MAX][80];
        const char *wanted[_EXIT_FILE_MAX], *left[_EXIT_FILE_MAX];
        struct sockaddr_un name;
        socklen_t n_name;
        int listener, sender, dir_fds[_EXIT_FILE_MAX];
        bool unprivileged;
        int error; /* of root_leave() */
} Place;

typedef long (*Attempt)(const Place *p);

static void listen_as(Place *p, const char *name) {
        fd_close_many(&p->listener, 1);
        p->listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(fd_unix_address(name, &p->name, &p->n_name), 0);
        cr_assert_eq(bind(p->listener, (struct sockaddr *)&p->name, p->n_name), 0);
}

static void place_make(Place *p) {
        char name[80];

        *p = (Place){ .path = "/tmp/test-root-XXXXXX", .listener = -1 };
        cr_assert_not_null(mkdtemp(p->path));
        cr_assert_eq(chmod(p->path, 0755), 0);
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                (void)snprintf(p->dirs[i], sizeof p->dirs[i], "%s/%u", p->path, i);
                cr_assert_eq(mkdir(p->dirs[i], 0777), 0);
        }
        (void)snprintf(name, sizeof name, "%s/socket", p->path);
        listen_as(p, name);
        cr_assert_eq(chmod(name, 0777), 0);
        p->sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void place_done(Place *p) {
        char name[80];

        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++)
                cr_assert_eq(rmdir(p->dirs[i]), 0);
        (void)snprintf(name, sizeof name, "%s/socket", p->path);
        (void)unlink(name);
        cr_assert_eq(rmdir(p->path), 0);
        fd_close_many(&p->listener, 1);
        fd_close_many(&p->sender, 1);
}

/* How a child ends that has left the file system and tries this: 0 if it could, errno if not; or a signal. */
static ProcessStatus outcome(Place *p, bool caged, Attempt attempt) {
        ProcessStatus status = { 0 };
        pid_t pid;

        if (process_fork(&pid) == 0) {
                if (p->unprivileged && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
                        process_exit(CAGE_FAILED);
                p->error = root_leave(p->wanted, p->left);
                if (caged && sandbox_enter(&(ExitFiles){ 0 }) < 0)
                        process_exit(CAGE_FAILED);
                process_exit(attempt(p) < 0 ? errno : 0);
        }
        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
        return status;
}

static void expect(Place *p, bool caged, Attempt attempt, int error) {
        ProcessStatus s = outcome(p, caged, attempt);

        cr_assert_eq(s.code, error, "%d (%s), signal %d", s.code, strerror(s.code), s.signal);
}

/* The call whose name no filter sees. */
static long send_to_name(const Place *p) {
        struct iovec iov = { (void *)(uintptr_t) "READY=1", 7 };
        struct msghdr message = { .msg_name = (void *)(uintptr_t)&p->name,
                                  .msg_namelen = p->n_name,
                                  .msg_iov = &iov,
                                  .msg_iovlen = 1 };

        return sendmsg(p->sender, &message, MSG_NOSIGNAL);
}

static long send_upwards(const Place *p) {
        Place up = *p;
        int n;

        n = snprintf(up.name.sun_path, sizeof up.name.sun_path, "../../../../../..%s", p->name.sun_path);
        up.n_name = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
        return send_to_name(&up);
}

static long do_nothing(const Place *p) {
        errno = -p->error;
        return p->error;
}

CleanTest(root, a_socket_has_no_name_any_more) {
        Place p;

        for (unsigned i = 0; i < 4; i++) {
                place_make(&p);
                p.wanted[EXIT_FILE_PERSIST] = i & 1 ? p.dirs[EXIT_FILE_PERSIST] : NULL;
                p.wanted[EXIT_FILE_EXIT] = i & 2 ? p.dirs[EXIT_FILE_EXIT] : NULL;
                expect(&p, true, do_nothing, 0);
                expect(&p, true, send_to_name, ENOENT);
                expect(&p, true, send_upwards, ENOENT);
                place_done(&p);
        }
}

/* In a user namespace, if there may be one. */
CleanTest(root, nor_for_who_has_no_privilege) {
        Place p;

        place_make(&p);
        p.unprivileged = geteuid() == 0;
        if (outcome(&p, false, do_nothing).code == 0)
                expect(&p, true, send_to_name, ENOENT);
        else
                expect(&p, true, send_to_name, 0); /* which the keeper tells */
        place_done(&p);
}

static bool kernel_has_scopes(void) {
        return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6;
}

CleanTest(root, an_abstract_name_leads_nowhere_if_the_kernel_can) {
        char name[64];
        Place p;

        place_make(&p);
        (void)unlink(p.name.sun_path);
        (void)snprintf(name, sizeof name, "@scopemon-test-root-%d", getpid());
        listen_as(&p, name);
        expect(&p, true, send_to_name, kernel_has_scopes() ? EPERM : 0);
        place_done(&p);
}

static long open_upwards(const Place *p) {
        char path[128];

        (void)snprintf(path, sizeof path, "../../../..%s", p->path);
        return open(path, O_PATH | O_CLOEXEC);
}

static long open_root(const Place *p) {
        return open("/etc", O_PATH | O_CLOEXEC);
}

static long see_both_directories(const Place *p) {
        struct stat was, is;
        int r = 0;

        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                errno = ENOTDIR;
                if (!p->left[i] || fstat(p->dir_fds[i], &was) < 0 || stat(p->left[i], &is) < 0 ||
                    was.st_ino != is.st_ino)
                        r = -1;
        }
        return r;
}

/* The filter left aside. */
CleanTest(root, there_are_the_two_directories_and_no_way_up) {
        Place p;

        if (geteuid() != 0)
                cr_skip_test("needs a mount");
        place_make(&p);
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                p.wanted[i] = p.dirs[i];
                p.dir_fds[i] = fd_open_directory(p.dirs[i]);
        }
        expect(&p, false, see_both_directories, 0);
        expect(&p, false, open_upwards, ENOENT);
        expect(&p, false, open_root, ENOENT);
        fd_close_many(p.dir_fds, _EXIT_FILE_MAX);
        place_done(&p);
}

static long count_directories(const Place *p) {
        struct stat st;

        errno = EISDIR;
        for (int fd = 0; fd < 1024; fd++)
                if (fstat(fd, &st) >= 0 && S_ISDIR(st.st_mode))
                        return -1;
        return 0;
}

CleanTest(root, no_descriptor_of_a_directory_is_left) {
        Place p;

        place_make(&p);
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++)
                p.wanted[i] = p.dirs[i];
        expect(&p, false, count_directories, 0);
        place_done(&p);
}
