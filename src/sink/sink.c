/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sinks of a container's output. The bytes stay in the ring until every sink has them: each sink has a position
 * per stream, sinks_write() lets each take what it can from there on, and what is below sinks_position() may be
 * forgotten.
 *
 * A sink that cannot write (disk full, journal stuck or gone) keeps its position. The ring fills, the container is not
 * read any more, and feels what it would feel from any full pipe. That is bounded: after spec->patience_usec without a
 * single record taken the sink gives up what there is, counts it, and goes on trying, so that one broken sink can stop
 * neither the container nor the other sink for ever. Trouble is told once when it begins and once when it ends, with
 * what it cost. A full journal is only back-pressure, and told when something was lost.
 *
 * A journal that does not answer is asked for a new connection first, as journald may have been replaced. Only one that
 * cannot be had, or is no better, is trouble.
 *
 * The drivers know nothing of all this: they write, or answer why not. The loop is used for timers, for a writable
 * journal, and for a word to the worker that it may call again. on_ready() is never called from within sinks_write().
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "base/fd.h"
#include "sink/sink-journald.h"
#include "sink/sink-k8sfile.h"
#include "sink/sink.h"

#define PATIENCE_USEC 10000000U
#define HURRY_USEC                                                                                           \
        3000000U /* that is left of it when the container has ended: callers wait for the exit file */
#define RETRY_USEC 100000U
#define RETRY_MAX_USEC 1000000U /* of the journal; a file is tried every RETRY_USEC */
#define UNREAD_USEC 10000U
#define UNREAD_MAX_USEC 2000000U /* callers look for the exit file for four or five seconds */

static const LayoutField sink_state_fields[] = {
        LAYOUT_NUMBERS(SinkState, position, "position"),
        LAYOUT_NUMBERS(SinkState, continues, "continues"),
        LAYOUT_NUMBER(SinkState, started, "started"),
        LAYOUT_NUMBER(SinkState, bytes, "bytes"),
        LAYOUT_NUMBER(SinkState, lost_bytes, "lost-bytes"),
        LAYOUT_NUMBER(SinkState, lost_lines, "lost-lines"),
        LAYOUT_NUMBER(SinkState, total, "total"),
        LAYOUT_NUMBER(SinkState, cut_to, "cut-to"),
        LAYOUT_NUMBER(SinkState, uncut, "uncut"),
        LAYOUT_NUMBER(SinkState, busy, "busy"),
        LAYOUT_NUMBER(SinkState, intent.from, "intent-from"),
        LAYOUT_NUMBER(SinkState, intent.to, "intent-to"),
        LAYOUT_NUMBER(SinkState, intent.size, "intent-size"),
        LAYOUT_NUMBER(SinkState, intent.total, "intent-total"),
        LAYOUT_NUMBERS(SinkState, intent.stamp, "intent-stamp"),
        LAYOUT_NUMBER(SinkState, intent.stream, "intent-stream"),
        LAYOUT_NUMBER(SinkState, intent.partial, "intent-partial"),
        LAYOUT_NUMBER(SinkState, intent.valid, "intent-valid"),
        LAYOUT_NUMBER(SinkState, flood.sent, "flood-sent"),
        LAYOUT_NUMBER(SinkState, flood.begin_usec, "flood-begin-usec"),
        LAYOUT_NUMBER(SinkState, flood.before, "flood-before"),
        LAYOUT_NUMBER(SinkState, flood.seen, "flood-seen"),
        LAYOUT_NUMBER(SinkState, flood.told, "flood-told"),
        LAYOUT_NUMBER(SinkState, flood.left, "flood-left"),
};

const LayoutFields sink_state_layout = LAYOUT_FIELDS(sink_state_fields);

typedef struct Sink {
        Sinks *sinks;
        SinkId id;
        SinkState *state;
        Timer *timer;
        bool blocked; /* nothing is tried before the timer or the socket says so */
        bool owes;    /* held back the other stream, which may be written now */

        int error;      /* why the last write did not go; 0: it went */
        bool told;      /* ... and on_trouble() knows */
        bool gave_up;   /* patience is over: what does not go is lost */
        uint64_t since; /* when that began, or the last record was taken */
        uint64_t delay; /* of the next try */
        uint64_t lost;  /* state->lost_bytes when that began */
} Sink;

