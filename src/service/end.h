/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* scopemon end: what a service does whose monitor has died, and will not come back. */

#include <stdbool.h>

int service_end(int argc, char *argv[], char *envp[], bool at_once);
int service_end_run_verb(int argc, char *argv[], char *envp[]);
