/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The container's two streams, and a piece of one: plain values that every drawer may speak of. */

#include <stddef.h>
#include <stdint.h>

typedef enum StreamId {
        STREAM_STDOUT,
        STREAM_STDERR,
        _STREAM_MAX,
} StreamId;

/*
 * Bytes [from, to) of a stream, counted from its beginning. @data is where byte @from lies; the bytes follow one
 * another in memory.
 */
typedef struct Window {
        const char *data;
        uint64_t from;
        uint64_t to;
} Window;

static inline size_t window_size(const Window *w) {
        return (size_t)(w->to - w->from);
}

/* What is known of the bytes after the end of a window. */
typedef enum StreamTail {
        TAIL_MORE, /* more are probably on their way: an unfinished line may wait for them */
        TAIL_IDLE, /* none are there to be read now */
        TAIL_END,  /* there will never be more */
} StreamTail;
