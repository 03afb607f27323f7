/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The console socket: a private name that the runtime connects to, once, to send one message with one descriptor, the
 * master of the container's terminal. The keeper receives it and keeps it, so that the death of a worker never hangs
 * up a terminal.
 *
 * The runtime is our own caller's choice and is trusted as far as that goes; what it sends is still checked to be
 * exactly one descriptor. Somebody else who connects and leaves, and an accept() that fails for the moment, are no
 * reason not to wait for it. The name goes away when it has been used, and when it never was.
 *
 * It stands in the directory that the caller wants, or in any other where a socket can be made.
 */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "io/console.h"

#define NAME_MAX_TRIES 16
#define SOCKET_MODE 0700
#define PEERS_MAX 4 /* who come while none of them has sent a terminal */
#define RETRY_USEC 100000U

typedef struct Peer {
        Console *console;
        int fd; /* -1 for a free place */
        sd_event_source *source;
} Peer;

struct Console {
        const ConsoleHandler *handler;
        void *userdata;
        char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
        int listener;
        sd_event_source *listener_source;
        Timer *retry;
        Peer peers[PEERS_MAX];
        Event *event;
};

static void console_close_listener(Console *c) {
        if (c->listener < 0)
                return;
        c->listener_source = sd_event_source_disable_unref(c->listener_source);
        c->retry = timer_free(c->retry);
        (void)unlink(c->path); /* it may have been cleaned up with its directory */
        fd_close_many(&c->listener, 1);
}

static void peer_close(Peer *p) {
        p->source = sd_event_source_disable_unref(p->source);
        fd_close_many(&p->fd, 1);
}

static int peer_receive(Peer *p) {
        Console *c = p->console;
        char name[4096];
        int fds[2];
        size_t n_fds = 0;
        ssize_t n;

        n = fd_receive(p->fd, name, sizeof name, fds, ELEMENTS(fds), &n_fds);
        if (n == -EAGAIN)
                return 0;
        peer_close(p);
        if (c->listener >= 0)
                (void)sd_event_source_set_enabled(c->listener_source,
                                                  SD_EVENT_ON); /* there is a place again */
        if (n > 0 && n_fds == 1) {
                console_close_listener(c);
                return c->handler->on_terminal(c->userdata, fds[0]);
        }
        if (n == -ECONNRESET || (n == 0 && n_fds == 0))
                return 0; /* without a word, as a runtime that fails: its exit and its stderr say why */
        foreign_close(fds, n_fds);
        return c->handler->on_bad(c->userdata);
}

static int console_on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r;

        r = peer_receive(userdata);
        return r < 0 ? relay(r) : 0;
}

static Peer *free_peer(Console *c) {
        for (size_t i = 0; i < PEERS_MAX; i++)
                if (c->peers[i].fd < 0)
                        return &c->peers[i];
        return NULL;
}

/* No descriptors or no memory: the listener stays readable, so look away for a moment. */
static int console_look_away(Console *c) {
        (void)sd_event_source_set_enabled(c->listener_source, SD_EVENT_OFF);
        timer_set(c->retry, RETRY_USEC);
        return 0;
}

static int console_accept(Console *c) {
        Peer *p = free_peer(c);
        int r;

        if (!p) {
                (void)sd_event_source_set_enabled(c->listener_source,
                                                  SD_EVENT_OFF); /* until one of them leaves */
                return 0;
        }
        p->fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (p->fd < 0)
                return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : console_look_away(c);
        r = event_add_io(c->event, &p->source, p->fd, EPOLLIN, console_on_message, p);
        if (r < 0) {
                peer_close(p);
                return console_look_away(c);
        }
        return peer_receive(p);
}

static int console_on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int r;

        r = console_accept(userdata);
        return r < 0 ? relay(r) : 0;
}

static int console_on_retry(Timer *timer, void *userdata) {
        Console *c = userdata;

        if (sd_event_source_set_enabled(c->listener_source, SD_EVENT_ON) < 0)
                timer_set(c->retry, RETRY_USEC);
        return 0;
}

