/* SPDX-License-Identifier: Apache-2.0 */

/* Who is called, in which order, and who is not called any more. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"

typedef struct Peer Peer;

typedef struct Fixture {
        Loop *loop;
        char calls[64]; /* a letter each */
        size_t n_calls;
} Fixture;

/* A socketpair of which we watch one end. */
struct Peer {
        Fixture *f;
        char letter;
        int ends[2];
        LoopSource *source;
        Peer *victim; /* freed when this one is called */
        uint32_t revents;
        int result;
        bool leave; /* what can be read is not */
};

static void fixture_init(Fixture *f) {
        *f = (Fixture){ 0 };
        cr_assert_eq(loop_new(&f->loop), 0);
}

static void fixture_done(Fixture *f) {
        f->loop = loop_unref(f->loop);
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

static void peer_done(Peer *p) {
        p->source = loop_source_free(p->source);
        fd_close_many(p->ends, 2);
}

static int on_peer(LoopSource *source, int fd, uint32_t revents, void *userdata) {
        Peer *p = userdata;
        char byte;

        cr_assert_eq(fd, p->ends[0]);
        cr_assert_eq(source, p->source);
        note(p->f, p->letter);
        p->revents = revents;
        if (!p->leave)
                (void)!recv(fd, &byte, 1, MSG_DONTWAIT);
        if (p->victim)
                peer_done(p->victim);
        return p->result;
}

static void peer_init(Fixture *f, Peer *p, char letter) {
        *p = (Peer){ .f = f, .letter = letter };
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->ends), 0);
        cr_assert_eq(loop_add_io(f->loop, &p->source, p->ends[0], EPOLLIN, on_peer, p), 0);
}

static void poke(Peer *p) {
        cr_assert_eq(write(p->ends[1], "x", 1), 1);
}

CleanTest(loop, descriptor_is_called_while_it_is_ready) {
        Fixture f;
        Peer a;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        poke(&a);
        poke(&a);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(a.revents, EPOLLIN);
        cr_assert_eq(loop_turn(f.loop, 0), 1, "one call a turn");
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        check_calls(&f, "aa");

        fd_close_many(&a.ends[1], 1);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        cr_assert(a.revents & EPOLLHUP);
        peer_done(&a);
        fixture_done(&f);
}

CleanTest(loop, file_cannot_be_watched) {
        _cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC);
        LoopSource *source = NULL;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_io(f.loop, &source, fd, EPOLLIN, on_peer, NULL), -EPERM);
        cr_assert_null(source);
        fixture_done(&f);
}

CleanTest(loop, lower_priority_value_goes_first_then_the_elder) {
        Peer p[4];
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(p); i++)
                peer_init(&f, &p[i], (char)('a' + i));
        loop_source_set_priority(p[2].source, LOOP_PRIORITY_EARLY);
        loop_source_set_priority(p[3].source, LOOP_PRIORITY_FIRST);
        for (size_t i = 0; i < ELEMENTS(p); i++)
                poke(&p[i]);
        cr_assert_eq(loop_turn(f.loop, 0), 4);
        check_calls(&f, "dcab");
        for (size_t i = 0; i < ELEMENTS(p); i++)
                peer_done(&p[i]);
        fixture_done(&f);
}

/* Every one of three frees every one of three, all of them ready: those that are left are called, once. */
CleanTest(loop, freed_source_is_not_called_whoever_frees_it) {
        for (size_t who = 0; who < 3; who++)
                for (size_t whom = 0; whom < 3; whom++) {
                        char expected[4] = "";
                        Fixture f;
                        Peer p[3];

                        fixture_init(&f);
                        for (size_t i = 0; i < 3; i++) {
                                peer_init(&f, &p[i], (char)('a' + i));
                                poke(&p[i]);
                                if (i <= who || i != whom)
                                        expected[strlen(expected)] = (char)('a' + i);
                        }
                        p[who].victim = &p[whom];
                        cr_assert_eq(loop_turn(f.loop, 0), (int)strlen(expected));
                        check_calls(&f, expected);
                        cr_assert_eq(loop_turn(f.loop, 0), 0);
                        for (size_t i = 0; i < 3; i++)
                                peer_done(&p[i]);
                        fixture_done(&f);
                }
}

typedef struct Swap {
        Fixture *f;
        Peer *old, *new;
} Swap;

static int on_swap(LoopSource *source, void *userdata) {
        Swap *s = userdata;
        int number = s->old->ends[0];

        note(s->f, 's');
        peer_done(s->old);
        peer_init(s->f, s->new, 'n');
        cr_assert_eq(s->new->ends[0], number, "the same number again");
        return 0;
}

