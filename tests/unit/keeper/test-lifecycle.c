/* SPDX-License-Identifier: Apache-2.0 */

/* A life in every order of its facts: they come as the kernel schedules them. */

#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "keeper/lifecycle.h"

#define FACTS_MAX 10 /* in one story: each has as many orders as the factorial of this */

/* Facts by number, so that orders of them can be made. */
typedef enum FactId {
        PLACED,
        RUNTIME_EXITED,
        RUNTIME_FAILED,
        PID_KNOWN,
        CONTAINER_EXITED,
        TIMED_OUT,
        STREAMS_CLOSED,
        CLIENTS_SERVED,
        REPORTED,
        CALLER_TOLD,
        ANNOUNCED,
        COMMAND_EXITED,
        GAVE_UP,
        _FACT_MAX,
} FactId;

_Static_assert(sizeof(Facts) == _FACT_MAX, "a new fact belongs into this test");

static void learn(Facts *f, FactId id) {
        bool *const places[_FACT_MAX] = {
                [PLACED] = &f->placed,
                [RUNTIME_EXITED] = &f->runtime_exited,
                [RUNTIME_FAILED] = &f->runtime_failed,
                [PID_KNOWN] = &f->pid_known,
                [CONTAINER_EXITED] = &f->container_exited,
                [TIMED_OUT] = &f->timed_out,
                [STREAMS_CLOSED] = &f->streams_closed,
                [CLIENTS_SERVED] = &f->clients_served,
                [REPORTED] = &f->reported,
                [CALLER_TOLD] = &f->caller_told,
                [ANNOUNCED] = &f->announced,
                [COMMAND_EXITED] = &f->command_exited,
                [GAVE_UP] = &f->gave_up,
        };

        *places[id] = true;
}

typedef struct Life {
        Facts facts;
        Phase phase;
        unsigned seen; /* phases that were entered */
        bool sound;
} Life;

/* As the keeper does it; whatever must never happen makes the life unsound. */
static void advance(Life *l) {
        for (;;) {
                Phase next = lifecycle_next(l->phase, &l->facts);

                if (next == l->phase)
                        return;
                l->sound = l->sound && next > l->phase && next < _PHASE_MAX;
                if (next >= PHASE_REPORTING)
                        l->sound = l->sound && l->facts.streams_closed;
                if (next >= PHASE_FINISHING)
                        l->sound = l->sound && l->facts.reported && l->facts.caller_told;
                if (next == PHASE_DONE)
                        l->sound = l->sound && l->facts.command_exited && l->facts.clients_served &&
                                   l->facts.announced;
                if (next == PHASE_LAUNCHING)
                        l->sound = l->sound && l->facts.placed;
                if (next == PHASE_RUNNING)
                        l->sound = l->sound && l->facts.pid_known && l->facts.runtime_exited &&
                                   !l->facts.runtime_failed;
                l->seen |= 1U << next;
                l->phase = next;
        }
}

typedef struct Story {
        const char *name;
        unsigned facts;         /* that come to be true, in any order */
        unsigned always, never; /* phases that are entered in each order, or in none */
        bool placed;            /* from the beginning */
} Story;

#define BIT(x) (1U << (x))
#define END                                                                                                  \
        (BIT(STREAMS_CLOSED) | BIT(CLIENTS_SERVED) | BIT(REPORTED) | BIT(CALLER_TOLD) | BIT(ANNOUNCED) |     \
         BIT(COMMAND_EXITED))

static const Story stories[] = {
        { "ends by itself", BIT(PLACED) | BIT(RUNTIME_EXITED) | BIT(PID_KNOWN) | BIT(CONTAINER_EXITED) | END,
          BIT(PHASE_LAUNCHING) | BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), BIT(PHASE_FAILING), false },
        { "is ended when its time is over",
          BIT(PLACED) | BIT(RUNTIME_EXITED) | BIT(PID_KNOWN) | BIT(TIMED_OUT) | END,
          BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), BIT(PHASE_FAILING), false },
        { "the runtime fails", BIT(PLACED) | BIT(RUNTIME_EXITED) | BIT(RUNTIME_FAILED) | END,
          BIT(PHASE_FAILING), BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), false },
        { "it could not be placed", BIT(RUNTIME_EXITED) | BIT(GAVE_UP) | END, BIT(PHASE_FAILING),
          BIT(PHASE_LAUNCHING) | BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), false },
        { "something fails around its placement",
          BIT(PLACED) | BIT(RUNTIME_EXITED) | BIT(PID_KNOWN) | BIT(GAVE_UP) | END, 0, 0, false },
        { "nothing could be started", BIT(RUNTIME_EXITED) | BIT(GAVE_UP) | END, BIT(PHASE_FAILING),
          BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), true },
        { "something fails at any time",
          BIT(RUNTIME_EXITED) | BIT(PID_KNOWN) | BIT(CONTAINER_EXITED) | BIT(GAVE_UP) | END, 0, 0, true },
        { "it runs and everything ends it",
          (BIT(_FACT_MAX) - 1) & ~(BIT(PLACED) | BIT(RUNTIME_FAILED) | BIT(GAVE_UP)),
          BIT(PHASE_RUNNING) | BIT(PHASE_DRAINING), BIT(PHASE_FAILING), true },
        { "everything at once but an end of the container",
          (BIT(_FACT_MAX) - 1) & ~(BIT(PLACED) | BIT(TIMED_OUT) | BIT(CONTAINER_EXITED)), 0, 0, true },
        { "everything at once but an end of its own and a failed start",
          (BIT(_FACT_MAX) - 1) & ~(BIT(PLACED) | BIT(RUNTIME_FAILED) | BIT(CONTAINER_EXITED)), 0, 0, true },
};

