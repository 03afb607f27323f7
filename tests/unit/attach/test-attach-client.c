/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/syscall.h>

#include "attach-fixture.h"

static int send_error; /* of each send from now on, if it is not 0 */
static unsigned n_sends;

/* The program's own goes before libc's. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags) {
        n_sends++;
        if (send_error != 0) {
                errno = send_error;
                return -1;
        }
        return (int)syscall(SYS_sendmmsg, fd, messages, n, flags);
}

CleanTest(attach_client, slow_client_does_not_delay_another_and_loses_nothing) {
        Fixture f;
        Peer slow, quick;

        fixture_init(&f);
        fixture_open(&f);
        slow = peer_connect(&f);
        quick = peer_connect(&f);
        for (unsigned i = 0; i < 32; i++) {
                output(&f, STREAM_STDOUT, 65536);
                output(&f, STREAM_STDERR, 30000);
                peer_take_all(&f, &quick);
                cr_assert(peer_has_all(&f, &quick));
        }
        cr_assert_lt(attach_position(f.attach, STREAM_STDOUT), f.windows[STREAM_STDOUT].to / 2);
        cr_assert_eq(f.n_room, 0);
        peer_take_all(&f, &slow);
        cr_assert(peer_has_all(&f, &slow));
        cr_assert_gt(f.n_room, 0);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), f.windows[STREAM_STDOUT].to);
        peer_close(&slow);
        peer_close(&quick);
        fixture_done(&f);
}

CleanTest(attach_client, client_that_never_reads_is_dropped_and_makes_room) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        f.spec.stall_usec = 1000;
        fixture_open(&f);
        p = peer_connect(&f);
        output(&f, STREAM_STDOUT, DATA_MAX);
        cr_assert(event_run_until(f.event, 10, f.n_gone == 1));
        cr_assert_gt(f.n_room, 0);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX);
        peer_take_all(&f, &p);
        cr_assert(p.ended, "what it was sent is still there, then it ends");
        peer_close(&p);
        fixture_done(&f);
}

CleanTest(attach_client, client_that_reads_a_little_gets_more_time) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        f.spec.stall_usec = 1;
        fixture_open(&f);
        p = peer_connect(&f);
        output(&f, STREAM_STDOUT, DATA_MAX);
        for (unsigned i = 0; i < 5; i++) {
                cr_assert(peer_take(&p));
                cr_assert_gt(event_turn(f.event, 1000000), 0);
                cr_assert_eq(f.n_gone, 0);
        }
        cr_assert(event_run_until(f.event, 10, f.n_gone == 1));
        peer_close(&p);
        fixture_done(&f);
}

/* Three reasons not to drop a client. A second one, without them, shows that the time is up. */
static void check_never_dropped(bool keep_slow, bool starter, uint64_t lag_max) {
        Fixture f, other;
        Peer p, q;

        fixture_init(&f);
        f.spec.stall_usec = 1;
        f.spec.keep_slow = keep_slow;
        f.spec.lag_max = lag_max;
        f.spec.starter = starter ? getpid() : 0;
        cr_assert_geq(f.spec.starter_pidfd = process_pidfd(getpid()), 0);
        fixture_open(&f);
        fixture_init(&other);
        other.spec.stall_usec = 1000;
        fixture_open(&other);

        p = peer_connect(&f);
        q = peer_connect(&other);
        cr_assert_eq(!!(f.slots[0].flags & ATTACH_STARTER), starter);
        output(&f, STREAM_STDOUT, DATA_MAX / 2);
        output(&other, STREAM_STDOUT, DATA_MAX / 2);
        cr_assert(event_run_until(other.event, 10, other.n_gone == 1));
        run_idle(&f);
        cr_assert_eq(f.n_gone, 0);
        peer_take_all(&f, &p);
        cr_assert(peer_has_all(&f, &p));

        fd_close_many(&f.spec.starter_pidfd, 1);
        peer_close(&p);
        peer_close(&q);
        fixture_done(&other);
        fixture_done(&f);
}

CleanTest(attach_client, client_with_the_only_copy_is_never_dropped) {
        check_never_dropped(true, false, 0);
}

CleanTest(attach_client, starter_is_never_dropped) {
        check_never_dropped(false, true, 0);
}

CleanTest(attach_client, client_whose_lag_is_not_full_is_not_dropped) {
        check_never_dropped(false, false, DATA_MAX);
}

