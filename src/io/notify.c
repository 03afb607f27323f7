/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sd_notify relay. Podman mounts <bundle>/notify into the container, the container writes
 * datagrams to notify.sock in it, and those lines that may pass reach the service manager.
 *
 * The keeper binds the socket and is also the one who sends, so that systemd sees the monitor's
 * pid. What the container sends is received and filtered by the worker. The keeper filters again
 * what it gets from the worker before it calls notify_send(): here nothing is checked.
 *
 * Datagrams are received together with whatever descriptors they carry, which are closed as soon as
 * the message has been passed on: a sender that waits for its barrier descriptor to be closed
 * (systemd-notify does) goes on, and nobody can leave descriptors with us. One datagram per wake-up: a container that floods the
 * socket delays nobody; what a container says right before its end is still taken (notify_drain()).
 * One that is longer than NOTIFY_MAX is dropped whole, as service managers do.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "io/notify.h"
#include "wire/notifymsg.h"

#define DRAIN_MAX 64 /* messages; a socket's queue is far shorter */

static_assert(NOTIFY_MAX == NOTIFYMSG_MAX, "what is received can be filtered");

struct Notify {
        int fd;
        const NotifyHandler *handler;
        void *userdata;
        sd_event_source *source;
};

/**
 * notify_listen() - bind <bundle>/notify/notify.sock
 * @bundle_fd: the bundle; the directory notify in it is the caller's to make
 * @ret_fd: non-blocking; the caller's to close
 *
 * A stale socket is replaced. Everybody may write to it, since the container's user is anybody.
 *
 * Return: 0 or a negative errno.
 */
int notify_listen(int bundle_fd, int *ret_fd) {
        _cleanup_close_ int dir_fd = -1, fd = -1;
        int r;

        dir_fd = openat(bundle_fd, "notify", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return fail(-errno);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return fail(-errno);
        if (fchmod(fd, 0777) < 0)
                return fail(-errno);
        r = fd_bind_at(fd, dir_fd, "notify.sock");
        if (r < 0)
                return relay(r);

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/**
 * notify_connect() - a socket to tell the service manager something
 * @path: its socket; a leading '@' stands for the abstract name space
 * @ret_fd: non-blocking; the caller's to close
 *
 * Return: 0, or a negative errno: -ENAMETOOLONG for a path of more than 107 bytes.
 */
int notify_connect(const char *path, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un address;
        socklen_t size;
        int r;

        r = fd_unix_address(path, &address, &size);
        if (r < 0)
                return relay(r);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return fail(-errno);
        if (connect(fd, (const struct sockaddr *)&address, size) < 0)
                return fail(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/**
 * notify_send() - pass a message on to the service manager, now
 * @path: as notify_connect()
 * @passed: a descriptor to go with it, borrowed; -1 for none
 *
 * Return: 0, or a negative errno: -EAGAIN if the manager's queue is full.
 */
int notify_send(const char *path, const char *data, size_t n, int passed) {
        _cleanup_close_ int fd = -1;
        int r;

        r = notify_connect(path, &fd);
        if (r >= 0)
                r = (int)fd_send(fd, data, n, &passed, passed >= 0);
        return r < 0 ? relay(r) : 0;
}

/* Returns 1 if there was a message, 0 if there is none. */
static int notify_take(Notify *n) {
        char data[NOTIFY_MAX];
        int fds[FOREIGN_MAX], r = 0;
        size_t n_fds = 0, passed;
        ssize_t size;

        size = fd_receive(n->fd, data, sizeof data, fds, ELEMENTS(fds), &n_fds);
        if (size == -EMSGSIZE)
                return 1;
        if (size < 0)
                return size == -EAGAIN ? 0 : relay((int)size);

        passed = notifymsg_filter(data, (size_t)size, data);
        if (passed > 0)
                r = n->handler->on_message(n->userdata, data, passed, fds, n_fds); /* may free n */
        foreign_close(fds, n_fds);
        return r < 0 ? relay(r) : 1;
}

static int notify_on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r;

        r = notify_take(userdata);
        return r < 0 ? relay(r) : 0;
}

/**
 * notify_new() - receive what the container says
 * @fd: of notify_listen(), borrowed
 * @handler: must outlive the object
 *
 * Return: 0 or a negative errno.
 */
int notify_new(Notify **ret, Event *event, int fd, const NotifyHandler *handler, void *userdata) {
        _cleanup_(notify_freep) Notify *n = NULL;
        int r;

        n = calloc(1, sizeof *n);
        if (!n)
                return fail(-ENOMEM);
        n->fd = fd;
        n->handler = handler;
        n->userdata = userdata;
        r = event_add_io(event, &n->source, fd, EPOLLIN, notify_on_message, n);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(n);
        return 0;
}

/**
 * notify_drain() - take what a container that has ended had still to say
 *
 * Bounded, as other processes may go on sending.
 *
 * Return: 0 or a negative errno.
 */
int notify_drain(Notify *n) {
        for (int i = 0; i < DRAIN_MAX; i++) {
                int r = notify_take(n);

                if (r <= 0)
                        return r < 0 ? relay(r) : 0;
        }
        return 0;
}

/**
 * notify_free() - stop receiving; the socket stays open
 *
 * Return: NULL.
 */
Notify *notify_free(Notify *n) {
        if (!n)
                return NULL;
        n->source = sd_event_source_disable_unref(n->source);
        free(n);
        return NULL;
}
