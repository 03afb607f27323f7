/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A pipe or socket to the caller: whole records, in order, without waiting for the reader but in the loop. */

#include <stdbool.h>
#include <stddef.h>

#include "event/event.h"

#define OUTLET_RECORD_MAX 4096 /* PIPE_BUF: a pipe takes this much at once or not at all */

typedef struct OutletRecord OutletRecord;

typedef struct OutletHandler {
        /*
         * Not written: -ETIMEDOUT if the reader did not make room, or what was wrong with the descriptor. A reader that
         * has gone is not told. Also called from outlet_send().
         */
        void (*on_lost)(void *userdata, unsigned what, int error);
        void (*on_settled)(void *userdata); /* no record waits any more; only called from the loop */
} OutletHandler;

typedef struct Outlet {
        int fd; /* -1: there is none, or its reader has gone */
        Event *event;
        sd_event_source *source; /* while the first record waits for room */
        Timer *timer;
        OutletRecord *first, *last;
        const OutletHandler *handler;
        void *userdata;
} Outlet;

int outlet_init(Outlet *o, Event *event, int fd, const OutletHandler *handler, void *userdata);
void outlet_done(Outlet *o);
void outlet_send(Outlet *o, unsigned what, const char *data, size_t n);
void outlet_advance(Outlet *o);
bool outlet_is_waiting(const Outlet *o);
