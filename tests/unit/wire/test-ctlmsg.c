/* SPDX-License-Identifier: Apache-2.0 */

/* What the ctl and winsz fifos accept, and how lines are put together from what reads return. */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/ctlmsg.h"

CleanTest(ctlmsg, accepts_and_rejects_as_callers_expect) {
        static const struct {
                const char *line;
                int answer;
                CtlMsg msg;
        } cases[] = {
                /* contract 5.1 */
                { "1 2 2", 0, { CTLMSG_RESIZE, 2, 2 } },
                { "1 2 2 3", 0, { CTLMSG_RESIZE, 2, 2 } },
                { "1 0010 0020", 0, { CTLMSG_RESIZE, 10, 20 } },
                { "1 1000 1000", 0, { CTLMSG_RESIZE, 1000, 1000 } },
                { "2 0 0", 0, { CTLMSG_REOPEN, 0, 0 } },
                { "2 1 1", 0, { CTLMSG_REOPEN, 0, 0 } },
                { "1 -1 -1", CTLMSG_BAD_SIZE, { 0 } },
                { "1 2", CTLMSG_BAD, { 0 } },
                { "1", CTLMSG_BAD, { 0 } },
                { "foo", CTLMSG_BAD, { 0 } },
                { "999", CTLMSG_BAD, { 0 } },
                { "999 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "1 10.5 20.3", CTLMSG_BAD, { 0 } },
                { "1 0x10 0x20", CTLMSG_BAD, { 0 } },
                { "1 100000 100000", 0, { CTLMSG_RESIZE, 65535, 65535 } },
                { "1 1001 1000", 0, { CTLMSG_RESIZE, 1001, 1000 } },
                { "1 50 1200", 0, { CTLMSG_RESIZE, 50, 1200 } },
                { "1 65535 65536", 0, { CTLMSG_RESIZE, 65535, 65535 } },
                { "1 -1 80", CTLMSG_BAD_SIZE, { 0 } },
                { "1 24 -80", CTLMSG_BAD_SIZE, { 0 } },
                /* as scanf() reads numbers */
                { " \t1\v\f\r 2  3", 0, { CTLMSG_RESIZE, 2, 3 } },
                { "+1 +50 +60", 0, { CTLMSG_RESIZE, 50, 60 } },
                { "1+50+60", 0, { CTLMSG_RESIZE, 50, 60 } },
                { "1 50 60junk", 0, { CTLMSG_RESIZE, 50, 60 } },
                { "1 0 0", 0, { CTLMSG_RESIZE, 0, 0 } },
                { "1 -0 0", 0, { CTLMSG_RESIZE, 0, 0 } },
                { "2 1001 -5", 0, { CTLMSG_REOPEN, 0, 0 } },
                { "0 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "-1 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "3 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "", CTLMSG_BAD, { 0 } },
                { "   ", CTLMSG_BAD, { 0 } },
                { "1 2 ", CTLMSG_BAD, { 0 } },
                { "1 2 +", CTLMSG_BAD, { 0 } },
                { "1 2 + 3", CTLMSG_BAD, { 0 } },
                { "1 2 -", CTLMSG_BAD, { 0 } },
                { "1 2 +-3", CTLMSG_BAD, { 0 } },
                /* numbers that must not wrap */
                { "4294967297 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "18446744073709551617 2 2", CTLMSG_BAD_TYPE, { 0 } },
                { "1 4294967298 2", 0, { CTLMSG_RESIZE, 65535, 2 } },
                { "1 2 -99999999999999999999999999", CTLMSG_BAD_SIZE, { 0 } },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CtlMsg msg = { 0 };

                cr_assert_eq(ctlmsg_parse(cases[i].line, strlen(cases[i].line), &msg), cases[i].answer,
                             "\"%s\"", cases[i].line);
                cr_assert_eq(msg.type, cases[i].msg.type, "\"%s\"", cases[i].line);
                cr_assert_eq(msg.rows, cases[i].msg.rows, "\"%s\"", cases[i].line);
                cr_assert_eq(msg.columns, cases[i].msg.columns, "\"%s\"", cases[i].line);
        }
}

CleanTest(ctlmsg, length_is_respected) {
        CtlMsg msg;

        cr_assert_eq(ctlmsg_parse("1 2 34", 5, &msg), 0);
        cr_assert_eq(msg.columns, 3);
        cr_assert_eq(ctlmsg_parse("1 2 3", 4, &msg), CTLMSG_BAD);
        cr_assert_eq(ctlmsg_parse("1 2\0 3", 6, &msg), CTLMSG_BAD);
}

CleanTest(ctlmsg, winsz_has_two_numbers) {
        static const struct {
                const char *line;
                int answer;
                unsigned rows, columns;
        } cases[] = {
                { "24 80", 0, 24, 80 },     { "24 80 x", 0, 24, 80 },          { "0 1000", 0, 0, 1000 },
                { "24", CTLMSG_BAD, 0, 0 }, { "", CTLMSG_BAD, 0, 0 },          { "1001 1", 0, 1001, 1 },
                { "1 99999", 0, 1, 65535 }, { "-1 1", CTLMSG_BAD_SIZE, 0, 0 },
        };
        static const char overlong[CTLMSG_LINE_MAX + 1] = "1 2 ";
        CtlMsg msg;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                msg = (CtlMsg){ 0 };
                cr_assert_eq(ctlmsg_parse_winsz(cases[i].line, strlen(cases[i].line), &msg), cases[i].answer,
                             "\"%s\"", cases[i].line);
                cr_assert_eq(msg.rows, cases[i].rows);
                cr_assert_eq(msg.columns, cases[i].columns);
        }
        cr_assert_eq(msg.type, 0, "the last one was none");
        cr_assert_eq(ctlmsg_parse_winsz(overlong, sizeof overlong, &msg), CTLMSG_TOO_LONG);
}

/*
 * Feeds a text in pieces of @step bytes and writes what was accepted, "2x3 50x60 ". Returns the
 * rejected lines.
 */
static unsigned feed(CtlBuffer *b, const char *text, size_t n_text, size_t step, char *out) {
        unsigned rejected = 0;

        *out = 0;
        for (size_t at = 0; at < n_text; at += step) {
                size_t n = n_text - at < step ? n_text - at : step, n_line;
                const char *data = text + at, *line;

                while (ctlmsg_next_line(b, &data, &n, &line, &n_line)) {
                        CtlMsg msg;

                        if (ctlmsg_parse(line, n_line, &msg) == 0)
                                out += sprintf(out, "%ux%u ", msg.rows, msg.columns);
                        else
                                rejected++;
                }
                cr_assert_eq(n, 0);
        }
        return rejected;
}

CleanTest(ctlmsg, lines_are_the_same_however_they_are_cut) {
        static const struct {
                const char *text;
                const char *accepted;
                unsigned rejected;
        } cases[] = {
                { "1 2 3\n", "2x3 ", 0 },           { "1 5 6\n1 7 8\n", "5x6 7x8 ", 0 },
                { "junk\n1 50 60\n", "50x60 ", 1 }, { "1 2\n1 30 40\n", "30x40 ", 1 },
                { "\n\n1 1 1\n", "1x1 ", 2 },       { "1 9 9", "", 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (size_t step = 1; step < 20; step++) {
                        CtlBuffer b = { 0 };
                        char out[64];

                        cr_assert_eq(feed(&b, cases[i].text, strlen(cases[i].text), step, out),
                                     cases[i].rejected, "\"%s\" by %zu", cases[i].text, step);
                        cr_assert_str_eq(out, cases[i].accepted);
                }
}

CleanTest(ctlmsg, overlong_line_is_ignored_and_the_next_one_works) {
        static char text[65536 + 64];
        size_t n = (size_t)sprintf(text, "1 2 2 ");

        memset(text + n, '#', 65535);
        n += 65535;
        n += (size_t)sprintf(text + n, "\n1 50 60\n");

        for (size_t step = 1; step < 70000; step = step * 3 + 1) {
                CtlBuffer b = { 0 };
                char out[64];

                cr_assert_geq(feed(&b, text, n, step, out), 1);
                cr_assert_str_eq(out, "50x60 ");
        }
}

CleanTest(ctlmsg, longest_line_fits_and_one_more_does_not) {
        for (size_t length = CTLMSG_LINE_MAX - 1; length <= CTLMSG_LINE_MAX + 1; length++) {
                char text[CTLMSG_LINE_MAX + 8] = "1 2 3", out[64];
                CtlBuffer b = { 0 };
                unsigned rejected;

                memset(text + 5, ' ', length - 5);
                text[length] = '\n';
                rejected = feed(&b, text, length + 1, sizeof text, out);
                if (length <= CTLMSG_LINE_MAX) {
                        cr_assert_eq(rejected, 0);
                        cr_assert_str_eq(out, "2x3 ");
                } else {
                        cr_assert_eq(rejected, 2, "the piece that filled the buffer, and its end");
                        cr_assert_str_eq(out, "");
                }
        }
}

CleanTest(ctlmsg, garbage_in_the_buffer_does_no_harm) {
        static const uint16_t lengths[] = { CTLMSG_LINE_MAX + 1, CTLMSG_LINE_MAX + 2, UINT16_MAX };

        for (size_t i = 0; i < ELEMENTS(lengths); i++) {
                CtlBuffer b;
                char out[64];

                memset(&b, 0xff, sizeof b);
                b.n = lengths[i];
                cr_assert_eq(feed(&b, "1 2 3\n", 6, 1, out), 0);
                cr_assert_str_eq(out, "2x3 ");
        }
}
