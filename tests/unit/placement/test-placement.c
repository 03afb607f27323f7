/* SPDX-License-Identifier: Apache-2.0 */

/* Each row of the table, by its name, then what may shift a container from one to another. */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "placement/placement.h"

#define ID "8d0c5a"
#define SERVICE "/system.slice/baz.service"
#define USER_SERVICE "/user.slice/user-1000.slice/user@1000.service/app.slice/baz.service"
#define SESSION "/user.slice/user-0.slice/session-1.scope"

static const UnitFacts running = { .active_state = "active", .type = "exec", .kill_mode = "control-group" };

/* Podman as root in a unit: the most common case */
static PlacementFacts podman_in(const char *cgroup) {
        return (PlacementFacts){
                .id = ID,
                .cgroups_path = "machine.slice:libpod:" ID,
                .systemd_cgroup = true,
                .unified = true,
                .managed = true,
                .cgroup = cgroup,
                .delegation = PLACEMENT_DELEGATION_NO,
                .caller = PLACEMENT_CALLER_WAITS,
                .unit = &running,
        };
}

static PlacementFacts podman_delegated(const char *cgroup) {
        PlacementFacts f = podman_in(cgroup);

        f.delegation = PLACEMENT_DELEGATION_YES;
        return f;
}

static PlacementFacts rootless_in(const char *cgroup) {
        PlacementFacts f = podman_in(cgroup);

        f.cgroups_path = "user.slice:libpod:" ID;
        f.rootless = true;
        f.uid = 1000;
        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        return f;
}

/* Decides, and checks what holds for each plan. */
static PlacementPlan plan_of(const PlacementFacts *f, const char *row) {
        PlacementPlan p;

        cr_assert_eq(placement_decide(f, &p), 0, "%s: %s", row, p.reason);
        cr_assert_str_eq(placement_row_name(p.row), row, "%s instead of %s: %s", placement_row_name(p.row),
                         row, p.reason);
        cr_assert_neq(p.reason[0], 0);
        cr_assert_null(strchr(p.reason, '\n'));
        if (p.container == PLACEMENT_CONTAINER_NESTED) {
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_NESTED);
                cr_assert_not(p.systemd_cgroup);
        } else {
                cr_assert_neq(p.monitor, PLACEMENT_MONITOR_NESTED);
                cr_assert_eq(p.systemd_cgroup, f->systemd_cgroup);
        }
        cr_assert_eq(p.describe, p.container == PLACEMENT_CONTAINER_SCOPE);
        if (p.stop_propagated_from) {
                cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
                cr_assert_neq(p.unit[0], 0);
        }
        if (p.container == PLACEMENT_CONTAINER_SCOPE) {
                cr_assert_neq(p.container_scope[0], 0);
                cr_assert_eq(p.user_scope, f->rootless, "%s", row);
        }
        return p;
}

static void check_impossible(const PlacementFacts *f, const char *words) {
        PlacementPlan p;

        cr_assert_eq(placement_decide(f, &p), PLACEMENT_IMPOSSIBLE, "%s", p.reason);
        cr_assert_not_null(strstr(p.reason, words), "\"%s\" lacks \"%s\"", p.reason, words);
}

Test(placement, split_split_is_left_as_it_is) {
        PlacementFacts f = podman_in(SERVICE "/runtime");
        PlacementPlan p;

        f.cgroups_path = SERVICE "/libpod-payload-" ID;
        f.systemd_cgroup = false;
        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        f.unit = NULL;
        p = plan_of(&f, "split");
        cr_assert_not(p.user);
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);

        f.cgroup = SESSION; /* from a shell */
        f.cgroups_path = SESSION "/libpod-payload-" ID;
        (void)plan_of(&f, "split");
}

Test(placement, split_tells_whose_the_unit_is) {
        PlacementFacts f = rootless_in(USER_SERVICE);
        PlacementPlan p;

        f.cgroups_path = USER_SERVICE "/libpod-payload-" ID;
        f.systemd_cgroup = false;
        p = plan_of(&f, "split");
        cr_assert(p.user);
        cr_assert_eq(p.uid, 1000);
}

Test(placement, nest_nests_in_a_delegated_service) {
        PlacementFacts f = podman_delegated(SERVICE);
        PlacementPlan p = plan_of(&f, "nest");

        cr_assert_eq(p.container, PLACEMENT_CONTAINER_NESTED);
        cr_assert_str_eq(p.unit, "baz.service");
        cr_assert_str_eq(p.unit_path, SERVICE);
        cr_assert_str_eq(p.container_path, SERVICE "/libpod-payload-" ID);
        cr_assert_str_empty(p.container_scope);
        cr_assert_not(p.move_self);
        cr_assert_not(p.user);
}

Test(placement, nest_nests_beside_a_leaf_without_asking_the_bus) {
        PlacementFacts f = podman_delegated(SERVICE "/supervisor");
        PlacementPlan p;

        f.unit = NULL;
        f.caller = PLACEMENT_CALLER_RESTARTS;
        p = plan_of(&f, "nest");
        cr_assert_str_eq(p.container_path, SERVICE "/libpod-payload-" ID);
        cr_assert_not(p.move_self);
}

Test(placement, nest_nests_in_a_user_unit_that_the_bus_calls_delegated) {
        PlacementFacts f = rootless_in(USER_SERVICE);
        UnitFacts unit = running;
        PlacementPlan p;

        unit.delegate = true;
        f.unit = &unit;
        p = plan_of(&f, "nest");
        cr_assert_str_eq(p.container_path, USER_SERVICE "/libpod-payload-" ID);
        cr_assert(p.user);
        cr_assert_eq(p.uid, 1000);
}

Test(placement, nest_from_a_stopping_unit_needs_no_job) {
        PlacementFacts f = podman_delegated(SERVICE "/.control");
        UnitFacts unit = running;
        PlacementPlan p;

        strcpy(unit.active_state, "deactivating");
        strcpy(unit.sub_state, "stop-post");
        unit.unstarted = true; /* ExecStartPre= has failed, so the rest will not come */
        f.unit = &unit;
        p = plan_of(&f, "nest");
        cr_assert(p.move_self);
        cr_assert_str_eq(p.container_path, SERVICE "/libpod-payload-" ID);
}

