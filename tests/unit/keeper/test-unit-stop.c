/* SPDX-License-Identifier: Apache-2.0 */

/* A stop gives the container the unit's own time, from the signal on that was the stop; a mere signal gives it none. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "keeper/keeper-internal.h"

#define NOBODY 4294967000U /* a uid with no directory below /run/user */

typedef struct Fixture {
        Keeper *k;
        Options options;
        char dir[64], socket[128];
} Fixture;

static void fixture_init(Fixture *f) {
        int r;

        *f = (Fixture){ .options = { .cid = (char *)"0123" }, .dir = "/tmp/test-unit-stop-XXXXXX" };
        cr_assert_not_null(mkdtemp(f->dir));
        (void)snprintf(f->socket, sizeof f->socket, "%s/bus", f->dir);
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", f->dir, 1), 0);
        f->k = calloc(1, sizeof *f->k);
        cr_assert_eq(event_new(&f->k->event), 0);
        f->k->options = &f->options;
        f->k->phase = PHASE_RUNNING;
        f->k->plan.row = PLACEMENT_ROW_NEST;
        f->k->plan.user = true;
        f->k->plan.uid = NOBODY;
        f->k->plan.container = PLACEMENT_CONTAINER_NESTED;
        (void)snprintf(f->k->plan.unit, sizeof f->k->plan.unit, "baz.service");
        (void)snprintf(f->k->plan.container_path, sizeof f->k->plan.container_path, "/no/such/cgroup");
        r = process_fork(&f->k->target.pid);
        cr_assert_geq(r, 0);
        while (r == 0)
                (void)pause();
        f->k->target.pidfd = process_pidfd(f->k->target.pid);
        cr_assert_geq(f->k->target.pidfd, 0);
}

static void bury_children(void) {
        ProcessStatus status;
        pid_t pid;

        while ((pid = process_peek(0, &status)) >= 0)
                if (pid > 0)
                        cr_assert_eq(process_reap(pid), 0);
}

static void fixture_done(Fixture *f) {
        unit_stop_forget(f->k);
        f->k->event = event_unref(f->k->event);
        (void)process_signal(f->k->target.pidfd, SIGKILL);
        (void)close(f->k->target.pidfd);
        free(f->k);
        bury_children();
        (void)unlink(f->socket);
        cr_assert_eq(rmdir(f->dir), 0);
}

/* A signal, and what the manager says of the unit then. Return: how often it was asked. */
static unsigned signalled_in(Fixture *f, const FakeManagerScript *script) {
        FakeManagerSeen seen = { 0 };
        FakeManager *manager;

        (void)unlink(f->socket);
        manager = fake_manager_new(script, f->socket);
        cr_assert_eq(unit_stop_signalled(f->k), 0);
        cr_assert(event_run_until(f->k->event, 10, !f->k->unit_stop.question));
        cr_assert_null(f->k->unit_stop.bus, "nothing is asked any more");
        fake_manager_finish(manager, &seen);
        return seen.n_get_alls;
}

static unsigned signalled(Fixture *f, const char *state, unsigned long long stop_usec) {
        FakeManagerScript script = { .type = "notify", .active_state = state, .stop_usec = stop_usec };

        return signalled_in(f, &script);
}

/* While monitor and container are being placed, nobody knows yet whose stop it may be. */
CleanTest(unit_stop, signal_that_came_before_the_unit_was_known_counts) {
        FakeManagerScript script = { .type = "notify",
                                     .active_state = "deactivating",
                                     .stop_usec = 90000000 };
        FakeManager *manager;
        uint64_t before;
        Fixture f;

        fixture_init(&f);
        f.k->phase = PHASE_PLACING;
        f.k->plan.row = PLACEMENT_ROW_NONE;
        cr_assert_eq(unit_stop_placed(f.k), 0);
        cr_assert_null(f.k->unit_stop.question, "there was no signal");
        before = event_now();
        cr_assert_eq(unit_stop_signalled(f.k), 0);
        cr_assert_null(f.k->unit_stop.question);

        f.k->phase = PHASE_LAUNCHING;
        f.k->plan.row = PLACEMENT_ROW_NEST;
        (void)unlink(f.socket);
        manager = fake_manager_new(&script, f.socket);
        cr_assert_eq(unit_stop_placed(f.k), 0);
        cr_assert(event_run_until(f.k->event, 10, !f.k->unit_stop.question));
        fake_manager_finish(manager, &(FakeManagerSeen){ 0 });
        cr_assert_geq(f.k->unit_stop.deadline, before + 88000000);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 88000000);
        fixture_done(&f);
}

/* EXTEND_TIMEOUT_USEC= of the container: the manager waits, so we do. */
CleanTest(unit_stop, container_that_asks_for_more_time_gets_it) {
        uint64_t before;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(unit_stop_extend(f.k, 500000000), 0);
        cr_assert_eq(f.k->unit_stop.extended, 0, "before the stop it concerns another time-out");
        before = event_now();
        cr_assert_eq(signalled(&f, "deactivating", 10000000), 1);
        cr_assert_eq(unit_stop_extend(f.k, 1000000), 0);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 8000000, "less time is no more time");
        cr_assert_eq(unit_stop_extend(f.k, 60000000), 0);
        cr_assert_geq(f.k->unit_stop.deadline, before + 58000000);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 58000000);
        cr_assert_eq(signalled(&f, "deactivating", 10000000), 1);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 8000000,
                      "another stop signal, another time-out");
        f.k->phase = PHASE_DRAINING;
        cr_assert_eq(unit_stop_extend(f.k, 60000000), 0);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 8000000, "there is nothing left to wait for");
        fixture_done(&f);
}

