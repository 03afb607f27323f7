/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What was found of a container, for people in a dozen lines, for programs as JSON. Names come from command lines and
 * the journal, so control characters never reach a terminal.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "explain/explain-internal.h"

#define MACHINE_FILE_MAX 65536

#define LINE_SIZE 4096
#define LABEL_WIDTH 12
#define USEC_PER_SEC 1000000ULL

/* One line: @label, which may be empty, and what it is about. */
__attribute__((format(printf, 2, 3))) static void say(const char *label, const char *format, ...) {
        char line[LINE_SIZE];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void)printf("%*s%s %s\n", LABEL_WIDTH, label, label[0] ? ":" : " ", utf8_make_printable(line));
}

/**
 * explain_say_text() - a line of text, without a label
 */
void explain_say_text(const char *format, ...) {
        char line[LINE_SIZE];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void)puts(utf8_make_printable(line));
}

/**
 * explain_format_span() - "2h 5min", as systemd writes it, the two largest units of it
 *
 * Return: @out, or a constant.
 */
const char *explain_format_span(uint64_t usec, char *out, size_t size) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "y", 31557600 * USEC_PER_SEC }, { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },     { "s", USEC_PER_SEC },         { "ms", 1000 }
        };
        size_t n = 0;

        if (usec == UINT64_MAX)
                return "infinity";
        (void)snprintf(out, size, "0");
        for (size_t i = 0, parts = 0; i < ELEMENTS(units) && parts < 2 && n < size; i++) {
                if (usec < units[i].usec || (units[i].usec < USEC_PER_SEC && parts > 0))
                        continue;
                n += (size_t)snprintf(out + n, size - n, "%s%llu%s", parts > 0 ? " " : "",
                                      (unsigned long long)(usec / units[i].usec), units[i].name);
                usec %= units[i].usec;
                parts++;
        }
        return out;
}

static const char *format_time(uint64_t usec, char *out, size_t size) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        char span[64], when[64] = "?";
        struct timespec now;
        struct tm tm;

        (void)clock_gettime(CLOCK_REALTIME, &now); /* is always there */
        if (localtime_r(&seconds, &tm))
                (void)strftime(when, sizeof when, "%a %Y-%m-%d %H:%M:%S %Z", &tm);
        if (now.tv_sec > seconds)
                (void)snprintf(out, size, "%s; %s ago", when,
                               explain_format_span((uint64_t)(now.tv_sec - seconds) * USEC_PER_SEC, span,
                                                   sizeof span));
        else
                (void)snprintf(out, size, "%s", when);
        return out;
}

static const char *cgroup_of(const ExplainProcess *p) {
        return p->cgroup ? p->cgroup : "unknown cgroup";
}

static void say_processes(const Explained *e) {
        char others[64] = "";

        if (e->keeper && e->worker)
                say("Monitor", "%d (%s), worker %d, in %s", e->keeper->pid, e->keeper->stat.comm,
                    e->worker->pid, cgroup_of(e->keeper));
        else if (e->keeper)
                say("Monitor", "%d (%s)%s, in %s", e->keeper->pid, e->keeper->stat.comm,
                    e->stock ? ", not scopemon" : "", cgroup_of(e->keeper));
        else if (e->init)
                say("Monitor", "none (died)");
        if (e->n_processes > 1)
                (void)snprintf(others, sizeof others, " and %u more", e->n_processes - 1);
        if (e->init)
                say("Container", "%d (%s)%s, in %s", e->init->pid, e->init->stat.comm, others,
                    e->container_cgroup);
        if (e->n_execs > 0)
                say("Execs", "%u session%s", e->n_execs, e->n_execs == 1 ? "" : "s");
}

static void say_unit(const char *label, const ExplainUnit *u) {
        const UnitFacts *f = &u->facts;
        char whose[64] = "the system";

        if (u->user)
                (void)snprintf(whose, sizeof whose, "user %u", u->owner);
        if (!u->known)
                say(label, "%s of %s: %s", u->name, whose, u->trouble);
        else
                say(label, "%s of %s: %s (%s)%s%s%s", u->name, whose, f->active_state, f->sub_state,
                    f->type[0] ? ", Type=" : "", f->type, f->delegate ? ", Delegate=yes" : "");
}

static void say_placement(const Explained *e) {
        const ExplainPlacement *p = &e->placement;

        if (p->told)
                say("Placement", "%s: %s", p->name, p->reason);
        else if (e->keeper && e->stock)
                say("Placement", "chosen by the caller; scopemon would choose %s: %s", p->name, p->reason);
        else if (e->keeper)
                say("Placement", "%s (inferred): %s", p->name, p->reason);
        else
                say("Placement", "unknown (no monitor, and no journal entry of one)");
}

