/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every fuzz target has: its entry, and a claim that holds in builds without assert() too. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_claim(condition)                                                                                \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
                        abort();                                                                             \
                }                                                                                            \
        } while (0)

/*
 * The input as a string; the caller's to free. (strndup() would do, were it not for
 * strict_string_checks.)
 */
static inline char *fuzz_string(const void *data, size_t size) {
        char *text = malloc(size + 1);

        if (!text)
                abort();
        memcpy(text, data, size);
        text[size] = 0;
        return text;
}
