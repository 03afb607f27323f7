/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The next main process of a unit whose keeper has died (store-keeper.c): systemd has passed it what that one had
 * stored. If there is a state among it, and all that belongs to it, it goes on where the other one was; else what is
 * there is put away, with the container, and the unit starts afresh.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "service/end.h"
#include "service/store.h"
#include "upgrade/upgrade.h"

#define CLEAR_MS 1000 /* for all of it */
#define CLIENT "client-"

/**
 * store_client_name() - the same of an attached client
 */
void store_client_name(char name[NOTIFY_STORE_NAME_MAX], uint32_t slot) {
        (void)snprintf(name, NOTIFY_STORE_NAME_MAX, CLIENT "%u", slot);
}

/**
 * store_mark_path() - of the file that is there while a container can be taken back: $RUNTIME_DIRECTORY.stored
 *
 * Not in that directory, which goes with the unit: whoever ends the container then wants to know.
 *
 * Return: 0 with @ret the caller's to free, or a negative errno: -ENOENT if the unit has no such directory.
 */
int store_mark_path(char **ret) {
        const char *dir = getenv("RUNTIME_DIRECTORY");

        if (!dir || !*dir)
                return fail(-ENOENT);
        return asprintf(ret, "%.*s.stored", (int)strcspn(dir, ":"), dir) < 0 ? fail(-ENOMEM) : 0;
}

static int *store_find_place(Saved *s, const char *name) {
        uint64_t slot;

        for (SavedFd i = 0; i < _SAVED_FD_MAX; i++)
                if (strcmp(saved_fd_name(i), name) == 0)
                        return &s->fds[i];
        if (strncmp(name, CLIENT, strlen(CLIENT)) == 0 && parse_u64(name + strlen(CLIENT), &slot) >= 0 &&
            slot < ATTACH_SLOTS)
                return &s->clients[slot];
        return NULL;
}

/* Of two states the later one; NULL if there is none that we know. */
static Saved *store_find_state(const StoredFd *entries, size_t n, bool *ret_any) {
        Saved *best = NULL;

        *ret_any = false;
        for (size_t i = 0; i < n; i++) {
                char wrong[STATE_NAME_MAX];
                Saved *s = NULL;

                if (strncmp(entries[i].name, STORE_STATE, strlen(STORE_STATE)) != 0)
                        continue;
                *ret_any = true;
                if (saved_open(entries[i].fd, &s, wrong) != 0)
                        continue;
                if (best && best->serial > s->serial) {
                        saved_free(s);
                        continue;
                }
                saved_free(best);
                best = s;
        }
        return best;
}

static bool store_take_descriptors(Saved *s, StoredFd *entries, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int *place = store_find_place(s, entries[i].name);

                if (place && *place < 0)
                        *place = TAKE_FD(entries[i].fd);
        }
        return saved_is_whole(s) && s->fds[SAVED_FD_TARGET] >= 0 && s->fds[SAVED_FD_BUNDLE] >= 0;
}

static void store_on_lost(void *userdata, const char *text, int error) {
        log_debug("What the dead monitor has stored is not removed");
}

/* There is no loop yet. */
static void store_clear(const StoredFd *entries, size_t n) {
        _cleanup_(event_unrefp) Event *event = NULL;
        _cleanup_(notify_queue_freep) NotifyQueue *q = NULL;

        if (event_new(&event) < 0 ||
            notify_queue_new(&q, event, getenv("NOTIFY_SOCKET"), store_on_lost, NULL) < 0)
                return;
        for (size_t i = 0; i < n; i++)
                (void)notify_store_remove(q, entries[i].name); /* nothing to remove if it is not there */
        notify_queue_flush(q, CLEAR_MS);
}

static void store_put_away(Saved *s) {
        fd_close_many(s->fds, _SAVED_FD_MAX);
        fd_close_many(s->clients, ATTACH_SLOTS);
}

/**
 * store_resume() - go on where the keeper before was, if it has died and left its container
 * @argc, @argv: "scopemon --service ..."
 * @envp: of main()
 * @hooks: borrowed
 * @ret_resumed: whether it had
 *
 * Return: as keeper_run(); 0 if there is nothing to go on with.
 */
int store_resume(int argc, char *argv[], char *envp[], const KeeperHooks *const hooks[], bool *ret_resumed) {
        _cleanup_(saved_freep) Saved *s = NULL;
        _cleanup_free_ StoredFd *entries = NULL;
        bool any;
        size_t n;
        int r;

        *ret_resumed = false;
        r = notify_store_take(&entries, &n);
        if (r < 0)
                return relay(r);
        if (n == 0)
                return 0;
        s = store_find_state(entries, n, &any);
        *ret_resumed = s && store_take_descriptors(s, entries, n);
        if (!*ret_resumed)
                store_clear(entries, n);
        notify_store_close(entries, n);
        if (*ret_resumed) {
                notify_store_close_rest();
                r = upgrade_go_on(s, argv, envp, hooks);
                return r < 0 ? log_error_errno(r, "Failed to take over the container:") : r;
        }
        if (s)
                store_put_away(s);
        if (!any)
                return 0;
        log_error("Cannot take over the container of the dead monitor, killing it");
        return service_end(argc, argv, envp, true) == 0 ? 0 : fail(-ECHILD);
}
