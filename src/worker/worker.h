/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The confined half: everything the container or a client has sent is handled here. */

#include "attach/attach.h"
#include "wire/channel.h"

#define WORKER_ARGUMENT "--scopemon-worker="            /* a word of a worker's command line: its channel */
#define WORKER_FDS_MAX (_CHANNEL_FD_MAX + ATTACH_SLOTS) /* that a worker inherits, besides the channel */

int worker_run(int channel_fd, char *const *argv);
