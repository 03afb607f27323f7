/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One attached client: what it is sent, when it is watched for what, and how it ends.
 *
 * Output is never copied: packets are made of pointers into the ring, from the client's own
 * position on. The position moves after the kernel has the bytes, so that a worker that dies in
 * between repeats a batch instead of losing it.
 *
 * A connection ends in two halves. READ_ENDED: the client sends no more (an empty packet says so,
 * too) but still gets output. WRITE_ENDED: it takes no more, but what it sent before may still be
 * unread. With both it is gone. A hang-up is readable for ever, so a client that has hung up while
 * its input is not wanted is not watched at all until it is.
 *
 * A send may fail for lack of memory while the socket is writable all the time: EPOLLOUT says nothing then, and a timer
 * tries again. If that lasts, the client takes no more.
 *
 * What a client sent and nobody wanted is thrown away before its socket is closed: the kernel would
 * otherwise answer it with ECONNRESET, ahead of output it has not read yet.
 */

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "attach/attach-client.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "base/process.h"
#include "event/event.h"
#include "scopemon/protocol.h"

#define PACKETS_MAX 64    /* in one call */
#define DISCARD_MAX 4096  /* packets; more than a socket buffer holds */
#define RETRY_USEC 10000U /* after a send for which there was no memory */

static_assert(ATTACH_NO_STDOUT << STREAM_STDERR == ATTACH_NO_STDERR, "one flag per stream");
static_assert(SCOPEMON_ATTACH_STDOUT + STREAM_STDERR == SCOPEMON_ATTACH_STDERR, "one number per stream");

/**
 * attach_arm_timer() - have the timer of all clients expire at @at, or earlier
 */
void attach_arm_timer(Attach *a, uint64_t at, uint64_t now) {
        if (a->timer_at != 0 && a->timer_at <= at)
                return;
        timer_set(a->timer, at > now ? at - now : 0);
        a->timer_at = at;
}

/**
 * attach_slot_in_use() - whether a client has this slot
 *
 * What the slot itself says may be a crashed worker's.
 *
 * Return: true if so.
 */
bool attach_slot_in_use(const Attach *a, uint32_t number) {
        return a->used[number / 64] >> (number % 64) & 1U;
}

/**
 * attach_free_slot() - a slot for a new client
 *
 * Not one that a worker before us has filled, if there is any other: its client may still be on the
 * way to attach_adopt().
 *
 * Return: its number, or the number of slots if none is free.
 */
uint32_t attach_free_slot(const Attach *a) {
        uint32_t number = 0;

        while (number < a->spec.n_slots &&
               (attach_slot_in_use(a, number) || a->spec.slots[number].state != 0))
                number++;
        if (number < a->spec.n_slots)
                return number;
        for (number = 0; number < a->spec.n_slots && attach_slot_in_use(a, number);)
                number++;
        return number;
}

/**
 * attach_client_wants() - whether the client is to get this stream
 *
 * Return: true if so.
 */
bool attach_client_wants(const AttachClient *c, StreamId id) {
        return !(c->slot->flags & (ATTACH_WRITE_ENDED | ATTACH_NO_STDOUT << id));
}

static uint64_t client_lag(const AttachClient *c, StreamId id) {
        uint64_t head = c->attach->head[id], position = c->slot->position[id];

        return attach_client_wants(c, id) && position < head ? head - position : 0;
}

static bool client_lags(const AttachClient *c) {
        return client_lag(c, STREAM_STDOUT) > 0 || client_lag(c, STREAM_STDERR) > 0;
}

static bool client_holds_back(const AttachClient *c) {
        const Attach *a = c->attach;

        if (!c->blocked)
                return false;
        return a->finishing || client_lag(c, STREAM_STDOUT) >= a->spec.lag_max ||
               client_lag(c, STREAM_STDERR) >= a->spec.lag_max;
}

/**
 * attach_client_watch() - watch for what matters to the client as it is now
 *
 * Return: 0 or a negative errno.
 */
