/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/bus.h"
#include "systemd/machine.h"

#define CID "0123456789abcdef00000000000000ff1111111111111111111111111111111"

typedef struct Site {
        FakeManager *manager;
        Event *event;
        Bus *bus;
        MachineQuestion *question;
        MachineSpec spec;
        bool over;
        int answer;
        char text[256];
} Site;

static int on_answer(void *userdata, int answer, const BusTrouble *trouble) {
        Site *s = userdata;

        cr_assert_not(s->over, "told twice");
        s->over = true;
        s->answer = answer;
        strcpy(s->text, trouble->text);
        s->question = machine_question_free(s->question);
        return 0;
}

static void site_init(Site *s, const FakeManagerScript *script, bool pidfd) {
        *s = (Site){ .manager = fake_manager_new(script, NULL) };
        s->spec = (MachineSpec){ .name = "baz-1.x", .leader = getpid(), .leader_fd = -1 };
        s->spec.has_id = machine_id(CID, s->spec.id);
        if (pidfd)
                s->spec.leader_fd = process_pidfd(getpid());
        cr_assert(s->spec.has_id);
        cr_assert_eq(event_new(&s->event), 0);
        cr_assert_eq(bus_new(&s->bus, s->event, true, FAKE_MANAGER_UID), 0);
}

static void site_done(Site *s, FakeManagerSeen *seen) {
        s->question = machine_question_free(s->question);
        s->bus = bus_free(s->bus);
        s->event = event_unref(s->event);
        if (s->spec.leader_fd >= 0)
                (void)close(s->spec.leader_fd);
        fake_manager_finish(s->manager, seen);
}

static int ask(const FakeManagerScript *script, bool leaves, bool pidfd, FakeManagerSeen *seen) {
        Site s;

        site_init(&s, script, pidfd);
        cr_assert_eq(
                (leaves ? machine_unregister : machine_register)(&s.question, s.bus, &s.spec, on_answer, &s),
                0);
        cr_assert_not(s.over, "nobody is called from within");
        cr_assert(event_run_until(s.event, 30, s.over));
        site_done(&s, seen);
        return s.answer;
}

static void expect_registered(const FakeManagerSeen *seen, const char *member) {
        const unsigned char id[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, [15] = 0xff };

        cr_assert_eq(seen->n_registers, 1);
        cr_assert_str_eq(seen->member, member);
        cr_assert_str_eq(seen->machine, "baz-1.x");
        cr_assert_str_eq(seen->service, "scopemon");
        cr_assert_str_eq(seen->class, "container");
        cr_assert_eq(seen->machine_leader, (unsigned)getpid());
        cr_assert_arr_eq(seen->machine_id, id, sizeof id);
}

CleanTest(machine, is_registered_by_pidfd) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, false, true, &seen), 0);
        expect_registered(&seen, "RegisterMachineEx");
}

CleanTest(machine, is_registered_by_pid_with_an_older_machined) {
        FakeManagerScript script = { .no_pidfds = true };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, false, true, &seen), 0);
        expect_registered(&seen, "RegisterMachine");
}

CleanTest(machine, is_registered_by_pid_without_a_pidfd) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, false, false, &seen), 0);
        expect_registered(&seen, "RegisterMachine");
}

CleanTest(machine, errors_have_their_answers) {
        static const struct {
                const char *error;
                int answer;
        } cases[] = {
                { "org.freedesktop.machine1.MachineExists", MACHINE_TAKEN },
                { "org.freedesktop.DBus.Error.InvalidArgs", MACHINE_BAD_NAME },
                { "org.freedesktop.DBus.Error.ServiceUnknown", MACHINE_NO_SERVICE },
                { "org.freedesktop.DBus.Error.AccessDenied", MACHINE_FAILED },
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                FakeManagerScript script = { .machine_error = cases[i].error };

                cr_assert_eq(ask(&script, false, true, NULL), cases[i].answer, "%s", cases[i].error);
        }
}

/* Each message is one at which machined goes, with an error or without. */
CleanTest(machine, whatever_fails_there_is_one_answer) {
        for (FakeManagerFault fault = FAKE_MANAGER_CLOSES; fault <= FAKE_MANAGER_REFUSES; fault++)
                for (unsigned at = 1; at <= 2; at++) {
                        FakeManagerScript script = { .fault = fault, .fault_at = at };

                        cr_assert_eq(ask(&script, false, true, NULL), MACHINE_FAILED, "fault %d at %u", fault,
                                     at);
                }
}

CleanTest(machine, its_entry_is_removed) {
        FakeManagerScript script = { .leader = (unsigned)getpid() };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, true, true, &seen), 0);
        cr_assert_eq(seen.n_unregisters, 1);
        cr_assert_str_eq(seen.machine, "baz-1.x");
        cr_assert_str_eq(seen.path, "/org/freedesktop/machine1/machine/baz_2d1_2ex");
}

CleanTest(machine, the_entry_of_another_leader_stays) {
        FakeManagerScript script = { .leader = 1 };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, true, true, &seen), 0);
        cr_assert_eq(seen.n_gets, 1);
        cr_assert_eq(seen.n_unregisters, 0);
}

CleanTest(machine, an_entry_that_has_gone_is_no_failure) {
        FakeManagerScript script = { 0 };
        FakeManagerSeen seen;

        cr_assert_eq(ask(&script, true, true, &seen), 0);
        cr_assert_eq(seen.n_gets, 1);
        cr_assert_eq(seen.n_unregisters, 0);
}

CleanTest(machine, silence_has_an_end_which_comes_earlier_if_somebody_waits) {
        FakeManagerScript script = { .silent = true };
        uint64_t begin = event_now();
        Site s;

        site_init(&s, &script, true);
        cr_assert_eq(machine_register(&s.question, s.bus, &s.spec, on_answer, &s), 0);
        machine_question_hurry(s.question);
        cr_assert(event_run_until(s.event, 30, s.over));
        cr_assert_eq(s.answer, MACHINE_FAILED);
        cr_assert_str_eq(s.text, "systemd-machined does not respond");
        cr_assert_lt(event_now() - begin, 8000000U, "before its own time-out");
        site_done(&s, NULL);
}

CleanTest(machine, it_may_be_forgotten) {
        FakeManagerScript script = { 0 };
        Site s;

        site_init(&s, &script, true);
        cr_assert_eq(machine_register(&s.question, s.bus, &s.spec, on_answer, &s), 0);
        site_done(&s, NULL);
        cr_assert_not(s.over);
}

CleanTest(machine, id_is_the_first_half_of_a_containers) {
        static const char *const none[] = { "", "baz", "0123456789abcdef0123456789abcde",
                                            "0123456789ABCDEF0123456789ABCDEF" };
        unsigned char id[MACHINE_ID_SIZE];

        for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
                cr_assert_not(machine_id(none[i], id), "%s", none[i]);
        cr_assert(machine_id("ffffffffffffffffffffffffffffff01", id));
        cr_assert_eq(id[15], 1);
}
