/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the caller is told, and where: records on the sync pipe and the attach pipe, the exit files, the oom files. The
 * order among these is the keeper's business; that none is told twice, and no failure after a success, is ours:
 *
 *                   pid               failure        end
 *     create, api 0 {"pid": N}        {"pid": -1}    -
 *     create, api 1 {"data": N}       {"data": -1}   -
 *     exec, api 0   -                 {"exit_code": -1}   {"exit_code": N}
 *     exec, api 1   {"data": N}       {"data": -1}   {"data": N}
 *
 * Nobody may stall the monitor: a record that finds no room waits in the loop, for a second at most (outlet.c).
 *
 * Directories are opened at the start, so that the files land where the caller meant even if it moves them. One that
 * cannot be opened then or there is no descriptor to spare for, or that was removed meanwhile, is looked up again by name when its file is due: a container whose
 * exit directory is missing starts all the same.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "report/outlet.h"
#include "report/report.h"
#include "scopemon/protocol.h"
#include "wire/syncmsg.h"

#define FILE_MODE 0644

typedef struct Place {
        int fd;      /* the directory; -1 if it could not be opened yet */
        char *path;  /* NULL if the caller wants no file there */
        bool wanted; /* an exit file that is not there yet */
} Place;

typedef enum ReportState {
        REPORT_FRESH,
        REPORT_STARTED, /* the pid was told, or would have been if this mode told it */
        REPORT_OVER,    /* nothing more to be said on the sync pipe */
} ReportState;

static const char *const
        state_words[] = { [REPORT_FRESH] = "fresh", [REPORT_STARTED] = "started", [REPORT_OVER] = "over" };

static const StateField report_fields[] = {
        STATE_FIELD_WORD(ReportSaved, state, "state", state_words),
        STATE_FIELD_BOOL(ReportSaved, oom_told, "oom-told"),
};

const StateFields report_values = { report_fields, ELEMENTS(report_fields) };

struct Report {
        Outlet sync, attach;
        const ReportHandler *handler;
        void *userdata;
        Place exit_dir;
        Place persist_dir;
        Place bundle;
        char *cid;
        const char *pid_key;  /* NULL: this mode does not tell the pid */
        const char *last_key; /* of failure and exit code */
        bool exec;
        ReportState state;
        bool started;
        bool oom_told;
};

static int place_init(Place *p, const char *path) {
        if (!path)
                return 0;
        p->path = strdup(path);
        if (!p->path)
                return fail(-ENOMEM);
        if (!fd_are_few())
                p->fd = fd_open_directory(path);
        return 0;
}

static void place_done(Place *p) {
        cleanup_close(&p->fd);
        p->fd = -1;
        free(p->path);
        p->path = NULL;
}

static int place_reopen(Place *p) {
        struct stat st;

        if (p->fd >= 0 && fstat(p->fd, &st) == 0 && st.st_nlink > 0)
                return 0;
        cleanup_close(&p->fd);
        p->fd = fd_open_directory(p->path);
        return p->fd < 0 ? relay(p->fd) : 0;
}

static bool place_is_gone(const Place *p) {
        return p->fd == -ENOENT || p->fd == -ENOTDIR;
}

static int place_write(Place *p, const char *name, const char *text) {
        int r;

        if (!p->path)
                return 0;
        r = place_reopen(p);
        if (r >= 0)
                r = fd_write_file_atomic(p->fd, name, text, strlen(text), FILE_MODE);
        return r < 0 ? relay(r) : 0;
}

static void report_on_lost(void *userdata, unsigned what, int error) {
        const Report *r = userdata;

        if (r->handler)
                r->handler->on_lost(r->userdata, what, error);
}

static void report_on_settled(void *userdata) {
        const Report *r = userdata;

        if (r->handler && !report_is_waiting(r))
                r->handler->on_settled(r->userdata);
}

/**
 * report_new() - get ready to report
 * @spec: its two descriptors are adopted, whatever comes of this; its strings are copied
 * @handler: must outlive the object; NULL if nobody wants to know
 *
 * Return: 0 or -ENOMEM.
 */
