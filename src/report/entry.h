/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One entry of ours in the journal. */

#include <stdbool.h>

#include "wire/journal.h"

#define ENTRY_SIZE 16384

typedef struct Entry {
        char data[ENTRY_SIZE];
        JournalEntry journal;
} Entry;

/* Whose it is. */
typedef struct EntryOf {
        const char *cid;
        const char *name; /* NULL: the ID is it */
        const char *unit; /* that it concerns, but is not sent from; NULL or "" for none */
        bool user_unit;   /* that is of a user's manager */
} EntryOf;

const char *entry_name(const EntryOf *of);
void entry_begin(Entry *e, const EntryOf *of, const char *id, int priority);
void entry_add(Entry *e, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool entry_send(Entry *e);
