/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A keeper written down, and made again from that: the two halves of an upgrade that must agree about every field. What
 * is not here is either in the ring (all of the worker's state), or follows from the options, or is over once the
 * container runs (console, start pipe, what went wrong at the start).
 *
 * Only a keeper whose container runs is ever written down.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/keeper-internal.h"
#include "upgrade/snapshot.h"
#include "upgrade/upgrade-internal.h"

#define SIGNALS 64 /* bits of a mask */

static uint64_t mask_to_bits(const sigset_t *mask) {
        uint64_t bits = 0;

        for (int i = 1; i <= SIGNALS; i++)
                if (sigismember(mask, i) == 1)
                        bits |= 1ULL << (i - 1);
        return bits;
}

static void mask_from_bits(sigset_t *ret, uint64_t bits) {
        (void)sigemptyset(ret);
        for (int i = 1; i <= SIGNALS; i++)
                if (bits & 1ULL << (i - 1))
                        (void)sigaddset(ret, i); /* glibc's own two are refused, and never blocked */
}

static int save_origin(const Keeper *k, Saved *s) {
        const Origin *o = k->origin;
        int r = 0;

        s->mask = mask_to_bits(&o->mask);
        s->fds_max = o->fds_max;
        (void)snprintf(s->oom_score_adj, sizeof s->oom_score_adj, "%s", o->oom_score_adj);
        (void)snprintf(s->path, sizeof s->path, "%s", o->program ? o->program : "");
        (void)snprintf(s->version, sizeof s->version, "%s", options_version());
        (void)prctl(PR_GET_NAME, s->comm);
        for (int i = 0; r >= 0 && i < o->argc; i++)
                r = saved_add_word(s, o->argv[i], strlen(o->argv[i]));
        for (size_t i = 0; r >= 0 && i < o->n_inherited; i++)
                if (o->inherited[i] >= 0 && fcntl(o->inherited[i], F_GETFD) >= 0)
                        r = saved_add_inherited(s, o->inherited[i]);
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_save() - write down what the next image goes on with
 * @ret: the caller's to free; its descriptors stay ours
 *
 * Return: 0 or a negative errno.
 */
int keeper_save(Keeper *k, Saved **ret) {
        _cleanup_(saved_freep) Saved *s = NULL;
        int r;

        r = saved_new(&s);
        if (r < 0)
                return relay(r);

        s->keeper = getpid();
        s->facts = k->facts;
        s->exit_status = k->exit_status;
        target_save(k, &s->target);
        unit_stop_save(k, &s->unit_stop);
        exit_command_save(k, &s->exit_command);
        s->plan = k->plan;
        KEEPER_TELL(k, on_save, s);

        report_save(k->report, &s->report);
        memcpy(&s->fds[SAVED_FD_REPORT], s->report.fds, sizeof s->report.fds);

        s->fds[SAVED_FD_BUNDLE] = k->bundle_fd;
        s->fds[SAVED_FD_TARGET] = k->target.pidfd;
        s->has_worker = k->worker != NULL;
        if (k->worker) {
                s->fds[SAVED_FD_LOG_DIR] = worker_process_log_dir(k->worker);
                s->fds[SAVED_FD_CHANNEL] = worker_process_channel(k->worker);
                worker_process_save(k->worker, &s->worker, &s->fds[SAVED_FD_WORKER], s->clients);
                r = ring_describe(k->ring, s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING], &worker_state_layout);
                if (r < 0)
                        return relay(r);
        }
        r = save_origin(k, s);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * keeper_restore_origin() - what the first image has noted of its caller
 * @ret: borrows from @s; its inherited descriptors are CLOEXEC from here on, as nothing that we start wants them
 *
 * Return: 0 or a negative errno.
 */
int keeper_restore_origin(Origin *ret, Saved *s, const Options *o, char *given_argv[], char *envp[]) {
        *ret = (Origin){ .argc = s->argc,
                         .argv = s->argv,
                         .given_argv = given_argv,
                         .envp = envp,
                         .start_fd = -1,
                         .sync_fd = -1,
                         .attach_fd = -1,
                         .caller_pidfd = -1,
                         .log_dir_fd = -1,
                         .log_fd = -1,
                         .log_name = o->log_targets.file ? options_log_name(o) : NULL };
        ret->inherited = TAKE_PTR(s->inherited);
        ret->n_inherited = s->n_inherited;
        s->n_inherited = 0;
        mask_from_bits(&ret->mask, s->mask);
        ret->fds_max = fd_raise_limit();
        if (s->fds_max > 0)
                ret->fds_max = s->fds_max;
        (void)snprintf(ret->oom_score_adj, sizeof ret->oom_score_adj, "%s", s->oom_score_adj);
        if (s->path[0] && !(ret->program = strdup(s->path)))
                return fail(-ENOMEM);
        return 0;
}

static int resume_report(Keeper *k, const Saved *s) {
        ReportSaved report = s->report;
        int r;

        r = keeper_make_report(k);
        if (r < 0)
                return relay(r);
        memcpy(report.fds, &s->fds[SAVED_FD_REPORT], sizeof report.fds);
        report_restore(k->report, &report);
        return 0;
}

/* Are we another process than the one whose state this is? */
static bool is_successor(const Saved *s) {
        return s->keeper != getpid();
}

static int resume_worker(Keeper *k, const Saved *s) {
        WorkerProcessSpec spec = { .options = k->options,
                                   .argv = k->origin->given_argv,
                                   .envp = k->origin->envp,
                                   .plan = &k->plan,
                                   .reaper = k->reaper,
                                   .target_fd = k->target.pidfd,
                                   .started_usec = k->target.started_usec,
                                   .log_dir_fd = s->fds[SAVED_FD_LOG_DIR],
                                   .log_name = k->origin->log_name };
        WorkerSaved worker = s->worker;
        _cleanup_close_ int fd = -1;
        bool converted;
        int r;

        if (!s->has_worker)
                return 0;
        if (is_successor(s))
                worker.pid = 0; /* no child of ours */
        memcpy(spec.fds, &s->fds[SAVED_FD_WORKER], sizeof spec.fds);
        fd = fd_dup(spec.fds[CHANNEL_FD_RING]);
        if (fd < 0)
                return relay(fd);
        r = ring_adopt(&k->ring, TAKE_FD(fd), &worker_state_layout, &converted);
        if (r < 0)
                return relay(r);
        fd = ring_take_fd(k->ring); /* which the worker process has already, if it is the same ring */
        spec.ring = k->ring;
        r = worker_process_new(&k->worker, k->event, &spec, &keeper_worker_handler, k);
        if (r < 0)
                return relay(r);
        if (converted)
                worker_process_change_ring(k->worker, TAKE_FD(fd));
        return worker_process_adopt(k->worker, &worker, s->clients, s->fds[SAVED_FD_CHANNEL],
                                    s->fds[SAVED_FD_WORKER_PROCESS]);
}

static void resume_plain(Keeper *k, const Saved *s) {
        k->facts = s->facts;
        k->phase =
                PHASE_RUNNING; /* what comes after it is entered again, and the facts say how far it had come */
        k->exit_status = s->exit_status;
        exit_command_restore(k, &s->exit_command);
        k->plan = s->plan;
        k->bundle_fd = s->fds[SAVED_FD_BUNDLE];
        KEEPER_TELL(k, on_restore, s);
}

/**
 * keeper_resume() - a keeper that goes on where another image of this process was, or a process that has died
 * @options: borrowed, checked
 * @origin: borrowed
 * @hooks: borrowed
 * @s: its descriptors are taken over; of names that are unknown they are closed
 *
 * keeper_run() follows. A container that has ended meanwhile is a zombie still.
 *
 * Return: 0 or a negative errno.
 */
int keeper_resume(Keeper **ret,
                  const Options *options,
                  Origin *origin,
                  const KeeperHooks *const hooks[],
                  const Saved *s) {
        _cleanup_(keeper_freep) Keeper *k = NULL;
        int r;

        r = saved_set_cloexec(s, true);
        if (r >= 0)
                r = keeper_new(&k, options, origin, hooks);
        if (r < 0)
                return relay(r);
        for (size_t i = 0; i < origin->n_inherited; i++)
                (void)fd_set_cloexec(origin->inherited[i], true);
        fd_close_many(s->unknown, s->n_unknown);
        resume_plain(k, s);
        r = target_restore(k, &s->target, s->fds[SAVED_FD_TARGET]);
        if (r >= 0)
                r = upgrade_begin(k, is_successor(s) ? UPGRADE_ADOPTING : UPGRADE_RESUMED, s);
        if (r >= 0)
                r = resume_report(k, s);
        if (r >= 0)
                r = keeper_make_reaper(k);
        if (r >= 0)
                r = resume_worker(k, s);
        if (r < 0)
                return relay(r);
        if (k->options->cuuid && !k->options->full_attach && k->bundle_fd >= 0)
                (void)attach_link_path(k->options->socket_dir_path, k->options->cuuid, &k->attach_link);
        target_watch_cgroup(k);
        target_follow_attributes(k);
        r = unit_stop_restore(k, &s->unit_stop);
        if (r >= 0 && !k->worker)
                (void)keeper_on_worker_ready(k);
        if (r >= 0)
                r = target_watch(k);
        if (r >= 0)
                r = reaper_look(k->reaper);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(k);
        return 0;
}
