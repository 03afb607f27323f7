/* SPDX-License-Identifier: Apache-2.0 */

/* A state comes back as it went; one that no keeper would have written does not come at all. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "clean.h"
#include "upgrade/saved.h"
#include "wire/state.h"

static Saved *example(void) {
        Saved *s;

        cr_assert_eq(saved_new(&s), 0);
        s->keeper = 1234;
        s->target = 99;
        s->requester = 77;
        s->phase = PHASE_RUNNING;
        s->facts.runtime_exited = s->facts.pid_known = true;
        s->timeout_usec = 123456789012345ULL;
        s->mask = 1ULL << 63 | 1;
        s->has_worker = true;
        s->worker.lines[SINK_JOURNAL] = 5;
        s->plan.row = PLACEMENT_ROW_BIND;
        s->plan.uid = 1000;
        (void)snprintf(s->plan.unit, sizeof s->plan.unit, "some.service");
        (void)snprintf(s->path, sizeof s->path, "/usr/bin/scopemon");
        s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING] = 10;
        s->fds[SAVED_FD_TARGET] = 11;
        s->clients[0] = 12;
        s->clients[ATTACH_SLOTS - 1] = 13;
        cr_assert_eq(saved_add_inherited(s, 14), 0);
        cr_assert_eq(saved_add_word(s, "conmon", 6), 0);
        cr_assert_eq(saved_add_word(s, "", 0), 0);
        return s;
}

static char *bytes(Saved *s, size_t *ret_n) {
        char *data;
        struct stat st;
        int fd;

        cr_assert_eq(saved_seal(s, &fd), 0);
        cr_assert_eq(fstat(fd, &st), 0);
        data = malloc((size_t)st.st_size);
        cr_assert_eq(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
        *ret_n = (size_t)st.st_size;
        (void)close(fd);
        return data;
}

CleanTest(saved, comes_back_as_it_went) {
        Saved *s = example(), *t = NULL;
        int fd;

        cr_assert_eq(saved_seal(s, &fd), 0);
        cr_assert_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        cr_assert_eq(saved_open(fd, &t), 0);
        cr_assert_eq(memcmp(&s->facts, &t->facts, sizeof s->facts), 0);
        cr_assert_eq(memcmp(&s->worker, &t->worker, sizeof s->worker), 0);
        cr_assert_eq(memcmp(&s->plan, &t->plan, sizeof s->plan), 0);
        cr_assert_eq(memcmp(s->fds, t->fds, sizeof s->fds), 0);
        cr_assert_eq(memcmp(s->clients, t->clients, sizeof s->clients), 0);
        cr_assert(t->keeper == 1234 && t->target == 99 && t->requester == 77 && t->mask == s->mask);
        cr_assert_eq(t->timeout_usec, 123456789012345ULL);
        cr_assert_str_eq(t->path, "/usr/bin/scopemon");
        cr_assert(t->n_inherited == 1 && t->inherited[0] == 14);
        cr_assert(t->argc == 2 && !t->argv[2]);
        cr_assert_str_eq(t->argv[0], "conmon");
        cr_assert_str_eq(t->argv[1], "");
        (void)close(fd);
        (void)saved_free(s);
        (void)saved_free(t);
}

CleanTest(saved, memory_that_can_be_changed_is_not_taken) {
        Saved *s = example(), *t = NULL;
        size_t n;
        char *data = bytes(s, &n);
        int fd = memfd_create("unsealed", MFD_CLOEXEC);

        cr_assert_eq(fd_write_full(fd, data, n), 0);
        cr_assert_eq(saved_open(fd, &t), SAVED_BROKEN);
        cr_assert_eq(saved_decode(data, n, &t), 0);
        t = saved_free(t);
        (void)close(fd);
        free(data);
        (void)saved_free(s);
}

CleanTest(saved, every_truncation_is_noticed) {
        Saved *s = example(), *t = NULL;
        size_t n;
        char *data = bytes(s, &n);

        for (size_t i = 0; i < n; i++)
                cr_assert_eq(saved_decode(data, i, &t), SAVED_BROKEN);
        free(data);
        (void)saved_free(s);
}

static void expect_broken(Saved *s, const char *what) {
        Saved *t = NULL;
        size_t n;
        char *data = bytes(s, &n);

        cr_assert_eq(saved_decode(data, n, &t), SAVED_BROKEN, "%s", what);
        free(data);
        (void)saved_free(s);
}

CleanTest(saved, what_no_keeper_would_write_is_refused) {
        Saved *s;

        (s = example())->phase = PHASE_DRAINING;
        expect_broken(s, "phase");
        (s = example())->phase = (Phase)77;
        expect_broken(s, "no phase");
        (s = example())->plan.row = (PlacementRow)1000;
        expect_broken(s, "no row");
        (s = example())->target = -5;
        expect_broken(s, "negative target");
        (s = example())->keeper = 0;
        expect_broken(s, "no keeper");
        (s = example())->report_state = 17;
        expect_broken(s, "report");
        (s = example())->fds[SAVED_FD_BUNDLE] = 10;
        expect_broken(s, "a descriptor twice");
        (s = example())->clients[1] = 14;
        expect_broken(s, "a client that was inherited");
        (s = example())->fds[SAVED_FD_BUNDLE] = 2;
        expect_broken(s, "stderr");
        (s = example())->fds[SAVED_FD_BUNDLE] = 70000;
        expect_broken(s, "a descriptor out of range");
        s = example();
        free(s->argv[0]);
        free(s->argv[1]);
        s->argc = 0;
        expect_broken(s, "no command line");
}

/* As the writer of another version would: records are left out, come twice, or are not known. */
CleanTest(saved, records_are_there_exactly_once) {
        Saved *s = example(), *t = NULL;
        size_t n, size;
        char *data = bytes(s, &n), *again = malloc(n + 64);

        for (int twice = -1; twice <= 200; twice++) {
                StateReader reader;
                StateRecord record;
                StateWriter w;
                int i = 0;

                cr_assert_eq(state_open(&reader, data, n), 0);
                state_begin(&w, again, n + 64);
                for (; state_next(&reader, &record) > 0; i++)
                        for (int k = 0; k < (i == twice ? 2 : 1); k++)
                                if (record.tag == STATE_TEXT || record.tag == STATE_WORD)
                                        state_put_text(&w, record.tag, record.index, record.text,
                                                       record.n_text);
                                else
                                        state_put_number(&w, record.tag, record.index, record.number);
                if (twice >= i - 2) /* words may be equal */
                        break;
                size = state_end(&w);
                cr_assert_gt(size, 0);
                cr_assert_eq(saved_decode(again, size, &t), twice < 0 ? 0 : SAVED_BROKEN, "record %d", twice);
                t = saved_free(twice < 0 ? t : NULL);
        }
        free(again);
        free(data);
        (void)saved_free(s);
}

CleanTest(saved, without_descriptors_it_is_not_whole) {
        Saved *s = example();

        cr_assert(saved_is_whole(s));
        s->has_worker = false;
        cr_assert(!saved_is_whole(s), "a ring and no worker");
        s->has_worker = true;
        s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING] = -1;
        cr_assert(!saved_is_whole(s), "a worker and no ring");
        (void)saved_free(s);
}
