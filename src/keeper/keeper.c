/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The keeper: the process callers know by its pid, subreaper and parent of runtime, container and worker. It decides
 * nothing in its callbacks: they learn facts (keeper_learn()), with which lifecycle_next() is asked until the answer is
 * to stay. It parses nothing that the container or a client has sent, holds every descriptor that must outlive a
 * worker, and never blocks on anybody after the start.
 *
 * Its callbacks return 0. What fails in one, and is nobody's answer, goes to keeper_endure(): it is said, and the keeper
 * goes on, since the exit of the container has to be told whatever else is broken.
 *
 * Order at the end: container reaped ─▶ worker drains and flushes ─▶ OOM looked at last ─▶ inherited descriptors closed
 * ─▶ persist file ─▶ exit file ─▶ attach gone, exec record taken ─▶ exit command. Whoever sees the exit file can rely on
 * the log being complete and the ports being free.
 *
 * An exit that nobody saw is unknown: -1 in the files, 255 as our own status, never 0.
 */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "attach/attach.h"
#include "base/error.h"
#include "base/memory.h"
#include "io/cgroup.h"
#include "keeper/keeper-internal.h"
#include "report/announce.h"

#define LAST_WORDS_USEC 1000000ULL /* for what the journal has no room for, when all else is done */
#define TROUBLES_MAX 5 /* errors of our own, in TROUBLES_USEC, before the loop is taken for broken */
#define TROUBLES_USEC 10000000ULL
#define BLIND_MS 100 /* between two looks at the children then */

/**
 * keeper_left() - time until a deadline, 0 if it has passed, TIMER_NEVER if there is none
 */
uint64_t keeper_left(uint64_t deadline) {
        uint64_t now = event_now();

        if (deadline == TIMER_NEVER)
                return TIMER_NEVER;
        return deadline > now ? deadline - now : 0;
}

/* ---- facts -------------------------------------------------------------------------------------------- */

/**
 * keeper_fail_text() - what the caller is told if there is no target; the first one counts
 */
void keeper_fail_text(Keeper *k, const char *text) {
        if (k->start && !k->start->failure[0])
                (void)snprintf(k->start->failure, sizeof k->start->failure, "%s", text);
}

/**
 * keeper_on_child() - a child that was waited for has ended
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_child(void *userdata, pid_t pid, const ProcessStatus *status) {
        Keeper *k = userdata;
        int r = 0;

        if (pid == k->runtime.pid)
                r = keeper_on_runtime_exit(k, status);
        else if (k->worker && pid == worker_process_pid(k->worker))
                r = worker_process_on_exit(k->worker, status);
        else if (pid == k->target.pid)
                target_on_exit(k, status);
        else if (pid == k->exit_command.pid)
                r = exit_command_on_exit(k, status);
        else
                r = KEEPER_ASK(k, on_child, pid, status);
        if (r < 0)
                keeper_endure(k, r);
        return keeper_advance(k);
}

/**
 * keeper_on_buried() - no child that has ended is left
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_buried(void *userdata) {
        Keeper *k = userdata;

        (void)keeper_advance(k);
        KEEPER_TELL(k, on_buried);
        return 0;
}

/**
 * keeper_on_worker_ready() - clients may come: an exec session's caller is told so, who then lets the runtime start
 *
 * Not before: a size written to ctl must not come after the terminal.
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_worker_ready(void *userdata) {
        Keeper *k = userdata;

        if (KEEPER_ASK(k, on_worker_ready) == 0)
                report_attach_ready(k->report);
        return 0;
}

/**
 * keeper_on_worker_hopeless() - none can be started: a container that runs goes on without its output
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_worker_hopeless(void *userdata, int error) {
        static const char problem[] = "its output is discarded, because no worker can be started";
        const char *why = error < 0 ? strerror(-error) : "it exits immediately";
        Keeper *k = userdata;
        char text[256];

        log_error("Failed to start a worker: %s", why);
        announce_failure(k->options, &k->plan, problem, -error);
        if (k->phase != PHASE_LAUNCHING)
                return 0;
        (void)snprintf(text, sizeof text,
                       "Failed to start the process that handles the container's output: %s", why);
        keeper_fail_text(k, text);
        return keeper_fail(k, error, NULL);
}

/**
 * keeper_fail() - something of ours failed for good
 * @text: for the caller, unless there is a better one already; NULL for that of @r
 *
 * Return: 0 or a negative errno.
 */
