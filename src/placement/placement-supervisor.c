/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is the unit we are in the supervisor of our container, or did it only happen to run the command that started it?
 * As pure as placement.c, of which it is a part.
 *
 * A unit supervises what it waits for: its caller in the foreground, the process that becomes its main process, the
 * processes below a cgroup that it has asked for. Nothing else: deployers, jobs, and oneshots start containers that
 * are to outlive them.
 *
 * Two kinds of unit supervise nobody. One that ends with its last command ends the monitor, too, and one whose
 * KillMode= spares all but its main process says so itself.
 */

#include <string.h>

#include "placement/placement-internal.h"

static bool is_one_of(const char *word, const char *a, const char *b) {
        return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/**
 * situation_kills_alone() - does the unit's stop leave alone what is not its main process?
 */
bool situation_kills_alone(const UnitFacts *u) {
        return is_one_of(u->kill_mode, "process", "none");
}

/**
 * situation_is_passing() - does the unit end with its last command?
 */
bool situation_is_passing(const UnitFacts *u) {
        return strcmp(u->type, "oneshot") == 0 && !u->remain_after_exit;
}

/* Podman names the monitor in MAINPID= wherever there is a socket to tell it. */
static bool is_announced(const PlacementFacts *f) {
        const UnitFacts *u = f->unit;

        if (!f->notifies)
                return false;
        if (is_one_of(u->type, "notify", "notify-reload") && strcmp(u->sub_state, "start") == 0)
                return true;
        return f->caller_is_main && strcmp(u->notify_access, "none") != 0;
}

/* Type=forking: what is in the file, or, where none is named, what is left when the first process has ended. */
static bool is_left_by_fork(const PlacementFacts *f) {
        const UnitFacts *u = f->unit;

        return f->pid_file_ours ||
               (strcmp(u->type, "forking") == 0 && strcmp(u->sub_state, "start") == 0 && u->pid_file[0] == 0);
}

/* Does it end with its main process, which the caller is? */
static bool ends_with_caller(const PlacementFacts *f) {
        return f->caller_is_main && !f->unit->remain_after_exit;
}

static bool supervises_detached(const PlacementFacts *f) {
        const UnitFacts *u = f->unit;

        if (situation_is_passing(u))
                return false;
        if (is_announced(f) || is_left_by_fork(f) || f->monitored)
                return true;
        return u->delegate && !situation_kills_alone(u) && !ends_with_caller(f);
}

/**
 * situation_ask_for_supervisor() - what situation_has_supervisor() has to know
 *
 * Return: 0, or a PLACEMENT_NEED_*.
 */
int situation_ask_for_supervisor(const Situation *s) {
        const PlacementFacts *f = s->facts;

        if (s->wish != WISH_AUTO || f->service || f->cgroups_disabled)
                return 0;
        if (f->caller == PLACEMENT_CALLER_UNKNOWN)
                return PLACEMENT_NEED_CALLER;
        return f->caller == PLACEMENT_CALLER_LEAVES && !f->unit && !f->unit_failed ? PLACEMENT_NEED_UNIT : 0;
}

/**
 * situation_has_supervisor() - does the container belong to the unit we are in?
 *
 * Where the unit is not known it does: nobody could be asked for a scope either.
 */
bool situation_has_supervisor(const Situation *s) {
        const PlacementFacts *f = s->facts;

        if (s->wish != WISH_AUTO || f->service || f->cgroups_disabled || !f->unit)
                return true;
        switch (f->caller) {
        case PLACEMENT_CALLER_WAITS:
                return f->caller_is_main || !situation_kills_alone(f->unit);
        case PLACEMENT_CALLER_RESTARTS:
                return true;
        case PLACEMENT_CALLER_UNKNOWN:
        case PLACEMENT_CALLER_LEAVES:
                return supervises_detached(f);
        }
        return true;
}
