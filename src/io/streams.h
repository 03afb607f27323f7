/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The target's stdio: pipes or a terminal. The keeper makes them, the worker serves them. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/stream.h"
#include "event/event.h"

typedef struct StdioPipes {
        int in_read, in_write;                     /* -1 without stdin */
        int read[_STREAM_MAX], write[_STREAM_MAX]; /* stdout's are -1 with a terminal */
} StdioPipes;

#define STDIO_PIPES_NONE ((StdioPipes){ -1, -1, { -1, -1 }, { -1, -1 } })

int streams_make_pipes(StdioPipes *pipes, bool want_stdin, bool want_stdout);
void streams_close_theirs(StdioPipes *pipes);
void streams_close_ours(StdioPipes *pipes);
int streams_prepare_terminal(int master);

typedef struct Streams Streams;

typedef struct StreamsHandler {
        /*
         * Readable: take what a pipe holds at most. Return: bytes, 0 at its end, -EAGAIN if there is nothing now or no
         * room; any other negative errno is trouble of ours, not the stream's, and leaves the loop.
         */
        ssize_t (*on_readable)(void *userdata, StreamId id, int fd);
        int (*on_end)(void *userdata, StreamId id);
        /* The target's stdin takes bytes again after streams_write_stdin() has said -EAGAIN. */
        int (*on_stdin_room)(void *userdata);
} StreamsHandler;

int streams_new(Streams **ret, Event *event, const StreamsHandler *handler, void *userdata);
Streams *streams_free(Streams *s);
DEFINE_CLEANUP(Streams, streams_free)

int streams_add(Streams *s, StreamId id, int fd);
int streams_add_stdin(Streams *s, int fd);
int streams_add_terminal(Streams *s, int master, bool want_stdin);
int streams_hold(Streams *s, StreamId id, bool held);
bool streams_is_open(const Streams *s, StreamId id);
bool streams_has_stdin(const Streams *s);
ssize_t streams_write_stdin(Streams *s, const void *data, size_t n);
void streams_close_stdin(Streams *s);
int streams_size_terminal(int master, unsigned rows, unsigned columns);
int streams_resize(Streams *s, unsigned rows, unsigned columns);
int streams_drain(Streams *s, StreamId id);
