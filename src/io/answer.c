/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A signal has no answer. Whoever wants one waits at an abstract socket whose name is made of a number, which the signal
 * tells in place of its sender's pid; the receiver of the signal sends one datagram there, or nothing if nobody waits. It
 * says nothing that is secret, and the kernel tells who sent it: an answer counts only with the pid that was asked.
 *
 * Anybody can take any name, so the number is a random one. It is no process's: "scopemon upgrade" of 0.1.0 waited under
 * its pid.
 *
 * Asker and asked must be in the same network namespace, as monitors and administrators are.
 */

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/foreign.h"
#include "io/answer.h"

#define PIDS_END 0x400000 /* of Linux */
#define TRIES 16

static socklen_t answer_address_of(struct sockaddr_un *ret, pid_t pid) {
        int n;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        n = snprintf(ret->sun_path + 1, sizeof ret->sun_path - 1, "scopemon/answer/%d", pid);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* Return: 0 or a negative errno. */
static int bind_somewhere(int fd, pid_t *ret) {
        for (unsigned i = 0; i < TRIES; i++) {
                struct sockaddr_un address;
                socklen_t size;
                uint32_t random;

                if (getrandom(&random, sizeof random, 0) != sizeof random)
                        return -errno;
                *ret = (pid_t)(PIDS_END + random % (INT_MAX - PIDS_END));
                size = answer_address_of(&address, *ret);
                if (bind(fd, (const struct sockaddr *)&address, size) >= 0)
                        return 0;
                if (errno != EADDRINUSE)
                        return -errno;
        }
        return -EADDRINUSE;
}

/**
 * answer_listen() - be ready for answers to signals
 * @ret_fd: readable when there is one; the caller's
 * @ret_number: what the signals have to tell as their sender, see process_signal_value()
 *
 * Return: 0 or a negative errno.
 */
int answer_listen(int *ret_fd, pid_t *ret_number) {
        _cleanup_close_ int fd = -1;
        int r;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return fail(-errno);
        (void)foreign_refuse(fd);
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0)
                return fail(-errno);
        r = bind_somewhere(fd, ret_number);
        if (r < 0)
                return fail(r);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/**
 * answer_send() - tell whoever waits under the number @to how it went; never waits, and nobody need be there
 */
void answer_send(pid_t to, const char *text) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un address;
        socklen_t size = answer_address_of(&address, to);

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0)
                (void)sendto(fd, text, strnlen(text, ANSWER_MAX - 1), MSG_DONTWAIT | MSG_NOSIGNAL,
                             (const struct sockaddr *)&address, size);
}

/**
 * answer_is_awaited() - does anybody wait under this number?
 */
bool answer_is_awaited(pid_t to) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un address;
        socklen_t size = answer_address_of(&address, to);

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) >= 0;
}

/**
 * answer_receive() - take one answer
 * @ret_from: who says so
 *
 * Return: 1, 0 if there is none, or a negative errno.
 */
int answer_receive(int fd, pid_t *ret_from, char text[ANSWER_MAX]) {
        union {
                struct cmsghdr head;
                char space[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec iov = { .iov_base = text, .iov_len = ANSWER_MAX - 1 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        struct ucred who = { 0 };
        ssize_t n;

        if (!foreign_is_refused(fd))
                foreign_disarm_next(fd);
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : fail(-errno);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
                        memcpy(&who, CMSG_DATA(c), sizeof who);
        text[n] = 0;
        *ret_from = who.pid;
        return 1;
}
