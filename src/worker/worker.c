/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker: container output, log sinks, attach clients, ctl and winsz lines, the filtering of notifications. All
 * that a hostile container or client can send is parsed here and nowhere else; so the worker is confined, never forks
 * or execs, opens nothing (but makes two files, if the keeper cannot: worker-orphan.c), and may die at any instruction.
 * What the next one needs is in the ring.
 *
 * It inherits its descriptors and is told in the channel's first record which they are; all others are closed. The keeper never waits for it; it may wait a moment for the keeper, which never blocks.
 *
 * The loop has no signals, and all reads go through the ring (see ring.c for why).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/sandbox.h"
#include "worker/worker-internal.h"

#define KEEPER_WAIT_MS 1000

/* ---- talking to the keeper ---------------------------------------------------------------------------- */

/* Return: 0, also if nobody will ever take it, or a negative errno. */
static int send_now(Worker *w, const char *data, size_t n, const int *fds, size_t n_fds) {
        ssize_t sent;

        if (w->keeper_gone)
                return 0;
        sent = fd_send(w->channel, data, n, fds, n_fds);
        if (sent == -EPIPE || sent == -ECONNRESET)
                w->unheard = true;
        return sent < 0 && !w->unheard ? (int)sent : 0;
}

static int send_packed(Worker *w, const ChannelRecord *record, char *data, size_t size) {
        size_t n = channel_pack(data, size, record);
        struct pollfd p = { .fd = w->channel, .events = POLLOUT };
        int r;

        while ((r = send_now(w, data, n, NULL, 0)) == -EAGAIN && record->type != CHANNEL_NOTIFY)
                if (poll(&p, 1, KEEPER_WAIT_MS) == 0)
                        return fail(-ETIMEDOUT);
        return r < 0 ? relay(r) : 0;
}

/* Its frame is for itself: a stack stays as deep as it has once been. */
static int __attribute__((noinline)) send_long(Worker *w, const ChannelRecord *record) {
        char data[CHANNEL_RECORD_MAX];

        return send_packed(w, record, data, sizeof data);
}

/**
 * worker_send() - send a record to the keeper
 *
 * Waits a moment if the channel is full, except with a notification: those may be lost.
 *
 * Return: 0, also when there is no keeper any more, or a negative errno.
 */
int worker_send(Worker *w, const ChannelRecord *record) {
        char data[CHANNEL_SHORT_MAX];

        if (record->n_text > sizeof data - (CHANNEL_RECORD_MAX - CHANNEL_TEXT_MAX))
                return send_long(w, record);
        return send_packed(w, record, data, sizeof data);
}

/**
 * worker_pass() - send a notification with a descriptor to the keeper
 * @record: with a text of a few hundred bytes at most
 * @fd: borrowed
 *
 * Return: 0, or a negative errno: -EAGAIN if the channel is full, -ETOOMANYREFS if too much is on its way.
 */
int worker_pass(Worker *w, const ChannelRecord *record, int fd) {
        char data[CHANNEL_SHORT_MAX];
        int r;

        r = send_now(w, data, channel_pack(data, sizeof data, record), &fd, 1);
        return r < 0 ? relay(r) : 0;
}

/**
 * worker_offer() - let the keeper have a copy of a client
 * @fd: borrowed
 *
 * All that our user has on its way counts, whoever has sent it, and there is a limit. Beyond it the keeper is told the
 * number and takes the copy itself. Without one the client is served all the same, by this worker.
 */
void worker_offer(Worker *w, uint32_t slot, int fd) {
        const ChannelRecord record = { .type = CHANNEL_CLIENT_NEW, .number = slot, .value = fd };
        struct pollfd p = { .fd = w->channel, .events = POLLOUT };
        char data[64];
        size_t n = channel_pack(data, sizeof data, &record);
        int r;

        while ((r = send_now(w, data, n, &fd, 1)) == -EAGAIN && poll(&p, 1, KEEPER_WAIT_MS) > 0)
                ;
        if (r < 0 && r != -EAGAIN)
                (void)send_now(w, data, n, NULL, 0);
}

/**
 * worker_tell() - worker_send() of a record with a number at most
 *
 * Return: 0 or a negative errno.
 */
int worker_tell(Worker *w, ChannelType type, uint32_t number) {
        return worker_send(w, &(ChannelRecord){ .type = type, .number = number });
}

/* ---- start -------------------------------------------------------------------------------------------- */

static int worker_open_terminal(Worker *w, int master) {
        int r;

        r = streams_add_terminal(w->streams, master, !w->state->stdin_closed);
        if (r < 0)
                return relay(r);
        return worker_input_terminal(w);
}

