/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The last output: the worker gets time to store it, and its clients, for as long as they take any, to have it. Then
 * it is done without.
 */

#include "base/log.h"
#include "keeper/keeper-internal.h"

/* Whether clients have taken something since the last time. */
static bool drain_has_progress(Keeper *k) {
        const WorkerState *state = ring_state(k->ring);
        uint64_t delivered = 0;

        for (size_t i = 0; i < ELEMENTS(state->slots); i++)
                for (StreamId id = 0; id < _STREAM_MAX; id++)
                        delivered += state->slots[i].position[id];
        if (delivered == k->drain.delivered)
                return false;
        k->drain.delivered = delivered;
        return true;
}

static int drain_on_timeout(Timer *timer, void *userdata) {
        Keeper *k = userdata;
        int r;

        if (k->facts.streams_closed && drain_has_progress(k)) {
                timer_set(timer, KEEPER_DRAIN_USEC);
                return 0;
        }
        log_error("Timed out waiting for the worker to flush output, killing it");
        (void)keeper_learn(k, (Facts){ .runtime_exited = true }); /* nor is that waited for */
        r = worker_process_kill_for_good(k->worker);
        if (r < 0)
                keeper_endure(k, r);
        keeper_announce_end(k);
        return 0;
}

/**
 * drain_begin() - there is no target any more, or never was
 */
void drain_begin(Keeper *k) {
        int r;

        if (!k->worker) {
                (void)keeper_learn(k, KEEPER_WORKER_GONE);
                return;
        }
        r = event_add_timer(k->event, &k->drain.timer, KEEPER_DRAIN_USEC, drain_on_timeout, k);
        if (r < 0)
                keeper_endure(k, r);
        (void)worker_process_drain(k->worker);
}

/**
 * drain_on_stored() - all the target wrote is in the sinks
 *
 * Return: 0 or a negative errno.
 */
int drain_on_stored(void *userdata) {
        Keeper *k = userdata;

        return keeper_learn(k, (Facts){ .streams_closed = true });
}

/**
 * drain_on_worker_done() - the worker has left in order
 *
 * Return: 0 or a negative errno.
 */
int drain_on_worker_done(void *userdata) {
        Keeper *k = userdata;

        k->drain.timer = timer_free(k->drain.timer);
        return keeper_learn(k, KEEPER_WORKER_GONE);
}
