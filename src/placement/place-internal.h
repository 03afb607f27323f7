/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files that carry placement out share: place.c, and place-scope.c (scopes: made, or described). */

#include "event/query.h"
#include "oci/bundle.h"
#include "placement/place.h"
#include "systemd/bus.h"
#include "systemd/scope.h"

/* In this order, but for a plan that could not be carried out: then it is decided again. */
typedef enum PlaceStep {
        PLACE_STEP_FORMER_UNIT, /* of the monitor before us: does it stop? */
        PLACE_STEP_DECIDE,
        PLACE_STEP_NEST,
        PLACE_STEP_MONITOR_SCOPE,
        PLACE_STEP_CONTAINER_SCOPE,
        PLACE_STEP_STREAM,
        PLACE_STEP_FINISH,
        PLACE_STEP_END,
} PlaceStep;

/* What an answer means. It sets the next step. @facts: NULL if there is none. */
typedef void (*PlaceNoteUnit)(Placer *p, const UnitFacts *facts, const BusTrouble *trouble);
typedef void (*PlaceNoteScope)(Placer *p, int answer, const BusTrouble *trouble);

struct Placer {
        const Options *options;
        Caller caller;
        Event *event;
        PlaceOnPlaced on_placed;
        void *userdata;

        PlaceStep step;
        int result;             /* with PLACE_STEP_END */
        Bus *bus;               /* NULL until a manager is to be asked */
        UnitQuestion *question; /* one of these at most is under way, */
        PlaceNoteUnit note_unit;
        Scope *scope;
        PlaceNoteScope note_scope;
        Query *query; /* of the runtime */
        pid_t holder; /* in the container's scope while that is being made, or 0 */
        int holder_pidfd;

        CallerFacts caller_facts;
        PlacementFacts facts;
        PlacementPlan *plan; /* these are of whoever wants to know */
        PlaceText *text;
        PlaceHold *hold;
        UnitFacts unit;
        char former_unit[UNITNAME_SIZE];       /* of the monitor before us */
        Bundle *bundle;                        /* NULL with exec, or if there is none */
        char service_path[UNITNAME_SIZE + 32]; /* cgroupsPath of service mode */
        char *cgroup;
        bool monitor_made; /* we are in the scope that we have made for ourselves */
};

/* place.c */
void place_note_trouble(Placer *p, const char *what, const char *why);
void place_note_manager(Placer *p, const char *what, const BusTrouble *trouble);
int place_open_bus(Placer *p, bool user, uid_t uid);
void place_go_on(Placer *p);

/* place-scope.c: both return true if the answer is to be waited for */
bool place_make_monitor_scope(Placer *p);
bool place_make_container_scope(Placer *p);
void place_end_holder(Placer *p);
int place_describe_scope(Placer *p);
