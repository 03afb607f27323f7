/* SPDX-License-Identifier: Apache-2.0 */

/* What is made of a worker's death: of numbers that may be a hostile worker's, and of how it has died. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "clean.h"
#include "supervise/worker-incident.h"

typedef struct Fixture {
        Options options;
        PlacementPlan plan;
        Ring *ring;
        Incidents incidents;
} Fixture;

static WorkerState *state_of(const Fixture *x) {
        return ring_state(x->ring);
}

static void begin(Fixture *x) {
        *x = (Fixture){ .options = { .cid = "c", .log_targets.file = true } };
        cr_assert_eq(ring_new(&x->ring, sizeof(WorkerState)), 0);
        cr_assert_eq(ring_begin(x->ring), 0);
        x->incidents = (Incidents){ .options = &x->options, .plan = &x->plan, .ring = x->ring, .io_fd = -1 };
        log_set_stderr(false);
}

static void end(Fixture *x) {
        fd_close_many(&x->incidents.io_fd, 1);
        x->ring = ring_free(x->ring);
}

/* The container has written, and the worker has read it. */
static void output(const Fixture *x, const char *text) {
        int ends[2];

        cr_assert_eq(fd_pipe(&ends[0], &ends[1]), 0);
        cr_assert_eq(fd_write_full(ends[1], text, strlen(text)), 0);
        cr_assert_eq(ring_read_stream(x->ring, STREAM_STDOUT, ends[0]), (ssize_t)strlen(text));
        fd_close_many(ends, 2);
}

static void die(Fixture *x, int signal) {
        incident_death(&x->incidents,
                       &(ProcessStatus){ .known = true, .signal = signal, .code = 128 + signal });
}

/* ---- a write to the target that the worker did not live to note ---------------------------------------- */

CleanTest(worker_incident, what_a_write_has_taken_is_believed_if_it_can_be) {
        static const struct {
                RingInput input;
                uint64_t n_written; /* as the kernel has counted */
                uint32_t from;
        } cases[] = {
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = 100 }, 105, 7 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = 100 }, 100, 2 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = 100 }, 108, 10 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = 100 }, 109, 2 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = 100 }, 99, 2 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 2, .written = UINT64_MAX }, 5, 2 },
                { { .from = 2, .to = 10, .writing = 0, .written_from = 2, .written = 100 }, 105, 2 },
                { { .from = 2, .to = 10, .writing = 7, .written_from = 2, .written = 100 }, 105, 2 },
                { { .from = 2, .to = 10, .writing = 1, .written_from = 11, .written = 100 }, 105, 2 },
                { { .from = 2, .to = RING_INPUT_SIZE + 1, .writing = 1, .written_from = 2, .written = 1 },
                  5,
                  2 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char io[128];
                Fixture x;

                begin(&x);
                *ring_input(x.ring) = cases[i].input;
                (void)snprintf(io, sizeof io, RING_READ "0\n" RING_WRITTEN "%llu\n",
                               (unsigned long long)cases[i].n_written);
                x.incidents.io_fd = memfd_create("io", MFD_CLOEXEC);
                cr_assert_eq(fd_write_full(x.incidents.io_fd, io, strlen(io)), 0);
                incident_recover(&x.incidents, getpid());
                cr_assert_eq(ring_input(x.ring)->from, cases[i].from, "case %zu", i);
                cr_assert_eq(ring_input(x.ring)->writing, 0, "case %zu", i);
                end(&x);
        }
}

/* ---- two that have died of the same output -------------------------------------------------------------- */

CleanTest(worker_incident, two_that_crash_on_the_same_output_have_it_written_raw) {
        Fixture x;

        begin(&x);
        output(&x, "good\nbad\n");
        state_of(&x)->sinks[SINK_FILE].position[STREAM_STDOUT] = 5;
        die(&x, SIGSEGV);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 0, "the first may have been chance");
        output(&x, "more\n");
        die(&x, SIGABRT);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 14);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDERR], 0, "there was none");
        end(&x);
}

