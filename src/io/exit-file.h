/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that a confined process may make, and under which names: its filter (sandbox-filter.c) knows where these lie. */

#include <fcntl.h>
#include <stddef.h>

#define EXIT_FILE_FLAGS (O_TMPFILE | O_WRONLY | O_CLOEXEC)

/* Where in the names what stands; they take EXIT_FILE_NAMES_SIZE bytes, and nothing else is in there. */
#define EXIT_FILE_HERE 0 /* "." */
#define EXIT_FILE_NOTHING 1 /* "", which is its end */
#define EXIT_FILE_PERSIST 8
#define EXIT_FILE_EXIT 16
#define EXIT_FILE_NAMES_SIZE 4096

#define EXIT_FILE_THERE 1

int exit_file_names_new(char **ret, const char *persist_name, const char *exit_name);
int exit_file_write(const char *names, size_t name, int dir_fd, const char *text);
