/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/unit.h"

typedef struct Answer {
        bool over, known;
        UnitFacts facts;
        BusTrouble trouble;
} Answer;

static int on_answer(void *userdata, const UnitFacts *facts, const BusTrouble *trouble) {
        Answer *a = userdata;

        cr_assert_not(a->over, "answered twice");
        a->over = true;
        a->known = facts;
        if (facts)
                a->facts = *facts;
        a->trouble = *trouble;
        return 0;
}

static Answer ask(const FakeManagerScript *script, const char *unit, FakeManagerSeen *seen) {
        FakeManager *m = fake_manager_new(script, NULL);
        UnitQuestion *q = NULL;
        Answer a = { 0 };
        Event *event;
        Bus *bus;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(bus_new(&bus, event, true, FAKE_MANAGER_UID), 0);
        cr_assert_eq(unit_ask(&q, bus, unit, on_answer, &a), 0);
        cr_assert_not(a.over, "nobody is called from within");
        cr_assert(event_run_until(event, 10, a.over));
        q = unit_question_free(q);
        bus = bus_free(bus);
        event = event_unref(event);
        fake_manager_finish(m, seen);
        return a;
}

static UnitFacts facts_of(const FakeManagerScript *script, const char *unit, FakeManagerSeen *seen) {
        Answer a = ask(script, unit, seen);

        cr_assert(a.known, "%s", a.trouble.text);
        return a.facts;
}

CleanTest(unit, one_call_tells_all_of_a_service) {
        FakeManagerScript script = {
                .type = "oneshot", .delegate = true, .active_state = "activating", .memory_max = 4096
        };
        FakeManagerSeen seen;
        UnitFacts f = facts_of(&script, "baz.service", &seen);

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
        cr_assert_eq(f.syslog_facility, 19);
        cr_assert_eq(f.syslog_level, 5);
        cr_assert(f.syslog_level_prefix);
        cr_assert_not(f.spares);
        cr_assert_eq(f.memory_max, 4096);
        cr_assert_eq(f.tasks_max, 0, "was not told");
        cr_assert_not(f.ip_address_deny);
        cr_assert_not(f.allowed_cpus);
        cr_assert_str_eq(f.device_policy, "auto");
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
        UnitFacts f = facts_of(&script, "baz.service", NULL);

        cr_assert(f.unstarted);
}

CleanTest(unit, a_scope_lacks_what_services_have) {
        FakeManagerScript script = { 0 };
        UnitFacts f = facts_of(&script, "session-1.scope", NULL);

        cr_assert_str_empty(f.type);
        cr_assert_not(f.unstarted);
        cr_assert_not(f.subgroup);
        cr_assert_not(f.delegate);
}

CleanTest(unit, a_value_too_long_leaves_its_fact_empty) {
        FakeManagerScript script = { .active_state = "a-state-that-no-version-has-had-so-far" };
        UnitFacts f = facts_of(&script, "baz.service", NULL);

        cr_assert_str_empty(f.active_state);
        cr_assert_str_eq(f.sub_state, "running");
}

CleanTest(unit, a_refusal_comes_in_the_managers_words) {
        FakeManagerScript script = { .refuse = "not for you" };
        Answer a = ask(&script, "baz.service", NULL);

        cr_assert_not(a.known);
        cr_assert_eq(a.trouble.error, 0, "it could be asked");
        cr_assert_str_eq(a.trouble.text, "not for you");
}

CleanTest(unit, silence_has_an_end) {
        FakeManagerScript script = { .silent = true };
        Answer a;

        cr_assert_eq(setenv("SYSTEMD_BUS_TIMEOUT", "100ms", 1), 0);
        a = ask(&script, "baz.service", NULL);
        cr_assert_not(a.known);
        cr_assert_eq(a.trouble.error, 0);
        cr_assert_str_neq(a.trouble.text, "");
}

static int turn(Timer *timer, void *userdata) {
        (*(unsigned *)userdata)++;
        timer_set(timer, 1000);
        return 0;
}

CleanTest(unit, loop_turns_while_the_manager_thinks) {
        FakeManagerScript script = { .silent = true };
        FakeManager *m = fake_manager_new(&script, NULL);
        UnitQuestion *q = NULL;
        unsigned n_turns = 0;
        Timer *timer = NULL;
        Answer a = { 0 };
        Event *event;
        Bus *bus;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(event_add_timer(event, &timer, 0, turn, &n_turns), 0);
        cr_assert_eq(bus_new(&bus, event, true, FAKE_MANAGER_UID), 0);
        cr_assert_eq(unit_ask(&q, bus, "baz.service", on_answer, &a), 0);
        cr_assert(event_run_until(event, 10, n_turns > 50));
        cr_assert_not(a.over);
        q = unit_question_free(q); /* it is not waited for, either */
        timer = timer_free(timer);
        bus = bus_free(bus);
        event = event_unref(event);
        fake_manager_finish(m, NULL);
        cr_assert_not(a.over);
}

CleanTest(unit, a_name_that_is_none_is_not_asked_for) {
        UnitQuestion *q = NULL;
        Event *event;
        Bus *bus;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(bus_new(&bus, event, true, FAKE_MANAGER_UID), 0);
        cr_assert_eq(unit_ask(&q, bus, "no unit", on_answer, NULL), -EINVAL);
        cr_assert_null(q);
        bus = bus_free(bus);
        event = event_unref(event);
}
