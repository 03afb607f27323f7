/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The half that callers know: one container's monitor, from the start byte to its exit status. */

#include <sys/types.h>

#include "base/cleanup.h"
#include "config/options.h"
#include "keeper/hooks.h"

/* What had to be noted in the process the caller started, before anything was opened or changed. */
typedef struct Origin {
        int argc;
        char **argv, **envp;
        char **given_argv; /* of main(); argv may have been expanded from it */
        char *program;     /* our path, as it was at the start; NULL if unknown */
        int *inherited;    /* descriptors from 3 up that are not ours to know; kept open until the end */
        size_t n_inherited;
        int start_fd, sync_fd, attach_fd; /* the caller's pipes; -1 where there are none */
        pid_t caller;
        pid_t former_monitor; /* of our container, before our pid took the place of its in the file; 0 for none */
        int caller_pidfd;     /* -1 if it has gone */
        bool journal_stream[3]; /* this one of 0, 1, 2 goes to the journal */
        uint64_t fds_max;       /* soft limit of descriptors of the caller; 0 if unknown */
        char oom_score_adj[16]; /* of the caller; "" if unknown */
        sigset_t mask;
        pid_t launcher;      /* the process that has left us behind; 0 for none */
        void *launcher_room; /* that process_leave() has told of */
        int log_dir_fd;      /* directory of the log file, -1 without one */
        int log_fd;
        const char *log_name;
} Origin;

int keeper_new(Keeper **ret, const Options *options, Origin *origin, const KeeperHooks *const hooks[]);
Keeper *keeper_free(Keeper *k);
DEFINE_CLEANUP(Keeper, keeper_free)

int keeper_start(Keeper *k);
int keeper_run(Keeper *k);
