/* SPDX-License-Identifier: Apache-2.0 */

/* A journal with something in it takes a journald: tests/system/cases/explain.py has one. */

#include <stdlib.h>

#include "clean.h"
#include "systemd/journal-reader.h"

static const char *const matches[] = { "MESSAGE_ID=b5c36f7a6d2a4e329b40dfe192459d67", "_UID=0", "_UID=1000",
                                       NULL };

CleanTest(journal_reader, nothing_is_found_where_nothing_is) {
        _cleanup_(journal_reader_freep) JournalReader *j = NULL;
        char dir[] = "/tmp/test-journal-reader-XXXXXX", text[8];
        uint64_t number;

        cr_assert_not_null(mkdtemp(dir));
        cr_assert_eq(journal_reader_open(&j, dir), 0);
        cr_assert_eq(journal_reader_find(j, matches), JOURNAL_READER_NONE);
        cr_assert_eq(journal_reader_older(j), JOURNAL_READER_NONE);
        cr_assert_eq(journal_reader_usec(j), 0);
        cr_assert_neq(journal_reader_get(j, "MESSAGE", text, sizeof text), 0);
        cr_assert_neq(journal_reader_get_number(j, "N", &number), 0);
        cr_assert_eq(rmdir(dir), 0);
}

CleanTest(journal_reader, a_directory_that_is_not_there_is_an_error) {
        JournalReader *j = NULL;

        cr_assert_lt(journal_reader_open(&j, "/tmp/test-journal-reader-none"), 0);
        cr_assert_null(j);
}

CleanTest(journal_reader, a_match_that_is_none_is_an_error) {
        static const char *const bad[] = { "no field", NULL };
        _cleanup_(journal_reader_freep) JournalReader *j = NULL;
        char dir[] = "/tmp/test-journal-reader-XXXXXX";

        cr_assert_not_null(mkdtemp(dir));
        cr_assert_eq(journal_reader_open(&j, dir), 0);
        cr_assert_lt(journal_reader_find(j, bad), 0);
        cr_assert_eq(rmdir(dir), 0);
}
