/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a question gets its connection, for those who ask: scope.c, unit.c and machine.c. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "systemd/bus.h"

/* One asks at a time, until bus_forget(). Either may be called from bus_ask(), else from the loop. */
typedef struct BusAsker {
        /* The connection is there: calls may be sent. */
        void (*on_open)(void *userdata, sd_bus *connection);
        /* There is none: @trouble->error says why it could not be made; 0: it broke after it had been opened. */
        void (*on_broken)(void *userdata, const BusTrouble *trouble);
} BusAsker;

void bus_ask(Bus *bus, const BusAsker *asker, void *userdata);
void bus_forget(Bus *bus);
Event *bus_event(Bus *bus);
bool bus_is_no_answer(const sd_bus_error *e);
