/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "scopemon explain" and "scopemon list": questions about containers, answered from what is there to see. */

#include <stdbool.h>

/* Exit statuses, as systemctl has them. */
enum {
        EXPLAIN_OK = 0,
        EXPLAIN_FAILED = 1,
        EXPLAIN_NOT_RUNNING = 3, /* explained, but it does not run any more */
        EXPLAIN_UNKNOWN = 4,     /* nobody knows of such a container */
};

bool explain_is_verb(const char *word);
int explain_run(int argc, char *argv[]);
