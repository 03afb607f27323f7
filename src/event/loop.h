/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The loop of keeper and worker: descriptors, one-shot timers, signals, and calls put off. */

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/cleanup.h"

#define LOOP_FOREVER UINT64_MAX
#define LOOP_NEVER UINT64_MAX

typedef struct Loop Loop;
typedef struct LoopSource LoopSource;

typedef enum LoopEnabled {
        LOOP_OFF,
        LOOP_ON,
        LOOP_ONESHOT, /* off again before its callback is called */
} LoopEnabled;

/* Of those that are ready the lower goes first. */
typedef enum LoopPriority {
        LOOP_PRIORITY_FIRST = -2,
        LOOP_PRIORITY_EARLY = -1,
        LOOP_PRIORITY_NORMAL = 0,
} LoopPriority;

/* A negative errno from a callback ends the turn, which returns it. A callback may free any source, its own too. */
typedef int (*LoopIoHandler)(LoopSource *source, int fd, uint32_t revents, void *userdata);
typedef int (*LoopTimeHandler)(LoopSource *source, uint64_t usec, void *userdata);
typedef int (*LoopSignalHandler)(LoopSource *source, const struct signalfd_siginfo *info, void *userdata);
typedef int (*LoopDeferHandler)(LoopSource *source, void *userdata);

int loop_new(Loop **ret);
Loop *loop_ref(Loop *l);
Loop *loop_unref(Loop *l);
DEFINE_CLEANUP(Loop, loop_unref)

int loop_add_io(Loop *l, LoopSource **ret, int fd, uint32_t events, LoopIoHandler handler, void *userdata);
int loop_add_time(Loop *l, LoopSource **ret, uint64_t usec, LoopTimeHandler handler, void *userdata);
int loop_add_signal(Loop *l, LoopSource **ret, int signal, LoopSignalHandler handler, void *userdata);
int loop_add_defer(Loop *l, LoopSource **ret, LoopDeferHandler handler, void *userdata);

int loop_source_set_enabled(LoopSource *source, LoopEnabled enabled);
int loop_source_set_io_events(LoopSource *source, uint32_t events);
void loop_source_set_priority(LoopSource *source, LoopPriority priority);
void loop_source_set_time(LoopSource *source, uint64_t usec);
LoopSource *loop_source_free(LoopSource *source);

int loop_turn(Loop *l, uint64_t timeout_usec);
int loop_run(Loop *l);
void loop_rest(Loop *l, uint64_t usec);
void loop_exit(Loop *l, int code);
uint64_t loop_now(void);
