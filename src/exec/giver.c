/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The monitor of an exec session whose exit command is due later: it leaves the command in a file, tells the monitor of
 * the container, and exits when the file has been taken. If the container has ended the command is due soon. Where there
 * is no such monitor, or it does not answer in time, the command is run from here, after the delay.
 *
 * The container's mark is looked for while the session runs: it goes with the container, which may end first.
 */

#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "exec/exec.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "oci/runtime.h"
#include "report/due.h"
#include "report/mark.h"

#define WAIT_USEC 1000000ULL /* for the container's monitor to answer */

typedef struct ExecGiver {
        int place_fd, monitor_pidfd, given_fd;
        pid_t monitor, target; /* of the container */
        uint64_t target_boot_usec;
        bool takes_commands;
        DueId id;
        Timer *timer;
} ExecGiver;

static void giver_free(Keeper *k) {
        ExecGiver *g = k->exec_giver;

        if (!g)
                return;
        g->timer = timer_free(g->timer);
        fd_close_many(&g->given_fd, 1);
        fd_close_many(&g->monitor_pidfd, 1);
        fd_close_many(&g->place_fd, 1);
        free(g);
        k->exec_giver = NULL;
}

/* Without effect if the container has no monitor that leaves a mark. */
static void giver_find(Keeper *k) {
        _cleanup_close_ int place_fd = -1, monitor_pidfd = -1;
        ExecGiver *g;
        Mark mark;

        if (!k->options->exec || !k->options->exit_command || k->options->exit_delay == 0)
                return;
        place_fd = mark_find(k->options->cid, &mark);
        monitor_pidfd = place_fd < 0 ? -1 : process_pidfd(mark.monitor);
        if (monitor_pidfd < 0 || !proc_is_alive(mark.monitor, mark.monitor_boot_usec))
                return;
        g = k->exec_giver = calloc(1, sizeof *g);
        if (!g)
                return;
        *g = (ExecGiver){ .place_fd = TAKE_FD(place_fd),
                          .monitor_pidfd = TAKE_FD(monitor_pidfd),
                          .given_fd = -1,
                          .monitor = mark.monitor,
                          .target = mark.target,
                          .target_boot_usec = mark.target_boot_usec,
                          .takes_commands = mark.takes_commands };
}

static bool giver_container_has_ended(const ExecGiver *g) {
        return !proc_is_alive(g->target, g->target_boot_usec);
}

static uint64_t giver_delay(const Keeper *k) {
        uint64_t delay = exit_command_delay(k);

        return delay > EXEC_SOON_USEC && giver_container_has_ended(k->exec_giver) ? EXEC_SOON_USEC : delay;
}

/* Either we run it, or the other monitor has it. */
static void giver_settle(Keeper *k) {
        ExecGiver *g = k->exec_giver;
        int r = due_delete(g->given_fd, &g->id);
        uint64_t delay = giver_delay(k);

        if (r >= 0)
                (void)due_close(g->place_fd, k->options->cid, g->monitor); /* there is nobody who would */
        giver_free(k);
        if (r >= 0)
                exit_command_go(k, delay);
        else
                exit_command_given(k);
}

static int giver_on_timeout(Timer *timer, void *userdata) {
        log_debug("The container's monitor does not take the exit command");
        giver_settle(userdata);
        return 0;
}

static int giver_put(Keeper *k, ExecGiver *g) {
        _cleanup_free_ char **argv = NULL;
        ProcStat us;
        int r;

        r = runtime_exit_command_argv(k->options, &argv);
        if (r >= 0)
                r = proc_stat(getpid(), &us);
        if (r < 0)
                return relay(r);
        g->given_fd = due_open(g->place_fd, k->options->cid, g->monitor, DUE_GIVEN, true);
        if (g->given_fd < 0)
                return relay(g->given_fd);
        g->id = (DueId){ .at_usec = event_now() + (uint64_t)k->options->exit_delay * 1000000U,
                         .giver = getpid(),
                         .giver_boot_usec = us.boot_usec };
        r = due_give(g->given_fd, &g->id, &(DueCommand){ .argv = argv, .envp = k->origin->envp });
        return r < 0 ? relay(r) : 0;
}

/* Return: 0, or a negative errno with nothing left behind. */
static int giver_give(Keeper *k, ExecGiver *g) {
        int r;

        r = event_add_timer(k->event, &g->timer, WAIT_USEC, giver_on_timeout, k);
        if (r < 0)
                return relay(r);
        r = giver_put(k, g);
        if (r >= 0) {
                r = process_signal_value(g->monitor_pidfd, SIGUSR1, EXEC_GIVEN, getpid());
                if (r >= 0 || due_delete(g->given_fd, &g->id) < 0)
                        return 0; /* in the latter case it was looked for, and found */
        }
        (void)due_close(g->place_fd, k->options->cid, g->monitor);
        return relay(r);
}

static int giver_on_exit_command(Keeper *k) {
        uint64_t delay;
        bool ended;

        if (!k->exec_giver)
                giver_find(k); /* we are the image after an upgrade: it was not looked for yet */
        if (!k->exec_giver)
                return 0;
        ended = giver_container_has_ended(k->exec_giver);
        if (!ended && k->exec_giver->takes_commands && giver_give(k, k->exec_giver) >= 0)
                return KEEPER_TAKEN;
        delay = giver_delay(k);
        giver_free(k);
        if (!ended)
                return 0;
        exit_command_go(k, delay);
        return KEEPER_TAKEN;
}

static int giver_on_request(Keeper *k, const struct signalfd_siginfo *info) {
        if (!k->exec_giver || !k->exec_giver->timer || info->ssi_signo != SIGUSR1 ||
            info->ssi_code != SI_QUEUE || info->ssi_int != EXEC_TAKEN)
                return 0;
        giver_settle(k);
        return KEEPER_TAKEN;
}

const KeeperHooks exec_giver_hooks = { .on_free = giver_free,
                                       .on_running = giver_find,
                                       .on_exit_command = giver_on_exit_command,
                                       .on_request = giver_on_request };
