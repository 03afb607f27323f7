/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The end of a process that need not be a child of ours, by its pidfd. */

#include "base/cleanup.h"
#include "base/process.h"
#include "event/event.h"

typedef struct ExitWatch ExitWatch;

typedef struct ExitWatchHandler {
        /* It has ended, and may be a child of ours: return 1 if that was seen to, and the watch may be freed. May be NULL. */
        int (*on_sign)(void *userdata);
        /* Called once. @status is NULL if it cannot be known. May free the watch. */
        int (*on_end)(void *userdata, const ProcessStatus *status);
} ExitWatchHandler;

int exit_watch_new(ExitWatch **ret, Event *event, int pidfd, const ExitWatchHandler *handler, void *userdata);
ExitWatch *exit_watch_free(ExitWatch *watch);
DEFINE_CLEANUP(ExitWatch, exit_watch_free)
