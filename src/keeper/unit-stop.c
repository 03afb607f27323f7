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
 */

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "io/cgroup.h"
#include "keeper/keeper-internal.h"
#include "service/service.h"

#define AGAIN_USEC 5000000U
#define DEFAULT_STOP_USEC 90000000U /* of a manager that does not say */

static int unit_ask(Keeper *k);

static bool unit_holds_us(const Keeper *k) {
        return k->plan.row == PLACEMENT_ROW_BIND || k->plan.row == PLACEMENT_ROW_PROPAGATE ||
               k->plan.row == PLACEMENT_ROW_NEST;
}

static void unit_kill_container(Keeper *k) {
        bool nested = k->plan.container == PLACEMENT_CONTAINER_NESTED;
        _cleanup_free_ char *path = NULL;

        if (k->target_pidfd < 0)
                return;
        if ((!nested && cgroup_own(k->target_pid, &path) < 0) ||
            cgroup_kill(nested ? k->plan.container_path : path) < 0)
                (void)process_signal(k->target_pidfd, SIGKILL); /* the rest goes with its first process */
}

static int unit_on_timeout(Timer *timer, void *userdata) {
        Keeper *k = userdata;

        if (k->options->service)
                log_warning("Container %s did not stop in time, killing it", k->options->name);
        else
                log_warning("%s is stopping and container %s did not stop in time, killing it", k->plan.unit,
                            k->options->name ? k->options->name : k->options->cid);
        unit_kill_container(k);
        return 0;
}

/**
 * keeper_unit_arm() - kill what is left of the container at stop_usec, as it is now
 *
 * Return: 0 or a negative errno.
 */
int keeper_unit_arm(Keeper *k) {
        int r;

        k->stop_timer = timer_free(k->stop_timer);
        r = event_add_timer(k->event, &k->stop_timer, keeper_left(k->stop_usec), unit_on_timeout, k);
        return r < 0 ? relay(r) : 0;
}

static int unit_on_again(Timer *timer, void *userdata) {
        return unit_ask(userdata);
}

static int unit_ask_later(Keeper *k, const char *why) {
        int r;

        if (!k->unit_silent)
                log_warning("Failed to query whether %s is stopping: %s", k->plan.unit, why);
        k->unit_silent = true;
        r = event_add_timer(k->event, &k->unit_again, AGAIN_USEC, unit_on_again, k);
        return r < 0 ? relay(r) : 0;
}

static int unit_on_answer(void *userdata, const UnitFacts *unit, const char *why) {
        Keeper *k = userdata;
        int r;

        if (!unit) {
                r = unit_ask_later(k, why);
                k->unit_question = manager_question_free(k->unit_question); /* and @why with it */
                return r < 0 ? relay(r) : 0;
        }
        k->unit_silent = false;
        if (strcmp(unit->active_state, "deactivating") == 0 && k->phase <= PHASE_RUNNING)
                k->stop_usec = service_stop_deadline(k->unit_asked_usec,
                                                     unit->timeout_stop_usec ?: DEFAULT_STOP_USEC);
        k->unit_question = manager_question_free(k->unit_question);
        return k->stop_usec ? keeper_unit_arm(k) : 0;
}

static int unit_ask(Keeper *k) {
        const ManagerUnit unit = { .user = k->plan.user, .uid = k->plan.uid, .name = k->plan.unit };
        int r;

        k->unit_again = timer_free(k->unit_again);
        r = manager_ask_about_unit(&k->unit_question, k->event, &unit, unit_on_answer, k);
        return r < 0 ? unit_ask_later(k, strerror(-r)) : 0;
}

/**
 * keeper_unit_signalled() - a signal has come that may be our unit's stop
 *
 * A question that is under way was asked too early.
 *
 * Return: 0 or a negative errno.
 */
int keeper_unit_signalled(Keeper *k) {
        if (k->phase > PHASE_RUNNING || !unit_holds_us(k))
                return 0;
        k->unit_asked_usec = event_now();
        k->unit_question = manager_question_free(k->unit_question);
        return unit_ask(k);
}

/**
 * keeper_unit_forget() - the answer would change nothing any more
 */
void keeper_unit_forget(Keeper *k) {
        k->unit_again = timer_free(k->unit_again);
        k->unit_question = manager_question_free(k->unit_question);
}
