/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a keeper hands on to the image that takes its place, as plain values, and as sealed memory. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/attach.h"
#include "base/cleanup.h"
#include "io/control.h"
#include "keeper/keeper-saved.h"
#include "keeper/lifecycle.h"
#include "placement/placement.h"
#include "report/report.h"
#include "supervise/worker-process.h"
#include "wire/state.h"

/* Descriptors that are not the worker's. */
typedef enum SavedFd {
        SAVED_FD_BUNDLE,
        SAVED_FD_TARGET, /* pidfd */
        SAVED_FD_REPORT,
        SAVED_FD_LOG_DIR = SAVED_FD_REPORT + REPORT_FDS,
        SAVED_FD_WORKER,
        /* to a worker that runs on meanwhile */
        SAVED_FD_CHANNEL = SAVED_FD_WORKER + _CHANNEL_FD_MAX,
        SAVED_FD_WORKER_PROCESS, /* pidfd; of one that the next keeper is not the parent of */
        _SAVED_FD_MAX,
} SavedFd;

typedef struct Saved {
        pid_t keeper;    /* whose state this is */
        pid_t requester; /* who asked for the upgrade, 0 if nobody waits for an answer */
        Facts facts;
        ReportSaved report; /* without its descriptors */
        TargetSaved target;
        UnitStopSaved unit_stop;
        ExitCommandSaved exit_command;
        int exit_status; /* ours, once the end has been told */
        uint64_t serial; /* of two states of the same keeper the later one counts */
        bool ready_told; /* systemd knows that the service is ready */
        uint64_t mask;   /* signal N of the caller's mask is bit N - 1 */
        WorkerSaved worker;
        bool has_worker;
        PlacementPlan plan;
        uint64_t fds_max;
        char oom_score_adj[16];
        char version[64];
        char comm[16];
        char path[PATH_MAX]; /* of the program */

        int fds[_SAVED_FD_MAX];
        int clients[ATTACH_SLOTS];
        int *inherited; /* owned, as are the words */
        size_t n_inherited;
        int *unknown; /* of names that we do not know: to be closed, by whom they are taken over; owned */
        size_t n_unknown;
        char **argv;
        int argc;
} Saved;

/* Positive answers of saved_open(). */
enum {
        SAVED_FOREIGN = 1, /* of a form that does not exist yet */
        SAVED_BINARY,      /* of scopemon 0.1.0 */
        SAVED_BROKEN,
};

int saved_new(Saved **ret);
Saved *saved_free(Saved *s);
DEFINE_CLEANUP(Saved, saved_free)

int saved_add_inherited(Saved *s, int fd);
int saved_add_word(Saved *s, const char *word, size_t n);
int saved_seal(const Saved *s, int *ret_fd);
int saved_open(int fd, Saved **ret, char wrong[STATE_NAME_MAX]);
int saved_decode(const char *data, size_t n, Saved **ret, char wrong[STATE_NAME_MAX]);
const char *saved_fd_name(SavedFd what);
bool saved_is_whole(const Saved *s);
int saved_set_cloexec(const Saved *s, bool on);
