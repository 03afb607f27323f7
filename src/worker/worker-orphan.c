/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A worker whose keeper has been killed, where nobody takes the container back: with Podman and CRI-O. It goes on to
 * the end: output, clients, and a last entry in the journal that says how the container has ended, as far as the
 * kernel tells somebody who is not its parent.
 *
 * And it writes the exit files, as the keeper would have: an exit whose status is unknown is -1. More it cannot do for
 * the caller: it runs no exit command, and knows of no memory that has run out. A keeper that dies after it was told
 * that all is done, and before it has told so itself, leaves nobody who could.
 */

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "report/announce-end.h"
#include "sandbox/exit-file.h"
#include "sandbox/root.h"
#include "scopemon/protocol.h"
#include "worker/worker-internal.h"

/**
 * worker_orphan_prepare() - before the sandbox is entered: leave the file system, but for exit files that may be written
 * later
 *
 * Where the kernel is too old for these, without them.
 */
void worker_orphan_prepare(Worker *w) {
        const WorkerConfig *c = &w->config;
        bool wanted = !c->exec && exit_files_possible();
        const char *const dirs[] = { [EXIT_FILE_PERSIST] = wanted ? c->persist_dir : NULL,
                                     [EXIT_FILE_EXIT] = wanted ? c->exit_dir : NULL };
        const char *const names[] = { [EXIT_FILE_PERSIST] = SCOPEMON_FILE_EXIT, [EXIT_FILE_EXIT] = c->cid };
        const char *left[_EXIT_FILE_MAX];

        w->root_error = -root_leave(dirs, left);
        if (left[EXIT_FILE_PERSIST] || left[EXIT_FILE_EXIT])
                (void)exit_files_seal(&w->exit_files, left, names);
}

/**
 * worker_orphan_drained() - the sinks have all that the container has written: its end may be known
 *
 * The persist file comes first, as from the keeper.
 */
void worker_orphan_drained(Worker *w) {
        const char *const wanted[] = {
                [EXIT_FILE_PERSIST] = w->config.persist_dir, [EXIT_FILE_EXIT] = w->config.exit_dir
        };
        char text[16];

        if (!w->target_ended || w->exit_told)
                return;
        (void)snprintf(text, sizeof text, "%d", w->target_status.known ? w->target_status.code : -1);
        w->exit_told = wanted[EXIT_FILE_PERSIST] || wanted[EXIT_FILE_EXIT];
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++)
                if (wanted[i] && (!w->exit_files.names[EXIT_FILE_NAME_PATH + i] ||
                                  exit_file_write(&w->exit_files, i, text) < 0))
                        w->exit_told = false;
}

static int on_target_end(void *userdata, const ProcessStatus *status) {
        Worker *w = userdata;

        if (status)
                w->target_status = *status;
        w->target_ended = true;
        if (!w->drained)
                return worker_output_drain(w);
        worker_orphan_drained(w);
        return worker_output_finish(w);
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
        w->channel_source = sd_event_source_disable_unref(w->channel_source);
        if (!w->ring) {
                event_exit(w->event, 1);
                return 0;
        }
        r = w->sinks ? sinks_set_file(w->sinks, -1) : 0; /* another one may have been wanted */
        if (r >= 0)
                r = worker_sinks_set_journal(w, -1, ENOTCONN); /* likewise */
        if (r >= 0)
                r = worker_output_run(w); /* there may be a container, and nobody to say so */
        if (r >= 0 && w->target_fd >= 0)
                r = exit_watch_new(&w->target_watch, w->event, w->target_fd, &target_handler, w);
        if (r < 0)
                return relay(r);
        return w->drained ? worker_output_finish(w) : worker_orphan_advance(w);
}

/**
 * worker_orphan_tell() - the end of a container that had no keeper any more, and of all its output
 */
void worker_orphan_tell(const Worker *w) {
        const EntryOf of = { .cid = w->config.cid, .name = w->config.name };
        AnnounceEnd end = { .status = &w->target_status,
                            .orphaned = true,
                            .exit_files = w->exit_told,
                            .usec = event_now() - w->started_usec };

        if (!w->target_ended || w->config.exec)
                return;
        for (SinkId i = 0; i < _SINK_MAX; i++) {
                end.bytes += w->state->sinks[i].bytes;
                end.lost += w->state->sinks[i].lost_bytes;
        }
        log_use_journal(w->fds[CHANNEL_FD_JOURNAL]);
        log_set_sender(NULL, NULL); /* that was the keeper */
        announce_end_of(&of, &end);
}
