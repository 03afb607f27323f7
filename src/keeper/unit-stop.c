/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The keeper of a container in a unit that may be stopped. systemd sends the unit's KillSignal= to all of its processes,
 * to us among them, and kills what is left when TimeoutStopSec= is over: the monitor with its container where that is
 * nested, so that nobody knows how it ended; the monitor alone where it has a scope of its own, which systemd 252 does
 * not stop when the unit is restarted. So the container is killed from here shortly before.
 *
 * A signal does not say why it was sent. The manager knows: it is asked after each signal that may be a KillSignal=,
 * and when the unit is "deactivating" the time runs from that signal on. What it is to be is asked then, since it may
 * have been changed, by a daemon-reload or by "infinity". If the manager gives no answer it is asked again, for as long
 * as the container runs; the container is not killed on a guess.
 *
 * With KillMode=mixed the signal is for the main process alone. Where that is not us but our caller in the foreground,
 * the unit is watched.
 *
 * The container's scope is Before= the unit, so its start would wait for a stop that began earlier, and that stop for the
 * runtime, which waits for the scope. So a container whose unit is stopped before it is there is not started.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/cgroup.h"
#include "keeper/keeper-internal.h"
#include "keeper/unit-stop.h"

#define AGAIN_USEC 5000000U
#define SLACK_USEC 2000000ULL       /* of the unit's time, for what comes after the container's end */
#define DEFAULT_STOP_USEC 90000000U /* of a manager that does not say */

static const StateField unit_stop_fields[] = {
        STATE_FIELD_NUMBER(UnitStopSaved, deadline, "stop-usec", UINT64_MAX),
};

const StateFields unit_stop_values = { unit_stop_fields, ELEMENTS(unit_stop_fields) };

static int stop_ask(Keeper *k);

static bool unit_holds_us(const Keeper *k) {
        return k->plan.row == PLACEMENT_ROW_BIND || k->plan.row == PLACEMENT_ROW_PROPAGATE ||
               k->plan.row == PLACEMENT_ROW_NEST || k->plan.row == PLACEMENT_ROW_SPLIT;
}

static void unit_kill_container(Keeper *k) {
        bool nested = k->plan.container == PLACEMENT_CONTAINER_NESTED;
        _cleanup_free_ char *path = NULL;

        if (k->target.pidfd < 0)
                return;
        if ((!nested && cgroup_own(k->target.pid, &path) < 0) ||
            cgroup_kill(nested ? k->plan.container_path : path) < 0)
                (void)process_signal(k->target.pidfd, SIGKILL); /* the rest goes with its first process */
}

static int unit_on_timeout(Timer *timer, void *userdata) {
        Keeper *k = userdata;
        const char *name = k->options->name ? k->options->name : k->options->cid;

        if (k->unit_stop.asked_usec == 0) /* it was us who were asked to stop */
                log_warning("Container %s did not stop in time, killing it", name);
        else
                log_warning("%s is stopping and container %s did not stop in time, killing it", k->plan.unit,
                            name);
        unit_kill_container(k);
        return 0;
}

/**
 * unit_stop_time() - what a unit's own time leaves a container, if there is to be enough to kill, store and delete
 * @unit_usec: TimeoutStopSec=, UINT64_MAX for "infinity"
 *
 * Return: that time, or UNIT_STOP_NEVER.
 */
uint64_t unit_stop_time(uint64_t unit_usec) {
        uint64_t quarter = unit_usec / 4;

        if (unit_usec == UINT64_MAX)
                return UNIT_STOP_NEVER;
        return unit_usec - (quarter < SLACK_USEC ? quarter : SLACK_USEC);
}

/**
 * unit_stop_deadline() - when a container has to have ended whose unit began to stop at @since
 * @unit_usec: as unit_stop_time()
 *
 * Return: that time, or UNIT_STOP_NEVER.
 */
uint64_t unit_stop_deadline(uint64_t since, uint64_t unit_usec) {
        uint64_t usec = unit_stop_time(unit_usec);

        return usec >= UNIT_STOP_NEVER - since ? UNIT_STOP_NEVER : since + usec;
}

/**
 * unit_stop_set() - kill what is left of the container at @deadline
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_set(Keeper *k, uint64_t deadline) {
        UnitStop *stop = &k->unit_stop;
        int r;

        stop->deadline = deadline;
        stop->timer = timer_free(stop->timer);
        r = event_add_timer(k->event, &stop->timer, keeper_left(deadline), unit_on_timeout, k);
        return r < 0 ? relay(r) : 0;
}

static int unit_on_again(Timer *timer, void *userdata) {
        return stop_ask(userdata);
}

static int stop_ask_later(Keeper *k, const char *why) {
        int r;

        if (!k->unit_stop.silent)
                log_warning("Failed to query whether %s is stopping: %s", k->plan.unit, why);
        k->unit_stop.silent = true;
        r = event_add_timer(k->event, &k->unit_stop.again, AGAIN_USEC, unit_on_again, k);
        return r < 0 ? relay(r) : 0;
}

static void stop_ask_no_more(UnitStop *stop) {
        stop->question = unit_question_free(stop->question);
        stop->bus = bus_free(stop->bus);
        memory_trim(); /* what the bus has needed, so far into the container's life */
}

static uint64_t time_left_to(const UnitFacts *unit) {
        uint64_t usec = strcmp(unit->sub_state, "stop-watchdog") == 0 ? unit->timeout_abort_usec : 0;

        return usec ?: unit->timeout_stop_usec ?: DEFAULT_STOP_USEC;
}

