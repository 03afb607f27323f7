/* SPDX-License-Identifier: Apache-2.0 */

/* The monitor of an exec session gives its exit command away if there is somebody who takes it, and runs it else. */

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "exec/exec.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "report/due.h"
#include "report/mark.h"

#define CID "0123456789ab"

typedef struct Fixture {
        Keeper k;
        Options options;
        Origin origin;
        char dir[64], *envp[2];
        Mark mark;
        int place_fd, monitor_pidfd; /* of the container's monitor, which only counts as one */
        DueId given;
        unsigned n_given;
} Fixture;

static int on_exit_of(void *userdata, pid_t pid, const ProcessStatus *status) {
        return 0;
}

static int on_buried(void *userdata) {
        return 0;
}

static void end_container(Fixture *f) {
        if (f->mark.target > 0)
                cr_assert_eq(process_end(f->mark.target), 0);
        f->mark.target = 0;
}

static void fixture_init(Fixture *f, bool takes_commands) {
        static const ReaperHandler handler = { .on_exit = on_exit_of, .on_buried = on_buried };
        ProcStat stat;
        sigset_t set;
        int r;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        *f = (Fixture){ .options = { .cid = (char *)CID,
                                     .exec = true,
                                     .exit_delay = 1,
                                     .exit_command = (char *)"/bin/true" },
                        .dir = "/tmp/test-giver-XXXXXX" };
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0) { /* a /run of our own */
                (void)mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL);
                (void)mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
        }
        cr_assert_not_null(mkdtemp(f->dir));
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", f->dir, 1), 0);
        f->envp[0] = (char *)"A=B";
        f->origin.envp = f->envp;
        f->k.options = &f->options;
        f->k.origin = &f->origin;
        f->k.phase = PHASE_FINISHING;
        f->k.exit_command.running = true;
        f->k.bundle_fd = -1;
        cr_assert_eq(event_new(&f->k.event), 0);
        cr_assert_eq(reaper_new(&f->k.reaper, f->k.event, &handler, &f->k), 0);

        r = process_fork(&f->mark.monitor);
        cr_assert_geq(r, 0);
        if (r == 0) {
                struct sigaction action = { .sa_handler = SIG_IGN };

                (void)sigaction(SIGUSR1, &action, NULL);
                for (;;)
                        (void)pause();
        }
        f->monitor_pidfd = process_pidfd(f->mark.monitor);
        cr_assert_eq(proc_stat(f->mark.monitor, &stat), 0);
        f->mark.monitor_boot_usec = stat.boot_usec;
        r = process_fork(&f->mark.target);
        cr_assert_geq(r, 0);
        if (r == 0)
                for (;;)
                        (void)pause();
        cr_assert_eq(proc_stat(f->mark.target, &stat), 0);
        f->mark.target_boot_usec = stat.boot_usec;
        f->mark.takes_commands = takes_commands;
        (void)snprintf(f->mark.cid, sizeof f->mark.cid, CID);
        (void)snprintf(f->mark.exit_dir, sizeof f->mark.exit_dir, "%s", f->dir);
        cr_assert_eq(mark_make(&f->mark), 0);
        f->place_fd = mark_find(CID, &(Mark){ 0 });
        cr_assert_geq(f->place_fd, 0);
}

static void fixture_done(Fixture *f) {
        char path[128];

        exec_giver_hooks.on_free(&f->k);
        end_container(f);
        f->k.exit_command.timer = timer_free(f->k.exit_command.timer);
        if (f->k.exit_command.pid > 0)
                (void)process_kill_child(f->k.exit_command.pid, SIGKILL);
        (void)process_signal(f->monitor_pidfd, SIGKILL);
        cr_assert(event_run_until(f->k.event, 20, !reaper_has_children(f->k.reaper)));
        (void)close(f->monitor_pidfd);
        f->k.reaper = reaper_free(f->k.reaper);
        f->k.event = event_unref(f->k.event);
        mark_remove(CID, f->mark.monitor);
        due_remove(f->place_fd, CID, f->mark.monitor, DUE_GIVEN);
        due_remove(f->place_fd, CID, f->mark.monitor, DUE_TAKEN);
        fd_close_many(&f->place_fd, 1);
        (void)snprintf(path, sizeof path, "%s/scopemon", f->dir);
        (void)rmdir(path);
        cr_assert_eq(rmdir(f->dir), 0);
}

static void on_id(void *userdata, const DueId *id) {
        Fixture *f = userdata;

        f->given = *id;
        f->n_given++;
}

static unsigned n_given(Fixture *f) {
        int fd = due_open(f->place_fd, CID, f->mark.monitor, DUE_GIVEN, false);

        f->n_given = 0;
        if (fd >= 0) {
                due_list(fd, on_id, f);
                (void)close(fd);
        }
        return f->n_given;
}

