/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The k8s-file. The lines of a window leave in one writev(), or a few; records.c makes them.
 *
 * A worker may die at any moment, also inside writev(), and the next one must neither lose nor repeat a byte. So
 * before each write the *intent* goes into the ring: which bytes, which stamp, and how long the file was. A worker
 * that finds one compares it with the file's length now, makes the very same records again and writes what is
 * missing. The order of stores is all there is to it: the intent is valid before the write, the stream's position
 * moves after it, then the intent is taken back; it counts only while its beginning is the stream's position.
 *
 * A write that fails half way (disk full) is the same thing without the death: the intent stays, and nothing else may
 * be written to the file before it is complete, or before sink_k8sfile_settle() has cut the file back to whole
 * records because the rest will go elsewhere. A file must never hold half a record with another one behind it. Some
 * file systems need room to cut a file (btrfs with a quota): then nothing is written before that has succeeded.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "sink/sink-k8sfile.h"
#include "wire/records.h"

/* A system call that takes as long as the file system likes: the keeper has more patience while it is under way. */
#define BUSY(f, call)                                                                                        \
        ({                                                                                                   \
                __typeof__(call) _result;                                                                    \
                                                                                                             \
                (f)->state->busy = 1;                                                                        \
                _result = (call);                                                                            \
                (f)->state->busy = 0;                                                                        \
                _result;                                                                                     \
        })

#define CHECK_BATCHES 64U /* so often we look up the file's size: it may have been truncated */

struct SinkK8sFile {
        SinkState *state;
        int fd;
        bool regular;
        uint64_t size;     /* of the file, as far as we know */
        uint64_t size_max; /* UINT64_MAX: none */
        uint64_t total_max;
        bool limited;    /* SINK_K8SFILE_LIMIT was answered, no file has come yet */
        bool over_limit; /* the keeper had no new file: one batch more goes into this one */
        unsigned n_batches;

        bool in_flight;       /* the intent waits for its rest */
        uint64_t written;     /* bytes of its records that are in the file */
        bool whole_known;     /* whole_* are: the end of the last record that is there */
        uint64_t whole_to;    /* in the stream */
        uint64_t whole_bytes; /* in the file, from the beginning of the intent */
        bool whole_continues; /* it is partial */

        time_t second; /* of @tm */
        struct tm tm;
        char stamp[LINE_STAMP_SIZE];
        Records *records; /* of the batch at hand */
};

/**
 * sink_k8sfile_new() - a writer for an open log file
 * @spec: its file_fd is adopted, also on failure; -1 if sink_k8sfile_set_file() will bring one
 * @state: survives the worker; an intent in it is completed by the first write for its stream
 *
 * Return: 0 or a negative errno.
 */
int sink_k8sfile_new(SinkK8sFile **ret, const SinksSpec *spec, SinkState *state) {
        _cleanup_close_ int fd = spec->file_fd;
        _cleanup_(sink_k8sfile_freep) SinkK8sFile *f = NULL;
        SinkIntent *intent = &state->intent;
        int r;

        f = calloc(1, sizeof *f);
        if (!f)
                return fail(-ENOMEM);
        f->fd = -1;
        f->state = state;
        f->records = memory_reserve(sizeof *f->records);
        if (!f->records)
                return fail(-ENOMEM);
        f->second = -1;
        f->size_max = spec->size_max > 0 ? (uint64_t)spec->size_max : UINT64_MAX;
        f->total_max = spec->global_size_max > 0 ? (uint64_t)spec->global_size_max : UINT64_MAX;

        f->in_flight = intent->valid == 1 && intent->stream < _STREAM_MAX && intent->from < intent->to &&
                       intent->from == state->position[intent->stream];
        intent->valid = f->in_flight;

        if (fd >= 0) {
                r = sink_k8sfile_set_file(f, TAKE_FD(fd));
                if (r < 0)
                        return relay(r);
        }
        *ret = TAKE_PTR(f);
        return 0;
}

/* Cuts off the half record that could not be when it was given up. Return: 0 or an errno. */
static int cut(SinkK8sFile *f) {
        SinkState *state = f->state;
        struct stat st;

        if (!state->uncut || f->fd < 0)
                return 0;
        if (BUSY(f, fstat(f->fd, &st)) < 0)
                return errno;
        if ((uint64_t)st.st_size > state->cut_to) { /* else somebody was faster */
                if (BUSY(f, ftruncate(f->fd, (off_t)state->cut_to)) < 0)
                        return errno;
                f->size = state->cut_to;
        }
        state->uncut = false;
        return 0;
}

/**
 * sink_k8sfile_free() - let go of the file; a write that is not complete stays in the state
 *
 * Return: NULL.
 */
SinkK8sFile *sink_k8sfile_free(SinkK8sFile *f) {
        if (!f)
                return NULL;
        (void)cut(f); /* perhaps there is room by now */
        if (f->fd >= 0)
                (void)BUSY(f, close(f->fd));
        memory_release(f->records, sizeof *f->records);
        free(f);
        return NULL;
}

