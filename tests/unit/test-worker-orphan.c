/* SPDX-License-Identifier: Apache-2.0 */

/* A worker whose keeper is gone for good: it stays for as long as there is something to wait for. */

#include "worker-bench.h"

static int on_orphan_exit(const Bench *b, ProcessStatus *ret) {
        return process_peek(b->orphan, ret);
}

static pid_t fork_target(int *ret_gate) {
        int ends[2];
        char byte;
        pid_t pid;
        int r;

        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)fd_close_all_but(&ends[0], 1);
                process_exit(read(ends[0], &byte, 1) == 0 ? 7 : 1);
        }
        (void)close(ends[0]);
        *ret_gate = ends[1];
        return pid;
}

/* Our own ends of the streams and of the channel close; the worker is ours to bury, which nobody else does. */
static void keeper_dies(Bench *b) {
        b->orphan = worker_process_pid(b->worker);
        b->reaper = reaper_free(b->reaper);
        b->worker = worker_process_free(b->worker);
}

CleanTest(worker_orphan, it_stays_until_the_container_has_ended_whose_streams_have) {
        ProcessStatus status;
        int gate, pidfd;
        pid_t target;
        Bench b;

        bench_init(&b);
        cr_assert_eq(worker_process_start(b.worker), 0);
        target = fork_target(&gate);
        pidfd = process_pidfd(target);
        cr_assert_eq(worker_process_run(b.worker, pidfd), 0);
        cr_assert(event_run_until(b.loop, 30, b.n_ready == 1));
        say(&b, "one\n");
        keeper_dies(&b);
        say(&b, "two\n");
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.loop, 30, written(&b) == 8));
        event_run_idle(b.loop);
        cr_assert_eq(on_orphan_exit(&b, &status), 0, "its target lives");
        cleanup_close(&gate);
        cr_assert(event_run_until(b.loop, 30, process_peek(target, &status) == target));
        cr_assert_eq(process_reap(target), 0);
        cr_assert(event_run_until(b.loop, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "one\ntwo\n");
        cleanup_close(&pidfd);
        bench_done(&b);
}

CleanTest(worker_orphan, without_a_target_its_streams_tell) {
        ProcessStatus status;
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert(event_run_until(b.loop, 30, b.n_ready == 1));
        say(&b, "one\n");
        keeper_dies(&b);
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.loop, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "one\n");
        bench_done(&b);
}
