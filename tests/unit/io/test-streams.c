/* SPDX-License-Identifier: Apache-2.0 */

/* A target's stdio from its own side: pipes and a terminal, with the loop of a worker on ours. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/streams.h"

static bool writes_are_refused;

/* The program's own goes before libc's. */
ssize_t write(int fd, const void *data, size_t n) {
        if (writes_are_refused) {
                errno = ENOMEM;
                return -1;
        }
        return syscall(SYS_write, fd, data, n);
}

typedef struct Fixture {
        Event *event;
        Streams *streams;
        char text[_STREAM_MAX][4096];
        size_t n_text[_STREAM_MAX];
        unsigned n_calls, n_ends[_STREAM_MAX], n_room;
        size_t read_size;
        bool full;  /* take nothing: there is no room */
        int broken; /* an errno: something of ours fails */
} Fixture;

static ssize_t on_readable(void *userdata, StreamId id, int fd) {
        Fixture *f = userdata;
        size_t size = sizeof f->text[id] - f->n_text[id] - 1;
        ssize_t n;

        f->n_calls++;
        if (f->full)
                return -EAGAIN;
        if (f->broken)
                return -f->broken;
        n = read(fd, f->text[id] + f->n_text[id], f->read_size && f->read_size < size ? f->read_size : size);
        if (n < 0)
                return errno == EIO ? 0 : -errno;
        f->n_text[id] += (size_t)n;
        return n;
}

static int on_end(void *userdata, StreamId id) {
        ((Fixture *)userdata)->n_ends[id]++;
        return 0;
}

static int on_stdin_room(void *userdata) {
        ((Fixture *)userdata)->n_room++;
        return 0;
}

static void fixture_init(Fixture *f) {
        static const StreamsHandler handler = { .on_readable = on_readable,
                                                .on_end = on_end,
                                                .on_stdin_room = on_stdin_room };

        *f = (Fixture){ 0 };
        cr_assert_geq(event_new(&f->event), 0);
        cr_assert_eq(streams_new(&f->streams, f->event, &handler, f), 0);
}

static void fixture_done(Fixture *f) {
        f->streams = streams_free(f->streams);
        f->event = event_unref(f->event);
}