/*
 * How much of the intent a worker before us got into the file. A file that has become shorter was truncated by
 * somebody: better to repeat than to lose.
 */
static void measure_intent(SinkK8sFile *f) {
        const SinkIntent *intent = &f->state->intent;

        f->whole_known = false;
        f->written = f->regular && f->size > intent->size ? f->size - intent->size : 0;
}

/* What is begun is ended: the next file has no half record. */
static void k8sfile_leave(SinkK8sFile *f) {
        (void)sink_k8sfile_settle(f);
        (void)cut(f);
        f->state->uncut = false;
        (void)BUSY(f, close(f->fd)); /* writes what a network's has not yet */
}

/**
 * sink_k8sfile_set_file() - go on in this file
 * @fd: adopted, also on failure; -1: there is no new one, go on with the one we have
 *
 * What is not a regular file (a fifo, a terminal) is made non-blocking: nothing may stop the worker.
 *
 * Return: 0 or a negative errno.
 */
int sink_k8sfile_set_file(SinkK8sFile *f, int fd) {
        _cleanup_close_ int new_fd = fd;
        struct stat st;
        int r;

        if (new_fd >= 0) {
                if (BUSY(f, fstat(new_fd, &st)) < 0)
                        return fail(-errno);
                if (!S_ISREG(st.st_mode)) {
                        r = fd_set_nonblock(new_fd, true);
                        if (r < 0)
                                return relay(r);
                }
                if (f->fd >= 0)
                        k8sfile_leave(f);
                f->fd = TAKE_FD(new_fd);
                f->regular = S_ISREG(st.st_mode);
                f->size = f->regular ? (uint64_t)st.st_size : 0;
                if (f->in_flight)
                        measure_intent(f);
        }

        if (f->fd >= 0 && !f->state->started) {
                f->state->total = f->size;
                f->state->started = 1;
        }
        f->over_limit = f->limited && f->size > 0;
        f->limited = false;
        return 0;
}

/**
 * sink_k8sfile_has_file() - there is something to write to
 */
bool sink_k8sfile_has_file(const SinkK8sFile *f) {
        return f->fd >= 0;
}

static const Room all_room = { .first = UINT64_MAX, .file = UINT64_MAX, .total = UINT64_MAX };

static Room find_room(const SinkK8sFile *f) {
        Room room = all_room;

        room.total = f->total_max > f->state->total ? f->total_max - f->state->total : 0;
        if (f->over_limit)
                return room;
        room.file = f->size_max > f->size ? f->size_max - f->size : 0;
        if (f->size > 0)
                room.first = room.file; /* else: too large for any file is written all the same */
        return room;
}

/* Writes the records from f->written on, which tells how far it came. Return: 0 or an errno. */
static int k8sfile_put(SinkK8sFile *f) {
        Records *b = f->records;
        uint64_t n = f->written;
        size_t first = 0;

        while (f->written < b->n_bytes) {
                ssize_t k;

                if (n > 0)
                        first = records_advance(b, first, n);
                k = BUSY(f, writev(f->fd, b->iov + first, (int)(b->n_iov - first)));
                if (k < 0 && errno != EINTR)
                        return errno;
                if (k == 0)
                        return EIO;
                n = k > 0 ? (uint64_t)k : 0;
                f->written += n;
        }
        return 0;
}

/* The stream up to @to is in the file, @n_bytes with all prefixes: now it is the file's. */
static void k8sfile_commit(SinkK8sFile *f, uint64_t to, uint64_t n_bytes, bool continues) {
        SinkIntent *intent = &f->state->intent;

        if (to > intent->from)
                f->state->continues[intent->stream] = continues;
        f->size = intent->size + n_bytes;
        f->state->total = intent->total + n_bytes;
        atomic_signal_fence(memory_order_seq_cst);
        f->state->position[intent->stream] = to;
        atomic_signal_fence(memory_order_seq_cst);
        intent->valid = 0;
        f->state->bytes += to - intent->from;
        f->in_flight = false;
        f->written = 0;
}

static void intend(SinkK8sFile *f, StreamId id) {
        SinkIntent *intent = &f->state->intent;
        struct stat st;

        if (f->regular && f->n_batches++ % CHECK_BATCHES == 0 && BUSY(f, fstat(f->fd, &st)) >= 0)
                f->size = (uint64_t)st.st_size;

        intent->stream = (uint8_t)id;
        intent->partial = f->records->partial;
        intent->from = f->state->position[id];
        intent->to = intent->from + f->records->n_taken;
        intent->size = f->size;
        intent->total = f->state->total;
        memcpy(intent->stamp, f->stamp, sizeof intent->stamp);
        atomic_signal_fence(memory_order_seq_cst);
        intent->valid = 1;
        atomic_signal_fence(memory_order_seq_cst);
        f->in_flight = true;
        f->written = 0;
}

static void make_stamp(SinkK8sFile *f, const struct timespec *now) {
        if (now->tv_sec != f->second) {
                (void)localtime_r(&now->tv_sec, &f->tm); /* fails for years beyond int only */
                f->second = now->tv_sec;
        }
        line_format_stamp(f->stamp, &f->tm, now->tv_nsec);
}

