/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The monitor of an exec session whose exit command is due later: it leaves the command in a file, tells the monitor of
 * the container, and exits when the file has been taken. Where there is no such monitor, or it does not answer in time,
 * the command is run from here, after the delay.
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
        DueId id;
        int place_fd, given_fd;
        Timer *timer;
} ExecGiver;

static void giver_free(Keeper *k) {
        ExecGiver *g = k->exec_giver;

        if (!g)
                return;
        g->timer = timer_free(g->timer);
        fd_close_many(&g->given_fd, 1);
        fd_close_many(&g->place_fd, 1);
        free(g);
        k->exec_giver = NULL;
}

/* Either we run it, or the other monitor has it. */
static void giver_settle(Keeper *k) {
        int r = due_delete(k->exec_giver->given_fd, &k->exec_giver->id);

        if (r >= 0)
                (void)due_close(k->exec_giver->place_fd, k->options->cid); /* there is nobody who would */
        giver_free(k);
        if (r >= 0)
                exit_command_go(k);
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
        g->given_fd = due_open(g->place_fd, k->options->cid, DUE_GIVEN, true);
        if (g->given_fd < 0)
                return relay(g->given_fd);
        g->id = (DueId){ .at_usec = event_now() + (uint64_t)k->options->exit_delay * 1000000U,
                         .giver = getpid(),
                         .giver_boot_usec = us.boot_usec };
        r = due_give(g->given_fd, &g->id, &(DueCommand){ .argv = argv, .envp = k->origin->envp });
        return r < 0 ? relay(r) : 0;
}

/* @place_fd: adopted. Return: 0, or a negative errno with no command left behind. */
static int giver_give(Keeper *k, int place_fd, int monitor) {
        ExecGiver *g;
        int r;

        g = k->exec_giver = calloc(1, sizeof *g);
        if (!g) {
                (void)close(place_fd);
                return fail(-ENOMEM);
        }
        g->place_fd = place_fd;
        g->given_fd = -1;
        r = giver_put(k, g);
        if (r >= 0) {
                r = event_add_timer(k->event, &g->timer, WAIT_USEC, giver_on_timeout, k);
                if (r >= 0)
                        r = process_signal_value(monitor, SIGUSR1, EXEC_GIVEN, getpid());
                if (r < 0 && due_delete(g->given_fd, &g->id) < 0)
                        return 0; /* it was looked for, and found */
        }
        return r < 0 ? relay(r) : 0;
}

static int giver_on_exit_command(Keeper *k) {
        _cleanup_close_ int place_fd = -1, monitor = -1;
        Mark mark;
        ProcStat stat;

        if (!k->options->exec || k->options->exit_delay == 0)
                return 0;
        place_fd = mark_find(k->options->cid, &mark);
        if (place_fd < 0 || !mark.takes_commands)
                return 0;
        monitor = process_pidfd(mark.monitor);
        if (monitor < 0 || proc_stat(mark.monitor, &stat) < 0 || stat.boot_usec != mark.monitor_boot_usec)
                return 0;
        if (giver_give(k, TAKE_FD(place_fd), monitor) >= 0)
                return KEEPER_TAKEN;
        giver_free(k);
        return 0;
}

static int giver_on_request(Keeper *k, const struct signalfd_siginfo *info) {
        if (!k->exec_giver || info->ssi_signo != SIGUSR1 || info->ssi_code != SI_QUEUE ||
            info->ssi_int != EXEC_TAKEN)
                return 0;
        giver_settle(k);
        return KEEPER_TAKEN;
}

const KeeperHooks exec_giver_hooks = { .on_free = giver_free,
                                       .on_exit_command = giver_on_exit_command,
                                       .on_request = giver_on_request };
