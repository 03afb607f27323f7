/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever is announced, nobody waits for it and nothing is too long for it. What arrives in a
 * journal is for the tests of the whole program: the journal's address cannot be chosen.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "event.h"
#include "report/announce.h"

#define MANY 200

/* Each kind of entry there is. */
static void announce_all(const Options *o, const PlacementPlan *plan, const char *text) {
        static const ProcessStatus statuses[] = { { .known = true },
                                                  { .known = true, .code = 137, .signal = 9 },
                                                  { .known = true, .code = 192, .signal = 64 },
                                                  { .known = false } };

        announce_placed(o, plan, NULL);
        announce_placed(o, plan, text);
        announce_misconfigured(o, plan, text, text);
        announce_failure(o, plan, text, ENOSPC);
        announce_not_restarted(o, plan);
        announce_killed_by_timeout(o, plan);
        for (size_t i = 0; i < ELEMENTS(statuses); i++)
                for (unsigned k = 0; k < 4; k++)
                        announce_ended(o, plan,
                                       &(AnnounceEnd){ .status = &statuses[i],
                                                       .oom = k & 1,
                                                       .timed_out = k & 2,
                                                       .usec = UINT64_MAX,
                                                       .bytes = UINT64_MAX,
                                                       .lost = UINT64_MAX });
        announce_worker_replaced(o, plan, SIGSEGV, 0);
        announce_worker_replaced(o, plan, 64, 0);
        announce_worker_replaced(o, plan, 0, 127);
        announce_loss(o, plan, text, ENOSPC, 12, 1);
        announce_loss(o, plan, text, 0, UINT64_MAX, UINT64_MAX);
        announce_loss(o, plan, text, 4095, 0, 0);
        announce_raw(o, plan, UINT64_MAX);
}

CleanTest(announce, nobody_waits_for_a_journal_that_may_not_be_there) {
        Options o = { .cid = "0123456789abcdef" };
        PlacementPlan plan = { .row = PLACEMENT_ROW_NO_MANAGER, .reason = "because" };
        uint64_t begin = event_test_now();

        for (unsigned i = 0; i < MANY; i++)
                announce_all(&o, &plan, "the journal");
        cr_assert_lt(event_test_now() - begin, 30000000U);
}

CleanTest(announce, texts_of_any_length_are_cut) {
        static char large[100000];
        Options o = { .cid = large, .name = large };
        PlacementPlan *plan = calloc(1, sizeof *plan);

        memset(large, '%', sizeof large - 1);
        memset(plan->unit, 'u', sizeof plan->unit - 1);
        memset(plan->container_path, 'p', sizeof plan->container_path - 1);
        memset(plan->container_scope, 's', sizeof plan->container_scope - 1);
        memset(plan->monitor_scope, 'm', sizeof plan->monitor_scope - 1);
        memset(plan->reason, '%', sizeof plan->reason - 1);
        for (PlacementRow row = 0; row < _PLACEMENT_ROW_MAX; row++) {
                plan->row = row;
                plan->container =
                        row == PLACEMENT_ROW_NEST ? PLACEMENT_CONTAINER_NESTED : PLACEMENT_CONTAINER_SCOPE;
                plan->monitor =
                        row == PLACEMENT_ROW_SCOPE ? PLACEMENT_MONITOR_SCOPE : PLACEMENT_MONITOR_STAYS;
                announce_all(&o, plan, large);
        }
        free(plan);
}
