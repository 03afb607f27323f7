/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A word back to the process that has sent us a signal. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ANSWER_MAX 512 /* bytes of text, with its NUL */

int answer_listen(int *ret_fd, pid_t *ret_number);
void answer_send(pid_t to, const char *text);
bool answer_is_awaited(pid_t to);
int answer_receive(int fd, pid_t *ret_from, char text[ANSWER_MAX]);
