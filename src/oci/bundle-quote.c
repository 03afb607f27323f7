/* SPDX-License-Identifier: Apache-2.0 */

/*
 * GVariant text for annotations: what runc and crun turn into properties of the scope they make. Both read less of the
 * language than GLib does, and not the same part of it: crun ends a string at the first apostrophe, escaped or not, so
 * in a text for people an apostrophe becomes U+2019; in a list of unit names, where it must stay what it is, it is
 * escaped.
 *
 * What is no UTF-8, or a control character, becomes U+FFFD: the bus would refuse the whole call otherwise.
 */

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "oci/bundle.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define APOSTROPHE "\xe2\x80\x99"  /* U+2019 */

/* Appends @text as a quoted word at @out, which has room for three bytes per byte and the quotes. */
static char *append_quoted(char *out, const char *text, const char *apostrophe) {
        *out++ = '\'';
        while (*text) {
                size_t n = utf8_length(text, UTF8_TO_NUL);

                if (n == 0) {
                        out = stpcpy(out, REPLACEMENT);
                        text++;
                } else if (*text == '\'') {
                        out = stpcpy(out, apostrophe);
                        text++;
                } else {
                        if (*text == '\\')
                                *out++ = '\\';
                        if (n == 1 && iscntrl((unsigned char)*text))
                                *out++ = ' ';
                        else
                                out = mempcpy(out, text, n);
                        text += n;
                }
        }
        *out++ = '\'';
        *out = 0;
        return out;
}

/**
 * bundle_quote() - one string as GVariant text, for people to read
 *
 * Control characters become blanks, what is not UTF-8 becomes U+FFFD, and an apostrophe its typographic form, since
 * crun ends the string at the other one, escaped or not. crun also shows a backslash twice.
 *
 * Return: the text, the caller's to free; NULL when memory ran out.
 */
char *bundle_quote(const char *text) {
        char *out = malloc(3 * strlen(text) + 3);

        if (out)
                (void)append_quoted(out, text, APOSTROPHE);
        return out;
}

/**
 * bundle_quote_list() - a list of strings, such as unit names, as GVariant text
 * @words: at least one, then NULL
 *
 * Backslashes and apostrophes arrive as they are, with either runtime.
 *
 * Return: the text, the caller's to free; NULL when memory ran out.
 */
char *bundle_quote_list(const char *const *words) {
        size_t size = 3;
        char *list, *out;

        for (size_t i = 0; words[i]; i++)
                size += 3 * strlen(words[i]) + 4;
        list = out = malloc(size);
        if (!list)
                return NULL;
        *out++ = '[';
        for (size_t i = 0; words[i]; i++) {
                if (i > 0)
                        out = stpcpy(out, ", ");
                out = append_quoted(out, words[i], "\\'");
        }
        (void)stpcpy(out, "]");
        return list;
}
