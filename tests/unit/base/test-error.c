/* SPDX-License-Identifier: Apache-2.0 */

/* An error goes its way unchanged, and leaves a trail for those who asked for one. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "clean.h"

/* What two functions of an error's way print at @level. */
static void trail(LogLevel level, char *out, size_t size) {
        _cleanup_close_ int r = -1, w = -1, saved = -1;
        ssize_t n;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(fd_set_nonblock(r, true), 0);
        saved = fd_dup(STDERR_FILENO);
        cr_assert_eq(dup2(w, STDERR_FILENO), STDERR_FILENO);

        log_set_level(level);
        errno = EXDEV;
        cr_assert_eq(fail(-ENOENT), -ENOENT);
        cr_assert_eq(relay(-ENOENT), -ENOENT);
        cr_assert_eq(errno, EXDEV);
        log_set_level(LOG_LEVEL_WARNING);

        cr_assert_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        n = read(r, out, size - 1);
        out[n < 0 ? 0 : n] = 0;
}

CleanTest(error, trace_level_tells_where_an_error_was) {
        char text[4096];

        trail(LOG_LEVEL_TRACE, text, sizeof text);
        cr_assert(strstr(text, "ENOENT"), "%s", text);
        cr_assert(strstr(text, "born in trail() at "), "%s", text);
        cr_assert(strstr(text, "passed in trail() at "), "%s", text);
        cr_assert(strstr(text, "test-error.c:"), "%s", text);
}

CleanTest(error, other_levels_are_silent) {
        char text[4096];

        trail(LOG_LEVEL_DEBUG, text, sizeof text);
        cr_assert_str_empty(text);
}

CleanTest(error, unknown_number_does_no_harm) {
        log_set_stderr(false);
        log_set_level(LOG_LEVEL_TRACE);
        cr_assert_eq(fail(-99999), -99999);
}
