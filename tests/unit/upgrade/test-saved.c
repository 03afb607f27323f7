/* SPDX-License-Identifier: Apache-2.0 */

/* A state comes back as it went, from any version; one that no keeper would have written does not come at all. */

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
        s->target.pid = 99;
        s->requester = 77;
        s->facts.runtime_exited = s->facts.pid_known = true;
        s->target.timeout_usec = 123456789012345ULL;
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

static char *bytes(const Saved *s, size_t *ret_n) {
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
        char wrong[STATE_NAME_MAX];
        int fd;

        cr_assert_eq(saved_seal(s, &fd), 0);
        cr_assert_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        cr_assert_eq(saved_open(fd, &t, wrong), 0);
        cr_assert_eq(memcmp(&s->facts, &t->facts, sizeof s->facts), 0);
        cr_assert_eq(memcmp(&s->worker, &t->worker, sizeof s->worker), 0);
        cr_assert_eq(memcmp(&s->plan, &t->plan, sizeof s->plan), 0);
        cr_assert_eq(memcmp(s->fds, t->fds, sizeof s->fds), 0);
        cr_assert_eq(memcmp(s->clients, t->clients, sizeof s->clients), 0);
        cr_assert(t->keeper == 1234 && t->target.pid == 99 && t->requester == 77 && t->mask == s->mask);
        cr_assert_eq(t->target.timeout_usec, 123456789012345ULL);
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
        char wrong[STATE_NAME_MAX];
        size_t n;
        char *data = bytes(s, &n);
        int fd = memfd_create("unsealed", MFD_CLOEXEC);

        cr_assert_eq(fd_write_full(fd, data, n), 0);
        cr_assert_eq(saved_open(fd, &t, wrong), SAVED_BROKEN);
        cr_assert_eq(saved_decode(data, n, &t, wrong), 0);
        t = saved_free(t);
        (void)close(fd);
        free(data);
        (void)saved_free(s);
}

CleanTest(saved, every_truncation_is_noticed) {
        Saved *s = example(), *t = NULL;
        char wrong[STATE_NAME_MAX];
        size_t n;
        char *data = bytes(s, &n);

        for (size_t i = 0; i < n; i++)
                cr_assert_eq(saved_decode(data, i, &t, wrong), SAVED_BROKEN);
        free(data);
        (void)saved_free(s);
}

static void expect_broken(Saved *s, const char *what, const char *name) {
        char wrong[STATE_NAME_MAX];
        Saved *t = NULL;
        size_t n;
        char *data = bytes(s, &n);

        cr_assert_eq(saved_decode(data, n, &t, wrong), SAVED_BROKEN, "%s", what);
        cr_assert_str_eq(wrong, name);
        free(data);
        (void)saved_free(s);
}

CleanTest(saved, what_no_keeper_would_write_is_refused) {
        Saved *s;

        (s = example())->plan.row = (PlacementRow)1000;
        expect_broken(s, "no row", "plan.row");
        (s = example())->target.pid = -5;
        expect_broken(s, "negative target", "target.pid");
        (s = example())->keeper = 0;
        expect_broken(s, "no keeper", "keeper.pid");
        (s = example())->report.state = 17;
        expect_broken(s, "report", "report.state");
        (s = example())->fds[SAVED_FD_TARGET] = 10;
        expect_broken(s, "a descriptor twice", "fd.ring");
        (s = example())->clients[1] = 14;
        expect_broken(s, "a client that was inherited", "inherited");
        (s = example())->fds[SAVED_FD_BUNDLE] = 2;
        expect_broken(s, "stderr", "fd.directory");
        (s = example())->fds[SAVED_FD_BUNDLE] = 70000;
        expect_broken(s, "a descriptor out of range", "fd.directory");
        s = example();
        free(s->argv[0]);
        free(s->argv[1]);
        s->argc = 0;
        expect_broken(s, "no command line", "word");
}

static int decode(const char *lines, Saved **ret) {
        char text[4096], wrong[STATE_NAME_MAX];
        int n = snprintf(text, sizeof text, "scopemon-state 1\n%send\n", lines);

        return saved_decode(text, (size_t)n, ret, wrong);
}

/* Names are for ever. */
CleanTest(saved, what_earlier_keepers_wrote_is_known) {
        static const char lines[] =
                "keeper.pid=5\nkeeper.requester=6\nkeeper.terminal-received=1\nkeeper.terminated=1\n"
                "keeper.exit-status=7\nkeeper.serial=8\nkeeper.ready-told=1\n"
                "target.pid=9\ntarget.oom=1\ntarget.started-usec=10\ntarget.timeout-usec=11\n"
                "target.stop-usec=12\ntarget.status-known=1\ntarget.status=137\n"
                "target.signal=9\ntarget.dumped=1\nword=conmon\n";
        Saved *s = NULL;

        cr_assert_eq(decode(lines, &s), 0);
        cr_assert(s->keeper == 5 && s->requester == 6 && s->exit_command.terminated && s->exit_status == 7);
        cr_assert(s->serial == 8 && s->ready_told && s->target.pid == 9 && s->target.oom);
        cr_assert(s->target.started_usec == 10 && s->target.timeout_usec == 11 &&
                  s->unit_stop.deadline == 12);
        cr_assert(s->target.status.known && s->target.status.code == 137 && s->target.status.signal == 9 &&
                  s->target.status.dumped);
        (void)saved_free(s);
}

