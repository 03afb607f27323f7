/* SPDX-License-Identifier: Apache-2.0 */

/* What is written is what is read, by any version; what is cut, foreign or malformed is not taken for a state. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/state.h"

typedef enum Colour { RED, GREEN, BLUE } Colour;

typedef struct Thing {
        bool on;
        uint32_t small;
        uint64_t large;
        Colour colour;
        char text[16];
} Thing;

static const char *const colours[] = { "red", "green", "blue" };

static const StateField thing_fields[] = {
        STATE_FIELD_BOOL(Thing, on, "on"),
        STATE_FIELD_NUMBER(Thing, small, "small", 1000),
        STATE_FIELD_NUMBER(Thing, large, "large", UINT64_MAX),
        STATE_FIELD_WORD(Thing, colour, "colour", colours),
        STATE_FIELD_TEXT(Thing, text, "text"),
};

static const StateFields thing_values = { thing_fields, ELEMENTS(thing_fields) };

static const Thing example = { .on = true,
                               .small = 1000,
                               .large = UINT64_MAX,
                               .colour = BLUE,
                               .text = "a\\b\nc=d" };

static size_t make(char *data, size_t size) {
        StateWriter w;

        state_begin(&w, data, size);
        state_put_fields(&w, "thing", &thing_values, &example);
        state_put_number(&w, "number", 0);
        state_put_text(&w, "word", "", 0);
        state_put_text(&w, "word", "\n\n", 2);
        return state_end(&w);
}

static int count(const char *data, size_t n) {
        StateReader reader;
        StateValue v;
        int r, found = 0;

        r = state_open(&reader, data, n);
        if (r != 0)
                return r;
        while (state_next(&reader, &v))
                found++;
        return found;
}

static int open_text(StateReader *reader, const char *text) {
        return state_open(reader, text, strlen(text));
}

CleanTest(state, is_a_text_of_names_and_values) {
        static const char expected[] = "scopemon-state 1\n"
                                       "thing.on=1\n"
                                       "thing.small=1000\n"
                                       "thing.large=18446744073709551615\n"
                                       "thing.colour=blue\n"
                                       "thing.text=a\\\\b\\nc=d\n"
                                       "number=0\n"
                                       "word=\n"
                                       "word=\\n\\n\n"
                                       "end\n";
        char data[512];
        size_t n = make(data, sizeof data);

        cr_assert_eq(n, strlen(expected));
        cr_assert_eq(memcmp(data, expected, n), 0);
        cr_assert_eq(count(data, n), 8);
}

static void take_all(StateReader *reader, Thing *thing, int expected) {
        StateValue v;

        while (state_next(reader, &v))
                if (state_behind(&v, "thing", &(size_t){ 0 }))
                        cr_assert_eq(state_take(&v, "thing", &thing_values, thing), expected, "%.*s",
                                     (int)v.n_name, v.name);
}

CleanTest(state, fields_come_back_as_they_went) {
        char data[512];
        size_t n = make(data, sizeof data);
        Thing thing = { .small = 5 };
        StateReader reader;

        cr_assert_eq(state_open(&reader, data, n), 0);
        take_all(&reader, &thing, 0);
        cr_assert(thing.on && thing.small == 1000 && thing.large == UINT64_MAX && thing.colour == BLUE);
        cr_assert_str_eq(thing.text, example.text);
}

CleanTest(state, unknown_names_are_skipped_and_missing_ones_keep_their_defaults) {
        Thing thing = { .small = 5, .colour = GREEN };
        StateReader reader;
        StateValue v;

        cr_assert_eq(open_text(&reader, "scopemon-state 1\nnever=heard\nthing.taste=sweet\nthing.on=1\n"
                                        "thing=5\nthing.=5\nthin.on=0\nend\n"),
                     0);
        while (state_next(&reader, &v))
                cr_assert_eq(state_take(&v, "thing", &thing_values, &thing),
                             state_is(&v, "thing.on") ? 0 : STATE_UNKNOWN, "%.*s", (int)v.n_name, v.name);
        cr_assert(thing.on && thing.small == 5 && thing.colour == GREEN);
}

CleanTest(state, values_that_do_not_fit_their_names_are_errors) {
        static const char *const lines[] = {
                "thing.on=2",
                "thing.on=",
                "thing.on=-1",
                "thing.on= 1",
                "thing.on=1 ",
                "thing.small=1001",
                "thing.large=18446744073709551616",
                "thing.large=000000000000000000001",
                "thing.large=0x1",
                "thing.colour=pink",
                "thing.colour=",
                "thing.colour=blu",
                "thing.colour=2",
                "thing.text=0123456789abcdef",
        };

        for (size_t i = 0; i < ELEMENTS(lines); i++) {
                Thing thing = { 0 }, none = { 0 };
                char text[128];
                StateReader reader;

                (void)snprintf(text, sizeof text, "scopemon-state 1\n%s\nend\n", lines[i]);
                cr_assert_eq(open_text(&reader, text), 0, "%s", lines[i]);
                take_all(&reader, &thing, -EBADMSG);
                thing.text[0] = 0; /* a text that is too long has been begun */
                cr_assert(thing.on == none.on && thing.small == 0 && thing.large == 0 && thing.colour == RED);
        }
}

CleanTest(state, room_that_is_too_small_is_seen_at_the_end) {
        char data[512];
        size_t n = make(data, sizeof data);

        for (size_t size = 0; size < n; size++)
                cr_assert_eq(make(data, size), 0, "%zu", size);
        cr_assert_eq(make(data, n), n);
}

CleanTest(state, every_truncation_is_noticed) {
        char data[512];
        size_t n = make(data, sizeof data);

        for (size_t i = 0; i < n; i++)
                cr_assert_eq(count(data, i), -EBADMSG, "%zu bytes", i);
}

CleanTest(state, malformed_lines_are_refused) {
        static const char *const bodies[] = {
                "no-value\n",
                "=5\n",
                "Upper=5\n",
                "under_score=5\n",
                "a b=5\n",
                "\n",
                "a=\\x\n",
                "a=\\\n",
                "a=5\nend\n",
                "a=5\\\n",
                "a=5",
                "end\n",
                "a\\=5\n",
                "\xc3\xa4=5\n",
                "a234567890123456789012345678901234567890123456789012345678901234=5\n",
        };
        char data[256];

        for (size_t i = 0; i < ELEMENTS(bodies); i++) {
                int n = snprintf(data, sizeof data, "scopemon-state 1\n%send\n", bodies[i]);

                cr_assert_eq(count(data, (size_t)n), -EBADMSG, "%s", bodies[i]);
        }
        cr_assert_eq(count("scopemon-state 1\na=\0\nend\n", 25), -EBADMSG, "a NUL");
        cr_assert_eq(count("scopemon-state 1\nend\n", 21), 0);
}

CleanTest(state, other_forms_are_told_apart_from_damage) {
        cr_assert_eq(count("scopemon-state 2\nanything", 25), STATE_FOREIGN);
        cr_assert_eq(count("scopemon-state 10\n", 18), STATE_FOREIGN);
        cr_assert_eq(count("SPMstate\2\0\0\0", 12), STATE_BINARY);
        cr_assert_eq(count("scopemon-state", 14), -EBADMSG);
        cr_assert_eq(count("scopemon-stat 1\nend\n", 20), -EBADMSG);
        cr_assert_eq(count("", 0), -EBADMSG);
}
