/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end, told: OOM looked at last, then the persist file, the exit file, the record to whoever started an exec, and
 * one entry in the journal. Or that there was no container, in the runtime's own words. Whoever hears of it can rely on
 * the log being complete.
 *
 * An exit that nobody saw is unknown: -1 in the files, 255 as our own status, never 0.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/cgroup.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "report/announce.h"
#include "report/mark.h"
#include "scopemon/protocol.h"

#define STATUS_UNKNOWN (-1)
#define FAILURE_TEXT_MAX 8191
#define EXIT_FILES_USEC 8000000ULL /* for how long exit files are tried that cannot be written */
#define EXIT_FILES_AGAIN_USEC 100000ULL

/* The runtime's last words, as far as a record to the caller can hold them. */
static void tell_failure(Keeper *k) {
        const char *failure;
        Window words = { 0 };
        size_t n = 0;

        if (k->ring)
                words = ring_window(k->ring, STREAM_STDERR, 0);
        failure = k->start ? k->start->failure : "";
        n = window_size(&words) < FAILURE_TEXT_MAX ? window_size(&words) : FAILURE_TEXT_MAX;
        if (n > 0 && !*failure)
                report_failure(k->report, words.data, n);
        else
                report_failure(k->report, failure, strlen(failure));
        if (n > 0)
                log_warning("runtime stderr: %.*s", (int)n, words.data);
        if (k->plan.pod[0])
                cgroup_remove(k->plan.unit_path, k->plan.container_path + strlen(k->plan.unit_path) + 1);
        log_error("Failed to create container: exit status %d",
                  k->runtime.status.known ? k->runtime.status.code : STATUS_UNKNOWN);
        k->exit_status = 1;
}

/* An exit that nobody saw, or that we have brought about, has no status. */
static int status_to_tell(const Keeper *k) {
        return k->target.status.known && !k->facts.timed_out ? k->target.status.code : STATUS_UNKNOWN;
}

static void announce_end(Keeper *k, uint64_t suppressed) {
        const WorkerState *state = k->ring ? ring_state(k->ring) : NULL;
        AnnounceEnd end = { .status = &k->target.status,
                            .oom = k->target.oom,
                            .timed_out = k->facts.timed_out,
                            .usec = k->end.ran_usec,
                            .suppressed = suppressed };

        for (SinkId i = 0; state && i < _SINK_MAX; i++) {
                end.bytes += state->sinks[i].bytes;
                end.lost += state->sinks[i].lost_bytes;
        }
        for (StreamId id = 0; state && id < _STREAM_MAX; id++)
                end.lost += state->dropped[id];
        announce_ended(k->options, &k->plan, &end);
        (void)keeper_learn(k, (Facts){ .announced = true });
}

static void on_counted(void *userdata, uint64_t suppressed) {
        Keeper *k = userdata;

        announce_end(k, suppressed);
        if (k->facts.reported) /* else this is stored with that */
                KEEPER_TELL(k, on_changed);
}

/* Now, or when what the journal has kept is counted: only our own end waits for that. */
static void announce_when_counted(Keeper *k) {
        k->end.ran_usec = event_now() - k->target.started_usec;
        if (k->worker)
                suppressed_end(worker_process_suppressed(k->worker), on_counted, k);
        else
                announce_end(k, 0);
}

/**
 * keeper_announce_end() - what the journal has kept will not be counted: if that was waited for, it is no more
 */
void keeper_announce_end(Keeper *k) {
        if (k->facts.reported && !k->facts.announced)
                announce_end(k, 0);
}

/* All is told, but for a record that the caller may still have to take. */
static void told(Keeper *k) {
        if (k->bundle_fd >= 0 && !k->options->log_targets.passthrough && k->facts.pid_known)
                (void)unlinkat(k->bundle_fd, SCOPEMON_ATTACH_SOCKET, 0); /* the caller may have been faster */
        if (!report_exit_missing(k->report)) /* else somebody may write it later */
                mark_remove(k->options->cid, getpid());
        (void)keeper_learn(k, (Facts){ .reported = true, .caller_told = !report_is_waiting(k->report) });
}

/* A pipe that is broken, not slow: its reader sees an end of file, and takes it that there is no container. */
static void on_record_lost(void *userdata, ReportRecord what, int error) {
        static const char *const texts[] = {
                [REPORT_RECORD_ATTACH] = "Unable to tell the caller that it can attach",
                [REPORT_RECORD_PID] = "Unable to send the container's pid to the caller",
                [REPORT_RECORD_END] = "Unable to tell the caller of the end",
        };
        Keeper *k = userdata;

        (void)log_warning_errno(error, "%s:", texts[what]);
        if (error == -ETIMEDOUT)
                return;
        if (what == REPORT_RECORD_PID && k->target.pidfd >= 0)
                (void)process_signal(k->target.pidfd, SIGKILL);
        /* a copy in the process that waits to become the runtime is open: there is no end of file */
        if (what == REPORT_RECORD_ATTACH && k->phase == PHASE_LAUNCHING)
                (void)keeper_fail(k, error, texts[what]);
}

