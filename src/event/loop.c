/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The loop of keeper and worker. It is ours since both idle in every container: the usual library costs each of them
 * more memory than all the rest.
 *
 * A turn is one epoll_wait() and then every source that is ready, once each, in the order of their priorities and, in
 * one priority, of their making. So nobody starves anybody, and a wake-up costs one system call besides those of the
 * callbacks. epoll_ctl() is called only where something changes. A timer is a number here, not a descriptor; the clock
 * (which is no system call) is read if there is a timer.
 *
 * What epoll_wait() has said is noted in the sources before the first callback is called. A source that is freed or
 * switched off meanwhile is not called any more, whoever did it; one that is made meanwhile is for the next turn,
 * also if its descriptor has the number of one just closed.
 *
 * An error ends the turn and is its owner's: of a callback as of the loop itself. No source is switched off for it, and
 * who was ready and has not been called is called in the next turn. A source that rests stays in the epoll set, without
 * events: taken out, it might not come back (ENOSPC).
 *
 * Nothing is read but the signalfd: what read() returns is counted in the worker, which takes no signals.
 *
 * As everywhere with epoll a source must be freed before its descriptor is closed.
 */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "event/loop-source.h"

#define EVENTS_MAX 32 /* more at once are for the next turn */

/**
 * loop_now() - the monotonic clock in microseconds
 */
uint64_t loop_now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
        return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

/**
 * loop_new() - a loop without sources
 *
 * Return: 0 or a negative errno.
 */
int loop_new(Loop **ret) {
        Loop *l;

        l = calloc(1, sizeof *l);
        if (!l)
                return fail(-ENOMEM);
        l->n_references = 1;
        l->signal_fd = -1;
        l->rest = LOOP_NEVER;
        (void)sigemptyset(&l->signals);
        l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll_fd < 0) {
                free(l);
                return fail(-errno);
        }
        *ret = l;
        return 0;
}

/**
 * loop_ref() - one more owner
 *
 * Return: @l.
 */
Loop *loop_ref(Loop *l) {
        l->n_references++;
        return l;
}

/**
 * loop_unref() - one owner less; the loop is gone when there is none, and no source
 *
 * Return: NULL.
 */
Loop *loop_unref(Loop *l) {
        if (!l || --l->n_references > 0)
                return NULL;
        assert(!l->first);
        (void)close(l->epoll_fd);
        cleanup_close(&l->signal_fd);
        free(l);
        return NULL;
}

/* ---- turning ------------------------------------------------------------------------------------------ */

/* Once for all the sources that have been made or freed since the last turn. */
static int watch_signals(Loop *l) {
        struct epoll_event e = { .events = EPOLLIN }; /* no source: this one is ours */
        int fd;

        fd = signalfd(l->signal_fd, &l->signals, SFD_NONBLOCK | SFD_CLOEXEC);
        if (fd < 0)
                return fail(-errno);
        if (fd != l->signal_fd && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
                int r = -errno;

                (void)close(fd);
                return fail(r);
        }
        l->signal_fd = fd;
        l->signals_changed = false;
        return 0;
}

/* One a turn; the next one wakes us again. */
static int take_signal(Loop *l) {
        ssize_t n;

        n = read(l->signal_fd, &l->info, sizeof l->info);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : fail(-errno);
        if (n != sizeof l->info)
                return fail(-EIO);
        for (LoopSource *s = l->first; s; s = s->next)
                if (s->type == SOURCE_SIGNAL && s->signal == (int)l->info.ssi_signo)
                        s->ready = s->enabled != LOOP_OFF;
        return 0;
}

/* Milliseconds to wait for, rounded up; -1 for ever. Ready by now is who has rested. */
static int waiting_time(const Loop *l, uint64_t timeout_usec) {
        uint64_t at = LOOP_NEVER, now;

        for (const LoopSource *s = l->first; s; s = s->next) {
                if (s->enabled == LOOP_OFF)
                        continue;
                if (s->type == SOURCE_DEFER || s->ready)
                        return 0;
                if (s->type == SOURCE_TIME && s->at < at)
                        at = s->at;
        }
        if (at != LOOP_NEVER) {
                now = loop_now();
                at = at > now ? at - now : 0;
                if (at < timeout_usec)
                        timeout_usec = at;
        }
        if (timeout_usec == LOOP_FOREVER)
                return -1;
        if (timeout_usec >= INT_MAX * 1000ULL)
                return INT_MAX;
        return (int)((timeout_usec + 999) / 1000);
}

