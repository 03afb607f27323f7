/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The fifos ctl and winsz: made by the keeper, read by the worker. */

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "event/event.h"
#include "wire/ctlmsg.h"
#include "wire/layout.h"

extern const LayoutFields control_buffer_layout; /* of CtlBuffer */

typedef struct Control Control;

typedef struct ControlHandler {
        /* Bytes of fifo @index, kept in a place of yours until done(); or a negative errno. */
        ssize_t (*read)(void *userdata, size_t index, int fd, const char **ret_data);
        void (*done)(void *userdata, size_t index); /* they have been acted on, all whole lines */
        int (*on_resize)(void *userdata, unsigned rows, unsigned columns);
        int (*on_reopen)(void *userdata);
        int (*on_bad)(void *userdata, const char *line, size_t n, int why); /* a CtlMsgAnswer */
} ControlHandler;

int control_make(int dir_fd, int *ret_ctl, int *ret_winsz);

int control_new(Control **ret,
                Event *event,
                const int fds[2],
                CtlBuffer state[2],
                const ControlHandler *handler,
                void *userdata);
int control_feed(Control *c, size_t index, const char *data, size_t n);
Control *control_free(Control *c);
DEFINE_CLEANUP(Control, control_free)