CleanTest(worker_incident, one_that_was_killed_says_nothing_about_the_output) {
        static const int deaths[][3] = { { SIGKILL, SIGKILL, SIGKILL },
                                         { SIGSEGV, SIGKILL, SIGSEGV },
                                         { SIGSEGV, SIGTERM, SIGSEGV },
                                         { SIGKILL, SIGSEGV, SIGTERM } };

        for (size_t i = 0; i < ELEMENTS(deaths); i++) {
                Fixture x;

                begin(&x);
                output(&x, "text\n");
                for (size_t k = 0; k < ELEMENTS(deaths[i]); k++)
                        die(&x, deaths[i][k]);
                cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 0, "case %zu", i);
                end(&x);
        }
}

CleanTest(worker_incident, one_that_has_come_further_died_of_something_else) {
        Fixture x;

        begin(&x);
        output(&x, "one\ntwo\n");
        die(&x, SIGSEGV);
        state_of(&x)->sinks[SINK_FILE].position[STREAM_STDOUT] = 4;
        die(&x, SIGSEGV);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 0);
        die(&x, SIGSEGV);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 8, "but these two");
        end(&x);
}

/* Nothing was there that could have killed them; a sink that is not used has no position. */
CleanTest(worker_incident, without_output_it_was_not_the_output) {
        Fixture x;

        begin(&x);
        output(&x, "text\n");
        state_of(&x)->sinks[SINK_FILE].position[STREAM_STDOUT] = 5;
        state_of(&x)->sinks[SINK_JOURNAL].position[STREAM_STDOUT] = 0;
        die(&x, SIGSEGV);
        die(&x, SIGSEGV);
        cr_assert_eq(state_of(&x)->raw_to[STREAM_STDOUT], 0);
        end(&x);
}

/* ---- what is told --------------------------------------------------------------------------------------- */

CleanTest(worker_incident, what_can_be_brought_about_at_will_is_told_once_and_counted) {
        Incidents i = { .io_fd = -1 };
        uint64_t now = 1;

        cr_assert_str_eq(incident_more(&i, INCIDENT_CLIENT, now), "");
        cr_assert_null(incident_more(&i, INCIDENT_CLIENT, now));
        cr_assert_null(incident_more(&i, INCIDENT_CLIENT, now + INCIDENT_QUIET_USEC - 1));
        cr_assert_str_eq(incident_more(&i, INCIDENT_NOTIFY, now), "", "another kind is told");
        now += INCIDENT_QUIET_USEC;
        cr_assert_str_eq(incident_more(&i, INCIDENT_CLIENT, now), " (and 2 more)");
        now += INCIDENT_QUIET_USEC;
        cr_assert_str_eq(incident_more(&i, INCIDENT_CLIENT, now), "", "those were told");
}

CleanTest(worker_incident, lines_are_counted_from_where_a_trouble_began) {
        uint64_t *lost;
        Fixture x;

        begin(&x);
        lost = &state_of(&x)->sinks[SINK_FILE].lost_lines;
        *lost = 3; /* of earlier ones */
        incident_sink(&x.incidents, SINK_FILE, ENOSPC, 0);
        cr_assert_eq(x.incidents.lines[SINK_FILE], 3);
        *lost = 4;
        incident_sink(&x.incidents, SINK_FILE, EIO, 0);
        cr_assert_eq(x.incidents.lines[SINK_FILE], 3, "it goes on");
        *lost = 5;
        incident_sink(&x.incidents, SINK_FILE, ENOSPC, 20);
        cr_assert_eq(x.incidents.lines[SINK_FILE], 3, "it goes on");
        incident_sink(&x.incidents, SINK_FILE, 0, 20);
        cr_assert_eq(x.incidents.lines[SINK_FILE], 5, "it is over");
        *lost = 1; /* of a worker gone mad */
        incident_sink(&x.incidents, SINK_FILE, 0, 20);
        cr_assert_eq(x.incidents.lines[SINK_FILE], 5);
        end(&x);
}
