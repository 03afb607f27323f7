/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Questions about containers: "scopemon explain WORD...", "scopemon status WORD...", "scopemon list". Everything is read
 * from what is there for all to see, processes, cgroups, units and the journal; nothing is changed, nobody is signalled,
 * and the container's manager is not asked. So the answers are right for containers of the stock monitor too, as far as
 * the facts go.
 *
 * The first word of the command line decides that it is a question: no caller of a monitor begins with one.
 *
 * These verbs are the third place that writes to stdout and stderr: there is no log, somebody is waiting at a terminal.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "explain/explain-internal.h"
#include "explain/explain.h"
#include "explain/verb.h"

static int print_help(Verb verb) {
        switch (verb) {
        case VERB_LIST:
                (void)printf("Usage:\n  scopemon list [OPTION...] [PATTERN...]\n\n"
                             "List running containers with their units and output. PATTERN matches names and "
                             "units.\n");
                break;
        case VERB_STATUS:
                (void)printf("Usage:\n  scopemon status [OPTION...] NAME|ID|PID|UNIT|PATTERN...\n\n"
                             "Show what \"scopemon explain\" shows, and the last ten lines of output.\n");
                break;
        case VERB_EXPLAIN:
        case VERB_DOCTOR:
        case VERB_UPGRADE:
                (void)printf(
                        "Usage:\n  scopemon explain [OPTION...] NAME|ID|PID|UNIT|PATTERN...\n\n"
                        "Show where containers are placed and why, what stops them, and how they exited.\n");
                break;
        }
        (void)printf("\nOptions:\n");
        return verb_print_options(verb);
}

static int describe(const ExplainHost *h, const char *id, Explained **ret) {
        Explained *e = calloc(1, sizeof *e);

        if (!e)
                return fail(-ENOMEM);
        explain_processes(h, id, e);
        explain_journal(h, e);
        explain_units(e);
        explain_output(e);
        *ret = e;
        return 0;
}

/* One question; what is asked decides which of these are there. */
typedef struct Question {
        const VerbOptions *options;
        const ExplainHost *host;
        ExplainList *list; /* of "list" */
        Json *array;       /* with --json */
        bool lines;        /* "status" */
        bool more;         /* have exited than are shown */
        size_t n_shown;
} Question;

static int show(Question *q, const Explained *e) {
        _cleanup_(json_freep) Json *json = NULL;
        int r;

        if (!q->array && q->list) {
                r = explain_list_add(q->list, e);
                return r < 0 ? relay(r) : 0;
        }
        if (!q->array) {
                if (q->n_shown > 0)
                        (void)putchar('\n');
                explain_print(e);
                if (q->lines) {
                        (void)putchar('\n');
                        explain_lines(q->host, e, EXPLAIN_LINES_MAX);
                }
                return 0;
        }
        r = explain_json(e, &json);
        if (r >= 0)
                r = json_append(q->array, json);
        return r < 0 ? relay(r) : 0;
}

/* Return: 0, EXPLAIN_NOT_RUNNING if one of them does not run, or a negative errno. */
static int show_all(Question *q, const ExplainIds *ids) {
        int status = EXPLAIN_OK;

        for (size_t i = 0; i < ids->n; i++) {
                _cleanup_free_ Explained *e = NULL;
                int r;

                r = describe(q->host, ids->ids[i], &e);
                if (r >= 0)
                        r = show(q, e);
                if (r < 0)
                        return relay(r);
                q->n_shown++;
                if (!e->init && !e->keeper)
                        status = EXPLAIN_NOT_RUNNING;
        }
        return status;
}

