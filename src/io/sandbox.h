/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Our own system call filter. */

#include <stddef.h>

/* Files that may be made all the same (exit-file.c): under these names, in these directories. */
typedef struct SandboxFiles {
        const char *names; /* NULL: none */
        const int *dirs;   /* descriptors, borrowed; -1 for one there is not */
        size_t n_dirs;
} SandboxFiles;

#define SANDBOX_NO_FILES (SandboxFiles){ NULL, NULL, 0 }

int sandbox_enter(SandboxFiles files);
const char *sandbox_call_name(int number);
