/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way in. Everything until the start byte happens in the process that the caller has started and may still be
 * moving to another cgroup: nothing is forked and no socket is made before that byte has come. Then the launcher forks
 * the keeper, leaves its pid where the caller will read it, and goes.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/parse.h"
#include "base/process.h"
#include "config/options.h"
#include "exec/exec.h"
#include "explain/doctor.h"
#include "explain/explain.h"
#include "explain/hint.h"
#include "keeper/keeper.h"
#include "keeper/launch.h"
#include "keeper/registration.h"
#include "service/end.h"
#include "service/service.h"
#include "service/store.h"
#include "service/unit.h"
#include "upgrade/upgrade.h"
#include "worker/worker.h"

/* Who hooks on to a keeper. */
static const KeeperHooks *const hooks[] = { &upgrade_hooks,     &service_hooks,      &exec_giver_hooks,
                                            &exec_runner_hooks, &registration_hooks, NULL };

/* A worker that replaces one that has died: TITLE --scopemon-worker=FD NAME. */
static int run_worker(int argc, char *argv[]) {
        int channel, r;

        tzset();                                    /* for one that is forked launch.c has done it */
        process_set_name(basename(argv[argc - 1])); /* it has been executed as /proc/self/exe */
        r = parse_fd(argv[1] + strlen(WORKER_ARGUMENT), &channel);
        return r < 0 ? relay(r) : worker_run(channel, argv);
}

static int keep(const Options *options, Origin *origin) {
        _cleanup_(keeper_freep) Keeper *keeper = NULL;
        int r;

        r = launch_open_pipes(options, origin);
        if (r < 0)
                return relay(r);
        r = keeper_new(&keeper, options, origin, hooks);
        if (r >= 0)
                r = keeper_start(keeper);
        return r < 0 ? relay(r) : keeper_run(keeper);
}

/* Return: the exit status of the monitor: the container's, which may be any. */
static int run_keeper(Options *options, Origin *origin) {
        int r;

        r = keep(options, origin);
        options_done(options);
        launch_done(origin);
        return r < 0 ? EXIT_FAILURE : r;
}

/* What is asked for by a first word, and is no monitor. Return: false if there is none; else @ret is the status. */
static bool run_verb(int argc, char *argv[], char *envp[], int *ret) {
        if (argc >= 2 && explain_is_verb(argv[1]))
                *ret = explain_run(argc, argv);
        else if (argc >= 2 && strcmp(argv[1], "doctor") == 0)
                *ret = doctor_run(argc, argv);
        else if (argc >= 2 && strcmp(argv[1], "upgrade") == 0)
                *ret = upgrade_run_verb(argc, argv);
        else if (argc >= 2 && strcmp(argv[1], "end") == 0)
                *ret = service_end_run_verb(argc, argv, envp);
        else if (hint_is_due(argc, argv, isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1))
                *ret = hint_run(argc, argv);
        else
                return false;
        return true;
}

int main(int argc, char *argv[], char *envp[]) {
        Options options = { 0 };
        Origin origin;
        bool answered, resumed;
        char **given_argv = argv;
        int r;

        memory_keep_heap_small();
        if (argc > 1 && strncmp(argv[1], WORKER_ARGUMENT, strlen(WORKER_ARGUMENT)) == 0)
                process_exit(run_worker(argc, argv) == 0 ? EXIT_SUCCESS
                                                         : EXIT_FAILURE); /* confined: no at-exit work */

        if (upgrade_is_check(argc, argv))
                return upgrade_check(argc, argv);
        launch_set_language();
        r = upgrade_resume(argv, envp, hooks, &resumed);
        if (resumed)
                return r < 0 ? EXIT_FAILURE : r;
        if (run_verb(argc, argv, envp, &r))
                return r;
        if (service_is_wanted(argc, argv)) {
                r = store_resume(argc, argv, envp, hooks, &resumed);
                if (resumed || r < 0)
                        return r < 0 ? EXIT_FAILURE : r;
                if (service_expand(argc, argv, &argc, &argv) < 0)
                        return EXIT_FAILURE;
                envp = environ; /* from which our own descriptors have been taken */
        }

        r = launch_note_origin(&origin, argc, argv, envp);
        if (r < 0)
                return EXIT_FAILURE;
        origin.given_argv = given_argv;
        (void)umask(022);

        r = options_parse(argc, argv, &options);
        answered = r == OPTIONS_DONE;
        if (r == 0)
                r = options_check(&options);
        if (r == 0)
                r = launch_open_log(&options, &origin);
        if (r == 0)
                r = options_check_log(&options);
        if (r < 0)
                launch_linger();
        if (r == 0)
                r = launch_wait(&options, &origin);
        if (r == 0) {
                r = launch_leave(&options, &origin, run_keeper);
                if (r >= 0) /* --sync */
                        return r;
        }

        options_done(&options);
        launch_done(&origin);
        return answered ? EXIT_SUCCESS : EXIT_FAILURE;
}
