/* SPDX-License-Identifier: Apache-2.0 */

/* The exit command is run again where it has failed for a reason that passes, and only there. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "keeper/keeper-internal.h"

typedef struct Fixture {
        Keeper k;
        Options options;
        Origin origin;
        char log[64], script[256];
        char *words[2];
} Fixture;

static int on_command_exit(void *userdata, pid_t pid, const ProcessStatus *status) {
        Keeper *k = userdata;

        cr_assert_eq(pid, k->exit_command.pid);
        return exit_command_on_exit(k, status);
}

static int on_buried(void *userdata) {
        return 0;
}

/* @commands: for a shell, to which the file $L is known, a line for each run */
static void fixture_init(Fixture *f, const char *commands) {
        static const ReaperHandler handler = { .on_exit = on_command_exit, .on_buried = on_buried };
        static char *no_variables[] = { NULL };
        sigset_t set;
        int fd;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        *f = (Fixture){ .log = "/tmp/test-exit-command-XXXXXX" };
        fd = mkstemp(f->log);
        cr_assert_geq(fd, 0);
        (void)close(fd);
        (void)snprintf(f->script, sizeof f->script, "L=%s; echo >>$L; %s", f->log, commands);
        f->words[0] = (char *)"-c";
        f->words[1] = f->script;
        f->options.exit_command = "/bin/sh";
        f->options.exit_command_arg = (StrList){ .words = f->words, .n = 2 };
        f->origin.envp = no_variables;
        f->k.options = &f->options;
        f->k.origin = &f->origin;
        f->k.bundle_fd = -1;
        f->k.exit_command.running = true;
        cr_assert_eq(event_new(&f->k.event), 0);
        cr_assert_eq(reaper_new(&f->k.reaper, f->k.event, &handler, &f->k), 0);
}

static size_t n_runs(const Fixture *f) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        return fd_read_file(AT_FDCWD, f->log, 4096, &text, &n) < 0 ? 0 : n;
}

static void fixture_done(Fixture *f) {
        f->k.exit_command.timer = timer_free(f->k.exit_command.timer);
        f->k.reaper = reaper_free(f->k.reaper);
        f->k.event = event_unref(f->k.event);
        cr_assert_eq(unlink(f->log), 0);
}

CleanTest(exit_command, success_is_enough) {
        Fixture f;

        fixture_init(&f, "exit 0");
        exit_command_go(&f.k, 0);
        cr_assert(event_run_until(f.k.event, 20, !f.k.exit_command.running));
        cr_assert_eq(n_runs(&f), 1);
        cr_assert_not(exit_command_failed(&f.k));
        fixture_done(&f);
}

CleanTest(exit_command, failure_is_told_and_not_repeated) {
        Fixture f;

        fixture_init(&f, "exit 3");
        exit_command_go(&f.k, 0);
        cr_assert(event_run_until(f.k.event, 20, !f.k.exit_command.running));
        cr_assert_eq(n_runs(&f), 1);
        cr_assert(exit_command_failed(&f.k));
        fixture_done(&f);
}

CleanTest(exit_command, one_that_was_terminated_is_run_again) {
        Fixture f;

        fixture_init(&f, "test $(wc -l <$L) = 2 || kill -TERM $$");
        exit_command_go(&f.k, 0);
        cr_assert(event_run_until(f.k.event, 20, !f.k.exit_command.running));
        cr_assert_eq(n_runs(&f), 2);
        cr_assert_not(exit_command_failed(&f.k));
        fixture_done(&f);
}

CleanTest(exit_command, one_that_is_always_terminated_is_not_run_for_ever) {
        Fixture f;

        fixture_init(&f, "kill -TERM $$");
        exit_command_go(&f.k, 0);
        cr_assert(event_run_until(f.k.event, 30, !f.k.exit_command.running));
        cr_assert_eq(n_runs(&f), 4);
        cr_assert(exit_command_failed(&f.k));
        fixture_done(&f);
}
