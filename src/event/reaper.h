/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Statuses of our children, claimed or not yet. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "event/event.h"

typedef struct Reaper Reaper;

typedef struct ReaperHandler {
        /* A claimed child has ended and is a zombie until this returns. */
        int (*on_exit)(void *userdata, pid_t pid, const ProcessStatus *status);
        /* All that had ended are buried. */
        int (*on_buried)(void *userdata);
} ReaperHandler;

int reaper_new(Reaper **ret, Event *event, const ReaperHandler *handler, void *userdata);
Reaper *reaper_free(Reaper *reaper);
DEFINE_CLEANUP(Reaper, reaper_free)

int reaper_claim(Reaper *reaper, pid_t pid);
int reaper_look(Reaper *reaper);
bool reaper_has_children(Reaper *reaper);
