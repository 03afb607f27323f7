/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files that carry placement out share: place.c, and place-scope.c (scopes: made, or described). */

#include "oci/bundle.h"
#include "placement/place.h"
#include "systemd/manager.h"

typedef struct Place {
        const Options *options;
        const Caller *caller;
        CallerFacts caller_facts;
        PlacementFacts facts;
        PlacementPlan *plan;
        PlaceText *text;
        PlaceHold *hold;
        UnitFacts unit;
        char former_unit[UNITNAME_SIZE];       /* of the monitor before us */
        Bundle *bundle;                        /* NULL with exec, or if there is none */
        char service_path[UNITNAME_SIZE + 32]; /* cgroupsPath of service mode */
        char *cgroup;
        bool monitor_made; /* we are in the scope that we have made for ourselves */
} Place;

/* place.c */
void place_note_trouble(Place *p, const char *what, const char *why);
void place_note_manager(Place *p, const char *what, const ManagerTrouble *trouble);

/* place-scope.c: false if it cannot be had, which is a fact then */
bool place_make_monitor_scope(Place *p);
bool place_make_container_scope(Place *p);
int place_describe_scope(Place *p);