static void format_kill(const UnitFacts *f, char *out, size_t size) {
        char name[32], span[64], later[96] = "";
        bool all = strcmp(f->kill_mode, "control-group") == 0;

        (void)snprintf(name, sizeof name, "SIG%s",
                       f->kill_signal > 0 ? sigabbrev_np(f->kill_signal) ?: "?" : "TERM");
        if (f->timeout_stop_usec != UINT64_MAX)
                (void)snprintf(later, sizeof later, ", SIGKILL after %s",
                               explain_format_span(f->timeout_stop_usec, span, sizeof span));
        if (all)
                (void)snprintf(out, size, "%s to all of its processes%s", name, later);
        else if (strcmp(f->kill_mode, "mixed") == 0)
                (void)snprintf(out, size, "%s to its main process%s, then SIGKILL to the rest", name, later);
        else if (strcmp(f->kill_mode, "process") == 0)
                (void)snprintf(out, size, "%s to its main process%s, leaves the rest (KillMode=process)",
                               name, later);
        else
                (void)snprintf(out, size, "no signal (KillMode=%s)", f->kill_mode);
}

/* The name of a scope has 64 characters that were in a line above already. */
static const char *short_name(const Explained *e, const char *unit) {
        return strcmp(unit, e->container_unit.name) == 0 && strstr(unit, e->id) ? "the container's scope"
                                                                                : unit;
}

static void say_stop(const Explained *e) {
        const char *stoppers[4];
        char line[LINE_SIZE] = "", kill[256];
        ExplainStep steps[2];
        size_t n = explain_stoppers(e, stoppers), length = 0;

        for (size_t i = 0; i < n; i++)
                length += (size_t)snprintf(line + length, sizeof line - length, "%s%s",
                                           i == 0       ? ""
                                           : i + 1 == n ? " or "
                                                        : ", ",
                                           short_name(e, stoppers[i]));
        if (n > 0)
                say("Stopped", "with %s", line);
        n = explain_order(e, steps);
        for (size_t i = 0; i < n; i++) {
                const char *label = i == 0 ? "Shutdown" : "";
                const UnitFacts *f = &steps[i].unit->facts;
                const char *name = short_name(e, steps[i].unit->name);

                format_kill(f, kill, sizeof kill);
                if (steps[i].stopped)
                        say(label, "%s%s: %s%s",
                            steps[i].at_once ? "meanwhile "
                            : i > 0          ? "then "
                                             : "",
                            name, f->exec_stop ? "ExecStop=, then " : "", kill);
                else
                        say(label, "%s is not stopped by a job; killed by the final SIGTERM at shutdown",
                            name);
        }
}

/*
 * Does systemd-machined know it by this name? Its files tell; libsystemd, which reads them too, finds one by the unit, but
 * not that of a nested container from systemd 258 on.
 */
static bool is_machine(const Explained *e) {
        _cleanup_free_ char *text = NULL;
        char path[PATH_MAX], leader[32];

        if (!e->init || !e->name[0] || e->name[0] == '.' || strchr(e->name, '/'))
                return false;
        if (e->owner == 0)
                (void)snprintf(path, sizeof path, "/run/systemd/machines/%s", e->name);
        else
                (void)snprintf(path, sizeof path, "/run/user/%u/systemd/machines/%s", e->owner, e->name);
        (void)snprintf(leader, sizeof leader, "\nLEADER=%d\n", e->init->pid);
        return fd_read_file(AT_FDCWD, path, MACHINE_FILE_MAX, &text, NULL) >= 0 && strstr(text, leader);
}

static void say_soft_reboot(const Explained *e) {
        const ExplainUnit *unit;
        const char *why;

        if (!e->container_unit.known || !e->monitor_unit.known)
                return;
        why = explain_soft_reboot(e, &unit);
        if (why)
                say("Soft reboot", "is killed, because %s %s", short_name(e, unit->name), why);
        else
                say("Soft reboot", "survives");
}

static void format_end(const ExplainEnd *end, char *out, size_t size) {
        if (end->timed_out)
                (void)snprintf(out, size, "killed after its timeout");
        else if (end->signal > 0 && end->signal < 128)
                (void)snprintf(out, size, "killed by SIG%s%s%s", sigabbrev_np((int)end->signal) ?: "?",
                               end->core_dumped ? ", dumped core" : "", end->oom ? ", out of memory" : "");
        else if (end->has_status)
                (void)snprintf(out, size, "exited with status %llu%s%s", (unsigned long long)end->status,
                               end->oom ? ", after an out-of-memory kill" : "",
                               end->by_podman ? " (from Podman)" : "");
        else
                (void)snprintf(out, size, "exited, status unknown");
}

