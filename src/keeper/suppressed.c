/* SPDX-License-Identifier: Apache-2.0 */

/*
 * journald's rate limit. It takes what it is sent and throws away what one unit has sent beyond RateLimitBurst= in
 * RateLimitIntervalSec=. No sender is told. A message about it comes with the next entry of that unit after that time,
 * so of a container that floods and ends there is none, and a user may not read it. How large the limit is depends on
 * the unit's settings and on the free space of the disk, and others may send from that unit too. So we do not reckon:
 * we count what is there. Whoever wants to know that it was the rate limit has journald's own message, if there is one;
 * that lines are missing is what matters.
 *
 * Nothing is done for a container that says little. The worker tells the keeper of a span of 30 s with more than a
 * thousand entries; when it is over, a child maps libsystemd, counts this container's entries since (a microsecond each)
 * and ends. Again while the flood lasts, and once more at the end, before the end is announced: then all was taken and
 * the number is exact. As long as the container runs, entries that are on their way look as if they were missing, until
 * the next look finds them: less than a queue of these is never said.
 *
 * If not even an entry of our own about the container can be found, the journal is one that we cannot see (a user
 * without the right, another namespace, Storage=none): then only floods that exceed journald's default are said, and
 * that it is not known.
 *
 * The numbers in the ring may be a hostile worker's: it can have wrong ones told about its container, and make us look
 * once in 30 s.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "keeper/suppressed.h"
#include "report/announce.h"
#include "scopemon/protocol.h"
#include "systemd/journal-reader.h"
#include "worker/worker.h"

#define LOOK_S 20U           /* a look may take while the container runs, */
#define END_MSEC 2000        /* ... and when it has ended: somebody waits */
#define DEFAULT_BURST 10000U /* RateLimitBurst=, where the disk is nearly full */

/* What the worker has noted, which may be changing. */
static SinkFlood flood_of(const Suppressed *s) {
        const WorkerState *state = ring_state(s->ring);

        return state->sinks[SINK_JOURNAL].flood;
}

static SuppressedState *state_of(const Suppressed *s) {
        WorkerState *state = ring_state(s->ring);

        return &state->suppressed;
}

static uint64_t wall_clock(void) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
        return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

/**
 * suppressed_init() - nothing is done before suppressed_on_flood()
 *
 * All is borrowed, but for a reference to the loop.
 */
void suppressed_init(Suppressed *s,
                     Event *event,
                     Reaper *reaper,
                     const Options *options,
                     const PlacementPlan *plan,
                     Ring *ring) {
        *s = (Suppressed){
                .options = options, .plan = plan, .ring = ring, .event = event, .reaper = reaper, .fd = -1
        };
}

static void end_child(Suppressed *s) {
        if (s->pid != 0)
                (void)process_end(s->pid); /* not buried before: suppressed_on_exit() would know */
        s->pid = 0;
        fd_close_many(&s->fd, 1);
}

/**
 * suppressed_done() - let go of everything
 */
void suppressed_done(Suppressed *s) {
        s->timer = timer_free(s->timer);
        end_child(s);
}

/**
 * suppressed_add() - what a look says
 * @on_their_way: entries that journald may not have taken yet
 *
 * Return: how many entries are missing, as far as can be said; 0 for none.
 */
uint64_t suppressed_add(SuppressedState *state, const SuppressedLook *look, uint64_t on_their_way) {
        uint64_t sent = look->until_sent - state->from_sent;

        state->missing += (int64_t)(sent - look->found);
        state->sent += sent;
        state->until_usec = state->from_usec = look->until_usec;
        state->until_sent = state->from_sent = look->until_sent;
        return state->missing > (int64_t)on_their_way ? (uint64_t)state->missing : 0;
}

/* ---- in the child ------------------------------------------------------------------------------------- */

static int look(const Suppressed *s, SuppressedLook *ret) {
        _cleanup_(journal_reader_freep) JournalReader *j = NULL;
        char output[256], own[256];
        const char *matches[] = { output, NULL };
        int r;

        (void)snprintf(output, sizeof output, SCOPEMON_FIELD_ID_FULL "=%s", s->options->cid);
        (void)snprintf(own, sizeof own, SCOPEMON_FIELD_OWN_ID "=%s", s->options->cid);
        r = journal_reader_open(&j, NULL);
        if (r < 0)
                return relay(r);
        r = journal_reader_count(j, matches, state_of(s)->from_usec, ret->until_usec, &ret->found);
        if (r < 0)
                return relay(r);
        matches[0] = own;
        ret->visible = ret->found > 0 || journal_reader_find(j, matches) == 0;
        return 0;
}

