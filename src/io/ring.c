/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ring: one memfd, mapped by keeper and worker, that holds what must outlive a worker.
 *
 *     | header | state of the modules | input | control | stdout, RING_STREAM_SIZE | stderr, RING_STREAM_SIZE | directory |
 *
 * Positions count the bytes of a stream from its beginning and never go back; the memory of each stream is mapped
 * twice in a row, so any window of it is contiguous. When all of a stream has been taken, writing starts again in the
 * first page ("origin"): a quiet container touches one page, whatever it has printed in its life. Not at its first
 * byte: a copy to nearly the same place in another page, 1 to 31 bytes further on, takes the kernel several times as
 * long on some processors (tried: `rep movsb`, AMD Zen 3), and an attach packet has 1 byte before its data.
 *
 * No byte is lost when the worker is killed, not even between the kernel's copy in read() and the store of the new
 * position. Before each read the worker notes what it is about to do (a Note: where the bytes go, and how many bytes
 * all its reads have returned so far). The keeper later takes the true number of bytes read from the zombie's
 * /proc/PID/io; the difference is what the last read has brought (ring_recover()). The note is replaced by one store
 * of its index, so a half-written one is never seen. For the sum to be right EVERY read() of the worker goes through
 * here, and the loop must not read on its behalf: no signals in the worker.
 *
 * Keeper and worker are always of one version, as workers are made from the keeper's own binary. Who takes a ring over
 * from another version finds out what lies where by the directory (ring-layout.c).
 *
 * The worker may have been taken over by what it parsed. Whoever maps the ring treats every number in it as hostile:
 * window and space are computed from checked values.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "io/ring-internal.h"

