/* SPDX-License-Identifier: Apache-2.0 */

#include "capture.h"
#include "clean.h"
#include "explain/table.h"

static Table *sample(void) {
        Table *t;

        cr_assert_eq(table_new(&t), 0);
        table_column(t, "NAME", false);
        table_column(t, "N", true);
        table_column(t, "UNIT", false);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "baz"), 0);
        cr_assert_eq(table_cell(t, TABLE_GOOD, "%d", 5), 0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "a-unit-with-a-long-name.service"), 0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "longer\033[1m"), 0);
        cr_assert_eq(table_cell(t, TABLE_BAD, "1234"), 0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "-"), 0);
        return t;
}

static const char *print(Capture *c, const Terminal *terminal, bool legend) {
        Table *t = sample();

        capture_begin(c, 1);
        table_print(t, terminal, legend);
        (void)capture_end(c);
        (void)table_free(t);
        return c->text;
}

CleanTest(table, columns_are_as_wide_as_they_must_be) {
        Capture c;

        cr_assert_str_eq(print(&c, &(Terminal){ 0 }, true),
                         "NAME          N UNIT\n"
                         "baz           5 a-unit-with-a-long-name.service\n"
                         "longer?[1m 1234 -\n");
        cr_assert_str_eq(print(&c, &(Terminal){ 0 }, false),
                         "baz           5 a-unit-with-a-long-name.service\n"
                         "longer?[1m 1234 -\n");
}

CleanTest(table, the_widest_column_is_cut_to_fit) {
        Capture c;

        cr_assert_str_eq(print(&c, &(Terminal){ .width = 26 }, false),
                         "baz           5 a-unit-wi\xe2\x80\xa6\n"
                         "longer?[1m 1234 -\n");
}

CleanTest(table, the_last_column_is_folded_below_its_row) {
        Terminal narrow = { .width = 26 }, wide = { .width = 47 };
        Capture c;
        Table *t = sample();

        table_fold(t);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "short"), 0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "1"), 0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "%s", ""), 0);
        capture_begin(&c, 1);
        table_print(t, &narrow, true);
        (void)capture_end(&c);
        cr_assert_str_eq(c.text, "NAME          N\n"
                                 "baz           5\n"
                                 "           UNIT: a-unit-with-a-long-name.service\n"
                                 "longer?[1m 1234\n"
                                 "           UNIT: -\n"
                                 "short         1\n");
        capture_begin(&c, 1);
        table_print(t, &wide, false);
        (void)capture_end(&c);
        (void)table_free(t);
        cr_assert_str_eq(c.text, "baz           5 a-unit-with-a-long-name.service\n"
                                 "longer?[1m 1234 -\n"
                                 "short         1\n");
}

CleanTest(table, colour_takes_no_room) {
        Capture c;

        cr_assert_str_eq(print(&c, &(Terminal){ .color = true, .width = 26 }, false),
                         "baz           \x1b[0;32m5\x1b[0m a-unit-wi\xe2\x80\xa6\n"
                         "longer?[1m \x1b[0;1;31m1234\x1b[0m -\n");
}

CleanTest(table, a_letter_of_several_bytes_is_one_character) {
        Capture c;
        Table *t;

        cr_assert_eq(table_new(&t), 0);
        table_column(t, "A", false);
        table_column(t, "B", false);
        cr_assert_eq(table_cell(t, TABLE_PLAIN,
                                "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"),
                     0);
        cr_assert_eq(table_cell(t, TABLE_PLAIN, "b"), 0);
        capture_begin(&c, 1);
        table_print(t, &(Terminal){ .width = 8 }, false);
        (void)capture_end(&c);
        (void)table_free(t);
        cr_assert_str_eq(c.text, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xe2\x80\xa6 b\n");
}
