/* SPDX-License-Identifier: Apache-2.0 */

/* A manager that does not read delays nobody, and hears all in order when it does. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/notify-queue.h"

typedef struct Fixture {
        Event *event;
        NotifyQueue *queue;
        int manager;
        char name[64];
        unsigned n_sent, n_heard, n_lost, n_fds;
        int error;
} Fixture;

static void on_lost(void *userdata, const char *text, int error) {
        Fixture *f = userdata;

        f->n_lost++;
        f->error = error;
}

static void listen_as(Fixture *f) {
        struct sockaddr_un address;
        socklen_t size;

        cr_assert_geq(fd_unix_address(f->name, &address, &size), 0);
        f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(bind(f->manager, (const struct sockaddr *)&address, size), 0);
}

static void fixture_init(Fixture *f) {
        *f = (Fixture){ .manager = -1 };
        (void)snprintf(f->name, sizeof f->name, "@test-notify-queue-%d", getpid());
        listen_as(f);
        cr_assert_eq(event_new(&f->event), 0);
        cr_assert_eq(notify_queue_new(&f->queue, f->event, f->name, on_lost, f), 0);
}

static void fixture_done(Fixture *f) {
        f->queue = notify_queue_free(f->queue);
        f->event = event_unref(f->event);
        fd_close_many(&f->manager, 1);
}

static int say(Fixture *f, int fd) {
        char text[32];

        (void)snprintf(text, sizeof text, "STATUS=%u", f->n_sent++);
        return notify_queue_send(f->queue, text, fd);
}

/* @more than the kernel says it keeps for a manager; it keeps one more. */
static void overfill(Fixture *f, unsigned more) {
        char text[16] = "";
        unsigned n = 10;
        FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");

        cr_assert_not_null(file);
        if (fgets(text, sizeof text, file))
                (void)sscanf(text, "%u", &n);
        (void)fclose(file);
        for (unsigned i = 0; i < n + more; i++)
                cr_assert_eq(say(f, -1), 0);
}

static void hear(Fixture *f) {
        char text[64], expected[32];
        size_t n_fds = 0;
        ssize_t n;
        int fd;

        while ((n = fd_receive(f->manager, text, sizeof text - 1, &fd, 1, &n_fds)) > 0) {
                text[n] = 0;
                (void)snprintf(expected, sizeof expected, "STATUS=%u", f->n_heard++);
                cr_assert_str_eq(text, expected);
                f->n_fds += (unsigned)n_fds;
                fd_close_many(&fd, n_fds);
        }
}

CleanTest(notify_queue, what_finds_room_is_heard_at_once) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(say(&f, -1), 0);
        cr_assert_eq(say(&f, f.manager), 0);
        hear(&f);
        cr_assert_eq(f.n_heard, 2);
        cr_assert_eq(f.n_fds, 1);
        fixture_done(&f);
}

CleanTest(notify_queue, what_finds_no_room_is_heard_later_and_in_order) {
        uint64_t begin = event_test_now();
        Fixture f;
        int fd;

        fixture_init(&f);
        overfill(&f, 20);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_eq(say(&f, fd), 0);
        fd_close_many(&fd, 1); /* the queue has its own */
        cr_assert_lt(event_test_now() - begin, 30000000, "nobody has waited for each");
        cr_assert(event_run_until(f.event, 20, (hear(&f), f.n_heard == f.n_sent)));
        cr_assert_eq(f.n_fds, 1);
        cr_assert_eq(f.n_lost, 0);
        fixture_done(&f);
}

CleanTest(notify_queue, a_manager_that_never_reads_is_not_told_without_end) {
        unsigned n = 0;
        Fixture f;

        fixture_init(&f);
        overfill(&f, 20);
        while (say(&f, -1) == 0)
                cr_assert_lt(n++, 100000);
        cr_assert_gt(n, 0);
        fixture_done(&f);
}

CleanTest(notify_queue, a_flush_ends_in_time_and_tells_what_is_lost) {
        uint64_t begin;
        Fixture f;

        fixture_init(&f);
        overfill(&f, 20);
        begin = event_test_now();
        notify_queue_flush(f.queue, 100);
        cr_assert_geq(event_test_now() - begin, 99000);
        cr_assert_geq(f.n_lost, 19);
        cr_assert_eq(f.error, -ETIMEDOUT);
        notify_queue_flush(f.queue, 100000); /* nothing is left */
        fixture_done(&f);
}

CleanTest(notify_queue, a_flush_sends_what_finds_room) {
        Fixture f;

        fixture_init(&f);
        overfill(&f, 5);
        hear(&f);
        notify_queue_flush(f.queue, 10000);
        hear(&f);
        cr_assert_eq(f.n_heard, f.n_sent);
        cr_assert_eq(f.n_lost, 0);
        fixture_done(&f);
}

CleanTest(notify_queue, a_manager_that_is_gone_is_an_error) {
        NotifyQueue *nobody = NULL;
        Fixture f;

        fixture_init(&f);
        overfill(&f, 20);
        fd_close_many(&f.manager, 1);
        cr_assert(event_run_until(f.event, 20, f.n_lost > 0));
        cr_assert_lt(f.error, 0);
        f.n_heard = f.n_sent;
        cr_assert_lt(say(&f, -1), 0);
        listen_as(&f);
        f.n_heard = f.n_sent;
        cr_assert_eq(say(&f, -1), 0, "another one may come");
        hear(&f);
        cr_assert_eq(f.n_heard, f.n_sent);

        cr_assert_eq(notify_queue_new(&nobody, f.event, NULL, on_lost, &f), 0);
        cr_assert_eq(notify_queue_send(nobody, "READY=1", -1), -ENOTCONN);
        cr_assert_eq(notify_queue_send(NULL, "READY=1", -1), -ENOTCONN);
        notify_queue_flush(NULL, 100000);
        nobody = notify_queue_free(nobody);
        fixture_done(&f);
}
