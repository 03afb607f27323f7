/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Our own entries in the journal. Each has a MESSAGE_ID (protocol.h), which units/scopemon.catalog explains, the
 * container's name and ID, and the unit that it concerns but is not sent from, so that the journal of the caller's
 * unit and that of the container's scope both tell it.
 *
 * Nothing is announced of an exec session: there may be a thousand in a minute, and whoever started one knows.
 */

#include <stdio.h>
#include <string.h>

#include "report/announce.h"
#include "report/entry.h"
#include "scopemon/protocol.h"
#include "wire/journal.h"

static const char *announce_name_of(const Options *o) {
        return o->name ? o->name : o->cid;
}

static EntryOf entry_of(const Options *o, const PlacementPlan *plan) {
        return (EntryOf){
                .cid = o->cid, .name = o->name, .unit = plan->container_scope, .user_unit = plan->user_scope
        };
}

static void announce_begin(Entry *e,
                           const Options *o,
                           const PlacementPlan *plan,
                           const char *id,
                           int priority) {
        const EntryOf of = entry_of(o, plan);

        entry_begin(e, &of, id, priority);
}

/**
 * announce_placed() - where monitor and container are, and why
 * @trouble: what could not be had on the way to this plan, or NULL
 */
void announce_placed(const Options *o, const PlacementPlan *plan, const char *trouble) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_PLACED, trouble ? 4 : 6);
        if (plan->container == PLACEMENT_CONTAINER_NESTED)
                entry_add(&e, "MESSAGE", "Container %s: %s (%s)%s%s", announce_name_of(o),
                          plan->container_path, plan->reason, trouble ? "; " : "", trouble ? trouble : "");
        else
                entry_add(&e, "MESSAGE", "Container %s: %s (%s)%s%s", announce_name_of(o),
                          plan->container_scope[0] ? plan->container_scope : "cgroup chosen by the caller",
                          plan->reason, trouble ? "; " : "", trouble ? trouble : "");
        entry_add(&e, SCOPEMON_FIELD_PLACEMENT, "%s", placement_row_name(plan->row));
        entry_add(&e, SCOPEMON_FIELD_REASON, "%s", plan->reason);
        if (plan->unit[0])
                entry_add(&e, SCOPEMON_FIELD_CALLER_UNIT, "%s", plan->unit);
        if (plan->monitor_scope[0] && plan->monitor == PLACEMENT_MONITOR_SCOPE)
                entry_add(&e, SCOPEMON_FIELD_MONITOR_SCOPE, "%s", plan->monitor_scope);
        if (plan->container_path[0])
                entry_add(&e, SCOPEMON_FIELD_CONTAINER_CGROUP, "%s", plan->container_path);
        (void)entry_send(&e);
}

/**
 * announce_misconfigured() - something is set up in a way that cannot work
 * @problem: what, about the container
 * @remedy: what to do, or to write where
 */
void announce_misconfigured(const Options *o,
                            const PlacementPlan *plan,
                            const char *problem,
                            const char *remedy) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_MISCONFIGURED, 4);
        entry_add(&e, "MESSAGE", "Container %s: %s; hint: %s", announce_name_of(o), problem, remedy);
        entry_add(&e, SCOPEMON_FIELD_PROBLEM, "%s", problem);
        entry_add(&e, SCOPEMON_FIELD_REMEDY, "%s", remedy);
        (void)entry_send(&e);
}

/**
 * announce_failure() - the monitor cannot do what it has to
 * @problem: what, about the container
 * @error: errno; 0 for none
 */
void announce_failure(const Options *o, const PlacementPlan *plan, const char *problem, int error) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_FAILURE, 3);
        entry_add(&e, "MESSAGE", "Container %s: %s%s%s", announce_name_of(o), problem, error ? ": " : "",
                  error ? strerror(error) : "");
        entry_add(&e, SCOPEMON_FIELD_PROBLEM, "%s", problem);
        if (error)
                entry_add(&e, "ERRNO", "%d", error);
        (void)entry_send(&e);
}

/**
 * announce_not_restarted() - its restart policy would have it started again, but the unit is being stopped
 */
void announce_not_restarted(const Options *o, const PlacementPlan *plan) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_NOT_RESTARTED, 5);
        entry_add(&e, "MESSAGE", "Container %s was not restarted: %s is being stopped", announce_name_of(o),
                  plan->unit);
        entry_add(&e, SCOPEMON_FIELD_CALLER_UNIT, "%s", plan->unit);
        entry_send(&e);
}

