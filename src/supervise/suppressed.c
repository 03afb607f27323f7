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
 * thousand entries; when it is over, a child (query.c) opens the journal and counts this container's entries since (a
 * microsecond each). Again while the flood lasts, and once more at the end, before the end is announced: then all was
 * taken and the number is exact. As long as the container runs, entries that are on their way look as if they were
 * missing, until the next look finds them: less than a queue of these is never said.
 *
 * If not even an entry of our own about the container can be found, the journal is one that we cannot see (a user
 * without the right, another namespace, Storage=none): then only floods that exceed journald's default are said, and
 * that it is not known.
 *
 * The numbers in the ring may be a hostile worker's: it can have wrong ones told about its container, and make us look
 * once in 30 s.
 */

#include <stdio.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "report/announce.h"
#include "scopemon/protocol.h"
#include "supervise/suppressed.h"
#include "systemd/journal-reader.h"

#define LOOK_USEC 20000000U  /* a look may take while the container runs, */
#define END_USEC 2000000U    /* ... and when it has ended: our own end waits for it */
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
                     const Options *options,
                     const PlacementPlan *plan,
                     Ring *ring) {
        *s = (Suppressed){ .options = options, .plan = plan, .ring = ring, .event = event };
}

/**
 * suppressed_done() - let go of everything; nobody is called any more
 */
void suppressed_done(Suppressed *s) {
        s->timer = timer_free(s->timer);
        s->query = query_free(s->query);
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

/**
 * suppressed_for_sure() - how many entries are missing of a container that runs
 *
 * Return: less than may be on their way is nothing.
 */
uint64_t suppressed_for_sure(const SuppressedState *state) {
        return state->missing > SUPPRESSED_ON_THEIR_WAY ? (uint64_t)state->missing : 0;
}

/* ---- in the child ------------------------------------------------------------------------------------- */

static int look(void *userdata, void *answer) {
        _cleanup_(journal_reader_freep) JournalReader *j = NULL;
        char output[256], own[256];
        const char *matches[] = { output, NULL };
        const Suppressed *s = userdata;
        SuppressedLook *ret = answer;
        int r;

        *ret = s->look;
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

/* ---- in the keeper ------------------------------------------------------------------------------------ */

static int on_look(void *userdata, const void *answer, int error);

/* Has a child look at what was sent until now. */
static int begin_look(Suppressed *s, uint64_t usec) {
        QuerySpec spec = { .ask = look,
                           .answer_size = sizeof(SuppressedLook),
                           .usec = usec,
                           .on_answer = on_look,
                           .userdata = s };
        int r;

        s->look = (SuppressedLook){ .until_sent = flood_of(s).sent, .until_usec = wall_clock() };
        r = query_new(&s->query, s->event, &spec);
        return r < 0 ? relay(r) : 0;
}

static void say(Suppressed *s, uint64_t suppressed, uint64_t sent) {
        SuppressedState *state = state_of(s);

        if (state->said)
                return;
        state->said = true;
        announce_suppressed(s->options, s->plan, suppressed, sent);
}

/*
 * What it has found, NULL for nothing. If it could not see, all we know is how much was sent. @left: entries that may be
 * on their way. Return: entries missing.
 */
static uint64_t end_look(Suppressed *s, const SuppressedLook *found, uint64_t left) {
        SuppressedState *state = state_of(s);
        uint64_t sent = s->look.until_sent - state->from_sent, missing;

        if (!found || !found->visible || found->until_usec < state->from_usec) {
                state->until_usec = state->from_usec = s->look.until_usec;
                state->until_sent = state->from_sent = s->look.until_sent;
                if (sent > DEFAULT_BURST)
                        say(s, 0, sent);
                return suppressed_for_sure(state);
        }
        missing = suppressed_add(state, found, left);
        if (missing > 0)
                say(s, missing, state->sent);
        return missing;
}

static int on_time(Timer *timer, void *userdata) {
        Suppressed *s = userdata;
        int r;

        s->armed = false;
        r = begin_look(s, LOOK_USEC);
        if (r < 0)
                log_debug("Cannot count the entries in the journal");
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

        if (s->armed || s->query || s->options->exec)
                return 0;
        if (flood.begin_usec > state->until_usec) {
                state->from_usec = flood.begin_usec;
                state->from_sent = flood.before;
        }
        return arm(s, &flood);
}

/* The container runs: the flood may go on. */
static void look_again(Suppressed *s) {
        SinkFlood flood = flood_of(s);

        if (flood.told && flood.begin_usec + SINK_FLOOD_USEC > state_of(s)->until_usec)
                (void)arm(s, &flood); /* if this fails, the end tells */
}

static int on_look(void *userdata, const void *answer, int error) {
        Suppressed *s = userdata;
        uint64_t missing;

        missing = end_look(s, answer, s->on_end && !flood_of(s).left ? 1 : SUPPRESSED_ON_THEIR_WAY);
        s->query = query_free(s->query);
        if (s->on_end)
                s->on_end(s->userdata, missing);
        else
                look_again(s);
        return 0;
}

/**
 * suppressed_end() - the last look
 * @on_end: called once: with how many entries of all that journald has taken it has not kept, as far as is known. From
 *          here if there is no need to look, else from the loop, within two seconds.
 */
void suppressed_end(Suppressed *s, SuppressedOnEnd on_end, void *userdata) {
        SuppressedState *state = state_of(s);
        SinkFlood flood = flood_of(s);

        suppressed_done(s);
        s->on_end = on_end;
        s->userdata = userdata;
        if (s->options->exec || !flood.told || flood.sent <= state->until_sent) {
                on_end(userdata, suppressed_for_sure(state));
                return;
        }
        if (!s->armed &&
            flood.begin_usec > state->until_usec) { /* a worker has died before it could say so */
                state->from_usec = flood.begin_usec;
                state->from_sent = flood.before;
        }
        s->armed = false;
        if (begin_look(s, END_USEC) < 0)
                on_end(userdata, suppressed_for_sure(state));
}
