/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Attached clients: each gets the container's output from the moment it connected, and what they
 * send goes to the container's stdin. A single client is attach-client.c; here is what makes them
 * many: accepting, handing out, the timer they share, and the keeper's part, the socket's making.
 *
 * No output is queued here. Each client has a position of its own in the ring, per stream; one that
 * cannot keep up has EPOLLOUT watched and is served from the ring as it makes room, while nobody
 * else notices. What attach_position() says must be kept. When the ring is full of it the worker
 * stops reading that stream, which holds the container back as any pipe would. A client that holds
 * it back and takes nothing for a while is dropped, unless it is the one that started us or clients
 * have the only copy.
 *
 * Positions lie in slots that outlive the worker, and the keeper has copies of the sockets. So
 * attach_free() closes descriptors and leaves connections and slots as they are: a worker that dies
 * looks just the same, and its successor adopts the clients and goes on. A slot may hold whatever a
 * crashed worker left in it; positions are bounded before use.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "attach/attach-client.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "scopemon/protocol.h"

#define ACCEPT_MAX 256            /* in one wake-up */
#define ACCEPT_RETRY_USEC 100000U /* after running out of descriptors */
#define LINK_CUT_SIZE 107         /* what a socket's address has room for */

static const LayoutField attach_slot_fields[] = {
        LAYOUT_NUMBER(AttachSlot, state, "state"),
        LAYOUT_NUMBER(AttachSlot, flags, "flags"),
        LAYOUT_NUMBERS(AttachSlot, position, "position"),
};

const LayoutFields attach_slot_layout = LAYOUT_FIELDS(attach_slot_fields);

typedef int (*ClientVerb)(AttachClient *c, const void *argument);

static int client_review(AttachClient *c, const void *argument) {
        return attach_client_settle(c, SENT_ALL);
}

/*
 * Handlers push and finish while this runs, and any client may go. So each going starts the round
 * over (verbs do nothing to a client they have served), and a push or finish in between leaves its
 * clients to a last round instead of running inside this one: a thousand clients that all go would
 * otherwise be as many stack frames.
 */
static int for_each_client(Attach *a, ClientVerb verb, const void *argument) {
        AttachClient *c = a->clients;
        int r = 0;

        a->busy = true;
        while (c && r >= 0) {
                unsigned n_gone = a->n_gone;

                r = verb(c, argument);
                c = a->n_gone == n_gone ? c->next : a->clients;
                if (!c && a->behind) {
                        a->behind = false;
                        verb = client_review;
                        c = a->clients;
                }
        }
        a->busy = a->behind = false;
        return r < 0 ? relay(r) : 0;
}

static void take_positions(const Attach *a, uint64_t positions[_STREAM_MAX]) {
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                positions[id] = attach_position(a, id);
}

