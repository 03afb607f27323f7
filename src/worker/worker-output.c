/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way of the output:
 *
 *     stream ─▶ a read into the ring ─▶ sinks first: they are the record ─▶ then clients ─▶ what all have is released
 *
 * Until the keeper says that the container runs, output stays in the ring: if the runtime fails, its last words are
 * the error message and not container output. Whoever cannot take more holds its stream back when the ring is full,
 * and no earlier.
 *
 * An unfinished line is given FLUSH_USEC for its rest to come before a sink makes a partial record of it: a writer with
 * a buffer of its own cuts its lines anywhere, and what was one line should stay one. A letter that such a writer has
 * cut is held back longer, as half of it is nothing anybody could read: HOLD_USEC, then it is written as it is.
 *
 * The end: when the target has ended, what is there is read (others may hold the pipes open and go on writing: no more
 * than a pipe holds is taken from them), the sinks get all of it, and only then the keeper is told; clients who still
 * owe reading are served afterwards.
 */

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/utf8.h"
#include "worker/worker-internal.h"

#define FLUSH_USEC 3000      /* an unfinished line waits that long for its rest */
#define HOLD_USEC 1000000    /* ... and then an unfinished letter so long for its own */
#define WAIT_USEC 1000000    /* before output of what may be a runtime is thrown away */
#define TRIM_USEC 2000000    /* memory of the ring is given back after that long without output */
#define TERMINAL_FULL 4095   /* bytes */
#define TERMINAL_MOST 32768  /* bytes, then it is another source's turn */
#define DRAIN_MAX (1U << 20) /* bytes; what a pipe can hold at most */

static void timer_arm(Worker *w, WorkerTimer *timer, uint64_t usec) {
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                timer->heads[id] = ring_head(w->ring, id);
        timer->armed = true;
        timer_set(timer->timer, usec);
}

static uint64_t kept_from(Worker *w, StreamId id) {
        uint64_t sinks = w->sinks ? sinks_position(w->sinks, id) : UINT64_MAX;
        uint64_t clients = w->attach ? attach_position(w->attach, id) : UINT64_MAX;

        return sinks < clients ? sinks : clients;
}

/* Gives back what everybody has had; without room the stream is held back. */
static int settle(Worker *w, StreamId id) {
        int r;

        if (w->running)
                ring_release(w->ring, id, kept_from(w, id));
        r = streams_hold(w->streams, id,
                         w->stream_drained[id] || (w->state->has_run && ring_space(w->ring, id) == 0));
        if (r < 0)
                return relay(r);
        if (!w->trim.armed && ring_is_large(w->ring))
                timer_arm(w, &w->trim, TRIM_USEC);
        return 0;
}

static bool is_ended(const Worker *w, StreamId id) {
        return w->stream_drained[id] || (!streams_is_open(w->streams, id) &&
                                         (id != STREAM_STDOUT || !w->config.terminal || w->draining));
}

