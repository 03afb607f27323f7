/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The variables are those of systemd's programs: SYSTEMD_COLORS, NO_COLOR, COLUMNS, SYSTEMD_PAGER, PAGER, SYSTEMD_LESS.
 * less may run no commands of its user (LESSSECURE), who may have become root by sudo.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "explain/terminal.h"

#define WIDTH_DEFAULT 80U
#define WIDTH_MAX 4096U

/**
 * terminal_width() - characters in a line of stdout, which is a terminal
 */
unsigned terminal_width(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;
        uint64_t n;

        if (columns && parse_u64(columns, &n) >= 0 && n > 0 && n <= WIDTH_MAX)
                return (unsigned)n;
        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0 ? size.ws_col : WIDTH_DEFAULT;
}

static bool is_dumb(void) {
        const char *term = getenv("TERM");

        return !term || strcmp(term, "dumb") == 0;
}

/**
 * terminal_color() - is colour wanted?
 * @interactive: stdout is a terminal
 */
bool terminal_color(bool interactive) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on", "16", "256", "24bit" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };
        const char *wish = getenv("SYSTEMD_COLORS");

        for (size_t i = 0; wish && i < ELEMENTS(no); i++)
                if (strcasecmp(wish, no[i]) == 0)
                        return false;
        for (size_t i = 0; wish && i < ELEMENTS(yes); i++)
                if (strcasecmp(wish, yes[i]) == 0)
                        return true;
        return interactive && !getenv("NO_COLOR") && !is_dumb();
}

/* $1 is that of the user. What cannot be found is not executed, and leaves the next one all that is to be shown. */
#define PAGER                                                                                                \
        "if [ \"$1\" ]; then eval \"$1\"; [ $? = 127 ] || exit; fi; "                                        \
        "command -v less >/dev/null && exec less; exec cat"

/* Return: the user's command, "" if he has none, or NULL if he wants none. */
static const char *pager_command(void) {
        const char *command = getenv("SYSTEMD_PAGER") ?: getenv("PAGER");

        if (!command)
                return "";
        return command[0] && strcmp(command, "cat") != 0 ? command : NULL;
}

/* stdout becomes a pipe to it; without one, all goes where it went before. */
static void start_pager(Terminal *t, const char *command) {
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)PAGER, (char *)"sh", (char *)command, NULL };
        ProcessSpec spec = {
                .path = "/bin/sh", .argv = argv, .stdio = { -1, STDOUT_FILENO, STDERR_FILENO }, .wait_fd = -1
        };
        _cleanup_close_ int in = -1, out = -1;
        const char *less = getenv("SYSTEMD_LESS");

        if (setenv("LESS", less ? less : "FRSXMK", 1) < 0 || setenv("LESSSECURE", "1", 1) < 0 ||
            fd_pipe(&in, &out) < 0)
                return;
        spec.stdio[0] = in;
        spec.envp = environ;
        if (process_spawn(&spec, &t->pager, NULL) < 0) {
                t->pager = 0;
                return;
        }
        (void)signal(SIGPIPE, SIG_IGN); /* who has read enough leaves it */
        (void)dup2(out, STDOUT_FILENO);
}

/**
 * terminal_open() - look at stdout, and start a pager if it is a terminal
 * @want_pager: false to start none
 */
void terminal_open(Terminal *ret, bool want_pager) {
        const char *command = pager_command();

        *ret = (Terminal){ .interactive = isatty(STDOUT_FILENO) == 1 };
        ret->width = ret->interactive ? terminal_width() : 0;
        ret->color = terminal_color(ret->interactive);
        if (want_pager && ret->interactive && !is_dumb() && command)
                start_pager(ret, command);
}

/**
 * terminal_close() - flush stdout, and wait until the pager has been left
 */
void terminal_close(Terminal *t) {
        (void)fflush(stdout); /* a caller who must know has done it */
        if (t->pager == 0)
                return;
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        (void)process_await(t->pager);
        t->pager = 0;
}
