/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Control groups as files: where a process is, whose that is, nesting below it, and OOM kills. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"

#define CGROUP_SURVIVES "user.survive_final_kill_signal" /* extended attribute, as systemd reads it */

bool cgroup_unified(const char **ret_root);
int cgroup_own(pid_t pid, char **ret_path);
int cgroup_in_unit(pid_t pid, const char *unit);
int cgroup_delegated(const char *path);
int cgroup_survives(const char *path);
int cgroup_open(const char *path);
int cgroup_open_procs(const char *path);
int cgroup_kill(const char *path);
int cgroup_nest(const char *unit_path, const char *leaf, pid_t self);

/* cgroup-limits.c */

const char *cgroup_limits_missing(const char *from, const char *unit);
const char *cgroup_limits_missing_at(int from, int unit);
int cgroup_limits_copy_at(int from, int unit, int to);
int cgroup_make_pod(const char *slice, const char *unit, const char *pod, const char *leaf);
void cgroup_remove(const char *unit, const char *name);

/* cgroup-oom.c */

typedef struct CgroupOom CgroupOom;

/* The target ran out of memory: called once. May be NULL, for those who only check. */
typedef int (*CgroupOomHandler)(void *userdata);

int cgroup_oom_new(CgroupOom **ret,
                   Event *event,
                   pid_t pid,
                   bool fresh,
                   CgroupOomHandler on_oom,
                   void *userdata);
int cgroup_oom_new_at(CgroupOom **ret,
                      Event *event,
                      const char *directory,
                      bool fresh,
                      CgroupOomHandler on_oom,
                      void *userdata);
bool cgroup_oom_check(CgroupOom *o);
CgroupOom *cgroup_oom_free(CgroupOom *o);
DEFINE_CLEANUP(CgroupOom, cgroup_oom_free)

/* cgroup-attributes.c */

#define CGROUP_ATTRIBUTES_MAX 2 /* cgroups: the monitor's and the container's */

typedef struct CgroupAttributes CgroupAttributes;

int cgroup_attributes_new(CgroupAttributes **ret, Event *event, const pid_t pids[CGROUP_ATTRIBUTES_MAX]);
int cgroup_attributes_new_at(CgroupAttributes **ret,
                             Event *event,
                             const char *unit,
                             const char *const below[],
                             size_t n_below);
CgroupAttributes *cgroup_attributes_free(CgroupAttributes *a);
DEFINE_CLEANUP(CgroupAttributes, cgroup_attributes_free)