/* Return: 0 or a negative errno. */
static int console_bind_in(Console *c, const char *dir) {
        struct sockaddr_un address;
        socklen_t size;
        int r;

        for (unsigned i = 0; i < NAME_MAX_TRIES; i++) {
                uint64_t random;
                int n;

                if (getrandom(&random, sizeof random, GRND_INSECURE) != sizeof random)
                        return -errno;
                n = snprintf(c->path, sizeof c->path, "%s/conmon-term.%08llx", dir,
                             (unsigned long long)random & 0xffffffffULL);
                if (n < 0 || (size_t)n >= sizeof c->path)
                        return -ENAMETOOLONG;
                r = fd_unix_address(c->path, &address, &size);
                if (r < 0)
                        return r;
                if (bind(c->listener, (const struct sockaddr *)&address, size) >= 0)
                        return 0;
                if (errno != EADDRINUSE)
                        return -errno;
        }
        return -EADDRINUSE;
}

__attribute__((format(printf, 2, 3))) static void add_wrong(char wrong[CONSOLE_WRONG_MAX],
                                                            const char *format,
                                                            ...) {
        size_t n = strlen(wrong);
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(wrong + n, CONSOLE_WRONG_MAX - n, format, ap);
        va_end(ap);
}

/* Where the caller wants it, where all that is the container's lies, and where everybody may make a socket. */
static int console_bind(Console *c, const char *bundle, char wrong[CONSOLE_WRONG_MAX]) {
        const char *wanted = getenv("TMPDIR");
        const char *const places[] = { wanted && *wanted ? wanted : "/tmp",
                                       bundle,
                                       getenv("XDG_RUNTIME_DIR"),
                                       "/run",
                                       "/tmp",
                                       "/var/tmp",
                                       "/dev/shm" };
        int first = 0;

        (void)snprintf(wrong, CONSOLE_WRONG_MAX, "no place for the console socket");
        for (size_t i = 0; i < ELEMENTS(places); i++) {
                int r;

                if (!places[i] || !*places[i] || (i > 0 && strcmp(places[i], places[0]) == 0))
                        continue;
                r = console_bind_in(c, places[i]);
                if (r >= 0)
                        return 0;
                add_wrong(wrong, "%s %s (%s)", first == 0 ? ":" : ",", places[i], strerror(-r));
                if (first == 0)
                        first = r;
        }
        return fail(first);
}

/**
 * console_new() - wait for a terminal, at a name in $TMPDIR or /tmp, or where else there can be one
 * @bundle: directory of the bundle; may be NULL
 * @handler: borrowed
 * @wrong: on failure filled with what to say; "" if nothing is known
 *
 * Return: 0 or a negative errno.
 */
int console_new(Console **ret,
                Event *event,
                const char *bundle,
                const ConsoleHandler *handler,
                void *userdata,
                char wrong[CONSOLE_WRONG_MAX]) {
        _cleanup_(console_freep) Console *c = NULL;
        int r;

        wrong[0] = 0;
        c = calloc(1, sizeof *c);
        if (!c)
                return fail(-ENOMEM);
        for (size_t i = 0; i < PEERS_MAX; i++)
                c->peers[i] = (Peer){ .console = c, .fd = -1 };
        c->handler = handler;
        c->userdata = userdata;
        c->event = event_ref(event);
        c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->listener < 0)
                return fail(-errno);
        if (fchmod(c->listener, SOCKET_MODE) < 0)
                return fail(-errno);
        r = console_bind(c, bundle, wrong);
        if (r < 0) {
                fd_close_many(&c->listener, 1);
                return relay(r);
        }
        wrong[0] = 0;
        if (listen(c->listener, SOMAXCONN) < 0)
                return fail(-errno);
        r = event_add_timer(event, &c->retry, TIMER_NEVER, console_on_retry, c);
        if (r >= 0)
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
        for (size_t i = 0; i < PEERS_MAX; i++)
                peer_close(&c->peers[i]);
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

        for (size_t i = 0; r >= 0 && i < PEERS_MAX; i++)
                if (c->peers[i].fd >= 0)
                        r = peer_receive(&c->peers[i]);
        for (size_t i = 0; r >= 0 && i < PEERS_MAX && c->listener >= 0; i++)
                r = console_accept(c);
        return r < 0 ? relay(r) : 0;
}
