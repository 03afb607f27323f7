/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Output that nobody handles: read and counted, so that the container does not block. */

#include <stdint.h>

#include "event/event.h"

typedef struct Discard {
        sd_event_source *source;
        uint64_t *n_bytes;
} Discard;

int discard_begin(Discard *d, Event *event, int fd, uint64_t *n_bytes);
void discard_end(Discard *d);
void discard_now(int fd, uint64_t *n_bytes);
