/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The records of a k8s-file, as many as one writev() takes; no descriptor in sight. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/stream.h"
#include "wire/line.h"

/* One batch. Another version may have to complete ours, so these may only grow. */
#define RECORDS_IOV 256
#define RECORDS_STAGE 98304U /* what a pipe holds, as records of 100-byte lines */

/* How many bytes there is room for, prefixes included. */
typedef struct Room {
        uint64_t first; /* for the first record */
        uint64_t file;  /* for all of them */
        uint64_t total; /* a record may begin below this, and end above it */
} Room;

typedef struct Records {
        size_t n_iov;
        size_t n_staged;
        uint64_t n_bytes;                 /* prefixes included */
        size_t n_taken;                   /* bytes of the stream */
        bool partial;                     /* the last record is */
        bool limited;                     /* stopped before a record that does not fit into the file */
        bool exhausted;                   /* stopped since the global limit is reached */
        char prefix[2][LINE_PREFIX_SIZE]; /* of whole and of partial lines */

        /* From here on never cleared: pages that a quiet container does not touch cost nothing. */
        struct iovec iov[RECORDS_IOV];
        char stage[RECORDS_STAGE];
} Records;

void records_set_prefix(Records *b, const char stamp[LINE_STAMP_SIZE], StreamId id);
void records_gather(Records *b, const char *data, size_t n, StreamTail tail, const Room *room);
size_t records_advance(Records *b, size_t first, uint64_t n);
size_t records_whole(const char *data, size_t n, StreamTail tail, uint64_t n_written, uint64_t *ret_bytes);
