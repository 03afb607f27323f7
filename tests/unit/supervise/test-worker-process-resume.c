/* SPDX-License-Identifier: Apache-2.0 */

/* A worker whose keeper has died, or is another image now, and the next keeper, which has nothing but descriptors. */

#include <poll.h>
#include <sys/syscall.h>

#include "worker-bench.h"

static bool watches_are_refused;

/* The program's own goes before libc's. */
int epoll_ctl(int epfd, int operation, int fd, struct epoll_event *event) {
        if (operation == EPOLL_CTL_ADD && watches_are_refused) {
                errno = ENOSPC;
                return -1;
        }
        return (int)syscall(SYS_epoll_ctl, epfd, operation, fd, event);
}

/* What systemd would hold. */
typedef struct Kept {
        WorkerSaved saved;
        int fds[_CHANNEL_FD_MAX], clients[ATTACH_SLOTS], channel, pidfd, log_dir;
} Kept;

static void keep(Kept *k, Bench *b) {
        worker_process_save(b->worker, &k->saved, k->fds, k->clients);
        for (size_t i = 0; i < _CHANNEL_FD_MAX; i++)
                k->fds[i] = k->fds[i] < 0 ? -1 : fd_dup(k->fds[i]);
        for (size_t i = 0; i < ATTACH_SLOTS; i++)
                k->clients[i] = k->clients[i] < 0 ? -1 : fd_dup(k->clients[i]);
        k->channel = fd_dup(worker_process_channel(b->worker));
        k->log_dir = fd_dup(worker_process_log_dir(b->worker));
        k->pidfd = process_pidfd(worker_process_pid(b->worker));
        cr_assert_geq(k->pidfd, 0);
        b->orphan = worker_process_pid(b->worker);
}

static void keeper_dies(Kept *k, Bench *b) {
        keep(k, b);
        b->worker = worker_process_free(b->worker);
        k->saved.pid = 0; /* no child of the next one */
}

static void next_keeper(const Kept *k, Bench *b) {
        WorkerProcessSpec spec = bench_spec(b, k->log_dir);

        memcpy(spec.fds, k->fds, sizeof spec.fds);
        b->n_ready = 0;
        cr_assert_eq(worker_process_new(&b->worker, b->event, &spec, &bench_handler, b), 0);
        cr_assert_eq(worker_process_adopt(b->worker, &k->saved, k->clients, k->channel, k->pidfd), 0);
}

