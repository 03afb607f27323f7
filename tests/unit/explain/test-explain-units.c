/* SPDX-License-Identifier: Apache-2.0 */

/* What follows from properties of units, which are made up. */

#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "explain/explain-internal.h"

static Explained *bound_scope(void) {
        Explained *e = calloc(1, sizeof *e);

        e->container_unit = (ExplainUnit){ .name = "libpod-x.scope", .known = true };
        e->monitor_unit =
                (ExplainUnit){ .name = "baz.service", .known = true, .facts = { .stops_at_shutdown = true } };
        e->slice = (ExplainUnit){ .name = "machine.slice", .known = true };
        (void)strcpy(e->container_unit.facts.binds_to, "baz.service");
        return e;
}

static void check_order(const Explained *e, const char *first, const char *second, bool at_once) {
        ExplainStep steps[2];

        cr_assert_eq(explain_order(e, steps), 2);
        cr_assert_str_eq(steps[0].unit->name, first);
        cr_assert_str_eq(steps[1].unit->name, second);
        cr_assert_not(steps[0].at_once);
        cr_assert_eq(steps[1].at_once, at_once);
}

CleanTest(explain_units, what_is_started_first_is_stopped_last) {
        _cleanup_free_ Explained *e = bound_scope();
        ExplainStep steps[2];

        check_order(e, "libpod-x.scope", "baz.service", true);
        (void)strcpy(e->container_unit.facts.before, "shutdown.target baz.service");
        check_order(e, "baz.service", "libpod-x.scope", false);
        e->container_unit.facts.before[0] = 0;
        (void)strcpy(e->monitor_unit.facts.after, "libpod-x.scope");
        check_order(e, "baz.service", "libpod-x.scope", false);
        e->monitor_unit.facts.after[0] = 0;
        (void)strcpy(e->container_unit.facts.after, "machine.slice baz.service");
        check_order(e, "libpod-x.scope", "baz.service", false);

        cr_assert_eq(explain_order(e, steps), 2);
        cr_assert(steps[0].stopped, "it is bound to one that is");
        e->container_unit.facts.binds_to[0] = 0;
        check_order(e, "baz.service", "libpod-x.scope", false);
        cr_assert_eq(explain_order(e, steps), 2);
        cr_assert(steps[0].stopped);
        cr_assert_not(steps[1].stopped);
        (void)strcpy(e->container_unit.facts.requires, "machine.slice");
        e->slice.facts.stops_at_shutdown = true;
        cr_assert_eq(explain_order(e, steps), 2);
        cr_assert(steps[0].stopped && steps[1].stopped);
}

CleanTest(explain_units, one_unit_is_one_step) {
        _cleanup_free_ Explained *e = bound_scope();
        const char *stoppers[4];
        ExplainStep steps[2];

        e->container_unit = e->monitor_unit;
        cr_assert_eq(explain_order(e, steps), 1);
        cr_assert_eq(explain_stoppers(e, stoppers), 1);
        cr_assert_str_eq(stoppers[0], "baz.service");
        e->container_unit.known = e->monitor_unit.known = false;
        cr_assert_eq(explain_order(e, steps), 0);
}

CleanTest(explain_units, units_of_the_same_name_differ_by_their_manager) {
        _cleanup_free_ Explained *e = bound_scope();
        const char *stoppers[4];

        cr_assert_eq(explain_stoppers(e, stoppers), 2);
        cr_assert_str_eq(stoppers[1], "baz.service");
        e->monitor_unit.user = true;
        cr_assert_eq(explain_stoppers(e, stoppers), 1, "a link does not reach another manager's unit");
        e->container_unit = e->monitor_unit;
        cr_assert(explain_same_unit(&e->container_unit, &e->monitor_unit));
        e->monitor_unit.owner = 1000;
        cr_assert_not(explain_same_unit(&e->container_unit, &e->monitor_unit));
}

CleanTest(explain_units, soft_reboot_is_survived_by_settings_of_all_units) {
        _cleanup_free_ Explained *e = bound_scope();
        ExplainUnit *units[] = { &e->container_unit, &e->monitor_unit, &e->slice };
        const ExplainUnit *unit = NULL;

        for (size_t i = 0; i < ELEMENTS(units); i++) {
                units[i]->known = true;
                units[i]->facts.stops_at_shutdown = false;
                units[i]->facts.ignores_isolate = units[i]->facts.survives = true;
        }
        e->slice.facts.survives = false;
        cr_assert_null(explain_soft_reboot(e, &unit), "there are no processes in a slice");
        for (size_t i = 0; i < ELEMENTS(units); i++) {
                units[i]->facts.stops_at_shutdown = true;
                cr_assert_str_eq(explain_soft_reboot(e, &unit), "has no DefaultDependencies=no");
                cr_assert_eq(unit, units[i]);
                units[i]->facts.stops_at_shutdown = false;
                units[i]->facts.ignores_isolate = false;
                cr_assert_str_eq(explain_soft_reboot(e, &unit), "has no IgnoreOnIsolate=yes");
                cr_assert_eq(unit, units[i]);
                units[i]->facts.ignores_isolate = true;
        }
        e->monitor_unmarked = true;
        cr_assert_str_eq(explain_soft_reboot(e, &unit),
                         "is marked, but not the cgroup that the monitor is in");
        cr_assert_eq(unit, &e->monitor_unit);
        e->container_unmarked = true;
        cr_assert_str_eq(explain_soft_reboot(e, &unit),
                         "is marked, but not the cgroup that the container is in");
        cr_assert_eq(unit, &e->container_unit);
        e->monitor_unit.facts.survives = false;
        cr_assert_str_eq(explain_soft_reboot(e, &unit), "has no SurviveFinalKillSignal=yes");
        cr_assert_eq(unit, &e->monitor_unit);
        e->container_unit.user = true;
        cr_assert_str_eq(explain_soft_reboot(e, &unit), "belongs to a user manager, which ends");
}
