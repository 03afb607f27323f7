/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where monitor and container belong. A pure function: all it knows is in the facts, all it wants is in the plan, and
 * whoever asks "why is this container there?" finds the answer on this page.
 *
 *   name        situation                                 monitor            container
 *   split       cgroupsPath lies in our unit already      stays              as given
 *   nest        delegated service, nothing against it     UNIT/supervisor    UNIT/libpod-payload-ID, or in a pod
 *                                                                            UNIT/libpod_pod-POD/libpod-payload-ID
 *   bind        service, not delegated                    stays              its scope, bound to UNIT
 *   propagate   as bind, but UNIT is stopping, or a       stays              its scope, a stop propagates, but of
 *               oneshot, or has KillMode=none                                KillMode=none
 *   detached    UNIT is not its supervisor                own scope          its scope, described
 *   moved       the caller has put us into our scope      stays              its scope, described
 *   scope       a session, an app, no unit                own scope          its scope, described
 *   stranded    the manager's own service                 own scope          as given
 *   exec        exec                                      stays              the runtime knows
 *   as-given    a request rules out nesting               as bind to scope   as given
 *   no-manager  no manager, or none that answers          stays              as given
 *
 * "Its scope" is made by the runtime, and given properties by annotations. A runtime that knows none gets a scope that
 * we have made, as the path of a cgroup below it. Such a runtime has to be able to move the container there, so we
 * and the scope must be of the same manager.
 *
 * No placement is for a container that is restarted by its exit command while the unit of its monitor is being stopped: it
 * would run into the end of that stop, and be killed, or outlive it with nobody to watch it.
 *
 * What must never happen: an After= of a unit that waits for us (our own scope does not); a BindsTo=, Requires= or
 * Requisite= on UNIT, with which the start of the scope would cancel a stop of UNIT that has begun meanwhile, and start
 * it again; a question to the bus that cannot change the answer. StopPropagatedFrom= binds as BindsTo= does, also to a
 * unit that fails or ends by itself, and starts nothing.
 *
 * nest, bind and propagate are for units that supervise the container (placement-supervisor.c). A detached one gets the two
 * scopes that it would have got from a shell, whatever else is true of the unit.
 *
 * Where a unit is stopped, its processes see to the container's first process; its scope, whose stop signals all of them,
 * comes after that. So it is Before=UNIT, but if UNIT stops already: any start waits for a stop. Should UNIT be stopped
 * before the scope is there, the keeper gives up, or both would wait for one another (unit-stop.c).
 *
 * nest is also right from a control process (ExecStop= and its like run in UNIT/.control): it needs no job, so it
 * cannot wait for the stop or cancel it, and what is nested is killed with the unit. Two things stand against it.
 * While systemd has yet to start a process of ExecStart= in the unit's top cgroup (we are in ExecStartPre=, or in the
 * first of a oneshot's commands), that start would fail with 219/CGROUP as soon as nesting has turned controllers on
 * there, unless there is a DelegateSubgroup=. And KillMode=process or none would leave the container behind.
 *
 * A pod nests as a whole or not at all: what is asked is the same for each of its containers. Its cgroup is to have the limits
 * of its slice. With KillMode=mixed the main process alone gets a signal, and when it has ended all others are killed, so
 * there have to be commands in ExecStop= that stop the pod before. Podman's slice of the pod stays where it is, empty.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "placement/placement-internal.h"

#define POD "libpod_pod-"
#define PAYLOAD "libpod-payload-"

/* What stands against nesting; @wish: it is somebody's wish, which makes it as-given. */
typedef struct Obstacle {
        const char *text;
        bool wish;
} Obstacle;

static void __attribute__((format(printf, 2, 3))) placement_say(PlacementPlan *p, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(p->reason, sizeof p->reason, format, ap);
        va_end(ap);
}