typedef struct Orders {
        const Story *story;
        FactId order[_FACT_MAX];
        unsigned n_facts, n_orders;
        bool sound;
} Orders;

static void live(Orders *o) {
        Life l = { .facts = { .placed = o->story->placed }, .sound = true };

        for (unsigned i = 0; i < o->n_facts; i++) {
                learn(&l.facts, o->order[i]);
                advance(&l);
        }
        o->n_orders++;
        o->sound = o->sound && l.sound && l.phase == PHASE_DONE && (l.seen & BIT(PHASE_REPORTING)) &&
                   (l.seen & BIT(PHASE_FINISHING)) && (l.seen & o->story->always) == o->story->always &&
                   (l.seen & o->story->never) == 0;
}

/* Heap's way of making each order once. */
static void try_orders(Orders *o, unsigned k) {
        if (k <= 1) {
                live(o);
                return;
        }
        for (unsigned i = 0; i < k; i++) {
                unsigned other = k % 2 == 0 ? i : 0;
                FactId swap;

                try_orders(o, k - 1);
                if (i + 1 == k)
                        break;
                swap = o->order[other];
                o->order[other] = o->order[k - 1];
                o->order[k - 1] = swap;
        }
}

CleanTest(lifecycle, every_order_of_facts_ends) {
        for (size_t i = 0; i < ELEMENTS(stories); i++) {
                Orders o = { .story = &stories[i], .sound = true };
                unsigned n_expected = 1;

                for (FactId id = 0; id < _FACT_MAX; id++)
                        if (stories[i].facts & BIT(id))
                                o.order[o.n_facts++] = id;
                for (unsigned k = 2; k <= o.n_facts; k++)
                        n_expected *= k;
                cr_assert_leq(o.n_facts, FACTS_MAX);
                try_orders(&o, o.n_facts);
                cr_assert_eq(o.n_orders, n_expected, "%s", stories[i].name);
                cr_assert(o.sound, "%s", stories[i].name);
        }
}

CleanTest(lifecycle, no_phase_is_left_without_its_fact) {
        static const struct {
                Phase phase;
                unsigned wait; /* any set of facts without one of these keeps the phase */
        } cases[] = {
                { PHASE_PLACING, BIT(PLACED) | BIT(GAVE_UP) },
                { PHASE_DRAINING, BIT(STREAMS_CLOSED) },
                { PHASE_FAILING, BIT(STREAMS_CLOSED) },
                { PHASE_FAILING, BIT(RUNTIME_EXITED) },
                { PHASE_REPORTING, BIT(REPORTED) },
                { PHASE_REPORTING, BIT(CALLER_TOLD) },
                { PHASE_FINISHING, BIT(COMMAND_EXITED) },
                { PHASE_FINISHING, BIT(CLIENTS_SERVED) },
                { PHASE_FINISHING, BIT(ANNOUNCED) },
                { PHASE_DONE, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (unsigned set = 0; set < BIT(_FACT_MAX); set++) {
                        Facts f = { 0 };

                        for (FactId id = 0; id < _FACT_MAX; id++)
                                if (set & ~cases[i].wait & BIT(id))
                                        learn(&f, id);
                        cr_assert_eq(lifecycle_next(cases[i].phase, &f), cases[i].phase);
                }
}

CleanTest(lifecycle, what_is_learned_stays_true) {
        Facts f = { 0 };

        for (FactId id = 0; id < _FACT_MAX; id++) {
                Facts more = { 0 }, all;

                learn(&more, id);
                lifecycle_learn(&f, &more);
                lifecycle_learn(&f, &(Facts){ 0 });
                all = f;
                lifecycle_learn(&all, &more);
                cr_assert_eq(memcmp(&all, &f, sizeof f), 0);
                for (FactId other = 0; other < _FACT_MAX; other++) {
                        all = f;
                        learn(&all, other);
                        cr_assert_eq(memcmp(&all, &f, sizeof f) == 0, other <= id, "fact %d after %d", other,
                                     id);
                }
        }
}
