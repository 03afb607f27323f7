/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/control.h"

typedef struct Fixture {
        Event *event;
        Control *control;
        CtlBuffer state[2];
        char dir[64];
        int dir_fd, fds[2];
        char said[4096]; /* what came of the lines, in order */
        unsigned n_resizes, n_reads, n_done;
        char data[4096];
} Fixture;

static void say(Fixture *f, const char *text) {
        size_t n = strlen(f->said);

        (void)snprintf(f->said + n, sizeof f->said - n, "%s;", text);
}

static ssize_t on_read(void *userdata, size_t index, int fd, const char **ret_data) {
        Fixture *f = userdata;
        ssize_t size = read(fd, f->data, sizeof f->data);

        *ret_data = f->data;
        f->n_reads += size > 0;
        return size < 0 ? -errno : size;
}

static void on_done(void *userdata, size_t index) {
        Fixture *f = userdata;

        f->n_done++;
}

static int on_resize(void *userdata, unsigned rows, unsigned columns) {
        Fixture *f = userdata;
        char text[64];

        f->n_resizes++;
        (void)snprintf(text, sizeof text, "%ux%u", rows, columns);
        say(f, text);
        return 0;
}

static int on_reopen(void *userdata) {
        say(userdata, "reopen");
        return 0;
}

static int on_bad(void *userdata, const char *line, size_t n, int why) {
        cr_assert_gt(why, 0);
        cr_assert_not_null(line);
        say(userdata, "bad");
        return 0;
}

static const ControlHandler handler = { on_read, on_done, on_resize, on_reopen, on_bad };

static void fixture_listen(Fixture *f) {
        f->control = control_free(f->control);
        cr_assert_geq(control_new(&f->control, f->event, f->fds, f->state, &handler, f), 0);
}

static void fixture_init(Fixture *f) {
        *f = (Fixture){ .dir = "/tmp/test-control-XXXXXX" };
        cr_assert_not_null(mkdtemp(f->dir));
        f->dir_fd = fd_open_directory(f->dir);
        cr_assert_geq(control_make(f->dir_fd, &f->fds[0], &f->fds[1]), 0);
        cr_assert_geq(event_new(&f->event), 0);
        fixture_listen(f);
}

static void fixture_done(Fixture *f) {
        cr_assert_eq(f->n_done, f->n_reads, "all that was read is said to be done");

        f->control = control_free(f->control);
        event_unref(f->event);
        fd_close_many(f->fds, 2);
        (void)unlinkat(f->dir_fd, "ctl", 0);
        (void)unlinkat(f->dir_fd, "winsz", 0);
        fd_close_many(&f->dir_fd, 1);
        cr_assert_eq(rmdir(f->dir), 0);
}

