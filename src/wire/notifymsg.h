/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which of a container's sd_notify() lines may reach the service manager. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFYMSG_MAX 32768    /* longest datagram that is looked at */
#define NOTIFYMSG_NAME_MAX 256 /* of a descriptor, with its NUL */
#define NOTIFYMSG_STORE_MAX (NOTIFYMSG_NAME_MAX + 64)
#define NOTIFYMSG_EXTEND "EXTEND_TIMEOUT_USEC="

/* What a message says of the unit's descriptor store. */
typedef struct NotifymsgStore {
        bool store, remove;
        bool unpolled; /* FDPOLL=0 */
        char name[NOTIFYMSG_NAME_MAX];
} NotifymsgStore;

size_t notifymsg_filter(const char *in, size_t n, char *out);
bool notifymsg_says(const char *filtered, size_t n, const char *line);
uint64_t notifymsg_number(const char *filtered, size_t n, const char *name);
size_t notifymsg_take_store(char *filtered, size_t n, NotifymsgStore *ret);
size_t notifymsg_write_store(const NotifymsgStore *store, char out[NOTIFYMSG_STORE_MAX]);