static int parse_wish(const PlacementFacts *f, PlacementPlan *p, Wish *ret) {
        static const char *const words[_WISH_MAX] = { "auto", "unit", "scope", "caller" };
        const char *wish = f->wish_annotation ?: f->wish_option ?: f->wish_environment;

        *ret = WISH_AUTO;
        if (!wish)
                return 0;
        for (Wish w = 0; w < _WISH_MAX; w++)
                if (strcmp(wish, words[w]) == 0) {
                        *ret = w;
                        return 0;
                }
        placement_say(p, "%s=%.64s: must be auto, unit, scope or caller",
                      f->wish_annotation ? "io.scopemon.placement"
                      : f->wish_option   ? "--placement"
                                         : "SCOPEMON_PLACEMENT",
                      wish);
        return PLACEMENT_IMPOSSIBLE;
}

static int refuse(Situation *s, const char *why) {
        placement_say(s->plan, "placement \"%s\" was requested, but %s",
                      s->wish == WISH_UNIT ? "unit" : "scope", why);
        return PLACEMENT_IMPOSSIBLE;
}

static int need_unit(Situation *s) {
        s->plan->user = s->unit.user;
        s->plan->uid = s->unit.owner;
        return PLACEMENT_NEED_UNIT;
}

/* The container's column, except of nest. */
static void plan_container(Situation *s, bool described) {
        PlacementPlan *p = s->plan;

        p->systemd_cgroup = s->facts->systemd_cgroup;
        p->describe = situation_find_scope(s) && described;
        p->container = p->describe ? PLACEMENT_CONTAINER_SCOPE : PLACEMENT_CONTAINER_AS_GIVEN;
}

/* At shutdown the container's scope is stopped, which runtimes' are not by themselves, and before that of its monitor. */
static void plan_order(Situation *s, const char *monitor) {
        if (s->plan->describe && (s->plan->monitor == PLACEMENT_MONITOR_SCOPE || situation_same_manager(s)))
                (void)snprintf(s->plan->after, sizeof s->plan->after, "%s", monitor);
}

static int plan_stay(Situation *s, PlacementRow row, const char *reason) {
        s->plan->row = row;
        plan_container(s, false);
        placement_say(s->plan, "%s", reason);
        return 0;
}

static int plan_no_manager(Situation *s, const char *reason) {
        if (s->wish == WISH_UNIT || s->wish == WISH_SCOPE)
                return refuse(s, reason);
        return plan_stay(s, PLACEMENT_ROW_NO_MANAGER, reason);
}

/* detached, scope and stranded, and as-given in a scope */
static int plan_own_scope(Situation *s, PlacementRow row, const char *why) {
        const PlacementFacts *f = s->facts;
        PlacementPlan *p = s->plan;

        p->row = row;
        p->user = f->rootless;
        p->uid = f->uid;
        plan_container(s, row == PLACEMENT_ROW_SCOPE || row == PLACEMENT_ROW_DETACHED);
        if (f->scope_failed || !situation_find_monitor_scope(s)) {
                p->row = PLACEMENT_ROW_NO_MANAGER;
                placement_say(p, "%s, but its scope could not be created: the monitor stays", why);
                return 0;
        }
        p->monitor = PLACEMENT_MONITOR_SCOPE;
        plan_order(s, p->monitor_scope);
        placement_say(p, "%s; the monitor gets a scope of its own", why);
        return 0;
}

/* What can be told without asking anybody. */
static Obstacle find_obstacle(const Situation *s) {
        const PlacementFacts *f = s->facts;

        if (f->nest_failed)
                return (Obstacle){ .text = "could not be nested in", .wish = s->pod[0] != 0 };
        if (!f->id || f->id[0] == 0 || strchr(f->id, '/') || (s->pod[0] && !situation_find_pod_slice(s)) ||
            s->unit.n_path + strlen(s->pod) + strlen(f->id) + strlen("/" POD "/" PAYLOAD) >= PATH_MAX)
                return (Obstacle){ .text = "cannot have a cgroup of this name" };
        if (s->unit.user && !situation_same_manager(s))
                return (Obstacle){ .text = "belongs to another user" };
        if (f->cgroups_disabled)
                return (Obstacle){ .text = "does not hold the container: cgroups are disabled",
                                   .wish = true };
        if (s->wish == WISH_UNIT)
                return (Obstacle){ 0 };
        if (s->wish == WISH_SCOPE)
                return (Obstacle){ .text = "does not hold the container: a scope was requested" };
        if (!f->systemd_cgroup)
                return (Obstacle){ .text = "is left unchanged: the cgroup manager is cgroupfs",
                                   .wish = true };
        if (f->passthrough)
                return (Obstacle){ .text = "is left unchanged: podman logs finds passthrough output by scope",
                                   .wish = true };
        if (strcmp(s->parent, situation_default_slice(f)) != 0 || !situation_find_scope(s))
                return (Obstacle){ .text = "is left unchanged: a cgroup parent was requested", .wish = true };
        return (Obstacle){ 0 };
}

