/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* sd-event, and what keeper and worker add to it: timers that are no descriptors, and errors that leave. */

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

#define EVENT_FOREVER UINT64_MAX
#define TIMER_NEVER UINT64_MAX

/* Of those that are ready the lower goes first. */
#define EVENT_PRIORITY_FIRST (-2)
#define EVENT_PRIORITY_EARLY (-1)
#define EVENT_PRIORITY_NORMAL 0

typedef struct Event Event;
typedef struct Timer Timer;

/* An error of it is that of event_turn(). It may free any timer or source, its own too. */
typedef int (*TimerHandler)(Timer *timer, void *userdata);

int event_new(Event **ret);
Event *event_ref(Event *e);
Event *event_unref(Event *e);
DEFINE_CLEANUP(Event, event_unref)
sd_event *event_loop(Event *e);

int event_adopt(int r, sd_event_source **source, const char *description);

/*
 * As sd_event_add_io() and its like. The source bears its handler's name, and an error of the handler ends the loop: no
 * source is ever switched off in silence.
 */
#define event_add_io(e, ret, fd, events, handler, userdata)                                                  \
        event_adopt(sd_event_add_io(event_loop(e), ret, fd, events, handler, userdata), ret, #handler)
#define event_add_signal(e, ret, signal, handler, userdata)                                                  \
        event_adopt(sd_event_add_signal(event_loop(e), ret, signal, handler, userdata), ret, #handler)
#define event_add_defer(e, ret, handler, userdata)                                                           \
        event_adopt(sd_event_add_defer(event_loop(e), ret, handler, userdata), ret, #handler)

int event_add_timer(Event *e, Timer **ret, uint64_t usec, TimerHandler handler, void *userdata);
void timer_set(Timer *timer, uint64_t usec);
Timer *timer_free(Timer *timer);

int event_turn(Event *e, uint64_t timeout_usec);
int event_run(Event *e);
void event_rest(Event *e, uint64_t usec);
void event_exit(Event *e, int code);
uint64_t event_now(void);
