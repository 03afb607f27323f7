/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker and a keeper as far as attach is concerned, and peers that know what is due to them. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/attach.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "event.h"

#define DATA_MAX (4U * 1024U * 1024U)
#define LONG_TIME 3600000000U

typedef struct Fixture {
        Event *event;
        Attach *attach;
        AttachSpec spec;
        char dir[64];
        int dir_fd, listener;
        AttachSlot *slots;
        char *data[_STREAM_MAX];
        Window windows[_STREAM_MAX];
        int copies[ATTACH_SLOTS]; /* what the keeper has */
        unsigned n_clients, n_refused, n_starter_lost, n_gone, n_room;
        char input[64];
        size_t n_input;
        unsigned n_ends;
        size_t output_on_gone; /* bytes that come whenever a client is gone */
} Fixture;

/* The other end of a connection, and how much it has had. */
typedef struct Peer {
        int fd;
        uint64_t got[_STREAM_MAX];
        size_t largest;
        bool ended;
} Peer;

static inline void on_client(void *userdata, uint32_t slot, int fd) {
        Fixture *f = userdata;

        f->n_clients++;
        f->copies[slot] = fd_dup(fd);
}

static inline void on_starter_lost(void *userdata) {
        ((Fixture *)userdata)->n_starter_lost++;
}

static inline void on_refused(void *userdata, int error) {
        ((Fixture *)userdata)->n_refused++;
}

static inline int on_gone(void *userdata, uint32_t slot) {
        Fixture *f = userdata;

        f->n_gone++;
        fd_close_many(&f->copies[slot], 1);
        cr_assert_eq(f->slots[slot].state, 0);
        f->windows[STREAM_STDOUT].to += f->output_on_gone;
        return attach_push(f->attach, STREAM_STDOUT, &f->windows[STREAM_STDOUT]);
}

static inline int on_input(void *userdata, uint32_t slot, int fd) {
        Fixture *f = userdata;
        ssize_t n;

        n = recv(fd, f->input + f->n_input, sizeof f->input - f->n_input, MSG_DONTWAIT);
        cr_assert_geq(n, 0, "errors are not for the reader of input: %m");
        f->n_input += (size_t)n;
        f->n_ends += n == 0;
        return attach_input_done(f->attach, slot, (size_t)n);
}

static inline int on_room(void *userdata, StreamId id) {
        ((Fixture *)userdata)->n_room++;
        return 0;
}

static inline const Window *window(void *userdata, StreamId id) {
        return &((Fixture *)userdata)->windows[id];
}

static const AttachHandler attach_test_handler = { on_client, on_refused, on_starter_lost, on_gone,
                                                   on_input,  on_room,    window };

static inline char byte_at(StreamId id, uint64_t at) {
        return (char)(at * 7 + (at >> 8) + (id == STREAM_STDERR ? 101U : 0U));
}

static inline void fixture_init(Fixture *f) {
        *f = (Fixture){ .dir = "/tmp/test-attach-XXXXXX" };
        cr_assert_not_null(mkdtemp(f->dir));
        f->dir_fd = fd_open_directory(f->dir);
        cr_assert_geq(attach_listen(f->dir_fd, &f->listener), 0);
        cr_assert_geq(event_new(&f->event), 0);
        f->slots = calloc(ATTACH_SLOTS, sizeof *f->slots);
        memset(f->copies, 0xff, sizeof f->copies);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                f->data[id] = malloc(DATA_MAX);
                for (uint64_t i = 0; i < DATA_MAX; i++)
                        f->data[id][i] = byte_at(id, i);
                f->windows[id].data = f->data[id];
        }
        f->spec = (AttachSpec){ .listener = f->listener,
                                .slots = f->slots,
                                .n_slots = ATTACH_SLOTS,
                                .n_clients_max = ATTACH_SLOTS,
                                .stall_usec = LONG_TIME,
                                .shortage_usec = LONG_TIME };
}

static inline void fixture_open(Fixture *f) {
        cr_assert_geq(attach_new(&f->attach, f->event, &f->spec, &attach_test_handler, f), 0);
        attach_want_input(f->attach, true);
}

static inline void fixture_done(Fixture *f) {
        f->attach = attach_free(f->attach);
        event_unref(f->event);
        fd_close_many(f->copies, ATTACH_SLOTS);
        free(f->slots);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                free(f->data[id]);
        fd_close_many(&f->listener, 1);
        (void)unlinkat(f->dir_fd, "attach", 0);
        fd_close_many(&f->dir_fd, 1);
        cr_assert_eq(rmdir(f->dir), 0);
}

/* Runs until nothing is pending; a source that stays ready for ever is a failure. */
static inline void run_idle(Fixture *f) {
        for (unsigned i = 0; i < 10000; i++)
                if (event_turn(f->event, 0) == 0)
                        return;
        cr_assert_fail("the loop never comes to rest");
}

/* @n more bytes come out of the container. */
static inline void output(Fixture *f, StreamId id, size_t n) {
        f->windows[id].to += n;
        cr_assert_geq(attach_push(f->attach, id, &f->windows[id]), 0);
}

static inline int connect_to(const char *dir) {
        struct sockaddr_un address;
        char path[PATH_MAX];
        socklen_t size;
        int fd;

        (void)snprintf(path, sizeof path, "%s/attach", dir);
        cr_assert_geq(fd_unix_address(path, &address, &size), 0);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0, "%s: %m", path);
        return fd;
}

static inline Peer peer_connect(Fixture *f) {
        Peer p = { .fd = connect_to(f->dir) };

        for (StreamId id = 0; id < _STREAM_MAX; id++)
                p.got[id] = f->windows[id].to;
        run_idle(f);
        return p;
}

/* Takes one packet and compares it; false if there is none. */
static inline bool peer_take(Peer *p) {
        char packet[8194];
        ssize_t n;
        StreamId id;

        n = recv(p->fd, packet, sizeof packet, MSG_DONTWAIT);
        if (n < 0) {
                cr_assert_eq(errno, EAGAIN, "%m");
                return false;
        }
        p->ended = n == 0;
        if (n == 0)
                return false;
        cr_assert(n > 1 && n <= 8193);
        cr_assert(packet[0] == 2 || packet[0] == 3);
        id = packet[0] == 2 ? STREAM_STDOUT : STREAM_STDERR;
        for (ssize_t i = 1; i < n; i++)
                cr_assert_eq(packet[i], byte_at(id, p->got[id] + (uint64_t)i - 1));
        p->got[id] += (uint64_t)n - 1;
        if ((size_t)n > p->largest)
                p->largest = (size_t)n;
        return true;
}

static inline void peer_take_all(Fixture *f, Peer *p) {
        do
                run_idle(f);
        while (peer_take(p));
}

static inline void peer_close(Peer *p) {
        fd_close_many(&p->fd, 1);
}

static inline bool peer_has_all(const Fixture *f, const Peer *p) {
        return p->got[0] == f->windows[0].to && p->got[1] == f->windows[1].to;
}
