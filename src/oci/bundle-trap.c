/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the JSON library would silently alter: whole numbers beyond 64 bits, NaN, names in apostrophes, a NUL within a
 * string (names end there). Found in the text, before the library sees it.
 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/bundle.h"

/* A whole number from @text on that does not fit into 64 bits; the library would quietly take the nearest that does. */
static bool number_is_too_large(const char *text, size_t n) {
        char digits[24] = { 0 };
        size_t size = 0;
        char *end;

        while (size < n && (isalnum((unsigned char)text[size]) || strchr("+-.", text[size])))
                size++;
        for (size_t i = 0; i < size; i++)
                if (text[i] == '.' || text[i] == 'e' || text[i] == 'E')
                        return false;
        if (size >= sizeof digits)
                return true;
        memcpy(digits, text, size);
        errno = 0;
        if (digits[0] == '-')
                (void)strtoll(digits, &end, 10);
        else
                (void)strtoull(digits, &end, 10);
        return errno == ERANGE;
}

static const char *find_trap_in_string(const char *text, size_t n, size_t *at) {
        for (size_t i = *at + 1; i < n; i++) {
                if (text[i] == '"') {
                        *at = i;
                        return NULL;
                }
                if (text[i] != '\\')
                        continue;
                if (n - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
                        return "NUL in a string";
                i++;
        }
        *at = n;
        return NULL;
}

/**
 * bundle_find_trap() - what of a text would not survive being read and written
 *
 * Return: static text, NULL if there is nothing.
 */
const char *bundle_find_trap(const char *text, size_t n) {
        bool in_number = false;

        if (memchr(text, 0, n))
                return "NUL byte";
        for (size_t i = 0; i < n; i++) {
                bool digit = isdigit((unsigned char)text[i]) || text[i] == '-';

                if (text[i] == '"') {
                        const char *why = find_trap_in_string(text, n, &i);

                        if (why)
                                return why;
                } else if (strchr("NI'", text[i]))
                        return "NaN, Infinity or an apostrophe"; /* which the library takes for a quote */
                else if (digit && !in_number && number_is_too_large(text + i, n - i))
                        return "number too large";
                in_number = isalnum((unsigned char)text[i]) || strchr("+-.", text[i]);
        }
        return NULL;
}
