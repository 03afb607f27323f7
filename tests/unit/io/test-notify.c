/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/notify.h"

typedef struct Fixture {
        Event *event;
        Notify *notify;
        char dir[64], path[128];
        int dir_fd, fd;
        char last[NOTIFY_MAX];
        size_t n_last;
        unsigned n_messages;
        size_t n_fds;
} Fixture;

static int on_message(void *userdata, char *data, size_t n, const int *fds, size_t n_fds) {
        Fixture *f = userdata;

        cr_assert_gt(n, 0);
        memcpy(f->last, data, n);
        f->n_last = n;
        f->n_messages++;
        f->n_fds = n_fds;
        return 0;
}

static const NotifyHandler handler = { on_message };

static void fixture_init(Fixture *f) {
        *f = (Fixture){ .dir = "/tmp/test-notify-XXXXXX" };
        cr_assert_not_null(mkdtemp(f->dir));
        f->dir_fd = fd_open_directory(f->dir);
        cr_assert_eq(mkdirat(f->dir_fd, "notify", 0755), 0);
        (void)snprintf(f->path, sizeof f->path, "%s/notify/notify.sock", f->dir);
        cr_assert_geq(notify_listen(f->dir_fd, &f->fd), 0);
        cr_assert_geq(event_new(&f->event), 0);
        cr_assert_geq(notify_new(&f->notify, f->event, f->fd, &handler, f), 0);
}

static void fixture_done(Fixture *f) {
        f->notify = notify_free(f->notify);
        event_unref(f->event);
        fd_close_many(&f->fd, 1);
        cr_assert_eq(unlink(f->path), 0);
        (void)unlinkat(f->dir_fd, "notify", AT_REMOVEDIR);
        fd_close_many(&f->dir_fd, 1);
        cr_assert_eq(rmdir(f->dir), 0);
}

