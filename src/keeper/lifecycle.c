/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What comes next. Callbacks store facts and decide nothing; the keeper asks here until the answer is to stay. A new
 * special case is a new fact and a term in one of these conditions.
 *
 *     PLACING ──▶ LAUNCHING ──▶ RUNNING ──▶ DRAINING ──┐
 *        └────────────┴───────▶ FAILING ───────────────┴─▶ REPORTING ──▶ FINISHING ──▶ DONE
 *
 * An end that comes early (the target may be dead before its pid is known) is a fact like any other: it waits for the
 * phase that looks at it.
 */

#include "keeper/lifecycle.h"
#include "base/cleanup.h"

static const StateField lifecycle_fields[] = {
        STATE_FIELD_BOOL(Facts, placed, "placed"),
        STATE_FIELD_BOOL(Facts, runtime_exited, "runtime-exited"),
        STATE_FIELD_BOOL(Facts, runtime_failed, "runtime-failed"),
        STATE_FIELD_BOOL(Facts, pid_known, "pid-known"),
        STATE_FIELD_BOOL(Facts, container_exited, "container-exited"),
        STATE_FIELD_BOOL(Facts, timed_out, "timed-out"),
        STATE_FIELD_BOOL(Facts, streams_closed, "streams-closed"),
        STATE_FIELD_BOOL(Facts, clients_served, "clients-served"),
        STATE_FIELD_BOOL(Facts, reported, "reported"),
        STATE_FIELD_BOOL(Facts, caller_told, "caller-told"),
        STATE_FIELD_BOOL(Facts, announced, "announced"),
        STATE_FIELD_BOOL(Facts, command_exited, "command-exited"),
        STATE_FIELD_BOOL(Facts, gave_up, "gave-up"),
};

const StateFields lifecycle_values = { lifecycle_fields, ELEMENTS(lifecycle_fields) };

/**
 * lifecycle_learn() - what is true of @more is true from now on
 */
void lifecycle_learn(Facts *f, const Facts *more) {
        for (size_t i = 0; i < ELEMENTS(lifecycle_fields); i++) {
                size_t at = lifecycle_fields[i].offset;

                if (*(const bool *)((const char *)more + at))
                        *(bool *)((char *)f + at) = true;
        }
}

/**
 * lifecycle_next() - the phase after @now, or @now to wait for more facts
 */
Phase lifecycle_next(Phase now, const Facts *f) {
        switch (now) {
        case PHASE_PLACING:
                if (f->gave_up)
                        return PHASE_FAILING;
                return f->placed ? PHASE_LAUNCHING : now;

        case PHASE_LAUNCHING:
                if (f->gave_up || f->runtime_failed)
                        return PHASE_FAILING;
                return f->runtime_exited && f->pid_known ? PHASE_RUNNING : now;

        case PHASE_RUNNING:
                return f->container_exited || f->timed_out || f->gave_up ? PHASE_DRAINING : now;

        case PHASE_DRAINING:
                return f->streams_closed ? PHASE_REPORTING : now;

        case PHASE_FAILING:
                return f->streams_closed && f->runtime_exited ? PHASE_REPORTING : now;

        case PHASE_REPORTING:
                return f->reported && f->caller_told ? PHASE_FINISHING : now;

        case PHASE_FINISHING:
                return f->command_exited && f->clients_served && f->announced ? PHASE_DONE : now;

        case PHASE_DONE:
        case _PHASE_MAX:
                return now;
        }
        return now;
}