Test(placement, nest_that_failed_is_row_3) {
        PlacementFacts f = podman_delegated(SERVICE);
        PlacementPlan p;

        f.nest_failed = true;
        p = plan_of(&f, "bind");
        cr_assert(p.before && p.stop_propagated_from);
}

Test(placement, bind_binds_the_scope) {
        PlacementFacts f = podman_in(SERVICE);
        PlacementPlan p = plan_of(&f, "bind");

        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
        cr_assert_str_eq(p.container_scope, "libpod-" ID ".scope");
        cr_assert(p.before);
        cr_assert(p.stop_propagated_from);
        cr_assert_str_eq(p.unit, "baz.service");
}

Test(placement, bind_binds_to_a_unit_that_is_starting) {
        PlacementFacts f = podman_in(SERVICE);
        UnitFacts unit = running;

        strcpy(unit.active_state, "activating");
        f.unit = &unit;
        cr_assert(plan_of(&f, "bind").stop_propagated_from);
}

/* Nobody else would hear of its stop before the container's scope waits for that. */
Test(placement, bind_watches_a_unit_that_signals_its_main_process_alone) {
        static const struct {
                const char *kill_mode;
                bool watched;
        } cases[] = { { "control-group", false }, { "mixed", true }, { "process", true }, { "none", false } };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                PlacementFacts f = podman_in(SERVICE);
                UnitFacts unit = running;
                PlacementPlan p;

                strcpy(unit.kill_mode, cases[i].kill_mode);
                f.unit = &unit;
                f.caller_is_main = true;
                cr_assert_eq(placement_decide(&f, &p), 0);
                cr_assert_eq(p.watch_start, cases[i].watched, "%s", cases[i].kill_mode);
        }
}

Test(placement, bind_holds_for_user_units) {
        PlacementFacts f = rootless_in(USER_SERVICE);

        cr_assert(plan_of(&f, "bind").stop_propagated_from);
}

static PlacementFacts with_runtime(PlacementFacts f, PlacementRuntime runtime) {
        f.runtime = runtime;
        return f;
}

Test(placement, a_scope_that_the_runtime_could_not_bind_is_made_by_us) {
        PlacementFacts f = with_runtime(podman_in(SERVICE), PLACEMENT_RUNTIME_PLAIN);
        PlacementPlan p;

        cr_assert_eq(placement_decide(&f, &p), 0);
        cr_assert_eq(p.row, PLACEMENT_ROW_BIND);
        cr_assert(p.make_scope);
        cr_assert(p.before && p.stop_propagated_from && p.describe);
        cr_assert_not(p.systemd_cgroup, "the runtime gets a path");
        cr_assert_str_eq(p.container_scope, "libpod-" ID ".scope");
        cr_assert_str_eq(p.container_slice, "machine.slice");
        cr_assert_not_null(strstr(p.reason, "created by the monitor"), "%s", p.reason);

        f.made_failed = true;
        cr_assert_not(plan_of(&f, "bind").make_scope, "as if the runtime had known");
}

Test(placement, the_runtime_is_asked_only_where_its_answer_counts) {
        PlacementFacts ask[] = { podman_in(SERVICE), podman_in(SESSION), rootless_in(USER_SERVICE),
                                 podman_in("/machine.slice/libpod-conmon-" ID ".scope") };
        PlacementFacts silent[] = { podman_delegated(SERVICE), podman_in("/system.slice/crio.service"),
                                    rootless_in(SERVICE), podman_in(SERVICE), podman_in(SERVICE) };
        PlacementPlan p;

        for (size_t i = 0; i < ELEMENTS(ask); i++) {
                ask[i].runtime = PLACEMENT_RUNTIME_UNKNOWN;
                cr_assert_eq(placement_decide(&ask[i], &p), PLACEMENT_NEED_RUNTIME, "case %zu", i);
                ask[i].runtime = PLACEMENT_RUNTIME_KNOWS;
                cr_assert_eq(placement_decide(&ask[i], &p), 0, "case %zu", i);
                cr_assert_not(p.make_scope);
        }
        silent[3].exec = true;
        silent[4].systemd_cgroup = false;
        for (size_t i = 0; i < ELEMENTS(silent); i++) {
                silent[i].runtime = PLACEMENT_RUNTIME_UNKNOWN;
                cr_assert_neq(placement_decide(&silent[i], &p), PLACEMENT_NEED_RUNTIME, "case %zu", i);
                cr_assert_not(p.make_scope);
        }
}

