/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A unit whose ActiveState= is watched, by its PropertiesChanged. The connection stays, which costs memory, so this is
 * for units only whose stop nobody tells us of.
 *
 * The state is asked for whenever a connection has been made: it may have changed before. A connection that breaks, or
 * cannot be made, is made again AGAIN_USEC later: the manager or its bus may have been restarted, as by a soft reboot.
 * Nothing is said of that; whoever cannot be stopped in time is killed by the unit's own time-out.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "systemd/bus-connection.h"
#include "systemd/unit-watch.h"
#include "wire/unitname.h"

#define AGAIN_USEC 5000000ULL
#define MANAGER "org.freedesktop.systemd1"
#define UNIT_INTERFACE "org.freedesktop.systemd1.Unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"

struct UnitWatch {
        Bus *bus;
        sd_bus_slot *match, *call;
        Timer *timer; /* to try again, or to tell */
        UnitOnStopping on_stopping;
        void *userdata;
        bool stopping, told;
        char *path;
};

/* A callback of sd-bus may not tell anybody (bus.c), so the timer does. */
static void watch_note(UnitWatch *w, const char *state) {
        w->stopping = strcmp(state, "deactivating") == 0;
        if (!w->stopping)
                w->told = false; /* a restart: the next stop is another one */
        else if (!w->told)
                timer_set(w->timer, 0);
}

static int watch_on_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *state;

        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "v", "s", &state) > 0)
                watch_note(userdata, state);
        return 0;
}

/* Of "sa{sv}as": the interface, what has changed to what, and what is to be asked for. */
static int watch_on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *interface, *name, *state;

        if (sd_bus_message_read(m, "s", &interface) <= 0 || strcmp(interface, UNIT_INTERFACE) != 0 ||
            sd_bus_message_enter_container(m, 'a', "{sv}") <= 0)
                return 0;
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                bool wanted = sd_bus_message_read(m, "s", &name) > 0 && strcmp(name, "ActiveState") == 0;

                if (wanted && sd_bus_message_read(m, "v", "s", &state) > 0)
                        watch_note(userdata, state);
                else if (sd_bus_message_skip(m, "v") < 0)
                        return 0;
                if (sd_bus_message_exit_container(m) < 0)
                        return 0;
        }
        return 0;
}

static void watch_leave(UnitWatch *w) {
        w->match = sd_bus_slot_unref(w->match);
        w->call = sd_bus_slot_unref(w->call);
}

/* The manager sends signals as soon as anybody has subscribed; on its private socket it always does. */
static void watch_on_open(void *userdata, sd_bus *connection) {
        UnitWatch *w = userdata;
        int r;

        r = sd_bus_match_signal_async(connection, &w->match, MANAGER, w->path, PROPERTIES,
                                      "PropertiesChanged", watch_on_changed, NULL, w);
        if (r >= 0)
                r = sd_bus_call_method_async(connection, NULL, MANAGER, "/org/freedesktop/systemd1",
                                             MANAGER ".Manager", "Subscribe", NULL, NULL, "");
        if (r >= 0)
                r = sd_bus_call_method_async(connection, &w->call, MANAGER, w->path, PROPERTIES, "Get",
                                             watch_on_state, w, "ss", UNIT_INTERFACE, "ActiveState");
        if (r < 0)
                timer_set(w->timer, AGAIN_USEC);
}

static void watch_on_broken(void *userdata, const BusTrouble *trouble) {
        UnitWatch *w = userdata;

        timer_set(w->timer, AGAIN_USEC);
}

static void watch_open(UnitWatch *w) {
        static const BusAsker asker = { .on_open = watch_on_open, .on_broken = watch_on_broken };

        bus_ask(w->bus, &asker, w);
}

static int watch_on_time(Timer *timer, void *userdata) {
        UnitWatch *w = userdata;

        timer_set(timer, TIMER_NEVER);
        if (w->stopping && !w->told) {
                w->told = true;
                return w->on_stopping(w->userdata);
        }
        watch_leave(w);
        bus_forget(w->bus);
        watch_open(w);
        return 0;
}

/**
 * unit_watch_new() - hear of a unit's stops
 * @manager: its manager, as for bus_new()
 * @on_stopping: called from the loop when the unit is "deactivating", once for each stop
 *
 * Does not block. Return: 0, or a negative errno: -EINVAL if @unit is no unit's name.
 */
int unit_watch_new(UnitWatch **ret,
                   Event *event,
                   const UnitManager *manager,
                   const char *unit,
                   UnitOnStopping on_stopping,
                   void *userdata) {
        _cleanup_(unit_watch_freep) UnitWatch *w = NULL;
        int r;

        if (!unitname_is_valid(unit, NULL))
                return fail(-EINVAL);
        w = calloc(1, sizeof *w);
        if (!w)
                return fail(-ENOMEM);
        w->on_stopping = on_stopping;
        w->userdata = userdata;
        r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &w->path);
        if (r < 0)
                return fail(r);
        r = bus_new(&w->bus, event, manager->user, manager->uid);
        if (r >= 0)
                r = event_add_timer(event, &w->timer, TIMER_NEVER, watch_on_time, w);
        if (r < 0)
                return relay(r);
        watch_open(w);
        *ret = TAKE_PTR(w);
        return 0;
}

/**
 * unit_watch_free() - and close its connection
 *
 * Return: NULL.
 */
UnitWatch *unit_watch_free(UnitWatch *w) {
        if (!w)
                return NULL;
        watch_leave(w);
        if (w->bus)
                bus_forget(w->bus);
        w->bus = bus_free(w->bus);
        w->timer = timer_free(w->timer);
        free(w->path);
        free(w);
        return NULL;
}
