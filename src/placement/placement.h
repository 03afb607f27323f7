/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where monitor and container belong: facts in, plan out, nothing else. The caller asks again with more facts for as
 * long as the answer is a PLACEMENT_NEED_*, and once more with nest_failed, scope_failed or made_failed set when a plan
 * could not be carried out.
 */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "systemd/unit.h"
#include "wire/state.h"
#include "wire/unitname.h"

/* Positive answers of placement_decide() */
#define PLACEMENT_NEED_DELEGATION 1 /* look at the xattr of plan->unit_path and set facts.delegation */
#define PLACEMENT_NEED_UNIT 2       /* ask plan->user, plan->uid for plan->unit: facts.unit or unit_failed */
#define PLACEMENT_IMPOSSIBLE 3      /* a wish that cannot be met: plan->reason is the text for the caller */
#define PLACEMENT_NEED_RUNTIME 4    /* ask the runtime what it knows and set facts.runtime */
#define PLACEMENT_STOPPING 6        /* the unit is, so the container is not restarted: likewise */
#define PLACEMENT_NEED_CALLER 5     /* look at the process that started us: facts.caller and facts.notifies */
#define PLACEMENT_NEED_POD 7        /* can plan->unit_path have the limits of plan->pod_slice? facts.pod */

/* The rows of the table in placement.c */
typedef enum PlacementRow {
        PLACEMENT_ROW_NONE,
        PLACEMENT_ROW_SPLIT,      /* the caller has nested the container in our unit */
        PLACEMENT_ROW_NEST,       /* we nest it */
        PLACEMENT_ROW_BIND,       /* the container's scope is bound to our unit */
        PLACEMENT_ROW_PROPAGATE,  /* it is not, but a stop propagates */
        PLACEMENT_ROW_DETACHED,   /* our unit only ran the command that started us */
        PLACEMENT_ROW_MOVED,      /* the caller has put us into a scope */
        PLACEMENT_ROW_SCOPE,      /* we make a scope for ourselves */
        PLACEMENT_ROW_STRANDED,   /* the same, since the caller left us in its own service */
        PLACEMENT_ROW_EXEC,       /* an exec session */
        PLACEMENT_ROW_AS_GIVEN,   /* the caller or the user asked for something that rules out nesting */
        PLACEMENT_ROW_NO_MANAGER, /* no service manager that answers */
        _PLACEMENT_ROW_MAX,
} PlacementRow;

typedef enum PlacementMonitor {
        PLACEMENT_MONITOR_STAYS,
        PLACEMENT_MONITOR_NESTED, /* cgroup_nest(unit_path, PLACEMENT_LEAF, move_self ? our pid : 0) */
        PLACEMENT_MONITOR_SCOPE,  /* monitor_scope in monitor_slice, made by us */
} PlacementMonitor;

typedef enum PlacementContainer {
        PLACEMENT_CONTAINER_AS_GIVEN,
        PLACEMENT_CONTAINER_NESTED, /* cgroupsPath becomes container_path */
        PLACEMENT_CONTAINER_SCOPE,  /* container_scope is made: by the runtime, or with make_scope by us */
} PlacementContainer;

typedef enum PlacementDelegation {
        PLACEMENT_DELEGATION_UNKNOWN,
        PLACEMENT_DELEGATION_NO,
        PLACEMENT_DELEGATION_YES,
} PlacementDelegation;

/* Does the runtime turn annotations org.systemd.property.* into properties of the scope that it makes? */
typedef enum PlacementRuntime {
        PLACEMENT_RUNTIME_KNOWS,
        PLACEMENT_RUNTIME_UNKNOWN,
        PLACEMENT_RUNTIME_PLAIN, /* it does not, or nobody can tell */
} PlacementRuntime;

/* Can the cgroup of the pod in the unit have the limits that the pod's slice has? */
typedef enum PlacementPod {
        PLACEMENT_POD_UNKNOWN,
        PLACEMENT_POD_FITS,
        PLACEMENT_POD_LOSES_LIMITS, /* the unit has not all of the controllers */
} PlacementPod;

/* What the process that started us goes on to do */
typedef enum PlacementCaller {
        PLACEMENT_CALLER_UNKNOWN,
        PLACEMENT_CALLER_LEAVES,
        PLACEMENT_CALLER_WAITS,    /* for the container's end, passing on its signals */
        PLACEMENT_CALLER_RESTARTS, /* it is the exit command of the monitor that the container had before */
} PlacementCaller;

