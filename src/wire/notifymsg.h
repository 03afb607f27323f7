/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which of a container's sd_notify() lines may reach the service manager. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFYMSG_MAX 32768 /* longest datagram that is looked at */
#define NOTIFYMSG_EXTEND "EXTEND_TIMEOUT_USEC="

size_t notifymsg_filter(const char *in, size_t n, char *out);
bool notifymsg_says(const char *filtered, size_t n, const char *line);
uint64_t notifymsg_number(const char *filtered, size_t n, const char *name);
