/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the manager knows of a unit: all its properties in one call, of which a handful is kept. One call, since it
 * stands in the way of a container's start, and since the answers then belong to the same moment.
 *
 * A property that is missing leaves its fact empty: scopes have no Type=, older managers no DelegateSubgroup=.
 *
 * The reply is read in sd-bus's callback; whoever has asked hears of it from the timer, outside of sd-bus (bus.c).
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "systemd/bus-connection.h"
#include "systemd/unit.h"
#include "wire/unitname.h"

#define ANSWER_USEC 30000000ULL /* for all of it: a connection and a call have limits of their own */

typedef struct UnitProperty {
        const char *name;
        const char *type;
        size_t offset;
        size_t size;
} UnitProperty;

#define PROPERTY(name, type, field)                                                                          \
        { name, type, offsetof(UnitFacts, field), sizeof(((UnitFacts *)NULL)->field) }

static const UnitProperty unit_properties[] = {
        PROPERTY("ActiveState", "s", active_state),
        PROPERTY("SubState", "s", sub_state),
        PROPERTY("Type", "s", type),
        PROPERTY("KillMode", "s", kill_mode),
        PROPERTY("ControlGroup", "s", control_group),
        PROPERTY("PIDFile", "s", pid_file),
        PROPERTY("NotifyAccess", "s", notify_access),
        PROPERTY("SyslogIdentifier", "s", syslog_identifier),
        PROPERTY("SyslogFacility", "i", syslog_facility),
        PROPERTY("SyslogLevel", "i", syslog_level),
        PROPERTY("SyslogLevelPrefix", "b", syslog_level_prefix),
        PROPERTY("MainPID", "u", main_pid),
        PROPERTY("Delegate", "b", delegate),
        PROPERTY("RemainAfterExit", "b", remain_after_exit),
        PROPERTY("SurviveFinalKillSignal", "b", survives),
        PROPERTY("IgnoreOnIsolate", "b", ignores_isolate),
        PROPERTY("TimeoutStopUSec", "t", timeout_stop_usec),
        PROPERTY("TimeoutAbortUSec", "t", timeout_abort_usec),
        PROPERTY("FileDescriptorStoreMax", "u", fd_store_max),
        PROPERTY("LoadState", "s", load_state),
        PROPERTY("Result", "s", result),
        PROPERTY("Slice", "s", slice),
        PROPERTY("KillSignal", "i", kill_signal),
        PROPERTY("MemoryMax", "t", memory_max),
        PROPERTY("MemoryHigh", "t", memory_high),
        PROPERTY("MemorySwapMax", "t", memory_swap_max),
        PROPERTY("TasksMax", "t", tasks_max),
        PROPERTY("CPUQuotaPerSecUSec", "t", cpu_quota_usec),
        PROPERTY("DevicePolicy", "s", device_policy),
        PROPERTY("PrivateDevices", "b", private_devices),
        PROPERTY("IPAddressDeny", "any", ip_address_deny),
        PROPERTY("AllowedCPUs", "any", allowed_cpus),
        PROPERTY("BindsTo", "as", binds_to),
        PROPERTY("PartOf", "as", part_of),
        PROPERTY("Requires", "as", requires),
        PROPERTY("StopPropagatedFrom", "as", stop_propagated_from),
        PROPERTY("Before", "as", before),
        PROPERTY("After", "as", after),
};

/* Names are of no use in part: one that does not fit is left out. */
static int read_list(sd_bus_message *m, char *list, size_t size, const char *wanted, bool *ret_found) {
        const char *word;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &word)) > 0) {
                *ret_found = *ret_found || (wanted && strcmp(word, wanted) == 0);
                if (n + strlen(word) + 2 <= size)
                        n += (size_t)snprintf(list + n, size - n, "%s%s", n > 0 ? " " : "", word);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? fail(r) : 0;
}

