/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One client of attach.c and what clients have in common: private to these two files. */

#include "attach/attach.h"

#define ATTACH_FLAGS_KNOWN                                                                                   \
        (ATTACH_READ_ENDED | ATTACH_STARTER | ATTACH_NO_STDOUT | ATTACH_NO_STDERR | ATTACH_WRITE_ENDED)

typedef struct AttachClient AttachClient;

struct AttachClient {
        Attach *attach;
        AttachClient *next, *previous;
        sd_event_source *source;
        AttachSlot *slot;
        uint32_t number; /* of the slot */
        int fd;
        bool blocked; /* it lags, and EPOLLOUT or retry_at is awaited; never set otherwise */
        bool hung_up;
        bool stalling;        /* it holds a stream back */
        uint64_t deadline;    /* while stalling: when it is dropped */
        int unread;           /* while stalling: what it had not taken when that was last looked at */
        unsigned turn;        /* the stream served first */
        uint64_t retry_at;    /* 0, or there was no memory to send: when that is tried again */
        uint64_t short_since; /* 0, or when that began */
};

struct Attach {
        Event *event;
        AttachSpec spec;
        const AttachHandler *handler;
        void *userdata;
        sd_event_source *listener;
        uint64_t accepted_turn; /* of the loop, in which it was last called */
        Timer *timer;
        uint64_t timer_at;     /* 0: not armed */
        AttachClient *clients; /* newest first */
        uint64_t used[ATTACH_SLOTS / 64];
        uint64_t head[_STREAM_MAX]; /* first byte not pushed yet */
        unsigned n_gone;            /* how often a client has left the list */
        bool want_input;
        bool finishing;
        bool refusing; /* the last one who came was not served */
        bool hurry;    /* nobody is waited for longer than spec.stall_usec */
        bool busy;     /* going round the clients */
        bool behind;   /* and once more, since there is something new */
};

typedef enum AttachSent {
        SENT_ALL,   /* it has everything of that stream */
        SENT_SOME,  /* it may take more */
        SENT_FULL,  /* it takes nothing now */
        SENT_NEVER, /* it takes nothing any more */
} AttachSent;

void attach_arm_timer(Attach *a, uint64_t at, uint64_t now);
bool attach_slot_in_use(const Attach *a, uint32_t number);
uint32_t attach_free_slot(const Attach *a);

bool attach_starter_lives(const Attach *a);
bool attach_is_starter(const Attach *a, int fd);
void attach_client_complain(int fd, const char *why);
int attach_client_new(Attach *a, uint32_t number, int fd, sd_event_io_handler_t on_event, AttachClient **ret);
AttachClient *attach_client_free(AttachClient *c);
void attach_client_fill_slot(Attach *a, AttachSlot *slot, int fd);
bool attach_client_wants(const AttachClient *c, StreamId id);
int attach_client_watch(AttachClient *c);
int attach_client_push(AttachClient *c, StreamId id, const Window *w);
int attach_client_settle(AttachClient *c, AttachSent sent);
int attach_client_catch_up(AttachClient *c);
int attach_client_check_time(AttachClient *c, uint64_t now);
int attach_client_hang_up(AttachClient *c);
int attach_client_gone(AttachClient *c);
void attach_client_shut_down(int fd);
