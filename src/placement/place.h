/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Placement, carried out: facts gathered, the plan made true; on the loop, since the manager may take its time. */

#include "base/cleanup.h"
#include "config/options.h"
#include "event/event.h"
#include "placement/caller.h"
#include "placement/placement.h"

typedef struct Placer Placer;

/* Positive result. */
enum {
        PLACE_REFUSED = 1, /* a wish cannot be met; the text says it to the caller */
};

/* @result: 0, PLACE_REFUSED, or a negative errno. The Placer may be freed in here. */
typedef void (*PlaceOnPlaced)(void *userdata, int result);

/* What the unit that we are in says of its processes' output in the journal, if the container's is to be like it. */
typedef struct PlaceStream {
        bool known;
        bool level_prefix; /* "<N>" before a line is its priority */
        int facility, level;
        char identifier[128]; /* "" if there is none */
} PlaceStream;

typedef struct PlaceText {
        char trouble[256]; /* what could not be had on the way, or "" */
        char refusal[512];
        PlaceStream stream;
        pid_t restarting; /* monitor whose exit command has been refused to start the container again, or 0 */
        char problem[384]; /* what is set up in a way that cannot work, or "" */
        char remedy[320];  /* and what to do about it */
} PlaceText;

/* Of a scope that we have made for the container; -1 each if there is none. */
typedef struct PlaceHold {
        int end_fd;   /* the process that is in it meanwhile ends when this is closed */
        int procs_fd; /* where the runtime joins it */
} PlaceHold;

#define PLACE_HOLD_NONE ((PlaceHold){ .end_fd = -1, .procs_fd = -1 })

/* What the Placer takes, and where it puts the result; borrowed, all of it. */
typedef struct PlaceSpec {
        const Options *options;
        const Caller *caller; /* the process that started us */
        PlacementPlan *plan;  /* what was carried out in the end */
        PlaceText *text;      /* words for people */
        PlaceHold *hold;      /* what keeps a scope that was made for the container, until place_let_go() */
} PlaceSpec;

int place_new(Placer **ret, Event *event, const PlaceSpec *spec, PlaceOnPlaced on_placed, void *userdata);
void place_start(Placer *p);
Placer *place_free(Placer *p);
DEFINE_CLEANUP(Placer, place_free)
void place_let_go(PlaceHold *hold);
