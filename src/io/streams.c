/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The target's stdio. The keeper makes the pipes, gives their far ends to the runtime and keeps the near ones for as
 * long as the container lives; the worker gets copies of those and serves them here.
 *
 * One call of the handler per wake-up, so that neither stream can starve the other. Where the bytes go is the handler's business:
 * the fd is handed up and never read here.
 *
 * A terminal whose every opener has gone reports a hang-up that stays readable for ever, but somebody may open it
 * again: from then on only the edge of a new event is waited for, which costs nothing meanwhile. The end of a
 * terminal's output is the end of the target, not the hang-up.
 */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/streams.h"

#define STDIN_RETRY_USEC 10000U /* after a write for which there was no memory */
#define PIPE_MODE 0777          /* a process of any uid in the container may open /dev/stdout again */

typedef struct StreamEnd {
        Streams *streams;
        StreamId id;
        int fd;
        sd_event_source *source;
        bool held, terminal, hung_up;
} StreamEnd;

struct Streams {
        Event *event;
        const StreamsHandler *handler;
        void *userdata;
        StreamEnd ends[_STREAM_MAX];
        int in_fd;
        bool in_terminal;
        sd_event_source *in_source; /* waits for room; absent while there is some */
        Timer *in_timer;            /* waits for memory; absent while there is some */
};

/**
 * streams_make_pipes() - pipes for a target
 * @pipes: filled in; what is not wanted stays -1
 *
 * stderr always gets one. Our ends are non-blocking.
 *
 * Return: 0, or a negative errno with nothing left open.
 */
int streams_make_pipes(StdioPipes *pipes, bool want_stdin, bool want_stdout) {
        StdioPipes made = STDIO_PIPES_NONE;
        int r = 0;

        if (want_stdin) {
                r = fd_pipe(&made.in_read, &made.in_write);
                if (r >= 0)
                        r = fd_set_nonblock(made.in_write, true);
                if (r >= 0)
                        (void)fchmod(made.in_read, PIPE_MODE); /* not all kernels let one */
        }
        for (StreamId id = want_stdout ? STREAM_STDOUT : STREAM_STDERR; r >= 0 && id < _STREAM_MAX; id++) {
                r = fd_pipe(&made.read[id], &made.write[id]);
                if (r >= 0)
                        r = fd_set_nonblock(made.read[id], true);
                if (r >= 0)
                        (void)fchmod(made.write[id], PIPE_MODE);
        }
        if (r < 0) {
                streams_close_ours(&made);
                streams_close_theirs(&made);
                return relay(r);
        }
        *pipes = made;
        return 0;
}

/**
 * streams_close_theirs() - the runtime has its ends
 */
void streams_close_theirs(StdioPipes *pipes) {
        fd_close_many(&pipes->in_read, 1);
        fd_close_many(pipes->write, _STREAM_MAX);
}

/**
 * streams_close_ours() - close what the keeper has kept
 */
void streams_close_ours(StdioPipes *pipes) {
        fd_close_many(&pipes->in_write, 1);
        fd_close_many(pipes->read, _STREAM_MAX);
}

/**
 * streams_prepare_terminal() - set up a master that the runtime has sent
 *
 * Lines end in CR LF, everything else stays as the runtime set it. Both our reads and our writes become non-blocking,
 * for all copies of the descriptor.
 *
 * Return: 0 or a negative errno; the terminal is usable all the same.
 */
int streams_prepare_terminal(int master) {
        struct termios t;
        int r;

        r = fd_set_nonblock(master, true);
        if (r < 0)
                return relay(r);
        if (tcgetattr(master, &t) < 0)
                return fail(-errno);
        t.c_oflag |= ONLCR;
        return tcsetattr(master, TCSANOW, &t) < 0 ? fail(-errno) : 0;
}

/**
 * streams_new() - nothing served yet
 * @handler: borrowed
 *
 * Return: 0 or a negative errno.
 */