/* As a manager does it: open, write, close. */
static void tell(Fixture *f, const char *name, const char *text) {
        int fd;

        fd = openat(f->dir_fd, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        cr_assert_geq(fd, 0, "%m");
        cr_assert_geq(fd_write_full(fd, text, strlen(text)), 0);
        fd_close_many(&fd, 1);
        event_run_idle(f->event);
}

CleanTest(control, fifos_replace_what_was_there) {
        char dir[] = "/tmp/test-control-XXXXXX";
        const char *names[] = { "ctl", "winsz" };
        int dir_fd, fd, fds[2];
        struct stat st;
        mode_t mask;

        cr_assert_not_null(mkdtemp(dir));
        dir_fd = fd_open_directory(dir);
        fd = openat(dir_fd, "ctl", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        fd_close_many(&fd, 1);
        cr_assert_eq(mkfifoat(dir_fd, "winsz", 0600), 0);
        mask = umask(022);
        cr_assert_geq(control_make(dir_fd, &fds[0], &fds[1]), 0);
        (void)umask(mask);
        for (size_t i = 0; i < 2; i++) {
                cr_assert_eq(fstatat(dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
                cr_assert(S_ISFIFO(st.st_mode));
                cr_assert_eq(st.st_mode & 07777, 0640);
                cr_assert_eq(unlinkat(dir_fd, names[i], 0), 0);
        }
        for (size_t i = 0; i < 2; i++) {
                cr_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
                cr_assert(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        }
        fd_close_many(fds, 2);
        fd_close_many(&dir_fd, 1);
        cr_assert_eq(rmdir(dir), 0);
}

CleanTest(control, failure_leaves_no_descriptor_behind) {
        char dir[] = "/tmp/test-control-XXXXXX";
        int dir_fd, fds[2];

        cr_assert_not_null(mkdtemp(dir));
        dir_fd = fd_open_directory(dir);
        cr_assert_eq(mkdirat(dir_fd, "winsz", 0700), 0);
        cr_assert_lt(control_make(dir_fd, &fds[0], &fds[1]), 0);
        (void)unlinkat(dir_fd, "ctl", 0);
        (void)unlinkat(dir_fd, "winsz", AT_REMOVEDIR);
        fd_close_many(&dir_fd, 1);
        cr_assert_eq(rmdir(dir), 0);
}

CleanTest(control, lines_have_their_effects_in_order) {
        static const struct {
                const char *fifo, *text, *said;
        } cases[] = {
                { "ctl", "1 24 80\n", "24x80;" },
                { "ctl", "1 5 6\n1 7 8\n2 0 0\n", "5x6;7x8;reopen;" },
                { "ctl", "1 2 2 3\n1 0010 0020\n1 1000 1000\n", "2x2;10x20;1000x1000;" },
                { "ctl", "junk\n1 50 60\n", "bad;50x60;" },
                { "ctl", "1 50 1200\n1 99999 1\n", "50x1200;65535x1;" },
                { "ctl", "1 1000 -1\n999 2 2\n1 10.5 20.3\n1 -1 -1\n", "bad;bad;bad;bad;" },
                { "ctl", "1 2\n1 30 40\n", "bad;30x40;" },
                { "winsz", "30 40\n2 0 0\n", "30x40;2x0;" },
                { "winsz", "30\n", "bad;" },
        };
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                f.said[0] = 0;
                tell(&f, cases[i].fifo, cases[i].text);
                cr_assert_str_eq(f.said, cases[i].said, "%s: %s", cases[i].text, f.said);
        }
        fixture_done(&f);
}

CleanTest(control, line_in_pieces_survives_the_worker) {
        Fixture f;

        fixture_init(&f);
        tell(&f, "ctl", "1 3");
        tell(&f, "winsz", "7 ");
        fixture_listen(&f);
        tell(&f, "ctl", "0 40\n");
        tell(&f, "winsz", "8\n");
        cr_assert_str_eq(f.said, "30x40;7x8;");
        fixture_done(&f);
}

CleanTest(control, overlong_line_has_no_effect_and_the_next_has) {
        char text[20000];
        Fixture f;

        fixture_init(&f);
        memset(text, '#', sizeof text);
        memcpy(text, "1 2 2 ", 6);
        memcpy(text + sizeof text - 8, "\n2 0 0\n", 8);
        tell(&f, "ctl", text);
        cr_assert_eq(f.n_resizes, 0);
        cr_assert_str_eq(f.said + strlen(f.said) - 11, "bad;reopen;");
        fixture_done(&f);
}

CleanTest(control, ten_thousand_resizes_all_arrive) {
        char text[700 + 1] = "";
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < 100; i++)
                memcpy(text + i * 7, "1 9 19\n", 7);
        for (size_t i = 0; i < 100; i++)
                tell(&f, "ctl", text);
        cr_assert_eq(f.n_resizes, 10000);
        fixture_done(&f);
}

CleanTest(control, manager_that_closes_leaves_no_end_of_file) {
        Fixture f;

        fixture_init(&f);
        tell(&f, "ctl", "1 2 3\n");
        for (unsigned i = 0; event_turn(f.event, 0) > 0; i++)
                cr_assert_lt(i, 10);
        cr_assert_str_eq(f.said, "2x3;");
        fixture_done(&f);
}
