/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service's file descriptor store: what systemd keeps for the next main process of a unit. */

#include <stddef.h>

#include "io/notify-queue.h"

#define NOTIFY_STORE_OURS "scopemon-"    /* what our names in the store begin with */
#define NOTIFY_STORE_OTHERS "container-" /* behind it: a name of the container's that begins so, too */
#define NOTIFY_STORE_NAME_MAX 64

typedef struct StoredFd {
        char name[NOTIFY_STORE_NAME_MAX]; /* without the prefix */
        int fd;
} StoredFd;

int notify_store_put(NotifyQueue *to, const char *name, int fd);
int notify_store_remove(NotifyQueue *to, const char *name);
int notify_store_take(StoredFd **ret, size_t *ret_n);
void notify_store_close_rest(void);
void notify_store_close(StoredFd *entries, size_t n);
