/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The container in the register of systemd-machined, if that is wanted: entered when it runs, removed when it has ended.
 * Nothing waits for machined but our own end, and that for seconds only. There is a connection while it is asked, and
 * none in between. What fails is told once, and the container goes on.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "keeper/keeper-internal.h"
#include "keeper/registration.h"
#include "report/announce.h"
#include "systemd/bus.h"
#include "systemd/machine.h"

/* While machined is asked. */
typedef struct Registration {
        Bus *bus;
        MachineQuestion *question;
        bool leaves; /* the container has ended: what is registered now has to go */
} Registration;

static void registration_free(Keeper *k) {
        Registration *g = k->registration;

        if (!g)
                return;
        g->question = machine_question_free(g->question);
        g->bus = bus_free(g->bus);
        free(g);
        k->registration = NULL;
}

/* Somebody may have waited for it: our end, or another image. */
static void registration_over(Keeper *k) {
        int r;

        registration_free(k);
        memory_trim(); /* what the bus has needed */
        (void)keeper_advance(k);
        r = reaper_look(k->reaper);
        if (r < 0)
                keeper_endure(k, r);
}

static const char *registered_name(const Keeper *k) {
        return k->options->name ? k->options->name : k->options->cid;
}

static void fill_spec(const Keeper *k, MachineSpec *ret) {
        *ret = (MachineSpec){ .name = registered_name(k),
                              .leader = k->target.pid,
                              .leader_fd = k->target.pidfd };
        ret->has_id = machine_id(k->options->cid, ret->id);
}

static void tell_failure_to_register(Keeper *k, int answer, const char *why) {
        static const char *const remedies[] = {
                [MACHINE_FAILED] = "see \"journalctl -u systemd-machined\"",
                [MACHINE_NO_SERVICE] = "install the package systemd-container",
                [MACHINE_TAKEN] = "give the container a name that \"machinectl list\" does not show",
                [MACHINE_BAD_NAME] =
                        "give the container a name of at most 64 letters, digits, hyphens and dots",
        };
        const char *remedy = remedies[answer];
        char problem[320];

        if (answer == MACHINE_NO_SERVICE && k->plan.machine_user)
                remedy = "users have a systemd-machined from systemd 259 on";
        (void)snprintf(problem, sizeof problem, "it is not registered with systemd-machined: %s", why);
        announce_misconfigured(k->options, &k->plan, problem, remedy);
        k->plan.machine = false;
        KEEPER_TELL(k, on_changed);
}

static int registration_begin(Keeper *k, bool leaves);

static int on_registered(void *userdata, int answer, const BusTrouble *trouble) {
        Keeper *k = userdata;
        bool leaves = k->registration->leaves;

        if (answer != 0)
                tell_failure_to_register(k, answer, trouble->text);
        registration_free(k);
        if (answer != 0 || !leaves || registration_begin(k, true) < 0)
                registration_over(k);
        return 0;
}

static int on_unregistered(void *userdata, int answer, const BusTrouble *trouble) {
        if (answer != 0)
                log_debug("The container stays registered: %s", trouble->text);
        registration_over(userdata);
        return 0;
}

static int registration_begin(Keeper *k, bool leaves) {
        MachineSpec spec;
        Registration *g;
        int r;

        g = k->registration = calloc(1, sizeof *g);
        if (!g)
                return fail(-ENOMEM);
        g->leaves = leaves;
        fill_spec(k, &spec);
        r = bus_new(&g->bus, k->event, k->plan.machine_user, k->plan.machine_uid);
        if (r >= 0)
                r = leaves ? machine_unregister(&g->question, g->bus, &spec, on_unregistered, k)
                           : machine_register(&g->question, g->bus, &spec, on_registered, k);
        if (r < 0)
                registration_free(k);
        return r < 0 ? relay(r) : 0;
}

static void registration_on_running(Keeper *k) {
        int r;

        if (!k->plan.machine)
                return;
        r = registration_begin(k, false);
        if (r < 0)
                tell_failure_to_register(k, MACHINE_FAILED, strerror(-r));
}

static void registration_on_draining(Keeper *k) {
        if (!k->plan.machine || k->target.pid == 0)
                return;
        if (!k->registration) {
                (void)registration_begin(k, true); /* without it the entry goes with the unit */
                return;
        }
        k->registration->leaves = true;
        machine_question_hurry(k->registration->question);
}

static int registration_is_busy(Keeper *k) {
        return k->registration ? KEEPER_TAKEN : 0;
}

const KeeperHooks registration_hooks = { .on_free = registration_free,
                                         .on_running = registration_on_running,
                                         .on_draining = registration_on_draining,
                                         .is_unfinished = registration_is_busy,
                                         .is_busy = registration_is_busy };