/* The words that nobody knows are told one by one, the others are explained all the same. */
static int find_words(const ExplainHost *h, char **words, bool quiet, ExplainIds *ids, int *status) {
        for (; *words; words++) {
                ExplainIds found = { 0 };
                int r;

                r = explain_find(h, *words, &found);
                if (r >= 0 && found.n == 0 && !quiet) {
                        (void)verb_complain("No container found for %s", *words);
                        *status = EXPLAIN_UNKNOWN;
                }
                for (size_t i = 0; r >= 0 && i < found.n; i++)
                        r = explain_ids_add(ids, found.ids[i]);
                free(found.ids);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static int find(Question *q, char **words, ExplainIds *ids, int *status) {
        int r = 0;

        if (*words)
                r = find_words(q->host, words, q->list, ids, status);
        else {
                r = explain_find_all(q->host, ids);
                if (r >= 0 && q->options->all)
                        r = explain_journal_find_all(q->host, ids);
                q->more = r == EXPLAIN_MORE;
        }
        return r < 0 ? relay(r) : 0;
}

static void print_list(const Question *q, const Terminal *terminal) {
        if (q->n_shown > 0)
                explain_list_print(q->list, terminal, !q->options->no_legend);
        if (!q->options->no_legend && terminal->interactive)
                (void)printf("\n%zu container%s listed.%s\n", q->n_shown, q->n_shown == 1 ? "" : "s",
                             q->more           ? " Older ones are in the journal."
                             : q->options->all ? ""
                                               : " Pass --all to see containers that have exited, too.");
}

static int answer(Question *q, char **words) {
        const VerbOptions *o = q->options;
        Terminal terminal;
        ExplainIds ids = { 0 };
        int status = EXPLAIN_OK, r;

        r = find(q, words, &ids, &status);
        terminal_open(&terminal, !o->no_pager && (ids.n > 0 || q->list));
        if (r >= 0)
                r = show_all(q, &ids);
        if (r > 0 && status == EXPLAIN_OK)
                status = r;
        if (r >= 0 && q->array && (ids.n > 0 || q->list))
                (void)puts(json_text(q->array, o->format == VERB_FORMAT_PRETTY) ?: "");
        else if (r >= 0 && q->list)
                print_list(q, &terminal);
        free(ids.ids);
        if (r >= 0)
                r = fd_flush_stdout();
        terminal_close(&terminal);
        if (r < 0)
                return relay(r);
        return q->list ? EXPLAIN_OK : status;
}

static int new_list(ExplainList **ret, const char *columns) {
        const char *unknown, *meant;
        size_t n;
        int r;

        r = explain_list_new(ret, columns, &unknown, &n);
        if (r != EXPLAIN_LIST_UNKNOWN)
                return r < 0 ? relay(r) : 0;
        meant = explain_list_suggest(unknown, n);
        if (meant)
                return verb_complain("Unknown column %.*s, did you mean %s?", (int)n, unknown, meant);
        if (n == 0)
                return verb_complain("Column name is empty");
        return verb_complain("Unknown column %.*s; see section COMMANDS of scopemon(8)", (int)n, unknown);
}

static const struct {
        const char *name;
        Verb verb;
} verbs[] = { { "explain", VERB_EXPLAIN }, { "list", VERB_LIST }, { "status", VERB_STATUS } };

/**
 * explain_is_verb() - is this first word of a command line a question?
 */
bool explain_is_verb(const char *word) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (strcmp(word, verbs[i].name) == 0)
                        return true;
        return false;
}

static Verb verb_of(const char *word) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (strcmp(word, verbs[i].name) == 0)
                        return verbs[i].verb;
        return VERB_EXPLAIN;
}

static int ask(Verb verb, const VerbOptions *o, ExplainList *list, char **words) {
        _cleanup_(explain_host_freep) ExplainHost *host = NULL;
        _cleanup_(json_freep) Json *array = NULL;
        int r;

        r = explain_host_new(&host, o->user);
        if (r >= 0 && o->format != VERB_FORMAT_OFF)
                r = json_new_array(&array);
        if (r >= 0) {
                Question q = { o, host, list, array, verb == VERB_STATUS, false, 0 };

                r = answer(&q, words);
        }
        return r < 0 ? relay(r) : r;
}

/**
 * explain_run() - answer it
 * @argv: with the verb as its second word; its pointers are rearranged
 *
 * Return: an exit status.
 */
int explain_run(int argc, char *argv[]) {
        _cleanup_(explain_list_freep) ExplainList *list = NULL;
        Verb verb = verb_of(argv[1]);
        VerbOptions o = { 0 };
        int r;

        r = verb_parse(verb, argv + 2, &o);
        if (r >= 0 && verb == VERB_LIST)
                r = new_list(&list, o.output);
        if (r < 0)
                return EXPLAIN_FAILED;
        if (!o.help && verb != VERB_LIST && !argv[2]) {
                (void)verb_complain("Missing argument: name, ID or PID of a container, or a unit");
                return EXPLAIN_FAILED;
        }
        r = o.help ? print_help(verb) : ask(verb, &o, list, argv + 2);
        if (r < 0)
                (void)verb_complain("Failed to %s: %s", argv[1], strerror(-r));
        return r < 0 ? EXPLAIN_FAILED : r;
}
