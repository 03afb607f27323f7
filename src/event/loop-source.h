/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What loop.c (turning) and loop-source.c (the sources) share. */

#include <signal.h>
#include <stdbool.h>

#include "event/loop.h"

typedef enum SourceType {
        SOURCE_IO,
        SOURCE_TIME,
        SOURCE_SIGNAL,
        SOURCE_DEFER,
} SourceType;

struct LoopSource {
        Loop *loop;
        LoopSource *next, *previous; /* in the order of calling */
        SourceType type;
        LoopPriority priority;
        LoopEnabled enabled;
        bool ready;
        bool watched; /* the kernel has been told of it */
        bool resting; /* has asked for the rest: it is not watched, and called after it in any case */
        bool muted;   /* ... and the kernel has been told so */
        union {
                LoopIoHandler on_io;
                LoopTimeHandler on_time;
                LoopSignalHandler on_signal;
                LoopDeferHandler on_defer;
        };
        void *userdata;
        union {
                struct {
                        int fd;
                        uint32_t events, revents;
                };
                uint64_t at; /* on the monotonic clock */
                int signal;
        };
};

struct Loop {
        unsigned n_references; /* the owner's, and one for each source */
        int epoll_fd;
        int signal_fd;                /* -1 without signals */
        sigset_t signals;             /* that have sources */
        bool signals_changed;         /* signal_fd does not know yet */
        struct signalfd_siginfo info; /* of the one signal that is ready */
        LoopSource *first;
        LoopSource *next;    /* the one to look at after the one that is called */
        LoopSource *current; /* the one that is called, unless it was freed */
        uint64_t rest;       /* microseconds until the next turn; LOOP_NEVER: nobody has asked for a rest */
        bool exiting;
        int exit_code;
};

int loop_source_watch(LoopSource *source);
