/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "clean.h"
#include "wire/journal.h"

CleanTest(journal, plain_values_are_written_as_assignments) {
        char buffer[64];
        JournalEntry e = { .data = buffer, .size = sizeof buffer };

        cr_assert(journal_add_text(&e, "PRIORITY", "6"));
        cr_assert(journal_add_text(&e, "EMPTY", ""));
        cr_assert_eq(e.n, strlen("PRIORITY=6\nEMPTY=\n"));
        cr_assert_arr_eq(buffer, "PRIORITY=6\nEMPTY=\n", e.n);
}

CleanTest(journal, values_with_newlines_have_their_length_in_front) {
        static const char want[] = "A\n\x03\0\0\0\0\0\0\0x\ny\nB=2\n";
        char buffer[64];
        JournalEntry e = { .data = buffer, .size = sizeof buffer };

        cr_assert(journal_add_text(&e, "A", "x\ny"));
        cr_assert(journal_add_text(&e, "B", "2"));
        cr_assert_eq(e.n, sizeof want - 1);
        cr_assert_arr_eq(buffer, want, e.n);
}

CleanTest(journal, names_that_would_be_two_fields_are_refused) {
        char buffer[64];
        JournalEntry e = { .data = buffer, .size = sizeof buffer };

        cr_assert_not(journal_add_text(&e, "", "x"));
        cr_assert_not(journal_add_text(&e, "A=B", "x"));
        cr_assert_not(journal_add_text(&e, "A\nB", "x"));
        cr_assert_eq(e.n, 0);
}

CleanTest(journal, what_does_not_fit_is_counted) {
        char buffer[8] = "zzzzzzz";
        JournalEntry small = { .data = buffer, .size = 4 }, none = { 0 };

        cr_assert(journal_add_text(&small, "NAME", "value"));
        cr_assert(journal_add_text(&none, "NAME", "value"));
        cr_assert_eq(small.n, strlen("NAME=value\n"));
        cr_assert_eq(none.n, small.n);
        cr_assert_arr_eq(buffer, "NAMEzzz", 7, "nothing is written behind the buffer");
}
