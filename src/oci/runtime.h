/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The OCI runtime and the exit command as others see them: argument vectors, and the pid that comes back. */

#include <stdbool.h>
#include <sys/types.h>

#include "config/options.h"

/* Positive answers of runtime_read_pid(). */
enum {
        RUNTIME_NO_PID_FILE = 1,  /* it is not there */
        RUNTIME_BAD_PID_FILE = 2, /* empty, not a number, or not a positive one */
};

/* The array is the caller's to free(), its words are borrowed from @o. */
int runtime_argv(const Options *o, bool systemd_cgroup, const char *console_socket, char ***ret);
int runtime_verb_argv(const Options *o, const char *verb, char ***ret);
int runtime_exit_command_argv(const Options *o, char ***ret);

int runtime_read_pid(const char *path, pid_t *ret);
bool runtime_is_podman(const Options *o);
