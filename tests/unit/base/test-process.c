/* SPDX-License-Identifier: Apache-2.0 */

/* What a program finds when it starts, and how its end is told. The program is the shell. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"

static ProcessSpec shell(char *argv[4], const char *script, char *const *envp, int null, int out) {
        argv[0] = (char *)"sh";
        argv[1] = (char *)"-c";
        argv[2] = (char *)script;
        argv[3] = NULL;
        return (ProcessSpec){
                .path = "/bin/sh", .argv = argv, .envp = envp, .stdio = { null, out, out }, .wait_fd = -1
        };
}

static ProcessStatus end_of(pid_t pid, int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        ProcessStatus status;

        cr_assert_eq(poll(&p, 1, 30000), 1);
        cr_assert_eq(process_peek(pid, &status), pid);
        cr_assert_eq(process_peek(0, &status), pid, "peeking leaves it there");
        cr_assert_eq(process_reap(pid), 0);
        cr_assert_eq(process_peek(pid, &status), -ECHILD);
        (void)close(pidfd);
        return status;
}

/*
 * Runs what @spec says and collects its output; spec->stdio[1] is the pipe's end and gets closed.
 */
static ProcessStatus run(const ProcessSpec *spec, int out_r, char *text, size_t size) {
        size_t n = 0;
        ssize_t got;
        int pidfd;
        pid_t pid;

        cr_assert_eq(process_spawn(spec, &pid, &pidfd), 0);
        (void)close(spec->stdio[1]);
        while ((got = read(out_r, text + n, size - 1 - n)) > 0)
                n += (size_t)got;
        text[n] = 0;
        (void)close(out_r);
        return end_of(pid, pidfd);
}

typedef struct Setup {
        int null, out_r, out_w;
        char *argv[4];
        ProcessSpec spec;
} Setup;

static void setup(Setup *s, const char *script, char *const *envp) {
        s->null = fd_open_null(O_RDWR);
        cr_assert_eq(fd_pipe(&s->out_r, &s->out_w), 0);
        s->spec = shell(s->argv, script, envp, s->null, s->out_w);
}

