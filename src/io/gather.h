/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How long a stream in flood may be left alone, so that its next read brings more. */

#include <stddef.h>
#include <stdint.h>

#define GATHER_MAX_USEC 200U

typedef struct Gather {
        uint64_t at;    /* of the last read */
        uint64_t level; /* bytes in the bucket */
} Gather;

uint64_t gather_usec(Gather *g, int fd, uint64_t now, size_t n);
