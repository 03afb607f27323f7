/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where text may be cut: not inside of a letter. The bytes are anybody's and need not be text at all; what is none is
 * cut anywhere.
 */

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
