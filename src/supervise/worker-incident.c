/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What goes wrong with workers and sinks. A worker that has died is a zombie when it is looked at here: the kernel
 * still tells how many bytes its reads have brought and its writes have taken, which the worker itself may not have
 * lived to note.
 *
 * Two that crash with the sinks at the same byte have probably been killed by what follows it. The next worker then
 * writes that output without parsing it (worker-raw.c), so that no container can put its monitor into a circle. A
 * worker that was killed from outside says nothing about the output.
 *
 * All numbers in the ring may be a hostile worker's: they decide what is written or said about this one container.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "report/announce.h"
#include "supervise/worker-incident.h"

#define IO_SIZE 512 /* of /proc/PID/io, which is shorter */

/* What its last write has passed to the target. Without a number that can be true, it is written once more. */
static void recover_input(RingInput *input, uint64_t n_written) {
        uint32_t from = input->written_from, to = input->to;
        uint64_t before = input->written;

        if (input->writing == 1 && to <= RING_INPUT_SIZE && from <= to && n_written >= before &&
            n_written - before <= to - from)
                input->from = from + (uint32_t)(n_written - before);
        input->writing = 0;
}

/**
 * incident_watch() - a worker has been started: be able to tell what it has read and written when it has died
 *
 * What /proc has of a zombie is root's, and nobody else's to open.
 */
void incident_watch(Incidents *i, pid_t pid) {
        char path[64];

        fd_close_many(&i->io_fd, 1);
        (void)snprintf(path, sizeof path, "/proc/%d/io", pid);
        i->io_fd = open(path, O_RDONLY | O_CLOEXEC); /* tried again by incident_recover() */
}

static int read_io(const Incidents *i, pid_t pid, char text[IO_SIZE]) {
        _cleanup_close_ int late_fd = -1;
        char path[64];
        ssize_t n;

        if (i->io_fd < 0) {
                (void)snprintf(path, sizeof path, "/proc/%d/io", pid);
                late_fd = open(path, O_RDONLY | O_CLOEXEC);
                if (late_fd < 0)
                        return fail(-errno);
        }
        n = pread(i->io_fd < 0 ? late_fd : i->io_fd, text, IO_SIZE - 1, 0);
        if (n < 0)
                return fail(-errno);
        text[n] = 0;
        return 0;
}

/**
 * incident_recover() - put right what a worker's last read or write has done and it could not note
 * @pid: it has died and was not reaped
 */
void incident_recover(const Incidents *i, pid_t pid) {
        char text[IO_SIZE];
        const char *p;
        int r;

        r = read_io(i, pid, text);
        p = r < 0 ? NULL : strstr(text, RING_WRITTEN);
        recover_input(ring_input(i->ring), p ? strtoull(p + strlen(RING_WRITTEN), NULL, 10) : 0);
        p = r < 0 ? NULL : strstr(text, RING_READ);
        if (p)
                r = ring_recover(i->ring, strtoull(p + strlen(RING_READ), NULL, 10));
        if (r < 0)
                (void)log_warning_errno(r, "The last output read by the worker is lost:");
}

/* The first byte that some sink has not got. */
static uint64_t find_place(const Incidents *i, StreamId id) {
        const WorkerState *state = ring_state(i->ring);
        const bool used[_SINK_MAX] = {
                [SINK_FILE] = i->options->log_targets.file, [SINK_JOURNAL] = i->options->log_targets.journald
        };
        uint64_t place = ring_head(i->ring, id);

        for (SinkId sink = 0; sink < _SINK_MAX; sink++)
                if (used[sink] && state->sinks[sink].position[id] < place)
                        place = state->sinks[sink].position[id];
        return place;
}

/**
 * incident_death() - say that a worker has died, and see to it that not all do for the same reason
 *
 * To be called after incident_recover().
 */
void incident_death(Incidents *i, const ProcessStatus *status) {
        bool again = i->crashed;

        log_warning("Worker exited with status %d, restarting it", status->code);
        announce_worker_replaced(i->options, i->plan, status->signal, status->code);

        i->crashed = status->signal != SIGKILL && status->signal != SIGTERM;
        for (StreamId id = 0; id < _STREAM_MAX; id++) {
                WorkerState *state = ring_state(i->ring);
                uint64_t place = find_place(i, id), head = ring_head(i->ring, id);

                if (again && i->crashed && place == i->place[id] && place < head) {
                        state->raw_to[id] = head;
                        log_warning("Two workers crashed on the same output, writing %llu bytes of it raw",
                                    (unsigned long long)(head - place));
                        announce_raw(i->options, i->plan, head - place);
                }
                i->place[id] = place;
        }
}

/**
 * incident_sink() - a worker has told of trouble with a sink
 * @error: errno, or 0 when it is over
 * @lost_bytes: given up in this incident until now
 */
void incident_sink(Incidents *i, SinkId sink, int error, uint64_t lost_bytes) {
        const char *name = sink == SINK_FILE ? "the log file" : "the journal";
        const WorkerState *state = ring_state(i->ring);
        uint64_t lines = state->sinks[sink].lost_lines;

        if (!i->in_trouble[sink] && lost_bytes == 0)
                i->lines[sink] = lines;
        i->in_trouble[sink] = error != 0;
        lines = lines > i->lines[sink] ? lines - i->lines[sink] : 0;
        if (error == 0)
                i->lines[sink] += lines;

        log_warning("%s: %s, %llu bytes in %llu lines lost", name, error ? strerror(error) : "writable again",
                    (unsigned long long)lost_bytes, (unsigned long long)lines);
        announce_loss(i->options, i->plan, name, error, lost_bytes, lines);
}

/**
 * incident_more() - how many of this kind have not been told of, before one that is
 * @now: see event_now()
 *
 * Return: the end of its sentence, valid until the next call; NULL if this one is not to be told either.
 */
const char *incident_more(Incidents *i, IncidentKind kind, uint64_t now) {
        IncidentBurst *b = &i->bursts[kind];

        if (b->told_usec != 0 && now - b->told_usec < INCIDENT_QUIET_USEC) {
                b->n++;
                return NULL;
        }
        b->more[0] = 0;
        if (b->n > 0)
                (void)snprintf(b->more, sizeof b->more, " (and %u more)", b->n);
        b->told_usec = now;
        b->n = 0;
        return b->more;
}
