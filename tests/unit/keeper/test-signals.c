/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a signal is tried with the whole program (tests/contract, tests/system). */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "clean.h"
#include "keeper/keeper-internal.h"

CleanTest(signals, signals_are_the_containers_unless_the_kernel_means_us) {
        const int theirs[] = { SIGTERM, SIGHUP,   SIGINT,  SIGQUIT,  SIGUSR1,      SIGUSR2,
                               SIGALRM, SIGWINCH, SIGCONT, SIGRTMIN, SIGRTMIN + 3, SIGRTMAX - 1 };
        const int not_theirs[] = { SIGCHLD, SIGPIPE, SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, SIGSYS, SIGTTOU };
        sigset_t set;

        keeper_signals(&set);
        for (size_t i = 0; i < ELEMENTS(theirs); i++)
                cr_assert_eq(sigismember(&set, theirs[i]), 1, "signal %d", theirs[i]);
        for (size_t i = 0; i < ELEMENTS(not_theirs); i++)
                cr_assert_eq(sigismember(&set, not_theirs[i]), 0, "signal %d", not_theirs[i]);
}

CleanTest(signals, those_that_may_be_a_stop) {
        const int may[] = {
                SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPWR, SIGRTMIN + 3
        };
        const int not_may[] = { 0, SIGWINCH, SIGCONT, SIGURG, SIGTSTP, SIGCHLD, SIGKILL, SIGSEGV };

        for (size_t i = 0; i < ELEMENTS(may); i++)
                cr_assert(keeper_signal_ends(may[i]), "signal %d", may[i]);
        for (size_t i = 0; i < ELEMENTS(not_may); i++)
                cr_assert_not(keeper_signal_ends(not_may[i]), "signal %d", not_may[i]);
}

/* ---- hooks ------------------------------------------------------------------------------------------- */

static int take_terms(Keeper *k, int signal) {
        return signal == SIGTERM ? KEEPER_TAKEN : 0;
}

static int fail_at_hangups(Keeper *k, int signal) {
        cr_assert_neq(signal, SIGTERM, "somebody has taken it");
        return signal == SIGHUP ? -EIO : 0;
}

CleanTest(signals, hook_that_takes_a_signal_is_the_last_to_see_it) {
        static const KeeperHooks none = { 0 }, first = { .on_signal = take_terms },
                                 second = { .on_signal = fail_at_hangups };
        static const KeeperHooks *const hooks[] = { &none, &first, &second, NULL };
        _cleanup_close_ int self = process_pidfd(getpid());
        Keeper *k = calloc(1, sizeof *k);
        sigset_t set, pending;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGWINCH);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        k->phase = PHASE_RUNNING;
        k->hooks = hooks;
        k->runtime.pidfd = -1;
        k->target.pidfd = self; /* whatever is passed on comes here */
        cr_assert_eq(keeper_on_signal(k, SIGTERM), 0);
        cr_assert_eq(keeper_on_signal(k, SIGHUP), -EIO);
        cr_assert_eq(keeper_on_signal(k, SIGWINCH), 0);
        cr_assert_eq(sigpending(&pending), 0);
        cr_assert_eq(sigismember(&pending, SIGTERM), 0);
        cr_assert_eq(sigismember(&pending, SIGHUP), 0);
        cr_assert_eq(sigismember(&pending, SIGWINCH), 1, "nobody has taken it");
        free(k);
}

static int take_all(Keeper *k, int signal) {
        return KEEPER_TAKEN;
}

CleanTest(signals, start_is_ended_before_anybody_takes_the_signal) {
        static const KeeperHooks all = { .on_signal = take_all };
        static const KeeperHooks *const hooks[] = { &all, NULL };
        const int interrupting[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };

        for (size_t i = 0; i < ELEMENTS(interrupting); i++) {
                KeeperStart start = { 0 };
                Keeper k = { .phase = PHASE_PLACING, .hooks = hooks, .start = &start };

                k.advancing = true; /* what follows is not tried here */
                cr_assert_eq(keeper_on_signal(&k, SIGUSR1), 0);
                cr_assert_not(k.facts.gave_up);
                cr_assert_eq(keeper_on_signal(&k, interrupting[i]), 0);
                cr_assert(k.facts.gave_up, "signal %d", interrupting[i]);
                cr_assert_neq(start.failure[0], 0);
        }
}
