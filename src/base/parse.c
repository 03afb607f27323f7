/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Words to numbers. strtol() and its like skip blanks, take a sign where none belongs and stop at the first letter;
 * here the whole word is the number or there is none.
 */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "parse.h"

/**
 * parse_u64() - decimal digits
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_u64(const char *text, uint64_t *ret) {
        uint64_t value = 0;

        if (!*text)
                return fail(-EINVAL);
        for (; *text; text++) {
                if (!isdigit((unsigned char)*text))
                        return fail(-EINVAL);
                if (__builtin_mul_overflow(value, 10U, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
                        return fail(-ERANGE);
        }
        *ret = value;
        return 0;
}

/**
 * parse_pid() - process id, 1 or more
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_pid(const char *text, pid_t *ret) {
        uint64_t value;
        int r;

        r = parse_u64(text, &value);
        if (r < 0)
                return relay(r);
        if (value < 1 || value > INT_MAX)
                return fail(-ERANGE);
        *ret = (pid_t)value;
        return 0;
}

/**
 * parse_fd() - descriptor number, 0 or more; whether it is open is another question
 *
 * Return: 0, -EINVAL or -ERANGE.
 */
int parse_fd(const char *text, int *ret) {
        uint64_t value;
        int r;

        r = parse_u64(text, &value);
        if (r < 0)
                return relay(r);
        if (value > INT_MAX)
                return fail(-ERANGE);
        *ret = (int)value;
        return 0;
}

/**
 * parse_bool() - yes or no, in systemd's words
 *
 * Return: 0 or -EINVAL.
 */
int parse_bool(const char *text, bool *ret) {
        static const char *const words[2][5] = { { "no", "false", "off", "0", "n" },
                                                 { "yes", "true", "on", "1", "y" } };

        for (size_t value = 0; value < 2; value++)
                for (size_t i = 0; i < ELEMENTS(words[value]); i++)
                        if (strcmp(text, words[value][i]) == 0) {
                                *ret = value == 1;
                                return 0;
                        }
        return fail(-EINVAL);
}
