/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Our own system call filter. */

#include "sandbox/exit-file.h"

int sandbox_enter(const ExitFiles *files);
const char *sandbox_call_name(int number);
