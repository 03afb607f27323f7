/* SPDX-License-Identifier: Apache-2.0 */

/* One descriptor is a terminal; anything else is said to be none; the name does not stay behind. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

        char wrong[CONSOLE_WRONG_MAX];

        *f = (Fixture){ .master = -1 };
        cr_assert_geq(event_new(&f->event), 0);
        cr_assert_eq(console_new(&f->console, f->event, NULL, &handler, f, wrong), 0);
        cr_assert_str_eq(wrong, "");
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

/* What is wrong is for the runtime to say, which is about to fail; or it is somebody else who comes. */
CleanTest(console, connections_that_end_are_no_terminal_and_no_message) {
        Fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 20; i++) {
                int fd = runtime_connect(&f);

                (void)close(fd);
        }
        event_run_idle(f.event);
        cr_assert_eq(console_look(f.console), 0);
        cr_assert_eq(f.master, -1);
        cr_assert_eq(f.n_bad, 0);
        runtime_send(&f, "/dev/null", 1);
        cr_assert(event_run_until(f.event, 30, f.master >= 0), "it is waited for still");
        fixture_done(&f);
}

CleanTest(console, silent_peers_do_not_stand_in_the_way) {
        Fixture f;
        int fds[6];

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = runtime_connect(&f);
        runtime_send(&f, "/dev/null", 1);
        event_run_idle(f.event);
        cr_assert_eq(f.master, -1, "too many are there");
        fd_close_many(fds, ELEMENTS(fds));
        cr_assert(event_run_until(f.event, 30, f.master >= 0));
        cr_assert_eq(f.n_bad, 0);
        fixture_done(&f);
}

CleanTest(console, out_of_descriptors_it_looks_again) {
        struct rlimit limit;
        Fixture f;

        fixture_init(&f);
        runtime_send(&f, "/dev/null", 1);
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 3, limit.rlim_max }), 0);
        event_run_idle(f.event);
        cr_assert(f.master < 0 && f.n_bad == 0);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert(event_run_until(f.event, 30, f.master >= 0));
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

CleanTest(console, name_stands_in_tmpdir_or_where_there_is_room) {
        char dir[] = "/tmp/test-console-XXXXXX", bundle[] = "/tmp/test-console-XXXXXX", too_long[128];
        const char *bad[] = { "/nonexistent", "/proc", "/dev/null", too_long };
        static const ConsoleHandler handler = { .on_terminal = on_terminal, .on_bad = on_bad };
        char wrong[CONSOLE_WRONG_MAX];
        Fixture f;

        memset(too_long, 'x', sizeof too_long - 1);
        too_long[0] = '/';
        too_long[sizeof too_long - 1] = 0;
        cr_assert_not_null(mkdtemp(dir));
        cr_assert_not_null(mkdtemp(bundle));
        cr_assert_eq(setenv("TMPDIR", dir, 1), 0);
        fixture_init(&f);
        cr_assert_eq(strncmp(f.path, dir, strlen(dir)), 0);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                Console *console;

                cr_assert_eq(setenv("TMPDIR", bad[i], 1), 0);
                cr_assert_eq(console_new(&console, f.event, bundle, &handler, &f, wrong), 0);
                cr_assert_eq(strncmp(console_path(console), bundle, strlen(bundle)), 0);
                console = console_free(console);
                cr_assert_eq(console_new(&console, f.event, too_long, &handler, &f, wrong), 0);
                console = console_free(console);
        }
        fixture_done(&f);
        cr_assert_eq(rmdir(dir), 0);
        cr_assert_eq(rmdir(bundle), 0);
        cr_assert_eq(unsetenv("TMPDIR"), 0);
}
