/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the manager knows of a unit. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "wire/unitname.h"

typedef struct Bus Bus;
typedef struct BusTrouble BusTrouble;
typedef struct UnitQuestion UnitQuestion;

typedef struct UnitFacts {
        char active_state[16];
        char sub_state[32];
        char type[16]; /* services only, else empty */
        char kill_mode[16];
        char control_group[PATH_MAX];
        char pid_file[PATH_MAX]; /* PIDFile= */
        char notify_access[8];
        char syslog_identifier[128]; /* SyslogIdentifier=, empty if not set */
        int32_t syslog_facility; /* SyslogFacility=, SyslogLevel= as numbers of syslog(3), services only */
        int32_t syslog_level;
        bool syslog_level_prefix; /* SyslogLevelPrefix= */
        uint32_t main_pid;        /* 0 if there is none */
        bool delegate;
        bool remain_after_exit;
        bool subgroup;  /* DelegateSubgroup= is set: main processes start there */
        bool unstarted; /* a command of ExecStart= has no start time; true of all after a daemon-reload */
        bool spares;    /* SendSIGKILL=no */
        bool survives;  /* SurviveFinalKillSignal=, from systemd 255 on */
        bool ignores_isolate; /* IgnoreOnIsolate= */
        uint64_t timeout_stop_usec;
        uint64_t timeout_abort_usec; /* its time after WatchdogSignal=, services only */
        uint32_t fd_store_max;       /* FileDescriptorStoreMax=, services only */

        char load_state[16];
        char result[32]; /* services and scopes: how the last run ended, by systemd's reckoning */
        char slice[UNITNAME_SIZE];
        int32_t kill_signal;
        bool exec_stop;         /* there are commands in ExecStop= */
        bool stops_at_shutdown; /* Conflicts=shutdown.target, which default dependencies bring */
        uint64_t memory_max, memory_high, memory_swap_max, tasks_max,
                cpu_quota_usec;                              /* UINT64_MAX, or 0 if unknown: no limit */
        char device_policy[8];                               /* DevicePolicy=; PrivateDevices= sets it, too */
        bool private_devices, ip_address_deny, allowed_cpus; /* the latter two: anything is listed */

        /* Names of units, a blank between two; what does not fit is left out. */
        char binds_to[512];
        char part_of[512];
        char requires[1024];
        char stop_propagated_from[512];
        char before[2048];
        char after[2048];
} UnitFacts;

/* @facts: NULL if there is no answer, and @trouble says why. Both live as long as the question, which may be freed in here. */
typedef int (*UnitOnAnswer)(void *userdata, const UnitFacts *facts, const BusTrouble *trouble);

int unit_ask(UnitQuestion **ret, Bus *bus, const char *unit, UnitOnAnswer on_answer, void *userdata);
UnitQuestion *unit_question_free(UnitQuestion *q);
DEFINE_CLEANUP(UnitQuestion, unit_question_free)
bool unit_is_listed(const char *list, const char *unit);