int attach_client_watch(AttachClient *c) {
        bool input = c->attach->want_input && !(c->slot->flags & ATTACH_READ_ENDED);
        bool room = c->blocked && c->retry_at == 0;
        uint32_t events = (input ? EPOLLIN : 0U) | (room ? EPOLLOUT : 0U), former;
        int r;

        if (c->hung_up && !input)
                events =
                        EPOLLET; /* that is told once more and never again; a source that is off might not come back */
        r = sd_event_source_get_io_events(c->source, &former);
        if (r >= 0 && events != former)
                r = sd_event_source_set_io_events(c->source, events);
        return r < 0 ? fail(r) : 0;
}

/* Starts or ends the time after which the client is dropped. */
static int client_judge(AttachClient *c) {
        Attach *a = c->attach;
        bool kept = a->spec.keep_slow || (c->slot->flags & ATTACH_STARTER);
        uint64_t now;

        if ((kept && !a->hurry) || !client_holds_back(c)) {
                c->stalling = false;
                return 0;
        }
        if (c->stalling)
                return 0;

        now = event_now();
        c->stalling = true;
        c->deadline = now + a->spec.stall_usec;
        (void)ioctl(c->fd, SIOCOUTQ, &c->unread); /* works on any connected socket */
        attach_arm_timer(a, c->deadline, now);
        return 0;
}

/**
 * attach_hurry() - from now on the exit waits: whoever holds a stream back is dropped in time, without exception
 */
void attach_hurry(Attach *a) {
        if (a->hurry)
                return;
        a->hurry = true;
        for (AttachClient *c = a->clients; c; c = c->next)
                (void)client_judge(c); /* fails only if the timer cannot be set */
}

/**
 * attach_client_free() - close our copy of the socket and forget the client
 *
 * The slot and the connection stay as they are.
 *
 * Return: NULL.
 */
AttachClient *attach_client_free(AttachClient *c) {
        Attach *a = c->attach;

        if (c->previous)
                c->previous->next = c->next;
        else
                a->clients = c->next;
        if (c->next)
                c->next->previous = c->previous;
        a->n_gone++;
        a->used[c->number / 64] &= ~(UINT64_C(1) << (c->number % 64));
        c->source = sd_event_source_disable_unref(c->source);
        (void)close(c->fd);
        free(c);
        return NULL;
}

/**
 * attach_client_shut_down() - end a connection
 *
 * The peer reads to its end of file, and nothing it has sent can turn that into an error.
 */