int report_new(Report **ret,
               Event *event,
               const ReportSpec *spec,
               const ReportHandler *handler,
               void *userdata) {
        static const OutletHandler outlet_handler = { .on_lost = report_on_lost,
                                                      .on_settled = report_on_settled };
        _cleanup_close_ int sync_fd = spec->sync_fd, attach_fd = spec->attach_fd;
        _cleanup_(report_freep) Report *r = NULL;

        r = calloc(1, sizeof *r);
        if (!r)
                return fail(-ENOMEM);
        r->sync.fd = r->attach.fd = r->exit_dir.fd = r->persist_dir.fd = r->bundle.fd = -1;
        r->handler = handler;
        r->userdata = userdata;
        if (outlet_init(&r->sync, event, TAKE_FD(sync_fd), &outlet_handler, r) < 0 ||
            outlet_init(&r->attach, event, TAKE_FD(attach_fd), &outlet_handler, r) < 0)
                return fail(-ENOMEM);
        r->exec = spec->exec;
        r->last_key = spec->api_v1 ? "data" : spec->exec ? "exit_code" : "pid";
        r->pid_key = spec->exec && !spec->api_v1 ? NULL : r->last_key;

        r->cid = strdup(spec->cid);
        r->exit_dir.wanted = spec->exit_dir;
        r->persist_dir.wanted = spec->persist_dir;
        if (!r->cid || place_init(&r->exit_dir, spec->exit_dir) < 0 ||
            place_init(&r->persist_dir, spec->persist_dir) < 0 || place_init(&r->bundle, spec->bundle) < 0)
                return fail(-ENOMEM);

        *ret = TAKE_PTR(r);
        return 0;
}

/**
 * report_free() - close everything
 *
 * Return: NULL.
 */
Report *report_free(Report *r) {
        if (!r)
                return NULL;
        report_close(r);
        place_done(&r->exit_dir);
        place_done(&r->persist_dir);
        place_done(&r->bundle);
        free(r->cid);
        free(r);
        return NULL;
}

static void send_record(Outlet *outlet,
                        ReportRecord what,
                        const char *key,
                        int64_t value,
                        const char *text,
                        size_t n_text) {
        static_assert(SYNCMSG_MAX <= OUTLET_RECORD_MAX, "a record is one write");
        char record[SYNCMSG_MAX];

        outlet_send(outlet, what, record, syncmsg_format(record, key, value, text, n_text));
}

/**
 * report_attach_ready() - tell that attach socket and fifos can be used
 */
void report_attach_ready(Report *r) {
        send_record(&r->attach, REPORT_RECORD_ATTACH, "data", 0, NULL, 0);
}

/**
 * report_pid() - tell that the target exists
 *
 * From here on report_failure() has no effect, also in the one mode in which the pid is not told.
 */
void report_pid(Report *r, pid_t pid) {
        if (r->state != REPORT_FRESH)
                return;
        r->state = REPORT_STARTED;
        r->started = true;
        if (r->pid_key)
                send_record(&r->sync, REPORT_RECORD_PID, r->pid_key, pid, NULL, 0);
}

/**
 * report_failure() - tell that there will be no target
 * @text: what the runtime said; may be empty, is cut to what callers can read
 *
 * Told at most once, and not after report_pid().
 */
void report_failure(Report *r, const char *text, size_t n_text) {
        if (r->state != REPORT_FRESH)
                return;
        r->state = REPORT_OVER;
        send_record(&r->sync, REPORT_RECORD_END, r->last_key, -1, text, n_text);
}

/**
 * report_exec_exit() - tell how an exec ended
 * @status: exit code, or -1
 * @text: why it is -1, or NULL
 *
 * No effect for create and restore, whose callers look at the exit files, and after report_failure().
 */
void report_exec_exit(Report *r, int status, const char *text) {
        if (!r->exec || r->state == REPORT_OVER)
                return;
        r->state = REPORT_OVER;
        send_record(&r->sync, REPORT_RECORD_END, r->last_key, status, text, text ? strlen(text) : 0);
}

/**
 * report_is_waiting() - is there a record that the caller has not taken yet, and may still take?
 */
bool report_is_waiting(const Report *r) {
        return outlet_is_waiting(&r->sync) || outlet_is_waiting(&r->attach);
}

/**
 * report_advance() - send what waits, or give it up if it has waited for too long; the loop does this by itself
 */
void report_advance(Report *r) {
        outlet_advance(&r->sync);
        outlet_advance(&r->attach);
}

