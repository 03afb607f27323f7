/* SPDX-License-Identifier: Apache-2.0 */

/* The runtime is a script that notes how it was called. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "service/end.h"
#include "service/service.h"

extern char **environ;

typedef struct Fixture {
        char top[64], bundle[96], runtime[96], mark[96];
        char *argv[16];
        int argc;
        pid_t container;
        int pidfd;
} Fixture;

static void put_file(const char *dir, const char *name, const char *text, mode_t mode) {
        char path[160];

        (void)snprintf(path, sizeof path, "%s/%s", dir, name);
        cr_assert_eq(fd_write_file_atomic(AT_FDCWD, path, text, strlen(text), mode), 0);
}

/* @script: of the container; NULL if it has ended. @known: to the runtime */
static void set_up(Fixture *f, const char *script, bool known) {
        char text[512];
        int r;

        *f = (Fixture){ .top = "/tmp/test-service-end-XXXXXX", .pidfd = -1 };
        cr_assert_not_null(mkdtemp(f->top));
        (void)snprintf(f->bundle, sizeof f->bundle, "%s/web", f->top);
        (void)snprintf(f->runtime, sizeof f->runtime, "%s/runtime", f->top);
        (void)snprintf(f->mark, sizeof f->mark, "%s/web.stored", f->top);
        cr_assert_eq(mkdir(f->bundle, 0700), 0);
        cr_assert_eq(setenv("RUNTIME_DIRECTORY", f->bundle, 1), 0);
        put_file(f->top, "web.stored", "", 0600);
        put_file(f->bundle, "config.json",
                 "{\"annotations\":{\"org.opencontainers.image.stopSignal\":\"SIGUSR1\",\"io.scopemon.stop-"
                 "timeout\":\"1\"}}",
                 0600);
        if (script) {
                char *words[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
                _cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), in = -1, out = -1;
                char byte;

                cr_assert_geq(fd_pipe(&in, &out), 0);
                r = process_spawn(&(ProcessSpec){ .path = "/bin/sh",
                                                  .argv = words,
                                                  .envp = environ,
                                                  .stdio = { null_fd, out, null_fd },
                                                  .wait_fd = -1 },
                                  &f->container, &f->pidfd);
                cr_assert_geq(r, 0);
                cr_assert_eq(read(in, &byte, 1), 1, "it has set its traps");
        }
        (void)snprintf(text, sizeof text,
                       "#!/bin/sh\necho \"$*\" >> %s/calls\ncase \"$*\" in *state*) %s echo '{\"pid\": %d}' "
                       ";; esac\n",
                       f->top, known ? "" : "exit 1;", f->container);
        put_file(f->top, "runtime", text, 0700);
        {
                char *words[] = { (char *)"scopemon",      (char *)"end",
                                  (char *)"--bundle",      f->bundle,
                                  (char *)"--runtime",     f->runtime,
                                  (char *)"--runtime-arg", (char *)"--root=/x" };

                memcpy(f->argv, words, sizeof words);
                f->argc = ELEMENTS(words);
        }
}

static void tear_down(Fixture *f) {
        char command[128];

        if (f->container > 0)
                cr_assert_eq(process_end(f->container), 0);
        fd_close_many(&f->pidfd, 1);
        (void)unsetenv("RUNTIME_DIRECTORY");
        (void)unsetenv("SERVICE_RESULT");
        (void)snprintf(command, sizeof command, "rm -rf %s", f->top);
        cr_assert_eq(system(command), 0);
}

static void expect_calls(const Fixture *f, const char *expected) {
        _cleanup_free_ char *text = NULL;
        char path[160];

        (void)snprintf(path, sizeof path, "%s/calls", f->top);
        if (fd_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
                text = strdup("");
        cr_assert_str_eq(text, expected);
}

static bool has_ended(const Fixture *f, int wait_ms) {
        struct pollfd end = { .fd = f->pidfd, .events = POLLIN };

        return poll(&end, 1, wait_ms) == 1;
}

#define STATE "--root=/x state scopemon-web\n"
#define DELETE "--root=/x delete --force scopemon-web\n"
#define OBEYS "trap 'exit 0' USR1; echo; while :; do sleep 0.01; done"
#define IGNORES "trap '' USR1; echo; while :; do sleep 0.01; done"

CleanTest(service_end, container_gets_its_signal_and_is_forgotten) {
        Fixture f;

        set_up(&f, OBEYS, true);
        cr_assert_eq(service_end(f.argc, f.argv, environ, false), 0);
        cr_assert(has_ended(&f, 0), "before it was deleted");
        expect_calls(&f, STATE DELETE);
        cr_assert_lt(access(f.mark, F_OK), 0);
        tear_down(&f);
}

CleanTest(service_end, one_that_does_not_obey_is_deleted_all_the_same) {
        Fixture f;

        set_up(&f, IGNORES, true);
        cr_assert_eq(service_end(f.argc, f.argv, environ, false), 0);
        cr_assert(!has_ended(&f, 0), "which is the runtime's to do");
        expect_calls(&f, STATE DELETE);
        tear_down(&f);
}

CleanTest(service_end, one_that_has_ended_is_forgotten) {
        Fixture f;

        set_up(&f, NULL, true);
        cr_assert_eq(service_end(f.argc, f.argv, environ, false), 0);
        expect_calls(&f, STATE DELETE);
        tear_down(&f);
}

CleanTest(service_end, where_there_is_none_nothing_is_done) {
        Fixture f;

        set_up(&f, NULL, false);
        cr_assert_eq(service_end_run_verb(f.argc, f.argv, environ), 0);
        expect_calls(&f, STATE);
        cr_assert_lt(access(f.mark, F_OK), 0);
        tear_down(&f);
}

static int run_verb_after(Fixture *f, const char *result) {
        f->argv[f->argc] = f->argv[f->argc - 1];
        memmove(f->argv + 3, f->argv + 2, (size_t)(f->argc - 2) * sizeof *f->argv);
        f->argv[2] = (char *)"--unless-restarted";
        cr_assert_eq(setenv("SERVICE_RESULT", result, 1), 0);
        return service_end_run_verb(f->argc + 1, f->argv, environ);
}

CleanTest(service_end, one_that_can_be_taken_back_is_left) {
        static const char *const killed[] = { "signal", "core-dump", "watchdog", "success" };
        Fixture f;

        for (size_t i = 0; i < ELEMENTS(killed); i++) {
                set_up(&f, OBEYS, true);
                cr_assert_eq(run_verb_after(&f, killed[i]), 0);
                expect_calls(&f, "");
                cr_assert(!has_ended(&f, 0));
                tear_down(&f);
        }
}

CleanTest(service_end, one_that_cannot_be_is_ended) {
        Fixture f;

        set_up(&f, OBEYS, true);
        cr_assert_eq(run_verb_after(&f, "exit-code"), 0);
        expect_calls(&f, STATE DELETE);
        tear_down(&f);
        set_up(&f, OBEYS, true);
        cr_assert_eq(unlink(f.mark), 0);
        cr_assert_eq(run_verb_after(&f, "signal"), 0);
        expect_calls(&f, STATE DELETE);
        tear_down(&f);
}
