/* SPDX-License-Identifier: Apache-2.0 */

/* Output that nobody handles. */

#include <fcntl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "supervise/discard.h"

CleanTest(discard, writer_is_never_held_up_and_all_is_counted) {
        static const char text[65536];
        uint64_t n_bytes = 0;
        Discard d = { 0 };
        Event *event;
        int r, w;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(discard_begin(&d, event, r, &n_bytes), 0);
        cr_assert_eq(discard_begin(&d, event, r, &n_bytes), 0, "once more is nothing");
        for (unsigned i = 1; i <= 5; i++) {
                cr_assert_eq(fd_write_full(w, text, sizeof text), 0);
                cr_assert(event_run_until(event, 10, n_bytes == i * sizeof text));
        }
        (void)close(w);
        cr_assert(event_run_until(event, 10, !d.source), "the end is not seen");
        discard_end(&d);
        (void)close(r);
        event_unref(event);
}

CleanTest(discard, datagrams_are_taken_and_not_counted) {
        Discard d = { 0 };
        int ends[2];
        Event *event;
        char byte;

        cr_assert_eq(event_new(&event), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        cr_assert_eq(discard_begin(&d, event, ends[0], NULL), 0);
        cr_assert_eq(send(ends[1], "READY=1", 7, 0), 7);
        event_run_idle(event);
        cr_assert_lt(recv(ends[0], &byte, 1, 0), 0, "it is still there");
        discard_end(&d);
        fd_close_many(ends, 2);
        event_unref(event);
}

CleanTest(discard, what_is_there_now_is_taken_without_waiting) {
        uint64_t n_bytes = 0;
        int r, w;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        discard_now(r, &n_bytes);
        cr_assert_eq(n_bytes, 0);
        cr_assert_eq(fd_write_full(w, "last words", 10), 0);
        discard_now(r, &n_bytes);
        cr_assert_eq(n_bytes, 10);
        (void)close(w);
        discard_now(r, &n_bytes);
        cr_assert_eq(n_bytes, 10);
        (void)close(r);
}
