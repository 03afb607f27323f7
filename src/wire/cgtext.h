/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel writes about cgroups: /proc/PID/cgroup, memory.events, and what a cgroup's path
 * tells of its unit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Answers besides 0. */
typedef enum CgTextAnswer {
        CGTEXT_NONE = 1, /* the text does not say */
        CGTEXT_OUTSIDE,  /* a cgroup above or beside the root of our cgroup name space */
} CgTextAnswer;

typedef struct CgOom {
        uint64_t oom;
        uint64_t oom_kill;
} CgOom;

typedef enum CgUnitKind {
        CG_UNIT_NONE, /* in no unit, or in one of another kind */
        CG_UNIT_SERVICE,
        CG_UNIT_SCOPE,
        CG_UNIT_MANAGER, /* where a manager lives: init.scope, user@UID.service and its init.scope */
} CgUnitKind;

/* All pointers are into the path; nothing is terminated. */
typedef struct CgUnit {
        CgUnitKind kind;
        const char *name; /* name of the unit, cgroup escaping undone */
        size_t n_name;
        size_t n_path;    /* length of the path up to and with the unit's own cgroup */
        bool user;        /* a user manager's unit, or that manager itself */
        uint32_t owner;   /* uid of the user manager; 0 without */
        const char *leaf; /* what follows, "/supervisor"; empty for the unit's own cgroup */
        size_t n_leaf;
} CgUnit;

/* Points into the path; not terminated. */
typedef struct CgContainer {
        const char *id;
        size_t n_id;
        bool monitor; /* it is the monitor's cgroup, not the container's */
        bool service; /* service mode: the ID is a service's name */
} CgContainer;

int cgtext_path(const char *text, size_t n, const char **ret, size_t *ret_n);
int cgtext_v1_path(const char *text, size_t n, const char *controller, const char **ret, size_t *ret_n);
int cgtext_oom(const char *text, size_t n, CgOom *ret);
int cgtext_unit(const char *path, CgUnit *ret);
int cgtext_container(const char *path, CgContainer *ret);
bool cgtext_is_below(const char *path, const char *parent);
