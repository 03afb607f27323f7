/* SPDX-License-Identifier: Apache-2.0 */

/* Where lines end, and the exact bytes in front of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/line.h"

#define LONG_LINE 20000

/* All lines of a text as "F[text]P[text]"; what is left for later follows as "...". */
static void describe(const char *data, size_t n, size_t max, StreamTail tail, char *out) {
        Line line;

        *out = 0;
        while (line_next(data, n, max, tail, &line)) {
                out += sprintf(out, "%c[%.*s]", line.partial ? 'P' : 'F', (int)line.n_text, line.text);
                data += line.n_taken;
                n -= line.n_taken;
        }
        if (n > 0)
                (void)sprintf(out, "...%.*s", (int)n, data);
}

CleanTest(line, ends_at_newline_length_or_end_of_data) {
        static const struct {
                const char *text;
                size_t max;
                StreamTail tail;
                const char *expected;
        } cases[] = {
                /* contract 7.2.2 */
                { "foo", 8192, TAIL_IDLE, "P[foo]" },
                { "bar\n", 8192, TAIL_IDLE, "F[bar]" },
                { "a\nb\nc", 8192, TAIL_IDLE, "F[a]F[b]P[c]" },
                { "a\nb\nc", 8192, TAIL_END, "F[a]F[b]P[c]" },
                { "\n", 8192, TAIL_IDLE, "F[]" },
                { "\n\n", 8192, TAIL_MORE, "F[]F[]" },
                { "a\r\n", 8192, TAIL_IDLE, "F[a\r]" },
                /* an unfinished line waits if more is coming */
                { "a\nb", 8192, TAIL_MORE, "F[a]...b" },
                { "b", 8192, TAIL_MORE, "...b" },
                { "", 8192, TAIL_MORE, "" },
                { "", 8192, TAIL_IDLE, "" },
                { "", 8192, TAIL_END, "" },
                /* around the greatest length */
                { "abc\n", 4, TAIL_MORE, "F[abc]" },
                { "abcd", 4, TAIL_MORE, "...abcd" },
                { "abcd", 4, TAIL_IDLE, "P[abcd]" },
                { "abcd\n", 4, TAIL_MORE, "F[abcd]" },
                { "abcde", 4, TAIL_MORE, "P[abcd]...e" },
                { "abcde\n", 4, TAIL_MORE, "P[abcd]F[e]" },
                { "abcdefgh\n", 4, TAIL_MORE, "P[abcd]F[efgh]" },
                { "abcdefghi", 4, TAIL_END, "P[abcd]P[efgh]P[i]" },
                { "ab", 1, TAIL_END, "P[a]P[b]" },
                /* not inside of a letter */
                { "abc\xc3\xa9\n", 4, TAIL_MORE, "P[abc]F[\xc3\xa9]" },
                { "ab\xe2\x82\xac\n", 4, TAIL_MORE, "P[ab]F[\xe2\x82\xac]" },
                { "a\xf0\x9f\x92\xa9\n", 4, TAIL_MORE, "P[a]F[\xf0\x9f\x92\xa9]" },
                { "ab\xc3\xa9x\n", 4, TAIL_MORE, "P[ab\xc3\xa9]F[x]" },
                { "abc\xc3", 4, TAIL_END, "P[abc\xc3]" },
                { "abc\xc3x\n", 4, TAIL_MORE, "P[abc]F[\xc3x]" },
                { "\xf0\x9f\x92\xa9", 1, TAIL_END, "P[\xf0]P[\x9f]P[\x92]P[\xa9]" },
                { "abc\xffz\n", 4, TAIL_MORE, "P[abc\xff]F[z]" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[256];

                describe(cases[i].text, strlen(cases[i].text), cases[i].max, cases[i].tail, out);
                cr_assert_str_eq(out, cases[i].expected, "\"%s\": %s", cases[i].text, out);
        }
}

CleanTest(line, long_line_is_cut_into_records_of_8192_bytes) {
        static const size_t lengths[] = { 8192, 8192, LONG_LINE - 2 * 8192 };
        _cleanup_free_ char *text = malloc(LONG_LINE + 1);
        size_t taken = 0;

        memset(text, 'x', LONG_LINE);
        text[LONG_LINE] = '\n';
        for (size_t i = 0; i < ELEMENTS(lengths); i++) {
                Line line;

                cr_assert(line_next(text + taken, LONG_LINE + 1 - taken, LINE_FILE_MAX, TAIL_MORE, &line));
                cr_assert_eq(line.text, text + taken);
                cr_assert_eq(line.n_text, lengths[i]);
                cr_assert_eq(line.partial, i < 2);
                taken += line.n_taken;
        }
        cr_assert_eq(taken, LONG_LINE + 1U);
}

CleanTest(line, nul_and_broken_characters_are_content) {
        static const char text[] = { 'a', 0, (char)0xc3, '\r', '\n', 0 };
        Line line;

        cr_assert(line_next(text, sizeof text, 8192, TAIL_MORE, &line));
        cr_assert_eq(line.n_text, 4);
        cr_assert_eq(line.n_taken, 5);
        cr_assert(line_next(text + 5, 1, 8192, TAIL_END, &line));
        cr_assert(line.partial && line.n_text == 1);
}

CleanTest(line, nothing_is_written_without_a_line) {
        Line line = { .n_taken = 77 };

        cr_assert_not(line_next("abc", 3, 8192, TAIL_MORE, &line));
        cr_assert_not(line_next(NULL, 0, 8192, TAIL_END, &line));
        cr_assert_eq(line.n_taken, 77);
}

CleanTest(line, stamp_has_nine_digits_and_numeric_zone) {
        static const struct {
                struct tm tm;
                long nsec;
                const char *expected;
        } cases[] = {
                { { .tm_year = 126, .tm_mon = 0, .tm_mday = 31, .tm_hour = 12 },
                  123456789,
                  "2026-01-31T12:00:00.123456789+00:00" },
                { { .tm_year = 126,
                    .tm_mon = 11,
                    .tm_mday = 1,
                    .tm_hour = 1,
                    .tm_min = 2,
                    .tm_sec = 3,
                    .tm_gmtoff = 19800 },
                  7,
                  "2026-12-01T01:02:03.000000007+05:30" },
                { { .tm_year = 70,
                    .tm_mon = 0,
                    .tm_mday = 1,
                    .tm_hour = 23,
                    .tm_min = 59,
                    .tm_sec = 60,
                    .tm_gmtoff = -(9 * 3600 + 1800) },
                  999999999,
                  "1970-01-01T23:59:60.999999999-09:30" },
                { { .tm_year = -1899, .tm_mon = 0, .tm_mday = 1, .tm_gmtoff = 50400 },
                  0,
                  "0001-01-01T00:00:00.000000000+14:00" },
                { { .tm_year = 123456, .tm_mon = 0, .tm_mday = 1 },
                  0,
                  "5356-01-01T00:00:00.000000000+00:00" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[LINE_STAMP_SIZE + 1] = { 0 };

                line_format_stamp(out, &cases[i].tm, cases[i].nsec);
                cr_assert_str_eq(out, cases[i].expected);
        }
}

CleanTest(line, stamp_is_what_strftime_says) {
        for (long long t = 0; t < 4000000000; t += 12345678) {
                char out[LINE_STAMP_SIZE + 1] = { 0 }, expected[64];
                time_t now = (time_t)t;
                struct tm tm;

                cr_assert(gmtime_r(&now, &tm));
                line_format_stamp(out, &tm, 5);
                (void)strftime(expected, sizeof expected, "%FT%T.000000005+00:00", &tm);
                cr_assert_str_eq(out, expected);
        }
}

CleanTest(line, prefix_is_45_bytes_with_stream_and_flag) {
        static const struct {
                StreamId stream;
                bool partial;
                const char *expected;
        } cases[] = {
                { STREAM_STDOUT, false, "2026-01-31T12:00:00.123456789+01:00 stdout F " },
                { STREAM_STDOUT, true, "2026-01-31T12:00:00.123456789+01:00 stdout P " },
                { STREAM_STDERR, false, "2026-01-31T12:00:00.123456789+01:00 stderr F " },
                { STREAM_STDERR, true, "2026-01-31T12:00:00.123456789+01:00 stderr P " },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[LINE_PREFIX_SIZE + 1] = { 0 };

                line_format_prefix(out, "2026-01-31T12:00:00.123456789+01:00", cases[i].stream,
                                   cases[i].partial);
                cr_assert_str_eq(out, cases[i].expected);
        }
}
