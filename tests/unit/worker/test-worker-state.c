/* SPDX-License-Identifier: Apache-2.0 */

/* Every member of what the worker keeps in the ring is handed on: an upgrade to another version forgets nothing. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "worker/worker-state.h"

#define DIRECTORY_SIZE 8192

static StateReader describe(char text[DIRECTORY_SIZE]) {
        StateReader reader;
        StateWriter w;
        size_t n;

        state_begin(&w, text, DIRECTORY_SIZE);
        layout_put(&w, &worker_state_layout, 0);
        n = state_end(&w);
        cr_assert_gt(n, 0);
        cr_assert_eq(state_open(&reader, text, n), 0);
        return reader;
}

#ifdef __clang__ /* cannot tell padding before version 20 */
#define CLEAR_PADDING(struct) memset(struct, 0, sizeof *(struct))
#else
#define CLEAR_PADDING(struct) __builtin_clear_padding(struct)
#endif

/* Struct by struct: gcc 12 errs about what comes behind an array of structs without padding. */
static void clear_padding(WorkerState *state) {
        char *bytes = (char *)state;

#define BEHIND(member) (offsetof(WorkerState, member) + sizeof state->member)
#define CLEAR(from, to) memset(bytes + BEHIND(from), 0, offsetof(WorkerState, to) - BEHIND(from))
        CLEAR(facts, has_run);
        CLEAR(resize_wanted, rows);
        CLEAR(columns, raw_to);
        CLEAR(ctl_before, sinks);
        CLEAR_PADDING(&state->facts);
        CLEAR_PADDING(&state->suppressed);
        for (SinkId i = 0; i < _SINK_MAX; i++)
                CLEAR_PADDING(&state->sinks[i]);
}

CleanTest(worker_state, no_member_is_forgotten) {
        _cleanup_free_ WorkerState *from = malloc(sizeof *from), *to = calloc(1, sizeof *to);
        char text[DIRECTORY_SIZE];
        StateReader directory = describe(text);

        cr_assert(from && to);
        memset(from, 0xa5, sizeof *from);
        clear_padding(from);
        cr_assert_eq(
                layout_copy(&directory, (const char *)from, sizeof *from, &worker_state_layout, (char *)to),
                0);
        for (size_t i = 0; i < sizeof *from; i++)
                cr_assert_eq(((const char *)from)[i], ((const char *)to)[i], "byte %zu of WorkerState", i);
}

CleanTest(worker_state, no_name_stands_for_two) {
        char text[DIRECTORY_SIZE];
        StateReader outer = describe(text);
        StateValue v, other;

        while (state_next(&outer, &v)) {
                StateReader inner = outer;

                while (state_next(&inner, &other))
                        cr_assert(v.n_name != other.n_name || memcmp(v.name, other.name, v.n_name) != 0,
                                  "%.*s", (int)v.n_name, v.name);
        }
}
