/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Another binary in our place, under a container that runs: same pid, same children, same descriptors. */

#include <stdbool.h>
#include <sys/signalfd.h>

#include "keeper/hooks.h"

#define UPGRADE_CHECK "--check-state"     /* and a descriptor: exit 0 if that state can be taken over */
#define UPGRADE_VARIABLE "SCOPEMON_STATE" /* of the image that takes over: the descriptor of its state */
#define UPGRADE_VALUE 0x73636f70          /* goes with the SIGUSR2 that is a request for an upgrade */
#define UPGRADE_DONE "upgraded"           /* how an answer begins: to the process that has sent the signal */
#define UPGRADE_REFUSED "refused"

typedef struct Saved Saved;

/* The image that hands on. */
extern const KeeperHooks upgrade_hooks;
bool upgrade_is_request(const struct signalfd_siginfo *info);
bool upgrade_is_wanted(const Keeper *k);

/* The image that takes over: take-over.c. */
bool upgrade_is_check(int argc, char *argv[]);
int upgrade_check(int argc, char *argv[]);
int upgrade_go_on(Saved *s, char *argv[], char *envp[], const KeeperHooks *const hooks[]);
int upgrade_resume(char *argv[], char *envp[], const KeeperHooks *const hooks[], bool *ret_resumed);

/* scopemon upgrade: upgrade-verb.c. */
int upgrade_run_verb(int argc, char *argv[]);
