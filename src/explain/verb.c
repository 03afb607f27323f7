/* SPDX-License-Identifier: Apache-2.0 */

/* Options of explain, status, list, doctor and upgrade, in systemctl's manner: one table, which says whose they are. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "explain/suggest.h"
#include "explain/verb.h"

static const char bare[] = ""; /* the value of --json without one */

#define SHOW (VERB_EXPLAIN | VERB_STATUS | VERB_LIST | VERB_DOCTOR)

typedef struct VerbOption {
        const char *name;
        const char *value; /* what --help calls it; NULL for a flag */
        bool optional;     /* the value: without one it is "bare" */
        unsigned verbs;    /* that have it */
        size_t offset;
        const char *help;
} VerbOption;

static const VerbOption verb_options[] = {
        { "all", NULL, false, VERB_LIST, offsetof(VerbOptions, all), "Show exited containers, too (-a)" },
        { "all", NULL, false, VERB_UPGRADE, offsetof(VerbOptions, all),
          "All monitors that can be upgraded (-a)" },
        { "json", "MODE", true, SHOW, offsetof(VerbOptions, json), "JSON output: short, pretty or off" },
        { "no-legend", NULL, false, VERB_LIST | VERB_DOCTOR, offsetof(VerbOptions, no_legend),
          "Do not print header and summary" },
        { "no-pager", NULL, false, SHOW, offsetof(VerbOptions, no_pager), "Do not pipe output into a pager" },
        { "output", "COLUMNS", false, VERB_LIST, offsetof(VerbOptions, output),
          "Columns to print, separated by commas, or all (-o)" },
        { "user", NULL, false, SHOW | VERB_UPGRADE, offsetof(VerbOptions, user),
          "Containers and units of the calling user only" },
        { "help", NULL, false, SHOW | VERB_UPGRADE, offsetof(VerbOptions, help), "Show this help (-h)" },
};

/**
 * verb_complain() - a line to stderr
 *
 * Return: -EINVAL.
 */
int verb_complain(const char *format, ...) {
        char line[4096];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void)fprintf(stderr, "%s\n", utf8_make_printable(line));
        return fail(-EINVAL);
}

/**
 * verb_print_options() - the list of them, to stdout
 *
 * Return: 0 or a negative errno.
 */
int verb_print_options(Verb verb) {
        int r;

        for (size_t i = 0; i < ELEMENTS(verb_options); i++) {
                const VerbOption *o = &verb_options[i];
                int n;

                if (!(o->verbs & verb))
                        continue;
                n = printf("  --%s%s%s%s%s", o->name, o->optional ? "[" : "", o->value ? "=" : "",
                           o->value ? o->value : "", o->optional ? "]" : "");

                (void)printf("%*s%s\n", n < 20 ? 20 - n : 1, "", o->help);
        }
        r = fd_flush_stdout();
        return r < 0 ? relay(r) : 0;
}

static int parse_format(VerbOptions *o) {
        static const char *const words[_VERB_FORMAT_MAX] = { "off", "short", "pretty" };

        if (o->json == bare) {
                o->format = isatty(STDOUT_FILENO) == 1 ? VERB_FORMAT_PRETTY : VERB_FORMAT_SHORT;
                return 0;
        }
        for (VerbFormat f = 0; o->json && f < _VERB_FORMAT_MAX; f++)
                if (strcmp(o->json, words[f]) == 0) {
                        o->format = f;
                        return 0;
                }
        return o->json ? verb_complain("Failed to parse --json=%s: must be short, pretty or off", o->json)
                       : 0;
}

static int complain_of_option(Verb verb, const char *word, size_t n) {
        const char *names[ELEMENTS(verb_options)], *meant;
        size_t n_names = 0;

        for (size_t i = 0; i < ELEMENTS(verb_options); i++)
                if (verb_options[i].verbs & verb)
                        names[n_names++] = verb_options[i].name;
        meant = suggest(word + 2, n, names, n_names);
        return meant ? verb_complain("Unknown option %s, did you mean --%s?", word, meant)
                     : verb_complain("Unknown option %s", word);
}

static int parse_option(Verb verb, VerbOptions *o, char ***word) {
        const char *name = **word + 2;
        size_t n = strcspn(name, "=");

        for (size_t i = 0; i < ELEMENTS(verb_options); i++) {
                const VerbOption *v = &verb_options[i];

                if (!(v->verbs & verb) || strlen(v->name) != n || strncmp(v->name, name, n) != 0)
                        continue;
                if (!v->value && name[n])
                        return verb_complain("Option --%s does not take an argument", v->name);
                if (!v->value)
                        *(bool *)((char *)o + v->offset) = true;
                else if (name[n])
                        *(const char **)((char *)o + v->offset) = name + n + 1;
                else if (v->optional)
                        *(const char **)((char *)o + v->offset) = bare;
                else if (*++*word)
                        *(const char **)((char *)o + v->offset) = **word;
                else
                        return verb_complain("Option --%s requires an argument", v->name);
                return 0;
        }
        return complain_of_option(verb, **word, n);
}

/* -a, -h, -o COLUMNS, -oCOLUMNS */
static int parse_letter(Verb verb, VerbOptions *o, char ***word) {
        const char *text = **word + 1;

        if (strcmp(text, "h") == 0)
                o->help = true;
        else if (strcmp(text, "a") == 0 && verb & (VERB_LIST | VERB_UPGRADE))
                o->all = true;
        else if (text[0] != 'o' || verb != VERB_LIST)
                return verb_complain("Unknown option %s", **word);
        else if (text[1])
                o->output = text + 1;
        else if (*++*word)
                o->output = **word;
        else
                return verb_complain("Option -o requires an argument");
        return 0;
}

/**
 * verb_parse() - options of a verb
 * @words: what follows it, NULL after the last one. Options may stand anywhere; what is left are the others
 * @ret: all zero
 *
 * Return: 0, or -EINVAL, of which stderr tells why.
 */
int verb_parse(Verb verb, char **words, VerbOptions *ret) {
        char **out = words;
        bool options = true;
        int r = 0;

        for (; r >= 0 && *words; words++) {
                if (!words[0][0])
                        r = verb_complain("An argument is empty");
                else if (!options || words[0][0] != '-' || words[0][1] == 0)
                        *out++ = *words;
                else if (strcmp(*words, "--") == 0)
                        options = false;
                else {
                        r = words[0][1] == '-' ? parse_option(verb, ret, &words)
                                               : parse_letter(verb, ret, &words);
                        if (!*words)
                                break;
                }
        }
        *out = NULL;
        if (r >= 0)
                r = parse_format(ret);
        return r < 0 ? relay(r) : 0;
}