int streams_new(Streams **ret, Event *event, const StreamsHandler *handler, void *userdata) {
        Streams *s;

        s = calloc(1, sizeof *s);
        if (!s)
                return fail(-ENOMEM);
        s->event = event_ref(event);
        s->handler = handler;
        s->userdata = userdata;
        s->in_fd = -1;
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                s->ends[id] = (StreamEnd){ .streams = s, .id = id, .fd = -1 };
        *ret = s;
        return 0;
}

static void end_close(StreamEnd *end) {
        end->source = sd_event_source_disable_unref(end->source);
        fd_close_many(&end->fd, 1);
}

/**
 * streams_free() - close our copies
 *
 * Return: NULL.
 */
Streams *streams_free(Streams *s) {
        if (!s)
                return NULL;
        streams_close_stdin(s);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                end_close(&s->ends[id]);
        event_unref(s->event);
        free(s);
        return NULL;
}

/*
 * A source is never switched off: it would be taken out of the epoll set, and might not come back (ENOSPC). Without
 * events it still tells of a hang-up, at the edge once; setting the events again would make the edge new.
 */
static int end_watch(StreamEnd *end) {
        uint32_t events = end->held ? EPOLLET : end->hung_up ? EPOLLIN | EPOLLET : EPOLLIN, former;
        int r;

        r = sd_event_source_get_io_events(end->source, &former);
        if (r >= 0 && events != former)
                r = sd_event_source_set_io_events(end->source, events);
        return r < 0 ? fail(r) : 0;
}

static int end_read(StreamEnd *end) {
        Streams *s = end->streams;
        ssize_t n;
        int r;

        n = s->handler->on_readable(s->userdata, end->id, end->fd);
        if (n > 0) {
                if (!end->hung_up)
                        return 1;
                end->hung_up = false;
                r = end_watch(end);
                return r < 0 ? relay(r) : 1;
        }
        if (n < 0)
                return n == -EAGAIN ? 0 : relay((int)n);
        if (end->terminal) {
                end->hung_up = true; /* level-triggered it would cost CPU for ever */
                r = end_watch(end);
                return r < 0 ? relay(r) : 0;
        }
        end_close(end);
        return s->handler->on_end(s->userdata, end->id);
}

static int end_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        StreamEnd *end = userdata;
        int r;

        r = end->held ? 0 : end_read(end); /* a hang-up is told all the same */
        return r < 0 ? relay(r) : 0;
}

/**
 * streams_add() - serve one stream
 * @fd: adopted, also on failure; non-blocking
 *
 * Return: 0 or a negative errno.
 */
int streams_add(Streams *s, StreamId id, int fd) {
        StreamEnd *end = &s->ends[id];
        int r;

        end_close(end);
        end->fd = fd;
        r = event_add_io(s->event, &end->source, fd, EPOLLIN, end_on_readable, end);
        return r < 0 ? relay(r) : 0;
}

/**
 * streams_add_stdin() - serve the target's stdin
 * @fd: adopted; non-blocking
 *
 * Return: 0.
 */
int streams_add_stdin(Streams *s, int fd) {
        streams_close_stdin(s);
        s->in_fd = fd;
        return 0;
}

/**
 * streams_add_terminal() - serve a terminal as stdout, and as stdin if that is wanted
 * @master: adopted, also on failure; non-blocking
 *
 * Return: 0 or a negative errno.
 */
int streams_add_terminal(Streams *s, int master, bool want_stdin) {
        int r;

        if (want_stdin) {
                int in = fd_dup(master);

                if (in < 0) {
                        (void)close(master);
                        return relay(in);
                }
                (void)streams_add_stdin(s, in);
                s->in_terminal = true;
        }
        s->ends[STREAM_STDOUT].terminal = true;
        r = streams_add(s, STREAM_STDOUT, master);
        return r < 0 ? relay(r) : 0;
}

