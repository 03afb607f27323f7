/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a worker is given at its start: descriptors, which it inherits, and of the options what it needs. Options
 * themselves stay here.
 */

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "oci/runtime.h"
#include "supervise/worker-process-internal.h"
#include "worker/worker-config.h"

static WorkerConfig config_of(const Options *o) {
        return (WorkerConfig){ .exec = o->exec,
                               .terminal = o->terminal,
                               .ends_stdin = o->want_stdin && !o->leave_stdin_open,
                               .file = o->log_targets.file,
                               .journald = o->log_targets.journald,
                               .fsync = !o->no_sync_log,
                               .no_partial = o->no_container_partial_message,
                               .podman = runtime_is_podman(o),
                               .size_max = o->log_size_max > 0 ? (uint64_t)o->log_size_max : 0,
                               .total_max = o->log_global_size_max > 0 ? (uint64_t)o->log_global_size_max : 0,
                               .cid = o->cid,
                               .name = o->name,
                               .tag = o->log_tag,
                               .exit_dir = o->exit_dir,
                               .persist_dir = o->persist_dir,
                               .labels = o->log_label.words,
                               .n_labels = o->log_label.n };
}

/* More labels than one record holds are no reason to have none, or no worker. */
static int pack_config(const Options *o, char *out, size_t size, size_t *ret_n) {
        WorkerConfig config = config_of(o);
        size_t n;

        while ((n = worker_config_pack(&config, out, size)) == 0 && config.n_labels > 0)
                config.n_labels--;
        if (n == 0)
                return fail(-E2BIG);
        if (config.n_labels < o->log_label.n)
                log_warning("Too many labels for the journal, only the first %zu are used", config.n_labels);
        *ret_n = n;
        return 0;
}

static int each_fd(const WorkerProcess *wp, uint32_t what) {
        if (what < _CHANNEL_FD_MAX)
                return wp->spec.fds[what];
        what -= _CHANNEL_FD_MAX;
        return what < wp->n_clients ? wp->clients[what] : -1;
}

/**
 * worker_setup_list_fds() - the descriptors that a worker inherits, besides the channel
 *
 * Return: how many.
 */
size_t worker_setup_list_fds(const WorkerProcess *wp, int fds[WORKER_FDS_MAX]) {
        size_t n = 0;

        for (uint32_t what = 0; what < WORKER_FDS_MAX; what++)
                if (each_fd(wp, what) >= 0)
                        fds[n++] = each_fd(wp, what);
        return n;
}

/**
 * worker_setup_pack() - the first record
 * @data: room for CHANNEL_RECORD_MAX bytes
 *
 * Return: 0 or a negative errno: -E2BIG if names are longer than a record.
 */
int worker_setup_pack(const WorkerProcess *wp, char *data, size_t *ret_n) {
        char *text = data + CHANNEL_HEAD;
        ChannelRecord record = { .type = CHANNEL_SETUP, .text = text };
        size_t n = 0;
        int r;

        for (uint32_t what = 0; what < WORKER_FDS_MAX; what++)
                if (each_fd(wp, what) >= 0) {
                        record.n_text = channel_setup_add(text, record.n_text, what, each_fd(wp, what));
                        record.number++;
                }
        r = pack_config(wp->spec.options, text + record.n_text, CHANNEL_TEXT_MAX - record.n_text, &n);
        if (r < 0)
                return relay(r);
        record.n_text += n;
        *ret_n = channel_pack(data, CHANNEL_RECORD_MAX, &record);
        return 0;
}
