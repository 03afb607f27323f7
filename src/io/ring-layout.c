/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A ring that another version may have to take over, and one that is taken over from another version.
 *
 * The directory at the end of the memory says what lies where (wire/layout.c). It is written only when somebody may want
 * to read it: before an upgrade, and when systemd is given the ring to keep. A ring whose directory is word for word the
 * one that we would write is mapped as it is. From any other one all that has a name here is copied into a new ring, with
 * the output that is still needed; so whatever was under way (a write to the log file and all it takes to make the same
 * bytes again, a packet of input that was half written) goes on where it was.
 *
 * The worker of before may still write to it. What has been copied is good enough to look at then, and all is copied once
 * more when that worker has gone (ring_import()). A copy that cannot be right may be of a moment between two of its
 * writes, and is made again.
 *
 * What the memory holds, the directory included, may be a hostile worker's: it is read once, and nothing leads outside.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "io/ring-internal.h"

#define SIZE_MAX_OF_ANY (8U << 20) /* bytes: no version has a larger ring */
#define COPIES_MAX 5               /* of a ring that is written to meanwhile */

static const LayoutField stream_fields[] = {
        LAYOUT_NUMBER(StreamState, head, "head"),
        LAYOUT_NUMBER(StreamState, tail, "tail"),
        LAYOUT_NUMBER(StreamState, origin, "origin"),
};

/* A worker that is killed while another version takes over leaves its last read to be recovered there. */
static const LayoutField note_fields[] = {
        LAYOUT_NUMBER(Note, kind, "kind"),     LAYOUT_NUMBER(Note, index, "index"),
        LAYOUT_NUMBER(Note, before, "before"), LAYOUT_NUMBER(Note, limit, "limit"),
        LAYOUT_NUMBER(Note, total, "total"),
};

static const LayoutField header_fields[] = {
        LAYOUT_NUMBER(Header, note, "note"),
};

static const LayoutField input_fields[] = {
        LAYOUT_NUMBER(RingInput, from, "from"),
        LAYOUT_NUMBER(RingInput, to, "to"),
        LAYOUT_NUMBER(RingInput, slot, "slot"),
        LAYOUT_NUMBER(RingInput, writing, "writing"),
        LAYOUT_NUMBER(RingInput, written_from, "written-from"),
        LAYOUT_NUMBER(RingInput, written, "written"),
        LAYOUT_NUMBERS(RingInput, data, "data"),
};

static const LayoutField control_fields[] = {
        LAYOUT_NUMBER(RingControl, n, "n"),
        LAYOUT_NUMBER(RingControl, done, "done"),
        LAYOUT_NUMBER(RingControl, tries, "tries"),
        LAYOUT_NUMBERS(RingControl, data, "data"),
};

static const LayoutField memory_fields[] = {
        { "byte", 0, 1, RING_STREAM_SIZE },
};

static const LayoutGroup header_groups[] = {
        LAYOUT_WHOLE(Header, "ring", LAYOUT_OF(header_fields)),
        LAYOUT_MANY(Header, streams, "stream", LAYOUT_OF(stream_fields)),
        LAYOUT_MANY(Header, notes, "note", LAYOUT_OF(note_fields)),
};

static const LayoutGroup input_groups[] = { LAYOUT_WHOLE(RingInput, "input", LAYOUT_OF(input_fields)) };

static const LayoutGroup control_groups[] = { { "control", 0, sizeof(RingControl), RING_CONTROLS,
                                                LAYOUT_OF(control_fields) } };

static const LayoutGroup memory_groups[] = { { "memory", 0, RING_STREAM_SIZE, _STREAM_MAX,
                                               LAYOUT_OF(memory_fields) } };

static const Layout header_layout = { header_groups, ELEMENTS(header_groups), sizeof(Header) };
static const Layout input_layout = { input_groups, ELEMENTS(input_groups), sizeof(RingInput) };
static const Layout control_layout = { control_groups, ELEMENTS(control_groups),
                                       RING_CONTROLS * sizeof(RingControl) };
static const Layout memory_layout = { memory_groups, ELEMENTS(memory_groups),
                                      (size_t)_STREAM_MAX *RING_STREAM_SIZE };

