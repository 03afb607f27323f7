/* SPDX-License-Identifier: Apache-2.0 */

/* Nothing is lost, whenever the worker dies; nothing in the ring leads outside of it. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "io/ring.h"

#define N_KILLS 400
#define CHUNK 61440U /* what a pipe takes without waiting */
#define HEADER_SIZE 120U

static unsigned char byte_at(uint64_t position) {
        uint64_t x = (position + 1) * 0x9e3779b97f4a7c15ULL;

        return (unsigned char)(x >> 56);
}

static bool is_pattern(const char *data, uint64_t from, size_t n) {
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)data[i] != byte_at(from + i))
                        return false;
        return true;
}

static void fill(char *data, uint64_t from, size_t n) {
        for (size_t i = 0; i < n; i++)
                data[i] = (char)byte_at(from + i);
}

static uint64_t random_next(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

/* @n bytes of the pattern go through a pipe into the ring. */
static void feed(Ring *ring, StreamId id, size_t n) {
        _cleanup_close_ int r = -1, w = -1;
        static char data[CHUNK];

        cr_assert_eq(fd_pipe(&r, &w), 0);
        while (n > 0) {
                size_t size = n < CHUNK ? n : CHUNK;

                fill(data, ring_head(ring, id), size);
                cr_assert_eq(write(w, data, size), (ssize_t)size);
                cr_assert_eq(ring_read_stream(ring, id, r), (ssize_t)size);
                n -= size;
        }
}

static uint64_t bytes_read_by(pid_t pid) {
        _cleanup_free_ char *text = NULL;
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/%d/io", pid);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
        cr_assert_not_null(strstr(text, "rchar: "));
        return strtoull(strstr(text, "rchar: ") + 7, NULL, 10);
}

/* ---- windows --------------------------------------------------------------------------------- */

CleanTest(ring, state_can_be_looked_at_from_outside) {
        _cleanup_close_ int null_fd = fd_open_null(O_RDWR), empty_fd = memfd_create("x", MFD_CLOEXEC);
        _cleanup_(ring_freep) Ring *ring = NULL;
        char state[5000];

        cr_assert_eq(ring_new(&ring, sizeof state), 0);
        memset(ring_state(ring), 'x', sizeof state);
        cr_assert_eq(ring_peek(ring_fd(ring), state, sizeof state), 0);
        cr_assert(state[0] == 'x' && state[sizeof state - 1] == 'x');
        cr_assert_eq(ring_peek(null_fd, state, sizeof state), -EBADMSG);
        cr_assert_eq(ring_peek(empty_fd, state, sizeof state), -EBADMSG);
        cr_assert_eq(ftruncate(empty_fd, 1 << 20), 0);
        cr_assert_eq(ring_peek(empty_fd, state, sizeof state),
                     -EBADMSG); /* of the size of a ring, and none */
}

CleanTest(ring, window_across_the_wrap_is_in_one_piece) {
        _cleanup_(ring_freep) Ring *ring = NULL;

        cr_assert_eq(ring_new(&ring, 0), 0);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                Window w;

                feed(ring, id, 200000);
                ring_release(ring, id, 150000);
                feed(ring, id, 200000);
                w = ring_window(ring, id, 0);
                cr_assert_eq(w.from, 150000);
                cr_assert_eq(w.to, 400000);
                cr_assert(is_pattern(w.data, w.from, window_size(&w)));
                w = ring_window(ring, id, 333333);
                cr_assert_eq(w.from, 333333);
                cr_assert(is_pattern(w.data, w.from, window_size(&w)));
        }
}