static void on_records_settled(void *userdata) {
        Keeper *k = userdata;

        if (k->facts.reported)
                (void)keeper_learn(k, (Facts){ .caller_told = true });
        (void)reaper_look(
                k->reaper); /* what it returns has been through keeper_endure(); on_buried may have waited */
}

const ReportHandler keeper_report_handler = { .on_lost = on_record_lost, .on_settled = on_records_settled };

/* The exit files are there, or were tried for long enough. */
static void tell_rest(Keeper *k) {
        if (k->options->exec) {
                report_exec_exit(k->report, status_to_tell(k),
                                 k->facts.timed_out ? SCOPEMON_SYNC_TIMED_OUT : NULL);
                (void)keeper_learn(k, (Facts){ .announced = true }); /* that is all */
        } else
                announce_when_counted(k);
        told(k);
}

static void fail_exit_files(Keeper *k, int r) {
        const char *dir = report_exit_missing(k->report);
        char problem[512];

        (void)snprintf(problem, sizeof problem, "the exit status cannot be written to %s",
                       dir ? dir : "its directory, which was removed");
        (void)log_error_errno(r, "Container %s: %s", k->options->cid, problem);
        announce_failure(k->options, &k->plan, problem, -r);
        k->exit_status = 1;
}

static int on_exit_files_again(Timer *timer, void *userdata);

/* A directory without room may have some in a moment. */
static void write_exit_files(Keeper *k) {
        int r, q;

        k->end.files_timer = timer_free(k->end.files_timer);
        r = report_exit_files(k->report, status_to_tell(k));
        if (r < 0 && report_exit_missing(k->report) && keeper_left(k->end.files_until) > 0) {
                q = event_add_timer(k->event, &k->end.files_timer, EXIT_FILES_AGAIN_USEC, on_exit_files_again,
                                    k);
                if (q >= 0)
                        return;
        }
        if (r < 0)
                fail_exit_files(k, r);
        tell_rest(k);
}

static int on_exit_files_again(Timer *timer, void *userdata) {
        keeper_report_again(userdata);
        return 0;
}

static void tell_end(Keeper *k) {
        int status = status_to_tell(k);

        k->target.oom = target_oom(k);
        if (k->target.oom)
                (void)report_oom(k->report);
        fd_close_many(k->origin->inherited, k->origin->n_inherited);

        k->exit_status = status == STATUS_UNKNOWN ? 255 : status;
        k->end.files_until = event_now() + EXIT_FILES_USEC;
        write_exit_files(k);
}

static void end_on_mark(void *userdata, const Mark *mark, int found) {
        if (found == MARK_TOLD)
                log_warning("Container %s exited without its monitor, status unknown; wrote its exit file",
                            mark->name[0] ? mark->name : mark->cid);
}

/**
 * keeper_mark() - the container runs: leave word for whoever has to tell its end if we are killed, and tell what others
 * have left
 */
void keeper_mark(Keeper *k) {
        const Options *o = k->options;
        Mark *mark;
        ProcStat us, target;

        if (o->exec || !o->exit_dir || proc_stat(getpid(), &us) < 0 || proc_stat(k->target.pid, &target) < 0)
                return;
        mark = calloc(1, sizeof *mark);
        if (!mark)
                return;
        mark->monitor = getpid();
        mark->monitor_boot_usec = us.boot_usec;
        mark->target = k->target.pid;
        mark->target_boot_usec = target.boot_usec;
        mark->takes_commands = true;
        (void)snprintf(mark->cid, sizeof mark->cid, "%s", o->cid);
        (void)snprintf(mark->name, sizeof mark->name, "%s", o->name ? o->name : "");
        (void)snprintf(mark->exit_dir, sizeof mark->exit_dir, "%s", o->exit_dir);
        (void)snprintf(mark->persist_dir, sizeof mark->persist_dir, "%s",
                       o->persist_dir ? o->persist_dir : "");
        if (mark_make(mark) < 0)
                log_debug("Nobody will be able to tell the end if the monitor is killed");
        free(mark);
        if (mark_settle(NULL, end_on_mark, k)) /* ours is there: of our own container nothing is told */
                KEEPER_TELL(k, on_inherited);
}

/**
 * keeper_report() - the end is told, to all who were promised to hear of it
 *
 * Now, or as soon as there is room for the exit files; then facts.reported is learned.
 */
void keeper_report(Keeper *k) {
        if (k->facts.reported) { /* by a keeper that has died since, and its caller was another one */
                (void)keeper_learn(k, (Facts){ .caller_told = true });
                if (!k->facts.announced)
                        announce_when_counted(k);
                return;
        }
        if (k->facts.container_exited || k->facts.timed_out) {
                tell_end(k);
                return;
        }
        tell_failure(k);
        (void)keeper_learn(k, (Facts){ .announced = true }); /* that is all */
        told(k);
}

/**
 * keeper_report_again() - exit files that could not be written are tried once more, if that is what is waited for
 */
void keeper_report_again(Keeper *k) {
        if (k->facts.reported)
                return;
        write_exit_files(k);
}
