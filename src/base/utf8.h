/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where text may be cut, and what of it may be shown. */

#include <stddef.h>
#include <stdint.h>

#define UTF8_TO_NUL SIZE_MAX /* how many bytes there are: up to the NUL */

size_t utf8_length(const char *text, size_t n);
size_t utf8_unfinished(const char *data, size_t n);
char *utf8_make_printable(char *text);
