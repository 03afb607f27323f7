/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Service mode: what systemd keeps for the next main process of a unit, and how that one takes it back. */

#include <stdbool.h>
#include <stdint.h>

#include "keeper/hooks.h"
#include "systemd/notify-store.h"
#include "upgrade/saved.h"

#define STORE_STATE "state-" /* and 0 or 1 */

void store_client_name(char name[NOTIFY_STORE_NAME_MAX], uint32_t slot);
int store_mark_path(char **ret);
int store_resume(int argc, char *argv[], char *envp[], const KeeperHooks *const hooks[], bool *ret_resumed);
