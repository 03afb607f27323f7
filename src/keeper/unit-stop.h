/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The stop of the unit that holds monitor and container, and the container's time then. */

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "keeper/keeper-saved.h"
#include "systemd/bus.h"
#include "systemd/unit-watch.h"
#include "systemd/unit.h"

#define UNIT_STOP_NEVER UINT64_MAX

typedef struct Keeper Keeper;

typedef struct UnitStop {
        uint64_t deadline; /* when the container is killed; 0: the unit does not stop */
        uint64_t
                extended; /* no earlier, if the unit stops: the container has asked for it since asked_usec */
        Timer *timer;
        Bus *bus; /* while there is a question */
        UnitQuestion *question;
        uint64_t asked_usec; /* when there was reason to ask */
        Timer *again;        /* to ask once more, */
        bool silent;         /* ... since there was no answer, which was said */
        UnitWatch *watch;    /* where no signal tells of the stop */
} UnitStop;

uint64_t unit_stop_time(uint64_t unit_usec);
uint64_t unit_stop_deadline(uint64_t since, uint64_t unit_usec);
int unit_stop_set(Keeper *k, uint64_t deadline);
int unit_stop_signalled(Keeper *k);
int unit_stop_placed(Keeper *k);
int unit_stop_extend(Keeper *k, uint64_t usec);
int unit_stop_watch(Keeper *k);
void unit_stop_forget(Keeper *k);
void unit_stop_save(const Keeper *k, UnitStopSaved *ret);
int unit_stop_restore(Keeper *k, const UnitStopSaved *saved);
