/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The journal, read: the newest entries that have certain fields. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Positive answer: there is none. */
#define JOURNAL_READER_NONE 1

typedef struct JournalReader JournalReader;

int journal_reader_open(JournalReader **ret, const char *directory);
JournalReader *journal_reader_free(JournalReader *j);
DEFINE_CLEANUP(JournalReader, journal_reader_free)

int journal_reader_find(JournalReader *j, const char *const *matches);
int journal_reader_older(JournalReader *j);
int journal_reader_count(JournalReader *j,
                         const char *const *matches,
                         uint64_t from,
                         uint64_t until,
                         uint64_t *ret);
uint64_t journal_reader_usec(JournalReader *j);
int journal_reader_get(JournalReader *j, const char *field, char *ret, size_t size);
int journal_reader_get_number(JournalReader *j, const char *field, uint64_t *ret);
bool journal_reader_explains(const char *message_id);
