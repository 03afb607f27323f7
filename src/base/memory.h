/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Little of it: a monitor stands about for months, and there are thousands of them. */

#include <stddef.h>

#define MEMORY_SETTLE_USEC 200000U /* after that long a start is over: memory_trim() */

void memory_keep_heap_small(void);
void memory_trim(void);
void memory_give_back(void *memory, size_t size);
void memory_trim_zeros(void *memory, size_t size);
void *memory_reserve(size_t size);
void memory_release(void *memory, size_t size);
