/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What journald would read is what was put in: the input is cut at NUL bytes into names and values in turn, and each
 * name that can be one is found again with its value, whatever the value holds. Counting takes as many bytes as writing.
 */

#include <string.h>

#include "fuzz.h"
#include "wire/journal.h"

/* The value of the field at @data, which begins with @name; returns the bytes behind the field. */
static const char *read_field(const char *data,
                              size_t n,
                              const char *name,
                              size_t n_name,
                              const char **value,
                              size_t *n_value) {
        const char *end;

        fuzz_claim(n > n_name && memcmp(data, name, n_name) == 0);
        data += n_name;
        n -= n_name;
        if (*data == '=') {
                end = memchr(data, '\n', n);
                fuzz_claim(end);
                *value = data + 1;
                *n_value = (size_t)(end - data) - 1;
                return end + 1;
        }
        fuzz_claim(*data == '\n' && n > JOURNAL_LENGTH_SIZE + 1);
        *n_value = 0;
        for (unsigned i = JOURNAL_LENGTH_SIZE; i > 0; i--)
                *n_value = *n_value << 8 | (uint8_t)data[i];
        *value = data + 1 + JOURNAL_LENGTH_SIZE;
        fuzz_claim(*n_value < n - JOURNAL_LENGTH_SIZE - 1);
        fuzz_claim((*value)[*n_value] == '\n');
        return *value + *n_value + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        JournalEntry e = { .size = 2 * size + 16 }, counted = { 0 };
        char *text = fuzz_string(data, size), *at = text, *end = text + size;

        e.data = malloc(e.size);
        if (!e.data)
                abort();
        while (at < end) {
                const char *name = at, *value = name + strlen(name) + 1, *found = NULL;
                size_t n_name = strlen(name), n_value, n_found = 0, before = e.n;

                if (value > end)
                        break;
                n_value = strlen(value);
                at = (char *)value + n_value + 1;
                fuzz_claim(journal_add(&counted, name, n_name, value, n_value) ==
                           journal_add(&e, name, n_name, value, n_value));
                fuzz_claim(counted.n == e.n);
                if (e.n == before || e.n > e.size)
                        continue;
                fuzz_claim(read_field(e.data + before, e.n - before, name, n_name, &found, &n_found) ==
                           e.data + e.n);
                fuzz_claim(n_found == n_value && memcmp(found, value, n_value) == 0);
        }
        free(e.data);
        free(text);
        return 0;
}