int keeper_fail(Keeper *k, int r, const char *text) {
        const char *failure = k->start ? k->start->failure : "";

        if (text || *failure)
                log_error("%s", text ? text : failure); /* a whole sentence, which has said why */
        else
                (void)log_error_errno(r, "Failed to start the container:");
        keeper_fail_text(k, text ? text : strerror(-r));
        return keeper_learn(k, (Facts){ .gave_up = true });
}

/* The loop is broken: nothing is heard any more but the ends of our children, which are looked for. */
static void go_on_blind(Keeper *k, int r) {
        if (k->phase <= PHASE_LAUNCHING) {
                (void)keeper_fail(k, r, NULL);
                return;
        }
        if (k->troubles.n == TROUBLES_MAX)
                log_error("Too many failures, only waiting for the container to exit");
        (void)poll(NULL, 0, BLIND_MS);
        if (k->phase > PHASE_RUNNING || k->facts.container_exited)
                (void)keeper_learn(k, KEEPER_WORKER_GONE);
        if (k->phase == PHASE_REPORTING)
                keeper_report_again(k);
        keeper_announce_end(k);
        report_advance(k->report);
        (void)reaper_look(k->reaper); /* whatever it returns has been here */
}

/**
 * keeper_endure() - something of ours has failed that nobody can make good
 *
 * Once may be bad luck; what fails again and again is not waited for any more.
 */
void keeper_endure(Keeper *k, int r) {
        uint64_t now = event_now();

        if (now - k->troubles.since > TROUBLES_USEC) {
                k->troubles.since = now;
                k->troubles.n = 0;
        }
        if (++k->troubles.n < TROUBLES_MAX)
                (void)log_error_errno(r, "Internal error, continuing:");
        k->troubles.blind = k->troubles.blind || k->troubles.n >= TROUBLES_MAX;
}

/**
 * keeper_run() - live until the container has ended and everything is told
 *
 * Return: the exit status of the monitor.
 */
int keeper_run(Keeper *k) {
        keeper_take_signals(k);
        for (;;) {
                int r;

                r = event_run(k->event);
                if (r >= 0) {
                        entry_queue_finish(k->entries, LAST_WORDS_USEC);
                        return k->exit_status;
                }
                keeper_endure(k, r);
                if (k->troubles.blind)
                        go_on_blind(k, r);
        }
}

/* ---- phases ------------------------------------------------------------------------------------------- */

/* What comes now is the rest of our life; a short one needs no tidying. */
static int keeper_on_settled(Timer *timer, void *userdata) {
        Keeper *k = userdata;

        if (k->worker && k->phase == PHASE_RUNNING && worker_process_pid(k->worker) == 0) {
                (void)worker_process_start(k->worker); /* it tells the end if we are killed */
                if (worker_process_pid(k->worker) > 0) {
                        timer_set(timer, MEMORY_SETTLE_USEC);
                        return 0;
                }
        }
        memory_trim_zeros(k, sizeof *k);
        if (getppid() != k->origin->launcher) /* it has ended: what it had of the stack is nobody's */
                memory_give_back(k->origin->launcher_room, PROCESS_LEAVE_ROOM);
        memory_trim();
        return 0;
}

/* Nobody else's process is ended for it. */
static int set_time_limit(Keeper *k) {
        const Options *o = k->options;
        int r;

        if (o->timeout <= 0)
                return 0;
        if (!target_is_ours(k)) {
                log_warning(
                        "Process %d is not a descendant of the monitor, it will not be killed by --timeout",
                        k->target.pid);
                return 0;
        }
        r = target_set_timeout(k, event_now() + (uint64_t)o->timeout * 1000000U);
        return r < 0 ? relay(r) : 0;
}