/*
 * Will systemd start another process of ExecStart=? Commands have start times, but a daemon-reload forgets them, so
 * they are looked at only where a next one is possible: between a oneshot's.
 */
static bool starts_more(const UnitFacts *u) {
        if (strcmp(u->sub_state, "condition") == 0 || strcmp(u->sub_state, "start-pre") == 0)
                return true;
        return strcmp(u->sub_state, "start") == 0 && strcmp(u->type, "oneshot") == 0 && u->unstarted;
}

/* What they say against a pod only. */
static const char *find_pod_obstacle(const Situation *s) {
        const PlacementFacts *f = s->facts;
        const UnitFacts *u = f->unit;

        if (s->pod[0] == 0 || s->wish != WISH_AUTO)
                return NULL;
        if (!u)
                return "is left unchanged: its manager does not respond";
        if (strcmp(u->kill_mode, "mixed") == 0 && !u->exec_stop && f->caller != PLACEMENT_CALLER_WAITS)
                return "would kill the pod when it stops (see KillMode= and ExecStop=)";
        if (f->pod == PLACEMENT_POD_LOSES_LIMITS)
                return "does not delegate the controllers for the limits of the pod (see Delegate=)";
        return NULL;
}

/* What the unit's own settings say against it. */
static const char *find_unit_obstacle(const Situation *s) {
        const PlacementFacts *f = s->facts;
        const UnitFacts *u = f->unit;

        if (s->unit.user ? u && !u->delegate : f->delegation == PLACEMENT_DELEGATION_NO)
                return s->pod[0] ? "is not delegated, the pod stays in its slice" : "is not delegated";
        if (!u && s->unit.user)
                return "may not be delegated: its manager does not respond";
        if (!u)
                return find_pod_obstacle(s);
        if (starts_more(u) && !u->subgroup && (s->unit.n_leaf == 0 || situation_in_control_group(s)))
                return "starts another main process in its top cgroup (see DelegateSubgroup=)";
        if (situation_kills_alone(u) && s->wish == WISH_AUTO)
                return "would leave the container behind when it stops (see KillMode=)";
        return find_pod_obstacle(s);
}

/*
 * Facts for find_unit_obstacle(). The xattr tells delegation under the system manager. Whether more processes are
 * still to be started matters only where they would be: not if we are in a leaf of our own.
 */
static int ask_for_nesting(Situation *s) {
        const PlacementFacts *f = s->facts;
        bool have_unit = f->unit || f->unit_failed;

        if (s->unit.user)
                return have_unit ? 0 : need_unit(s);
        if (f->delegation == PLACEMENT_DELEGATION_UNKNOWN)
                return PLACEMENT_NEED_DELEGATION;
        if (f->delegation == PLACEMENT_DELEGATION_NO || have_unit)
                return 0;
        if (f->service || s->pod[0] || s->unit.n_leaf == 0 || situation_in_control_group(s))
                return need_unit(s);
        return f->caller == PLACEMENT_CALLER_WAITS ? need_unit(s) : 0; /* watches_unit() */
}

/* The unit is set up for a monitor that dies and comes back: its file descriptors are kept, and its container is too. */
static bool survives(const Situation *s, bool nested) {
        const UnitFacts *u = s->facts->unit;

        return s->facts->service && u && u->fd_store_max > 0 &&
               (!nested || strcmp(u->kill_mode, "process") == 0);
}

