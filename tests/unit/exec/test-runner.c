/* SPDX-License-Identifier: Apache-2.0 */

/* The container's monitor and the commands of its exec sessions; the sessions' monitors are played by files. */

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "exec/exec.h"
#include "exec/runner-internal.h"
#include "keeper/keeper-internal.h"
#include "report/due.h"
#include "report/mark.h"
#include "upgrade/upgrade-internal.h"
#include "upgrade/upgrade.h"

#define CID "0123456789ab"
#define DEAD 4194305 /* more than there can be */
#define DAY_USEC 86400000000ULL

typedef struct Fixture {
        Keeper k;
        Options options;
        Origin origin;
        char dir[64], log[128], gate[128], command[512];
        int place_fd, given_fd;
} Fixture;

static int on_command_exit(void *userdata, pid_t pid, const ProcessStatus *status) {
        cr_assert_eq(exec_runner_hooks.on_child(userdata, pid, status), KEEPER_TAKEN);
        return 0;
}

static int on_buried(void *userdata) {
        return 0;
}

static void fixture_init(Fixture *f) {
        static const ReaperHandler handler = { .on_exit = on_command_exit, .on_buried = on_buried };

        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        *f = (Fixture){ .options = { .cid = (char *)CID }, .dir = "/tmp/test-runner-XXXXXX" };
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0) { /* a /run of our own */
                (void)mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL);
                (void)mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
        }
        cr_assert_not_null(mkdtemp(f->dir));
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", f->dir, 1), 0);
        (void)snprintf(f->log, sizeof f->log, "%s/log", f->dir);
        (void)snprintf(f->gate, sizeof f->gate, "%s/gate", f->dir);
        cr_assert_eq(mkfifo(f->gate, 0600), 0);
        (void)snprintf(f->command, sizeof f->command, "echo $NUMBER >>%s; read x <%s", f->log, f->gate);
        f->k.options = &f->options;
        f->k.origin = &f->origin;
        f->k.phase = PHASE_RUNNING;
        f->k.bundle_fd = -1;
        cr_assert_eq(event_new(&f->k.event), 0);
        cr_assert_eq(reaper_new(&f->k.reaper, f->k.event, &handler, &f->k), 0);
        for (size_t i = 0; i < MARK_PLACES; i++) {
                f->place_fd = mark_open_place(i, true);
                if (f->place_fd >= 0)
                        break;
        }
        f->given_fd = due_open(f->place_fd, CID, getpid(), DUE_GIVEN, true);
        cr_assert_geq(f->given_fd, 0);
}

static void fixture_done(Fixture *f) {
        char path[128];

        exec_runner_hooks.on_free(&f->k);
        f->k.reaper = reaper_free(f->k.reaper);
        f->k.event = event_unref(f->k.event);
        due_remove(f->place_fd, CID, getpid(), DUE_GIVEN);
        due_remove(f->place_fd, CID, getpid(), DUE_TAKEN);
        fd_close_many(&f->place_fd, 1);
        fd_close_many(&f->given_fd, 1);
        (void)unlink(f->gate);
        (void)unlink(f->log);
        (void)snprintf(path, sizeof path, "%s/scopemon", f->dir);
        (void)rmdir(path);
        cr_assert_eq(rmdir(f->dir), 0);
}

/* Not one of a process that exists, so nobody is answered. */
static void give(Fixture *f, int number, uint64_t at_usec) {
        char variable[32];
        char *argv[] = { (char *)"/bin/sh", (char *)"-c", f->command, NULL };
        char *envp[] = { variable, NULL };
        const DueId id = { .at_usec = at_usec, .giver = 4194304 + number, .giver_boot_usec = 1 };

        (void)snprintf(variable, sizeof variable, "NUMBER=%d", number);
        cr_assert_eq(due_give(f->given_fd, &id, &(DueCommand){ .argv = argv, .envp = envp }), 0);
}

static int hint(Fixture *f) {
        const struct signalfd_siginfo info = { .ssi_signo = SIGUSR1,
                                               .ssi_code = SI_QUEUE,
                                               .ssi_int = EXEC_GIVEN };

        return exec_runner_hooks.on_request(&f->k, &info);
}

static size_t n_logged(const Fixture *f) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (fd_read_file(AT_FDCWD, f->log, 4096, &text, NULL) < 0)
                return 0;
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n++;
        return n;
}

static void let_through(const Fixture *f, size_t n) {
        _cleanup_close_ int fd = open(f->gate, O_RDWR | O_CLOEXEC);

        cr_assert_geq(fd, 0);
        for (size_t i = 0; i < n; i++) /* each reads one byte a time, up to the end of a line */
                cr_assert_eq(write(fd, "\n", 1), 1);
        cr_assert(event_run_until(f->k.event, 20, !reaper_has_children(f->k.reaper)));
}

