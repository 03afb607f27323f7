/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a container's monitor has of the exit commands that it is to run. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"
#include "keeper/keeper.h"
#include "report/due.h"

#define EXEC_AT_ONCE_MAX 4U

typedef struct ExecRun {
        pid_t pid; /* 0: it is free */
        Timer *timer;
} ExecRun;

typedef struct ExecRunner {
        Keeper *keeper;
        int place_fd, taken_fd;
        DueId *ids; /* in order */
        size_t first, n, allocated;
        ExecRun runs[EXEC_AT_ONCE_MAX];
        Timer *timer;
        bool at_once;
        uint64_t until; /* then, what still cannot be run is left */
} ExecRunner;