CleanTest(process, status_is_told_as_shells_do) {
        static const struct {
                const char *script;
                int code, signal;
        } cases[] = {
                { "exit 0", 0, 0 },
                { "exit 7", 7, 0 },
                { "exit 255", 255, 0 },
                { "kill -TERM $$", 128 + SIGTERM, SIGTERM },
                { "kill -KILL $$", 128 + SIGKILL, SIGKILL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ProcessStatus status;
                char text[256];
                Setup s;

                setup(&s, cases[i].script, environ);
                status = run(&s.spec, s.out_r, text, sizeof text);
                (void)close(s.null);
                cr_assert(status.known);
                cr_assert_eq(status.code, cases[i].code, "%s", cases[i].script);
                cr_assert_eq(status.signal, cases[i].signal, "%s", cases[i].script);
        }
}

CleanTest(process, program_joins_its_cgroup_before_it_runs) {
        char text[256], joined[8] = "";
        int join_r, join_w;
        Setup s;

        cr_assert_eq(fd_pipe(&join_r, &join_w), 0);
        setup(&s, "echo runs", environ);
        s.spec.cgroup_fd = join_w;
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        (void)close(join_w);
        cr_assert_eq(read(join_r, joined, sizeof joined), 1, "it moves once");
        cr_assert_str_eq(joined, "0", "a process moves itself by that number");
        cr_assert_str_eq(text, "runs\n");
        (void)close(join_r);
}

CleanTest(process, program_gets_the_environment_given) {
        char *envp[] = { (char *)"A=b c", (char *)"LISTEN_PID=1", NULL };
        char text[256], expected[64];
        Setup s;

        setup(&s, "echo $A $LISTEN_PID", envp);
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        cr_assert_str_eq(text, "b c 1\n");

        setup(&s, "echo $LISTEN_PID; echo $$", envp);
        s.spec.own_listen_pid = true;
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        (void)snprintf(expected, sizeof expected, "%d\n%d\n", atoi(text), atoi(text));
        cr_assert_str_eq(text, expected);
        cr_assert_gt(atoi(text), 1);
}

CleanTest(process, invalid_listen_pid_is_refused) {
        static const char *const values[] = { "LISTEN_PID=x", "LISTEN_PID=0", "LISTEN_PID=-1",
                                              "LISTEN_PID=12345678901234567890" };

        for (size_t i = 0; i < ELEMENTS(values); i++) {
                char *envp[] = { (char *)values[i], NULL };
                char text[256], expected[64];
                Setup s;

                setup(&s, "echo ran", envp);
                cr_assert_eq(run(&s.spec, s.out_r, text, sizeof text).code, 1);
                (void)close(s.null);
                (void)snprintf(expected, sizeof expected, "[conmon:e]: Invalid LISTEN_PID %.10s\n",
                               values[i] + strlen("LISTEN_PID="));
                cr_assert_str_eq(text, expected);
        }
}

CleanTest(process, what_cannot_be_executed_says_so_and_exits_127) {
        char text[256];
        Setup s;

        setup(&s, "", environ);
        s.spec.path = "/";
        cr_assert_eq(run(&s.spec, s.out_r, text, sizeof text).code, 127);
        (void)close(s.null);
        cr_assert_str_eq(text, "Failed to execute /: Permission denied\n");
}

CleanTest(process, only_the_callers_descriptors_are_inherited) {
        _cleanup_close_ int ours = fd_dup_at_least(STDIN_FILENO, 200);
        _cleanup_close_ int leaked = fd_dup_at_least(STDIN_FILENO, 210);
        _cleanup_close_ int kept = fd_dup_at_least(STDIN_FILENO, 220);
        static const char script[] = "for n in 200 210 220; do test -e /proc/$$/fd/$n && echo $n; done";
        char text[256];
        Setup s;

        cr_assert(ours == 200 && leaked == 210 && kept == 220);
        cr_assert_eq(fd_set_cloexec(leaked, false), 0);
        setup(&s, script, environ);
        s.spec.keep_fds = &kept;
        s.spec.n_keep_fds = 1;
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        cr_assert_str_eq(text, "210\n220\n");

        setup(&s, script, environ);
        s.spec.keep_fds = &kept;
        s.spec.n_keep_fds = 1;
        s.spec.close_others = true;
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        cr_assert_str_eq(text, "220\n", "%s", text);
}

CleanTest(process, stdio_may_be_any_descriptors) {
        char *argv[4], text[256];
        int r, w;
        ProcessSpec spec;

        /* Sources that are themselves among 0 to 2 must not overwrite one another. */
        cr_assert_eq(fd_pipe(&r, &w), 0);
        spec = shell(argv, "echo out; echo err >&2", environ, STDERR_FILENO, w);
        spec.stdio[2] = w;
        (void)run(&spec, r, text, sizeof text);
        cr_assert_str_eq(text, "out\nerr\n");
}

CleanTest(process, mask_is_the_one_given) {
        sigset_t mask, saved;
        char text[512];
        Setup s;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        (void)sigaddset(&mask, SIGUSR1);
        (void)sigprocmask(SIG_BLOCK, &mask, &saved);
        (void)sigemptyset(&mask);

        setup(&s, "grep SigBlk: /proc/self/status", environ);
        s.spec.mask = &mask;
        (void)run(&s.spec, s.out_r, text, sizeof text);
        (void)close(s.null);
        (void)sigprocmask(SIG_SETMASK, &saved, NULL);
        cr_assert_str_eq(text, "SigBlk:\t0000000000000000\n");
}

CleanTest(process, start_signal_is_one_read) {
        _cleanup_close_ int start_r = -1, start_w = -1;
        char script[128], text[256], rest[16];
        ProcessStatus status;
        struct pollfd p;
        int pidfd;
        pid_t pid;
        Setup s;

        cr_assert_eq(fd_pipe(&start_r, &start_w), 0);
        cr_assert_eq(fd_set_cloexec(start_r, false), 0);
        (void)snprintf(script, sizeof script, "test -e /proc/$$/fd/%d && echo inherited; echo started",
                       start_r);
        setup(&s, script, environ);
        s.spec.wait_fd = start_r;
        cr_assert_eq(process_spawn(&s.spec, &pid, &pidfd), 0);
        (void)close(s.out_w);
        p = (struct pollfd){ .fd = s.out_r, .events = POLLIN };
        cr_assert_eq(poll(&p, 1, 0), 0, "nothing runs before the signal");

        cr_assert_eq(fd_write_full(start_w, "start attach", 12), 0);
        status = end_of(pid, pidfd);
        cr_assert_eq(status.code, 0);
        text[read(s.out_r, text, sizeof text - 1)] = 0;
        cr_assert_str_eq(text, "started\n");
        cr_assert_eq(fd_set_nonblock(start_r, true), 0);
        cr_assert_lt(read(start_r, rest, sizeof rest), 0, "the word was taken whole");
        (void)close(s.null);
        (void)close(s.out_r);
}

CleanTest(process, other_descriptors_are_closed) {
        _cleanup_close_ int r = -1, w = -1;
        struct pollfd p;
        int pidfd;
        pid_t pid;
        Setup s;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(fd_set_cloexec(w, false), 0);
        setup(&s, "exec sleep 3600", environ);
        s.spec.stdio[1] = s.spec.stdio[2] = s.null;
        s.spec.close_others = true;
        cr_assert_eq(process_spawn(&s.spec, &pid, &pidfd), 0);
        (void)close(w);
        w = -1;
        p = (struct pollfd){ .fd = r, .events = POLLIN };
        cr_assert_eq(poll(&p, 1, 30000), 1);
        cr_assert(p.revents & POLLHUP);
        cr_assert_eq(process_signal(pidfd, SIGKILL), 0);
        cr_assert_eq(end_of(pid, pidfd).signal, SIGKILL);
        (void)close(s.null);
        (void)close(s.out_r);
        (void)close(s.out_w);
}

CleanTest(process, nobody_to_wait_for_is_an_answer) {
        ProcessStatus status;
        pid_t pid;
        int r;

        cr_assert_eq(process_reap(1), -ECHILD);
        cr_assert_eq(process_peek(1, &status), -ECHILD);
        cr_assert_eq(process_peek(0, &status), -ECHILD);

        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)pause();
                process_exit(1);
        }
        cr_assert_eq(process_peek(pid, &status), 0, "it has not ended");
        cr_assert_eq(process_reap(pid), 0, "and is not waited for");
        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* Deep enough to need a stack. */
