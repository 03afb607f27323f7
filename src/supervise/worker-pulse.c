/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether the worker still works. One that has died is replaced; one that is stopped, sleeps in a system call or runs in
 * circles has to be found out first.
 *
 * It is asked only while there is something to do. As long as nothing is, the keeper waits for the container's output,
 * a client or a notification like the worker itself, and is woken by the first. It looks again INTERVAL_USEC later: if
 * something can be read then, perhaps for a good reason, the worker is asked, and any that still turns its loop answers.
 * An idle container costs no wake-up, a busy one two and a question in INTERVAL_USEC.
 *
 * A worker that does not answer is killed and another one goes on, except while it waits for the log's file system, for a
 * disk or for a processor: then it has LONG_USEC.
 *
 * At the end callers wait: it is asked sooner. If another one has no answer either, or the first cannot be killed, what
 * is left in the pipes is lost and counted, as far as it can be: a pipe on which a killed worker hangs is not touched.
 */

#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/proc.h"
#include "supervise/worker-process-internal.h"

#define INTERVAL_USEC 10000000U
#define PATIENCE_USEC 3000000U
#define START_USEC 10000000U /* for the first answer, which is CHANNEL_READY */
#define END_INTERVAL_USEC 300000U
#define END_PATIENCE_USEC 1000000U
#define END_START_USEC PATIENCE_USEC
#define LONG_USEC 30000000U
#define AGAIN_USEC 500000U /* between two looks at a worker that may take long */
#define DEATH_USEC 800000U /* for one that was killed to be gone */
#define STUCK_MAX 2        /* workers that did not answer at the end */

static bool is_ending(const WorkerProcess *wp) {
        return wp->drain && !wp->drained;
}

static uint64_t cpu_usec(pid_t pid) {
        struct timespec t;
        clockid_t clock;

        if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
                return 0;
        return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

static void pulse_set(WorkerProcess *wp, PulseState state, uint64_t usec) {
        wp->pulse.state = state;
        wp->pulse.due_usec = event_now() + usec;
        timer_set(wp->pulse.timer, usec);
}

/* From now on an answer is waited for. */
static void pulse_expect(WorkerProcess *wp, uint64_t usec) {
        wp->pulse.asked_usec = event_now();
        wp->pulse.cpu_usec = cpu_usec(wp->pid);
        pulse_set(wp, PULSE_ASKED, usec);
}

static uint64_t pulse_patience(const WorkerProcess *wp) {
        if (wp->pulse.beginning)
                return is_ending(wp) ? END_START_USEC : START_USEC;
        return is_ending(wp) ? END_PATIENCE_USEC : PATIENCE_USEC;
}

static void pulse_ask(WorkerProcess *wp) {
        (void)worker_process_send(wp, CHANNEL_PING, 0, NULL,
                                  0); /* no room: what is there is a question, too */
        pulse_expect(wp, pulse_patience(wp));
}

static int pulse_on_work(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *wp = userdata;

        if (wp->pulse.state == PULSE_RESTING)
                pulse_set(wp, PULSE_DUE, INTERVAL_USEC);
        return 0;
}

static void pulse_unwatch(Pulse *p) {
        p->source = sd_event_source_disable_unref(p->source);
        fd_close_many(&p->epoll_fd, 1);
}

/* What there may be to do for the worker. */
static const ChannelFd pulse_watched[] = { CHANNEL_FD_STDOUT,   CHANNEL_FD_STDERR, CHANNEL_FD_CONSOLE,
                                           CHANNEL_FD_LISTENER, CHANNEL_FD_NOTIFY, CHANNEL_FD_CTL,
                                           CHANNEL_FD_WINSZ };

/* All of that in one descriptor. */
static int pulse_watch(WorkerProcess *wp) {
        _cleanup_close_ int epoll_fd = -1;

        if (wp->pulse.epoll_fd >= 0)
                return 0;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0)
                return fail(-errno);
        for (size_t i = 0; i < ELEMENTS(pulse_watched); i++) {
                int fd = wp->spec.fds[pulse_watched[i]];

                if (fd >= 0 &&
                    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN }) < 0)
                        return fail(-errno);
        }
        wp->pulse.epoll_fd = TAKE_FD(epoll_fd);
        return 0;
}

