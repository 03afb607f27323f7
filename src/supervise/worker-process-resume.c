/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A container that has had a worker before: one of another image of ours (an upgrade), or of a keeper that has died. All
 * that must be handed on is descriptors and a few numbers; what a worker knows is in the ring.
 *
 * That worker serves the container until the loop of the next keeper runs. Only then is it asked to leave: a keeper that
 * fails before leaves behind a worker that goes on alone (worker-orphan.c).
 */

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "base/fd.h"
#include "supervise/worker-process-internal.h"

static const StateField worker_process_fields[] = {
        STATE_FIELD_NUMBER(WorkerSaved, pid, "pid", INT_MAX),
        STATE_FIELD_BOOL(WorkerSaved, crashed, "crashed"),
        STATE_FIELD_NUMBER(WorkerSaved, place[STREAM_STDOUT], "place-stdout", UINT64_MAX),
        STATE_FIELD_NUMBER(WorkerSaved, place[STREAM_STDERR], "place-stderr", UINT64_MAX),
        STATE_FIELD_BOOL(WorkerSaved, in_trouble[SINK_FILE], "file-in-trouble"),
        STATE_FIELD_BOOL(WorkerSaved, in_trouble[SINK_JOURNAL], "journal-in-trouble"),
        STATE_FIELD_NUMBER(WorkerSaved, lines[SINK_FILE], "file-lines-lost", UINT64_MAX),
        STATE_FIELD_NUMBER(WorkerSaved, lines[SINK_JOURNAL], "journal-lines-lost", UINT64_MAX),
};

const StateFields worker_process_values = { worker_process_fields, ELEMENTS(worker_process_fields) };

#define WATCH_AGAIN_USEC 500000ULL
#define ORPHAN_USEC 2000000ULL /* for the worker of another keeper to leave */

/**
 * worker_process_channel() - to the worker that runs, borrowed; -1 if none does
 */
int worker_process_channel(const WorkerProcess *wp) {
        return wp->channel;
}

/**
 * worker_process_log_dir() - the directory of the log file, borrowed; -1 for none
 */
int worker_process_log_dir(const WorkerProcess *wp) {
        return wp->spec.log_dir_fd;
}

/**
 * worker_process_suppressed() - what is known of output that the journal has not kept; the worker process's own
 */
Suppressed *worker_process_suppressed(WorkerProcess *wp) {
        return &wp->suppressed;
}

/**
 * worker_process_save() - what the next image goes on with
 * @fds, @clients: borrowed descriptors, -1 for what there is not
 */
void worker_process_save(const WorkerProcess *wp,
                         WorkerSaved *ret,
                         int fds[_CHANNEL_FD_MAX],
                         int clients[ATTACH_SLOTS]) {
        ret->pid = wp->pid;
        ret->crashed = wp->incidents.crashed;
        memcpy(ret->place, wp->incidents.place, sizeof ret->place);
        memcpy(ret->in_trouble, wp->incidents.in_trouble, sizeof ret->in_trouble);
        memcpy(ret->lines, wp->incidents.lines, sizeof ret->lines);
        memcpy(fds, wp->spec.fds, sizeof wp->spec.fds);
        memset(clients, -1, ATTACH_SLOTS * sizeof *clients);
        if (wp->n_clients > 0)
                memcpy(clients, wp->clients, wp->n_clients * sizeof *clients);
}

static void wp_restore(WorkerProcess *wp, const WorkerSaved *saved, const int clients[ATTACH_SLOTS]) {
        wp->incidents.crashed = saved->crashed;
        memcpy(wp->incidents.place, saved->place, sizeof saved->place);
        memcpy(wp->incidents.in_trouble, saved->in_trouble, sizeof saved->in_trouble);
        memcpy(wp->incidents.lines, saved->lines, sizeof saved->lines);
        for (uint32_t slot = 0; slot < ATTACH_SLOTS; slot++)
                if (clients[slot] >= 0)
                        (void)worker_process_set_client(wp, slot, clients[slot]);
        wp->run = true;
}

/**
 * worker_process_change_ring() - the ring among the descriptors is another version's, and ours has been made from it
 * @fd: of ours, adopted
 *
 * To be called before worker_process_adopt().
 */
void worker_process_change_ring(WorkerProcess *wp, int fd) {
        wp->former_ring = wp->spec.fds[CHANNEL_FD_RING];
        wp->spec.fds[CHANNEL_FD_RING] = fd;
}

