/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A container in the register of systemd-machined, which belongs to the bus of a service manager: the system's, or a
 * user's, who has one from systemd 259 on. It finds the unit by the leader's cgroup, makes none, and moves nobody.
 *
 * RegisterMachineEx takes the leader's pidfd; an older machined, which does not know the method, gets the PID.
 *
 * The entry goes by itself when the unit ends. A unit may go on after its container, or be started again: machined,
 * which finds the leader dead and the unit inactive, stops that unit. So the entry is removed when the container has
 * ended, unless it is another one's by then: names are used again.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "systemd/bus-connection.h"
#include "systemd/machine.h"

#define ANSWER_USEC 10000000ULL /* for all of it: machined may have to be started */
#define LEAVE_USEC 2000000ULL   /* likewise, where it runs already and our end waits for it */
#define MACHINED "org.freedesktop.machine1"
#define MACHINED_PATH "/org/freedesktop/machine1"
#define MANAGER MACHINED ".Manager"
#define SERVICE "scopemon" /* as "machinectl list" shows it */
#define CLASS "container"
#define NO_ANSWER "systemd-machined does not respond"

struct MachineQuestion {
        Bus *bus; /* NULL: let go of */
        sd_bus *connection;
        sd_bus_slot *call;
        Timer *timer; /* the time-out, or to tell */
        MachineSpec spec;
        char *name;
        bool leaves;
        MachineOnAnswer on_answer;
        void *userdata;
        bool over;
        int answer;
        BusTrouble trouble;
};

/* A callback of sd-bus may not tell anybody (bus.c), so the timer does. */
static int machine_end(MachineQuestion *q, int answer, int error, const char *text) {
        if (q->over)
                return 0;
        q->over = true;
        q->answer = answer;
        q->trouble.error = error;
        (void)snprintf(q->trouble.text, sizeof q->trouble.text, "%s", text);
        timer_set(q->timer, 0);
        return 0;
}

static int machine_end_errno(MachineQuestion *q, int r) {
        return machine_end(q, MACHINE_FAILED, r, strerror(-r));
}

static int machine_end_error(MachineQuestion *q, const sd_bus_error *e) {
        static const struct {
                const char *name;
                int answer;
        } names[] = {
                { SD_BUS_ERROR_SERVICE_UNKNOWN, MACHINE_NO_SERVICE },
                { SD_BUS_ERROR_NAME_HAS_NO_OWNER, MACHINE_NO_SERVICE },
                { SD_BUS_ERROR_UNKNOWN_OBJECT, MACHINE_NO_SERVICE }, /* the manager's own socket */
                { MACHINED ".MachineExists", MACHINE_TAKEN },
                { SD_BUS_ERROR_INVALID_ARGS, MACHINE_BAD_NAME },
        };
        int answer = MACHINE_FAILED;

        if (bus_is_no_answer(e))
                return machine_end(q, MACHINE_FAILED, 0, NO_ANSWER);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (sd_bus_error_has_name(e, names[i].name))
                        answer = names[i].answer;
        return machine_end(q, answer, 0, e->message ?: e->name);
}

/* ---- to register -------------------------------------------------------------------------------------- */

static int append_id(const MachineQuestion *q, sd_bus_message *m) {
        return sd_bus_message_append_array(m, 'y', q->spec.id, q->spec.has_id ? sizeof q->spec.id : 0);
}

static int append_id_property(const MachineQuestion *q, sd_bus_message *m) {
        int r;

        if (!q->spec.has_id)
                return 0;
        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "Id");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = append_id(q, m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int fill_by_pidfd(const MachineQuestion *q, sd_bus_message *m) {
        int r;

        r = sd_bus_message_append(m, "s", q->name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = append_id_property(q, m);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)(sv)", "Service", "s", SERVICE, "Class", "s", CLASS,
                                          "LeaderPIDFD", "h", q->spec.leader_fd);
        return r < 0 ? fail(r) : sd_bus_message_close_container(m);
}