/* What the container's monitor does. */
static void take(Fixture *f) {
        int given = due_open(f->place_fd, CID, f->mark.monitor, DUE_GIVEN, false),
            taken = due_open(f->place_fd, CID, f->mark.monitor, DUE_TAKEN, true);

        cr_assert_eq(due_take(given, taken, &f->given), 0);
        (void)close(given);
        (void)close(taken);
}

static int answer(Fixture *f) {
        const struct signalfd_siginfo info = { .ssi_signo = SIGUSR1,
                                               .ssi_code = SI_QUEUE,
                                               .ssi_int = EXEC_TAKEN };

        return exec_giver_hooks.on_request(&f->k, &info);
}

CleanTest(giver, command_that_is_taken_is_not_run_here) {
        uint64_t now = event_now();
        Fixture f;

        fixture_init(&f, true);
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), KEEPER_TAKEN);
        cr_assert_eq(n_given(&f), 1);
        cr_assert(f.given.giver == getpid() && f.given.at_usec >= now + 1000000U);
        cr_assert(f.k.exit_command.running, "not settled yet");
        take(&f);
        cr_assert_eq(answer(&f), KEEPER_TAKEN);
        cr_assert_not(f.k.exit_command.running);
        cr_assert_eq(f.k.exit_command.pid, 0);
        cr_assert_eq(answer(&f), 0, "there is nothing to answer");
        fixture_done(&f);
}

CleanTest(giver, command_that_nobody_takes_is_taken_back) {
        Fixture f;

        fixture_init(&f, true);
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, f.k.exit_command.pid > 0));
        cr_assert_eq(n_given(&f), 0);
        cr_assert_lt(due_open(f.place_fd, CID, f.mark.monitor, DUE_GIVEN, false), 0,
                     "the folder is gone, too");
        fixture_done(&f);
}

CleanTest(giver, answer_that_is_not_true_is_none) {
        Fixture f;

        fixture_init(&f, true);
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), KEEPER_TAKEN);
        cr_assert_eq(answer(&f), KEEPER_TAKEN);
        cr_assert_not_null(f.k.exit_command.timer, "nobody has taken it, so it is run");
        fixture_done(&f);
}

CleanTest(giver, command_is_not_given_where_nobody_would_run_it) {
        Fixture f;

        fixture_init(&f, false); /* an older monitor */
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), 0);
        f.mark.takes_commands = true;
        f.mark.monitor_boot_usec++; /* another process has its pid */
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), 0);
        f.mark.monitor_boot_usec--;
        cr_assert_eq(mark_make(&f.mark), 0);
        f.options.exit_delay = 0; /* it is due now */
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), 0);
        f.options.exit_delay = 1;
        f.options.exec = false; /* the container's own */
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), 0);
        cr_assert_eq(n_given(&f), 0);
        fixture_done(&f);
}

CleanTest(giver, command_is_due_when_the_container_has_ended) {
        Fixture f;

        fixture_init(&f, true);
        exec_giver_hooks.on_running(&f.k);
        mark_remove(CID, f.mark.monitor); /* its end is told */
        end_container(&f);
        f.options.exit_delay = 3600;
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), KEEPER_TAKEN);
        cr_assert_eq(n_given(&f), 0);
        cr_assert(event_run_until(f.k.event, 30, f.k.exit_command.pid > 0), "it is run soon");
        fixture_done(&f);
}

CleanTest(giver, command_that_was_not_taken_is_due_when_the_container_has_ended) {
        Fixture f;

        fixture_init(&f, true);
        f.options.exit_delay = 3600;
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), KEEPER_TAKEN);
        end_container(&f);
        cr_assert_eq(answer(&f), KEEPER_TAKEN);
        cr_assert_eq(f.k.exit_command.pid, 0, "its client may ask first");
        cr_assert(event_run_until(f.k.event, 30, f.k.exit_command.pid > 0), "it is run soon");
        fixture_done(&f);
}

CleanTest(giver, nothing_is_left_for_a_monitor_that_is_dead) {
        Fixture f;

        fixture_init(&f, true);
        exec_giver_hooks.on_running(&f.k);
        cr_assert_eq(process_end(f.mark.monitor), 0);
        cr_assert_eq(exec_giver_hooks.on_exit_command(&f.k), 0, "it is run from here, after the delay");
        cr_assert_null(f.k.exec_giver);
        cr_assert_lt(due_open(f.place_fd, CID, f.mark.monitor, DUE_GIVEN, false), 0, "the folder is gone");
        fixture_done(&f);
}
