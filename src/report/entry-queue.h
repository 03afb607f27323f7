/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Entries of ours for which the journal has no room, as it is busy with output: they wait. */

#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

typedef struct EntryQueue EntryQueue;

int entry_queue_new(EntryQueue **ret, Event *event);
EntryQueue *entry_queue_free(EntryQueue *q);
int entry_queue_send(const char *entry, size_t n, void *userdata);
void entry_queue_finish(EntryQueue *q, uint64_t usec);
