/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever reads as records writes to the same bytes again; and a state that a keeper takes has each descriptor once
 * and no value out of its range. The sum is made right first, or nothing would ever come behind it.
 */

#include "fuzz.h"
#include "upgrade/saved.h"
#include "wire/state.h"

static void mend(char *data, size_t n) {
        uint64_t sum = 0xcbf29ce484222325ULL, magic = 0x65746174734d5053ULL;
        uint32_t version = STATE_VERSION, size = (uint32_t)n;

        if (n < 24)
                return;
        for (size_t i = 24; i < n; i++)
                sum = (sum ^ (unsigned char)data[i]) * 0x100000001b3ULL;
        memcpy(data, &magic, 8);
        memcpy(data + 8, &version, 4);
        memcpy(data + 12, &size, 4);
        memcpy(data + 16, &sum, 8);
}

static void check_saved(Saved *s) {
        fuzz_claim(s->phase == PHASE_RUNNING && s->target > 0 && s->keeper > 1 && s->argc > 0 &&
                   !s->argv[s->argc]);
        fuzz_claim(s->plan.row < _PLACEMENT_ROW_MAX && s->report_state <= REPORT_STATE_MAX);
        fuzz_claim(memchr(s->path, 0, sizeof s->path) && memchr(s->plan.unit, 0, sizeof s->plan.unit));
        for (size_t i = 0; i < _SAVED_FD_MAX; i++)
                for (size_t j = 0; j < i; j++)
                        fuzz_claim(s->fds[i] < 0 || s->fds[i] != s->fds[j]);
        (void)saved_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *copy = malloc(size + 1), *again = malloc(size + 1);
        StateRecord record;
        StateReader reader;
        StateWriter w;
        Saved *s;
        int r = -1;

        if (!copy || !again)
                abort();
        memcpy(copy, data, size);
        mend(copy, size);
        if (state_open(&reader, copy, size) == 0) {
                state_begin(&w, again, size);
                while ((r = state_next(&reader, &record)) > 0)
                        if (record.tag == STATE_TEXT || record.tag == STATE_WORD)
                                state_put_text(&w, record.tag, record.index, record.text, record.n_text);
                        else
                                state_put_number(&w, record.tag, record.index, record.number);
                fuzz_claim(r < 0 || (state_end(&w) == size && memcmp(copy, again, size) == 0));
        }
        if (saved_decode(copy, size, &s) == 0) {
                fuzz_claim(r == 0);
                check_saved(s);
        }
        free(again);
        free(copy);
        return 0;
}
