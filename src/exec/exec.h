/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The exit command of an exec session, which is due some time after its end (--exit-delay), is run by the container's
 * monitor, so that nothing of the session has to stay until then.
 */

#include "keeper/hooks.h"

/* Values of a SIGUSR1 between the two monitors; each is a hint to look at the files. */
#define EXEC_GIVEN 0x67697665 /* to the container's */
#define EXEC_TAKEN 0x74616b65 /* to the session's */

/* Of commands whose container has ended: for the client to ask how its session ended, of which they remove all trace. */
#define EXEC_SOON_USEC 3000000ULL

extern const KeeperHooks exec_giver_hooks;  /* the session's monitor */
extern const KeeperHooks exec_runner_hooks; /* the container's */
