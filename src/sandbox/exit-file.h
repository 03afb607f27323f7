/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that a confined process may make. Its filter (sandbox-filter.c) knows the addresses of their names. */

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

#define EXIT_FILE_FLAGS (O_TMPFILE | O_WRONLY | O_CLOEXEC)
#define EXIT_FILE_MODE 0644

typedef enum ExitFileId {
        EXIT_FILE_PERSIST,
        EXIT_FILE_EXIT,
        _EXIT_FILE_MAX,
} ExitFileId;

typedef enum ExitFileName {
        EXIT_FILE_NAME_NONE, /* "" */
        EXIT_FILE_NAME_DIR,  /* of the first file, ... */
        EXIT_FILE_NAME_PATH = EXIT_FILE_NAME_DIR + _EXIT_FILE_MAX,
        _EXIT_FILE_NAME_MAX = EXIT_FILE_NAME_PATH + _EXIT_FILE_MAX,
} ExitFileName;

/* Where they stand: in sealed memory; NULL for what there is not. */
typedef struct ExitFiles {
        const char *names[_EXIT_FILE_NAME_MAX];
} ExitFiles;

#define EXIT_FILE_THERE 1

bool exit_files_possible(void);
int exit_files_seal(ExitFiles *ret,
                    const char *const dirs[_EXIT_FILE_MAX],
                    const char *const names[_EXIT_FILE_MAX]);
int exit_file_write(const ExitFiles *files, ExitFileId id, const char *text);
