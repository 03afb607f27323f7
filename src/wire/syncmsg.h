/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The records on sync pipe and attach pipe. */

#include <stddef.h>
#include <stdint.h>

#define SYNCMSG_MAX 4096   /* what callers read at once from a seqpacket socket */
#define SYNCMSG_KEY_MAX 32 /* longest key */

size_t syncmsg_format(char out[SYNCMSG_MAX], const char *key, int64_t value, const char *text, size_t n_text);
