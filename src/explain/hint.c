/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A caller of a monitor always has options, and stderr of its own: without a terminal, or with any option, the stock
 * monitor's words are what it gets.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "explain/hint.h"
#include "explain/suggest.h"
#include "explain/verb.h"

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

        if (argc > 1 && strcmp(argv[1], "help") != 0) {
                meant = suggest(argv[1], strlen(argv[1]), verbs, ELEMENTS(verbs));
                if (meant)
                        (void)verb_complain("Unknown command verb '%s', did you mean '%s'?", argv[1], meant);
                else
                        (void)verb_complain(
                                "Unknown command verb '%s'; see \"scopemon --help\" and scopemon(8)",
                                argv[1]);
                return EXIT_FAILURE;
        }
        (void)printf("scopemon is a container monitor; Podman, CRI-O and systemd start it. Commands:\n\n"
                     "  scopemon list            containers, their units, memory and output\n"
                     "  scopemon status NAME     a container, and the last lines of its output\n"
                     "  scopemon explain NAME    where a container is, why, and what stops it\n"
                     "  scopemon doctor [UNIT]   check how this host, or a unit, is set up\n"
                     "  scopemon upgrade --all   re-execute all monitors from the installed program\n"
                     "  scopemon end NAME        clean up after a monitor that was killed\n\n"
                     "See \"man scopemon\"; \"scopemon --help\" lists the options of the monitor.\n");
        return fd_flush_stdout() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
