/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of systemd's units: which are valid, and how a scope's is made. */

#include <stdbool.h>
#include <stddef.h>

#define UNITNAME_SIZE 256 /* room for any unit name, with its NUL */

/* Answers besides 0; nothing is written then. */
typedef enum UnitNameAnswer {
        UNITNAME_BAD = 1,  /* no name can be made of it */
        UNITNAME_TOO_LONG, /* longer than a unit's name may be, or than the room given */
} UnitNameAnswer;

bool unitname_is_valid(const char *name, const char *suffix);
int unitname_scope(char *out, size_t size, const char *prefix, const char *id);
