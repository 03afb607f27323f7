/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The entry about a container's end, which a worker whose keeper has died writes too. */

#include <stdbool.h>
#include <stdint.h>

#include "base/process.h"
#include "report/entry.h"

typedef struct AnnounceEnd {
        const ProcessStatus *status;
        bool oom, timed_out;
        bool orphaned; /* told by a worker whose keeper was killed: it knows of no memory that has run out */
        bool exit_files;      /* likewise: they have been written */
        uint64_t usec;        /* how long the container ran */
        uint64_t bytes, lost; /* output the sinks have taken, and have not */
        uint64_t suppressed;  /* entries that the journal has taken and not kept */
} AnnounceEnd;

void announce_end_of(const EntryOf *of, const AnnounceEnd *end);