CleanTest(attach_client, half_closed_client_still_gets_output) {
        for (unsigned way = 0; way < 2; way++) {
                Fixture f;
                Peer p;

                fixture_init(&f);
                fixture_open(&f);
                p = peer_connect(&f);
                cr_assert_eq(send(p.fd, "hello", 5, 0), 5);
                if (way == 0)
                        cr_assert_eq(shutdown(p.fd, SHUT_WR), 0);
                else
                        cr_assert_eq(send(p.fd, "", 0, 0), 0);
                run_idle(&f);
                cr_assert_eq(memcmp(f.input, "hello", 5), 0);
                cr_assert_eq(f.n_ends, 1);
                cr_assert(f.slots[0].flags & ATTACH_READ_ENDED);
                output(&f, STREAM_STDOUT, 12345);
                peer_take_all(&f, &p);
                cr_assert(peer_has_all(&f, &p));
                peer_close(&p);
                run_idle(&f);
                cr_assert_eq(f.n_gone, 1);
                fixture_done(&f);
        }
}

CleanTest(attach_client, input_of_a_client_that_has_left_waits_until_it_is_wanted) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        fixture_open(&f);
        p = peer_connect(&f);
        attach_want_input(f.attach, false);
        output(&f, STREAM_STDOUT, DATA_MAX); /* unread when it leaves: makes ECONNRESET of it */
        cr_assert_eq(send(p.fd, "one", 3, 0), 3);
        cr_assert_eq(send(p.fd, "two", 3, 0), 3);
        peer_close(&p);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 0);
        cr_assert_eq(f.n_input, 0);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX, "it holds nobody back");
        cr_assert_gt(f.n_room, 0);
        attach_want_input(f.attach, true);
        run_idle(&f);
        cr_assert_eq(memcmp(f.input, "onetwo", 6), 0);
        cr_assert_eq(f.n_gone, 1);
        fixture_done(&f);
}

CleanTest(attach_client, client_that_takes_no_more_may_still_send) {
        Fixture f;
        Peer p;

        fixture_init(&f);
        fixture_open(&f);
        p = peer_connect(&f);
        cr_assert_eq(shutdown(p.fd, SHUT_RD), 0);
        output(&f, STREAM_STDOUT, 100);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 0);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX);
        cr_assert_eq(send(p.fd, "more", 4, 0), 4);
        run_idle(&f);
        cr_assert_eq(f.n_input, 4);
        cr_assert_eq(shutdown(p.fd, SHUT_WR), 0);
        run_idle(&f);
        cr_assert_eq(f.n_gone, 1);
        peer_close(&p);
        fixture_done(&f);
}

/* The socket is writable all the time. */
CleanTest(attach_client, shortage_of_memory_is_waited_for_without_turning_in_vain) {
        static const int errors[] = { ENOBUFS, ENOMEM };

        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                unsigned n_turns = 0;
                Fixture f;
                Peer p;

                fixture_init(&f);
                fixture_open(&f);
                p = peer_connect(&f);
                send_error = errors[i];
                n_sends = 0;
                output(&f, STREAM_STDOUT, 1000);
                output(&f, STREAM_STDERR, 1000);
                run_idle(&f);
                while (n_sends < 10) {
                        cr_assert_geq(event_turn(f.event, LONG_TIME), 0);
                        n_turns++;
                }
                cr_assert_leq(n_turns, 2 * n_sends, "%u turns for %u sends", n_turns, n_sends);
                cr_assert_eq(f.n_gone, 0);
                send_error = 0;
                cr_assert(event_run_until(f.event, 10, (peer_take_all(&f, &p), peer_has_all(&f, &p))));
                cr_assert_eq(f.n_refused, 0);
                cr_assert_gt(f.n_room, 0);
                peer_close(&p);
                fixture_done(&f);
        }
}

/* Even if it has the only copy: nobody waits for it for ever. */
CleanTest(attach_client, shortage_of_memory_that_lasts_ends_the_output_and_is_told) {
        Fixture f;
        Peer p, other;

        fixture_init(&f);
        f.spec.keep_slow = true;
        f.spec.shortage_usec = 50000;
        fixture_open(&f);
        p = peer_connect(&f);
        send_error = ENOBUFS;
        output(&f, STREAM_STDOUT, 1000);
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), 0);
        cr_assert(event_run_until(f.event, 10, f.n_refused == 1));
        cr_assert_eq(attach_position(f.attach, STREAM_STDOUT), UINT64_MAX, "it holds nobody back");
        cr_assert_gt(f.n_room, 0);
        send_error = 0;
        peer_take_all(&f, &p);
        cr_assert(p.ended);

        other = peer_connect(&f);
        output(&f, STREAM_STDOUT, 1000);
        peer_take_all(&f, &other);
        cr_assert(peer_has_all(&f, &other));
        cr_assert_geq(attach_finish(f.attach), 0);
        peer_close(&p);
        peer_close(&other);
        run_idle(&f);
        cr_assert(attach_is_done(f.attach));
        fixture_done(&f);
}