Test(placement, a_scope_of_ours_is_where_the_runtime_would_have_made_it) {
        static const struct {
                const char *path, *slice, *rootless_slice;
        } cases[] = {
                { "machine-libpod_pod_7.slice:libpod:" ID, "machine-libpod_pod_7.slice",
                  "machine-libpod_pod_7.slice" },
                { ":libpod:" ID, "system.slice", "user.slice" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                PlacementFacts f = with_runtime(podman_in(SERVICE), PLACEMENT_RUNTIME_PLAIN);
                PlacementPlan p;

                f.cgroups_path = cases[i].path;
                cr_assert_eq(placement_decide(&f, &p), 0);
                cr_assert_str_eq(p.container_slice, cases[i].slice);
                f = with_runtime(rootless_in(USER_SERVICE), PLACEMENT_RUNTIME_PLAIN);
                f.cgroups_path = cases[i].path;
                cr_assert_eq(placement_decide(&f, &p), 0);
                cr_assert_str_eq(p.container_slice, cases[i].rootless_slice);
        }
}

Test(placement, bind_cannot_bind_to_another_managers_unit) {
        PlacementFacts f = rootless_in(SERVICE); /* User= */
        PlacementPlan p;

        f.delegation = PLACEMENT_DELEGATION_NO;
        f.unit = NULL;
        p = plan_of(&f, "propagate");
        cr_assert_not(p.stop_propagated_from);
        cr_assert_not_null(strstr(p.reason, "another manager"));
}

Test(placement, propagate_does_not_bind_to_a_unit_that_is_not_up) {
        static const char *const states[] = { "deactivating", "inactive", "failed", "maintenance", "" };

        for (size_t i = 0; i < ELEMENTS(states); i++) {
                PlacementFacts f = podman_in(SERVICE "/.control");
                UnitFacts unit = running;
                PlacementPlan p;

                strcpy(unit.active_state, states[i]);
                f.unit = &unit;
                p = plan_of(&f, "propagate");
                cr_assert_not(p.before, "%s", states[i]);
                cr_assert(p.stop_propagated_from);
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        }
}

Test(placement, propagate_a_oneshot_does_not_take_the_container_with_it) {
        PlacementFacts f = podman_in(SERVICE);
        UnitFacts unit = running;

        strcpy(unit.type, "oneshot");
        strcpy(unit.active_state, "activating");
        f.unit = &unit;
        cr_assert(plan_of(&f, "propagate").before,
                  "its scope is stopped last: the first process is alone signalled");
        strcpy(unit.active_state, "deactivating");
        cr_assert_not(plan_of(&f, "propagate").before, "its start would wait for the stop");
        strcpy(unit.active_state, "activating");
        unit.remain_after_exit = true;
        cr_assert(plan_of(&f, "bind").stop_propagated_from);
}

/* ---- detached ------------------------------------------------------------------------------------------- */

/* podman run -d and its like */
static PlacementFacts podman_leaves(const char *cgroup, const UnitFacts *unit) {
        PlacementFacts f = podman_in(cgroup);

        f.caller = PLACEMENT_CALLER_LEAVES;
        f.unit = unit;
        if (unit->delegate)
                f.delegation = PLACEMENT_DELEGATION_YES;
        return f;
}

static UnitFacts unit_of(const char *type, const char *active_state, const char *sub_state) {
        UnitFacts unit = running;

        (void)snprintf(unit.type, sizeof unit.type, "%s", type);
        (void)snprintf(unit.active_state, sizeof unit.active_state, "%s", active_state);
        (void)snprintf(unit.sub_state, sizeof unit.sub_state, "%s", sub_state);
        (void)snprintf(unit.notify_access, sizeof unit.notify_access, "none");
        return unit;
}

Test(placement, detached_gives_a_detached_container_two_scopes) {
        UnitFacts unit = unit_of("oneshot", "activating", "start");
        PlacementFacts f = podman_leaves(SERVICE, &unit);
        PlacementPlan p = plan_of(&f, "detached");

        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_SCOPE);
        cr_assert_str_eq(p.monitor_scope, "libpod-conmon-" ID ".scope");
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
        cr_assert_str_eq(p.after, p.monitor_scope);
        cr_assert_not(p.before || p.stop_propagated_from);
        cr_assert_not_null(strstr(p.reason, "it outlives baz.service"), "%s", p.reason);

        f.scope_failed = true;
        p = plan_of(&f, "no-manager");
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_not(p.stop_propagated_from);
}

/* Whatever it is: as long as nothing ties the container to it. */
Test(placement, detached_is_for_units_of_any_kind) {
        const struct {
                UnitFacts unit;
                bool remains;
        } cases[] = {
                { unit_of("oneshot", "activating", "start"), false },
                { unit_of("oneshot", "activating", "start"), true },
                { unit_of("exec", "active", "running"), false },
                { unit_of("simple", "active", "running"), true },
                { unit_of("notify", "active", "running"), false },
                { unit_of("forking", "active", "running"), false },
                { unit_of("exec", "activating", "start-pre"), false },
                { unit_of("exec", "active", "reload"), false },
                { unit_of("exec", "deactivating", "stop"), false },
                { unit_of("exec", "failed", "failed"), false },
                { unit_of("notify", "activating", "start"), false },
                { unit_of("forking", "activating", "start-pre"), false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                UnitFacts unit = cases[i].unit;
                PlacementFacts f = podman_leaves(SERVICE, &unit);
                PlacementPlan p;

                unit.remain_after_exit = cases[i].remains;
                (void)plan_of(&f, "detached");
                f.caller = PLACEMENT_CALLER_RESTARTS;
                cr_assert_eq(placement_decide(&f, &p), 0);
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS, "case %zu: it goes on as before", i);
        }
}

Test(placement, detached_holds_without_root_and_for_another_managers_unit) {
        UnitFacts unit = unit_of("exec", "active", "running");
        PlacementFacts f = rootless_in(USER_SERVICE);
        PlacementPlan p;

        f.caller = PLACEMENT_CALLER_LEAVES;
        f.unit = &unit;
        p = plan_of(&f, "detached");
        cr_assert(p.user);
        cr_assert_eq(p.uid, 1000);
        cr_assert_str_eq(p.monitor_slice, "user.slice");

        f.cgroup = SERVICE; /* User= */
        f.unit = NULL;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        cr_assert_not(p.user, "it is the system's manager that knows it");
        f.unit = &unit;
        p = plan_of(&f, "detached");
        cr_assert(p.user, "the scope is made by the user's");
}

Test(placement, detached_comes_before_what_stands_against_nesting) {
        UnitFacts unit = unit_of("oneshot", "activating", "start");
        PlacementFacts f = podman_leaves(SERVICE, &unit);
        PlacementPlan p;

        f.cgroups_path = "machine-libpod_pod_77.slice:libpod:" ID;
        p = plan_of(&f, "detached");
        cr_assert_str_eq(p.monitor_slice, "machine-libpod_pod_77.slice");
        f.passthrough = true;
        (void)plan_of(&f, "detached");
        f.systemd_cgroup = false;
        f.cgroups_path = "/libpod_parent/libpod-" ID;
        p = plan_of(&f, "detached");
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_SCOPE);
        f.cgroups_disabled = true; /* the container is in our cgroup, and so are we */
        cr_assert_eq(plan_of(&f, "as-given").monitor, PLACEMENT_MONITOR_STAYS);
}

