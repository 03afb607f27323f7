/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bundle's config.json: read whole, changed in memory, replaced by rename. */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct Bundle Bundle;

/* Positive answers. */
enum {
        BUNDLE_MISSING = 1, /* bundle_open(): there is no config.json */
        BUNDLE_BROKEN = 2,  /* bundle_open(): there is one, but it cannot be read and written back safely */
        BUNDLE_KEPT = 3,    /* bundle_annotate(): the key is there already and was left alone */
};

int bundle_open(Bundle **ret, const char *dir, const char **ret_why);
int bundle_parse(Bundle **ret, const char *text, size_t n, const char **ret_why);
Bundle *bundle_free(Bundle *b);
DEFINE_CLEANUP(Bundle, bundle_free)

const char *bundle_cgroups_path(const Bundle *b);
const char *bundle_annotation(const Bundle *b, const char *key);

int bundle_set_cgroups_path(Bundle *b, const char *path);
int bundle_annotate(Bundle *b, const char *key, const char *value, bool replace);
int bundle_annotate_property(Bundle *b, const char *property, const char *value);

const char *bundle_text(const Bundle *b, size_t *ret_n);
int bundle_save(const Bundle *b);
int bundle_copy_to(Bundle *b, const char *from, const char *dir);
bool bundle_wants_terminal(const Bundle *b);
int bundle_add_mount(Bundle *b, const char *from, const char *to);
int bundle_set_variable(Bundle *b, const char *name, const char *value);

/* bundle-quote.c */

char *bundle_quote(const char *text);
char *bundle_quote_list(const char *const *words);
