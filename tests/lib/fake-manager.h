/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A service manager for tests: an sd-bus peer in a thread of its own. It answers StartTransientUnit, Get and GetAll as
 * it was told to, emits JobRemoved and PropertiesChanged, and counts the calls it gets. It is machined, too.
 */

#include <stdbool.h>

typedef struct FakeManager FakeManager;

typedef enum FakeManagerFault {
        FAKE_MANAGER_NO_FAULT,
        FAKE_MANAGER_CLOSES,  /* the connection */
        FAKE_MANAGER_REFUSES, /* with an error, or a job that has failed */
        FAKE_MANAGER_SILENT,
        _FAKE_MANAGER_FAULT_MAX,
} FakeManagerFault;

typedef struct FakeManagerScript {
        FakeManagerFault fault; /* at ... */
        unsigned fault_at;      /* ... this message, each call and the end of our job being one; 0: none */
        const char *result;     /* of each job; NULL: "done" */
        const char *refuse;     /* error message for each StartTransientUnit; NULL: none */
        const char *unknown; /* property that is refused as an older manager would, by its name; NULL: none */
        bool other_job_first;      /* another job's end comes before ours, and one of another unit */
        bool removed_before_reply; /* the job's end comes before the reply that names it */
        bool silent;               /* no answer at all */
        bool no_removal;           /* the job never ends */
        bool closes_after_answer; /* the connection, after each GetAll, and the first Get: that is "reloading" */
        bool delegate;            /* GetAll from here on */
        bool unstarted;
        bool spares;          /* SendSIGKILL=no */
        bool survives;        /* SurviveFinalKillSignal=yes, Conflicts=shutdown.target is told anyhow */
        bool ignores_isolate; /* IgnoreOnIsolate=yes */
        unsigned long long memory_max; /* 0: none is told */
        bool denies;                  /* IPAddressDeny=127.0.0.1, DevicePolicy=closed, AllowedCPUs= of none */
        unsigned long long stop_usec; /* 0: 90 s */
        unsigned long long abort_usec; /* 0: none is told */
        const char *sub_state;         /* NULL: "running" */
        const char *active_state;      /* NULL: "active" */
        const char *changes_to;        /* a signal says so of ActiveState= after each Get; NULL: none */
        const char *type;              /* NULL: no Type= and no ExecStart=, as a scope */
        bool no_pidfds;                /* as machined: RegisterMachineEx is unknown */
        const char *machine_error;     /* name of the error that RegisterMachine gets; NULL: none */
        unsigned leader;               /* of the machine that is asked for; 0: there is none */
} FakeManagerScript;

typedef struct FakeManagerSeen {
        unsigned n_messages;
        unsigned n_starts;
        unsigned n_get_alls;
        unsigned n_gets;
        unsigned n_subscribes;
        char unit[256];        /* of the last StartTransientUnit */
        char properties[1024]; /* its properties' names, each between blanks */
        char path[512];        /* of the last GetAll, or Get */
        unsigned n_registers;  /* by either method */
        unsigned n_unregisters;
        char machine[64]; /* of the last one of these: its name */
        char member[32];  /* ... that was called */
        char service[32]; /* ... and these of RegisterMachine* */
        char class[32];
        unsigned char machine_id[16];
        unsigned machine_leader; /* its PID, or that of the pidfd */
} FakeManagerSeen;

#define FAKE_MANAGER_UID 4294967000U /* with no directory below /run/user */

/*
 * It listens at @path for one client after the other. NULL: on the bus of FAKE_MANAGER_UID, which is found by
 * XDG_RUNTIME_DIR from then on. The script must live as long.
 */
FakeManager *fake_manager_new(const FakeManagerScript *script, const char *path);
/* Waits for the thread, which ends with its client: free that first. */
void fake_manager_finish(FakeManager *m, FakeManagerSeen *ret);