Test(placement, main_process_to_be_is_supervised) {
        UnitFacts unit = unit_of("notify", "activating", "start");
        PlacementFacts f = podman_leaves(SERVICE, &unit);

        f.notifies = true;
        (void)plan_of(&f, "bind");
        strcpy(unit.type, "notify-reload");
        (void)plan_of(&f, "bind");
        strcpy(unit.sub_state, "start-post"); /* it has a main process already */
        (void)plan_of(&f, "detached");

        unit = unit_of("exec", "active", "running"); /* NotifyAccess=all, and MAINPID= is told */
        (void)plan_of(&f, "detached");
        f.caller_is_main = true;
        (void)plan_of(&f, "detached");
        strcpy(unit.notify_access, "all");
        (void)plan_of(&f, "bind");
        f.notifies = false;
        (void)plan_of(&f, "detached");
}

Test(placement, forking_unit_supervises_what_it_takes_for_its_main_process) {
        UnitFacts unit = unit_of("forking", "activating", "start");
        PlacementFacts f = podman_leaves(SERVICE, &unit);

        (void)plan_of(&f, "bind"); /* by a guess */
        strcpy(unit.pid_file, "/run/another.pid");
        (void)plan_of(&f, "detached");
        f.pid_file_ours = true;
        (void)plan_of(&f, "bind");
        f.pid_file_ours = false;
        f.monitored = true; /* that of the pod's first container */
        (void)plan_of(&f, "bind");
}

Test(placement, delegated_unit_supervises_as_long_as_it_stays) {
        UnitFacts unit = unit_of("exec", "active", "running");
        PlacementFacts f;

        unit.delegate = true;
        f = podman_leaves(SERVICE, &unit);
        (void)plan_of(&f, "nest");
        f.cgroups_path = "machine-libpod_pod_77.slice:libpod:" ID;
        f.pod = PLACEMENT_POD_FITS;
        (void)plan_of(&f, "nest");
        f.cgroups_path = "machine.slice:libpod:" ID;
        f.caller_is_main = true; /* podman run -d is all that it does */
        (void)plan_of(&f, "detached");
        unit.remain_after_exit = true;
        (void)plan_of(&f, "nest");
        strcpy(unit.type, "oneshot");
        (void)plan_of(&f, "nest");
        unit.remain_after_exit = false;
        (void)plan_of(&f, "detached");
        f.caller = PLACEMENT_CALLER_WAITS;
        (void)plan_of(&f, "nest");

        unit = unit_of("exec", "active", "running");
        unit.delegate = true;
        strcpy(unit.kill_mode, "process");
        f = podman_leaves(SERVICE, &unit);
        (void)plan_of(&f, "detached");
}

Test(placement, waiting_caller_that_its_unit_spares_is_not_supervised) {
        static const char *const modes[] = { "process", "none" };

        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                UnitFacts unit = running;
                PlacementFacts f = podman_in(SERVICE);

                strcpy(unit.kill_mode, modes[i]);
                f.unit = &unit;
                (void)plan_of(&f, "detached");
                f.caller_is_main = true;
                (void)plan_of(&f, i == 0 ? "bind" : "propagate");
        }
}

Test(placement, propagate_unit_that_kills_nobody_does_not_stop_the_container) {
        UnitFacts unit = running;
        PlacementFacts f = podman_in(SERVICE);
        PlacementPlan p;

        strcpy(unit.kill_mode, "none");
        f.unit = &unit;
        f.caller_is_main = true;
        p = plan_of(&f, "propagate");
        cr_assert_not(p.before || p.stop_propagated_from);
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
}

Test(placement, wishes_need_no_supervisor) {
        UnitFacts unit = unit_of("exec", "active", "running");
        PlacementFacts f = podman_leaves(SERVICE, &unit);

        f.caller = PLACEMENT_CALLER_UNKNOWN;
        f.wish_annotation = "scope";
        (void)plan_of(&f, "bind");
        f.wish_annotation = "caller";
        (void)plan_of(&f, "as-given");
        f.wish_annotation = "unit";
        f.delegation = PLACEMENT_DELEGATION_YES;
        (void)plan_of(&f, "nest");
}

Test(placement, container_is_not_restarted_while_its_units_stop_is_under_way) {
        static const char *const cgroups[] = { SERVICE, SESSION,
                                               "/machine.slice/libpod-conmon-" ID ".scope" };
        static const char *const wishes[] = { NULL, "auto", "unit", "scope", "caller" };

        for (size_t i = 0; i < ELEMENTS(cgroups); i++)
                for (size_t j = 0; j < ELEMENTS(wishes); j++) {
                        PlacementFacts f = podman_in(cgroups[i]);
                        PlacementPlan p;

                        f.wish_annotation = wishes[j];
                        f.caller = PLACEMENT_CALLER_RESTARTS;
                        cr_assert_neq(placement_decide(&f, &p), PLACEMENT_STOPPING);
                        f.stopping_unit = "baz.service";
                        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_STOPPING);
                        cr_assert_str_eq(p.unit, "baz.service");
                        cr_assert(strstr(p.reason, "baz.service is being stopped"), "%s", p.reason);
                        f.exec = true;
                        (void)plan_of(&f, "exec");
                }
}

/* Its stop signal is for its main process, which a caller that waits stays. */
Test(placement, unit_of_a_waiting_caller_is_watched_if_it_signals_no_one_else) {
        UnitFacts unit = running;
        PlacementFacts f = podman_delegated(SERVICE);

        f.unit = &unit;
        cr_assert_not(plan_of(&f, "nest").watch_unit, "we are signalled");
        strcpy(unit.kill_mode, "mixed");
        cr_assert(plan_of(&f, "nest").watch_unit);
        f.delegation = PLACEMENT_DELEGATION_NO;
        cr_assert(plan_of(&f, "bind").watch_unit);
        f = podman_delegated(SERVICE "/supervisor");
        f.unit = &unit;
        cr_assert(plan_of(&f, "nest").watch_unit);
        f.service = true;
        f.wish_option = "unit";
        cr_assert_not(plan_of(&f, "nest").watch_unit, "we are the main process");
        f = podman_leaves(SERVICE, &unit);
        f.delegation = PLACEMENT_DELEGATION_YES;
        f.notifies = f.caller_is_main = true;
        strcpy(unit.notify_access, "all");
        cr_assert_not(plan_of(&f, "nest").watch_unit, "we become the main process");
}

