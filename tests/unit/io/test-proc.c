/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "clean.h"
#include "io/proc.h"

CleanTest(proc, own_process_is_in_the_list_once) {
        _cleanup_free_ pid_t *pids = NULL;
        size_t n, found = 0;

        cr_assert_eq(proc_list(&pids, &n), 0);
        for (size_t i = 0; i < n; i++) {
                cr_assert_gt(pids[i], 0);
                found += pids[i] == getpid();
        }
        cr_assert_eq(found, 1);
}

CleanTest(proc, name_with_brackets_and_blanks_confuses_nobody) {
        uint64_t now = (uint64_t)time(NULL) * 1000000U;
        ProcStat s;

        cr_assert_eq(prctl(PR_SET_NAME, "a) R 1 (b 2 3"), 0);
        cr_assert_eq(proc_stat(getpid(), &s), 0);
        cr_assert_str_eq(s.comm, "a) R 1 (b 2 3");
        cr_assert_eq(s.parent, getppid());
        cr_assert_eq(s.uid, geteuid());
        cr_assert_lt(s.start_usec, now + 2000000U);
        cr_assert_gt(s.start_usec, now - 3600000000U, "a test does not run for an hour");
}

CleanTest(proc, who_is_gone_is_an_error) {
        char **argv = NULL;
        ProcStat s;
        pid_t pid;

        pid = fork();
        if (pid == 0)
                _exit(0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_assert_lt(proc_stat(pid, &s), 0);
        cr_assert_lt(proc_argv(pid, &argv), 0);
        cr_assert_null(argv);
        cr_assert_not(proc_same_program(pid, getpid()));
}

CleanTest(proc, words_come_one_by_one_empty_ones_too) {
        int ready[2], n = 0;
        char **argv, byte;
        pid_t pid;

        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                (void)dup2(ready[1], 1);
                (void)execl("/bin/sh", "sh", "-c", "echo; kill -STOP $$", "", "x y", "", (char *)NULL);
                _exit(1);
        }
        cr_assert_eq(read(ready[0], &byte, 1), 1);
        cr_assert_eq(proc_argv(pid, &argv), 0);
        while (argv[n])
                n++;
        cr_assert_eq(n, 6);
        cr_assert_str_eq(argv[0], "sh");
        cr_assert_str_eq(argv[3], "");
        cr_assert_str_eq(argv[4], "x y");
        cr_assert_str_eq(argv[5], "");
        free(argv);
        cr_assert_not(proc_same_program(pid, getpid()));
        cr_assert(proc_same_program(getpid(), getpid()));
        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        (void)close(ready[0]);
        (void)close(ready[1]);
}

CleanTest(proc, signals_of_a_process) {
        sigset_t set, before;
        uint64_t bits = 0;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGUSR1);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, &before), 0);
        cr_assert_eq(proc_signals(getpid(), "SigBlk", &bits), 0);
        cr_assert(bits & 1ULL << (SIGUSR1 - 1));
        cr_assert_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
        cr_assert_eq(proc_signals(getpid(), "SigBlk", &bits), 0);
        cr_assert_not(bits & 1ULL << (SIGUSR1 - 1));
        cr_assert_eq(proc_signals(getpid(), "SigNone", &bits), -ENODATA);
        cr_assert_lt(proc_signals(-1, "SigBlk", &bits), 0);
}
