/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The runtime: started with the container's ends of our pipes, and judged when it has exited. Did it make a container,
 * and is the terminal there?
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/keeper-internal.h"
#include "oci/runtime.h"

static void log_command(char *const *argv) {
        char text[4096];
        size_t n = 0;

        if (!log_wants(LOG_LEVEL_TRACE))
                return;
        for (; *argv && n < sizeof text; argv++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%s ", *argv);
        log_trace("Running with: %s", text);
}

/**
 * keeper_spawn_runtime() - start it; it has what was made for it from here on
 *
 * Return: 0 or a negative errno.
 */
int keeper_spawn_runtime(Keeper *k) {
        KeeperStart *start = k->start;
        _cleanup_free_ char **argv = NULL;
        _cleanup_close_ int null_fd = -1;
        const Options *o = k->options;
        ProcessSpec spec = { .path = o->runtime,
                             .envp = k->origin->envp,
                             .mask = &k->origin->mask,
                             .death_signal = SIGKILL,
                             .fds_max = k->origin->fds_max,
                             .oom_score_adj = k->origin->oom_score_adj[0] ? k->origin->oom_score_adj : NULL,
                             .wait_fd = start->start_fd,
                             .cgroup_fd = start->hold.procs_fd,
                             .own_listen_pid = o->replace_listen_pid || o->service };
        int r;

        r = runtime_argv(o, k->plan.systemd_cgroup, start->console ? console_path(start->console) : NULL,
                         &argv);
        if (r < 0)
                return relay(r);
        log_command(argv);
        spec.argv = argv;
        if (o->service && !o->log_targets.passthrough) { /* else our own are it, or the container's */
                null_fd = fd_open_null(O_RDWR);
                if (null_fd < 0)
                        return relay(null_fd);
        }
        for (int i = 0; i < 3; i++) {
                spec.stdio[i] = null_fd >= 0 ? null_fd : i;
                if (start->runtime_stdio[i] >= 0)
                        spec.stdio[i] = start->runtime_stdio[i];
        }
        r = process_spawn(&spec, &k->runtime.pid, &k->runtime.pidfd);
        if (r < 0)
                return relay(r);
        fd_close_many(start->runtime_stdio, 3);
        fd_close_many(&start->start_fd, 1);
        return reaper_claim(k->reaper, k->runtime.pid);
}

/* What the runtime has made although there was nobody any more who wanted it. */
static void end_unwanted(Keeper *k) {
        ProcessStatus status;
        pid_t pid;

        if (runtime_read_pid(k->options->container_pidfile, &pid) == 0 && process_peek(pid, &status) == 0)
                (void)process_kill_child(pid, SIGKILL);
}

/* What has it made? */
static int judge(Keeper *k, Facts *learned) {
        const Options *o = k->options;
        KeeperStart *start = k->start;
        char text[512];
        int r;

        if (start->console && !start->terminal_received && console_look(start->console) < 0)
                log_warning("Failed to receive console file descriptor");
        learned->runtime_failed = true;
        if (k->runtime.status.code != 0 && !o->exec)
                return 0;

        r = runtime_read_pid(o->container_pidfile, &k->target.pid);
        if (r == 0 && k->runtime.status.code != 0 && !target_is_ours(k))
                r = RUNTIME_NO_PID_FILE; /* of something else, and it has failed */
        if (r != 0) {
                (void)snprintf(text, sizeof text, "The runtime wrote no PID to %s", o->container_pidfile);
                if (k->runtime.status.code == 0) /* else it has said something better */
                        keeper_fail_text(k, text);
                return 0;
        }
        if (o->terminal && !o->log_targets.passthrough && !start->terminal_received) {
                keeper_fail_text(k, "Runtime did not set up terminal");
                end_unwanted(k);
                return 0;
        }
        learned->runtime_failed = false;
        learned->pid_known = true;
        return target_watch(k);
}

/**
 * keeper_on_runtime_exit() - is there a target?
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_runtime_exit(Keeper *k, const ProcessStatus *status) {
        Facts learned = { .runtime_exited = true };
        int r = 0;

        k->runtime.pid = 0;
        fd_close_many(&k->runtime.pidfd, 1);
        k->runtime.status = *status;
        place_let_go(&k->start->hold);
        if (k->phase == PHASE_FAILING)
                end_unwanted(k);
        else
                r = judge(k, &learned);
        (void)keeper_learn(k, learned);
        return r < 0 ? relay(r) : 0;
}

/**
 * keeper_on_terminal() - the runtime has sent the container's terminal
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_terminal(void *userdata, int master) {
        Keeper *k = userdata;
        const WorkerState *state = ring_state(k->ring);
        int r;

        k->start->terminal_received = true;
        r = streams_prepare_terminal(master);
        if (r < 0)
                (void)log_warning_errno(r, "Failed to set up the terminal:");
        if (state->resize_wanted) /* the target may ask for its size before the worker has this terminal */
                (void)streams_size_terminal(master, state->rows, state->columns);
        return worker_process_set_terminal(k->worker, master);
}

/**
 * keeper_on_bad_terminal() - it has sent something else
 *
 * Return: 0 or a negative errno.
 */
int keeper_on_bad_terminal(void *userdata) {
        return keeper_fail(userdata, -EBADMSG, "Failed to receive console file descriptor");
}
