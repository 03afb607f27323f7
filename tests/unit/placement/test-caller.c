/* SPDX-License-Identifier: Apache-2.0 */

/* Who started us, by its signals, its words, its environment and its parent. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "placement/caller.h"

Test(caller, words_of_podman_tell_whether_it_waits) {
        static const struct {
                const char *line;
                bool waits;
        } cases[] = {
                { "podman run image", true },
                { "podman run --rm --name baz image -d", true },
                { "podman run -d image", false },
                { "podman run --detach image", false },
                { "podman run --detach=true image", false },
                { "podman run --detach=false image", true },
                { "podman run -d=false image", true },
                { "podman run -dit image", false },
                { "podman run -itd image", false },
                { "podman run -it image --detach", true },
                { "podman run -e -d image", true },
                { "podman run -e-d image", true },
                { "podman run --env --detach image", true },
                { "podman run --env=--detach image", true },
                { "podman run --rm -d image", false },
                { "podman run -itv /d:/d -d image", false },
                { "podman run -- image -d", true },
                { "podman run -d --detach=false image", true },
                { "podman --log-level debug --syslog run -d image", false },
                { "podman --root=/r --remote=false container run image", true },
                { "podman --root run container run -d image", false },
                { "podman start baz", false },
                { "podman start -a baz", true },
                { "podman start baz --attach", true },
                { "podman start --filter -a baz", false },
                { "podman container start -ai baz", true },
                { "podman pod start baz", false },
                { "podman restart run", false },
                { "podman kube play baz.yaml", false },
                { "podman run", true },
                { "podman run --name", true },
                { "podman --root", false },
                { "podman", false },
                { "", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char line[128], *argv[16] = { NULL };
                size_t n = 0;

                (void)snprintf(line, sizeof line, "%s", cases[i].line);
                for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
                        argv[n++] = word;
                cr_assert_eq(caller_words_wait(argv), cases[i].waits, "%s", cases[i].line);
        }
}

static void on_signal(int number) {
        (void)number;
}

typedef struct Child {
        Caller caller;
        int fd;
} Child;

/* A process that stands where the caller would; it ends when its @fd is closed. @n: how many of the signals it catches. */
static Child child_new(size_t n) {
        static const int numbers[] = { SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU };
        int to[2], from[2];
        Child c;
        char byte;

        cr_assert_eq(pipe(to) | pipe(from), 0);
        c.caller.pid = fork();
        if (c.caller.pid == 0) {
                (void)close(to[1]);
                for (size_t i = 0; i < n; i++)
                        (void)signal(numbers[i], on_signal);
                (void)!write(from[1], "", 1);
                (void)!read(to[0], &byte, 1);
                _exit(0);
        }
        cr_assert_eq(read(from[0], &byte, 1), 1);
        fd_close_many((int[]){ to[0], from[0], from[1] }, 3);
        c.fd = to[1];
        c.caller.pidfd = process_pidfd(c.caller.pid);
        cr_assert_geq(c.caller.pidfd, 0);
        return c;
}

static void child_end(Child *c) {
        fd_close_many(&c->fd, 1);
        cr_assert_eq(waitpid(c->caller.pid, NULL, 0), c->caller.pid);
}

CleanTest(caller, handlers_of_a_signal_proxy_mean_that_it_waits) {
        for (size_t n = 0; n <= 4; n++) {
                Child c = child_new(n);

                cr_assert_eq(caller_look(&c.caller, false).next,
                             n == 4 ? PLACEMENT_CALLER_WAITS : PLACEMENT_CALLER_LEAVES, "%zu signals", n);
                child_end(&c);
                fd_close_many(&c.caller.pidfd, 1);
        }
}

CleanTest(caller, child_of_the_former_monitor_restarts) {
        Child c = child_new(4);

        c.caller.former_monitor = getpid();
        cr_assert_eq(caller_look(&c.caller, false).next, PLACEMENT_CALLER_RESTARTS);
        cr_assert_eq(caller_look(&c.caller, false).former_monitor, getpid());
        c.caller.former_monitor = getppid();
        cr_assert_eq(caller_look(&c.caller, false).next, PLACEMENT_CALLER_WAITS);
        child_end(&c);
        fd_close_many(&c.caller.pidfd, 1);
}

CleanTest(caller, second_self_is_told_from_a_wrapper) {
        Child c = child_new(0);
        Caller self = { .pid = getpid(), .pidfd = process_pidfd(getpid()) };

        cr_assert_eq(caller_look(&c.caller, false).outer, getpid());
        cr_assert_geq(self.pidfd, 0);
        cr_assert_eq(caller_look(&(Caller){ .pid = 1, .pidfd = self.pidfd }, false).outer, 1);
        child_end(&c);
        fd_close_many((int[]){ c.caller.pidfd, self.pidfd }, 2);
}

CleanTest(caller, one_that_has_gone_waits_for_nothing) {
        Child c = child_new(4);
        CallerFacts facts;

        child_end(&c);
        facts = caller_look(&c.caller, true);
        cr_assert_eq(facts.next, PLACEMENT_CALLER_LEAVES);
        cr_assert_not(facts.notifies);
        fd_close_many(&c.caller.pidfd, 1);
        c.caller.pidfd = -1;
        cr_assert_eq(caller_look(&c.caller, true).next, PLACEMENT_CALLER_LEAVES);
}

/* environ is what a process was executed with. */
CleanTest(caller, socket_and_store_are_seen_in_its_environment) {
        static const struct {
                const char *variable;
                bool notifies;
                uint32_t store;
        } cases[] = { { "NOTIFY_SOCKET=/run/x", true, 0 },
                      { "NOTIFY_SOCKET=", false, 0 },
                      { "XNOTIFY_SOCKET=/run/x", false, 0 },
                      { "FDSTORE=17", false, 17 },
                      { "FDSTORE=-1", false, 0 },
                      { "FDSTORE=4294967296", false, 0 },
                      { "FDSTORE", false, 0 } };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int ready[2], hold[2];
                Caller caller;
                char byte;

                cr_assert_eq(pipe(ready) | pipe(hold), 0);
                caller.pid = fork();
                if (caller.pid == 0) {
                        (void)dup2(hold[0], STDIN_FILENO);
                        (void)dup2(ready[1], STDOUT_FILENO);
                        (void)close(hold[1]);
                        (void)execle("/bin/sh", "sh", "-c", "echo; read x; exit 0", (char *)NULL,
                                     (const char *[]){ "A=b", cases[i].variable, NULL });
                        _exit(1);
                }
                caller.pidfd = process_pidfd(caller.pid);
                cr_assert_eq(read(ready[0], &byte, 1), 1);
                cr_assert_eq(caller_look(&caller, true).notifies, cases[i].notifies, "%s", cases[i].variable);
                cr_assert_eq(caller_store(caller.pid), cases[i].store, "%s", cases[i].variable);
                fd_close_many((int[]){ ready[0], ready[1], hold[0], hold[1], caller.pidfd }, 5);
                cr_assert_eq(waitpid(caller.pid, NULL, 0), caller.pid);
        }
}