CleanTest(loop, new_source_does_not_inherit_what_was_pending_for_its_descriptor) {
        LoopSource *defer;
        Peer old, new;
        Swap swap;
        Fixture f;

        fixture_init(&f);
        swap = (Swap){ &f, &old, &new };
        peer_init(&f, &old, 'o');
        poke(&old);
        cr_assert_eq(loop_add_defer(f.loop, &defer, on_swap, &swap), 0);
        loop_source_set_priority(defer, LOOP_PRIORITY_FIRST);
        cr_assert_eq(loop_source_set_enabled(defer, LOOP_ONESHOT), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        check_calls(&f, "s");
        poke(&new);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        check_calls(&f, "n");
        defer = loop_source_free(defer);
        peer_done(&new);
        fixture_done(&f);
}

CleanTest(loop, error_ends_the_turn_and_nobody_is_switched_off) {
        Fixture f;
        Peer a, b;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        peer_init(&f, &b, 'b');
        a.result = -EIO;
        a.leave = b.leave = true;
        poke(&a);
        poke(&b);
        cr_assert_eq(loop_turn(f.loop, 0), -EIO);
        cr_assert_eq(loop_run(f.loop), -EIO);
        check_calls(&f, "aa");
        a.result = 0;
        cr_assert_eq(loop_turn(f.loop, 0), 2);
        check_calls(&f, "ab");
        peer_done(&a);
        peer_done(&b);
        fixture_done(&f);
}

CleanTest(loop, source_that_is_off_is_not_called_not_even_for_a_hang_up) {
        Fixture f;
        Peer a;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        poke(&a);
        cr_assert_eq(loop_source_set_enabled(a.source, LOOP_OFF), 0);
        cr_assert_eq(loop_source_set_enabled(a.source, LOOP_OFF), 0);
        fd_close_many(&a.ends[1], 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        cr_assert_eq(loop_source_set_enabled(a.source, LOOP_ONESHOT), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0, "once");
        peer_done(&a);
        fixture_done(&f);
}

/* The first one called no longer wants the second one to be. */
static int on_withdraw(LoopSource *source, void *userdata) {
        Peer *p = userdata;

        return loop_source_set_io_events(p->source, EPOLLPRI);
}

CleanTest(loop, events_nobody_waits_for_any_more_are_not_delivered) {
        LoopSource *defer;
        Fixture f;
        Peer a;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        poke(&a);
        cr_assert_eq(loop_add_defer(f.loop, &defer, on_withdraw, &a), 0);
        loop_source_set_priority(defer, LOOP_PRIORITY_FIRST);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        check_calls(&f, "");
        defer = loop_source_free(defer);
        cr_assert_eq(loop_source_set_io_events(a.source, EPOLLIN), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        peer_done(&a);
        fixture_done(&f);
}

CleanTest(loop, edge_is_told_once_and_again_if_asked_for_anew) {
        Fixture f;
        Peer a;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        a.leave = true;
        cr_assert_eq(loop_source_set_io_events(a.source, EPOLLIN | EPOLLET), 0);
        poke(&a);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        cr_assert_eq(loop_source_set_io_events(a.source, EPOLLIN | EPOLLET), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        peer_done(&a);
        fixture_done(&f);
}

CleanTest(loop, more_than_fit_into_one_call_all_get_their_turn) {
        Peer p[50];
        Fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTS(p); i++) {
                peer_init(&f, &p[i], 'x');
                poke(&p[i]);
        }
        for (size_t i = 0; i < 4 && f.n_calls < ELEMENTS(p); i++)
                cr_assert_gt(loop_turn(f.loop, 0), 0);
        cr_assert_eq(f.n_calls, ELEMENTS(p));
        for (size_t i = 0; i < ELEMENTS(p); i++)
                peer_done(&p[i]);
        fixture_done(&f);
}

/* ---- timers ------------------------------------------------------------------------------------------- */

static int on_time(LoopSource *source, uint64_t usec, void *userdata) {
        cr_assert_leq(usec, loop_now(), "never too early");
        note(userdata, 't');
        return 0;
}

CleanTest(loop, timer_expires_once_and_not_early) {
        uint64_t begin = loop_now();
        LoopSource *timer;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_time(f.loop, &timer, 20000, on_time, &f), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        cr_assert(event_run_until(f.loop, 30, f.n_calls > 0));
        cr_assert_geq(loop_now() - begin, 20000);
        cr_assert_eq(loop_turn(f.loop, 1000), 0);
        loop_source_set_time(timer, 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "again if it is set again");
        check_calls(&f, "tt");
        timer = loop_source_free(timer);
        fixture_done(&f);
}

CleanTest(loop, rest_comes_before_the_next_turn_once_and_the_shortest_counts) {
        uint64_t begin = loop_now();
        Fixture f;

        fixture_init(&f);
        loop_rest(f.loop, 999999);
        loop_rest(f.loop, 20000);
        loop_rest(f.loop, 999999);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        cr_assert_geq(loop_now() - begin, 20000);
        begin = loop_now();
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        loop_rest(f.loop, 999999);
        loop_rest(f.loop, 0);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        cr_assert_lt(loop_now() - begin, 900000);
        fixture_done(&f);
}

static int on_rest(LoopSource *source, int fd, uint32_t revents, void *userdata) {
        Peer *p = userdata;
        char byte;

        if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
                loop_rest(p->f->loop, 1000);
                note(p->f, p->letter);
        } else
                note(p->f, '-');
        return p->leave ? loop_source_set_enabled(source, LOOP_OFF) : 0;
}

CleanTest(loop, who_rests_is_called_until_it_does_not_and_who_is_off_stays_off) {
        Fixture f;
        Peer a, b;

        fixture_init(&f);
        peer_init(&f, &a, 'a');
        peer_init(&f, &b, 'b');
        a.source = loop_source_free(a.source);
        b.source = loop_source_free(b.source);
        cr_assert_eq(loop_add_io(f.loop, &a.source, a.ends[0], EPOLLIN, on_rest, &a), 0);
        cr_assert_eq(loop_add_io(f.loop, &b.source, b.ends[0], EPOLLIN, on_rest, &b), 0);
        b.leave = true;
        poke(&a);
        poke(&a);
        poke(&b);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 2);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "without another look");
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        poke(&a);
        poke(&b);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "it is watched again");
        check_calls(&f, "aba-a");
        peer_done(&a);
        peer_done(&b);
        fixture_done(&f);
}

