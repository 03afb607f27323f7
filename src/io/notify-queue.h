/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Messages to the service manager, in order, none of which is waited for but in the loop. */

#include <stddef.h>

#include "base/cleanup.h"
#include "event/event.h"

typedef struct NotifyQueue NotifyQueue;

/* A message that was to be sent later is lost: -ETIMEDOUT, or what was wrong with the socket. */
typedef void (*NotifyOnLost)(void *userdata, const char *text, int error);

int notify_queue_new(NotifyQueue **ret, Event *event, const char *path, NotifyOnLost on_lost, void *userdata);
int notify_queue_send(NotifyQueue *q, const char *text, int passed);
void notify_queue_flush(NotifyQueue *q, int msec);
NotifyQueue *notify_queue_free(NotifyQueue *q);
DEFINE_CLEANUP(NotifyQueue, notify_queue_free)
