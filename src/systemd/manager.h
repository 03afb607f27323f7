/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the keeper asks a systemd manager, each time in a child that ends with the answer. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"
#include "systemd/scope.h"
#include "systemd/unit.h"

typedef struct ManagerTrouble {
        int bus_error;  /* negative: there was no asking */
        char text[256]; /* for people */
} ManagerTrouble;

typedef struct ManagerQuestion ManagerQuestion;

/* @unit: NULL if there was no answer, and @why says why. The question may be freed in here. */
typedef int (*ManagerOnUnit)(void *userdata, const UnitFacts *unit, const char *why);

int manager_look_at_unit(bool user, uid_t uid, const char *unit, UnitFacts *ret, ManagerTrouble *ret_trouble);
int manager_make_scope(bool user, uid_t uid, const ScopeSpec *spec, ManagerTrouble *ret_trouble);
/* A unit, and whose it is: the manager of user @uid, or the system's. */
typedef struct ManagerUnit {
        bool user;
        uid_t uid;
        const char *name;
} ManagerUnit;

int manager_ask_about_unit(ManagerQuestion **ret,
                           Event *event,
                           const ManagerUnit *unit,
                           ManagerOnUnit on_unit,
                           void *userdata);
ManagerQuestion *manager_question_free(ManagerQuestion *q);
DEFINE_CLEANUP(ManagerQuestion, manager_question_free)
