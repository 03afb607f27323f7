/* SPDX-License-Identifier: Apache-2.0 */

/* The distance of two words is the least number of letters, upper or lower case, that are inserted, removed or replaced. */

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "explain/suggest.h"

#define WORD_MAX 32

static size_t least(size_t a, size_t b, size_t c) {
        size_t ab = a < b ? a : b;

        return ab < c ? ab : c;
}

static bool is_same(char a, char b) {
        return strncasecmp(&a, &b, 1) == 0;
}

/* One row of the usual table after the other. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        size_t row[WORD_MAX + 1];

        for (size_t j = 0; j <= n_b; j++)
                row[j] = j;
        for (size_t i = 1; i <= n_a; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n_b; j++) {
                        size_t above = row[j];

                        row[j] = least(above + 1, row[j - 1] + 1, diagonal + !is_same(a[i - 1], b[j - 1]));
                        diagonal = above;
                }
        }
        return row[n_b];
}

/**
 * suggest() - what may have been meant
 * @word, @n: not ended by a NUL
 *
 * Return: one of @known, or NULL if none is like it.
 */
const char *suggest(const char *word, size_t n, const char *const *known, size_t n_known) {
        size_t best = n < 4 ? 2 : 3; /* fewer changes than that */
        const char *found = NULL;

        for (size_t i = 0; n > 0 && n <= WORD_MAX && i < n_known; i++) {
                size_t n_other = strlen(known[i]), d;

                if (n_other > WORD_MAX)
                        continue;
                if (n >= 3 && strncasecmp(known[i], word, n) == 0)
                        return known[i];
                d = distance(word, n, known[i], n_other);
                if (d < best) {
                        best = d;
                        found = known[i];
                }
        }
        return found;
}
