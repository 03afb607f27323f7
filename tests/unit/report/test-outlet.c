/* SPDX-License-Identifier: Apache-2.0 */

/* A reader that does not read delays nobody; what it is sent stays whole and in order. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "report/outlet.h"

typedef enum PeerType {
        PEER_PIPE,
        PEER_STREAM,
        PEER_SEQPACKET,
        _PEER_TYPE_MAX,
} PeerType;

typedef struct Fixture {
        Event *event;
        Outlet outlet;
        int reader;
        unsigned n_lost, n_settled, what_lost;
        int error;
} Fixture;

static void on_lost(void *userdata, unsigned what, int error) {
        Fixture *f = userdata;

        f->n_lost++;
        f->what_lost = what;
        f->error = error;
}

static void on_settled(void *userdata) {
        Fixture *f = userdata;

        f->n_settled++;
}

static void fixture_init(Fixture *f, PeerType type) {
        static const OutletHandler handler = { .on_lost = on_lost, .on_settled = on_settled };
        int fds[2];

        *f = (Fixture){ .reader = -1 };
        (void)signal(SIGPIPE, SIG_IGN);
        if (type == PEER_PIPE)
                cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        else
                cr_assert_eq(socketpair(AF_UNIX,
                                        (type == PEER_STREAM ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC,
                                        0, fds),
                             0);
        f->reader = fds[0];
        cr_assert_eq(fd_set_nonblock(f->reader, true), 0);
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(outlet_init(&f->outlet, f->event, fds[1], &handler, f), 0);
}

static void fixture_done(Fixture *f) {
        outlet_done(&f->outlet);
        cleanup_close(&f->reader);
        f->event = event_unref(f->event);
}

static void fill(const Fixture *f) {
        static const char filling[4096];
        int fd = f->outlet.fd;

        cr_assert_eq(fd_set_nonblock(fd, true), 0);
        while (write(fd, filling, sizeof filling) > 0)
                ;
        cr_assert_eq(errno, EAGAIN);
        cr_assert_eq(fd_set_nonblock(fd, false), 0);
}

/* All that is there, without the filling. Return: how much that is. */
static size_t take(const Fixture *f, char *text, size_t size) {
        char data[4096];
        size_t n = 0;
        ssize_t got;

        while ((got = read(f->reader, data, sizeof data)) > 0)
                for (ssize_t i = 0; i < got; i++)
                        if (data[i] != 0 && n < size)
                                text[n++] = data[i];
        return n;
}

CleanTest(outlet, what_finds_room_is_sent_at_once) {
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                char text[16];
                Fixture f;

                fixture_init(&f, type);
                outlet_send(&f.outlet, 1, "one\n", 4);
                outlet_send(&f.outlet, 2, "two\n", 4);
                cr_assert_not(outlet_is_waiting(&f.outlet));
                cr_assert_eq(take(&f, text, sizeof text), 8);
                cr_assert_eq(memcmp(text, "one\ntwo\n", 8), 0);
                cr_assert_eq(f.n_lost + f.n_settled, 0);
                fixture_done(&f);
        }
}

CleanTest(outlet, what_finds_no_room_is_sent_when_there_is_some) {
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                char records[2][OUTLET_RECORD_MAX], text[2 * sizeof records];
                size_t n = 0;
                Fixture f;

                memset(records[0], 'a', sizeof records[0]);
                memset(records[1], 'b', sizeof records[1]);
                fixture_init(&f, type);
                fill(&f);
                outlet_send(&f.outlet, 1, records[0], sizeof records[0]);
                outlet_send(&f.outlet, 2, records[1], sizeof records[1]);
                cr_assert(outlet_is_waiting(&f.outlet));
                cr_assert(event_run_until(f.event, 10,
                                          (n += take(&f, text + n, sizeof text - n)) == sizeof records));
                cr_assert_eq(memcmp(text, records, sizeof records), 0);
                cr_assert_not(outlet_is_waiting(&f.outlet));
                cr_assert_eq(f.n_settled, 1);
                cr_assert_eq(f.n_lost, 0);
                fixture_done(&f);
        }
}

