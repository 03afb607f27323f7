/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The side that is asked whether it could take over. What a whole upgrade does to a container is tried with the whole
 * program (tests/fault/upgrades.py).
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "clean.h"
#include "io/ring.h"
#include "upgrade/saved.h"
#include "upgrade/upgrade.h"
#include "worker/worker.h"

static Saved *example(int ring) {
        static const char *const words[] = { "conmon", "-c", "0123456789abcdef", "-r", "/bin/true", "-b",
                                             "/tmp",   "-u", "0123456789abcdef", "-l", "none" };
        Saved *s;

        cr_assert_eq(saved_new(&s), 0);
        s->keeper = getpid();
        s->target = 99;
        s->has_worker = ring >= 0;
        s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING] = ring;
        for (size_t i = 0; i < ELEMENTS(words); i++)
                cr_assert_eq(saved_add_word(s, words[i], strlen(words[i])), 0);
        return s;
}

static int asked(int fd) {
        char number[16];
        char *argv[] = { (char *)"scopemon", (char *)UPGRADE_CHECK, number, NULL };

        (void)snprintf(number, sizeof number, "%d", fd);
        cr_assert(upgrade_is_check(3, argv));
        return upgrade_check(3, argv);
}

static int asked_about(Saved *s) {
        int fd, r;

        cr_assert_eq(saved_seal(s, &fd), 0);
        r = asked(fd);
        (void)close(fd);
        (void)saved_free(s);
        return r;
}

CleanTest(upgrade, good_state_is_taken) {
        Ring *ring;

        cr_assert_eq(asked_about(example(-1)), 0);
        cr_assert_eq(ring_new(&ring, sizeof(WorkerState)), 0);
        cr_assert_eq(ring_describe(ring, &worker_state_layout), 0);
        cr_assert_eq(asked_about(example(ring_fd(ring))), 0);
        (void)ring_free(ring);
}

CleanTest(upgrade, what_is_no_state_is_refused) {
        char *argv[] = { (char *)"scopemon", (char *)UPGRADE_CHECK, (char *)"nonsense", NULL };
        int fd;

        cr_assert_neq(upgrade_check(3, argv), 0);
        cr_assert_neq(asked(999), 0);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        cr_assert_neq(asked(fd), 0);
        (void)close(fd);
}

CleanTest(upgrade, unknown_options_are_refused) {
        Saved *s = example(-1);

        cr_assert_eq(saved_add_word(s, "--no-such-option", 16), 0);
        cr_assert_neq(asked_about(s), 0);
}

CleanTest(upgrade, ring_of_another_version_is_taken_if_it_tells_its_form) {
        static const LayoutField fields[] = { { "has-run", 0, 8, 1 } };
        static const LayoutFields members = LAYOUT_FIELDS(fields);
        static const LayoutGroup groups[] = { { "worker", 64, 8, 1, &members } };
        static const Layout another = { groups, 1, 72 };
        Ring *ring;

        cr_assert_eq(ring_new(&ring, another.size), 0);
        cr_assert_neq(asked_about(example(ring_fd(ring))), 0);
        cr_assert_eq(ring_describe(ring, &another), 0);
        cr_assert_eq(asked_about(example(ring_fd(ring))), 0);
        (void)ring_free(ring);
}

CleanTest(upgrade, state_of_another_process_is_ignored_and_the_variable_dropped) {
        Saved *s = example(-1);
        char variable[64];
        char *envp[] = { (char *)"A=b", variable, (char *)"C=d", NULL };
        char *argv[] = { (char *)"scopemon", NULL };
        bool resumed = true;
        int fd;

        s->keeper = getpid() + 1;
        cr_assert_eq(saved_seal(s, &fd), 0);
        (void)snprintf(variable, sizeof variable, UPGRADE_VARIABLE "=%d", fd);
        cr_assert_eq(upgrade_resume(argv, envp, &resumed), 0);
        cr_assert_not(resumed);
        cr_assert_str_eq(envp[0], "A=b");
        cr_assert_str_eq(envp[1], "C=d");
        cr_assert_null(envp[2]);
        (void)close(fd);
        (void)saved_free(s);
}
