/* SPDX-License-Identifier: Apache-2.0 */

/* What is written is what is read; what is cut, changed, foreign or absurd is not taken for a state. */

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/state.h"

static size_t make(char *data, size_t size) {
        StateWriter w;

        state_begin(&w, data, size);
        state_put_number(&w, STATE_NUMBER, 7, UINT64_MAX);
        state_put_text(&w, STATE_TEXT, 0, "some text", strlen("some text"));
        state_put_number(&w, STATE_FD, 3, 42);
        state_put_text(&w, STATE_WORD, 1, "", 0);
        return state_end(&w);
}

static int count(const char *data, size_t n) {
        StateRecord record;
        StateReader reader;
        int r, found = 0;

        r = state_open(&reader, data, n);
        if (r != 0)
                return r;
        while ((r = state_next(&reader, &record)) > 0)
                found++;
        return r < 0 ? r : found;
}

/* The sum made right again, so that what is behind it is looked at. */
static void mend(char *data, size_t n) {
        uint64_t sum = 0xcbf29ce484222325ULL;

        for (size_t i = 24; i < n; i++)
                sum = (sum ^ (unsigned char)data[i]) * 0x100000001b3ULL;
        memcpy(data + 16, &sum, sizeof sum);
}

CleanTest(state, records_come_back_as_they_went) {
        char data[512];
        size_t n = make(data, sizeof data);
        StateRecord record;
        StateReader reader;

        cr_assert_gt(n, 0);
        cr_assert_eq(state_open(&reader, data, n), 0);
        cr_assert_eq(state_next(&reader, &record), 1);
        cr_assert(record.tag == STATE_NUMBER && record.index == 7 && record.number == UINT64_MAX);
        cr_assert_eq(state_next(&reader, &record), 1);
        cr_assert(record.tag == STATE_TEXT && record.n_text == 9 && memcmp(record.text, "some text", 9) == 0);
        cr_assert_eq(state_next(&reader, &record), 1);
        cr_assert(record.tag == STATE_FD && record.index == 3 && record.number == 42);
        cr_assert_eq(state_next(&reader, &record), 1);
        cr_assert(record.tag == STATE_WORD && record.index == 1 && record.n_text == 0);
        cr_assert_eq(state_next(&reader, &record), 0);
}

CleanTest(state, room_that_is_too_small_is_seen_at_the_end) {
        char data[512];
        size_t n = make(data, sizeof data);

        for (size_t size = 0; size < n; size++)
                cr_assert_eq(make(data, size), 0, "%zu", size);
        cr_assert_eq(make(data, n), n);
}

CleanTest(state, every_truncation_and_every_changed_bit_is_noticed) {
        char data[512], copy[512];
        size_t n = make(data, sizeof data);

        for (size_t i = 0; i < n; i++)
                cr_assert_eq(count(data, i), -EBADMSG, "%zu bytes", i);
        for (size_t bit = 0; bit < n * 8; bit++) {
                int r;

                memcpy(copy, data, n);
                copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
                r = count(copy, n);
                cr_assert(r == -EBADMSG || r == STATE_FOREIGN, "bit %zu: %d", bit, r);
        }
}

CleanTest(state, another_version_is_told_apart_from_damage) {
        char data[512];
        size_t n = make(data, sizeof data);
        uint32_t version = STATE_VERSION + 1;

        memcpy(data + 8, &version, sizeof version);
        cr_assert_eq(count(data, n), STATE_FOREIGN);
}

CleanTest(state, records_with_a_right_sum_are_judged_all_the_same) {
        static const struct {
                size_t offset; /* in the first record */
                uint32_t value;
        } cases[] = { { 0, STATE_NONE },
                      { 0, _STATE_TAG_MAX },
                      { 0, UINT32_MAX },
                      { 8, 0 },
                      { 8, 7 },
                      { 8, 9 },
                      { 8, UINT32_MAX },
                      { 8, UINT32_MAX - 11 },
                      { 0, STATE_TEXT /* its bytes are no text: 0xff would be, but */ } };
        char data[512];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t n = make(data, sizeof data);
                uint64_t zero = 0;

                memcpy(data + 24 + cases[i].offset, &cases[i].value, sizeof cases[i].value);
                if (cases[i].offset == 0)
                        memcpy(data + 24 + 12, &zero, sizeof zero); /* a NUL in a text */
                mend(data, n);
                cr_assert_eq(count(data, n), -EBADMSG, "case %zu", i);
        }
}
