/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that do not answer. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "io/proc.h"
#include "supervise/worker-process-internal.h"
#include "worker-bench.h"

#define SOON_USEC 3000000U       /* the end has to be told by then */
#define SOON_TWICE_USEC 5000000U /* ... if the second worker does not begin at all */

static bool no_watches; /* the user's share of them is used up */

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event) {
        if (no_watches && op == EPOLL_CTL_ADD) {
                errno = ENOSPC;
                return -1;
        }
        return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}

static void stop(const Bench *b) {
        ProcStat stat = { 0 };

        cr_assert_eq(kill(worker_process_pid(b->worker), SIGSTOP), 0);
        while (stat.state != 'T')
                cr_assert_eq(proc_stat(worker_process_pid(b->worker), &stat), 0);
}

static uint64_t lost(const Bench *b) {
        const WorkerState *state = ring_state(b->ring);

        return state->dropped[STREAM_STDOUT] + state->sinks[SINK_FILE].lost_bytes;
}

static void drain(Bench *b, uint64_t usec) {
        uint64_t start = event_now();

        streams_close_theirs(&b->pipes);
        cr_assert_eq(worker_process_drain(b->worker), 0);
        cr_assert(event_run_until(b->event, 30, b->n_done > 0));
        cr_assert_lt(event_now() - start, usec);
        cr_assert_eq(b->n_done, 1);
}

/* Output that the keeper sees before the worker has taken it. */
static void say_and_be_seen(Bench *b, const char *text) {
        stop(b);
        say(b, text);
        cr_assert(event_run_until(b->event, 30, b->worker->pulse.state == PULSE_DUE));
        cr_assert_eq(kill(worker_process_pid(b->worker), SIGCONT), 0);
}

/* What the keeper waits for has been so for long enough. */
static void hasten(Bench *b) {
        b->worker->pulse.due_usec = event_now();
        timer_set(b->worker->pulse.timer, 0);
}

static SinkState *file_state(const Bench *b) {
        return &((WorkerState *)ring_state(b->ring))->sinks[SINK_FILE];
}

/* More than the worker reads before the container runs: there is always something to do. */
static void say_more_than_is_read(const Bench *b) {
        static const char text[65536];
        int fd = b->pipes.write[STREAM_STDOUT];
        bool read_all = false;

        cr_assert_eq(fd_set_nonblock(fd, true), 0);
        while (write(fd, text, sizeof text) > 0 || !read_all) {
                read_all = ring_head(b->ring, STREAM_STDOUT) == RING_STREAM_SIZE;
                cr_assert_geq(event_turn(b->event, 0), 0);
        }
}

CleanTest(worker_pulse, stopped_worker_is_followed_by_another_at_the_end) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        stop(&b);
        say(&b, "two\n");
        drain(&b, SOON_USEC);
        cr_assert_eq(b.n_drained, 1);
        cr_assert_eq(b.n_deaths, 2);
        check_log(b.log, "stdout", "one\ntwo\n");
        cr_assert_eq(lost(&b), 0);
        bench_done(&b);
}

CleanTest(worker_pulse, what_two_of_them_leave_is_counted) {
        Bench b;

        bench_init(&b);
        b.next[0] = "mute";
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        stop(&b);
        say(&b, "lost\n");
        drain(&b, SOON_TWICE_USEC);
        cr_assert_eq(b.n_deaths, 2);
        check_log(b.log, "stdout", "one\n");
        cr_assert_eq(lost(&b), 5);
        bench_done(&b);
}

/* What it has read and not written lies in the ring. */
CleanTest(worker_pulse, what_lies_in_the_ring_is_counted) {
        Bench b;

        bench_init(&b);
        b.next[0] = b.next[1] = "mute";
        cr_assert_eq(worker_process_start(b.worker), 0);
        say(&b, "read\n"); /* and kept, as the container does not run yet */
        cr_assert(event_run_until(b.event, 30, ring_head(b.ring, STREAM_STDOUT) == 5));
        stop(&b);
        say(&b, "left\n");
        drain(&b, SOON_TWICE_USEC);
        cr_assert_eq(lost(&b), 10);
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_is_given_up_is_not_waited_for) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        stop(&b);
        say(&b, "lost\n");
        cr_assert_eq(worker_process_kill_for_good(b.worker), 0);
        cr_assert(event_run_until(b.event, 30, b.n_done > 0));
        cr_assert_eq(lost(&b), 5);
        cr_assert_eq(worker_process_pid(b.worker), 0);
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_answers_is_left_alone) {
        Bench b;

        bench_init(&b);
        cr_assert_eq(worker_process_start(b.worker), 0);
        say_more_than_is_read(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_DUE));
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_ASKED));
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state != PULSE_ASKED));
        cr_assert_neq(b.worker->pulse.state, PULSE_KILLED);
        cr_assert_eq(b.n_deaths, 0);
        bench_done(&b);
}

