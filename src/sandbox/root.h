/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a process that is about to be confined can still name. */

#include "sandbox/exit-file.h"

int root_leave(const char *const dirs[_EXIT_FILE_MAX], const char *ret_dirs[_EXIT_FILE_MAX]);
