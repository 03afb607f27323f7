/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the keeper tells systemd: READY=1 and its like, and the descriptors for the store. systemd's queue may be full, as
 * when it reads nothing during a daemon-reload: a message then waits here, and those after it, until the loop finds room.
 * Nobody waits for it, so it is given half a minute; after that it is lost, and said to be.
 *
 * Each is sent from a socket that is connected for it, as the manager's may be another one the next time.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/notify-queue.h"
#include "io/notify.h"

#define WAIT_USEC 30000000U
#define AGAIN_USEC 100000U /* between two tries if the loop cannot tell that there is room */
#define MESSAGES_MAX 256   /* all descriptors of a monitor and its clients, put and removed once */

typedef struct Message {
        struct Message *next;
        uint64_t deadline;
        int passed;
        char text[];
} Message;

struct NotifyQueue {
        char *path; /* NULL: there is no manager that listens */
        Event *event;
        sd_event_source *source;
        Timer *timer;
        int fd; /* while messages wait */
        Message *first, *last;
        unsigned n;
        NotifyOnLost on_lost;
        void *userdata;
};

static void disconnect(NotifyQueue *q) {
        q->source = sd_event_source_disable_unref(q->source);
        fd_close_many(&q->fd, 1);
}

static void drop_first(NotifyQueue *q) {
        Message *m = q->first;

        q->first = m->next;
        if (!q->first)
                q->last = NULL;
        q->n--;
        fd_close_many(&m->passed, 1);
        free(m);
}

static int notify_queue_send_now(NotifyQueue *q, const char *text, int passed) {
        int r;

        if (q->fd < 0) {
                r = notify_connect(q->path, &q->fd);
                if (r < 0)
                        return relay(r);
        }
        r = (int)fd_send(q->fd, text, strlen(text), &passed, passed >= 0);
        if (r == -EAGAIN)
                return relay(r);
        disconnect(q);
        return r < 0 ? relay(r) : 0;
}

static int notify_queue_on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static void wait_for_room(NotifyQueue *q) {
        uint64_t now = event_now(), left = q->first->deadline > now ? q->first->deadline - now : 0;

        if (!q->source)
                (void)event_add_io(q->event, &q->source, q->fd, EPOLLOUT, notify_queue_on_room, q);
        timer_set(q->timer, q->source || left < AGAIN_USEC ? left : AGAIN_USEC);
}

static void advance(NotifyQueue *q) {
        while (q->first) {
                int r = notify_queue_send_now(q, q->first->text, q->first->passed);

                if (r == -EAGAIN && event_now() < q->first->deadline) {
                        wait_for_room(q);
                        return;
                }
                if (r < 0)
                        q->on_lost(q->userdata, q->first->text, r == -EAGAIN ? -ETIMEDOUT : r);
                drop_first(q);
        }
        disconnect(q);
        timer_set(q->timer, TIMER_NEVER);
}

static int notify_queue_on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        advance(userdata);
        return 0;
}

static int notify_queue_on_time(Timer *timer, void *userdata) {
        advance(userdata);
        return 0;
}

/**
 * notify_queue_new() - an empty queue
 * @path: the manager's socket, see notify_send(); NULL for none
 *
 * Return: 0 or -ENOMEM.
 */
int notify_queue_new(NotifyQueue **ret,
                     Event *event,
                     const char *path,
                     NotifyOnLost on_lost,
                     void *userdata) {
        _cleanup_(notify_queue_freep) NotifyQueue *q = NULL;
        int r;

        q = calloc(1, sizeof *q);
        if (!q)
                return fail(-ENOMEM);
        q->fd = -1;
        q->event = event;
        q->on_lost = on_lost;
        q->userdata = userdata;
        q->path = path ? strdup(path) : NULL;
        if (path && !q->path)
                return fail(-ENOMEM);
        r = event_add_timer(event, &q->timer, TIMER_NEVER, notify_queue_on_time, q);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(q);
        return 0;
}

static int append(NotifyQueue *q, const char *text, int passed) {
        size_t size = strlen(text) + 1;
        Message *m;

        if (q->n >= MESSAGES_MAX)
                return fail(-EAGAIN);
        m = malloc(sizeof *m + size);
        if (!m)
                return fail(-ENOMEM);
        *m = (Message){ .deadline = event_now() + WAIT_USEC, .passed = -1 };
        memcpy(m->text, text, size);
        if (passed >= 0) {
                m->passed = fd_dup(passed);
                if (m->passed < 0) {
                        int r = m->passed;

                        free(m);
                        return relay(r);
                }
        }
        if (q->last)
                q->last->next = m;
        else
                q->first = m;
        q->last = m;
        q->n++;
        return 0;
}

/**
 * notify_queue_send() - tell the manager, after all that came before: now, or as soon as it has room
 * @passed: a descriptor to go with it, borrowed; -1 for none
 *
 * Return: 0 or a negative errno: -ENOTCONN if there is no manager that listens.
 */
int notify_queue_send(NotifyQueue *q, const char *text, int passed) {
        int r;

        if (!q || !q->path)
                return fail(-ENOTCONN);
        if (!q->first) {
                r = notify_queue_send_now(q, text, passed);
                if (r != -EAGAIN)
                        return r < 0 ? relay(r) : 0;
        }
        r = append(q, text, passed);
        if (!q->first)
                disconnect(q);
        else
                wait_for_room(q);
        return r < 0 ? relay(r) : 0;
}

/**
 * notify_queue_flush() - for a process that ends, or becomes another program: wait for room, but no longer than @msec
 *
 * What has found none by then is lost.
 */
void notify_queue_flush(NotifyQueue *q, int msec) {
        uint64_t end = event_now() + (uint64_t)msec * 1000U;

        while (q && q->first) {
                struct pollfd room = { .fd = q->fd, .events = POLLOUT };
                uint64_t now = event_now();

                if (now < end && poll(&room, 1, (int)((end - now) / 1000U) + 1) == 1) {
                        advance(q);
                        continue;
                }
                q->on_lost(q->userdata, q->first->text, -ETIMEDOUT);
                drop_first(q);
        }
}

/**
 * notify_queue_free() - what waits is dropped
 *
 * Return: NULL.
 */
NotifyQueue *notify_queue_free(NotifyQueue *q) {
        if (!q)
                return NULL;
        disconnect(q);
        timer_free(q->timer);
        while (q->first)
                drop_first(q);
        free(q->path);
        free(q);
        return NULL;
}
