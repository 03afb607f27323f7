/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that die and are followed by others, and workers that lie. */

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "worker-bench.h"

#define N_LINES 20000U
#define ORDINARY_USER 77777

/* ---- start ----------------------------------------------------------------------------------- */

static void await_worker(Bench *b) {
        bench_init(b);
        cr_assert_eq(worker_process_await(b->worker), 0);
        cr_assert_eq(worker_process_run(b->worker, -1), 0);
        cr_assert_eq(worker_process_pid(b->worker), 0);
}

CleanTest(worker_process, first_output_starts_one) {
        Bench b;

        await_worker(&b);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        bench_finish(&b);
        check_log(b.log, "stdout", "one\n");
        bench_done(&b);
}

CleanTest(worker_process, client_starts_one) {
        Bench b;
        int fd;

        await_worker(&b);
        fd = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, attached(&b) == 1));
        bench_finish(&b);
        (void)close(fd);
        bench_done(&b);
}

CleanTest(worker_process, size_starts_one) {
        const WorkerState *state;
        Bench b;

        await_worker(&b);
        state = ring_state(b.ring);
        cr_assert_eq(fd_write_full(b.control[0], "1 24 80\n", 8), 0);
        cr_assert(event_run_until(b.event, 30, state->resize_wanted));
        bench_finish(&b);
        bench_done(&b);
}

/* It is not asked again and again whether there is something in it. */
CleanTest(worker_process, closed_pipes_start_none) {
        Bench b;

        await_worker(&b);
        streams_close_theirs(&b.pipes);
        event_run_idle(b.event);
        cr_assert_eq(worker_process_pid(b.worker), 0);
        bench_done(&b);
}

CleanTest(worker_process, silent_end_needs_none) {
        Bench b;
        int fd;

        await_worker(&b);
        streams_close_theirs(&b.pipes);
        cr_assert_eq(worker_process_drain(b.worker), 0);
        cr_assert_eq(b.n_done, 1);
        fd = bench_connect(&b); /* nobody comes for it */
        event_run_idle(b.event);
        cr_assert_eq(worker_process_pid(b.worker), 0);
        (void)close(fd);
        bench_done(&b);
}

CleanTest(worker_process, output_that_nobody_has_seen_at_the_end_starts_one) {
        Bench b;

        await_worker(&b);
        say(&b, "last words\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "last words\n");
        bench_done(&b);
}

/* ---- death ----------------------------------------------------------------------------------- */

CleanTest(worker_process, worker_writes_and_leaves_in_order) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "one\ntwo");
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo");
        bench_done(&b);
}

CleanTest(worker_process, another_one_follows_at_once) {
        pid_t first;
        Bench b;

        bench_init(&b);
        bench_start(&b);
        first = worker_process_pid(b.worker);
        say(&b, "one\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        bench_kill(&b);
        cr_assert_neq(worker_process_pid(b.worker), 0);
        cr_assert_neq(worker_process_pid(b.worker), first);
        say(&b, "two\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 8));
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\n");
        bench_done(&b);
}

static void flood_through_five_deaths(void) {
        _cleanup_free_ char *text = NULL;
        uint64_t target = 0;
        ProcessStatus status;
        pid_t flood;
        size_t n;
        Bench b;
        int r;

        bench_init(&b);
        r = process_fork(&flood);
        cr_assert_geq(r, 0);
        if (r == 0) {
                for (unsigned i = 0; i < N_LINES; i++) {
                        char line[256];
                        size_t size = flood_line(line, i);

                        (void)fd_write_full(b.pipes.write[STREAM_STDOUT], line, size);
                }
                process_exit(0);
        }
        bench_start(&b);
        for (unsigned i = 0; i < 5; i++) {
                target += 300000;
                cr_assert(event_run_until(b.event, 30, ring_head(b.ring, STREAM_STDOUT) >= target));
                bench_kill(&b);
        }
        streams_close_theirs(&b.pipes);
        cr_assert(event_run_until(b.event, 30, process_peek(flood, &status) != 0));
        bench_finish(&b);
        text = log_content(b.log, "stdout", &n);
        check_flood(text, n, N_LINES);
        bench_done(&b);
}

CleanTest(worker_process, flood_through_five_deaths_is_complete) {
        flood_through_five_deaths();
}

/* To whom the zombie of a worker tells nothing. */
CleanTest(worker_process, flood_of_an_ordinary_user_is_complete) {
        if (geteuid() == 0)
                cr_assert_eq(setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER), 0);
        cr_assert_eq(prctl(PR_SET_DUMPABLE, 1), 0); /* as after an exec */
        flood_through_five_deaths();
}

CleanTest(worker_process, death_while_draining_is_made_up_for) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "last words\n");
        streams_close_theirs(&b.pipes);
        worker_process_kill(b.worker);
        cr_assert_eq(worker_process_drain(b.worker), 0);
        cr_assert(event_run_until(b.event, 30, b.n_done > 0));
        cr_assert_eq(b.n_deaths, 2);
        cr_assert_eq(b.n_drained, 1);
        check_log(b.log, "stdout", "last words\n");
        bench_done(&b);
}

