/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a container writes while no worker can be had, and none has started for so long that the container would be held
 * back for no good. The keeper looks at none of these bytes: it reads them into a buffer that is overwritten by the next
 * ones, and counts. Pipes, a terminal's master and datagram sockets are alike here.
 *
 * The descriptors are the worker's to be, and may be blocking: there is one read for each wake-up.
 */

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/foreign.h"
#include "supervise/discard.h"

#define DISCARD_READ 16384
#define DISCARD_NOW_MAX 1048576 /* what the largest pipe of a container holds */

/* Bytes that were there; 0 at the end, or after an error, which a terminal's end is. -EINTR and -EAGAIN are neither. */
static ssize_t discard_read(int fd, uint64_t *n_bytes) {
        char buf[DISCARD_READ];
        ssize_t n;

        if (!n_bytes)
                foreign_disarm_next(fd); /* notifications, which nobody counts */
        n = read(fd, buf, sizeof buf);
        if (n < 0)
                return errno == EINTR || errno == EAGAIN ? -errno : 0;
        if (n_bytes)
                *n_bytes += (uint64_t)n;
        return n;
}

static int discard_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Discard *d = userdata;

        if (discard_read(fd, d->n_bytes) == 0)
                discard_end(d);
        return 0;
}

/**
 * discard_begin() - read what comes from a descriptor, until its end or discard_end()
 * @d: all zero, or one that has begun, which goes on
 * @fd: borrowed
 * @n_bytes: borrowed; what is read is added; may be NULL
 *
 * Return: 0 or a negative errno.
 */
int discard_begin(Discard *d, Event *event, int fd, uint64_t *n_bytes) {
        int r;

        if (d->source)
                return 0;
        d->n_bytes = n_bytes;
        r = event_add_io(event, &d->source, fd, EPOLLIN, discard_on_readable, d);
        return r < 0 ? relay(r) : 0;
}

/**
 * discard_end() - leave the descriptor alone again
 */
void discard_end(Discard *d) {
        d->source = sd_event_source_disable_unref(d->source);
}

/**
 * discard_now() - read what is there, and no more than fits into a pipe: whoever still writes is not waited for
 */
void discard_now(int fd, uint64_t *n_bytes) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        for (size_t total = 0; total < DISCARD_NOW_MAX && poll(&p, 1, 0) == 1 && p.revents & POLLIN;) {
                ssize_t n = discard_read(fd, n_bytes);

                if (n <= 0)
                        return;
                total += (size_t)n;
        }
}
