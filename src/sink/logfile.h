/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The container's log file as the keeper handles it: open, replace, rotate. */

#include <stddef.h>

/* Answers of logfile_rotate() and logfile_check_directory(): nothing was changed, and why. */
#define LOGFILE_NOT_REGULAR 1
#define LOGFILE_MOVED 2
#define LOGFILE_LOCKED 3
#define LOGFILE_NOT_ALLOWED 4

int logfile_open(int dir_fd, const char *name);
int logfile_replace(int dir_fd, const char *name);
int logfile_rotate(int dir_fd, const char *name, int fd, unsigned n_old, int *ret_fd);
int logfile_check_directory(int dir_fd, char *const *allowed, size_t n_allowed);
const char *logfile_refusal(int answer);
