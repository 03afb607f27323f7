/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The container's monitor runs the exit commands of its exec sessions when they are due: a few at the same time, in
 * order, each with a limit of time. When the container ends all are due, and no further ones are taken; if the bundle
 * is gone, there is nothing left to clean up.
 *
 * What is to be run is in files, and here only when: another image of this process finds them again, but not commands
 * that run. So an upgrade waits for these, and none is started meanwhile. If the monitor is killed with its container, the
 * next monitor adopts the files, whatever container it is of.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "exec/exec.h"
#include "exec/runner-internal.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "report/due.h"
#include "report/mark.h"
#include "upgrade/upgrade.h"

#define RUN_USEC 60000000ULL     /* for one command */
#define AGAIN_USEC 100000ULL     /* if there is no process, or no memory, */
#define PATIENCE_USEC 2000000ULL /* ... and for how long the end waits for that */
#define CLOSE_ROUNDS 100U

static void runner_free(Keeper *k) {
        ExecRunner *e = k->exec_runner;

        if (!e)
                return;
        for (size_t i = 0; i < EXEC_AT_ONCE_MAX; i++)
                e->runs[i].timer = timer_free(e->runs[i].timer);
        e->timer = timer_free(e->timer);
        fd_close_many(&e->taken_fd, 1);
        fd_close_many(&e->place_fd, 1);
        free(e->ids);
        free(e);
        k->exec_runner = NULL;
}

/* Room for one more: that of commands that have run, unless it is little. */
static int runner_reserve(ExecRunner *e) {
        size_t room = e->allocated ? 2 * e->allocated : 16;
        DueId *more;

        if (e->n < e->allocated)
                return 0;
        if (e->first > e->n / 2) {
                e->n -= e->first;
                memmove(e->ids, e->ids + e->first, e->n * sizeof *e->ids);
                e->first = 0;
                return 0;
        }
        more = reallocarray(e->ids, room, sizeof *more);
        if (!more)
                return fail(-ENOMEM);
        e->ids = more;
        e->allocated = room;
        return 0;
}

/* Most are due after all the others. */
static void runner_insert(ExecRunner *e, const DueId *id) {
        size_t i = e->n++;

        for (; i > e->first && e->ids[i - 1].at_usec > id->at_usec; i--)
                e->ids[i] = e->ids[i - 1];
        e->ids[i] = *id;
}

/* A process that has this pid now, but was not that monitor, is not signalled. */
static void runner_answer(const DueId *id) {
        _cleanup_close_ int pidfd = process_pidfd(id->giver);

        if (pidfd >= 0 && proc_is_alive(id->giver, id->giver_boot_usec))
                (void)process_signal_value(pidfd, SIGUSR1, EXEC_TAKEN, getpid());
}

typedef struct RunnerTaking {
        ExecRunner *runner;
        int given_fd;
} RunnerTaking;

static void runner_on_given(void *userdata, const DueId *id) {
        const RunnerTaking *t = userdata;

        if (runner_reserve(t->runner) < 0 || due_take(t->given_fd, t->runner->taken_fd, id) < 0)
                return; /* its own monitor will run it */
        runner_insert(t->runner, id);
        runner_answer(id);
}

/* The folder is opened anew: whoever takes the last command back removes it, and the next one makes another. */
static void runner_take(ExecRunner *e) {
        _cleanup_close_ int fd = due_open(e->place_fd, e->keeper->options->cid, getpid(), DUE_GIVEN, false);

        if (fd >= 0)
                due_list(fd, runner_on_given, &(RunnerTaking){ e, fd });
}

static void runner_on_taken(void *userdata, const DueId *id) {
        ExecRunner *e = userdata;

        if (runner_reserve(e) >= 0)
                runner_insert(e, id);
}

static int runner_on_limit(Timer *timer, void *userdata) {
        const ExecRun *run = userdata;

        log_warning("The exit command of an exec session takes too long, killing it");
        (void)process_kill_child(run->pid, SIGKILL);
        return 0;
}

