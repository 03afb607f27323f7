/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The confined half: everything the container or a client has sent is handled here. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/attach.h"
#include "base/stream.h"
#include "config/options.h"
#include "keeper/suppressed.h"
#include "sink/sink.h"
#include "wire/channel.h"
#include "wire/ctlmsg.h"
#include "wire/layout.h"

#define WORKER_ARGUMENT "--scopemon-worker=" /* first word of a worker's command line: its channel */
#define WORKER_UNIT_FIELD_MAX 320
#define WORKER_FACILITY_MAX 32
#define WORKER_TITLE_MAX 400

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

/* In the ring: what the next worker goes on with. */
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

#define WORKER_FDS_MAX (_CHANNEL_FD_MAX + ATTACH_SLOTS) /* that a worker inherits, besides the channel */
#define WORKER_SETUP_MAX (32U + WORKER_FDS_MAX * CHANNEL_SETUP_ENTRY)

int worker_run(int channel_fd, const Options *options, char *const *argv);
