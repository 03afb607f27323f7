/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Output not yet written, and all else the next worker must know. Outlives the worker. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/stream.h"
#include "wire/layout.h"

#define RING_STREAM_SIZE (256U * 1024U) /* bytes kept of each stream at most */
#define RING_READ_SIZE (64U * 1024U)    /* bytes asked for in one read: what a pipe holds */
#define RING_INPUT_SIZE (32U * 1024U)   /* one packet of input */
#define RING_CONTROL_SIZE 4096U         /* one read of a control fifo */
#define RING_CONTROLS 2U

#define RING_READ "rchar: " /* in /proc/PID/io: bytes that reads have brought, and writes have taken */
#define RING_WRITTEN "wchar: "

#define RING_NAME "scopemon-ring" /* of the memfd */

typedef struct Ring Ring;

/* A packet from a client on its way to the target's stdin: bytes [from, to) of data. */
typedef struct RingInput {
        STATE_MORE(uint64_t more;)
        uint32_t from, to;
        uint32_t slot;
        uint32_t writing; /* a write is under way, of the bytes from @written_from on, ... */
        uint32_t written_from;
        uint64_t written; /* ... when the process had written so many bytes in all */
        char data[RING_INPUT_SIZE];
} RingInput;

/* What was read from a control fifo and may not have been acted on yet. */
typedef struct RingControl {
        uint32_t n;
        uint32_t done;  /* it has been */
        uint32_t tries; /* workers that have begun to, after the one that read it */
        char data[RING_CONTROL_SIZE];
} RingControl;

int ring_new(Ring **ret, size_t n_state);
int ring_map(Ring **ret, int fd, size_t n_state);
int ring_peek(int fd, void *state, size_t n_state);
Ring *ring_free(Ring *ring);

#include "base/cleanup.h"
DEFINE_CLEANUP(Ring, ring_free)

int ring_fd(const Ring *ring);
int ring_take_fd(Ring *ring);
void *ring_state(Ring *ring);

/* Between versions: ring-layout.c. */
int ring_describe(Ring *ring, int fd, const Layout *state);
int ring_adopt(Ring **ret, int fd, const Layout *state, bool *ret_converted);
int ring_import(Ring *ring, int fd, const Layout *state);

int ring_begin(Ring *ring);
bool ring_is_unread(const Ring *ring);
ssize_t ring_read_stream(Ring *ring, StreamId id, int fd);
ssize_t ring_read_input(Ring *ring, uint32_t slot, int fd);
ssize_t ring_read_control(Ring *ring, uint32_t index, int fd);
ssize_t ring_read_other(Ring *ring, int fd, void *buf, size_t n);
int ring_recover(Ring *ring, uint64_t n_read);

RingInput *ring_input(Ring *ring);
RingControl *ring_control(Ring *ring, uint32_t index);
uint64_t ring_head(const Ring *ring, StreamId id);
size_t ring_space(const Ring *ring, StreamId id);
Window ring_window(const Ring *ring, StreamId id, uint64_t from);
void ring_release(Ring *ring, StreamId id, uint64_t upto);
bool ring_is_large(const Ring *ring);
void ring_trim(Ring *ring);
