/* SPDX-License-Identifier: Apache-2.0 */

/* What is added to sd-event: timers that are no descriptors, errors that leave, rests. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "clean.h"
#include "event.h"

typedef struct Fixture {
        Event *event;
        char calls[64]; /* a letter each */
        size_t n_calls;
} Fixture;

/* A socketpair of which we watch one end. */
typedef struct Peer {
        Fixture *f;
        char letter;
        int ends[2];
        sd_event_source *source;
        int result;
        bool leave; /* what can be read is not */
        uint64_t rest;
} Peer;

static void fixture_init(Fixture *f) {
        *f = (Fixture){ 0 };
        cr_assert_eq(event_new(&f->event), 0);
}

static void fixture_done(Fixture *f) {
        f->event = event_unref(f->event);
}

static void note(Fixture *f, char letter) {
        cr_assert_lt(f->n_calls, sizeof f->calls - 1);
        f->calls[f->n_calls++] = letter;
}

static void check_calls(Fixture *f, const char *expected) {
        cr_assert_str_eq(f->calls, expected);
        memset(f->calls, 0, sizeof f->calls);
        f->n_calls = 0;
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *p = userdata;
        char byte;

        note(p->f, p->letter);
        if (!p->leave)
                (void)!recv(fd, &byte, 1, MSG_DONTWAIT);
        event_rest(p->f->event, p->rest);
        return p->result;
}

static void peer_init(Fixture *f, Peer *p, char letter) {
        *p = (Peer){ .f = f, .letter = letter };
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->ends), 0);
        cr_assert_eq(event_add_io(f->event, &p->source, p->ends[0], EPOLLIN, on_peer, p), 0);
}

static void peer_done(Peer *p) {
        p->source = sd_event_source_disable_unref(p->source);
        fd_close_many(p->ends, 2);
}

static void poke(Peer *p) {
        cr_assert_eq(write(p->ends[1], "x", 1), 1);
}

CleanTest(event, source_bears_its_handler_s_name_and_ends_the_loop_when_that_fails) {
        const char *name = NULL;
        Fixture f;
        Peer a;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        cr_assert_geq(sd_event_source_get_description(a.source, &name), 0);
        cr_assert_str_eq(name, "on_peer");
        cr_assert_eq(sd_event_source_get_exit_on_failure(a.source), 1);
        a.result = -EIO;
        poke(&a);
        cr_assert_eq(event_run(f.event), -EIO, "not -EIO");
        cr_assert_lt(event_turn(f.event, 0), 0, "and stays ended");
        peer_done(&a);
        fixture_done(&f);
}

CleanTest(event, file_cannot_be_watched) {
        _cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC);
        sd_event_source *source = NULL;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(event_add_io(f.event, &source, fd, EPOLLIN, on_peer, NULL), -EPERM);
        cr_assert_null(source);
        fixture_done(&f);
}

CleanTest(event, sources_of_a_priority_take_turns) {
        Fixture f;
        Peer p[3];

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(p); i++) {
                peer_init(&f, &p[i], (char)('a' + i));
                p[i].leave = true;
                poke(&p[i]);
        }
        for (size_t i = 0; i < 9; i++)
                cr_assert_eq(event_turn(f.event, 0), 1);
        for (size_t i = 0; i < 9; i += 3)
                for (char c = 'a'; c <= 'c'; c++)
                        cr_assert_not_null(memchr(f.calls + i, c, 3), "%s", f.calls);
        for (size_t i = 0; i < ELEMENTS(p); i++)
                peer_done(&p[i]);
        fixture_done(&f);
}

/* ---- timers ------------------------------------------------------------------------------------------- */

typedef struct Alarm {
        Fixture *f;
        Timer *timer, **victim; /* freed when this one is called */
        char letter;
        int result;
        bool again;
} Alarm;

static int on_alarm(Timer *timer, void *userdata) {
        Alarm *a = userdata;

        note(a->f, a->letter);
        if (a->again)
                timer_set(timer, 0);
        if (a->victim)
                *a->victim = timer_free(*a->victim);
        return a->result;
}

static void alarm_init(Fixture *f, Alarm *a, char letter, uint64_t usec) {
        *a = (Alarm){ .f = f, .letter = letter };
        cr_assert_eq(event_add_timer(f->event, &a->timer, usec, on_alarm, a), 0);
}

CleanTest(event, timer_expires_once_and_not_early) {
        uint64_t begin = event_now();
        Fixture f;
        Alarm a;

        fixture_init(&f);
        alarm_init(&f, &a, 'a', 20000);
        while (f.n_calls == 0)
                cr_assert_geq(event_turn(f.event, EVENT_FOREVER), 0);
        cr_assert_geq(event_now() - begin, 20000U);
        cr_assert_eq(event_turn(f.event, 0), 0);
        timer_set(a.timer, TIMER_NEVER);
        cr_assert_eq(event_turn(f.event, 30000), 0);
        timer_set(a.timer, UINT64_MAX - 1);
        cr_assert_eq(event_turn(f.event, 0), 0, "what overflows is never");
        timer_set(a.timer, 0);
        cr_assert_eq(event_turn(f.event, EVENT_FOREVER), 1);
        check_calls(&f, "aa");
        a.timer = timer_free(a.timer);
        fixture_done(&f);
}

