/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "clean.h"

CleanTest(utf8, letter_that_has_begun_is_unfinished) {
        static const struct {
                const char *text;
                size_t unfinished;
        } cases[] = {
                { "", 0 },
                { "a", 0 },
                { "\xc3", 1 },
                { "a\xc3", 1 },
                { "a\xc3\xa9", 0 },
                { "\xe2\x82", 2 },
                { "\xe2\x82\xac", 0 },
                { "x\xf0\x9f\x92", 3 },
                { "x\xf0\x9f\x92\xa9", 0 },
                { "\xf0", 1 },
                /* never letters */
                { "\x80", 0 },
                { "\x80\x80\x80\x80", 0 },
                { "\xc0", 0 },
                { "\xff", 0 },
                { "\xf5\x80", 0 },
                { "\xc3\xa9\xa9", 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(utf8_unfinished(cases[i].text, strlen(cases[i].text)), cases[i].unfinished,
                             "case %zu", i);
}

CleanTest(utf8, what_is_shown_does_nothing_to_a_terminal) {
        static const struct {
                const char *text, *shown;
        } cases[] = {
                { "", "" },
                { "a b~", "a b~" },
                { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa9", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa9" },
                { "a\nb\tc\r\x7f", "a?b?c??" },
                { "\033[2J", "?[2J" },
                { "\xc2\x9b"
                  "2J",
                  "??2J" }, /* C1 */
                { "\xc2\xa0", "\xc2\xa0" },
                { "\x9b"
                  "2J",
                  "?2J" },
                { "x\xe2\x80\xaey", "x???y" }, /* right to left */
                { "x\xe2\x81\xa6y", "x???y" },
                { "\xc0\x80", "??" },
                { "\xe0\x80\x80", "???" },
                { "\xed\xa0\x80", "???" },
                { "\xf4\x90\x80\x80", "????" },
                { "\xe2\x82", "??" },
                { "\xe2\x82\033", "???" },
                { "\xf0\x9f", "??" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[32];

                (void)strcpy(text, cases[i].text);
                cr_assert_str_eq(utf8_make_printable(text), cases[i].shown, "case %zu: %s", i, text);
        }
}

CleanTest(utf8, length_is_that_of_a_letter) {
        static const struct {
                const char *text;
                size_t n, length;
        } cases[] = {
                { "a", 1, 1 },
                { "\x7f\x80", 2, 1 },
                { "\xc3\xa9", 2, 2 },
                { "\xc3\xa9", 1, 0 }, /* cut */
                { "\xc3", UTF8_TO_NUL, 0 },
                { "\xe2\x82\xac", 3, 3 },
                { "\xe2\x82\xac", 2, 0 },
                { "\xf0\x9f\x92\xa9", UTF8_TO_NUL, 4 },
                { "\xf0\x9f\x92", UTF8_TO_NUL, 0 },
                { "\x80", 1, 0 },
                { "\xc1\xbf", 2, 0 },         /* overlong */
                { "\xe0\x9f\xbf", 3, 0 },     /* overlong */
                { "\xf0\x8f\xbf\xbf", 4, 0 }, /* overlong */
                { "\xed\x9f\xbf", 3, 3 },
                { "\xed\xa0\x80", 3, 0 }, /* a surrogate */
                { "\xf4\x8f\xbf\xbf", 4, 4 },
                { "\xf4\x90\x80\x80", 4, 0 }, /* beyond the last */
                { "\xf5\x80\x80\x80", 4, 0 },
                { "\xff", 1, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(utf8_length(cases[i].text, cases[i].n), cases[i].length, "case %zu", i);
}
