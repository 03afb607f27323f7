/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Entries in journald's native protocol: NAME=VALUE, or NAME, the value's length and the value. */

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_LENGTH_SIZE 8

/* A buffer of the caller's, and how much of it the entry takes. */
typedef struct JournalEntry {
        char *data; /* NULL with size 0: only count */
        size_t size;
        size_t n; /* of the whole entry; if it is more than size, the buffer is too small */
} JournalEntry;

bool journal_add(JournalEntry *e, const char *name, size_t n_name, const char *value, size_t n_value);
bool journal_add_text(JournalEntry *e, const char *name, const char *value);
void journal_put_length(char out[JOURNAL_LENGTH_SIZE], size_t n);
