/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the managers tell of the units that a container and its monitor are in, and what follows from it: which row of
 * the table they are in if the monitor has not told it, what stops the container, and what goes first at shutdown.
 *
 * A stop job reaches a scope because its own default dependencies say so, or because the unit it is bound to, is part
 * of, or takes stops from has one, or because the slice it requires has one. Stopping goes against the order of
 * starting: of two units, the one that is Before= the other is stopped after it.
 *
 * One call to the bus per unit, and no more than three of them.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "explain/explain-internal.h"
#include "io/cgroup.h"
#include "oci/bundle.h"
#include "scopemon/protocol.h"
#include "systemd/bus.h"
#include "wire/cgtext.h"

static void find_unit(const char *cgroup, ExplainUnit *u) {
        CgUnit found;

        if (!cgroup[0] || cgtext_unit(cgroup, &found) != 0 || found.n_name >= sizeof u->name)
                return;
        memcpy(u->name, found.name, found.n_name);
        u->name[found.n_name] = 0;
        u->user = found.user;
        u->owner = found.owner;
}

typedef struct Manager {
        Event *event;
        Bus *bus;
        int error; /* it cannot be asked */
        bool user;
        uid_t owner;
        ExplainUnit *asked; /* NULL: there is an answer */
} Manager;

static void manager_done(Manager *m) {
        m->bus = bus_free(m->bus);
        m->event = event_unref(m->event);
}

static int on_unit(void *userdata, const UnitFacts *facts, const BusTrouble *trouble) {
        Manager *m = userdata;
        ExplainUnit *u = TAKE_PTR(m->asked);

        m->error = trouble->error;
        u->known = facts;
        if (facts)
                u->facts = *facts;
        else
                (void)snprintf(u->trouble, sizeof u->trouble, "%s", trouble->text);
        return 0;
}

/* Waits for the answer. A manager that could not be asked is not asked again. */
static void ask(Manager *m, ExplainUnit *u) {
        _cleanup_(unit_question_freep) UnitQuestion *question = NULL;
        int r;

        if (!u->name[0] || u->known || u->user != m->user || u->owner != m->owner)
                return;
        if (m->error < 0) {
                bus_explain(m->error, u->user, u->owner, u->trouble, sizeof u->trouble);
                return;
        }
        m->asked = u;
        r = unit_ask(&question, m->bus, u->name, on_unit, m);
        while (r >= 0 && m->asked)
                r = event_turn(m->event, EVENT_FOREVER);
        if (r < 0)
                (void)snprintf(u->trouble, sizeof u->trouble, "%s", strerror(-r));
}

static void manager_init(Manager *m) {
        m->error = event_new(&m->event);
        if (m->error >= 0)
                m->error = bus_new(&m->bus, m->event, m->user, m->owner);
}

/**
 * explain_ask_unit() - what its manager knows of a unit
 * @u: with name, user and owner
 */
void explain_ask_unit(ExplainUnit *u) {
        _cleanup_(manager_done) Manager m = { .user = u->user, .owner = u->owner };

        manager_init(&m);
        ask(&m, u);
}

/* Units of one container have the same manager, but for rootless containers in a unit of the system's. */
static void ask_all(Explained *e) {
        ExplainUnit *units[] = { &e->container_unit, &e->monitor_unit };

        for (size_t i = 0; i < ELEMENTS(units); i++) {
                _cleanup_(manager_done) Manager m = { .user = units[i]->user, .owner = units[i]->owner };
                const ExplainUnit *u = units[i];

                if (!u->name[0])
                        continue;
                if (u->user && u->owner != geteuid())
                        (void)unsetenv("XDG_RUNTIME_DIR"); /* ours: there is another manager */
                manager_init(&m);
                for (size_t k = i; k < ELEMENTS(units); k++)
                        ask(&m, units[k]);
                if (i > 0 || !u->known || !u->facts.slice[0])
                        continue;
                e->slice.user = u->user;
                e->slice.owner = u->owner;
                (void)snprintf(e->slice.name, sizeof e->slice.name, "%s", u->facts.slice);
                ask(&m, &e->slice);
        }
}

static void settle(const Explained *e, PlacementFacts *f, PlacementPlan *plan) {
        while (f->id) {
                int r = placement_decide(f, plan);

                if (r == PLACEMENT_NEED_DELEGATION)
                        f->delegation = cgroup_delegated(plan->unit_path) == 1 ? PLACEMENT_DELEGATION_YES
                                                                               : PLACEMENT_DELEGATION_NO;
                else if (r == PLACEMENT_NEED_POD)
                        f->pod = cgroup_limits_missing(plan->pod_slice, plan->unit_path)
                                         ? PLACEMENT_POD_LOSES_LIMITS
                                         : PLACEMENT_POD_FITS;
                else if (r == PLACEMENT_NEED_UNIT && e->monitor_unit.known &&
                         strcmp(e->monitor_unit.name, plan->unit) == 0)
                        f->unit = &e->monitor_unit.facts;
                else if (r == PLACEMENT_NEED_UNIT)
                        f->unit_failed = true;
                else
                        return;
        }
}

