/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What goes wrong with workers and sinks, as the keeper sees it. Part of worker-process. */

#include <stdbool.h>

#include "base/process.h"
#include "config/options.h"
#include "io/ring.h"
#include "placement/placement.h"
#include "wire/channel.h"
#include "worker/worker-state.h"

/* What a container or a client can bring about as often as it likes. */
typedef enum IncidentKind {
        INCIDENT_NOTIFY,
        INCIDENT_STORE,
        INCIDENT_CONTROL,
        INCIDENT_CLIENT,
        _INCIDENT_MAX,
} IncidentKind;

#define INCIDENT_QUIET_USEC 10000000U /* after one that is told others of its kind are only counted */

typedef struct IncidentBurst {
        uint64_t told_usec; /* 0: never */
        unsigned n;         /* since then */
        char more[32];
} IncidentBurst;

typedef struct Incidents {
        const Options *options;
        const PlacementPlan *plan;
        Ring *ring;
        int io_fd;                   /* /proc/PID/io of the worker that runs; -1 for none */
        bool crashed;                /* the last worker that died did so by itself, ... */
        uint64_t place[_STREAM_MAX]; /* ... and this was the first byte not yet in the sinks */
        bool in_trouble[_SINK_MAX];
        uint64_t lines[_SINK_MAX]; /* lost when that began */
        IncidentBurst bursts[_INCIDENT_MAX];
} Incidents;

void incident_watch(Incidents *i, pid_t pid);
void incident_recover(const Incidents *i, pid_t pid);
void incident_death(Incidents *i, const ProcessStatus *status);
const char *incident_more(Incidents *i, IncidentKind kind, uint64_t now);
void incident_sink(Incidents *i, SinkId sink, int error, uint64_t lost_bytes);
