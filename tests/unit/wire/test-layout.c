/* SPDX-License-Identifier: Apache-2.0 */

/* What has a name comes over, wherever it lies and however wide it is; no directory leads outside. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/layout.h"

typedef struct Old {
        uint32_t gone;
        uint32_t wide;
        uint64_t narrow;
        uint8_t list[4];
        char text[8];
} Old;

typedef struct OldAll {
        Old olds[3];
        uint16_t number;
} OldAll;

typedef struct New {
        char text[16];
        uint64_t fresh;
        uint8_t list[2];
        uint64_t wide;
        uint16_t narrow;
} New;

typedef struct NewAll {
        uint64_t number;
        New news[2];
} NewAll;

static const LayoutField old_fields[] = {
        LAYOUT_NUMBER(Old, gone, "gone"),     LAYOUT_NUMBER(Old, wide, "wide"),
        LAYOUT_NUMBER(Old, narrow, "narrow"), LAYOUT_NUMBERS(Old, list, "list"),
        LAYOUT_NUMBERS(Old, text, "text"),
};

static const LayoutField new_fields[] = {
        LAYOUT_NUMBER(New, fresh, "fresh"),   LAYOUT_NUMBER(New, wide, "wide"),
        LAYOUT_NUMBER(New, narrow, "narrow"), LAYOUT_NUMBERS(New, list, "list"),
        LAYOUT_NUMBERS(New, text, "text"),
};

static const LayoutField old_numbers[] = { LAYOUT_NUMBER(OldAll, number, "number") };
static const LayoutField new_numbers[] = { LAYOUT_NUMBER(NewAll, number, "number") };

static const LayoutFields old_members = LAYOUT_FIELDS(old_fields), new_members = LAYOUT_FIELDS(new_fields);
static const LayoutFields old_rest = LAYOUT_FIELDS(old_numbers), new_rest = LAYOUT_FIELDS(new_numbers);

static const LayoutGroup old_groups[] = { LAYOUT_MANY(OldAll, olds, "thing", &old_members),
                                          { "all", 0, sizeof(OldAll), 1, &old_rest } };
static const LayoutGroup new_groups[] = { { "all", 0, sizeof(NewAll), 1, &new_rest },
                                          LAYOUT_MANY(NewAll, news, "thing", &new_members) };

static const Layout old_layout = { old_groups, ELEMENTS(old_groups), sizeof(OldAll) };
static const Layout new_layout = { new_groups, ELEMENTS(new_groups), sizeof(NewAll) };

static StateReader describe(char *text, size_t size, const Layout *layout, size_t base) {
        StateReader reader;
        StateWriter w;
        size_t n;

        state_begin(&w, text, size);
        layout_put(&w, layout, base);
        n = state_end(&w);
        cr_assert_gt(n, 0);
        cr_assert_eq(state_open(&reader, text, n), 0);
        return reader;
}

CleanTest(layout, what_has_a_name_comes_over) {
        struct {
                char before[24];
                OldAll all;
        } old = { .all.olds = { { 1, UINT32_MAX, 2, { 1, 2, 3, 4 }, "seven" },
                                { 1, 5, UINT16_MAX, { 0 }, "" },
                                { 9, 9, 9, { 9, 9, 9, 9 }, "third" } },
                  .all.number = 777 };
        NewAll all = { 0 };
        char text[1024];
        StateReader directory = describe(text, sizeof text, &old_layout, sizeof old.before);

        cr_assert_eq(layout_copy(&directory, (const char *)&old, sizeof old, &new_layout, (char *)&all), 0);
        cr_assert_eq(all.number, 777);
        cr_assert_eq(all.news[0].wide, UINT32_MAX);
        cr_assert_eq(all.news[0].narrow, 2);
        cr_assert(all.news[0].list[0] == 1 && all.news[0].list[1] == 2);
        cr_assert_str_eq(all.news[0].text, "seven");
        cr_assert_eq(all.news[0].fresh, 0, "a new one has its default");
        cr_assert_eq(all.news[1].wide, 5);
        cr_assert_eq(all.news[1].narrow, UINT16_MAX);
}

CleanTest(layout, and_back) {
        NewAll all = { .number = UINT64_MAX,
                       .news = { { "0123456789", 4, { 5, 6 }, 1ULL << 40, 8 }, { .wide = 3 } } };
        OldAll old = { 0 };
        char text[1024];
        StateReader directory = describe(text, sizeof text, &new_layout, 0);

        cr_assert_eq(layout_copy(&directory, (const char *)&all, sizeof all, &old_layout, (char *)&old), 0);
        cr_assert_eq(old.number, UINT16_MAX, "the largest that fits");
        cr_assert_eq(old.olds[0].wide, UINT32_MAX);
        cr_assert_eq(old.olds[0].gone, 0);
        cr_assert_eq(old.olds[0].narrow, 8);
        cr_assert(old.olds[0].list[1] == 6 && old.olds[0].list[2] == 0);
        cr_assert_eq(memcmp(old.olds[0].text, "01234567", 8), 0);
        cr_assert_eq(old.olds[1].wide, 3);
        cr_assert_eq(old.olds[2].wide, 0);
}

CleanTest(layout, entries_are_found) {
        char text[1024];
        StateReader directory = describe(text, sizeof text, &old_layout, 1000);
        LayoutEntry e;

        cr_assert_eq(layout_find(&directory, "thing.list", 4096, &e), 0);
        cr_assert(e.offset == 1000 + offsetof(Old, list) && e.stride == sizeof(Old) && e.count == 3 &&
                  e.width == 1 && e.n == 4);
        cr_assert_eq(layout_find(&directory, "thing.lis", 4096, &e), -ENOENT);
        cr_assert_eq(layout_find(&directory, "thing.list", 1000, &e), -EBADMSG, "outside");
}

CleanTest(layout, no_directory_leads_outside) {
        static const char *const bad[] = {
                "",
                "0",
                "0 0 0 0",
                "0 0 1 8 1 1",
                "0 0 1 8 1 ",
                " 0 0 1 8 1",
                "0  0 1 8 1",
                "-1 0 1 8 1",
                "0 0 1 0 1",
                "0 0 1 3 1",
                "0 0 1 16 1",
                "x 0 1 8 1",
                "64 0 1 8 1",
                "57 0 1 8 1",
                "0 57 2 8 1",
                "18446744073709551615 0 1 8 1",
                "18446744073709551608 0 1 8 1",
                "0 18446744073709551615 2 8 1",
                "8 18446744073709551608 2 8 1",
                "18446744073709551616 0 1 8 1",
                "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
                "000"
                "000000000 0 1 8 1",
        };
        char from[64] = { 0 }, text[512];
        NewAll all = { 0 };
        LayoutEntry e;

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                int n = snprintf(text, sizeof text, "scopemon-state 1\nthing.wide=%s\nend\n", bad[i]);
                StateReader directory;

                cr_assert_eq(state_open(&directory, text, (size_t)n), 0);
                cr_assert_eq(layout_copy(&directory, from, sizeof from, &new_layout, (char *)&all), -EBADMSG,
                             "%s", bad[i]);
                if (i < ELEMENTS(bad) - 1)
                        cr_assert_eq(layout_find(&directory, "thing.wide", sizeof from, &e), -EBADMSG, "%s",
                                     bad[i]);
        }
}

CleanTest(layout, more_than_we_take_is_not_looked_at) {
        static const char text[] = "scopemon-state 1\nthing.wide=0 8 18446744073709551615 8 1\n"
                                   "thing.list=0 8 1 1 18446744073709551615\nother.thing=nonsense\n"
                                   "thing.unknown=nonsense\nthing.fresh=900 8 0 8 1\nend\n";
        uint64_t from[2] = { 5, 6 };
        StateReader directory;
        NewAll all = { 0 };

        cr_assert_eq(state_open(&directory, text, strlen(text)), 0);
        cr_assert_eq(layout_copy(&directory, (const char *)from, sizeof from, &new_layout, (char *)&all), 0);
        cr_assert(all.news[0].wide == 5 && all.news[1].wide == 6 && all.news[0].list[0] == 5);
}