static int worker_set_up(Worker *w) {
        int r;

        r = ring_map(&w->ring, TAKE_FD(w->fds[CHANNEL_FD_RING]), sizeof(WorkerState));
        if (r < 0)
                return relay(r);
        w->state = ring_state(w->ring);
        w->io_fd =
                open("/proc/self/io", O_RDONLY | O_CLOEXEC); /* without it a packet may reach stdin twice */

        worker_raw(w);
        r = worker_output_open(w);
        if (r < 0)
                return relay(r);
        r = worker_input_open(w);
        if (r < 0)
                return relay(r);
        r = ring_begin(w->ring);
        if (r < 0)
                return relay(r);
        worker_orphan_prepare(w);
        r = worker_confine(&w->exit_files);
        if (r < 0)
                return relay(r);

        if (w->fds[CHANNEL_FD_CONSOLE] >= 0)
                r = worker_open_terminal(w, TAKE_FD(w->fds[CHANNEL_FD_CONSOLE]));
        else
                r = worker_input_start(w);
        if (r < 0)
                return relay(r);
        w->state->facts.title[WORKER_TITLE_MAX - 1] = 0;
        if (w->state->facts.title[0])
                process_set_title(w->argv, w->state->facts.title);
        return worker_tell(w, CHANNEL_READY, (uint32_t)w->root_error);
}

/* ---- the keeper's records ----------------------------------------------------------------------------- */

static int worker_dispatch(Worker *w, const ChannelRecord *record, int *fds) {
        switch (record->type) {
        case CHANNEL_CONSOLE:
                return worker_open_terminal(w, TAKE_FD(fds[0]));
        case CHANNEL_RUN:
                fd_close_many(&w->target_fd, 1);
                w->target_fd = record->number == 0 ? TAKE_FD(fds[0]) : -1;
                w->started_usec = record->count;
                timer_set(w->settle_timer, MEMORY_SETTLE_USEC);
                return worker_output_run(w);
        case CHANNEL_LOGFILE:
                return w->sinks ? sinks_set_file(w->sinks, record->number == 0 ? TAKE_FD(fds[0]) : -1) : 0;
        case CHANNEL_JOURNAL:
                return worker_sinks_set_journal(w, record->number == 0 ? TAKE_FD(fds[0]) : -1,
                                                (int)(record->number & 4095));
        case CHANNEL_DRAIN:
                if (w->notify && notify_drain(w->notify) < 0)
                        return fail(-EIO);
                return worker_output_drain(w);
        case CHANNEL_STOP:
                event_exit(w->event, 0); /* what comes after it is the next worker's */
                return 0;
        case CHANNEL_PING:
                return worker_tell(w, CHANNEL_PONG, 0);
        case CHANNEL_NONE:
        case CHANNEL_SETUP:
        case CHANNEL_READY:
        case CHANNEL_CLIENT_NEW:
        case CHANNEL_CLIENT_GONE:
        case CHANNEL_REOPEN:
        case CHANNEL_CONNECT:
        case CHANNEL_STDIN_CLOSED:
        case CHANNEL_NOTIFY:
        case CHANNEL_TROUBLE:
        case CHANNEL_DRAINED:
        case CHANNEL_DONE:
        case CHANNEL_PONG:
        case _CHANNEL_MAX:
                break;
        }
        return fail(-EBADMSG);
}

static int worker_on_record(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Worker *w = userdata;
        char data[CHANNEL_SHORT_MAX];
        int fds[_CHANNEL_FD_MAX];
        ChannelRecord record;
        size_t n_fds = 0;
        ssize_t n;
        int r;

        n = fd_receive(fd, data, sizeof data, fds, ELEMENTS(fds), &n_fds);
        if (n == -EAGAIN || n == -ECONNRESET) /* it died, and what it said before is still to come */
                return 0;
        if (n < 0)
                return relay((int)n);
        if (n == 0)
                return worker_orphaned(w);

        r = channel_unpack(data, (size_t)n, &record);
        if (r >= 0 && !channel_takes_fds(&record, n_fds))
                r = -EBADMSG;
        r = r < 0 ? fail(r) : worker_dispatch(w, &record, fds);
        fd_close_many(fds, n_fds);
        if (r < 0)
                event_exit(w->event, r); /* the keeper starts another one */
        return 0;
}

/*
 * Somebody has made us try what a worker never does. The keeper is told the name of it, then the signal does its work.
 * Nothing of ours can be believed here any more but the number of the channel, which is the same in every worker.
 */
