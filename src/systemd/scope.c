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
 * Whoever has asked hears of the end from the timer, outside of sd-bus (bus.c).
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "systemd/bus-connection.h"
#include "systemd/scope.h"

#define JOB_USEC 25000000ULL
#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

struct Scope {
        Bus *bus;
        sd_bus *connection; /* borrowed while there is one */
        Timer *timer;       /* the job takes too long, or it is over */
        ScopeOnEnd on_end;
        void *userdata;
        sd_bus_slot *match;
        sd_bus_slot *call;
        ScopeSpec spec; /* its strings are in @strings */
        char *strings[7];
        char *job;       /* known from the reply */
        char *ended_job; /* the last one that ended for our unit */
        char result[32]; /* how that ended */
        bool over;
        int answer;
        BusTrouble trouble;
};

static int __attribute__((format(printf, 3, 4))) scope_end(Scope *s, int answer, const char *format, ...) {
        va_list ap;

        if (s->over)
                return 0;
        s->over = true;
        s->answer = answer;
        va_start(ap, format);
        (void)vsnprintf(s->trouble.text, sizeof s->trouble.text, format, ap);
        va_end(ap);
        timer_set(s->timer, 0);
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

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Scope *s = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        const char *job;
        int r;

        s->call = sd_bus_slot_unref(s->call);
        if (e && bus_is_no_answer(e))
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
        int r[] = {
                append_text(s, m, "Description", "s", p->description),
                append_text(s, m, "Documentation", "as", p->documentation),
                append_text(s, m, "Slice", "s", p->slice),
                append_text(s, m, "CollectMode", "s", "inactive-or-failed"),
                append_text(s, m, "Before", "as", p->before),
                append_text(s, m, "After", "as", p->after),
                append_text(s, m, "StopPropagatedFrom", "as", p->stop_propagated_from),
                sd_bus_message_append(m, "(sv)", "Delegate", "b", p->delegate),
                sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", p->default_dependencies),
                p->timeout_stop_usec == 0
                        ? 0
                        : sd_bus_message_append(m, "(sv)", "TimeoutStopUSec", "t", p->timeout_stop_usec),
                p->kill_signal == 0 ? 0 : sd_bus_message_append(m, "(sv)", "KillSignal", "i", p->kill_signal),
                sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t)p->pid),
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

        r = sd_bus_message_new_method_call(s->connection, &m, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                           "StartTransientUnit");
        if (r < 0)
                return fail(r);
        r = fill_call(s, m);
        if (r >= 0)
                r = sd_bus_call_async(s->connection, &s->call, m, on_reply, s, 0);
        (void)sd_bus_message_unref(m);
        return r < 0 ? fail(r) : 0;
}

static int keep_strings(Scope *s, const ScopeSpec *spec) {
        const char **fields[ELEMENTS(s->strings)] = {
                &s->spec.name,          &s->spec.slice,  &s->spec.description,
                &s->spec.documentation, &s->spec.before, &s->spec.stop_propagated_from,
                &s->spec.after,
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

static void scope_on_open(void *userdata, sd_bus *connection) {
        Scope *s = userdata;
        int r;

        s->connection = connection;
        r = sd_bus_match_signal_async(connection, &s->match, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                      "JobRemoved", on_job_removed, NULL, s);
        if (r >= 0)
                r = send_call(s);
        if (r < 0)
                (void)scope_end(s, SCOPE_NO_ANSWER, "%s", strerror(-r));
}

static void scope_on_broken(void *userdata, const BusTrouble *trouble) {
        Scope *s = userdata;

        if (!s->over)
                s->trouble.error = trouble->error;
        (void)scope_end(s, SCOPE_NO_ANSWER, "%s", trouble->text);
}

/* Drops what is the connection's. */
static void scope_let_go(Scope *s) {
        s->call = sd_bus_slot_unref(s->call);
        s->match = sd_bus_slot_unref(s->match);
        if (s->bus)
                bus_forget(s->bus);
        s->bus = NULL;
}

static int scope_on_time(Timer *timer, void *userdata) {
        Scope *s = userdata;

        (void)scope_end(s, SCOPE_NO_ANSWER, "the manager did not respond in time");
        timer_set(timer, TIMER_NEVER); /* this is the end */
        scope_let_go(s);
        return s->on_end(s->userdata, s->answer, &s->trouble);
}

/**
 * scope_ask() - have a scope made, and wait for the end of its job
 * @bus: of the manager to ask; must outlive the Scope, and nothing else may be asked meanwhile
 * @spec: strings are copied
 * @on_end: called once, from the loop
 *
 * The process is moved when the job runs, not before @on_end says so.
 *
 * Return: 0 or a negative errno; then @on_end is not called.
 */
int scope_ask(Scope **ret, Bus *bus, const ScopeSpec *spec, ScopeOnEnd on_end, void *userdata) {
        static const BusAsker asker = { .on_open = scope_on_open, .on_broken = scope_on_broken };
        _cleanup_(scope_freep) Scope *s = NULL;
        int r;

        s = calloc(1, sizeof *s);
        if (!s)
                return fail(-ENOMEM);
        s->on_end = on_end;
        s->userdata = userdata;
        r = keep_strings(s, spec);
        if (r >= 0)
                r = event_add_timer(bus_event(bus), &s->timer, spec->job_usec ?: JOB_USEC, scope_on_time, s);
        if (r < 0)
                return relay(r);
        s->bus = bus;
        bus_ask(bus, &asker, s);
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * scope_free() - forget about a scope; the scope itself stays
 *
 * Return: NULL.
 */
Scope *scope_free(Scope *s) {
        if (!s)
                return NULL;
        scope_let_go(s);
        s->timer = timer_free(s->timer);
        for (size_t i = 0; i < ELEMENTS(s->strings); i++)
                free(s->strings[i]);
        free(s->ended_job);
        free(s->job);
        free(s);
        return NULL;
}
