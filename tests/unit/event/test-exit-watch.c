/* SPDX-License-Identifier: Apache-2.0 */

/* Processes of our own, which we reap when the test says so: as anybody's parent might. */

#include <errno.h>
#include <fcntl.h>

#include "clean.h"
#include "event.h"
#include "event/exit-watch.h"

typedef struct Fixture {
        Event *event;
        ExitWatch *watch;
        pid_t pid;
        int pidfd, gate;
        unsigned n_signs, n_ends;
        int answer; /* of on_sign() */
        ProcessStatus status;
} Fixture;

static int on_sign(void *userdata) {
        Fixture *f = userdata;

        f->n_signs++;
        return f->answer;
}

static int on_end(void *userdata, const ProcessStatus *status) {
        Fixture *f = userdata;

        f->n_ends++;
        f->status = status ? *status : (ProcessStatus){ 0 };
        f->watch = exit_watch_free(f->watch);
        return 0;
}

static void set_up(Fixture *f, const ExitWatchHandler *handler) {
        int ends[2], r;
        char byte;

        *f = (Fixture){ 0 };
        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        r = process_fork(&f->pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)close(ends[1]);
                process_exit(read(ends[0], &byte, 1) == 0 ? 7 : 1);
        }
        (void)close(ends[0]);
        f->gate = ends[1];
        f->pidfd = process_pidfd(f->pid);
        cr_assert_geq(f->pidfd, 0);
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(exit_watch_new(&f->watch, f->event, f->pidfd, handler, f), 0);
        event_run_idle(f->event);
        cr_assert_eq(f->n_signs + f->n_ends, 0, "it runs");
}

static void tear_down(Fixture *f) {
        f->watch = exit_watch_free(f->watch);
        f->event = event_unref(f->event);
        cleanup_close(&f->pidfd);
}

static bool kernel_tells(Fixture *f) {
        ProcessStatus status;

        return process_status_of(f->pidfd, &status) != -EOPNOTSUPP;
}

CleanTest(exit_watch, status_comes_when_its_parent_has_taken_it) {
        static const ExitWatchHandler handler = { .on_sign = on_sign, .on_end = on_end };
        Fixture f;

        set_up(&f, &handler);
        cleanup_close(&f.gate);
        cr_assert(event_run_until(f.event, 30, f.n_signs > 0));
        cr_assert_eq(f.n_ends, kernel_tells(&f) ? 0 : 1);
        cr_assert_eq(process_reap(f.pid), 0);
        cr_assert(event_run_until(f.event, 30, f.n_ends == 1));
        if (kernel_tells(&f))
                cr_assert(f.status.known && f.status.code == 7);
        tear_down(&f);
}

CleanTest(exit_watch, parent_that_does_not_care_is_not_waited_for) {
        static const ExitWatchHandler handler = { .on_end = on_end };
        Fixture f;

        set_up(&f, &handler);
        cleanup_close(&f.gate);
        cr_assert(event_run_until(f.event, 30, f.n_ends == 1));
        cr_assert_not(f.status.known);
        cr_assert_eq(process_reap(f.pid), 0);
        tear_down(&f);
}

CleanTest(exit_watch, whoever_has_seen_to_it_hears_no_more) {
        static const ExitWatchHandler handler = { .on_sign = on_sign, .on_end = on_end };
        Fixture f;

        set_up(&f, &handler);
        f.answer = 1;
        cleanup_close(&f.gate);
        cr_assert(event_run_until(f.event, 30, f.n_signs > 0));
        f.watch = exit_watch_free(f.watch);
        event_run_idle(f.event);
        cr_assert_eq(f.n_ends, 0);
        cr_assert_eq(process_reap(f.pid), 0);
        tear_down(&f);
}
