/* SPDX-License-Identifier: Apache-2.0 */

/*
 * "scopemon upgrade NAME|ID|PID..." and "--all": ask monitors that run to become the program that is installed now,
 * one after the other, and tell what came of it. Monitors of exec sessions are asked with that of their container.
 *
 * The request is a SIGUSR2 with a value that says so. It would end a monitor that does not know it, the stock one or one
 * of ours from before: so nobody gets it who has not blocked it. It goes through a pidfd that was opened before the look at what the process is.
 *
 * As the other verbs, this one writes to stdout and stderr itself: somebody is waiting at a terminal.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/utf8.h"
#include "config/options.h"
#include "event/event.h"
#include "explain/explain-internal.h"
#include "explain/verb.h"
#include "io/answer.h"
#include "upgrade/upgrade.h"

#define WAIT_USEC 60000000U    /* for all that are slow: a slow binary, and a runtime that must exit first */
#define WAIT_MIN_USEC 1000000U /* for one, however many had no answer before it */

typedef struct Upgrade {
        ExplainHost *host;
        int answers;   /* socket, */
        pid_t number;  /* ... and its number */
        uint64_t left; /* time to wait for those who do not answer */
        bool all;
        unsigned n_done, n_failed;
} Upgrade;

__attribute__((format(printf, 2, 3))) static void complain(Upgrade *v, const char *format, ...) {
        char line[4096];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void)fprintf(stderr, "%s\n", utf8_make_printable(line));
        v->n_failed++;
}

static int print_help(void) {
        (void)printf(
                "Usage:\n  scopemon upgrade [--user] NAME|ID|PID|UNIT...\n  scopemon upgrade [--user] "
                "--all\n\n"
                "Re-execute running monitors from the installed program; their containers keep running.\n\n"
                "Options:\n");
        return verb_print_options(VERB_UPGRADE);
}

/* Does it wait for the signal? Its mask says so, unless it is just being started. */
static bool can_be_asked(pid_t pid) {
        uint64_t blocked;

        return proc_signals(pid, "SigBlk", &blocked) >= 0 && blocked & 1ULL << (SIGUSR2 - 1);
}

/* Return: 1 with an answer in @text, 0 if there is none and @text says why. */
static int wait_for_answer(Upgrade *v, pid_t pid, int pidfd, char text[ANSWER_MAX]) {
        uint64_t wait = v->left > WAIT_MIN_USEC ? v->left : WAIT_MIN_USEC, end = event_now() + wait;

        for (;;) {
                struct pollfd p[2] = { { .fd = v->answers, .events = POLLIN },
                                       { .fd = pidfd, .events = POLLIN } };
                uint64_t now = event_now();
                pid_t from;

                while (answer_receive(v->answers, &from, text) > 0)
                        if (from == pid)
                                return 1;
                if (p[1].revents & POLLIN || now >= end)
                        break;
                if (poll(p, 2, (int)((end - now + 999) / 1000)) > 0 && p[1].revents & POLLIN &&
                    !(p[0].revents & POLLIN)) {
                        (void)snprintf(text, ANSWER_MAX, "it has exited");
                        return 0;
                }
        }
        v->left = v->left > wait ? v->left - wait : 0;
        (void)snprintf(text, ANSWER_MAX, "no response within %u s", (unsigned)(wait / 1000000U));
        return 0;
}

static const char *name_of(const ExplainProcess *p) {
        const char *name;

        return options_peek(p->argv, "name", &name) ? name : p->id;
}

/* The clock that these are derived from is adjusted now and then; a pid is not used again so quickly. */
static bool is_same_time(uint64_t a, uint64_t b) {
        return (a > b ? a - b : b - a) < 500000U;
}