/*
 * Are both below one unit, in the cgroups of a monitor that nests its container, or of a caller that does?
 * @ret_pod: ID of the pod that the container is nested with, or ""
 */
static bool is_nested(const Explained *e, char ret_pod[EXPLAIN_NAME_SIZE]) {
        static const char prefix[] = "/libpod_pod-";
        const char *leaf = strrchr(e->monitor_cgroup, '/'), *below = e->container_cgroup;
        size_t n = leaf ? (size_t)(leaf - e->monitor_cgroup) : 0, n_pod = 0;
        char name[EXPLAIN_NAME_SIZE + 32];

        if (n == 0 || strcmp(leaf + 1, PLACEMENT_LEAF) != 0 || strncmp(below, e->monitor_cgroup, n) != 0)
                return false;
        below += n;
        if (strncmp(below, prefix, strlen(prefix)) == 0) {
                below += strlen(prefix);
                n_pod = strcspn(below, "/");
        }
        (void)snprintf(ret_pod, EXPLAIN_NAME_SIZE, "%.*s", (int)n_pod, below);
        (void)snprintf(name, sizeof name, "/libpod-payload-%s", e->id);
        return strcmp(below + n_pod, name) == 0;
}

/*
 * linux.cgroupsPath as the caller has written it: a monitor that nests its container replaces it, and other users cannot
 * read the bundle. A caller that nests the container itself does not pass --systemd-cgroup.
 */
static const char *find_cgroups_path(const Explained *e,
                                     const PlacementFacts *f,
                                     const char *in_bundle,
                                     char *out,
                                     size_t size) {
        char scope[EXPLAIN_NAME_SIZE + 32], pod[EXPLAIN_NAME_SIZE] = "";

        (void)snprintf(scope, sizeof scope, "libpod-%s.scope", e->id);
        if ((f->systemd_cgroup && is_nested(e, pod)) ||
            (!in_bundle && strcmp(e->container_unit.name, scope) == 0)) {
                (void)snprintf(out, size, "%s%s%s.slice:libpod:%s", f->rootless ? "user" : "machine",
                               pod[0] ? "-libpod_pod_" : "", pod, e->id);
                return out;
        }
        return in_bundle ?: e->container_cgroup[0] ? e->container_cgroup : NULL;
}

/* The same question that a monitor asks itself when it starts, with what can still be seen of the answers. */
static void deduce_placement(Explained *e) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        const char *path, *log, *why, *unused, *in_bundle = NULL;
        char cgroups_path[PATH_MAX];
        PlacementPlan plan = { 0 };
        PlacementFacts f = { .id = e->id, .unified = cgroup_unified(NULL), .caller = PLACEMENT_CALLER_WAITS };
        struct stat st;

        if (!e->keeper || e->placement.told)
                return;
        f.systemd_cgroup = options_peek(e->keeper->argv, "systemd-cgroup", &unused);
        f.passthrough = options_peek(e->keeper->argv, "log-path", &log) && strcmp(log, "passthrough") == 0;
        f.managed = stat("/run/systemd/system", &st) >= 0 && S_ISDIR(st.st_mode);
        f.rootless = e->owner != 0;
        f.uid = e->owner;
        f.cgroup = e->monitor_cgroup[0] ? e->monitor_cgroup : NULL;
        if (options_peek(e->keeper->argv, "bundle", &path) && path[0] == '/' &&
            bundle_open(&bundle, path, &why) == 0) {
                in_bundle = bundle_cgroups_path(bundle);
                f.wish_annotation = bundle_annotation(bundle, SCOPEMON_ANNOTATION_PLACEMENT);
        }
        f.cgroups_path = find_cgroups_path(e, &f, in_bundle, cgroups_path, sizeof cgroups_path);
        settle(e, &f, &plan);
        (void)snprintf(e->placement.name, sizeof e->placement.name, "%s", placement_row_name(plan.row));
        (void)snprintf(e->placement.reason, sizeof e->placement.reason, "%s", plan.reason);
        (void)snprintf(e->placement.caller_unit, sizeof e->placement.caller_unit, "%s", plan.unit);
}

/**
 * explain_units() - units and placement of a container
 * @e: filled by explain_processes() and explain_journal()
 */
void explain_units(Explained *e) {
        find_unit(e->container_cgroup, &e->container_unit);
        find_unit(e->monitor_cgroup, &e->monitor_unit);
        e->container_unmarked = e->init && e->init->cgroup && !cgroup_survives(e->init->cgroup);
        e->monitor_unmarked = e->monitor_cgroup[0] && !cgroup_survives(e->monitor_cgroup);
        if (!e->keeper && !e->init && e->placement.caller_unit[0])
                (void)snprintf(e->monitor_unit.name, sizeof e->monitor_unit.name, "%s",
                               e->placement.caller_unit);
        ask_all(e);
        deduce_placement(e);
}