Test(placement, caller_and_unit_are_looked_at_only_where_that_counts) {
        static const char *const elsewhere[] = { SESSION, "/machine.slice/libpod-conmon-" ID ".scope",
                                                 "/system.slice/crio.service" };
        PlacementFacts f = podman_delegated(SERVICE "/supervisor");
        PlacementPlan p;

        f.unit = NULL;
        f.caller = PLACEMENT_CALLER_UNKNOWN;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_CALLER);
        f.caller = PLACEMENT_CALLER_WAITS; /* is the unit to be watched? */
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        f.caller = PLACEMENT_CALLER_RESTARTS;
        (void)plan_of(&f, "nest");
        f.caller = PLACEMENT_CALLER_LEAVES;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        f.unit_failed = true; /* nobody could make a scope either */
        (void)plan_of(&f, "nest");
        for (size_t i = 0; i < ELEMENTS(elsewhere); i++) {
                f = podman_in(elsewhere[i]);
                f.caller = PLACEMENT_CALLER_UNKNOWN;
                f.unit = NULL;
                cr_assert_eq(placement_decide(&f, &p), 0, "%s", elsewhere[i]);
        }
}

/* ---- the rest of the table ---------------------------------------------------------------------------- */

Test(placement, moved_the_callers_scope_is_kept) {
        static const char *const groups[] = {
                "/machine.slice/libpod-conmon-" ID ".scope",
                "/system.slice/crio-conmon-" ID ".scope",
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-" ID ".scope",
        };

        for (size_t i = 0; i < ELEMENTS(groups); i++) {
                PlacementFacts f = podman_in(groups[i]);
                PlacementPlan p;

                f.unit = NULL;
                f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
                p = plan_of(&f, "moved");
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
                cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
                cr_assert_str_eq(p.after, i < 2 ? p.unit : "", "another manager's units are not known there");
                cr_assert_not(p.stop_propagated_from);
        }
}

Test(placement, scope_the_monitor_gets_a_scope) {
        static const char *const groups[] = {
                SESSION,
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-term-7.scope",
                "/machine.slice/libpod-conmon-another.scope",
                "/user.slice/user-1000.slice/user@1000.service/init.scope",
                "/init.scope",
                "/",
        };

        for (size_t i = 0; i < ELEMENTS(groups); i++) {
                PlacementFacts f = podman_in(groups[i]);
                PlacementPlan p;

                f.unit = NULL;
                f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
                p = plan_of(&f, "scope");
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_SCOPE);
                cr_assert_str_eq(p.monitor_scope, "libpod-conmon-" ID ".scope");
                cr_assert_str_eq(p.monitor_slice, "machine.slice");
                cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
                cr_assert_str_eq(p.after, p.monitor_scope, "it is stopped before its monitor");
                cr_assert_not(p.user);
        }
}

Test(placement, scope_is_for_the_users_manager_without_root) {
        PlacementFacts f = rootless_in("/user.slice/user-1000.slice/session-2.scope");
        PlacementPlan p = plan_of(&f, "scope");

        cr_assert(p.user);
        cr_assert_eq(p.uid, 1000);
        cr_assert_str_eq(p.monitor_slice, "user.slice");
}

Test(placement, scope_without_a_scope_stays) {
        PlacementFacts f = podman_in(SESSION);
        PlacementPlan p;

        f.scope_failed = true;
        p = plan_of(&f, "no-manager");
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
}

Test(placement, stranded_a_monitor_left_in_its_managers_service_gets_a_scope) {
        PlacementFacts f = podman_in("/system.slice/crio.service");
        PlacementPlan p;

        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        f.unit = NULL;
        f.cgroups_path = "kubepods-besteffort-pod7.slice:crio:" ID;
        p = plan_of(&f, "stranded");
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_SCOPE);
        cr_assert_str_eq(p.monitor_scope, "crio-conmon-" ID ".scope");
        cr_assert_str_eq(p.monitor_slice, "system.slice");
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);
        cr_assert_str_eq(p.container_scope, "crio-" ID ".scope");

        f.cgroup = "/system.slice/podman.service"; /* delegated, and not for this */
        f.cgroups_path = "machine.slice:libpod:" ID;
        p = plan_of(&f, "stranded");
        cr_assert_str_eq(p.monitor_scope, "libpod-conmon-" ID ".scope");
}

Test(placement, exec_exec_asks_nothing) {
        PlacementFacts f = podman_in(SERVICE);
        PlacementPlan p;

        f.exec = true;
        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        f.unit = NULL;
        f.cgroups_path = NULL;
        f.wish_environment = "no such wish";
        p = plan_of(&f, "exec");
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);
        f.cgroup = SESSION;
        f.wish_environment = "unit";
        (void)plan_of(&f, "exec");
}

