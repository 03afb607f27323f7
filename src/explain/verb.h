/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the commands for people have in common: options, and complaints. */

#include <stdbool.h>

typedef enum VerbFormat {
        VERB_FORMAT_OFF,
        VERB_FORMAT_SHORT,
        VERB_FORMAT_PRETTY,
        _VERB_FORMAT_MAX,
} VerbFormat;

/* Each has options of its own. */
typedef enum Verb {
        VERB_EXPLAIN = 1 << 0,
        VERB_STATUS = 1 << 1,
        VERB_LIST = 1 << 2,
        VERB_DOCTOR = 1 << 3,
        VERB_UPGRADE = 1 << 4,
} Verb;

typedef struct VerbOptions {
        const char *json;
        const char *output;
        bool all;
        bool user;
        bool no_legend;
        bool no_pager;
        bool help;
        VerbFormat format;
} VerbOptions;

int verb_parse(Verb verb, char **words, VerbOptions *ret);
int verb_print_options(Verb verb);
int verb_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
