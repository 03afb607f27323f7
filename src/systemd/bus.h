/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bus of a systemd manager, on the loop. What can be asked over it: unit.h, scope.h. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"

typedef struct Bus Bus;

/* Why a question has no answer, or not the one that was wanted. */
typedef struct BusTrouble {
        int error;      /* negative: the manager could not be asked, see bus_explain() */
        char text[256]; /* for people */
} BusTrouble;

int bus_new(Bus **ret, Event *event, bool user, uid_t uid);
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus, bus_free)
bool bus_belongs_to(const Bus *bus, bool user, uid_t uid);
void bus_explain(int error, bool user, uid_t uid, char *ret, size_t size);
