/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A container that floods the journal leaves no room in its socket for what its monitor has to say. An entry that finds
 * none waits here and is tried again by a timer; the order is kept. What is too much is lost, and counted: an entry says how
 * many as soon as the others have been sent. At the end of a monitor whose journal stands still nobody can be told.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "report/entry-queue.h"

#define AGAIN_USEC 20000U
#define ENTRIES_MAX 64U
#define BYTES_MAX 131072U

typedef struct QueuedEntry QueuedEntry;
struct QueuedEntry {
        QueuedEntry *next;
        size_t n;
        char data[];
};

struct EntryQueue {
        Event *event;
        Timer *timer; /* NULL as long as there was always room */
        QueuedEntry *first, *last;
        size_t n_entries, n_bytes;
        unsigned n_lost;
};

/**
 * entry_queue_new() - an empty one
 *
 * Return: 0 or -ENOMEM.
 */
int entry_queue_new(EntryQueue **ret, Event *event) {
        EntryQueue *q = calloc(1, sizeof *q);

        if (!q)
                return fail(-ENOMEM);
        q->event = event_ref(event);
        *ret = q;
        return 0;
}

static void entry_queue_drop_first(EntryQueue *q) {
        QueuedEntry *e = q->first;

        q->first = e->next;
        if (!q->first)
                q->last = NULL;
        q->n_entries--;
        q->n_bytes -= e->n;
        free(e);
}

/**
 * entry_queue_free() - what waits is lost
 *
 * Return: NULL.
 */
EntryQueue *entry_queue_free(EntryQueue *q) {
        if (!q)
                return NULL;
        while (q->first)
                entry_queue_drop_first(q);
        q->timer = timer_free(q->timer);
        q->event = event_unref(q->event);
        free(q);
        return NULL;
}

static void tell_lost(EntryQueue *q) {
        unsigned n = q->n_lost;

        q->n_lost = 0;
        log_warning("%u messages are missing in the journal, which had no room for them", n);
}

/* Return: false if there is no room yet. Another error will not pass: then the entry is lost, as it always was. */
static bool entry_queue_advance(EntryQueue *q) {
        while (q->first) {
                if (log_try_entry(q->first->data, q->first->n) == -EAGAIN)
                        return false;
                entry_queue_drop_first(q);
        }
        if (q->n_lost > 0)
                tell_lost(q);
        return !q->first;
}

static int entry_queue_on_time(Timer *timer, void *userdata) {
        timer_set(timer, entry_queue_advance(userdata) ? TIMER_NEVER : AGAIN_USEC);
        return 0;
}

/* Return: 0 if it waits now. */
static int entry_queue_add(EntryQueue *q, const char *entry, size_t n) {
        QueuedEntry *e = NULL;
        int r = 0;

        if (!q->timer)
                r = event_add_timer(q->event, &q->timer, AGAIN_USEC, entry_queue_on_time, q);
        else if (!q->first)
                timer_set(q->timer, AGAIN_USEC);
        if (r >= 0 && q->n_entries < ENTRIES_MAX && q->n_bytes + n <= BYTES_MAX)
                e = malloc(sizeof *e + n);
        if (!e) {
                q->n_lost++;
                return r < 0 ? relay(r) : fail(-ENOBUFS);
        }
        e->next = NULL;
        e->n = n;
        memcpy(e->data, entry, n);
        if (q->last)
                q->last->next = e;
        else
                q->first = e;
        q->last = e;
        q->n_entries++;
        q->n_bytes += n;
        return 0;
}

/**
 * entry_queue_send() - send an entry, now or when there is room; a LogSender
 *
 * Never waits.
 *
 * Return: 0, or a negative errno if it will not be sent.
 */
int entry_queue_send(const char *entry, size_t n, void *userdata) {
        EntryQueue *q = userdata;
        int r;

        if (q->first)
                return entry_queue_add(q, entry, n);
        r = log_try_entry(entry, n);
        return r == -EAGAIN ? entry_queue_add(q, entry, n) : r;
}

/**
 * entry_queue_finish() - nobody will come back: wait for room, for @usec at most
 */
void entry_queue_finish(EntryQueue *q, uint64_t usec) {
        uint64_t end = event_now() + usec, now;

        while (!entry_queue_advance(q) && (now = event_now()) < end)
                if (log_wait_for_room(end - now) < 0)
                        return;
}