CleanTest(saved, least_that_any_version_writes_is_enough) {
        Saved *s = NULL;

        cr_assert_eq(decode("word=conmon\nkeeper.pid=5\ntarget.pid=6\n", &s), 0);
        cr_assert(s->keeper == 5 && s->target.pid == 6 && s->argc == 1 && !s->has_worker);
        cr_assert(!s->facts.pid_known && s->plan.row == PLACEMENT_ROW_NONE && s->fds[SAVED_FD_TARGET] == -1);
        (void)saved_free(s);
        cr_assert_eq(decode("word=conmon\nkeeper.pid=5\n", &s), SAVED_BROKEN);
        cr_assert_eq(decode("", &s), SAVED_BROKEN);
}

CleanTest(saved, values_of_a_newer_version_are_skipped_and_its_descriptors_known) {
        Saved *s = NULL;

        cr_assert_eq(decode("keeper.mood=fine\nword=conmon\nplan.colour=red\nnew.thing=1\nfd.new-thing=20\n"
                            "client.99999=21\nkeeper.pid=5\ntarget.pid=6\nfd.container=22\n",
                            &s),
                     0);
        cr_assert_eq(s->fds[SAVED_FD_TARGET], 22);
        cr_assert_eq(s->n_unknown, 2);
        cr_assert(s->unknown[0] == 20 && s->unknown[1] == 21);
        (void)saved_free(s);
        cr_assert_eq(
                decode("word=conmon\nkeeper.pid=5\ntarget.pid=6\nfd.new-thing=20\nfd.container=20\n", &s),
                SAVED_BROKEN, "a descriptor for two");
}

/* All fields of what a table describes: a member that no table names would be lost in an upgrade, in silence. */
CleanTest(saved, no_fact_and_no_number_of_the_worker_is_forgotten) {
        Saved *s = example(), *t = NULL;
        char wrong[STATE_NAME_MAX], *data;
        size_t n;

        memset(&s->facts, 1, sizeof s->facts);
        s->worker = (WorkerSaved){
                .pid = 17, .crashed = true, .place = { 1, 2 }, .in_trouble = { true, true }, .lines = { 3, 4 }
        };
        data = bytes(s, &n);
        cr_assert_eq(saved_decode(data, n, &t, wrong), 0);
        cr_assert_eq(memcmp(&s->facts, &t->facts, sizeof s->facts), 0);
        cr_assert(t->worker.pid == 17 && t->worker.crashed && t->worker.place[1] == 2 &&
                  t->worker.place[0] == 1 && t->worker.in_trouble[0] && t->worker.in_trouble[1] &&
                  t->worker.lines[0] == 3 && t->worker.lines[1] == 4);
        free(data);
        (void)saved_free(s);
        (void)saved_free(t);
}

/* A value that is added to an enum gets a word, or nobody could hand it on. */
CleanTest(saved, each_value_of_an_enum_has_a_word_of_its_own) {
        static const StateFields *const tables[] = { &placement_values, &report_values, &lifecycle_values,
                                                     &worker_process_values };
        unsigned n_words = 0;

        for (size_t i = 0; i < ELEMENTS(tables); i++)
                for (size_t j = 0; j < tables[i]->n; j++) {
                        const StateField *f = &tables[i]->fields[j];

                        for (uint64_t k = 0; f->kind == STATE_WORD && k <= f->max; k++, n_words++) {
                                cr_assert_not_null(f->words[k], "%s %llu", f->name, (unsigned long long)k);
                                for (uint64_t l = 0; l < k; l++)
                                        cr_assert_str_neq(f->words[k], f->words[l]);
                        }
                }
        cr_assert_geq(n_words, _PLACEMENT_ROW_MAX + 9);
}

CleanTest(saved, words_of_all_kinds_come_back) {
        static const char *const words[] = { "\n", "\\", "\\n", "a\nb=c\\\n", "end", "\xff\xfe" };
        Saved *s = example(), *t = NULL;
        char wrong[STATE_NAME_MAX], *data;
        size_t n;

        for (size_t i = 0; i < ELEMENTS(words); i++)
                cr_assert_eq(saved_add_word(s, words[i], strlen(words[i])), 0);
        data = bytes(s, &n);
        cr_assert_eq(saved_decode(data, n, &t, wrong), 0);
        cr_assert_eq(t->argc, s->argc);
        for (int i = 0; i < s->argc; i++)
                cr_assert_str_eq(t->argv[i], s->argv[i]);
        free(data);
        (void)saved_free(s);
        (void)saved_free(t);
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
