/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a worker that was taken over has left in the ring: whoever looks at a stream gets a window inside of its memory,
 * however the last read is accounted for. The input begins with the bytes that its reads have brought.
 */

#include <unistd.h>

#include "base/fd.h"
#include "fuzz.h"
#include "io/ring-internal.h"

static void check(Ring *ring) {
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                uint64_t head = ring_head(ring, id),
                         places[] = { 0, head, head - 1, head + 1, head / 2, UINT64_MAX };
                volatile char byte;

                fuzz_claim(ring_space(ring, id) <= RING_STREAM_SIZE);
                for (size_t i = 0; i < ELEMENTS(places); i++) {
                        Window w = ring_window(ring, id, places[i]);

                        fuzz_claim(w.from <= w.to && w.to - w.from <= RING_STREAM_SIZE);
                        fuzz_claim(w.data >= ring->streams[id]);
                        fuzz_claim(w.data + (w.to - w.from) <=
                                   ring->streams[id] + (size_t)2 * RING_STREAM_SIZE);
                        if (w.from < w.to) {
                                byte = w.data[0];
                                byte = w.data[w.to - w.from - 1];
                                (void)byte;
                        }
                }
        }
}

static void read_more(Ring *ring) {
        int ends[2];

        if (fd_pipe(&ends[0], &ends[1]) < 0)
                abort();
        fuzz_claim(fd_write_full(ends[1], "abc", 3) == 0);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                ssize_t n = ring_space(ring, id) > 0 && id == STREAM_STDOUT
                                    ? ring_read_stream(ring, id, ends[0])
                                    : 0;

                fuzz_claim(n <= 3);
        }
        fd_close_many(ends, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint64_t n_read = 0;
        Ring *ring;
        int r;

        if (ring_new(&ring, 256) < 0)
                abort();
        if (size > sizeof n_read) {
                memcpy(&n_read, data, sizeof n_read);
                data += sizeof n_read;
                size -= sizeof n_read;
                memcpy(ring->front, data, size < sizeof(Header) ? size : sizeof(Header));
        }
        check(ring);
        read_more(ring);
        check(ring);
        r = ring_recover(ring, n_read);
        fuzz_claim(r == 0 || r == -EBADMSG);
        check(ring);
        fuzz_claim(ring_recover(ring, n_read) == 0);
        ring_release(ring, STREAM_STDOUT, n_read);
        ring_trim(ring);
        check(ring);
        ring_free(ring);
        return 0;
}
