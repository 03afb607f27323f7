/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Signals to the monitor. Whoever sends one means the container, of which the monitor is what others can see: systemd
 * with KillSignal= or ReloadSignal= of a unit whose main process it is, or an administrator with systemctl kill. So all
 * are passed on, but for those that the kernel sends for a reason of its own.
 *
 * One that is a request (for an upgrade: a SIGUSR2 that says so) is none.
 *
 * SIGUSR1 makes the original look for dead children. It does here as well; with a value it is another monitor's word.
 */

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/keeper-internal.h"

#define AGAIN_USEC 100000U
#define AT_ONCE_MAX 64

/* Not to be caught, or somebody's fault, or of the terminal and the children that we have ourselves. */
static const int ours[] = { SIGKILL, SIGSTOP, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE, SIGABRT, SIGBUS,
                            SIGFPE,  SIGILL,  SIGSEGV, SIGSYS,  SIGTRAP, SIGXCPU, SIGXFSZ };

/* Those that end no process that does not handle them: no unit is stopped by them. */
static const int harmless[] = { SIGCONT, SIGTSTP, SIGURG, SIGWINCH };

/* Those by which a start is to end: a runtime that is creating the container, or what comes before it. */
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

static int signals_note(Keeper *k, const struct signalfd_siginfo *info) {
        if (info->ssi_signo == SIGUSR1 && info->ssi_code == SI_QUEUE && info->ssi_int == KEEPER_NOT_RESTARTED)
                k->exit_command.to_fail = true;
        else if (info->ssi_signo != SIGCHLD && KEEPER_ASK(k, on_request, info) == 0)
                return keeper_on_signal(k, (int)info->ssi_signo);
        return 0;
}

/* All that is there, and then the children: what a signal says may matter to the end of the exit command. */
static int signals_take(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct signalfd_siginfo info;
        Keeper *k = userdata;
        int r = 0;

        for (unsigned i = 0; i < AT_ONCE_MAX && read(fd, &info, sizeof info) == sizeof info; i++) {
                r = signals_note(k, &info);
                if (r < 0)
                        keeper_endure(k, r);
        }
        if (k->reaper)
                (void)reaper_look(k->reaper); /* what it returns has been through keeper_endure() */
        return 0;
}

static void signals_taken(sigset_t *ret) {
        keeper_signals(ret);
        (void)sigaddset(ret, SIGCHLD);
}

/**
 * keeper_block_signals() - keep them for keeper_take_signals()
 *
 * Return: 0 or a negative errno.
 */
int keeper_block_signals(void) {
        sigset_t set;

        signals_taken(&set);
        return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? fail(-errno) : 0;
}

/*
 * One descriptor and one source for all of them, and for SIGCHLD: sd-event would have a source, some system calls and
 * 300 bytes for each.
 */
static int signals_open(Keeper *k) {
        sigset_t set;
        int r;

        signals_taken(&set);
        k->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (k->signals.fd < 0)
                return fail(-errno);
        r = event_add_io(k->event, &k->signals.source, k->signals.fd, EPOLLIN, signals_take, k);
        if (r >= 0)
                return 0;
        fd_close_many(&k->signals.fd, 1);
        return relay(r);
}

static int signals_open_again(Timer *timer, void *userdata) {
        Keeper *k = userdata;

        if (signals_open(k) < 0)
                timer_set(timer, AGAIN_USEC);
        if (k->reaper)
                (void)reaper_look(k->reaper);
        return 0;
}

/**
 * keeper_take_signals() - hear of them, also of those that have come since they were blocked
 *
 * If there is no descriptor to spare it is tried again, and the children are looked at meanwhile.
 */
void keeper_take_signals(Keeper *k) {
        int r;

        r = signals_open(k);
        if (r >= 0)
                return;
        (void)log_error_errno(r, "Failed to read signals, retrying:");
        r = event_add_timer(k->event, &k->signals.timer, AGAIN_USEC, signals_open_again, k);
        if (r < 0)
                keeper_endure(k, r);
}

/* There is not even a runtime. */
static int signals_end_start(Keeper *k, int signal) {
        char text[96];

        (void)snprintf(text, sizeof text, "Interrupted by SIG%s before the container was created",
                       sigabbrev_np(signal));
        return keeper_fail(k, -EINTR, text);
}

/* To the container, or to the runtime while there is none. */
static void signals_pass_on(Keeper *k, int signal) {
        if (k->target.pidfd >= 0 && process_signal(k->target.pidfd, signal) >= 0)
                return;
        if (k->runtime.pidfd >= 0 && signals_include(interrupting, ELEMENTS(interrupting), signal))
                (void)process_signal(k->runtime.pidfd, signal); /* it may have just ended */
}

/**
 * keeper_on_signal() - somebody has sent @signal
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_signal(Keeper *k, int signal) {
        int r;

        k->exit_command.terminated = k->exit_command.terminated || keeper_signal_ends(signal);
        if (k->phase == PHASE_PLACING && signals_include(interrupting, ELEMENTS(interrupting), signal))
                return signals_end_start(k, signal);
        r = KEEPER_ASK(k, on_signal, signal);
        if (r != 0)
                return r < 0 ? relay(r) : 0;
        if (keeper_signal_ends(signal))
                (void)unit_stop_signalled(k); /* without it systemd's own time-out ends us */
        signals_pass_on(k, signal);
        return 0;
}
