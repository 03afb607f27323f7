/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end, told: OOM looked at last, then the persist file, the exit file, the record to whoever started an exec, and
 * one entry in the journal. Or that there was no container, in the runtime's own words. Whoever hears of it can rely on
 * the log being complete.
 *
 * An exit that nobody saw is unknown: -1 in the files, 255 as our own status, never 0.
 */

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "keeper/keeper-internal.h"
#include "report/announce.h"
#include "scopemon/protocol.h"

#define STATUS_UNKNOWN (-1)
#define FAILURE_TEXT_MAX 8191

/* The runtime's last words, as far as a record to the caller can hold them. */
static void tell_failure(Keeper *k) {
        Window words = { 0 };
        size_t n = 0;

        if (k->ring)
                words = ring_window(k->ring, STREAM_STDERR, 0);
        n = window_size(&words) < FAILURE_TEXT_MAX ? window_size(&words) : FAILURE_TEXT_MAX;
        if (n > 0 && !k->failure[0])
                (void)report_failure(k->report, words.data, n);
        else
                (void)report_failure(k->report, k->failure, strlen(k->failure));
        if (n > 0)
                log_warning("runtime stderr: %.*s", (int)n, words.data);
        log_error("Failed to create container: exit status %d",
                  k->runtime_status.known ? k->runtime_status.code : STATUS_UNKNOWN);
        k->exit_status = 1;
}

static void tell_end(Keeper *k) {
        const Options *o = k->options;
        const WorkerState *state = k->ring ? ring_state(k->ring) : NULL;
        int status = k->target_status.known && !k->facts.timed_out ? k->target_status.code : STATUS_UNKNOWN;
        AnnounceEnd end = { .status = &k->target_status,
                            .timed_out = k->facts.timed_out,
                            .usec = loop_now() - k->started_usec };

        k->oom = k->oom || (k->oom_watch && cgroup_oom_check(k->oom_watch));
        if (k->oom)
                (void)report_oom(k->report);
        end.oom = k->oom;
        fd_close_many(k->origin->inherited, k->origin->n_inherited);

        k->exit_status = status == STATUS_UNKNOWN ? 255 : status;
        if (report_exit_files(k->report, status) < 0) {
                log_error("Failed to write the exit status of the container");
                k->exit_status = 1;
        }
        if (o->exec) {
                (void)report_exec_exit(k->report, status,
                                       k->facts.timed_out ? SCOPEMON_SYNC_TIMED_OUT : NULL);
                return;
        }
        for (SinkId i = 0; state && i < _SINK_MAX; i++) {
                end.bytes += state->sinks[i].bytes;
                end.lost += state->sinks[i].lost_bytes;
        }
        for (StreamId id = 0; state && id < _STREAM_MAX; id++)
                end.lost += state->dropped[id];
        if (k->worker)
                end.suppressed = suppressed_end(worker_process_suppressed(k->worker));
        announce_ended(o, &k->plan, &end);
}

/**
 * keeper_report() - the end is told, to all who were promised to hear of it
 */
void keeper_report(Keeper *k) {
        if (k->facts.reported)
                return; /* by a keeper that has died since */
        if (k->facts.container_exited || k->facts.timed_out)
                tell_end(k);
        else
                tell_failure(k);
        if (k->bundle_fd >= 0 && !k->options->log_targets.passthrough && k->facts.pid_known)
                (void)unlinkat(k->bundle_fd, SCOPEMON_ATTACH_SOCKET, 0); /* the caller may have been faster */
        k->facts.reported = true;
        keeper_store_state(k);
}
