/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The keeper's side of the worker. It owns every descriptor that must outlive one: the container's pipes and terminal,
 * the attach socket and all clients, the fifos, the log file. A worker gets copies.
 *
 * The first worker is forked, which costs least; its successors are exec'ed from our own binary, so that whoever
 * guessed an address in one has to guess anew. Both start with nothing but the channel.
 *
 * A worker's death is nothing special: what its last read brought is counted from the zombie, the next one is started
 * and told how far things have come. Only one that dies and dies again is restarted at leisure, once a second, for
 * ever. What a worker sends is not believed: a record is checked, a slot is looked up, a notification is filtered
 * again before it goes out under our name.
 *
 * Workers that die by themselves again and again, with nothing done, are hopeless: no memory, no descriptors, a kernel
 * that refuses their confinement. That is said once. Between two tries what the container writes is discarded and counted
 * from then on; its stdin is closed, and clients see the end, since nobody could ever serve them. The end of the
 * container does not wait for such a worker.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "report/announce.h"
#include "supervise/worker-process-internal.h"

#define DEATHS_MAX 5
#define DEATHS_USEC 10000000ULL
#define PAUSE_USEC 1000000ULL
#define PAUSE_SHORT_USEC 100000ULL /* after the first that could not be started */
#define FAILURES_MAX 8             /* five at once, three after a second each */

static int wp_send_packed(WorkerProcess *wp, const char *data, size_t size, const int *fds, size_t n_fds) {
        ssize_t n;

        if (wp->channel < 0)
                return 0;
        n = fd_send(wp->channel, data, size, fds, n_fds);
        if (n == -EPIPE || n == -ECONNRESET)
                return 0; /* it has just died, and the next one will be told */
        return n < 0 ? relay((int)n) : 0;
}

static int wp_send_record(WorkerProcess *wp, const ChannelRecord *record, const int *fds, size_t n_fds) {
        char data[64];

        return wp_send_packed(wp, data, channel_pack(data, sizeof data, record), fds, n_fds);
}

/**
 * worker_process_send() - send a record to the worker, if there is one
 * @fds: borrowed
 *
 * Return: 0 or a negative errno: -EAGAIN if it is too busy to take one.
 */
int worker_process_send(WorkerProcess *wp, ChannelType type, uint32_t number, const int *fds, size_t n_fds) {
        return wp_send_record(wp, &(ChannelRecord){ .type = type, .number = number }, fds, n_fds);
}

/* The descriptor is for when the keeper is gone: no reason not to run if none can be sent. */
static int wp_send_run(WorkerProcess *wp) {
        const WorkerProcessSpec *s = &wp->spec;
        ChannelRecord record = { .type = CHANNEL_RUN, .number = s->target_fd < 0, .count = s->started_usec };
        int r;

        r = wp_send_record(wp, &record, &s->target_fd, s->target_fd >= 0);
        if (r != -ETOOMANYREFS)
                return r;
        record.number = 1;
        return wp_send_record(wp, &record, NULL, 0);
}

/**
 * worker_process_give() - let the worker have a descriptor that we have got since it was started
 * @type: CHANNEL_CONSOLE or CHANNEL_LOGFILE, with @fd in the spec already; or CHANNEL_JOURNAL
 * @fd: borrowed
 *
 * If our user has too many descriptors on their way the worker is replaced by one that inherits it.
 *
 * Return: 0 or a negative errno.
 */
int worker_process_give(WorkerProcess *wp, ChannelType type, int fd) {
        int r;

        r = worker_process_send(wp, type, 0, &fd, 1);
        if (r != -ETOOMANYREFS)
                return r;
        wp->renewing = true;
        worker_pulse_hurry(wp);
        return worker_process_send(wp, CHANNEL_STOP, 0, NULL, 0);
}

static int wp_pay(WorkerProcess *wp, WorkerDebt debt) {
        switch (debt) {
        case WORKER_DEBT_TERMINAL:
                return worker_process_give(wp, CHANNEL_CONSOLE, wp->spec.fds[CHANNEL_FD_CONSOLE]);
        case WORKER_DEBT_RUN:
                return wp_send_run(wp);
        case WORKER_DEBT_DRAIN:
                return worker_process_send(wp, CHANNEL_DRAIN, 0, NULL, 0);
        case _WORKER_DEBT_MAX:
                break;
        }
        return 0;
}