/**
 * explain_same_unit() - are these one unit? In no unit is not one.
 */
bool explain_same_unit(const ExplainUnit *a, const ExplainUnit *b) {
        return a->name[0] && strcmp(a->name, b->name) == 0 && a->user == b->user && a->owner == b->owner;
}

/* Does a stop of @b stop @a? */
static bool follows(const ExplainUnit *a, const ExplainUnit *b) {
        const UnitFacts *f = &a->facts;

        return a->known && a->user == b->user && b->name[0] &&
               (unit_is_listed(f->binds_to, b->name) || unit_is_listed(f->part_of, b->name) ||
                unit_is_listed(f->requires, b->name) || unit_is_listed(f->stop_propagated_from, b->name));
}

static bool stops_at_shutdown(const Explained *e, const ExplainUnit *u) {
        const ExplainUnit *others[] = { &e->monitor_unit, &e->slice };

        if (!u->known || u->facts.stops_at_shutdown)
                return u->known;
        for (size_t i = 0; i < ELEMENTS(others); i++)
                if (others[i]->known && others[i]->facts.stops_at_shutdown && follows(u, others[i]))
                        return true;
        return false;
}

/**
 * explain_order() - the units of monitor and container as shutdown stops them
 * @ret: the first is stopped first
 *
 * Return: how many there are, 0 to 2.
 */
size_t explain_order(const Explained *e, ExplainStep ret[2]) {
        const ExplainUnit *c = &e->container_unit, *m = &e->monitor_unit;
        bool c_first, m_first;
        size_t n = 0;

        if (!c->known && !m->known)
                return 0;
        if (!c->known || !m->known || explain_same_unit(c, m)) {
                ret[n].unit = c->known ? c : m;
                ret[n].at_once = false;
                ret[n].stopped = stops_at_shutdown(e, ret[n].unit);
                return n + 1;
        }
        m_first = unit_is_listed(c->facts.before, m->name) || unit_is_listed(m->facts.after, c->name);
        c_first = unit_is_listed(c->facts.after, m->name) || unit_is_listed(m->facts.before, c->name);
        if (stops_at_shutdown(e, m) && !stops_at_shutdown(e, c))
                m_first = true, c_first = false;
        ret[0].unit = m_first ? m : c;
        ret[1].unit = m_first ? c : m;
        for (; n < 2; n++) {
                ret[n].stopped = stops_at_shutdown(e, ret[n].unit);
                ret[n].at_once = n == 1 && !m_first && !c_first;
        }
        return n;
}

static const char *why_soft_reboot_ends(const ExplainUnit *u, bool has_processes) {
        if (u->user)
                return "belongs to a user manager, which ends";
        if (u->facts.stops_at_shutdown)
                return "has no DefaultDependencies=no";
        if (!u->facts.ignores_isolate)
                return "has no IgnoreOnIsolate=yes";
        return has_processes && !u->facts.survives ? "has no SurviveFinalKillSignal=yes" : NULL;
}

/**
 * explain_soft_reboot() - what ends a container when the system soft-reboots
 * @ret_unit: the unit that does
 *
 * Return: what is wrong with that unit, or NULL if the container survives, as far as its units are known.
 */
const char *explain_soft_reboot(const Explained *e, const ExplainUnit **ret_unit) {
        const ExplainUnit *units[] = { &e->container_unit, &e->monitor_unit, &e->slice };

        for (size_t i = 0; i < ELEMENTS(units); i++) {
                const char *why =
                        units[i]->known ? why_soft_reboot_ends(units[i], units[i] != &e->slice) : NULL;

                if (!why)
                        continue;
                *ret_unit = units[i];
                return why;
        }
        *ret_unit = e->container_unmarked ? &e->container_unit : &e->monitor_unit;
        return e->container_unmarked ? "is marked, but not the cgroup that the container is in"
               : e->monitor_unmarked ? "is marked, but not the cgroup that the monitor is in"
                                     : NULL;
}

/**
 * explain_stoppers() - units whose stop ends the container
 *
 * Return: how many names were put into @ret, which point into @e.
 */
size_t explain_stoppers(const Explained *e, const char *ret[4]) {
        const ExplainUnit *c = &e->container_unit, *m = &e->monitor_unit;
        size_t n = 0;

        if (c->name[0])
                ret[n++] = c->name;
        if (m->name[0] && !explain_same_unit(c, m) && follows(c, m))
                ret[n++] = m->name;
        if (e->slice.known && e->slice.facts.stops_at_shutdown && follows(c, &e->slice))
                ret[n++] = e->slice.name;
        return n;
}
