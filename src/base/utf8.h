/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where text may be cut, and what of it may be shown. */

#include <stddef.h>

size_t utf8_unfinished(const char *data, size_t n);
char *utf8_make_printable(char *text);
