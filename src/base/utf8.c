/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where text may be cut: not inside of a letter; and what of it may reach a terminal. The bytes are anybody's and need not be text at all; what is none is
 * cut anywhere.
 */

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

#define SEQUENCE_MAX 4 /* bytes of a letter */

/* How long a letter is that begins with this byte; 1 for what begins none, 0 inside of one. */
static size_t sequence_length(unsigned char c) {
        if (c >= 0x80 && c < 0xc0)
                return 0;
        if (c < 0xc2 || c > 0xf4)
                return 1;
        return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/**
 * utf8_unfinished() - how many bytes at the end begin a letter and do not end it
 *
 * Only @data counts: what follows it may be unknown yet.
 *
 * Return: 0 to 3.
 */
size_t utf8_unfinished(const char *data, size_t n) {
        for (size_t back = 1; back < SEQUENCE_MAX && back <= n; back++) {
                size_t length = sequence_length((unsigned char)data[n - back]);

                if (length > 0)
                        return length > back ? back : 0;
        }
        return 0;
}

/* The letter, or -1 for what is none: @n bytes are those that begin like one. */
static long letter(const unsigned char *p, size_t n) {
        static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        static const long lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        long c = p[0] & masks[n];

        if (n == 1)
                return p[0] < 0x80 ? c : -1;
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80) /* the NUL, too */
                        return -1;
                c = c << 6 | (p[i] & 0x3f);
        }
        return c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? -1 : c;
}

/**
 * utf8_length() - bytes of the letter that @text begins with
 * @n: that there are, at least one; UTF8_TO_NUL
 *
 * Return: 1 to 4, or 0 if it begins none: cut off, overlong, a surrogate, beyond U+10FFFF.
 */
size_t utf8_length(const char *text, size_t n) {
        const unsigned char *p = (const unsigned char *)text;
        size_t length = sequence_length(*p);

        return length > 0 && length <= n && letter(p, length) >= 0 ? length : 0;
}

/* Controls of terminals (C0, DEL, C1), and of the order in which text is shown. */
static bool is_control(long c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/**
 * utf8_make_printable() - put question marks in place of all that is no letter, or would do something to a terminal
 *
 * Line feeds are such, too: what somebody else has written is one line.
 *
 * Return: @text.
 */
char *utf8_make_printable(char *text) {
        unsigned char *p = (unsigned char *)text;

        while (*p) {
                size_t n = sequence_length(*p);
                long c = n > 0 ? letter(p, n) : -1;

                if (c < 0)
                        n = 1;
                if (c < 0 || is_control(c))
                        memset(p, '?', n);
                p += n;
        }
        return text;
}
