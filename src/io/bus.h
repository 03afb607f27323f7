/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bus of a systemd manager. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct sd_bus sd_bus;

int bus_open(bool user, uid_t uid, sd_bus **ret);
sd_bus *bus_free(sd_bus *bus);
DEFINE_CLEANUP(sd_bus, bus_free)
void bus_explain(int error, bool user, uid_t uid, char *ret, size_t size);
