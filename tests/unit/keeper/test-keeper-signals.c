/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a signal is tried with the whole program (tests/contract, tests/system). */

#include <signal.h>

#include "clean.h"
#include "keeper/keeper-internal.h"

CleanTest(keeper_signals, signals_are_the_containers_unless_the_kernel_means_us) {
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

CleanTest(keeper_signals, those_that_may_be_a_stop) {
        const int may[] = {
                SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPWR, SIGRTMIN + 3
        };
        const int not_may[] = { 0, SIGWINCH, SIGCONT, SIGURG, SIGTSTP, SIGCHLD, SIGKILL, SIGSEGV };

        for (size_t i = 0; i < ELEMENTS(may); i++)
                cr_assert(keeper_signal_ends(may[i]), "signal %d", may[i]);
        for (size_t i = 0; i < ELEMENTS(not_may); i++)
                cr_assert_not(keeper_signal_ends(not_may[i]), "signal %d", not_may[i]);
}