/* A part of the ring that is copied by name, and where it begins. */
typedef struct Part {
        const Layout *layout;
        size_t base;
} Part;

#define PARTS 4

static void list_parts(const Ring *ring, const Layout *state, Part ret[PARTS]) {
        ret[0] = (Part){ &header_layout, 0 };
        ret[1] = (Part){ state, sizeof(Header) };
        ret[2] = (Part){ &input_layout, ring->n_state };
        ret[3] = (Part){ &control_layout, ring->n_state + ring_page_align(sizeof(RingInput)) };
}

/* Return: bytes, 0 if it does not fit. */
static size_t write_directory(const Ring *ring, const Layout *state, char text[RING_DIRECTORY_SIZE]) {
        Part parts[PARTS];
        StateWriter w;

        list_parts(ring, state, parts);
        state_begin(&w, text, RING_DIRECTORY_SIZE - 1); /* a NUL follows */
        for (size_t i = 0; i < PARTS; i++)
                layout_put(&w, parts[i].layout, parts[i].base);
        layout_put(&w, &memory_layout, ring->n_front);
        return state_end(&w);
}

/**
 * ring_describe() - write the directory, if that has not been done
 * @fd: of the ring, borrowed
 * @state: of what ring_state() is
 *
 * Return: 0 or a negative errno.
 */
int ring_describe(Ring *ring, int fd, const Layout *state) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        ssize_t written;

        if (ring->described)
                return 0;
        text = malloc(RING_DIRECTORY_SIZE);
        if (!text)
                return fail(-ENOMEM);
        n = write_directory(ring, state, text);
        if (n == 0)
                return fail(-E2BIG);
        written = pwrite(fd, text, n, (off_t)ring_size(ring));
        if (written != (ssize_t)n)
                return fail(written < 0 ? -errno : -EIO);
        ring->described = true;
        return 0;
}

/* ---- another version's -------------------------------------------------------------------------------- */

/* A copy of all its memory. */
typedef struct Snapshot {
        char *data;
        size_t n; /* before the directory */
        StateReader directory;
} Snapshot;

static void snapshot_done(Snapshot *s) {
        free(s->data);
}

/* Read, not mapped: what has never been written takes no memory. */
static int snapshot_take(Snapshot *ret, int fd) {
        _cleanup_(snapshot_done) Snapshot s = { 0 };
        struct stat st;
        int seals, r;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || fstat(fd, &st) < 0)
                return fail(-errno);
        if (!(seals & F_SEAL_SHRINK) || st.st_size <= (off_t)RING_DIRECTORY_SIZE ||
            st.st_size > (off_t)SIZE_MAX_OF_ANY)
                return fail(-EBADMSG);
        s.n = (size_t)st.st_size - RING_DIRECTORY_SIZE;
        s.data = malloc((size_t)st.st_size);
        if (!s.data)
                return fail(-ENOMEM);
        if (pread(fd, s.data, (size_t)st.st_size, 0) != st.st_size)
                return fail(-EIO);
        r = state_open(&s.directory, s.data + s.n, strnlen(s.data + s.n, RING_DIRECTORY_SIZE));
        if (r != 0)
                return fail(-EBADMSG);
        *ret = s;
        s.data = NULL;
        return 0;
}

static bool is_our_form(const Ring *ring, const Layout *state, const Snapshot *s) {
        _cleanup_free_ char *text = malloc(RING_DIRECTORY_SIZE);
        size_t n;

        n = text ? write_directory(ring, state, text) : 0;
        return n > 0 && s->data && s->n == ring_size(ring) && memcmp(s->data + s->n, text, n) == 0;
}

static bool has_room_for(const Snapshot *s, const char *name, size_t room) {
        LayoutEntry e;
        int r = layout_find(&s->directory, name, s->n, &e);

        return r == -ENOENT || (r == 0 && e.n <= room);
}

