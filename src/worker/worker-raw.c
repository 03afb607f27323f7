/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Output that two workers have died of. It goes to the sinks with as little thought as possible: no batches, nothing
 * remembered, one record after the other by a loop of its own that shares no code with line.c and the sinks. A worker
 * does that before anything else, and only once: what it could not write the sinks get in the ordinary way.
 *
 * A worker that dies of this too leaves the record at hand, if the file has it, to be written twice.
 */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "sink/sink-journald.h"
#include "wire/journal.h"
#include "wire/line.h"
#include "worker/worker-internal.h"

typedef bool (*PutRaw)(Worker *w, int fd, StreamId id, const char *data, size_t n, bool whole);

static bool put_file(Worker *w, int fd, StreamId id, const char *data, size_t n, bool whole) {
        char stamp[LINE_STAMP_SIZE], prefix[LINE_PREFIX_SIZE];
        struct iovec iov[] = { { prefix, sizeof prefix }, { (void *)data, n }, { (void *)"\n", 1 } };
        struct timespec now;
        struct stat before;
        struct tm tm;
        ssize_t written;

        (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
        if (fstat(fd, &before) < 0 || !localtime_r(&now.tv_sec, &tm))
                return false;
        line_format_stamp(stamp, &tm, now.tv_nsec);
        line_format_prefix(prefix, stamp, id, !whole);
        written = writev(fd, iov, 3);
        if (written == (ssize_t)(sizeof prefix + n + 1))
                return true;
        if (written > 0 && S_ISREG(before.st_mode))
                (void)ftruncate(fd, before.st_size); /* if that fails too, half a record stays */
        return false;
}

static bool put_journal(Worker *w, int fd, StreamId id, const char *data, size_t n, bool whole) {
        static const char *const priorities[_STREAM_MAX] = { "6", "3" };
        const char *cid = w->config.cid, *name = w->config.name ? w->config.name : cid;
        char fields[1024], length[JOURNAL_LENGTH_SIZE];
        JournalEntry e = { .data = fields, .size = sizeof fields };
        struct iovec iov[] = { { (void *)"MESSAGE\n", 8 },
                               { length, sizeof length },
                               { (void *)data, n },
                               { (void *)"\n", 1 },
                               { fields, 0 } };
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = ELEMENTS(iov) };

        journal_put_length(length, n);
        (void)journal_add(&e, "CONTAINER_ID_FULL", 17, cid, strnlen(cid, 128));
        (void)journal_add_text(&e, "PRIORITY", priorities[id]);
        (void)journal_add(&e, "CONTAINER_ID", 12, cid, strnlen(cid, 12));
        (void)journal_add(&e, "CONTAINER_NAME", 14, name, strnlen(name, 256));
        (void)journal_add(&e, "SYSLOG_IDENTIFIER", 17, name, strnlen(name, 256));
        if (!whole)
                (void)journal_add_text(&e, "CONTAINER_PARTIAL_MESSAGE", "true");
        iov[4].iov_len = e.n; /* which has room, as all values are cut */
        return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Bytes [position, to) of @window to @fd, which is of @sink; its state knows how far it came. */
static void write_raw(Worker *w, int fd, SinkId sink, StreamId id, const Window *window) {
        static const struct {
                PutRaw put;
                size_t max; /* bytes of a record */
        } kinds[_SINK_MAX] = {
                [SINK_FILE] = { put_file, LINE_FILE_MAX },
                [SINK_JOURNAL] = { put_journal, SINK_JOURNALD_LINE_MAX },
        };
        uint64_t to = w->state->raw_to[id] < window->to ? w->state->raw_to[id] : window->to;
        SinkState *state = &w->state->sinks[sink];

        if (state->position[id] < window->from)
                state->position[id] = window->from;
        while (state->position[id] < to) {
                const char *data = window->data + (state->position[id] - window->from);
                size_t left = (size_t)(to - state->position[id]), n = 0;
                bool whole;

                while (n < left && n < kinds[sink].max && data[n] != '\n')
                        n++;
                whole = n < left && data[n] == '\n';
                if (!kinds[sink].put(w, fd, id, data, n, whole))
                        return;
                state->continues[id] = !whole;
                state->position[id] += n + whole;
                state->bytes += n + whole;
        }
}

/* Takes back what there is of a batch, whose records are made anew. Return: false if the file cannot be touched. */
static bool forget_intent(int fd, SinkState *state, StreamId id) {
        SinkIntent *intent = &state->intent;
        struct stat st;

        if (!intent->valid)
                return true;
        if (intent->stream != id || fstat(fd, &st) < 0)
                return false;
        if (intent->from == state->position[id] && S_ISREG(st.st_mode) &&
            (uint64_t)st.st_size > intent->size && ftruncate(fd, (off_t)intent->size) < 0)
                return false;
        intent->valid = 0;
        return true;
}

/* A fifo must not stop us. */
static bool can_write(int fd) {
        struct stat st;

        return fstat(fd, &st) >= 0 && (S_ISREG(st.st_mode) || fd_set_nonblock(fd, true) >= 0);
}

/**
 * worker_raw() - write what the keeper has marked, before anything else is done with it
 *
 * What goes wrong here leaves its output to the sinks.
 */
void worker_raw(Worker *w) {
        int file = w->fds[CHANNEL_FD_LOGFILE], journal = w->fds[CHANNEL_FD_JOURNAL];

        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                Window window = ring_window(w->ring, id, 0);
                SinkState *sinks = w->state->sinks;
                if (w->state->raw_to[id] == 0)
                        continue;
                if (file >= 0 && can_write(file) && forget_intent(file, &sinks[SINK_FILE], id))
                        write_raw(w, file, SINK_FILE, id, &window);
                if (w->config.journald && journal >= 0)
                        write_raw(w, journal, SINK_JOURNAL, id, &window);
                w->state->raw_to[id] = 0;
        }
}
