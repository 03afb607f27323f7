/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the files of the keeper share: keeper.c (the life), signals.c, start.c (all that is made before it),
 * runtime.c, target.c, drain.c, end.c and exit-command.c (the end), unit-stop.c; and those who hook on to it.
 */

#include "event/exit-watch.h"
#include "event/reaper.h"
#include "io/cgroup.h"
#include "io/console.h"
#include "io/control.h"
#include "io/ring.h"
#include "io/streams.h"
#include "keeper/keeper-saved.h"
#include "keeper/keeper.h"
#include "keeper/lifecycle.h"
#include "keeper/unit-stop.h"
#include "placement/place.h"
#include "report/announce.h"
#include "report/entry-queue.h"
#include "report/report.h"
#include "supervise/worker-process.h"
#include "worker/worker-state.h"

/*
 * With this value SIGUSR1 is the next monitor of our container, which our exit command has started: our unit is being
 * stopped, so it has refused to. Without it, and to other monitors, the signal means little or nothing.
 */
#define KEEPER_NOT_RESTARTED 0x6e6f7421

/* No worker is there any more, or none ever will be. */
#define KEEPER_WORKER_GONE ((Facts){ .streams_closed = true, .clients_served = true })

#define KEEPER_DRAIN_USEC 30000000ULL /* a worker that has not flushed by then is not waited for */

/* What is needed until the container runs. */
typedef struct KeeperStart {
        Placer *placer;          /* PHASE_PLACING, */
        sd_event_source *caller; /* ... while which its pipe is watched */
        PlaceText text;
        PlaceHold hold; /* until the runtime has exited */
        Console *console;
        bool terminal_received;
        int worker_fds[_CHANNEL_FD_MAX]; /* until the worker process has them */
        int runtime_stdio[3];            /* until the runtime has them */
        int start_fd;                    /* of an exec that waits for its second start byte */
        char failure[CONSOLE_WRONG_MAX]; /* what the caller is told if there is no target */
} KeeperStart;

typedef struct KeeperRuntime {
        pid_t pid; /* 0: it is not running */
        int pidfd;
        ProcessStatus status;
} KeeperRuntime;

typedef struct Target {
        pid_t pid;
        int pidfd;
        ProcessStatus status;
        ExitWatch *watch;
        CgroupOom *oom_watch;
        CgroupAttributes *attributes; /* NULL if neither of us is nested in a unit */
        bool oom;
        uint64_t started_usec;
        uint64_t timeout_usec; /* a deadline; 0 for none */
        Timer *timeout_timer;
} Target;

typedef struct Drain {
        Timer *timer;
        uint64_t delivered; /* to clients, when the timer was armed */
} Drain;

typedef struct End {
        uint64_t ran_usec;    /* the container has run for so long */
        uint64_t files_until; /* deadline of exit files that cannot be written */
        Timer *files_timer;
} End;

typedef struct ExitCommand {
        pid_t pid;
        ProcessStatus status;
        bool running; /* or about to be run again */
        unsigned n_runs;
        uint64_t until; /* 0, or there is no process for it: until when that is borne */
        Timer *timer;
        bool terminated; /* a signal that ends processes came, since it was started if it was */
        bool to_fail;    /* KEEPER_NOT_RESTARTED */
} ExitCommand;

typedef struct Signals {
        int fd;
        sd_event_source *source;
        Timer *timer; /* to try once more to have them */
} Signals;

/* See keeper_endure(). */
typedef struct Troubles {
        unsigned n;
        uint64_t since;
        bool blind; /* the loop is broken */
} Troubles;

struct Keeper {
        const Options *options;
        Origin *origin; /* borrowed */
        Event *event;
        Facts facts;
        Phase phase;
        bool advancing;
        const KeeperHooks *const *hooks; /* ends with NULL; borrowed */
        struct ServiceUnit *service;     /* what hooks have of their own */
        struct Upgrade *upgrade;
        struct ExecGiver *exec_giver;
        struct ExecRunner *exec_runner;
        struct Registration *registration; /* while machined is asked */

        KeeperStart *start; /* NULL when the container runs */
        KeeperRuntime runtime;
        Target target;
        UnitStop unit_stop;
        Drain drain;
        End end;
        ExitCommand exit_command;
        Signals signals;
        Troubles troubles;
        Announcer announcer;
        EntryQueue *entries;
        Report *report;
        Reaper *reaper;
        Ring *ring;            /* NULL if there is nothing for a worker to do */
        WorkerProcess *worker; /* likewise */
        Timer *settle_timer;

        int bundle_fd; /* place of attach, ctl, winsz; -1 for none */
        char *attach_link;
        int exit_status;

        PlacementPlan plan; /* last: most of it is zero, see memory_trim_zeros() */
};

/* start.c */
void keeper_launch(Keeper *k);
void keeper_end_placing(Keeper *k);
int keeper_make_reaper(Keeper *k);
int keeper_make_report(Keeper *k);
KeeperStart *keeper_start_free(KeeperStart *s);
extern const WorkerProcessHandler keeper_worker_handler;

/* runtime.c */
int keeper_spawn_runtime(Keeper *k);
int keeper_on_runtime_exit(Keeper *k, const ProcessStatus *status);
int keeper_on_terminal(void *userdata, int master);
int keeper_on_bad_terminal(void *userdata);

/* drain.c */
void drain_begin(Keeper *k);
int drain_on_stored(void *userdata);
int drain_on_worker_done(void *userdata);

/* end.c */
extern const ReportHandler keeper_report_handler;
void keeper_report(Keeper *k);
void keeper_mark(Keeper *k);
void keeper_report_again(Keeper *k);
void keeper_announce_end(Keeper *k);

/* target.c */
int target_watch(Keeper *k);
void target_on_exit(Keeper *k, const ProcessStatus *status);
void target_watch_cgroup(Keeper *k);
void target_follow_attributes(Keeper *k);
bool target_oom(const Keeper *k);
bool target_is_ours(const Keeper *k);
int target_set_timeout(Keeper *k, uint64_t deadline);
void target_save(const Keeper *k, TargetSaved *ret);
int target_restore(Keeper *k, const TargetSaved *saved, int pidfd);
void target_done(Target *t);

/* signals.c */
void keeper_signals(sigset_t *ret);
bool keeper_signal_ends(int signal);
int keeper_block_signals(void);
void keeper_take_signals(Keeper *k);
int keeper_on_signal(Keeper *k, int signal);

/* exit-command.c */
void exit_command_start(Keeper *k);
uint64_t exit_command_delay(const Keeper *k);
void exit_command_go(Keeper *k, uint64_t delay);
void exit_command_given(Keeper *k);
int exit_command_spawn(Keeper *k, char *const *argv, char *const *envp, pid_t *ret);
bool keeper_bundle_is_gone(const Keeper *k);
int exit_command_on_exit(Keeper *k, const ProcessStatus *status);
bool exit_command_failed(const Keeper *k);
void exit_command_save(const Keeper *k, ExitCommandSaved *ret);
void exit_command_restore(Keeper *k, const ExitCommandSaved *saved);

/* keeper.c */
int keeper_advance(Keeper *k);
int keeper_learn(Keeper *k, Facts facts);
int keeper_fail(Keeper *k, int r, const char *text);
void keeper_endure(Keeper *k, int r);
void keeper_fail_text(Keeper *k, const char *text);
uint64_t keeper_left(uint64_t deadline);
int keeper_on_child(void *userdata, pid_t pid, const ProcessStatus *status);
int keeper_on_buried(void *userdata);
int keeper_on_worker_ready(void *userdata);
int keeper_on_worker_hopeless(void *userdata, int error);
