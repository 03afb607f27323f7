/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON as text: walked and checked where it lies, so that the rest of it stays byte for byte what it was. */

#include <stdbool.h>
#include <stddef.h>

#define JSONTEXT_DEPTH 128

typedef struct JsonSpan {
        size_t begin, end; /* of a value; a string's has its quotes */
} JsonSpan;

typedef struct JsonWalk {
        const char *text;
        size_t n, at;
        unsigned depth;  /* of objects and arrays around @at, as far as the walk has entered them */
        bool first;      /* the innermost of them has just been entered */
        const char *why; /* static text: what is wrong at @at; NULL while nothing is */
} JsonWalk;

bool jsontext_enter(JsonWalk *w);
bool jsontext_value(JsonWalk *w, JsonSpan *ret);
bool jsontext_member(JsonWalk *w, JsonSpan *ret_name, JsonSpan *ret_value);
bool jsontext_end(JsonWalk *w);

bool jsontext_same(const char *text, JsonSpan string, const char *word);
bool jsontext_decode(const char *text, JsonSpan string, char *ret, size_t size);
size_t jsontext_encode(const char *word, char *ret, size_t size);
