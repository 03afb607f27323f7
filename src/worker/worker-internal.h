/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the worker share: worker.c has its life and the channel, the others what their names say. */

#include <stdbool.h>

#include "base/process.h"
#include "event/event.h"
#include "event/exit-watch.h"
#include "io/control.h"
#include "io/gather.h"
#include "io/notify.h"
#include "io/ring.h"
#include "io/streams.h"
#include "sandbox/sandbox.h"
#include "wire/channel.h"
#include "worker/worker-config.h"
#include "worker/worker-state.h"
#include "worker/worker.h"

typedef struct WorkerTimer {
        Timer *timer;
        bool armed;
        uint64_t heads[_STREAM_MAX]; /* when it was armed */
} WorkerTimer;

#define WORKER_CHANNEL 3 /* all others have been closed before it is put there */

typedef struct Worker {
        WorkerConfig config;
        char *config_texts; /* owned */
        char *const *argv;
        Event *event;
        int channel; /* borrowed */
        sd_event_source *channel_source;
        Timer *settle_timer;
        Ring *ring;
        WorkerState *state; /* in the ring */
        int fds[_CHANNEL_FD_MAX];
        Streams *streams;
        Sinks *sinks;
        Attach *attach;
        size_t n_inherited;  /* clients of the worker before */
        bool clients_refuse; /* descriptors: none can come with what they send */
        Control *control;
        Notify *notify;
        WorkerTimer flush, trim, wait;
        bool holding;             /* it is armed for that alone: */
        size_t held[_STREAM_MAX]; /* bytes of a letter that has only begun, not shown to the sinks yet */
        uint64_t held_until[_STREAM_MAX]; /* 0: nothing is */
        bool impatient; /* what a runtime prints is thrown away if it is more than the ring holds */
        int io_fd;      /* /proc/self/io: bytes that write() has taken */
        Window window[_STREAM_MAX]; /* what the clients were last shown */
        bool running;               /* the keeper has said so */
        bool draining, drained;     /* the target has ended; all it wrote is in the sinks */
        bool drained_told;          /* the keeper knows the latter */
        bool done;                  /* the keeper has been told that the clients have it too */
        bool keeper_gone;
        bool unheard;  /* the keeper has taken a record no more: worker_orphaned() is about to be called */
        int target_fd; /* pidfd of the container's first process, for when the keeper is gone; -1 if unknown */
        ExitWatch *target_watch;
        bool target_ended;
        int root_error;        /* 0, or a positive errno: why it has none of its own */
        ExitFiles exit_files;  /* that may be written, for when the keeper is gone; zero: none */
        bool exit_told;        /* ... and they have been, or were there */
        uint64_t started_usec; /* of the container */
        ProcessStatus target_status;
        bool stream_drained[_STREAM_MAX];
        size_t drain_left[_STREAM_MAX];
        Gather gathers[_STREAM_MAX];
} Worker;

/* worker.c */
int worker_confine(const ExitFiles *files);
int worker_send(Worker *w, const ChannelRecord *record);
int worker_pass(Worker *w, const ChannelRecord *record, int fd);
void worker_offer(Worker *w, uint32_t slot, int fd);
int worker_tell(Worker *w, ChannelType type, uint32_t number);

/* worker-raw.c */
void worker_raw(Worker *w);

/* worker-output.c */
int worker_output_open(Worker *w);
void worker_output_close(Worker *w);
int worker_output_run(Worker *w);
int worker_output_drain(Worker *w);
int worker_output_finish(Worker *w);
int worker_output_go_on(Worker *w);
int worker_output_moved(Worker *w, StreamId id);
bool worker_output_ended(const Worker *w);

/* worker-sinks.c */
int worker_sinks_open(Worker *w);
int worker_sinks_set_journal(Worker *w, int fd, int error);

/* worker-orphan.c */
void worker_orphan_prepare(Worker *w);
int worker_orphaned(Worker *w);
int worker_orphan_advance(Worker *w);
void worker_orphan_drained(Worker *w);
void worker_orphan_tell(const Worker *w);

/* worker-input.c */
int worker_input_open(Worker *w);
void worker_input_close(Worker *w);
int worker_input_start(Worker *w);
int worker_input_terminal(Worker *w);
int worker_input_pump(Worker *w);