static void upgrade_one(Upgrade *v, const ExplainProcess *p) {
        const char *name = name_of(p), *what = p->exec ? " (exec session)" : "";
        _cleanup_close_ int pidfd = -1;
        char text[ANSWER_MAX], line[4096];
        ProcStat now;
        int r;

        pidfd = process_pidfd(p->pid);
        if (pidfd < 0 || proc_stat(p->pid, &now) < 0 || !is_same_time(now.start_usec, p->stat.start_usec)) {
                if (!v->all && !p->exec)
                        complain(v, "Failed to upgrade %s: it has exited", name);
                return; /* there is nothing to upgrade */
        }
        if (!can_be_asked(p->pid)) {
                if (!v->all)
                        complain(v, "Failed to upgrade %s%s: monitor %d does not support upgrades", name,
                                 what, p->pid);
                return;
        }
        r = process_signal_value(pidfd, SIGUSR2, UPGRADE_VALUE, v->number);
        if (r < 0) {
                complain(v, "Failed to upgrade %s%s: %s", name, what, strerror(-r));
                return;
        }
        r = wait_for_answer(v, p->pid, pidfd, text);
        if (r == 0 || strncmp(text, UPGRADE_DONE, strlen(UPGRADE_DONE)) != 0) {
                complain(v, "Failed to upgrade %s%s: monitor %d: %s", name, what, p->pid, text);
                return;
        }
        (void)snprintf(line, sizeof line, "%s%s: monitor %d %s", name, what, p->pid, text);
        (void)puts(utf8_make_printable(line));
        v->n_done++;
}

static bool is_child_of_its_kind(const ExplainHost *h, const ExplainProcess *p) {
        for (size_t i = 0; i < h->n; i++)
                if (h->processes[i].argv && h->processes[i].stat.parent == p->pid)
                        return true; /* a launcher, which will be gone in a moment */
        return false;
}

/* Return: how many monitors there are. */
static unsigned upgrade_id(Upgrade *v, const char *id) {
        const ExplainHost *h = v->host;
        unsigned n = 0;

        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i];

                if (!p->argv || strcmp(p->id, id) != 0 || is_child_of_its_kind(h, p))
                        continue;
                n++;
                upgrade_one(v, p);
        }
        return n;
}

/* The pid of a monitor is that monitor and no other. */
static const ExplainProcess *monitor_of_pid(const ExplainHost *h, const char *word) {
        pid_t pid;

        if (parse_pid(word, &pid) < 0)
                return NULL;
        for (size_t i = 0; i < h->n; i++)
                if (h->processes[i].pid == pid)
                        return h->processes[i].argv ? &h->processes[i] : NULL;
        return NULL;
}

static int upgrade_word(Upgrade *v, const char *word) {
        const ExplainProcess *monitor = monitor_of_pid(v->host, word);
        ExplainIds ids = { 0 };
        unsigned n = 0;
        int r;

        if (monitor) {
                upgrade_one(v, monitor);
                return 0;
        }
        r = explain_find(v->host, word, &ids);
        for (size_t i = 0; r >= 0 && i < ids.n; i++)
                n += upgrade_id(v, ids.ids[i]);
        if (r >= 0 && n == 0)
                complain(v, "Failed to upgrade %s: %s", word,
                         ids.n > 0 ? "not running" : "no container found");
        free(ids.ids);
        return r < 0 ? relay(r) : 0;
}

static int upgrade_all(Upgrade *v) {
        ExplainIds ids = { 0 };
        int r;

        r = explain_find_all(v->host, &ids);
        for (size_t i = 0; r >= 0 && i < ids.n; i++)
                (void)upgrade_id(v, ids.ids[i]);
        free(ids.ids);
        return r < 0 ? relay(r) : 0;
}

static int run(Upgrade *v, bool user, char **words) {
        int r;

        r = answer_listen(&v->answers, &v->number);
        if (r >= 0)
                r = explain_host_new(&v->host, user);
        if (r >= 0 && v->all)
                r = upgrade_all(v);
        for (; r >= 0 && *words; words++)
                r = upgrade_word(v, *words);
        v->host = explain_host_free(v->host);
        fd_close_many(&v->answers, 1);
        return r < 0 ? relay(r) : 0;
}

/**
 * upgrade_run_verb() - have others upgraded
 * @argv: with the verb as its second word; its pointers are rearranged
 *
 * Return: an exit status; 0 if all that were meant have been.
 */
int upgrade_run_verb(int argc, char *argv[]) {
        Upgrade v = { .answers = -1, .left = WAIT_USEC };
        VerbOptions o = { 0 };
        int r;

        r = verb_parse(VERB_UPGRADE, argv + 2, &o);
        if (r < 0)
                return EXIT_FAILURE;
        v.all = o.all;
        if (!o.help && v.all != !argv[2]) {
                complain(&v, v.all ? "--all does not take arguments"
                                   : "Missing argument: name, ID or PID of a container, a unit, or --all");
                return EXIT_FAILURE;
        }
        r = o.help ? print_help() : run(&v, o.user, argv + 2);
        if (r >= 0)
                r = fd_flush_stdout();
        if (r < 0)
                complain(&v, "Failed to upgrade: %s", strerror(-r));
        return v.n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
