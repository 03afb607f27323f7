/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a worker says, and what the keeper makes of it. None of it is believed: a record is exactly one of the known
 * ones with the descriptors that belong to it, a slot is looked up, a notification is filtered again before it goes out
 * under our name, numbers are only told. Whatever else comes is -EBADMSG, and the worker is replaced.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "base/process.h"
#include "io/notify.h"
#include "sink/logfile.h"
#include "supervise/worker-process-internal.h"
#include "systemd/notify-store.h"
#include "wire/notifymsg.h"

#define STORE_LIMIT_USEC 10000000U
#define STORE_LIMIT_LEAST 16U /* and twice what the store takes */
#define FDS_RESERVED 12       /* descriptors that are not for copies of clients: files, and another worker */

/*
 * Our copy is for the next worker, if this one dies. Without one the client is served all the same: there must be
 * room for what comes at the end, whatever the number of clients. Nothing else is kept, as nobody knows what it takes to
 * close it.
 */
static int wp_on_client_new(WorkerProcess *wp, const ChannelRecord *record, int *fd) {
        uint32_t slot = record->number;
        bool sent = *fd >= 0;

        if (slot >= ATTACH_SLOTS)
                return fail(-EBADMSG);
        if (!sent && record->value > STDERR_FILENO && record->value < INT_MAX)
                *fd = process_copy_fd(wp->pid, (int)record->value);
        if (*fd >= 0 && !foreign_is_accepted_by(*fd, wp->spec.fds[CHANNEL_FD_LISTENER])) {
                worker_process_keep_client(wp, slot, -1);
                foreign_close(fd, 1);
                return sent ? fail(-EBADMSG) : 0; /* the number may be another descriptor's by now */
        }
        worker_process_keep_client(wp, slot, fd_has_room_above(*fd, FDS_RESERVED) ? TAKE_FD(*fd) : -1);
        return 0;
}

static int wp_on_client_gone(WorkerProcess *wp, uint32_t slot) {
        if (slot >= ATTACH_SLOTS)
                return fail(-EBADMSG);
        worker_process_keep_client(wp, slot, -1);
        return 0;
}

/* A new log file in place of the old one. If it cannot be had the worker goes on with the old one. */
static int wp_on_reopen(WorkerProcess *wp) {
        const Options *o = wp->spec.options;
        int *file = &wp->spec.fds[CHANNEL_FD_LOGFILE], fd = -1, r;

        if (wp->spec.log_dir_fd < 0)
                return fail(-EBADMSG);
        if (o->log_rotate) {
                r = logfile_rotate(wp->spec.log_dir_fd, wp->spec.log_name, *file, (unsigned)o->log_max_files,
                                   &fd);
                if (r > 0)
                        log_warning("Log file was not rotated: %s", logfile_refusal(r));
        } else
                r = fd = logfile_replace(wp->spec.log_dir_fd, wp->spec.log_name);
        if (r < 0)
                (void)log_warning_errno(r, "Failed to create a new log file:");
        if (fd < 0)
                return worker_process_send(wp, CHANNEL_LOGFILE, r < 0 ? (uint32_t)-r : EPERM, NULL, 0);

        fd_close_many(file, 1);
        *file = fd;
        worker_process_kept(wp, WORKER_KEPT_FD, CHANNEL_FD_LOGFILE, fd);
        return worker_process_give(wp, CHANNEL_LOGFILE, fd);
}

/* The worker can open none itself, and ours would not do: journald would think that it is we who send. */
static int wp_on_connect(WorkerProcess *wp) {
        _cleanup_close_ int fd = log_open_journal();

        if (fd < 0)
                return worker_process_send(wp, CHANNEL_JOURNAL, (uint32_t)-fd, NULL, 0);
        return worker_process_give(wp, CHANNEL_JOURNAL, fd);
}

/* Once for many: a flood of them must not become one in the journal. */
static void wp_say(WorkerProcess *wp, IncidentKind kind, const char *what, const char *text, size_t n) {
        const char *more = incident_more(&wp->incidents, kind, event_now());

        if (more)
                log_warning("%s: %.*s%s", what, (int)n, text, more);
}

static void wp_say_text(WorkerProcess *wp, IncidentKind kind, const char *what, const char *text) {
        wp_say(wp, kind, what, text, strlen(text));
}