/* Comes to rest, or the source costs CPU for ever. */
static void run_idle(Fixture *f) {
        for (unsigned i = 0; i < 1000; i++)
                if (event_turn(f->event, 0) == 0)
                        return;
        cr_assert_fail("the loop never comes to rest");
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

/* Until so much has been read: a terminal's bytes take their time in the kernel. */
static void run_until_read(Fixture *f, size_t n) {
        cr_assert(event_run_until(f->event, 30, f->n_text[STREAM_STDOUT] >= n), "only %s", f->text[0]);
        cr_assert_eq(f->n_text[STREAM_STDOUT], n);
        run_idle(f);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

CleanTest(streams, pipes_are_made_as_wanted) {
        for (unsigned i = 0; i < 4; i++) {
                bool want_stdin = i & 1, want_stdout = i & 2;
                StdioPipes p;
                struct stat st;

                cr_assert_eq(streams_make_pipes(&p, want_stdin, want_stdout), 0);
                cr_assert_eq(p.in_read >= 0 && p.in_write >= 0, want_stdin);
                cr_assert_eq(p.read[STREAM_STDOUT] >= 0 && p.write[STREAM_STDOUT] >= 0, want_stdout);
                cr_assert(p.read[STREAM_STDERR] >= 0 && p.write[STREAM_STDERR] >= 0);
                cr_assert_eq(fstat(p.write[STREAM_STDERR], &st), 0);
                cr_assert_eq(st.st_mode & 0777, 0777, "any user may open it again");
                cr_assert(fcntl(p.read[STREAM_STDERR], F_GETFL) & O_NONBLOCK);
                cr_assert(!(fcntl(p.write[STREAM_STDERR], F_GETFL) & O_NONBLOCK));
                cr_assert(fcntl(p.write[STREAM_STDERR], F_GETFD) & FD_CLOEXEC);
                if (want_stdin) {
                        cr_assert(fcntl(p.in_write, F_GETFL) & O_NONBLOCK);
                        cr_assert(!(fcntl(p.in_read, F_GETFL) & O_NONBLOCK));
                }
                streams_close_theirs(&p);
                cr_assert(p.in_read < 0 && p.write[STREAM_STDOUT] < 0 && p.write[STREAM_STDERR] < 0);
                cr_assert_geq(p.read[STREAM_STDERR], 0);
                streams_close_ours(&p);
                cr_assert_lt(p.read[STREAM_STDERR], 0);
        }
}

CleanTest(streams, each_stream_is_read_to_its_end) {
        StdioPipes p;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, false, true), 0);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                cr_assert_eq(streams_add(f.streams, id, fd_dup(p.read[id])), 0);
        cr_assert_eq(write(p.write[STREAM_STDOUT], "out", 3), 3);
        cr_assert_eq(write(p.write[STREAM_STDERR], "error", 5), 5);
        run_idle(&f);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "out");
        cr_assert_str_eq(f.text[STREAM_STDERR], "error");
        cr_assert(streams_is_open(f.streams, STREAM_STDOUT));

        streams_close_theirs(&p);
        run_idle(&f);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                cr_assert_eq(f.n_ends[id], 1);
                cr_assert(!streams_is_open(f.streams, id));
        }
        cr_assert(is_open(p.read[STREAM_STDOUT]), "the copy of the keeper is not ours to close");
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, trouble_of_ours_is_not_the_end_of_a_stream) {
        StdioPipes p;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, false, true), 0);
        cr_assert_eq(streams_add(f.streams, STREAM_STDOUT, fd_dup(p.read[STREAM_STDOUT])), 0);
        cr_assert_eq(write(p.write[STREAM_STDOUT], "out", 3), 3);
        f.broken = ENOSPC;
        cr_assert_eq(event_turn(f.event, 0), -ENOSPC, "it leaves the loop");
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), -ENOSPC);
        cr_assert_eq(f.n_ends[STREAM_STDOUT], 0);
        cr_assert(streams_is_open(f.streams, STREAM_STDOUT));

        f.broken = 0;
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 1);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "out");
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, neither_stream_starves_the_other) {
        StdioPipes p;
        Fixture f;

        fixture_init(&f);
        f.read_size = 10;
        cr_assert_eq(streams_make_pipes(&p, false, true), 0);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                char data[1000] = { 0 };

                cr_assert_eq(write(p.write[id], data, sizeof data), (ssize_t)sizeof data);
                cr_assert_eq(streams_add(f.streams, id, fd_dup(p.read[id])), 0);
        }
        while (f.n_text[STREAM_STDOUT] < 1000 && f.n_text[STREAM_STDERR] < 1000) {
                size_t a = f.n_text[STREAM_STDOUT], b = f.n_text[STREAM_STDERR];

                cr_assert((a > b ? a - b : b - a) <= 20, "%zu, %zu", a, b);
                cr_assert_gt(event_turn(f.event, 0), 0);
        }
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, held_stream_is_not_read) {
        StdioPipes p;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, false, true), 0);
        cr_assert_eq(streams_hold(f.streams, STREAM_STDOUT, true), 0, "no stream, nothing to hold");
        cr_assert_eq(streams_add(f.streams, STREAM_STDOUT, fd_dup(p.read[STREAM_STDOUT])), 0);
        cr_assert_eq(write(p.write[STREAM_STDOUT], "abc", 3), 3);
        cr_assert_eq(streams_hold(f.streams, STREAM_STDOUT, true), 0);
        run_idle(&f);
        cr_assert_eq(f.n_calls, 0);
        cr_assert_eq(streams_hold(f.streams, STREAM_STDOUT, false), 0);
        run_idle(&f);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "abc");
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, draining_reads_what_is_there) {
        StdioPipes p;
        Fixture f;

        fixture_init(&f);
        f.read_size = 2;
        cr_assert_eq(streams_make_pipes(&p, false, true), 0);
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0);
        cr_assert_eq(streams_add(f.streams, STREAM_STDOUT, fd_dup(p.read[STREAM_STDOUT])), 0);
        cr_assert_eq(write(p.write[STREAM_STDOUT], "abc", 3), 3);
        cr_assert_eq(streams_hold(f.streams, STREAM_STDOUT, true), 0);
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 1);
        f.full = true;
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0);
        f.full = false;
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 1);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "abc");
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0, "others hold it open");
        cr_assert(streams_is_open(f.streams, STREAM_STDOUT));
        streams_close_theirs(&p);
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0);
        cr_assert_eq(f.n_ends[STREAM_STDOUT], 1);
        streams_close_ours(&p);
        fixture_done(&f);
}