Test(placement, as_given_wishes_against_nesting) {
        static const struct {
                const char *cgroups_path;
                bool passthrough;
                const char *words;
        } cases[] = {
                { "machine.slice:libpod:" ID, true, "podman logs" },
                { "machine-libpod_pod_77.slice:libpod:" ID, true, "podman logs" },
                { "batch-libpod_pod_77.slice:libpod:" ID, false, "cgroup parent" },
                { "batch.slice:libpod:" ID, false, "cgroup parent" },
                { "user.slice:libpod:" ID, false, "cgroup parent" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                PlacementFacts f = podman_delegated(SERVICE);
                PlacementPlan p;

                f.cgroups_path = cases[i].cgroups_path;
                f.passthrough = cases[i].passthrough;
                p = plan_of(&f, "as-given");
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
                cr_assert_eq(p.container, PLACEMENT_CONTAINER_SCOPE);
                cr_assert(p.before && p.stop_propagated_from);
                cr_assert_not_null(strstr(p.reason, cases[i].words), "%s", p.reason);
        }
}

Test(placement, as_given_without_systemd_cgroups_nothing_is_bound_or_asked) {
        PlacementFacts f = podman_delegated(SERVICE);
        PlacementPlan p;

        f.systemd_cgroup = false;
        f.cgroups_path = "/libpod_parent/libpod-" ID;
        f.unit = NULL;
        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        p = plan_of(&f, "as-given");
        cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
        cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);
        cr_assert_str_empty(p.container_scope);

        f.cgroup = "/libpod_parent/conmon"; /* where Podman puts it */
        cr_assert_eq(plan_of(&f, "as-given").monitor, PLACEMENT_MONITOR_STAYS);
        f.cgroup = SESSION;
        cr_assert_eq(plan_of(&f, "as-given").monitor, PLACEMENT_MONITOR_SCOPE);
        f.cgroups_disabled = true;
        cr_assert_eq(plan_of(&f, "as-given").monitor, PLACEMENT_MONITOR_STAYS);
}

Test(placement, no_manager_no_manager) {
        PlacementFacts f = podman_in(SERVICE);

        f.managed = false;
        (void)plan_of(&f, "no-manager");
        f = podman_in(SERVICE);
        f.unified = false;
        (void)plan_of(&f, "no-manager");
        f = podman_in(NULL);
        (void)plan_of(&f, "no-manager");
        f = podman_in(SERVICE);
        f.unit = NULL;
        f.unit_failed = true;
        cr_assert_eq(plan_of(&f, "no-manager").container, PLACEMENT_CONTAINER_AS_GIVEN);
}

Test(placement, questions_are_asked_only_when_the_answer_depends_on_them) {
        PlacementFacts f = podman_in(SERVICE);
        PlacementPlan p;

        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        f.unit = NULL;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_DELEGATION);
        cr_assert_str_eq(p.unit_path, SERVICE);
        f.delegation = PLACEMENT_DELEGATION_NO;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        cr_assert_str_eq(p.unit, "baz.service");
        cr_assert_not(p.user);

        f.passthrough = true; /* cannot be nested whatever the xattr says */
        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);

        f = rootless_in(USER_SERVICE);
        f.unit = NULL;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        cr_assert(p.user);
        cr_assert_eq(p.uid, 1000);
}

Test(placement, a_silent_bus_does_not_keep_a_delegated_unit_from_nesting) {
        PlacementFacts f = podman_delegated(SERVICE);
        PlacementPlan p;

        f.unit = NULL;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        f.unit_failed = true;
        (void)plan_of(&f, "nest");
        f = rootless_in(USER_SERVICE);
        f.unit = NULL;
        f.unit_failed = true;
        (void)plan_of(&f, "no-manager");
}

Test(placement, nesting_does_not_spoil_the_start_of_later_commands) {
        static const char *const groups[] = { SERVICE, SERVICE "/.control" };
        static const struct {
                const char *type, *sub_state;
                bool unstarted;
                const char *row;
        } cases[] = {
                { "exec", "start-pre", true, "bind" },         { "exec", "start-pre", false, "bind" },
                { "oneshot", "condition", true, "propagate" }, { "oneshot", "start", true, "propagate" },
                { "oneshot", "start", false, "nest" },         { "exec", "start", false, "nest" },
                { "exec", "start-post", true, "nest" }, /* start times were lost by a daemon-reload */
                { "exec", "running", true, "nest" },
        };

        for (size_t i = 0; i < ELEMENTS(groups) * ELEMENTS(cases); i++) {
                PlacementFacts f = podman_delegated(groups[i % 2]);
                UnitFacts unit = running;

                strcpy(unit.active_state, "activating");
                strcpy(unit.type, cases[i / 2].type);
                strcpy(unit.sub_state, cases[i / 2].sub_state);
                unit.unstarted = cases[i / 2].unstarted;
                f.unit = &unit;
                (void)plan_of(&f, cases[i / 2].row);
                unit.subgroup = true; /* they start elsewhere */
                (void)plan_of(&f, "nest");
        }
}

Test(placement, nesting_is_for_units_that_end_all_they_hold) {
        static const char *const modes[] = { "process", "none" };

        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                PlacementFacts f = podman_delegated(SERVICE);
                UnitFacts unit = running;

                strcpy(unit.kill_mode, modes[i]);
                f.unit = &unit;
                f.caller_is_main = true;
                (void)plan_of(&f, i == 0 ? "bind" : "propagate");
                f.wish_annotation = "unit";
                (void)plan_of(&f, "nest");
        }
}

Test(placement, another_users_unit_is_left_alone) {
        PlacementFacts f = podman_in(USER_SERVICE); /* root, by sudo */
        PlacementPlan p;

        f.delegation = PLACEMENT_DELEGATION_UNKNOWN;
        f.unit = NULL;
        p = plan_of(&f, "propagate");
        cr_assert_not(p.stop_propagated_from);
        f = rootless_in(USER_SERVICE);
        f.uid = 1001;
        (void)plan_of(&f, "propagate");
}

Test(placement, wish_unit_overrides_what_others_wish) {
        PlacementFacts f = podman_delegated(SERVICE);

        f.wish_environment = "unit";
        f.passthrough = true;
        f.cgroups_path = "machine-libpod_pod_77.slice:libpod:" ID;
        cr_assert_str_eq(plan_of(&f, "nest").pod, "libpod_pod-77");
        f.cgroups_path = "batch-libpod_pod_77.slice:libpod:" ID;
        cr_assert_str_eq(plan_of(&f, "nest").pod, "libpod_pod-77");
        f.systemd_cgroup = false;
        f.cgroups_path = "/libpod_parent/libpod-" ID;
        (void)plan_of(&f, "nest");
        f.cgroups_path = SERVICE "/libpod-payload-" ID;
        (void)plan_of(&f, "split");
}