static void worker_on_forbidden(int signal_number, siginfo_t *info, void *context) {
        const char *name = sandbox_call_name(info->si_syscall);
        ChannelRecord record = { .type = CHANNEL_TROUBLE,
                                 .number = CHANNEL_TROUBLE_SANDBOX,
                                 .value = info->si_syscall,
                                 .text = name,
                                 .n_text = strlen(name) };
        char data[128];

        (void)fd_send(WORKER_CHANNEL, data, channel_pack(data, sizeof data, &record), NULL, 0);
        (void)signal(SIGSYS, SIG_DFL);
        (void)raise(SIGSYS); /* held back until we return */
}

/**
 * worker_confine() - from here on nothing but what a worker does
 * @files: which it may make
 *
 * The channel is WORKER_CHANNEL.
 *
 * Return: 0 or a negative errno; then it is not to go on.
 */
int worker_confine(const ExitFiles *files) {
        const struct sigaction forbidden = { .sa_sigaction = worker_on_forbidden, .sa_flags = SA_SIGINFO };

        if (sigaction(SIGSYS, &forbidden, NULL) < 0)
                return fail(-errno);
        return sandbox_enter(files);
}

/* What comes now is the rest of our life; a short one needs no tidying. */
static int worker_on_settled(Timer *timer, void *userdata) {
        memory_trim();
        return 0;
}

/* They mean the container, or the keeper. What nobody ignores by name is never taken, but for our own faults. */
static void worker_ignore_signals(void) {
        static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ };
        static const int faults[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP };
        sigset_t others;

        for (size_t i = 0; i < ELEMENTS(signals); i++)
                (void)signal(signals[i], SIG_IGN);
        (void)signal(SIGCHLD, SIG_DFL);
        (void)sigfillset(&others);
        for (size_t i = 0; i < ELEMENTS(faults); i++)
                (void)sigdelset(&others, faults[i]);
        (void)sigprocmask(SIG_SETMASK, &others, NULL);
}

/* Why it ends, which its exit status cannot say. */
static int worker_fail(int channel_fd, int error) {
        const ChannelRecord record = { .type = CHANNEL_TROUBLE,
                                       .number = CHANNEL_TROUBLE_FAILED,
                                       .value = -error };
        char data[64];

        (void)fd_send(channel_fd, data, channel_pack(data, sizeof data, &record), NULL, 0);
        return relay(error);
}

static void worker_done(Worker *w) {
        worker_input_close(w);
        worker_output_close(w);
        fd_close_many(w->fds, _CHANNEL_FD_MAX);
        fd_close_many(&w->io_fd, 1);
        free(w->config_texts);
        w->target_watch = exit_watch_free(w->target_watch);
        fd_close_many(&w->target_fd, 1);
        w->ring = ring_free(w->ring);
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        w->settle_timer = timer_free(w->settle_timer);
        w->event = event_unref(w->event);
}

/* ---- what it starts with ------------------------------------------------------------------------------ */

/* What a worker inherits. */
typedef struct Inherited {
        int *fds[WORKER_FDS_MAX]; /* where each of them is kept */
        size_t n_fds;
        int clients[ATTACH_SLOTS];
} Inherited;

static int worker_take_setup(Worker *w, const ChannelRecord *record, Inherited *in) {
        uint32_t what;
        size_t at = 0;
        int fd, *place;

        if (record->type != CHANNEL_SETUP)
                return fail(-EBADMSG);
        while (channel_setup_next(record, &at, &what, &fd)) {
                if (what >= WORKER_FDS_MAX || fd <= STDERR_FILENO)
                        return fail(-EBADMSG);
                place = what < _CHANNEL_FD_MAX ? &w->fds[what] : &in->clients[what - _CHANNEL_FD_MAX];
                if (*place >= 0)
                        return fail(-EBADMSG);
                *place = fd;
                w->n_inherited += what >= _CHANNEL_FD_MAX;
                in->fds[in->n_fds++] = place;
        }
        return worker_config_unpack(&w->config, record->text + at, record->n_text - at, &w->config_texts);
}

