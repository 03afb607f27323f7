/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where answers are shown: width, colour, and a pager, chosen as systemd's programs choose them. */

#include <stdbool.h>
#include <sys/types.h>

typedef struct Terminal {
        unsigned width; /* characters; 0: not limited */
        bool color;
        bool interactive; /* stdout is a terminal */
        pid_t pager;      /* 0: none */
} Terminal;

unsigned terminal_width(void);
bool terminal_color(bool interactive);
void terminal_open(Terminal *ret, bool want_pager);
void terminal_close(Terminal *t);