/* Bytes that somebody still needs, to where the same positions lie in our memory. */
static int copy_stream(Ring *ring, StreamId id, const Snapshot *s, const LayoutEntry *memory) {
        StreamState *ours = &ring_header(ring)->streams[id], theirs = *ours;
        const char *from = s->data + memory->offset + (uint64_t)id * memory->stride;
        uint64_t size = memory->n;

        if (theirs.tail > theirs.head || theirs.head - theirs.tail > size)
                return fail(-EBADMSG);
        ours->origin = theirs.tail - RING_BEGINNING;
        for (uint64_t p = theirs.tail; p < theirs.head;) {
                uint64_t at = (p - theirs.origin) & (size - 1), n = size - at;

                if (n > theirs.head - p)
                        n = theirs.head - p;
                memcpy(ring_place(ring, id, ours, p), from + at, n);
                p += n;
        }
        return 0;
}

static int copy_streams(Ring *ring, const Snapshot *s) {
        LayoutEntry memory;
        int r;

        r = layout_find(&s->directory, "memory.byte", s->n, &memory);
        if (r < 0)
                return fail(-EBADMSG);
        if (memory.count != _STREAM_MAX || memory.width != 1 || memory.n > RING_STREAM_SIZE ||
            memory.n == 0 || memory.n & (memory.n - 1))
                return fail(-EBADMSG);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                r = copy_stream(ring, id, s, &memory);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/* @ring: zero */
static int import(Ring *ring, const Snapshot *s, const Layout *state) {
        Part parts[PARTS];
        int r;

        if (!has_room_for(s, "input.data", RING_INPUT_SIZE) ||
            !has_room_for(s, "control.data", RING_CONTROL_SIZE))
                return fail(-EBADMSG);
        list_parts(ring, state, parts);
        for (size_t i = 0; i < PARTS; i++) {
                r = layout_copy(&s->directory, s->data, s->n, parts[i].layout, ring->front + parts[i].base);
                if (r < 0)
                        return fail(r);
        }
        r = copy_streams(ring, s);
        return r < 0 ? relay(r) : 0;
}

static int forget_all(Ring *ring) {
        if (madvise(ring->front, ring->n_front, MADV_REMOVE) < 0)
                return fail(-errno);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                if (madvise(ring->streams[id], RING_STREAM_SIZE, MADV_REMOVE) < 0)
                        return fail(-errno);
        return 0;
}

/**
 * ring_import() - all that is in another ring once more, in place of what is in this one
 * @fd: of the other one, borrowed
 * @state: of what ring_state() is
 *
 * Return: 0 or a negative errno.
 */
int ring_import(Ring *ring, int fd, const Layout *state) {
        _cleanup_(snapshot_done) Snapshot s = { 0 };
        uint32_t magic = ring_header(ring)->magic;
        int r;

        r = snapshot_take(&s, fd);
        if (r < 0)
                return relay(r);
        r = forget_all(ring);
        if (r < 0)
                return relay(r);
        ring_header(ring)->magic = magic;
        r = import(ring, &s, state);
        return r < 0 ? relay(r) : 0;
}

/**
 * ring_adopt() - take over a ring from whatever version
 * @fd: adopted, also on failure
 * @state: of what ring_state() is here
 * @ret_converted: it was of another form, and @ret is a new one
 *
 * Return: 0, or a negative errno: -EBADMSG if it is no ring, has no directory, or holds more than fits.
 */
int ring_adopt(Ring **ret, int fd, const Layout *state, bool *ret_converted) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        _cleanup_(snapshot_done) Snapshot s = { 0 };
        _cleanup_close_ int theirs = fd;
        int r;

        r = snapshot_take(&s, theirs);
        if (r >= 0)
                r = ring_new(&ring, state->size);
        if (r < 0)
                return relay(r);
        *ret_converted = !is_our_form(ring, state, &s);
        if (!*ret_converted) {
                r = ring_map(ret, TAKE_FD(theirs), state->size);
                return r < 0 ? relay(r) : 0;
        }
        r = import(ring, &s, state);
        for (unsigned i = 1; r < 0 && i < COPIES_MAX; i++)
                r = ring_import(ring, theirs, state);
        if (r >= 0)
                r = ring_describe(ring, ring->fd, state);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(ring);
        return 0;
}
