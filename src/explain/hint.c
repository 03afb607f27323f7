/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A caller of a monitor always has options, and stderr of its own: without a terminal, or with any option, the stock
 * monitor's words are what it gets.
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "explain/hint.h"
#include "explain/suggest.h"

static const char *const verbs[] = { "doctor", "end", "explain", "list", "status", "upgrade" };

/**
 * hint_is_due() - does this command line ask for nothing, or for a command that there is not?
 * @interactive: stdin and stderr are a terminal
 */
bool hint_is_due(int argc, char *const *argv, bool interactive) {
        for (int i = 1; i < argc; i++)
                if (argv[i][0] == '-')
                        return false;
        return interactive;
}

/**
 * hint_run() - say what there is
 *
 * Return: an exit status.
 */
int hint_run(int argc, char *const *argv) {
        const char *meant;
        size_t n = 0;

        if (argc > 1) {
                while (argv[1][n])
                        n++;
                meant = suggest(argv[1], n, verbs, ELEMENTS(verbs));
                (void)fprintf(stderr, "Unknown command verb%s%s%s\n",
                              meant ? ", did you mean " : "; see \"scopemon --help\" and scopemon(8)",
                              meant ? meant : "", meant ? "?" : "");
                return EXIT_FAILURE;
        }
        (void)printf(
                "scopemon is a container monitor; Podman, CRI-O and systemd start it. What people type:\n\n"
                "  scopemon list            containers, their units, memory and output\n"
                "  scopemon status NAME     one of them, with its last lines\n"
                "  scopemon explain NAME    where it is, why, and what stops it\n"
                "  scopemon doctor [UNIT]   is this host set up well?\n"
                "  scopemon upgrade --all   re-execute running monitors after an upgrade\n"
                "  scopemon end NAME        clean up after a monitor that was killed\n\n"
                "The manual is \"man scopemon\"; \"scopemon --help\" lists the options of a monitor.\n");
        return fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
