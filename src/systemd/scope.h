/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A transient scope around a process that runs already. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Bus Bus;
typedef struct BusTrouble BusTrouble;
typedef struct Scope Scope;

/* How it has not come to be */
#define SCOPE_REFUSED 1   /* the manager said no */
#define SCOPE_NOT_DONE 2  /* the job ended otherwise than "done" */
#define SCOPE_NO_ANSWER 3 /* nothing in time, or the connection broke */

typedef struct ScopeSpec {
        const char *name;
        const char *slice;         /* NULL: the manager's default */
        const char *description;   /* these may all be NULL */
        const char *documentation; /* one URI */
        const char *before;
        const char *after;
        const char *stop_propagated_from;
        pid_t pid;
        bool delegate;
        bool default_dependencies;
        uint64_t timeout_stop_usec; /* 0: the manager's default */
        int kill_signal;            /* likewise */
        uint64_t job_usec;          /* for all of it, 0: 25 s */
} ScopeSpec;

/* @answer: 0 when the scope is there; else one of those above, and @trouble has the words. The Scope may be freed in here. */
typedef int (*ScopeOnEnd)(void *userdata, int answer, const BusTrouble *trouble);

int scope_ask(Scope **ret, Bus *bus, const ScopeSpec *spec, ScopeOnEnd on_end, void *userdata);
Scope *scope_free(Scope *s);
DEFINE_CLEANUP(Scope, scope_free)
