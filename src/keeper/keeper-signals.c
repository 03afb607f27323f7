/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Signals to the monitor. Whoever sends one means the container, of which the monitor is what others can see: systemd
 * with KillSignal= or ReloadSignal= of a unit whose main process it is, or an administrator with systemctl kill. So all
 * are passed on, but for those that the kernel sends for a reason of its own.
 *
 * A request for an upgrade is a SIGUSR2 that says so (upgrade.c); any other one is the container's, too.
 *
 * SIGUSR1 makes the original look for dead children. It does here as well; with a value it is another monitor's word.
 */

#include <signal.h>

#include "base/error.h"
#include "keeper/keeper-internal.h"

/* Not to be caught, or somebody's fault, or of the terminal and the children that we have ourselves. */
static const int ours[] = { SIGKILL, SIGSTOP, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE, SIGABRT, SIGBUS,
                            SIGFPE,  SIGILL,  SIGSEGV, SIGSYS,  SIGTRAP, SIGXCPU, SIGXFSZ };

/* Those that end no process that does not handle them: no unit is stopped by them. */
static const int harmless[] = { SIGCONT, SIGTSTP, SIGURG, SIGWINCH };

/* Those by which a runtime that is creating the container is to end. */
static const int interrupting[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };

static bool signals_include(const int *list, size_t n, int signal) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == signal)
                        return true;
        return false;
}

/**
 * keeper_signals() - all that are taken
 */
void keeper_signals(sigset_t *ret) {
        (void)sigfillset(ret); /* without those of the C library */
        for (size_t i = 0; i < ELEMENTS(ours); i++)
                (void)sigdelset(ret, ours[i]);
}

/**
 * keeper_signal_ends() - may a unit be stopped by this signal, and a process be ended that does not handle it?
 */
bool keeper_signal_ends(int signal) {
        return signal > 0 && !signals_include(ours, ELEMENTS(ours), signal) &&
               !signals_include(harmless, ELEMENTS(harmless), signal);
}

static int signals_take(LoopSource *source, const struct signalfd_siginfo *info, void *userdata) {
        Keeper *k = userdata;

        if (info->ssi_signo == SIGUSR1 && info->ssi_code == SI_QUEUE &&
            info->ssi_int == KEEPER_NOT_RESTARTED) {
                k->not_restarted = true;
                return 0;
        }
        if (!upgrade_is_request(info))
                return keeper_on_signal(k, (int)info->ssi_signo);
        upgrade_want(k, (pid_t)info->ssi_pid);
        return k->reaper ? reaper_look(k->reaper) : 0; /* which goes on with it */
}

/**
 * keeper_watch_signals() - take them from now on
 *
 * Return: 0 or a negative errno.
 */
int keeper_watch_signals(Keeper *k) {
        sigset_t set;

        keeper_signals(&set);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return fail(-errno);
        for (int i = 1; i < (int)ELEMENTS(k->signals); i++) {
                int r = 0;

                if (sigismember(&set, i) == 1)
                        r = loop_add_signal(k->loop, &k->signals[i], i, signals_take, k);
                if (r < 0)
                        return relay(r);
        }
        loop_source_set_priority(k->signals[SIGUSR1],
                                 LOOP_PRIORITY_FIRST); /* before SIGCHLD of the exit command */
        return 0;
}

/* To the container, or to the runtime while there is none. */
static void signals_pass_on(Keeper *k, int signal) {
        if (k->target_pidfd >= 0 && process_signal(k->target_pidfd, signal) >= 0)
                return;
        if (k->runtime_pidfd >= 0 && signals_include(interrupting, ELEMENTS(interrupting), signal))
                (void)process_signal(k->runtime_pidfd, signal); /* it may have just ended */
}

/**
 * keeper_on_signal() - somebody has sent @signal
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_signal(Keeper *k, int signal) {
        k->terminated = k->terminated || keeper_signal_ends(signal);
        if (k->options->service && signal == SIGTERM && k->phase == PHASE_RUNNING)
                return keeper_service_stop(k);
        if (k->options->service && signal != SIGTERM)
                return keeper_service_pass_on(k, signal);
        if (keeper_signal_ends(signal))
                (void)keeper_unit_signalled(k); /* without it systemd's own time-out ends us */
        signals_pass_on(k, signal);
        return k->reaper ? reaper_look(k->reaper) : 0;
}
