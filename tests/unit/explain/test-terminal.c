/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include "clean.h"
#include "explain/terminal.h"

CleanTest(terminal, colour_is_chosen_as_systemd_does) {
        static const struct {
                const char *colors, *no_color, *term;
                bool interactive, expected;
        } cases[] = {
                { NULL, NULL, "xterm", true, true },        { NULL, NULL, "xterm", false, false },
                { NULL, NULL, "dumb", true, false },        { NULL, NULL, NULL, true, false },
                { NULL, "1", "xterm", true, false },        { "1", "1", "xterm", false, true },
                { "0", NULL, "xterm", true, false },        { "no", NULL, "xterm", true, false },
                { "256", NULL, "dumb", false, true },       { "", NULL, "xterm", true, true },
                { "True", NULL, "dumb", false, true },      { "OFF", NULL, "xterm", true, false },
                { "auto-16", NULL, "xterm", false, false }, { "blue", "1", "xterm", true, false },
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                (void)(cases[i].colors ? setenv("SYSTEMD_COLORS", cases[i].colors, 1)
                                       : unsetenv("SYSTEMD_COLORS"));
                (void)(cases[i].no_color ? setenv("NO_COLOR", cases[i].no_color, 1) : unsetenv("NO_COLOR"));
                (void)(cases[i].term ? setenv("TERM", cases[i].term, 1) : unsetenv("TERM"));
                cr_assert_eq(terminal_color(cases[i].interactive), cases[i].expected, "case %zu", i);
        }
}

CleanTest(terminal, columns_of_the_environment_count) {
        (void)setenv("COLUMNS", "123", 1);
        cr_assert_eq(terminal_width(), 123);
        (void)setenv("COLUMNS", "many", 1);
        cr_assert_gt(terminal_width(), 0);
}
