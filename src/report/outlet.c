/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The peer may be a pipe, a stream or seqpacket socket, and belongs to somebody else: it may have gone (then the
 * descriptor is closed and that is all) or never be read. A record that finds no room is kept, and written from the
 * loop as soon as there is room; one that has waited for a second is given up. Records go out in the order in which they
 * came, never two mixed.
 *
 * O_NONBLOCK is not touched, since the description may be shared. A record is one write: on seqpacket it is one packet,
 * and it fits into one page of a pipe, so where poll() sees room a write does not wait. Any other error than that of a
 * full pipe may be over in a moment (the kernel has no memory), so the write is tried again until the second is over.
 *
 * SIGPIPE must be ignored in whatever process uses this.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "report/outlet.h"

#define WAIT_USEC 1000000U
#define AGAIN_USEC 10000U /* between two tries when the loop cannot tell that there is room */

struct OutletRecord {
        OutletRecord *next;
        unsigned what;
        uint64_t deadline;
        size_t size, done;
        char data[];
};

static int outlet_on_time(Timer *timer, void *userdata) {
        outlet_advance(userdata);
        return 0;
}

static int outlet_on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        outlet_advance(userdata);
        return 0;
}

/**
 * outlet_init() - get ready to send
 * @fd: adopted, whatever comes of this; -1 for none
 * @handler: must outlive the object
 *
 * Return: 0 or -ENOMEM.
 */
int outlet_init(Outlet *o, Event *event, int fd, const OutletHandler *handler, void *userdata) {
        int r;

        *o = (Outlet){ .fd = fd, .event = event, .handler = handler, .userdata = userdata };
        r = event_add_timer(event, &o->timer, TIMER_NEVER, outlet_on_time, o);
        return r < 0 ? relay(r) : 0;
}

static void close_fd(Outlet *o) {
        o->source = sd_event_source_disable_unref(o->source);
        cleanup_close(&o->fd);
        o->fd = -1;
}

static void outlet_drop_first(Outlet *o) {
        OutletRecord *record = o->first;

        o->first = record->next;
        if (!o->first)
                o->last = NULL;
        free(record);
}

/**
 * outlet_done() - close it, so that the reader sees the end; what waits is dropped
 */
void outlet_done(Outlet *o) {
        close_fd(o);
        o->timer = timer_free(o->timer);
        while (o->first)
                outlet_drop_first(o);
}

/* Bytes written, or a negative errno: -EPIPE if nobody will ever read. */
static ssize_t write_some(int fd, const char *data, size_t n) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        ssize_t written;

        written = send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written < 0 && errno == ENOTSOCK) {
                if (poll(&p, 1, 0) == 0)
                        return -EAGAIN;
                written = write(fd, data, n);
        }
        if (written > 0)
                return written;
        if (written == 0)
                return -EAGAIN;
        return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

/* Return: 0 if all of it is written, or a negative errno. */
static int write_record(int fd, OutletRecord *record) {
        while (record->done < record->size) {
                ssize_t n = write_some(fd, record->data + record->done, record->size - record->done);

                if (n < 0)
                        return (int)n;
                record->done += (size_t)n;
        }
        return 0;
}

/* The first record has to wait for what @error says. */
static void outlet_wait_for_room(Outlet *o, int error) {
        uint64_t now = event_now(), left = o->first->deadline > now ? o->first->deadline - now : 0;

        if (error != -EAGAIN) /* room it has; the loop would turn without a pause */
                o->source = sd_event_source_disable_unref(o->source);
        else if (!o->source)
                (void)event_add_io(o->event, &o->source, o->fd, EPOLLOUT, outlet_on_room, o);
        timer_set(o->timer, o->source || left < AGAIN_USEC ? left : AGAIN_USEC);
}

/* Half a record would spoil whatever follows, and an end says more than silence. */
static void lose_first(Outlet *o, int error) {
        unsigned what = o->first->what;

        if (o->first->done > 0 || error != -ETIMEDOUT)
                close_fd(o);
        outlet_drop_first(o);
        o->handler->on_lost(o->userdata, what, error);
}

static void send_waiting(Outlet *o) {
        while (o->first) {
                int r = o->fd < 0 ? 0 : write_record(o->fd, o->first);

                if (r == -EPIPE)
                        close_fd(o);
                else if (r < 0 && r != -EBADF && event_now() < o->first->deadline) {
                        outlet_wait_for_room(o, r);
                        return;
                } else if (r < 0)
                        lose_first(o, r == -EAGAIN ? -ETIMEDOUT : r);
                else
                        outlet_drop_first(o);
        }
        o->source = sd_event_source_disable_unref(o->source);
        if (o->timer) /* else on_lost() has closed it all */
                timer_set(o->timer, TIMER_NEVER);
}

/**
 * outlet_advance() - send what waits and can be sent, and give up what has waited for too long
 *
 * The loop does this by itself, as long as there is one.
 */
void outlet_advance(Outlet *o) {
        if (!o->first)
                return;
        send_waiting(o);
        if (!o->first)
                o->handler->on_settled(o->userdata);
}

/**
 * outlet_send() - send a record after all that came before it, now or as soon as there is room
 * @n: OUTLET_RECORD_MAX at most
 */
void outlet_send(Outlet *o, unsigned what, const char *data, size_t n) {
        OutletRecord *record;

        if (o->fd < 0)
                return;
        record = malloc(sizeof *record + n);
        if (!record) {
                o->handler->on_lost(o->userdata, what, fail(-ENOMEM));
                return;
        }
        *record = (OutletRecord){ .what = what, .deadline = event_now() + WAIT_USEC, .size = n };
        memcpy(record->data, data, n);
        if (o->last)
                o->last->next = record;
        else
                o->first = record;
        o->last = record;
        if (o->first == record)
                send_waiting(o);
}

/**
 * outlet_is_waiting() - is there a record that could not be sent yet?
 */
bool outlet_is_waiting(const Outlet *o) {
        return o->first;
}
