/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the caller is told: records on the sync and attach pipes, exit files, oom files. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"
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

typedef enum ReportRecord {
        REPORT_RECORD_ATTACH, /* clients may come */
        REPORT_RECORD_PID,    /* there is a target */
        REPORT_RECORD_END,    /* there will be none, or how an exec ended */
} ReportRecord;

typedef struct ReportHandler {
        /*
         * The caller is there and was not told: -ETIMEDOUT if it has read nothing for a second, else what was wrong with
         * its pipe, which has been closed. Also called from where the record was to be sent.
         */
        void (*on_lost)(void *userdata, ReportRecord what, int error);
        void (*on_settled)(void *userdata); /* report_is_waiting() has become false, in the loop */
} ReportHandler;

int report_new(Report **ret,
               Event *event,
               const ReportSpec *spec,
               const ReportHandler *handler,
               void *userdata);
Report *report_free(Report *r);
DEFINE_CLEANUP(Report, report_free)

void report_attach_ready(Report *r);
void report_pid(Report *r, pid_t pid);
void report_failure(Report *r, const char *text, size_t n_text);
int report_oom(Report *r);
int report_exit_files(Report *r, int status);
const char *report_exit_missing(const Report *r);
void report_exec_exit(Report *r, int status, const char *text);
bool report_is_waiting(const Report *r);
void report_advance(Report *r);
int report_sync_fd(const Report *r);
void report_close(Report *r);
void report_save(const Report *r, ReportSaved *ret);
void report_restore(Report *r, const ReportSaved *saved);

extern const StateFields report_values; /* of ReportSaved, but for its descriptors */