CleanTest(ring, full_ring_takes_no_more_until_something_is_released) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        _cleanup_close_ int r = -1, w = -1;

        cr_assert_eq(ring_new(&ring, 0), 0);
        feed(ring, STREAM_STDOUT, RING_STREAM_SIZE);
        cr_assert_eq(ring_space(ring, STREAM_STDOUT), 0);
        cr_assert_eq(ring_space(ring, STREAM_STDERR), RING_STREAM_SIZE);

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(write(w, "abc", 3), 3);
        cr_assert_eq(ring_read_stream(ring, STREAM_STDOUT, r), -ENOBUFS);
        ring_release(ring, STREAM_STDOUT, 2);
        cr_assert_eq(ring_read_stream(ring, STREAM_STDOUT, r), 2);
        ring_release(ring, STREAM_STDOUT, UINT64_MAX);
        cr_assert_eq(ring_space(ring, STREAM_STDOUT), RING_STREAM_SIZE, "no further than there is");
        cr_assert_eq(ring_read_stream(ring, STREAM_STDOUT, r), 1);
        fd_close_many(&w, 1);
        cr_assert_eq(ring_read_stream(ring, STREAM_STDOUT, r), 0);
        cr_assert_eq(ring_head(ring, STREAM_STDOUT), RING_STREAM_SIZE + 3U);
}

CleanTest(ring, position_out_of_range_is_moved_to_the_nearest) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        Window w;

        cr_assert_eq(ring_new(&ring, 0), 0);
        feed(ring, STREAM_STDERR, 1000);
        ring_release(ring, STREAM_STDERR, 400);
        ring_release(ring, STREAM_STDERR, 300);
        w = ring_window(ring, STREAM_STDERR, 399);
        cr_assert(w.from == 400 && w.to == 1000);
        w = ring_window(ring, STREAM_STDERR, UINT64_MAX);
        cr_assert(w.from == 1000 && w.to == 1000);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t memory_of(const Ring *ring) {
        struct stat st;

        cr_assert_eq(fstat(ring_fd(ring), &st), 0);
        return (size_t)st.st_blocks * 512;
}

CleanTest(ring, trim_gives_memory_back) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        size_t small, large;

        cr_assert_eq(ring_new(&ring, 100), 0);
        small = memory_of(ring);
        cr_assert_leq(small, 8192, "made sparse");
        cr_assert(!ring_is_large(ring));
        feed(ring, STREAM_STDOUT, 200000);
        feed(ring, STREAM_STDERR, 200000);
        large = memory_of(ring);
        cr_assert_geq(large, 400000);
        cr_assert(ring_is_large(ring));

        ring_trim(ring);
        cr_assert_eq(memory_of(ring), large, "not while somebody needs it");
        ring_release(ring, STREAM_STDERR, 200000);
        ring_trim(ring);
        cr_assert_leq(memory_of(ring), large - 196608);
        cr_assert(is_pattern(ring_window(ring, STREAM_STDOUT, 0).data, 0, 200000));
        ring_release(ring, STREAM_STDOUT, 200000);
        ring_trim(ring);
        cr_assert_leq(memory_of(ring), small + 4096);
        cr_assert(!ring_is_large(ring));

        feed(ring, STREAM_STDOUT, 3000);
        cr_assert_leq(memory_of(ring), small + 8192, "begins at the first page again");
        cr_assert(is_pattern(ring_window(ring, STREAM_STDOUT, 0).data, 200000, 3000));
}

CleanTest(ring, quiet_container_touches_one_page) {
        _cleanup_(ring_freep) Ring *ring = NULL;

        cr_assert_eq(ring_new(&ring, 0), 0);
        for (unsigned i = 1; i <= 1000; i++) {
                feed(ring, STREAM_STDOUT, 700);
                ring_release(ring, STREAM_STDOUT, i * 700);
                cr_assert_geq((uintptr_t)ring_window(ring, STREAM_STDOUT, 0).data % 4096, 64,
                              "a copy is slow else");
        }
        cr_assert_leq(memory_of(ring), 8192);
        cr_assert(!ring_is_large(ring));
}

CleanTest(ring, only_a_ring_is_mapped_as_one) {
        _cleanup_(ring_freep) Ring *ring = NULL, *other = NULL;

        cr_assert_eq(ring_new(&ring, 5000), 0);
        cr_assert_lt(ftruncate(ring_fd(ring), 4096), 0, "sealed");
        memcpy(ring_state(ring), "state", 6);
        cr_assert_eq(ring_map(&other, fd_dup(ring_fd(ring)), 50000), -EBADMSG);
        cr_assert_eq(ring_map(&other, fd_open_null(O_RDWR), 5000), -EINVAL);
        cr_assert_eq(ring_map(&other, memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), 5000), -EBADMSG);
        cr_assert_null(other);

        cr_assert_eq(ring_map(&other, fd_dup(ring_fd(ring)), 5000), 0);
        cr_assert_str_eq(ring_state(other), "state");
        feed(ring, STREAM_STDOUT, 300);
        cr_assert(is_pattern(ring_window(other, STREAM_STDOUT, 0).data, 0, 300));
        cr_assert_eq(ring_head(other, STREAM_STDOUT), 300);
}