static void say_end(const Explained *e) {
        char how[128], span[64], when[160], suppressed[64] = "", who[64] = "";
        const ExplainEnd *end = &e->end;

        if (!end->known)
                return;
        format_end(end, how, sizeof how);
        (void)format_time(end->usec, when, sizeof when);
        if (end->suppressed > 0)
                (void)snprintf(suppressed, sizeof suppressed, ", %llu lines dropped by journald",
                               (unsigned long long)end->suppressed);
        if (end->other)
                (void)snprintf(who, sizeof who, "(container %.12s of the same name) ", end->id);
        if (end->by_podman)
                say("Last run", "%s%s, %s", who, how, when);
        else
                say("Last run", "%s%s after %s, %s; %llu bytes of output, %llu lost%s", who, how,
                    explain_format_span(end->duration, span, sizeof span), when,
                    (unsigned long long)end->bytes, (unsigned long long)end->lost, suppressed);
}

static void say_output(const Explained *e) {
        const ExplainOutput *o = &e->output;
        char suppressed[64] = "";

        if (o->suppressed > 0)
                (void)snprintf(suppressed, sizeof suppressed, ", %llu lines dropped by journald",
                               (unsigned long long)o->suppressed);
        if (o->known)
                say("Output", "%llu bytes, %llu lost%s; %llu client%s attached", (unsigned long long)o->bytes,
                    (unsigned long long)o->lost, suppressed, (unsigned long long)o->clients,
                    o->clients == 1 ? "" : "s");
        if (strncmp(e->id, "scopemon-", strlen("scopemon-")) == 0 && e->container_unit.name[0])
                say("Logs", "journalctl %s-u %s", e->container_unit.user ? "--user " : "",
                    e->container_unit.name);
        else if (e->name[0])
                say("Logs", "podman logs %s, or journalctl CONTAINER_ID_FULL=%s", e->name, e->id);
}

/**
 * explain_print() - all that is known of a container, for people
 */
void explain_print(const Explained *e) {
        bool same = explain_same_unit(&e->container_unit, &e->monitor_unit);
        char when[160];

        say("Name", "%s (%s)", e->name[0] ? e->name : "unnamed", e->id);
        if (e->init)
                say("State", "running since %s", format_time(e->init->stat.start_usec, when, sizeof when));
        else
                say("State", "%s", e->keeper ? "starting, or just exited" : "not running");
        say_processes(e);
        if (e->container_unit.name[0])
                say_unit("Unit", &e->container_unit);
        if (e->monitor_unit.name[0] && !same)
                say_unit(e->keeper ? "Monitor unit" : "Caller", &e->monitor_unit);
        say_placement(e);
        if (is_machine(e))
                say("Machine", "%s, see \"machinectl status %s\"", e->name, e->name);
        if (e->init || e->keeper) {
                say_stop(e);
                say_soft_reboot(e);
        }
        say_output(e);
        say_end(e);
}

/* ---- for programs ------------------------------------------------------------------------------------- */

/* Stops at the first that fails, and remembers. */
typedef struct Out {
        Json *json;
        int r;
} Out;

static void put(Out *o, const char *path, const char *text) {
        if (o->r >= 0 && text[0])
                o->r = json_set_text(o->json, path, text);
}

static void put_number(Out *o, const char *path, uint64_t number) {
        if (o->r >= 0)
                o->r = json_set_number(o->json, path, number);
}

static void put_bool(Out *o, const char *path, bool value) {
        if (o->r >= 0)
                o->r = json_set_bool(o->json, path, value);
}

static void put_process(Out *o, const char *where, const ExplainProcess *p) {
        char path[64];

        if (!p)
                return;
        (void)snprintf(path, sizeof path, "%s.pid", where);
        put_number(o, path, (uint64_t)p->pid);
        (void)snprintf(path, sizeof path, "%s.command", where);
        put(o, path, p->stat.comm);
        (void)snprintf(path, sizeof path, "%s.since", where);
        put_number(o, path, p->stat.start_usec);
        (void)snprintf(path, sizeof path, "%s.cgroup", where);
        put(o, path, p->cgroup ? p->cgroup : "");
}