static int sender(const Fixture *f) {
        struct sockaddr_un address;
        socklen_t size;
        int fd;

        cr_assert_geq(fd_unix_address(f->path, &address, &size), 0);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

CleanTest(notify, socket_is_for_everybody_and_replaces_a_stale_one) {
        struct stat st;
        Fixture f;
        int again;

        fixture_init(&f);
        cr_assert_geq(notify_listen(f.dir_fd, &again), 0);
        cr_assert_eq(stat(f.path, &st), 0);
        cr_assert(S_ISSOCK(st.st_mode));
        cr_assert_eq(st.st_mode & 07777, 0777);
        fd_close_many(&again, 1);
        fixture_done(&f);
}

CleanTest(notify, long_bundle_path_works) {
        char dir[] = "/tmp/test-notify-XXXXXX", name[201] = "";
        int top, bundle, fd;

        cr_assert_not_null(mkdtemp(dir));
        memset(name, 'x', sizeof name - 1);
        top = fd_open_directory(dir);
        cr_assert_eq(mkdirat(top, name, 0700), 0);
        bundle = openat(top, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        cr_assert_lt(notify_listen(bundle, &fd), 0, "its directory must exist");
        cr_assert_eq(mkdirat(bundle, "notify", 0700), 0);
        cr_assert_geq(notify_listen(bundle, &fd), 0);
        fd_close_many(&fd, 1);
        cr_assert_eq(unlinkat(bundle, "notify/notify.sock", 0), 0);
        (void)unlinkat(bundle, "notify", AT_REMOVEDIR);
        (void)unlinkat(top, name, AT_REMOVEDIR);
        fd_close_many(&bundle, 1);
        fd_close_many(&top, 1);
        cr_assert_eq(rmdir(dir), 0);
}

CleanTest(notify, only_what_may_pass_is_handed_up) {
        const char text[] = "READY=1\nSTATUS=hi\nMAINPID=77\nWATCHDOG=1";
        Fixture f;

        fixture_init(&f);
        cr_assert_geq(notify_send(f.path, text, strlen(text), -1), 0);
        cr_assert_geq(notify_send(f.path, "MAINPID=1", 9, -1), 0);
        cr_assert_geq(notify_send(f.path, "", 0, -1), 0);
        event_run_idle(f.event);
        cr_assert_eq(f.n_messages, 1);
        cr_assert_eq(f.n_last, strlen("READY=1\nSTATUS=hi\nWATCHDOG=1"));
        cr_assert_eq(memcmp(f.last, "READY=1\nSTATUS=hi\nWATCHDOG=1", f.n_last), 0);
        fixture_done(&f);
}

CleanTest(notify, sender_with_a_barrier_does_not_hang) {
        int ends[2], copies[40], fd;
        Fixture f;

        fixture_init(&f);
        fd = sender(&f);
        for (size_t n = 1; n <= ELEMENTS(copies); n += ELEMENTS(copies) - 1) {
                struct pollfd barrier = { .events = POLLIN };

                cr_assert_geq(fd_pipe(&ends[0], &ends[1]), 0);
                for (size_t i = 0; i < n; i++)
                        copies[i] = fd_dup(ends[1]);
                cr_assert_geq(fd_send(fd, "BARRIER=1", 9, copies, n), 0);
                fd_close_many(copies, n);
                fd_close_many(&ends[1], 1);
                barrier.fd = ends[0];
                cr_assert_eq(poll(&barrier, 1, 0), 0);
                event_run_idle(f.event);
                cr_assert_eq(poll(&barrier, 1, 0), 1, "every copy is closed");
                fd_close_many(ends, 1);
        }
        cr_assert_eq(f.n_messages, 0);
        fd_close_many(&fd, 1);
        fixture_done(&f);
}

CleanTest(notify, descriptors_come_with_the_message_and_go_with_it) {
        int ends[2], fd;
        Fixture f;

        fixture_init(&f);
        fd = sender(&f);
        cr_assert_geq(fd_pipe(&ends[0], &ends[1]), 0);
        cr_assert_geq(fd_send(fd, "FDSTORE=1", 9, (int[]){ ends[1], ends[1] }, 2), 0);
        fd_close_many(&ends[1], 1);
        event_run_idle(f.event);
        cr_assert_eq(f.n_fds, 2);
        cr_assert_eq(f.n_last, 9);
        cr_assert_eq(poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 0), 1, "both are closed");
        fd_close_many((int[]){ ends[0], fd }, 2);
        fixture_done(&f);
}

CleanTest(notify, largest_datagram_passes_and_a_larger_one_is_dropped_whole) {
        static char text[NOTIFY_MAX + 1] = "STATUS=";
        Fixture f;

        fixture_init(&f);
        memset(text + 7, 'x', sizeof text - 7);
        cr_assert_geq(notify_send(f.path, text, NOTIFY_MAX, -1), 0);
        cr_assert_geq(notify_send(f.path, text, NOTIFY_MAX + 1, -1), 0);
        event_run_idle(f.event);
        cr_assert_eq(f.n_messages, 1);
        cr_assert_eq(f.n_last, NOTIFY_MAX);
        fixture_done(&f);
}

CleanTest(notify, sending_understands_abstract_names_and_never_waits) {
        char name[64], text[64];
        struct sockaddr_un address;
        socklen_t size;
        int fd;

        (void)snprintf(name, sizeof name, "@test-notify-%d", getpid());
        cr_assert_geq(fd_unix_address(name, &address, &size), 0);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *)&address, size), 0);
        cr_assert_geq(notify_send(name, "READY=1", 7, -1), 0);
        cr_assert_eq(recv(fd, text, sizeof text, MSG_DONTWAIT), 7);
        for (unsigned i = 0; notify_send(name, "READY=1", 7, -1) >= 0; i++)
                cr_assert_lt(i, 1000000, "the queue must be full some day");
        fd_close_many(&fd, 1);
}

CleanTest(notify, sending_to_nobody_is_an_error) {
        char path[200] = "/";

        memset(path + 1, 'x', sizeof path - 2);
        cr_assert_eq(notify_send(path, "READY=1", 7, -1), -ENAMETOOLONG);
        cr_assert_lt(notify_send("/nonexistent/socket", "READY=1", 7, -1), 0);
        cr_assert_lt(notify_send("", "READY=1", 7, -1), 0);
}