/* A caller that waits stays the main process. One that leaves makes us that, if the unit is to supervise anybody. */
static bool watches_unit(const Situation *s) {
        const PlacementFacts *f = s->facts;

        return !f->service && f->caller == PLACEMENT_CALLER_WAITS && f->unit &&
               strcmp(f->unit->kill_mode, "mixed") == 0;
}

/* The last of the questions, if nothing else stands against nesting. */
static bool has_to_ask_for_pod(const Situation *s) {
        return s->pod[0] && s->wish == WISH_AUTO && s->facts->pod == PLACEMENT_POD_UNKNOWN;
}

static int plan_nest(Situation *s) {
        PlacementPlan *p = s->plan;
        size_t n = s->unit.n_path;

        p->row = PLACEMENT_ROW_NEST;
        p->monitor = PLACEMENT_MONITOR_NESTED;
        p->move_self = situation_in_control_group(s);
        p->survives = survives(s, true);
        p->watch_unit = watches_unit(s);
        p->container = PLACEMENT_CONTAINER_NESTED;
        p->container_scope[0] = 0;
        p->user = s->unit.user;
        p->uid = s->unit.owner;
        memcpy(p->container_path, p->unit_path, n);
        if (s->pod[0]) {
                (void)snprintf(p->pod, sizeof p->pod, POD "%s", s->pod);
                n += (size_t)snprintf(p->container_path + n, sizeof p->container_path - n, "/%s", p->pod);
        }
        (void)snprintf(p->container_path + n, sizeof p->container_path - n, "/" PAYLOAD "%s", s->facts->id);
        placement_say(p, "%s is delegated: %s are nested in it", p->unit,
                      p->pod[0] ? "monitors and pod" : "monitor and container");
        return 0;
}

static bool is_up(const UnitFacts *u) {
        static const char *const states[] = { "active", "activating", "reloading", "refreshing" };

        for (size_t i = 0; i < ELEMENTS(states); i++)
                if (strcmp(u->active_state, states[i]) == 0)
                        return true;
        return false;
}

static bool ends_nobody(const UnitFacts *u) {
        return u && strcmp(u->kill_mode, "none") == 0;
}

/* propagate: why the container's scope is not bound, NULL if it is. */
static const char *find_loose(const Situation *s) {
        const UnitFacts *u = s->facts->unit;

        if (!situation_same_manager(s))
                return "the container's scope belongs to another manager and is not bound to it";
        if (ends_nobody(u))
                return "stopping it kills no process (see KillMode=), so the container's scope is not bound "
                       "to it";
        if (!is_up(u))
                return "it is stopping, so the container's scope is not bound to it";
        return situation_is_passing(u) ? "it is a oneshot, so the container's scope is not bound to it"
                                       : NULL;
}

/* bind and propagate, and as-given in a unit */
static int plan_bind(Situation *s, const Obstacle *against) {
        const UnitFacts *u = s->facts->unit;
        PlacementPlan *p = s->plan;
        const char *loose;

        p->user = s->unit.user;
        p->uid = s->unit.owner;
        plan_container(s, true);
        if (p->container != PLACEMENT_CONTAINER_SCOPE) {
                if (s->wish == WISH_SCOPE)
                        return refuse(s, "the runtime is not asked to create a scope");
                p->row = PLACEMENT_ROW_AS_GIVEN;
                placement_say(p, "%s %s: nothing is changed", p->unit, against->text);
                return 0;
        }

        if (situation_same_manager(s) && !u) {
                if (!s->facts->unit_failed)
                        return need_unit(s);
                return plan_stay(s, PLACEMENT_ROW_NO_MANAGER,
                                 "the unit's manager does not respond: nothing is changed");
        }
        loose = find_loose(s);
        p->survives = situation_same_manager(s) && survives(s, false);
        p->before = situation_same_manager(s) && u && is_up(u) && !ends_nobody(u);
        p->stop_propagated_from = situation_same_manager(s) && !p->survives && !ends_nobody(u);
        p->row = against->wish ? PLACEMENT_ROW_AS_GIVEN
                 : loose       ? PLACEMENT_ROW_PROPAGATE
                               : PLACEMENT_ROW_BIND;
        p->watch_unit = p->row != PLACEMENT_ROW_AS_GIVEN && watches_unit(s);
        p->watch_start = p->before && strcmp(u->kill_mode, "control-group") != 0;
        placement_say(p, "%s %s; %s", p->unit, against->text,
                      loose ?: "the container's scope is bound to it");
        return 0;
}

