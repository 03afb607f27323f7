/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A worker as its keeper sees it: a process with a channel, that may be killed at any time and
 * followed by another.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "io/control.h"
#include "io/notify.h"
#include "io/ring.h"
#include "io/streams.h"
#include "log-content.h"
#include "sink/logfile.h"
#include "supervise/worker-incident.h"
#include "wire/channel.h"
#include "worker/worker-internal.h"

#define PATIENCE_MS 30000
#define N_LINES 30000U
#define N_KILLS 25

typedef struct Bench {
        WorkerConfig config;
        char title[128]; /* what main() would have as its command line */
        Ring *ring;
        StdioPipes pipes;
        char dir[64], log[128];
        int dir_fd, fds[_CHANNEL_FD_MAX]; /* the keeper's, copies go to each worker */
        int control[2];
        int clients[ATTACH_SLOTS];
        int channel;
        pid_t pid;
        bool running;
        unsigned seen[_CHANNEL_MAX]; /* records */
        char text[1024];             /* of the last notification */
} Bench;

/* @want: which descriptors beyond ring, pipes and log file */
static void bench_init(Bench *b, bool want_stdin) {
        *b = (Bench){
                .dir = "/tmp/test-worker-XXXXXX",
                .channel = -1,
                .title = "scopemon",
                .config = { .cid = "0123456789abcdef", .ends_stdin = want_stdin, .file = true, .fsync = true }
        };

        memset(b->fds, 0xff, sizeof b->fds);
        memset(b->control, 0xff, sizeof b->control);
        memset(b->clients, 0xff, sizeof b->clients);
        cr_assert_not_null(mkdtemp(b->dir));
        (void)snprintf(b->log, sizeof b->log, "%s/ctr.log", b->dir);
        b->dir_fd = fd_open_directory(b->dir);
        cr_assert_eq(ring_new(&b->ring, sizeof(WorkerState)), 0);
        cr_assert_eq(streams_make_pipes(&b->pipes, want_stdin, true), 0);
        b->fds[CHANNEL_FD_RING] = fd_dup(ring_fd(b->ring));
        b->fds[CHANNEL_FD_STDOUT] = TAKE_FD(b->pipes.read[STREAM_STDOUT]);
        b->fds[CHANNEL_FD_STDERR] = TAKE_FD(b->pipes.read[STREAM_STDERR]);
        b->fds[CHANNEL_FD_STDIN] = TAKE_FD(b->pipes.in_write);
        b->fds[CHANNEL_FD_LOGFILE] = logfile_open(b->dir_fd, "ctr.log");
        cr_assert_eq(attach_listen(b->dir_fd, &b->fds[CHANNEL_FD_LISTENER]), 0);
}

static void bench_send(Bench *b, ChannelType type, uint32_t number, const int *fds, size_t n_fds) {
        char data[64];
        ChannelRecord record = { .type = type, .number = number };
        size_t n = channel_pack(data, sizeof data, &record);

        cr_assert_eq(fd_send(b->channel, data, n, fds, n_fds), (ssize_t)n);
}

static void bench_set_up(Bench *b) {
        static char text[CHANNEL_TEXT_MAX], data[CHANNEL_RECORD_MAX];
        ChannelRecord record = { .type = CHANNEL_SETUP, .text = text };
        size_t n;

        for (uint32_t what = 0; what < WORKER_FDS_MAX; what++) {
                int fd = what < _CHANNEL_FD_MAX ? b->fds[what] : b->clients[what - _CHANNEL_FD_MAX];

                if (fd < 0)
                        continue;
                record.n_text = channel_setup_add(text, record.n_text, what, fd);
                record.number++;
        }
        n = worker_config_pack(&b->config, text + record.n_text, sizeof text - record.n_text);
        cr_assert_gt(n, 0);
        record.n_text += n;
        n = channel_pack(data, sizeof data, &record);
        cr_assert_eq(fd_send(b->channel, data, n, NULL, 0), (ssize_t)n);
        if (b->running)
                bench_send(b, CHANNEL_RUN, 1, NULL, 0);
}

