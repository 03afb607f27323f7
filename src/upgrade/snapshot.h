/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A keeper written down, and made again from that. */

#include "keeper/keeper.h"
#include "upgrade/saved.h"

int keeper_save(Keeper *k, Saved **ret);
int keeper_restore_origin(Origin *ret, Saved *s, const Options *o, char *given_argv[], char *envp[]);
int keeper_resume(Keeper **ret,
                  const Options *options,
                  Origin *origin,
                  const KeeperHooks *const hooks[],
                  const Saved *s);