static int tell_room(Attach *a, const uint64_t before[_STREAM_MAX]) {
        int r;

        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                if (attach_position(a, id) <= before[id])
                        continue;
                r = a->handler->on_room(a->userdata, id);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static int attach_on_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        AttachClient *c = userdata;
        Attach *a = c->attach;
        uint32_t number = c->number;
        uint64_t before[_STREAM_MAX];
        int r = 0;

        take_positions(a, before);
        if (revents & EPOLLERR) {
                int error;
                socklen_t size = sizeof error;

                /* ECONNRESET, told once: not to whoever reads what the client has left. */
                (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (revents & EPOLLHUP)
                r = attach_client_hang_up(c);
        else if (revents & EPOLLOUT)
                r = attach_client_catch_up(c);
        if (r >= 0 && (revents & EPOLLIN) && attach_slot_in_use(a, number))
                r = a->handler->on_input(a->userdata, number, fd);
        if (r < 0)
                return relay(r);
        return tell_room(a, before);
}

/* The last slot is the starter's for as long as it may come: it has told its user that there is a container. */
static bool attach_has_room(const Attach *a, int fd) {
        bool starter_is_here = false;
        size_t n = 0;

        for (const AttachClient *c = a->clients; c; c = c->next) {
                n++;
                starter_is_here |= (c->slot->flags & ATTACH_STARTER) != 0;
        }
        if (n + 1 < a->spec.n_clients_max)
                return true;
        return n < a->spec.n_clients_max &&
               (starter_is_here || !attach_starter_lives(a) || attach_is_starter(a, fd));
}

/* A flood is told of once. */
static void attach_refused(Attach *a, int error) {
        if (!a->refusing)
                a->handler->on_refused(a->userdata, error);
        a->refusing = true;
}

/* Adopts @fd. Whatever goes wrong is the client's trouble, and nobody else's. */
static void attach_welcome(Attach *a, int fd) {
        _cleanup_close_ int owned = fd;
        AttachClient *c;
        uint32_t number;
        bool starter;
        int r;

        if (a->finishing) {
                attach_client_shut_down(fd);
                return;
        }
        if (!attach_has_room(a, fd)) {
                attach_client_complain(fd, "too many clients");
                attach_client_shut_down(fd);
                attach_refused(a, EMFILE);
                return;
        }
        number = attach_free_slot(a);
        starter = attach_starter_lives(a) && attach_is_starter(a, fd);
        r = attach_client_new(a, number, TAKE_FD(owned), attach_on_event, &c);
        if (r < 0) {
                attach_refused(a, -r);
                if (starter)
                        a->handler->on_starter_lost(a->userdata);
                return;
        }
        a->refusing = false;
        attach_client_fill_slot(a, c->slot, fd);
        (void)attach_client_watch(c); /* what has been added can be changed */
        a->handler->on_client(a->userdata, number, fd);
}

/*
 * All that is read after a client has connected is for it, so clients go first. But not twice in a row: whoever connects
 * without end would keep everybody else from their turn.
 */
static void attach_take_turns(Attach *a) {
        uint64_t turn = 0;

        (void)sd_event_get_iteration(event_loop(a->event), &turn);
        (void)sd_event_source_set_priority(a->listener, turn == a->accepted_turn + 1 ? EVENT_PRIORITY_NORMAL
                                                                                     : EVENT_PRIORITY_FIRST);
        a->accepted_turn = turn;
}

static int attach_on_connect(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Attach *a = userdata;

        attach_take_turns(a);
        for (unsigned i = 0; i < ACCEPT_MAX; i++) {
                int client;

                client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client < 0) {
                        uint64_t now = event_now();

                        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                                return 0;
                        /* No descriptors or memory: the listener stays readable, so look away. */
                        (void)sd_event_source_set_io_events(source, 0);
                        attach_arm_timer(a, now + ACCEPT_RETRY_USEC, now);
                        return 0;
                }
                attach_welcome(a, client);
        }
        return 0;
}

static int client_check(AttachClient *c, const void *argument) {
        return attach_client_check_time(c, *(const uint64_t *)argument);
}

static int attach_on_timer(Timer *timer, void *userdata) {
        Attach *a = userdata;
        uint64_t before[_STREAM_MAX], now = event_now();
        int r;

        a->timer_at = 0;
        take_positions(a, before);
        if (a->listener)
                (void)sd_event_source_set_io_events(a->listener,
                                                    EPOLLIN); /* cannot fail: it is not taken out */
        r = for_each_client(a, client_check, &now);
        if (r < 0)
                return relay(r);
        return tell_room(a, before);
}

static int attach_open(Attach *a) {
        int r;

        r = event_add_timer(a->event, &a->timer, TIMER_NEVER, attach_on_timer, a);
        if (r < 0)
                return relay(r);
        if (a->spec.listener < 0)
                return 0;
        r = event_add_io(a->event, &a->listener, a->spec.listener, EPOLLIN, attach_on_connect, a);
        if (r < 0)
                return relay(r);
        r = sd_event_source_set_priority(a->listener, EVENT_PRIORITY_FIRST); /* see attach_take_turns() */
        return r < 0 ? fail(r) : 0;
}

/**
 * attach_listen() - make the socket "attach"
 * @dir_fd: the bundle
 * @ret_fd: listening and non-blocking; the caller's to close
 *
 * A stale one is replaced.
 *
 * Return: 0 or a negative errno.
 */
int attach_listen(int dir_fd, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        int r;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return fail(-errno);
        if (fchmod(fd, 0700) < 0)
                return fail(-errno);
        (void)foreign_refuse(fd);
        r = fd_bind_at(fd, dir_fd, SCOPEMON_ATTACH_SOCKET);
        if (r < 0)
                return relay(r);
        if (listen(fd, SOMAXCONN) < 0)
                return fail(-errno);

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/**
 * attach_link_path() - the link through which clients find the bundle in the socket directory
 * @ret_path: the caller's to free, and to give to attach_link_remove() at the end
 *
 * A path of exactly 107 characters loses its last one, as old callers expect who cut it to fit a
 * socket's address.
 *
 * Return: 0 or a negative errno.
 */
int attach_link_path(const char *socket_dir, const char *cuuid, char **ret_path) {
        size_t n = strlen(socket_dir);
        char *path;
        int size;

        while (n > 1 && socket_dir[n - 1] == '/')
                n--;
        if (n == 1 && socket_dir[0] == '/')
                n = 0;
        size = asprintf(&path, "%.*s/%s", (int)n, socket_dir, cuuid);
        if (size < 0)
                return fail(-ENOMEM);
        if (size == LINK_CUT_SIZE)
                path[size - 1] = 0;
        *ret_path = path;
        return 0;
}

/**
 * attach_link_make() - make the link
 * @bundle: relative to the working directory, if relative at all
 *
 * There must be none: attach_link_remove() takes a stale one away.
 *
 * Return: 0 or a negative errno.
 */
int attach_link_make(const char *path, const char *bundle) {
        _cleanup_free_ char *absolute = NULL;

        if (bundle[0] != '/') {
                absolute = realpath(bundle, NULL);
                if (!absolute)
                        return fail(-errno);
        }
        return symlink(absolute ?: bundle, path) < 0 ? fail(-errno) : 0;
}

/**
 * attach_link_remove() - remove the link, if there is one
 *
 * Return: 0 or a negative errno.
 */
int attach_link_remove(const char *path) {
        return unlink(path) < 0 && errno != ENOENT ? fail(-errno) : 0;
}

/**
 * attach_new() - accept clients and serve them
 * @spec: copied; its slots must outlive the object
 * @handler: must outlive the object
 *
 * Input is not wanted at first.
 *
 * Return: 0 or a negative errno.
 */
int attach_new(Attach **ret,
               Event *event,
               const AttachSpec *spec,
               const AttachHandler *handler,
               void *userdata) {
        _cleanup_(attach_freep) Attach *a = NULL;
        int r;

        assert(spec->n_slots <= ATTACH_SLOTS);
        assert(spec->n_clients_max <= spec->n_slots);

        a = calloc(1, sizeof *a);
        if (!a)
                return fail(-ENOMEM);
        a->event = event_ref(event);
        a->spec = *spec;
        a->handler = handler;
        a->userdata = userdata;
        memcpy(a->head, spec->head, sizeof a->head);
        r = attach_open(a);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(a);
        return 0;
}

/**
 * attach_free() - close our copies of all clients
 *
 * Neither connections nor slots are touched and nobody is told: whoever has copies can go on with
 * them.
 *
 * Return: NULL.
 */
Attach *attach_free(Attach *a) {
        if (!a)
                return NULL;
        while (a->clients)
                attach_client_free(a->clients);
        a->listener = sd_event_source_disable_unref(a->listener);
        a->timer = timer_free(a->timer);
        event_unref(a->event);
        free(a);
        return NULL;
}

/**
 * attach_adopt() - go on with a client of the worker before us
 * @number: its slot; what it holds is bounded, or made anew if the slot is free
 * @fd: adopted, also on failure
 *
 * It may be found gone, and on_gone be called, at once.
 *
 * Return: 0, or a negative errno: -EINVAL for a slot that is taken or does not exist.
 */
int attach_adopt(Attach *a, uint32_t number, int fd) {
        const uint32_t both = ATTACH_READ_ENDED | ATTACH_WRITE_ENDED;
        AttachClient *c;
        int r;

        if (number >= a->spec.n_slots || attach_slot_in_use(a, number)) {
                fd_close_many(&fd, 1);
                return fail(-EINVAL);
        }
        r = attach_client_new(a, number, fd, attach_on_event, &c);
        if (r < 0)
                return relay(r);

        if (c->slot->state == 0)
                attach_client_fill_slot(a, c->slot, fd);
        c->slot->flags &= ATTACH_FLAGS_KNOWN;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                const Window *w = a->handler->window(a->userdata, id);
                uint64_t *position = &c->slot->position[id];

                if (*position > w->to)
                        *position = w->to;
                if (*position > a->head[id])
                        a->head[id] = *position;
        }
        if ((c->slot->flags & both) == both)
                return attach_client_gone(c);
        return attach_client_settle(c, SENT_ALL);
}

typedef struct Push {
        StreamId id;
        const Window *window;
} Push;

static int client_push(AttachClient *c, const void *argument) {
        const Push *p = argument;

        return attach_client_push(c, p->id, p->window);
}

/**
 * attach_push() - give each client what it has not had
 * @w: from the oldest byte kept to the newest
 *
 * Who is full is served from handler->window later; so is everybody if a handler calls this.
 *
 * Return: 0, or a negative errno of a handler; clients' own errors end with on_gone.
 */
int attach_push(Attach *a, StreamId id, const Window *w) {
        if (w->to > a->head[id])
                a->head[id] = w->to;
        if (a->busy) {
                a->behind = true;
                return 0;
        }
        return for_each_client(a, client_push, &(Push){ id, w });
}

/**
 * attach_position() - the oldest byte of a stream that some client still needs
 *
 * Return: UINT64_MAX if none needs any.
 */
uint64_t attach_position(const Attach *a, StreamId id) {
        uint64_t oldest = UINT64_MAX;

        for (const AttachClient *c = a->clients; c; c = c->next)
                if (attach_client_wants(c, id) && c->slot->position[id] < oldest)
                        oldest = c->slot->position[id];
        return oldest;
}

/**
 * attach_want_input() - have on_input called, or let what clients send wait with them
 */
void attach_want_input(Attach *a, bool on) {
        if (a->want_input == on)
                return;
        a->want_input = on;
        for (AttachClient *c = a->clients; c; c = c->next)
                (void)attach_client_watch(c); /* fails without memory; then its input waits */
}

/**
 * attach_input_done() - what came of on_input
 * @n: bytes taken; 0 for the end, be it end of file or an empty packet
 *
 * After EAGAIN, EINTR or ECONNRESET leave it out: on_input will be called again.
 *
 * Return: 0 or a negative errno.
 */
int attach_input_done(Attach *a, uint32_t number, size_t n) {
        AttachClient *c = a->clients;

        while (c && c->number != number)
                c = c->next;
        if (!c || n > 0)
                return 0;
        c->slot->flags |= ATTACH_READ_ENDED;
        if (c->slot->flags & ATTACH_WRITE_ENDED)
                return attach_client_gone(c);
        return attach_client_watch(c);
}

/**
 * attach_unwithhold() - from now on the starter gets this stream after all
 */
void attach_unwithhold(Attach *a, StreamId id) {
        a->spec.withhold[id] = false;
        for (AttachClient *c = a->clients; c; c = c->next) {
                if (!(c->slot->flags & ATTACH_NO_STDOUT << id))
                        continue;
                c->slot->position[id] = a->head[id];
                c->slot->flags &= ~(ATTACH_NO_STDOUT << id);
        }
}

/**
 * attach_finish() - no more will be pushed: end each client as soon as it has had everything
 *
 * Who connects from now on gets its end of file at once.
 *
 * Return: 0 or a negative errno.
 */
int attach_finish(Attach *a) {
        a->finishing = true;
        if (a->busy) {
                a->behind = true;
                return 0;
        }
        return for_each_client(a, client_review, NULL);
}

/**
 * attach_is_done() - whether no client is left
 */
bool attach_is_done(const Attach *a) {
        return !a->clients;
}