CleanTest(runner, commands_are_run_a_few_at_a_time_when_the_container_has_ended) {
        Fixture f;

        fixture_init(&f);
        for (int i = 0; i < 6; i++)
                give(&f, i, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), KEEPER_TAKEN);
        event_run_idle(f.k.event);
        cr_assert_eq(n_logged(&f), 0, "none is due");

        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 4));
        cr_assert_lt(due_open(f.place_fd, CID, getpid(), DUE_GIVEN, false), 0, "nobody may give any more");
        event_run_idle(f.k.event);
        cr_assert_eq(n_logged(&f), 4, "four at once");
        let_through(&f, 6);
        cr_assert_eq(n_logged(&f), 6);
        fixture_done(&f);
}

CleanTest(runner, command_is_run_when_it_is_due_and_the_others_are_not) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        give(&f, 2, event_now() + 100000);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        let_through(&f, 1);
        fixture_done(&f);
}

CleanTest(runner, commands_that_have_run_take_no_memory) {
        size_t before = 0;
        Fixture f;

        fixture_init(&f);
        (void)snprintf(f.command, sizeof f.command, ":");
        give(&f, 0, event_now() + DAY_USEC); /* one always waits */
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        for (int i = 1; i <= 200; i++) {
                give(&f, i, event_now());
                cr_assert_eq(hint(&f), KEEPER_TAKEN);
                cr_assert(event_run_until(f.k.event, 20,
                                          f.k.exec_runner->n - f.k.exec_runner->first == 1 &&
                                                  !reaper_has_children(f.k.reaper)));
                if (i == 50) /* what the allocator keeps for itself is there by now */
                        before = mallinfo2().uordblks;
        }
        cr_assert_leq(mallinfo2().uordblks, before + 1024);
        fixture_done(&f);
}

CleanTest(runner, end_does_not_wait_for_what_cannot_be_run) {
        struct rlimit before, none;
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = 3;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), KEEPER_TAKEN, "it is tried again");
        cr_assert(event_run_until(f.k.event, 10, exec_runner_hooks.is_unfinished(&f.k) == 0));
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        cr_assert_eq(n_logged(&f), 0);
        fixture_done(&f);
}

CleanTest(runner, next_image_finds_what_was_taken) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        exec_runner_hooks.on_free(&f.k);
        cr_assert_null(f.k.exec_runner);

        give(&f, 2, event_now() + DAY_USEC);
        exec_runner_hooks.on_restore(&f.k, NULL);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 2));
        let_through(&f, 2);
        fixture_done(&f);
}

/* Of another container, whose monitor was killed with it. */
static int leave(Fixture *f) {
        return due_open(f->place_fd, "of-a-dead-monitor", DEAD, DUE_TAKEN, true);
}

CleanTest(runner, commands_of_a_monitor_that_was_killed_are_run_soon) {
        Fixture f;

        for (int known = 0; known < 2; known++) {
                fixture_init(&f);
                if (known) {
                        give(&f, 1, event_now() + DAY_USEC);
                        cr_assert_eq(hint(&f), KEEPER_TAKEN);
                }
                fd_close_many(&f.given_fd, 1);
                f.given_fd = leave(&f);
                give(&f, 2, event_now() + DAY_USEC);
                exec_runner_hooks.on_inherited(&f.k);
                cr_assert_lt(due_open(f.place_fd, "of-a-dead-monitor", DEAD, DUE_TAKEN, false), 0);
                cr_assert_eq(n_logged(&f), 0, "a client may still ask");
                cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
                let_through(&f, 1);
                cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), known ? KEEPER_TAKEN : 0);
                fixture_done(&f);
        }
}

CleanTest(runner, nothing_is_taken_when_the_container_has_ended) {
        Fixture f;

        fixture_init(&f);
        f.k.phase = PHASE_DRAINING;
        give(&f, 1, event_now());
        cr_assert_eq(hint(&f), KEEPER_TAKEN, "it is no signal for the container");
        cr_assert_null(f.k.exec_runner);
        fixture_done(&f);
}

CleanTest(runner, next_image_has_a_hint_and_the_end_before_anything_else) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        exec_runner_hooks.on_free(&f.k);

        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        exec_runner_hooks.on_restore(&f.k, NULL);
        cr_assert_eq(f.k.exec_runner->n, 1);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        let_through(&f, 1);
        fixture_done(&f);
}

CleanTest(runner, next_image_finds_what_was_taken_without_a_folder_of_what_is_given) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        exec_runner_hooks.on_free(&f.k);
        cr_assert_eq(due_close(f.place_fd, CID, getpid()), 0); /* a giver that was not answered in time */
        exec_runner_hooks.on_restore(&f.k, NULL);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), KEEPER_TAKEN);
        fixture_done(&f);
}

CleanTest(runner, folder_that_was_made_again_is_looked_at) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(due_close(f.place_fd, CID, getpid()), 0);
        fd_close_many(&f.given_fd, 1);
        f.given_fd = due_open(f.place_fd, CID, getpid(), DUE_GIVEN, true);
        give(&f, 2, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(f.k.exec_runner->n, 2);
        fixture_done(&f);
}

