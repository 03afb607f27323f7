/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way of a container's bytes through ring and k8s-file, with nothing around it, for valgrind to count:
 *
 *     byte-path SIZE MEGABYTES     lines of SIZE bytes, 0 for no newline at all
 *
 * What the worker does for each read is done in byte_path_push(), whose name tests/callgrind knows.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "io/ring.h"
#include "sink/sink.h"

#define CHUNK 65536U

static int ignore(void *userdata) {
        return 0;
}

static int give_up(void *userdata, SinkId sink, int error, uint64_t lost_bytes) {
        (void)fprintf(stderr, "sink: %s\n", strerror(error));
        exit(EXIT_FAILURE);
}

ssize_t byte_path_push(Ring *ring, Sinks *sinks, int fd);

__attribute__((noinline)) ssize_t byte_path_push(Ring *ring, Sinks *sinks, int fd) {
        struct timespec now;
        Window window;
        ssize_t n;

        n = ring_read_stream(ring, STREAM_STDOUT, fd);
        if (n <= 0)
                return n;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        window = ring_window(ring, STREAM_STDOUT, 0);
        if (sinks_write(sinks, STREAM_STDOUT, &window, TAIL_MORE, &now) < 0)
                return -EIO;
        ring_release(ring, STREAM_STDOUT, sinks_position(sinks, STREAM_STDOUT));
        return n;
}

int main(int argc, char *argv[]) {
        static const SinksHandler handler = { .on_ready = ignore,
                                              .on_reopen = ignore,
                                              .on_trouble = give_up };
        unsigned long size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
        unsigned long chunks = (argc > 2 ? strtoul(argv[2], NULL, 10) : 8) * 16;
        _cleanup_(sinks_freep) Sinks *sinks = NULL;
        _cleanup_(ring_freep) Ring *ring = NULL;
        static SinkState state[_SINK_MAX];
        static char data[2 * CHUNK];
        Event *event = NULL;
        int log = memfd_create("log", MFD_CLOEXEC), fds[2];
        SinksSpec spec = { .file = true, .file_fd = log };
        size_t at = 0;

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = size > 0 && i % size == size - 1 ? '\n' : (char)('a' + i % 23);
        if (size > CHUNK || log < 0 || pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[1], F_SETPIPE_SZ, CHUNK) < 0 ||
            event_new(&event) < 0 || ring_new(&ring, 4096) < 0 ||
            sinks_new(&sinks, event, &spec, state, &handler, NULL) < 0)
                return EXIT_FAILURE;

        for (unsigned long i = 0; i < chunks; i++) {
                if (write(fds[1], data + at, CHUNK) != CHUNK || byte_path_push(ring, sinks, fds[0]) != CHUNK)
                        return EXIT_FAILURE;
                if (ftruncate(log, 0) < 0) /* what the log holds is nobody's concern here */
                        return EXIT_FAILURE;
                at = size > 0 ? (at + CHUNK) % size : 0;
        }
        (void)close(fds[0]);
        (void)close(fds[1]);
        sinks = sinks_free(sinks);
        event_unref(event);
        return EXIT_SUCCESS;
}
