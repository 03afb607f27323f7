/* SPDX-License-Identifier: Apache-2.0 */

/* What there is to know without a journal; tests/system/cases/journal_limit.py has one. */

#include <stdlib.h>
#include <sys/wait.h>

#include "clean.h"
#include "event.h"
#include "supervise/suppressed.h"

/* One look: so much was sent before it in all, so much of that is found now, until then. */
static uint64_t add(SuppressedState *state, uint64_t until_sent, uint64_t found, uint64_t left) {
        return suppressed_add(state,
                              &(SuppressedLook){ .until_sent = until_sent,
                                                 .until_usec = until_sent + 1,
                                                 .found = found,
                                                 .visible = true },
                              left);
}

CleanTest(suppressed, what_is_there_is_not_missing) {
        SuppressedState state = { 0 };

        cr_assert_eq(add(&state, 5000, 5000, 1), 0);
        cr_assert_eq(add(&state, 9000, 4000, 1), 0);
        cr_assert_eq(state.sent, 9000);
        cr_assert_eq(state.until_sent, 9000);
        cr_assert_eq(state.from_usec, 9001);
}

CleanTest(suppressed, what_is_not_there_is_counted_once) {
        SuppressedState state = { .from_sent = 1000 };

        cr_assert_eq(add(&state, 41000, 10000, SUPPRESSED_ON_THEIR_WAY), 30000);
        cr_assert_eq(add(&state, 42000, 1000, 1), 30000);
        cr_assert_eq(add(&state, 62000, 15000, 1), 35000);
}

CleanTest(suppressed, what_is_on_its_way_is_found_by_the_next_look) {
        SuppressedState state = { 0 };

        cr_assert_eq(add(&state, 20000, 20000 - SUPPRESSED_ON_THEIR_WAY, SUPPRESSED_ON_THEIR_WAY), 0);
        cr_assert_eq(add(&state, 30000, 10000 + SUPPRESSED_ON_THEIR_WAY, 1), 0);
        cr_assert_eq(state.missing, 0);
}

CleanTest(suppressed, what_came_twice_hides_as_much_at_most) {
        SuppressedState state = { 0 };

        cr_assert_eq(add(&state, 2000, 2064, 1), 0);
        cr_assert_eq(add(&state, 4000, 1000, 1), 936);
}

typedef struct Fixture {
        Options options;
        PlacementPlan plan;
        Event *event;
        Ring *ring;
        Suppressed s;
        unsigned n_ends;
} Fixture;

static void on_end(void *userdata, uint64_t missing) {
        Fixture *f = userdata;

        f->n_ends++;
}

static void fixture_init(Fixture *f) {
        *f = (Fixture){ .options = { .cid = "0123456789abcdef" } };
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(ring_new(&f->ring, sizeof(WorkerState)), 0);
        suppressed_init(&f->s, f->event, &f->options, &f->plan, f->ring);
}

static void fixture_done(Fixture *f) {
        suppressed_done(&f->s);
        f->ring = ring_free(f->ring);
        f->event = event_unref(f->event);
}

static void set_flood(Fixture *f, SinkFlood flood) {
        WorkerState *state = ring_state(f->ring);

        state->sinks[SINK_JOURNAL].flood = flood;
}

static const SuppressedState *state_of(const Fixture *f) {
        const WorkerState *state = ring_state(f->ring);

        return &state->suppressed;
}

CleanTest(suppressed, nothing_is_done_for_a_container_that_says_little) {
        Fixture f;

        fixture_init(&f);
        set_flood(&f, (SinkFlood){ .sent = 900, .begin_usec = 1, .seen = 900 });
        suppressed_end(&f.s, on_end, &f);
        cr_assert_eq(f.n_ends, 1);
        cr_assert_eq(state_of(&f)->until_usec, 0);
        fixture_done(&f);
}

CleanTest(suppressed, one_look_is_planned_for_a_flood_whatever_the_worker_says) {
        Fixture f;

        fixture_init(&f);
        set_flood(&f, (SinkFlood){ .sent = 5000, .before = 3000, .begin_usec = UINT64_MAX, .told = true });
        for (unsigned i = 0; i < 1000; i++)
                cr_assert_eq(suppressed_on_flood(&f.s), 0);
        cr_assert(f.s.armed);
        cr_assert_eq(state_of(&f)->from_sent, 3000);
        cr_assert_null(f.s.query);
        fixture_done(&f);
}

CleanTest(suppressed, the_last_look_goes_on_where_the_one_before_has_ended) {
        Fixture f;
        WorkerState *state;

        fixture_init(&f);
        state = ring_state(f.ring);
        state->suppressed = (SuppressedState){ .from_usec = 50,
                                               .from_sent = 4000,
                                               .until_usec = 50,
                                               .until_sent = 4000,
                                               .missing = 2000,
                                               .sent = 4000,
                                               .said = true };
        set_flood(&f, (SinkFlood){ .sent = 5000, .before = 3000, .begin_usec = 40, .told = true });
        suppressed_end(&f.s, on_end, &f);
        cr_assert_eq(f.n_ends, 0, "the look was waited for");
        cr_assert_not_null(f.s.query);
        cr_assert(event_run_until(f.event, 30, f.n_ends > 0)); /* whatever this host's journal has */
        cr_assert_eq(f.n_ends, 1);
        cr_assert_eq(state->suppressed.until_sent, 5000);
        cr_assert_null(f.s.query);
        cr_assert_gt(waitpid(-1, NULL, 0), 0);
        fixture_done(&f);
}

CleanTest(suppressed, a_last_look_that_nobody_waits_for_any_more_calls_nobody) {
        Fixture f;

        fixture_init(&f);
        set_flood(&f, (SinkFlood){ .sent = 5000, .begin_usec = 40, .told = true });
        suppressed_end(&f.s, on_end, &f);
        suppressed_done(&f.s);
        cr_assert_null(f.s.query);
        cr_assert_gt(waitpid(-1, NULL, 0), 0);
        event_run_idle(f.event);
        cr_assert_eq(f.n_ends, 0);
        fixture_done(&f);
}
