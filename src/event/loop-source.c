/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sources of a loop: a list in the order in which they are called, and what the kernel has been told of them. All
 * signals share one descriptor, whose entry in epoll names no source.
 *
 * Each source holds a reference of its loop. One that is freed while the list is being gone through is taken out of it
 * under the hands of loop_turn(), which finds the next one in the Loop.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "event/loop-source.h"

/* ---- the list ----------------------------------------------------------------------------------------- */

/* Behind all of its priority, and of those before it. */
static void insert(LoopSource *source) {
        Loop *l = source->loop;
        LoopSource *before = NULL, *after = l->first;

        while (after && after->priority <= source->priority) {
                before = after;
                after = after->next;
        }
        source->previous = before;
        source->next = after;
        if (after)
                after->previous = source;
        if (before)
                before->next = source;
        else
                l->first = source;
}

static void take_out(LoopSource *source) {
        Loop *l = source->loop;

        if (l->next == source)
                l->next = source->next;
        if (source->next)
                source->next->previous = source->previous;
        if (source->previous)
                source->previous->next = source->next;
        else
                l->first = source->next;
}

static LoopSource *make_source(Loop *l, SourceType type, LoopEnabled enabled, void *userdata) {
        LoopSource *source;

        source = calloc(1, sizeof *source);
        if (!source)
                return NULL;
        source->loop = loop_ref(l);
        source->type = type;
        source->enabled = enabled;
        source->userdata = userdata;
        insert(source);
        return source;
}

/* ---- sources ------------------------------------------------------------------------------------------ */

static int control(LoopSource *source, int operation, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = source };

        return epoll_ctl(source->loop->epoll_fd, operation, source->fd, &e) < 0 ? -errno : 0;
}

/**
 * loop_source_watch() - let the kernel watch a descriptor, or watch it no more, as the source now wants it
 *
 * Return: 0 or a negative errno.
 */
int loop_source_watch(LoopSource *source) {
        bool wanted = source->enabled != LOOP_OFF;
        int r;

        if (source->watched != wanted) {
                r = control(source, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source->events);
                if (r < 0)
                        return fail(r);
                source->watched = wanted;
                source->muted = false;
        }
        if (wanted && source->muted != source->resting) {
                r = control(source, EPOLL_CTL_MOD, source->resting ? 0 : source->events);
                if (r < 0)
                        return fail(r);
                source->muted = source->resting;
        }
        return 0;
}

/**
 * loop_add_io() - call @handler while @fd is ready
 * @fd: borrowed; not closed before the source is freed
 * @events: EPOLLIN and so on; EPOLLHUP and EPOLLERR are always meant
 *
 * Return: 0, or a negative errno: -EPERM for what is always ready, such as a file.
 */
int loop_add_io(Loop *l, LoopSource **ret, int fd, uint32_t events, LoopIoHandler handler, void *userdata) {
        LoopSource *source;
        int r;

        source = make_source(l, SOURCE_IO, LOOP_ON, userdata);
        if (!source)
                return fail(-ENOMEM);
        source->on_io = handler;
        source->fd = fd;
        source->events = events;
        r = loop_source_watch(source);
        if (r < 0) {
                (void)loop_source_free(source);
                return relay(r);
        }
        *ret = source;
        return 0;
}

/**
 * loop_add_time() - call @handler once, @usec from now
 * @usec: LOOP_NEVER: not before loop_source_set_time()
 *
 * Never too early, by up to a millisecond too late.
 *
 * Return: 0 or a negative errno.
 */
int loop_add_time(Loop *l, LoopSource **ret, uint64_t usec, LoopTimeHandler handler, void *userdata) {
        LoopSource *source;

        source = make_source(l, SOURCE_TIME, LOOP_OFF, userdata);
        if (!source)
                return fail(-ENOMEM);
        source->on_time = handler;
        loop_source_set_time(source, usec);
        *ret = source;
        return 0;
}

/**
 * loop_add_signal() - call @handler when a signal has come
 * @signal: blocked by the caller; one source for each
 *
 * Return: 0, or a negative errno: -EBUSY if it is not blocked or has a source.
 */
