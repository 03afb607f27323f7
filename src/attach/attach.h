/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Attached clients. The keeper makes the socket and its symlink; the worker accepts and serves.
 * Positions live in slots that outlive the worker, so that its successor goes on at the right byte.
 * Handlers may call anything here but attach_free().
 *
 * Order of a replacement: attach_new(), attach_adopt() for each client the keeper has,
 * attach_push() for each stream, then the loop. Position may move on inside attach_push(),
 * attach_unwithhold() and attach_finish() too: ask afterwards; on_room tells of what happens in the
 * loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/stream.h"
#include "event/event.h"
#include "wire/layout.h"

#define ATTACH_SLOTS 1024

/* AttachSlot.flags */
#define ATTACH_READ_ENDED (1U << 0) /* half-closed: it sends no more */
#define ATTACH_STARTER (1U << 1)    /* the process that started us */
#define ATTACH_NO_STDOUT (1U << 2)  /* withheld from it; stream N is ATTACH_NO_STDOUT << N */
#define ATTACH_NO_STDERR (1U << 3)
#define ATTACH_WRITE_ENDED (1U << 4) /* takes no more */

typedef struct AttachSlot {
        STATE_MORE(uint64_t more;)
        uint32_t state; /* 0 is free */
        uint32_t flags;
        uint64_t position[_STREAM_MAX]; /* first byte of each stream the client has not had */
} AttachSlot;

extern const LayoutFields attach_slot_layout;

typedef struct Attach Attach;

typedef struct AttachHandler {
        /* Accepted; @fd is borrowed. */
        void (*on_client)(void *userdata, uint32_t slot, int fd);
        /* One or more were not, or can be sent no more; they have been told so if that is possible. */
        void (*on_refused)(void *userdata, int error);
        /* It was the process that started us, whose stdin the container's was to be. */
        void (*on_starter_lost)(void *userdata);
        /* Shut down and closed; the slot is free again. */
        int (*on_gone)(void *userdata, uint32_t slot);
        /* Take a packet and say so with attach_input_done(). */
        int (*on_input)(void *userdata, uint32_t slot, int fd);
        /* attach_position() has moved on. */
        int (*on_room)(void *userdata, StreamId id);
        /* All bytes kept; never NULL. */
        const Window *(*window)(void *userdata, StreamId id);
} AttachHandler;

typedef struct AttachSpec {
        int listener; /* borrowed; -1 for none */
        AttachSlot *slots;
        size_t n_slots;             /* ATTACH_SLOTS at most */
        size_t n_clients_max;       /* at the same time; n_slots at most */
        uint64_t head[_STREAM_MAX]; /* bytes pushed already, by a worker before this one */
        pid_t starter;              /* 0 for nobody */
        int starter_pidfd;          /* of it, so that no later process passes for it; borrowed */
        bool withhold[_STREAM_MAX]; /* from the starter */
        bool keep_slow;             /* clients have the only copy: never drop one */
        uint64_t lag_max;           /* a lag of as many bytes holds the stream back; 0: any lag does */
        uint64_t stall_usec;        /* how long a client that holds a stream back may take nothing */
        uint64_t
                shortage_usec; /* how long there may be no memory to send to a client, even to one that is kept */
} AttachSpec;

/* The keeper's side. */
int attach_listen(int dir_fd, int *ret_fd);
int attach_link_path(const char *socket_dir, const char *cuuid, char **ret_path);
int attach_link_make(const char *path, const char *bundle);
int attach_link_remove(const char *path);

/* The worker's. */
int attach_new(Attach **ret,
               Event *event,
               const AttachSpec *spec,
               const AttachHandler *handler,
               void *userdata);
Attach *attach_free(Attach *a);
DEFINE_CLEANUP(Attach, attach_free)

int attach_adopt(Attach *a, uint32_t slot, int fd);
int attach_push(Attach *a, StreamId id, const Window *w);
uint64_t attach_position(const Attach *a, StreamId id);
void attach_want_input(Attach *a, bool on);
int attach_input_done(Attach *a, uint32_t slot, size_t n);
void attach_hurry(Attach *a);
void attach_unwithhold(Attach *a, StreamId id);
int attach_finish(Attach *a);
bool attach_is_done(const Attach *a);
