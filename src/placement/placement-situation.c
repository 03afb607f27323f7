/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the facts mean, before anything is decided: which unit we are in, what the caller wants the runtime to make, and
 * how all of that is called. As pure as placement.c, of which it is a part.
 */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "placement/placement-internal.h"

#define POD_SLICE "-libpod_pod_"

static bool copy_part(char out[UNITNAME_SIZE], const char *from, size_t n) {
        if (n >= UNITNAME_SIZE)
                return false;
        memcpy(out, from, n);
        out[n] = 0;
        return true;
}

/* Podman puts "PARENT-libpod_pod_ID.slice" into PARENT.slice, and the pod's containers into that. */
static void find_pod(Situation *s) {
        const char *id, *at = strstr(s->slice, POD_SLICE);

        (void)snprintf(s->parent, sizeof s->parent, "%s", s->slice);
        if (!at || at == s->slice || !unitname_is_valid(s->slice, ".slice"))
                return;
        id = at + strlen(POD_SLICE);
        (void)snprintf(s->pod, sizeof s->pod, "%.*s", (int)(strlen(id) - strlen(".slice")), id);
        if (s->pod[0])
                (void)snprintf(s->parent, sizeof s->parent, "%.*s.slice", (int)(at - s->slice), s->slice);
}

/**
 * situation_split_path() - the three parts of a cgroupsPath, and whether it is that of a pod's container
 *
 * "SLICE:PREFIX:NAME" is how callers tell a runtime with the systemd cgroup manager what to make.
 */
void situation_split_path(Situation *s) {
        const char *path = s->facts->cgroups_path ?: "", *a = strchr(path, ':'), *b;

        b = a ? strchr(a + 1, ':') : NULL;
        if (!b || !copy_part(s->slice, path, (size_t)(a - path)) ||
            !copy_part(s->prefix, a + 1, (size_t)(b - a - 1)) || !copy_part(s->name, b + 1, strlen(b + 1)))
                s->slice[0] = s->prefix[0] = s->name[0] = 0;
        find_pod(s);
}

/**
 * situation_default_slice() - where callers put what they have no wish about
 */
const char *situation_default_slice(const PlacementFacts *f) {
        return f->rootless ? "user.slice" : "machine.slice";
}

/**
 * situation_find_scope() - does the runtime make a scope? Then it is known by name and can be given properties
 *
 * Its name goes into the plan.
 */
bool situation_find_scope(const Situation *s) {
        char *out = s->plan->container_scope;
        int n;

        s->plan->user_scope = s->facts->rootless;
        out[0] = 0;
        if (!s->facts->systemd_cgroup || s->facts->cgroups_disabled || s->name[0] == 0 ||
            unitname_is_valid(s->name, ".slice")) /* of which runtimes make a slice */
                return false;
        n = snprintf(out, UNITNAME_SIZE, "%s%s%s.scope", s->prefix, s->prefix[0] ? "-" : "", s->name);
        if (n < UNITNAME_SIZE && unitname_is_valid(out, ".scope"))
                return true;
        out[0] = 0;
        return false;
}

/**
 * situation_find_monitor_scope() - names of the scope we would make for ourselves: those the caller would have used
 *
 * Return: false if there is no name for it.
 */
bool situation_find_monitor_scope(Situation *s) {
        const PlacementFacts *f = s->facts;
        bool crio = strcmp(s->prefix, "crio") == 0;

        if (!f->id || unitname_scope(s->plan->monitor_scope, UNITNAME_SIZE,
                                     crio ? "crio-conmon" : "libpod-conmon", f->id) != 0)
                return false;
        (void)snprintf(s->plan->monitor_slice, UNITNAME_SIZE, "%s",
                       crio                                    ? "system.slice"
                       : unitname_is_valid(s->slice, ".slice") ? s->slice
                                                               : situation_default_slice(f));
        return true;
}

/**
 * situation_find_pod_slice() - where the pod's slice is: a slice's name is its path, below the manager that the runtime asks
 *
 * Return: false if that is too long for a path.
 */
bool situation_find_pod_slice(const Situation *s) {
        const PlacementFacts *f = s->facts;
        char *out = s->plan->pod_slice;
        size_t n = 0;

        if (f->rootless)
                n = (size_t)snprintf(out, PATH_MAX, "/user.slice/user-%u.slice/user@%u.service",
                                     (unsigned)f->uid, (unsigned)f->uid);
        for (size_t i = 1; s->slice[i] && n < PATH_MAX; i++)
                if (s->slice[i] == '-')
                        n += (size_t)snprintf(out + n, PATH_MAX - n, "/%.*s.slice", (int)i, s->slice);
        if (n < PATH_MAX)
                n += (size_t)snprintf(out + n, PATH_MAX - n, "/%s", s->slice);
        return n < PATH_MAX;
}

/**
 * situation_find_unit() - the unit we are in
 */
void situation_find_unit(Situation *s) {
        const PlacementFacts *f = s->facts;
        PlacementPlan *p = s->plan;

        if (cgtext_unit(f->cgroup, &s->unit) != 0 || s->unit.n_name >= sizeof p->unit ||
            s->unit.n_path >= sizeof p->unit_path) {
                s->unit = (CgUnit){ .kind = CG_UNIT_NONE };
                return;
        }
        memcpy(p->unit, s->unit.name, s->unit.n_name);
        memcpy(p->unit_path, f->cgroup, s->unit.n_path);
}

/**
 * situation_in_control_group() - are we in UNIT/.control?
 */
bool situation_in_control_group(const Situation *s) {
        return s->unit.n_leaf >= strlen("/.control") &&
               strncmp(s->unit.leaf, "/.control", strlen("/.control")) == 0;
}

/**
 * situation_same_manager() - is the unit's manager the one that makes the container's scope?
 *
 * Units know nothing of another manager's.
 */
bool situation_same_manager(const Situation *s) {
        return s->unit.user == s->facts->rootless && (!s->unit.user || s->unit.owner == s->facts->uid);
}
