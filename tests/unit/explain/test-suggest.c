/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "explain/suggest.h"

static const char *const words[] = { "explain", "list", "status", "upgrade" };

static const char *meant(const char *word) {
        return suggest(word, strlen(word), words, ELEMENTS(words));
}

CleanTest(suggest, a_slip_of_the_finger_is_understood) {
        cr_assert_str_eq(meant("lst"), "list");
        cr_assert_str_eq(meant("lits"), "list");
        cr_assert_str_eq(meant("exlpain"), "explain");
        cr_assert_str_eq(meant("statuss"), "status");
        cr_assert_str_eq(meant("upg"), "upgrade");
        cr_assert_str_eq(meant("UPG"), "upgrade");
        cr_assert_str_eq(meant("LIST"), "list");
}

CleanTest(suggest, another_word_is_not) {
        cr_assert_null(meant("remove"));
        cr_assert_null(meant("x"));
        cr_assert_null(meant(""));
        cr_assert_null(meant("a-word-that-is-longer-than-any-of-those-that-are-known"));
}

CleanTest(suggest, the_nearest_one_wins) {
        static const char *const near[] = { "abcdef", "abcdeg" };

        cr_assert_str_eq(suggest("xbcdeg", 6, near, 2), "abcdeg");
        cr_assert_str_eq(suggest("abcdegZZZ", 6, near, 2), "abcdeg"); /* not ended by a NUL */
}
