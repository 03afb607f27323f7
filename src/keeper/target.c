/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The container's first process, or the process of an exec session: its end is learned of, and brought about when its
 * time is over.
 *
 * It need not be a child of ours. Then its end is all that can be known.
 */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"

#define WALKS_MAX 3

static const StateField target_fields[] = {
        STATE_FIELD_NUMBER(TargetSaved, pid, "pid", INT_MAX),
        STATE_FIELD_BOOL(TargetSaved, oom, "oom"),
        STATE_FIELD_NUMBER(TargetSaved, started_usec, "started-usec", UINT64_MAX),
        STATE_FIELD_NUMBER(TargetSaved, timeout_usec, "timeout-usec", UINT64_MAX),
        STATE_FIELD_BOOL(TargetSaved, status.known, "status-known"),
        STATE_FIELD_NUMBER(TargetSaved, status.code, "status", 255),
        STATE_FIELD_NUMBER(TargetSaved, status.signal, "signal", 127),
        STATE_FIELD_BOOL(TargetSaved, status.dumped, "dumped"),
};

const StateFields target_values = { target_fields, ELEMENTS(target_fields) };

static int target_on_sign(void *userdata) {
        Keeper *k = userdata;
        int r;

        r = reaper_look(k->reaper);
        if (r < 0)
                keeper_endure(k, r);
        return k->facts.container_exited;
}

/* Of somebody else's child: as far as it can be known. */
static int target_on_end(void *userdata, const ProcessStatus *status) {
        Keeper *k = userdata;

        if (status)
                k->target.status = *status;
        return keeper_learn(k, (Facts){ .container_exited = true });
}

/**
 * target_watch() - learn of its end, which may have been
 *
 * Return: 0 or a negative errno.
 */
int target_watch(Keeper *k) {
        static const ExitWatchHandler handler = { .on_sign = target_on_sign, .on_end = target_on_end };
        Target *t = &k->target;
        ProcessStatus status;
        int r;

        if (t->pidfd < 0)
                t->pidfd = process_pidfd(t->pid);
        r = reaper_claim(k->reaper, t->pid);
        if (r < 0)
                return relay(r);
        if (k->facts.container_exited)
                return 0;
        if (t->pidfd < 0) { /* gone, if it was never a child of ours; else SIGCHLD tells */
                return keeper_learn(k,
                                    (Facts){ .container_exited = process_peek(t->pid, &status) == -ECHILD });
        }
        r = exit_watch_new(&t->watch, k->event, t->pidfd, &handler, k);
        return r < 0 ? relay(r) : 0;
}

/**
 * target_on_exit() - it was our child, and has ended
 */
void target_on_exit(Keeper *k, const ProcessStatus *status) {
        k->target.watch = exit_watch_free(k->target.watch);
        k->target.status = *status;
        (void)keeper_learn(k, (Facts){ .container_exited = true });
}

/**
 * target_watch_cgroup() - count what the kernel kills for want of memory
 */
void target_watch_cgroup(Keeper *k) {
        Target *t = &k->target;

        if (cgroup_oom_new(&t->oom_watch, k->event, t->pid, !k->options->exec, NULL, NULL) < 0)
                log_debug("OOM kills of the container will not be seen");
}

/**
 * target_follow_attributes() - keep the attributes of a unit's cgroup, without which a soft reboot ends the container
 *
 * The container's own monitor does it for its exec sessions.
 */
void target_follow_attributes(Keeper *k) {
        const pid_t pids[CGROUP_ATTRIBUTES_MAX] = { getpid(), k->target.pid };

        if (!k->options->exec)
                (void)cgroup_attributes_new(&k->target.attributes, k->event, pids);
}

/**
 * target_oom() - has there been such a kill?
 */
bool target_oom(const Keeper *k) {
        return k->target.oom || (k->target.oom_watch && cgroup_oom_check(k->target.oom_watch));
}

static int target_on_timeout(Timer *timer, void *userdata) {
        Keeper *k = userdata;
        int r;

        r = reaper_look(k->reaper);
        if (r < 0)
                keeper_endure(k, r);
        if (k->facts.container_exited)
                return 0;
        if (!k->options->exec)
                announce_killed_by_timeout(k->options, &k->plan);
        (void)process_kill_group(k->target.pidfd, k->target.pid,
                                 SIGKILL); /* gone by itself meanwhile, perhaps */
        return keeper_learn(k, (Facts){ .timed_out = true });
}

/* A zombie is one, too. A walk that meets an end meanwhile is begun again. */
static bool target_descends_from_us(pid_t target) {
        for (unsigned i = 0; i < WALKS_MAX; i++) {
                ProcStat stat = { 0 };
                int r = 0;

                for (pid_t pid = target; pid > 1 && r >= 0; pid = stat.parent) {
                        r = proc_stat(pid, &stat);
                        if (r >= 0 && stat.parent == getpid())
                                return true;
                }
                if (r >= 0)
                        return false;
        }
        return true; /* it has ended, and nobody else has its number yet */
}

/**
 * target_is_ours() - has the runtime made it, as we are to believe?
 *
 * The file that names it may lie where others can write, or the runtime may have been told lies.
 */
bool target_is_ours(const Keeper *k) {
        return target_descends_from_us(k->target.pid);
}

/**
 * target_set_timeout() - end it at @deadline, if that is not 0
 *
 * Return: 0 or a negative errno.
 */
int target_set_timeout(Keeper *k, uint64_t deadline) {
        Target *t = &k->target;
        int r;

        t->timeout_usec = deadline;
        if (deadline == 0)
                return 0;
        r = event_add_timer(k->event, &t->timeout_timer, keeper_left(deadline), target_on_timeout, k);
        return r < 0 ? relay(r) : 0;
}

/**
 * target_save() - what the next image has to know of it
 */
void target_save(const Keeper *k, TargetSaved *ret) {
        const Target *t = &k->target;

        *ret = (TargetSaved){ .pid = t->pid,
                              .oom = target_oom(k),
                              .started_usec = t->started_usec,
                              .timeout_usec = t->timeout_usec,
                              .status = t->status };
}

/**
 * target_restore() - it runs, or is a zombie still
 * @pidfd: adopted; -1 if there is none
 *
 * Return: 0 or a negative errno.
 */
int target_restore(Keeper *k, const TargetSaved *saved, int pidfd) {
        Target *t = &k->target;

        t->pid = saved->pid;
        t->pidfd = pidfd;
        t->oom = saved->oom;
        t->started_usec = saved->started_usec;
        t->status = saved->status;
        return target_set_timeout(k, saved->timeout_usec);
}

/**
 * target_done() - let go of it
 */
void target_done(Target *t) {
        t->timeout_timer = timer_free(t->timeout_timer);
        t->watch = exit_watch_free(t->watch);
        t->oom_watch = cgroup_oom_free(t->oom_watch);
        t->attributes = cgroup_attributes_free(t->attributes);
        fd_close_many(&t->pidfd, 1);
}
