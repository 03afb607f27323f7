/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket on which the runtime sends the container's terminal. */

#include "base/cleanup.h"
#include "event/event.h"

#define CONSOLE_WRONG_MAX 1024 /* text about places */

typedef struct Console Console;

typedef struct ConsoleHandler {
        int (*on_terminal)(void *userdata, int master); /* adopted by the handler */
        int (*on_bad)(void *userdata);                  /* something came, but no terminal */
} ConsoleHandler;

int console_new(Console **ret,
                Event *event,
                const char *bundle,
                const ConsoleHandler *handler,
                void *userdata,
                char wrong[CONSOLE_WRONG_MAX]);
Console *console_free(Console *c);
DEFINE_CLEANUP(Console, console_free)

const char *console_path(const Console *c);
int console_look(Console *c);
