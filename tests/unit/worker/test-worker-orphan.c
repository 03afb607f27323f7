/* SPDX-License-Identifier: Apache-2.0 */

/* A worker whose keeper is gone for good: it stays for as long as there is something to wait for. */

#include <errno.h>
#include <sys/utsname.h>

#include "worker-bench.h"

#define STATUS 7 /* of the target */

/* What is told of it: see sandbox/exit-file.c. NULL: nothing can be. */
static const char *told(void) {
        struct utsname u;
        long major, minor;
        char *end;

        cr_assert_eq(uname(&u), 0);
        major = strtol(u.release, &end, 10);
        minor = strtol(end + 1, NULL, 10);
        return major > 6 || (major == 6 && minor >= 15) ? "7" : major == 6 && minor >= 10 ? "-1" : NULL;
}

static void check_file(const Bench *b, const char *name, const char *want) {
        _cleanup_free_ char *text = NULL;

        if (!want) {
                cr_assert_eq(faccessat(b->dir_fd, name, F_OK, 0), -1);
                return;
        }
        cr_assert_eq(fd_read_file(b->dir_fd, name, 64, &text, NULL), 0);
        cr_assert_str_eq(text, want);
}

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
                process_exit(read(ends[0], &byte, 1) == 0 ? STATUS : 1);
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
        b.options.exit_dir = b.options.persist_dir = b.dir;
        cr_assert_eq(worker_process_start(b.worker), 0);
        target = fork_target(&gate);
        pidfd = process_pidfd(target);
        cr_assert_eq(worker_process_run(b.worker, pidfd), 0);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        say(&b, "one\n");
        keeper_dies(&b);
        say(&b, "two\n");
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.event, 30, written(&b) == 8));
        event_run_idle(b.event);
        cr_assert_eq(on_orphan_exit(&b, &status), 0, "its target lives");
        cleanup_close(&gate);
        cr_assert(event_run_until(b.event, 30, process_peek(target, &status) == target));
        cr_assert_eq(process_reap(target), 0);
        cr_assert(event_run_until(b.event, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "one\ntwo\n");
        check_file(&b, "exit", told());
        check_file(&b, CID, told());
        cleanup_close(&pidfd);
        bench_done(&b);
}

/* Of a new log file that nobody can open any more: before the keeper died, and after. */
CleanTest(worker_orphan, it_stays_with_its_log_file) {
        const volatile RingControl *control;
        ProcessStatus status;
        Bench b;

        bench_init(&b);
        control = ring_control(b.ring, 0);
        bench_start(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        cr_assert_eq(write(b.control[0], "2 0 0\n", 6), 6);
        while (!control->done)
                ; /* it has asked us, who do not turn the loop any more */
        keeper_dies(&b);
        say(&b, "two\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 8));
        cr_assert_eq(write(b.control[0], "2 0 0\n", 6), 6);
        say(&b, "three\n");
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.event, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "one\ntwo\nthree\n");
        bench_done(&b);
}

CleanTest(worker_orphan, without_a_target_its_streams_tell) {
        ProcessStatus status;
        Bench b;

        bench_init(&b);
        bench_start(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        say(&b, "one\n");
        keeper_dies(&b);
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.event, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "one\n");
        bench_done(&b);
}

/* The keeper has asked for what is left, and has died when it is told. */
CleanTest(worker_orphan, it_writes_the_exit_files_if_the_keeper_dies_while_it_drains) {
        ProcessStatus status;
        int gate, pidfd;
        pid_t target;
        Bench b;

        bench_init(&b);
        b.options.exit_dir = b.options.persist_dir = b.dir;
        cr_assert_eq(fd_write_file_atomic(b.dir_fd, "exit", "3", 1, 0644), 0); /* it had begun to tell */
        cr_assert_eq(worker_process_start(b.worker), 0);
        target = fork_target(&gate);
        pidfd = process_pidfd(target);
        cr_assert_eq(worker_process_run(b.worker, pidfd), 0);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        cleanup_close(&gate);
        cr_assert(event_run_until(b.event, 30,
                                  process_peek(target, &status) == -ECHILD)); /* the reaper has seen it */
        cr_assert_eq(process_kill_child(worker_process_pid(b.worker), SIGSTOP), 0);
        say(&b, "last\n");
        streams_close_theirs(&b.pipes);
        cr_assert_eq(worker_process_drain(b.worker), 0);
        keeper_dies(&b);
        cr_assert_eq(process_kill_child(b.orphan, SIGCONT), 0);
        cr_assert(event_run_until(b.event, 30, on_orphan_exit(&b, &status) == b.orphan));
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.orphan), 0);
        check_log(b.log, "stdout", "last\n");
        check_file(&b, "exit", "3");
        check_file(&b, CID, told());
        cleanup_close(&pidfd);
        bench_done(&b);
}
