/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What comes next in a monitor's life: one pure function of what has happened so far. */

#include <stdbool.h>

#include "wire/state.h"

typedef enum Phase {
        PHASE_PLACING,   /* it is not settled yet where monitor and container belong */
        PHASE_LAUNCHING, /* the runtime command runs */
        PHASE_RUNNING,   /* the target runs */
        PHASE_DRAINING,  /* the target has ended, its last output is on its way */
        PHASE_FAILING,   /* there is no target; the runtime's last words are on their way */
        PHASE_REPORTING, /* the end is told */
        PHASE_FINISHING, /* the exit command runs */
        PHASE_DONE,
        _PHASE_MAX,
} Phase;

/* Each turns from false to true at most once, in any order. */
typedef struct Facts {
        bool placed;
        bool runtime_exited; /* or never will have been started */
        bool runtime_failed; /* its status says so, or it left no pid, or no terminal */
        bool pid_known;
        bool container_exited;
        bool timed_out;
        bool streams_closed; /* the worker has drained them, or never will */
        bool clients_served; /* attach clients have had everything, or never will */
        bool reported;
        bool caller_told; /* it has taken every record, or never will */
        bool announced; /* the end is in the journal, with the count of what that has not kept; or belongs not there */
        bool command_exited; /* the exit command, and all other children; or there is none */
        bool gave_up;        /* something of ours failed for good */
} Facts;

void lifecycle_learn(Facts *f, const Facts *more);
Phase lifecycle_next(Phase now, const Facts *facts);

extern const StateFields lifecycle_values; /* of Facts, as they are handed on */
