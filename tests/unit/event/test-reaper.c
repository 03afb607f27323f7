/* SPDX-License-Identifier: Apache-2.0 */

/* Every end is told to whoever claims it, before or after the fact, and kept while nobody does. */

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "event/reaper.h"

#define UNCLAIMED_MAX 1024 /* that many are kept */

typedef struct Fixture {
        Event *event;
        Reaper *reaper;
        unsigned n_exits, n_buried;
        pid_t last;
        ProcessStatus status;
        bool zombie;     /* it still was one when we were told */
        pid_t claim_now; /* claimed from within the callback */
        int result;
} Fixture;

static int on_exit_(void *userdata, pid_t pid, const ProcessStatus *status) {
        ProcessStatus again;
        Fixture *f = userdata;

        f->n_exits++;
        f->last = pid;
        f->status = *status;
        f->zombie = process_peek(pid, &again) == pid;
        if (f->claim_now) {
                pid_t claimed = f->claim_now;

                f->claim_now = 0;
                cr_assert_eq(reaper_claim(f->reaper, claimed), 0);
        }
        return f->result;
}

static int on_buried(void *userdata) {
        ((Fixture *)userdata)->n_buried++;
        return 0;
}

static void fixture_init(Fixture *f) {
        static const ReaperHandler handler = { .on_exit = on_exit_, .on_buried = on_buried };
        sigset_t set;

        *f = (Fixture){ 0 };
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        cr_assert_geq(event_new(&f->event), 0);
        cr_assert_eq(reaper_new(&f->reaper, f->event, &handler, f), 0);
}

static void fixture_done(Fixture *f) {
        cr_assert(!reaper_has_children(f->reaper));
        f->reaper = reaper_free(f->reaper);
        f->event = event_unref(f->event);
}

/* A child that ends at once, with this status. */
static pid_t child(int status) {
        pid_t pid;
        int r = process_fork(&pid);

        cr_assert_geq(r, 0);
        if (r == 0)
                process_exit(status);
        return pid;
}

static void wait_dead(pid_t pid) {
        ProcessStatus status;

        while (process_peek(pid, &status) == 0)
                ;
}

CleanTest(reaper, claimed_end_is_told_while_it_is_a_zombie) {
        Fixture f;
        pid_t pid;

        fixture_init(&f);
        pid = child(7);
        cr_assert_eq(reaper_claim(f.reaper, pid), 0);
        cr_assert(event_run_until(f.event, 30, f.n_exits > 0));
        cr_assert_eq(f.last, pid);
        cr_assert_eq(f.status.code, 7);
        cr_assert(f.zombie);
        cr_assert_eq(f.n_buried, 1);
        fixture_done(&f);
}

CleanTest(reaper, end_before_the_claim_is_kept) {
        Fixture f;
        pid_t pid;

        fixture_init(&f);
        pid = child(9);
        wait_dead(pid);
        event_run_idle(f.event);
        cr_assert_eq(f.n_exits, 0);
        cr_assert(!reaper_has_children(f.reaper), "buried all the same");
        cr_assert_eq(reaper_claim(f.reaper, pid), 0);
        cr_assert_eq(f.n_exits, 1);
        cr_assert_eq(f.status.code, 9);
        cr_assert_eq(reaper_claim(f.reaper, pid), 0);
        cr_assert_eq(f.n_exits, 1, "told once");
        fixture_done(&f);
}

CleanTest(reaper, claim_in_a_callback_finds_one_that_lies_beside_it) {
        for (unsigned order = 0; order < 2; order++) {
                pid_t first, second;
                Fixture f;

                fixture_init(&f);
                first = child(1);
                second = child(2);
                wait_dead(first);
                wait_dead(second);
                f.claim_now = order ? first : second;
                cr_assert_eq(reaper_claim(f.reaper, order ? second : first), 0);
                event_run_idle(f.event);
                cr_assert_eq(f.n_exits, 2);
                fixture_done(&f);
        }
}

