/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the lines of a window look like in a k8s-file: a vector for writev(). Long lines stay where they lie; short
 * ones are put together with their prefixes first, since the kernel needs more time for a vector element than we for
 * copying a few hundred bytes (lines of 100 bytes, to tmpfs: 170 ns a line if nothing is copied, 95 so).
 *
 * The same bytes with the same prefix always make the same records: a worker that completes what another has begun
 * counts on that.
 */

#include <string.h>

#include "wire/records.h"

#define COPY_MAX 512U /* texts longer than this are not copied */
#define IOV_RECORD 3  /* what a record needs at most: prefix, text, newline */
#define STAGE_LAST (RECORDS_STAGE - LINE_PREFIX_SIZE - COPY_MAX - 1) /* where one may begin */

/**
 * records_set_prefix() - stamp and stream of the records that are gathered from now on
 */
void records_set_prefix(Records *b, const char stamp[LINE_STAMP_SIZE], StreamId id) {
        line_format_prefix(b->prefix[0], stamp, id, false);
        line_format_prefix(b->prefix[1], stamp, id, true);
}

/* The @n bytes that were put behind those staged before become part of the batch. */
static void add_staged(Records *b, size_t n) {
        char *at = b->stage + b->n_staged;
        struct iovec *last = b->n_iov > 0 ? &b->iov[b->n_iov - 1] : NULL;

        if (last && (char *)last->iov_base + last->iov_len == at)
                last->iov_len += n;
        else
                b->iov[b->n_iov++] = (struct iovec){ at, n };
        b->n_staged += n;
}

static void add_record(Records *b, const Line *line) {
        char *at = b->stage + b->n_staged;
        size_t n = line->n_text;

        memcpy(at, b->prefix[line->partial], LINE_PREFIX_SIZE);
        if (n <= COPY_MAX) {
                memcpy(at + LINE_PREFIX_SIZE, line->text, n);
                at[LINE_PREFIX_SIZE + n] = '\n';
                add_staged(b, LINE_PREFIX_SIZE + n + 1);
        } else {
                add_staged(b, LINE_PREFIX_SIZE);
                b->iov[b->n_iov++] = (struct iovec){ (void *)line->text, n };
                at[LINE_PREFIX_SIZE] = '\n';
                add_staged(b, 1);
        }
        b->n_bytes += LINE_PREFIX_SIZE + n + 1;
        b->n_taken += line->n_taken;
        b->partial = line->partial;
}

/* Whole lines that are copied, which is nearly all of them; the first that is not so is left to the caller. */
static void gather_short(Records *b, const char *data, size_t n, const Room *room) {
        char *begin = b->stage + b->n_staged, *at = begin;
        const char *p = data + b->n_taken, *newline;
        uint64_t n_bytes = b->n_bytes;

        while (at <= b->stage + STAGE_LAST) {
                size_t left = (size_t)(data + n - p), size;

                newline = memchr(p, '\n', left <= COPY_MAX ? left : COPY_MAX + 1);
                size = newline ? (size_t)(newline + 1 - p) : 0;
                if (size == 0 || n_bytes >= room->total ||
                    n_bytes + LINE_PREFIX_SIZE + size > (n_bytes == 0 ? room->first : room->file))
                        break;
                memcpy(at, b->prefix[0], LINE_PREFIX_SIZE);
                memcpy(at + LINE_PREFIX_SIZE, p, size);
                at += LINE_PREFIX_SIZE + size;
                n_bytes += LINE_PREFIX_SIZE + size;
                p += size;
        }
        if (at == begin)
                return;
        add_staged(b, (size_t)(at - begin));
        b->n_bytes = n_bytes;
        b->n_taken = (size_t)(p - data);
        b->partial = false;
}

/**
 * records_gather() - the records of @data, as many as one batch takes and as there is room for
 * @data: must stay where it is for as long as @b is used
 *
 * Forgets what @b held, but for its prefixes.
 */
void records_gather(Records *b, const char *data, size_t n, StreamTail tail, const Room *room) {
        Line line = { 0 };

        memset(b, 0, offsetof(Records, prefix));
        for (;;) {
                uint64_t after;

                if (line.n_text <= COPY_MAX)
                        gather_short(b, data, n, room);
                if (b->n_iov > RECORDS_IOV - IOV_RECORD || b->n_staged > STAGE_LAST ||
                    !line_next(data + b->n_taken, n - b->n_taken, LINE_FILE_MAX, tail, &line))
                        break;
                after = b->n_bytes + LINE_PREFIX_SIZE + line.n_text + 1;
                b->exhausted = b->n_bytes >= room->total;
                b->limited = after > (b->n_bytes == 0 ? room->first : room->file);
                if (b->exhausted || b->limited)
                        break;
                add_record(b, &line);
        }
}

/**
 * records_advance() - skip the next @n bytes, which the file has
 * @first: element of the vector to begin with
 *
 * Return: the element that is the first now, shortened to what is left of it; n_iov at the end.
 */
size_t records_advance(Records *b, size_t first, uint64_t n) {
        while (first < b->n_iov && n >= b->iov[first].iov_len) {
                n -= b->iov[first].iov_len;
                first++;
        }
        if (first < b->n_iov) {
                b->iov[first].iov_base = (char *)b->iov[first].iov_base + n;
                b->iov[first].iov_len -= n;
        }
        return first;
}

/**
 * records_whole() - of the records of @data, those that end within the first @n_written bytes of a file
 * @ret_bytes: what they take there
 *
 * Return: how many bytes of @data they hold.
 */
size_t records_whole(const char *data, size_t n, StreamTail tail, uint64_t n_written, uint64_t *ret_bytes) {
        uint64_t bytes = 0;
        size_t taken = 0;
        Line line;

        while (line_next(data + taken, n - taken, LINE_FILE_MAX, tail, &line)) {
                uint64_t after = bytes + LINE_PREFIX_SIZE + line.n_text + 1;

                if (after > n_written)
                        break;
                bytes = after;
                taken += line.n_taken;
        }
        *ret_bytes = bytes;
        return taken;
}