/**
 * announce_killed_by_timeout() - its time is over, SIGKILL is on its way
 */
void announce_killed_by_timeout(const Options *o, const PlacementPlan *plan) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_KILLED_BY_TIMEOUT, 4);
        entry_add(&e, "MESSAGE", "Container %s timed out after %d s, killing it", announce_name_of(o),
                  o->timeout);
        entry_add(&e, SCOPEMON_FIELD_TIMEOUT, "%llu", (unsigned long long)o->timeout * 1000000U);
        (void)entry_send(&e);
}

/**
 * announce_ended() - how a container ended
 */
void announce_ended(const Options *o, const PlacementPlan *plan, const AnnounceEnd *end) {
        const EntryOf of = entry_of(o, plan);

        announce_end_of(&of, end);
}

/**
 * announce_worker_replaced() - a worker has died and another one goes on
 * @signal: that ended it, or 0 with its exit status in @code
 */
void announce_worker_replaced(const Options *o, const PlacementPlan *plan, int signal, int code) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_WORKER_REPLACED, 4);
        if (signal != 0)
                entry_add(&e, "MESSAGE", "Container %s: the worker was killed by SIG%s, restarting it",
                          announce_name_of(o), sigabbrev_np(signal) ?: "?");
        else
                entry_add(&e, "MESSAGE", "Container %s: the worker exited with status %d, restarting it",
                          announce_name_of(o), code);
        (void)entry_send(&e);
}

/**
 * announce_keeper_replaced() - the monitor itself has died, and this is the next one
 */
void announce_keeper_replaced(const Options *o, const PlacementPlan *plan) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_KEEPER_REPLACED, 4);
        entry_add(&e, "MESSAGE", "Container %s: the monitor died and was restarted", announce_name_of(o));
        (void)entry_send(&e);
}

/**
 * announce_raw() - two workers have died of the same output
 * @n: bytes that the next one does not parse
 */
void announce_raw(const Options *o, const PlacementPlan *plan, uint64_t n) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_WORKER_REPLACED, 4);
        entry_add(&e, "MESSAGE",
                  "Container %s: two workers crashed on the same output, writing %llu bytes of it raw",
                  announce_name_of(o), (unsigned long long)n);
        (void)entry_send(&e);
}

/**
 * announce_loss() - output was lost, or a sink has trouble that may lead there
 * @sink: its name
 * @error: errno, or 0 when the trouble is over
 * @lost: bytes given up in this incident
 * @lines: lines that were in them
 */
void announce_loss(const Options *o,
                   const PlacementPlan *plan,
                   const char *sink,
                   int error,
                   uint64_t lost,
                   uint64_t lines) {
        Entry e;

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_LOSS, lost > 0 ? 4 : 5);
        if (error != 0)
                entry_add(&e, "MESSAGE",
                          "Container %s: %s does not accept output: %s; %llu bytes in %llu lines lost",
                          announce_name_of(o), sink, strerror(error), (unsigned long long)lost,
                          (unsigned long long)lines);
        else
                entry_add(&e, "MESSAGE",
                          "Container %s: %s accepts output again; %llu bytes in %llu lines lost",
                          announce_name_of(o), sink, (unsigned long long)lost, (unsigned long long)lines);
        entry_add(&e, SCOPEMON_FIELD_BYTES_LOST, "%llu", (unsigned long long)lost);
        entry_add(&e, SCOPEMON_FIELD_LINES_LOST, "%llu", (unsigned long long)lines);
        (void)entry_send(&e);
}

/* Whose rate limit it is that our entries meet, as journald sees it: a user's units all are the one of their manager. */
static void find_sender(const PlacementPlan *plan, char *ret, size_t size) {
        if (plan->user)
                (void)snprintf(ret, size, "user@%u.service", plan->uid);
        else if (plan->monitor == PLACEMENT_MONITOR_SCOPE)
                (void)snprintf(ret, size, "%s", plan->monitor_scope);
        else
                (void)snprintf(ret, size, "%s", plan->unit[0] ? plan->unit : "its unit");
}

/**
 * announce_suppressed() - journald has taken output and thrown it away, as there was too much
 * @suppressed: entries that are not in the journal; 0 if we cannot see there
 * @entries: that were sent
 */