struct Sinks {
        Event *event;
        Sink sinks[_SINK_MAX];
        SinkK8sFile *file;
        SinkJournald *journal;
        bool fsync, synced;
        bool replacing;   /* on_reopen() was called, sinks_set_file() is awaited */
        bool want_reopen; /* on_reopen() waits until the write in flight is complete */
        bool connecting;  /* on_connect() was called, sinks_set_journal() is awaited */
        bool connected;   /* ... and has come: nothing has been written since */
        uint64_t patience;
        uint64_t flush_since; /* of waiting for the journal in sinks_flush(); 0: not yet */
        sd_event_source *ready, *writable;
        const SinksHandler *handler;
        void *userdata;
};

static uint64_t patience_left(const Sink *sink, uint64_t now) {
        uint64_t end = sink->since + sink->sinks->patience;

        return end > now ? end - now : 0;
}

static bool sink_exists(const Sinks *s, SinkId id) {
        return id == SINK_FILE ? s->file != NULL : s->journal != NULL;
}

static int on_timer(Timer *timer, void *userdata) {
        Sink *sink = userdata;

        sink->blocked = false;
        return sink->sinks->handler->on_ready(sink->sinks->userdata);
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Sink *sink = userdata;

        timer_set(sink->timer, TIMER_NEVER);
        sink->blocked = false;
        return sink->sinks->handler->on_ready(sink->sinks->userdata);
}

static int on_defer(sd_event_source *source, void *userdata) {
        Sinks *s = userdata;

        return s->handler->on_ready(s->userdata);
}

/* Where it cannot be watched a full socket is tried again from time to time. */
static void watch_journal(Sinks *s) {
        Sink *sink = &s->sinks[SINK_JOURNAL];
        int fd = sink_journald_fd(s->journal);

        s->writable = sd_event_source_disable_unref(s->writable);
        if (fd < 0 || event_add_io(s->event, &s->writable, fd, EPOLLOUT, on_writable, sink) < 0)
                return;
        if (sd_event_source_set_enabled(s->writable, SD_EVENT_OFF) < 0)
                s->writable = sd_event_source_disable_unref(s->writable);
}

static int sink_init(Sinks *s, SinkId id, Event *event, SinkState *state) {
        Sink *sink = &s->sinks[id];
        int r;

        *sink = (Sink){ .sinks = s, .id = id, .state = state };
        if (!sink_exists(s, id))
                return 0;
        r = event_add_timer(event, &sink->timer, TIMER_NEVER, on_timer, sink);
        if (r < 0)
                return relay(r);
        if (id == SINK_JOURNAL)
                watch_journal(s);
        return 0;
}

