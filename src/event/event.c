/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sd-event turns keeper and worker. Here is what it lacks for both of them.
 *
 * Timers that are no descriptors: the next deadline is the time-out of sd_event_run(). sd-event's own are timerfds that
 * it reads, and what read() returns is counted in the worker (see ring.c). A timer of ours costs no system call, and
 * arming one cannot fail.
 *
 * Errors that leave: an error of a handler, or of sd-event itself, is that of event_turn(). sd-event switches a source
 * off whose handler fails, and goes on: a container whose output nobody reads any more blocks for ever. So each source
 * ends the loop instead (sd_event_source_set_exit_on_failure()). A worker then ends, and is replaced; the keeper's
 * handlers return 0 and handle what they can name.
 *
 * One handler is called in each turn, and then every timer that has expired. Among the sources that are ready, those of
 * the same priority take turns.
 */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "event/event.h"

struct Timer {
        Event *event;
        Timer *next, *previous;
        TimerHandler handler;
        void *userdata;
        uint64_t at; /* on the monotonic clock; TIMER_NEVER */
};

struct Event {
        unsigned n_references; /* the owner's, and one for each timer */
        sd_event *loop;
        Timer *timers;
        Timer *following; /* the one to look at after the one that is called */
        uint64_t rest;    /* microseconds until the next turn */
        bool exiting;
        int exit_code;
};

/**
 * event_now() - the monotonic clock in microseconds
 */
uint64_t event_now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
        return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

/**
 * event_new() - a loop without sources
 *
 * Return: 0 or a negative errno.
 */
int event_new(Event **ret) {
        Event *e;
        int r;

        e = calloc(1, sizeof *e);
        if (!e)
                return fail(-ENOMEM);
        e->n_references = 1;
        r = sd_event_new(&e->loop);
        if (r < 0) {
                free(e);
                return fail(r);
        }
        *ret = e;
        return 0;
}

/**
 * event_ref() - one more owner
 *
 * Return: @e.
 */
Event *event_ref(Event *e) {
        e->n_references++;
        return e;
}

/**
 * event_unref() - one owner less; sources keep what they need of it
 *
 * Return: NULL.
 */
Event *event_unref(Event *e) {
        if (!e || --e->n_references > 0)
                return NULL;
        assert(!e->timers);
        (void)sd_event_unref(e->loop);
        free(e);
        return NULL;
}

/**
 * event_loop() - sd-event's side of it, borrowed
 */
sd_event *event_loop(Event *e) {
        return e->loop;
}

/**
 * event_adopt() - give a source that has been made what each of ours has
 * @r: what making it has returned
 *
 * Return: 0, or a negative errno with no source.
 */
int event_adopt(int r, sd_event_source **source, const char *description) {
        if (r < 0)
                return fail(r);
        r = sd_event_source_set_exit_on_failure(*source, true);
        if (r >= 0)
                r = sd_event_source_set_description(*source, description);
        if (r >= 0)
                return 0;
        *source = sd_event_source_disable_unref(*source);
        return fail(r);
}

/* ---- timers ------------------------------------------------------------------------------------------- */

/**
 * event_add_timer() - call @handler once, @usec from now
 * @usec: TIMER_NEVER: not before timer_set()
 *
 * Return: 0 or -ENOMEM.
 */
int event_add_timer(Event *e, Timer **ret, uint64_t usec, TimerHandler handler, void *userdata) {
        Timer *timer;

        timer = calloc(1, sizeof *timer);
        if (!timer)
                return fail(-ENOMEM);
        timer->event = event_ref(e);
        timer->handler = handler;
        timer->userdata = userdata;
        timer->next = e->timers;
        if (timer->next)
                timer->next->previous = timer;
        e->timers = timer;
        timer_set(timer, usec);
        *ret = timer;
        return 0;
}

/**
 * timer_set() - let it expire once, @usec from now; TIMER_NEVER stops it
 */
void timer_set(Timer *timer, uint64_t usec) {
        uint64_t now = usec == TIMER_NEVER ? 0 : event_now();

        timer->at = usec < TIMER_NEVER - now ? now + usec : TIMER_NEVER;
}

/**
 * timer_free() - never call it again
 *
 * Return: NULL.
 */
Timer *timer_free(Timer *timer) {
        Event *e;

        if (!timer)
                return NULL;
        e = timer->event;
        if (e->following == timer)
                e->following = timer->next;
        if (timer->next)
                timer->next->previous = timer->previous;
        if (timer->previous)
                timer->previous->next = timer->next;
        else
                e->timers = timer->next;
        free(timer);
        (void)event_unref(e);
        return NULL;
}

/* Microseconds until the first one expires, or @timeout_usec if that is less. */
static uint64_t event_waiting_time(const Event *e, uint64_t timeout_usec) {
        uint64_t at = TIMER_NEVER, now;

        for (const Timer *t = e->timers; t; t = t->next)
                if (t->at < at)
                        at = t->at;
        if (at == TIMER_NEVER)
                return timeout_usec;
        now = event_now();
        at = at > now ? at - now : 0;
        return at < timeout_usec ? at : timeout_usec;
}

static int event_call_timers(Event *e) {
        uint64_t now = e->timers ? event_now() : 0;
        int n = 0, r = 0;

        for (Timer *t = e->timers; t && r >= 0 && !e->exiting; t = e->following) {
                e->following = t->next;
                if (t->at == TIMER_NEVER || t->at > now)
                        continue;
                t->at = TIMER_NEVER;
                n++;
                r = t->handler(t, t->userdata);
        }
        e->following = NULL;
        return r < 0 ? relay(r) : n;
}

/* ---- turning ------------------------------------------------------------------------------------------ */

/**
 * event_turn() - wait, and call what is ready
 * @timeout_usec: at most; EVENT_FOREVER
 *
 * Not to be called from a handler.
 *
 * Return: how many handlers were called, or a negative errno: the loop may be turned again after it, unless a handler
 * has failed (-ESTALE).
 */
int event_turn(Event *e, uint64_t timeout_usec) {
        struct timespec rest = { .tv_nsec = (long)e->rest * 1000 };
        int n, r, code;

        if (e->rest > 0)
                (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL); /* cut short is as well */
        e->rest = 0;
        n = sd_event_run(e->loop, event_waiting_time(e, timeout_usec));
        if (n < 0)
                return fail(n);
        if (sd_event_get_exit_code(e->loop, &code) >=
            0) /* nobody asks for it but a handler that has failed */
                return fail(code);
        r = e->exiting ? 0 : event_call_timers(e);
        return r < 0 ? relay(r) : (n > 0) + r;
}

/**
 * event_run() - turn until event_exit()
 *
 * Return: its code, or a negative errno.
 */
int event_run(Event *e) {
        while (!e->exiting) {
                int r;

                r = event_turn(e, EVENT_FOREVER);
                if (r < 0)
                        return relay(r);
        }
        return e->exit_code;
}

/**
 * event_rest() - let the next turn begin later, so that more is ready then
 * @usec: less than a second; of several wishes the shortest counts
 */
void event_rest(Event *e, uint64_t usec) {
        if (usec > 0 && (e->rest == 0 || usec < e->rest))
                e->rest = usec;
}

/**
 * event_exit() - call nobody any more, and end event_run()
 */
void event_exit(Event *e, int code) {
        e->exiting = true;
        e->exit_code = code;
}
