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