Test(placement, wish_unit_that_cannot_be_met_is_an_error) {
        PlacementFacts f = podman_in(SERVICE);

        f.wish_annotation = "unit";
        check_impossible(&f, "baz.service is not delegated");
        f = podman_delegated(SERVICE);
        f.wish_annotation = "unit";
        f.nest_failed = true;
        check_impossible(&f, "could not be nested");
        f.nest_failed = false;
        f.managed = false;
        check_impossible(&f, "systemd is not running");
        f = podman_in(SESSION);
        f.wish_annotation = "unit";
        check_impossible(&f, "no service's cgroup");
        f.cgroup = "/system.slice/podman.service";
        check_impossible(&f, "in the caller's own service");
}

Test(placement, wish_scope_keeps_the_container_out_of_a_delegated_unit) {
        PlacementFacts f = podman_delegated(SERVICE);

        f.wish_environment = "scope";
        cr_assert(plan_of(&f, "bind").stop_propagated_from);
        f.cgroup = SESSION;
        (void)plan_of(&f, "scope");
        f.systemd_cgroup = false;
        check_impossible(&f, "not asked to create a scope");
        f.cgroup = SERVICE;
        check_impossible(&f, "not asked to create a scope");
        f.cgroups_path = SERVICE "/libpod-payload-" ID;
        check_impossible(&f, "nested the container");
        f.unified = false;
        check_impossible(&f, "no unified");
}

Test(placement, wish_caller_changes_nothing_anywhere) {
        static const char *const groups[] = { SERVICE, SESSION, "/", NULL };

        for (size_t i = 0; i < ELEMENTS(groups); i++) {
                PlacementFacts f = podman_delegated(groups[i]);
                PlacementPlan p;

                f.wish_annotation = "caller";
                p = plan_of(&f, "as-given");
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
                cr_assert_eq(p.container, PLACEMENT_CONTAINER_AS_GIVEN);
        }
}

Test(placement, the_annotation_wins_over_the_environment) {
        PlacementFacts f = podman_delegated(SERVICE);

        f.wish_annotation = "auto";
        f.wish_environment = "scope";
        (void)plan_of(&f, "nest");
}

Test(placement, a_word_that_is_no_wish_is_an_error) {
        PlacementFacts f = podman_in(SERVICE);

        f.wish_environment = "Unit";
        check_impossible(&f, "SCOPEMON_PLACEMENT=Unit: must be");
        f.wish_annotation = "";
        check_impossible(&f, "io.scopemon.placement=: must be");
}

Test(placement, strange_texts_change_nothing) {
        static char long_id[5000];
        static const char *const paths[] = {
                "",
                ":",
                "::",
                ":libpod:" ID,
                "machine.slice:libpod:",
                "a:b:c:d",
                "machine.slice:libpod:x/y",
                "../../x",
                "/",
                "machine.slice:libpod:a.slice",
                NULL,
        };
        PlacementFacts f = podman_delegated(SERVICE);

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                f.cgroups_path = paths[i];
                cr_assert_eq(plan_of(&f, "as-given").container == PLACEMENT_CONTAINER_NESTED, false);
        }

        memset(long_id, 'a', sizeof long_id - 1);
        f = podman_delegated(SERVICE);
        f.id = long_id;
        (void)plan_of(&f, "bind");
        f.id = "../../etc";
        (void)plan_of(&f, "bind");
        f.id = NULL;
        (void)plan_of(&f, "bind");
        f.cgroup = SESSION;
        f.id = long_id;
        cr_assert_eq(plan_of(&f, "no-manager").monitor, PLACEMENT_MONITOR_STAYS);
}

/* ---- pods --------------------------------------------------------------------------------------------- */

/* podman pod start and kube play: they leave */
static PlacementFacts pod_in(const char *cgroup, const UnitFacts *unit) {
        PlacementFacts f = podman_leaves(cgroup, unit);

        f.cgroups_path = "machine-libpod_pod_77.slice:libpod:" ID;
        f.delegation = PLACEMENT_DELEGATION_YES;
        f.pod = PLACEMENT_POD_FITS;
        return f;
}

static UnitFacts unit_of_pod(void) {
        UnitFacts unit = unit_of("forking", "activating", "start");

        unit.delegate = true;
        return unit;
}

Test(placement, nest_nests_a_pod_in_a_cgroup_of_its_own) {
        UnitFacts unit = unit_of_pod();
        PlacementFacts f = pod_in(SERVICE, &unit);
        PlacementPlan p = plan_of(&f, "nest");

        cr_assert_str_eq(p.pod, "libpod_pod-77");
        cr_assert_str_eq(p.pod_slice, "/machine.slice/machine-libpod_pod_77.slice");
        cr_assert_str_eq(p.container_path, SERVICE "/libpod_pod-77/libpod-payload-" ID);
        cr_assert_not_null(strstr(p.reason, "pod"), "%s", p.reason);

        f.cgroup = SERVICE "/supervisor"; /* the pod's second container */
        p = plan_of(&f, "nest");
        cr_assert_str_eq(p.container_path, SERVICE "/libpod_pod-77/libpod-payload-" ID);
        f.cgroups_path = "machine.slice:libpod:" ID; /* the service container of kube play is in no pod */
        p = plan_of(&f, "nest");
        cr_assert_str_empty(p.pod);
        cr_assert_str_eq(p.container_path, SERVICE "/libpod-payload-" ID);
}

Test(placement, nest_finds_the_slice_of_a_users_pod_at_the_users_manager) {
        static const char *const cgroups[] = { USER_SERVICE, SERVICE }; /* the other one with User= */

        for (size_t i = 0; i < ELEMENTS(cgroups); i++) {
                UnitFacts unit = unit_of_pod();
                PlacementFacts f = pod_in(cgroups[i], &unit);
                PlacementPlan p;

                f.rootless = true;
                f.uid = 1000;
                f.cgroups_path = "user-libpod_pod_77.slice:libpod:" ID;
                p = plan_of(&f, "nest");
                cr_assert_str_eq(p.pod, "libpod_pod-77");
                cr_assert_str_eq(p.pod_slice, "/user.slice/user-1000.slice/user@1000.service/user.slice"
                                              "/user-libpod_pod_77.slice");
        }
}

