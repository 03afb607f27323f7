/* SPDX-License-Identifier: Apache-2.0 */

/* What a child has asked arrives here, and neither the child nor the library stays. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "fake-manager.h"
#include "systemd/manager.h"

#define NOBODY 4294967000U /* a uid with no directory below /run/user */

typedef struct Site {
        char dir[64], socket[128];
        FakeManager *manager;
        FakeManagerSeen seen;
} Site;

static void site_init(Site *s, const FakeManagerScript *script) {
        *s = (Site){ .dir = "/tmp/test-manager-XXXXXX" };
        cr_assert_not_null(mkdtemp(s->dir));
        (void)snprintf(s->socket, sizeof s->socket, "%s/bus", s->dir);
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", s->dir, 1), 0);
        s->manager = script ? fake_manager_new(script, s->socket) : NULL;
}

static void site_done(Site *s) {
        ProcessStatus status;

        if (s->manager)
                fake_manager_finish(s->manager, &s->seen);
        (void)unlink(s->socket);
        cr_assert_eq(rmdir(s->dir), 0);
        cr_assert_eq(process_peek(0, &status), -ECHILD, "no child is left");
}

CleanTest(manager, unit_is_looked_at_with_one_call) {
        FakeManagerScript script = { .delegate = true, .type = "notify", .active_state = "deactivating" };
        ManagerTrouble trouble;
        UnitFacts facts;
        Site s;

        site_init(&s, &script);
        cr_assert_eq(manager_look_at_unit(true, NOBODY, "baz.service", &facts, &trouble), 0);
        cr_assert(facts.delegate);
        cr_assert_str_eq(facts.type, "notify");
        cr_assert_str_eq(facts.active_state, "deactivating");
        cr_assert_eq(trouble.bus_error, 0);
        site_done(&s);
        cr_assert_eq(s.seen.n_get_alls, 1);
        cr_assert_eq(s.seen.n_starts, 0);
}

CleanTest(manager, absent_manager_is_explained) {
        ManagerTrouble trouble;
        UnitFacts facts;
        Site s;

        site_init(&s, NULL);
        cr_assert_eq(manager_look_at_unit(true, NOBODY, "baz.service", &facts, &trouble), -ENOENT);
        cr_assert_eq(trouble.bus_error, -ENOENT);
        cr_assert(strstr(trouble.text, "enable-linger"), "%s", trouble.text);
        site_done(&s);
}

CleanTest(manager, scope_is_made) {
        FakeManagerScript script = { 0 };
        ScopeSpec spec = {
                .name = "x.scope", .description = "X", .pid = getpid(), .pidfd = -1, .delegate = true
        };
        ManagerTrouble trouble;
        Site s;

        site_init(&s, &script);
        cr_assert_eq(manager_make_scope(true, NOBODY, &spec, &trouble), 0);
        site_done(&s);
        cr_assert_eq(s.seen.n_starts, 1);
        cr_assert_str_eq(s.seen.unit, "x.scope");
}

CleanTest(manager, refusal_comes_in_the_managers_words) {
        FakeManagerScript script = { .refuse = "not today" };
        ScopeSpec spec = { .name = "x.scope", .pid = getpid(), .pidfd = -1 };
        ManagerTrouble trouble;
        Site s;

        site_init(&s, &script);
        cr_assert_eq(manager_make_scope(true, NOBODY, &spec, &trouble), SCOPE_REFUSED);
        cr_assert_eq(trouble.bus_error, 0);
        cr_assert_str_eq(trouble.text, "not today");
        site_done(&s);
}

CleanTest(manager, child_holds_none_of_our_descriptors) {
        FakeManagerScript script = { .silent = true };
        ScopeSpec spec = { .name = "x.scope", .pid = getpid(), .pidfd = -1 };
        int alive[2], answer[2], r;
        ManagerTrouble trouble;
        pid_t pid;
        char byte;
        Site s;

        site_init(&s, &script);
        cr_assert_eq(fd_pipe(&alive[0], &alive[1]), 0);
        cr_assert_eq(fd_pipe(&answer[0], &answer[1]), 0);
        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) { /* the manager is silent: this asker and its child would wait for half a minute */
                fd_close_many(&alive[0], 1);
                (void)manager_make_scope(true, NOBODY, &spec, &trouble);
                process_exit(0);
        }
        fd_close_many(&alive[1], 1);
        fd_close_many(answer, 2);
        cr_assert_eq(process_kill_child(pid, SIGKILL), 0);
        cr_assert_eq(read(alive[0], &byte, 1), 0, "nobody has the other end: not the child either");
        cr_assert_eq(process_end(pid), 0);
        fd_close_many(&alive[0], 1);
        site_done(&s);
}

/* ---- in the loop ----------------------------------------------------------------------------- */

typedef struct Asker {
        ManagerQuestion *question;
        unsigned n_answers;
        char state[16], why[256];
        uint64_t stop_usec;
} Asker;

static int on_unit(void *userdata, const UnitFacts *unit, const char *why) {
        Asker *a = userdata;

        a->n_answers++;
        (void)snprintf(a->state, sizeof a->state, "%s", unit ? unit->active_state : "");
        (void)snprintf(a->why, sizeof a->why, "%s", why ? why : "");
        a->stop_usec = unit ? unit->timeout_stop_usec : 0;
        a->question = manager_question_free(a->question);
        return 0;
}

static void bury_child(void) {
        ProcessStatus status;
        pid_t pid;

        while ((pid = process_peek(0, &status)) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
}

static const ManagerUnit baz = { .user = true, .uid = NOBODY, .name = "baz.service" };

CleanTest(manager, unit_is_asked_for_while_the_loop_turns) {
        FakeManagerScript script = { .type = "notify", .active_state = "deactivating" };
        Asker a = { 0 };
        Event *event;
        Site s;

        site_init(&s, &script);
        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(manager_ask_about_unit(&a.question, event, &baz, on_unit, &a), 0);
        cr_assert(event_run_until(event, 10, a.n_answers > 0));
        cr_assert_str_eq(a.state, "deactivating");
        cr_assert_eq(a.stop_usec, 90000000);
        bury_child();
        event = event_unref(event);
        site_done(&s);
        cr_assert_eq(s.seen.n_get_alls, 1);
}

CleanTest(manager, loop_is_told_why_there_is_no_answer) {
        Asker a = { 0 };
        Event *event;
        Site s;

        site_init(&s, NULL);
        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(manager_ask_about_unit(&a.question, event, &baz, on_unit, &a), 0);
        cr_assert(event_run_until(event, 10, a.n_answers > 0));
        cr_assert_str_eq(a.state, "");
        cr_assert(strstr(a.why, "enable-linger"), "%s", a.why);
        bury_child();
        event = event_unref(event);
        site_done(&s);
}