static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        *(bool *)userdata = true;
        return 0;
}

CleanTest(outlet, a_child_that_ends_is_seen_while_the_reader_sleeps) {
        sd_event_source *source = NULL;
        bool ended = false;
        sigset_t mask;
        Fixture f;
        pid_t pid;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
        fixture_init(&f, PEER_PIPE);
        cr_assert_eq(event_add_signal(f.event, &source, SIGCHLD, on_child, &ended), 0);
        fill(&f);
        pid = fork();
        if (pid == 0)
                _exit(0);
        cr_assert_gt(pid, 0);
        outlet_send(&f.outlet, 1, "one\n", 4);
        cr_assert(event_run_until(f.event, 10, ended));
        cr_assert(outlet_is_waiting(&f.outlet), "the loop has waited for the reader");
        cr_assert_eq(process_reap(pid), 0);
        source = sd_event_source_disable_unref(source);
        fixture_done(&f);
}

CleanTest(outlet, a_reader_that_never_reads_loses_the_record_and_keeps_the_pipe) {
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                uint64_t begin = event_test_now();
                char text[16];
                Fixture f;

                fixture_init(&f, type);
                fill(&f);
                outlet_send(&f.outlet, 7, "one\n", 4);
                cr_assert_eq(fcntl(f.outlet.fd, F_GETFL) & O_NONBLOCK, 0);
                cr_assert(event_run_until(f.event, 30, f.n_settled == 1));
                cr_assert_geq(event_test_now() - begin, 1000000);
                cr_assert_eq(f.n_lost, 1);
                cr_assert_eq(f.what_lost, 7);
                cr_assert_eq(f.error, -ETIMEDOUT);

                (void)take(&f, text, sizeof text);
                outlet_send(&f.outlet, 8, "two\n", 4);
                cr_assert_eq(take(&f, text, sizeof text), 4);
                cr_assert_eq(memcmp(text, "two\n", 4), 0);
                fixture_done(&f);
        }
}

CleanTest(outlet, a_reader_that_goes_is_nobody_s_loss) {
        for (PeerType type = 0; type < _PEER_TYPE_MAX; type++) {
                Fixture f;

                fixture_init(&f, type);
                fill(&f);
                outlet_send(&f.outlet, 1, "one\n", 4);
                cleanup_close(&f.reader);
                f.reader = -1;
                cr_assert(event_run_until(f.event, 10, f.n_settled == 1));
                cr_assert_eq(f.outlet.fd, -1);
                cr_assert_eq(f.n_lost, 0);
                outlet_send(&f.outlet, 2, "two\n", 4);
                cr_assert_not(outlet_is_waiting(&f.outlet));
                fixture_done(&f);
        }
}

CleanTest(outlet, a_descriptor_that_cannot_be_written_is_closed) {
        static const OutletHandler handler = { .on_lost = on_lost, .on_settled = on_settled };
        Fixture f = { .reader = -1 };

        cr_assert_eq(event_new(&f.event), 0);
        cr_assert_eq(outlet_init(&f.outlet, f.event, open("/dev/null", O_RDONLY | O_CLOEXEC), &handler, &f),
                     0);
        outlet_send(&f.outlet, 3, "one\n", 4);
        cr_assert_eq(f.n_lost, 1);
        cr_assert_eq(f.what_lost, 3);
        cr_assert_eq(f.error, -EBADF);
        cr_assert_eq(f.outlet.fd, -1);
        fixture_done(&f);
}

CleanTest(outlet, what_waits_at_the_end_is_dropped) {
        Fixture f;

        fixture_init(&f, PEER_PIPE);
        fill(&f);
        outlet_send(&f.outlet, 1, "one\n", 4);
        outlet_send(&f.outlet, 2, "two\n", 4);
        outlet_done(&f.outlet);
        cr_assert_not(outlet_is_waiting(&f.outlet));
        cr_assert_eq(f.n_lost + f.n_settled, 0);
        fixture_done(&f);
}
