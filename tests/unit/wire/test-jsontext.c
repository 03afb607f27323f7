/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/jsontext.h"

/* What is wrong with the only value of @text; NULL if nothing is. */
static const char *flaw(const char *text) {
        JsonWalk w = { .text = text, .n = strlen(text) };
        JsonSpan value;

        return jsontext_value(&w, &value) && jsontext_end(&w) ? NULL : w.why;
}

CleanTest(jsontext, all_that_the_rfc_allows_is_accepted) {
        static const char *const cases[] = {
                "{}",
                "[]",
                " [ ] ",
                "\t\r\n{ }\n",
                "null",
                "true",
                "false",
                "0",
                "-0",
                "10",
                "-1.5",
                "1e5",
                "1E+5",
                "0.0e-0",
                "123456789012345678901234567890",
                "\"\"",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\"",
                "\"\x7f\xff\xc3\"",
                "[1,[2],[[]],{}]",
                "{\"\":{\"a\":[]},\"\":1}",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_null(flaw(cases[i]), "%s: %s", cases[i], flaw(cases[i]));
}

CleanTest(jsontext, all_else_is_refused_with_a_reason) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                { "", "unexpected end" },
                { " ", "unexpected end" },
                { "{", "unexpected end" },
                { "[", "unexpected end" },
                { "[1", "unexpected end" },
                { "{\"a\":1", "unexpected end" },
                { "{\"a\":1,", "unexpected end" },
                { "[1,]", "unexpected character" },
                { "[,1]", "unexpected character" },
                { "[1 2]", "unexpected character" },
                { "[1[2]]", "unexpected character" },
                { "[1}", "unexpected character" },
                { "{\"a\":1{\"b\":2}}", "unexpected character" },
                { "{\"a\":1]", "unexpected character" },
                { "{\"a\":1,}", "a member without a name" },
                { "{,}", "a member without a name" },
                { "{1:2}", "a member without a name" },
                { "{'a':1}", "a member without a name" },
                { "{/**/}", "a member without a name" },
                { "{\"a\"}", "a member without a value" },
                { "{\"a\",1}", "a member without a value" },
                { "{\"a\":}", "unexpected character" },
                { "]", "unexpected character" },
                { "TRUE", "unexpected character" },
                { "nul", "unexpected character" },
                { "NaN", "unexpected character" },
                { "+1", "unexpected character" },
                { ".5", "unexpected character" },
                { "-", "invalid number" },
                { "-Infinity", "invalid number" },
                { "01", "invalid number" },
                { "1.", "invalid number" },
                { "1.e5", "invalid number" },
                { "1e", "invalid number" },
                { "1e+", "invalid number" },
                { "0x10", "text behind the end" },
                { "{}{}", "text behind the end" },
                { "{} x", "text behind the end" },
                { "truefalse", "text behind the end" },
                { "\"", "unterminated string" },
                { "\"a", "unterminated string" },
                { "\"\\\"", "unterminated string" },
                { "\"\\", "invalid escape in a string" },
                { "\"\\x\"", "invalid escape in a string" },
                { "\"\\u12\"", "invalid escape in a string" },
                { "\"\\u12g4\"", "invalid escape in a string" },
                { "\"\n\"", "control character in a string" },
                { "\"\x1f\"", "control character in a string" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *why = flaw(cases[i].text);

                cr_assert_not_null(why, "%s", cases[i].text);
                cr_assert_str_eq(why, cases[i].why, "%s", cases[i].text);
        }
}

CleanTest(jsontext, nul_is_no_end) {
        static const char text[] = "{}\0", inside[] = "\"\0\"";
        JsonWalk w = { .text = text, .n = 3 }, v = { .text = inside, .n = 3 };
        JsonSpan value;

        cr_assert(jsontext_value(&w, &value));
        cr_assert_not(jsontext_end(&w));
        cr_assert_not(jsontext_value(&v, &value));
}

/* The text is in memory of just its size, so that a checker of memory sees each byte too many that is read. */
CleanTest(jsontext, no_text_is_read_beyond_its_end) {
        static const char whole[] =
                " {\"a\\u00e4\\\"\" : [ -1.5e+3 , true , null , \"\\ud83d\\ude00\" , { } ] , \"b\":false} ";

        for (size_t n = 0; n < sizeof whole; n++) {
                _cleanup_free_ char *text = malloc(n + (n == 0));
                JsonWalk w = { .text = text, .n = n };
                JsonSpan value;
                bool whole_value;

                cr_assert_not_null(text);
                memcpy(text, whole, n);
                whole_value = jsontext_value(&w, &value);
                cr_assert_eq(whole_value, n >= strlen(whole) - 1, "%zu", n);
                cr_assert_eq(!w.why, whole_value);
        }
}

CleanTest(jsontext, depth_is_limited) {
        char text[2 * (JSONTEXT_DEPTH + 1) + 1];

        for (size_t depth = JSONTEXT_DEPTH; depth <= JSONTEXT_DEPTH + 1; depth++) {
                memset(text, '[', depth);
                memset(text + depth, ']', depth);
                text[2 * depth] = 0;
                if (depth == JSONTEXT_DEPTH)
                        cr_assert_null(flaw(text));
                else
                        cr_assert_str_eq(flaw(text), "nesting too deep");
        }
}

