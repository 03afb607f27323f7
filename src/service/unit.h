/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A keeper in service mode. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"
#include "io/notify-queue.h"
#include "keeper/hooks.h"

/* What it has besides; the keeper's, in service mode only. */
typedef struct ServiceUnit {
        NotifyQueue *notifications; /* to systemd */
        char **environment;         /* of what we start */
        pid_t start_pid;            /* the runtime's "start" */
        Timer *start_timer, *watchdog_timer;
        bool stored;     /* systemd keeps what the next process of our unit would need, */
        bool ready_told; /* ... which has to say READY=1 if we had */
        uint64_t serial; /* of the state that is there */
} ServiceUnit;

extern const KeeperHooks service_hooks;

/* store-keeper.c */
void store_keeper_begin(Keeper *k);
void store_keeper_again(Keeper *k);
void store_keeper_state(Keeper *k);
void store_keeper_kept(Keeper *k, WorkerKept what, uint32_t index, int fd);
void store_keeper_notified(Keeper *k, const char *text, size_t n);
void store_keeper_save(Keeper *k, Saved *s);
void store_keeper_restore(Keeper *k, const Saved *s);
void store_keeper_end(Keeper *k);
