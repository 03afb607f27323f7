/* SPDX-License-Identifier: Apache-2.0 */

/* One descriptor is a terminal; anything else is said to be none; the name does not stay behind. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/console.h"

typedef struct Fixture {
        Event *event;
        Console *console;
        char path[128];
        int master;
        unsigned n_bad;
} Fixture;

static int on_terminal(void *userdata, int master) {
        ((Fixture *)userdata)->master = master;
        return 0;
}

static int on_bad(void *userdata) {
        ((Fixture *)userdata)->n_bad++;
        return 0;
}

static void fixture_init(Fixture *f) {
        static const ConsoleHandler handler = { .on_terminal = on_terminal, .on_bad = on_bad };

        *f = (Fixture){ .master = -1 };
        cr_assert_geq(event_new(&f->event), 0);
        cr_assert_eq(console_new(&f->console, f->event, &handler, f), 0);
        (void)snprintf(f->path, sizeof f->path, "%s", console_path(f->console));
}

static void fixture_done(Fixture *f) {
        f->console = console_free(f->console);
        cr_assert_lt(access(f->path, F_OK), 0, "%s was left behind", f->path);
        fd_close_many(&f->master, 1);
        f->event = event_unref(f->event);
}

static int runtime_connect(const Fixture *f) {
        struct sockaddr_un address;
        socklen_t size;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(fd_unix_address(f->path, &address, &size), 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0, "%m");
        return fd;
}

/* A runtime that sends one message with the descriptor of @path so many times, and leaves. */
static void runtime_send(const Fixture *f, const char *path, size_t n_fds) {
        _cleanup_close_ int fd = runtime_connect(f), file = open(path, O_RDWR | O_CLOEXEC);
        const int fds[] = { file, file, file };

        cr_assert_eq(fd_send(fd, "/dev/pts/ptmx", 13, fds, n_fds), 13);
}

CleanTest(console, descriptor_is_the_terminal) {
        struct stat a, b;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(stat(f.path, &a), 0);
        cr_assert(S_ISSOCK(a.st_mode));
        cr_assert_eq(a.st_mode & 077, 0, "for us and root only");
        runtime_send(&f, "/dev/zero", 1);
        cr_assert(event_run_until(f.event, 30, f.master >= 0));
        cr_assert_eq(f.n_bad, 0);
        cr_assert_eq(fstat(f.master, &a), 0);
        cr_assert_eq(stat("/dev/zero", &b), 0);
        cr_assert_eq(a.st_rdev, b.st_rdev);
        cr_assert(fcntl(f.master, F_GETFD) & FD_CLOEXEC);
        cr_assert_lt(access(f.path, F_OK), 0, "it has been used, so it goes");
        event_run_idle(f.event);
        fixture_done(&f);
}

CleanTest(console, message_in_time_is_seen_without_the_loop) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(console_look(f.console), 0);
        cr_assert_eq(f.master, -1, "nothing there yet");
        runtime_send(&f, "/dev/null", 1);
        cr_assert_eq(console_look(f.console), 0);
        cr_assert_geq(f.master, 0);
        cr_assert_eq(console_look(f.console), 0, "nothing is left to look at");
        fixture_done(&f);
}

CleanTest(console, message_after_the_connection_is_waited_for) {
        _cleanup_close_ int fd = -1, file = open("/dev/null", O_RDWR | O_CLOEXEC);
        Fixture f;

        fixture_init(&f);
        fd = runtime_connect(&f);
        event_run_idle(f.event);
        cr_assert(f.master < 0 && f.n_bad == 0);
        cr_assert_eq(fd_send(fd, "x", 1, &file, 1), 1);
        cr_assert(event_run_until(f.event, 30, f.master >= 0));
        fixture_done(&f);
}

CleanTest(console, anything_else_is_no_terminal) {
        static const size_t counts[] = { 0, 2, 3 };

        for (size_t i = 0; i < ELEMENTS(counts); i++) {
                Fixture f;

                fixture_init(&f);
                runtime_send(&f, "/dev/null", counts[i]);
                cr_assert(event_run_until(f.event, 30, f.n_bad > 0), "%zu descriptors", counts[i]);
                cr_assert_eq(f.master, -1);
                cr_assert_eq(f.n_bad, 1);
                fixture_done(&f);
        }
}

/* What is wrong is for the runtime to say, which is about to fail. */
CleanTest(console, connection_that_ends_is_no_terminal_and_no_message) {
        Fixture f;
        int fd;

        fixture_init(&f);
        fd = runtime_connect(&f);
        (void)close(fd);
        cr_assert(event_run_until(f.event, 30, access(f.path, F_OK) < 0));
        cr_assert_eq(console_look(f.console), 0);
        cr_assert_eq(f.master, -1);
        cr_assert_eq(f.n_bad, 0);
        fixture_done(&f);
}

CleanTest(console, name_never_used_goes_too) {
        Fixture f, g;

        fixture_init(&f);
        fixture_init(&g);
        cr_assert_str_neq(f.path, g.path);
        cr_assert_eq(access(f.path, F_OK), 0);
        fixture_done(&f);
        fixture_done(&g);
}

CleanTest(console, name_stands_in_tmpdir) {
        char dir[] = "/tmp/test-console-XXXXXX", too_long[128];
        static const ConsoleHandler handler = { .on_terminal = on_terminal, .on_bad = on_bad };
        Console *console;
        Fixture f;

        cr_assert_not_null(mkdtemp(dir));
        cr_assert_eq(setenv("TMPDIR", dir, 1), 0);
        fixture_init(&f);
        cr_assert_eq(strncmp(f.path, dir, strlen(dir)), 0);
        memset(too_long, 'x', sizeof too_long - 1);
        too_long[0] = '/';
        too_long[sizeof too_long - 1] = 0;
        cr_assert_eq(setenv("TMPDIR", too_long, 1), 0);
        cr_assert_eq(console_new(&console, f.event, &handler, &f), -ENAMETOOLONG);
        fixture_done(&f);
        cr_assert_eq(rmdir(dir), 0);
        cr_assert_eq(unsetenv("TMPDIR"), 0);
}
