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
#include "report/announce.h"
#include "service/service.h"
#include "service/unit.h"

#define FORGET_MS 10000
#define START_USEC 5000000ULL /* for the runtime's start, of a container that has ended */
#define FLUSH_MS 1000 /* for systemd to take what it was told, when nothing else is left to be delayed */

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

static int service_unit_on_watchdog(Timer *timer, void *userdata) {
        const ServiceUnit *u = userdata;

        service_tell_alive(u->notifications);
        timer_set(timer, service_watchdog_usec() / 2);
        return 0;
}

/* Tell systemd that we are alive, as often as it wants to hear it; without it systemd ends us, and says why. */
static void feed_watchdog(Keeper *k) {
        ServiceUnit *u = k->service;

        if (service_watchdog_usec() > 0)
                (void)event_add_timer(k->event, &u->watchdog_timer, 0, service_unit_on_watchdog, u);
}

static void service_unit_on_lost(void *userdata, const char *text, int error) {
        (void)log_warning_errno(error, "Unable to tell systemd \"%.*s\":", (int)strcspn(text, "\n"), text);
}

/* There is a systemd to talk to. */
static int service_unit_on_new(Keeper *k) {
        ServiceUnit *u;
        int r;

        if (!k->options->service)
                return 0;
        u = k->service = calloc(1, sizeof *u);
        if (!u)
                return fail(-ENOMEM);
        u->environment = service_environment(k->origin->envp);
        if (!u->environment)
                return fail(-ENOMEM);
        k->origin->envp = u->environment;
        r = notify_queue_new(&u->notifications, k->event, getenv("NOTIFY_SOCKET"), service_unit_on_lost,
                             NULL);
        if (r < 0)
                return relay(r);
        if (!service_container_notifies(k->options))
                feed_watchdog(k);
        return 0;
}

static void service_unit_on_free(Keeper *k) {
        ServiceUnit *u = k->service;

        if (!u)
                return;
        u->start_timer = timer_free(u->start_timer);
        u->watchdog_timer = timer_free(u->watchdog_timer);
        u->notifications = notify_queue_free(u->notifications);
        free(u->environment);
        free(u);
        k->service = NULL;
}

/*
 * Have the runtime forget a container of this name that does not run any more: a unit that was killed whole has left
 * one. Without --force: one that runs is somebody else's, and stays. Blocks until the runtime has ended, 10 s at most.
 */
static int service_unit_on_launch(Keeper *k) {
        _cleanup_close_ int pidfd = -1;
        struct pollfd end = { .events = POLLIN };
        pid_t pid;
        int r;

        if (!k->service)
                return 0;
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

/* The container is created: start it, or end it. */
static void service_unit_on_running(Keeper *k) {
        ServiceUnit *u = k->service;
        int r;

        if (!u)
                return;
        service_tell_created(u->notifications, k->options);
        r = spawn_verb(k, "start", STDERR_FILENO, &u->start_pid, NULL);
        if (r >= 0)
                r = reaper_claim(k->reaper, u->start_pid);
        if (r >= 0)
                return;
        (void)log_error_errno(r, "Failed to run the runtime to start the container:");
        service_tell_failed(u->notifications, "The runtime failed to start the container");
        (void)process_signal(k->target.pidfd, SIGKILL);
}

/* The runtime has started the container, or not. */
static int service_unit_on_child(Keeper *k, pid_t pid, const ProcessStatus *status) {
        ServiceUnit *u = k->service;

        if (!u || pid != u->start_pid)
                return 0;
        u->start_pid = 0;
        if (status->code == 0) {
                service_tell_ready(u->notifications, k->options, k->target.pid);
                store_keeper_begin(k);
        } else if (!k->facts.container_exited) { /* else it was too quick for the runtime: nobody's failure */
                service_tell_failed(u->notifications, "The runtime failed to start the container");
                (void)process_signal(k->target.pidfd, SIGKILL);
        }
        return KEEPER_TAKEN;
}

/* The runtime still starts what has ended meanwhile. */
static int service_unit_on_start_timeout(Timer *timer, void *userdata) {
        const ServiceUnit *u = userdata;

        if (u->start_pid > 0)
                (void)process_kill_child(u->start_pid, SIGKILL);
        return 0;
}

/* The watchdog, if the container has fed it, is ours now. */
static void service_unit_on_draining(Keeper *k) {
        ServiceUnit *u = k->service;

        if (!u)
                return;
        if (service_container_notifies(k->options))
                feed_watchdog(k);
        if (k->unit_stop.timer)
                service_tell_stopped(u->notifications, k->options, KEEPER_DRAIN_USEC);
        store_keeper_state(k);
        if (u->start_pid > 0 &&
            event_add_timer(k->event, &u->start_timer, START_USEC, service_unit_on_start_timeout, u) < 0)
                (void)process_kill_child(u->start_pid, SIGKILL);
}

static void service_unit_on_done(Keeper *k) {
        if (!k->service)
                return;
        store_keeper_end(k);
        notify_queue_flush(k->service->notifications, FLUSH_MS);
}

static void service_unit_read_stop(Keeper *k, ServiceStop *ret) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *why;

        if (bundle_open(&b, k->options->bundle, &why) != 0)
                b = NULL;
        service_stop_of_bundle(b, k->plan.unit_stop_usec, ret);
}

