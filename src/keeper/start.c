/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Everything a keeper makes before its container runs: the caller's pipes taken over, the container placed, streams,
 * sockets and fifos made, the runtime and the worker started, in this order. Sockets and fifos are there before the
 * runtime runs, since a client may connect as soon as the caller knows of the container.
 *
 * While the service manager is asked where the container belongs, the loop turns. A signal that would end the runtime
 * ends this then, and so does the end of the caller: nothing has been made that somebody would have to remove.
 *
 * A failure here is told on the sync pipe in words (keeper_fail()), since stderr is nobody's any more.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "attach/attach.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/parse.h"
#include "io/notify.h"
#include "io/proc.h"
#include "io/streams.h"
#include "keeper/keeper-internal.h"
#include "keeper/launch.h"
#include "report/announce.h"
#include "scopemon/protocol.h"
#include "wire/notifymsg.h"

#define LEVEL_OF_PODMAN 6 /* "info", which is SyslogLevel= by default, too */

static int detach_stdio(void) {
        _cleanup_close_ int in = -1, out = -1;

        in = fd_open_null(O_RDONLY);
        out = fd_open_null(O_WRONLY);
        if (in < 0 || out < 0)
                return relay(in < 0 ? in : out);
        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
                return fail(-errno);
        log_set_stderr(false);
        return 0;
}

/* How many descriptors from 3 up the caller wants the container to have. */
static int n_preserved(const Options *o) {
        const char *words[2] = { getenv("LISTEN_FDS"), NULL };
        int most = 0;

        for (size_t i = 0; i + 1 < o->runtime_opt.n; i++)
                if (strcmp(o->runtime_opt.words[i], "--preserve-fds") == 0)
                        words[1] = o->runtime_opt.words[i + 1];
        for (size_t i = 0; i < ELEMENTS(words); i++) {
                int n;

                if (words[i] && parse_fd(words[i], &n) >= 0 && n < 65536 && n > most)
                        most = n;
        }
        return most;
}

/* What we do not know stays open here for the container's life, and out of the runtime. */
static void keep_inherited(Keeper *k) {
        int end = STDERR_FILENO + 1 + n_preserved(k->options);

        for (size_t i = 0; i < k->origin->n_inherited; i++)
                (void)fd_set_cloexec(k->origin->inherited[i], k->origin->inherited[i] >= end);
}

/**
 * keeper_make_report() - where the end will be told; the pipes are those of the origin, if it has any
 *
 * Return: 0 or a negative errno.
 */
int keeper_make_report(Keeper *k) {
        const Options *o = k->options;
        ReportSpec spec = { .sync_fd = TAKE_FD(k->origin->sync_fd),
                            .attach_fd = TAKE_FD(k->origin->attach_fd),
                            .exit_dir = o->exit_dir,
                            .persist_dir = o->persist_dir,
                            .bundle = o->exec ? NULL : o->bundle,
                            .cid = o->cid,
                            .api_v1 = o->api_version,
                            .exec = o->exec };
        int r;

        r = report_new(&k->report, k->event, &spec, &keeper_report_handler, k);
        return r < 0 ? relay(r) : 0;
}

