/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "oci/runtime.h"

#define LIST(...)                                                                                            \
        (StrList) {                                                                                          \
                .words = (char *[]){ __VA_ARGS__, NULL }, .n = ELEMENTS(((char *[]){ __VA_ARGS__ }))         \
        }

static bool reads_are_short; /* one byte each */

/* The program's own goes before libc's. */
ssize_t read(int fd, void *data, size_t n) {
        return syscall(SYS_read, fd, data, reads_are_short && n > 1 ? 1 : n);
}

static char word_root[] = "--root=/r", word_log[] = "--log", word_file[] = "/l og";
static char word_fds[] = "--preserve-fds", word_two[] = "2", word_empty[] = "";

static Options base_options(void) {
        return (Options){ .cid = "abc",
                          .runtime = "/usr/bin/crun",
                          .bundle = "/b",
                          .container_pidfile = "/p",
                          .systemd_cgroup = true };
}

static void expect_argv(const Options *o, bool systemd, const char *console, const char *expected) {
        _cleanup_free_ char **argv = NULL;
        char joined[1024] = "";

        cr_assert_eq(runtime_argv(o, systemd, console, &argv), 0);
        for (size_t i = 0; argv[i]; i++) {
                (void)strcat(joined, i > 0 ? "|" : "");
                (void)strcat(joined, argv[i]);
        }
        cr_assert_str_eq(joined, expected);
}

CleanTest(runtime, create_has_each_word_in_its_place) {
        Options o = base_options();

        expect_argv(&o, false, NULL, "/usr/bin/crun|create|--bundle|/b|--pid-file|/p|abc");
        expect_argv(&o, true, NULL, "/usr/bin/crun|--systemd-cgroup|create|--bundle|/b|--pid-file|/p|abc");
        o.runtime_arg = LIST(word_root, word_log, word_file);
        o.runtime_opt = LIST(word_fds, word_two);
        o.no_pivot = o.no_new_keyring = true;
        expect_argv(&o, true, "/tmp/c",
                    "/usr/bin/crun|--systemd-cgroup|--root=/r|--log|/l "
                    "og|create|--bundle|/b|--pid-file|/p|"
                    "--no-pivot|--no-new-keyring|--preserve-fds|2|--console-socket|/tmp/c|abc");
}

CleanTest(runtime, restore_detaches_and_names_the_image) {
        Options o = base_options();

        o.restore = "/checkpoint";
        o.runtime_opt = LIST(word_fds, word_two);
        o.no_pivot = true;
        expect_argv(&o, true, "/c",
                    "/usr/bin/crun|--systemd-cgroup|restore|--bundle|/b|--pid-file|/"
                    "p|--no-pivot|--detach|"
                    "--image-path|/checkpoint|--work-path|/b|--preserve-fds|2|--console-socket|/c|abc");
}

CleanTest(runtime, exec_has_neither_cgroup_nor_pivot_words) {
        Options o = base_options();

        o.exec = o.no_pivot = o.no_new_keyring = true;
        o.terminal = true;
        o.bundle = NULL;
        o.exec_process_spec = "/spec";
        o.runtime_arg = LIST(word_root);
        o.runtime_opt = LIST(word_fds, word_two);
        expect_argv(&o, true, "/c",
                    "/usr/bin/crun|--root=/r|exec|--pid-file|/p|--process|/"
                    "spec|--detach|--preserve-fds|2|"
                    "--console-socket|/c|abc");
}

CleanTest(runtime, exit_command_keeps_empty_words) {
        _cleanup_free_ char **argv = NULL;
        Options o = base_options();

        o.exit_command = "/usr/bin/podman";
        o.exit_command_arg = LIST(word_root, word_empty, word_two);
        cr_assert_eq(runtime_exit_command_argv(&o, &argv), 0);
        cr_assert_str_eq(argv[0], "/usr/bin/podman");
        cr_assert_str_eq(argv[1], "--root=/r");
        cr_assert_str_eq(argv[2], "");
        cr_assert_str_eq(argv[3], "2");
        cr_assert_null(argv[4]);
}

CleanTest(runtime, podman_is_known_by_its_exit_command) {
        static char container[] = "container", cleanup[] = "cleanup";
        Options o = base_options();

        cr_assert(!runtime_is_podman(&o));
        o.exit_command = "/opt/x/podman";
        cr_assert(runtime_is_podman(&o));
        o.exit_command = "/opt/podman/other";
        cr_assert(!runtime_is_podman(&o));
        o.exit_command_arg = LIST(container, word_two, cleanup);
        cr_assert(!runtime_is_podman(&o));
        o.exit_command_arg = LIST(word_root, container, cleanup, word_two);
        cr_assert(runtime_is_podman(&o));
        o.exit_command = NULL;
        cr_assert(!runtime_is_podman(&o));
}

CleanTest(runtime, pid_file_holds_a_positive_number_or_nothing_of_use) {
        static const struct {
                const char *text;
                size_t n;
                int answer;
                pid_t pid;
        } cases[] = {
                { "1", 1, 0, 1 },
                { "4711\n", 5, 0, 4711 },
                { " \t12 \r\n\n", 8, 0, 12 },
                { "2147483647", 10, 0, 2147483647 },
                { "", 0, RUNTIME_BAD_PID_FILE, 0 },
                { "\n", 1, RUNTIME_BAD_PID_FILE, 0 },
                { "0", 1, RUNTIME_BAD_PID_FILE, 0 },
                { "-5", 2, RUNTIME_BAD_PID_FILE, 0 },
                { "+5", 2, RUNTIME_BAD_PID_FILE, 0 },
                { "12 13", 5, RUNTIME_BAD_PID_FILE, 0 },
                { "12x", 3, RUNTIME_BAD_PID_FILE, 0 },
                { "12\0", 3, RUNTIME_BAD_PID_FILE, 0 },
                { "2147483648", 10, RUNTIME_BAD_PID_FILE, 0 },
                { "1                                                             2 ", 64,
                  RUNTIME_BAD_PID_FILE, 0 },
        };
        char dir[] = "/tmp/test-runtime.XXXXXX", path[64];
        pid_t pid;

        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(path, sizeof path, "%s/pid", dir);
        cr_assert_eq(runtime_read_pid(path, &pid), RUNTIME_NO_PID_FILE);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                cr_assert_eq(fd_write_file_atomic(AT_FDCWD, path, cases[i].text, cases[i].n, 0600), 0);
                pid = 0;
                cr_assert_eq(runtime_read_pid(path, &pid), cases[i].answer, "case %zu", i);
                cr_assert_eq(pid, cases[i].pid, "case %zu", i);
        }
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(mkfifo(path, 0600), 0); /* a writer may never come */
        cr_assert_eq(runtime_read_pid(path, &pid), RUNTIME_BAD_PID_FILE);
        cr_assert_eq(unlink(path), 0);
        cr_assert_lt(runtime_read_pid(dir, &pid), 0);
        cr_assert_eq(rmdir(dir), 0);
}

/* Half of a number is another process. */
CleanTest(runtime, pid_file_is_read_to_its_end) {
        char dir[] = "/tmp/test-runtime-XXXXXX", path[64];
        pid_t pid = 0;

        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(path, sizeof path, "%s/pid", dir);
        cr_assert_eq(fd_write_file_atomic(AT_FDCWD, path, "12345\n", 6, 0600), 0);
        reads_are_short = true;
        cr_assert_eq(runtime_read_pid(path, &pid), 0);
        reads_are_short = false;
        cr_assert_eq(pid, 12345);
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(rmdir(dir), 0);
}
