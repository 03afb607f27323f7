/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where text may be cut. */

#include <stddef.h>

size_t utf8_unfinished(const char *data, size_t n);
