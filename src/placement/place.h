/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Placement, carried out: facts gathered, the plan made true. */

#include "config/options.h"
#include "placement/caller.h"
#include "placement/placement.h"

/* Positive answer of place_container(). */
enum {
        PLACE_REFUSED = 1, /* a wish cannot be met; the text says it to the caller */
};

typedef struct PlaceText {
        char trouble[256]; /* what could not be had on the way, or "" */
        char refusal[512];
        char identifier[128]; /* SyslogIdentifier= of the unit that we are in, if it is wanted, or "" */
        pid_t restarting; /* monitor whose exit command has been refused to start the container again, or 0 */
        char problem[320]; /* what is set up in a way that cannot work, or "" */
        char remedy[320];  /* and what to do about it */
} PlaceText;

/* Of a scope that we have made for the container; -1 each if there is none. */
typedef struct PlaceHold {
        int end_fd;   /* the process that is in it meanwhile ends when this is closed */
        int procs_fd; /* where the runtime joins it */
} PlaceHold;

#define PLACE_HOLD_NONE ((PlaceHold){ .end_fd = -1, .procs_fd = -1 })

int place_container(const Options *o,
                    const Caller *caller,
                    PlacementPlan *ret,
                    PlaceText *ret_text,
                    PlaceHold *ret_hold);
void place_let_go(PlaceHold *hold);
