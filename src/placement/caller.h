/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process that started us, as far as placement asks. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "placement/placement.h"

typedef struct Caller {
        pid_t pid;
        int pidfd;            /* borrowed; -1 if it had gone before we looked */
        pid_t former_monitor; /* of this container, 0 if it had none */
        bool logs_to_journal; /* its unit's journal stream would have our output, too */
} Caller;

typedef struct CallerFacts {
        PlacementCaller next;
        pid_t former_monitor; /* of this container, whose exit command the caller is, or 0 */
        bool notifies;
        pid_t outer; /* the process that the unit started, where @pid is its own second self in a user namespace */
} CallerFacts;

CallerFacts caller_look(const Caller *caller, bool by_words);
uint32_t caller_store(pid_t pid);
bool caller_words_wait(char *const argv[]);
