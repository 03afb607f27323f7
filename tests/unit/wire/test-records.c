/* SPDX-License-Identifier: Apache-2.0 */

#include "clean.h"

#include <stdlib.h>
#include <string.h>

#include "wire/records.h"

#define STAMP "2026-01-31T12:00:00.123456789+00:00"
#define F STAMP " stdout F "
#define P STAMP " stdout P "

static const Room no_limit = { .first = UINT64_MAX, .file = UINT64_MAX, .total = UINT64_MAX };

static Records *make(void) {
        Records *b = malloc(sizeof *b);

        cr_assert(b);
        records_set_prefix(b, STAMP, STREAM_STDOUT);
        return b;
}

/* What writev() would write from element @first on. */
static size_t flatten(const Records *b, size_t first, char *out, size_t size) {
        size_t n = 0;

        for (size_t i = first; i < b->n_iov; i++) {
                cr_assert_leq(n + b->iov[i].iov_len, size);
                memcpy(out + n, b->iov[i].iov_base, b->iov[i].iov_len);
                n += b->iov[i].iov_len;
        }
        return n;
}

static void expect(const Records *b, const char *text) {
        static char buf[RECORDS_STAGE];
        size_t n = flatten(b, 0, buf, sizeof buf);

        cr_assert_eq(n, strlen(text), "%.*s", (int)n, buf);
        cr_assert_eq(memcmp(buf, text, n), 0, "%.*s", (int)n, buf);
        cr_assert_eq(b->n_bytes, n);
}

CleanTest(records, whole_lines_and_what_is_held_back) {
        Records *b = make();

        records_gather(b, "one\n\nthree", 10, TAIL_MORE, &no_limit);
        expect(b, F "one\n" F "\n");
        cr_assert_eq(b->n_taken, 5);
        cr_assert_not(b->partial);
        free(b);
}

CleanTest(records, an_idle_pipe_makes_the_rest_a_partial_record) {
        Records *b = make();

        records_gather(b, "one\nrest", 8, TAIL_IDLE, &no_limit);
        expect(b, F "one\n" P "rest\n");
        cr_assert_eq(b->n_taken, 8);
        cr_assert(b->partial);
        free(b);
}

CleanTest(records, room_stops_before_a_record_that_does_not_fit) {
        Room room = { .first = UINT64_MAX, .file = 2 * (LINE_PREFIX_SIZE + 2), .total = UINT64_MAX };
        Records *b = make();

        records_gather(b, "a\nb\nc\n", 6, TAIL_MORE, &room);
        expect(b, F "a\n" F "b\n");
        cr_assert(b->limited);
        cr_assert_not(b->exhausted);

        room = (Room){ .first = 3, .file = UINT64_MAX, .total = UINT64_MAX };
        records_gather(b, "a\n", 2, TAIL_MORE, &room);
        cr_assert(b->limited && b->n_bytes == 0);
        free(b);
}

CleanTest(records, the_total_is_passed_by_one_record_at_most) {
        const Room room = { .first = UINT64_MAX, .file = UINT64_MAX, .total = LINE_PREFIX_SIZE + 3 };
        Records *b = make();

        records_gather(b, "a\nb\nc\n", 6, TAIL_MORE, &room);
        expect(b, F "a\n" F "b\n");
        cr_assert(b->exhausted);
        free(b);
}

/* Text of short and long lines, always the same for one @seed. */
static size_t make_text(char *out, size_t size, unsigned seed) {
        size_t n = 0;

        while (n < size) {
                seed = seed * 1103515245U + 12345U;
                for (unsigned k = (seed >> 16) % 8 == 0 ? (seed >> 8) % 9000 : (seed >> 8) % 200;
                     k > 0 && n < size; k--)
                        out[n++] = 'x';
                if (n < size)
                        out[n++] = '\n';
        }
        return n;
}

CleanTest(records, no_batch_is_too_long_and_all_of_them_hold_every_byte) {
        static char text[400000], out[RECORDS_STAGE + RECORDS_IOV * LINE_FILE_MAX];
        Records *b = make();

        for (unsigned seed = 0; seed < 20; seed++) {
                size_t n = make_text(text, sizeof text, seed), taken = 0, payload = 0, records = 0;

                while (taken < n) {
                        records_gather(b, text + taken, n - taken, TAIL_IDLE, &no_limit);
                        cr_assert_gt(b->n_taken, 0);
                        cr_assert_leq(b->n_iov, RECORDS_IOV);
                        cr_assert_leq(b->n_staged, RECORDS_STAGE);
                        cr_assert_eq(flatten(b, 0, out, sizeof out), b->n_bytes);
                        for (char *p = out; p < out + b->n_bytes; records++) {
                                char *end = memchr(p, '\n', (size_t)(out + b->n_bytes - p));

                                cr_assert(end);
                                cr_assert_eq(memcmp(p, F, LINE_PREFIX_SIZE - 2), 0);
                                payload += (size_t)(end - p) - LINE_PREFIX_SIZE +
                                           (p[LINE_PREFIX_SIZE - 2] == 'F');
                                p = end + 1;
                        }
                        taken += b->n_taken;
                }
                cr_assert_eq(payload, n, "seed %u: %zu records", seed, records);
        }
        free(b);
}

