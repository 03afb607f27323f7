/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The fifos ctl and winsz in the bundle: a manager resizes the terminal through them and asks for
 * the log file to be reopened.
 *
 * The keeper makes both and holds both ends of each, in one descriptor: the reading end so that a manager's
 * non-blocking open succeeds from the first moment, the writing end so that the last manager to
 * close leaves no end of file behind that would be readable for ever. The worker reads, cuts lines
 * and says what they mean; what comes of it (there may be no terminal yet) is not decided here.
 *
 * A line may arrive in pieces. The unfinished one lies in a CtlBuffer in the ring, where the next
 * worker finds it. Nothing is ever written into a fifo: a resize does not travel through winsz as
 * it does in the original, which therefore stops for good once nobody takes them out and 64 KiB of
 * them have gathered.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/control.h"
#include "scopemon/protocol.h"

static const LayoutField control_buffer_fields[] = {
        LAYOUT_NUMBER(CtlBuffer, n, "n"),
        LAYOUT_NUMBERS(CtlBuffer, data, "data"),
};

const LayoutFields control_buffer_layout = LAYOUT_FIELDS(control_buffer_fields);

typedef struct ControlFifo {
        Control *control;
        sd_event_source *source;
        CtlBuffer *buffer;
        int (*parse)(const char *line, size_t n, CtlMsg *ret);
} ControlFifo;

struct Control {
        const ControlHandler *handler;
        void *userdata;
        ControlFifo fifos[2];
};

/* One descriptor is both ends: see above. */
static int make_fifo(int dir_fd, const char *name, int *ret) {
        int fd;

        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return fail(-errno);
        if (mkfifoat(dir_fd, name, 0660) < 0)
                return fail(-errno);
        fd = openat(dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return fail(-errno);
        *ret = fd;
        return 0;
}

/**
 * control_make() - make the fifos ctl and winsz in a directory
 * @ret_ctl, @ret_winsz: both of their ends; the caller's to close
 *
 * Whatever had one of the two names is removed first. Their mode is 0660 under the umask.
 *
 * Return: 0, or a negative errno; then a fifo may have been left behind, but no descriptor.
 */
int control_make(int dir_fd, int *ret_ctl, int *ret_winsz) {
        _cleanup_close_ int ctl = -1;
        int r;

        r = make_fifo(dir_fd, SCOPEMON_CTL_FIFO, &ctl);
        if (r < 0)
                return relay(r);
        r = make_fifo(dir_fd, SCOPEMON_WINSZ_FIFO, ret_winsz);
        if (r < 0)
                return relay(r);
        *ret_ctl = TAKE_FD(ctl);
        return 0;
}

static int handle_line(ControlFifo *fifo, const char *line, size_t n) {
        const ControlHandler *handler = fifo->control->handler;
        void *userdata = fifo->control->userdata;
        CtlMsg message;
        int answer;

        answer = fifo->parse(line, n, &message);
        if (answer != 0)
                return handler->on_bad(userdata, line, n, answer);
        switch (message.type) {
        case CTLMSG_RESIZE:
                return handler->on_resize(userdata, message.rows, message.columns);
        case CTLMSG_REOPEN:
                return handler->on_reopen(userdata);
        }
        return 0;
}

/**
 * control_feed() - act on what was read from a fifo
 *
 * Return: 0 or a negative errno.
 */
int control_feed(Control *c, size_t index, const char *data, size_t n) {
        ControlFifo *fifo = &c->fifos[index];
        const char *line;
        size_t n_line;
        int r;

        while (ctlmsg_next_line(fifo->buffer, &data, &n, &line, &n_line)) {
                r = handle_line(fifo, line, n_line);
                if (r < 0)
                        return relay(r);
        }
        c->handler->done(c->userdata, index);
        return 0;
}

static int control_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ControlFifo *fifo = userdata;
        Control *c = fifo->control;
        size_t index = (size_t)(fifo - c->fifos);
        const char *data;
        ssize_t n;
        int r;

        n = c->handler->read(c->userdata, index, fd, &data);
        if (n < 0)
                return n == -EAGAIN || n == -EINTR ? 0 : relay((int)n);
        if (n == 0) { /* never, as it has a writer: us */
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }

        r = control_feed(c, index, data, (size_t)n);
        return r < 0 ? relay(r) : 0;
}

static int fifo_watch(ControlFifo *fifo, Event *event, int fd) {
        int r;

        if (fd < 0)
                return 0;
        r = event_add_io(event, &fifo->source, fd, EPOLLIN, control_on_readable, fifo);
        return r < 0 ? relay(r) : 0;
}

/**
 * control_new() - listen to the two fifos
 * @fds: ctl and winsz, borrowed; -1 for none
 * @state: their unfinished lines, kept by the caller; all zero is none
 * @handler: must outlive the object, and must not free it
 *
 * Return: 0 or a negative errno.
 */
int control_new(Control **ret,
                Event *event,
                const int fds[2],
                CtlBuffer state[2],
                const ControlHandler *handler,
                void *userdata) {
        _cleanup_(control_freep) Control *c = NULL;
        int r;

        c = calloc(1, sizeof *c);
        if (!c)
                return fail(-ENOMEM);
        c->handler = handler;
        c->userdata = userdata;
        c->fifos[0] = (ControlFifo){ .control = c, .buffer = &state[0], .parse = ctlmsg_parse };
        c->fifos[1] = (ControlFifo){ .control = c, .buffer = &state[1], .parse = ctlmsg_parse_winsz };

        for (size_t i = 0; i < ELEMENTS(c->fifos); i++) {
                r = fifo_watch(&c->fifos[i], event, fds[i]);
                if (r < 0)
                        return relay(r);
        }
        *ret = TAKE_PTR(c);
        return 0;
}

/**
 * control_free() - stop listening; the fifos stay open
 *
 * Return: NULL.
 */
Control *control_free(Control *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(c->fifos); i++)
                c->fifos[i].source = sd_event_source_disable_unref(c->fifos[i].source);
        free(c);
        return NULL;
}
