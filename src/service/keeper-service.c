/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The keeper in service mode: what a container manager would do between create and delete. When the runtime has
 * created the container it is started; when it runs, systemd is told; when systemd asks us to end, the container gets
 * its own stop signal, once, and time; what is left then is killed with its cgroup.
 *
 * Deleting it from the runtime's records is the exit command (service.c).
 *
 * All other signals, but the one that wants an upgrade, are the container's.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/keeper-internal.h"
#include "oci/bundle.h"
#include "oci/runtime.h"
#include "service/service.h"

#define FORGET_MS 10000

static int spawn_verb(Keeper *k, const char *verb, int out, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_free_ char **argv = NULL;
        _cleanup_close_ int null_fd = -1;
        int r;

        r = runtime_verb_argv(k->options, verb, &argv);
        if (r < 0)
                return relay(r);
        null_fd = fd_open_null(O_RDWR);
        if (null_fd < 0)
                return relay(null_fd);
        if (out < 0)
                out = null_fd;
        r = process_spawn(&(ProcessSpec){ .path = k->options->runtime,
                                          .fds_max = k->origin->fds_max,
                                          .argv = argv,
                                          .envp = k->origin->envp,
                                          .stdio = { null_fd, out, out },
                                          .mask = &k->origin->mask,
                                          .wait_fd = -1 },
                          ret_pid, ret_pidfd);
        return r < 0 ? relay(r) : 0;
}

static void on_lost(void *userdata, const char *text, int error) {
        (void)log_warning_errno(error, "Unable to tell systemd \"%.*s\":", (int)strcspn(text, "\n"), text);
}

/**
 * keeper_service_init() - there is a systemd to talk to
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_init(Keeper *k) {
        int r;

        r = notify_queue_new(&k->notifications, k->event, getenv("NOTIFY_SOCKET"), on_lost, NULL);
        if (r < 0)
                return relay(r);
        if (!service_container_notifies(k->options))
                (void)keeper_service_watchdog(k); /* without it systemd ends us, and says why */
        return 0;
}

/**
 * keeper_service_forget() - have the runtime forget a container of this name that does not run any more
 *
 * A unit that was killed whole has left one. Without --force: one that runs is somebody else's, and stays. Blocks until
 * the runtime has ended, 10 s at most.
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_forget(Keeper *k) {
        _cleanup_close_ int pidfd = -1;
        struct pollfd end = { .events = POLLIN };
        pid_t pid;
        int r;

        r = spawn_verb(k, "delete", -1, &pid, &pidfd);
        if (r < 0)
                return relay(r);
        end.fd = pidfd;
        if (poll(&end, 1, FORGET_MS) <= 0)
                (void)process_signal(pidfd, SIGKILL);
        else
                (void)process_reap(pid); /* else it is a stranger to the reaper, which buries it */
        return 0;
}

/**
 * keeper_service_start() - the container is created: start it, or end it
 */
void keeper_service_start(Keeper *k) {
        int r;

        service_tell_created(k->notifications, k->options);
        r = spawn_verb(k, "start", STDERR_FILENO, &k->start_pid, NULL);
        if (r >= 0)
                r = reaper_claim(k->reaper, k->start_pid);
        if (r >= 0)
                return;
        (void)log_error_errno(r, "Failed to run the runtime to start the container:");
        service_tell_failed(k->notifications, "The runtime failed to start the container");
        (void)process_signal(k->target_pidfd, SIGKILL);
}

/**
 * keeper_service_on_start_exit() - the runtime has started the container, or not
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_on_start_exit(Keeper *k, const ProcessStatus *status) {
        k->start_pid = 0;
        if (status->code == 0) {
                service_tell_ready(k->notifications, k->options, k->target_pid);
                keeper_store_begin(k);
                return 0;
        }
        if (k->facts.container_exited)
                return 0; /* it was too quick for the runtime, which is no failure of anybody */
        service_tell_failed(k->notifications, "The runtime failed to start the container");
        (void)process_signal(k->target_pidfd, SIGKILL);
        return 0;
}

/**
 * keeper_service_ended() - the container has ended; what it wrote is stored in @usec at most
 *
 * The watchdog, if the container has fed it, is ours now.
 */
void keeper_service_ended(Keeper *k, uint64_t usec) {
        if (service_container_notifies(k->options))
                (void)keeper_service_watchdog(k);
        if (k->unit_stop.timer)
                service_tell_stopped(k->notifications, k->options, usec);
}

static void read_stop(Keeper *k, ServiceStop *ret) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *why;

        if (bundle_open(&b, k->options->bundle, &why) != 0)
                b = NULL;
        service_stop_of_bundle(b, k->plan.unit_stop_usec, ret);
}

/**
 * keeper_service_pass_on() - a signal for the container
 *
 * Before its first process is the container's own program, and after its end, there is nobody to reach.
 * SIGHUP is how systemd reloads a service that says when it has.
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_pass_on(Keeper *k, int signal) {
        if (k->phase == PHASE_RUNNING && k->start_pid == 0 && !k->facts.container_exited) {
                if (signal == SIGHUP)
                        service_tell_reloading(k->notifications, k->options);
                (void)process_signal(k->target_pidfd, signal); /* it may have just ended */
                if (signal == SIGHUP)
                        service_tell_ready(k->notifications, k->options, k->target_pid);
        } else if (k->runtime_pidfd >= 0 && (signal == SIGINT || signal == SIGQUIT))
                (void)process_signal(k->runtime_pidfd, signal); /* somebody at a terminal has had enough */
        return 0;
}

/**
 * keeper_service_stop() - systemd wants the unit to end
 *
 * The container gets its signal once, and its time from the last time on: the first may have been no more than a signal
 * to all processes of the unit.
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_stop(Keeper *k) {
        uint64_t deadline;
        ServiceStop stop;
        int r;

        read_stop(k, &stop);
        service_tell_stopping(k->notifications, k->options, stop.usec);
        if (!k->unit_stop.timer)
                (void)process_signal(k->target_pidfd, stop.signal); /* one that has ended needs none */
        deadline = stop.usec == UNIT_STOP_NEVER ? UNIT_STOP_NEVER : event_now() + stop.usec;
        r = unit_stop_set(k, deadline);
        keeper_store_state(k);
        return r < 0 ? relay(r) : 0;
}

static int on_watchdog(Timer *timer, void *userdata) {
        const Keeper *k = userdata;

        service_tell_alive(k->notifications);
        timer_set(timer, service_watchdog_usec() / 2);
        return 0;
}

/**
 * keeper_service_watchdog() - tell systemd that we are alive, as often as it wants to hear it
 *
 * Return: 0 or a negative errno.
 */
int keeper_service_watchdog(Keeper *k) {
        int r;

        if (service_watchdog_usec() == 0)
                return 0;
        r = event_add_timer(k->event, &k->watchdog_timer, 0, on_watchdog, k);
        return r < 0 ? relay(r) : 0;
}
