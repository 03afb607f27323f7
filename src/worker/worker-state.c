/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What lies where in the worker's state, for a ring that goes from one version to another (io/ring-layout.c). Names are
 * for ever. A member that is added to WorkerState or to a struct in it gets a name, or an upgrade loses it: a test
 * compares byte by byte.
 */

#include "worker/worker-state.h"
#include "base/cleanup.h"
#include "io/control.h"

static const LayoutField facts_fields[] = {
        LAYOUT_NUMBER(WorkerFacts, starter, "starter"),
        LAYOUT_NUMBERS(WorkerFacts, withhold, "withhold"),
        LAYOUT_NUMBERS(WorkerFacts, title, "title"),
        LAYOUT_NUMBERS(WorkerFacts, object_unit, "object-unit"),
        LAYOUT_NUMBERS(WorkerFacts, identifier, "identifier"),
        LAYOUT_NUMBERS(WorkerFacts, facility, "facility"),
        LAYOUT_NUMBER(WorkerFacts, no_level_prefix, "no-level-prefix"),
};

static const LayoutField state_fields[] = {
        LAYOUT_NUMBER(WorkerState, has_run, "has-run"),
        LAYOUT_NUMBER(WorkerState, stdin_closed, "stdin-closed"),
        LAYOUT_NUMBER(WorkerState, resize_wanted, "resize-wanted"),
        LAYOUT_NUMBER(WorkerState, rows, "rows"),
        LAYOUT_NUMBER(WorkerState, columns, "columns"),
        LAYOUT_NUMBERS(WorkerState, raw_to, "raw-to"),
        LAYOUT_NUMBERS(WorkerState, pushed, "pushed"),
        LAYOUT_NUMBERS(WorkerState, dropped, "dropped"),
};

static const LayoutField suppressed_fields[] = {
        LAYOUT_NUMBER(SuppressedState, from_usec, "from-usec"),
        LAYOUT_NUMBER(SuppressedState, from_sent, "from-sent"),
        LAYOUT_NUMBER(SuppressedState, until_usec, "until-usec"),
        LAYOUT_NUMBER(SuppressedState, until_sent, "until-sent"),
        LAYOUT_NUMBER(SuppressedState, missing, "missing"),
        LAYOUT_NUMBER(SuppressedState, sent, "sent"),
        LAYOUT_NUMBER(SuppressedState, said, "said"),
};

static const LayoutGroup worker_state_groups[] = {
        LAYOUT_ONE(WorkerState, facts, "facts", LAYOUT_OF(facts_fields)),
        LAYOUT_WHOLE(WorkerState, "worker", LAYOUT_OF(state_fields)),
        LAYOUT_MANY(WorkerState, ctl, "ctl", &control_buffer_layout),
        LAYOUT_MANY(WorkerState, ctl_before, "ctl-before", &control_buffer_layout),
        LAYOUT_ONE(WorkerState, sinks[SINK_FILE], "sink.file", &sink_state_layout),
        LAYOUT_ONE(WorkerState, sinks[SINK_JOURNAL], "sink.journal", &sink_state_layout),
        LAYOUT_ONE(WorkerState, suppressed, "suppressed", LAYOUT_OF(suppressed_fields)),
        LAYOUT_MANY(WorkerState, slots, "client", &attach_slot_layout),
};

const Layout worker_state_layout = { worker_state_groups, ELEMENTS(worker_state_groups),
                                     sizeof(WorkerState) };
