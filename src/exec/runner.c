/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The container's monitor runs the exit commands of its exec sessions when they are due: a few at the same time, in
 * order, each with a limit of time. When the container ends all are due, and no further ones are taken; if the bundle
 * is gone, there is nothing left to clean up.
 *
 * What is to be run is in files, and here only when: another image of this process finds them again.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "exec/exec.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "report/due.h"
#include "report/mark.h"

#define AT_ONCE_MAX 4U
#define RUN_USEC 60000000ULL     /* for one command */
#define AGAIN_USEC 100000ULL     /* if there is no process, or no memory, */
#define PATIENCE_USEC 2000000ULL /* ... and for how long the end waits for that */
#define CLOSE_ROUNDS 100U

typedef struct ExecRun {
        pid_t pid;
        Timer *timer;
} ExecRun;

typedef struct ExecRunner {
        Keeper *keeper;
        int place_fd, given_fd, taken_fd;
        DueId *ids; /* in order */
        size_t first, n, allocated;
        ExecRun runs[AT_ONCE_MAX];
        Timer *timer;
        bool at_once;
        uint64_t until; /* then, what still cannot be run is left */
} ExecRunner;

static void runner_free(Keeper *k) {
        ExecRunner *e = k->exec_runner;

        if (!e)
                return;
        for (size_t i = 0; i < AT_ONCE_MAX; i++)
                e->runs[i].timer = timer_free(e->runs[i].timer);
        e->timer = timer_free(e->timer);
        fd_close_many(&e->given_fd, 1);
        fd_close_many(&e->taken_fd, 1);
        fd_close_many(&e->place_fd, 1);
        free(e->ids);
        free(e);
        k->exec_runner = NULL;
}

static int runner_on_time(Timer *timer, void *userdata);

/* The folders are made by whoever gives the first command. */
static int runner_new(Keeper *k) {
        _cleanup_close_ int place_fd = -1, given_fd = -1, taken_fd = -1;
        ExecRunner *e;
        int r;

        for (size_t i = 0; given_fd < 0 && i < MARK_PLACES; i++) {
                fd_close_many(&place_fd, 1);
                place_fd = mark_open_place(i, false);
                given_fd = place_fd < 0 ? place_fd : due_open(place_fd, k->options->cid, DUE_GIVEN, false);
        }
        if (given_fd < 0)
                return given_fd;
        taken_fd = due_open(place_fd, k->options->cid, DUE_TAKEN, true);
        if (taken_fd < 0)
                return relay(taken_fd);
        e = k->exec_runner = calloc(1, sizeof *e);
        if (!e)
                return fail(-ENOMEM);
        e->keeper = k;
        e->place_fd = TAKE_FD(place_fd);
        e->given_fd = TAKE_FD(given_fd);
        e->taken_fd = TAKE_FD(taken_fd);
        r = event_add_timer(k->event, &e->timer, TIMER_NEVER, runner_on_time, e);
        if (r < 0)
                runner_free(k);
        return r < 0 ? relay(r) : 0;
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
        ProcStat stat;

        if (pidfd >= 0 && proc_stat(id->giver, &stat) >= 0 && stat.boot_usec == id->giver_boot_usec)
                (void)process_signal_value(pidfd, SIGUSR1, EXEC_TAKEN, getpid());
}