/*
 * A signal for the container. Before its first process is the container's own program, and after its end, there is
 * nobody to reach. SIGHUP is how systemd reloads a service that says when it has.
 */
static void service_unit_pass_on(Keeper *k, int signal) {
        ServiceUnit *u = k->service;

        if (k->phase == PHASE_RUNNING && u->start_pid == 0 && !k->facts.container_exited) {
                if (signal == SIGHUP)
                        service_tell_reloading(u->notifications, k->options);
                (void)process_signal(k->target.pidfd, signal); /* it may have just ended */
                if (signal == SIGHUP)
                        service_tell_ready(u->notifications, k->options, k->target.pid);
        } else if (k->runtime.pidfd >= 0 && (signal == SIGINT || signal == SIGQUIT))
                (void)process_signal(k->runtime.pidfd, signal); /* somebody at a terminal has had enough */
}

/*
 * systemd wants the unit to end. The container gets its signal once, and its time from the last time on: the first may
 * have been no more than a signal to all processes of the unit.
 */
static int service_unit_stop(Keeper *k) {
        bool again = k->unit_stop.timer != NULL;
        ServiceStop how;
        int r;

        service_unit_read_stop(k, &how);
        service_tell_stopping(k->service->notifications, k->options, how.usec);
        if (!again)
                (void)process_signal(k->target.pidfd, how.signal); /* one that has ended needs none */
        r = unit_stop_set(k, how.usec == UNIT_STOP_NEVER ? UNIT_STOP_NEVER : event_now() + how.usec);
        store_keeper_state(k);
        return r < 0 ? relay(r) : 0;
}

static int service_unit_on_signal(Keeper *k, int signal) {
        int r;

        if (!k->service || (signal == SIGTERM && k->phase != PHASE_RUNNING))
                return 0;
        if (signal != SIGTERM) {
                service_unit_pass_on(k, signal);
                return KEEPER_TAKEN;
        }
        r = service_unit_stop(k);
        return r < 0 ? relay(r) : KEEPER_TAKEN;
}

static int service_unit_is_busy(Keeper *k) {
        return k->service && k->service->start_pid != 0 ? KEEPER_TAKEN : 0;
}

/* The next image does not know what systemd was told. */
static void service_unit_on_replace(Keeper *k) {
        if (k->service)
                notify_queue_flush(k->service->notifications, FLUSH_MS);
}

static void service_unit_on_resumed(Keeper *k, bool upgraded) {
        ServiceUnit *u = k->service;

        if (!upgraded)
                announce_keeper_replaced(k->options, &k->plan);
        if (!u)
                return;
        if (upgraded) {
                store_keeper_again(k); /* in our own words */
                return;
        }
        service_tell_taken(u->notifications, k->options, k->target.pid, u->ready_told);
        store_keeper_state(k);
}

const KeeperHooks service_hooks = { .on_new = service_unit_on_new,
                                    .on_free = service_unit_on_free,
                                    .on_launch = service_unit_on_launch,
                                    .on_running = service_unit_on_running,
                                    .on_draining = service_unit_on_draining,
                                    .on_done = service_unit_on_done,
                                    .on_changed = store_keeper_state,
                                    .on_signal = service_unit_on_signal,
                                    .on_child = service_unit_on_child,
                                    .on_kept = store_keeper_kept,
                                    .on_notified = store_keeper_notified,
                                    .is_busy = service_unit_is_busy,
                                    .on_save = store_keeper_save,
                                    .on_restore = store_keeper_restore,
                                    .on_replace = service_unit_on_replace,
                                    .on_resumed = service_unit_on_resumed };
