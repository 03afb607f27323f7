/* SPDX-License-Identifier: Apache-2.0 */

/* Whoever closes what others have made does not sleep for it. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/foreign.h"
#include "clean.h"

#define LINGER_SECONDS 5

typedef struct Lingering {
        int listener, peer, fd;
} Lingering;

/* A socket that nobody reads from. */
static Lingering lingering_open(void) {
        const struct linger on = { .l_onoff = 1, .l_linger = LINGER_SECONDS };
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        static const char data[65536];
        Lingering l;

        l.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(l.listener, (const struct sockaddr *)&address, size), 0);
        cr_assert_eq(listen(l.listener, 1), 0);
        cr_assert_eq(getsockname(l.listener, (struct sockaddr *)&address, &size), 0);
        l.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(l.fd, (const struct sockaddr *)&address, size), 0);
        l.peer = accept4(l.listener, NULL, NULL, SOCK_CLOEXEC);
        cr_assert_geq(l.peer, 0);
        while (send(l.fd, data, sizeof data, MSG_DONTWAIT) > 0)
                ;
        cr_assert_eq(setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &on, sizeof on), 0);
        return l;
}

static void lingering_close(Lingering *l) {
        foreign_close(&l->fd, 1);
        fd_close_many((int[]){ l->peer, l->listener }, 2);
}

static bool took_long(time_t since) {
        return time(NULL) - since >= LINGER_SECONDS;
}

CleanTest(foreign, closing_does_not_linger) {
        Lingering l = lingering_open();
        time_t start = time(NULL);

        foreign_close(&l.fd, 1);
        cr_assert(!took_long(start));
        cr_assert_eq(l.fd, -1);
        lingering_close(&l);
}

CleanTest(foreign, reading_does_not_linger) {
        Lingering l = lingering_open();
        time_t start = time(NULL);
        char text[8] = "";
        int pair[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        cr_assert_eq(fd_send(pair[0], "one", 3, &l.fd, 1), 3);
        fd_close_many(&l.fd, 1); /* not the last copy */
        foreign_disarm_next(pair[1]);
        foreign_disarm_next(pair[0]); /* where there is nothing */
        cr_assert_eq(read(pair[1], text, sizeof text), 3);
        cr_assert_str_eq(text, "one", "the message was taken");
        cr_assert(!took_long(start));
        fd_close_many(pair, 2);
        lingering_close(&l);
}

CleanTest(foreign, what_nobody_has_room_for_does_not_linger) {
        Lingering l = lingering_open();
        time_t start = time(NULL);
        int pair[2], fds[FD_MESSAGE_MAX];
        char byte;
        size_t n;

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        for (size_t i = 0; i < ELEMENTS(fds); i++)
                fds[i] = l.fd;
        cr_assert_eq(fd_send(pair[0], "x", 1, fds, ELEMENTS(fds)), 1);
        cr_assert_eq(fd_send(pair[0], "long", 4, fds, 1), 4);
        fd_close_many(&l.fd, 1);
        cr_assert_eq(fd_receive(pair[1], &byte, 1, NULL, 0, &n), 1);
        cr_assert_eq(fd_receive(pair[1], &byte, 1, fds, 1, &n), -EMSGSIZE);
        cr_assert(!took_long(start));
        fd_close_many(pair, 2);
        lingering_close(&l);
}

static int listen_at(const char *name) {
        struct sockaddr_un address;
        socklen_t size;
        int fd;

        cr_assert_geq(fd_unix_address(name, &address, &size), 0);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

static int connect_to(int listener) {
        struct sockaddr_un address;
        socklen_t size = sizeof address;
        int fd;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&address, size), 0);
        return fd;
}

CleanTest(foreign, refusal_holds_for_what_is_accepted) {
        int listener = listen_at("@scopemon-test-foreign-1"), client, accepted;

        cr_assert(!foreign_is_refused(listener));
        if (!foreign_refuse(listener)) {
                fd_close_many(&listener, 1);
                cr_skip_test("before Linux 6.16");
        }
        cr_assert_eq(listen(listener, 1), 0);
        client = connect_to(listener);
        cr_assert_eq(fd_send(client, "x", 1, &client, 1), -EPERM, "before it is accepted");
        accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        cr_assert(foreign_is_refused(accepted));
        cr_assert_eq(fd_send(client, "x", 1, &client, 1), -EPERM);
        cr_assert_eq(fd_send(client, "x", 1, NULL, 0), 1);
        cr_assert_eq(fd_send(accepted, "x", 1, &client, 1), 1, "the other direction");
        fd_close_many((int[]){ accepted, client, listener }, 3);
}

CleanTest(foreign, accepted_ones_are_told_from_others) {
        int listener = listen_at("@scopemon-test-foreign-2"), other = listen_at("@scopemon-test-foreign-3");
        int pair[2], pipe_fds[2], tcp, client, accepted, of_other;

        cr_assert_eq(listen(listener, 1), 0);
        cr_assert_eq(listen(other, 1), 0);
        client = connect_to(listener);
        accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        of_other = connect_to(other);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        cr_assert_eq(fd_pipe(&pipe_fds[0], &pipe_fds[1]), 0);
        tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert(foreign_is_accepted_by(accepted, listener));
        cr_assert(!foreign_is_accepted_by(client, listener), "its peer");
        cr_assert(!foreign_is_accepted_by(listener, listener));
        cr_assert(!foreign_is_accepted_by(of_other, listener));
        cr_assert(!foreign_is_accepted_by(pair[0], listener));
        cr_assert(!foreign_is_accepted_by(pipe_fds[0], listener));
        cr_assert(!foreign_is_accepted_by(tcp, listener));
        cr_assert(!foreign_is_accepted_by(accepted, -1));
        cr_assert(!foreign_is_accepted_by(-1, listener));

        fd_close_many((int[]){ listener, other, client, accepted, of_other, tcp }, 6);
        fd_close_many(pair, 2);
        fd_close_many(pipe_fds, 2);
}

/* Only what nobody can make sleep when it is kept and closed. */
CleanTest(foreign, tame_kinds) {
        Lingering l = lingering_open();
        int pipes[2], pair[2] = { -1, -1 };
        int made = fd_pipe(&pipes[0], &pipes[1]) | socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
        const struct {
                int fd;
                bool tame;
        } cases[] = {
                { l.listener, true },
                { l.fd, false },
                { l.peer, false },
                { pipes[0], true },
                { pipes[1], true },
                { memfd_create("x", MFD_CLOEXEC), true },
                { socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), true },
                { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), false },
                { socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), false },
                { pair[0], true },
                { pair[1], true },
                { fd_open_null(O_RDONLY), false },
                { open("/proc/self/status", O_RDONLY | O_CLOEXEC), false },
                { open("/", O_PATH | O_CLOEXEC), false },
        };

        cr_assert_eq(made, 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                cr_assert_geq(cases[i].fd, 0, "case %zu", i);
                cr_assert_eq(foreign_is_tame(cases[i].fd), cases[i].tame, "case %zu", i);
        }
        cr_assert_not(foreign_is_tame(-1));
        for (size_t i = 3; i < ELEMENTS(cases); i++)
                (void)close(cases[i].fd);
        lingering_close(&l);
}