/* detached */
static int plan_detached(Situation *s) {
        char why[sizeof s->plan->reason / 2 + UNITNAME_SIZE];

        (void)snprintf(why, sizeof why, "it outlives %s", s->plan->unit);
        return plan_own_scope(s, PLACEMENT_ROW_DETACHED, why);
}

static int decide_service(Situation *s) {
        Obstacle against = find_obstacle(s);
        int r;

        r = situation_ask_for_supervisor(s);
        if (r != 0)
                return r == PLACEMENT_NEED_UNIT ? need_unit(s) : r;
        if (!situation_has_supervisor(s))
                return plan_detached(s);
        if (!against.text) {
                r = ask_for_nesting(s);
                if (r != 0)
                        return r;
                against = (Obstacle){ .text = find_unit_obstacle(s), .wish = s->pod[0] != 0 };
        }
        if (!against.text)
                return has_to_ask_for_pod(s) ? PLACEMENT_NEED_POD : plan_nest(s);
        if (s->wish == WISH_UNIT) {
                char why[sizeof s->plan->reason / 2 + UNITNAME_SIZE];

                (void)snprintf(why, sizeof why, "%s %s", s->plan->unit, against.text);
                return refuse(s, why);
        }
        return plan_bind(s, &against);
}

/* split: with --cgroups=split it is Podman that has nested. */
static bool is_split(const Situation *s) {
        const char *path = s->facts->cgroups_path;

        return path && path[0] == '/' && s->unit.kind != CG_UNIT_NONE &&
               cgtext_is_below(path, s->plan->unit_path);
}

/* moved: the scope is named after this very container; that of another one is none of ours. */
static bool is_moved(const Situation *s) {
        static const char *const prefixes[] = { "libpod-conmon", "crio-conmon" };
        char name[UNITNAME_SIZE];

        if (s->unit.kind != CG_UNIT_SCOPE || !s->facts->id)
                return false;
        for (size_t i = 0; i < ELEMENTS(prefixes); i++)
                if (unitname_scope(name, sizeof name, prefixes[i], s->facts->id) == 0 &&
                    strcmp(name, s->plan->unit) == 0)
                        return true;
        return false;
}

/* stranded: these move each monitor to a scope, so whoever is still there was left there. */
static bool is_stranded(const Situation *s) {
        return s->unit.kind == CG_UNIT_SERVICE && s->facts->systemd_cgroup &&
               (strcmp(s->prefix, "crio") == 0 || strcmp(s->plan->unit, "crio.service") == 0 ||
                strcmp(s->plan->unit, "podman.service") == 0);
}

static int decide_elsewhere(Situation *s) {
        const PlacementFacts *f = s->facts;

        if (s->wish == WISH_UNIT)
                return refuse(s, is_stranded(s) ? "the monitor is in the caller's own service"
                                                : "the monitor is in no service's cgroup");
        if (s->wish == WISH_SCOPE && !situation_find_scope(s))
                return refuse(s, "the runtime is not asked to create a scope");
        if (is_moved(s)) {
                s->plan->row = PLACEMENT_ROW_MOVED;
                plan_container(s, true);
                plan_order(s, s->plan->unit);
                placement_say(s->plan, "the caller moved the monitor to its scope");
                return 0;
        }
        if (is_stranded(s))
                return plan_own_scope(s, PLACEMENT_ROW_STRANDED,
                                      "the caller left the monitor in its own service");
        if (f->cgroups_disabled || (!f->systemd_cgroup && s->unit.kind == CG_UNIT_NONE))
                return plan_stay(s, PLACEMENT_ROW_AS_GIVEN, "the cgroup manager is not systemd");
        if (!f->systemd_cgroup)
                return plan_own_scope(s, PLACEMENT_ROW_AS_GIVEN, "the cgroup manager is cgroupfs");
        return plan_own_scope(s, PLACEMENT_ROW_SCOPE, "the monitor is in no unit of its own");
}

