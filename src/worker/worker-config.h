/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a worker is told at its start: of all that the caller wants, no more than it needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct WorkerConfig {
        bool exec;          /* an exec session: nothing is announced */
        bool terminal;      /* the container has one */
        bool ends_stdin;    /* a client may end the container's stdin */
        bool file;          /* output goes to a k8s-file, */
        bool journald;      /* ... to the journal */
        bool fsync;         /* the file, at the end */
        bool no_partial;    /* nothing marks the parts of a line that is too long */
        bool podman;        /* reads the journal: see sink-journald.c */
        uint64_t size_max;  /* of the file, in bytes; 0: no limit */
        uint64_t total_max; /* of all files together; 0: no limit */
        const char *cid;
        const char *name, *tag; /* NULL for none */
        const char *exit_dir,
                *persist_dir; /* of exit files, if the keeper cannot write them; NULL for none */
        char *const *labels;  /* fields of all entries in the journal, NAME=VALUE */
        size_t n_labels;
} WorkerConfig;

size_t worker_config_pack(const WorkerConfig *config, char *out, size_t size);
int worker_config_unpack(WorkerConfig *ret, const char *data, size_t n, char **ret_memory);
