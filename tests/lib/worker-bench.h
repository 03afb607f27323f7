/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A worker process with pipes, a log file, an attach socket and fifos, and nobody behind it but a test. Its successors
 * are made from our own binary, so a program with this in it is a worker if its command line says so, and one with bad
 * manners if the environment says that.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/parse.h"
#include "clean.h"
#include "event.h"
#include "io/control.h"
#include "io/streams.h"
#include "log-content.h"
#include "scopemon/protocol.h"
#include "sink/logfile.h"
#include "supervise/worker-process.h"
#include "worker/worker-state.h"
#include "worker/worker.h"

#define CID "0123456789abcdef"

/* ---- what the binary is as a worker ---------------------------------------------------------- */

static inline void tell(int channel, ChannelType type, uint32_t number, const char *text, int fd) {
        char data[4096];
        ChannelRecord record = { .type = type, .number = number, .text = text, .n_text = strlen(text) };

        (void)fd_send(channel, data, channel_pack(data, sizeof data, &record), &fd, fd >= 0);
}

/* The next one who connects to the attach socket that we have inherited. */
static inline int accept_client(void) {
        struct pollfd p = { .fd = STDERR_FILENO, .events = POLLIN };
        socklen_t n = sizeof(int);
        int listens = 0;

        while (!listens && ++p.fd < FD_FEW)
                if (getsockopt(p.fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0)
                        listens = 0;
        (void)poll(&p, 1, -1);
        return accept(p.fd, NULL, NULL);
}

/* It is in each slot. */
static inline void flood_with_clients(int channel) {
        struct pollfd p = { .fd = channel, .events = POLLOUT };
        int fd = accept_client();

        for (uint32_t slot = 0; slot < ATTACH_SLOTS; slot++) {
                (void)poll(&p, 1, -1);
                tell(channel, CHANNEL_CLIENT_NEW, slot, "", fd);
        }
        process_exit(fd >= 0 ? 3 : 4);
}

static inline void __attribute__((noreturn)) flood_with_descriptors(int channel) {
        struct pollfd p = { .fd = channel, .events = POLLOUT };
        int pipes[2], r = fd_pipe(&pipes[0], &pipes[1]);

        tell(channel, CHANNEL_NOTIFY, 0, "FDSTORE=1\nFDNAME=file", open("/proc/self/status", O_RDONLY));
        for (int i = 0; i < 200; i++) {
                (void)poll(&p, 1, -1);
                tell(channel, CHANNEL_NOTIFY, 0, "MAINPID=1\nFDSTORE=1\nFDNAME=scopemon-x\nFDNAME=y",
                     pipes[0]);
        }
        (void)poll(&p, 1, -1);
        tell(channel, CHANNEL_NOTIFY, 0, "READY=1", -1);
        process_exit(r < 0 ? 4 : 0);
}

static inline void __attribute__((noreturn)) misbehave(const char *how, int channel) {
        if (strcmp(how, "slot") == 0)
                tell(channel, CHANNEL_CLIENT_NEW, ATTACH_SLOTS, "", STDIN_FILENO);
        else if (strcmp(how, "gone") == 0)
                tell(channel, CHANNEL_CLIENT_GONE, UINT32_MAX, "", -1);
        else if (strcmp(how, "type") == 0)
                tell(channel, CHANNEL_SETUP, 0, "", -1);
        else if (strcmp(how, "descriptor") == 0)
                tell(channel, CHANNEL_DRAINED, 0, "", STDIN_FILENO);
        else if (strcmp(how, "stranger") == 0)
                tell(channel, CHANNEL_CLIENT_NEW, 0, "", socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        else if (strcmp(how, "garbage") == 0)
                (void)fd_send(channel, "\xff\xfe\xfd not a record", 17, NULL, 0);
        else if (strcmp(how, "clients") == 0)
                flood_with_clients(channel);
        else if (strcmp(how, "mute") == 0)
                ; /* as one that hangs before it is ready */
        else if (strcmp(how, "done") == 0) {
                tell(channel, CHANNEL_DRAINED, 0, "", -1);
                tell(channel, CHANNEL_DONE, 0, "", -1);
                process_exit(0);
        } else if (strcmp(how, "store") == 0)
                flood_with_descriptors(channel);
        else if (strcmp(how, "notify") == 0) {
                tell(channel, CHANNEL_NOTIFY, 0, "MAINPID=1\nREADY=1\nFDSTORE=1", -1);
                process_exit(0);
        } else
                process_exit(3);
        for (;;) /* whoever sends nonsense is ended */
                (void)pause();
}

__attribute__((constructor)) static void be_worker(int argc, char *argv[], char *envp[]) {
        const char *how = getenv("FAKE_WORKER");
        int channel;

        if (argc < 2 || strncmp(argv[1], WORKER_ARGUMENT, strlen(WORKER_ARGUMENT)) != 0)
                return;
        if (parse_fd(argv[1] + strlen(WORKER_ARGUMENT), &channel) < 0)
                process_exit(2);
        if (how && *how)
                misbehave(how, channel);
        process_exit(worker_run(channel, argv) < 0 ? 1 : 0);
}

/* ---- the bench ------------------------------------------------------------------------------- */

typedef struct Bench {
        Event *event;
        Reaper *reaper;
        Ring *ring;
        WorkerProcess *worker;
        PlacementPlan *plan;
        Options options;
        StdioPipes pipes;
        char dir[64], log[128], how[32];
        char words[12][160];
        char *argv[16], *envp[2];
        const char *next[8]; /* how the next ones behave; NULL: well */
        unsigned n_deaths, n_drained, n_done, n_hopeless;
        ProcessStatus status; /* of the last one */
        ProcessStatus
                killed; /* of the one that was to be killed: the next one may have died in the same turn */
        unsigned to_kill;
        pid_t orphan; /* a worker whose keeper has died */
        unsigned n_ready;
        int dir_fd, control[2];
        bool log_rotate;
} Bench;

static inline int on_child(void *userdata, pid_t pid, const ProcessStatus *status) {
        Bench *b = userdata;
        const char *how = b->n_deaths < ELEMENTS(b->next) ? b->next[b->n_deaths] : NULL;

        if (pid == b->orphan)
                return 0; /* somebody else's, it would be */
        cr_assert_eq(pid, worker_process_pid(b->worker));
        (void)snprintf(b->how, sizeof b->how, "FAKE_WORKER=%s", how ? how : "");
        if (b->n_deaths == b->to_kill)
                b->killed = *status;
        b->n_deaths++;
        b->status = *status;
        return worker_process_on_exit(b->worker, status);
}

static inline int on_buried(void *userdata) {
        return 0;
}

static inline int on_ready(void *userdata) {
        ((Bench *)userdata)->n_ready++;
        return 0;
}

static inline int on_drained(void *userdata) {
        ((Bench *)userdata)->n_drained++;
        return 0;
}

static inline int on_done(void *userdata) {
        ((Bench *)userdata)->n_done++;
        return 0;
}

static inline int on_hopeless(void *userdata, int error) {
        ((Bench *)userdata)->n_hopeless++;
        return 0;
}

static inline void bench_options(Bench *b) {
        const char *words[] = { "scopemon",      "-c", CID,   "-u", "U", "-r", "/bin/sh",
                                "--no-sync-log", "-l", b->log };
        int argc = 0;

        for (; argc < (int)ELEMENTS(words); argc++) {
                (void)snprintf(b->words[argc], sizeof b->words[argc], "%s", words[argc]);
                b->argv[argc] = b->words[argc];
        }
        cr_assert_eq(options_parse(argc, b->argv, &b->options), 0);
        cr_assert_eq(options_check(&b->options), 0);
        log_set_stderr(false);
        b->envp[0] = b->how;
        (void)snprintf(b->how, sizeof b->how, "FAKE_WORKER=");
}

static const WorkerProcessHandler bench_handler = { .on_ready = on_ready,
                                                    .on_drained = on_drained,
                                                    .on_done = on_done,
                                                    .on_hopeless = on_hopeless };

static inline WorkerProcessSpec bench_spec(Bench *b, int log_dir_fd) {
        WorkerProcessSpec spec = { .options = &b->options,
                                   .argv = b->argv,
                                   .envp = b->envp,
                                   .plan = b->plan,
                                   .ring = b->ring,
                                   .reaper = b->reaper,
                                   .target_fd = -1,
                                   .log_dir_fd = log_dir_fd,
                                   .log_name = "ctr.log" };

        memset(spec.fds, 0xff, sizeof spec.fds);
        return spec;
}

static inline void bench_worker(Bench *b) {
        WorkerProcessSpec spec = bench_spec(b, fd_dup(b->dir_fd));

        spec.fds[CHANNEL_FD_RING] = fd_dup(ring_fd(b->ring));
        spec.fds[CHANNEL_FD_STDOUT] = TAKE_FD(b->pipes.read[STREAM_STDOUT]);
        spec.fds[CHANNEL_FD_STDERR] = TAKE_FD(b->pipes.read[STREAM_STDERR]);
        spec.fds[CHANNEL_FD_LOGFILE] = logfile_open(b->dir_fd, "ctr.log");
        cr_assert_eq(attach_listen(b->dir_fd, &spec.fds[CHANNEL_FD_LISTENER]), 0);
        cr_assert_eq(control_make(b->dir_fd, &b->control[0], &b->control[1]), 0);
        spec.fds[CHANNEL_FD_CTL] = fd_dup(b->control[0]);
        spec.fds[CHANNEL_FD_WINSZ] = fd_dup(b->control[1]);
        cr_assert_eq(worker_process_new(&b->worker, b->event, &spec, &bench_handler, b), 0);
}

static inline void bench_reaper(Bench *b) {
        static const ReaperHandler handler = { .on_exit = on_child, .on_buried = on_buried };

        cr_assert_eq(reaper_new(&b->reaper, b->event, &handler, b), 0);
}

static inline void bench_init(Bench *b) {
        sigset_t set;

        *b = (Bench){ .dir = "/tmp/test-worker-process-XXXXXX" };
        cr_assert_not_null(mkdtemp(b->dir));
        (void)snprintf(b->log, sizeof b->log, "%s/ctr.log", b->dir);
        b->dir_fd = fd_open_directory(b->dir);
        b->plan = calloc(1, sizeof *b->plan);
        bench_options(b);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        cr_assert_geq(event_new(&b->event), 0);
        bench_reaper(b);
        cr_assert_eq(ring_new(&b->ring, sizeof(WorkerState)), 0);
        cr_assert_eq(streams_make_pipes(&b->pipes, false, true), 0);
        bench_worker(b);
}

static inline void bench_start(Bench *b) {
        cr_assert_eq(worker_process_start(b->worker), 0);
        cr_assert_eq(worker_process_run(b->worker, -1), 0);
}

static inline void bench_kill(Bench *b) {
        b->to_kill = b->n_deaths;
        worker_process_kill(b->worker);
        cr_assert(event_run_until(b->event, 30, b->n_deaths > b->to_kill));
        cr_assert_eq(b->killed.signal, SIGKILL);
}

/* The target has ended. */
static inline void bench_finish(Bench *b) {
        unsigned n = b->n_deaths;

        streams_close_theirs(&b->pipes);
        cr_assert_eq(worker_process_drain(b->worker), 0);
        cr_assert(event_run_until(b->event, 30, b->n_done > 0));
        cr_assert_eq(b->n_drained, 1);
        cr_assert_eq(b->n_deaths, n + 1, "its own end");
        cr_assert_eq(worker_process_pid(b->worker), 0);
}

static inline void bench_done(Bench *b) {
        static const char *const names[] = { "ctr.log", "attach", "ctl", "winsz", "exit", CID };
        pid_t pid = b->worker ? worker_process_pid(b->worker) : 0;

        if (pid > 0) /* one that is stopped, or mute, does not see the end of its channel */
                (void)kill(pid, SIGKILL);
        b->worker = worker_process_free(b->worker);
        b->reaper = reaper_free(b->reaper);
        b->ring = ring_free(b->ring);
        b->event = event_unref(b->event);
        streams_close_theirs(&b->pipes);
        fd_close_many(b->control, 2);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                (void)unlinkat(b->dir_fd, names[i], 0);
        fd_close_many(&b->dir_fd, 1);
        cr_assert_eq(rmdir(b->dir), 0);
        options_done(&b->options);
        free(b->plan);
}

static inline void say(const Bench *b, const char *text) {
        cr_assert_eq(fd_write_full(b->pipes.write[STREAM_STDOUT], text, strlen(text)), 0);
}

static inline uint64_t written(const Bench *b) {
        return ((WorkerState *)ring_state(b->ring))->sinks[SINK_FILE].position[STREAM_STDOUT];
}

/* Clients that the worker has accepted. One that has only connected sees nothing of what was said before. */
static inline int attached(const Bench *b) {
        const WorkerState *state = ring_state(b->ring);
        int n = 0;

        for (size_t i = 0; i < ATTACH_SLOTS; i++)
                n += state->slots[i].state != 0;
        return n;
}

static inline int bench_connect(const Bench *b) {
        struct sockaddr_un address;
        char path[128];
        socklen_t size;
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(path, sizeof path, "%s/attach", b->dir);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

static inline void expect_packet(Bench *b, int fd, const char *text) {
        char packet[64];
        ssize_t n = -1;

        cr_assert(event_run_until(b->event, 30, n >= 0 || (n = recv(fd, packet, sizeof packet - 1, 0)) >= 0),
                  "%s", text);
        packet[n] = 0;
        cr_assert_str_eq(packet, text);
}
