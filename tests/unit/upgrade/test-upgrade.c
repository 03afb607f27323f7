/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The side that is asked whether it could take over. What a whole upgrade does to a container is tried with the whole
 * program (tests/fault/upgrades.py).
 */

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "clean.h"
#include "io/answer.h"
#include "io/ring.h"
#include "upgrade/saved.h"
#include "upgrade/upgrade.h"
#include "worker/worker-state.h"

static Saved *example(int ring) {
        static const char *const words[] = { "conmon", "-c", "0123456789abcdef", "-r", "/bin/true", "-b",
                                             "/tmp",   "-u", "0123456789abcdef", "-l", "none" };
        Saved *s;

        cr_assert_eq(saved_new(&s), 0);
        s->keeper = getpid();
        s->target.pid = 99;
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
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &worker_state_layout), 0);
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
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &another), 0);
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
        cr_assert_eq(upgrade_resume(argv, envp, NULL, &resumed), 0);
        cr_assert_not(resumed);
        cr_assert_str_eq(envp[0], "A=b");
        cr_assert_str_eq(envp[1], "C=d");
        cr_assert_null(envp[2]);
        (void)close(fd);
        (void)saved_free(s);
}

/* The next SIGUSR2 as the keeper sees it. */
static struct signalfd_siginfo next_signal(int fd) {
        struct signalfd_siginfo info;

        cr_assert_eq(read(fd, &info, sizeof info), (ssize_t)sizeof info);
        return info;
}

CleanTest(upgrade, request_is_a_signal_that_says_so) {
        _cleanup_close_ int pidfd = process_pidfd(getpid()), fd = -1;
        struct signalfd_siginfo info;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        sigset_t set;
        int answers, n;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGUSR1);
        (void)sigaddset(&set, SIGUSR2);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        fd = signalfd(-1, &set, SFD_CLOEXEC);
        cr_assert_geq(fd, 0);

        cr_assert_eq(process_signal_value(pidfd, SIGUSR2, UPGRADE_VALUE, getpid()), 0);
        info = next_signal(fd);
        cr_assert(upgrade_is_request(&info));
        cr_assert_eq(info.ssi_pid, (uint32_t)getpid(), "where the answer goes");
        cr_assert_eq(process_signal_value(pidfd, SIGUSR2, 1, getpid()), 0);
        info = next_signal(fd);
        cr_assert_not(upgrade_is_request(&info));
        cr_assert_eq(process_signal_value(pidfd, SIGUSR1, UPGRADE_VALUE, getpid()), 0);
        info = next_signal(fd);
        cr_assert_not(upgrade_is_request(&info));

        cr_assert_eq(process_signal(pidfd, SIGUSR2), 0);
        info = next_signal(fd);
        cr_assert_not(upgrade_is_request(&info), "it is the container's");
        n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "scopemon/answer/%d", getpid());
        answers = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(answers, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
                     0);
        cr_assert_not(upgrade_is_request(&info), "whoever waits for an answer under this pid");
        (void)close(answers);
}

/* A process of this command line sends the bare signal, and somebody waits for an answer to it: 0.1.0 does both. */
static bool is_request_of(const char *word, bool waits) {
        char *argv[] = { (char *)"scopemon", (char *)word, NULL }, *envp[] = { NULL };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct signalfd_siginfo info = { .ssi_signo = SIGUSR2, .ssi_code = SI_USER };
        _cleanup_close_ int null_fd = fd_open_null(O_RDWR), waiting = -1, fifo = -1;
        pid_t pid;
        bool is;
        int n;

        cr_assert_eq(process_spawn(&(ProcessSpec){ .path = "/bin/cat",
                                                   .argv = argv,
                                                   .envp = envp,
                                                   .stdio = { null_fd, null_fd, null_fd },
                                                   .wait_fd = -1 },
                                   &pid, NULL),
                     0);
        fifo = open(word, O_WRONLY | O_CLOEXEC); /* until it reads there */
        cr_assert_geq(fifo, 0);
        n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "scopemon/answer/%d", pid);
        waiting = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (waits)
                cr_assert_eq(bind(waiting, (struct sockaddr *)&address,
                                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
                             0);
        info.ssi_pid = (uint32_t)pid;
        is = upgrade_is_request(&info);
        cr_assert_eq(process_end(pid), 0);
        return is;
}

CleanTest(upgrade, request_of_0_1_0_is_understood) {
        static const char *const words[] = { "upgrade", "explain" };
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        char dir[] = "/tmp/test-upgrade-XXXXXX";

        cr_assert_not_null(mkdtemp(dir));
        cr_assert_eq(chdir(dir), 0);
        for (size_t i = 0; i < ELEMENTS(words); i++)
                cr_assert_eq(mkfifo(words[i], 0600), 0); /* each of these is waited for */
        cr_assert(is_request_of("upgrade", true));
        cr_assert_not(is_request_of("upgrade", false));
        cr_assert_not(is_request_of("explain", true), "somebody else waits in its name");
        for (size_t i = 0; i < ELEMENTS(words); i++)
                cr_assert_eq(unlink(words[i]), 0);
        cr_assert_eq(chdir(cwd), 0);
        cr_assert_eq(rmdir(dir), 0);
}