static void bench_fork(Bench *b) {
        int pair[2], r;

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        r = process_fork(&b->pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                char *argv[] = { b->title, NULL };

                (void)close(pair[0]);
                process_exit(worker_run(pair[1], argv) < 0 ? 1 : 0);
        }
        (void)close(pair[1]);
        b->channel = pair[0];
}

static void bench_start(Bench *b) {
        bench_fork(b);
        bench_set_up(b);
}

static void bench_run(Bench *b) {
        b->running = true;
        bench_send(b, CHANNEL_RUN, 1, NULL, 0);
}

/* One record, remembered; false if there is none (any more). */
static bool bench_take(Bench *b) {
        char data[CHANNEL_RECORD_MAX];
        ChannelRecord record;
        size_t n_fds = 0;
        int fds[1];
        ssize_t n;

        n = fd_receive(b->channel, data, sizeof data, fds, 1, &n_fds);
        if (n <= 0)
                return false;
        cr_assert_eq(channel_unpack(data, (size_t)n, &record), 0);
        cr_assert(channel_takes_fds(&record, n_fds));
        b->seen[record.type]++;
        if (record.type == CHANNEL_CLIENT_NEW) {
                cr_assert_lt(record.number, ATTACH_SLOTS);
                fd_close_many(&b->clients[record.number], 1);
                b->clients[record.number] = fds[0];
        } else if (record.type == CHANNEL_CLIENT_GONE)
                fd_close_many(&b->clients[record.number], 1);
        else if (record.type == CHANNEL_STDIN_CLOSED)
                fd_close_many(&b->fds[CHANNEL_FD_STDIN], 1);
        (void)snprintf(b->text, sizeof b->text, "%.*s", (int)record.n_text, record.text);
        return true;
}

/* Until @n records of @type have come in all. */
static void bench_wait(Bench *b, ChannelType type, unsigned n) {
        struct pollfd p = { .fd = b->channel, .events = POLLIN };

        while (b->seen[type] < n) {
                cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "record %d does not come", (int)type);
                cr_assert(bench_take(b), "the worker has gone");
        }
}

/* As the keeper buries one: what it said, what it read or wrote last. */
static ProcessStatus bench_bury(Bench *b) {
        ProcessStatus status;

        while (process_peek(b->pid, &status) == 0)
                ;
        while (bench_take(b))
                ;
        incident_recover(&(Incidents){ .ring = b->ring, .io_fd = -1 }, b->pid);
        cr_assert_eq(process_reap(b->pid), 0);
        fd_close_many(&b->channel, 1);
        return status;
}

static void bench_kill(Bench *b) {
        cr_assert_eq(process_kill_child(b->pid, SIGKILL), 0);
        cr_assert_eq(bench_bury(b).signal, SIGKILL);
}

/*
 * Until the worker has noted what it has passed on. A kill between the doing and the noting repeats
 * a packet, which is allowed, but not what a test can count on.
 */
static void bench_settle(Bench *b) {
        const volatile WorkerState *state = ring_state(b->ring);
        const volatile RingInput *input = ring_input(b->ring);

        for (uint32_t slot = 0; slot < ATTACH_SLOTS; slot++)
                for (StreamId id = 0; id < _STREAM_MAX; id++)
                        while (state->slots[slot].state &&
                               state->slots[slot].position[id] < ring_head(b->ring, id))
                                ;
        while (input->from < input->to)
                ;
}

/* The target has ended: everything is written, then the clients are served, then it leaves. */
static void bench_finish(Bench *b) {
        streams_close_theirs(&b->pipes);
        bench_send(b, CHANNEL_DRAIN, 0, NULL, 0);
        bench_wait(b, CHANNEL_DRAINED, 1);
        bench_wait(b, CHANNEL_DONE, 1);
        cr_assert_eq(bench_bury(b).code, 0);
}

