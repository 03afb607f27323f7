/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever the data and the room, a batch is never longer than its vector and its stage, holds no more than there is
 * room for, and its records are whole: each begins with a prefix, and what is between them is the data. The first four
 * bytes choose the room and the tail.
 */

#include <string.h>

#include "fuzz.h"
#include "wire/records.h"

#define STAMP "2026-01-31T12:00:00.123456789+00:00"

/* The next byte of the vector, or -1. */
static int next_byte(const Records *b, size_t *element, size_t *at) {
        while (*element < b->n_iov && *at == b->iov[*element].iov_len) {
                (*element)++;
                *at = 0;
        }
        return *element < b->n_iov ? ((const uint8_t *)b->iov[*element].iov_base)[(*at)++] : -1;
}

static void check_records(const Records *b, const uint8_t *data) {
        size_t element = 0, at = 0, taken = 0;
        uint64_t n_bytes = 0;
        int c = 0;

        while ((c = next_byte(b, &element, &at)) >= 0) {
                bool partial = false;

                for (size_t i = 0; i < LINE_PREFIX_SIZE; i++, c = next_byte(b, &element, &at)) {
                        if (i == LINE_PREFIX_SIZE - 2)
                                partial = c == 'P';
                        fuzz_claim(c == b->prefix[partial][i]);
                        n_bytes++;
                }
                for (; c != '\n'; c = next_byte(b, &element, &at), n_bytes++)
                        fuzz_claim(taken < b->n_taken && c == data[taken++]);
                n_bytes++;
                if (!partial)
                        fuzz_claim(taken < b->n_taken && data[taken++] == '\n');
        }
        fuzz_claim(taken == b->n_taken);
        fuzz_claim(n_bytes == b->n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const StreamTail tails[] = { TAIL_MORE, TAIL_IDLE, TAIL_END };
        uint64_t bytes;
        StreamTail tail;
        Records *b;
        Room room;

        if (size < 4)
                return 0;
        tail = tails[data[0] % 3];
        room = (Room){ .first = data[1] < 128 ? UINT64_MAX : data[1],
                       .file = data[2] < 128 ? UINT64_MAX : data[2] * 16U,
                       .total = data[3] < 128 ? UINT64_MAX : data[3] * 16U };
        data += 4;
        size -= 4;

        b = malloc(sizeof *b);
        if (!b)
                abort();
        records_set_prefix(b, STAMP, STREAM_STDERR);
        records_gather(b, (const char *)data, size, tail, &room);
        fuzz_claim(b->n_iov <= RECORDS_IOV && b->n_staged <= RECORDS_STAGE && b->n_taken <= size);
        fuzz_claim(b->n_bytes <= room.file || b->n_bytes <= room.first);
        check_records(b, data);
        if (!b->limited && !b->exhausted)
                fuzz_claim(records_whole((const char *)data, b->n_taken, b->partial ? TAIL_IDLE : TAIL_MORE,
                                         b->n_bytes, &bytes) == b->n_taken &&
                           bytes == b->n_bytes);
        free(b);
        return 0;
}
