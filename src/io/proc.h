/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Other people's processes, as /proc shows them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_COMM_SIZE 64 /* the kernel's 16, with room for what replaces a byte that is no character */

typedef struct ProcStat {
        pid_t parent;
        uid_t uid;           /* as seen from here */
        uint64_t start_usec; /* since the epoch, by the clock of now */
        uint64_t boot_usec;  /* since boot, in microseconds: with the pid, never another process's */
        bool zombie;
        bool exiting; /* gives back what it had, or is a zombie */
        char state;   /* as /proc/PID/stat has it: R, S, D, T, t, Z, X */
        char comm[PROC_COMM_SIZE];
} ProcStat;

int proc_list(pid_t **ret_pids, size_t *ret_n);
int proc_stat(pid_t pid, ProcStat *ret);
bool proc_is_alive(pid_t pid, uint64_t boot_usec);
int proc_parse_stat(char *text, ProcStat *ret);
int proc_argv(pid_t pid, char ***ret_argv);
int proc_signals(pid_t pid, const char *field, uint64_t *ret);
bool proc_same_program(pid_t a, pid_t b);
