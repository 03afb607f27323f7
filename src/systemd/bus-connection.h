/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a Bus is, for those who call the manager: scope.c and unit.c. */

#include <systemd/sd-bus.h>

#include "systemd/bus.h"

struct Bus {
        sd_bus *connection;
};