Test(placement, limits_of_a_pod_are_asked_for_last) {
        UnitFacts unit = unit_of_pod();
        PlacementFacts f = pod_in(SERVICE, &unit);
        PlacementPlan p;

        f.pod = PLACEMENT_POD_UNKNOWN;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_POD);
        cr_assert_str_eq(p.pod_slice, "/machine.slice/machine-libpod_pod_77.slice");
        cr_assert_str_eq(p.unit_path, SERVICE);
        f.unit = NULL;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        f.unit = &unit;
        f.delegation = PLACEMENT_DELEGATION_NO;
        (void)plan_of(&f, "as-given");
        f = podman_leaves(SERVICE "/supervisor", &unit);
        f.delegation = PLACEMENT_DELEGATION_YES;
        (void)plan_of(&f, "nest"); /* no pod */
}

Test(placement, as_given_pod_that_does_not_nest) {
        UnitFacts plain = unit_of_pod(), mixed = plain, leaves = plain;
        const struct {
                const UnitFacts *unit;
                PlacementDelegation delegation;
                PlacementPod pod;
                bool nest_failed;
                const char *words;
        } cases[] = {
                { &plain, PLACEMENT_DELEGATION_NO, PLACEMENT_POD_FITS, false, "is not delegated" },
                { &plain, PLACEMENT_DELEGATION_YES, PLACEMENT_POD_LOSES_LIMITS, false, "limits of the pod" },
                { &plain, PLACEMENT_DELEGATION_YES, PLACEMENT_POD_FITS, true, "could not be nested" },
                { &mixed, PLACEMENT_DELEGATION_YES, PLACEMENT_POD_FITS, false, "ExecStop=" },
                { &leaves, PLACEMENT_DELEGATION_YES, PLACEMENT_POD_FITS, false,
                  "leave the container behind" },
        };

        strcpy(mixed.kill_mode, "mixed");
        strcpy(leaves.kill_mode, "process");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                PlacementFacts f = pod_in(SERVICE, cases[i].unit);
                PlacementPlan p;

                f.delegation = cases[i].delegation;
                f.pod = cases[i].pod;
                f.nest_failed = cases[i].nest_failed;
                p = plan_of(&f, "as-given");
                cr_assert_not_null(strstr(p.reason, cases[i].words), "%s", p.reason);
                cr_assert_eq(p.monitor, PLACEMENT_MONITOR_STAYS);
                cr_assert_str_eq(p.container_scope, "libpod-" ID ".scope");
                cr_assert_str_empty(p.pod);
                cr_assert_not(p.watch_unit);
        }
}

Test(placement, as_given_pod_whose_unit_is_not_known) {
        UnitFacts unit = unit_of_pod();
        PlacementFacts f = pod_in(SERVICE "/supervisor", &unit);
        PlacementPlan p;

        f.unit = NULL;
        f.caller = PLACEMENT_CALLER_RESTARTS;
        cr_assert_eq(placement_decide(&f, &p), PLACEMENT_NEED_UNIT);
        f.unit_failed = true;
        (void)plan_of(&f, "no-manager");
}

Test(placement, pod_that_its_unit_stops_before_it_kills_nests) {
        UnitFacts unit = unit_of_pod();
        PlacementFacts f = pod_in(SERVICE, &unit);

        strcpy(unit.kill_mode, "mixed");
        unit.exec_stop = true;
        (void)plan_of(&f, "nest");
        unit.exec_stop = false;
        f.caller = PLACEMENT_CALLER_WAITS; /* it passes the signal on */
        (void)plan_of(&f, "nest");
}

Test(placement, slice_that_is_named_like_a_pods_is_none) {
        static const char *const slices[] = { "-libpod_pod_77.slice", "machine-libpod_pod_.slice",
                                              "machine-libpod_pod_7/7.slice", "machine-libpod_pod_77" };

        for (size_t i = 0; i < ELEMENTS(slices); i++) {
                UnitFacts unit = unit_of_pod();
                PlacementFacts f = pod_in(SERVICE, &unit);
                char path[128];

                (void)snprintf(path, sizeof path, "%s:libpod:" ID, slices[i]);
                f.cgroups_path = path;
                (void)plan_of(&f, "as-given");
                f.wish_environment = "unit";
                cr_assert_str_empty(plan_of(&f, "nest").pod, "%s", slices[i]);
        }
}

/* ---- a monitor that comes back ------------------------------------------------------------------------ */

static PlacementFacts service_in(const UnitFacts *unit, const char *wish) {
        PlacementFacts f = podman_delegated(SERVICE);

        f.service = true;
        f.wish_environment = wish;
        f.unit = unit;
        return f;
}

Test(placement, container_survives_where_the_unit_is_made_for_that) {
        UnitFacts unit = running;
        PlacementFacts f = service_in(&unit, "unit");

        cr_assert_not(plan_of(&f, "nest").survives, "no descriptors are kept");
        unit.fd_store_max = 100;
        (void)snprintf(unit.kill_mode, sizeof unit.kill_mode, "mixed");
        cr_assert_not(plan_of(&f, "nest").survives, "it is killed with its monitor");
        (void)snprintf(unit.kill_mode, sizeof unit.kill_mode, "process");
        cr_assert(plan_of(&f, "nest").survives);
        f.service = false;
        cr_assert_not(plan_of(&f, "nest").survives, "the unit's main process is somebody else");
}

Test(placement, scope_that_survives_is_not_stopped_with_its_monitor) {
        UnitFacts unit = running;
        PlacementFacts f = service_in(&unit, "scope");
        PlacementPlan p = plan_of(&f, "bind");

        cr_assert(p.stop_propagated_from && !p.survives);
        unit.fd_store_max = 100;
        p = plan_of(&f, "bind");
        cr_assert(p.survives && p.before && !p.stop_propagated_from);
}