/* Every one of three frees every one of three. */
CleanTest(event, timer_that_is_freed_is_not_called) {
        for (size_t who = 0; who < 3; who++)
                for (size_t whom = 0; whom < 3; whom++) {
                        Alarm a[3];
                        Fixture f;

                        fixture_init(&f);
                        for (size_t i = 0; i < 3; i++)
                                alarm_init(&f, &a[i], (char)('a' + i), 0);
                        a[who].victim = &a[whom].timer; /* the last one made is called first */
                        cr_assert_eq(event_turn(f.event, 0), whom < who ? 2 : 3);
                        cr_assert_eq(event_turn(f.event, 0), 0);
                        for (size_t i = 0; i < 3; i++)
                                a[i].timer = timer_free(a[i].timer);
                        fixture_done(&f);
                }
}

CleanTest(event, timer_without_end_starves_nobody_and_its_error_leaves) {
        Fixture f;
        Alarm a;
        Peer p;

        fixture_init(&f);
        alarm_init(&f, &a, 'a', 0);
        peer_init(&f, &p, 'p');
        a.again = true;
        poke(&p);
        cr_assert_eq(event_turn(f.event, EVENT_FOREVER), 2);
        cr_assert_eq(event_turn(f.event, EVENT_FOREVER), 1);
        check_calls(&f, "paa");
        a.result = -ENOSPC;
        cr_assert_eq(event_run(f.event), -ENOSPC);
        a.result = 0;
        cr_assert_eq(event_turn(f.event, 0), 1, "the loop can be turned again");
        a.timer = timer_free(a.timer);
        peer_done(&p);
        fixture_done(&f);
}

/* What read() returns is counted in the worker. */
CleanTest(event, loop_with_timers_reads_nothing) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        Fixture f;
        Alarm a;
        Peer p;

        fixture_init(&f);
        alarm_init(&f, &a, 'a', 1000);
        peer_init(&f, &p, 'p');
        poke(&p);
        cr_assert_eq(fd_read_file(AT_FDCWD, "/proc/self/io", 4096, &before, NULL), 0);
        for (unsigned i = 0; i < 5; i++) {
                poke(&p);
                cr_assert_geq(event_turn(f.event, 5000), 0);
        }
        cr_assert_eq(fd_read_file(AT_FDCWD, "/proc/self/io", 4096, &after, NULL), 0);
        cr_assert_eq(strtoull(after + strlen("rchar: "), NULL, 10) -
                             strtoull(before + strlen("rchar: "), NULL, 10),
                     strlen(before), "nothing but /proc/self/io itself");
        a.timer = timer_free(a.timer);
        peer_done(&p);
        fixture_done(&f);
}

/* ---- rests, ends -------------------------------------------------------------------------------------- */

CleanTest(event, rest_comes_before_the_next_turn_once_and_the_shortest_counts) {
        uint64_t begin;
        Fixture f;

        fixture_init(&f);
        event_rest(f.event, 999999);
        event_rest(f.event, 20000);
        event_rest(f.event, 999999);
        event_rest(f.event, 0);
        begin = event_now();
        cr_assert_eq(event_turn(f.event, 0), 0);
        cr_assert_geq(event_now() - begin, 20000U);
        begin = event_now();
        cr_assert_eq(event_turn(f.event, 0), 0);
        cr_assert_lt(event_now() - begin, 900000U);
        fixture_done(&f);
}

static int on_defer(sd_event_source *source, void *userdata) {
        Fixture *f = userdata;

        note(f, 'd');
        event_exit(f->event, 42);
        return 0;
}

CleanTest(event, after_the_exit_nobody_is_called) {
        sd_event_source *defer = NULL;
        Fixture f;
        Alarm a;
        Peer p;

        fixture_init(&f);
        alarm_init(&f, &a, 'a', 0);
        peer_init(&f, &p, 'p');
        poke(&p);
        cr_assert_eq(event_add_defer(f.event, &defer, on_defer, &f), 0);
        cr_assert_geq(sd_event_source_set_priority(defer, EVENT_PRIORITY_EARLY), 0);
        cr_assert_eq(event_run(f.event), 42);
        cr_assert_eq(event_run(f.event), 42);
        check_calls(&f, "d");
        defer = sd_event_source_disable_unref(defer);
        a.timer = timer_free(a.timer);
        peer_done(&p);
        fixture_done(&f);
}

CleanTest(event, timers_may_outlive_their_owner_s_reference) {
        Fixture f;
        Alarm a;

        fixture_init(&f);
        alarm_init(&f, &a, 'a', 0);
        fixture_done(&f);
        a.timer = timer_free(a.timer);
}
