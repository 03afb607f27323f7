/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Names of systemd's units, by its rules of 252: up to 255 bytes, a known suffix, before it
 * letters, digits and ":-_.\" and, except in slices, '@'. A name with '@' is an instance; a
 * template ("x@.service") is not a unit and not valid here. A slice's name is its path: "a-b.slice"
 * lies in "a.slice".
 *
 * Names reach us from the command line, container ids among them. What is not allowed in a name is
 * escaped as \xNN, and a name that would be too long is refused, never cut: two containers must not
 * meet in one scope.
 */

#include <stdint.h>
#include <string.h>

#include "wire/unitname.h"

static const char hex[] = "0123456789abcdef";

static const char *const suffixes[] = {
        ".service",   ".scope", ".slice", ".socket", ".target", ".mount",
        ".automount", ".swap",  ".timer", ".path",   ".device",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_plain(char c) {
        return is_alnum(c) || (c != 0 && strchr(":-_.", c));
}

static bool is_known_suffix(const char *dot) {
        for (size_t i = 0; i < COUNT(suffixes); i++)
                if (strcmp(dot, suffixes[i]) == 0)
                        return true;
        return false;
}

/* No empty word between the dashes; the root's name is a single dash. */
static bool is_slice_name(const char *name, const char *dot) {
        if (dot == name + 1 && name[0] == '-')
                return true;
        if (name[0] == '-' || dot[-1] == '-')
                return false;
        for (const char *p = name; p < dot; p++)
                if (*p == '@' || (p[0] == '-' && p[1] == '-'))
                        return false;
        return true;
}

/**
 * unitname_is_valid() - could there be a unit of this name?
 * @suffix: the only kind to accept, with its dot (".scope"); NULL for any
 */
bool unitname_is_valid(const char *name, const char *suffix) {
        const char *dot = strrchr(name, '.'), *at = NULL;

        if (!dot || dot == name || strlen(name) >= UNITNAME_SIZE)
                return false;
        if (suffix ? strcmp(dot, suffix) != 0 : !is_known_suffix(dot))
                return false;
        for (const char *p = name; p < dot; p++) {
                if (!is_plain(*p) && *p != '\\' && *p != '@')
                        return false;
                if (*p == '@' && !at)
                        at = p;
        }
        if (at && (at == name || at + 1 == dot))
                return false;
        return strcmp(dot, ".slice") != 0 || is_slice_name(name, dot);
}

/* Appends @n bytes; false if they and a NUL do not fit. */
static bool unitname_put(char *out, size_t size, size_t *used, const char *text, size_t n) {
        if (n >= size - *used)
                return false;
        memcpy(out + *used, text, n);
        *used += n;
        out[*used] = 0;
        return true;
}

static bool unitname_put_escaped(char *out, size_t size, size_t *used, const char *text) {
        for (; *text; text++) {
                const char escaped[] = { '\\', 'x', hex[(unsigned char)*text >> 4],
                                         hex[(unsigned char)*text & 15] };
                bool plain = is_plain(*text) && (*text != '.' || *used > 0);

                if (!unitname_put(out, size, used, plain ? text : escaped, plain ? 1 : sizeof escaped))
                        return false;
        }
        return true;
}

/**
 * unitname_scope() - PREFIX-ID.scope, escaped where needed
 * @out: UNITNAME_SIZE bytes are enough; written only on success
 *
 * Different ids give different names.
 *
 * Return: 0, UNITNAME_BAD for an empty prefix or id, UNITNAME_TOO_LONG.
 */
int unitname_scope(char *out, size_t size, const char *prefix, const char *id) {
        static const char suffix[] = ".scope";
        char name[UNITNAME_SIZE];
        size_t used = 0;

        if (!*prefix || !*id)
                return UNITNAME_BAD;
        if (!unitname_put_escaped(name, sizeof name, &used, prefix) ||
            !unitname_put(name, sizeof name, &used, "-", 1) ||
            !unitname_put_escaped(name, sizeof name, &used, id) ||
            !unitname_put(name, sizeof name, &used, suffix, sizeof suffix - 1))
                return UNITNAME_TOO_LONG;
        if (used >= size)
                return UNITNAME_TOO_LONG;
        memcpy(out, name, used + 1);
        return 0;
}