/* ---- stdin ----------------------------------------------------------------------------------- */

CleanTest(streams, full_stdin_says_when_there_is_room) {
        static char data[65536];
        StdioPipes p;
        Fixture f;
        ssize_t n;

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, true, true), 0);
        cr_assert(!streams_has_stdin(f.streams));
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), -EPIPE);
        cr_assert_eq(streams_add_stdin(f.streams, fd_dup(p.in_write)), 0);
        cr_assert(streams_has_stdin(f.streams));
        do
                n = streams_write_stdin(f.streams, data, sizeof data);
        while (n > 0);
        cr_assert_eq(n, -EAGAIN);
        cr_assert_eq(streams_write_stdin(f.streams, data, 1), -EAGAIN);
        run_idle(&f);
        cr_assert_eq(f.n_room, 0);
        cr_assert_gt(read(p.in_read, data, sizeof data), 0);
        run_idle(&f);
        cr_assert_eq(f.n_room, 1, "once");
        cr_assert_eq(streams_write_stdin(f.streams, "y", 1), 1);
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, stdin_without_memory_is_tried_again_without_turning_in_vain) {
        StdioPipes p;
        Fixture f;
        char byte;

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, true, true), 0);
        cr_assert_eq(streams_add_stdin(f.streams, fd_dup(p.in_write)), 0);
        writes_are_refused = true;
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), -EAGAIN);
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), -EAGAIN);
        writes_are_refused = false;
        run_idle(&f);
        cr_assert(streams_has_stdin(f.streams));
        cr_assert(event_run_until(f.event, 10, f.n_room == 1));
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), 1);
        cr_assert_eq(read(p.in_read, &byte, 1), 1);
        writes_are_refused = true;
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), -EAGAIN);
        writes_are_refused = false;
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f); /* while it waits */
}

CleanTest(streams, stdin_that_nobody_reads_is_closed) {
        StdioPipes p;
        Fixture f;

        (void)signal(SIGPIPE, SIG_IGN);
        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, true, true), 0);
        cr_assert_eq(streams_add_stdin(f.streams, fd_dup(p.in_write)), 0);
        streams_close_theirs(&p);
        cr_assert_eq(streams_write_stdin(f.streams, "x", 1), -EPIPE);
        cr_assert(!streams_has_stdin(f.streams));
        streams_close_ours(&p);
        fixture_done(&f);
}

CleanTest(streams, closing_stdin_is_the_end_of_the_input) {
        StdioPipes p;
        Fixture f;
        char text[8];

        fixture_init(&f);
        cr_assert_eq(streams_make_pipes(&p, true, true), 0);
        cr_assert_eq(streams_add_stdin(f.streams, TAKE_FD(p.in_write)), 0);
        cr_assert_eq(streams_write_stdin(f.streams, "last", 4), 4);
        streams_close_stdin(f.streams);
        cr_assert_eq(read(p.in_read, text, sizeof text), 4);
        cr_assert_eq(read(p.in_read, text, sizeof text), 0);
        streams_close_theirs(&p);
        streams_close_ours(&p);
        fixture_done(&f);
}

/* ---- terminals ------------------------------------------------------------------------------- */

typedef struct Terminal {
        int master;
        char name[64];
} Terminal;

