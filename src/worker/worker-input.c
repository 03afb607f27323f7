/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way of the input: clients' packets to the target's stdin, ctl and winsz lines to the terminal and the log,
 * notifications to the keeper.
 *
 * There is one packet on its way to stdin at a time. It lies in the ring; while the target does not take it no client
 * is read, so their sends block and nothing is lost. A target that has closed its stdin gets what comes thrown away.
 *
 * A worker that is killed inside write() does not live to note how much went. So it notes before what the kernel has
 * counted so far (wchar in /proc/self/io), and the keeper takes the true number from the zombie: see wp_recover().
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "wire/notifymsg.h"
#include "worker/worker-internal.h"

#define FDS_TO_COME 4          /* descriptors: terminal, target, new log file, a client that is refused */
#define SHORTAGE_USEC 5000000U /* how long there may be no memory to send to a client */
#define STALL_USEC 10000000U   /* how long a client that holds the container back may take nothing */

/* Bytes that our write() and its kin have put out until now. */
static uint64_t count_written(Worker *w) {
        char text[512];
        const char *p;
        ssize_t n;

        if (w->io_fd < 0 || lseek(w->io_fd, 0, SEEK_SET) < 0)
                return UINT64_MAX;
        n = ring_read_other(w->ring, w->io_fd, text, sizeof text - 1);
        if (n < 0)
                return UINT64_MAX;
        text[n] = 0;
        p = strstr(text, RING_WRITTEN);
        return p ? strtoull(p + strlen(RING_WRITTEN), NULL, 10) : UINT64_MAX;
}

static ssize_t write_input(Worker *w, RingInput *input) {
        ssize_t n;

        input->written_from = input->from;
        input->written = count_written(w);
        atomic_signal_fence(memory_order_seq_cst);
        input->writing = 1;
        atomic_signal_fence(memory_order_seq_cst);
        n = streams_write_stdin(w->streams, input->data + input->from, input->to - input->from);
        if (n > 0)
                input->from += (uint32_t)n;
        atomic_signal_fence(memory_order_seq_cst);
        input->writing = 0;
        return n;
}

static int end_stdin(Worker *w) {
        w->state->stdin_closed = 1;
        streams_close_stdin(w->streams);
        return worker_tell(w, CHANNEL_STDIN_CLOSED, 0);
}

/**
 * worker_input_pump() - pass the packet that waits on to the target
 *
 * Clients are read again when all of it has gone.
 *
 * Return: 0 or a negative errno.
 */
int worker_input_pump(Worker *w) {
        RingInput *input = ring_input(w->ring);

        while (!ring_is_unread(w->ring) && input->from < input->to && input->to <= RING_INPUT_SIZE) {
                ssize_t n = write_input(w, input);

                if (n == -EAGAIN) {
                        attach_want_input(w->attach, false);
                        return 0;
                }
                if (n < 0) { /* nobody will ever read it */
                        input->from = input->to;
                        (void)end_stdin(w);
                        break;
                }
        }
        attach_want_input(w->attach, true);
        return 0;
}

/* Closing is final, for all clients, and waits for nothing: what came before has been written. */
static int on_input_end(Worker *w) {
        if (!w->config.ends_stdin || !streams_has_stdin(w->streams))
                return 0;
        return end_stdin(w);
}

static int on_input(void *userdata, uint32_t slot, int fd) {
        Worker *w = userdata;
        char scratch[4096];
        ssize_t n;
        int r;

        if (!w->clients_refuse)
                foreign_disarm_next(fd);
        if (streams_has_stdin(w->streams))
                n = ring_read_input(w->ring, slot, fd);
        else
                n = ring_read_other(w->ring, fd, scratch, sizeof scratch);
        if (n == -EAGAIN || n == -ECONNRESET)
                return 0; /* a peer that left output unread breaks one read, its input is still there */
        if (n < 0)
                n = 0; /* a connection that broke has ended */

        if (n ==
            0) { /* before the client's end is noted: a worker that dies between the two is followed by one that reads it again */
                r = on_input_end(w);
                if (r < 0)
                        return relay(r);
        }
        r = attach_input_done(w->attach, slot, (size_t)n);
        if (r < 0)
                return relay(r);
        return n > 0 ? worker_input_pump(w) : 0;
}

static void on_client(void *userdata, uint32_t slot, int fd) {
        worker_offer(userdata, slot, fd);
}