/* Nobody waits here: what finds no room in the channel goes when there is some. */
static int wp_tell(WorkerProcess *wp) {
        int r = 0;

        for (WorkerDebt debt = 0; r >= 0 && debt < _WORKER_DEBT_MAX; debt++) {
                if (!(wp->owed & 1U << debt))
                        continue;
                r = wp_pay(wp, debt);
                if (r >= 0)
                        wp->owed &= ~(1U << debt);
        }
        if (r < 0 && r != -EAGAIN)
                return relay(r);
        r = sd_event_source_set_io_events(wp->channel_source, r < 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return r < 0 ? relay(r) : 0;
}

/* A worker that cannot be told has to go: the next one will be. */
static void wp_owe(WorkerProcess *wp, WorkerDebt debt) {
        wp->owed |= 1U << debt;
        if (wp->channel_source && !wp->orphaned && wp_tell(wp) < 0)
                worker_process_kill(wp);
}

static int wp_on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *wp = userdata;
        int r;

        if (revents & EPOLLOUT && wp_tell(wp) < 0)
                worker_process_kill(wp);
        if (!(revents & (EPOLLIN | EPOLLHUP)))
                return 0;
        r = worker_process_receive(wp);
        if (r < 0) {
                (void)log_error_errno(r, "Invalid message from worker, restarting it:");
                worker_process_kill(wp);
        }
        if (r <= 0 && revents & EPOLLHUP) /* its end comes through the reaper */
                wp->channel_source = sd_event_source_disable_unref(wp->channel_source);
        return 0;
}

/**
 * worker_process_kept() - tell the keeper of what would be needed after its death
 */
void worker_process_kept(WorkerProcess *wp, WorkerKept what, uint32_t index, int fd) {
        if (wp->handler->on_kept)
                wp->handler->on_kept(wp->userdata, what, index, fd);
}

/**
 * worker_process_set_client() - have a copy of a client, in place of the one of this slot
 * @slot: below ATTACH_SLOTS
 * @fd: adopted; -1: none
 *
 * Return: @fd, or -1 where memory has run out: there is no copy then.
 */
int worker_process_set_client(WorkerProcess *wp, uint32_t slot, int fd) {
        if (fd >= 0 && slot >= wp->n_clients) {
                size_t n = slot + 1;
                int *more = realloc(wp->clients, n * sizeof *more);

                if (!more) {
                        (void)close(fd);
                        return -1;
                }
                memset(more + wp->n_clients, -1, (n - wp->n_clients) * sizeof *more);
                wp->clients = more;
                wp->n_clients = n;
        }
        if (slot >= wp->n_clients)
                return -1;
        fd_close_many(&wp->clients[slot], 1);
        wp->clients[slot] = fd;
        return fd;
}

/**
 * worker_process_keep_client() - worker_process_set_client(), and tell the keeper
 */
void worker_process_keep_client(WorkerProcess *wp, uint32_t slot, int fd) {
        worker_process_kept(wp, WORKER_KEPT_CLIENT, slot, worker_process_set_client(wp, slot, fd));
}

/* ---- starting ----------------------------------------------------------------------------------------- */

/*
 * What it has and is to know, and then what it has to do. Nothing here needs a descriptor to be sent, as all of them have
 * been inherited: there may be too many of our user on their way already.
 */
static int wp_set_up(WorkerProcess *wp) {
        _cleanup_free_ char *data = malloc(CHANNEL_RECORD_MAX);
        size_t n;
        int r;

        if (!data)
                return fail(-ENOMEM);
        r = worker_setup_pack(wp, data, &n);
        if (r < 0)
                return relay(r);
        r = wp_send_packed(wp, data, n, NULL, 0);
        wp->owed = (wp->run ? 1U << WORKER_DEBT_RUN : 0U) | (wp->drain ? 1U << WORKER_DEBT_DRAIN : 0U);
        if (r >= 0)
                r = wp_tell(wp);
        return r < 0 ? relay(r) : 0;
}

static int wp_fork(WorkerProcess *wp, int theirs) {
        char *const *argv = wp->spec.argv;
        int r;

        r = process_fork_sharing(&wp->pid);
        if (r < 0)
                return relay(r);
        if (r > 0)
                return 0;
        if (wp->handler->on_fork)
                wp->handler->on_fork(wp->userdata);
        (void)ring_free(wp->spec.ring); /* it is mapped anew */
        free(wp);
        r = worker_run(theirs, argv);
        process_exit(r < 0 ? 1 : 0);
}

