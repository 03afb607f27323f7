/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The process that started us, while it waits for the container to be made: will it wait for the container's end, too?
 *
 * Podman tells its monitor nothing of -d, and attaches only when the container has been made. But in the foreground
 * it passes signals on to the container (--sig-proxy), and it has its handlers installed before it starts a monitor:
 * then it catches SIGCONT, SIGTSTP, SIGTTIN and SIGTTOU, which Go programs leave alone otherwise. (Measured on 5.4 and
 * 5.8: run, start --attach, with and without -t, -i and --attach; none of -d, start, pod start, restart, kube play.)
 * With --sig-proxy=false it does not, and the container is none of its unit's.
 *
 * Podman 4.3 installs them later and nothing else is different, so of Podman before 5, known by its lack of
 * --persist-dir, the words of the command line are asked, too. No later options have to be known for that.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "io/proc.h"
#include "placement/caller.h"

#define READ_MAX ((size_t)256 * 1024)

/* ---- its command line --------------------------------------------------------------------------------- */

/* Options that take no value: letters, and names between blanks. */
typedef struct Flags {
        const char *letters;
        const char *names;
        char letter; /* the one that is asked for */
        const char *name;
        bool interspersed; /* options may follow words */
} Flags;

static const Flags global_flags = { .letters = "rv",
                                    .names = " help noout remote syslog trace transient-store version " };
static const Flags start_flags = { .letters = "ail",
                                   .names = " all attach help interactive latest sig-proxy ",
                                   .letter = 'a',
                                   .name = "attach",
                                   .interspersed = true };
static const Flags run_flags = {
        .letters = "diPqt",
        .names = " detach disable-content-trust env-host help http-proxy init interactive no-healthcheck "
                 "no-hosts"
                 " oom-kill-disable passwd privileged publish-all quiet read-only read-only-tmpfs replace rm "
                 "rmi rootfs"
                 " sig-proxy tls-verify tty unsetenv-all ",
        .letter = 'd',
        .name = "detach",
};

static bool is_true(const char *value) {
        return !*value || strchr("1tT", *value);
}

/* -x, -xyz, -xVALUE or -x=VALUE. Return: how many more words belong to it. */
static size_t read_letters(const Flags *flags, const char *word, bool *given) {
        for (const char *p = word + 1; *p; p++) {
                if (!strchr(flags->letters, *p))
                        return p[1] == 0;
                if (*p == flags->letter)
                        *given = p[1] != '=' || is_true(p + 2);
                if (p[1] == '=')
                        return 0;
        }
        return 0;
}

/* --name, --name=VALUE or --name VALUE. Return: as above. */
static size_t read_name(const Flags *flags, const char *word, bool *given) {
        size_t n = strcspn(word + 2, "=");
        char name[64];

        if (flags->name && strlen(flags->name) == n && strncmp(word + 2, flags->name, n) == 0)
                *given = word[2 + n] == 0 || is_true(word + 2 + n + 1);
        if (word[2 + n] == '=' || n + 3 > sizeof name)
                return 0;
        (void)snprintf(name, sizeof name, " %s ", word + 2);
        return strstr(flags->names, name) == NULL;
}

/* Return: the first word that is no option, or the end. */
static char *const *read_flags(char *const *words, const Flags *flags, bool *given) {
        *given = false;
        for (; *words; words++) {
                size_t more;

                if (strcmp(*words, "--") == 0)
                        return words + 1;
                if ((*words)[0] != '-' || (*words)[1] == 0) {
                        if (flags->interspersed)
                                continue;
                        return words;
                }
                more = (*words)[1] == '-' ? read_name(flags, *words, given)
                                          : read_letters(flags, *words, given);
                if (more > 0 && !*++words)
                        break;
        }
        return words;
}

/**
 * caller_words_wait() - do the words of Podman's command line, one before 5, say that it waits for the container?
 */
bool caller_words_wait(char *const argv[]) {
        char *const *words = argv;
        bool given;

        if (!*words)
                return false;
        words = read_flags(words + 1, &global_flags, &given);
        if (*words && strcmp(*words, "container") == 0)
                words++;
        if (!*words)
                return false;
        if (strcmp(*words, "run") == 0) {
                (void)read_flags(words + 1, &run_flags, &given);
                return !given;
        }
        if (strcmp(*words, "start") != 0)
                return false;
        (void)read_flags(words + 1, &start_flags, &given);
        return given;
}

/* ---- the process -------------------------------------------------------------------------------------- */

static bool passes_signals_on(pid_t pid) {
        static const int numbers[] = { SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU };
        uint64_t caught;

        if (proc_signals(pid, "SigCgt", &caught) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                if (!(caught >> (numbers[i] - 1) & 1))
                        return false;
        return true;
}

static bool waits_by_words(pid_t pid) {
        _cleanup_free_ char **argv = NULL;

        return proc_argv(pid, &argv) >= 0 && caller_words_wait(argv);
}

/* Returns 0 with @ret the caller's to free, a positive value if there is no such variable, or a negative errno. */
static int variable_of(pid_t pid, const char *name, char **ret) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        size_t size;
        int r;

        (void)snprintf(path, sizeof path, "/proc/%d/environ", pid);
        r = fd_read_file(AT_FDCWD, path, READ_MAX, &text, &size);
        if (r < 0)
                return relay(r);
        for (const char *p = text; p < text + size; p += strlen(p) + 1)
                if (strncmp(p, name, strlen(name)) == 0 && p[strlen(name)] == '=') {
                        *ret = strdup(p + strlen(name) + 1);
                        return *ret ? 0 : fail(-ENOMEM);
                }
        return 1;
}

static bool has_socket(pid_t pid) {
        _cleanup_free_ char *path = NULL;

        return variable_of(pid, "NOTIFY_SOCKET", &path) == 0 && *path;
}

/**
 * caller_store() - how many descriptors the unit of a process stores, by what systemd 254 or later has told it
 *
 * An older one closes what it has stored itself, and would sleep for whoever has sent a socket that lingers.
 *
 * Return: that number, 0 if it is unknown.
 */
uint32_t caller_store(pid_t pid) {
        _cleanup_free_ char *text = NULL;
        uint64_t n;

        if (variable_of(pid, "FDSTORE", &text) != 0 || parse_u64(text, &n) < 0 || n > UINT32_MAX)
                return 0;
        return (uint32_t)n;
}

static bool has_gone(const Caller *caller) {
        struct pollfd ended = { .fd = caller->pidfd, .events = POLLIN };

        return caller->pidfd < 0 || poll(&ended, 1, 0) != 0;
}

/**
 * caller_look() - look at the process that started us
 * @by_words: it may be a Podman before 5
 *
 * One that has gone waits for nothing.
 */
CallerFacts caller_look(const Caller *caller, bool by_words) {
        const CallerFacts gone = { .next = PLACEMENT_CALLER_LEAVES, .outer = caller->pid };
        CallerFacts facts = gone;
        ProcStat stat;

        if (has_gone(caller) || proc_stat(caller->pid, &stat) < 0)
                return gone;
        if (caller->former_monitor > 0 && stat.parent == caller->former_monitor) {
                facts.next = PLACEMENT_CALLER_RESTARTS;
                facts.former_monitor = caller->former_monitor;
        } else if (passes_signals_on(caller->pid) || (by_words && waits_by_words(caller->pid)))
                facts.next = PLACEMENT_CALLER_WAITS;
        facts.notifies = has_socket(caller->pid);
        if (proc_same_program(stat.parent, caller->pid))
                facts.outer = stat.parent;
        return has_gone(caller) ? gone : facts;
}
