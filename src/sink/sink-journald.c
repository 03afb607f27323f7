/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The journal. Each line is an entry, one datagram in journald's native protocol on a connected
 * socket that is handed in: libsystemd's sender blocks for ever on a stuck journald and
 * reports success into nothing. What a window holds leaves in batches of up to 64 by sendmmsg();
 * when little comes, each line leaves at once. Only the constant text around a line is ours, the
 * line itself is sent from where it lies.
 *
 * An unfinished line is not sent but left in the ring: the stream's position stays before it. It
 * goes out as a partial message when it is longer than an entry may be, or when nothing will
 * follow.
 *
 * A "<N>" in front of a line is its priority, on both streams; only a real beginning of a line
 * counts, not the continuation of one that was cut. Podman's "podman logs" stops at priorities
 * other than 6 and 3, so for Podman PRIORITY stays what it is and the true one has its own field.
 *
 * A line holds no newline, so MESSAGE needs no length in front, whatever else is in it. Nothing
 * the container writes may ever become a field of its own.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "sink/sink-journald.h"
#include "wire/journal.h"
#include "wire/line.h"

#define BATCH_MAX 64
#define ENTRY_IOV 7
#define SEND_BUFFER (8 * 1024 * 1024)
#define SHORT_ID 12

/* SinkState.continues: 0, or a line was cut and goes on; then its own priority, if it had one. */
#define CONTINUES 1
#define CONTINUES_PRIORITY 2 /* + 0 to 7 */

typedef void (*AddFields)(JournalEntry *e, const SinksSpec *spec);

typedef struct Text {
        char *data;
        size_t n;
} Text;

/* Entries that are sent at once. */
typedef struct Batch {
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX][ENTRY_IOV];
        struct {
                uint64_t to;
                uint8_t continues;
        } after[BATCH_MAX]; /* the stream's state once the entry is sent */
} Batch;

struct SinkJournald {
        SinkState *state;
        int fd; /* borrowed */
        bool connected;
        bool podman_priorities, no_level_prefix;
        Text head;    /* from the end of the line to "PRIORITY=" */
        Text tail[2]; /* what follows the priorities: after whole lines, after partial ones */
        Batch *batch; /* of which many containers need nothing */
};

/* A label "NAME=VALUE"; the fields that readers of container logs rely on are not to be had. */
static void add_label(JournalEntry *e, const char *label) {
        static const char *const reserved[] = { "MESSAGE", "CONTAINER_ID_FULL", "PRIORITY",
                                                "CONTAINER_PARTIAL_MESSAGE", "CONTAINER_PRIORITY" };
        const char *equals = strchr(label, '=');
        size_t n;

        if (!equals)
                return;
        n = (size_t)(equals - label);
        for (size_t i = 0; i < ELEMENTS(reserved); i++)
                if (strlen(reserved[i]) == n && memcmp(reserved[i], label, n) == 0)
                        return;
        (void)journal_add(e, label, n, equals + 1, strlen(equals + 1)); /* or it can be no field */
}

/* What stands between the line and the value of PRIORITY. */
static void add_head(JournalEntry *e, const SinksSpec *spec) {
        (void)journal_add_text(e, "CONTAINER_ID_FULL", spec->cid);
}

static void add_tail(JournalEntry *e, const SinksSpec *spec, bool partial) {
        const char *name = spec->name && spec->name[0] ? spec->name : NULL;
        const char *tag = spec->tag && spec->tag[0] ? spec->tag : NULL;
        char id[SHORT_ID + 1];

        (void)snprintf(id, sizeof id, "%s", spec->cid); /* cut on purpose */
        (void)journal_add_text(e, "CONTAINER_ID", id);
        if (tag)
                (void)journal_add_text(e, "CONTAINER_TAG", tag);
        if (name)
                (void)journal_add_text(e, "CONTAINER_NAME", name);
        (void)journal_add_text(e, "SYSLOG_IDENTIFIER", tag ? tag : name ? name : id);
        if (partial && !spec->no_partial_message)
                (void)journal_add_text(e, "CONTAINER_PARTIAL_MESSAGE", "true");
        for (size_t i = 0; i < spec->n_labels; i++)
                add_label(e, spec->labels[i]);
        if (spec->object_unit)
                add_label(e, spec->object_unit);
        if (spec->identifier)
                add_label(e, spec->identifier);
        if (spec->facility)
                add_label(e, spec->facility);
}

static void add_whole_tail(JournalEntry *e, const SinksSpec *spec) {
        add_tail(e, spec, false);
}

static void add_partial_tail(JournalEntry *e, const SinksSpec *spec) {
        add_tail(e, spec, true);
}

