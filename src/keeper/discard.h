/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Output that nobody handles: read and counted, so that the container does not block. */

#include <stdint.h>

#include "event/loop.h"

typedef struct Discard {
        LoopSource *source;
        uint64_t *n_bytes;
} Discard;

int discard_begin(Discard *d, Loop *loop, int fd, uint64_t *n_bytes);
void discard_end(Discard *d);
void discard_now(int fd, uint64_t *n_bytes);
