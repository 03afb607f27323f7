/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Output that journald has taken and thrown away: looked for, and said once. */

#include <stdbool.h>
#include <stdint.h>

#include "config/options.h"
#include "event/event.h"
#include "event/query.h"
#include "io/ring.h"
#include "placement/placement.h"
#include "worker/worker-state.h"

/* What a look at the journal has found. */
typedef struct SuppressedLook {
        uint64_t until_usec, until_sent; /* to there */
        uint64_t found;
        bool visible; /* the container's entries can be seen at all */
} SuppressedLook;

#define SUPPRESSED_ON_THEIR_WAY                                                                              \
        1024 /* entries at most that journald has not looked at while a container runs */

typedef void (*SuppressedOnEnd)(void *userdata, uint64_t missing);

typedef struct Suppressed {
        const Options *options;
        const PlacementPlan *plan;
        Ring *ring;
        Event *event;
        Timer *timer;
        bool armed;
        Query *query;           /* a child looks, */
        SuppressedLook look;    /* ... at that */
        SuppressedOnEnd on_end; /* NULL as long as the container runs */
        void *userdata;
} Suppressed;

void suppressed_init(Suppressed *s,
                     Event *event,
                     const Options *options,
                     const PlacementPlan *plan,
                     Ring *ring);
void suppressed_done(Suppressed *s);
int suppressed_on_flood(Suppressed *s);
void suppressed_end(Suppressed *s, SuppressedOnEnd on_end, void *userdata);
uint64_t suppressed_add(SuppressedState *state, const SuppressedLook *look, uint64_t on_their_way);
uint64_t suppressed_for_sure(const SuppressedState *state);
