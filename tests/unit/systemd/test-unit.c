/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "clean.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/unit.h"

static int ask(const FakeManagerScript *script, const char *unit, UnitFacts *ret, FakeManagerSeen *seen) {
        FakeManager *m = fake_manager_new(script, NULL);
        Bus *bus = fake_manager_client(m);
        int r;

        r = unit_facts(bus, unit, ret);
        bus = bus_free(bus);
        fake_manager_finish(m, seen);
        return r;
}

CleanTest(unit, one_call_tells_all_of_a_service) {
        FakeManagerScript script = {
                .type = "oneshot", .delegate = true, .active_state = "activating", .memory_max = 4096
        };
        FakeManagerSeen seen;
        UnitFacts f;

        cr_assert_eq(ask(&script, "baz.service", &f, &seen), 0);
        cr_assert_eq(seen.n_get_alls, 1);
        cr_assert_str_eq(seen.path, "/org/freedesktop/systemd1/unit/baz_2eservice");
        cr_assert_str_eq(f.active_state, "activating");
        cr_assert_str_eq(f.sub_state, "running");
        cr_assert_str_eq(f.type, "oneshot");
        cr_assert_str_eq(f.kill_mode, "mixed");
        cr_assert_str_eq(f.control_group, "/system.slice/baz.service");
        cr_assert(f.delegate);
        cr_assert(f.remain_after_exit);
        cr_assert(f.subgroup);
        cr_assert_not(f.unstarted);
        cr_assert_eq(f.timeout_stop_usec, 90000000);
        cr_assert_str_eq(f.syslog_identifier, "the-units");
        cr_assert_eq(f.memory_max, 4096);
        cr_assert_eq(f.tasks_max, 0, "was not told");
        cr_assert_eq(f.kill_signal, 2);
        cr_assert_str_eq(f.binds_to, "a.service");
        cr_assert_str_eq(f.after, "a.service b.service");
        cr_assert_str_eq(f.before, "");
        cr_assert(f.stops_at_shutdown);
        cr_assert_not(f.exec_stop);
}

CleanTest(unit, names_in_a_list_are_whole_words) {
        const char list[] = "a.service b.service x-a.service";

        cr_assert(unit_is_listed(list, "a.service"));
        cr_assert(unit_is_listed(list, "b.service"));
        cr_assert(unit_is_listed(list, "x-a.service"));
        cr_assert_not(unit_is_listed(list, "-a.service"));
        cr_assert_not(unit_is_listed(list, "a.serv"));
        cr_assert_not(unit_is_listed(list, ""));
        cr_assert_not(unit_is_listed("", "a.service"));
}

CleanTest(unit, a_command_without_a_start_time_is_seen) {
        FakeManagerScript script = { .type = "oneshot", .unstarted = true };
        UnitFacts f;

        cr_assert_eq(ask(&script, "baz.service", &f, NULL), 0);
        cr_assert(f.unstarted);
}

CleanTest(unit, a_scope_lacks_what_services_have) {
        FakeManagerScript script = { 0 };
        UnitFacts f;

        cr_assert_eq(ask(&script, "session-1.scope", &f, NULL), 0);
        cr_assert_str_empty(f.type);
        cr_assert_not(f.unstarted);
        cr_assert_not(f.subgroup);
        cr_assert_not(f.delegate);
}

CleanTest(unit, a_value_too_long_leaves_its_fact_empty) {
        FakeManagerScript script = { .active_state = "a-state-that-no-version-has-had-so-far" };
        UnitFacts f;

        cr_assert_eq(ask(&script, "baz.service", &f, NULL), 0);
        cr_assert_str_empty(f.active_state);
        cr_assert_str_eq(f.sub_state, "running");
}

CleanTest(unit, a_refusal_is_an_error_and_writes_nothing) {
        FakeManagerScript script = { .refuse = "no" };
        UnitFacts f = { .type = "kept" };

        cr_assert_eq(ask(&script, "baz.service", &f, NULL), -EACCES);
        cr_assert_str_eq(f.type, "kept");
}

CleanTest(unit, a_name_that_is_none_is_not_asked_for) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;
        UnitFacts f;

        cr_assert_eq(ask(&script, "no unit", &f, &seen), -EINVAL);
        cr_assert_eq(seen.n_get_alls, 0);
}