/* ---- a worker that lies ---------------------------------------------------------------------- */

static uint64_t hostile_value(uint64_t *seed) {
        static const uint64_t values[] = { 0,          1,          4096,           RING_STREAM_SIZE,
                                           UINT32_MAX, UINT64_MAX, UINT64_MAX - 5, INT64_MAX,
                                           3,          2 };
        uint64_t x = random_next(seed);

        return x % 4 == 0 ? random_next(seed) : x % 4 == 1 ? x >> 45 : values[(x >> 8) % ELEMENTS(values)];
}

static void touch(Ring *ring, StreamId id, const char *base, uint64_t from) {
        Window w = ring_window(ring, id, from);

        cr_assert(w.to >= w.from && window_size(&w) <= RING_STREAM_SIZE);
        cr_assert(w.data >= base && w.data < base + RING_STREAM_SIZE);
        cr_assert(!memchr(w.data, 'Z', window_size(&w)), "every byte can be read");
}

CleanTest(ring, hostile_header_leads_nowhere) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        _cleanup_close_ int r = -1, w = -1;
        const char *base[_STREAM_MAX];
        uint64_t seed = 20240229, *words;

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(fd_set_nonblock(r, true), 0);
        words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd(ring), 0);
        cr_assert_neq(words, MAP_FAILED);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                base[id] = ring_window(ring, id, 0).data;

        for (unsigned i = 0; i < 3000; i++) {
                uint64_t magic = words[0] & UINT32_MAX;

                for (size_t k = 1; k < HEADER_SIZE / sizeof *words; k++)
                        words[k] = hostile_value(&seed);
                words[0] = magic | hostile_value(&seed) << 32;
                (void)ring_recover(ring, hostile_value(&seed));
                for (StreamId id = 0; id < _STREAM_MAX; id++) {
                        cr_assert_leq(ring_space(ring, id), RING_STREAM_SIZE);
                        touch(ring, id, base[id], hostile_value(&seed));
                        cr_assert_eq(write(w, "0123456789", 10), 10);
                        (void)ring_read_stream(ring, id, r);
                        touch(ring, id, base[id], 0);
                        ring_release(ring, id, hostile_value(&seed));
                        touch(ring, id, base[id], 0);
                        (void)!read(r, (char[32]){ 0 }, 32);
                }
                (void)ring_is_large(ring);
                ring_trim(ring);
        }
        (void)munmap(words, 4096);
}

/* ---- a worker that dies ---------------------------------------------------------------------- */

typedef struct Shared {
        bool wrong; /* the worker has seen a byte that is not the next one */
} Shared;

/* Reads for ever; takes what it has, all of it mostly, some of it sometimes. */
static void be_worker(int ring_fd_, int pipe_r) {
        Ring *ring;
        Shared *shared;
        uint64_t seed;

        if (ring_map(&ring, ring_fd_, sizeof(Shared)) < 0 || ring_begin(ring) < 0)
                process_exit(1);
        shared = ring_state(ring);
        seed = ring_head(ring, STREAM_STDOUT) * 2 + 1;
        for (;;) {
                ssize_t n = ring_read_stream(ring, STREAM_STDOUT, pipe_r);
                Window w = ring_window(ring, STREAM_STDOUT, 0);
                uint64_t upto = w.to;

                if (n == 0)
                        process_exit(0);
                if (n < 0 && n != -ENOBUFS)
                        process_exit(2);
                if (!is_pattern(w.data, w.from, window_size(&w)))
                        shared->wrong = true;
                if (n > 0 && random_next(&seed) % 3 == 0)
                        upto -= window_size(&w) / 2;
                if (random_next(&seed) % 5 == 0)
                        (void)ring_read_other(ring, pipe_r, &n, 0);
                ring_release(ring, STREAM_STDOUT, upto);
        }
}