CleanTest(worker_process, one_that_dies_and_dies_is_restarted_at_leisure) {
        Bench b;

        bench_init(&b);
        bench_start(&b);
        for (unsigned i = 0; i < 5; i++) {
                bench_kill(&b);
                cr_assert_neq(worker_process_pid(b.worker), 0, "death %u", i);
        }
        bench_kill(&b);
        cr_assert_eq(worker_process_pid(b.worker), 0, "time to breathe");
        say(&b, "meanwhile\n");
        cr_assert(event_run_until(b.event, 30, worker_process_pid(b.worker) != 0));
        cr_assert(event_run_until(b.event, 30, written(&b) == 10));
        bench_finish(&b);
        bench_done(&b);
}

static void start_without_hope(Bench *b) {
        bench_init(b);
        for (size_t i = 0; i < ELEMENTS(b->next); i++)
                b->next[i] = "fail";
        bench_start(b);
        bench_kill(b);
        cr_assert(event_run_until(b->event, 30, b->n_hopeless > 0));
        cr_assert_geq(b->n_deaths, ELEMENTS(b->next), "too early");
}

/* Writes without ever waiting; true when all of @n bytes are. */
static bool write_more(const Bench *b, size_t *done, size_t n) {
        static const char text[4096];
        ssize_t written;

        written =
                write(b->pipes.write[STREAM_STDOUT], text, n - *done < sizeof text ? n - *done : sizeof text);
        if (written > 0)
                *done += (size_t)written;
        return *done == n;
}

CleanTest(worker_process, without_one_output_is_discarded_and_counted) {
        const WorkerState *state;
        const size_t n = 300000; /* more than a pipe holds */
        size_t done = 0;
        Bench b;

        start_without_hope(&b);
        cr_assert_geq(fd_set_nonblock(b.pipes.write[STREAM_STDOUT], true), 0);
        cr_assert(event_run_until(b.event, 30, write_more(&b, &done, n)), "the container is held up");
        state = ring_state(b.ring);
        cr_assert(event_run_until(b.event, 30, state->dropped[STREAM_STDOUT] == n));

        cr_assert(event_run_until(b.event, 30,
                                  b.n_deaths > ELEMENTS(b.next) && worker_process_pid(b.worker) != 0));
        say(&b, "again\n"); /* one that behaves */
        cr_assert(event_run_until(b.event, 30, written(&b) == 6));
        cr_assert_eq(b.n_hopeless, 1, "it was said again and again");
        bench_finish(&b);
        check_log(b.log, "stdout", "again\n");
        bench_done(&b);
}

CleanTest(worker_process, without_one_the_end_does_not_wait) {
        Bench b;

        start_without_hope(&b);
        say(&b, "lost\n");
        cr_assert_eq(worker_process_drain(b.worker), 0);
        cr_assert(event_run_until(b.event, 30, b.n_done > 0));
        cr_assert_eq(((WorkerState *)ring_state(b.ring))->dropped[STREAM_STDOUT], 5);
        bench_done(&b);
}