static int make_drivers(Sinks *s, const SinksSpec *spec, SinkState state[_SINK_MAX]) {
        int r;

        if (spec->file) {
                r = sink_k8sfile_new(&s->file, spec, &state[SINK_FILE]);
                if (r < 0)
                        return relay(r);
                s->replacing = !sink_k8sfile_has_file(s->file);
        }
        if (spec->journald) {
                r = sink_journald_new(&s->journal, spec, &state[SINK_JOURNAL]);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * sinks_new() - a set of sinks, also of none
 * @spec: if it has a file, its file_fd is adopted, also on failure
 * @state: in the ring: what the worker before us left, or all zero
 * @handler: outlives the sinks
 *
 * Return: 0 or a negative errno.
 */
int sinks_new(Sinks **ret,
              Event *event,
              const SinksSpec *spec,
              SinkState state[_SINK_MAX],
              const SinksHandler *handler,
              void *userdata) {
        _cleanup_(sinks_freep) Sinks *s = NULL;
        int r;

        s = calloc(1, sizeof *s);
        if (!s) {
                if (spec->file && spec->file_fd >= 0)
                        (void)close(spec->file_fd);
                return fail(-ENOMEM);
        }
        s->fsync = spec->fsync;
        s->patience = spec->patience_usec > 0 ? spec->patience_usec : PATIENCE_USEC;
        s->event = event_ref(event);
        s->handler = handler;
        s->userdata = userdata;

        r = make_drivers(s, spec, state);
        for (SinkId id = 0; r >= 0 && id < _SINK_MAX; id++)
                r = sink_init(s, id, event, &state[id]);
        if (r < 0)
                return relay(r);

        r = event_add_defer(event, &s->ready, on_defer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->ready, SD_EVENT_OFF);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * sinks_free() - let go of file and socket; nothing is written, nothing is lost: the state knows
 *
 * Return: NULL.
 */
Sinks *sinks_free(Sinks *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->ready);
        sd_event_source_disable_unref(s->writable);
        for (SinkId id = 0; id < _SINK_MAX; id++)
                timer_free(s->sinks[id].timer);
        sink_journald_free(s->journal);
        sink_k8sfile_free(s->file);
        event_unref(s->event);
        free(s);
        return NULL;
}

static int call_again(Sinks *s) {
        int r = sd_event_source_set_enabled(s->ready, SD_EVENT_ONESHOT);

        return r < 0 ? fail(r) : 0;
}

static int sink_tell(Sink *sink, int error) {
        const Sinks *s = sink->sinks;

        sink->told = error != 0;
        return s->handler->on_trouble(s->userdata, sink->id, error, sink->state->lost_bytes - sink->lost);
}

static int end_trouble(Sink *sink) {
        bool told = sink->told;

        if (sink->error == 0)
                return 0;
        sink->error = 0;
        sink->gave_up = false;
        return told ? sink_tell(sink, 0) : 0;
}

/*
 * Gives up the bytes from the position on, to the end of the last whole line; a line that has no end yet goes only if
 * it is long or will never have one. A line of which a part is stored has to end before the next one: so its end stays,
 * or that of the last line that is lost, which is as good.
 */
static void drop(Sink *sink, StreamId id, const Window *w, StreamTail tail) {
        SinkState *state = sink->state;
        uint64_t position = state->position[id];
        const char *data, *p, *end;

        if (position >= w->to)
                return;
        data = w->data + (position - w->from);
        end = memrchr(data, '\n', (size_t)(w->to - position));
        end = end ? end + 1 : data;
        if (tail == TAIL_END || w->to - position - (uint64_t)(end - data) > SINK_JOURNALD_LINE_MAX)
                end = data + (w->to - position);
        if (state->continues[id] && tail != TAIL_END && end > data && end[-1] == '\n')
                end--;
        if (end == data)
                return;

        for (p = data; (p = memchr(p, '\n', (size_t)(end - p))); p++)
                state->lost_lines++;
        state->lost_lines += end[-1] != '\n';
        state->lost_bytes += (uint64_t)(end - data);
        state->continues[id] = end[-1] != '\n';
        state->position[id] = position + (uint64_t)(end - data);
}

/* Nothing goes and patience is over. */
static int give_up(Sink *sink, StreamId id, const Window *w, StreamTail tail) {
        const Sinks *s = sink->sinks;

        if (sink->id == SINK_FILE && !sink_k8sfile_settle(s->file))
                return 0; /* the write of a worker before us: first we must know how far it came */
        sink->gave_up = true;
        drop(sink, id, w, tail);
        return sink->told || sink->state->lost_bytes == sink->lost ? 0 : sink_tell(sink, sink->error);
}

/* When to try again. A full journal says so itself; the timer then ends the patience. */
static void block(Sink *sink, uint64_t now) {
        const Sinks *s = sink->sinks;
        uint64_t max = sink->id == SINK_JOURNAL ? RETRY_MAX_USEC : RETRY_USEC;
        uint64_t delay = sink->delay;

        sink->blocked = true;
        if (sink->id == SINK_JOURNAL && sink->error == EAGAIN && s->writable &&
            sd_event_source_set_enabled(s->writable, SD_EVENT_ONESHOT) >= 0) /* else it is tried again */
                delay = sink->gave_up ? TIMER_NEVER : patience_left(sink, now);
        else
                sink->delay = delay * 2 < max ? delay * 2 : max;
        timer_set(sink->timer, delay);
}

/* A write failed with the positive errno @error. */
static int begin_trouble(Sink *sink, int error, bool progress) {
        uint64_t now = event_now();
        int r;

        if (progress) {
                r = end_trouble(sink);
                if (r < 0)
                        return relay(r);
        }
        if (sink->error == 0) {
                sink->since = now;
                sink->delay = RETRY_USEC;
                sink->lost = sink->state->lost_bytes;
        }
        sink->error = error;
        if (!sink->told && !(sink->id == SINK_JOURNAL && error == EAGAIN)) {
                r = sink_tell(sink, error);
                if (r < 0)
                        return relay(r);
        }
        if (now - sink->since >= sink->sinks->patience)
                sink->gave_up = true;
        block(sink, now);
        return 0;
}

static int ask_for_file(Sinks *s) {
        int r;

        s->want_reopen = false;
        s->replacing = true;
        r = s->handler->on_reopen(s->userdata); /* may have called sinks_set_file() already */
        return r < 0 ? relay(r) : 0;
}

static int ask_for_journal(Sinks *s) {
        int r;

        s->connecting = true;
        r = s->handler->on_connect(s->userdata); /* may have called sinks_set_journal() already */
        return r < 0 ? relay(r) : 0;
}

/* A write to the journal failed with the positive errno @error, or there was no connection. */
static int lose_journal(Sinks *s, int error, bool progress) {
        Sink *sink = &s->sinks[SINK_JOURNAL];
        int r;

        if (s->connected && !progress) {
                s->connected = false;
                return begin_trouble(sink, error, false);
        }
        r = progress ? end_trouble(sink) : 0;
        return r < 0 ? relay(r) : ask_for_journal(s);
}

static uint64_t wall_usec(const struct timespec *now) {
        return (uint64_t)now->tv_sec * 1000000U + (uint64_t)now->tv_nsec / 1000U;
}

static int try_write(Sink *sink, StreamId id, const Window *w, StreamTail tail, const struct timespec *now) {
        Sinks *s = sink->sinks;
        uint64_t before = sink->state->position[id];
        bool progress;
        int r, answer;

        if (sink->id == SINK_FILE)
                answer = sink_k8sfile_write(s->file, id, w, tail, now);
        else
                answer = sink_journald_write(s->journal, id, w, tail);
        if (answer < 0)
                return relay(answer);
        if (sink->id == SINK_JOURNAL && sink_journald_floods(&sink->state->flood, wall_usec(now))) {
                r = s->handler->on_trouble(s->userdata, SINK_JOURNAL, SINKS_FLOOD, 0);
                if (r < 0)
                        return relay(r);
        }
        if (answer == SINK_K8SFILE_OTHER) {
                sink->owes = true;
                return 0;
        }

        progress = sink->state->position[id] != before;
        if (sink->id == SINK_JOURNAL && !sink_journald_is_connected(s->journal) && answer > 0)
                return lose_journal(s, answer, progress);
        if (sink->id == SINK_JOURNAL && progress)
                s->connected = false;
        if (answer > 0 && answer != SINK_K8SFILE_LIMIT)
                return begin_trouble(sink, answer, progress);
        r = progress ? end_trouble(sink) : 0;
        if (r >= 0 && progress && sink->owes) {
                sink->owes = false;
                r = call_again(s);
        }
        if (r >= 0 && answer == SINK_K8SFILE_LIMIT)
                r = ask_for_file(s);
        return r < 0 ? relay(r) : 0;
}

static int sink_write(Sink *sink, StreamId id, const Window *w, StreamTail tail, const struct timespec *now) {
        Sinks *s = sink->sinks;
        SinkState *state = sink->state;
        int r = 0;

        if (state->position[id] < w->from) { /* not of our making: a worker gone mad left it */
                state->lost_bytes += w->from - state->position[id];
                state->position[id] = w->from;
        }
        if (sink->id == SINK_FILE ? s->replacing : s->connecting)
                return 0;
        if (!sink->blocked || (sink->id == SINK_FILE && sink->gave_up && w->to > state->position[id])) {
                sink->blocked = false; /* what there may be room for is not given up before it was tried */
                r = try_write(sink, id, w, tail, now);
        }
        if (r >= 0 && sink->blocked && sink->gave_up)
                r = give_up(sink, id, w, tail);
        if (r >= 0 && sink->id == SINK_FILE && s->want_reopen)
                r = sinks_reopen(s);
        return r < 0 ? relay(r) : 0;
}

/**
 * sinks_write() - let each sink take what it can of a stream
 * @w: from sinks_position() or before it, to the newest byte
 * @tail: what is known of the bytes behind it; TAIL_END lets unfinished lines out
 * @now: wall clock, for the stamps
 *
 * May call on_trouble() and on_reopen(), never on_ready().
 *
 * Return: 0 or a negative errno; what a sink could not take is no error.
 */
int sinks_write(Sinks *s, StreamId id, const Window *w, StreamTail tail, const struct timespec *now) {
        assert(id < _STREAM_MAX);
        assert(w->from <= w->to);

        s->synced = false;
        for (SinkId i = 0; i < _SINK_MAX; i++) {
                int r = sink_exists(s, i) ? sink_write(&s->sinks[i], id, w, tail, now) : 0;

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * sinks_position() - first byte of a stream that some sink still needs
 *
 * Return: that, or UINT64_MAX if there are no sinks.
 */
uint64_t sinks_position(const Sinks *s, StreamId id) {
        uint64_t lowest = UINT64_MAX;

        for (SinkId i = 0; i < _SINK_MAX; i++)
                if (sink_exists(s, i) && s->sinks[i].state->position[id] < lowest)
                        lowest = s->sinks[i].state->position[id];
        return lowest;
}

/**
 * sinks_reopen() - the user wants a new log file (ctl "2"); without a file sink this does nothing
 *
 * Calls on_reopen() now if the file ends with a whole record, else as soon as it does.
 *
 * Return: 0 or a negative errno.
 */
int sinks_reopen(Sinks *s) {
        if (!s->file)
                return 0;
        s->want_reopen = true; /* also if a file is on its way: it may be older than the wish */
        return !s->replacing && sink_k8sfile_settle(s->file) ? ask_for_file(s) : 0;
}

/**
 * sinks_set_file() - the answer to on_reopen(); on_ready() follows
 * @fd: adopted, also on failure; -1: there is no new file, go on with the one we have
 *
 * Return: 0 or a negative errno.
 */
int sinks_set_file(Sinks *s, int fd) {
        _cleanup_close_ int new_fd = fd;
        Sink *sink = &s->sinks[SINK_FILE];
        int r;

        if (!s->file)
                return 0;
        r = sink_k8sfile_set_file(s->file, TAKE_FD(new_fd));
        if (r < 0)
                return relay(r);
        s->replacing = !sink_k8sfile_has_file(s->file);
        sink->blocked = false;
        timer_set(sink->timer, TIMER_NEVER);
        r = call_again(s);
        if (r >= 0 && s->want_reopen)
                r = sinks_reopen(s);
        return r < 0 ? relay(r) : 0;
}

/**
 * sinks_set_journal() - the answer to on_connect(); on_ready() follows
 * @fd: connected, borrowed in place of the one before; -1: there is none
 * @error: why not, a positive errno
 *
 * Without on_connect() a -1 has no effect.
 *
 * Return: 0 or a negative errno.
 */
int sinks_set_journal(Sinks *s, int fd, int error) {
        Sink *sink = &s->sinks[SINK_JOURNAL];
        int r = 0;

        if (!s->journal || (fd < 0 && !s->connecting))
                return 0;
        s->connecting = false;
        s->connected = fd >= 0;
        if (fd >= 0) {
                s->writable = sd_event_source_disable_unref(s->writable); /* before its descriptor goes */
                sink_journald_set_socket(s->journal, fd);
                watch_journal(s);
                sink->blocked = false;
                timer_set(sink->timer, TIMER_NEVER);
        } else
                r = begin_trouble(sink, error, false);
        return r < 0 ? relay(r) : call_again(s);
}

/**
 * sinks_waiting() - does a sink hold back what it will probably take later
 *
 * An unfinished line is not meant, and neither is a sink that has given up.
 */
bool sinks_waiting(const Sinks *s) {
        for (SinkId i = 0; i < _SINK_MAX; i++)
                if (s->sinks[i].owes || (s->sinks[i].blocked && !s->sinks[i].gave_up))
                        return true;
        return (s->file && s->replacing) || s->connecting;
}

/**
 * sinks_hurry() - the container has ended: what does not go soon is given up
 */
void sinks_hurry(Sinks *s) {
        uint64_t now = event_now(), spared = s->patience > HURRY_USEC ? s->patience - HURRY_USEC : 0;
        Sink *journal = &s->sinks[SINK_JOURNAL];

        s->patience -= spared;
        for (SinkId i = 0; i < _SINK_MAX; i++)
                s->sinks[i].since = s->sinks[i].since + spared < now ? s->sinks[i].since + spared : now;
        if (journal->blocked && !journal->gave_up &&
            journal->error == EAGAIN) /* all else is tried all the time */
                timer_set(journal->timer, patience_left(journal, now));
}

/**
 * sinks_flush() - after the last write: fsync the file, see whether journald has taken all
 *
 * journald looks at the sender when it takes a datagram: a worker that leaves earlier costs entries their unit. It has
 * them all the same, so one that stands still is not waited for as long as where bytes are at stake. The fsync may take
 * as long as the disk likes.
 *
 * Return: 0, SINKS_NOT_YET if on_ready() will say when to call again, or a negative errno.
 */
int sinks_flush(Sinks *s) {
        int r;

        if (s->file && s->fsync && !s->synced) {
                s->synced = true;
                r = sink_k8sfile_sync(s->file);
                if (r < 0)
                        return relay(r);
        }
        if (!s->journal)
                return 0;
        s->sinks[SINK_JOURNAL].state->flood.left = sink_journald_unread(s->journal) > 0;
        if (!s->sinks[SINK_JOURNAL].state->flood.left)
                return 0;
        if (s->sinks[SINK_JOURNAL].gave_up)
                return 0;
        if (s->flush_since == 0)
                s->flush_since = event_now();
        if (event_now() - s->flush_since >= (s->patience < UNREAD_MAX_USEC ? s->patience : UNREAD_MAX_USEC))
                return 0;
        timer_set(s->sinks[SINK_JOURNAL].timer, UNREAD_USEC);
        return SINKS_NOT_YET;
}