CleanTest(unit_stop, container_may_ask_before_the_manager_has_answered) {
        FakeManagerScript script = { .type = "notify",
                                     .active_state = "deactivating",
                                     .stop_usec = 10000000 };
        FakeManager *manager;
        uint64_t before;
        Fixture f;

        fixture_init(&f);
        (void)unlink(f.socket);
        manager = fake_manager_new(&script, f.socket);
        before = event_now();
        cr_assert_eq(unit_stop_signalled(f.k), 0);
        cr_assert_eq(unit_stop_extend(f.k, 60000000), 0);
        cr_assert_eq(f.k->unit_stop.deadline, 0, "it may be a mere signal");
        cr_assert(event_run_until(f.k->event, 10, !f.k->unit_stop.question));
        fake_manager_finish(manager, &(FakeManagerSeen){ 0 });
        cr_assert_geq(f.k->unit_stop.deadline, before + 58000000);
        fixture_done(&f);
}

CleanTest(unit_stop, unit_that_kills_nobody_leaves_the_container_alone) {
        FakeManagerScript script = {
                .type = "notify", .active_state = "deactivating", .stop_usec = 1000000, .spares = true
        };
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert_eq(f.k->unit_stop.deadline, UNIT_STOP_NEVER);
        fixture_done(&f);
}

CleanTest(unit_stop, after_the_watchdogs_signal_there_is_a_time_of_its_own) {
        FakeManagerScript script = { .type = "notify",
                                     .active_state = "deactivating",
                                     .sub_state = "stop-watchdog",
                                     .abort_usec = 8000000 };
        uint64_t before = event_now();
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert_geq(f.k->unit_stop.deadline, before + 6000000);
        cr_assert_leq(f.k->unit_stop.deadline, event_now() + 6000000);
        script.sub_state = "stop-sigterm";
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert_geq(f.k->unit_stop.deadline, before + 88000000);
        fixture_done(&f);
}

/* No signal comes, but the manager says it. */
CleanTest(unit_stop, unit_that_signals_no_one_else_is_watched) {
        FakeManagerScript script = { .type = "exec", .active_state = "deactivating", .stop_usec = 20000000 };
        FakeManager *manager;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(unit_stop_watch(f.k), 0);
        cr_assert_null(f.k->unit_stop.watch, "a signal would come");
        f.k->plan.watch_unit = true;
        manager = fake_manager_new(&script, f.socket);
        cr_assert_eq(unit_stop_watch(f.k), 0);
        cr_assert(event_run_until(f.k->event, 10, f.k->unit_stop.watch && f.k->unit_stop.asked_usec > 0));
        unit_stop_forget(f.k); /* the thread serves one client at a time */
        cr_assert_null(f.k->unit_stop.watch);
        fake_manager_finish(manager, &(FakeManagerSeen){ 0 });
        fixture_done(&f);
}

/* The scope would wait for the stop, and the stop for whoever waits for the scope. */
CleanTest(unit_stop, container_whose_unit_stops_before_it_is_there_is_not_started) {
        FakeManagerScript script = { .type = "exec", .active_state = "deactivating", .stop_usec = 20000000 };
        Fixture f;

        fixture_init(&f);
        f.k->phase = PHASE_LAUNCHING;
        f.k->plan.row = PLACEMENT_ROW_BIND;
        f.k->facts.placed = true;
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert_eq(f.k->phase, PHASE_LAUNCHING, "its scope waits for nobody");
        f.k->advancing = true; /* there is no more of a keeper here */
        f.k->plan.before = true;
        script.active_state = "active";
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert_not(f.k->facts.gave_up);
        script.active_state = "deactivating";
        cr_assert_eq(signalled_in(&f, &script), 1);
        cr_assert(f.k->facts.gave_up);
        fixture_done(&f);
}

CleanTest(unit_stop, watch_for_the_start_ends_with_it) {
        FakeManagerScript script = { .type = "exec", .active_state = "active" };
        FakeManager *manager;
        Fixture f;

        fixture_init(&f);
        f.k->phase = PHASE_LAUNCHING;
        f.k->plan.watch_start = true;
        manager = fake_manager_new(&script, f.socket);
        cr_assert_eq(unit_stop_watch(f.k), 0);
        cr_assert_not_null(f.k->unit_stop.watch);
        f.k->phase = PHASE_RUNNING;
        cr_assert_eq(unit_stop_watch(f.k), 0);
        cr_assert_null(f.k->unit_stop.watch);
        fake_manager_finish(manager, &(FakeManagerSeen){ 0 });
        fixture_done(&f);
}

