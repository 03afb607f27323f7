/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A transient scope around a process that runs already.
 *
 * The reply to StartTransientUnit names a job and says nothing about its end; that comes as a JobRemoved signal, for
 * which the match is installed before the call is made. Other jobs' signals arrive too, and ours could be before the
 * reply has been looked at, so an end of a job for our unit is kept until the reply says whether it was that one.
 *
 * One property the manager does not know refuses the whole call. There is no way to ask beforehand, so it is tried:
 * what the error names is left out the next time, or all that an older manager may lack if it names nothing we know.
 *
 * scope_begin() never blocks, so that the runtime's start can go on beside it. The bus must outlive the Scope, and
 * nobody may run it between the two calls but scope_wait().
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "event/event.h"
#include "systemd/bus-connection.h"
#include "systemd/scope.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

/* What an older manager, or a connection without descriptors, may lack */
#define WITH_PIDFD (1U << 0)
#define WITH_STOP_PROPAGATED (1U << 1)

static const char *const optional_properties[] = { "PIDFDs", "StopPropagatedFrom" };

struct Scope {
        sd_bus *bus;
        sd_bus_slot *match;
        sd_bus_slot *call;
        ScopeSpec spec; /* its strings are in @strings */
        char *strings[8];
        unsigned with;
        char *job;       /* known from the reply */
        char *ended_job; /* the last one that ended for our unit */
        char result[32]; /* how that ended */
        bool over;
        int answer;
        char error[512];
};

static int send_call(Scope *s);

static int __attribute__((format(printf, 3, 4))) scope_end(Scope *s, int answer, const char *format, ...) {
        va_list ap;

        if (s->over)
                return 0;
        s->over = true;
        s->answer = answer;
        va_start(ap, format);
        (void)vsnprintf(s->error, sizeof s->error, format, ap);
        va_end(ap);
        return 0;
}

/* Both halves known, and one another's? */
static int scope_compare(Scope *s) {
        if (!s->job || !s->ended_job || strcmp(s->job, s->ended_job) != 0)
                return 0;
        if (strcmp(s->result, "done") == 0)
                return scope_end(s, 0, "%s", "");
        return scope_end(s, SCOPE_NOT_DONE, "the start job of %s finished with result \"%s\"", s->spec.name,
                         s->result);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *job, *unit, *result;
        Scope *s = userdata;

        if (sd_bus_message_read(m, "uoss", NULL, &job, &unit, &result) < 0)
                return 0; /* whatever it is, it is no job of ours */
        if (strcmp(unit, s->spec.name) != 0)
                return 0;
        free(s->ended_job);
        s->ended_job = strdup(job);
        if (!s->ended_job)
                return scope_end(s, SCOPE_NO_ANSWER, "%s", strerror(ENOMEM));
        (void)snprintf(s->result, sizeof s->result, "%s", result);
        return scope_compare(s);
}

/* Leaves out what @e complains about; false if it is nothing that could be left out. */
static bool drop_property(Scope *s, const sd_bus_error *e) {
        unsigned left = s->with;

        if (!sd_bus_error_has_name(e, SD_BUS_ERROR_PROPERTY_READ_ONLY) &&
            !sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_PROPERTY))
                return false;
        for (size_t i = 0; i < ELEMENTS(optional_properties); i++)
                if (e->message && strstr(e->message, optional_properties[i]))
                        left &= ~(1U << i);
        if (left == s->with)
                left = 0;
        if (left == s->with)
                return false;
        s->with = left;
        return true;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Scope *s = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        const char *job;
        int r;

        s->call = sd_bus_slot_unref(s->call);
        if (e && drop_property(s, e)) {
                r = send_call(s);
                return r < 0 ? scope_end(s, SCOPE_NO_ANSWER, "%s", strerror(-r)) : 0;
        }
        if (e && (sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) ||
                  sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT)))
                return scope_end(s, SCOPE_NO_ANSWER, "the manager does not respond");
        if (e)
                return scope_end(s, SCOPE_REFUSED, "%s", e->message ?: e->name);
        r = sd_bus_message_read(m, "o", &job);
        if (r >= 0)
                s->job = strdup(job);
        if (!s->job)
                return scope_end(s, SCOPE_NO_ANSWER, "%s", strerror(r < 0 ? -r : ENOMEM));
        return scope_compare(s);
}

/* Appends one property of a string or a list of one string; nothing for NULL. */
static int append_text(const Scope *s,
                       sd_bus_message *m,
                       const char *name,
                       const char *type,
                       const char *text) {
        if (!text)
                return 0;
        if (type[0] == 'a')
                return sd_bus_message_append(m, "(sv)", name, "as", 1, text);
        return sd_bus_message_append(m, "(sv)", name, "s", text);
}