/* The title is there from the beginning, and what follows it goes when the worker writes it anew. */
static int wp_exec(WorkerProcess *wp, int theirs) {
        const WorkerState *state = ring_state(wp->spec.ring);
        _cleanup_close_ int null_fd = -1;
        char title[WORKER_TITLE_MAX], channel[64];
        char *argv[] = { title, channel, wp->spec.argv[0], NULL };
        int keep[WORKER_FDS_MAX + 1], r;
        size_t n_keep;

        (void)snprintf(title, sizeof title, "%.*s", WORKER_TITLE_MAX - 1, state->facts.title);
        (void)snprintf(channel, sizeof channel, WORKER_ARGUMENT "%d", theirs);
        n_keep = worker_setup_list_fds(wp, keep);
        keep[n_keep++] = theirs;
        null_fd = fd_open_null(O_RDWR);
        if (null_fd < 0)
                return relay(null_fd);
        r = process_spawn(&(ProcessSpec){ .path = "/proc/self/exe",
                                          .argv = argv,
                                          .envp = wp->spec.envp,
                                          .stdio = { null_fd, null_fd, null_fd },
                                          .wait_fd = -1,
                                          .keep_fds = keep,
                                          .n_keep_fds = n_keep },
                          &wp->pid, NULL);
        return r < 0 ? relay(r) : 0;
}

/* If it cannot be had the worker asks for one, when it has something to say. */
static void wp_connect(WorkerProcess *wp) {
        const Options *o = wp->spec.options;
        int fd = o->log_targets.journald || !o->exec ? log_open_journal()
                                                     : -1; /* ... or is to tell of the end */

        wp->spec.fds[CHANNEL_FD_JOURNAL] = fd >= 0 ? fd : -1;
}

