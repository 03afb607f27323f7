/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a Bus is, for those who call the manager: scope.c and unit.c. */

#include "systemd/bus.h"
#include "systemd/libsystemd.h"

struct Bus {
        Libsystemd sd;
        sd_bus *connection;
};