void attach_client_shut_down(int fd) {
        const bool refuses = foreign_is_refused(fd);
        int on = 1;

        (void)shutdown(fd, SHUT_RDWR); /* if it is not connected any more, so much the better */
        /* Credentials come with every packet, even an empty one, but not with the end of file. */
        (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        for (unsigned i = 0; i < DISCARD_MAX; i++) {
                char space[CMSG_SPACE(sizeof(struct ucred))];
                struct msghdr message = { .msg_control = space, .msg_controllen = sizeof space };

                if (!refuses)
                        foreign_disarm_next(fd);
                if (recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
                        if (errno == ECONNRESET || errno == EINTR)
                                continue;
                        return;
                }
                if (message.msg_controllen == 0)
                        return;
        }
}

/**
 * attach_client_gone() - the end of a client, whatever the reason
 *
 * Return: 0 or a negative errno.
 */
int attach_client_gone(AttachClient *c) {
        Attach *a = c->attach;
        uint32_t number = c->number;
        int r;

        attach_client_shut_down(c->fd);
        *c->slot = (AttachSlot){ 0 };
        attach_client_free(c);
        r = a->handler->on_gone(a->userdata, number);
        return r < 0 ? relay(r) : 0;
}

/* The other direction may be in use still. The client may be gone afterwards. */
static int client_end_output(AttachClient *c) {
        c->slot->flags |= ATTACH_WRITE_ENDED;
        c->blocked = c->stalling = false;
        if (c->attach->finishing || (c->slot->flags & ATTACH_READ_ENDED))
                return attach_client_gone(c);
        (void)shutdown(c->fd, SHUT_WR);
        return attach_client_watch(c);
}

static AttachSent client_not_sent(AttachClient *c, int error) {
        Attach *a = c->attach;
        uint64_t now = event_now();

        if (error != ENOBUFS && error != ENOMEM) {
                c->short_since = 0;
                return error == EAGAIN ? SENT_FULL : SENT_NEVER;
        }
        if (c->short_since == 0)
                c->short_since = now;
        if (now - c->short_since >= a->spec.shortage_usec) {
                a->handler->on_refused(a->userdata, error);
                return SENT_NEVER;
        }
        c->retry_at = now + RETRY_USEC;
        attach_arm_timer(a, c->retry_at, now);
        return SENT_FULL;
}

/* Sends up to PACKETS_MAX packets of @w, which ends at the stream's head or before it. */
static AttachSent client_send(AttachClient *c, StreamId id, const Window *w) {
        uint8_t number = (uint8_t)(SCOPEMON_ATTACH_STDOUT + id);
        uint64_t *position = &c->slot->position[id];
        struct mmsghdr messages[PACKETS_MAX];
        struct iovec iov[PACKETS_MAX][2];
        unsigned n = 0;
        int sent;

        if (*position < w->from)
                *position = w->from;
        for (uint64_t at = *position; at < w->to && n < PACKETS_MAX; n++) {
                size_t left = (size_t)(w->to - at);
                size_t size = left < SCOPEMON_ATTACH_DATA_MAX ? left : SCOPEMON_ATTACH_DATA_MAX;

                iov[n][0] = (struct iovec){ &number, 1 };
                iov[n][1] = (struct iovec){ (void *)(w->data + (at - w->from)), size };
                messages[n] = (struct mmsghdr){ .msg_hdr = { .msg_iov = iov[n], .msg_iovlen = 2 } };
                at += size;
        }
        if (n == 0)
                return SENT_ALL;

        do
                sent = sendmmsg(c->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
                return client_not_sent(c, errno);
        for (int i = 0; i < sent; i++)
                *position += iov[i][1].iov_len;
        c->short_since = 0;
        c->stalling = false; /* whoever takes something has all its time again */
        return *position < w->to ? SENT_SOME : SENT_ALL;
}

/**
 * attach_client_settle() - what follows from having sent
 *
 * The client may be gone afterwards.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_settle(AttachClient *c, AttachSent sent) {
        int r;

        if (sent == SENT_NEVER)
                return client_end_output(c);
        c->blocked = client_lags(c);
        if (c->attach->finishing && !c->blocked)
                return attach_client_gone(c);
        r = client_judge(c);
        if (r < 0)
                return relay(r);
        return attach_client_watch(c);
}

/**
 * attach_client_push() - give the client what it has not had of one stream
 *
 * One that is full is left alone, but for its time. The client may be gone afterwards.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_push(AttachClient *c, StreamId id, const Window *w) {
        AttachSent sent = SENT_SOME;

        if (!attach_client_wants(c, id))
                return 0;
        if (c->blocked)
                return client_judge(c);
        while (sent == SENT_SOME)
                sent = client_send(c, id, w);
        return attach_client_settle(c, sent);
}

/**
 * attach_client_catch_up() - the client may take again: one batch of each stream, the other one first
 * next time
 *
 * The client may be gone afterwards.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_catch_up(AttachClient *c) {
        Attach *a = c->attach;
        AttachSent sent = SENT_ALL;

        c->retry_at = 0;
        for (unsigned i = 0; i < _STREAM_MAX && sent <= SENT_SOME; i++) {
                StreamId id = (StreamId)((c->turn + i) % _STREAM_MAX);
                Window w;

                if (client_lag(c, id) == 0)
                        continue;
                w = *a->handler->window(a->userdata, id);
                if (w.to > a->head[id])
                        w.to = a->head[id]; /* the rest has not been pushed */
                sent = client_send(c, id, &w);
                if (sent == SENT_ALL)
                        c->slot->position[id] = a->head[id]; /* also if bytes are gone */
        }
        c->turn = (c->turn + 1) % _STREAM_MAX;
        return attach_client_settle(c, sent);
}

