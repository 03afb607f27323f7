/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker's sinks: made from what the caller wants, with a keeper to ask for a new log file and to tell of trouble.
 */

#include <errno.h>

#include "base/error.h"
#include "base/fd.h"
#include "worker/worker-internal.h"

static int on_sink_ready(void *userdata) {
        return worker_output_go_on(userdata);
}

/* Without a keeper there is no other file than the one we have. */
static int on_reopen(void *userdata) {
        Worker *w = userdata;
        int r;

        r = worker_tell(w, CHANNEL_REOPEN, 0);
        if (r < 0)
                return relay(r);
        return w->sinks && (w->keeper_gone || w->unheard) ? sinks_set_file(w->sinks, -1) : 0;
}

/* Without a keeper there is no other connection than the one we have. */
static int on_connect(void *userdata) {
        Worker *w = userdata;
        int r;

        r = worker_tell(w, CHANNEL_CONNECT, 0);
        if (r < 0)
                return relay(r);
        return w->sinks && (w->keeper_gone || w->unheard) ? sinks_set_journal(w->sinks, -1, ENOTCONN) : 0;
}

/**
 * worker_sinks_set_journal() - the keeper has opened a connection to the journal
 * @fd: adopted; -1: it has not
 * @error: why not, a positive errno
 *
 * Return: 0 or a negative errno.
 */
int worker_sinks_set_journal(Worker *w, int fd, int error) {
        int former = -1, r;

        if (fd >= 0) {
                former = w->fds[CHANNEL_FD_JOURNAL];
                w->fds[CHANNEL_FD_JOURNAL] = fd;
        }
        r = w->sinks ? sinks_set_journal(w->sinks, fd, error) : 0;
        fd_close_many(&former, 1);
        return r < 0 ? relay(r) : 0;
}

static int on_sink_trouble(void *userdata, SinkId sink, int error, uint64_t lost) {
        Worker *w = userdata;

        if (sink == SINK_JOURNAL && lost > 0 && w->attach)
                for (StreamId id = 0; id < _STREAM_MAX; id++)
                        attach_unwithhold(w->attach, id);
        return worker_send(w, &(ChannelRecord){ .type = CHANNEL_TROUBLE,
                                                .number = sink == SINK_FILE ? CHANNEL_TROUBLE_FILE
                                                                            : CHANNEL_TROUBLE_JOURNAL,
                                                .value = error,
                                                .count = lost });
}

/* A field in the ring, which the keeper has written: NULL if there is none. */
static const char *worker_field(char *field, size_t size) {
        field[size - 1] = 0;
        return field[0] ? field : NULL;
}

/**
 * worker_sinks_open() - the sinks that the caller wants, with the log file that the keeper has sent
 *
 * Return: 0, also if there are none, or a negative errno.
 */
int worker_sinks_open(Worker *w) {
        static const SinksHandler handler = { .on_ready = on_sink_ready,
                                              .on_reopen = on_reopen,
                                              .on_connect = on_connect,
                                              .on_trouble = on_sink_trouble };
        WorkerFacts *facts = &w->state->facts;
        const WorkerConfig *c = &w->config;
        SinksSpec spec = { .file = c->file,
                           .file_fd = TAKE_FD(w->fds[CHANNEL_FD_LOGFILE]),
                           .size_max = (int64_t)c->size_max,
                           .global_size_max = (int64_t)c->total_max,
                           .fsync = c->fsync,
                           .journald = c->journald,
                           .journal_fd = w->fds[CHANNEL_FD_JOURNAL],
                           .cid = c->cid,
                           .name = c->name,
                           .tag = c->tag,
                           .labels = c->labels,
                           .n_labels = c->n_labels,
                           .no_partial_message = c->no_partial,
                           .podman_priorities = c->podman,
                           .object_unit = worker_field(facts->object_unit, sizeof facts->object_unit),
                           .identifier = worker_field(facts->identifier, sizeof facts->identifier),
                           .facility = worker_field(facts->facility, sizeof facts->facility),
                           .no_level_prefix = facts->no_level_prefix };
        int r;

        if (!spec.file && !spec.journald)
                return 0;
        r = sinks_new(&w->sinks, w->event, &spec, w->state->sinks, &handler, w);
        return r < 0 ? relay(r) : 0;
}
