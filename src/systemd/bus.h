/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bus of a systemd manager. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Bus Bus;

int bus_open(bool user, uid_t uid, Bus **ret);
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus, bus_free)
void bus_explain(int error, bool user, uid_t uid, char *ret, size_t size);