static void put_unit(Out *o, const char *where, const ExplainUnit *u) {
        const struct {
                const char *name, *value;
        } texts[] = { { "name", u->name },
                      { "trouble", u->trouble },
                      { "active", u->facts.active_state },
                      { "sub", u->facts.sub_state },
                      { "type", u->facts.type },
                      { "kill_mode", u->facts.kill_mode },
                      { "slice", u->facts.slice },
                      { "binds_to", u->facts.binds_to },
                      { "before", u->facts.before },
                      { "after", u->facts.after } };
        char path[64];

        if (!u->name[0])
                return;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                (void)snprintf(path, sizeof path, "%s.%s", where, texts[i].name);
                put(o, path, texts[i].value);
        }
        (void)snprintf(path, sizeof path, "%s.manager", where);
        put(o, path, u->user ? "user" : "system");
        (void)snprintf(path, sizeof path, "%s.owner", where);
        put_number(o, path, u->owner);
        if (!u->known)
                return;
        (void)snprintf(path, sizeof path, "%s.delegate", where);
        put_bool(o, path, u->facts.delegate);
        (void)snprintf(path, sizeof path, "%s.timeout_stop_usec", where);
        put_number(o, path, u->facts.timeout_stop_usec);
}

static void put_stop(Out *o, const Explained *e) {
        const ExplainUnit *unit;
        const char *stoppers[4];
        ExplainStep steps[2];
        size_t n;

        n = explain_stoppers(e, stoppers);
        for (size_t i = 0; o->r >= 0 && i < n; i++)
                o->r = json_append_text(o->json, "stop.with", stoppers[i]);
        n = explain_order(e, steps);
        for (size_t i = 0; o->r >= 0 && i < n; i++)
                o->r = json_append_text(o->json, steps[i].stopped ? "stop.shutdown" : "stop.final_signal",
                                        steps[i].unit->name);
        if (n == 2)
                put_bool(o, "stop.ordered", !steps[1].at_once);
        if (e->container_unit.known && e->monitor_unit.known)
                put_bool(o, "stop.survives_soft_reboot", !explain_soft_reboot(e, &unit));
}

static void put_end(Out *o, const ExplainEnd *end) {
        if (!end->known)
                return;
        put(o, "end.source", end->by_podman ? "podman" : "scopemon");
        put_bool(o, "end.other_id", end->other);
        put(o, "end.id", end->id);
        put_number(o, "end.when", end->usec);
        if (end->has_status)
                put_number(o, "end.status", end->status);
        if (end->by_podman)
                return;
        put_number(o, "end.signal", end->signal);
        put_bool(o, "end.core_dumped", end->core_dumped);
        put_bool(o, "end.oom", end->oom);
        put_bool(o, "end.timed_out", end->timed_out);
        put_number(o, "end.duration_usec", end->duration);
        put_number(o, "end.bytes", end->bytes);
        put_number(o, "end.bytes_lost", end->lost);
        put_number(o, "end.entries_suppressed", end->suppressed);
}

/**
 * explain_json() - all that is known of a container, for programs
 *
 * What is not known is left out. Times are microseconds, since the epoch where they are no spans.
 *
 * Return: 0 or -ENOMEM.
 */
int explain_json(const Explained *e, Json **ret) {
        _cleanup_(json_freep) Json *json = NULL;
        Out o = { 0 };

        o.r = json_new(&json);
        if (o.r < 0)
                return relay(o.r);
        o.json = json;
        put(&o, "id", e->id);
        put(&o, "name", e->name);
        put_bool(&o, "running", e->init);
        put_number(&o, "owner", e->owner);
        put_process(&o, "monitor", e->keeper);
        if (e->keeper)
                put_bool(&o, "monitor.scopemon", !e->stock);
        put_process(&o, "worker", e->worker);
        put_process(&o, "container", e->init);
        put(&o, "container.cgroup", e->container_cgroup);
        if (e->init)
                put_number(&o, "container.processes", e->n_processes);
        put_number(&o, "execs", e->n_execs);
        if (e->output.has_memory)
                put_number(&o, "container.memory", e->output.memory);
        if (e->output.known) {
                put_number(&o, "output.lines", e->output.lines);
                put_number(&o, "output.bytes", e->output.bytes);
                put_number(&o, "output.bytes_lost", e->output.lost);
                put_number(&o, "output.entries_suppressed", e->output.suppressed);
                put_number(&o, "output.clients", e->output.clients);
        }
        put_unit(&o, "unit", &e->container_unit);
        put_unit(&o, "monitor_unit", &e->monitor_unit);
        put(&o, "placement.name", e->placement.name);
        put(&o, "placement.reason", e->placement.reason);
        put(&o, "placement.caller_unit", e->placement.caller_unit);
        put(&o, "placement.source",
            e->placement.told ? "journal"
            : e->stock        ? "hypothetical"
            : e->keeper       ? "inferred"
                              : "");
        if (e->init || e->keeper)
                put_stop(&o, e);
        put_end(&o, &e->end);
        if (o.r < 0)
                return relay(o.r);
        *ret = TAKE_PTR(json);
        return 0;
}