/* What a container stores and removes without end costs the service manager nothing. */
static bool wp_may_store(WorkerProcess *wp) {
        StoreLimit *limit = &wp->store_limit;
        uint64_t now = event_now(), max = STORE_LIMIT_LEAST + 2 * (uint64_t)wp->spec.plan->fd_store_max;

        if (limit->since_usec == 0 || now - limit->since_usec >= STORE_LIMIT_USEC)
                *limit = (StoreLimit){ .since_usec = now };
        if (limit->n >= max)
                return false;
        limit->n++;
        return true;
}

/* In service mode the unit's store is the monitor's, too. Returns false if there is no room for such a name. */
static bool wp_rename(char name[NOTIFYMSG_NAME_MAX]) {
        static const char prefix[] = NOTIFY_STORE_OURS NOTIFY_STORE_OTHERS;
        size_t n = strlen(name);

        if (strncmp(name, NOTIFY_STORE_OURS, strlen(NOTIFY_STORE_OURS)) != 0)
                return true;
        if (n + sizeof prefix > NOTIFYMSG_NAME_MAX)
                return false;
        memmove(name + sizeof prefix - 1, name, n + 1);
        memcpy(name, prefix, sizeof prefix - 1);
        return true;
}

static const char *wp_why_not_stored(WorkerProcess *wp, NotifymsgStore *store, int fd) {
        if (wp->spec.plan->fd_store_max == 0)
                return "its unit has no FileDescriptorStoreMax=, or systemd is older than 254";
        if (store->store && (fd < 0 || !foreign_is_tame(fd)))
                return "it is neither a pipe, memory, a local or UDP socket, nor a TCP socket that listens";
        if (wp->spec.options->service && !wp_rename(store->name))
                return "its name is too long";
        return wp_may_store(wp) ? NULL : "there are too many of them";
}

static void wp_store(WorkerProcess *wp, NotifymsgStore *store, int fd) {
        const char *why = wp_why_not_stored(wp, store, fd);
        char text[NOTIFYMSG_STORE_MAX];
        size_t n = notifymsg_write_store(store, text);
        int r;

        if (why) {
                wp_say_text(wp, INCIDENT_STORE, "Descriptor of the container is not stored", why);
                return;
        }
        if (n == 0)
                return;
        r = notify_send(wp->spec.options->sdnotify_socket, text, n, store->store ? fd : -1);
        if (r < 0)
                wp_say_text(wp, INCIDENT_STORE, "Failed to store a descriptor of the container",
                            strerror(-r));
}

/* Its frame is for itself: the keeper's stack would stay as deep as it has once been. */
static int __attribute__((noinline)) wp_on_notify(WorkerProcess *wp, const ChannelRecord *record, int fd) {
        char text[CHANNEL_TEXT_MAX];
        NotifymsgStore store;
        size_t n;

        if (!wp->spec.options->sdnotify_socket)
                return fail(-EBADMSG);
        n = notifymsg_filter(record->text, record->n_text, text);
        n = notifymsg_take_store(text, n, &store);
        if (store.store || store.remove)
                wp_store(wp, &store, fd);
        if (n > 0) {
                int r = notify_send(wp->spec.options->sdnotify_socket, text, n, -1);

                if (r < 0)
                        wp_say_text(wp, INCIDENT_NOTIFY, "Failed to forward a notification", strerror(-r));
                else if (wp->handler->on_notified)
                        wp->handler->on_notified(wp->userdata, text, n);
        }
        return 0;
}

static void wp_say_reach(const WorkerProcess *wp, int error) {
        if (error != 0 && !wp->ready)
                log_warning("Worker is confined without a root directory of its own: %s", strerror(error));
}

static int wp_on_trouble(WorkerProcess *wp, const ChannelRecord *record) {
        int error = record->value > 0 && record->value < 4096 ? (int)record->value : 0;

        switch ((ChannelTrouble)record->number) {
        case CHANNEL_TROUBLE_FILE:
        case CHANNEL_TROUBLE_JOURNAL:
                if (record->number == CHANNEL_TROUBLE_JOURNAL && error == SINKS_FLOOD)
                        return suppressed_on_flood(&wp->suppressed);
                incident_sink(&wp->incidents,
                              record->number == CHANNEL_TROUBLE_FILE ? SINK_FILE : SINK_JOURNAL, error,
                              record->count);
                return 0;
        case CHANNEL_TROUBLE_CONTROL:
                wp_say(wp, INCIDENT_CONTROL, "Invalid control message", record->text, record->n_text);
                return 0;
        case CHANNEL_TROUBLE_SANDBOX:
                log_error("The worker attempted a forbidden system call: %.*s", (int)record->n_text,
                          record->text);
                return 0;
        case CHANNEL_TROUBLE_CLIENT:
                wp_say(wp, INCIDENT_CLIENT, "Failed to serve attach client", strerror(error),
                       strlen(strerror(error)));
                return 0;
        case CHANNEL_TROUBLE_FAILED:
                wp->error = -error;
                if (!wp->hopeless)
                        log_warning("Worker failed: %s", strerror(error));
                return 0;
        case _CHANNEL_TROUBLE_MAX:
                break;
        }
        return fail(-EBADMSG);
}