static void on_refused(void *userdata, int error) {
        (void)worker_send(userdata, &(ChannelRecord){ .type = CHANNEL_TROUBLE,
                                                      .number = CHANNEL_TROUBLE_CLIENT,
                                                      .value = error });
}

static void on_starter_lost(void *userdata) {
        (void)on_input_end(userdata); /* nobody else would ever end it */
}

static int on_gone(void *userdata, uint32_t slot) {
        Worker *w = userdata;
        int r;

        r = worker_tell(w, CHANNEL_CLIENT_GONE, slot);
        for (StreamId id = 0; r >= 0 && id < _STREAM_MAX; id++)
                r = worker_output_moved(w, id);
        return r < 0 ? relay(r) : 0;
}

static int on_room(void *userdata, StreamId id) {
        return worker_output_moved(userdata, id);
}

static const Window *on_window(void *userdata, StreamId id) {
        Worker *w = userdata;

        w->window[id] = ring_window(w->ring, id, 0);
        return &w->window[id];
}

/*
 * As many clients as there are descriptors for, those inherited among them, and always one. The keeper's are not
 * counted: it does without a copy of a client for whom it has no room.
 */
static size_t count_clients_max(const Worker *w) {
        _cleanup_free_ int *open_fds = NULL;
        struct rlimit limit;
        size_t n_open, n;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 2U * ATTACH_SLOTS)
                return ATTACH_SLOTS;
        if (fd_list_open(0, &open_fds, &n_open) < 0)
                return 1;
        n = (size_t)limit.rlim_cur + w->n_inherited;
        n = n > n_open + FDS_TO_COME ? n - n_open - FDS_TO_COME : 1;
        return n < ATTACH_SLOTS ? n : ATTACH_SLOTS;
}

static int open_attach(Worker *w) {
        static const AttachHandler handler = { .on_client = on_client,
                                               .on_refused = on_refused,
                                               .on_starter_lost = on_starter_lost,
                                               .on_gone = on_gone,
                                               .on_input = on_input,
                                               .on_room = on_room,
                                               .window = on_window };
        const WorkerConfig *c = &w->config;
        AttachSpec spec = { .listener = w->fds[CHANNEL_FD_LISTENER],
                            .slots = w->state->slots,
                            .n_slots = ATTACH_SLOTS,
                            .n_clients_max = count_clients_max(w),
                            .starter = w->state->facts.starter,
                            .starter_pidfd = w->fds[CHANNEL_FD_STARTER],
                            .keep_slow = c->exec || (!c->file && !c->journald),
                            .lag_max = RING_STREAM_SIZE,
                            .stall_usec = STALL_USEC,
                            .shortage_usec = SHORTAGE_USEC };
        int r;

        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                spec.withhold[id] = w->state->facts.withhold[id];
                spec.head[id] = w->state->pushed[id];
        }
        w->clients_refuse = foreign_is_refused(spec.listener);
        r = attach_new(&w->attach, w->event, &spec, &handler, w);
        return r < 0 ? relay(r) : 0;
}

/* ---- ctl, winsz, notifications ------------------------------------------------------------------------ */

static int apply_size(Worker *w) {
        int r;

        if (!w->state->resize_wanted)
                return 0;
        r = streams_resize(w->streams, w->state->rows, w->state->columns);
        if (r > 0)
                w->state->resize_wanted = 0;
        return 0; /* a size the kernel does not like changes nothing */
}

static ssize_t on_control_read(void *userdata, size_t index, int fd, const char **ret_data) {
        Worker *w = userdata;

        w->state->ctl_before[index] = w->state->ctl[index];
        *ret_data = ring_control(w->ring, (uint32_t)index)->data;
        return ring_read_control(w->ring, (uint32_t)index, fd);
}

static void on_control_done(void *userdata, size_t index) {
        Worker *w = userdata;

        ring_control(w->ring, (uint32_t)index)->done = 1;
}

/*
 * What the worker before us has read and perhaps not acted on: twice is better than never, a size is a size and a new
 * log file is new. But if somebody has died of it already, it is let go.
 */
