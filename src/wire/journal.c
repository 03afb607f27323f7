/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The one encoder of journald's native protocol. A value without a newline is written "NAME=VALUE\n", any other as
 * "NAME\n", its length in 64 bits, little-endian, and "VALUE\n", so no value can ever begin a field of its own. A name
 * with a newline or an equals sign could: such a field is left out.
 *
 * An entry that does not fit in its buffer is counted to its end, as with snprintf(): the caller sees how large it is.
 */

#include <string.h>

#include "wire/journal.h"

static void journal_put(JournalEntry *e, const char *data, size_t n) {
        if (e->n < e->size)
                memcpy(e->data + e->n, data, n < e->size - e->n ? n : e->size - e->n);
        e->n += n;
}

/**
 * journal_put_length() - the length of a value, as it stands in front of one with newlines
 */
void journal_put_length(char out[JOURNAL_LENGTH_SIZE], size_t n) {
        for (unsigned i = 0; i < JOURNAL_LENGTH_SIZE; i++, n >>= 8)
                out[i] = (char)(n & 0xff);
}

/**
 * journal_add() - one field more
 *
 * Return: false if @name cannot be one; nothing is added then.
 */
bool journal_add(JournalEntry *e, const char *name, size_t n_name, const char *value, size_t n_value) {
        char length[JOURNAL_LENGTH_SIZE];

        if (n_name == 0 || memchr(name, '=', n_name) || memchr(name, '\n', n_name))
                return false;
        journal_put(e, name, n_name);
        if (n_value > 0 && memchr(value, '\n', n_value)) {
                journal_put_length(length, n_value);
                journal_put(e, "\n", 1);
                journal_put(e, length, sizeof length);
        } else
                journal_put(e, "=", 1);
        if (n_value > 0)
                journal_put(e, value, n_value);
        journal_put(e, "\n", 1);
        return true;
}

/**
 * journal_add_text() - journal_add() with strings
 *
 * Return: likewise.
 */
bool journal_add_text(JournalEntry *e, const char *name, const char *value) {
        return journal_add(e, name, strlen(name), value, strlen(value));
}
