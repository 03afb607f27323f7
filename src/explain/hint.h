/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For people who type the name of the program, and no command that it knows. */

#include <stdbool.h>

bool hint_is_due(int argc, char *const *argv, bool interactive);
int hint_run(int argc, char *const *argv);