/* All others are closed, and the channel goes where the handler of SIGSYS finds it. */
static int worker_sort_fds(Inherited *in, int channel) {
        int keep[WORKER_FDS_MAX + 1], r;

        for (size_t i = 0; i < in->n_fds; i++)
                keep[i] = *in->fds[i];
        keep[in->n_fds] = channel;
        r = fd_close_all_but(keep, in->n_fds + 1);
        if (r < 0)
                return relay(r);
        if (channel == WORKER_CHANNEL)
                return 0;
        for (size_t i = 0; i < in->n_fds; i++)
                if (*in->fds[i] == WORKER_CHANNEL && (*in->fds[i] = fd_dup(WORKER_CHANNEL)) < 0)
                        return relay(*in->fds[i]);
        if (dup3(channel, WORKER_CHANNEL, O_CLOEXEC) < 0)
                return fail(-errno);
        (void)close(channel);
        return 0;
}

/* The keeper sends it at once. */
static ssize_t worker_wait_for_setup(int channel, char *data, size_t size) {
        struct pollfd p = { .fd = channel, .events = POLLIN };
        size_t n_fds = 0;
        ssize_t n;

        do {
                (void)poll(&p, 1, -1);
                n = fd_receive(channel, data, size, NULL, 0, &n_fds);
        } while (n == -EAGAIN);
        return n != 0 ? n : fail(-ECONNRESET);
}

static int worker_open_loop(Worker *w) {
        int r;

        r = event_new(&w->event);
        if (r < 0)
                return relay(r);
        r = event_add_io(w->event, &w->channel_source, WORKER_CHANNEL, EPOLLIN, worker_on_record, w);
        if (r < 0)
                return relay(r);
        /* clients are accepted before, output is read after */
        (void)sd_event_source_set_priority(w->channel_source, EVENT_PRIORITY_EARLY);
        r = event_add_timer(w->event, &w->settle_timer, MEMORY_SETTLE_USEC, worker_on_settled, NULL);
        return r < 0 ? relay(r) : 0;
}

static int worker_read_setup(Worker *w, Inherited *in) {
        _cleanup_free_ char *data = malloc(CHANNEL_RECORD_MAX);
        ChannelRecord record;
        ssize_t n;
        int r;

        if (!data)
                return fail(-ENOMEM);
        n = worker_wait_for_setup(w->channel, data, CHANNEL_RECORD_MAX);
        if (n < 0)
                return relay((int)n);
        r = channel_unpack(data, (size_t)n, &record);
        if (r >= 0)
                r = worker_take_setup(w, &record, in);
        return r < 0 ? relay(r) : 0;
}

/*
 * Descriptors first, then what is made of them, then the clients of the worker before. The frame is for itself: a
 * stack stays as deep as it has once been.
 */
static int __attribute__((noinline)) worker_begin(Worker *w) {
        Inherited in = { .n_fds = 0 };
        int r;

        memset(in.clients, -1, sizeof in.clients);
        r = worker_read_setup(w, &in);
        if (r >= 0)
                r = worker_sort_fds(&in, w->channel);
        if (r < 0)
                return relay(r);
        w->channel = WORKER_CHANNEL;
        r = worker_open_loop(w);
        if (r >= 0)
                r = worker_set_up(w);
        for (uint32_t slot = 0; r >= 0 && slot < ATTACH_SLOTS; slot++)
                if (in.clients[slot] >= 0 &&
                    w->attach) /* fails if it was being ended and its slot has another */
                        (void)attach_adopt(w->attach, slot, in.clients[slot]);
        return r < 0 ? relay(r) : 0;
}

/**
 * worker_run() - be a worker until the container's output has ended
 * @channel_fd: becomes WORKER_CHANNEL; all other descriptors from 3 up are closed, but those its first record names
 * @argv: of main(); overwritten with a title
 *
 * tzset() has been called: it reads a file, which a worker may not. Memory is left to the end of the process, which is
 * near.
 *
 * Return: 0 at the ordinary end, or a negative errno.
 */
int worker_run(int channel_fd, char *const *argv) {
        Worker w = { .argv = argv, .channel = channel_fd, .io_fd = -1, .target_fd = -1 };
        int r;

        memset(w.fds, -1, sizeof w.fds);
        /* A worker has nothing to say but the trail of an error; who would have told it, in a keeper, is gone. */
        if (log_wants(LOG_LEVEL_TRACE))
                log_set_journal(NULL, NULL); /* which takes a page that keeper and worker share */
        worker_ignore_signals();
        (void)prctl(PR_SET_TIMERSLACK,
                    1); /* a rest (gather.c) is shorter than the 50 us by which timers are late */
        r = worker_begin(&w);
        if (r >= 0)
                r = event_run(w.event);
        if (r >= 0 && w.keeper_gone)
                worker_orphan_tell(&w);
        worker_done(&w);
        return r < 0 ? worker_fail(w.channel, r) : 0;
}