static void bench_done(Bench *b) {
        static const char *const names[] = { "ctr.log", "attach", "ctl", "winsz", "notify/notify.sock" };

        streams_close_theirs(&b->pipes);
        fd_close_many(b->fds, _CHANNEL_FD_MAX);
        fd_close_many(b->control, 2);
        fd_close_many(b->clients, ATTACH_SLOTS);
        fd_close_many(&b->channel, 1);
        b->ring = ring_free(b->ring);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                (void)unlinkat(b->dir_fd, names[i], 0);
        (void)unlinkat(b->dir_fd, "notify", AT_REMOVEDIR);
        fd_close_many(&b->dir_fd, 1);
        cr_assert_eq(rmdir(b->dir), 0);
}

static void say(const Bench *b, StreamId id, const char *text) {
        cr_assert_eq(fd_write_full(b->pipes.write[id], text, strlen(text)), 0);
}

static int bench_connect(const Bench *b) {
        struct sockaddr_un address;
        char path[128];
        socklen_t size;
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        (void)snprintf(path, sizeof path, "%s/attach", b->dir);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

/* A packet from the worker; 0 at the end. */
static size_t client_take(int fd, char *packet, size_t size) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "nothing comes");
        n = recv(fd, packet, size, MSG_DONTWAIT);
        cr_assert_geq(n, 0, "%m");
        return (size_t)n;
}

static void client_expect(int fd, char stream, const char *text) {
        char packet[8200];
        size_t n;

        while (*text) {
                n = client_take(fd, packet, sizeof packet);
                cr_assert(n > 1 && packet[0] == stream);
                cr_assert_eq(strncmp(text, packet + 1, n - 1), 0, "%s: %.*s", text, (int)n - 1, packet + 1);
                text += n - 1;
        }
}

