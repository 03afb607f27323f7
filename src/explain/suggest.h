/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "did you mean": the word of a list that is most like a misspelt one. */

#include <stddef.h>

const char *suggest(const char *word, size_t n, const char *const *known, size_t n_known);
