/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The console socket: a private name that the runtime connects to, once, to send one message with one descriptor, the
 * master of the container's terminal. The keeper receives it and keeps it, so that the death of a worker never hangs
 * up a terminal.
 *
 * The runtime is our own caller's choice and is trusted as far as that goes; what it sends is still checked to be
 * exactly one descriptor. The name goes away when it has been used, and when it never was.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/console.h"

#define NAME_MAX_TRIES 16
#define SOCKET_MODE 0700

struct Console {
        const ConsoleHandler *handler;
        void *userdata;
        char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
        int listener, connection;
        sd_event_source *listener_source, *connection_source;
        Event *event;
};

static void console_close_listener(Console *c) {
        if (c->listener < 0)
                return;
        c->listener_source = sd_event_source_disable_unref(c->listener_source);
        (void)unlink(c->path); /* it may have been cleaned up with its directory */
        fd_close_many(&c->listener, 1);
}

static int console_receive(Console *c) {
        char name[4096];
        int fds[2];
        size_t n_fds = 0;
        ssize_t n;

        n = fd_receive(c->connection, name, sizeof name, fds, ELEMENTS(fds), &n_fds);
        if (n == -EAGAIN)
                return 0;
        c->connection_source = sd_event_source_disable_unref(c->connection_source);
        fd_close_many(&c->connection, 1);
        if (n > 0 && n_fds == 1)
                return c->handler->on_terminal(c->userdata, fds[0]);
        if (n == 0 && n_fds == 0)
                return 0; /* closed without a word, as by a runtime that fails: its exit and its stderr say why */
        fd_close_many(fds, n_fds);
        return c->handler->on_bad(c->userdata);
}

static int console_on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r;

        r = console_receive(userdata);
        return r < 0 ? relay(r) : 0;
}

static int console_accept(Console *c) {
        int r;

        do
                c->connection = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        while (c->connection < 0 && errno == EINTR);
        if (c->connection < 0)
                return errno == EAGAIN ? 0 : c->handler->on_bad(c->userdata);

        console_close_listener(c);
        r = event_add_io(c->event, &c->connection_source, c->connection, EPOLLIN, console_on_message, c);
        if (r < 0)
                return c->handler->on_bad(c->userdata);
        return console_receive(c);
}

static int console_on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r;

        r = console_accept(userdata);
        return r < 0 ? relay(r) : 0;
}

static int console_bind(Console *c) {
        const char *dir = getenv("TMPDIR");
        struct sockaddr_un address;
        socklen_t size;
        int r;

        for (unsigned i = 0; i < NAME_MAX_TRIES; i++) {
                uint64_t random;
                int n;

                if (getrandom(&random, sizeof random, GRND_INSECURE) != sizeof random)
                        return fail(-errno);
                n = snprintf(c->path, sizeof c->path, "%s/conmon-term.%08llx", dir && *dir ? dir : "/tmp",
                             (unsigned long long)random & 0xffffffffULL);
                if (n < 0 || (size_t)n >= sizeof c->path)
                        return fail(-ENAMETOOLONG);
                r = fd_unix_address(c->path, &address, &size);
                if (r < 0)
                        return relay(r);
                if (bind(c->listener, (const struct sockaddr *)&address, size) >= 0)
                        return 0;
                if (errno != EADDRINUSE)
                        return fail(-errno);
        }
        return fail(-EADDRINUSE);
}

/**
 * console_new() - wait for a terminal, at a name in $TMPDIR or /tmp
 * @handler: borrowed
 *
 * Return: 0 or a negative errno.
 */
int console_new(Console **ret, Event *event, const ConsoleHandler *handler, void *userdata) {
        _cleanup_(console_freep) Console *c = NULL;
        int r;

        c = calloc(1, sizeof *c);
        if (!c)
                return fail(-ENOMEM);
        c->connection = -1;
        c->handler = handler;
        c->userdata = userdata;
        c->event = event_ref(event);
        c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->listener < 0)
                return fail(-errno);
        if (fchmod(c->listener, SOCKET_MODE) < 0)
                return fail(-errno);
        r = console_bind(c);
        if (r < 0) {
                fd_close_many(&c->listener, 1);
                return relay(r);
        }
        if (listen(c->listener, SOMAXCONN) < 0)
                return fail(-errno);
        r = event_add_io(event, &c->listener_source, c->listener, EPOLLIN, console_on_connection, c);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(c);
        return 0;
}

/**
 * console_free() - stop waiting and take the name away
 *
 * Return: NULL.
 */
Console *console_free(Console *c) {
        if (!c)
                return NULL;
        console_close_listener(c);
        c->connection_source = sd_event_source_disable_unref(c->connection_source);
        fd_close_many(&c->connection, 1);
        event_unref(c->event);
        free(c);
        return NULL;
}

/**
 * console_path() - what the runtime is told
 */
const char *console_path(const Console *c) {
        return c->path;
}

/**
 * console_look() - handle what has come, without waiting for the loop
 *
 * For when the runtime has exited: what it has sent is there.
 *
 * Return: 0 or a negative errno.
 */
int console_look(Console *c) {
        int r = 0;

        if (c->listener >= 0)
                r = console_accept(c);
        else if (c->connection >= 0)
                r = console_receive(c);
        return r < 0 ? relay(r) : 0;
}