/* Bytes that its read() has returned. */
static unsigned long long bench_count_read(const Bench *b) {
        _cleanup_free_ char *text = NULL;
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/%d/io", b->pid);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
        cr_assert_eq(strncmp(text, "rchar: ", 7), 0);
        return strtoull(text + 7, NULL, 10);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* What it reads is counted as the container's; a loop that reads a timer or a signal would spoil the count. */
CleanTest(worker, loop_reads_nothing_but_the_container_s_output) {
        unsigned long long before;
        struct stat st = { 0 };
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_wait(&b, CHANNEL_READY, 1);
        bench_run(&b);
        before = bench_count_read(&b);
        say(&b, STREAM_STDOUT, "unfinished"); /* written when a timer has expired */
        while (st.st_size == 0)
                cr_assert_eq(stat(b.log, &st), 0);
        bench_send(&b, CHANNEL_LOGFILE, 1, NULL, 0);
        say(&b, STREAM_STDOUT, " line\n");
        while (st.st_size < 60)
                cr_assert_eq(stat(b.log, &st), 0);
        cr_assert_eq(bench_count_read(&b) - before, strlen("unfinished line\n"));
        bench_finish(&b);
        bench_done(&b);
}

CleanTest(worker, output_is_in_the_file_before_it_is_said_to_be) {
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_wait(&b, CHANNEL_READY, 1);
        bench_run(&b);
        say(&b, STREAM_STDOUT, "one\ntwo\n");
        say(&b, STREAM_STDERR, "trouble\n");
        say(&b, STREAM_STDOUT, "last");
        bench_finish(&b);
        check_log(b.log, "stdout", "one\ntwo\nlast");
        check_log(b.log, "stderr", "trouble\n");
        bench_done(&b);
}

CleanTest(worker, end_of_both_streams_is_told_unasked_and_once) {
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_wait(&b, CHANNEL_READY, 1);
        bench_run(&b);
        say(&b, STREAM_STDERR, "one\n");
        fd_close_many(&b.pipes.write[STREAM_STDERR], 1);
        say(&b, STREAM_STDOUT, "last");
        streams_close_theirs(&b.pipes);
        bench_wait(&b, CHANNEL_DRAINED, 1);
        check_log(b.log, "stdout", "last");
        check_log(b.log, "stderr", "one\n");
        bench_finish(&b);
        cr_assert_eq(b.seen[CHANNEL_DRAINED], 1);
        bench_done(&b);
}

CleanTest(worker, nothing_goes_out_before_the_container_runs) {
        Window words;
        struct stat st;
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        say(&b, STREAM_STDERR, "runtime: no such file\n");
        bench_finish(&b);
        cr_assert_eq(stat(b.log, &st), 0);
        cr_assert_eq(st.st_size, 0);
        words = ring_window(b.ring, STREAM_STDERR, 0);
        cr_assert_eq(window_size(&words), 22);
        cr_assert_eq(memcmp(words.data, "runtime: no such file\n", 22), 0);
        bench_done(&b);
}

CleanTest(worker, pipe_that_others_hold_does_not_hold_up_the_end) {
        int held;
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_run(&b);
        held = fd_dup(b.pipes.write[STREAM_STDOUT]);
        say(&b, STREAM_STDOUT, "x\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "x\n");
        (void)close(held);
        bench_done(&b);
}

/* A target that writes lines as fast as it can. */
static pid_t start_flood(Bench *b, unsigned n_lines) {
        pid_t pid;
        int r = process_fork(&pid);

        cr_assert_geq(r, 0);
        if (r == 0) {
                for (unsigned i = 0; i < n_lines; i++) {
                        char line[256];
                        size_t n = flood_line(line, i);

                        if (fd_write_full(b->pipes.write[STREAM_STDOUT], line, n) < 0)
                                process_exit(1);
                }
                process_exit(0);
        }
        streams_close_theirs(&b->pipes);
        return pid;
}

static void end_flood(pid_t pid) {
        ProcessStatus status;

        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(pid), 0);
}

CleanTest(worker, killed_workers_leave_each_line_once) {
        _cleanup_free_ char *text = NULL;
        uint64_t target = 0;
        unsigned random = 12345;
        Bench b;
        size_t n;
        pid_t flood;

        bench_init(&b, false);
        b.running = true;
        flood = start_flood(&b, N_LINES);
        for (unsigned i = 0; i < N_KILLS; i++) {
                bench_start(&b);
                random = random * 1103515245U + 12345U;
                target += 20000 + (random >> 16) % 100000;
                while (ring_head(b.ring, STREAM_STDOUT) < target)
                        ;
                bench_kill(&b);
        }
        bench_start(&b);
        end_flood(flood);
        bench_finish(&b);
        text = log_content(b.log, "stdout", &n);
        check_flood(text, n, N_LINES);
        bench_done(&b);
}

CleanTest(worker, unfinished_line_is_finished_by_the_next_worker) {
        Bench b;

        bench_init(&b, false);
        b.running = true;
        for (unsigned i = 0; i < 5; i++) {
                bench_start(&b);
                say(&b, STREAM_STDERR, "piece ");
                while (ring_head(b.ring, STREAM_STDERR) < (i + 1) * 6)
                        ;
                bench_kill(&b);
        }
        bench_start(&b);
        say(&b, STREAM_STDERR, "end\n");
        bench_finish(&b);
        check_log(b.log, "stderr", "piece piece piece piece piece end\n");
        bench_done(&b);
}

CleanTest(worker, new_log_file_is_asked_for_and_used) {
        char old[160];
        int fd;
        Bench b;

        bench_init(&b, false);
        cr_assert_eq(control_make(b.dir_fd, &b.control[0], &b.control[1]), 0);
        b.fds[CHANNEL_FD_CTL] = fd_dup(b.control[0]);
        b.fds[CHANNEL_FD_WINSZ] = fd_dup(b.control[1]);
        bench_start(&b);
        bench_run(&b);
        say(&b, STREAM_STDOUT, "old\n");
        while (((WorkerState *)ring_state(b.ring))->sinks[SINK_FILE].position[STREAM_STDOUT] < 4)
                ;
        (void)snprintf(old, sizeof old, "%s/old.log", b.dir);
        cr_assert_eq(rename(b.log, old), 0);
        cr_assert_eq(write(b.control[0], "2 0 0\n", 6), 6);
        bench_wait(&b, CHANNEL_REOPEN, 1);
        fd = logfile_open(b.dir_fd, "ctr.log");
        bench_send(&b, CHANNEL_LOGFILE, 0, &fd, 1);
        (void)close(fd);
        say(&b, STREAM_STDOUT, "new\n");
        bench_finish(&b);
        check_log(old, "stdout", "old\n");
        check_log(b.log, "stdout", "new\n");
        cr_assert_eq(unlink(old), 0);
        bench_done(&b);
}

/* ---- clients --------------------------------------------------------------------------------- */

CleanTest(worker, kept_client_goes_on_with_the_next_worker) {
        char packet[16];
        Bench b;
        int fd;

        bench_init(&b, false);
        bench_start(&b);
        bench_run(&b);
        fd = bench_connect(&b);
        bench_wait(&b, CHANNEL_CLIENT_NEW, 1);
        for (unsigned i = 0; i < 5; i++) {
                say(&b, STREAM_STDOUT, "hello ");
                client_expect(fd, 2, "hello ");
                bench_settle(&b);
                bench_kill(&b);
                say(&b, STREAM_STDERR, "while nobody worked ");
                bench_start(&b);
                client_expect(fd, 3, "while nobody worked ");
                bench_settle(&b);
        }
        cr_assert_eq(b.seen[CHANNEL_CLIENT_NEW], 1, "it is the same one");
        say(&b, STREAM_STDOUT, "bye\n");
        bench_finish(&b);
        client_expect(fd, 2, "bye\n");
        cr_assert_eq(client_take(fd, packet, sizeof packet), 0);
        cr_assert_eq(b.seen[CHANNEL_CLIENT_GONE], 1);
        (void)close(fd);
        bench_done(&b);
}

CleanTest(worker, what_a_client_sends_is_the_targets_input) {
        char text[64] = "";
        Bench b;
        int fd;

        bench_init(&b, true);
        bench_start(&b);
        bench_run(&b);
        fd = bench_connect(&b);
        cr_assert_eq(write(fd, "to be ", 6), 6);
        cr_assert_eq(read(b.pipes.in_read, text, sizeof text), 6);
        bench_wait(&b, CHANNEL_CLIENT_NEW, 1);
        bench_settle(&b);
        bench_kill(&b);
        cr_assert_eq(write(fd, "or not to be", 12), 12);
        bench_start(&b);
        cr_assert_eq(read(b.pipes.in_read, text + 6, sizeof text - 6), 12);
        cr_assert_str_eq(text, "to be or not to be");

        cr_assert_eq(shutdown(fd, SHUT_WR), 0);
        bench_wait(&b, CHANNEL_STDIN_CLOSED, 1);
        cr_assert_eq(read(b.pipes.in_read, text, sizeof text), 0, "closed for good");
        bench_kill(&b);
        bench_start(&b);
        say(&b, STREAM_STDOUT, "still there");
        client_expect(fd, 2, "still there");
        bench_finish(&b);
        (void)close(fd);
        bench_done(&b);
}

CleanTest(worker, input_waits_for_a_target_that_does_not_read) {
        static char data[32768], got[65536];
        size_t n_sent = 0, n_got = 0;
        Bench b;
        int fd;

        bench_init(&b, true);
        bench_start(&b);
        bench_run(&b);
        fd = bench_connect(&b);
        bench_wait(&b, CHANNEL_CLIENT_NEW, 1);
        for (unsigned i = 0; i < 40;
             i++) { /* some more than the pipe and one packet hold; the rest at the socket */
                ssize_t n;

                memset(data, (int)('a' + i % 26), sizeof data);
                n = send(fd, data, sizeof data, MSG_DONTWAIT);
                if (n < 0)
                        break;
                n_sent += (size_t)n;
        }
        cr_assert_geq(n_sent, sizeof data);
        bench_kill(&b);
        bench_start(&b);
        while (n_got < n_sent) {
                ssize_t n = read(b.pipes.in_read, got, sizeof got);

                cr_assert_gt(n, 0);
                for (ssize_t k = 0; k < n; k++, n_got++)
                        if (got[k] != (char)('a' + n_got / sizeof data % 26))
                                cr_assert_fail("byte %zu", n_got);
        }
        bench_finish(&b);
        (void)close(fd);
        bench_done(&b);
}

/* ---- terminals, notifications ---------------------------------------------------------------- */

static int make_terminal(char name[64]) {
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

        cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        cr_assert_eq(ptsname_r(master, name, 64), 0);
        cr_assert_eq(streams_prepare_terminal(master), 0);
        return master;
}

CleanTest(worker, terminal_that_comes_late_gets_the_size_asked_for_before) {
        struct winsize size = { 0 };
        int master, slave;
        char name[64];
        Bench b;

        bench_init(&b, false);
        b.config.terminal = true;
        fd_close_many(&b.fds[CHANNEL_FD_STDOUT], 1);
        cr_assert_eq(control_make(b.dir_fd, &b.control[0], &b.control[1]), 0);
        b.fds[CHANNEL_FD_CTL] = fd_dup(b.control[0]);
        b.fds[CHANNEL_FD_WINSZ] = fd_dup(b.control[1]);
        bench_start(&b);
        cr_assert_eq(write(b.control[0], "1 33 111\n", 9), 9);
        while (!((volatile WorkerState *)ring_state(b.ring))->resize_wanted)
                ;
        bench_kill(&b);
        bench_start(&b);
        master = make_terminal(name);
        slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        bench_send(&b, CHANNEL_CONSOLE, 0, &master, 1);
        b.fds[CHANNEL_FD_CONSOLE] = master;
        while (size.ws_row == 0)
                cr_assert_eq(ioctl(slave, TIOCGWINSZ, &size), 0);
        cr_assert(size.ws_row == 33 && size.ws_col == 111);

        bench_run(&b);
        cr_assert_eq(write(slave, "a\n", 2), 2);
        while (ring_head(b.ring, STREAM_STDOUT) < 3)
                ;
        bench_kill(&b);
        bench_start(&b);
        cr_assert_eq(write(slave, "b\n", 2), 2);
        while (ring_head(b.ring, STREAM_STDOUT) < 6)
                ;
        (void)close(slave);
        bench_finish(&b);
        check_log(b.log, "stdout", "a\r\nb\r\n");
        bench_done(&b);
}

CleanTest(worker, notification_is_filtered_and_passed_on) {
        struct sockaddr_un address;
        char path[128];
        socklen_t size;
        Bench b;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        bench_init(&b, false);
        cr_assert_eq(mkdirat(b.dir_fd, "notify", 0755), 0);
        cr_assert_eq(notify_listen(b.dir_fd, &b.fds[CHANNEL_FD_NOTIFY]), 0);
        (void)snprintf(path, sizeof path, "%s/notify/notify.sock", b.dir);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        bench_start(&b);
        bench_run(&b);
        cr_assert_eq(sendto(fd, "MAINPID=1\nREADY=1", 17, 0, (const struct sockaddr *)&address, size), 17);
        bench_wait(&b, CHANNEL_NOTIFY, 1);
        cr_assert_str_eq(b.text, "READY=1");
        bench_finish(&b);
        (void)close(fd);
        bench_done(&b);
}

/* ---- the keeper ------------------------------------------------------------------------------ */

CleanTest(worker, nonsense_on_the_channel_ends_it) {
        static const ChannelType types[] = { CHANNEL_RUN, CHANNEL_READY, CHANNEL_DONE };

        for (size_t i = 0; i < ELEMENTS(types); i++) {
                Bench b;

                bench_init(&b, false);
                bench_fork(&b);
                bench_send(&b, types[i], 0, NULL, 0); /* not before it is set up, or never */
                cr_assert_eq(bench_bury(&b).code, 1);
                bench_done(&b);
        }
}

CleanTest(worker, ring_that_is_none_is_refused) {
        Bench b;

        bench_init(&b, false);
        fd_close_many(&b.fds[CHANNEL_FD_RING], 1);
        b.fds[CHANNEL_FD_RING] = fd_open_null(O_RDWR);
        bench_start(&b);
        cr_assert_eq(bench_bury(&b).code, 1);
        bench_done(&b);
}

CleanTest(worker, output_goes_on_when_the_keeper_is_gone) {
        ProcessStatus status;
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_wait(&b, CHANNEL_READY, 1);
        fd_close_many(&b.channel, 1);
        say(&b, STREAM_STDOUT, "nobody asked\n");
        streams_close_theirs(&b.pipes);
        while (process_peek(b.pid, &status) == 0)
                ;
        cr_assert_eq(status.code, 0);
        cr_assert_eq(process_reap(b.pid), 0);
        check_log(b.log, "stdout", "nobody asked\n");
        bench_done(&b);
}

CleanTest(worker, worker_without_a_keeper_from_the_start_leaves) {
        ProcessStatus status;
        Bench b;

        bench_init(&b, false);
        bench_fork(&b);
        fd_close_many(&b.channel, 1);
        while (process_peek(b.pid, &status) == 0)
                ;
        cr_assert(status.known);
        cr_assert_eq(process_reap(b.pid), 0);
        bench_done(&b);
}

CleanTest(worker, signals_to_the_group_do_not_end_it) {
        Bench b;

        bench_init(&b, false);
        bench_start(&b);
        bench_run(&b);
        bench_wait(&b, CHANNEL_READY, 1);
        cr_assert_eq(process_kill_child(b.pid, SIGTERM), 0);
        cr_assert_eq(process_kill_child(b.pid, SIGINT), 0);
        cr_assert_eq(process_kill_child(b.pid, SIGHUP), 0);
        say(&b, STREAM_STDOUT, "alive\n");
        bench_finish(&b);
        check_log(b.log, "stdout", "alive\n");
        bench_done(&b);
}

/* A worker that was taken over tries what none does: it dies of it, and the keeper knows of what. */
CleanTest(worker, forbidden_call_is_named_before_it_kills) {
        char data[CHANNEL_RECORD_MAX];
        ChannelRecord record;
        int ends[2], status;
        pid_t pid;
        ssize_t n;

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        if (process_fork(&pid) == 0) {
                if ((ends[1] != WORKER_CHANNEL && dup2(ends[1], WORKER_CHANNEL) < 0) ||
                    worker_confine(&(ExitFiles){ 0 }) < 0)
                        process_exit(99);
                (void)syscall(SYS_setuid, 0);
                process_exit(98);
        }
        (void)close(ends[1]);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %x", (unsigned)status);
        n = recv(ends[0], data, sizeof data, MSG_DONTWAIT);
        cr_assert_gt(n, 0);
        cr_assert_eq(channel_unpack(data, (size_t)n, &record), 0);
        cr_assert(record.type == CHANNEL_TROUBLE && record.number == CHANNEL_TROUBLE_SANDBOX);
        cr_assert_eq(record.value, SYS_setuid);
        cr_assert(record.n_text == strlen("setuid") && memcmp(record.text, "setuid", record.n_text) == 0);
        (void)close(ends[0]);
}
