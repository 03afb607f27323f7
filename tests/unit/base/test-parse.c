/* SPDX-License-Identifier: Apache-2.0 */

/* The whole word is the number, or there is none and nothing is written. */

#include <errno.h>
#include <limits.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "clean.h"

#define UNTOUCHED 77

CleanTest(parse, u64_is_digits_only) {
        static const struct {
                const char *text;
                int r;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "007", 0, 7 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, UNTOUCHED },
                { "99999999999999999999", -ERANGE, UNTOUCHED },
                { "", -EINVAL, UNTOUCHED },
                { "-1", -EINVAL, UNTOUCHED },
                { "+1", -EINVAL, UNTOUCHED },
                { " 1", -EINVAL, UNTOUCHED },
                { "1\n", -EINVAL, UNTOUCHED },
                { "0x1", -EINVAL, UNTOUCHED },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t value = UNTOUCHED;

                cr_assert_eq(parse_u64(cases[i].text, &value), cases[i].r, "\"%s\"", cases[i].text);
                cr_assert_eq(value, cases[i].value, "\"%s\"", cases[i].text);
        }
}

CleanTest(parse, pid_and_fd_have_their_ranges) {
        static const struct {
                const char *text;
                int r_pid, r_fd;
        } cases[] = {
                { "0", -ERANGE, 0 },
                { "1", 0, 0 },
                { "2147483647", 0, 0 },
                { "2147483648", -ERANGE, -ERANGE },
                { "4294967297", -ERANGE, -ERANGE },
                { "-1", -EINVAL, -EINVAL },
                { "", -EINVAL, -EINVAL },
                { "3 ", -EINVAL, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                pid_t pid = UNTOUCHED;
                int fd = UNTOUCHED;

                cr_assert_eq(parse_pid(cases[i].text, &pid), cases[i].r_pid, "\"%s\"", cases[i].text);
                cr_assert_eq(parse_fd(cases[i].text, &fd), cases[i].r_fd, "\"%s\"", cases[i].text);
                cr_assert_eq(pid == UNTOUCHED, cases[i].r_pid < 0);
                cr_assert_eq(fd == UNTOUCHED, cases[i].r_fd < 0);
        }
}

CleanTest(parse, bool_knows_systemds_words) {
        static const char *const yes[] = { "yes", "true", "on", "1", "y" };
        static const char *const no[] = { "no", "false", "off", "0", "n" };
        static const char *const neither[] = { "", "maybe", "2", "yess", " yes" };

        for (size_t i = 0; i < 5; i++) {
                bool value = false;

                cr_assert_eq(parse_bool(yes[i], &value), 0);
                cr_assert(value);
                cr_assert_eq(parse_bool(neither[i], &value), -EINVAL);
                cr_assert(value);
                cr_assert_eq(parse_bool(no[i], &value), 0);
                cr_assert_not(value);
        }
}