CleanTest(worker_process, without_one_clients_see_the_end) {
        char byte;
        Bench b;
        int fd;

        bench_init(&b);
        for (size_t i = 0; i < ELEMENTS(b.next); i++)
                b.next[i] = "fail";
        bench_start(&b);
        fd = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, attached(&b) == 1));
        say(&b, "a");
        expect_packet(&b, fd, "\2a");
        bench_kill(&b);
        cr_assert(event_run_until(b.event, 30, b.n_hopeless > 0));
        cr_assert_eq(recv(fd, &byte, 1, 0), 0, "the client still waits");
        (void)close(fd);
        bench_done(&b);
}

/* ---- lies ------------------------------------------------------------------------------------ */

CleanTest(worker_process, nonsense_ends_the_worker_and_nothing_else) {
        static const char *const ways[] = { "slot", "gone", "type", "descriptor", "stranger", "garbage" };

        for (size_t i = 0; i < ELEMENTS(ways); i++) {
                Bench b;

                bench_init(&b);
                b.next[0] = ways[i];
                bench_start(&b);
                say(&b, "before\n");
                cr_assert(event_run_until(b.event, 30, written(&b) == 7));
                bench_kill(&b);
                cr_assert(event_run_until(b.event, 30, b.n_deaths == 2), "%s", ways[i]);
                cr_assert_eq(b.status.signal, SIGKILL, "%s", ways[i]);
                cr_assert_eq(b.n_drained, 0);
                say(&b, "after\n");
                bench_finish(&b);
                check_log(b.log, "stdout", "before\nafter\n");
                bench_done(&b);
        }
}

/* The limit is the keeper's to hold: there are descriptors left for the next worker, and for a new log file. */
CleanTest(worker_process, clients_without_number_take_nobodys_place) {
        struct rlimit limit;
        char old[160];
        int before, client;
        Bench b;

        bench_init(&b);
        b.next[0] = "clients";
        bench_start(&b);
        say(&b, "before\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 7));
        before = count_open_fds();
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = FD_FEW;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        bench_kill(&b);
        client = bench_connect(&b);
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 2));
        cr_assert_eq(b.status.code, 3, "it had no client: %d", b.status.code);
        cr_assert_gt(count_open_fds(), before, "none was kept");
        say(&b, "after\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 13));
        (void)snprintf(old, sizeof old, "%s/old.log", b.dir);
        cr_assert_eq(rename(b.log, old), 0);
        cr_assert_eq(write(b.control[0], "2 0 0\n", 6), 6);
        cr_assert(event_run_until(b.event, 30, access(b.log, F_OK) == 0));
        say(&b, "end\n");
        bench_finish(&b);
        cr_assert_eq(b.n_deaths, 3);
        check_log(old, "stdout", "before\nafter\n");
        check_log(b.log, "stdout", "end\n");
        cr_assert_eq(unlink(old), 0);
        (void)close(client);
        bench_done(&b);
}

CleanTest(worker_process, worker_cannot_end_before_its_time) {
        Bench b;

        bench_init(&b);
        b.next[0] = "done";
        bench_start(&b);
        bench_kill(&b);
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 2));
        cr_assert(b.n_drained == 0 && b.n_done == 0);
        say(&b, "x\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "x\n");
        bench_done(&b);
}

CleanTest(worker_process, notification_is_filtered_once_more) {
        struct sockaddr_un address;
        char path[128], text[64] = "";
        socklen_t size;
        Bench b;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        bench_init(&b);
        (void)snprintf(path, sizeof path, "%s/manager", b.dir);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *)&address, size), 0);
        b.options.sdnotify_socket = path;
        b.next[0] = "notify";
        bench_start(&b);
        bench_kill(&b);
        cr_assert(event_run_until(b.event, 30, text[0] || recv(fd, text, sizeof text - 1, 0) > 0));
        cr_assert_str_eq(text, "READY=1");
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 2));
        bench_finish(&b);
        (void)close(fd);
        (void)unlink(path);
        bench_done(&b);
}

typedef struct StoreSeen {
        int fd;
        char text[64]; /* the last message that stores */
        unsigned n;
        bool ready;
} StoreSeen;

