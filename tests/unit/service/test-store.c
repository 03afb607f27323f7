/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "service/store.h"

CleanTest(store, every_descriptor_has_a_name_of_its_own) {
        char names[_SAVED_FD_MAX + 2][NOTIFY_STORE_NAME_MAX];
        size_t n = 0;

        for (SavedFd i = 0; i < _SAVED_FD_MAX; i++)
                (void)snprintf(names[n++], sizeof names[0], "%s", saved_fd_name(i) ?: "");
        store_client_name(names[n++], 0);
        store_client_name(names[n++], ATTACH_SLOTS - 1);
        for (size_t i = 0; i < n; i++) {
                cr_assert_gt(strlen(names[i]), 0);
                cr_assert_null(strchr(names[i], ':'), "which would end it");
                cr_assert_neq(strncmp(names[i], STORE_STATE, strlen(STORE_STATE)), 0);
                for (size_t j = 0; j < i; j++)
                        cr_assert_str_neq(names[i], names[j]);
        }
}

CleanTest(store, mark_lies_beside_the_first_directory_of_the_unit) {
        char *path;

        cr_assert_eq(setenv("RUNTIME_DIRECTORY", "/run/oci/web:/run/more", 1), 0);
        cr_assert_eq(store_mark_path(&path), 0);
        cr_assert_str_eq(path, "/run/oci/web.stored");
        free(path);
        cr_assert_eq(unsetenv("RUNTIME_DIRECTORY"), 0);
        cr_assert_eq(store_mark_path(&path), -ENOENT);
}

CleanTest(store, process_that_was_given_nothing_starts_afresh) {
        char *argv[] = { (char *)"scopemon", (char *)"--service", NULL };
        bool resumed = true;

        (void)unsetenv("LISTEN_FDS");
        cr_assert_eq(store_resume(2, argv, argv + 2, NULL, &resumed), 0);
        cr_assert(!resumed);
}

/* As a process that systemd has given the state of a monitor that has died, and one that is not to be understood. */
static int take_nonsense(const char *runtime) {
        char *argv[] = { (char *)"scopemon",
                         (char *)"--service",
                         (char *)"--bundle",
                         (char *)"/nonexistent/web",
                         (char *)"--runtime",
                         (char *)runtime,
                         NULL };
        bool resumed = true;
        char number[16];

        (void)fd_close_all_but(NULL, 0);
        if (memfd_create("state", 0) != 3 || write(3, "nonsense", 8) != 8 || dup(3) != 4)
                return 1;
        (void)snprintf(number, sizeof number, "%d", getpid());
        (void)setenv("LISTEN_PID", number, 1);
        (void)setenv("LISTEN_FDS", "2", 1);
        (void)setenv("LISTEN_FDNAMES", "scopemon-" STORE_STATE "0:scopemon-stdout", 1);
        if (store_resume(6, argv, environ, NULL, &resumed) != 0 || resumed)
                return 2;
        return getenv("LISTEN_FDS") || fcntl(3, F_GETFD) >= 0 || fcntl(4, F_GETFD) >= 0 ? 3 : 0;
}

CleanTest(store, container_that_cannot_be_taken_back_is_ended) {
        char dir[] = "/tmp/test-store-XXXXXX", runtime[64], calls[64], script[256];
        _cleanup_free_ char *text = NULL;
        int status;
        pid_t pid;

        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(runtime, sizeof runtime, "%s/runtime", dir);
        (void)snprintf(calls, sizeof calls, "%s/calls", dir);
        (void)snprintf(script, sizeof script, "#!/bin/sh\necho \"$*\" >> %s\necho '{\"pid\": 0}'\n", calls);
        cr_assert_eq(fd_write_file_atomic(AT_FDCWD, runtime, script, strlen(script), 0700), 0);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0)
                _exit(take_nonsense(runtime));
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0, "exit status %d", WEXITSTATUS(status));
        cr_assert_geq(fd_read_file(AT_FDCWD, calls, 4096, &text, NULL), 0);
        cr_assert_str_eq(text, "state scopemon-web\ndelete --force scopemon-web\n");
        cr_assert_eq(unlink(runtime) | unlink(calls) | rmdir(dir), 0);
}