static int note_events(Loop *l, int timeout_ms) {
        struct epoll_event events[EVENTS_MAX];
        int n, r = 0;

        n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, timeout_ms);
        if (n < 0)
                return errno == EINTR ? 0 : fail(-errno);
        for (int i = 0; i < n; i++) {
                LoopSource *source = events[i].data.ptr;

                if (!source) {
                        r = take_signal(l);
                        continue;
                }
                source->ready = true;
                source->revents = events[i].events;
        }
        return r;
}

static void note_timers(Loop *l) {
        uint64_t now = 0;

        for (LoopSource *s = l->first; s; s = s->next) {
                if (s->type != SOURCE_TIME || s->enabled == LOOP_OFF)
                        continue;
                if (now == 0)
                        now = loop_now();
                s->ready = s->at <= now;
        }
}

static int call(LoopSource *source) {
        switch (source->type) {
        case SOURCE_IO:
                return source->on_io(source, source->fd, source->revents, source->userdata);
        case SOURCE_TIME:
                return source->on_time(source, source->at, source->userdata);
        case SOURCE_SIGNAL:
                return source->on_signal(source, &source->loop->info, source->userdata);
        case SOURCE_DEFER:
                break;
        }
        return source->on_defer(source, source->userdata);
}

/* Return: whether it was called, or a negative errno. */
static int dispatch(Loop *l, LoopSource *source) {
        bool ready = source->type == SOURCE_DEFER ? source->enabled != LOOP_OFF : source->ready;
        bool rested = source->resting;
        int r;

        source->ready = source->resting = false;
        if (ready && source->type == SOURCE_IO) {
                source->revents &=
                        source->events | EPOLLHUP | EPOLLERR; /* they may have been changed meanwhile */
                ready = source->revents != 0;
        }
        if (!ready) { /* switched off while it rested, and perhaps on again */
                r = rested ? loop_source_watch(source) : 0;
                return r < 0 ? relay(r) : 0;
        }
        if (source->enabled == LOOP_ONESHOT)
                (void)loop_source_set_enabled(source, LOOP_OFF);
        l->current = source;
        r = call(source);
        if (r >= 0 && l->current && (l->current->resting || rested))
                r = loop_source_watch(l->current);
        l->current = NULL;
        return r < 0 ? relay(r) : 1;
}

/* Those who have asked for it are called after it without another look: a look would be for what they read themselves. */
static void take_rest(Loop *l) {
        struct timespec t = { .tv_nsec = (long)l->rest * 1000 };

        if (l->rest > 0)
                (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* cut short is as well */
        for (LoopSource *s = l->first; s; s = s->next)
                if (s->resting && s->enabled != LOOP_OFF) {
                        s->ready = true;
                        s->revents = s->events;
                }
        l->rest = LOOP_NEVER;
}

/**
 * loop_turn() - wait, and call what is ready
 * @timeout_usec: at most; LOOP_FOREVER
 *
 * Not to be called from a callback.
 *
 * Return: how many callbacks were called, or a negative errno.
 */
int loop_turn(Loop *l, uint64_t timeout_usec) {
        int n = 0, r;

        assert(!l->current);
        if (l->signals_changed) {
                r = watch_signals(l);
                if (r < 0)
                        return relay(r);
        }
        if (l->rest != LOOP_NEVER)
                take_rest(l);
        r = note_events(l, waiting_time(l, timeout_usec));
        if (r < 0)
                return relay(r);
        note_timers(l);
        for (LoopSource *s = l->first; s && !l->exiting; s = l->next) {
                l->next = s->next;
                r = dispatch(l, s);
                if (r < 0)
                        break;
                n += r;
        }
        l->next = NULL;
        return r < 0 ? relay(r) : n;
}

/**
 * loop_run() - turn until loop_exit()
 *
 * Return: its code, or a negative errno.
 */
int loop_run(Loop *l) {
        while (!l->exiting) {
                int r;

                r = loop_turn(l, LOOP_FOREVER);
                if (r < 0)
                        return relay(r);
        }
        return l->exit_code;
}

/**
 * loop_rest() - let the next turn begin later, so that more is ready then
 * @usec: far less than a second; of several wishes in a turn the shortest counts
 *
 * The source that is being called, if it has a descriptor, is not watched meanwhile, for whoever writes there pays for
 * that, and is called in the next turn whether it is ready or not.
 */
void loop_rest(Loop *l, uint64_t usec) {
        if (usec < l->rest)
                l->rest = usec;
        if (l->current && usec > 0)
                l->current->resting = l->current->type == SOURCE_IO;
}

/**
 * loop_exit() - call nobody any more, and end loop_run()
 */
void loop_exit(Loop *l, int code) {
        l->exiting = true;
        l->exit_code = code;
}
