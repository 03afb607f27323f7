/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a keeper in service mode leaves to the next process of its unit, should it be killed: in the unit's file
 * descriptor store is a copy of all that an upgrade would hand on, and the keeper's end of the channel to its worker
 * besides. So the worker notices nothing: the channel does not close, output goes on, clients are served. The next
 * keeper (store.c) tells it to leave between two batches, and starts one of its own.
 *
 * Descriptors are stored under the name of what they are for, one by one as they come and go. The plain values are a
 * sealed memory of their own. A newer one is put beside the older one before that is removed, under two names that
 * take turns, since we may be killed in between; of two the one with the higher serial counts.
 *
 * Nothing is stored until the container has been started: before that there is nothing to take back, and a file in our
 * directory says to "scopemon end" which of the two it is.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/keeper-internal.h"
#include "service/service.h"
#include "service/store.h"
#include "service/unit.h"
#include "systemd/notify-store.h"
#include "upgrade/snapshot.h"
#include "wire/notifymsg.h"

static bool is_stored(const Keeper *k) {
        return k->service && k->service->stored;
}

static void store_keeper_complain(int r, const char *name) {
        if (r < 0)
                (void)log_warning_errno(r, "Failed to store %s, the container will not outlive its monitor",
                                        name);
}

static void store_keeper_put(Keeper *k, const char *name, int fd) {
        store_keeper_complain(notify_store_put(k->service->notifications, name, fd), name);
}

static void store_keeper_replace(Keeper *k, const char *name, int fd) {
        (void)notify_store_remove(k->service->notifications,
                                  name); /* if it cannot be reached, that is said below */
        if (fd >= 0)
                store_keeper_put(k, name, fd);
}

static int seal_values(Keeper *k, int *ret_fd) {
        _cleanup_(saved_freep) Saved *s = NULL;
        int r;

        r = keeper_save(k, &s);
        if (r < 0)
                return relay(r);
        memset(s->fds, -1, sizeof s->fds); /* they have names */
        memset(s->clients, -1, sizeof s->clients);
        s->n_inherited = 0;
        r = saved_seal(s, ret_fd);
        return r < 0 ? relay(r) : 0;
}

/**
 * store_keeper_state() - the plain values have changed
 */
void store_keeper_state(Keeper *k) {
        static const char *const names[] = { STORE_STATE "0", STORE_STATE "1" };
        _cleanup_close_ int fd = -1;
        int r;

        if (!is_stored(k))
                return;
        k->service->serial++;
        r = seal_values(k, &fd);
        if (r < 0) {
                store_keeper_complain(r, "the monitor's state");
                return;
        }
        store_keeper_put(k, names[k->service->serial % 2], fd);
        (void)notify_store_remove(k->service->notifications, names[(k->service->serial + 1) % 2]);
}

static void store_worker(Keeper *k) {
        int channel = k->worker ? worker_process_channel(k->worker) : -1;
        _cleanup_close_ int pidfd = -1;

        store_keeper_replace(k, saved_fd_name(SAVED_FD_CHANNEL), channel);
        if (channel >= 0)
                pidfd = process_pidfd(worker_process_pid(k->worker));
        store_keeper_replace(k, saved_fd_name(SAVED_FD_WORKER_PROCESS), pidfd);
}

typedef void (*StoreOne)(Keeper *k, const char *name, int fd);

static void store_all(Keeper *k, StoreOne store) {
        _cleanup_(saved_freep) Saved *s = NULL;
        char name[NOTIFY_STORE_NAME_MAX];
        int r;

        r = keeper_save(k, &s);
        if (r < 0) {
                store_keeper_complain(r, "the monitor's state");
                return;
        }
        for (SavedFd i = 0; i < SAVED_FD_CHANNEL; i++)
                if (s->fds[i] >= 0)
                        store(k, saved_fd_name(i), s->fds[i]);
        for (uint32_t slot = 0; slot < ATTACH_SLOTS; slot++)
                if (s->clients[slot] >= 0) {
                        store_client_name(name, slot);
                        store(k, name, s->clients[slot]);
                }
}

/**
 * store_keeper_again() - all is to be stored as we would have done it: another image may have done it before
 *
 * Nothing is removed first: systemd leaves out a descriptor that it has, and what was removed and has yet to be put again
 * would be closed with us. The channel to the worker that runs was stored when that was started; if it were closed, the
 * worker would go on beside the one of the next keeper.
 */
void store_keeper_again(Keeper *k) {
        if (!is_stored(k))
                return;
        store_all(k, store_keeper_put);
        store_keeper_state(k); /* the last: without it the rest is nothing */
}

static int make_mark(void) {
        _cleanup_free_ char *path = NULL;
        int fd, r;

        r = store_mark_path(&path);
        if (r < 0)
                return relay(r);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fail(-errno);
        (void)close(fd);
        return 0;
}

/**
 * store_keeper_begin() - the container runs: from now on it can be taken back, if the unit is made for that
 */
void store_keeper_begin(Keeper *k) {
        if (!k->plan.survives)
                return;
        k->service->stored = true;
        k->service->ready_told = !service_container_notifies(k->options);
        store_all(k, store_keeper_replace);
        store_worker(k);
        store_keeper_state(k); /* the last: without it the rest is nothing */
        store_keeper_complain(make_mark(), "the marker file");
}

/**
 * store_keeper_kept() - the worker process has got or lost something that the next keeper would need
 */
void store_keeper_kept(Keeper *k, WorkerKept what, uint32_t index, int fd) {
        char name[NOTIFY_STORE_NAME_MAX];

        if (!is_stored(k))
                return;
        switch (what) {
        case WORKER_KEPT_FD:
                store_keeper_replace(k, saved_fd_name(SAVED_FD_WORKER + index), fd);
                return;
        case WORKER_KEPT_CLIENT:
                store_client_name(name, index);
                store_keeper_replace(k, name, fd);
                return;
        case WORKER_KEPT_CHANNEL:
                store_worker(k);
                return;
        }
}

/**
 * store_keeper_notified() - the container has told systemd something
 */
void store_keeper_notified(Keeper *k, const char *text, size_t n) {
        if (!is_stored(k) || k->service->ready_told || !notifymsg_says(text, n, "READY=1"))
                return;
        k->service->ready_told = true;
        store_keeper_state(k);
}

/**
 * store_keeper_save() - what the next keeper has to know of this
 */
void store_keeper_save(Keeper *k, Saved *s) {
        if (!k->service)
                return;
        s->serial = k->service->serial;
        s->ready_told = k->service->ready_told;
}

/**
 * store_keeper_restore() - this is the next keeper
 */
void store_keeper_restore(Keeper *k, const Saved *s) {
        if (!k->service)
                return;
        k->service->serial = s->serial;
        k->service->ready_told = s->ready_told;
        k->service->stored = s->plan.survives;
}

/**
 * store_keeper_end() - there is nothing to take back any more
 */
void store_keeper_end(Keeper *k) {
        _cleanup_free_ char *mark = NULL;

        if (!is_stored(k))
                return;
        (void)notify_store_remove(
                k->service->notifications,
                STORE_STATE "0"); /* what else is there is closed with the unit, or by the next process */
        (void)notify_store_remove(k->service->notifications, STORE_STATE "1");
        if (store_mark_path(&mark) >= 0)
                (void)unlink(mark);
        k->service->stored = false;
}