static void runner_on_given(void *userdata, const DueId *id) {
        ExecRunner *e = userdata;

        if (runner_reserve(e) < 0 || due_take(e->given_fd, e->taken_fd, id) < 0)
                return; /* its own monitor will run it */
        runner_insert(e, id);
        runner_answer(id);
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
        _cleanup_close_ int null_fd = fd_open_null(O_RDWR);
        const Origin *origin = e->keeper->origin;
        int r;

        if (null_fd < 0)
                return relay(null_fd);
        r = process_spawn(
                &(ProcessSpec){ .path = c->argv[0],
                                .argv = c->argv,
                                .envp = c->envp,
                                .fds_max = origin->fds_max,
                                .stdio = { null_fd, null_fd, null_fd },
                                .mask = &origin->mask,
                                .oom_score_adj = origin->oom_score_adj[0] ? origin->oom_score_adj : NULL,
                                .wait_fd = -1,
                                .close_others = true },
                &run->pid, NULL);
        if (r < 0)
                return relay(r);
        r = reaper_claim(e->keeper->reaper, run->pid);
        if (r < 0) {
                run->pid = 0; /* it runs, and nobody waits for it */
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

/* What is due is started, as far as there is room for it. */
static void runner_look(ExecRunner *e) {
        for (size_t i = 0; i < AT_ONCE_MAX && e->first < e->n; i++) {
                const DueId *id = &e->ids[e->first];
                int r;

                if (e->runs[i].pid > 0)
                        continue;
                if (!e->at_once && id->at_usec > event_now()) {
                        timer_set(e->timer, keeper_left(id->at_usec));
                        return;
                }
                if (e->at_once && keeper_bundle_is_gone(e->keeper)) {
                        e->first = e->n;
                        return;
                }
                r = runner_run(e, &e->runs[i], id);
                if (r < 0 && e->at_once && event_now() >= e->until) {
                        (void)log_error_errno(
                                r, "Failed to run %zu exit commands of exec sessions:", e->n - e->first);
                        e->first = e->n;
                        return;
                }
                if (r < 0) {
                        timer_set(e->timer, AGAIN_USEC);
                        return;
                }
                e->first++;
                e->until = event_now() + PATIENCE_USEC;
        }
        if (e->first == e->n)
                e->first = e->n = 0;
}

static int runner_on_time(Timer *timer, void *userdata) {
        ExecRunner *e = userdata;

        runner_look(e);
        return keeper_advance(e->keeper);
}

/* ---- hooks -------------------------------------------------------------------------------------------- */

static int runner_on_request(Keeper *k, const struct signalfd_siginfo *info) {
        if (k->options->exec || info->ssi_signo != SIGUSR1 || info->ssi_code != SI_QUEUE ||
            info->ssi_int != EXEC_GIVEN)
                return 0;
        if (k->phase == PHASE_RUNNING && (k->exec_runner || runner_new(k) >= 0)) {
                due_list(k->exec_runner->given_fd, runner_on_given, k->exec_runner);
                runner_look(k->exec_runner);
        }
        return KEEPER_TAKEN;
}

static int runner_on_child(Keeper *k, pid_t pid, const ProcessStatus *status) {
        ExecRunner *e = k->exec_runner;

        for (size_t i = 0; e && i < AT_ONCE_MAX; i++)
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
                due_list(e->given_fd, runner_on_given, e);
        while (due_close(e->place_fd, k->options->cid) == -ENOTEMPTY && ++rounds < CLOSE_ROUNDS);
        runner_look(e);
}

static int runner_is_unfinished(Keeper *k) {
        const ExecRunner *e = k->exec_runner;

        if (!e)
                return 0;
        for (size_t i = 0; i < AT_ONCE_MAX; i++)
                if (e->runs[i].pid > 0)
                        return KEEPER_TAKEN;
        return e->first < e->n ? KEEPER_TAKEN : 0;
}

static void runner_on_done(Keeper *k) {
        if (k->exec_runner)
                due_remove(k->exec_runner->place_fd, k->options->cid, DUE_TAKEN);
}

static void runner_on_resumed(Keeper *k, bool upgraded) {
        ExecRunner *e;

        if (k->options->exec || runner_new(k) < 0)
                return;
        e = k->exec_runner;
        due_list(e->taken_fd, runner_on_taken, e);
        due_list(e->given_fd, runner_on_given, e);
        runner_look(e);
}

const KeeperHooks exec_runner_hooks = { .on_free = runner_free,
                                        .on_request = runner_on_request,
                                        .on_child = runner_on_child,
                                        .on_draining = runner_on_draining,
                                        .is_unfinished = runner_is_unfinished,
                                        .on_done = runner_on_done,
                                        .on_resumed = runner_on_resumed };
