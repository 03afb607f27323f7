/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The trail of an error, for those who run with --log-level=trace: one line where it was born and one for each
 * function it passed through. At any other level the two macros cost a call and nothing else.
 */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "log.h"

/**
 * error_trail() - say where an error is, at trace level
 * @r: negative errno
 *
 * Use it through fail() and relay(). errno is left alone.
 *
 * Return: @r.
 */
int error_trail(int r, const char *what, const char *file, int line, const char *function) {
        if (log_wants(LOG_LEVEL_TRACE)) {
                const LogPlace place = { .file = file, .function = function, .line = line };

                (void)log_emit(&place, LOG_LEVEL_TRACE, 0, "%s (%s) %s in %s() at %s:%d",
                               strerrorname_np(-r) ?: "?", strerror(-r), what, function, file, line);
        }
        return r;
}