CleanTest(reaper, flood_pushes_the_oldest_out) {
        pid_t pids[UNCLAIMED_MAX + 50];
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(pids); i++) {
                pids[i] = child(5);
                wait_dead(pids[i]);
                cr_assert_eq(reaper_look(f.reaper), 0);
        }
        for (size_t i = 0; i < ELEMENTS(pids); i++) {
                f.n_exits = 0;
                if (i < 50 && i % 10 != 0)
                        continue; /* there is room for eight that are still waited for */
                cr_assert_eq(reaper_claim(f.reaper, pids[i]), 0, "%zu", i);
                cr_assert_eq(f.n_exits, i >= 50, "%zu", i);
        }
        fixture_done(&f);
}

/* Another child with a pid that was used before, if we may choose it; it ends when @gate does. */
static bool reuse(pid_t pid, int gate, int other_end, int status) {
        struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
        long r = syscall(SYS_clone3, &args, sizeof args);
        char byte;

        if (r == 0) {
                (void)close(other_end);
                (void)!read(gate, &byte, 1);
                process_exit(status);
        }
        return r == pid;
}

CleanTest(reaper, kept_status_is_not_taken_for_that_of_a_child_with_the_same_pid) {
        _cleanup_close_ int r = -1, w = -1;
        Fixture f;
        pid_t pid;

        fixture_init(&f);
        cr_assert_eq(fd_pipe(&r, &w), 0);
        pid = child(9);
        wait_dead(pid);
        event_run_idle(f.event);
        if (reuse(pid, r, w, 3)) {
                cr_assert_eq(reaper_claim(f.reaper, pid), 0);
                cr_assert_eq(f.n_exits, 0, "it lives");
                fd_close_many(&w, 1);
                cr_assert(event_run_until(f.event, 30, f.n_exits > 0));
                cr_assert_eq(f.status.code, 3);
        }
        fixture_done(&f);
}

CleanTest(reaper, newest_status_of_a_pid_is_the_one_that_counts) {
        _cleanup_close_ int r = -1, w = -1;
        Fixture f;
        pid_t pid;

        fixture_init(&f);
        cr_assert_eq(fd_pipe(&r, &w), 0);
        pid = child(9);
        wait_dead(pid);
        event_run_idle(f.event);
        if (reuse(pid, r, w, 3)) {
                fd_close_many(&w, 1);
                wait_dead(pid);
                event_run_idle(f.event);
                cr_assert_eq(reaper_claim(f.reaper, pid), 0);
                cr_assert_eq(f.status.code, 3);
                cr_assert_eq(reaper_claim(f.reaper, pid), 0);
                cr_assert_eq(f.n_exits, 1);
        }
        fixture_done(&f);
}

CleanTest(reaper, orphans_are_buried) {
        Fixture f;
        pid_t pid;
        int r;

        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        fixture_init(&f);
        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)child(4); /* left to whoever takes it */
                process_exit(0);
        }
        cr_assert_eq(reaper_claim(f.reaper, pid), 0);
        cr_assert(event_run_until(f.event, 30, !reaper_has_children(f.reaper)));
        cr_assert_eq(f.n_exits, 1);
        cr_assert_eq(f.last, pid);
        fixture_done(&f);
}

CleanTest(reaper, failing_handler_does_not_stop_the_burying) {
        Fixture f;
        pid_t pids[3];

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(pids); i++) {
                pids[i] = child(0);
                wait_dead(pids[i]);
                cr_assert_eq(reaper_claim(f.reaper, pids[i]), 0);
        }
        f.result = -EIO;
        cr_assert_eq(reaper_look(f.reaper), -EIO);
        cr_assert_eq(f.n_exits, 3);
        cr_assert_eq(f.n_buried, 1);
        fixture_done(&f);
}

CleanTest(reaper, claims_are_bounded) {
        Fixture f;

        fixture_init(&f);
        for (pid_t pid = 100001; pid <= 100012; pid++)
                cr_assert_eq(reaper_claim(f.reaper, pid), 0);
        cr_assert_eq(reaper_claim(f.reaper, 100013), -ENOSPC);
        fixture_done(&f);
}
