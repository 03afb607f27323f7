/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The exit command: the last thing that the keeper does. Podman's removes a container with --rm, unmounts, restarts.
 *
 * A unit that stops sends SIGTERM to all that is in it as soon as its ExecStop= has returned, and "podman stop" returns
 * when the container has ended: before Podman's exit command, which gives up on that, has removed it. Its name was then
 * taken at the next start (in half of all stops of a unit with "podman run --rm"; with the stock monitor still is).
 * The signal comes twice at most (stop-sigterm, final-sigterm), and to us as well: a command that met it is
 * run again, even one that says it did well (Podman 4.3 exits with 0 then). But not at once: the manager looks for new
 * processes as long as it finds any, so the second one would meet the same signal, and this time we would not know.
 *
 * Its failure is ours. It is none if our unit is being stopped and it was refused to start the container again, nor if
 * the container is gone, bundle and all: whoever removed it ("podman rm -f", or the command's own first run) has left it
 * nothing to do but to fail.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper-internal.h"
#include "oci/runtime.h"

#define COMMANDS_MAX 4           /* how often the exit command is run at most */
#define AGAIN_USEC 100000ULL     /* after which a manager has signalled all there were */
#define PATIENCE_USEC 8000000ULL /* how long there may be no process for it, as in a fork bomb */
#define SHORT_USEC 2000000ULL    /* likewise, where exit files were waited for in vain for as long */

static const StateField exit_command_fields[] = {
        STATE_FIELD_BOOL(ExitCommandSaved, terminated, "terminated"),
};

const StateFields exit_command_values = { exit_command_fields, ELEMENTS(exit_command_fields) };

/**
 * exit_command_spawn() - run a program as our caller would have, without its descriptors
 *
 * Return: 0 or a negative errno: with @ret set, it runs and nobody can wait for it.
 */
int exit_command_spawn(Keeper *k, char *const *argv, char *const *envp, pid_t *ret) {
        _cleanup_close_ int null_fd = fd_open_null(O_RDWR);
        const Origin *origin = k->origin;
        int r;

        if (null_fd < 0)
                return relay(null_fd);
        r = process_spawn(
                &(ProcessSpec){ .path = argv[0],
                                .argv = argv,
                                .envp = envp,
                                .fds_max = origin->fds_max,
                                .stdio = { null_fd, null_fd, null_fd },
                                .mask = &origin->mask,
                                .oom_score_adj = origin->oom_score_adj[0] ? origin->oom_score_adj : NULL,
                                .wait_fd = -1,
                                .close_others = true },
                ret, NULL);
        if (r < 0)
                return relay(r);
        r = reaper_claim(k->reaper, *ret);
        return r < 0 ? relay(r) : 0;
}

static int spawn_command(Keeper *k) {
        _cleanup_free_ char **argv = NULL;
        ExitCommand *c = &k->exit_command;
        int r;

        r = runtime_exit_command_argv(k->options, &argv);
        if (r < 0)
                return relay(r);
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0); /* what the command leaves behind is init's */
        r = exit_command_spawn(k, argv, k->origin->envp, &c->pid);
        if (r < 0)
                return relay(r);
        c->n_runs++;
        c->until = 0;
        c->terminated = false;
        return 0;
}

static int on_again(Timer *timer, void *userdata);

/* Return: 0 if it runs, or will be tried again, or a negative errno. */
static int try_command(Keeper *k) {
        ExitCommand *c = &k->exit_command;
        uint64_t now;
        int r, error;

        error = spawn_command(k);
        if (error != -EAGAIN && error != -ENOMEM && error != -EMFILE && error != -ENFILE)
                return error < 0 ? relay(error) : 0;
        now = event_now();
        if (c->until == 0)
                c->until = now +
                           (k->end.files_until > 0 && now >= k->end.files_until ? SHORT_USEC : PATIENCE_USEC);
        if (now >= c->until)
                return relay(error);
        r = event_add_timer(k->event, &c->timer, AGAIN_USEC, on_again, k);
        return r < 0 ? relay(r) : 0;
}

static int on_again(Timer *timer, void *userdata) {
        Keeper *k = userdata;
        int r;

        k->exit_command.timer = timer_free(k->exit_command.timer);
        r = try_command(k);
        if (r < 0) {
                (void)log_error_errno(r, "Failed to run the exit command:");
                k->exit_command.running = false;
                k->exit_status = 1;
                return keeper_advance(k);
        }
        return 0;
}

/**
 * exit_command_start() - run the exit command, if there is one, or have somebody else do so
 */
void exit_command_start(Keeper *k) {
        if (!k->options->exit_command ||
            !(k->facts.pid_known || k->runtime.status.known || k->runtime.pid != 0))
                return;
        report_close(k->report);
        k->exit_command.running = true;
        if (KEEPER_ASK(k, on_exit_command) != KEEPER_TAKEN)
                exit_command_go(k, exit_command_delay(k));
}

/**
 * exit_command_given() - somebody else will run it
 */
void exit_command_given(Keeper *k) {
        k->exit_command.running = false;
        (void)keeper_advance(k);
}

/**
 * exit_command_delay() - what was asked for, in microseconds
 */
uint64_t exit_command_delay(const Keeper *k) {
        return (uint64_t)k->options->exit_delay * 1000000U;
}

/**
 * exit_command_go() - run it after @delay microseconds
 *
 * Where no process can be had it is tried again: nothing else removes the container, or starts it again.
 */
void exit_command_go(Keeper *k, uint64_t delay) {
        int r;

        r = delay > 0 ? event_add_timer(k->event, &k->exit_command.timer, delay, on_again, k)
                      : try_command(k);
        if (r < 0) {
                (void)log_error_errno(r, "Failed to run the exit command:");
                k->exit_command.running = false;
                k->exit_status = 1;
                (void)keeper_learn(k, (Facts){ .command_exited = true });
        }
}

/**
 * exit_command_on_exit() - it has exited with @status; perhaps it is run again
 *
 * Return: 0 or a negative errno.
 */
int exit_command_on_exit(Keeper *k, const ProcessStatus *status) {
        ExitCommand *c = &k->exit_command;
        int r;

        if (!c->status.known || c->status.code != 0)
                c->status = *status; /* one success is enough */
        c->running = (c->terminated || keeper_signal_ends(status->signal)) && c->n_runs < COMMANDS_MAX;
        if (!c->running)
                return 0;
        r = event_add_timer(k->event, &c->timer, AGAIN_USEC, on_again, k);
        if (r < 0)
                c->running = false;
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_bundle_is_gone() - whoever removed it has removed the container
 */
bool keeper_bundle_is_gone(const Keeper *k) {
        struct stat st;

        return k->bundle_fd >= 0 && fstat(k->bundle_fd, &st) >= 0 && st.st_nlink == 0;
}

/**
 * exit_command_failed() - whether its status should be ours
 */
bool exit_command_failed(const Keeper *k) {
        const ExitCommand *c = &k->exit_command;

        return c->status.known && c->status.code != 0 && !c->to_fail && !keeper_bundle_is_gone(k);
}

/**
 * exit_command_save() - what the next image has to know of it
 */
void exit_command_save(const Keeper *k, ExitCommandSaved *ret) {
        ret->terminated = k->exit_command.terminated;
}

/**
 * exit_command_restore() - it has not been started yet
 */
void exit_command_restore(Keeper *k, const ExitCommandSaved *saved) {
        k->exit_command.terminated = saved->terminated;
}
