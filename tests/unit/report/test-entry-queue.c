/* SPDX-License-Identifier: Apache-2.0 */

/* An entry for which the journal has no room is sent when there is some, in order; what cannot be kept is counted. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "clean.h"
#include "event.h"
#include "report/entry-queue.h"

typedef struct Fixture {
        Event *event;
        EntryQueue *queue;
        int fds[2]; /* ours, the journal's */
} Fixture;

static void fixture_init(Fixture *f) {
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(entry_queue_new(&f->queue, f->event), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, f->fds), 0);
        log_use_journal(f->fds[0]);
        log_set_sender(entry_queue_send, f->queue);
        log_set_stderr(false);
}

static void fixture_done(Fixture *f) {
        log_set_sender(NULL, NULL);
        f->queue = entry_queue_free(f->queue);
        f->event = event_unref(f->event);
        log_use_journal(-1);
        fd_close_many(f->fds, 2);
}

static void fill(const Fixture *f) {
        while (send(f->fds[0], "output", 6, 0) == 6)
                ;
        cr_assert_eq(errno, EAGAIN);
}

static int say(int number) {
        char text[32];
        int n = snprintf(text, sizeof text, "entry %d", number);

        return log_send_entry(text, (size_t)n);
}

/* The next entry that is none of output: its number, or -1 if there is no other datagram. */
static int next(const Fixture *f) {
        char text[64];
        ssize_t n;
        int number;

        while ((n = recv(f->fds[1], text, sizeof text - 1, 0)) > 0) {
                text[n] = 0;
                if (sscanf(text, "entry %d", &number) == 1)
                        return number;
                cr_assert_str_eq(text, "output");
        }
        return -1;
}

static int wait_for_next(const Fixture *f) {
        int number = -1;

        cr_assert(event_run_until(f->event, 20, number >= 0 || (number = next(f)) >= 0));
        return number;
}

CleanTest(entry_queue, entry_is_sent_at_once_where_there_is_room) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(say(1), 0);
        cr_assert_eq(next(&f), 1);
        entry_queue_finish(f.queue, 0);
        fixture_done(&f);
}

CleanTest(entry_queue, entries_wait_for_room_and_keep_their_order) {
        Fixture f;

        fixture_init(&f);
        for (int round = 0; round < 2; round++) {
                fill(&f);
                for (int i = 0; i < 3; i++)
                        cr_assert_eq(say(i), 0);
                cr_assert_eq(next(&f), -1, "there was no room");
                cr_assert_eq(say(3), 0, "those before it go first");
                for (int i = 0; i < 4; i++)
                        cr_assert_eq(wait_for_next(&f), i);
                cr_assert_eq(next(&f), -1);
        }
        fixture_done(&f);
}

static bool warned;

static bool note_warning(const LogMessage *m, void *userdata) {
        warned = warned || strstr(m->text, "36 messages are missing in the journal");
        return true;
}

CleanTest(entry_queue, what_is_too_much_is_counted) {
        Fixture f;

        fixture_init(&f);
        log_set_journal(note_warning, NULL);
        fill(&f);
        for (int i = 0; i < 100; i++)
                cr_assert_eq(say(i), i < 64 ? 0 : -ENOBUFS, "%d", i);
        cr_assert_not(warned);
        cr_assert_eq(next(&f), -1);
        for (int i = 0; i < 64; i++)
                cr_assert_eq(wait_for_next(&f), i);
        cr_assert(event_run_until(f.event, 20, warned));
        log_set_journal(NULL, NULL);
        fixture_done(&f);
}

CleanTest(entry_queue, end_waits_for_room_but_not_for_ever) {
        Fixture f;

        fixture_init(&f);
        fill(&f);
        cr_assert_eq(say(7), 0);
        entry_queue_finish(f.queue, 20000);
        cr_assert_eq(next(&f), -1, "there was no room");
        entry_queue_finish(f.queue, 20000);
        cr_assert_eq(next(&f), 7);
        fixture_done(&f);
}

CleanTest(entry_queue, journal_that_is_not_there_is_not_waited_for) {
        Fixture f;

        fixture_init(&f);
        fd_close_many(&f.fds[1], 1);
        cr_assert_eq(say(1), -ECONNREFUSED);
        entry_queue_finish(f.queue, 20000000);
        fixture_done(&f);
}
