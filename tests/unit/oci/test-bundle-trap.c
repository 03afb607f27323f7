/* SPDX-License-Identifier: Apache-2.0 */

/* What the JSON library would read without a word and not write back as it was. */

#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "oci/bundle.h"

CleanTest(bundle_trap, each_kind_is_found_and_named) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                { "{\"a\":\"x\\u0000\"}", "NUL in a string" },
                { "{\"a\\u0000b\":1}", "NUL in a string" },
                { "{\"a\":\"\\\\\\u0000\"}", "NUL in a string" },
                { "{'a':1}", "NaN, Infinity or an apostrophe" },
                { "{\"a\":NaN}", "NaN, Infinity or an apostrophe" },
                { "{\"a\":-Infinity}", "NaN, Infinity or an apostrophe" },
                { "{\"a\":18446744073709551616}", "number too large" },
                { "{\"a\":-9223372036854775809}", "number too large" },
                { "[1,99999999999999999999999999999]", "number too large" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *why = bundle_find_trap(cases[i].text, strlen(cases[i].text));

                cr_assert_not_null(why, "%s", cases[i].text);
                cr_assert_str_eq(why, cases[i].why, "%s", cases[i].text);
        }
        cr_assert_str_eq(bundle_find_trap("{}\0", 3), "NUL byte");
}

CleanTest(bundle_trap, what_only_looks_like_one_is_none) {
        static const char *const cases[] = {
                "",
                "{\"a\":\"\\\\u0000 it's NaN Infinity 99999999999999999999999\"}",
                "{\"99999999999999999999999\":\"\\\\\\\\u0000\"}",
                "{\"a\":99999999999999999999999.0,\"b\":1E-99999}",
                "{\"a\":18446744073709551615,\"b\":-9223372036854775808,\"c\":0}",
                "{\"a\":\"",
                "{\"a\":\"\\",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_null(bundle_find_trap(cases[i], strlen(cases[i])), "%s", cases[i]);
}
