/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Words to numbers. The whole word must be the number; nothing is written unless it is. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

int parse_u64(const char *text, uint64_t *ret);
int parse_pid(const char *text, pid_t *ret);
int parse_fd(const char *text, int *ret);
int parse_bool(const char *text, bool *ret);
