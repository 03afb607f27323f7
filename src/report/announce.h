/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Our own structured entries in the journal: one for each thing an administrator will look for. */

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "config/options.h"
#include "placement/placement.h"
#include "report/announce-end.h"

/* Whose entries they are; borrowed. */
typedef struct Announcer {
        const Options *options;
        const PlacementPlan *plan;
} Announcer;

void announce_placed(const Options *o, const PlacementPlan *plan, const char *trouble);
void announce_misconfigured(const Options *o,
                            const PlacementPlan *plan,
                            const char *problem,
                            const char *remedy);
void announce_not_restarted(const Options *o, const PlacementPlan *plan);
void announce_killed_by_timeout(const Options *o, const PlacementPlan *plan);
void announce_ended(const Options *o, const PlacementPlan *plan, const AnnounceEnd *end);
void announce_failure(const Options *o, const PlacementPlan *plan, const char *problem, int error);
void announce_worker_replaced(const Options *o, const PlacementPlan *plan, int signal, int code);
void announce_loss(const Options *o,
                   const PlacementPlan *plan,
                   const char *sink,
                   int error,
                   uint64_t lost,
                   uint64_t lines);
void announce_suppressed(const Options *o, const PlacementPlan *plan, uint64_t suppressed, uint64_t entries);
void announce_upgraded(const Options *o, const PlacementPlan *plan, const char *before, uint64_t usec);
void announce_upgrade_refused(const Options *o,
                              const PlacementPlan *plan,
                              const char *program,
                              const char *why);
void announce_keeper_replaced(const Options *o, const PlacementPlan *plan);
bool announce_log(const LogMessage *m, void *userdata);
void announce_raw(const Options *o, const PlacementPlan *plan, uint64_t n);
