/* SPDX-License-Identifier: Apache-2.0 */

/* An answer arrives in the loop, once, or why there is none; the child never outlives the wish for it. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "event.h"
#include "event/query.h"

typedef enum Way {
        ANSWERS,
        FAILS,
        DIES,
        HANGS,
} Way;

typedef struct Fixture {
        Event *event;
        Query *query;
        Way way;
        unsigned n_answers;
        int error;
        char text[20000];
} Fixture;

static int ask(void *userdata, void *answer) {
        const Fixture *f = userdata;
        char *text = answer;

        memset(text, 'x', sizeof f->text - 1);
        switch (f->way) {
        case ANSWERS:
                return 0;
        case FAILS:
                return -EIO;
        case DIES:
                (void)raise(SIGKILL);
                break;
        case HANGS:
                for (;;)
                        (void)pause();
        }
        return 0;
}

static int on_answer(void *userdata, const void *answer, int error) {
        Fixture *f = userdata;

        f->n_answers++;
        f->error = error;
        cr_assert_eq(answer == NULL, error < 0);
        if (answer)
                memcpy(f->text, answer, sizeof f->text);
        f->query = query_free(f->query);
        return 0;
}

static void put(Fixture *f, Way way, uint64_t usec) {
        QuerySpec spec = {
                .ask = ask, .answer_size = sizeof f->text, .usec = usec, .on_answer = on_answer, .userdata = f
        };

        *f = (Fixture){ .way = way };
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(query_new(&f->query, f->event, &spec), 0);
}

/* Its only child ends; nobody else buries it. */
static ProcessStatus tear_down(Fixture *f) {
        ProcessStatus status;
        pid_t pid;

        f->query = query_free(f->query);
        f->event = event_unref(f->event);
        while ((pid = process_peek(0, &status)) == 0)
                ;
        cr_assert_gt(pid, 0);
        cr_assert_eq(process_reap(pid), 0);
        cr_assert_eq(process_peek(0, &(ProcessStatus){ 0 }), -ECHILD);
        return status;
}

CleanTest(query, answer_arrives_whole_and_once) {
        Fixture f;

        put(&f, ANSWERS, 30000000);
        cr_assert(event_run_until(f.event, 10, f.n_answers > 0));
        cr_assert_eq(f.error, 0);
        cr_assert_eq(strlen(f.text), sizeof f.text - 1);
        event_run_idle(f.event);
        cr_assert_eq(f.n_answers, 1);
        (void)tear_down(&f);
}

CleanTest(query, child_without_an_answer_is_told) {
        for (Way way = FAILS; way <= DIES; way++) {
                Fixture f;

                put(&f, way, 30000000);
                cr_assert(event_run_until(f.event, 10, f.n_answers > 0));
                cr_assert_eq(f.error, -EPIPE);
                (void)tear_down(&f);
        }
}

/* As the keeper has them: what a child inherits must not keep it alive. */
CleanTest(query, child_that_hangs_is_killed_in_time_whatever_signals_are_blocked) {
        sigset_t all, before;
        Fixture f;

        (void)sigfillset(&all);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &all, &before), 0);
        put(&f, HANGS, 1000);
        cr_assert(event_run_until(f.event, 10, f.n_answers > 0));
        cr_assert_eq(f.error, -ETIMEDOUT);
        cr_assert_eq(tear_down(&f).signal, SIGKILL);
        cr_assert_eq(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

CleanTest(query, child_ends_with_the_wish_for_an_answer) {
        Fixture f;

        put(&f, HANGS, 30000000);
        f.query = query_free(f.query);
        event_run_idle(f.event);
        cr_assert_eq(f.n_answers, 0);
        cr_assert_eq(tear_down(&f).signal, SIGKILL);
}

CleanTest(query, child_holds_none_of_our_descriptors) {
        struct pollfd p = { .events = POLLIN };
        int r, w;
        Fixture f;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        put(&f, HANGS, 30000000);
        (void)close(w);
        p.fd = r;
        cr_assert_eq(poll(&p, 1, 10000), 1, "it has closed its copy");
        cr_assert(p.revents & POLLHUP);
        (void)close(r);
        (void)tear_down(&f);
}

CleanTest(query, answer_has_a_size_that_a_pipe_takes) {
        QuerySpec spec = { .ask = ask, .usec = 1, .on_answer = on_answer };
        Query *q = NULL;
        Event *event;

        cr_assert_eq(event_new(&event), 0);
        for (size_t size = 0; size <= QUERY_ANSWER_MAX + 1; size += QUERY_ANSWER_MAX + 1) {
                spec.answer_size = size;
                cr_assert_eq(query_new(&q, event, &spec), -EINVAL);
        }
        cr_assert_null(q);
        event = event_unref(event);
}