static int make_streams(Keeper *k) {
        static const ConsoleHandler console_handler = { .on_terminal = keeper_on_terminal,
                                                        .on_bad = keeper_on_bad_terminal };
        const Options *o = k->options;
        StdioPipes pipes = STDIO_PIPES_NONE;
        int r;

        if (o->log_targets.passthrough)
                return 0;
        r = streams_make_pipes(&pipes, o->want_stdin && !o->terminal, !o->terminal);
        if (r < 0)
                return relay(r);
        k->start->runtime_stdio[STDIN_FILENO] = pipes.in_read;
        k->start->runtime_stdio[STDOUT_FILENO] = pipes.write[STREAM_STDOUT];
        k->start->runtime_stdio[STDERR_FILENO] = pipes.write[STREAM_STDERR];
        k->start->worker_fds[CHANNEL_FD_STDIN] = pipes.in_write;
        k->start->worker_fds[CHANNEL_FD_STDOUT] = pipes.read[STREAM_STDOUT];
        k->start->worker_fds[CHANNEL_FD_STDERR] = pipes.read[STREAM_STDERR];

        if (o->terminal) {
                r = console_new(&k->start->console, k->event, o->bundle, &console_handler, k,
                                k->start->failure);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static int make_attach(Keeper *k) {
        const Options *o = k->options;
        int r;

        r = attach_listen(k->bundle_fd, &k->start->worker_fds[CHANNEL_FD_LISTENER]);
        if (r < 0)
                return relay(r);
        if (o->full_attach || !o->cuuid)
                return 0;
        r = attach_link_path(o->socket_dir_path, o->cuuid, &k->attach_link);
        if (r < 0)
                return relay(r);
        r = attach_link_remove(k->attach_link); /* a stale one */
        if (r < 0)
                return relay(r);
        r = attach_link_make(k->attach_link, o->bundle);
        return r < 0 ? relay(r) : 0;
}

/* The place where clients find us. */
static int make_sockets(Keeper *k) {
        const Options *o = k->options;
        int r;

        if (!o->bundle)
                return 0;
        k->bundle_fd = fd_open_directory(o->bundle);
        if (k->bundle_fd < 0) {
                (void)snprintf(k->start->failure, sizeof k->start->failure, "bundle %s: %s", o->bundle,
                               strerror(-k->bundle_fd));
                return relay(k->bundle_fd);
        }
        if (o->sdnotify_socket) {
                r = notify_listen(k->bundle_fd, &k->start->worker_fds[CHANNEL_FD_NOTIFY]);
                if (r < 0)
                        return relay(r);
        }
        if (o->log_targets.passthrough)
                return 0;
        r = make_attach(k);
        if (r < 0)
                return relay(r);
        r = control_make(k->bundle_fd, &k->start->worker_fds[CHANNEL_FD_CTL],
                         &k->start->worker_fds[CHANNEL_FD_WINSZ]);
        return r < 0 ? relay(r) : 0;
}

static bool journal_once_wanted(void) {
        const char *word = getenv(SCOPEMON_ENV_JOURNAL_ONCE);
        bool wanted;

        return !word || parse_bool(word, &wanted) < 0 || wanted;
}

/*
 * A line that the caller itself would print into its unit's journal beside our entry is told once (by us). Not if its unit
 * wants another priority: ours are those that "podman logs" can read.
 */
static void find_doubled(const Keeper *k, bool ret[_STREAM_MAX]) {
        const Options *o = k->options;
        const PlaceStream *stream = &k->start->text.stream;
        bool equal = !stream->known || stream->level == LEVEL_OF_PODMAN;
        bool once = o->log_targets.journald && equal && journal_once_wanted();

        ret[STREAM_STDOUT] = once && k->origin->journal_stream[STDOUT_FILENO];
        ret[STREAM_STDERR] = once && k->origin->journal_stream[o->terminal ? STDOUT_FILENO : STDERR_FILENO];
}

static void fill_facts(Keeper *k, WorkerFacts *facts) {
        const PlaceStream *stream = &k->start->text.stream;
        const Options *o = k->options;

        facts->starter = k->origin->caller;
        find_doubled(k, facts->withhold);
        if (stream->known && stream->identifier[0])
                (void)snprintf(facts->identifier, sizeof facts->identifier, "SYSLOG_IDENTIFIER=%s",
                               stream->identifier);
        if (stream->known)
                (void)snprintf(facts->facility, sizeof facts->facility, "SYSLOG_FACILITY=%d",
                               stream->facility);
        facts->no_level_prefix = stream->known && !stream->level_prefix;
        (void)snprintf(facts->title, sizeof facts->title, "scopemon: %s of %s%s%s",
                       o->exec ? "exec" : "output", o->name ? o->name : o->cid,
                       k->plan.container_scope[0] ? ", which is in " : "", k->plan.container_scope);
        if (k->plan.container == PLACEMENT_CONTAINER_SCOPE && k->plan.container_scope[0])
                (void)snprintf(facts->object_unit, sizeof facts->object_unit, "%s=%s",
                               k->plan.user_scope ? SCOPEMON_FIELD_USER_UNIT : SCOPEMON_FIELD_UNIT,
                               k->plan.container_scope);
}

/* The forked worker never returns to us; our state is a tenth of its memory. Its copies of our descriptors are closed. */
static void start_forget(void *userdata) {
        Keeper *k = userdata;

        memory_give_back(k->origin->launcher_room, PROCESS_LEAVE_ROOM);
        memory_release(k->start, sizeof *k->start);
        memory_release(k, sizeof *k);
}

static void on_kept(void *userdata, WorkerKept what, uint32_t index, int fd) {
        Keeper *k = userdata;

        KEEPER_TELL(k, on_kept, what, index, fd);
}

static void on_notified(void *userdata, const char *text, size_t n) {
        uint64_t usec = notifymsg_number(text, n, NOTIFYMSG_EXTEND);
        Keeper *k = userdata;

        if (usec > 0)
                (void)unit_stop_extend(k, usec); /* without it the container has its unit's time */
        KEEPER_TELL(k, on_notified, text, n);
}

const WorkerProcessHandler keeper_worker_handler = { .on_ready = keeper_on_worker_ready,
                                                     .on_drained = drain_on_stored,
                                                     .on_done = drain_on_worker_done,
                                                     .on_hopeless = keeper_on_worker_hopeless,
                                                     .on_fork = start_forget,
                                                     .on_kept = on_kept,
                                                     .on_notified = on_notified };

static int make_worker(Keeper *k) {
        WorkerProcessSpec spec = { .options = k->options,
                                   .argv = k->origin->given_argv,
                                   .envp = k->origin->envp,
                                   .plan = &k->plan,
                                   .reaper = k->reaper,
                                   .target_fd = -1,
                                   .log_dir_fd = TAKE_FD(k->origin->log_dir_fd),
                                   .log_name = k->origin->log_name };
        int r;

        k->start->worker_fds[CHANNEL_FD_LOGFILE] = TAKE_FD(k->origin->log_fd);
        k->start->worker_fds[CHANNEL_FD_STARTER] = TAKE_FD(k->origin->caller_pidfd);
        if (k->options->log_targets.passthrough && k->start->worker_fds[CHANNEL_FD_NOTIFY] < 0) {
                fd_close_many(&spec.log_dir_fd, 1);
                return 0;
        }
        r = ring_new(&k->ring, sizeof(WorkerState));
        if (r < 0)
                return relay(r);
        fill_facts(k, &((WorkerState *)ring_state(k->ring))->facts);

        k->start->worker_fds[CHANNEL_FD_RING] = ring_take_fd(k->ring);
        spec.ring = k->ring;
        for (ChannelFd i = 0; i < _CHANNEL_FD_MAX; i++)
                spec.fds[i] = TAKE_FD(k->start->worker_fds[i]);
        r = worker_process_new(&k->worker, k->event, &spec, &keeper_worker_handler, k);
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_make_reaper() - the ends of our children are ours to see from now on
 *
 * Return: 0 or a negative errno.
 */
int keeper_make_reaper(Keeper *k) {
        static const ReaperHandler handler = { .on_exit = keeper_on_child, .on_buried = keeper_on_buried };
        int r;

        r = reaper_new(&k->reaper, NULL, &handler, k); /* signals.c looks */
        return r < 0 ? relay(r) : 0;
}

/*
 * The exit command of the monitor before us will fail of this, which is as it should be and no failure of that monitor:
 * it is told, before its command is. Nobody is who would be ended by the signal.
 */
static void refuse_restart(Keeper *k) {
        _cleanup_close_ int pidfd = process_pidfd(k->start->text.restarting);
        uint64_t blocked;

        announce_not_restarted(k->options, &k->plan);
        if (k->options->conmon_pidfile &&
            !k->options->sync) /* where systemd looks for the unit's main process */
                (void)launch_write_pid(k->options->conmon_pidfile, k->start->text.restarting);
        if (pidfd >= 0 && proc_signals(k->start->text.restarting, "SigBlk", &blocked) >= 0 &&
            blocked & 1ULL << (SIGUSR1 - 1))
                (void)process_signal_value(pidfd, SIGUSR1, KEEPER_NOT_RESTARTED,
                                           getpid()); /* else its status is not the container's */
}

/* Everything but processes. */
static int make_all(Keeper *k) {
        int r;

        r = make_streams(k);
        if (r < 0)
                return relay(r);
        r = make_sockets(k);
        if (r < 0)
                return relay(r);
        r = make_worker(k);
        return r < 0 ? relay(r) : 0;
}

/*
 * A worker takes processor time from the runtime, and the caller waits for that; a container that has nothing to say ends
 * without one. The caller of an exec session with --exec-attach waits for the worker, and a terminal for its size.
 */
static int start_worker(Keeper *k) {
        const Options *o = k->options;

        if (!k->worker)
                return keeper_on_worker_ready(k);
        return o->exec_attach || o->terminal ? worker_process_start(k->worker)
                                             : worker_process_await(k->worker);
}

static int start_processes(Keeper *k) {
        int r;

        r = KEEPER_ASK(k, on_launch);
        if (r >= 0)
                r = keeper_spawn_runtime(k);
        if (r < 0)
                return relay(r);
        if (k->options->log_targets.passthrough)
                (void)detach_stdio();
        r = start_worker(k);
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_launch() - it is settled where the container belongs: make all it needs, start the runtime, and the worker
 * beside it
 */
void keeper_launch(Keeper *k) {
        int r;

        r = make_all(k);
        if (r >= 0)
                r = start_processes(k);
        if (r < 0)
                (void)keeper_fail(k, r, NULL);
}

/**
 * keeper_new() - a keeper that has not done anything yet
 * @options: borrowed, checked
 * @origin: borrowed; its descriptors are taken over one by one
 * @hooks: borrowed; ends with NULL
 *
 * SIGCHLD must be blocked, with the mask before that in @origin; all other signals that are taken are blocked from here on.
 *
 * Return: 0 or a negative errno.
 */
int keeper_new(Keeper **ret, const Options *options, Origin *origin, const KeeperHooks *const hooks[]) {
        _cleanup_(keeper_freep) Keeper *k = NULL;
        int r;

        k = memory_reserve(sizeof *k);
        if (!k)
                return fail(-ENOMEM);
        k->options = options;
        k->origin = origin;
        k->hooks = hooks;
        k->announcer = (Announcer){ .options = options, .plan = &k->plan };
        k->signals.fd = k->bundle_fd = k->runtime.pidfd = k->target.pidfd = -1;
        k->exit_status = 1;
        r = event_new(&k->event);
        if (r < 0)
                return relay(r);
        r = entry_queue_new(&k->entries, k->event);
        if (r < 0)
                return relay(r);
        log_set_sender(entry_queue_send, k->entries);
        log_set_journal(announce_log, &k->announcer);
        r = keeper_block_signals();
        if (r < 0)
                return relay(r);
        r = KEEPER_ASK(k, on_new);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(k);
        return 0;
}

/**
 * keeper_free() - let go of everything; the container is not touched
 *
 * Return: NULL.
 */
Keeper *keeper_free(Keeper *k) {
        if (!k)
                return NULL;
        log_set_journal(NULL, NULL);
        log_set_sender(NULL, NULL);
        KEEPER_TELL(k, on_free);
        k->entries = entry_queue_free(k->entries);
        k->drain.timer = timer_free(k->drain.timer);
        k->settle_timer = timer_free(k->settle_timer);
        k->end.files_timer = timer_free(k->end.files_timer);
        unit_stop_forget(k);
        k->exit_command.timer = timer_free(k->exit_command.timer);
        target_done(&k->target);
        k->signals.timer = timer_free(k->signals.timer);
        k->signals.source = sd_event_source_disable_unref(k->signals.source);
        fd_close_many(&k->signals.fd, 1);
        k->worker = worker_process_free(k->worker);
        k->ring = ring_free(k->ring);
        k->start = keeper_start_free(k->start);
        k->reaper = reaper_free(k->reaper);
        k->report = report_free(k->report);
        fd_close_many(&k->bundle_fd, 1);
        fd_close_many(&k->runtime.pidfd, 1);
        free(k->attach_link);
        k->event = event_unref(k->event);
        memory_release(k, sizeof *k);
        return NULL;
}

static KeeperStart *start_new(int start_fd) {
        KeeperStart *s = memory_reserve(sizeof *s); /* would leave a hole in the heap */

        if (!s)
                return NULL;
        s->start_fd = start_fd;
        s->hold = PLACE_HOLD_NONE;
        memset(s->worker_fds, -1, sizeof s->worker_fds);
        memset(s->runtime_stdio, -1, sizeof s->runtime_stdio);
        return s;
}

/**
 * keeper_start_free() - what nobody needs any more, once the container runs
 *
 * Return: NULL.
 */
KeeperStart *keeper_start_free(KeeperStart *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->caller);
        place_free(s->placer);
        console_free(s->console);
        place_let_go(&s->hold);
        fd_close_many(&s->start_fd, 1);
        fd_close_many(s->worker_fds, _CHANNEL_FD_MAX);
        fd_close_many(s->runtime_stdio, 3);
        memory_release(s, sizeof *s);
        return NULL;
}

/* ---- placement ---------------------------------------------------------------------------------------- */

/**
 * keeper_end_placing() - it is over, or nobody wants it any more
 */
void keeper_end_placing(Keeper *k) {
        k->start->caller = sd_event_source_disable_unref(k->start->caller);
        k->start->placer = place_free(k->start->placer);
}

static void on_placed(void *userdata, int result) {
        Keeper *k = userdata;
        KeeperStart *s = k->start;

        keeper_end_placing(k);
        if (result == PLACE_REFUSED && s->text.restarting > 0)
                refuse_restart(k);
        if (result == PLACE_REFUSED)
                (void)snprintf(s->failure, sizeof s->failure, "%s", s->text.refusal);
        if (result != 0) {
                (void)keeper_fail(k, result == PLACE_REFUSED ? fail(-EINVAL) : result, NULL);
                return;
        }
        (void)keeper_learn(k, (Facts){ .placed = true });
}

/* Nobody would start what the runtime makes. */
static int on_caller_gone(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)keeper_fail(userdata, -EPIPE, "The caller exited before the container was created");
        return 0;
}

/* The manager has been asked, which may take its time. */
static void watch_caller(Keeper *k) {
        int fd = report_sync_fd(k->report);

        if (fd >= 0) /* it need not be a pipe */
                (void)event_add_io(k->event, &k->start->caller, fd, 0, on_caller_gone, k);
}

static int begin_placing(Keeper *k) {
        Caller caller = { .pid = k->origin->caller,
                          .pidfd = k->origin->caller_pidfd,
                          .former_monitor = k->origin->former_monitor };
        PlaceSpec spec = { .options = k->options,
                           .caller = &caller,
                           .plan = &k->plan,
                           .text = &k->start->text,
                           .hold = &k->start->hold };
        bool doubled[_STREAM_MAX];
        int r;

        find_doubled(k, doubled);
        caller.logs_to_journal = doubled[STREAM_STDOUT] || doubled[STREAM_STDERR];
        r = place_new(&k->start->placer, k->event, &spec, on_placed, k);
        if (r < 0)
                return relay(r);
        place_start(k->start->placer);
        if (k->phase == PHASE_PLACING)
                watch_caller(k);
        return 0;
}

/* What is the process's, and what does not depend on where it belongs. */
static int start_prepare(Keeper *k) {
        int r;

        keep_inherited(k);
        r = keeper_make_report(k);
        if (r < 0)
                return relay(r);
        if (!k->options->log_targets.passthrough && !k->options->service) {
                r = detach_stdio();
                if (r < 0)
                        return relay(r);
        }
        (void)setsid(); /* fails for a leader of its group, which is as good */
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return fail(-errno);
        r = keeper_make_reaper(k);
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_start() - have the container placed; what follows from that comes from here, or from the loop
 *
 * A failure is told to the caller and ends the loop of keeper_run() at once.
 *
 * Return: 0 or a negative errno.
 */
int keeper_start(Keeper *k) {
        int r;

        k->start = start_new(k->origin->start_fd);
        if (!k->start)
                return fail(-ENOMEM);
        k->origin->start_fd = -1;
        r = start_prepare(k);
        if (r >= 0)
                r = begin_placing(k);
        if (r < 0 && !k->report)
                return relay(r);
        return r < 0 ? keeper_fail(k, r, NULL) : 0;
}
