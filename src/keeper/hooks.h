/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What others do beside a keeper, which does not know them: main joins service/ and upgrade/ to it. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include "base/process.h"
#include "supervise/worker-process.h"

typedef struct Keeper Keeper;
typedef struct Saved Saved;

#define KEEPER_TAKEN 1 /* answer of a hook: this was mine, nobody else is asked */

/*
 * Each may be NULL. Those that return nothing are told, all of them; of the others the first answer that is not 0 counts:
 * KEEPER_TAKEN or a negative errno.
 */
typedef struct KeeperHooks {
        int (*on_new)(Keeper *k);
        void (*on_free)(Keeper *k);

        int (*on_launch)(Keeper *k);     /* the runtime is about to be started; may block */
        void (*on_running)(Keeper *k);   /* there is a container */
        void (*on_inherited)(Keeper *k); /* ... and a monitor was killed that has left exec/'s commands */
        void (*on_draining)(Keeper *k);  /* it has ended, or never was */
        int (*on_exit_command)(
                Keeper *k); /* may it be somebody else's? exit_command_go() or _given() follows */
        int (*is_unfinished)(Keeper *k); /* with what the end has to wait for? */
        void (*on_done)(Keeper *k);      /* all is told */
        void (*on_changed)(Keeper *k);   /* ... what on_save would write down */

        int (*on_request)(Keeper *k, const struct signalfd_siginfo *info); /* is it one, and no signal? */
        int (*on_signal)(Keeper *k, int signal);
        int (*on_child)(Keeper *k, pid_t pid, const ProcessStatus *status);
        void (*on_buried)(Keeper *k); /* no child is a zombie; may not return */

        int (*on_worker_ready)(Keeper *k); /* a first one of this process */
        void (*on_kept)(Keeper *k, WorkerKept what, uint32_t index, int fd);
        void (*on_notified)(Keeper *k, const char *text, size_t n);

        int (*is_busy)(Keeper *k); /* with what another image could not go on with? */
        void (*on_save)(Keeper *k, Saved *s);
        void (*on_restore)(Keeper *k, const Saved *s);
        void (*on_replace)(Keeper *k);                /* another image comes in our place */
        void (*on_resumed)(Keeper *k, bool upgraded); /* the container is ours: else its keeper had died */
} KeeperHooks;

#define KEEPER_TELL(k, hook, ...)                                                                            \
        do                                                                                                   \
                for (const KeeperHooks *const *_h = (k)->hooks; _h && *_h; _h++)                             \
                        if ((*_h)->hook)                                                                     \
                                (*_h)->hook((k), ##__VA_ARGS__);                                             \
        while (0)

#define KEEPER_ASK(k, hook, ...)                                                                             \
        ({                                                                                                   \
                int _r = 0;                                                                                  \
                                                                                                             \
                for (const KeeperHooks *const *_h = (k)->hooks; _r == 0 && _h && *_h; _h++)                  \
                        if ((*_h)->hook)                                                                     \
                                _r = (*_h)->hook((k), ##__VA_ARGS__);                                        \
                _r;                                                                                          \
        })