CleanTest(jsontext, members_are_walked_in_their_order) {
        static const char text[] = " { \"a\" : 1 , \"b\":{\"c\":[1,2]},\"\" : \"x\" } rest";
        static const char *const names[] = { "\"a\"", "\"b\"", "\"\"" }, *const values[] = { "1",
                                                                                             "{\"c\":[1,2]}",
                                                                                             "\"x\"" };
        JsonWalk w = { .text = text, .n = strlen(text) };
        JsonSpan name, value;

        cr_assert(jsontext_enter(&w));
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                cr_assert(jsontext_member(&w, &name, &value));
                cr_assert_eq(name.end - name.begin, strlen(names[i]));
                cr_assert_eq(memcmp(text + name.begin, names[i], strlen(names[i])), 0);
                cr_assert_eq(value.end - value.begin, strlen(values[i]));
                cr_assert_eq(memcmp(text + value.begin, values[i], strlen(values[i])), 0);
        }
        cr_assert_not(jsontext_member(&w, &name, &value));
        cr_assert_null(w.why);
        cr_assert_eq(w.depth, 0U);
        cr_assert_str_eq(text + w.at, " rest");
        cr_assert_not(jsontext_end(&w));
}

CleanTest(jsontext, only_an_object_can_be_entered) {
        static const char *const cases[] = { "[]", "1", "", "\"{\"" };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                JsonWalk w = { .text = cases[i], .n = strlen(cases[i]) };

                cr_assert_not(jsontext_enter(&w));
                cr_assert_str_eq(w.why, "not an object");
        }
}

CleanTest(jsontext, strings_say_what_they_say) {
        static const struct {
                const char *text, *word;
        } cases[] = {
                { "\"\"", "" },
                { "\"abc\"", "abc" },
                { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
                { "\"\\u0041\\u00e4\\u20ac\\uffff\"", "A\xc3\xa4\xe2\x82\xac\xef\xbf\xbf" },
                { "\"\\ud83d\\ude00\\uD83D\\uDE00\"", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80" },
                { "\"\\ud800\"", "\xef\xbf\xbd" },
                { "\"\\ud800x\"", "\xef\xbf\xbdx" },
                { "\"\\udc00\\ud800\"", "\xef\xbf\xbd\xef\xbf\xbd" },
                { "\"\\ud800\\u0041\"", "\xef\xbf\xbd"
                                        "A" },
                { "\"\\ud800\\n\\ud8\"", NULL },
                { "\"\xff\"", "\xff" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                JsonSpan string = { 0, strlen(cases[i].text) };
                char buffer[64];

                if (!cases[i].word) {
                        cr_assert_not_null(flaw(cases[i].text)); /* nobody would ask what it says */
                        continue;
                }
                cr_assert(jsontext_decode(cases[i].text, string, buffer, string.end), "%s", cases[i].text);
                cr_assert_str_eq(buffer, cases[i].word, "%s", cases[i].text);
                cr_assert(jsontext_same(cases[i].text, string, cases[i].word), "%s", cases[i].text);
                cr_assert_not(jsontext_same(cases[i].text, string, "other"));
                cr_assert_not(jsontext_decode(cases[i].text, string, buffer, strlen(cases[i].word)));
        }
}

CleanTest(jsontext, a_name_is_no_other_that_begins_like_it) {
        cr_assert_not(jsontext_same("\"ab\"", (JsonSpan){ 0, 4 }, "a"));
        cr_assert_not(jsontext_same("\"ab\"", (JsonSpan){ 0, 4 }, "abc"));
        cr_assert_not(jsontext_same("\"ab\\u0000\"", (JsonSpan){ 0, 10 }, "ab"));
        cr_assert_not(jsontext_same("\"\\u0000\"", (JsonSpan){ 0, 8 }, ""));
}

CleanTest(jsontext, nul_in_a_string_is_none_for_c) {
        char buffer[32];

        cr_assert_not(jsontext_decode("\"a\\u0000b\"", (JsonSpan){ 0, 10 }, buffer, sizeof buffer));
}

CleanTest(jsontext, words_are_encoded_and_come_back) {
        static const struct {
                const char *word, *text;
        } cases[] = {
                { "", "\"\"" },
                { "/a b", "\"/a b\"" },
                { "\"\\\b\f\n\r\t", "\"\\\"\\\\\\b\\f\\n\\r\\t\"" },
                { "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"" },
                { "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t size = 6 * strlen(cases[i].word) + 3;
                char text[64], word[64];

                memset(text, 'x', sizeof text);
                cr_assert_eq(jsontext_encode(cases[i].word, text, size), strlen(cases[i].text));
                cr_assert_str_eq(text, cases[i].text);
                cr_assert(jsontext_decode(text, (JsonSpan){ 0, strlen(text) }, word, sizeof word));
                cr_assert_str_eq(word, cases[i].word);
        }
        cr_assert_eq(jsontext_encode("a", (char[8]){ 0 }, 2), 0U);
        cr_assert_eq(jsontext_encode("aaaaaa", (char[8]){ 0 }, 8), 0U);
}