/* From here on the other version's ring is not needed. @again: a worker of that version has gone on with it. */
static void wp_forget_former_ring(WorkerProcess *wp, bool again) {
        int r;

        if (wp->former_ring < 0)
                return;
        r = again ? ring_import(wp->spec.ring, wp->former_ring, &worker_state_layout) : 0;
        if (r < 0)
                (void)log_error_errno(
                        r, "Failed to take over the state of the previous worker, output may be repeated:");
        fd_close_many(&wp->former_ring, 1);
        worker_process_kept(wp, WORKER_KEPT_FD, CHANNEL_FD_RING, wp->spec.fds[CHANNEL_FD_RING]);
}

/**
 * worker_process_orphan_over() - the worker of before has ended; without effect if there was none
 */
void worker_process_orphan_over(WorkerProcess *wp) {
        if (!wp->orphaned)
                return;
        wp->orphan_timer = timer_free(wp->orphan_timer);
        fd_close_many(&wp->orphan_pidfd, 1);
        wp_forget_former_ring(wp, true);
        wp->orphaned = wp->ended = wp->unwatched = false;
}

/* It has been somebody's else to reap: what its last read had brought cannot be known if it was killed. */
static int wp_orphan_gone(WorkerProcess *wp) {
        ProcessStatus status = { 0 };

        if (wp->orphan_pidfd < 0 || process_status_of(wp->orphan_pidfd, &status) == 0)
                if (status.known && status.signal != 0)
                        log_warning(
                                "The worker died with its keeper, the last output that it read may be lost");
        worker_process_close_channel(wp);
        worker_process_orphan_over(wp);
        return worker_process_start_again(wp);
}

static int wp_on_orphan(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WorkerProcess *wp = userdata;
        int r;

        r = worker_process_receive(wp);
        if (r != 0) /* what is not understood may be what another version says */
                return 0;
        if (!(revents & EPOLLHUP))
                return 0;
        if (wp->pid == 0)
                return wp_orphan_gone(wp);
        wp->channel_source = sd_event_source_disable_unref(wp->channel_source); /* the reaper tells its end */
        return 0;
}

/* Where the kernel has no room for one more watch it is tried again: that worker serves the container meanwhile. */
static bool wp_watch_orphan(WorkerProcess *wp) {
        if (!wp->unwatched)
                return true;
        wp->unwatched =
                event_add_io(wp->event, &wp->channel_source, wp->channel, EPOLLIN, wp_on_orphan, wp) < 0;
        return !wp->unwatched;
}

static int wp_on_orphan_due(Timer *timer, void *userdata) {
        WorkerProcess *wp = userdata;

        if (!wp_watch_orphan(wp)) {
                timer_set(timer, WATCH_AGAIN_USEC);
                return 0;
        }
        if (!wp->dismissed) {
                wp->dismissed = wp->renewing = true;
                timer_set(timer, ORPHAN_USEC); /* for one that cannot be told, too */
                (void)worker_process_send(wp, CHANNEL_STOP, 0, NULL, 0);
        } else if (wp->pid > 0)
                worker_process_kill(wp);
        else if (wp->orphan_pidfd >= 0)
                (void)process_signal(wp->orphan_pidfd, SIGKILL); /* its channel tells when it has ended */
        return 0;
}

/**
 * worker_process_adopt() - go on after another image of this process, or a keeper that has died; a worker may still run
 * @clients, @channel, @pidfd: adopted, also on failure; the latter two are -1 if there is no worker
 *
 * That worker serves the container until it is told to leave, by the loop, and what it has said meanwhile is heard first.
 * One of our own follows. on_ready() comes then.
 *
 * Return: 0 or a negative errno.
 */
int worker_process_adopt(WorkerProcess *wp,
                         const WorkerSaved *saved,
                         const int clients[ATTACH_SLOTS],
                         int channel,
                         int pidfd) {
        int r;

        wp_restore(wp, saved, clients);
        wp->channel = channel;
        wp->orphan_pidfd = pidfd;
        if (channel < 0) {
                wp_forget_former_ring(wp, false);
                return worker_process_start_again(wp);
        }
        wp->pid = saved->pid;
        wp->orphaned = wp->started = true;
        wp->unwatched = true;
        (void)wp_watch_orphan(wp);
        r = event_add_timer(wp->event, &wp->orphan_timer, 0, wp_on_orphan_due, wp);
        if (r >= 0 && wp->pid > 0)
                r = reaper_claim(wp->spec.reaper, wp->pid);
        return r < 0 ? relay(r) : 0;
}
