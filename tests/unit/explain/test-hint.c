/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/cleanup.h"
#include "capture.h"
#include "clean.h"
#include "explain/hint.h"

static bool due(bool interactive, const char *a, const char *b) {
        char *argv[] = { (char *)"scopemon", (char *)a, (char *)b, NULL };

        return hint_is_due(a ? b ? 3 : 2 : 1, argv, interactive);
}

CleanTest(hint, callers_of_a_monitor_get_none) {
        cr_assert(due(true, NULL, NULL));
        cr_assert(due(true, "lst", NULL));
        cr_assert_not(due(false, NULL, NULL));
        cr_assert_not(due(false, "lst", NULL));
        cr_assert_not(due(true, "--cid", "x"));
        cr_assert_not(due(true, "1", "-b")); /* "--api-version 1" */
}

CleanTest(hint, a_misspelt_command_is_understood) {
        char *argv[] = { (char *)"scopemon", (char *)"upgrad", NULL };
        Capture c;
        int r;

        capture_begin(&c, 2);
        r = hint_run(2, argv);
        (void)capture_end(&c);
        cr_assert_eq(r, 1);
        cr_assert_str_eq(c.text, "Unknown command verb 'upgrad', did you mean 'upgrade'?\n");
}

CleanTest(hint, no_word_at_all_says_what_there_is) {
        static const char *const words[] = { "list",    "status", "explain",     "doctor",
                                             "upgrade", "end",    "man scopemon" };
        char *argv[] = { (char *)"scopemon", NULL };
        Capture c;
        int r;

        capture_begin(&c, 1);
        r = hint_run(1, argv);
        (void)capture_end(&c);
        cr_assert_eq(r, 0);
        for (size_t i = 0; i < ELEMENTS(words); i++)
                cr_assert_not_null(strstr(c.text, words[i]), "%s", words[i]);
}
