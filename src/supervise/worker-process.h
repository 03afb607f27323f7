/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper's side of the worker: started, fed, watched, replaced. */

#include <stdbool.h>
#include <sys/types.h>

#include "attach/attach.h"
#include "base/process.h"
#include "base/stream.h"
#include "config/options.h"
#include "event/event.h"
#include "event/reaper.h"
#include "io/ring.h"
#include "placement/placement.h"
#include "sink/sink.h"
#include "supervise/suppressed.h"
#include "wire/channel.h"
#include "wire/state.h"

typedef struct WorkerProcess WorkerProcess;

/* What another keeper would have to have, if this one died. */
typedef enum WorkerKept {
        WORKER_KEPT_FD,      /* index: ChannelFd */
        WORKER_KEPT_CLIENT,  /* index: slot */
        WORKER_KEPT_CHANNEL, /* to the worker that runs */
} WorkerKept;

typedef struct WorkerProcessHandler {
        int (*on_ready)(void *userdata);   /* the first worker serves clients and fifos now */
        int (*on_drained)(void *userdata); /* the sinks have all the target wrote */
        int (*on_done)(void *userdata);    /* the clients too, and the worker has left */
        int (*on_hopeless)(void *userdata,
                           int error); /* none starts; @error: a negative errno, or 0 if unknown */
        void (*on_fork)(
                void *userdata); /* in the first worker: give back memory it will never need; may be NULL */
        void (*on_kept)(void *userdata,
                        WorkerKept what,
                        uint32_t index,
                        int fd); /* a new one, borrowed; -1: gone; may be NULL */
        void (*on_notified)(void *userdata,
                            const char *text,
                            size_t n); /* the container has said so; may be NULL */
} WorkerProcessHandler;

/* What a worker process must hand on besides descriptors and ring. */
typedef struct WorkerSaved {
        pid_t pid; /* of a worker that runs and is a child of whoever goes on; 0: none, or another keeper's */
        bool crashed;
        uint64_t place[_STREAM_MAX];
        bool in_trouble[_SINK_MAX];
        uint64_t lines[_SINK_MAX];
} WorkerSaved;

typedef struct WorkerProcessSpec {
        const Options *options;
        char *const *
                argv; /* of main(): the first word is our name, and a worker that is forked has its title there */
        char *const *envp;
        const PlacementPlan *plan;
        Ring *ring;            /* borrowed */
        Reaper *reaper;        /* borrowed */
        int target_fd;         /* of a container that runs already, as for worker_process_run(), */
        uint64_t started_usec; /* ... and since when it does */
        int log_dir_fd;        /* adopted; -1 without a log file */
        const char *log_name;
        int fds[_CHANNEL_FD_MAX]; /* adopted; -1 for what there is not */
} WorkerProcessSpec;

int worker_process_new(WorkerProcess **ret,
                       Event *event,
                       const WorkerProcessSpec *spec,
                       const WorkerProcessHandler *handler,
                       void *userdata);
WorkerProcess *worker_process_free(WorkerProcess *wp);
DEFINE_CLEANUP(WorkerProcess, worker_process_free)

int worker_process_start(WorkerProcess *wp);
int worker_process_await(WorkerProcess *wp);
pid_t worker_process_pid(const WorkerProcess *wp);
int worker_process_set_terminal(WorkerProcess *wp, int master);
int worker_process_run(WorkerProcess *wp, int target_fd);
int worker_process_drain(WorkerProcess *wp);
int worker_process_on_exit(WorkerProcess *wp, const ProcessStatus *status);
void worker_process_kill(WorkerProcess *wp);
int worker_process_kill_for_good(WorkerProcess *wp);
int worker_process_channel(const WorkerProcess *wp);
int worker_process_log_dir(const WorkerProcess *wp);
Suppressed *worker_process_suppressed(WorkerProcess *wp);
void worker_process_save(const WorkerProcess *wp,
                         WorkerSaved *ret,
                         int fds[_CHANNEL_FD_MAX],
                         int clients[ATTACH_SLOTS]);
void worker_process_change_ring(WorkerProcess *wp, int fd);
int worker_process_adopt(WorkerProcess *wp,
                         const WorkerSaved *saved,
                         const int clients[ATTACH_SLOTS],
                         int channel,
                         int pidfd);

extern const StateFields worker_process_values; /* of WorkerSaved */
