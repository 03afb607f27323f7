/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A worker whose keeper has been killed, where nobody takes the container back: with Podman and CRI-O. It goes on to
 * the end: output, clients, and a last entry in the journal that says how the container has ended, as far as the
 * kernel tells somebody who is not its parent.
 *
 * It does not write the exit file. That would take the right to create files in the directory where those of all
 * containers are, and this is the process that handles what a container sends.
 */

#include <stdlib.h>

#include "base/error.h"
#include "core/announce.h"
#include "core/worker-internal.h"

static int on_target_end(void *userdata, const ProcessStatus *status) {
        Worker *w = userdata;

        if (status)
                w->target_status = *status;
        w->target_ended = true;
        return w->draining ? 0 : worker_output_drain(w);
}

/**
 * worker_orphan_advance() - a stream has ended
 *
 * Where the target itself is not known, its streams tell: when both have ended, so has it.
 *
 * Return: 0 or a negative errno.
 */
int worker_orphan_advance(Worker *w) {
        if (!worker_output_ended(w) || w->draining || (w->target_watch && !w->target_ended))
                return 0;
        return worker_output_drain(w);
}

/**
 * worker_orphaned() - the keeper is gone
 *
 * Return: 0 or a negative errno.
 */
int worker_orphaned(Worker *w) {
        static const ExitWatchHandler target_handler = { .on_end = on_target_end };
        int r;

        w->keeper_gone = true;
        w->channel_source = loop_source_free(w->channel_source);
        if (!w->ring) {
                loop_exit(w->loop, 1);
                return 0;
        }
        r = worker_output_run(w); /* there may be a container, and nobody to say so */
        if (r >= 0 && w->target_fd >= 0)
                r = exit_watch_new(&w->target_watch, w->loop, w->target_fd, &target_handler, w);
        return r < 0 ? relay(r) : worker_orphan_advance(w);
}

/**
 * worker_orphan_tell() - the end of a container that had no keeper any more, and of all its output
 */
void worker_orphan_tell(const Worker *w) {
        AnnounceEnd end = { .status = &w->target_status, .orphaned = true, .usec = loop_now() - w->started_usec };
        PlacementPlan *none;

        if (!w->target_ended || w->options->exec)
                return;
        for (SinkId i = 0; i < _SINK_MAX; i++) {
                end.bytes += w->state->sinks[i].bytes;
                end.lost += w->state->sinks[i].lost_bytes;
        }
        none = calloc(1, sizeof *none); /* too large for a stack that is never given back */
        if (none)
                announce_ended(w->options, none, &end);
        free(none);
}
