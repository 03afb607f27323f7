/* SPDX-License-Identifier: Apache-2.0 */

/* The texts on stderr that callers match, and which of them appear at which level. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "clean.h"

/* Puts a pipe in stderr's place; what was there is the result. */
static int capture(int *ret_read) {
        _cleanup_close_ int w = -1;
        int saved;

        cr_assert_eq(fd_pipe(ret_read, &w), 0);
        cr_assert_eq(fd_set_nonblock(*ret_read, true), 0);
        saved = fd_dup(STDERR_FILENO);
        cr_assert_eq(dup2(w, STDERR_FILENO), STDERR_FILENO);
        return saved;
}

static void release(int saved, int read_fd, char *out, size_t size) {
        ssize_t n;

        cr_assert_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        (void)close(saved);
        n = read(read_fd, out, size - 1);
        out[n < 0 ? 0 : n] = 0;
        (void)close(read_fd);
}

CleanTest(log, texts_are_those_callers_match) {
        char text[4096];
        int r, saved = capture(&r);

        log_set_level(LOG_LEVEL_TRACE);
        errno = EXDEV;
        log_error("Container %s not provided. Use --%s", "ID", "cid");
        log_warning("w");
        log_info("i");
        log_debug("d");
        log_trace("t");
        cr_assert_eq(log_error_errno(-ENOENT, "Failed to open log file"), -ENOENT);
        cr_assert_eq(log_warning_errno(-EACCES, "x %d", 1), -EACCES);
        cr_assert_eq(errno, EXDEV);
        release(saved, r, text, sizeof text);

        cr_assert_str_eq(text, "[conmon:e]: Container ID not provided. Use --cid\n"
                               "[conmon:w]: w\n"
                               "[conmon:i]: i\n"
                               "[conmon:d]: d\n"
                               "[conmon:d]: t\n"
                               "[conmon:e]: Failed to open log file No such file or directory\n"
                               "[conmon:w]: x 1 Permission denied\n");
}

CleanTest(log, level_decides_what_is_said) {
        static const char letters[] = "ewidt";

        for (LogLevel level = 0; level < _LOG_LEVEL_MAX; level++) {
                char text[4096];
                int r, saved = capture(&r);
                size_t n = 0;

                log_set_level(level);
                for (LogLevel l = 0; l < _LOG_LEVEL_MAX; l++) {
                        log_at(l, 0, "said %c", letters[l]);
                        cr_assert_eq(log_wants(l), l <= level);
                }
                release(saved, r, text, sizeof text);
                for (const char *p = text; (p = strstr(p, "said ")); p++)
                        cr_assert_eq(p[5], letters[n++]);
                cr_assert_eq(n, (size_t)level + 1);
        }
}

CleanTest(log, default_level_shows_warnings_not_info) {
        cr_assert(log_wants(LOG_LEVEL_WARNING));
        cr_assert_not(log_wants(LOG_LEVEL_INFO));
}

CleanTest(log, nothing_goes_to_a_stderr_given_back) {
        char text[64];
        int r, saved = capture(&r);

        log_set_stderr(false);
        log_error("x");
        release(saved, r, text, sizeof text);
        cr_assert_str_empty(text);
}

CleanTest(log, overlong_message_is_cut) {
        static char text[20000], message[15000];
        int r, saved = capture(&r);

        memset(message, 'x', sizeof message - 1);
        (void)log_error_errno(-ENOENT, "%s", message);
        release(saved, r, text, sizeof text);
        cr_assert_eq(strncmp(text, "[conmon:e]: xxx", 15), 0);
        cr_assert_gt(strlen(text), 8191);
        cr_assert_eq(text[strlen(text) - 1], '\n');
}

CleanTest(log, level_names_in_any_case) {
        static const struct {
                const char *name;
                int level; /* -1: unknown */
        } cases[] = {
                { "error", LOG_LEVEL_ERROR },
                { "fatal", LOG_LEVEL_ERROR },
                { "panic", LOG_LEVEL_ERROR },
                { "warn", LOG_LEVEL_WARNING },
                { "warning", LOG_LEVEL_WARNING },
                { "WaRn", LOG_LEVEL_WARNING },
                { "info", LOG_LEVEL_INFO },
                { "debug", LOG_LEVEL_DEBUG },
                { "TRACE", LOG_LEVEL_TRACE },
                { "bogus", -1 },
                { "", -1 },
                { "warnings", -1 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                LogLevel level = _LOG_LEVEL_MAX;
                int r = log_level_from_string(cases[i].name, &level);

                cr_assert_eq(r, cases[i].level < 0 ? -EINVAL : 0, "%s", cases[i].name);
                cr_assert_eq(level, cases[i].level < 0 ? _LOG_LEVEL_MAX : (LogLevel)cases[i].level);
        }
}

/* ---- the journal's own protocol ----------------------------------------------------------------------- */

static int listen_journal(char *path, size_t size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char dir[] = "/tmp/test-log-XXXXXX";
        int fd;

        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(path, size, "%s/s", dir);
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
        return fd;
}

static void forget_journal(char *path, int fd) {
        (void)close(fd);
        (void)unlink(path);
        *strrchr(path, '/') = 0;
        cr_assert_eq(rmdir(path), 0);
}

CleanTest(log, an_entry_is_one_datagram) {
        char path[64], data[256];
        int fd = listen_journal(path, sizeof path);

        cr_assert_eq(log_send_entry_to(path, "MESSAGE=hello\n", 14), 0);
        cr_assert_eq(recv(fd, data, sizeof data, 0), 14);
        cr_assert_arr_eq(data, "MESSAGE=hello\n", 14);
        forget_journal(path, fd);
}

CleanTest(log, full_or_absent_journal_is_not_waited_for) {
        char path[64];
        int fd = listen_journal(path, sizeof path), r = 0;

        for (unsigned i = 0; i < 100000 && r == 0; i++)
                r = log_send_entry_to(path, "MESSAGE=x\n", 10);
        cr_assert_eq(r, -EAGAIN);
        forget_journal(path, fd);
        cr_assert_eq(log_send_entry_to("/nowhere/at/all", "MESSAGE=x\n", 10), -ENOENT);
}

typedef struct Told {
        unsigned n;
        LogLevel level;
        int error, line;
        char text[64], file[64];
} Told;

static bool note_told(const LogMessage *m, void *userdata) {
        Told *told = userdata;

        told->n++;
        told->level = m->level;
        told->error = m->error;
        told->line = m->place->line;
        (void)snprintf(told->text, sizeof told->text, "%s", m->text);
        (void)snprintf(told->file, sizeof told->file, "%s", m->place->file);
        log_error("what is said while one is told");
        return true;
}

CleanTest(log, the_journal_is_told_what_where_and_with_which_error) {
        Told told = { 0 };
        int line;

        log_set_stderr(false);
        log_set_level(LOG_LEVEL_WARNING);
        log_set_journal(note_told, &told);
        line = __LINE__ + 1;
        cr_assert_eq(log_error_errno(-ENOSPC, "cannot write %d:", 7), -ENOSPC);
        cr_assert_eq(told.n, 1, "and not of its own messages");
        cr_assert_eq(told.level, LOG_LEVEL_ERROR);
        cr_assert_eq(told.error, ENOSPC);
        cr_assert_eq(told.line, line);
        cr_assert_str_eq(told.text, "cannot write 7: No space left on device");
        cr_assert_str_eq(strrchr(told.file, '/'), "/test-log.c");
        log_info("of no interest");
        cr_assert_eq(told.n, 1);
        log_set_journal(NULL, NULL);
        log_error("to nobody");
        cr_assert_eq(told.n, 1);
}