static int go_on(void *userdata, void *room) {
        char text[65536];
        int *value = userdata;

        memset(text, 'x', sizeof text);
        *value = text[sizeof text - 1] == 'x' && text + sizeof text < (char *)room ? 5 : 6;
        return 3;
}

CleanTest(process, who_leaves_has_a_child_go_on_in_its_memory) {
        int value = 4, status;
        pid_t pid;

        cr_assert_eq(process_leave(go_on, &value, &pid), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
#ifndef __SANITIZE_ADDRESS__
        cr_assert_eq(value, 5);
#endif
}

CleanTest(process, who_leaves_with_a_small_stack_has_a_child_go_on_in_a_copy) {
        struct rlimit before, small;
        int value = 4, status;
        pid_t pid;

        cr_assert_eq(getrlimit(RLIMIT_STACK, &before), 0);
        small = before;
        small.rlim_cur = 512U * 1024U;
        cr_assert_eq(setrlimit(RLIMIT_STACK, &small), 0);
        cr_assert_eq(process_leave(go_on, &value, &pid), 0);
        cr_assert_eq(setrlimit(RLIMIT_STACK, &before), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
        cr_assert_eq(value, 4);
}

CleanTest(process, pidfd_of_nobody_is_refused) {
        _cleanup_close_ int pidfd = -1;
        pid_t pid;
        int r;

        r = process_fork(&pid);
        if (r == 0)
                process_exit(3);
        pidfd = process_pidfd(pid);
        cr_assert_geq(pidfd, 0);
        cr_assert(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_assert_eq(process_signal(pidfd, SIGTERM), -ESRCH);
        cr_assert_eq(process_pidfd(pid), -ESRCH);
}

CleanTest(process, death_of_the_parent_is_passed_on) {
        _cleanup_close_ int r = -1, w = -1;
        struct pollfd p;
        pid_t parent;
        int forked;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        forked = process_fork(&parent);
        cr_assert_geq(forked, 0);
        if (forked == 0) {
                char *argv[4];
                ProcessSpec spec = shell(argv, "echo x; exec sleep 3600", environ, STDIN_FILENO, w);
                pid_t pid;

                spec.death_signal = SIGKILL;
                (void)close(r);
                if (process_spawn(&spec, &pid, NULL) < 0)
                        process_exit(1);
                (void)close(w);
                (void)pause();
                process_exit(1);
        }
        (void)close(w);
        w = -1;
        p = (struct pollfd){ .fd = r, .events = POLLIN };
        cr_assert_eq(poll(&p, 1, 30000), 1);
        cr_assert_eq(read(r, &(char[8]){ 0 }, 8), 2, "it runs");
        cr_assert_eq(kill(parent, SIGKILL), 0);
        cr_assert_eq(waitpid(parent, NULL, 0), parent);
        cr_assert_eq(poll(&p, 1, 30000), 1);
        cr_assert(p.revents & POLLHUP, "and ends with it");
}

typedef enum Whom {
        PROCESS_ALONE,
        PROCESS_AND_GROUP,
} Whom;

static void kill_sleeper(bool own_group, Whom whom) {
        _cleanup_close_ int pidfd = -1;
        pid_t pid;
        int r, status;

        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)pause();
                process_exit(1);
        }
        pidfd = process_pidfd(pid);
        if (own_group)
                cr_assert_eq(setpgid(pid, pid), 0);
        if (whom == PROCESS_ALONE)
                cr_assert_eq(process_kill_child(pid, SIGKILL), 0);
        else
                cr_assert_eq(process_kill_group(pidfd, pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status));
        cr_assert_eq(process_kill_group(pidfd, pid, SIGKILL), -ESRCH, "it has been buried");
}

CleanTest(process, killing_a_group_never_hits_our_own) {
        kill_sleeper(true, PROCESS_AND_GROUP);
        kill_sleeper(false, PROCESS_AND_GROUP);
        kill_sleeper(false, PROCESS_ALONE);
        cr_assert_eq(process_kill_group(-1, 0, SIGKILL), -EINVAL);
        cr_assert_eq(process_kill_group(-1, 1, SIGKILL), -EINVAL);
        cr_assert_eq(process_kill_child(-1, SIGKILL), -EINVAL);
}

/* The number of a process that has been buried is another one's now, perhaps: as if by chance, a child's. */
CleanTest(process, number_alone_kills_nobody) {
        _cleanup_close_ int pidfd = -1;
        pid_t gone, other;
        int r, status;

        r = process_fork(&gone);
        cr_assert_geq(r, 0);
        if (r == 0)
                process_exit(0);
        pidfd = process_pidfd(gone);
        cr_assert_eq(waitpid(gone, &status, 0), gone);
        r = process_fork(&other);
        cr_assert_geq(r, 0);
        while (r == 0)
                (void)pause();
        cr_assert_eq(setpgid(other, other), 0);
        cr_assert_eq(process_kill_group(pidfd, other, SIGKILL), -ESRCH);
        cr_assert_eq(waitpid(other, &status, WNOHANG), 0, "it runs");
        cr_assert_eq(kill(other, SIGKILL), 0);
        cr_assert_eq(waitpid(other, &status, 0), other);
}

CleanTest(process, title_takes_the_place_of_the_command_line) {
        char words[] = "program\0--option\0value";
        char *argv[] = { words, words + 8, words + 17, NULL };

        process_set_title(argv, "short");
        cr_assert_str_eq(words, "short");
        cr_assert_eq(memcmp(words + 5, "\0\0\0\0", 4), 0, "nothing of the old words is left");
        memcpy(words, "program\0--option\0value", sizeof words);
        process_set_title(argv, "a title that is longer than the words were");
        cr_assert_eq(strlen(words), sizeof words - 2, "cut");
}

/* On kernels that do not tell, that is the answer, also before anybody has reaped it. */
static void expect_status(const char *script, int code, int signal) {
        ProcessStatus status = { 0 }, peeked;
        _cleanup_close_ int pidfd = -1, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        char *argv[4];
        ProcessSpec spec = shell(argv, script, environ, null_fd, null_fd);
        struct pollfd end = { .events = POLLIN };
        pid_t pid;
        int r;

        cr_assert_geq(process_spawn(&spec, &pid, &pidfd), 0);
        end.fd = pidfd;
        cr_assert_eq(poll(&end, 1, 30000), 1);
        r = process_status_of(pidfd, &status);
        cr_assert(r == PROCESS_UNREAPED || r == -EOPNOTSUPP, "%d", r);
        cr_assert_eq(process_peek(pid, &peeked), pid);
        cr_assert_eq(process_reap(pid), 0);
        cr_assert_eq(peeked.code, code);
        cr_assert_eq(peeked.signal, signal);
        r = process_status_of(pidfd, &status);
        if (r == -EOPNOTSUPP)
                return;
        cr_assert_eq(r, 0);
        cr_assert(status.known);
        cr_assert_eq(status.code, code);
        cr_assert_eq(status.signal, signal);
        cr_assert_eq(status.dumped, peeked.dumped);
}

CleanTest(process, status_is_known_by_descriptor_after_it_was_reaped) {
        expect_status("exit 7", 7, 0);
        expect_status("exit 0", 0, 0);
        expect_status("kill -9 $$", 137, SIGKILL);
}

/* Whether there is a core is for the kernel's core_pattern to say. */
CleanTest(process, core_dump_is_told_alike) {
        char folder[] = "/tmp/test-process-XXXXXX", crash[128], sweep[64];

        cr_assert_not_null(mkdtemp(folder));
        (void)snprintf(crash, sizeof crash, "cd %s; ulimit -c unlimited; kill -SEGV $$", folder);
        expect_status(crash, 128 + SIGSEGV, SIGSEGV);
        (void)snprintf(sweep, sizeof sweep, "rm -r %s", folder);
        expect_status(sweep, 0, 0);
}

CleanTest(process, descriptor_of_a_child_is_copied) {
        int ends[2], copy, number;
        pid_t pid;

        cr_assert_eq(fd_pipe(&ends[0], &ends[1]), 0);
        number = ends[0];
        if (process_fork(&pid) == 0)
                for (;;)
                        (void)pause();
        fd_close_many(&ends[0], 1); /* the child has it still, at the number it had here */
        copy = process_copy_fd(pid, number);
        cr_assert_geq(copy, 0, "%d", copy);
        cr_assert(fcntl(copy, F_GETFD) & FD_CLOEXEC);
        cr_assert_eq(process_copy_fd(pid, 999), -EBADF);
        fd_close_many(&copy, 1);
        cr_assert_eq(process_end(pid), 0);
        cr_assert_lt(process_copy_fd(pid, 0), 0);
        fd_close_many(&ends[1], 1);
}

CleanTest(process, a_child_that_shares_memory_is_a_child_like_any_other) {
        int ends[2];
        pid_t pid;
        char byte = 0;

        cr_assert_eq(fd_pipe(&ends[0], &ends[1]), 0);
        if (process_fork_sharing(&pid) == 0) {
                char *text = strdup("x"); /* the heap goes on */

                process_exit(text && getpid() != getppid() && write(ends[1], text, 1) == 1 ? 0 : 1);
        }
        cr_assert_eq(read(ends[0], &byte, 1), 1);
        cr_assert_eq(byte, 'x');
        cr_assert_eq(process_end(pid), 0);
        fd_close_many(ends, 2);
}