/* Is there anything in an array, of whatever? */
static int read_any(sd_bus_message *m, bool *ret) {
        int r, end = 1;

        r = sd_bus_message_enter_container(m, 'v', NULL);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', NULL);
        if (r >= 0)
                r = end = sd_bus_message_at_end(m, false);
        *ret = end == 0;
        while (r == 0) {
                r = sd_bus_message_skip(m, NULL);
                if (r >= 0)
                        r = sd_bus_message_at_end(m, false);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? fail(r) : 0;
}

static int read_basic(sd_bus_message *m, const UnitProperty *p, UnitFacts *f) {
        char *field = (char *)f + p->offset;
        bool found = false;
        uint64_t number;
        const char *text;
        int r, flag;

        if (strcmp(p->type, "any") == 0) {
                r = read_any(m, (bool *)field);
                return r < 0 ? relay(r) : 0;
        }
        switch (p->type[0]) {
        case 'a':
                r = read_list(m, field, p->size, NULL, &found);
                return r < 0 ? relay(r) : 0;
        case 'i':
                r = sd_bus_message_read(m, "v", "i", (int32_t *)field);
                break;
        case 'u':
                r = sd_bus_message_read(m, "v", "u", (uint32_t *)field);
                break;
        case 's':
                r = sd_bus_message_read(m, "v", "s", &text);
                if (r >= 0 && strlen(text) < p->size)
                        memcpy(field, text, strlen(text) + 1);
                break;
        case 'b':
                r = sd_bus_message_read(m, "v", "b", &flag);
                if (r >= 0)
                        *(bool *)field = flag;
                break;
        default:
                r = sd_bus_message_read(m, "v", "t", &number);
                if (r >= 0)
                        memcpy(field, &number, sizeof number);
                break;
        }
        return r < 0 ? fail(r) : 0;
}

/* ExecStart= and its like: path, arguments, ignore-failure, begin and end in both clocks, pid, code, status */
static int read_commands(sd_bus_message *m, bool *ret_any, bool *ret_unstarted) {
        bool any = false, unstarted = false;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(sasbttttuii)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(sasbttttuii)");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'r', "sasbttttuii")) > 0) {
                uint64_t begin = 0;

                any = true;
                r = sd_bus_message_skip(m, "sasb");
                if (r >= 0)
                        r = sd_bus_message_read(m, "t", &begin);
                if (r >= 0)
                        r = sd_bus_message_skip(m, "tttuii");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                unstarted = unstarted || begin == 0;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return fail(r);
        *ret_any = any;
        *ret_unstarted = unstarted;
        return 0;
}

static int read_property(sd_bus_message *m, const char *name, UnitFacts *f) {
        const char *text;
        char none[1];
        bool unused;
        int r, flag;

        for (size_t i = 0; i < ELEMENTS(unit_properties); i++)
                if (strcmp(unit_properties[i].name, name) == 0)
                        return read_basic(m, &unit_properties[i], f);
        if (strcmp(name, "ExecStart") == 0)
                return read_commands(m, &unused, &f->unstarted);
        if (strcmp(name, "ExecStop") == 0)
                return read_commands(m, &f->exec_stop, &unused);
        if (strcmp(name, "Conflicts") == 0)
                return read_list(m, none, sizeof none, "shutdown.target", &f->stops_at_shutdown);
        if (strcmp(name, "DelegateSubgroup") == 0) {
                r = sd_bus_message_read(m, "v", "s", &text);
                if (r >= 0)
                        f->subgroup = text[0] != 0;
        } else if (strcmp(name, "SendSIGKILL") == 0) {
                r = sd_bus_message_read(m, "v", "b", &flag);
                if (r >= 0)
                        f->spares = !flag;
        } else {
                r = sd_bus_message_skip(m, "v");
        }
        return r < 0 ? fail(r) : 0;
}

static int read_properties(sd_bus_message *m, UnitFacts *f) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return fail(r);
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return fail(r);
                r = read_property(m, name, f);
                if (r < 0)
                        return relay(r);
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return fail(r);
        }
        return r < 0 ? fail(r) : 0;
}

/* ---- asking ------------------------------------------------------------------------------------------- */

