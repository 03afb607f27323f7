/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The fifos ctl and winsz: made by the keeper, read by the worker. */

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "io/loop.h"
#include "wire/ctlmsg.h"

/* Indices into what control_make() returns. */
enum {
        CONTROL_CTL_READ,
        CONTROL_CTL_WRITE,
        CONTROL_WINSZ_READ,
        CONTROL_WINSZ_WRITE,
        _CONTROL_FD_MAX,
};

typedef struct Control Control;

typedef struct ControlHandler {
        ssize_t (*read)(void *userdata, int fd, void *buf, size_t n); /* bytes or negative errno */
        int (*on_resize)(void *userdata, unsigned rows, unsigned columns);
        int (*on_reopen)(void *userdata);
        int (*on_bad)(void *userdata, const char *line, size_t n, int why); /* a CtlMsgAnswer */
} ControlHandler;

int control_make(int dir_fd, int fds[_CONTROL_FD_MAX]);

int control_new(Control **ret,
                Loop *loop,
                const int fds[2],
                CtlBuffer state[2],
                const ControlHandler *handler,
                void *userdata);
Control *control_free(Control *c);
DEFINE_CLEANUP(Control, control_free)
