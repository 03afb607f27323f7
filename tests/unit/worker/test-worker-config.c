/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker is told arrives as it was meant, and nothing else is taken for it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "worker/worker-config.h"

static WorkerConfig full_config(void) {
        static char first[] = "A=with a\nnewline and a \\", second[] = "", third[] = "=";
        static char *labels[] = { first, second, third };

        return (WorkerConfig){ .exec = true,
                               .terminal = false,
                               .ends_stdin = true,
                               .file = true,
                               .journald = true,
                               .fsync = true,
                               .no_partial = false,
                               .podman = true,
                               .size_max = 1U << 20,
                               .total_max = INT64_MAX,
                               .cid = "0123",
                               .name = "",
                               .tag = NULL,
                               .exit_dir = "/run/exits",
                               .persist_dir = "label=x",
                               .labels = labels,
                               .n_labels = ELEMENTS(labels) };
}

CleanTest(worker_config, arrives_as_it_was) {
        const WorkerConfig from = full_config();
        _cleanup_free_ char *memory = NULL;
        WorkerConfig to;
        char text[1024];
        size_t n;

        n = worker_config_pack(&from, text, sizeof text);
        cr_assert_gt(n, 0);
        cr_assert_eq(worker_config_unpack(&to, text, n, &memory), 0);
        cr_assert(to.exec && !to.terminal && to.ends_stdin && to.file && to.journald && to.fsync &&
                  !to.no_partial && to.podman);
        cr_assert_eq(to.size_max, from.size_max);
        cr_assert_eq(to.total_max, from.total_max);
        cr_assert_str_eq(to.cid, from.cid);
        cr_assert_str_eq(to.name, "", "which is not the same as none");
        cr_assert_null(to.tag);
        cr_assert_str_eq(to.exit_dir, from.exit_dir);
        cr_assert_str_eq(to.persist_dir, from.persist_dir);
        cr_assert_eq(to.n_labels, from.n_labels);
        for (size_t i = 0; i < to.n_labels; i++)
                cr_assert_str_eq(to.labels[i], from.labels[i]);
}

CleanTest(worker_config, without_room_there_is_none) {
        const WorkerConfig from = full_config();
        char text[1024];
        size_t n = worker_config_pack(&from, text, sizeof text);

        for (size_t size = 0; size < n; size++)
                cr_assert_eq(worker_config_pack(&from, text, size), 0);
        cr_assert_eq(worker_config_pack(&from, text, n), n);
}

CleanTest(worker_config, what_is_none_is_refused) {
        const WorkerConfig from = full_config();
        char text[1024], *memory = NULL;
        WorkerConfig to;
        size_t n = worker_config_pack(&from, text, sizeof text);

        for (size_t cut = 0; cut < n; cut++)
                cr_assert_eq(worker_config_unpack(&to, text, cut, &memory), -EBADMSG, "cut to %zu", cut);
        n = worker_config_pack(&(WorkerConfig){ .file = true }, text, sizeof text);
        cr_assert_eq(worker_config_unpack(&to, text, n, &memory), -EBADMSG, "of nobody");
        cr_assert_null(memory);
}
