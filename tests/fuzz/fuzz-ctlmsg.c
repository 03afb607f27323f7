/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is accepted is in range, and can be written down and read again; the lines do not depend on
 * how the bytes arrived, nor does a buffer full of garbage lead anywhere. The first byte says how
 * the bytes are cut.
 */

#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "wire/ctlmsg.h"

static void check_message(const CtlMsg *m) {
        char text[64];
        CtlMsg again;
        int n;

        fuzz_claim(m->type == CTLMSG_RESIZE || m->type == CTLMSG_REOPEN);
        fuzz_claim(m->rows <= CTLMSG_SIZE_MAX && m->columns <= CTLMSG_SIZE_MAX);
        n = snprintf(text, sizeof text, "%d %u %u", (int)m->type, m->rows, m->columns);
        fuzz_claim(ctlmsg_parse(text, (size_t)n, &again) == 0);
        fuzz_claim(again.type == m->type && again.rows == m->rows && again.columns == m->columns);
}

/* Feeds everything by @step bytes; a number that stands for all lines and their order. */
static uint64_t feed(CtlBuffer *b, const char *data, size_t size, size_t step) {
        uint64_t sum = 14695981039346656037U;

        for (size_t at = 0; at < size; at += step) {
                size_t n = size - at < step ? size - at : step, n_line;
                const char *p = data + at, *line;

                while (ctlmsg_next_line(b, &p, &n, &line, &n_line)) {
                        CtlMsg m;

                        fuzz_claim(n_line <= CTLMSG_LINE_MAX + 1U);
                        fuzz_claim(n_line == 0 || !memchr(line, '\n', n_line));
                        if (ctlmsg_parse(line, n_line, &m) == 0)
                                check_message(&m);
                        if (ctlmsg_parse_winsz(line, n_line, &m) == 0)
                                check_message(&m);
                        for (size_t i = 0; i < n_line; i++)
                                sum = (sum ^ (uint8_t)line[i]) * 1099511628211U;
                        sum = (sum ^ '\n') * 1099511628211U;
                }
                fuzz_claim(n == 0 && p == data + at + (size - at < step ? size - at : step));
        }
        return sum;
}

/* The first line may be anything then, but no longer than others. */
static void feed_garbage(CtlBuffer *b, const char *data, size_t size) {
        const char *line;
        size_t n_line;

        while (ctlmsg_next_line(b, &data, &size, &line, &n_line)) {
                CtlMsg m;

                fuzz_claim(n_line <= CTLMSG_LINE_MAX + 1U);
                if (ctlmsg_parse(line, n_line, &m) == 0)
                        check_message(&m);
        }
        fuzz_claim(size == 0 && b->n <= CTLMSG_LINE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CtlBuffer whole = { 0 }, pieces = { 0 }, garbage;
        const char *text = (const char *)data + 1;

        if (size < 2)
                return 0;
        fuzz_claim(feed(&whole, text, size - 1, size) == feed(&pieces, text, size - 1, 1U + data[0]));
        fuzz_claim(whole.n == pieces.n && memcmp(whole.data, pieces.data, whole.n) == 0);

        memset(&garbage, 0xa5, sizeof garbage);
        memcpy(&garbage, data, size < sizeof garbage ? size : sizeof garbage);
        feed_garbage(&garbage, text, size - 1);
        return 0;
}
