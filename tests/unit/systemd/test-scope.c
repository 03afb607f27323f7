/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/scope.h"

static const ScopeSpec plain = {
        .name = "libpod-conmon-7.scope",
        .slice = "machine.slice",
        .description = "Monitor of container baz",
        .documentation = "man:scopemon(8)",
        .pid = 1,
};

typedef struct End {
        bool over;
        int answer;
        char text[256];
} End;

static int on_end(void *userdata, int answer, const BusTrouble *trouble) {
        End *e = userdata;

        cr_assert_not(e->over, "told twice");
        *e = (End){ .over = true, .answer = answer };
        strcpy(e->text, trouble->text);
        return 0;
}

typedef struct Site {
        FakeManager *manager;
        Event *event;
        Bus *bus;
        Scope *scope;
        End end;
} Site;

static void site_init(Site *s, const FakeManagerScript *script, const ScopeSpec *spec) {
        *s = (Site){ .manager = fake_manager_new(script, NULL) };
        cr_assert_eq(event_new(&s->event), 0);
        cr_assert_eq(bus_new(&s->bus, s->event, true, FAKE_MANAGER_UID), 0);
        cr_assert_eq(scope_ask(&s->scope, s->bus, spec, on_end, &s->end), 0);
        cr_assert_not(s->end.over, "nobody is called from within");
}

static void site_done(Site *s, FakeManagerSeen *seen) {
        cr_assert_null(s->scope = scope_free(s->scope));
        s->bus = bus_free(s->bus);
        s->event = event_unref(s->event);
        fake_manager_finish(s->manager, seen);
}

static int start(const FakeManagerScript *script, const ScopeSpec *spec, char *error, FakeManagerSeen *seen) {
        Site s;

        site_init(&s, script, spec);
        cr_assert(event_run_until(s.event, 30, s.end.over));
        if (error)
                strcpy(error, s.end.text);
        site_done(&s, seen);
        return s.end.answer;
}

CleanTest(scope, done_is_done) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;
        char error[256];

        cr_assert_eq(start(&script, &plain, error, &seen), 0);
        cr_assert_str_empty(error);
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_str_eq(seen.unit, "libpod-conmon-7.scope");
        cr_assert_str_eq(seen.properties, " Description Documentation Slice CollectMode Delegate "
                                          "DefaultDependencies PIDs ");
}

CleanTest(scope, a_good_reply_is_no_good_result) {
        FakeManagerScript script = { .result = "failed" };
        char error[256];

        cr_assert_eq(start(&script, &plain, error, NULL), SCOPE_NOT_DONE);
        cr_assert_str_eq(error, "the start job of libpod-conmon-7.scope finished with result \"failed\"");
}

CleanTest(scope, ends_of_other_jobs_are_passed_over) {
        FakeManagerScript script = { .other_job_first = true };

        cr_assert_eq(start(&script, &plain, NULL, NULL), 0);
}

CleanTest(scope, an_end_before_the_reply_counts) {
        FakeManagerScript script = { .removed_before_reply = true, .other_job_first = true };

        cr_assert_eq(start(&script, &plain, NULL, NULL), 0);
}

CleanTest(scope, a_refusal_has_the_managers_words) {
        FakeManagerScript script = { .refuse = "Unit x.scope was already loaded" };
        char error[256];
        FakeManagerSeen seen;

        cr_assert_eq(start(&script, &plain, error, &seen), SCOPE_REFUSED);
        cr_assert_str_eq(error, "Unit x.scope was already loaded");
        cr_assert_eq(seen.n_starts, 1);
}

static ScopeSpec full(void) {
        ScopeSpec spec = plain;

        spec.before = spec.stop_propagated_from = "baz.service";
        spec.pid = getpid();
        spec.timeout_stop_usec = 10000000;
        spec.after = "libpod-conmon-7.scope";
        spec.kill_signal = 2;
        return spec;
}

CleanTest(scope, all_properties_are_sent) {
        ScopeSpec spec = full();
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;

        cr_assert_eq(start(&script, &spec, NULL, &seen), 0);
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_str_eq(seen.properties, " Description Documentation Slice CollectMode Before After "
                                          "StopPropagatedFrom Delegate DefaultDependencies TimeoutStopUSec "
                                          "KillSignal PIDs ");
}

/* Nothing is left out: a scope that is not bound to its unit would outlive it. */
CleanTest(scope, an_unknown_property_is_refused) {
        FakeManagerScript script = { .unknown = "StopPropagatedFrom" };
        ScopeSpec spec = full();
        FakeManagerSeen seen;
        char error[256];

        cr_assert_eq(start(&script, &spec, error, &seen), SCOPE_REFUSED);
        cr_assert_str_eq(error, "Cannot set property StopPropagatedFrom, or unknown property.");
        cr_assert_eq(seen.n_starts, 1);
}

CleanTest(scope, silence_is_not_waited_out) {
        FakeManagerScript script = { .silent = true };
        char error[256];

        cr_assert_eq(setenv("SYSTEMD_BUS_TIMEOUT", "100ms", 1), 0);
        cr_assert_eq(start(&script, &plain, error, NULL), SCOPE_NO_ANSWER);
        cr_assert_str_eq(error, "the manager does not respond");
}

CleanTest(scope, a_job_without_an_end_is_not_waited_out) {
        FakeManagerScript script = { .no_removal = true };
        ScopeSpec spec = plain;
        char error[256];

        spec.job_usec = 50000;
        cr_assert_eq(start(&script, &spec, error, NULL), SCOPE_NO_ANSWER);
        cr_assert_str_eq(error, "the manager did not respond in time");
}

CleanTest(scope, whoever_has_asked_may_give_it_up_at_any_time) {
        FakeManagerScript script = { .no_removal = true };

        for (unsigned n = 0; n < 12; n++) {
                Site s;

                site_init(&s, &script, &plain);
                for (unsigned i = 0; i < n; i++)
                        cr_assert_geq(event_turn(s.event, 1000), 0);
                site_done(&s, NULL);
                cr_assert_not(s.end.over);
        }
}

CleanTest(scope, a_connection_that_breaks_is_an_end) {
        /* Hello, AddMatch, StartTransientUnit, JobRemoved */
        for (unsigned at = 1; at <= 4; at++) {
                FakeManagerScript script = { .fault = FAKE_MANAGER_CLOSES, .fault_at = at };
                Site s;

                site_init(&s, &script, &plain);
                cr_assert(event_run_until(s.event, 10, s.end.over), "at %u", at);
                cr_assert_eq(s.end.answer, SCOPE_NO_ANSWER, "at %u", at);
                cr_assert_str_neq(s.end.text, "", "at %u", at);
                site_done(&s, NULL);
        }
}

CleanTest(scope, strings_of_the_request_need_not_live_on) {
        FakeManagerScript script = { 0 };
        char name[] = "libpod-conmon-8.scope", unit[] = "baz.service";
        ScopeSpec spec = { .name = name, .stop_propagated_from = unit, .pid = 1 };
        FakeManagerSeen seen;
        Site s;

        site_init(&s, &script, &spec);
        memset(name, 'x', sizeof name - 1);
        memset(unit, 'x', sizeof unit - 1);
        cr_assert(event_run_until(s.event, 10, s.end.over));
        cr_assert_eq(s.end.answer, 0);
        site_done(&s, &seen);
        cr_assert_str_eq(seen.unit, "libpod-conmon-8.scope");
        cr_assert_eq(seen.n_starts, 1);
        cr_assert_null(scope_free(NULL));
}