static int append_properties(const Scope *s, sd_bus_message *m) {
        const ScopeSpec *p = &s->spec;
        const char *stop = s->with & WITH_STOP_PROPAGATED ? p->stop_propagated_from : NULL;
        int r[] = {
                append_text(s, m, "Description", "s", p->description),
                append_text(s, m, "Documentation", "as", p->documentation),
                append_text(s, m, "Slice", "s", p->slice),
                append_text(s, m, "CollectMode", "s", "inactive-or-failed"),
                append_text(s, m, "BindsTo", "as", p->binds_to),
                append_text(s, m, "Before", "as", p->before),
                append_text(s, m, "After", "as", p->after),
                append_text(s, m, "StopPropagatedFrom", "as", stop),
                sd_bus_message_append(m, "(sv)", "Delegate", "b", p->delegate),
                sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", p->default_dependencies),
                p->timeout_stop_usec == 0
                        ? 0
                        : sd_bus_message_append(m, "(sv)", "TimeoutStopUSec", "t", p->timeout_stop_usec),
                p->kill_signal == 0 ? 0 : sd_bus_message_append(m, "(sv)", "KillSignal", "i", p->kill_signal),
                s->with & WITH_PIDFD ? sd_bus_message_append(m, "(sv)", "PIDFDs", "ah", 1, p->pidfd)
                                     : sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t)p->pid),
        };

        for (size_t i = 0; i < ELEMENTS(r); i++)
                if (r[i] < 0)
                        return fail(r[i]);
        return 0;
}

static int fill_call(const Scope *s, sd_bus_message *m) {
        int r;

        r = sd_bus_message_append(m, "ss", s->spec.name, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r < 0)
                return fail(r);
        r = append_properties(s, m);
        if (r < 0)
                return relay(r);
        r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        return r < 0 ? fail(r) : 0;
}

static int send_call(Scope *s) {
        sd_bus_message *m;
        int r;

        r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                           "StartTransientUnit");
        if (r < 0)
                return fail(r);
        r = fill_call(s, m);
        if (r >= 0)
                r = sd_bus_call_async(s->bus, &s->call, m, on_reply, s, 0);
        (void)sd_bus_message_unref(m);
        return r < 0 ? fail(r) : 0;
}

static int keep_strings(Scope *s, const ScopeSpec *spec) {
        const char **fields[ELEMENTS(s->strings)] = {
                &s->spec.name,     &s->spec.slice,  &s->spec.description,          &s->spec.documentation,
                &s->spec.binds_to, &s->spec.before, &s->spec.stop_propagated_from, &s->spec.after,
        };

        s->spec = *spec;
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                if (!*fields[i])
                        continue;
                s->strings[i] = strdup(*fields[i]);
                if (!s->strings[i])
                        return fail(-ENOMEM);
                *fields[i] = s->strings[i];
        }
        return 0;
}

/**
 * scope_begin() - ask for a scope and do not wait
 * @bus: of the manager to ask; must outlive the scope object
 * @spec: strings are copied, the pidfd is not
 *
 * The process is moved when the job runs, not before scope_wait() says so.
 *
 * Return: 0, or a negative errno if it could not even be asked.
 */
int scope_begin(Scope **ret, Bus *bus, const ScopeSpec *spec) {
        _cleanup_(scope_freep) Scope *s = NULL;
        int r;

        s = calloc(1, sizeof *s);
        if (!s)
                return fail(-ENOMEM);
        s->bus = bus->connection;
        r = keep_strings(s, spec);
        if (r < 0)
                return relay(r);
        if (spec->stop_propagated_from)
                s->with |= WITH_STOP_PROPAGATED;
        if (spec->pidfd >= 0 && sd_bus_can_send(s->bus, SD_BUS_TYPE_UNIX_FD) > 0)
                s->with |= WITH_PIDFD;

        r = sd_bus_match_signal_async(s->bus, &s->match, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved",
                                      on_job_removed, NULL, s);
        if (r < 0)
                return fail(r);
        r = send_call(s);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * scope_wait() - wait for the job's end
 * @timeout_usec: from now on
 *
 * May be called again after SCOPE_NO_ANSWER for having taken too long, as the job may still end well.
 *
 * Return: 0 when the scope is there; SCOPE_REFUSED, SCOPE_NOT_DONE, SCOPE_NO_ANSWER, with scope_error() saying why.
 */
int scope_wait(Scope *s, uint64_t timeout_usec) {
        uint64_t end = event_now() + timeout_usec;

        while (!s->over) {
                uint64_t now = event_now();
                int r;

                r = sd_bus_process(s->bus, NULL);
                if (r > 0)
                        continue;
                if (r == 0 && now >= end) {
                        (void)snprintf(s->error, sizeof s->error, "the manager did not respond in time");
                        return SCOPE_NO_ANSWER;
                }
                if (r == 0)
                        r = sd_bus_wait(s->bus, end - now);
                if (r < 0 && r != -EINTR)
                        (void)scope_end(s, SCOPE_NO_ANSWER, "connection to the manager: %s", strerror(-r));
        }
        return s->answer;
}

/**
 * scope_error() - why scope_wait() did not return 0, for people
 */
const char *scope_error(const Scope *s) {
        return s->error;
}

/**
 * scope_free() - forget about a scope; the scope itself stays
 */
Scope *scope_free(Scope *s) {
        if (!s)
                return NULL;
        (void)sd_bus_slot_unref(s->call);
        (void)sd_bus_slot_unref(s->match);
        for (size_t i = 0; i < ELEMENTS(s->strings); i++)
                free(s->strings[i]);
        free(s->ended_job);
        free(s->job);
        free(s);
        return NULL;
}