int loop_add_signal(Loop *l, LoopSource **ret, int signal, LoopSignalHandler handler, void *userdata) {
        LoopSource *source;
        sigset_t blocked;

        if (sigprocmask(SIG_SETMASK, NULL, &blocked) < 0)
                return fail(-errno);
        if (sigismember(&blocked, signal) != 1 || sigismember(&l->signals, signal) != 0)
                return fail(-EBUSY);
        source = make_source(l, SOURCE_SIGNAL, LOOP_ON, userdata);
        if (!source)
                return fail(-ENOMEM);
        source->on_signal = handler;
        source->signal = signal;
        (void)sigaddset(&l->signals, signal);
        l->signals_changed = true;
        *ret = source;
        return 0;
}

/**
 * loop_add_defer() - call @handler each turn, without waiting for anything, while the source is on
 *
 * Made in a callback, or switched on there, it is called in the same turn if its place has not been passed yet.
 *
 * Return: 0 or a negative errno.
 */
int loop_add_defer(Loop *l, LoopSource **ret, LoopDeferHandler handler, void *userdata) {
        LoopSource *source;

        source = make_source(l, SOURCE_DEFER, LOOP_ON, userdata);
        if (!source)
                return fail(-ENOMEM);
        source->on_defer = handler;
        *ret = source;
        return 0;
}

/**
 * loop_source_set_enabled() - switch a source on or off
 *
 * A signal that comes while its source is off is lost; a timer that is over while it is off is called when it is on.
 *
 * Return: 0, or a negative errno, which only a descriptor can cause.
 */
int loop_source_set_enabled(LoopSource *source, LoopEnabled enabled) {
        LoopEnabled former = source->enabled;
        int r;

        source->enabled = enabled;
        r = source->type == SOURCE_IO ? loop_source_watch(source) : 0;
        if (r < 0) {
                source->enabled = former;
                return relay(r);
        }
        if (enabled == LOOP_OFF)
                source->ready = false;
        return 0;
}

/**
 * loop_source_set_io_events() - wait for other events
 *
 * Those of EPOLLET are new then, also if they are the same.
 *
 * Return: 0 or a negative errno.
 */
int loop_source_set_io_events(LoopSource *source, uint32_t events) {
        uint32_t former = source->events;
        int r;

        assert(source->type == SOURCE_IO);
        if (events == former && !(events & EPOLLET))
                return 0;
        source->events = events;
        if (!source->watched)
                return 0;
        r = control(source, EPOLL_CTL_MOD, events);
        if (r < 0) {
                source->events = former;
                return fail(r);
        }
        source->muted = false;
        return 0;
}

/**
 * loop_source_set_priority() - call it before or after others
 */
void loop_source_set_priority(LoopSource *source, LoopPriority priority) {
        take_out(source);
        source->priority = priority;
        insert(source);
}

/**
 * loop_source_set_time() - let a timer expire once, @usec from now; LOOP_NEVER stops it
 */
void loop_source_set_time(LoopSource *source, uint64_t usec) {
        uint64_t now;

        assert(source->type == SOURCE_TIME);
        source->ready = false;
        source->enabled = usec == LOOP_NEVER ? LOOP_OFF : LOOP_ONESHOT;
        if (usec == LOOP_NEVER)
                return;
        now = loop_now();
        source->at = usec < UINT64_MAX - now ? now + usec : UINT64_MAX - 1;
}

/**
 * loop_source_free() - never call it again
 *
 * Return: NULL.
 */
LoopSource *loop_source_free(LoopSource *source) {
        Loop *l;

        if (!source)
                return NULL;
        l = source->loop;
        if (source->watched)
                (void)control(source, EPOLL_CTL_DEL, 0); /* closed already, perhaps */
        if (source->type == SOURCE_SIGNAL) {
                (void)sigdelset(&l->signals, source->signal);
                l->signals_changed = true;
        }
        if (l->current == source)
                l->current = NULL;
        take_out(source);
        free(source);
        (void)loop_unref(l);
        return NULL;
}
