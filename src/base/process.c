/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes. Whoever looks for a fork, an exec or a wait finds it here and nowhere else.
 *
 * A child that fails between fork and exec says why on stderr, which is the runtime's error pipe at that moment, and
 * leaves with 127: the caller learns it as it learns the runtime's own errors. Between the two only async-signal-safe
 * calls are made, though the process has one thread, and nothing of ours is written to but the stack: the child may be
 * borrowing our memory (vfork).
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "fd.h"
#include "parse.h"
#include "process.h"

#define EXIT_EXEC 127

#define PIDFD_INFO_EXITED (1U << 3) /* linux/pidfd.h of Linux 6.15 */

static void child_complain(const char *what, const char *path, int error) {
        char text[PATH_MAX + 256];
        int n;

        n = snprintf(text, sizeof text, "%s %s: %s\n", what, path, strerror(error));
        if (n > 0)
                (void)!write(STDERR_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Those that another one would overwrite are copied first; there may be no descriptor left to copy the others. */
static int child_stdio(const int stdio[3]) {
        int sources[3];

        for (int i = 0; i < 3; i++) {
                sources[i] = stdio[i];
                if (stdio[i] < 3 && stdio[i] != i)
                        sources[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
                if (sources[i] < 0)
                        return -errno;
        }
        for (int i = 0; i < 3; i++)
                if (sources[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(sources[i], i) < 0)
                        return -errno;
        return 0;
}

static void child_limit_fds(uint64_t n) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int child_listen_pid(char *const *envp) {
        for (; *envp; envp++) {
                pid_t pid;

                if (strncmp(*envp, "LISTEN_PID=", 11) != 0)
                        continue;
                if (parse_pid(*envp + 11, &pid) < 0) {
                        char text[64];

                        (void)snprintf(text, sizeof text, "[conmon:e]: Invalid LISTEN_PID %.10s\n",
                                       *envp + 11);
                        (void)!write(STDERR_FILENO, text, strlen(text));
                        return 1;
                }
        }
        return 0;
}

static void child_write_oom_score(const char *value) {
        int fd;

        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        (void)!write(fd, value, strlen(value)); /* lowering it may be denied, which is no reason not to run */
        (void)close(fd);
}

/* @envp with a LISTEN_PID= of our own, made in @copy; as it was if it has too many words. */
static char *const *child_environment(char *const *envp,
                                      char **copy,
                                      size_t n_copy,
                                      char *listen_pid,
                                      size_t size) {
        size_t n = 0;

        (void)snprintf(listen_pid, size, "LISTEN_PID=%d", getpid());
        for (; envp[n] && n < n_copy - 1; n++)
                copy[n] = strncmp(envp[n], "LISTEN_PID=", 11) == 0 ? listen_pid : envp[n];
        copy[n] = NULL;
        return envp[n] ? envp : copy;
}

/* One read, whatever it returns: the rest of a longer word must not count as a second signal. */
static void child_wait(int fd) {
        char word[8192];
        ssize_t n;

        do
                n = read(fd, word, sizeof word);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                child_complain("start-pipe read failed", "", errno);
        (void)close(fd);
}

/* Before any wait, not after it: whoever waits for the end of a pipe shall not wait for us. */
static void child_close_others(const ProcessSpec *spec) {
        int keep[FD_MESSAGE_MAX];
        size_t n = spec->n_keep_fds < ELEMENTS(keep) - 1 ? spec->n_keep_fds : ELEMENTS(keep) - 1;

        for (size_t i = 0; i < n; i++)
                keep[i] = spec->keep_fds[i];
        keep[n] = spec->wait_fd;
        (void)fd_close_all_but(keep, n + 1);
}

static void __attribute__((noreturn)) child_run(const ProcessSpec *spec, pid_t parent) {
        char listen_pid[32], *environment[1024];
        char *const *envp = spec->envp;
        int r;

        r = child_stdio(spec->stdio);
        if (r < 0)
                _exit(EXIT_EXEC);
        if (spec->death_signal != 0) {
                (void)prctl(PR_SET_PDEATHSIG, spec->death_signal);
                if (getppid() != parent)
                        _exit(EXIT_EXEC); /* it died before the call above */
        }
        if (spec->oom_score_adj)
                child_write_oom_score(spec->oom_score_adj);
        if (spec->cgroup_fd > 0)
                (void)!write(spec->cgroup_fd, "0", 1); /* if it may not, it runs where it is */
        if (child_listen_pid(spec->envp) != 0)
                _exit(1);
        if (spec->own_listen_pid)
                envp = child_environment(envp, environment, ELEMENTS(environment), listen_pid,
                                         sizeof listen_pid);
        if (spec->mask)
                (void)sigprocmask(SIG_SETMASK, spec->mask, NULL);
        if (spec->close_others)
                child_close_others(spec);
        if (spec->wait_fd >= 0)
                child_wait(spec->wait_fd);
        for (size_t i = 0; i < spec->n_keep_fds; i++)
                (void)fcntl(spec->keep_fds[i], F_SETFD, 0);

        if (spec->fds_max > 0)
                child_limit_fds(spec->fds_max);
        (void)execve(spec->path, spec->argv, envp);
        child_complain("Failed to execute", spec->path, errno);
        _exit(EXIT_EXEC);
}

/**
 * process_spawn() - run a program
 * @ret_pidfd: descriptor of the child, CLOEXEC, the caller's; may be NULL
 *
 * A program that cannot be executed is a child that says so on its stderr and exits 127. We stand still until the exec,
 * which saves a third of what a fork costs, unless the child has something to wait for before it.
 *
 * Return: 0 or a negative errno.
 */
int process_spawn(const ProcessSpec *spec, pid_t *ret_pid, int *ret_pidfd) {
        pid_t parent = getpid(), pid;

        /* NOLINTNEXTLINE(clang-analyzer-*): child_run() never returns and writes to nothing of ours */
        pid = spec->wait_fd >= 0 ? fork() : vfork();
        if (pid < 0)
                return fail(-errno);
        if (pid == 0)
                child_run(spec, parent);

        if (ret_pidfd) {
                int fd = process_pidfd(pid);

                if (fd < 0) {
                        (void)kill(pid, SIGKILL); /* nobody would know of it */
                        (void)waitpid(pid, NULL, 0);
                        return relay(fd);
                }
                *ret_pidfd = fd;
        }
        *ret_pid = pid;
        return 0;
}

/**
 * process_fork() - fork, plain
 *
 * Return: 1 in the parent with @ret_pid set, 0 in the child, or a negative errno.
 */
int process_fork(pid_t *ret_pid) {
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return fail(-errno);
        if (pid == 0)
                return 0;
        *ret_pid = pid;
        return 1;
}

/**
 * process_fork_sharing() - fork a child that goes on with our memory, as far as neither of us writes to it
 *
 * No handlers of libraries are run, and no locks made anew: each of these is a write to a page that would stay common.
 * Only for a process of one thread. What a library has noted of our PID is the same in the child.
 *
 * Return: as process_fork().
 */
int process_fork_sharing(pid_t *ret_pid) {
        pid_t pid;

        pid = _Fork();
        if (pid < 0)
                return fail(-errno);
        if (pid == 0)
                return 0;
        *ret_pid = pid;
        return 1;
}

/* What a child that has our memory is to do; at the top of its stack. */
typedef struct Successor {
        int (*run)(void *userdata, void *room);
        void *userdata, *room;
} Successor;

/* The sanitizer knows one stack, and looks for leaks at an ordinary exit. */
#ifdef __SANITIZE_ADDRESS__
#define LEAVE_HERE false
#define successor_exit(status) exit(status)
#else
#define LEAVE_HERE true
#define successor_exit(status) process_exit(status)
#endif

#define LEAVE_STACK_LEAST (1024U * 1024U)

static int succeed(void *userdata) {
        Successor *next = userdata;

        process_exit(next->run(next->userdata, next->room));
}

/* The child's stack is the rest of ours: far enough below for what we may still call. */
static pid_t leave_here(const Successor *next) {
        char *room = (char *)__builtin_frame_address(0) - PROCESS_LEAVE_ROOM;
        Successor *top;
        pid_t pid;

        room -= (uintptr_t)room % (uintptr_t)sysconf(_SC_PAGESIZE);
        top = (Successor *)(void *)room - 2; /* keeps the alignment of a stack */
        *top = *next;
        top->room = room;
        pid = clone(succeed, top, CLONE_VM | SIGCHLD, top);
        if (pid >= 0)
                (void)syscall(SYS_set_tid_address, NULL); /* else our end writes to what is the child's */
        return pid;
}

static pid_t leave_copy(const Successor *next) {
        pid_t pid = fork();

        if (pid == 0)
                successor_exit(next->run(next->userdata, NULL));
        return pid;
}

static bool stack_has_room(void) {
        struct rlimit stack;

        return LEAVE_HERE && getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur >= LEAVE_STACK_LEAST;
}

/**
 * process_leave() - have a child go on with this very memory, while we have nothing left to do but to exit
 * @run: its return value is the child's exit status; nothing of ours is cleaned up then
 *
 * Nothing is copied, neither pages nor their tables, which is most of what a fork costs. The child's stack begins below
 * ours; @userdata and whatever it needs of the caller's frames stays there as long as the caller does not return. Until
 * we exit, one of both may work, the other has to wait: a thread's variables, errno among them, are common. Only for a
 * process of one thread. If the stack is limited to less than 1 MiB, the child is an ordinary one.
 *
 * @room is where PROCESS_LEAVE_ROOM bytes begin that nobody needs when we have ended, for memory_give_back(); NULL if
 * there are none.
 *
 * Return: 0 with @ret_pid set, or a negative errno. The child does not return.
 */
int process_leave(int (*run)(void *userdata, void *room), void *userdata, pid_t *ret_pid) {
        const Successor next = { .run = run, .userdata = userdata };
        pid_t pid;

        pid = stack_has_room() ? leave_here(&next) : leave_copy(&next);
        if (pid < 0)
                return fail(-errno);
        *ret_pid = pid;
        return 0;
}

/**
 * process_exit() - end at once, without exit handlers
 */
void process_exit(int status) {
        _exit(status);
}

/**
 * process_replace() - become another program
 *
 * Return: only on failure, a negative errno.
 */
int process_replace(const char *path, char *const *argv, char *const *envp) {
        (void)execve(path, argv, envp);
        return fail(-errno);
}

/**
 * process_set_name() - what ps shows as our name; 15 bytes of it
 */
void process_set_name(const char *name) {
        (void)prctl(PR_SET_NAME, name);
}

/**
 * process_set_title() - what ps, systemctl status and the journal show as our command line
 * @argv: as main() got it; its words are overwritten, so nobody may need them any more
 *
 * A title longer than the command line was is cut.
 */
void process_set_title(char *const *argv, const char *title) {
        char *end = argv[0] + strlen(argv[0]);
        size_t size;

        for (size_t i = 1; argv[i] && argv[i] == end + 1; i++)
                end = argv[i] + strlen(argv[i]);
        size = (size_t)(end - argv[0]);
        memset(argv[0], 0, size);
        (void)snprintf(argv[0], size, "%s", title);
}

/**
 * process_pidfd() - descriptor of a process, CLOEXEC, the caller's
 *
 * Return: the descriptor, or a negative errno: -ESRCH if there is no such process.
 */
int process_pidfd(pid_t pid) {
        int fd;

        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        return fd < 0 ? fail(-errno) : fd;
}

/**
 * process_copy_fd() - a copy of what a child of ours, not reaped yet, has at the number @fd
 *
 * It need not send it, so it does not matter what else is on its way.
 *
 * Return: the descriptor, CLOEXEC, or a negative errno: -EPERM if the kernel or an administrator forbids it.
 */
int process_copy_fd(pid_t pid, int fd) {
        _cleanup_close_ int pidfd = process_pidfd(pid);
        int copy;

        if (pidfd < 0)
                return relay(pidfd);
        copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        return copy < 0 ? fail(-errno) : copy;
}

/**
 * process_signal() - signal a process by its descriptor
 *
 * Return: 0, or a negative errno: -ESRCH if it has ended.
 */
int process_signal(int pidfd, int signal) {
        if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
                return fail(-errno);
        return 0;
}

/**
 * process_signal_value() - signal a process, with a number that it can see
 * @from: what it will see as the sender's pid: it may be any number
 *
 * Return: 0 or a negative errno: -ESRCH if it has ended.
 */
int process_signal_value(int pidfd, int signal, int value, pid_t from) {
        siginfo_t info = { .si_signo = signal, .si_code = SI_QUEUE };

        info.si_pid = from;
        info.si_uid = getuid();
        info.si_value.sival_int = value;
        if (syscall(SYS_pidfd_send_signal, pidfd, signal, &info, 0) < 0)
                return fail(-errno);
        return 0;
}

/**
 * process_kill_child() - signal a child of ours that has not been reaped
 *
 * Until it is, its pid is nobody else's.
 *
 * Return: 0 or a negative errno.
 */
int process_kill_child(pid_t pid, int signal) {
        if (pid <= 1)
                return fail(-EINVAL);
        return kill(pid, signal) < 0 ? fail(-errno) : 0;
}

/**
 * process_kill_group() - signal a process, and the process group it is in
 * @pidfd: of @pid
 *
 * The process alone if its group is nobody's to signal: none, init's, or our own. Nobody if it has been buried: what has
 * its number then is another process, and a group that it has left behind cannot be told from another one.
 *
 * Return: 0 or a negative errno: -ESRCH if it has ended.
 */
int process_kill_group(int pidfd, pid_t pid, int signal) {
        pid_t group;
        int r;

        if (pid <= 1)
                return fail(-EINVAL);
        group = getpgid(pid);
        r = process_signal(pidfd, 0); /* it is there, so the group was its own */
        if (r < 0)
                return relay(r);
        if (group > 1 && group != getpgrp() && kill(-group, signal) < 0 && errno != ESRCH)
                return fail(-errno);
        return process_signal(pidfd, signal);
}

static ProcessStatus status_of(const siginfo_t *info) {
        if (info->si_code == CLD_EXITED)
                return (ProcessStatus){ .known = true, .code = info->si_status };
        return (ProcessStatus){ .known = true,
                                .code = 128 + info->si_status,
                                .signal = info->si_status,
                                .dumped = info->si_code == CLD_DUMPED };
}

/**
 * process_reap() - bury a child that process_peek() has found
 *
 * Return: 0, or a negative errno: -ECHILD if it is no child of ours.
 */
int process_reap(pid_t pid) {
        siginfo_t info = { 0 };
        int r;

        do
                r = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) < 0 ? -errno : 0;
        while (r == -EINTR);
        return r < 0 ? fail(r) : 0;
}

/**
 * process_end() - kill a child of ours and bury it
 *
 * Return: 0 or a negative errno.
 */
int process_end(pid_t pid) {
        int r;

        r = process_kill_child(pid, SIGKILL);
        if (r >= 0)
                r = process_await(pid);
        return r < 0 ? relay(r) : 0;
}

/**
 * process_await() - wait until a child of ours has ended, and bury it
 *
 * Blocks. Return: 0 or a negative errno.
 */
int process_await(pid_t pid) {
        siginfo_t info;
        int r;

        do
                r = waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ? -errno : 0;
        while (r == -EINTR);
        return r < 0 ? fail(r) : 0;
}

/**
 * process_peek() - look whether a child has ended and leave it to be reaped
 * @pid: that child, or 0 for any
 *
 * Return: the pid with a status, 0 if it has not ended, -ECHILD if it is no child of ours.
 */
int process_peek(pid_t pid, ProcessStatus *ret_status) {
        siginfo_t info = { 0 };
        int r;

        do
                r = waitid(pid ? P_PID : P_ALL, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ? -errno
                                                                                                   : 0;
        while (r == -EINTR);
        if (r < 0)
                return r == -ECHILD ? r : fail(r);
        if (info.si_pid == 0)
                return 0;
        *ret_status = status_of(&info);
        return info.si_pid;
}

/**
 * process_status_of() - how a process has ended that need not be a child of ours
 *
 * From Linux 6.15 on the kernel keeps that for as long as there is a pidfd, once somebody has reaped the process: which
 * poll() tells by POLLHUP. It has the mark of a core dump. Linux 6.16 has more to say of one, but only if a socket took
 * it: of a core in a file, coredump_mask is 0 (Linux 6.18).
 *
 * Return: 0, PROCESS_UNREAPED, or a negative errno: -EOPNOTSUPP if the kernel does not tell.
 */
int process_status_of(int pidfd, ProcessStatus *ret_status) {
        ProcessPidfdInfo info = { .mask = PIDFD_INFO_EXITED };
        int signal;

        if (ioctl(pidfd, PROCESS_PIDFD_GET_INFO, &info) <
            0) /* ESRCH: it knows the call, but keeps no status */
                return errno == ENOTTY || errno == EINVAL || errno == ESRCH ? -EOPNOTSUPP : fail(-errno);
        if (!(info.mask & PIDFD_INFO_EXITED))
                return PROCESS_UNREAPED;
        signal = WIFSIGNALED(info.exit_code) ? WTERMSIG(info.exit_code) : 0;
        *ret_status = (ProcessStatus){ .known = true,
                                       .code = signal != 0 ? 128 + signal : WEXITSTATUS(info.exit_code),
                                       .signal = signal,
                                       .dumped = signal != 0 && WCOREDUMP(info.exit_code) };
        return 0;
}
