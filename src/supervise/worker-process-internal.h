/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What worker-process.c (start, end, replacement), worker-process-resume.c (of a container that has had one) and
 * worker-records.c (what a worker says) share.
 */

#include "supervise/discard.h"
#include "supervise/suppressed.h"
#include "supervise/worker-incident.h"
#include "supervise/worker-process.h"
#include "worker/worker-state.h"
#include "worker/worker.h"

/* In the order of telling. */
typedef enum WorkerDebt {
        WORKER_DEBT_TERMINAL,
        WORKER_DEBT_RUN,
        WORKER_DEBT_DRAIN,
        _WORKER_DEBT_MAX,
} WorkerDebt;

typedef enum PulseState {
        PULSE_RESTING, /* there is nothing to do */
        PULSE_DUE,     /* there is: see whether it is done */
        PULSE_ASKED,
        PULSE_KILLED,
} PulseState;

/* See worker-pulse.c. */
typedef struct Pulse {
        PulseState state;
        Timer *timer; /* NULL without a worker of ours */
        uint64_t due_usec, asked_usec;
        uint64_t cpu_usec; /* what the worker had used when it was asked */
        bool beginning;    /* the answer that is waited for is its CHANNEL_READY */
        int epoll_fd;
        sd_event_source *source;
        unsigned n_stuck; /* workers that did not answer since the container has ended */
} Pulse;

/* What can be seen of a worker that has not answered yet. */
typedef struct PulseSight {
        char state;                     /* as /proc has it */
        bool ending;                    /* callers wait for the end */
        bool busy;                      /* it waits for the log's file system */
        uint64_t waited_usec, cpu_usec; /* since it was asked */
} PulseSight;

#define WORKER_DISCARDS 4 /* stdout, stderr, terminal, notifications */

/* How many messages about descriptors reach the service manager. */
typedef struct StoreLimit {
        uint64_t since_usec;
        unsigned n; /* since then */
} StoreLimit;

struct WorkerProcess {
        Event *event;
        WorkerProcessSpec spec;
        const WorkerProcessHandler *handler;
        void *userdata;
        int *clients; /* copies, by slot; -1 for none */
        size_t n_clients;
        int channel;
        sd_event_source *channel_source;
        Timer *pause_timer, *orphan_timer;
        pid_t pid;
        bool run, drain; /* what each worker has to be told */
        unsigned owed;   /* ... and this one has not been yet: a bit for each WorkerDebt */
        bool renewing;   /* it is asked to leave, since the next one can have what it cannot be given */
        bool ended;      /* it has drained all there was before it was asked to */
        bool started, ready, drained, done;
        bool orphaned;    /* the worker is that of another image, or of a keeper that has died */
        bool dismissed;   /* likewise; it has been asked to leave */
        bool unwatched;   /* likewise; its channel is not heard yet */
        int orphan_pidfd; /* likewise, if it is not our child; -1 if unknown */
        int former_ring;  /* of another version, whose content is in ours; -1: none */
        unsigned deaths;
        uint64_t deaths_since;
        unsigned failures;    /* deaths in a row that were the workers' own, with nothing done before them */
        uint64_t done_before; /* bytes that the sinks had when the last worker was started */
        bool condemned;       /* the worker is killed by us */
        bool abandoned;       /* the container has ended without one */
        bool hopeless;        /* they do not start: output is discarded between two tries */
        uint64_t discarded;   /* bytes, before it was */
        int error;            /* what the last one has failed with, 0 if unknown */
        Discard discards[WORKER_DISCARDS];
        Incidents incidents;
        Suppressed suppressed;
        Pulse pulse;
        StoreLimit store_limit;
};

/* worker-process.c */
int worker_process_start_again(WorkerProcess *wp);
int worker_process_abandon(WorkerProcess *wp);
void worker_process_recovered(WorkerProcess *wp);
void worker_process_close_channel(WorkerProcess *wp);
int worker_process_set_client(WorkerProcess *wp, uint32_t slot, int fd);
void worker_process_keep_client(WorkerProcess *wp, uint32_t slot, int fd);
void worker_process_kept(WorkerProcess *wp, WorkerKept what, uint32_t index, int fd);
int worker_process_send(WorkerProcess *wp, ChannelType type, uint32_t number, const int *fds, size_t n_fds);
int worker_process_give(WorkerProcess *wp, ChannelType type, int fd);

/* worker-pulse.c */
bool worker_pulse_excuses(const PulseSight *sight);
bool worker_pulse_has_work(WorkerProcess *wp);
int worker_pulse_await(WorkerProcess *wp);
int worker_pulse_begin(WorkerProcess *wp);
void worker_pulse_answered(WorkerProcess *wp);
void worker_pulse_changed(WorkerProcess *wp);
void worker_pulse_hurry(WorkerProcess *wp);
bool worker_pulse_is_hopeless(const WorkerProcess *wp);
void worker_pulse_end(WorkerProcess *wp);

/* worker-setup.c */
size_t worker_setup_list_fds(const WorkerProcess *wp, int fds[WORKER_FDS_MAX]);
int worker_setup_pack(const WorkerProcess *wp, char *data, size_t *ret_n);

/* worker-process-resume.c */
void worker_process_orphan_over(WorkerProcess *wp);

/* worker-records.c */
int worker_process_receive(WorkerProcess *wp);