static int wp_start(WorkerProcess *wp, int (*make)(WorkerProcess *wp, int theirs)) {
        _cleanup_close_ int theirs = -1;
        int ends[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return fail(-errno);
        wp->channel = ends[0];
        theirs = ends[1];
        wp_connect(wp);
        r = make(wp, theirs);
        if (r < 0)
                return relay(r);
        incident_watch(&wp->incidents, wp->pid);
        wp->started = true;
        wp->condemned = false;
        wp->renewing = false;
        worker_process_kept(wp, WORKER_KEPT_CHANNEL, 0, wp->channel);
        r = reaper_claim(wp->spec.reaper, wp->pid);
        if (r < 0)
                return relay(r);
        r = event_add_io(wp->event, &wp->channel_source, wp->channel, EPOLLIN, wp_on_ready, wp);
        if (r >= 0)
                r = worker_pulse_begin(wp);
        if (r < 0)
                return relay(r);
        return wp_set_up(wp);
}

/* ---- none at all ------------------------------------------------------------------------------------- */

/* What comes of whom, and where it is counted. */
static int wp_each_discard(WorkerProcess *wp, size_t i, uint64_t **ret_n_bytes) {
        static const struct {
                ChannelFd fd;
                StreamId id;
        } from[WORKER_DISCARDS] = { { CHANNEL_FD_STDOUT, STREAM_STDOUT },
                                    { CHANNEL_FD_STDERR, STREAM_STDERR },
                                    { CHANNEL_FD_CONSOLE, STREAM_STDOUT },
                                    { CHANNEL_FD_NOTIFY, _STREAM_MAX } };
        WorkerState *state = ring_state(wp->spec.ring);

        *ret_n_bytes = from[i].id < _STREAM_MAX ? &state->dropped[from[i].id] : NULL;
        return wp->spec.fds[from[i].fd];
}

static void wp_discard(WorkerProcess *wp) {
        for (size_t i = 0; i < WORKER_DISCARDS; i++) {
                uint64_t *n_bytes;
                int fd = wp_each_discard(wp, i, &n_bytes);

                if (fd >= 0 && discard_begin(&wp->discards[i], wp->event, fd, n_bytes) < 0)
                        log_warning(
                                "Failed to discard output of the container, retrying"); /* after the next try */
        }
}

static void wp_discard_end(WorkerProcess *wp) {
        for (size_t i = 0; i < WORKER_DISCARDS; i++)
                discard_end(&wp->discards[i]);
}

/* What has been read and no sink has taken. */
static void wp_count_lost(WorkerProcess *wp) {
        const bool wanted[_SINK_MAX] = { [SINK_FILE] = wp->spec.options->log_targets.file,
                                         [SINK_JOURNAL] = wp->spec.options->log_targets.journald };
        WorkerState *state = ring_state(wp->spec.ring);

        for (StreamId id = 0; id < _STREAM_MAX; id++)
                for (SinkId i = 0; i < _SINK_MAX; i++) {
                        Window w = ring_window(wp->spec.ring, id, state->sinks[i].position[id]);

                        if (wanted[i])
                                state->sinks[i].lost_bytes += window_size(&w);
                }
}

/**
 * worker_process_abandon() - the container has ended: nobody waits for a worker any more, be it one that might come or one
 * that cannot be killed
 *
 * What it leaves is counted as lost. on_done() is called from here.
 *
 * Return: 0 or a negative errno.
 */
int worker_process_abandon(WorkerProcess *wp) {
        if (wp->abandoned)
                return 0;
        wp->abandoned = true;
        timer_set(wp->pause_timer, TIMER_NEVER);
        worker_process_close_channel(wp);
        wp_discard_end(wp);
        if (!wp->drained)
                wp_count_lost(wp);
        if (wp->pid > 0)
                log_error("The worker cannot be killed, what it has not read is lost");
        for (size_t i = wp->drained || wp->pid > 0 ? WORKER_DISCARDS : 0; i < WORKER_DISCARDS; i++) {
                uint64_t *n_bytes;
                int fd = wp_each_discard(wp, i, &n_bytes);

                if (fd >= 0)
                        discard_now(fd, n_bytes);
        }
        return wp->handler->on_done(wp->userdata);
}

static void wp_close(WorkerProcess *wp, ChannelFd which) {
        if (wp->spec.fds[which] < 0)
                return;
        fd_close_many(&wp->spec.fds[which], 1);
        worker_process_kept(wp, WORKER_KEPT_FD, which, -1);
}

static uint64_t wp_n_discarded(const WorkerProcess *wp) {
        const WorkerState *state = ring_state(wp->spec.ring);

        return state->dropped[STREAM_STDOUT] + state->dropped[STREAM_STDERR];
}

static int wp_give_up(WorkerProcess *wp) {
        WorkerState *state = ring_state(wp->spec.ring);

        wp->hopeless = true;
        wp->discarded = wp_n_discarded(wp);
        for (uint32_t slot = 0; slot < wp->n_clients; slot++)
                if (wp->clients[slot] >= 0)
                        worker_process_keep_client(wp, slot, -1);
        memset(state->slots, 0, sizeof state->slots);
        wp_close(wp, CHANNEL_FD_LISTENER);
        wp_close(wp, CHANNEL_FD_STDIN);
        state->stdin_closed = true;
        return wp->handler->on_hopeless(wp->userdata, wp->error);
}

/**
 * worker_process_recovered() - a worker is ready; if none could be had before, this is over
 */
void worker_process_recovered(WorkerProcess *wp) {
        if (!wp->hopeless)
                return;
        wp->hopeless = false;
        wp->failures = 0;
        announce_loss(wp->spec.options, wp->spec.plan, "the monitor", 0, wp_n_discarded(wp) - wp->discarded,
                      0);
}

static uint64_t wp_n_done(const WorkerProcess *wp) {
        const WorkerState *state = ring_state(wp->spec.ring);
        uint64_t n = 0;

        for (SinkId i = 0; i < _SINK_MAX; i++)
                n += state->sinks[i].bytes;
        return n;
}

/* One has ended, or could not be started: is it hopeless by now? */
static int wp_note_failure(WorkerProcess *wp, bool own) {
        uint64_t n_done = wp_n_done(wp);

        if (!own || (n_done != wp->done_before && !wp->drain))
                wp->failures = 0;
        wp->done_before = n_done;
        if (!own || ++wp->failures < FAILURES_MAX || wp->hopeless)
                return 0;
        return wp_give_up(wp);
}

/* ---- its end ------------------------------------------------------------------------------------------ */

/**
 * worker_process_close_channel() - no worker is spoken to any more
 */
void worker_process_close_channel(WorkerProcess *wp) {
        worker_pulse_end(wp);
        wp->channel_source = sd_event_source_disable_unref(wp->channel_source);
        fd_close_many(&wp->channel, 1);
}

static int wp_on_pause_over(Timer *timer, void *userdata) {
        WorkerProcess *wp = userdata;

        wp_discard_end(wp);
        return worker_process_start_again(wp);
}

static int wp_pause(WorkerProcess *wp) {
        if (wp->hopeless && wp->drain)
                return worker_process_abandon(wp);
        if (wp->hopeless)
                wp_discard(wp);
        timer_set(wp->pause_timer,
                  wp->failures > 0 && wp->failures < DEATHS_MAX ? PAUSE_SHORT_USEC : PAUSE_USEC);
        return 0;
}

/* One that could not be started is tried again, like one that has died. */
static int wp_try(WorkerProcess *wp, int (*make)(WorkerProcess *wp, int theirs)) {
        int r;

        timer_set(wp->pause_timer, TIMER_NEVER);
        r = wp_start(wp, make);
        fd_close_many(&wp->spec.fds[CHANNEL_FD_JOURNAL], 1); /* the worker's own */
        if (r >= 0)
                return 0;
        wp->error = r;
        if (!wp->hopeless)
                (void)log_error_errno(r, "Failed to start a worker:");
        if (wp->pid > 0) { /* there is one, but it will not do: its end brings the next */
                worker_process_kill(wp);
                return 0;
        }
        worker_process_close_channel(wp);
        r = wp_note_failure(wp, true);
        return r < 0 ? relay(r) : wp_pause(wp);
}

/**
 * worker_process_start_again() - start another worker, now or in a moment
 *
 * Return: 0.
 */
int worker_process_start_again(WorkerProcess *wp) {
        return wp_try(wp, wp_exec);
}

static bool wp_dies_too_often(WorkerProcess *wp) {
        uint64_t now = event_now();

        if (now - wp->deaths_since > DEATHS_USEC) {
                wp->deaths_since = now;
                wp->deaths = 0;
        }
        return ++wp->deaths > DEATHS_MAX;
}

/**
 * worker_process_on_exit() - the worker has ended and is a zombie still
 *
 * Return: 0 or a negative errno.
 */
int worker_process_on_exit(WorkerProcess *wp, const ProcessStatus *status) {
        bool own;
        int r;

        while (wp->channel >= 0 && worker_process_receive(wp) > 0)
                ; /* what it said before it died */
        worker_process_close_channel(wp);
        worker_process_orphan_over(wp);
        if (wp->done && status->code == 0) {
                wp->pid = 0;
                return wp->handler->on_done(wp->userdata);
        }
        if (wp->abandoned) {
                wp->pid = 0;
                return 0;
        }
        wp->ended = false; /* the next one will say so itself */
        incident_recover(&wp->incidents, wp->pid);
        fd_close_many(&wp->incidents.io_fd, 1);
        wp->pid = 0;
        if (wp->renewing && status->known && status->code == 0) {
                wp->renewing = false;
                return worker_process_start_again(wp);
        }
        if (!wp->hopeless)
                incident_death(&wp->incidents, status);
        own = wp->condemned || (status->signal != SIGKILL && status->signal != SIGTERM);
        r = wp_note_failure(wp, own);
        if (r < 0)
                return relay(r);
        if (worker_pulse_is_hopeless(wp))
                return worker_process_abandon(wp);
        return wp_dies_too_often(wp) || wp->hopeless ? wp_pause(wp) : worker_process_start_again(wp);
}

/* ---- what the keeper asks for ------------------------------------------------------------------------- */

/**
 * worker_process_new() - keep what a worker needs; none runs yet
 *
 * The descriptors in @spec are adopted, also on failure; its strings are borrowed.
 *
 * Return: 0 or a negative errno.
 */
int worker_process_new(WorkerProcess **ret,
                       Event *event,
                       const WorkerProcessSpec *spec,
                       const WorkerProcessHandler *handler,
                       void *userdata) {
        _cleanup_(worker_process_freep) WorkerProcess *wp = NULL;
        int r;

        wp = calloc(1, sizeof *wp);
        if (!wp) {
                WorkerProcessSpec copy = *spec;

                fd_close_many(copy.fds, _CHANNEL_FD_MAX);
                fd_close_many(&copy.log_dir_fd, 1);
                return fail(-ENOMEM);
        }
        wp->event = event_ref(event);
        wp->spec = *spec;
        wp->incidents =
                (Incidents){ .options = spec->options, .plan = spec->plan, .ring = spec->ring, .io_fd = -1 };
        suppressed_init(&wp->suppressed, event, spec->options, spec->plan, spec->ring);
        wp->handler = handler;
        wp->userdata = userdata;
        wp->channel = wp->orphan_pidfd = wp->former_ring = wp->pulse.epoll_fd = -1;
        r = event_add_timer(event, &wp->pause_timer, TIMER_NEVER, wp_on_pause_over, wp);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(wp);
        return 0;
}

/**
 * worker_process_free() - let go of everything; a worker that runs sees its channel close
 *
 * Return: NULL.
 */
WorkerProcess *worker_process_free(WorkerProcess *wp) {
        if (!wp)
                return NULL;
        worker_process_close_channel(wp);
        suppressed_done(&wp->suppressed);
        wp_discard_end(wp);
        wp->pause_timer = timer_free(wp->pause_timer);
        wp->orphan_timer = timer_free(wp->orphan_timer);
        fd_close_many(&wp->incidents.io_fd, 1);
        fd_close_many(&wp->orphan_pidfd, 1);
        fd_close_many(&wp->former_ring, 1);
        fd_close_many(wp->clients, wp->n_clients);
        free(wp->clients);
        fd_close_many(wp->spec.fds, _CHANNEL_FD_MAX);
        fd_close_many(&wp->spec.log_dir_fd, 1);
        event_unref(wp->event);
        free(wp);
        return NULL;
}

/**
 * worker_process_start() - start the first worker, now or in a moment
 *
 * Returns in that worker's process never. If it cannot be started the next one is tried, as after a death. Without effect
 * if there has been one.
 *
 * Return: 0.
 */
int worker_process_start(WorkerProcess *wp) {
        if (wp->started)
                return 0;
        worker_pulse_end(wp); /* a descriptor that the worker may need */
        wp->started = true;
        return wp_try(wp, wp_fork);
}

/**
 * worker_process_await() - start the first worker when it has something to do: there is output, a client, a message
 *
 * worker_process_start() starts it earlier. Where nothing can be watched it is started at once.
 *
 * Return: 0.
 */
int worker_process_await(WorkerProcess *wp) {
        return worker_pulse_await(wp) < 0 ? worker_process_start(wp) : 0;
}

/**
 * worker_process_pid() - the worker that runs, 0 if none does
 */
pid_t worker_process_pid(const WorkerProcess *wp) {
        return wp->pid;
}

/**
 * worker_process_set_terminal() - the container's terminal has come
 * @master: adopted
 *
 * Return: 0 or a negative errno.
 */
int worker_process_set_terminal(WorkerProcess *wp, int master) {
        fd_close_many(&wp->spec.fds[CHANNEL_FD_CONSOLE], 1);
        wp->spec.fds[CHANNEL_FD_CONSOLE] = master;
        worker_pulse_changed(wp);
        wp_owe(wp, WORKER_DEBT_TERMINAL);
        return 0;
}

/**
 * worker_process_run() - the container runs: its output goes to the sinks from now on
 * @target_fd: its pidfd, borrowed for as long as there are workers; -1 if unknown
 *
 * Return: 0 or a negative errno.
 */
int worker_process_run(WorkerProcess *wp, int target_fd) {
        wp->run = true;
        wp->spec.target_fd = target_fd;
        wp->spec.started_usec = event_now();
        wp_owe(wp, WORKER_DEBT_RUN);
        return 0;
}

/**
 * worker_process_drain() - the target has ended; on_drained() follows, or is called from here
 *
 * Where there has been no worker and there is nothing to do for one, on_done() is called.
 *
 * Return: 0 or a negative errno.
 */
int worker_process_drain(WorkerProcess *wp) {
        wp->drain = true;
        if (!wp->started && worker_pulse_has_work(wp))
                (void)worker_process_start(wp);
        if (!wp->started || (wp->hopeless && wp->pid == 0))
                return worker_process_abandon(wp);
        wp_owe(wp, WORKER_DEBT_DRAIN);
        worker_pulse_hurry(wp);
        if (!wp->ended || wp->drained)
                return 0;
        wp->drained = true;
        return wp->handler->on_drained(wp->userdata);
}

/**
 * worker_process_kill() - end a worker that cannot be waited for any longer
 */
void worker_process_kill(WorkerProcess *wp) {
        if (wp->pid > 0)
                (void)process_kill_child(wp->pid, SIGKILL);
        wp->condemned = wp->pid > 0;
}