/**
 * worker_pulse_has_work() - whether there is something for a worker to read
 *
 * A pipe that nobody writes to any more is no work, and would wake us for ever.
 */
bool worker_pulse_has_work(WorkerProcess *wp) {
        struct pollfd fds[ELEMENTS(pulse_watched)];
        bool work = false;

        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = (struct pollfd){ .fd = wp->spec.fds[pulse_watched[i]], .events = POLLIN };
        if (poll(fds, ELEMENTS(fds), 0) < 0)
                return true;
        for (size_t i = 0; i < ELEMENTS(fds); i++) {
                work = work || fds[i].revents & POLLIN;
                if (fds[i].revents && !(fds[i].revents & POLLIN) && wp->pulse.epoll_fd >= 0)
                        (void)epoll_ctl(wp->pulse.epoll_fd, EPOLL_CTL_DEL, fds[i].fd, NULL);
        }
        return work;
}

/* Nothing to do, or it is being done. */
static void pulse_rest(WorkerProcess *wp) {
        Pulse *p = &wp->pulse;
        int r;

        r = pulse_watch(wp);
        if (r >= 0 && !p->source)
                r = event_add_io(wp->event, &p->source, p->epoll_fd, EPOLLIN, pulse_on_work, wp);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->source, SD_EVENT_ONESHOT);
        if (r < 0) { /* too few of something: by the clock alone */
                pulse_unwatch(p);
                pulse_set(wp, PULSE_DUE, INTERVAL_USEC);
                return;
        }
        pulse_set(wp, PULSE_RESTING, TIMER_NEVER);
}

/**
 * worker_pulse_excuses() - whether it does what may take long, or would answer if it had a processor
 *
 * File systems in user space let whoever waits for them sleep like for anything else; all others, and missing pages, in
 * state D. So does the lock of a pipe, which its other end may hold for ever: at the end that is not waited for.
 */
bool worker_pulse_excuses(const PulseSight *sight) {
        if (sight->waited_usec >= LONG_USEC)
                return false;
        switch (sight->state) {
        case 'D':
                return sight->busy || !sight->ending;
        case 'S':
                return sight->busy;
        case 'R':
                return sight->busy || sight->cpu_usec < sight->waited_usec / 2;
        default:
                return false;
        }
}

static bool pulse_is_excused(const WorkerProcess *wp) {
        const WorkerState *state = ring_state(wp->spec.ring);
        PulseSight sight = { .ending = is_ending(wp),
                             .busy = state->sinks[SINK_FILE].busy,
                             .waited_usec = event_now() - wp->pulse.asked_usec,
                             .cpu_usec = cpu_usec(wp->pid) - wp->pulse.cpu_usec };
        ProcStat stat;

        if (proc_stat(wp->pid, &stat) < 0)
                return false;
        sight.state = stat.state;
        return worker_pulse_excuses(&sight);
}

static void pulse_judge(WorkerProcess *wp) {
        if (event_now() - wp->pulse.due_usec >=
            AGAIN_USEC) /* we have not had a processor either, or were frozen with it */
                pulse_expect(wp, pulse_patience(wp));
        else if (pulse_is_excused(wp))
                pulse_set(wp, PULSE_ASKED, AGAIN_USEC);
        else {
                log_warning("The worker does not answer, killing it");
                wp->pulse.n_stuck += is_ending(wp);
                worker_process_kill(wp);
                pulse_set(wp, PULSE_KILLED, DEATH_USEC);
        }
}

static int pulse_on_time(Timer *timer, void *userdata) {
        WorkerProcess *wp = userdata;

        switch (wp->pulse.state) {
        case PULSE_RESTING:
                return 0;
        case PULSE_DUE:
                if (is_ending(wp) || worker_pulse_has_work(wp))
                        pulse_ask(wp);
                else
                        pulse_rest(wp);
                return 0;
        case PULSE_ASKED:
                pulse_judge(wp);
                return 0;
        case PULSE_KILLED:
                return wp->drain ? worker_process_abandon(wp)
                                 : 0; /* else its end brings the next, whenever it comes */
        }
        return 0;
}