CleanTest(unit_stop, container_that_the_caller_has_nested_is_killed_in_time_as_well) {
        Fixture f;

        fixture_init(&f);
        f.k->plan.row = PLACEMENT_ROW_SPLIT;
        f.k->plan.container = PLACEMENT_CONTAINER_AS_GIVEN;
        cr_assert_eq(signalled(&f, "deactivating", 90000000), 1);
        cr_assert_neq(f.k->unit_stop.deadline, 0);
        fixture_done(&f);
}

CleanTest(unit_stop, units_own_time_holds_for_the_container) {
        static const struct {
                uint64_t unit_usec, deadline; /* of a stop at 7 s */
        } rows[] = {
                { 4000000, 10000000 },
                { 90000000, 95000000 },
                { 180000000, 185000000 },
                { 7 * 86400000000ULL, 7 * 86400000000ULL + 5000000 },
                { UINT64_MAX - 1, UNIT_STOP_NEVER },
                { UINT64_MAX, UNIT_STOP_NEVER },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                cr_assert_eq(unit_stop_deadline(7000000, rows[i].unit_usec), rows[i].deadline, "row %zu", i);
}

CleanTest(unit_stop, time_of_the_unit_is_the_containers) {
        static const unsigned long long times[] = { 6000000, 90000000, 180000000, 86400000000ULL * 30 };

        for (size_t i = 0; i < ELEMENTS(times); i++) {
                uint64_t before = event_now(),
                         left = times[i] - (times[i] < 8000000 ? times[i] / 4 : 2000000);
                Fixture f;

                fixture_init(&f);
                cr_assert_eq(signalled(&f, "deactivating", times[i]), 1);
                cr_assert_geq(f.k->unit_stop.deadline, before + left);
                cr_assert_leq(f.k->unit_stop.deadline, event_now() + left);
                cr_assert_not_null(f.k->unit_stop.timer);
                fixture_done(&f);
        }
}

CleanTest(unit_stop, infinity_is_for_ever) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(signalled(&f, "deactivating", UINT64_MAX), 1);
        cr_assert_eq(f.k->unit_stop.deadline, UINT64_MAX);
        cr_assert_eq(keeper_left(f.k->unit_stop.deadline), TIMER_NEVER);
        fixture_done(&f);
}

CleanTest(unit_stop, signal_that_is_no_stop_sets_no_deadline) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(signalled(&f, "active", 90000000), 1);
        cr_assert_eq(f.k->unit_stop.deadline, 0);
        cr_assert_null(f.k->unit_stop.timer);
        fixture_done(&f);
}

CleanTest(unit_stop, second_signal_gives_the_whole_time_again) {
        uint64_t first;
        Fixture f;

        fixture_init(&f);
        (void)signalled(&f, "active", 90000000);
        (void)signalled(&f, "deactivating", 90000000);
        first = f.k->unit_stop.deadline;
        cr_assert_gt(first, 0);
        (void)signalled(&f, "deactivating", 90000000);
        cr_assert_gt(f.k->unit_stop.deadline, first);
        (void)signalled(&f, "deactivating", UINT64_MAX);
        cr_assert_eq(f.k->unit_stop.deadline, UINT64_MAX, "somebody has set another time meanwhile");
        fixture_done(&f);
}

CleanTest(unit_stop, container_is_killed_when_the_time_is_over) {
        ProcessStatus status;
        Fixture f;

        fixture_init(&f);
        (void)signalled(&f, "deactivating", 1000);
        cr_assert(event_run_until(f.k->event, 10, process_peek(f.k->target.pid, &status) == f.k->target.pid));
        cr_assert_eq(status.signal, SIGKILL);
        fixture_done(&f);
}

CleanTest(unit_stop, manager_that_is_silent_is_asked_again_and_nobody_is_killed) {
        ProcessStatus status;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(unit_stop_signalled(f.k), 0);
        cr_assert(event_run_until(f.k->event, 10, f.k->unit_stop.again));
        cr_assert_eq(f.k->unit_stop.deadline, 0);
        timer_set(f.k->unit_stop.again, 0);
        cr_assert(event_run_until(f.k->event, 10, f.k->unit_stop.question), "it is asked again");
        cr_assert_eq(process_peek(f.k->target.pid, &status), 0);
        fixture_done(&f);
}

CleanTest(unit_stop, nobody_is_asked_where_no_unit_holds_us) {
        static const PlacementRow rows[] = { PLACEMENT_ROW_MOVED,    PLACEMENT_ROW_SCOPE,
                                             PLACEMENT_ROW_STRANDED, PLACEMENT_ROW_EXEC,
                                             PLACEMENT_ROW_AS_GIVEN, PLACEMENT_ROW_NO_MANAGER };
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                f.k->plan.row = rows[i];
                cr_assert_eq(unit_stop_signalled(f.k), 0);
                cr_assert_null(f.k->unit_stop.question);
        }
        f.k->plan.row = PLACEMENT_ROW_BIND;
        f.k->phase = PHASE_DRAINING;
        cr_assert_eq(unit_stop_signalled(f.k), 0);
        cr_assert_null(f.k->unit_stop.question);
        fixture_done(&f);
}
