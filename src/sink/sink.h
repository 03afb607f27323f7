/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the container's output goes: a k8s-file, the journal, or both. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/stream.h"
#include "event/event.h"
#include "wire/layout.h"
#include "wire/line.h"

typedef enum SinkId {
        SINK_FILE,
        SINK_JOURNAL,
        _SINK_MAX,
} SinkId;

/* The write to the log file that is under way, with all it takes to make the same bytes again. */
typedef struct SinkIntent {
        uint64_t from, to; /* bytes of the stream, whole records */
        uint64_t size;     /* of the file before the write */
        uint64_t total;    /* SinkState.total before it */
        char stamp[LINE_STAMP_SIZE];
        uint8_t stream;
        uint8_t partial; /* the last record is a partial one */
        uint8_t valid;   /* stored last; counts only if @from is the stream's position */
} SinkIntent;

/* How much goes to the journal, which may keep less and tells no sender (its rate limit). */
typedef struct SinkFlood {
        uint64_t sent;       /* entries ever */
        uint64_t begin_usec; /* wall clock: of the span under way, */
        uint64_t before;     /* ... entries sent before it, */
        uint64_t seen;       /* ... and when that was looked at last */
        uint8_t told;        /* SINKS_FLOOD was, of this span */
        uint8_t left;        /* at the end journald had not taken all */
} SinkFlood;

#define SINK_FLOOD_USEC 30000000U /* a span: what journald's own limits count by default */
#define SINK_FLOOD_ENTRIES 1000U  /* in one span: less is never worth a look */

/* What must outlive the worker; all zero is a fresh sink. */
typedef struct SinkState {
        STATE_MORE(uint64_t more;)
        uint64_t position[_STREAM_MAX];  /* first byte of each stream this sink has not taken */
        uint8_t continues[_STREAM_MAX];  /* a part of the current line went out; which priority */
        uint8_t started;                 /* file: the size it had at first is in @total */
        uint64_t bytes;                  /* taken and kept */
        uint64_t lost_bytes, lost_lines; /* given up */
        uint64_t total;                  /* file: bytes ever written, for the global limit */
        uint64_t cut_to;                 /* file: size without the half record at its end, ... */
        uint8_t uncut;                   /* ... if that could not be cut off yet */
        SinkIntent intent;               /* file */
        uint8_t busy;                    /* file: it waits for the file system, which may take long */
        SinkFlood flood;                 /* journal */
} SinkState;

/* Needed while sinks_new() runs only. */
typedef struct SinksSpec {
        bool file;
        int file_fd;                       /* adopted; -1: sinks_set_file() will bring it */
        int64_t size_max, global_size_max; /* <= 0: no limit */
        bool fsync;                        /* sinks_flush() does it */

        bool journald;
        int journal_fd;               /* connected, borrowed; -1: sinks_set_journal() will bring it */
        const char *cid, *name, *tag; /* name, tag: NULL or empty for none */
        char *const *labels;
        size_t n_labels;
        bool no_partial_message;
        bool podman_priorities;  /* PRIORITY stays 6 or 3, "<N>" has its own field */
        const char *object_unit; /* "OBJECT_SYSTEMD_UNIT=x.scope" or NULL */
        const char *identifier;  /* "SYSLOG_IDENTIFIER=x", beside the container's own, or NULL */
        const char *facility;    /* "SYSLOG_FACILITY=n" or NULL */
        bool no_level_prefix;    /* "<N>" before a line is text */

        uint64_t patience_usec; /* how long output waits for a sink in trouble; 0: 10 s */
} SinksSpec;

/* In place of an error: no trouble, but so much was sent to the journal that it may not have kept all. */
#define SINKS_FLOOD EDQUOT

typedef struct SinksHandler {
        int (*on_ready)(void *userdata);   /* from the loop: call sinks_write() for both streams */
        int (*on_reopen)(void *userdata);  /* answer with sinks_set_file(), now or later */
        int (*on_connect)(void *userdata); /* answer with sinks_set_journal(), now or later */
        int (*on_trouble)(void *userdata, SinkId sink, int error, uint64_t lost_bytes);
} SinksHandler;

extern const LayoutFields sink_state_layout;

typedef struct Sinks Sinks;

int sinks_new(Sinks **ret,
              Event *event,
              const SinksSpec *spec,
              SinkState state[_SINK_MAX],
              const SinksHandler *handler,
              void *userdata);
Sinks *sinks_free(Sinks *s);
DEFINE_CLEANUP(Sinks, sinks_free)

int sinks_write(Sinks *s, StreamId id, const Window *w, StreamTail tail, const struct timespec *now);
uint64_t sinks_position(const Sinks *s, StreamId id);
int sinks_reopen(Sinks *s);
int sinks_set_file(Sinks *s, int fd);
int sinks_set_journal(Sinks *s, int fd, int error);
bool sinks_waiting(const Sinks *s);
void sinks_hurry(Sinks *s);
int sinks_flush(Sinks *s);

#define SINKS_NOT_YET 1 /* sinks_flush(): not all taken, on_ready() says when to ask again */