static bool store_seen_ready(StoreSeen *seen) {
        size_t n_fds;
        int fds[2];
        char text[64];
        ssize_t n;

        while ((n = fd_receive(seen->fd, text, sizeof text - 1, fds, ELEMENTS(fds), &n_fds)) > 0) {
                text[n] = 0;
                if (strcmp(text, "READY=1") == 0) {
                        seen->ready = n_fds == 0;
                        continue;
                }
                cr_assert_eq(n_fds, 1);
                fd_close_many(fds, 1);
                memcpy(seen->text, text, sizeof text);
                seen->n++;
        }
        return seen->ready;
}

/* What a worker wants to be stored; some of it may be stored, and not without end. */
static void store_for_container(StoreSeen *seen, uint32_t max, bool service) {
        struct sockaddr_un address;
        char path[128];
        socklen_t size;
        Bench b;

        *seen = (StoreSeen){ .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
        bench_init(&b);
        (void)snprintf(path, sizeof path, "%s/manager", b.dir);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        cr_assert_eq(bind(seen->fd, (const struct sockaddr *)&address, size), 0);
        b.options.sdnotify_socket = path;
        b.options.service = service;
        b.plan->fd_store_max = max;
        b.next[0] = "store";
        bench_start(&b);
        bench_kill(&b);
        cr_assert(event_run_until(b.event, 30, store_seen_ready(seen)));
        cr_assert(event_run_until(b.event, 30, b.n_deaths == 2));
        bench_finish(&b);
        (void)close(seen->fd);
        (void)unlink(path);
        bench_done(&b);
}

CleanTest(worker_process, descriptors_are_stored_by_measure) {
        StoreSeen seen;

        store_for_container(&seen, 0, false);
        cr_assert_eq(seen.n, 0, "the unit has no store");
        store_for_container(&seen, 4, false);
        cr_assert_eq(seen.n, 24);
        cr_assert_str_eq(seen.text, "FDSTORE=1\nFDNAME=scopemon-x");
        store_for_container(&seen, 4, true);
        cr_assert_eq(seen.n, 24);
        cr_assert_str_eq(seen.text, "FDSTORE=1\nFDNAME=scopemon-container-scopemon-x");
}

/* ---- files, clients -------------------------------------------------------------------------- */

CleanTest(worker_process, log_file_that_was_moved_away_is_made_anew) {
        char old[160];
        Bench b;

        bench_init(&b);
        bench_start(&b);
        say(&b, "old\n");
        cr_assert(event_run_until(b.event, 30, written(&b) == 4));
        (void)snprintf(old, sizeof old, "%s/old.log", b.dir);
        cr_assert_eq(rename(b.log, old), 0);
        cr_assert_eq(write(b.control[0], "2 0 0\n", 6), 6);
        cr_assert(event_run_until(b.event, 30, access(b.log, F_OK) == 0));
        bench_kill(&b);
        say(&b, "new\n");
        bench_finish(&b);
        check_log(old, "stdout", "old\n");
        check_log(b.log, "stdout", "new\n");
        cr_assert_eq(unlink(old), 0);
        bench_done(&b);
}

static void many_clients_survive(int n_clients) {
        int clients[1024];
        Bench b;

        bench_init(&b);
        bench_start(&b);
        for (int i = 0; i < n_clients; i++) {
                clients[i] = bench_connect(&b);
                event_run_idle(b.event);
        }
        cr_assert(event_run_until(b.event, 30, attached(&b) == n_clients));
        say(&b, "a");
        for (int i = 0; i < n_clients; i++)
                expect_packet(&b, clients[i], "\2a");
        cr_assert(event_run_until(b.event, 30, written(&b) == 1));
        event_run_idle(b.event);
        bench_kill(&b);
        say(&b, "b");
        for (int i = 0; i < n_clients; i++)
                expect_packet(&b, clients[i], "\2b");
        bench_finish(&b);
        for (int i = 0; i < n_clients; i++) {
                expect_packet(&b, clients[i], "");
                (void)close(clients[i]);
        }
        bench_done(&b);
}

CleanTest(worker_process, clients_survive_it) {
        many_clients_survive(3);
}

CleanTest(worker_process, more_clients_than_the_channel_holds_survive_it) {
        struct rlimit limit;

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_max < 1200)
                return;
        many_clients_survive(400);
}