static int fill_by_pid(const MachineQuestion *q, sd_bus_message *m) {
        int r;

        r = sd_bus_message_append(m, "s", q->name);
        if (r >= 0)
                r = append_id(q, m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssus", SERVICE, CLASS, (uint32_t)q->spec.leader, "");
        return r < 0 ? fail(r) : 0;
}

static int on_registered(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int send_registration(MachineQuestion *q, bool by_pidfd) {
        sd_bus_message *m;
        int r;

        r = sd_bus_message_new_method_call(q->connection, &m, MACHINED, MACHINED_PATH, MANAGER,
                                           by_pidfd ? "RegisterMachineEx" : "RegisterMachine");
        if (r < 0)
                return fail(r);
        r = by_pidfd ? fill_by_pidfd(q, m) : fill_by_pid(q, m);
        if (r >= 0)
                r = sd_bus_call_async(q->connection, &q->call, m, on_registered, q, ANSWER_USEC);
        (void)sd_bus_message_unref(m);
        return r < 0 ? fail(r) : 0;
}

static int on_registered(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        MachineQuestion *q = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        int r;

        q->call = sd_bus_slot_unref(q->call);
        if (!e)
                return machine_end(q, 0, 0, "");
        if (!sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_METHOD))
                return machine_end_error(q, e);
        r = send_registration(q, false);
        return r < 0 ? machine_end_errno(q, r) : 0;
}

/* ---- to leave ----------------------------------------------------------------------------------------- */

/* Whatever the answer is: nobody can do anything about it. */
static int on_left(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        MachineQuestion *q = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        q->call = sd_bus_slot_unref(q->call);
        return e ? machine_end_error(q, e) : machine_end(q, 0, 0, "");
}

static int on_leader(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        MachineQuestion *q = userdata;
        uint32_t leader;
        int r;

        q->call = sd_bus_slot_unref(q->call);
        if (sd_bus_message_is_method_error(m, NULL))
                return machine_end(q, 0, 0, ""); /* it has gone */
        if (sd_bus_message_read(m, "v", "u", &leader) <= 0 || leader != (uint32_t)q->spec.leader)
                return machine_end(q, 0, 0, ""); /* another one's */
        r = sd_bus_call_method_async(q->connection, &q->call, MACHINED, MACHINED_PATH, MANAGER,
                                     "UnregisterMachine", on_left, q, "s", q->name);
        return r < 0 ? machine_end_errno(q, r) : 0;
}

/* A machined that does not run has no entries that it could not find itself: it is not started for that. */
static int ask_for_leader(MachineQuestion *q) {
        sd_bus_message *m = NULL;
        char *path;
        int r;

        r = sd_bus_path_encode(MACHINED_PATH "/machine", q->name, &path);
        if (r < 0)
                return fail(r);
        r = sd_bus_message_new_method_call(q->connection, &m, MACHINED, path,
                                           "org.freedesktop.DBus.Properties", "Get");
        free(path);
        if (r < 0)
                return fail(r);
        r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", MACHINED ".Machine", "Leader");
        if (r >= 0)
                r = sd_bus_call_async(q->connection, &q->call, m, on_leader, q, LEAVE_USEC);
        (void)sd_bus_message_unref(m);
        return r < 0 ? fail(r) : 0;
}

/* ---- questions ---------------------------------------------------------------------------------------- */

static void machine_on_open(void *userdata, sd_bus *connection) {
        MachineQuestion *q = userdata;
        int r;

        q->connection = connection;
        r = q->leaves ? ask_for_leader(q) : send_registration(q, q->spec.leader_fd >= 0);
        if (r < 0)
                (void)machine_end_errno(q, r);
}

static void machine_on_broken(void *userdata, const BusTrouble *trouble) {
        (void)machine_end(userdata, MACHINE_FAILED, trouble->error, trouble->text);
}

/* Drops what is the connection's. */
static void machine_let_go(MachineQuestion *q) {
        q->call = sd_bus_slot_unref(q->call);
        if (q->bus)
                bus_forget(q->bus);
        q->bus = NULL;
}

static int machine_on_time(Timer *timer, void *userdata) {
        MachineQuestion *q = userdata;

        (void)machine_end(q, MACHINE_FAILED, 0, NO_ANSWER);
        timer_set(timer, TIMER_NEVER); /* this is the end */
        machine_let_go(q);
        return q->on_answer(q->userdata, q->answer, &q->trouble);
}

static int machine_ask(MachineQuestion **ret,
                       Bus *bus,
                       const MachineSpec *spec,
                       bool leaves,
                       MachineOnAnswer on_answer,
                       void *userdata) {
        static const BusAsker asker = { .on_open = machine_on_open, .on_broken = machine_on_broken };
        _cleanup_(machine_question_freep) MachineQuestion *q = NULL;
        int r;

        q = calloc(1, sizeof *q);
        if (!q)
                return fail(-ENOMEM);
        q->spec = *spec;
        q->leaves = leaves;
        q->on_answer = on_answer;
        q->userdata = userdata;
        q->name = strdup(spec->name);
        if (!q->name)
                return fail(-ENOMEM);
        r = event_add_timer(bus_event(bus), &q->timer, leaves ? LEAVE_USEC : ANSWER_USEC, machine_on_time, q);
        if (r < 0)
                return relay(r);
        q->bus = bus;
        bus_ask(bus, &asker, q);
        *ret = TAKE_PTR(q);
        return 0;
}

/**
 * machine_register() - have machined list a container
 * @bus: that machined is on; must outlive the question, and nothing else may be asked meanwhile
 * @spec: the name is copied, the pidfd borrowed
 * @on_answer: called once, from the loop
 *
 * Does not block. Return: 0 or a negative errno; then @on_answer is not called.
 */
int machine_register(MachineQuestion **ret,
                     Bus *bus,
                     const MachineSpec *spec,
                     MachineOnAnswer on_answer,
                     void *userdata) {
        return machine_ask(ret, bus, spec, false, on_answer, userdata);
}

/**
 * machine_unregister() - have it forget the container, if the entry of that name is still this leader's
 *
 * As machine_register(), but an entry that has gone is no failure.
 */
int machine_unregister(MachineQuestion **ret,
                       Bus *bus,
                       const MachineSpec *spec,
                       MachineOnAnswer on_answer,
                       void *userdata) {
        return machine_ask(ret, bus, spec, true, on_answer, userdata);
}

/**
 * machine_question_hurry() - somebody waits for the answer now
 */
void machine_question_hurry(MachineQuestion *q) {
        if (!q->over)
                timer_set(q->timer, LEAVE_USEC);
}

/**
 * machine_question_free() - forget about it; a call that was sent may still be carried out
 *
 * Return: NULL.
 */
MachineQuestion *machine_question_free(MachineQuestion *q) {
        if (!q)
                return NULL;
        machine_let_go(q);
        q->timer = timer_free(q->timer);
        free(q->name);
        free(q);
        return NULL;
}

static int digit_of(char c) {
        static const char digits[] = "0123456789abcdef";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

/**
 * machine_id() - the ID of a machine, from the first half of a container's
 *
 * Podman gives a container with systemd the same one, as container_uuid=.
 *
 * Return: false if the container's does not begin with 32 hexadecimal digits.
 */
bool machine_id(const char *cid, unsigned char ret[MACHINE_ID_SIZE]) {
        unsigned char id[MACHINE_ID_SIZE];

        for (size_t i = 0; i < sizeof id; i++) {
                int high = digit_of(cid[2 * i]), low = high < 0 ? -1 : digit_of(cid[2 * i + 1]);

                if (low < 0)
                        return false;
                id[i] = (unsigned char)(high << 4 | low);
        }
        memcpy(ret, id, sizeof id);
        return true;
}
