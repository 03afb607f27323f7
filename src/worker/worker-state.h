/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker's state, which lies in the ring: what the next worker goes on with. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/attach.h"
#include "base/stream.h"
#include "sink/sink.h"
#include "wire/ctlmsg.h"
#include "wire/layout.h"

#define WORKER_UNIT_FIELD_MAX 320
#define WORKER_FACILITY_MAX 32
#define WORKER_TITLE_MAX 400

/* Of output that the journal has taken and not kept; only the keeper writes it. Times are of the wall clock. */
typedef struct SuppressedState {
        uint64_t from_usec, from_sent;   /* begin of what has not been looked at */
        uint64_t until_usec, until_sent; /* end of what has been */
        int64_t missing; /* sent less found, of all looks; those on their way count as missing */
        uint64_t sent;   /* in all that was looked at */
        uint8_t said;
} SuppressedState;

/* What the keeper has found out and the worker needs. Written by the keeper before the first worker starts. */
typedef struct WorkerFacts {
        pid_t starter;              /* who started us, 0 if unknown */
        bool withhold[_STREAM_MAX]; /* the starter's own journal stream would show it a second time */
        char title
                [WORKER_TITLE_MAX]; /* command line of the worker, as systemctl status of our unit shows it */
        char object_unit[WORKER_UNIT_FIELD_MAX]; /* journal field naming the container's scope, or "" */
        char identifier[WORKER_UNIT_FIELD_MAX];  /* likewise, of the unit whose stream is withheld */
        char facility[WORKER_FACILITY_MAX];      /* likewise */
        bool no_level_prefix;                    /* to that unit "<N>" before a line is text */
} WorkerFacts;

typedef struct WorkerState {
        STATE_MORE(uint64_t more[600];)
        WorkerFacts facts;
        uint8_t has_run; /* the container runs: its output must never be discarded */
        uint8_t stdin_closed;
        uint8_t resize_wanted; /* before the terminal was there */
        uint16_t rows, columns;
        uint64_t raw_to[_STREAM_MAX];  /* what is below has killed two workers; 0: nothing */
        uint64_t pushed[_STREAM_MAX];  /* what clients have been shown */
        uint64_t dropped[_STREAM_MAX]; /* output of a runtime that printed more than the ring holds */
        CtlBuffer ctl[2];
        CtlBuffer ctl_before[2]; /* as it was before the last read of the fifo */
        SinkState sinks[_SINK_MAX];
        SuppressedState suppressed; /* the keeper's */
        AttachSlot slots[ATTACH_SLOTS];
} WorkerState;

extern const Layout worker_state_layout;
