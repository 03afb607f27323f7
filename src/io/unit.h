/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the manager knows of a unit. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sd_bus sd_bus;

typedef struct UnitFacts {
        char active_state[16];
        char sub_state[32];
        char type[16];      /* services only, else empty */
        char kill_mode[16];
        char control_group[PATH_MAX];
        bool delegate;
        bool remain_after_exit;
        bool subgroup;      /* DelegateSubgroup= is set: main processes start there */
        bool unstarted;     /* a command of ExecStart= has no start time; true of all after a daemon-reload */
        uint64_t timeout_stop_usec;
} UnitFacts;

int unit_facts(sd_bus *bus, const char *unit, UnitFacts *ret);