static int feed_control(Worker *w) {
        for (uint32_t i = 0; i < RING_CONTROLS && !ring_is_unread(w->ring); i++) {
                RingControl *c = ring_control(w->ring, i);
                int r;

                if (c->done || c->n == 0 || c->n > RING_CONTROL_SIZE || c->tries++ > 0)
                        continue;
                w->state->ctl[i] = w->state->ctl_before[i];
                r = control_feed(w->control, i, c->data, c->n);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static int on_resize(void *userdata, unsigned rows, unsigned columns) {
        Worker *w = userdata;

        w->state->rows = (uint16_t)rows;
        w->state->columns = (uint16_t)columns;
        w->state->resize_wanted = 1;
        return apply_size(w);
}

static int on_reopen(void *userdata) {
        Worker *w = userdata;

        return w->sinks ? sinks_reopen(w->sinks) : 0;
}

static int on_bad_line(void *userdata, const char *line, size_t n, int why) {
        return worker_send(userdata, &(ChannelRecord){ .type = CHANNEL_TROUBLE,
                                                       .number = CHANNEL_TROUBLE_CONTROL,
                                                       .value = why,
                                                       .text = line,
                                                       .n_text = n < 200 ? n : 200 });
}

/* One record for each descriptor, as the keeper takes one. What is of a kind that is not stored does not leave us. */
static void pass_store(Worker *w, NotifymsgStore *store, const int *fds, size_t n_fds) {
        char text[NOTIFYMSG_STORE_MAX];
        ChannelRecord record = { .type = CHANNEL_NOTIFY, .text = text };
        bool puts = store->store;

        store->store = false;
        record.n_text = notifymsg_write_store(store, text);
        if (record.n_text > 0)
                (void)worker_send(w, &record);
        store->store = puts;
        store->remove = false;
        record.n_text = notifymsg_write_store(store, text);
        for (size_t i = 0; puts && i < n_fds; i++)
                if (foreign_is_tame(fds[i]))
                        (void)worker_pass(w, &record, fds[i]);
                else
                        (void)worker_send(w, &record); /* the keeper says that it is not stored */
}

/* One that finds the channel full is lost, as with a full notify socket. */
static int on_notify(void *userdata, char *text, size_t n, const int *fds, size_t n_fds) {
        NotifymsgStore store;

        n = notifymsg_take_store(text, n, &store);
        pass_store(userdata, &store, fds, n_fds);
        if (n > 0)
                (void)worker_send(userdata,
                                  &(ChannelRecord){ .type = CHANNEL_NOTIFY, .text = text, .n_text = n });
        return 0;
}

/**
 * worker_input_open() - clients, fifos and the notify socket, from the descriptors the keeper has sent
 *
 * Return: 0 or a negative errno; worker_input_close() cleans up after both.
 */
int worker_input_open(Worker *w) {
        static const ControlHandler control_handler = { .read = on_control_read,
                                                        .done = on_control_done,
                                                        .on_resize = on_resize,
                                                        .on_reopen = on_reopen,
                                                        .on_bad = on_bad_line };
        static const NotifyHandler notify_handler = { .on_message = on_notify };
        int r;

        if (w->fds[CHANNEL_FD_LISTENER] >= 0) {
                r = open_attach(w);
                if (r < 0)
                        return relay(r);
        }
        if (w->fds[CHANNEL_FD_CTL] >= 0) {
                r = control_new(&w->control, w->event,
                                (int[]){ w->fds[CHANNEL_FD_CTL], w->fds[CHANNEL_FD_WINSZ] }, w->state->ctl,
                                &control_handler, w);
                if (r >= 0)
                        r = feed_control(w);
                if (r < 0)
                        return relay(r);
        }
        if (w->fds[CHANNEL_FD_NOTIFY] >= 0) {
                r = notify_new(&w->notify, w->event, w->fds[CHANNEL_FD_NOTIFY], &notify_handler, w);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * worker_input_start() - read clients, unless the terminal they write to is still to come
 *
 * Return: 0 or a negative errno.
 */
int worker_input_start(Worker *w) {
        if (!w->attach)
                return 0;
        if (w->config.terminal && !streams_is_open(w->streams, STREAM_STDOUT)) {
                attach_want_input(w->attach, false);
                return 0;
        }
        return worker_input_pump(w);
}

/**
 * worker_input_terminal() - the terminal is there: what waited for it is done now
 *
 * Return: 0 or a negative errno.
 */
int worker_input_terminal(Worker *w) {
        int r;

        r = apply_size(w);
        if (r < 0)
                return relay(r);
        return worker_input_start(w);
}

/**
 * worker_input_close() - close what worker_input_open() has opened; connections stay, as the keeper has copies
 */
void worker_input_close(Worker *w) {
        w->notify = notify_free(w->notify);
        w->control = control_free(w->control);
        w->attach = attach_free(w->attach);
}