static void __attribute__((noreturn)) answer(const Suppressed *s, int fd, pid_t parent) {
        SuppressedLook found = s->look;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                process_exit(EXIT_FAILURE);
        (void)fd_close_all_but(&fd, 1);
        process_end_in(LOOK_S);
        if (look(s, &found) < 0)
                process_exit(EXIT_FAILURE);
        process_exit(fd_write_full(fd, &found, sizeof found) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* ---- in the keeper ------------------------------------------------------------------------------------ */

/* Starts a child that looks at what was sent until now. */
static int begin_look(Suppressed *s) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        pid_t parent = getpid();
        int r;

        s->look = (SuppressedLook){ .until_sent = flood_of(s).sent, .until_usec = wall_clock() };
        r = fd_pipe(&read_fd, &write_fd);
        if (r < 0)
                return relay(r);
        r = process_fork(&s->pid);
        if (r < 0)
                return relay(r);
        if (r == 0)
                answer(s, write_fd, parent);
        s->fd = TAKE_FD(read_fd);
        return 0;
}

static void say(Suppressed *s, uint64_t suppressed, uint64_t sent) {
        SuppressedState *state = state_of(s);

        if (state->said)
                return;
        state->said = true;
        announce_suppressed(s->options, s->plan, suppressed, sent);
}

/*
 * What it has found, if anything. If it could not see, all we know is how much was sent. @left: entries that may be on
 * their way. Return: entries missing.
 */
static uint64_t end_look(Suppressed *s, uint64_t left) {
        SuppressedState *state = state_of(s);
        uint64_t sent = s->look.until_sent - state->from_sent, missing;
        SuppressedLook found;

        if (read(s->fd, &found, sizeof found) != sizeof found || !found.visible ||
            found.until_usec < state->from_usec) {
                state->until_usec = state->from_usec = s->look.until_usec;
                state->until_sent = state->from_sent = s->look.until_sent;
                if (sent > DEFAULT_BURST)
                        say(s, 0, sent);
                return 0;
        }
        missing = suppressed_add(state, &found, left);
        if (missing > 0)
                say(s, missing, state->sent);
        return missing;
}

static int on_time(Timer *timer, void *userdata) {
        Suppressed *s = userdata;
        int r;

        s->armed = false;
        r = begin_look(s);
        if (r >= 0)
                r = reaper_claim(s->reaper, s->pid); /* suppressed_on_exit() */
        if (r < 0) {
                log_debug("Cannot count the entries in the journal");
                end_child(s);
        }
        return 0;
}

/* A look, when the span under way is over. */
static int arm(Suppressed *s, const SinkFlood *flood) {
        uint64_t now = wall_clock(), end = flood->begin_usec + SINK_FLOOD_USEC;
        uint64_t left = end > now ? end - now : 0;
        int r;

        if (left > SINK_FLOOD_USEC)
                left = SINK_FLOOD_USEC; /* the clock was set */
        s->timer = timer_free(s->timer);
        r = event_add_timer(s->event, &s->timer, left + 1000000U, on_time, s);
        if (r < 0)
                return relay(r);
        s->armed = true;
        return 0;
}

/**
 * suppressed_on_flood() - the worker says that the journal was sent much
 *
 * Return: 0 or a negative errno.
 */
int suppressed_on_flood(Suppressed *s) {
        SuppressedState *state = state_of(s);
        SinkFlood flood = flood_of(s);

        if (s->armed || s->pid != 0 || s->options->exec)
                return 0;
        if (flood.begin_usec > state->until_usec) {
                state->from_usec = flood.begin_usec;
                state->from_sent = flood.before;
        }
        return arm(s, &flood);
}

/**
 * suppressed_on_exit() - a child has ended
 *
 * Return: true if it was ours.
 */
bool suppressed_on_exit(Suppressed *s, pid_t pid) {
        SinkFlood flood;

        if (s->pid == 0 || pid != s->pid)
                return false;
        s->pid = 0;
        flood = flood_of(s);
        (void)end_look(s, SUPPRESSED_ON_THEIR_WAY);
        fd_close_many(&s->fd, 1);
        if (flood.told && flood.begin_usec + SINK_FLOOD_USEC > state_of(s)->until_usec)
                (void)arm(s, &flood); /* it goes on; if this fails, the end tells */
        return true;
}

static bool is_readable(int fd, int msec) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, msec) > 0;
}

/**
 * suppressed_end() - the last look; waits for it, for two seconds at most
 *
 * Return: how many entries of all that journald has taken it has not kept, as far as is known.
 */
uint64_t suppressed_end(Suppressed *s) {
        SuppressedState *state = state_of(s);
        SinkFlood flood = flood_of(s);
        uint64_t missing = state->missing > SUPPRESSED_ON_THEIR_WAY ? (uint64_t)state->missing : 0;

        suppressed_done(s);
        if (s->options->exec || !flood.told || flood.sent <= state->until_sent)
                return missing;
        if (!s->armed &&
            flood.begin_usec > state->until_usec) { /* a worker has died before it could say so */
                state->from_usec = flood.begin_usec;
                state->from_sent = flood.before;
        }
        s->armed = false;
        if (begin_look(s) < 0)
                return missing;
        if (is_readable(s->fd, END_MSEC))
                missing = end_look(s, flood.left ? SUPPRESSED_ON_THEIR_WAY : 1);
        end_child(s);
        return missing;
}
