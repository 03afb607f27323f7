/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A transient scope around a process that runs already. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Bus Bus;
typedef struct Scope Scope;

/* Positive answers of scope_wait(); scope_error() has the words */
#define SCOPE_REFUSED 1   /* the manager said no */
#define SCOPE_NOT_DONE 2  /* the job ended otherwise than "done" */
#define SCOPE_NO_ANSWER 3 /* nothing in time, or the connection broke */

typedef struct ScopeSpec {
        const char *name;
        const char *slice;         /* NULL: the manager's default */
        const char *description;   /* these may all be NULL */
        const char *documentation; /* one URI */
        const char *binds_to;
        const char *before;
        const char *after;
        const char *stop_propagated_from;
        pid_t pid;
        int pidfd; /* of @pid, or -1; borrowed until scope_free() */
        bool delegate;
        bool default_dependencies;
        uint64_t timeout_stop_usec; /* 0: the manager's default */
        int kill_signal;            /* likewise */
} ScopeSpec;

int scope_begin(Scope **ret, Bus *bus, const ScopeSpec *spec);
int scope_wait(Scope *s, uint64_t timeout_usec);
const char *scope_error(const Scope *s);
Scope *scope_free(Scope *s);
DEFINE_CLEANUP(Scope, scope_free)
