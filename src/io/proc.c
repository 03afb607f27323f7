/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Other people's processes. A process may end between any two looks, so an error here says that one of them is gone
 * or not for us to see, and never that something is wrong.
 *
 * What a process calls itself it may choose freely: names and command lines are hostile text.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "io/proc.h"

#define ARGV_MAX ((size_t)256 * 1024)
#define STATUS_MAX 65536
#define STAT_MAX 4096
#define PF_EXITING 0x4U /* include/linux/sched.h of the kernel; not in its UAPI, the same since 2.6 */

static inline void cleanup_closedir(DIR **dir) {
        if (*dir)
                (void)closedir(*dir); /* nothing was written */
}

static int append_pid(pid_t **pids, size_t *n, size_t *allocated, pid_t pid) {
        if (*n == *allocated) {
                size_t more = *allocated ? *allocated * 2 : 256;
                pid_t *larger = realloc(*pids, more * sizeof **pids);

                if (!larger)
                        return fail(-ENOMEM);
                *pids = larger;
                *allocated = more;
        }
        (*pids)[(*n)++] = pid;
        return 0;
}

/**
 * proc_list() - all processes there are
 * @ret_pids: the caller's to free
 *
 * Return: 0 or a negative errno.
 */
int proc_list(pid_t **ret_pids, size_t *ret_n) {
        _cleanup_(cleanup_closedir) DIR *dir = opendir("/proc");
        size_t n = 0, allocated = 0;
        struct dirent *entry;
        pid_t *pids = NULL;
        int r = 0;

        if (!dir)
                return fail(-errno);
        while (r >= 0 && (errno = 0, entry = readdir(dir))) {
                pid_t pid;

                if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parse_pid(entry->d_name, &pid) >= 0)
                        r = append_pid(&pids, &n, &allocated, pid);
        }
        if (r >= 0 && errno != 0)
                r = fail(-errno);
        if (r < 0) {
                free(pids);
                return relay(r);
        }
        *ret_pids = pids;
        *ret_n = n;
        return 0;
}

static uint64_t usec_of(clockid_t clock) {
        struct timespec t;

        (void)clock_gettime(clock, &t); /* these clocks are always there */
        return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

/**
 * proc_parse_stat() - read the text of /proc/PID/stat
 * @text: changed
 * @ret: all but the owner
 *
 * The name in the middle may hold blanks and brackets: what counts is the last one.
 *
 * Return: 0 or -EBADMSG.
 */
int proc_parse_stat(char *text, ProcStat *ret) {
        char *open = strchr(text, '('), *close = strrchr(text, ')'), *rest;
        uint64_t since_boot, now = usec_of(CLOCK_BOOTTIME);
        unsigned long long ticks;
        unsigned long flags = 0;
        long parent;

        if (!open || !close || close < open || close[1] != ' ' || close[2] == 0)
                return fail(-EBADMSG);
        *close = 0;
        (void)snprintf(ret->comm, sizeof ret->comm, "%s", open + 1);
        parent = strtol(close + 3, &rest, 10);
        for (int i = 0; i < 18 && rest; i++) { /* fields 5 to 21 are of no interest, but for the flags */
                rest = strchr(rest + (i > 0), ' ');
                if (rest && i == 4)
                        flags = strtoul(rest, NULL, 10);
        }
        if (!rest)
                return fail(-EBADMSG);
        ticks = strtoull(rest, NULL, 10);
        since_boot = ticks * (1000000U / (unsigned long)sysconf(_SC_CLK_TCK));
        ret->zombie = close[2] == 'Z' || close[2] == 'X';
        ret->exiting = flags & PF_EXITING;
        ret->state = close[2];
        ret->parent = (pid_t)parent;
        ret->boot_usec = since_boot;
        ret->start_usec = usec_of(CLOCK_REALTIME) - (now > since_boot ? now - since_boot : 0);
        return 0;
}

/**
 * proc_stat() - parent, owner, name and age of a process
 *
 * Return: 0 or a negative errno.
 */
int proc_stat(pid_t pid, ProcStat *ret) {
        _cleanup_free_ char *text = NULL;
        ProcStat found = { 0 };
        struct stat st;
        char path[64];
        int r;

        (void)snprintf(path, sizeof path, "/proc/%d", pid);
        if (stat(path, &st) < 0)
                return fail(-errno);
        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        r = fd_read_file(AT_FDCWD, path, STAT_MAX, &text, NULL);
        if (r >= 0)
                r = proc_parse_stat(text, &found);
        if (r < 0)
                return relay(r);
        found.uid = st.st_uid;
        *ret = found;
        return 0;
}

/**
 * proc_is_alive() - is there still the process with this pid that was started then?
 *
 * A zombie is not, whoever is still to reap it.
 */
bool proc_is_alive(pid_t pid, uint64_t boot_usec) {
        ProcStat stat = { 0 };

        return pid > 0 && proc_stat(pid, &stat) >= 0 && !stat.zombie && stat.boot_usec == boot_usec;
}

/**
 * proc_argv() - the command line of a process
 * @ret_argv: NULL after the last word; one allocation for all of it, the caller's to free
 *
 * Return: 0 or a negative errno: -ENODATA for a kernel thread.
 */
int proc_argv(pid_t pid, char ***ret_argv) {
        _cleanup_free_ char *text = NULL;
        size_t size, n = 1;
        char path[64], **argv, *p;
        int r;

        (void)snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
        r = fd_read_file(AT_FDCWD, path, ARGV_MAX, &text, &size);
        if (r < 0)
                return relay(r);
        if (size == 0)
                return fail(-ENODATA);
        for (size_t i = 0; i < size; i++)
                n += text[i] == 0;

        argv = malloc((n + 1) * sizeof *argv + size + 1);
        if (!argv)
                return fail(-ENOMEM);
        p = memcpy(argv + n + 1, text, size + 1);
        n = 0;
        for (char *end = p + size; p < end; p += strlen(p) + 1)
                argv[n++] = p;
        argv[n] = NULL;
        *ret_argv = argv;
        return 0;
}

/**
 * proc_signals() - a set of signals of a process
 * @field: of /proc/PID/status: "SigBlk", "SigIgn", "SigCgt"
 * @ret: bit N - 1 is signal N
 *
 * Return: 0 or a negative errno.
 */
int proc_signals(pid_t pid, const char *field, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        char path[64], name[32];
        const char *p;
        int r;

        (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
        r = fd_read_file(AT_FDCWD, path, STATUS_MAX, &text, NULL);
        if (r < 0)
                return relay(r);
        (void)snprintf(name, sizeof name, "\n%s:", field);
        p = strstr(text, name);
        if (!p)
                return fail(-ENODATA);
        *ret = strtoull(p + strlen(name), NULL, 16);
        return 0;
}

/**
 * proc_same_program() - do two processes run the same file?
 *
 * Return: false also if it is not for us to see.
 */
bool proc_same_program(pid_t a, pid_t b) {
        struct stat sts[2];

        for (int i = 0; i < 2; i++) {
                char path[64];

                (void)snprintf(path, sizeof path, "/proc/%d/exe", i == 0 ? a : b);
                if (stat(path, &sts[i]) < 0)
                        return false;
        }
        return sts[0].st_dev == sts[1].st_dev && sts[0].st_ino == sts[1].st_ino;
}