static int pump(Worker *w, StreamId id, StreamTail tail) {
        struct timespec now;
        Window window;
        int r;

        if (!w->running)
                return w->state->has_run ? settle(w, id) : 0; /* soon, when all clients are known */
        if (is_ended(w, id))
                tail = TAIL_END;

        window = ring_window(w->ring, id, 0);
        if (w->sinks) {
                Window shown = window;

                if (tail == TAIL_IDLE)
                        shown.to -= w->held[id];
                (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
                r = sinks_write(w->sinks, id, &shown, tail, &now);
                if (r < 0)
                        return relay(r);
                if (tail == TAIL_MORE && (!w->flush.armed || w->holding) && w->config.file &&
                    sinks_position(w->sinks, id) < window.to)
                        timer_arm(w, &w->flush, FLUSH_USEC);
        }
        if (w->attach) {
                w->state->pushed[id] = window.to;
                r = attach_push(w->attach, id, &window);
                if (r < 0)
                        return relay(r);
        }
        return settle(w, id);
}

/* What a read has come to, for on_readable(): a terminal that nobody has open any more says EIO. */
static ssize_t judge_read(ssize_t n) {
        if (n >= 0 || n == -EAGAIN)
                return n;
        return n == -EIO ? 0 : relay((int)n);
}

static ssize_t discard(Worker *w, StreamId id, int fd) {
        char scratch[4096];
        ssize_t n;

        n = ring_read_other(w->ring, fd, scratch, sizeof scratch);
        if (n > 0)
                w->state->dropped[id] += (uint64_t)n;
        return judge_read(n);
}

/*
 * A container is held back. A runtime may print more than the ring holds and must not be stopped by that; but perhaps
 * it is the container already, and the keeper is just about to say so: that is waited for.
 */
static ssize_t on_full(Worker *w, StreamId id, int fd) {
        int r;

        if (!w->state->has_run && w->impatient)
                return discard(w, id, fd);
        r = streams_hold(w->streams, id, true);
        if (r < 0)
                return relay(r);
        if (!w->state->has_run && !w->wait.armed)
                timer_arm(w, &w->wait, WAIT_USEC);
        return -EAGAIN;
}

static int wait_over(Timer *timer, void *userdata) {
        Worker *w = userdata;

        w->wait.armed = false;
        w->impatient = true;
        for (StreamId id = 0; !w->state->has_run && id < _STREAM_MAX; id++) {
                int r = streams_hold(w->streams, id, false);

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/* One read brings what the line discipline holds, 4095 bytes, and the next is there by then: they are written together. */
static ssize_t read_terminal(Worker *w, StreamId id, int fd) {
        ssize_t n, sum = 0;

        do {
                n = ring_read_stream(w->ring, id, fd);
                sum += n > 0 ? n : 0;
        } while (n >= TERMINAL_FULL && sum < TERMINAL_MOST && ring_space(w->ring, id) > 0);
        return sum > 0 ? sum : n;
}

static ssize_t on_readable(void *userdata, StreamId id, int fd) {
        Worker *w = userdata;
        ssize_t n;
        int r;

        if (ring_space(w->ring, id) == 0)
                return on_full(w, id, fd);

        n = judge_read(w->config.terminal ? read_terminal(w, id, fd) : ring_read_stream(w->ring, id, fd));
        if (n <= 0)
                return n;
        if (w->draining)
                w->drain_left[id] -= (size_t)n < w->drain_left[id] ? (size_t)n : w->drain_left[id];
        else if (!w->config.terminal &&
                 (!w->attach || attach_is_done(w->attach))) /* a client may be waiting for it */
                event_rest(w->event, gather_usec(&w->gathers[id], fd, event_now(), (size_t)n));
        r = pump(w, id, TAIL_MORE);
        return r < 0 ? relay(r) : n;
}

/**
 * worker_output_ended() - have both streams come to their end?
 */
bool worker_output_ended(const Worker *w) {
        return !streams_is_open(w->streams, STREAM_STDOUT) && !streams_is_open(w->streams, STREAM_STDERR);
}

static int tell_drained(Worker *w) {
        int r;

        if (w->keeper_gone)
                worker_orphan_drained(w);
        if (w->drained_told)
                return 0;
        w->drained_told = true;
        r = worker_tell(w, CHANNEL_DRAINED, 0);
        return r < 0 ? relay(r) : 0;
}

/*
 * Both streams have ended: most likely the target is just exiting. What the keeper will ask for is done and told at
 * once, as each question costs the exit two changes of process.
 */
static int say_ended(Worker *w) {
        if (!w->running || w->draining || !worker_output_ended(w))
                return 0;
        for (StreamId id = 0; w->sinks && id < _STREAM_MAX; id++)
                if (sinks_position(w->sinks, id) < ring_head(w->ring, id))
                        return 0;
        if (w->sinks && sinks_flush(w->sinks) == SINKS_NOT_YET)
                return 0;
        return tell_drained(w);
}

static int on_end(void *userdata, StreamId id) {
        Worker *w = userdata;
        int r;

        r = pump(w, id, TAIL_END);
        if (r < 0)
                return relay(r);
        if (w->keeper_gone)
                return worker_orphan_advance(w);
        return w->draining ? worker_output_moved(w, id) : say_ended(w);
}

/* Decides how many bytes of a letter that has only begun are held back. Return: whether any are. */
static bool hold_back(Worker *w, StreamId id) {
        const Window window = ring_window(w->ring, id, sinks_position(w->sinks, id));
        uint64_t now = event_now();

        w->held[id] = utf8_unfinished(window.data, window_size(&window));
        if (w->held[id] == 0 || (w->held_until[id] > 0 && w->held_until[id] <= now))
                w->held[id] = w->held_until[id] = 0;
        else if (w->held_until[id] == 0)
                w->held_until[id] = now + HOLD_USEC;
        return w->held[id] > 0;
}

static int flush_on_time(Timer *timer, void *userdata) {
        Worker *w = userdata;
        bool again = false;

        w->flush.armed = w->holding = false;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                int r;

                if (!w->sinks || sinks_position(w->sinks, id) >= ring_head(w->ring, id)) {
                        w->held_until[id] = 0;
                        continue;
                }
                if (w->flush.heads[id] != ring_head(w->ring, id)) {
                        w->held_until[id] = 0;
                        again = true;
                        continue;
                }
                w->holding |= hold_back(w, id);
                r = pump(w, id, TAIL_IDLE);
                if (r < 0)
                        return relay(r);
        }
        w->holding = w->holding && !again;
        if (again || w->holding)
                timer_arm(w, &w->flush, again ? FLUSH_USEC : HOLD_USEC);
        return 0;
}

static int trim_on_time(Timer *timer, void *userdata) {
        Worker *w = userdata;

        w->trim.armed = false;
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                if (w->trim.heads[id] != ring_head(w->ring, id)) {
                        timer_arm(w, &w->trim, TRIM_USEC);
                        return 0;
                }
        ring_trim(w->ring);
        return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------ */

/**
 * worker_output_finish() - leave, if the clients have everything
 *
 * Return: 0 or a negative errno.
 */
int worker_output_finish(Worker *w) {
        int r;

        if (w->done || (w->attach && !attach_is_done(w->attach)))
                return 0;
        if (w->keeper_gone && w->target_watch && !w->target_ended)
                return 0; /* there are exit files to be written yet */
        r = worker_tell(w, CHANNEL_DONE, 0);
        if (r < 0 || (w->unheard && !w->keeper_gone))
                return r < 0 ? relay(r) : 0;
        w->done = true;
        event_exit(w->event, 0);
        return 0;
}

/* Reads on until nothing more comes at once. Return: 0 if it has to wait for room, else 1. */
static int drain_stream(Worker *w, StreamId id) {
        int r;

        while (!w->stream_drained[id]) {
                bool more = w->drain_left[id] > 0 && streams_is_open(w->streams, id);

                if (more && w->running && ring_space(w->ring, id) == 0)
                        return 0;
                r = more ? streams_drain(w->streams, id) : 0;
                if (r < 0)
                        return relay(r);
                if (r == 0)
                        w->stream_drained[id] = true;
        }
        r = pump(w, id, TAIL_END);
        return r < 0 ? relay(r) : 1;
}

static int drain(Worker *w) {
        bool waiting = false;
        int r;

        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                r = drain_stream(w, id);
                if (r < 0)
                        return relay(r);
                if (r == 0 ||
                    (w->running && w->sinks && sinks_position(w->sinks, id) < ring_head(w->ring, id)))
                        waiting = true;
        }
        if (waiting && !w->sinks)
                return tell_drained(w); /* for clients alone the exit is not held back */
        if (waiting && w->attach && !w->config.exec)
                attach_hurry(w->attach); /* the log must be complete before the exit is told */
        if (waiting || w->drained)
                return 0;
        if (w->running && w->sinks && sinks_flush(w->sinks) == SINKS_NOT_YET)
                return 0; /* any failure has been told through on_trouble */

        w->drained = true;
        r = tell_drained(w);
        if (r < 0)
                return relay(r);
        if (w->attach) {
                r = attach_finish(w->attach);
                if (r < 0)
                        return relay(r);
        }
        return worker_output_finish(w);
}

/**
 * worker_output_moved() - a client or a sink has taken something, or is gone
 *
 * Return: 0 or a negative errno.
 */
int worker_output_moved(Worker *w, StreamId id) {
        int r;

        r = settle(w, id);
        if (r < 0)
                return relay(r);
        if (w->drained)
                return worker_output_finish(w);
        return w->draining ? drain(w) : 0;
}

/**
 * worker_output_drain() - the target has ended
 *
 * Return: 0 or a negative errno.
 */
int worker_output_drain(Worker *w) {
        w->draining = true;
        if (w->sinks)
                sinks_hurry(w->sinks);
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                w->drain_left[id] = DRAIN_MAX;
        return drain(w);
}

/**
 * worker_output_run() - the container runs: what has been kept until now goes out
 *
 * Return: 0 or a negative errno.
 */
int worker_output_run(Worker *w) {
        w->running = true;
        w->state->has_run = 1;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                int r = pump(w, id, TAIL_MORE);

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * worker_output_go_on() - a sink takes output again, or has written what it owed
 *
 * Return: 0 or a negative errno.
 */
int worker_output_go_on(Worker *w) {
        int r;

        r = worker_output_run(w);
        if (r < 0)
                return relay(r);
        if (w->draining)
                return w->drained ? 0 : drain(w);
        return say_ended(w);
}

/* ---- start -------------------------------------------------------------------------------------------- */

static int on_stdin_room(void *userdata) {
        return worker_input_pump(userdata);
}

static int open_streams(Worker *w) {
        static const StreamsHandler handler = { .on_readable = on_readable,
                                                .on_end = on_end,
                                                .on_stdin_room = on_stdin_room };
        int r;

        r = streams_new(&w->streams, w->event, &handler, w);
        if (r < 0)
                return relay(r);
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                int *fd = &w->fds[id == STREAM_STDOUT ? CHANNEL_FD_STDOUT : CHANNEL_FD_STDERR];

                if (*fd < 0)
                        continue;
                r = streams_add(w->streams, id, TAKE_FD(*fd));
                if (r < 0)
                        return relay(r);
        }
        if (w->fds[CHANNEL_FD_STDIN] < 0)
                return 0;
        if (!w->state->stdin_closed)
                return streams_add_stdin(w->streams, TAKE_FD(w->fds[CHANNEL_FD_STDIN]));
        fd_close_many(&w->fds[CHANNEL_FD_STDIN], 1); /* a worker before us did not live to say so */
        r = worker_tell(w, CHANNEL_STDIN_CLOSED, 0);
        return r < 0 ? relay(r) : 0;
}

static int open_timer(Worker *w, WorkerTimer *timer, TimerHandler handler) {
        int r;

        r = event_add_timer(w->event, &timer->timer, TIMER_NEVER, handler, w);
        return r < 0 ? relay(r) : 0;
}

/**
 * worker_output_open() - streams, sinks and timers, from the descriptors the keeper has sent
 *
 * Return: 0 or a negative errno; worker_output_close() cleans up after both.
 */
int worker_output_open(Worker *w) {
        int r;

        r = open_streams(w);
        if (r < 0)
                return relay(r);
        r = open_timer(w, &w->flush, flush_on_time);
        if (r < 0)
                return relay(r);
        r = open_timer(w, &w->trim, trim_on_time);
        if (r < 0)
                return relay(r);
        r = open_timer(w, &w->wait, wait_over);
        if (r < 0)
                return relay(r);
        r = worker_sinks_open(w);
        return r < 0 ? relay(r) : 0;
}

/**
 * worker_output_close() - close what worker_output_open() has opened
 */
void worker_output_close(Worker *w) {
        w->sinks = sinks_free(w->sinks);
        w->streams = streams_free(w->streams);
        w->flush.timer = timer_free(w->flush.timer);
        w->trim.timer = timer_free(w->trim.timer);
        w->wait.timer = timer_free(w->wait.timer);
}