static Terminal terminal_new(void) {
        Terminal t = { .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };

        cr_assert_geq(t.master, 0);
        cr_assert_eq(grantpt(t.master), 0);
        cr_assert_eq(unlockpt(t.master), 0);
        cr_assert_eq(ptsname_r(t.master, t.name, sizeof t.name), 0);
        cr_assert_eq(streams_prepare_terminal(t.master), 0);
        return t;
}

static int terminal_open(const Terminal *t) {
        int fd = open(t->name, O_RDWR | O_NOCTTY | O_CLOEXEC);

        cr_assert_geq(fd, 0, "%s: %m", t->name);
        return fd;
}

CleanTest(streams, terminal_carries_both_ways_and_a_size) {
        Terminal t = terminal_new();
        int slave = terminal_open(&t);
        struct winsize size;
        struct termios mode;
        char text[16] = "";
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(streams_resize(f.streams, 1, 2), 0, "no terminal yet");
        cr_assert_eq(streams_add_terminal(f.streams, t.master, true), 0);
        cr_assert_eq(tcgetattr(slave, &mode), 0);
        cr_assert(mode.c_oflag & ONLCR);
        mode.c_lflag &= ~(tcflag_t)ECHO;
        cr_assert_eq(tcsetattr(slave, TCSANOW, &mode), 0);
        cr_assert_eq(write(slave, "a\n", 2), 2);
        run_until_read(&f, 3);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "a\r\n");
        cr_assert_eq(streams_write_stdin(f.streams, "in\n", 3), 3);
        cr_assert_eq(read(slave, text, sizeof text), 3);
        cr_assert_str_eq(text, "in\n");
        cr_assert_eq(streams_resize(f.streams, 40, 132), 1);
        cr_assert_eq(ioctl(slave, TIOCGWINSZ, &size), 0);
        cr_assert(size.ws_row == 40 && size.ws_col == 132);

        streams_close_stdin(f.streams);
        cr_assert_eq(write(slave, "b", 1), 1);
        run_until_read(&f, 4);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "a\r\nb", "it stays up for output");
        (void)close(slave);
        fixture_done(&f);
}

CleanTest(streams, hang_up_costs_nothing_and_a_later_opener_is_read) {
        for (unsigned want_stdin = 0; want_stdin < 2; want_stdin++) {
                Terminal t = terminal_new();
                int slave = terminal_open(&t);
                Fixture f;

                fixture_init(&f);
                cr_assert_eq(streams_add_terminal(f.streams, t.master, want_stdin), 0);
                for (unsigned i = 0; i < 5; i++) {
                        unsigned calls;

                        cr_assert_eq(write(slave, "x", 1), 1);
                        (void)close(slave);
                        run_until_read(&f, i + 1);
                        calls = f.n_calls;
                        run_idle(&f);
                        cr_assert_eq(f.n_calls, calls, "hung up, and quiet");
                        cr_assert_eq(f.n_ends[STREAM_STDOUT], 0, "that is not its end");
                        slave = terminal_open(&t);
                        run_idle(&f);
                }
                cr_assert_eq(write(slave, "y", 1), 1);
                run_until_read(&f, 6);
                cr_assert_eq(write(slave, "z", 1), 1);
                run_until_read(&f, 7);
                cr_assert_str_eq(f.text[STREAM_STDOUT], "xxxxxyz");
                (void)close(slave);
                fixture_done(&f);
        }
}

CleanTest(streams, hung_up_terminal_drains_to_nothing) {
        Terminal t = terminal_new();
        int slave = terminal_open(&t);
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(streams_add_terminal(f.streams, t.master, false), 0);
        cr_assert_eq(write(slave, "bye", 3), 3);
        (void)close(slave);
        while (f.n_text[STREAM_STDOUT] < 3)
                cr_assert_geq(streams_drain(f.streams, STREAM_STDOUT), 0);
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0);
        cr_assert_eq(streams_drain(f.streams, STREAM_STDOUT), 0);
        cr_assert_str_eq(f.text[STREAM_STDOUT], "bye");
        fixture_done(&f);
}

CleanTest(streams, only_a_terminal_is_prepared) {
        int r, w;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(streams_prepare_terminal(r), -ENOTTY);
        (void)close(r);
        (void)close(w);
}