/* What @add adds, between @before and @after. */
static int make_text(Text *ret, const SinksSpec *spec, AddFields add, const char *before, const char *after) {
        size_t n_before = strlen(before), n_after = strlen(after);
        JournalEntry e = { 0 };
        char *data;

        add(&e, spec); /* counted first */
        data = malloc(n_before + e.n + n_after + 1);
        if (!data)
                return fail(-ENOMEM);
        memcpy(data, before, n_before);
        e = (JournalEntry){ .data = data + n_before, .size = e.n };
        add(&e, spec);
        memcpy(data + n_before + e.n, after, n_after + 1);
        *ret = (Text){ .data = data, .n = n_before + e.n + n_after };
        return 0;
}

static int make_texts(SinkJournald *j, const SinksSpec *spec) {
        int r = make_text(&j->head, spec, add_head, "\n", "PRIORITY=");

        if (r >= 0)
                r = make_text(&j->tail[0], spec, add_whole_tail, "", "");
        if (r >= 0)
                r = make_text(&j->tail[1], spec, add_partial_tail, "", "");
        return r < 0 ? relay(r) : 0;
}

/**
 * sink_journald_new() - a sender of entries
 * @spec: its texts are copied
 * @state: survives the worker
 *
 * Return: 0 or a negative errno.
 */
int sink_journald_new(SinkJournald **ret, const SinksSpec *spec, SinkState *state) {
        _cleanup_(sink_journald_freep) SinkJournald *j = NULL;
        int r;

        j = calloc(1, sizeof *j);
        if (!j)
                return fail(-ENOMEM);
        j->batch = memory_reserve(sizeof *j->batch);
        if (!j->batch)
                return fail(-ENOMEM);
        j->state = state;
        j->podman_priorities = spec->podman_priorities;
        j->no_level_prefix = spec->no_level_prefix;

        r = make_texts(j, spec);
        if (r < 0)
                return relay(r);
        sink_journald_set_socket(j, spec->journal_fd);
        *ret = TAKE_PTR(j);
        return 0;
}

/**
 * sink_journald_set_socket() - where entries go from now on
 * @fd: connected, borrowed; -1: nowhere
 */
void sink_journald_set_socket(SinkJournald *j, int fd) {
        int size = SEND_BUFFER;

        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* or less */
        j->fd = fd;
        j->connected = fd >= 0;
}

/**
 * sink_journald_is_connected() - whether another socket would be of no use
 */
bool sink_journald_is_connected(const SinkJournald *j) {
        return j->connected;
}

/**
 * sink_journald_free() - what was sent stays with the journal
 *
 * Return: NULL.
 */
SinkJournald *sink_journald_free(SinkJournald *j) {
        if (!j)
                return NULL;
        free(j->head.data);
        free(j->tail[0].data);
        free(j->tail[1].data);
        memory_release(j->batch, sizeof *j->batch);
        free(j);
        return NULL;
}

/* The priority a line asks for, -1 for none. */
static int take_priority(const char **text, size_t *n) {
        const char *p = *text;

        if (*n < 3 || p[0] != '<' || p[1] < '0' || p[1] > '7' || p[2] != '>')
                return -1;
        *text += 3;
        *n -= 3;
        return p[1] - '0';
}

static void make_entry(SinkJournald *j, unsigned i, StreamId id, const Line *line, uint8_t continues) {
        static const char priorities[8][3] = { "0\n", "1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n" };
        static const char own_priority[] = "CONTAINER_PRIORITY=";
        static const char usual[_STREAM_MAX] = { [STREAM_STDOUT] = 6, [STREAM_STDERR] = 3 };
        struct iovec *iov = j->batch->iov[i];
        const Text *tail = &j->tail[line->partial];
        const char *text = line->text;
        size_t n = line->n_text, n_iov = 0;
        int own, shown;

        if (continues == 0)
                own = j->no_level_prefix ? -1 : take_priority(&text, &n);
        else
                own = continues >= CONTINUES_PRIORITY ? (continues - CONTINUES_PRIORITY) & 7 : -1;
        shown = own < 0 || j->podman_priorities ? usual[id] : own;
        if (!line->partial && n > 0 && text[n - 1] == '\r')
                n--;

        iov[n_iov++] = (struct iovec){ (void *)"MESSAGE=", 8 };
        iov[n_iov++] = (struct iovec){ (void *)text, n };
        iov[n_iov++] = (struct iovec){ j->head.data, j->head.n };
        iov[n_iov++] = (struct iovec){ (void *)priorities[shown], 2 };
        if (own >= 0 && j->podman_priorities) {
                iov[n_iov++] = (struct iovec){ (void *)own_priority, sizeof own_priority - 1 };
                iov[n_iov++] = (struct iovec){ (void *)priorities[own], 2 };
        }
        iov[n_iov++] = (struct iovec){ tail->data, tail->n };
        j->batch->messages[i].msg_hdr.msg_iov = j->batch->iov[i];
        j->batch->messages[i].msg_hdr.msg_iovlen = n_iov;

        j->batch->after[i].continues = 0;
        if (line->partial)
                j->batch->after[i].continues = own >= 0 ? (uint8_t)(CONTINUES_PRIORITY + own) : CONTINUES;
}

