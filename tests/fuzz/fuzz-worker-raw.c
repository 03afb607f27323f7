/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Output that has killed two workers, and a state that a hostile one has left: all of it that is in the ring goes to the
 * file, and the sink is where the ring ends, or was before. The input begins with the sink's state.
 */

#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "fuzz.h"
#include "worker/worker-internal.h"

static void fill(Ring *ring, const char *data, size_t n) {
        int ends[2];

        if (n > 4096)
                n = 4096;
        if (fd_pipe(&ends[0], &ends[1]) < 0)
                abort();
        if (n > 0) {
                fuzz_claim(fd_write_full(ends[1], data, n) == 0);
                fuzz_claim(ring_read_stream(ring, STREAM_STDOUT, ends[0]) == (ssize_t)n);
        }
        fd_close_many(ends, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Worker w = { .config = { .cid = "cid", .file = true } };
        SinkState *file;
        uint64_t head;

        memset(w.fds, 0xff, sizeof w.fds);
        if (ring_new(&w.ring, sizeof(WorkerState)) < 0)
                abort();
        w.state = ring_state(w.ring);
        file = &w.state->sinks[SINK_FILE];
        if (size >= sizeof *file) {
                memcpy(file, data, sizeof *file);
                data += sizeof *file;
                size -= sizeof *file;
        }
        fill(w.ring, (const char *)data, size);
        head = ring_head(w.ring, STREAM_STDOUT);
        w.state->raw_to[STREAM_STDOUT] = size % 2 ? head : UINT64_MAX;
        w.fds[CHANNEL_FD_LOGFILE] = memfd_create("log", MFD_CLOEXEC);
        if (w.fds[CHANNEL_FD_LOGFILE] < 0)
                abort();
        worker_raw(&w);
        fuzz_claim(w.state->raw_to[STREAM_STDOUT] == 0);
        (void)close(w.fds[CHANNEL_FD_LOGFILE]);
        ring_free(w.ring);
        return 0;
}
