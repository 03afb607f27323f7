/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever reads as a state writes to the same text again; and a state that a keeper takes has each descriptor once and
 * no value out of its range. An input that does not begin as a state is tried as the lines of one.
 */

#include "fuzz.h"
#include "upgrade/saved.h"
#include "wire/state.h"

#define HEAD "scopemon-state 1\n"
#define END "end\n"

static void check_again(const char *data, size_t size) {
        char *again = malloc(size), *text = malloc(size), name[STATE_NAME_MAX];
        StateReader reader;
        StateWriter w;
        StateValue v;
        size_t n;

        if (!again || !text)
                abort();
        fuzz_claim(state_open(&reader, data, size) == 0);
        state_begin(&w, again, size);
        while (state_next(&reader, &v)) {
                fuzz_claim(v.n_name > 0 && v.n_name < sizeof name && state_text(&v, text, size, &n) == 0);
                fuzz_claim(strlen(text) == n && n <= v.n_text);
                memcpy(name, v.name, v.n_name);
                name[v.n_name] = 0;
                state_put_text(&w, name, text, n);
        }
        fuzz_claim(state_end(&w) == size && memcmp(data, again, size) == 0);
        free(text);
        free(again);
}

static void check_saved(Saved *s) {
        fuzz_claim(s->target.pid > 0 && s->keeper > 1 && s->argc > 0 && !s->argv[s->argc]);
        fuzz_claim(s->plan.row < _PLACEMENT_ROW_MAX && s->report.state <= 2);
        fuzz_claim(memchr(s->path, 0, sizeof s->path) && memchr(s->plan.unit, 0, sizeof s->plan.unit));
        for (size_t i = 0; i < _SAVED_FD_MAX; i++) {
                for (size_t j = 0; j < i; j++)
                        fuzz_claim(s->fds[i] < 0 || s->fds[i] != s->fds[j]);
                for (size_t j = 0; j < s->n_unknown; j++)
                        fuzz_claim(s->fds[i] != s->unknown[j] && s->unknown[j] > 2);
        }
        (void)saved_free(s);
}

static void try(const char *data, size_t size) {
        char wrong[STATE_NAME_MAX];
        StateReader reader;
        Saved *s;
        int r;

        r = state_open(&reader, data, size);
        if (r == 0)
                check_again(data, size);
        if (saved_decode(data, size, &s, wrong) == 0) {
                fuzz_claim(r == 0 && !*wrong);
                check_saved(s);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t n = strlen(HEAD) + size + strlen(END);
        char *copy = malloc(n);

        if (!copy)
                abort();
        memcpy(copy, HEAD, strlen(HEAD));
        if (size > 0)
                memcpy(copy + strlen(HEAD), data, size);
        memcpy(copy + n - strlen(END), END, strlen(END));
        try((const char *)data, size);
        try(copy, n);
        free(copy);
        return 0;
}