static int runner_spawn(ExecRunner *e, ExecRun *run, const DueCommand *c) {
        int r;

        r = exit_command_spawn(e->keeper, c->argv, c->envp, &run->pid);
        if (r < 0) {
                run->pid = 0; /* if it runs after all, nobody waits for it */
                return relay(r);
        }
        (void)event_add_timer(e->keeper->event, &run->timer, RUN_USEC, runner_on_limit, run);
        return 0;
}

/* Return: 0, or a negative errno that may pass. */
static int runner_run(ExecRunner *e, ExecRun *run, const DueId *id) {
        DueCommand c;
        int r;

        r = due_read(e->taken_fd, id, &c);
        if (r >= 0) {
                r = runner_spawn(e, run, &c);
                due_command_done(&c);
        }
        if (r == -EAGAIN || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
                return r;
        if (r < 0)
                (void)log_error_errno(r, "Failed to run the exit command of an exec session:");
        (void)due_delete(e->taken_fd, id);
        return 0;
}

static ExecRun *runner_free_run(ExecRunner *e) {
        for (size_t i = 0; i < EXEC_AT_ONCE_MAX; i++)
                if (e->runs[i].pid == 0)
                        return &e->runs[i];
        return NULL;
}

/* Return: for how long the next one is not to be started. */
static uint64_t runner_wait(const ExecRunner *e) {
        if (e->at_once)
                return 0;
        if (upgrade_is_wanted(e->keeper))
                return AGAIN_USEC; /* it waits until no command runs */
        return keeper_left(e->ids[e->first].at_usec);
}

/* What is due is started, as far as there is room for it. The timer, or the end of one that runs, leads here again. */
static void runner_look(ExecRunner *e) {
        while (e->first < e->n) {
                ExecRun *run = runner_free_run(e);
                uint64_t usec = runner_wait(e);
                int r;

                if (!run)
                        return;
                if (usec > 0) {
                        timer_set(e->timer, usec);
                        return;
                }
                if (e->at_once && keeper_bundle_is_gone(e->keeper))
                        break;
                r = runner_run(e, run, &e->ids[e->first]);
                if (r < 0 && e->at_once && event_now() >= e->until) {
                        (void)log_error_errno(
                                r, "Failed to run %zu exit commands of exec sessions:", e->n - e->first);
                        break;
                }
                if (r < 0) {
                        timer_set(e->timer, AGAIN_USEC);
                        return;
                }
                e->first++;
                e->until = event_now() + PATIENCE_USEC;
        }
        e->first = e->n = 0;
}

static int runner_on_time(Timer *timer, void *userdata) {
        ExecRunner *e = userdata;

        runner_look(e);
        return keeper_advance(e->keeper);
}

/* The place in which somebody has left commands for us, or we have before: a descriptor or a negative errno. */
static int runner_open_place(const char *cid) {
        for (size_t i = 0; i < MARK_PLACES; i++) {
                _cleanup_close_ int place_fd = mark_open_place(i, false), fd = -1;

                if (place_fd < 0)
                        continue;
                fd = due_open(place_fd, cid, getpid(), DUE_GIVEN, false);
                if (fd < 0)
                        fd = due_open(place_fd, cid, getpid(), DUE_TAKEN, false);
                if (fd >= 0)
                        return TAKE_FD(place_fd);
        }
        return -ENOENT;
}

/* With what was taken before. */
static int runner_new(Keeper *k) {
        _cleanup_close_ int place_fd = -1, taken_fd = -1;
        ExecRunner *e;
        int r;

        place_fd = runner_open_place(k->options->cid);
        if (place_fd < 0)
                return place_fd;
        taken_fd = due_open(place_fd, k->options->cid, getpid(), DUE_TAKEN, true);
        if (taken_fd < 0)
                return relay(taken_fd);
        e = k->exec_runner = calloc(1, sizeof *e);
        if (!e)
                return fail(-ENOMEM);
        e->keeper = k;
        e->place_fd = TAKE_FD(place_fd);
        e->taken_fd = TAKE_FD(taken_fd);
        r = event_add_timer(k->event, &e->timer, 0, runner_on_time, e);
        if (r < 0) {
                runner_free(k);
                return relay(r);
        }
        due_list(e->taken_fd, runner_on_taken, e);
        return 0;
}

/* ---- hooks -------------------------------------------------------------------------------------------- */

/* There may be commands: what is due is run by the loop. */
static void runner_wake(Keeper *k) {
        if (k->options->exec || k->phase != PHASE_RUNNING || (!k->exec_runner && runner_new(k) < 0))
                return;
        runner_take(k->exec_runner);
        timer_set(k->exec_runner->timer, 0);
}

/* Their containers have ended, so they are due; but a client may still ask how its session ended. */
static void runner_on_inherited(Keeper *k) {
        uint64_t latest = event_now() + EXEC_SOON_USEC;
        ExecRunner *e = k->exec_runner;
        size_t n = 0;

        if (e)
                n = due_adopt(e->place_fd, k->options->cid, getpid(), latest, runner_on_taken, e);
        for (size_t i = 0; !e && n == 0 && i < MARK_PLACES; i++) {
                _cleanup_close_ int place_fd = mark_open_place(i, false);

                if (place_fd >= 0)
                        n = due_adopt(place_fd, k->options->cid, getpid(), latest, NULL, NULL);
        }
        if (n > 0) {
                log_info("Running %zu exit commands of exec sessions whose monitor was killed", n);
                runner_wake(k);
        }
}

/* Another image of this process has. There are no children yet, nor a worker, but a hint or the end may be next. */
static void runner_on_restore(Keeper *k, const Saved *s) {
        runner_wake(k);
}

static int runner_on_request(Keeper *k, const struct signalfd_siginfo *info) {
        if (k->options->exec || info->ssi_signo != SIGUSR1 || info->ssi_code != SI_QUEUE ||
            info->ssi_int != EXEC_GIVEN)
                return 0;
        runner_wake(k);
        return KEEPER_TAKEN;
}

static int runner_on_child(Keeper *k, pid_t pid, const ProcessStatus *status) {
        ExecRunner *e = k->exec_runner;

        for (size_t i = 0; e && i < EXEC_AT_ONCE_MAX; i++)
                if (e->runs[i].pid == pid) {
                        e->runs[i].timer = timer_free(e->runs[i].timer);
                        e->runs[i].pid = 0;
                        if (status->code != 0)
                                log_debug("The exit command of an exec session exited with %d", status->code);
                        runner_look(e);
                        return KEEPER_TAKEN;
                }
        return 0;
}

/* Nobody may give any more. A command that comes between the last look and the end of its folder keeps that from ending. */
static void runner_on_draining(Keeper *k) {
        ExecRunner *e = k->exec_runner;
        unsigned rounds = 0;

        if (!e)
                return;
        e->at_once = true;
        e->until = event_now() + PATIENCE_USEC;
        do
                runner_take(e);
        while (due_close(e->place_fd, k->options->cid, getpid()) == -ENOTEMPTY && ++rounds < CLOSE_ROUNDS);
        runner_look(e);
}

static int runner_is_busy(Keeper *k) {
        const ExecRunner *e = k->exec_runner;

        for (size_t i = 0; e && i < EXEC_AT_ONCE_MAX; i++)
                if (e->runs[i].pid > 0)
                        return KEEPER_TAKEN;
        return 0;
}

static int runner_is_unfinished(Keeper *k) {
        const ExecRunner *e = k->exec_runner;

        return runner_is_busy(k) != 0 || (e && e->first < e->n) ? KEEPER_TAKEN : 0;
}

static void runner_on_done(Keeper *k) {
        if (k->exec_runner)
                due_remove(k->exec_runner->place_fd, k->options->cid, getpid(), DUE_TAKEN);
}

const KeeperHooks exec_runner_hooks = { .on_free = runner_free,
                                        .on_inherited = runner_on_inherited,
                                        .on_request = runner_on_request,
                                        .on_child = runner_on_child,
                                        .on_draining = runner_on_draining,
                                        .is_unfinished = runner_is_unfinished,
                                        .on_done = runner_on_done,
                                        .is_busy = runner_is_busy,
                                        .on_restore = runner_on_restore };