/**
 * streams_hold() - stop or resume reading a stream
 *
 * Return: 0 or a negative errno.
 */
int streams_hold(Streams *s, StreamId id, bool held) {
        StreamEnd *end = &s->ends[id];
        int r;

        if (!end->source || end->held == held)
                return 0;
        end->held = held;
        r = end_watch(end);
        return r < 0 ? relay(r) : 0;
}

/**
 * streams_is_open() - may there be more of a stream?
 */
bool streams_is_open(const Streams *s, StreamId id) {
        return s->ends[id].fd >= 0;
}

/**
 * streams_has_stdin() - does the target have a stdin that is not closed?
 */
bool streams_has_stdin(const Streams *s) {
        return s->in_fd >= 0;
}

static int stdin_on_room(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Streams *s = userdata;

        s->in_source = sd_event_source_disable_unref(s->in_source);
        return s->handler->on_stdin_room(s->userdata);
}

static int stdin_on_retry(Timer *timer, void *userdata) {
        Streams *s = userdata;

        s->in_timer = timer_free(s->in_timer);
        return s->handler->on_stdin_room(s->userdata);
}

/* A pipe needs memory, and is writable all the time while it gets none. */
static int stdin_wait(Streams *s, int error) {
        if (error == EAGAIN)
                return s->in_source
                               ? 0
                               : event_add_io(s->event, &s->in_source, s->in_fd, EPOLLOUT, stdin_on_room, s);
        return s->in_timer ? 0 : event_add_timer(s->event, &s->in_timer, STDIN_RETRY_USEC, stdin_on_retry, s);
}

/**
 * streams_write_stdin() - pass bytes to the target
 *
 * Return: bytes written; -EAGAIN if it takes none now, and on_stdin_room() will be called; -EPIPE if it never will
 * again (stdin is closed then).
 */
ssize_t streams_write_stdin(Streams *s, const void *data, size_t n) {
        ssize_t written;
        int r;

        if (s->in_fd < 0)
                return -EPIPE;
        do
                written = write(s->in_fd, data, n);
        while (written < 0 && errno == EINTR);
        if (written >= 0)
                return written;
        if (errno != EAGAIN && errno != ENOMEM) {
                streams_close_stdin(s);
                return -EPIPE;
        }
        r = stdin_wait(s, errno);
        if (r < 0)
                return relay(r);
        return -EAGAIN;
}

/**
 * streams_close_stdin() - the target gets no more input
 *
 * A terminal stays up for output.
 */
void streams_close_stdin(Streams *s) {
        s->in_timer = timer_free(s->in_timer);
        s->in_source = sd_event_source_disable_unref(s->in_source);
        fd_close_many(&s->in_fd, 1);
}

/**
 * streams_size_terminal() - set the size of a terminal that is not among our streams
 *
 * Return: 0 or a negative errno.
 */
int streams_size_terminal(int master, unsigned rows, unsigned columns) {
        struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

        return ioctl(master, TIOCSWINSZ, &size) < 0 ? fail(-errno) : 0;
}

/**
 * streams_resize() - set the size of the terminal
 *
 * Return: 1 if there is a terminal and it has that size now, 0 if there is none, or a negative errno.
 */
int streams_resize(Streams *s, unsigned rows, unsigned columns) {
        const StreamEnd *end = &s->ends[STREAM_STDOUT];
        int r;

        if (!end->terminal || end->fd < 0)
                return 0;
        r = streams_size_terminal(end->fd, rows, columns);
        return r < 0 ? relay(r) : 1;
}

/**
 * streams_drain() - read a stream once more, whether or not its turn has come
 *
 * Return: 1 if something was read, 0 if nothing is there now or ever, or a negative errno.
 */
int streams_drain(Streams *s, StreamId id) {
        StreamEnd *end = &s->ends[id];
        int r;

        if (end->fd < 0)
                return 0;
        r = end_read(end);
        return r < 0 ? relay(r) : r;
}
