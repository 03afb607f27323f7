/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/unit-watch.h"

static const UnitManager manager = { true, FAKE_MANAGER_UID };

typedef struct Watched {
        Event *event;
        UnitWatch *watch;
        FakeManager *fake;
        unsigned n_stops;
} Watched;

static int on_stopping(void *userdata) {
        Watched *w = userdata;

        w->n_stops++;
        return 0;
}

static int on_stopping_free(void *userdata) {
        Watched *w = userdata;

        w->watch = unit_watch_free(w->watch);
        return on_stopping(w);
}

static void watched_init(Watched *w, const FakeManagerScript *script, UnitOnStopping handler) {
        *w = (Watched){ .fake = fake_manager_new(script, NULL) };
        cr_assert_eq(event_new(&w->event), 0);
        cr_assert_eq(unit_watch_new(&w->watch, w->event, &manager, "baz.service", handler, w), 0);
        cr_assert_eq(w->n_stops, 0, "nobody is called from within");
}

static FakeManagerSeen watched_done(Watched *w) {
        FakeManagerSeen seen = { 0 };

        w->watch = unit_watch_free(w->watch);
        w->event = event_unref(w->event);
        fake_manager_finish(w->fake, &seen);
        return seen;
}

CleanTest(unit_watch, a_stop_that_came_before_is_seen) {
        FakeManagerScript script = { .active_state = "deactivating" };
        FakeManagerSeen seen;
        Watched w;

        watched_init(&w, &script, on_stopping);
        cr_assert(event_run_until(w.event, 10, w.n_stops == 1));
        seen = watched_done(&w);
        cr_assert_eq(seen.n_subscribes, 1);
}

CleanTest(unit_watch, a_stop_is_told_once_and_that_of_others_not) {
        FakeManagerScript script = { .changes_to = "deactivating" };
        Watched w;

        watched_init(&w, &script, on_stopping);
        cr_assert(event_run_until(w.event, 10, w.n_stops > 0));
        event_run_idle(w.event);
        cr_assert_eq(w.n_stops, 1);
        (void)watched_done(&w);
}

/* Nor is a reload a stop. */
CleanTest(unit_watch, connection_that_breaks_is_made_again) {
        FakeManagerScript script = { .changes_to = "deactivating", .closes_after_answer = true };
        FakeManagerSeen seen;
        Watched w;

        watched_init(&w, &script, on_stopping);
        cr_assert(event_run_until(w.event, 30, w.n_stops > 0));
        seen = watched_done(&w);
        cr_assert_eq(w.n_stops, 1);
        cr_assert_eq(seen.n_gets, 2);
        cr_assert_eq(seen.n_subscribes, 2);
}

CleanTest(unit_watch, it_may_be_freed_by_whoever_is_told) {
        FakeManagerScript script = { .changes_to = "deactivating" };
        Watched w;

        watched_init(&w, &script, on_stopping_free);
        cr_assert(event_run_until(w.event, 10, w.n_stops == 1));
        cr_assert_null(w.watch);
        (void)watched_done(&w);
}

CleanTest(unit_watch, what_is_no_unit_is_refused) {
        UnitWatch *watch = NULL;
        Event *event;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(unit_watch_new(&watch, event, &manager, "no unit", on_stopping, NULL), -EINVAL);
        event = event_unref(event);
}
