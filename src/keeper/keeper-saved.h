/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What parts of a keeper hand on to the one that goes on after it, as plain values with names. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process.h"
#include "wire/state.h"

typedef struct TargetSaved {
        pid_t pid;
        bool oom;
        uint64_t started_usec, timeout_usec; /* CLOCK_MONOTONIC; the latter is a deadline, or 0 */
        ProcessStatus status;
} TargetSaved;

typedef struct UnitStopSaved {
        uint64_t deadline; /* likewise */
} UnitStopSaved;

typedef struct ExitCommandSaved {
        bool terminated;
} ExitCommandSaved;

extern const StateFields target_values, unit_stop_values, exit_command_values;