/* Which records of the intent are there to their end, after a write that failed. */
static void find_whole(SinkK8sFile *f, const char *data) {
        SinkIntent *intent = &f->state->intent;

        f->whole_to = intent->from + records_whole(data, (size_t)(intent->to - intent->from),
                                                   intent->partial ? TAIL_IDLE : TAIL_MORE, f->written,
                                                   &f->whole_bytes);
        f->whole_known = true;
        f->whole_continues = f->whole_to > intent->from && data[f->whole_to - intent->from - 1] != '\n';
        if (f->written == 0) {
                intent->valid = 0; /* nothing is there, so nothing binds us */
                f->in_flight = false;
        }
}

/* Writes the rest of an intent: the same bytes, in the same records, with the same stamp. */
static int complete(SinkK8sFile *f, StreamId id, const Window *w) {
        const SinkIntent *intent = &f->state->intent;
        Records *b = f->records;
        const char *data;
        int r;

        if (intent->stream != id)
                return SINK_K8SFILE_OTHER;
        if (intent->from < w->from || intent->to > w->to) {
                f->state->intent.valid = 0; /* not of our making: a worker gone mad left it */
                f->in_flight = false;
                return 0;
        }

        data = w->data + (intent->from - w->from);
        records_set_prefix(b, intent->stamp, id);
        records_gather(b, data, (size_t)(intent->to - intent->from), intent->partial ? TAIL_IDLE : TAIL_MORE,
                       &all_room);
        if (f->written > b->n_bytes)
                f->written = b->n_bytes;
        r = k8sfile_put(f);
        if (r > 0) {
                find_whole(f, data);
                return r;
        }
        k8sfile_commit(f, intent->from + b->n_taken, b->n_bytes, b->partial);
        return 0;
}

/* One batch. Return: 0, an errno or SINK_K8SFILE_LIMIT; @ret_more tells whether to call again. */
static int write_batch(SinkK8sFile *f, StreamId id, const Window *w, StreamTail tail, bool *ret_more) {
        const uint64_t *position = &f->state->position[id];
        const char *data = w->data + (*position - w->from);
        const Room room = find_room(f);
        Records *b = f->records;
        int r;

        *ret_more = false;
        r = cut(f);
        if (r > 0)
                return r;
        records_gather(b, data, (size_t)(w->to - *position), tail, &room);
        if (b->n_bytes > 0) {
                intend(f, id);
                r = k8sfile_put(f);
                if (r > 0) {
                        find_whole(f, data);
                        return r;
                }
                k8sfile_commit(f, *position + b->n_taken, b->n_bytes, b->partial);
                f->over_limit = false;
        }
        if (b->exhausted) {
                f->state->position[id] = w->to; /* the user's wish, not a loss */
                return 0;
        }
        if (b->limited) {
                f->limited = true;
                return SINK_K8SFILE_LIMIT;
        }
        *ret_more = b->n_bytes > 0 && *position < w->to;
        return 0;
}

/**
 * sink_k8sfile_write() - write all records that can be made from the stream's position on
 * @now: stamp of all of them, but for those that an earlier write left unfinished
 *
 * Return: 0, a positive errno if a write failed (the position stands where it stood before that write; call again),
 * SINK_K8SFILE_LIMIT if a new file is wanted, or SINK_K8SFILE_OTHER.
 */
int sink_k8sfile_write(SinkK8sFile *f,
                       StreamId id,
                       const Window *w,
                       StreamTail tail,
                       const struct timespec *now) {
        const uint64_t *position = &f->state->position[id];
        bool more;
        int r;

        if (*position >= w->to)
                return 0;
        if (f->in_flight) {
                r = complete(f, id, w);
                if (r > 0)
                        return r;
                if (*position >= w->to)
                        return 0;
        }

        make_stamp(f, now);
        records_set_prefix(f->records, f->stamp, id);
        do
                r = write_batch(f, id, w, tail, &more);
        while (r == 0 && more);
        return r;
}

/**
 * sink_k8sfile_settle() - let the file end with a whole record: the rest will go elsewhere
 *
 * Return: true, or false if that cannot be known before the next sink_k8sfile_write() for the intent's stream.
 */
bool sink_k8sfile_settle(SinkK8sFile *f) {
        if (!f->in_flight)
                return true;
        if (!f->whole_known)
                return false;
        f->state->cut_to = f->state->intent.size + f->whole_bytes;
        f->state->uncut = f->regular && f->written > f->whole_bytes;
        k8sfile_commit(f, f->whole_to, f->whole_bytes, f->whole_continues);
        (void)cut(f); /* or before the next record */
        return true;
}

/**
 * sink_k8sfile_sync() - fsync(); may take long
 *
 * Return: 0 or a negative errno.
 */
int sink_k8sfile_sync(SinkK8sFile *f) {
        if (f->fd < 0 || !f->regular)
                return 0;
        return BUSY(f, fsync(f->fd)) < 0 ? fail(-errno) : 0;
}
