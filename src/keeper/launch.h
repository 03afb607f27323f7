/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The launcher: the process the caller starts, until it has left the keeper behind. */

#include "config/options.h"
#include "keeper/keeper.h"

void launch_set_language(void);
int launch_note_origin(Origin *ret, int argc, char *argv[], char *envp[]);
int launch_open_log(const Options *o, Origin *origin);
void launch_linger(void);
void launch_protect(void);
int launch_block_signals(sigset_t *ret_before);
int launch_wait(const Options *o, Origin *origin);
int launch_leave(Options *o, Origin *origin, int (*run)(Options *o, Origin *origin));
int launch_write_pid(const char *path, pid_t pid);
int launch_open_pipes(const Options *o, Origin *origin);
void launch_done(Origin *origin);