static int pulse_on_first_work(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *wp = userdata;

        return worker_pulse_has_work(wp) ? worker_process_start(wp) : 0;
}

/**
 * worker_pulse_await() - there is no worker yet: worker_process_start() is called when one has something to do
 *
 * Return: 0 or a negative errno.
 */
int worker_pulse_await(WorkerProcess *wp) {
        int r;

        r = pulse_watch(wp);
        if (r >= 0)
                r = event_add_io(wp->event, &wp->pulse.source, wp->pulse.epoll_fd, EPOLLIN,
                                 pulse_on_first_work, wp);
        if (r < 0)
                pulse_unwatch(&wp->pulse);
        return r < 0 ? relay(r) : 0;
}

/**
 * worker_pulse_begin() - a worker has been started; CHANNEL_READY is its first answer
 *
 * Return: 0 or a negative errno.
 */
int worker_pulse_begin(WorkerProcess *wp) {
        WorkerState *state = ring_state(wp->spec.ring);

        if (!wp->pulse.timer) {
                int r = event_add_timer(wp->event, &wp->pulse.timer, TIMER_NEVER, pulse_on_time, wp);

                if (r < 0)
                        return relay(r);
        }
        state->sinks[SINK_FILE].busy = 0; /* it has not begun: that was the one before it */
        wp->pulse.beginning = true;
        pulse_expect(wp, pulse_patience(wp));
        return 0;
}

/**
 * worker_pulse_answered() - it works
 */
void worker_pulse_answered(WorkerProcess *wp) {
        bool began;

        if (wp->pulse.state == PULSE_KILLED || !wp->pulse.timer)
                return;
        began = wp->pulse.beginning;
        wp->pulse.beginning = false;
        if (wp->drained)
                pulse_set(wp, PULSE_RESTING, TIMER_NEVER); /* the keeper has a deadline for what is left */
        else if (wp->drain)
                pulse_set(wp, PULSE_DUE, END_INTERVAL_USEC);
        else if (began)
                pulse_set(wp, PULSE_DUE, INTERVAL_USEC); /* others wait for the start, so no more of it now */
        else
                pulse_rest(wp);
}

/**
 * worker_pulse_changed() - there is another descriptor that may have something for the worker
 */
void worker_pulse_changed(WorkerProcess *wp) {
        pulse_unwatch(&wp->pulse);
        if (wp->pulse.timer && wp->pulse.state == PULSE_RESTING)
                pulse_rest(wp);
}

/**
 * worker_pulse_hurry() - the worker has something to do that others wait for: to drain, or to leave
 */
void worker_pulse_hurry(WorkerProcess *wp) {
        if (!wp->pulse.timer || wp->pulse.state == PULSE_KILLED)
                return;
        if (wp->renewing)
                pulse_expect(wp, PATIENCE_USEC);
        else if (wp->pulse.state != PULSE_ASKED)
                pulse_set(wp, PULSE_DUE, END_INTERVAL_USEC);
        else
                pulse_expect(wp, pulse_patience(wp));
}

/**
 * worker_pulse_end() - there is no worker
 */
void worker_pulse_end(WorkerProcess *wp) {
        Pulse *p = &wp->pulse;

        pulse_unwatch(p);
        p->timer = timer_free(p->timer);
        p->state = PULSE_RESTING;
}

/**
 * worker_process_kill_for_good() - neither this worker nor another one is waited for; on_done() follows
 *
 * Return: 0 or a negative errno.
 */
int worker_process_kill_for_good(WorkerProcess *wp) {
        wp->drain = true;
        wp->pulse.n_stuck = STUCK_MAX;
        if (wp->pid == 0 || !wp->pulse.timer)
                return worker_process_abandon(wp);
        worker_process_kill(wp);
        pulse_set(wp, PULSE_KILLED, DEATH_USEC);
        return 0;
}

/**
 * worker_pulse_is_hopeless() - no worker answers, and the container has ended
 */
bool worker_pulse_is_hopeless(const WorkerProcess *wp) {
        return wp->drain && wp->pulse.n_stuck >= STUCK_MAX;
}