struct UnitQuestion {
        Bus *bus;
        sd_bus_slot *call;
        Timer *timer; /* it is over at last, or has been answered */
        UnitOnAnswer on_answer;
        void *userdata;
        bool known, over;
        UnitFacts facts;
        BusTrouble trouble;
        char name[UNITNAME_SIZE];
};

static void question_end(UnitQuestion *q, int error, const char *why) {
        if (q->over)
                return;
        q->over = true;
        q->known = !why;
        q->trouble.error = error;
        (void)snprintf(q->trouble.text, sizeof q->trouble.text, "%s", why ? why : "");
        timer_set(q->timer, 0);
}

static int question_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        UnitQuestion *q = userdata;
        int r;

        r = e ? 0 : read_properties(m, &q->facts);
        question_end(q, 0, e ? e->message ?: e->name : r < 0 ? strerror(-r) : NULL);
        return 0;
}

static void question_on_open(void *userdata, sd_bus *connection) {
        _cleanup_free_ char *path = NULL;
        UnitQuestion *q = userdata;
        int r;

        r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", q->name, &path);
        if (r >= 0)
                r = sd_bus_call_method_async(connection, &q->call, "org.freedesktop.systemd1", path,
                                             "org.freedesktop.DBus.Properties", "GetAll", question_on_reply,
                                             q, "s", "");
        if (r < 0)
                question_end(q, 0, strerror(-r));
}

static void question_on_broken(void *userdata, const BusTrouble *trouble) {
        question_end(userdata, trouble->error, trouble->text);
}

static int question_on_time(Timer *timer, void *userdata) {
        UnitQuestion *q = userdata;

        question_end(q, 0, "the manager did not respond in time");
        timer_set(timer, TIMER_NEVER); /* this is the end */
        q->call = sd_bus_slot_unref(q->call);
        bus_forget(q->bus);
        q->bus = NULL;
        return q->on_answer(q->userdata, q->known ? &q->facts : NULL, &q->trouble);
}

/**
 * unit_ask() - ask a manager for a unit
 * @bus: of it; must outlive the question, and nothing else may be asked meanwhile
 * @on_answer: called once, from the loop
 *
 * An answer takes ANSWER_USEC at most. A unit that the manager does not know is "inactive", which is an answer.
 *
 * Return: 0, or a negative errno: -EINVAL if @unit is no unit's name. Then @on_answer is not called.
 */
int unit_ask(UnitQuestion **ret, Bus *bus, const char *unit, UnitOnAnswer on_answer, void *userdata) {
        static const BusAsker asker = { .on_open = question_on_open, .on_broken = question_on_broken };
        _cleanup_(unit_question_freep) UnitQuestion *q = NULL;
        int r;

        if (!unitname_is_valid(unit, NULL))
                return fail(-EINVAL);
        q = calloc(1, sizeof *q);
        if (!q)
                return fail(-ENOMEM);
        q->on_answer = on_answer;
        q->userdata = userdata;
        (void)snprintf(q->name, sizeof q->name, "%s", unit);
        r = event_add_timer(bus_event(bus), &q->timer, ANSWER_USEC, question_on_time, q);
        if (r < 0)
                return relay(r);
        q->bus = bus;
        bus_ask(bus, &asker, q);
        *ret = TAKE_PTR(q);
        return 0;
}

/**
 * unit_question_free() - the answer is not wanted any more
 *
 * Return: NULL.
 */
UnitQuestion *unit_question_free(UnitQuestion *q) {
        if (!q)
                return NULL;
        q->call = sd_bus_slot_unref(q->call);
        if (q->bus)
                bus_forget(q->bus);
        q->timer = timer_free(q->timer);
        free(q);
        return NULL;
}

/**
 * unit_is_listed() - is a unit in one of the lists of UnitFacts?
 */
bool unit_is_listed(const char *list, const char *unit) {
        size_t n = strlen(unit);

        for (const char *p = list; n > 0 && (p = strstr(p, unit)); p += n)
                if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
                        return true;
        return false;
}