/* Writes the pattern until nobody reads it, in pieces of any size. */
static void be_container(int pipe_w) {
        static char data[CHUNK];
        uint64_t at = 0, seed = 99;

        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGPIPE, SIG_IGN);
        for (;;) {
                size_t size = 1 + random_next(&seed) % (random_next(&seed) % 4 == 0 ? CHUNK : 900);
                ssize_t n;

                fill(data, at, size);
                n = write(pipe_w, data, size);
                if (n < 0)
                        process_exit(0);
                at += (uint64_t)n;
        }
}

static pid_t start_container(int r, int *w) {
        pid_t pid;
        int result;

        result = process_fork(&pid);
        cr_assert_geq(result, 0);
        if (result == 0) {
                (void)close(r);
                be_container(*w);
        }
        fd_close_many(w, 1);
        return pid;
}

/* One worker, killed after it has read a little; what it did is recovered. */
static void kill_one(Ring *ring, int pipe_r, uint64_t *seed) {
        uint64_t target = ring_head(ring, STREAM_STDOUT) + 1 + random_next(seed) % 150000;
        unsigned spins = (unsigned)(random_next(seed) % 3000);
        ProcessStatus status = { 0 };
        pid_t pid;
        int r;

        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0)
                be_worker(fd_dup(ring_fd(ring)), pipe_r);
        while (ring_head(ring, STREAM_STDOUT) < target && process_peek(pid, &status) == 0)
                ;
        for (volatile unsigned i = 0; i < spins; i = i + 1)
                ;
        cr_assert_eq(process_kill_child(pid, SIGKILL), 0);
        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(status.signal, SIGKILL, "exited with %d by itself", status.code);
        cr_assert_eq(ring_recover(ring, bytes_read_by(pid)), 0);
        cr_assert_eq(process_reap(pid), 0);
}

CleanTest(ring, kills_at_any_instant_lose_nothing) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        _cleanup_close_ int r = -1, w = -1;
        uint64_t seed = 4711;
        ProcessStatus status;
        pid_t container, last;

        cr_assert_eq(ring_new(&ring, sizeof(Shared)), 0);
        cr_assert_eq(fd_pipe(&r, &w), 0);
        container = start_container(r, &w);
        for (unsigned i = 0; i < N_KILLS; i++) {
                Window left;

                kill_one(ring, r, &seed);
                left = ring_window(ring, STREAM_STDOUT, 0);
                cr_assert(is_pattern(left.data, left.from, window_size(&left)), "after kill %u", i);
        }
        cr_assert_eq(process_kill_child(container, SIGKILL), 0);
        last = fork();
        if (last == 0)
                be_worker(fd_dup(ring_fd(ring)), r);
        while (process_peek(last, &status) == 0)
                ;
        cr_assert_eq(status.code, 0);
        cr_assert(!((Shared *)ring_state(ring))->wrong, "each byte once and in its place");
        cr_assert_eq(process_reap(last), 0);
        while (process_peek(container, &status) == 0)
                ;
        cr_assert_eq(process_reap(container), 0);
}

CleanTest(ring, recovered_head_is_what_the_pipe_has_lost) {
        uint64_t seed = 815;

        for (unsigned i = 0; i < 60; i++) {
                _cleanup_(ring_freep) Ring *ring = NULL;
                _cleanup_close_ int r = -1, w = -1;
                static char data[CHUNK];
                ProcessStatus status;
                uint64_t written = 0;
                Window window;
                pid_t pid;
                int left, result;

                cr_assert_eq(ring_new(&ring, sizeof(Shared)), 0);
                cr_assert_eq(fd_pipe(&r, &w), 0);
                cr_assert_eq(fd_set_nonblock(w, true), 0);
                result = process_fork(&pid);
                cr_assert_geq(result, 0);
                if (result == 0)
                        be_worker(fd_dup(ring_fd(ring)), r);
                for (uint64_t upto = 100000 + random_next(&seed) % 400000; written < upto;) {
                        size_t size = 1 + random_next(&seed) % 5000;
                        ssize_t n;

                        fill(data, written, size);
                        n = write(w, data, size);
                        written += n > 0 ? (uint64_t)n : 0;
                }
                cr_assert_eq(process_kill_child(pid, SIGKILL), 0);
                while (process_peek(pid, &status) == 0)
                        ;
                cr_assert_eq(ring_recover(ring, bytes_read_by(pid)), 0);
                cr_assert_eq(process_reap(pid), 0);
                cr_assert_eq(ioctl(r, FIONREAD, &left), 0);
                cr_assert_eq(ring_head(ring, STREAM_STDOUT), written - (uint64_t)left);
                window = ring_window(ring, STREAM_STDOUT, 0);
                cr_assert(is_pattern(window.data, window.from, window_size(&window)));
        }
}

