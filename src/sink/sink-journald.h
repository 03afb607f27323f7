/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The journal: one entry per line, in journald's native protocol. */

#include "sink/sink.h"

#define SINK_JOURNALD_LINE_MAX 16383 /* longest text of one entry */

typedef struct SinkJournald SinkJournald;

int sink_journald_new(SinkJournald **ret, const SinksSpec *spec, SinkState *state);
SinkJournald *sink_journald_free(SinkJournald *j);
DEFINE_CLEANUP(SinkJournald, sink_journald_free)

void sink_journald_set_socket(SinkJournald *j, int fd);
bool sink_journald_is_connected(const SinkJournald *j);
int sink_journald_write(SinkJournald *j, StreamId id, const Window *w, StreamTail tail);
int sink_journald_fd(const SinkJournald *j);
size_t sink_journald_unread(const SinkJournald *j);
bool sink_journald_floods(SinkFlood *flood, uint64_t usec);
