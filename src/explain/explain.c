/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Questions about containers: "scopemon explain WORD...", "scopemon list". Everything is read from what is there for
 * all to see, processes, cgroups, units and the journal; nothing is changed, nobody is signalled, and the container's
 * manager is not asked. So the answers are right for containers of the stock monitor too, as far as the facts go.
 *
 * The first word of the command line decides that it is a question: no caller of a monitor begins with one.
 *
 * These verbs are the third place that writes to stdout and stderr: there is no log, somebody is waiting at a terminal.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "explain/explain-internal.h"
#include "explain/explain.h"

typedef enum Format {
        FORMAT_OFF,
        FORMAT_SHORT,
        FORMAT_PRETTY,
        _FORMAT_MAX,
} Format;

typedef struct VerbOptions {
        const char *json;
        bool user;
        bool no_legend;
        bool help;
        Format format;
} VerbOptions;

typedef struct VerbOption {
        const char *name;
        const char *value; /* what --help calls it; NULL for a flag */
        size_t offset;
        const char *help;
} VerbOption;

static const VerbOption verb_options[] = {
        { "json", "MODE", offsetof(VerbOptions, json), "JSON output: short, pretty or off" },
        { "no-legend", NULL, offsetof(VerbOptions, no_legend), "Do not print the header" },
        { "user", NULL, offsetof(VerbOptions, user), "Containers of the calling user only" },
        { "help", NULL, offsetof(VerbOptions, help), "Show this help" },
};

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...) {
        char line[4096];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void)fprintf(stderr, "%s\n", utf8_make_printable(line));
        return fail(-EINVAL);
}

static int print_help(void) {
        (void)printf("Usage:\n  scopemon explain [OPTION...] NAME|ID|PID|UNIT...\n  scopemon list "
                     "[OPTION...]\n\n"
                     "Show where containers are placed and why, what stops them, and how they "
                     "exited.\n\nOptions:\n");
        for (size_t i = 0; i < ELEMENTS(verb_options); i++) {
                const VerbOption *o = &verb_options[i];
                int n = printf("  --%s%s%s", o->name, o->value ? "=" : "", o->value ? o->value : "");

                (void)printf("%*s%s\n", n < 20 ? 20 - n : 1, "", o->help);
        }
        return fflush(stdout) != 0 ? fail(-errno) : 0;
}

static int parse_format(VerbOptions *o) {
        static const char *const words[_FORMAT_MAX] = { "off", "short", "pretty" };

        for (Format f = 0; o->json && f < _FORMAT_MAX; f++)
                if (strcmp(o->json, words[f]) == 0) {
                        o->format = f;
                        return 0;
                }
        return o->json ? complain("Failed to parse --json=%s: must be short, pretty or off", o->json) : 0;
}

static int parse_option(VerbOptions *o, char ***word) {
        const char *name = **word + 2;
        size_t n = strcspn(name, "=");

        for (size_t i = 0; i < ELEMENTS(verb_options); i++) {
                const VerbOption *v = &verb_options[i];

                if (strlen(v->name) != n || strncmp(v->name, name, n) != 0)
                        continue;
                if (!v->value && name[n])
                        return complain("Option --%s does not take an argument", v->name);
                if (!v->value)
                        *(bool *)((char *)o + v->offset) = true;
                else if (name[n])
                        *(const char **)((char *)o + v->offset) = name + n + 1;
                else if (*++*word)
                        *(const char **)((char *)o + v->offset) = **word;
                else
                        return complain("Option --%s requires an argument", v->name);
                return 0;
        }
        return complain("Unknown option %s", **word);
}

/* Options may stand anywhere; what is left of @words are the others, NULL after the last one. */
static int parse(char **words, VerbOptions *ret) {
        char **out = words;
        bool options = true;
        int r = 0;

        for (; r >= 0 && *words; words++) {
                if (!options || words[0][0] != '-' || words[0][1] == 0)
                        *out++ = *words;
                else if (strcmp(*words, "--") == 0)
                        options = false;
                else if (strcmp(*words, "-h") == 0)
                        ret->help = true;
                else if (words[0][1] == '-') {
                        r = parse_option(ret, &words);
                        if (!*words)
                                break;
                } else
                        r = complain("Unknown option %s", *words);
        }
        *out = NULL;
        if (r >= 0)
                r = parse_format(ret);
        return r < 0 ? relay(r) : 0;
}