/* Who makes the container's scope? The runtime is asked only if there is one to be described. */
static int decide_maker(Situation *s) {
        const PlacementFacts *f = s->facts;
        PlacementPlan *p = s->plan;
        size_t n = strlen(p->reason);

        if (p->container != PLACEMENT_CONTAINER_SCOPE || f->made_failed ||
            (p->monitor != PLACEMENT_MONITOR_SCOPE && !situation_same_manager(s)))
                return 0;
        if (f->runtime == PLACEMENT_RUNTIME_UNKNOWN)
                return PLACEMENT_NEED_RUNTIME;
        if (f->runtime == PLACEMENT_RUNTIME_KNOWS)
                return 0;
        p->make_scope = true;
        p->systemd_cgroup = false;
        (void)snprintf(p->container_slice, UNITNAME_SIZE, "%s",
                       unitname_is_valid(s->slice, ".slice") ? s->slice
                       : f->rootless                         ? "user.slice"
                                                             : "system.slice"); /* as runtimes have it */
        (void)snprintf(p->reason + n, sizeof p->reason - n,
                       "; created by the monitor, as the runtime does not set properties");
        return 0;
}

static int decide(Situation *s) {
        const PlacementFacts *f = s->facts;

        if (f->exec)
                return plan_stay(s, PLACEMENT_ROW_EXEC, "exec sessions are not placed");
        if (f->stopping_unit) {
                (void)snprintf(s->plan->unit, sizeof s->plan->unit, "%s", f->stopping_unit);
                placement_say(s->plan, "%s is being stopped: the container is not restarted",
                              f->stopping_unit);
                return PLACEMENT_STOPPING;
        }
        if (s->wish == WISH_CALLER)
                return plan_stay(s, PLACEMENT_ROW_AS_GIVEN, "the caller's placement was requested");
        if (!f->unified)
                return plan_no_manager(s, "this host has no unified cgroup hierarchy");
        if (!f->managed)
                return plan_no_manager(s, "systemd is not running");
        if (!f->cgroup)
                return plan_no_manager(s, "the monitor's cgroup is unknown");

        situation_find_unit(s);
        if (is_split(s)) {
                if (s->wish == WISH_SCOPE)
                        return refuse(s, "the caller nested the container in its own cgroup");
                s->plan->user = s->unit.user;
                s->plan->uid = s->unit.owner;
                return plan_stay(s, PLACEMENT_ROW_SPLIT, "the caller nested the container in its unit");
        }
        if (s->unit.kind == CG_UNIT_SERVICE && !is_stranded(s))
                return decide_service(s);
        return decide_elsewhere(s);
}

/**
 * placement_decide() - where monitor and container belong
 * @ret: written with a plan, a text, or what a PLACEMENT_NEED_* names
 *
 * Return: 0 with a plan, PLACEMENT_IMPOSSIBLE, or a PLACEMENT_NEED_*.
 */
int placement_decide(const PlacementFacts *facts, PlacementPlan *ret) {
        Situation s = { .facts = facts, .plan = ret, .unit = { .kind = CG_UNIT_NONE } };
        int r;

        *ret = (PlacementPlan){ .row = PLACEMENT_ROW_NONE };
        if (!facts->exec) {
                r = parse_wish(facts, ret, &s.wish);
                if (r != 0)
                        return r;
        }
        situation_split_path(&s);
        r = decide(&s);
        return r == 0 ? decide_maker(&s) : r;
}