CleanTest(worker_process_resume, worker_goes_on_without_its_keeper_and_leaves_for_the_next) {
        int early, late;
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        early = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1 && attached(&b) == 1));
        say(&b, "one\n");
        expect_packet(&b, early, "\2one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        event_run_idle(b.event); /* it has told of its client */
        keeper_dies(&k, &b);

        late = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, attached(&b) == 2));
        say(&b, "two\n");
        expect_packet(&b, early, "\2two\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 8), "the log goes on");

        next_keeper(&k, &b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        cr_assert_neq(worker_process_pid(b.worker), b.orphan);
        say(&b, "three\n");
        expect_packet(&b, early, "\2three\n");
        expect_packet(&b, late, "\2two\n");
        expect_packet(&b, late, "\2three\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\nthree\n");
        (void)close(early);
        (void)close(late);
        bench_done(&b);
}

/*
 * The next keeper is of another version: it has made a ring of its own from the one that the worker uses still, which
 * goes on there until it is told to leave.
 */
CleanTest(worker_process_resume, ring_of_another_version_is_changed_when_its_worker_has_left) {
        WorkerProcessSpec spec;
        Ring *former, *changed;
        int early;
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        early = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1 && attached(&b) == 1));
        say(&b, "one\n");
        expect_packet(&b, early, "\2one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        event_run_idle(b.event);
        keeper_dies(&k, &b);

        former = b.ring;
        cr_assert_eq(ring_describe(former, ring_fd(former), &worker_state_layout), 0);
        cr_assert_eq(ring_new(&changed, sizeof(WorkerState)), 0);
        cr_assert_eq(ring_import(changed, ring_fd(former), &worker_state_layout), 0);
        say(&b, "two\n");
        expect_packet(&b, early, "\2two\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 8));

        b.ring = changed;
        spec = bench_spec(&b, k.log_dir);
        memcpy(spec.fds, k.fds, sizeof spec.fds);
        b.n_ready = 0;
        cr_assert_eq(worker_process_new(&b.worker, b.event, &spec, &bench_handler, &b), 0);
        worker_process_change_ring(b.worker, fd_dup(ring_fd(changed)));
        cr_assert_eq(worker_process_adopt(b.worker, &k.saved, k.clients, k.channel, k.pidfd), 0);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        say(&b, "three\n");
        expect_packet(&b, early, "\2three\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\nthree\n");
        cr_assert_eq(ring_head(former, STREAM_STDOUT), 8);
        cr_assert_eq(ring_head(b.ring, STREAM_STDOUT), 14);
        (void)close(early);
        (void)ring_free(former);
        bench_done(&b);
}

static void send_type(int channel, uint32_t type) {
        char data[64];
        ChannelRecord record = { .type = CHANNEL_READY };
        size_t n = channel_pack(data, sizeof data, &record);

        memcpy(data, &type, sizeof type);
        cr_assert_eq(send(channel, data, n, 0), (ssize_t)n);
}

static bool was_told(int channel, ChannelType type) {
        ChannelRecord record;
        char data[64];
        ssize_t n = recv(channel, data, sizeof data, MSG_DONTWAIT);

        return n > 0 && channel_unpack(data, (size_t)n, &record) == 0 && record.type == type;
}

/* One that has no process here, and says what no version has heard of. */
CleanTest(worker_process_resume, worker_of_another_version_leaves_in_its_own_time) {
        int ends[2];
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        event_run_idle(b.event);
        keeper_dies(&k, &b);
        cr_assert_eq(process_signal(k.pidfd, SIGKILL), 0); /* the real one is in our way */
        fd_close_many(&k.channel, 1);
        fd_close_many(&k.pidfd, 1);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        k.channel = ends[0];

        send_type(ends[1], 200);
        next_keeper(&k, &b);
        send_type(ends[1], UINT32_MAX);
        event_run_idle(b.event);
        cr_assert_eq(b.n_ready, 0, "it is waited for");
        cr_assert(was_told(ends[1], CHANNEL_STOP));
        send_type(ends[1], 201);
        (void)close(ends[1]);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        bench_finish(&b);
        check_log(b.log, "stdout", "one\n");
        bench_done(&b);
}

/* One line has been written when the keeper dies, and its worker gets @signal; another line comes before the next one. */
static void worker_is_lost(int signal_number) {
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        keeper_dies(&k, &b);
        cr_assert_eq(process_signal(k.pidfd, signal_number), 0);
        say(&b, "two\n");
        next_keeper(&k, &b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\n");
        bench_done(&b);
}

CleanTest(worker_process_resume, worker_that_died_with_its_keeper_is_replaced) {
        worker_is_lost(SIGKILL);
}

CleanTest(worker_process_resume, worker_that_does_not_leave_is_killed) {
        worker_is_lost(SIGSTOP);
}

/* As keeper_dies(), but the next one is the same process. */
static void keeper_is_replaced(Kept *k, Bench *b) {
        keep(k, b);
        cr_assert_eq(k->saved.pid, b->orphan);
        fd_close_many(&k->pidfd, 1);
        b->orphan = 0;
        b->worker = worker_process_free(b->worker);
        b->reaper = reaper_free(b->reaper);
        bench_reaper(b);
}

CleanTest(worker_process_resume, worker_of_another_image_serves_until_its_channel_can_be_watched) {
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1 && written(&b) == 4));
        keeper_is_replaced(&k, &b);
        watches_are_refused = true;
        next_keeper(&k, &b);
        cr_assert_not(event_run_until(b.event, 1, b.n_ready == 1));
        say(&b, "two\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 8));
        cr_assert_eq(worker_process_pid(b.worker), k.saved.pid);

        watches_are_refused = false;
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        cr_assert_neq(worker_process_pid(b.worker), k.saved.pid);
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\n");
        bench_done(&b);
}

CleanTest(worker_process_resume, worker_of_another_image_serves_until_the_loop_runs) {
        int early;
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1 && written(&b) == 4));
        keeper_is_replaced(&k, &b);
        next_keeper(&k, &b);
        cr_assert_eq(worker_process_pid(b.worker), k.saved.pid);
        early = bench_connect(&b);
        while (attached(&b) < 1)
                cr_assert_eq(poll(NULL, 0, 10), 0);
        say(&b, "two\n");
        while (written(&b) < 8)
                cr_assert_eq(poll(NULL, 0, 10), 0);
        cr_assert_eq(b.n_ready, 0);

        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        cr_assert_eq(b.n_deaths, 1);
        cr_assert(b.status.code == 0 && b.status.signal == 0, "it has left as it was told");
        cr_assert_neq(worker_process_pid(b.worker), k.saved.pid);
        say(&b, "three\n");
        expect_packet(&b, early, "\2two\n");
        expect_packet(&b, early, "\2three\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\nthree\n");
        (void)close(early);
        bench_done(&b);
}

/* Its last read is not lost, whatever it is ended by. */
static void worker_of_another_image_ends(int signal_number) {
        Bench b;
        Kept k;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1 && written(&b) == 4));
        keeper_is_replaced(&k, &b);
        cr_assert_eq(kill(k.saved.pid, signal_number), 0);
        say(&b, "two\n");
        next_keeper(&k, &b);
        cr_assert(event_run_until(b.event, 30, b.n_ready == 1));
        cr_assert_eq(b.n_deaths, 1);
        cr_assert_eq(b.status.signal, SIGKILL);
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\n");
        bench_done(&b);
}

CleanTest(worker_process_resume, worker_of_another_image_that_was_killed_is_replaced) {
        worker_of_another_image_ends(SIGKILL);
}

CleanTest(worker_process_resume, worker_of_another_image_that_does_not_leave_is_killed) {
        worker_of_another_image_ends(SIGSTOP);
}
