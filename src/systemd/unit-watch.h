/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* To hear from the manager that a unit is being stopped, for a monitor that gets no signal then. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"

typedef struct UnitWatch UnitWatch;

typedef struct UnitManager {
        bool user; /* that of @uid, else the system's */
        uid_t uid;
} UnitManager;

/* The watch may be freed in here. */
typedef int (*UnitOnStopping)(void *userdata);

int unit_watch_new(UnitWatch **ret,
                   Event *event,
                   const UnitManager *manager,
                   const char *unit,
                   UnitOnStopping on_stopping,
                   void *userdata);
UnitWatch *unit_watch_free(UnitWatch *w);
DEFINE_CLEANUP(UnitWatch, unit_watch_free)