/* Off while it rests, and on again: by another source that comes first, or at once. */
CleanTest(loop, who_is_switched_off_and_on_while_resting_is_not_lost) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        peer_init(&f, &p, 'p');
        p.source = loop_source_free(p.source);
        cr_assert_eq(loop_add_io(f.loop, &p.source, p.ends[0], EPOLLIN, on_rest, &p), 0);
        p.leave = true;
        poke(&p);
        poke(&p);
        poke(&p);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0, "it is off");
        cr_assert_eq(loop_source_set_enabled(p.source, LOOP_ON), 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "it is on");
        cr_assert_eq(loop_source_set_enabled(p.source, LOOP_ON), 0);
        cr_assert_eq(loop_source_set_enabled(p.source, LOOP_OFF), 0);
        cr_assert_eq(loop_source_set_enabled(p.source, LOOP_ON), 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "on, off, on");
        check_calls(&f, "ppp");
        peer_done(&p);
        fixture_done(&f);
}

static int on_switch(LoopSource *source, uint64_t usec, void *userdata) {
        Peer *p = userdata;

        note(p->f, 's');
        return loop_source_set_enabled(p->source, LOOP_ON);
}

CleanTest(loop, who_is_switched_on_in_the_turn_after_its_rest_is_not_lost) {
        LoopSource *first;
        Fixture f;
        Peer p;

        fixture_init(&f);
        cr_assert_eq(loop_add_time(f.loop, &first, LOOP_NEVER, on_switch, &p), 0);
        peer_init(&f, &p, 'p');
        p.source = loop_source_free(p.source);
        cr_assert_eq(loop_add_io(f.loop, &p.source, p.ends[0], EPOLLIN, on_rest, &p), 0);
        p.leave = true;
        poke(&p);
        poke(&p);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        loop_source_set_time(first, 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "the timer alone");
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1, "it is watched");
        check_calls(&f, "psp");
        first = loop_source_free(first);
        peer_done(&p);
        fixture_done(&f);
}

CleanTest(loop, timer_that_is_stopped_or_never_set_does_not_expire) {
        LoopSource *never, *stopped, *later;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_time(f.loop, &never, LOOP_NEVER, on_time, &f), 0);
        cr_assert_eq(loop_add_time(f.loop, &stopped, 0, on_time, &f), 0);
        cr_assert_eq(loop_add_time(f.loop, &later, UINT64_MAX - 1, on_time, &f), 0);
        loop_source_set_time(stopped, LOOP_NEVER);
        cr_assert_eq(loop_turn(f.loop, 2000), 0);
        never = loop_source_free(never);
        stopped = loop_source_free(stopped);
        later = loop_source_free(later);
        fixture_done(&f);
}