/* After any number of bytes that are written, the rest of the vector is the rest of the records. */
CleanTest(records, advance_skips_what_is_written) {
        static const char text[] = "one\n"
                                   "two, which is longer\n\n";
        char whole[512], rest[512];
        Records *b = make();
        size_t n;

        records_gather(b, text, sizeof text - 1, TAIL_MORE, &no_limit);
        n = flatten(b, 0, whole, sizeof whole);
        for (size_t k = 0; k <= n; k++) {
                size_t first;

                records_gather(b, text, sizeof text - 1, TAIL_MORE, &no_limit);
                first = records_advance(b, 0, k);
                cr_assert_eq(flatten(b, first, rest, sizeof rest), n - k);
                cr_assert_eq(memcmp(rest, whole + k, n - k), 0);
        }
        free(b);
}

CleanTest(records, whole_counts_records_that_are_there_to_their_end) {
        static const char text[] = "one\ntwo\nrest";
        uint64_t bytes;

        cr_assert_eq(records_whole(text, 12, TAIL_IDLE, 0, &bytes), 0);
        cr_assert_eq(bytes, 0);
        cr_assert_eq(records_whole(text, 12, TAIL_IDLE, LINE_PREFIX_SIZE + 3, &bytes), 0);
        cr_assert_eq(records_whole(text, 12, TAIL_IDLE, LINE_PREFIX_SIZE + 4, &bytes), 4);
        cr_assert_eq(bytes, LINE_PREFIX_SIZE + 4);
        cr_assert_eq(records_whole(text, 12, TAIL_MORE, UINT64_MAX, &bytes), 8);
        cr_assert_eq(records_whole(text, 12, TAIL_IDLE, UINT64_MAX, &bytes), 12);
        cr_assert_eq(bytes, 3 * LINE_PREFIX_SIZE + 4 + 4 + 5);
}

/* Bytes that begin and go on with letters, or seem to, in lines around the greatest length. */
static size_t make_letters(char *out, size_t size, unsigned seed) {
        static const char bytes[] = "\xc3\xe2\xf0\x80\x9f\xa9\xffx";
        size_t n = 0;

        while (n < size) {
                size_t left;

                seed = seed * 1103515245U + 12345U;
                left = LINE_FILE_MAX - 6 + (seed >> 16) % 12;
                for (; left > 0 && n < size; left--) {
                        seed = seed * 1103515245U + 12345U;
                        out[n++] = bytes[(seed >> 16) % (sizeof bytes - 1)];
                }
                if ((seed >> 20) % 3 > 0 && n < size)
                        out[n++] = '\n';
        }
        return n;
}

/*
 * A worker that goes on with a batch of one that has died knows which bytes were in it, and no more: from these it must
 * make the very same records, wherever the window ended then.
 */
CleanTest(records, batch_is_made_again_from_its_own_bytes) {
        static char text[60000], first[2 * RECORDS_STAGE], again[2 * RECORDS_STAGE];
        Records *b = make();

        for (unsigned seed = 0; seed < 400; seed++) {
                StreamTail tail = seed % 2 ? TAIL_IDLE : TAIL_MORE;
                size_t n = make_letters(text, sizeof text - seed % 100, seed), taken = 0, to = 0;

                while (taken < n) {
                        size_t size, n_taken;

                        to = to + LINE_FILE_MAX - 3 + seed % 7 < n ? to + LINE_FILE_MAX - 3 + seed % 7 : n;
                        records_gather(b, text + taken, to - taken, to == n ? TAIL_END : tail, &no_limit);
                        n_taken = b->n_taken;
                        size = flatten(b, 0, first, sizeof first);
                        if (n_taken == 0)
                                continue;
                        records_gather(b, text + taken, n_taken, b->partial ? TAIL_IDLE : TAIL_MORE,
                                       &no_limit);
                        cr_assert_eq(b->n_taken, n_taken, "seed %u at %zu", seed, taken);
                        cr_assert_eq(flatten(b, 0, again, sizeof again), size);
                        cr_assert_eq(memcmp(first, again, size), 0);
                        taken += n_taken;
                }
        }
        free(b);
}
