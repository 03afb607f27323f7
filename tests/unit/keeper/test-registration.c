/* SPDX-License-Identifier: Apache-2.0 */

/* A container is registered when it runs and removed when it has ended, whenever machined answers. */

#include <stdlib.h>
#include <unistd.h>

#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "keeper/keeper-internal.h"
#include "keeper/registration.h"

typedef struct Fixture {
        Keeper *k;
        Options options;
        FakeManager *manager;
} Fixture;

static void fixture_init(Fixture *f, const FakeManagerScript *script) {
        *f = (Fixture){ .options = { .cid = (char *)"0123", .name = (char *)"baz" },
                        .manager = fake_manager_new(script, NULL) };
        f->k = calloc(1, sizeof *f->k);
        cr_assert_eq(event_new(&f->k->event), 0);
        cr_assert_eq(keeper_make_reaper(f->k), 0);
        f->k->options = &f->options;
        f->k->phase = PHASE_RUNNING;
        f->k->plan.machine = true;
        f->k->plan.machine_user = true;
        f->k->plan.machine_uid = FAKE_MANAGER_UID;
        f->k->target.pid = getpid();
        f->k->target.pidfd = process_pidfd(getpid());
}

static FakeManagerSeen fixture_done(Fixture *f) {
        FakeManagerSeen seen = { 0 };

        registration_hooks.on_free(f->k);
        cr_assert_null(f->k->registration);
        f->k->reaper = reaper_free(f->k->reaper);
        f->k->event = event_unref(f->k->event);
        (void)close(f->k->target.pidfd);
        free(f->k);
        fake_manager_finish(f->manager, &seen);
        return seen;
}

static void wait_for_answers(Fixture *f) {
        cr_assert_eq(registration_hooks.is_busy(f->k), KEEPER_TAKEN);
        cr_assert_eq(registration_hooks.is_unfinished(f->k), KEEPER_TAKEN);
        cr_assert(event_run_until(f->k->event, 30, !f->k->registration));
        cr_assert_eq(registration_hooks.is_busy(f->k), 0);
}

CleanTest(registration, comes_and_goes_with_the_container) {
        FakeManagerScript script = { .leader = (unsigned)getpid() };
        FakeManagerSeen seen;
        Fixture f;

        fixture_init(&f, &script);
        registration_hooks.on_running(f.k);
        wait_for_answers(&f);
        registration_hooks.on_draining(f.k);
        wait_for_answers(&f);
        seen = fixture_done(&f);
        cr_assert_eq(seen.n_registers, 1);
        cr_assert_eq(seen.n_unregisters, 1);
        cr_assert_str_eq(seen.machine, "baz");
}

CleanTest(registration, container_that_ends_before_the_answer_is_removed) {
        FakeManagerScript script = { .leader = (unsigned)getpid() };
        FakeManagerSeen seen;
        Fixture f;

        fixture_init(&f, &script);
        registration_hooks.on_running(f.k);
        registration_hooks.on_draining(f.k);
        wait_for_answers(&f);
        seen = fixture_done(&f);
        cr_assert_eq(seen.n_registers, 1);
        cr_assert_eq(seen.n_unregisters, 1);
}

CleanTest(registration, what_has_failed_is_not_removed) {
        FakeManagerScript script = { .machine_error = "org.freedesktop.machine1.MachineExists",
                                     .leader = (unsigned)getpid() };
        FakeManagerSeen seen;
        Fixture f;

        fixture_init(&f, &script);
        registration_hooks.on_running(f.k);
        wait_for_answers(&f);
        cr_assert_not(f.k->plan.machine);
        registration_hooks.on_draining(f.k);
        cr_assert_null(f.k->registration);
        seen = fixture_done(&f);
        cr_assert_eq(seen.n_unregisters, 0);
}

CleanTest(registration, nobody_is_asked_without_a_wish_or_a_container) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;
        Fixture f;

        fixture_init(&f, &script);
        f.k->plan.machine = false;
        registration_hooks.on_running(f.k);
        registration_hooks.on_draining(f.k);
        f.k->plan.machine = true;
        f.k->target.pid = 0;
        registration_hooks.on_draining(f.k);
        cr_assert_null(f.k->registration);
        seen = fixture_done(&f);
        cr_assert_eq(seen.n_messages, 0);
}