void announce_suppressed(const Options *o, const PlacementPlan *plan, uint64_t suppressed, uint64_t entries) {
        char sender[UNITNAME_SIZE], remedy[UNITNAME_SIZE + 80];
        size_t n;
        Entry e;

        find_sender(plan, sender, sizeof sender);
        n = strlen(sender);
        if (n > 8 && strcmp(sender + n - 8, ".service") == 0)
                (void)snprintf(remedy, sizeof remedy,
                               "set LogRateLimitIntervalSec=1s and a large LogRateLimitBurst= in %s", sender);
        else
                (void)snprintf(remedy, sizeof remedy,
                               "set RateLimitBurst= in journald.conf(5); scopes have no such setting");

        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_SUPPRESSED, 4);
        if (suppressed > 0)
                entry_add(&e, "MESSAGE",
                          "Container %s: journald dropped %llu of %llu lines: %s exceeded its rate limit; "
                          "hint: %s",
                          announce_name_of(o), (unsigned long long)suppressed, (unsigned long long)entries,
                          sender, remedy);
        else
                entry_add(&e, "MESSAGE",
                          "Container %s: %llu lines may exceed journald's rate limit for %s, and the "
                          "journal cannot be read to see whether any were dropped; hint: %s",
                          announce_name_of(o), (unsigned long long)entries, sender, remedy);
        entry_add(&e, SCOPEMON_FIELD_SUPPRESSED, "%llu", (unsigned long long)suppressed);
        entry_add(&e, SCOPEMON_FIELD_ENTRIES, "%llu", (unsigned long long)entries);
        entry_add(&e, SCOPEMON_FIELD_REMEDY, "%s", remedy);
        (void)entry_send(&e);
}

/**
 * announce_upgraded() - another binary has taken over
 * @before: version of the one before
 * @usec: how long output was not served
 */
void announce_upgraded(const Options *o, const PlacementPlan *plan, const char *before, uint64_t usec) {
        Entry e;

        if (o->exec)
                return;
        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_UPGRADED, 6);
        entry_add(&e, "MESSAGE",
                  "Container %s: the monitor was upgraded from %s to %s, output was delayed by "
                  "%llu.%03llu ms",
                  announce_name_of(o), before, options_version(), (unsigned long long)usec / 1000,
                  (unsigned long long)usec % 1000);
        entry_add(&e, SCOPEMON_FIELD_VERSION, "%s", options_version());
        entry_add(&e, SCOPEMON_FIELD_VERSION_BEFORE, "%s", before);
        entry_add(&e, SCOPEMON_FIELD_PAUSE, "%llu", (unsigned long long)usec);
        (void)entry_send(&e);
}

/**
 * announce_upgrade_refused() - another binary has not taken over, the one that runs goes on
 * @program: its path, NULL if unknown
 */
void announce_upgrade_refused(const Options *o,
                              const PlacementPlan *plan,
                              const char *program,
                              const char *why) {
        Entry e;

        if (o->exec)
                return;
        announce_begin(&e, o, plan, SCOPEMON_MESSAGE_UPGRADE_REFUSED, 4);
        entry_add(&e, "MESSAGE", "Container %s: the monitor was not upgraded: %s", announce_name_of(o), why);
        entry_add(&e, SCOPEMON_FIELD_PROGRAM, "%s", program ? program : "");
        entry_add(&e, SCOPEMON_FIELD_REASON, "%s", why);
        (void)entry_send(&e);
}

/**
 * announce_log() - the journal's entry of a message of base/log; a LogJournal
 * @userdata: an Announcer
 *
 * Return: true if it is there.
 */
bool announce_log(const LogMessage *m, void *userdata) {
        static const int priorities[_LOG_LEVEL_MAX] = { [LOG_LEVEL_ERROR] = 3,
                                                        [LOG_LEVEL_WARNING] = 4,
                                                        [LOG_LEVEL_INFO] = 6,
                                                        [LOG_LEVEL_DEBUG] = 7,
                                                        [LOG_LEVEL_TRACE] = 7 };
        const Announcer *a = userdata;
        const char *file = strstr(m->place->file, "src/");
        Entry e;

        announce_begin(&e, a->options, a->plan, NULL, priorities[m->level]);
        (void)journal_add_text(&e.journal, "MESSAGE", m->text);
        entry_add(&e, "CODE_FILE", "%s", file ? file : m->place->file);
        entry_add(&e, "CODE_LINE", "%d", m->place->line);
        entry_add(&e, "CODE_FUNC", "%s", m->place->function);
        if (m->error)
                entry_add(&e, "ERRNO", "%d", m->error);
        return entry_send(&e);
}
