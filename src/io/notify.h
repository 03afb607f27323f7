/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sd_notify relay: the keeper binds and sends, the worker receives and filters. */

#include <stddef.h>

#include "base/cleanup.h"
#include "event/event.h"

#define NOTIFY_MAX 32768 /* bytes of a datagram */

typedef struct Notify Notify;

typedef struct NotifyHandler {
        /* What may pass, never empty, and the descriptors that came with it, borrowed. */
        int (*on_message)(void *userdata, char *data, size_t n, const int *fds, size_t n_fds);
} NotifyHandler;

int notify_listen(int bundle_fd, int *ret_fd);
int notify_connect(const char *path, int *ret_fd);
int notify_send(const char *path, const char *data, size_t n, int passed);

int notify_new(Notify **ret, Event *event, int fd, const NotifyHandler *handler, void *userdata);
int notify_drain(Notify *n);
Notify *notify_free(Notify *n);
DEFINE_CLEANUP(Notify, notify_free)