CleanTest(runner, commands_that_fail_do_not_stop_the_others) {
        Fixture f;

        fixture_init(&f);
        for (int i = 0; i < 2 * (int)EXEC_AT_ONCE_MAX; i++) {
                char name[64];

                (void)snprintf(name, sizeof name, "%020d.4194304.%d", 1, i);
                cr_assert_eq(fd_write_file_atomic(f.given_fd, name, "nonsense", 8, 0600), 0);
        }
        give(&f, 1, event_now());
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        let_through(&f, 1);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), 0);
        fixture_done(&f);
}

CleanTest(runner, command_that_takes_too_long_is_killed) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now());
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        timer_set(f.k.exec_runner->runs[0].timer, 0);
        cr_assert(event_run_until(f.k.event, 20, exec_runner_hooks.is_unfinished(&f.k) == 0));
        cr_assert_not(reaper_has_children(f.k.reaper));
        fixture_done(&f);
}

CleanTest(runner, nothing_is_run_for_a_container_that_is_removed) {
        char bundle[128];
        Fixture f;

        fixture_init(&f);
        (void)snprintf(bundle, sizeof bundle, "%s/bundle", f.dir);
        cr_assert_eq(mkdir(bundle, 0700), 0);
        f.k.bundle_fd = fd_open_directory(bundle);
        cr_assert_geq(f.k.bundle_fd, 0);
        give(&f, 1, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(rmdir(bundle), 0);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), 0);
        exec_runner_hooks.on_done(&f.k);
        cr_assert_lt(due_open(f.place_fd, CID, getpid(), DUE_TAKEN, false), 0, "its files are gone");
        fd_close_many(&f.k.bundle_fd, 1);
        fixture_done(&f);
}

CleanTest(runner, upgrade_waits_for_commands_that_run_and_none_is_started_meanwhile) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now());
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        cr_assert_eq(exec_runner_hooks.is_busy(&f.k), KEEPER_TAKEN);
        cr_assert_eq(upgrade_begin(&f.k, UPGRADE_WANTED, NULL), 0);
        give(&f, 2, event_now());
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        let_through(&f, 1);
        cr_assert_eq(exec_runner_hooks.is_busy(&f.k), 0);
        event_run_idle(f.k.event);
        cr_assert_eq(n_logged(&f), 1);

        upgrade_hooks.on_free(&f.k); /* it was refused */
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 2));
        let_through(&f, 1);
        fixture_done(&f);
}

/* Gives as many as it can until nobody may any more, or @max; then it says how many those were. */
static void give_until_the_end(Fixture *f, int max, int said_fd) {
        int n = 0;

        while (n < max) {
                char *argv[] = { (char *)"/bin/sh", (char *)"-c", f->command, NULL }, *envp[] = { NULL };
                const DueId id = { .at_usec = 1, .giver = 4194304 + n, .giver_boot_usec = 1 };

                if (due_give(f->given_fd, &id, &(DueCommand){ .argv = argv, .envp = envp }) < 0)
                        break;
                n++;
                if (n == 1) /* the others come while the folder is being closed */
                        (void)!write(said_fd, &n, sizeof n);
        }
        (void)!write(said_fd, &n, sizeof n);
        process_exit(0);
}

static void count_id(void *userdata, const DueId *id) {
        ++*(size_t *)userdata;
}

CleanTest(runner, end_takes_what_is_given_until_nobody_may_any_more) {
        size_t n_left = 0;
        int said[2], n;
        Fixture f;
        pid_t pid;

        fixture_init(&f);
        (void)snprintf(f.command, sizeof f.command, "echo $NUMBER >>%s", f.log);
        give(&f, 1000, event_now() + DAY_USEC);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        cr_assert_eq(pipe(said), 0);
        if (process_fork(&pid) == 0)
                give_until_the_end(&f, 50, said[1]);
        cr_assert_eq(read(said[0], &n, sizeof n), (ssize_t)sizeof n);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert_eq(read(said[0], &n, sizeof n), (ssize_t)sizeof n);
        cr_assert(event_run_until(f.k.event, 20, exec_runner_hooks.is_unfinished(&f.k) == 0));
        due_list(f.given_fd, count_id, &n_left); /* it may have been faster than all rounds */
        cr_assert_eq(n_logged(&f) + n_left, (size_t)n + 1, "nobody has one of them");
        (void)close(said[0]);
        (void)close(said[1]);
        fixture_done(&f);
}

CleanTest(runner, end_comes_although_the_folder_cannot_be_removed) {
        Fixture f;

        fixture_init(&f);
        give(&f, 1, event_now());
        cr_assert_eq(fd_write_file_atomic(f.given_fd, "something-else", "", 0, 0600), 0);
        cr_assert_eq(hint(&f), KEEPER_TAKEN);
        f.k.phase = PHASE_DRAINING;
        exec_runner_hooks.on_draining(&f.k);
        cr_assert(event_run_until(f.k.event, 20, n_logged(&f) == 1));
        let_through(&f, 1);
        cr_assert_eq(exec_runner_hooks.is_unfinished(&f.k), 0);
        fixture_done(&f);
}