static int describe(const ExplainHost *h, const char *id, Explained **ret) {
        Explained *e = calloc(1, sizeof *e);

        if (!e)
                return fail(-ENOMEM);
        explain_processes(h, id, e);
        explain_journal(h, e);
        explain_units(e);
        *ret = e;
        return 0;
}

static int show(const Explained *e, bool as_row, Json *array) {
        _cleanup_(json_freep) Json *json = NULL;
        int r;

        if (!array) {
                if (as_row)
                        explain_print_row(e, false);
                else
                        explain_print(e);
                return 0;
        }
        r = explain_json(e, &json);
        if (r >= 0)
                r = json_append(array, json);
        return r < 0 ? relay(r) : 0;
}

/* Return: 0, EXPLAIN_NOT_RUNNING if one of them does not run, or a negative errno. */
static int show_all(const ExplainHost *h, const ExplainIds *ids, bool as_rows, Json *array) {
        int status = EXPLAIN_OK;

        for (size_t i = 0; i < ids->n; i++) {
                _cleanup_free_ Explained *e = NULL;
                int r;

                r = describe(h, ids->ids[i], &e);
                if (r < 0)
                        return relay(r);
                if (!array && !as_rows && i > 0)
                        (void)putchar('\n');
                r = show(e, as_rows, array);
                if (r < 0)
                        return relay(r);
                if (!e->init && !e->keeper)
                        status = EXPLAIN_NOT_RUNNING;
        }
        return status;
}

/* The words that nobody knows are told one by one, the others are explained all the same. */
static int find_words(const ExplainHost *h, char **words, ExplainIds *ids, int *status) {
        for (; *words; words++) {
                ExplainIds found = { 0 };
                int r;

                r = explain_find(h, *words, &found);
                if (r >= 0 && found.n == 0) {
                        (void)complain("No container found for %s", *words);
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

static int answer(char **words, bool all, const VerbOptions *o) {
        _cleanup_(explain_host_freep) ExplainHost *h = NULL;
        _cleanup_(json_freep) Json *array = NULL;
        ExplainIds ids = { 0 };
        int status = EXPLAIN_OK, r;

        r = explain_host_new(&h, o->user);
        if (r >= 0 && o->format != FORMAT_OFF)
                r = json_new_array(&array);
        if (r >= 0)
                r = all ? explain_find_all(h, &ids) : find_words(h, words, &ids, &status);
        if (r >= 0 && all && !array && !o->no_legend && ids.n > 0)
                explain_print_row(NULL, true);
        if (r >= 0)
                r = show_all(h, &ids, all, array);
        free(ids.ids);
        if (r < 0)
                return relay(r);
        if (array && (ids.n > 0 || all))
                (void)puts(json_text(array, o->format == FORMAT_PRETTY) ?: "");
        return status != EXPLAIN_OK || all ? status : r;
}

/**
 * explain_is_verb() - is this first word of a command line a question?
 */
bool explain_is_verb(const char *word) {
        return strcmp(word, "explain") == 0 || strcmp(word, "list") == 0;
}

/**
 * explain_run() - answer it
 * @argv: with the verb as its second word; its pointers are rearranged
 *
 * Return: an exit status.
 */
int explain_run(int argc, char *argv[]) {
        bool all = strcmp(argv[1], "list") == 0;
        VerbOptions o = { 0 };
        int r;

        r = parse(argv + 2, &o);
        if (r < 0)
                return EXPLAIN_FAILED;
        if (o.help)
                return print_help() < 0 ? EXPLAIN_FAILED : EXPLAIN_OK;
        if (all != !argv[2]) {
                (void)complain(all ? "Too many arguments"
                                   : "Missing argument: name, ID or PID of a container, or a unit");
                return EXPLAIN_FAILED;
        }
        r = answer(argv + 2, all, &o);
        if (r < 0)
                (void)complain("Failed to %s: %s", argv[1], strerror(-r));
        if (fflush(stdout) != 0)
                return EXPLAIN_FAILED;
        return r < 0 ? EXPLAIN_FAILED : r;
}
