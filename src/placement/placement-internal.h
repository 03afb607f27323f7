/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the files of placement share: placement.c (the table), placement-situation.c (what the facts mean),
 * placement-supervisor.c (whose the container is).
 */

#include "placement/placement.h"
#include "wire/cgtext.h"

typedef enum Wish {
        WISH_AUTO,
        WISH_UNIT,
        WISH_SCOPE,
        WISH_CALLER,
        _WISH_MAX,
} Wish;

typedef struct Situation {
        const PlacementFacts *facts;
        PlacementPlan *plan;
        Wish wish;
        CgUnit unit;
        char parent[UNITNAME_SIZE]; /* where the caller was told to put the container, or its pod */
        char pod[UNITNAME_SIZE];    /* ID of the pod; empty without */
        char slice[UNITNAME_SIZE];  /* the three parts of a cgroupsPath for systemd, else empty */
        char prefix[UNITNAME_SIZE];
        char name[UNITNAME_SIZE];
} Situation;

/* placement-situation.c */
void situation_split_path(Situation *s);
const char *situation_default_slice(const PlacementFacts *f);
bool situation_find_scope(const Situation *s);
bool situation_find_monitor_scope(Situation *s);
bool situation_find_pod_slice(const Situation *s);
void situation_find_unit(Situation *s);
bool situation_in_control_group(const Situation *s);
bool situation_same_manager(const Situation *s);

/* placement-supervisor.c */
int situation_ask_for_supervisor(const Situation *s);
bool situation_has_supervisor(const Situation *s);
bool situation_is_passing(const UnitFacts *u);
bool situation_kills_alone(const UnitFacts *u);
