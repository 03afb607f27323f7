/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the caller is told: records on the sync and attach pipes, exit files, oom files. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "wire/state.h"

typedef struct Report Report;

typedef struct ReportSpec {
        int sync_fd;          /* adopted; -1 for none */
        int attach_fd;        /* adopted; -1 for none */
        const char *exit_dir; /* these may be NULL */
        const char *persist_dir;
        const char *bundle;
        const char *cid; /* name of the exit file */
        bool api_v1;
        bool exec;
} ReportSpec;

/* What a report must hand on to the one that goes on after it. */
#define REPORT_FDS 5

typedef struct ReportSaved {
        int fds[REPORT_FDS]; /* sync, attach, exit, persist, bundle directory; -1 for what there is not */
        unsigned state;
        bool oom_told;
} ReportSaved;

/* A positive answer: the peer would not take the record in time. */
enum {
        REPORT_STALLED = 1,
};

int report_new(Report **ret, const ReportSpec *spec);
Report *report_free(Report *r);
DEFINE_CLEANUP(Report, report_free)

int report_attach_ready(Report *r);
int report_pid(Report *r, pid_t pid);
int report_failure(Report *r, const char *text, size_t n_text);
int report_oom(Report *r);
int report_exit_files(Report *r, int status);
const char *report_exit_missing(const Report *r);
int report_exec_exit(Report *r, int status, const char *text);
bool report_is_started(const Report *r);
int report_sync_fd(const Report *r);
int report_attach_fd(const Report *r);
void report_close(Report *r);
void report_save(const Report *r, ReportSaved *ret);
void report_restore(Report *r, const ReportSaved *saved);

extern const StateFields report_values; /* of ReportSaved, but for its descriptors */
