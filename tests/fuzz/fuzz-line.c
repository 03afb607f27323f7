/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lines, put together again, are the data; none is longer than allowed, none has a newline
 * inside, and where they end does not depend on how the data arrived. The first two bytes choose
 * the length and where the data are cut.
 */

#include <string.h>

#include "fuzz.h"
#include "wire/line.h"

static size_t check_line(const char *data, size_t n, size_t max, StreamTail tail, const Line *line) {
        fuzz_claim(line->text == data);
        fuzz_claim(line->n_text <= max);
        fuzz_claim(line->n_taken > 0 && line->n_taken <= n);
        fuzz_claim(line->n_taken == line->n_text + !line->partial);
        fuzz_claim(line->partial || data[line->n_text] == '\n');
        fuzz_claim(!line->partial || (n > max && line->n_text + 3 >= max) ||
                   (tail != TAIL_MORE && line->n_text == n));
        fuzz_claim(line->n_text > 0 || !line->partial);
        for (size_t i = 0; i < line->n_text; i++)
                fuzz_claim(data[i] != '\n');
        return line->n_taken;
}

/* Takes all lines of data[from, to) and notes each one's end; returns where the next one begins. */
static size_t take(const char *data, size_t from, size_t to, size_t max, StreamTail tail, uint8_t *ends) {
        Line line;

        while (line_next(data + from, to - from, max, tail, &line)) {
                from += check_line(data + from, to - from, max, tail, &line);
                ends[from - 1] = 1;
        }
        if (tail != TAIL_MORE)
                fuzz_claim(from == to);
        return from;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t *whole, *pieces;
        const char *text;
        size_t max, cut, from;

        if (size < 2)
                return 0;
        max = 1U + data[0];
        text = (const char *)data + 2;
        cut = data[1];
        size -= 2;
        if (cut > size)
                cut = size;

        whole = calloc(size + 1, 1);
        pieces = calloc(size + 1, 1);
        if (!whole || !pieces)
                abort();
        (void)take(text, 0, size, max, TAIL_END, whole);
        from = take(text, 0, cut, max, TAIL_MORE, pieces);
        (void)take(text, from, size, max, TAIL_END, pieces);
        fuzz_claim(memcmp(whole, pieces, size) == 0);

        memset(pieces, 0, size);
        (void)take(text, 0, cut, max, TAIL_IDLE, pieces);
        (void)take(text, cut, size, max, TAIL_IDLE, pieces);
        free(whole);
        free(pieces);
        return 0;
}
