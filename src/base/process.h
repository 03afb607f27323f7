/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Processes: the only place with fork, exec, _exit and waitid. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/* Of linux/pidfd.h of Linux 6.15; the C library of older systems has none of it. */
typedef struct ProcessPidfdInfo {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, ppid, ids[8];
        int32_t exit_code; /* as of wait() */
} ProcessPidfdInfo;

#define PROCESS_PIDFD_GET_INFO _IOWR(0xFF, 11, ProcessPidfdInfo)

#define PROCESS_LEAVE_ROOM (64U * 1024U) /* bytes of the stack, for who leaves; see process_leave() */

typedef struct ProcessSpec {
        const char *path; /* executed as it is, no search in PATH */
        char *const *argv;
        char *const *envp;
        int stdio[3];              /* descriptors for 0, 1, 2; borrowed */
        const sigset_t *mask;      /* signal mask of the child */
        int death_signal;          /* sent to the child when the thread that made it dies; 0 for none */
        uint64_t fds_max;          /* soft limit of descriptors; 0 to leave it */
        const char *oom_score_adj; /* value written before exec, NULL to leave it */
        int wait_fd;               /* one read from it before exec, then it is closed; -1 for none */
        int cgroup_fd;             /* cgroup.procs of a cgroup to move to before exec; 0 or -1 for none */
        bool own_listen_pid;       /* LISTEN_PID= in @envp becomes the child's own pid */
        bool close_others;         /* close all from 3 up but keep_fds */
        const int *keep_fds;       /* descriptors that lose CLOEXEC in the child */
        size_t n_keep_fds;
} ProcessSpec;

typedef struct ProcessStatus {
        bool known; /* false: the end was not seen, or not by us */
        int code;   /* exit code, or 128 + signal */
        int signal; /* 0 if it exited by itself */
        bool dumped;
} ProcessStatus;

/* Positive answer of process_status_of(): it runs, or is a zombie that nobody has reaped. */
enum {
        PROCESS_UNREAPED = 1,
};

int process_spawn(const ProcessSpec *spec, pid_t *ret_pid, int *ret_pidfd);
int process_fork(pid_t *ret_pid);
int process_fork_sharing(pid_t *ret_pid);
int process_leave(int (*run)(void *userdata, void *room), void *userdata, pid_t *ret_pid);
void process_exit(int status) __attribute__((noreturn));
int process_replace(const char *path, char *const *argv, char *const *envp);
void process_set_name(const char *name);
void process_set_title(char *const *argv, const char *title);
int process_pidfd(pid_t pid);
int process_copy_fd(pid_t pid, int fd);
int process_signal(int pidfd, int signal);
int process_signal_value(int pidfd, int signal, int value, pid_t from);
int process_kill_child(pid_t pid, int signal);
int process_kill_group(int pidfd, pid_t pid, int signal);
int process_reap(pid_t pid);
int process_end(pid_t pid);
int process_await(pid_t pid);
int process_peek(pid_t pid, ProcessStatus *ret_status);
int process_status_of(int pidfd, ProcessStatus *ret_status);
