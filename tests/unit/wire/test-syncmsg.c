/* SPDX-License-Identifier: Apache-2.0 */

/* The records callers match byte for byte, and how they are cut. */

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/syncmsg.h"

#define TEXT(text) text, sizeof text - 1

CleanTest(syncmsg, records_are_spelled_as_callers_expect) {
        static const struct {
                const char *key;
                int64_t value;
                const char *text;
                size_t n_text;
                const char *expected;
        } cases[] = {
                /* contract 3.1 to 3.4 */
                { "data", 0, NULL, 0, "{\"data\": 0}\n" },
                { "data", 4711, NULL, 0, "{\"data\": 4711}\n" },
                { "pid", 4711, NULL, 0, "{\"pid\": 4711}\n" },
                { "exit_code", 137, NULL, 0, "{\"exit_code\": 137}\n" },
                { "exit_code", -1, TEXT("command timed out"),
                  "{\"exit_code\": -1, \"message\": \"command timed out\"}\n" },
                { "data", -1, TEXT(""), "{\"data\": -1}\n" },
                { "data", INT64_MIN, NULL, 0, "{\"data\": -9223372036854775808}\n" },
                { "data", INT64_MAX, NULL, 0, "{\"data\": 9223372036854775807}\n" },
                /* escapes */
                { "data", -1, TEXT("a\\b\"c"), "{\"data\": -1, \"message\": \"a\\\\b\\\"c\"}\n" },
                { "data", -1, TEXT("\b\f\n\r\t"), "{\"data\": -1, \"message\": \"\\b\\f\\n\\r\\t\"}\n" },
                { "data", -1, TEXT("/a/b"), "{\"data\": -1, \"message\": \"\\/a\\/b\"}\n" },
                { "data", -1, TEXT("\x01\x0b\x1f\x7f "),
                  "{\"data\": -1, \"message\": \"\\u0001\\u000b\\u001f\\u007f \"}\n" },
                { "data", -1, TEXT("a\0b"), "{\"data\": -1, \"message\": \"a\\u0000b\"}\n" },
                { "data", -1, TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3"),
                  "{\"data\": -1, \"message\": \"gr\xc3\xbc\xc3\x9f \xe2\x82\xac "
                  "\xf0\x9f\x90\xb3\"}\n" },
                /* what is no UTF-8 stays none */
                { "data", -1, TEXT("\xff\xc3(\x80\xc3"),
                  "{\"data\": -1, \"message\": \"\xff\xc3(\x80\xc3\"}\n" },
                { "data", -1, TEXT("\xc3\"\xe2\x82\n"),
                  "{\"data\": -1, \"message\": \"\xc3\\\"\xe2\x82\\n\"}\n" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[SYNCMSG_MAX];
                size_t n;

                n = syncmsg_format(out, cases[i].key, cases[i].value, cases[i].text, cases[i].n_text);
                cr_assert_eq(n, strlen(cases[i].expected), "%.*s", (int)n, out);
                cr_assert_eq(memcmp(out, cases[i].expected, n), 0, "%.*s", (int)n, out);
        }
}

/* The message as a JSON library reads it; the caller's to free. */
static char *read_back(const char *record, size_t n) {
        _cleanup_free_ char *text = calloc(n + 1, 1);
        json_object *object, *message;
        char *result;

        memcpy(text, record, n);
        cr_assert_eq(text[n - 1], '\n');
        object = json_tokener_parse(text);
        cr_assert_not_null(object, "%s", text);
        cr_assert(json_object_object_get_ex(object, "message", &message));
        result = strdup(json_object_get_string(message));
        (void)json_object_put(object);
        return result;
}

CleanTest(syncmsg, twenty_kilobytes_fit_into_one_packet) {
        static char text[20000];
        _cleanup_free_ char *message = NULL;
        char out[SYNCMSG_MAX];
        size_t n;

        memset(text, 'x', sizeof text);
        n = syncmsg_format(out, "exit_code", -1, text, sizeof text);
        cr_assert_eq(n, SYNCMSG_MAX, "as much as there is room for");
        message = read_back(out, n);
        cr_assert_eq(strspn(message, "x"), strlen(message));
}

CleanTest(syncmsg, cut_is_never_inside_an_escape_or_a_character) {
        static const char *const units[] = {
                "\n", "\x01", "\"", "/", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x90\xb3", "a\xe2\x82\xac\x02"
        };

        for (size_t i = 0; i < ELEMENTS(units); i++)
                for (size_t shift = 0; shift < 12; shift++) {
                        _cleanup_free_ char *message = NULL;
                        char text[9000] = "xxxxxxxxxxxx", out[SYNCMSG_MAX];
                        size_t n = shift, n_unit = strlen(units[i]);

                        while (n + n_unit <= sizeof text) {
                                memcpy(text + n, units[i], n_unit);
                                n += n_unit;
                        }
                        n = syncmsg_format(out, "data", -1, text, n);
                        cr_assert_leq(n, (size_t)SYNCMSG_MAX);
                        cr_assert_gt(n, SYNCMSG_MAX - 8U);
                        message = read_back(out, n);
                        cr_assert_eq(memcmp(message, text, strlen(message)), 0);
                        if (n_unit < 5)
                                cr_assert_eq((strlen(message) - shift) % n_unit, 0);
                }
}

CleanTest(syncmsg, every_byte_can_be_read_back) {
        char text[0x80], out[SYNCMSG_MAX];
        _cleanup_free_ char *message = NULL;
        size_t n;

        for (int c = 1; c < 0x80; c++)
                text[c - 1] = (char)c;
        n = syncmsg_format(out, "data", -1, text, 0x7f);
        message = read_back(out, n);
        cr_assert_eq(strlen(message), 0x7f);
        cr_assert_eq(memcmp(message, text, 0x7f), 0);
}