static int on_time_free(LoopSource *source, uint64_t usec, void *userdata) {
        LoopSource **other = userdata;

        *other = loop_source_free(*other);
        return 0;
}

CleanTest(loop, expired_timer_that_is_freed_is_not_called) {
        LoopSource *first, *second;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_time(f.loop, &first, 0, on_time_free, &second), 0);
        cr_assert_eq(loop_add_time(f.loop, &second, 0, on_time, &f), 0);
        cr_assert_eq(loop_turn(f.loop, 0), 1);
        check_calls(&f, "");
        first = loop_source_free(first);
        fixture_done(&f);
}

/* ---- signals ------------------------------------------------------------------------------------------ */

static void block_signals(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGUSR1);
        (void)sigaddset(&set, SIGUSR2);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

static int on_signal(LoopSource *source, const struct signalfd_siginfo *info, void *userdata) {
        cr_assert_eq(info->ssi_pid, (uint32_t)getpid());
        note(userdata, info->ssi_signo == SIGUSR1 ? '1' : '2');
        return 0;
}

CleanTest(loop, signal_reaches_its_source) {
        LoopSource *one, *two;
        Fixture f;

        block_signals();
        fixture_init(&f);
        cr_assert_eq(loop_add_signal(f.loop, &one, SIGUSR1, on_signal, &f), 0);
        cr_assert_eq(loop_add_signal(f.loop, &two, SIGUSR2, on_signal, &f), 0);
        cr_assert_eq(kill(getpid(), SIGUSR2), 0);
        cr_assert_eq(kill(getpid(), SIGUSR1), 0);
        event_run_idle(f.loop);
        check_calls(&f, "12"); /* as the kernel orders them */
        one = loop_source_free(one);
        cr_assert_eq(kill(getpid(), SIGUSR2), 0);
        event_run_idle(f.loop);
        check_calls(&f, "2");
        two = loop_source_free(two);
        fixture_done(&f);
}

CleanTest(loop, signal_has_to_be_blocked_and_has_one_source) {
        LoopSource *one, *again;
        Fixture f;

        block_signals();
        fixture_init(&f);
        cr_assert_eq(loop_add_signal(f.loop, &one, SIGHUP, on_signal, &f), -EBUSY);
        cr_assert_eq(loop_add_signal(f.loop, &one, SIGUSR1, on_signal, &f), 0);
        cr_assert_eq(loop_add_signal(f.loop, &again, SIGUSR1, on_signal, &f), -EBUSY);
        one = loop_source_free(one);
        cr_assert_eq(loop_add_signal(f.loop, &again, SIGUSR1, on_signal, &f), 0);
        again = loop_source_free(again);
        fixture_done(&f);
}

/* ---- put off, and the end ----------------------------------------------------------------------------- */

static int on_defer(LoopSource *source, void *userdata) {
        note(userdata, 'd');
        return 0;
}

CleanTest(loop, defer_is_called_each_turn_and_does_not_wait) {
        LoopSource *defer;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_defer(f.loop, &defer, on_defer, &f), 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(loop_source_set_enabled(defer, LOOP_ONESHOT), 0);
        cr_assert_eq(loop_turn(f.loop, LOOP_FOREVER), 1);
        cr_assert_eq(loop_turn(f.loop, 0), 0);
        check_calls(&f, "ddd");
        defer = loop_source_free(defer);
        fixture_done(&f);
}

static int on_exit_(LoopSource *source, void *userdata) {
        Fixture *f = userdata;

        note(f, 'e');
        loop_exit(f->loop, 7);
        return 0;
}

CleanTest(loop, after_the_exit_nobody_is_called) {
        LoopSource *first, *second;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_defer(f.loop, &first, on_exit_, &f), 0);
        cr_assert_eq(loop_add_defer(f.loop, &second, on_defer, &f), 0);
        cr_assert_eq(loop_run(f.loop), 7);
        cr_assert_eq(loop_run(f.loop), 7, "not even once");
        check_calls(&f, "e");
        first = loop_source_free(first);
        second = loop_source_free(second);
        fixture_done(&f);
}

CleanTest(loop, sources_may_outlive_their_owner_s_reference) {
        LoopSource *defer;
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(loop_add_defer(f.loop, &defer, on_defer, &f), 0);
        f.loop = loop_unref(f.loop);
        defer = loop_source_free(defer);
        cr_assert_null(loop_source_free(NULL));
        cr_assert_null(loop_unref(NULL));
}