/* In the journal, in explain, and in the state that is handed on: these are for ever. */
static const char *const row_words[_PLACEMENT_ROW_MAX] = {
        [PLACEMENT_ROW_NONE] = "none",           [PLACEMENT_ROW_SPLIT] = "split",
        [PLACEMENT_ROW_NEST] = "nest",           [PLACEMENT_ROW_BIND] = "bind",
        [PLACEMENT_ROW_PROPAGATE] = "propagate", [PLACEMENT_ROW_DETACHED] = "detached",
        [PLACEMENT_ROW_MOVED] = "moved",         [PLACEMENT_ROW_SCOPE] = "scope",
        [PLACEMENT_ROW_STRANDED] = "stranded",   [PLACEMENT_ROW_EXEC] = "exec",
        [PLACEMENT_ROW_AS_GIVEN] = "as-given",   [PLACEMENT_ROW_NO_MANAGER] = "no-manager",
};

/**
 * placement_row_name() - the row as the table has it
 */
const char *placement_row_name(PlacementRow row) {
        return row_words[row];
}

/* ---- handed on ---------------------------------------------------------------------------------------- */

static const char *const monitor_words[] = {
        [PLACEMENT_MONITOR_STAYS] = "stays",
        [PLACEMENT_MONITOR_NESTED] = "nested",
        [PLACEMENT_MONITOR_SCOPE] = "scope",
};

static const char *const container_words[] = {
        [PLACEMENT_CONTAINER_AS_GIVEN] = "as-given",
        [PLACEMENT_CONTAINER_NESTED] = "nested",
        [PLACEMENT_CONTAINER_SCOPE] = "scope",
};

static const StateField placement_fields[] = {
        STATE_FIELD_WORD(PlacementPlan, row, "row", row_words),
        STATE_FIELD_WORD(PlacementPlan, monitor, "monitor", monitor_words),
        STATE_FIELD_WORD(PlacementPlan, container, "container", container_words),
        STATE_FIELD_BOOL(PlacementPlan, systemd_cgroup, "systemd-cgroup"),
        STATE_FIELD_BOOL(PlacementPlan, move_self, "move-self"),
        STATE_FIELD_BOOL(PlacementPlan, describe, "describe"),
        STATE_FIELD_BOOL(PlacementPlan, before, "before"),
        STATE_FIELD_BOOL(PlacementPlan, stop_propagated_from, "stop-propagated-from"),
        STATE_FIELD_BOOL(PlacementPlan, survives, "survives"),
        STATE_FIELD_BOOL(PlacementPlan, watch_unit, "watch-unit"),
        STATE_FIELD_BOOL(PlacementPlan, user, "user"),
        STATE_FIELD_NUMBER(PlacementPlan, uid, "uid", UINT32_MAX),
        STATE_FIELD_NUMBER(PlacementPlan, unit_stop_usec, "unit-stop-usec", UINT64_MAX),
        STATE_FIELD_NUMBER(PlacementPlan, fd_store_max, "fd-store-max", UINT32_MAX),
        STATE_FIELD_BOOL(PlacementPlan, machine, "machine"),
        STATE_FIELD_BOOL(PlacementPlan, machine_user, "machine-user"),
        STATE_FIELD_NUMBER(PlacementPlan, machine_uid, "machine-uid", UINT32_MAX),
        STATE_FIELD_TEXT(PlacementPlan, unit, "unit"),
        STATE_FIELD_TEXT(PlacementPlan, unit_path, "unit-path"),
        STATE_FIELD_TEXT(PlacementPlan, container_path, "container-path"),
        STATE_FIELD_TEXT(PlacementPlan, pod, "pod"),
        STATE_FIELD_TEXT(PlacementPlan, container_scope, "container-scope"),
        STATE_FIELD_BOOL(PlacementPlan, user_scope, "user-scope"),
        STATE_FIELD_TEXT(PlacementPlan, monitor_scope, "monitor-scope"),
        STATE_FIELD_TEXT(PlacementPlan, monitor_slice, "monitor-slice"),
        STATE_FIELD_TEXT(PlacementPlan, reason, "reason"),
};

const StateFields placement_values = { placement_fields, ELEMENTS(placement_fields) };