CleanTest(worker_pulse, one_with_nothing_to_do_is_not_asked) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        stop(&b);
        cr_assert_eq(b.worker->pulse.state, PULSE_DUE);
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state != PULSE_DUE));
        cr_assert_eq(b.worker->pulse.state, PULSE_RESTING);
        say_and_be_seen(&b, "work\n");
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_cannot_be_watched_is_looked_at_by_the_clock) {
        int other_fd;
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_RESTING));
        say_and_be_seen(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        no_watches = true;
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.due_usec > event_now()));
        cr_assert_eq(b.worker->pulse.state, PULSE_DUE);
        no_watches = false;
        other_fd = fd_dup(b.dir_fd); /* has the number now of what was watched */
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_RESTING),
                  "and again when it can");
        cr_assert_eq(b.n_deaths, 0);
        (void)close(other_fd);
        bench_done(&b);
}

CleanTest(worker_pulse, stopped_worker_is_followed_by_another_while_the_container_runs) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        stop(&b);
        say(&b, "two\n");
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_DUE));
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_ASKED));
        cr_assert_eq(b.n_deaths, 0);
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 1 && written(&b) == 8));
        cr_assert_eq(b.status.signal, SIGKILL);
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\n");
        cr_assert_eq(lost(&b), 0);
        bench_done(&b);
}

/* Whoever calls this late has had no processor, and neither has the worker. */
CleanTest(worker_pulse, one_is_asked_again_by_a_keeper_that_was_not_there) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        stop(&b);
        say(&b, "one\n");
        hasten(&b);
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.state == PULSE_ASKED));
        hasten(&b);
        b.worker->pulse.due_usec -= 1000000;
        b.worker->pulse.asked_usec = 0;
        cr_assert(event_run_until(b.event, 30, b.worker->pulse.asked_usec > 0));
        cr_assert_eq(b.worker->pulse.state, PULSE_ASKED);
        cr_assert_eq(b.n_deaths, 0);
        bench_done(&b);
}

/* One that begins may take longer than one that has only to answer. */
CleanTest(worker_pulse, one_that_begins_at_the_end_has_time_to) {
        uint64_t first;
        Bench b;

        bench_init(&b);
        b.next[0] = "mute";
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        cr_assert_eq(worker_process_drain(b.worker), 0);
        bench_kill(&b);
        first = event_now();
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 2));
        cr_assert_geq(event_now() - first, 2900000U);
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_begins_has_time_to_when_the_end_comes) {
        Bench b;

        bench_init(&b);
        b.next[0] = "mute";
        bench_start(&b);
        bench_kill(&b);
        cr_assert_eq(b.worker->pulse.state, PULSE_ASKED);
        cr_assert_eq(worker_process_drain(b.worker), 0);
        cr_assert_geq(b.worker->pulse.due_usec, event_now() + 2000000U);
        bench_done(&b);
}

/* A worker before it may have died in the middle of a write. */
CleanTest(worker_pulse, one_that_begins_waits_for_no_file_system) {
        Bench b;

        bench_init(&b);
        b.next[0] = "mute";
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        file_state(&b)->busy = 1;
        bench_kill(&b);
        cr_assert_eq(file_state(&b)->busy, 0);
        bench_done(&b);
}

Test(worker_pulse, is_excused_by_what_may_take_long) {
        static const struct {
                PulseSight sight;
                bool excused;
        } cases[] = {
                { { .state = 'D', .waited_usec = 1000000 }, true },
                { { .state = 'D', .waited_usec = 29000000 }, true },
                { { .state = 'D', .waited_usec = 30000000 }, false },
                { { .state = 'D', .ending = true, .waited_usec = 1000000 }, false }, /* the lock of a pipe */
                { { .state = 'D', .ending = true, .busy = true, .waited_usec = 1000000 }, true },
                { { .state = 'S', .waited_usec = 1000000 }, false },
                { { .state = 'S', .busy = true, .waited_usec = 1000000 }, true }, /* FUSE */
                { { .state = 'S', .busy = true, .waited_usec = 30000000 }, false },
                { { .state = 'T', .busy = true, .waited_usec = 1000000 }, false },
                { { .state = 't', .busy = true, .waited_usec = 1000000 }, false },
                { { .state = 'Z', .busy = true, .waited_usec = 1000000 }, false },
                { { .state = 'R', .waited_usec = 4000000, .cpu_usec = 1999999 }, true },
                { { .state = 'R', .waited_usec = 4000000, .cpu_usec = 2000000 }, false }, /* in circles */
                { { .state = 'R', .busy = true, .waited_usec = 4000000, .cpu_usec = 4000000 }, true },
                { { .state = 'R', .waited_usec = 30000000 }, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(worker_pulse_excuses(&cases[i].sight), cases[i].excused, "case %zu", i);
}