#define PLACEMENT_LEAF "supervisor"

typedef struct PlacementFacts {
        /* from options, bundle, environment; strings may be NULL */
        const char *id;               /* container ID */
        const char *cgroups_path;     /* linux.cgroupsPath */
        const char *wish_annotation;  /* io.scopemon.placement */
        const char *wish_option;      /* --placement, of service mode */
        const char *wish_environment; /* SCOPEMON_PLACEMENT */
        bool exec;
        bool systemd_cgroup;   /* --systemd-cgroup */
        bool cgroups_disabled; /* --runtime-arg --cgroup-manager --runtime-arg disabled */
        bool passthrough;      /* log driver */
        bool service;          /* service mode: the unit's settings are wanted in any case */

        /* from the kernel, after the start byte */
        bool unified;       /* cgroup_unified() */
        bool managed;       /* /run/systemd/system is a directory */
        bool rootless;      /* the runtime talks to the user's manager */
        uid_t uid;          /* of that user, as seen outside any user namespace */
        const char *cgroup; /* cgroup_own(), NULL if unknown */

        /* set when asked for */
        PlacementDelegation delegation;
        PlacementRuntime runtime;
        PlacementPod pod;
        PlacementCaller caller;
        const char *
                stopping_unit; /* unit of the monitor that the container had before, if the caller restarts it
                                      although that is being stopped; else NULL */
        bool notifies;         /* it has a socket to tell of readiness and of the main process */
        const UnitFacts *unit;
        bool unit_failed; /* the bus gave no answer */

        /* set with unit */
        bool caller_is_main; /* its main process is the caller */
        bool pid_file_ours;  /* PIDFile= is our pid file or the container's */
        bool monitored;      /* its main process, now or by its PIDFile=, is a container's monitor */

        /* set after a plan has failed */
        bool nest_failed;
        bool scope_failed;
        bool made_failed; /* the container's scope, by us */
} PlacementFacts;

typedef struct PlacementPlan {
        PlacementRow row;
        PlacementMonitor monitor;
        PlacementContainer container;
        bool systemd_cgroup; /* pass -s on */
        bool move_self;      /* nested: we are in no leaf of our own */

        /* properties of the container's scope, by annotation or ours to set; with CONTAINER_SCOPE only */
        bool describe;             /* Description=, Documentation=, CollectMode=, ... */
        bool before;               /* Before=unit */
        bool stop_propagated_from; /* StopPropagatedFrom=unit */
        char after
                [UNITNAME_SIZE]; /* After= and DefaultDependencies=yes, if not empty: the monitor's own scope */

        bool make_scope; /* we make it, and give the runtime a path below it, without -s */
        bool survives; /* service mode: the container outlives its monitor, and the unit's next process takes it back */

        bool watch_unit;  /* its stop signal is for its main process alone, which is not us */
        bool watch_start; /* likewise, until the container is there: its scope would wait for that stop */

        bool user; /* which manager to talk to: the one of @uid or the system's */
        uid_t uid;

        uint64_t unit_stop_usec; /* the caller's to set: TimeoutStopSec= of unit, 0 if unknown */
        uint32_t fd_store_max;   /* likewise: descriptors that the container may store there */
        bool machine;      /* likewise: register it with machined, that of the system or of machine_uid */
        bool machine_user; /* ... which is this */
        uid_t machine_uid;
        char unit[UNITNAME_SIZE];            /* unit we are in, empty if none */
        char container_scope[UNITNAME_SIZE]; /* name of the runtime's scope; empty if it makes none */
        bool user_scope;                     /* it is a user manager's, whoever's unit we are in */
        char container_slice[UNITNAME_SIZE]; /* with make_scope */
        char monitor_scope[UNITNAME_SIZE];
        char monitor_slice[UNITNAME_SIZE];
        char pod[UNITNAME_SIZE + 16]; /* nested: the pod's cgroup below that of the unit, if there is a pod */
        char reason[512];             /* one line for people */

        char pod_slice[PATH_MAX];      /* cgroup of the pod's slice, whose limits @pod is to have */
        char unit_path[PATH_MAX];      /* cgroup of @unit */
        char container_path[PATH_MAX]; /* new cgroupsPath when nested; with make_scope the caller's to set */
} PlacementPlan;

int placement_decide(const PlacementFacts *facts, PlacementPlan *ret);
const char *placement_row_name(PlacementRow row);

extern const StateFields placement_values; /* of PlacementPlan: what counts once the container runs */
