/* SPDX-License-Identifier: Apache-2.0 */

/* The last lines of a log file. Counters and the journal are for tests/system/cases/commands.py. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "capture.h"
#include "clean.h"
#include "explain/explain-internal.h"

typedef struct Log {
        char path[64], option[96];
        char *argv[12];
        ExplainProcess monitor;
        Explained e;
        Capture c;
} Log;

static void log_init(Log *l, const char *driver, int fd) {
        char *const argv[] = {
                (char *)"scopemon", (char *)"-c", (char *)"id", (char *)"-r", (char *)"/bin/false",
                (char *)"-b",       (char *)"/x", (char *)"-l", l->option,    NULL
        };

        (void)close(fd);
        (void)snprintf(l->option, sizeof l->option, "%s%s", driver, l->path);
        (void)memcpy(l->argv, argv, sizeof argv);
        l->monitor = (ExplainProcess){ .pid = 4200001, .argv = l->argv };
        l->e.keeper = &l->monitor;
}

/* Return: what is shown of at most @n lines. */
static const char *shown(Log *l, size_t n) {
        static const ExplainHost host;

        capture_begin(&l->c, 1);
        explain_lines(&host, &l->e, n);
        return capture_end(&l->c);
}

CleanTest(explain_output, the_last_lines_are_shown) {
        Log *l = calloc(1, sizeof *l);
        int fd;

        (void)strcpy(l->path, "/tmp/test-explain-output-XXXXXX");
        fd = mkstemp(l->path);
        for (int i = 1; i <= 12; i++)
                (void)dprintf(fd, "2026-11-29T00:00:00.000000000+00:00 stdout F line-%d\n", i);
        log_init(l, "k8s-file:", fd);
        cr_assert_str_eq(shown(l, 2), "2026-11-29T00:00:00.000000000+00:00 stdout F line-11\n"
                                      "2026-11-29T00:00:00.000000000+00:00 stdout F line-12\n");
        cr_assert_not_null(strstr(shown(l, 100), "line-3\n")); /* ten are the most */
        cr_assert_null(strstr(l->c.text, "line-2\n"));
        (void)snprintf(l->option, sizeof l->option, "%s", l->path); /* a driver is not needed */
        cr_assert_not_null(strstr(shown(l, 1), "line-12\n"));
        cr_assert_eq(truncate(l->path, 0), 0);
        cr_assert_str_empty(shown(l, 10));
        cr_assert_eq(unlink(l->path), 0);
        cr_assert_str_empty(shown(l, 10));
        free(l);
}

/* Anybody's command line names anything. */
CleanTest(explain_output, another_kind_of_file_is_not_opened) {
        Log *l = calloc(1, sizeof *l);

        (void)strcpy(l->path, "/tmp/test-explain-output-XXXXXX");
        cr_assert_not_null(mkdtemp(l->path));
        cr_assert_eq(rmdir(l->path), 0);
        cr_assert_eq(mkfifo(l->path, 0600), 0);
        log_init(l, "k8s-file:", -1);
        cr_assert_str_empty(shown(l, 10));
        cr_assert_eq(unlink(l->path), 0);
        cr_assert_eq(symlink("/etc/passwd", l->path), 0);
        cr_assert_str_empty(shown(l, 10));
        cr_assert_eq(unlink(l->path), 0);
        free(l);
}

CleanTest(explain_output, what_the_container_wrote_does_not_reach_the_terminal_as_it_is) {
        Log *l = calloc(1, sizeof *l);
        int fd;

        (void)strcpy(l->path, "/tmp/test-explain-output-XXXXXX");
        fd = mkstemp(l->path);
        (void)dprintf(fd, "T stdout F \033[2Jgone\n");
        log_init(l, "k8s-file:", fd);
        cr_assert_str_eq(shown(l, 10), "T stdout F ?[2Jgone\n");
        cr_assert_eq(unlink(l->path), 0);
        free(l);
}
