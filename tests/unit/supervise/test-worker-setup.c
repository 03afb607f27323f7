/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker is given, if there is more than one record holds. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "clean.h"
#include "supervise/worker-process-internal.h"
#include "worker/worker-config.h"

typedef struct Fixture {
        Options options;
        WorkerProcess wp;
        char data[CHANNEL_RECORD_MAX];
        size_t n;
} Fixture;

static void begin(Fixture *x) {
        *x = (Fixture){ .options = { .cid = "c" } };
        x->wp.spec.options = &x->options;
        memset(x->wp.spec.fds, -1, sizeof x->wp.spec.fds);
        log_set_stderr(false);
}

/* Return: what the worker would have; the texts are the caller's to free. */
static char *unpack(const Fixture *x, WorkerConfig *ret) {
        ChannelRecord record;
        char *texts = NULL;
        uint32_t what;
        size_t at = 0;
        int fd;

        cr_assert_eq(channel_unpack(x->data, x->n, &record), 0);
        while (channel_setup_next(&record, &at, &what, &fd))
                ;
        cr_assert_eq(worker_config_unpack(ret, record.text + at, record.n_text - at, &texts), 0);
        return texts;
}

CleanTest(worker_setup, names_longer_than_a_record_are_refused) {
        static char name[CHANNEL_TEXT_MAX + 1];
        Fixture x;

        begin(&x);
        memset(name, 'n', sizeof name - 1);
        x.options.name = name;
        cr_assert_eq(worker_setup_pack(&x.wp, x.data, &x.n), -E2BIG);
}

CleanTest(worker_setup, labels_beyond_a_record_are_left_out) {
        char label[1024], *words[100], *texts;
        WorkerConfig config;
        Fixture x;

        begin(&x);
        memset(label, 'l', sizeof label - 1);
        label[sizeof label - 1] = 0;
        for (size_t i = 0; i < ELEMENTS(words); i++)
                words[i] = label;
        x.options.log_label.words = words;
        x.options.log_label.n = ELEMENTS(words);
        cr_assert_eq(worker_setup_pack(&x.wp, x.data, &x.n), 0);
        texts = unpack(&x, &config);
        cr_assert_gt(config.n_labels, 28);
        cr_assert_lt(config.n_labels, 32);
        cr_assert_str_eq(config.labels[config.n_labels - 1], label);
        cr_assert_str_eq(config.cid, "c");
        free(texts);
}

/* The room is for both. */
CleanTest(worker_setup, labels_make_room_for_clients) {
        int clients[ATTACH_SLOTS], fds[WORKER_FDS_MAX];
        char label[1024], *words[31], *texts;
        size_t n_alone;
        WorkerConfig config;
        Fixture x;

        begin(&x);
        memset(label, 'l', sizeof label - 1);
        label[sizeof label - 1] = 0;
        for (size_t i = 0; i < ELEMENTS(words); i++)
                words[i] = label;
        x.options.log_label.words = words;
        x.options.log_label.n = ELEMENTS(words);
        cr_assert_eq(worker_setup_pack(&x.wp, x.data, &x.n), 0);
        texts = unpack(&x, &config);
        n_alone = config.n_labels;
        free(texts);

        for (size_t i = 0; i < ELEMENTS(clients); i++)
                clients[i] = 100 + (int)i;
        x.wp.clients = clients;
        x.wp.n_clients = ELEMENTS(clients);
        cr_assert_eq(worker_setup_list_fds(&x.wp, fds), ATTACH_SLOTS);
        cr_assert_eq(worker_setup_pack(&x.wp, x.data, &x.n), 0);
        texts = unpack(&x, &config);
        cr_assert_gt(config.n_labels, 0);
        cr_assert_lt(config.n_labels, n_alone);
        free(texts);
}

CleanTest(worker_setup, what_there_is_not_is_not_listed) {
        int clients[] = { -1, 41, -1, 43 }, fds[WORKER_FDS_MAX], fd;
        const uint32_t wanted[] = { CHANNEL_FD_RING, CHANNEL_FD_LOGFILE, _CHANNEL_FD_MAX + 1,
                                    _CHANNEL_FD_MAX + 3 };
        ChannelRecord record;
        uint32_t what;
        size_t at = 0;
        Fixture x;

        begin(&x);
        x.wp.spec.fds[CHANNEL_FD_RING] = 10;
        x.wp.spec.fds[CHANNEL_FD_LOGFILE] = 20;
        x.wp.clients = clients;
        x.wp.n_clients = ELEMENTS(clients);
        cr_assert_eq(worker_setup_list_fds(&x.wp, fds), ELEMENTS(wanted));
        cr_assert_eq(worker_setup_pack(&x.wp, x.data, &x.n), 0);
        cr_assert_eq(channel_unpack(x.data, x.n, &record), 0);
        for (size_t i = 0; i < ELEMENTS(wanted); i++) {
                cr_assert(channel_setup_next(&record, &at, &what, &fd));
                cr_assert_eq(what, wanted[i]);
                cr_assert_eq(fd, fds[i]);
        }
        cr_assert(!channel_setup_next(&record, &at, &what, &fd));
}