static void enter_running(Keeper *k) {
        const PlaceText *text = &k->start->text;
        int r;

        k->target.started_usec = event_now();
        /* Before the caller knows of the container, and starts it. The worker can tell the end if we are killed. */
        if (k->worker)
                (void)worker_process_run(k->worker, k->target.pidfd);
        target_watch_cgroup(k);
        report_pid(k->report, k->target.pid);
        /* Not before the container's scope is there, whose status leaves out what was earlier. */
        if (!k->options->exec)
                announce_placed(k->options, &k->plan, text->trouble[0] ? text->trouble : NULL);
        if (!k->options->exec && text->problem[0])
                announce_misconfigured(k->options, &k->plan, text->problem, text->remedy);
        KEEPER_TELL(k, on_running);
        r = set_time_limit(k);
        if (r < 0)
                keeper_endure(k, r);
        keeper_mark(k); /* may have to look at all processes */
        target_follow_attributes(k);
        (void)unit_stop_watch(k); /* without it systemd's own time-out ends us */
        k->start = keeper_start_free(k->start);
        (void)event_add_timer(k->event, &k->settle_timer, MEMORY_SETTLE_USEC, keeper_on_settled, k);
}

static void enter_draining(Keeper *k) {
        k->target.timeout_timer = timer_free(k->target.timeout_timer);
        if (k->runtime.pidfd >= 0) /* of a start that is given up */
                (void)process_signal(k->runtime.pidfd, SIGKILL);
        KEEPER_TELL(k, on_draining);
        unit_stop_forget(k);
        if (k->runtime.pid == 0)
                (void)keeper_learn(k, (Facts){ .runtime_exited = true });
        drain_begin(k);
}

static void enter_done(Keeper *k) {
        if (exit_command_failed(k))
                k->exit_status = k->exit_command.status.code;
        if (k->attach_link)
                (void)attach_link_remove(k->attach_link); /* nobody is left to tell */
        if (k->plan.pod[0]) /* the exit command had the container's cgroup removed */
                cgroup_remove(k->plan.unit_path, k->plan.pod);
        KEEPER_TELL(k, on_done);
        event_exit(k->event, 0);
}

static void keeper_enter(Keeper *k) {
        switch (k->phase) {
        case PHASE_RUNNING:
                enter_running(k);
                return;
        case PHASE_LAUNCHING:
                keeper_launch(k);
                if (k->phase != PHASE_LAUNCHING)
                        return;
                (void)unit_stop_watch(k);
                (void)unit_stop_placed(k); /* without these systemd's own time-out ends us */
                return;
        case PHASE_FAILING:
                keeper_end_placing(k);
                enter_draining(k);
                return;
        case PHASE_DRAINING:
                enter_draining(k);
                return;
        case PHASE_REPORTING:
                keeper_report(k);
                return;
        case PHASE_FINISHING:
                KEEPER_TELL(k, on_changed); /* all is told: that is not to be told again */
                exit_command_start(k);
                return;
        case PHASE_DONE:
                enter_done(k);
                return;
        case PHASE_PLACING:
        case _PHASE_MAX:
                return;
        }
}

/*
 * The exit command and everybody else who is still our child; the worker has a fact of its own. What a runtime that has
 * failed has left behind is not waited for, and nobody is where there is no exit command.
 */
static bool children_matter(const Keeper *k) {
        return k->facts.pid_known && k->options->exit_command;
}

static void look_for_children(Keeper *k) {
        if (k->phase == PHASE_FINISHING && !k->facts.command_exited && !k->exit_command.running &&
            !(children_matter(k) && reaper_has_children(k->reaper)) && KEEPER_ASK(k, is_unfinished) == 0)
                (void)keeper_learn(k, (Facts){ .command_exited = true });
}

/**
 * keeper_advance() - go as far as the facts allow
 *
 * Return: 0.
 */
int keeper_advance(Keeper *k) {
        if (k->advancing)
                return 0; /* a fact learned while a phase is entered is seen by the loop below */
        k->advancing = true;
        for (;;) {
                Phase next;

                look_for_children(k);
                next = lifecycle_next(k->phase, &k->facts);
                if (next == k->phase)
                        break;
                k->phase = next;
                keeper_enter(k);
        }
        k->advancing = false;
        return 0;
}

/**
 * keeper_learn() - what is true of @facts is so from now on; go on with that
 *
 * The one way in which facts come to be true. While a phase is entered, what follows from them comes after that.
 *
 * Return: 0.
 */
int keeper_learn(Keeper *k, Facts facts) {
        lifecycle_learn(&k->facts, &facts);
        return keeper_advance(k);
}
