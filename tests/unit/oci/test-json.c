/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include "clean.h"
#include "oci/json.h"

CleanTest(json, objects_on_the_way_come_by_themselves) {
        _cleanup_(json_freep) Json *j = NULL;

        cr_assert_eq(json_new(&j), 0);
        cr_assert_str_eq(json_text(j, false), "{}");
        cr_assert_eq(json_set_text(j, "a.b.c", "x"), 0);
        cr_assert_eq(json_set_number(j, "a.n", UINT64_MAX), 0);
        cr_assert_eq(json_set_bool(j, "a.b.d", true), 0);
        cr_assert_eq(json_append_text(j, "a.l", "1"), 0);
        cr_assert_eq(json_append_text(j, "a.l", "2"), 0);
        cr_assert_eq(json_set_text(j, "path", "/a/b"), 0);
        cr_assert_str_eq(json_text(j, false), "{\"a\":{\"b\":{\"c\":\"x\",\"d\":true},\"n\":"
                                              "18446744073709551615,\"l\":[\"1\",\"2\"]},"
                                              "\"path\":\"/a/b\"}");
        cr_assert_not_null(strchr(json_text(j, true), '\n'));
}

CleanTest(json, what_is_no_text_is_replaced) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "\xff", "\"\xef\xbf\xbd\"" },
                { "a\xc3", "\"a\xef\xbf\xbd\"" },
                { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
                { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
                { "\033[1m\"\\\n", "\"\\u001b[1m\\\"\\\\\\n\"" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(json_freep) Json *j = NULL;
                char expected[64];

                (void)snprintf(expected, sizeof expected, "{\"t\":%s}", cases[i].out);
                cr_assert_eq(json_new(&j), 0);
                cr_assert_eq(json_set_text(j, "t", cases[i].in), 0);
                cr_assert_str_eq(json_text(j, false), expected, "case %zu: %s", i, json_text(j, false));
        }
}

CleanTest(json, an_array_shares_its_elements_with_their_owners) {
        _cleanup_(json_freep) Json *array = NULL, *element = NULL;

        cr_assert_eq(json_new_array(&array), 0);
        cr_assert_str_eq(json_text(array, false), "[]");
        cr_assert_eq(json_new(&element), 0);
        cr_assert_eq(json_append(array, element), 0);
        cr_assert_eq(json_set_number(element, "n", 1), 0);
        cr_assert_str_eq(json_text(array, false), "[{\"n\":1}]");
}

CleanTest(json, a_name_too_long_is_an_error) {
        _cleanup_(json_freep) Json *j = NULL;
        char path[200];

        memset(path, 'a', sizeof path - 1);
        path[sizeof path - 1] = 0;
        memcpy(path + 100, ".b", 2);
        cr_assert_eq(json_new(&j), 0);
        cr_assert_lt(json_set_text(j, path, "x"), 0);
        cr_assert_str_eq(json_text(j, false), "{}");
}
