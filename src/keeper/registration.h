/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The container as a machine of systemd-machined, for the array of main. */

#include "keeper/hooks.h"

extern const KeeperHooks registration_hooks;
