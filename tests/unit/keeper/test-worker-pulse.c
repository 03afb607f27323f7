/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that do not answer. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "io/proc.h"
#include "worker-bench.h"

#define SOON_USEC 3000000U /* the end has to be told by then */

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

static void drain(Bench *b) {
        uint64_t start = event_now();

        streams_close_theirs(&b->pipes);
        cr_assert_eq(worker_process_drain(b->worker), 0);
        cr_assert(event_run_until(b->event, 30, b->n_done > 0));
        cr_assert_lt(event_now() - start, SOON_USEC);
        cr_assert_eq(b->n_done, 1);
}

CleanTest(worker_pulse, stopped_worker_is_followed_by_another_at_the_end) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        stop(&b);
        say(&b, "two\n");
        drain(&b);
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
        drain(&b);
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
        drain(&b);
        cr_assert_eq(lost(&b), 10);
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_is_given_up_is_not_waited_for) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        stop(&b);
        say(&b, "lost\n");
        cr_assert_eq(worker_process_give_up(b.worker), 0);
        cr_assert(event_run_until(b.event, 30, b.n_done > 0));
        cr_assert_eq(lost(&b), 5);
        cr_assert_eq(worker_process_pid(b.worker), 0);
        bench_done(&b);
}

CleanTest(worker_pulse, one_that_works_is_left_alone) {
        uint64_t start = event_now();
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert_eq(worker_process_drain(b.worker), 0); /* somebody else holds the pipe */
        cr_assert(event_run_until(b.event, 30, b.n_done > 0 || event_now() - start > SOON_USEC));
        cr_assert_eq(b.n_deaths, b.n_done, "its own end at most");
        bench_done(&b);
}