CleanTest(ring, input_that_was_read_and_not_noted_is_recovered_once) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        RingInput *input;
        int pair[2];

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        input = ring_input(ring);
        cr_assert_eq(ring_begin(ring), 0);
        cr_assert(ring_is_unread(ring));
        cr_assert_eq(write(pair[1], "hello", 5), 5);
        cr_assert_eq(ring_read_input(ring, 7, pair[0]), 5);
        cr_assert(!ring_is_unread(ring));
        cr_assert(input->from == 0 && input->to == 5 && input->slot == 7);

        input->to = 0; /* as if it had died on the way back from read() */
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert_eq(input->to, 5);
        cr_assert_eq(memcmp(input->data, "hello", 5), 0);

        input->from = input->to = 0;
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert_eq(input->to, 0, "a worker that dies before it reads anything has read nothing");
        cr_assert(!ring_is_unread(ring), "but one before it has");
        fd_close_many(pair, 2);
}

CleanTest(ring, control_line_that_was_read_and_not_noted_is_recovered_once) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        RingControl *control;
        int in, out;

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(fd_pipe(&in, &out), 0);
        control = ring_control(ring, 1);
        cr_assert_eq(ring_begin(ring), 0);
        cr_assert_eq(write(out, "2 0 0\n", 6), 6);
        cr_assert_eq(ring_read_control(ring, 1, in), 6);
        cr_assert(control->n == 6 && !control->done);

        control->n = 0; /* as if it had died on the way back from read() */
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert_eq(control->n, 6);
        cr_assert_eq(memcmp(control->data, "2 0 0\n", 6), 0);
        cr_assert_eq(ring_control(ring, 0)->n, 0);

        control->done = 1;
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert(control->n == 6 && control->done, "what has been acted on stays so");
        (void)close(in);
        (void)close(out);
}

CleanTest(ring, packet_on_its_way_is_left_alone) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        RingInput *input;
        int pair[2];

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        input = ring_input(ring);
        cr_assert_eq(ring_begin(ring), 0);
        cr_assert_eq(write(pair[1], "hello", 5), 5);
        cr_assert_eq(ring_read_input(ring, 7, pair[0]), 5);
        input->from = 2;
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert(input->from == 2 && input->to == 5);
        fd_close_many(pair, 2);
}

CleanTest(ring, a_worker_that_begins_does_not_answer_for_the_one_before) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        uint64_t head;

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(ring_begin(ring), 0);
        feed(ring, STREAM_STDOUT, 100);
        head = ring_head(ring, STREAM_STDOUT);
        cr_assert_eq(ring_begin(ring), 0, "nobody has recovered what the first one noted");
        cr_assert_eq(ring_recover(ring, bytes_read_by(getpid())), 0);
        cr_assert_eq(ring_head(ring, STREAM_STDOUT), head);
}

CleanTest(ring, counts_that_cannot_be_are_refused) {
        _cleanup_(ring_freep) Ring *ring = NULL;

        cr_assert_eq(ring_new(&ring, 0), 0);
        cr_assert_eq(ring_recover(ring, 12345), 0, "nothing noted, nothing to do");
        cr_assert_eq(ring_begin(ring), 0);
        feed(ring, STREAM_STDOUT, 100);
        cr_assert_eq(ring_recover(ring, 0), -EBADMSG);
        feed(ring, STREAM_STDOUT, 100);
        cr_assert_eq(ring_recover(ring, UINT64_MAX), -EBADMSG);
        cr_assert_eq(ring_head(ring, STREAM_STDOUT), 200);
}