/* A directory takes a descriptor: without any left, the file is made by its whole name. */
static int place_write_by_name(Report *r, const Place *p, const char *name, const char *text) {
        Place *const places[] = { &r->exit_dir, &r->persist_dir, &r->bundle };
        char path[PATH_MAX];
        int n;

        for (size_t i = 0; i < ELEMENTS(places); i++) {
                cleanup_close(&places[i]->fd);
                places[i]->fd = -1;
        }
        n = snprintf(path, sizeof path, "%s/%s", p->path, name);
        if (n < 0 || (size_t)n >= sizeof path)
                return fail(-ENAMETOOLONG);
        return fd_write_file_atomic(AT_FDCWD, path, text, strlen(text), FILE_MODE);
}

/* One that is there already is left alone, and one whose directory is missing will never be. */
static int place_write_exit(Report *report, Place *p, const char *name, const char *text) {
        int r;

        if (!p->wanted)
                return 0;
        r = place_write(p, name, text);
        if (r == -EMFILE)
                r = place_write_by_name(report, p, name, text);
        p->wanted = r < 0 && !place_is_gone(p);
        return r < 0 ? relay(r) : 0;
}

/**
 * report_exit_files() - write the status into the persist directory, then into the exit directory
 * @status: exit code, or -1 if it is unknown or the target was timed out
 *
 * The second is tried whatever became of the first. Callers take the time of the file for the time of the end. After an
 * error it can be called again, and tries what report_exit_missing() says.
 *
 * Return: 0, or the first negative errno.
 */
int report_exit_files(Report *r, int status) {
        char text[16];
        int p, e;

        (void)snprintf(text, sizeof text, "%d", status);
        p = place_write_exit(r, &r->persist_dir, SCOPEMON_FILE_EXIT, text);
        e = place_write_exit(r, &r->exit_dir, r->cid, text);
        if (p < 0)
                return relay(p);
        return e < 0 ? relay(e) : 0;
}

/**
 * report_exit_missing() - where an exit file is wanted that could not be written yet, and still might be
 *
 * Return: a directory, NULL if there is none.
 */
const char *report_exit_missing(const Report *r) {
        return r->exit_dir.wanted ? r->exit_dir.path : r->persist_dir.wanted ? r->persist_dir.path : NULL;
}

/**
 * report_oom() - leave the files that say the kernel ran out of the container's memory
 *
 * Written once; both are tried, and tried again the next time if one failed.
 *
 * Return: 0, or the first negative errno.
 */
int report_oom(Report *r) {
        int p, b;

        if (r->oom_told)
                return 0;
        p = place_write(&r->persist_dir, SCOPEMON_FILE_OOM, "");
        b = place_write(&r->bundle, SCOPEMON_FILE_OOM, "");
        r->oom_told = p >= 0 && b >= 0;
        if (p < 0)
                return relay(p);
        return b < 0 ? relay(b) : 0;
}

/**
 * report_sync_fd() - the sync pipe, whose reader is the caller
 *
 * Return: a borrowed descriptor, -1 if there is none or its reader is gone.
 */
int report_sync_fd(const Report *r) {
        return r->sync.fd;
}

/**
 * report_close() - let go of both pipes, so that their readers see the end; what waits is dropped
 */
void report_close(Report *r) {
        outlet_done(&r->sync);
        outlet_done(&r->attach);
}

/**
 * report_save() - what the next image goes on with
 * @ret: its descriptors are borrowed
 */
void report_save(const Report *r, ReportSaved *ret) {
        *ret = (ReportSaved){ .fds = { r->sync.fd, r->attach.fd, r->exit_dir.fd, r->persist_dir.fd,
                                       r->bundle.fd },
                              .state = r->state,
                              .oom_told = r->oom_told };
        for (size_t i = 0; i < REPORT_FDS; i++)
                if (ret->fds[i] < 0)
                        ret->fds[i] = -1; /* a directory that could not be opened has an errno there */
}

/**
 * report_restore() - go on where another one was
 * @r: fresh, of the same options, without pipes
 * @saved: its descriptors are adopted
 */
void report_restore(Report *r, const ReportSaved *saved) {
        int *const places[REPORT_FDS] = { &r->sync.fd, &r->attach.fd, &r->exit_dir.fd, &r->persist_dir.fd,
                                          &r->bundle.fd };

        for (size_t i = 0; i < REPORT_FDS; i++) {
                if (i >= 2 && saved->fds[i] < 0)
                        continue; /* the directory may be there now */
                cleanup_close(places[i]);
                *places[i] = saved->fds[i];
        }
        r->state = (ReportState)saved->state;
        r->oom_told = saved->oom_told;
}