static int unit_end_start(Keeper *k) {
        char text[UNITNAME_SIZE + 64];

        (void)snprintf(text, sizeof text, "%s is stopping, the container is not started", k->plan.unit);
        return keeper_fail(k, -EINTR, text);
}

static int unit_on_answer(void *userdata, const UnitFacts *unit, const BusTrouble *trouble) {
        Keeper *k = userdata;
        UnitStop *stop = &k->unit_stop;
        uint64_t deadline = stop->deadline;
        bool stopping;
        int r;

        if (!unit) {
                r = stop_ask_later(k, trouble->text);
                stop_ask_no_more(stop); /* and @trouble with it */
                return r < 0 ? relay(r) : 0;
        }
        stop->silent = false;
        stopping = strcmp(unit->active_state, "deactivating") == 0;
        if (stopping && k->phase <= PHASE_RUNNING) {
                deadline = unit->spares ? UNIT_STOP_NEVER
                                        : unit_stop_deadline(stop->asked_usec, time_left_to(unit));
                if (deadline < stop->extended)
                        deadline = stop->extended;
        }
        stop_ask_no_more(stop);
        if (stopping && k->phase == PHASE_LAUNCHING && k->plan.before)
                return unit_end_start(k);
        return deadline ? unit_stop_set(k, deadline) : 0;
}

static int stop_ask(Keeper *k) {
        UnitStop *stop = &k->unit_stop;
        int r = 0;

        stop->again = timer_free(stop->again);
        if (!stop->bus)
                r = bus_new(&stop->bus, k->event, k->plan.user, k->plan.uid);
        if (r >= 0)
                r = unit_ask(&stop->question, stop->bus, k->plan.unit, unit_on_answer, k);
        return r < 0 ? stop_ask_later(k, strerror(-r)) : 0;
}

/**
 * unit_stop_signalled() - a signal has come that may be our unit's stop
 *
 * A question that is under way was asked too early. While it is not settled which unit is ours, unit_stop_placed() asks.
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_signalled(Keeper *k) {
        UnitStop *stop = &k->unit_stop;

        if (k->phase > PHASE_RUNNING)
                return 0;
        stop->asked_usec = event_now();
        stop->extended = 0; /* systemd begins to count anew, too */
        if (k->phase == PHASE_PLACING || !unit_holds_us(k))
                return 0;
        stop->question = unit_question_free(stop->question);
        return stop_ask(k);
}

/**
 * unit_stop_placed() - our unit is known: ask, if there was reason to before
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_placed(Keeper *k) {
        return k->unit_stop.asked_usec > 0 && unit_holds_us(k) ? stop_ask(k) : 0;
}

/**
 * unit_stop_extend() - the container has asked systemd for more time
 * @usec: EXTEND_TIMEOUT_USEC=, from now on
 *
 * What it says before the stop concerns another time-out of its unit.
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_extend(Keeper *k, uint64_t usec) {
        UnitStop *stop = &k->unit_stop;
        uint64_t deadline = unit_stop_deadline(event_now(), usec);
        int r;

        if (k->phase > PHASE_RUNNING || (stop->asked_usec == 0 && stop->deadline == 0))
                return 0;
        if (stop->extended < deadline)
                stop->extended = deadline;
        r = stop->deadline && stop->deadline < deadline ? unit_stop_set(k, deadline) : 0;
        return r < 0 ? relay(r) : 0;
}

static int unit_on_stopping(void *userdata) {
        return unit_stop_signalled(userdata);
}

/**
 * unit_stop_watch() - where no signal will tell of the unit's stop, hear of it from the manager
 *
 * To be called for the start of the container, and again when it runs.
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_watch(Keeper *k) {
        const PlacementPlan *p = &k->plan;
        bool wanted = k->phase == PHASE_LAUNCHING ? p->watch_start : p->watch_unit;
        int r;

        if (!wanted)
                k->unit_stop.watch = unit_watch_free(k->unit_stop.watch);
        if (!wanted || k->unit_stop.watch || k->phase > PHASE_RUNNING)
                return 0;
        r = unit_watch_new(&k->unit_stop.watch, k->event, &(UnitManager){ p->user, p->uid }, p->unit,
                           unit_on_stopping, k);
        return r < 0 ? relay(r) : 0;
}

/**
 * unit_stop_forget() - there is nothing left to kill
 */
void unit_stop_forget(Keeper *k) {
        UnitStop *stop = &k->unit_stop;

        stop->watch = unit_watch_free(stop->watch);
        stop->timer = timer_free(stop->timer);
        stop->again = timer_free(stop->again);
        stop->question = unit_question_free(stop->question);
        stop->bus = bus_free(stop->bus);
}

/**
 * unit_stop_save() - what the next image has to know of it
 */
void unit_stop_save(const Keeper *k, UnitStopSaved *ret) {
        ret->deadline = k->unit_stop.deadline;
}

/**
 * unit_stop_restore() - the same deadline, or the same question: whoever was asked has answered another image
 *
 * Return: 0 or a negative errno.
 */
int unit_stop_restore(Keeper *k, const UnitStopSaved *saved) {
        (void)unit_stop_watch(k); /* without it systemd's own time-out ends us */
        if (saved->deadline)
                return unit_stop_set(k, saved->deadline);
        return k->exit_command.terminated ? unit_stop_signalled(k) : 0;
}
