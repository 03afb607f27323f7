/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors of others: refused, or made harmless before they are closed. */

#include <stdbool.h>
#include <stddef.h>

#define FOREIGN_MAX 253 /* what one message may carry: SCM_MAX_FD of the kernel */

bool foreign_refuse(int socket_fd);
bool foreign_is_refused(int socket_fd);
void foreign_close(int *fds, size_t n_fds);
bool foreign_is_tame(int fd);
void foreign_disarm_next(int socket_fd);
bool foreign_is_accepted_by(int fd, int listener);