static unsigned journald_gather(SinkJournald *j, StreamId id, const Window *w, StreamTail tail) {
        uint64_t position = j->state->position[id];
        uint8_t continues = j->state->continues[id];
        unsigned n = 0;
        Line line;

        if (tail == TAIL_IDLE)
                tail = TAIL_MORE; /* a line may wait here as long as it likes */
        while (n < BATCH_MAX && line_next(w->data + (position - w->from), (size_t)(w->to - position),
                                          SINK_JOURNALD_LINE_MAX, tail, &line)) {
                make_entry(j, n, id, &line, continues);
                position += line.n_taken;
                continues = j->batch->after[n].continues;
                j->batch->after[n++].to = position;
        }
        return n;
}

static void journald_commit(SinkJournald *j, StreamId id, unsigned n) {
        SinkState *state = j->state;

        if (n == 0)
                return;
        state->bytes += j->batch->after[n - 1].to - state->position[id];
        state->flood.sent += n;
        state->continues[id] = j->batch->after[n - 1].continues;
        state->position[id] = j->batch->after[n - 1].to;
}

/* An entry too large for a datagram travels in a sealed memfd. Return: 0 or a positive errno. */
static int put_large(SinkJournald *j, unsigned i) {
        const struct msghdr *message = &j->batch->messages[i].msg_hdr;
        _cleanup_close_ int fd = -1;
        size_t size = 0;
        ssize_t n;

        for (size_t k = 0; k < message->msg_iovlen; k++)
                size += message->msg_iov[k].iov_len;
        fd = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return errno;
        n = writev(fd, message->msg_iov, (int)message->msg_iovlen);
        if (n < 0)
                return errno;
        if ((size_t)n != size)
                return ENOSPC;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return errno;
        n = fd_send(j->fd, NULL, 0, &fd, 1);
        return n < 0 ? (int)-n : 0;
}

/* Sends the first of @n entries, as many as go. Return: 0 or a positive errno if none went. */
static int journald_put(SinkJournald *j, unsigned n, unsigned *ret_sent) {
        int r, k;

        if (!j->connected)
                return ENOTCONN;
        k = sendmmsg(j->fd, j->batch->messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k >= 0) {
                *ret_sent = (unsigned)k;
                return 0;
        }
        r = errno == EINTR ? EAGAIN : errno;
        if (r == EMSGSIZE) {
                r = put_large(j, 0);
                *ret_sent = r == 0;
        }
        if (r != 0 && r != EAGAIN)
                j->connected = false;
        return r;
}

/**
 * sink_journald_write() - send an entry for each line from the stream's position on
 *
 * Return: 0 with all lines sent, EAGAIN if the socket is full, or another positive errno; then it is not connected any
 * more. The position stands before the first line that did not go: call again.
 */
int sink_journald_write(SinkJournald *j, StreamId id, const Window *w, StreamTail tail) {
        while (j->state->position[id] < w->to) {
                unsigned n, n_sent = 0;
                int r;

                n = journald_gather(j, id, w, tail);
                if (n == 0)
                        break;
                r = journald_put(j, n, &n_sent);
                journald_commit(j, id, n_sent);
                if (r != 0)
                        return r;
        }
        return 0;
}

/**
 * sink_journald_fd() - the socket; writable when sink_journald_write() may be called again; -1 if it has none
 */
int sink_journald_fd(const SinkJournald *j) {
        return j->fd;
}

/**
 * sink_journald_unread() - how much of what we sent journald has not taken yet
 *
 * Return: memory in the socket's queue, in bytes; 0 when all was taken.
 */
size_t sink_journald_unread(const SinkJournald *j) {
        int n = 0;

        if (ioctl(j->fd, SIOCOUTQ, &n) < 0 || n < 0)
                return 0;
        return (size_t)n;
}

/**
 * sink_journald_floods() - whether so much was sent that journald's rate limit may have met it
 * @usec: now, on the wall clock, as the journal is read by that later
 *
 * To be called after each write. Spans of time follow one another without a gap while entries are sent, as journald's
 * do.
 *
 * Return: true once in each span that has SINK_FLOOD_ENTRIES.
 */
bool sink_journald_floods(SinkFlood *flood, uint64_t usec) {
        if (usec < flood->begin_usec || usec - flood->begin_usec >= SINK_FLOOD_USEC) {
                flood->begin_usec = usec;
                flood->before = flood->seen;
                flood->told = false;
        }
        flood->seen = flood->sent;
        if (flood->told || flood->sent - flood->before < SINK_FLOOD_ENTRIES)
                return false;
        flood->told = true;
        return true;
}