static int wp_on_drained(WorkerProcess *wp) {
        wp->ended = true;
        if (!wp->drain || wp->drained)
                return 0;
        wp->drained = true;
        worker_pulse_answered(wp);
        return wp->handler->on_drained(wp->userdata);
}

static int wp_on_first_ready(WorkerProcess *wp) {
        if (wp->ready || wp->orphaned)
                return 0;
        wp->ready = true;
        return wp->handler->on_ready(wp->userdata);
}

static int wp_dispatch(WorkerProcess *wp, const ChannelRecord *record, int *fds) {
        switch (record->type) {
        case CHANNEL_READY:
                worker_pulse_answered(wp);
                worker_process_recovered(wp);
                wp_say_reach(wp, (int)(record->number & 4095));
                return wp_on_first_ready(wp);
        case CHANNEL_CLIENT_NEW:
                return wp_on_client_new(wp, record, fds);
        case CHANNEL_CLIENT_GONE:
                return wp_on_client_gone(wp, record->number);
        case CHANNEL_REOPEN:
                return wp_on_reopen(wp);
        case CHANNEL_CONNECT:
                return wp_on_connect(wp);
        case CHANNEL_STDIN_CLOSED:
                fd_close_many(&wp->spec.fds[CHANNEL_FD_STDIN], 1);
                worker_process_kept(wp, WORKER_KEPT_FD, CHANNEL_FD_STDIN, -1);
                return 0;
        case CHANNEL_NOTIFY:
                return wp_on_notify(wp, record, *fds);
        case CHANNEL_TROUBLE:
                return wp_on_trouble(wp, record);
        case CHANNEL_DRAINED:
                return wp_on_drained(wp);
        case CHANNEL_DONE:
                wp->done = wp->drained;
                return 0;
        case CHANNEL_PONG:
                worker_pulse_answered(wp);
                return 0;
        case CHANNEL_NONE:
        case CHANNEL_SETUP:
        case CHANNEL_CONSOLE:
        case CHANNEL_RUN:
        case CHANNEL_LOGFILE:
        case CHANNEL_JOURNAL:
        case CHANNEL_DRAIN:
        case CHANNEL_STOP:
        case CHANNEL_PING:
        case _CHANNEL_MAX:
                break;
        }
        return fail(-EBADMSG);
}

static int wp_take(WorkerProcess *wp, char *data, size_t size) {
        int fds[1] = { -1 };
        ChannelRecord record;
        size_t n_fds = 0;
        ssize_t n;
        int r;

        n = fd_receive(wp->channel, data, size, fds, ELEMENTS(fds), &n_fds);
        if (n == -EAGAIN || n == 0 || n == -ECONNRESET)
                return 0;
        if (n < 0)
                return relay((int)n);
        r = channel_unpack(data, (size_t)n, &record);
        if (r >= 0 && !channel_takes_fds(&record, n_fds))
                r = -EBADMSG;
        r = r < 0 ? fail(r) : wp_dispatch(wp, &record, fds);
        foreign_close(fds, n_fds);
        return r < 0 ? relay(r) : 1;
}

static int __attribute__((noinline)) wp_take_long(WorkerProcess *wp) {
        char data[CHANNEL_RECORD_MAX];

        return wp_take(wp, data, sizeof data);
}

/**
 * worker_process_receive() - take one record from the worker
 *
 * Return: 1 if there was one, 0 if not, -EBADMSG for nonsense, or another negative errno.
 */
int worker_process_receive(WorkerProcess *wp) {
        char data[CHANNEL_SHORT_MAX];

        return fd_pending(wp->channel) > sizeof data ? wp_take_long(wp) : wp_take(wp, data, sizeof data);
}
