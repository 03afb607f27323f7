/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What lies in the ring, for ring.c (what is done with it) and ring-layout.c (for another version to find it). */

#include <stdatomic.h>

#include "io/ring.h"

#define RING_MAGIC 0x73636f70U
#define RING_PAGE_SIZE 4096U
#define RING_DIRECTORY_SIZE 8192U /* at the very end; takes no memory until it is written */
#define RING_BEGINNING 64U        /* in the first page */

/* Another version may read it: a new one goes to the end. */
typedef enum NoteKind {
        NOTE_NONE,
        NOTE_STREAM, /* index is the stream */
        NOTE_INPUT,
        NOTE_CONTROL,
        NOTE_OTHER,
        _NOTE_MAX,
} NoteKind;

typedef struct Note {
        uint32_t kind;
        uint32_t index;
        uint64_t before; /* position the bytes go to */
        uint64_t limit;  /* bytes asked for */
        uint64_t total;  /* bytes all reads have returned until now */
} Note;

typedef struct StreamState {
        STATE_MORE(uint64_t more;)
        uint64_t head;   /* bytes read so far */
        uint64_t tail;   /* bytes nobody needs any more */
        uint64_t origin; /* position that lies, or would lie, at the first byte of the memory; wraps around */
} StreamState;

typedef struct Header {
        uint32_t magic;
        atomic_uint note; /* the one of the two notes that holds */
        Note notes[2];
        StreamState streams[_STREAM_MAX];
} Header;

struct Ring {
        int fd;
        size_t n_state, n_front; /* bytes before the streams */
        bool described;          /* the directory has been written */
        char *front;
        char *streams[_STREAM_MAX];
        uint64_t total;                /* the worker's: bytes its reads have returned */
        uint64_t highest[_STREAM_MAX]; /* most memory used since the last trim */
};

static inline Header *ring_header(const Ring *ring) {
        return (Header *)(void *)ring->front;
}

static inline size_t ring_page_align(size_t size) {
        return (size + RING_PAGE_SIZE - 1) & ~(size_t)(RING_PAGE_SIZE - 1);
}

/* Bytes before the directory. */
static inline size_t ring_size(const Ring *ring) {
        return ring->n_front + (size_t)_STREAM_MAX * RING_STREAM_SIZE;
}

static inline char *ring_place(const Ring *ring, StreamId id, const StreamState *s, uint64_t position) {
        return ring->streams[id] + ((position - s->origin) & (RING_STREAM_SIZE - 1));
}