static int map_stream(Ring *ring, StreamId id) {
        off_t offset = (off_t)(ring->n_front + (size_t)id * RING_STREAM_SIZE);
        char *p;

        p = mmap(NULL, (size_t)2 * RING_STREAM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                return fail(-errno);
        ring->streams[id] = p;
        for (size_t i = 0; i < 2; i++)
                if (mmap(p + i * RING_STREAM_SIZE, RING_STREAM_SIZE, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_FIXED, ring->fd, offset) == MAP_FAILED)
                        return fail(-errno);
        return 0;
}

static int map_all(Ring *ring) {
        char *p;
        int r;

        p = mmap(NULL, ring->n_front, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
        if (p == MAP_FAILED)
                return fail(-errno);
        ring->front = p;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                r = map_stream(ring, id);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static int ring_allocate(Ring **ret, size_t n_state) {
        Ring *ring;

        ring = calloc(1, sizeof *ring);
        if (!ring)
                return fail(-ENOMEM);
        ring->fd = -1;
        ring->n_state = ring_page_align(sizeof(Header) + n_state);
        ring->n_front = ring->n_state + ring_page_align(sizeof(RingInput)) +
                        ring_page_align(RING_CONTROLS * sizeof(RingControl));
        *ret = ring;
        return 0;
}

/**
 * ring_new() - make a ring and map it
 * @n_state: bytes that ring_state() gives to the modules, zeroed
 *
 * Return: 0 or a negative errno.
 */
int ring_new(Ring **ret, size_t n_state) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        int r;

        r = ring_allocate(&ring, n_state);
        if (r < 0)
                return relay(r);
        ring->fd = memfd_create(RING_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (ring->fd < 0 || ftruncate(ring->fd, (off_t)(ring_size(ring) + RING_DIRECTORY_SIZE)) < 0 ||
            fcntl(ring->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return fail(-errno);
        r = map_all(ring);
        if (r < 0)
                return relay(r);

        ring_header(ring)->magic = RING_MAGIC;
        *ret = TAKE_PTR(ring);
        return 0;
}

/**
 * ring_map() - map a ring that exists
 * @fd: adopted, also on failure
 * @n_state: as it was made with
 *
 * Return: 0, or a negative errno: -EBADMSG if @fd is no ring of this size and form.
 */
int ring_map(Ring **ret, int fd, size_t n_state) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        struct stat st;
        int r, seals;

        r = ring_allocate(&ring, n_state);
        if (r < 0) {
                (void)close(fd);
                return relay(r);
        }
        ring->fd = fd;
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || fstat(fd, &st) < 0)
                return fail(-errno);
        if (!(seals & F_SEAL_SHRINK) || (size_t)st.st_size != ring_size(ring) + RING_DIRECTORY_SIZE)
                return fail(-EBADMSG);
        r = map_all(ring);
        if (r < 0)
                return relay(r);
        if (ring_header(ring)->magic != RING_MAGIC)
                return fail(-EBADMSG);

        *ret = TAKE_PTR(ring);
        return 0;
}

/**
 * ring_peek() - a copy of the state in another monitor's ring
 * @fd: a ring, perhaps
 * @n_state: as it was made with
 *
 * Somebody may write to it meanwhile, and its values are that somebody's.
 *
 * Return: 0, or a negative errno: -EBADMSG if @fd is no ring of this size and form.
 */
int ring_peek(int fd, void *state, size_t n_state) {
        Header header;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return fail(-errno);
        if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof header + n_state ||
            pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header || header.magic != RING_MAGIC ||
            pread(fd, state, n_state, sizeof header) != (ssize_t)n_state)
                return fail(-EBADMSG);
        return 0;
}

/**
 * ring_free() - unmap and close; the memory lives on where it is mapped elsewhere
 *
 * Return: NULL.
 */
Ring *ring_free(Ring *ring) {
        if (!ring)
                return NULL;
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                if (ring->streams[id])
                        (void)munmap(ring->streams[id], (size_t)2 * RING_STREAM_SIZE);
        if (ring->front)
                (void)munmap(ring->front, ring->n_front);
        if (ring->fd >= 0)
                (void)close(ring->fd);
        free(ring);
        return NULL;
}

/**
 * ring_fd() - the memfd, borrowed
 */
int ring_fd(const Ring *ring) {
        return ring->fd;
}

/**
 * ring_take_fd() - the memfd, the caller's from now on; the ring stays mapped
 */
int ring_take_fd(Ring *ring) {
        return TAKE_FD(ring->fd);
}

/**
 * ring_state() - memory for the modules' own state, zero at first
 *
 * What a former worker left there is not to be trusted.
 */
void *ring_state(Ring *ring) {
        return ring->front + sizeof(Header);
}

/**
 * ring_input() - the packet on its way to stdin
 */
RingInput *ring_input(Ring *ring) {
        return (RingInput *)(void *)(ring->front + ring->n_state);
}

/**
 * ring_begin() - start counting this process's reads
 *
 * To be called by a worker before its first ring_read_*(), when nothing else reads any more. What the one before it has
 * noted, if nobody has recovered it, is forgotten: it says nothing about the reads of this one.
 *
 * Return: 0 or a negative errno.
 */
int ring_begin(Ring *ring) {
        Header *h = ring_header(ring);
        _cleanup_close_ int fd = -1;
        char text[512], *p;
        ssize_t n;

        fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return fail(-errno);
        n = read(fd, text, sizeof text - 1);
        if (n < 0)
                return fail(-errno);
        text[n] = 0;
        p = strstr(text, RING_READ);
        ring->total =
                (p ? strtoull(p + strlen(RING_READ), NULL, 10) : 0) + (uint64_t)n; /* this read counts, too */
        h->notes[0].kind = h->notes[1].kind = NOTE_NONE;
        return 0;
}

/**
 * ring_is_unread() - no worker has read anything yet: a look for input or control text would only cost their pages
 */
bool ring_is_unread(const Ring *ring) {
        return ring_header(ring)->notes[0].total == 0 && ring_header(ring)->notes[1].total == 0;
}

static void note(Ring *ring, NoteKind kind, uint32_t index, uint64_t before, uint64_t limit) {
        Header *h = ring_header(ring);
        unsigned next = !(atomic_load_explicit(&h->note, memory_order_relaxed) & 1U);

        h->notes[next] = (Note){
                .kind = kind, .index = index, .before = before, .limit = limit, .total = ring->total
        };
        atomic_store_explicit(&h->note, next, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst);
}

static ssize_t counted_read(Ring *ring, int fd, void *buf, size_t size) {
        ssize_t n;

        do
                n = read(fd, buf, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno; /* EAGAIN and EIO are everyday answers, not errors to trace */
        ring->total += (uint64_t)n;
        return n;
}

/* Head and tail as far as they can be believed. */
static StreamState checked(const Ring *ring, StreamId id) {
        StreamState s = ring_header(ring)->streams[id];

        if (s.tail > s.head)
                s.tail = s.head;
        if (s.head - s.tail > RING_STREAM_SIZE)
                s.tail = s.head - RING_STREAM_SIZE;
        return s;
}

/**
 * ring_control() - what was last read from a control fifo; @index is below RING_CONTROLS
 */
RingControl *ring_control(Ring *ring, uint32_t index) {
        return (RingControl *)(void *)(ring->front + ring->n_state + ring_page_align(sizeof(RingInput))) +
               index;
}

/**
 * ring_head() - bytes of a stream read so far
 */
uint64_t ring_head(const Ring *ring, StreamId id) {
        return ring_header(ring)->streams[id].head;
}

/**
 * ring_space() - bytes of a stream that can be read before others have been taken
 */
size_t ring_space(const Ring *ring, StreamId id) {
        StreamState s = checked(ring, id);

        return RING_STREAM_SIZE - (size_t)(s.head - s.tail);
}

/**
 * ring_window() - what is there of a stream from @from on
 *
 * A position before what is still kept, or behind the end, is moved to the nearest there is.
 */
Window ring_window(const Ring *ring, StreamId id, uint64_t from) {
        StreamState s = checked(ring, id);

        if (from < s.tail)
                from = s.tail;
        if (from > s.head)
                from = s.head;
        return (Window){ .data = ring_place(ring, id, &s, from), .from = from, .to = s.head };
}

/**
 * ring_read_stream() - one read from the container
 *
 * Return: bytes read, 0 at end of file, -ENOBUFS if there is no space, or another negative errno.
 */
ssize_t ring_read_stream(Ring *ring, StreamId id, int fd) {
        StreamState s = checked(ring, id);
        size_t size = RING_STREAM_SIZE - (size_t)(s.head - s.tail), used;
        ssize_t n;

        if (size == 0)
                return -ENOBUFS;
        size = size < RING_READ_SIZE ? size : RING_READ_SIZE;

        note(ring, NOTE_STREAM, (uint32_t)id, s.head, size);
        n = counted_read(ring, fd, ring_place(ring, id, &s, s.head), size);
        if (n < 0)
                return n;

        ring_header(ring)->streams[id].head = s.head + (uint64_t)n;
        used = (size_t)(s.head - s.origin) + (size_t)n;
        if (used > ring->highest[id])
                ring->highest[id] = used;
        return n;
}

/**
 * ring_read_input() - one packet from a client, into ring_input(), where the former one has been written out
 *
 * Return: bytes read, 0 at end of file or for an empty packet, or a negative errno.
 */
ssize_t ring_read_input(Ring *ring, uint32_t slot, int fd) {
        RingInput *input = ring_input(ring);
        ssize_t n;

        note(ring, NOTE_INPUT, slot, 0, RING_INPUT_SIZE);
        input->to = 0; /* first, so that a death in between does not send the old packet again */
        atomic_signal_fence(memory_order_seq_cst);
        input->from = 0;
        input->slot = slot;
        atomic_signal_fence(memory_order_seq_cst);
        n = counted_read(ring, fd, input->data, RING_INPUT_SIZE);
        if (n > 0)
                input->to = (uint32_t)n;
        return n;
}

/**
 * ring_read_control() - one read of a control fifo, into ring_control(), in the order of ring_read_input()
 *
 * Return: bytes read, 0 at end of file, or a negative errno.
 */
ssize_t ring_read_control(Ring *ring, uint32_t index, int fd) {
        RingControl *control = ring_control(ring, index);
        ssize_t n;

        note(ring, NOTE_CONTROL, index, 0, RING_CONTROL_SIZE);
        control->n = 0;
        atomic_signal_fence(memory_order_seq_cst);
        control->done = control->tries = 0;
        atomic_signal_fence(memory_order_seq_cst);
        n = counted_read(ring, fd, control->data, RING_CONTROL_SIZE);
        if (n > 0)
                control->n = (uint32_t)n;
        return n;
}

/**
 * ring_read_other() - any other read of the worker
 *
 * Return: bytes read, 0 at end of file, or a negative errno.
 */
ssize_t ring_read_other(Ring *ring, int fd, void *buf, size_t n) {
        note(ring, NOTE_OTHER, 0, 0, n);
        return counted_read(ring, fd, buf, n);
}

/**
 * ring_recover() - account for the last read of a worker that has died
 * @n_read: bytes its reads have returned in its life, from its /proc/PID/io
 *
 * Done once: what it has noted means nothing to the reads of the next worker, and is forgotten.
 *
 * Return: 0, or -EBADMSG if what it noted cannot be true; then what its last read has brought is lost.
 */
int ring_recover(Ring *ring, uint64_t n_read) {
        Header *h = ring_header(ring);
        Note n = h->notes[atomic_load_explicit(&h->note, memory_order_acquire) & 1U];
        RingInput *input = ring_input(ring);
        uint64_t brought;

        h->notes[0].kind = h->notes[1].kind = NOTE_NONE;
        if (n.kind == NOTE_NONE || n.kind == NOTE_OTHER)
                return 0;
        if (n_read < n.total || n_read - n.total > n.limit || n.limit > RING_READ_SIZE)
                return fail(-EBADMSG);
        brought = n_read - n.total;

        if (n.kind == NOTE_INPUT && brought <= RING_INPUT_SIZE) {
                if (input->to == 0) {
                        input->from = 0;
                        input->to = (uint32_t)brought;
                }
                return 0;
        }
        if (n.kind == NOTE_CONTROL && n.index < RING_CONTROLS && brought <= RING_CONTROL_SIZE) {
                if (ring_control(ring, n.index)->n == 0)
                        ring_control(ring, n.index)->n = (uint32_t)brought;
                return 0;
        }
        if (n.kind != NOTE_STREAM || n.index >= _STREAM_MAX)
                return fail(-EBADMSG);
        h->streams[n.index].head = n.before + brought;
        return 0;
}

/**
 * ring_release() - bytes before @upto are needed by nobody
 */
void ring_release(Ring *ring, StreamId id, uint64_t upto) {
        StreamState *s = &ring_header(ring)->streams[id];

        if (upto > s->head)
                upto = s->head;
        if (upto > s->tail)
                s->tail = upto;
        atomic_signal_fence(memory_order_seq_cst);
        if (s->tail == s->head)
                s->origin = s->head - RING_BEGINNING; /* nothing lies anywhere */
}

/**
 * ring_is_large() - has more memory been used than an idle container should keep?
 */
bool ring_is_large(const Ring *ring) {
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                if (ring->highest[id] > RING_PAGE_SIZE)
                        return true;
        return false;
}

/**
 * ring_trim() - give back the memory of streams that hold nothing
 */
void ring_trim(Ring *ring) {
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                StreamState s = checked(ring, id);

                if (s.head != s.tail || ring->highest[id] <= RING_PAGE_SIZE)
                        continue;
                (void)madvise(ring->streams[id], RING_STREAM_SIZE, MADV_REMOVE); /* or it is kept */
                ring->highest[id] = 0;
        }
}