/**
 * attach_client_hang_up() - both directions are shut at the other end, though packets may still lie
 * here
 *
 * The client may be gone afterwards.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_hang_up(AttachClient *c) {
        c->hung_up = true;
        c->blocked = c->stalling = false;
        c->slot->flags |= ATTACH_WRITE_ENDED;
        if (c->slot->flags & ATTACH_READ_ENDED)
                return attach_client_gone(c);
        return attach_client_watch(c);
}

/**
 * attach_client_new() - put a client into the list, as the newest
 * @number: of a free slot
 * @fd: adopted, also on failure
 * @on_event: gets the AttachClient
 *
 * Nothing is watched before attach_client_watch(); the slot is as it was.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_new(Attach *a,
                      uint32_t number,
                      int fd,
                      sd_event_io_handler_t on_event,
                      AttachClient **ret) {
        _cleanup_close_ int owned = fd;
        _cleanup_free_ AttachClient *c = NULL;
        int r;

        c = calloc(1, sizeof *c);
        if (!c)
                return fail(-ENOMEM);
        r = event_add_io(a->event, &c->source, fd, 0, on_event, c);
        if (r < 0)
                return relay(r);

        c->attach = a;
        c->fd = TAKE_FD(owned);
        c->number = number;
        c->slot = &a->spec.slots[number];
        c->next = a->clients;
        if (c->next)
                c->next->previous = c;
        a->clients = c;
        a->used[number / 64] |= UINT64_C(1) << (number % 64);
        *ret = TAKE_PTR(c);
        return 0;
}

/* Whoever has read something, if too little to make room for a packet, has all its time again. */
static bool client_is_late(AttachClient *c, uint64_t now) {
        int unread = c->unread;

        if (c->deadline > now)
                return false;
        (void)ioctl(c->fd, SIOCOUTQ, &unread);
        if (unread >= c->unread)
                return true;
        c->unread = unread;
        c->deadline = now + c->attach->spec.stall_usec;
        return false;
}

/**
 * attach_client_check_time() - drop a client that has held a stream back for too long, and send again what there was no
 * memory for
 *
 * The client may be gone afterwards; if it is not and still has to hurry, the timer is armed.
 *
 * Return: 0 or a negative errno.
 */
int attach_client_check_time(AttachClient *c, uint64_t now) {
        if (c->stalling && client_is_late(c, now))
                return attach_client_gone(c);
        if (c->stalling)
                attach_arm_timer(c->attach, c->deadline, now);
        if (!c->blocked || c->retry_at == 0)
                return 0;
        if (c->retry_at <= now)
                return attach_client_catch_up(c);
        attach_arm_timer(c->attach, c->retry_at, now);
        return 0;
}

/**
 * attach_starter_lives() - whether the process that started us may still come
 */
bool attach_starter_lives(const Attach *a) {
        struct pollfd ended = { .fd = a->spec.starter_pidfd, .events = POLLIN };

        return a->spec.starter > 0 && poll(&ended, 1, 0) == 0;
}

/**
 * attach_is_starter() - whether this is the connection of the process that started us
 *
 * A pid alone may have been given to somebody else by now: the process must not have ended.
 */
bool attach_is_starter(const Attach *a, int fd) {
        struct ucred peer = { 0 };
        socklen_t size = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) >= 0 && peer.pid == a->spec.starter &&
               attach_starter_lives(a);
}

/**
 * attach_client_complain() - tell a client on its stderr why it is not served
 */
void attach_client_complain(int fd, const char *why) {
        char packet[256];
        int n;

        n = snprintf(packet, sizeof packet, "%cscopemon: cannot attach: %s\n", SCOPEMON_ATTACH_STDERR, why);
        if (n > 0)
                (void)fd_send(fd, packet, (size_t)n < sizeof packet ? (size_t)n : sizeof packet - 1, NULL, 0);
}

/**
 * attach_client_fill_slot() - write down what a client is like that has just come
 */
void attach_client_fill_slot(Attach *a, AttachSlot *slot, int fd) {
        *slot = (AttachSlot){ 0 };
        if (attach_is_starter(a, fd))
                slot->flags |= ATTACH_STARTER;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                slot->position[id] = a->head[id];
                if ((slot->flags & ATTACH_STARTER) && a->spec.withhold[id])
                        slot->flags |= ATTACH_NO_STDOUT << id;
        }
        slot->state = 1;
}
