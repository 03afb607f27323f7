/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Descriptors that a container, a client or a worker sends. What is behind one is its sender's choice, and whoever
 * closes the last copy may sleep for it: a TCP socket with SO_LINGER and a full send queue keeps close() for as long
 * as the sender likes. read() and recv() of a socket are no better: what the message carried and nobody wanted is
 * closed before they return.
 *
 * So a socket that never needs descriptors refuses them (Linux 6.16). Where the kernel cannot, and where a protocol has
 * them, the sockets among them are told not to linger, which concerns all copies, and closed then. Nothing else is asked
 * about them: fstat() of a file may sleep for a file system that its sender runs.
 *
 * What this does not reach (a FUSE file, whose close() asks its server; a socket in the queue of a socket, before
 * Linux 6.16) is left to the keeper, which replaces a worker that does not answer.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/foreign.h"

#if !defined SO_PASSRIGHTS && !defined __sparc__ && !defined __hppa__
#define SO_PASSRIGHTS 83
#endif

/**
 * foreign_refuse() - have senders fail who send descriptors to this socket, or to one that it accepts
 *
 * To be called before anybody can send.
 *
 * Return: false if the kernel cannot.
 */
bool foreign_refuse(int socket_fd) {
#ifdef SO_PASSRIGHTS
        const int off = 0;

        return setsockopt(socket_fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off) >= 0;
#else
        return false;
#endif
}

/**
 * foreign_is_refused() - whether foreign_refuse() holds for this socket
 */
bool foreign_is_refused(int socket_fd) {
#ifdef SO_PASSRIGHTS
        socklen_t size = sizeof(int);
        int on = 1;

        return getsockopt(socket_fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &size) >= 0 && !on;
#else
        return false;
#endif
}

/**
 * foreign_close() - close descriptors of others without sleeping for them; -1 among them is fine
 */
void foreign_close(int *fds, size_t n_fds) {
        const struct linger off = { 0 };

        for (size_t i = 0; i < n_fds; i++) {
                if (fds[i] < 0)
                        continue;
                (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &off, sizeof off); /* no socket: no matter */
                (void)close(fds[i]);
                fds[i] = -1;
        }
}

/**
 * foreign_disarm_next() - make what the next message carries harmless, for a read() that cannot receive it
 *
 * The message stays where it is.
 */
void foreign_disarm_next(int socket_fd) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(FOREIGN_MAX * sizeof(int))];
        } control;
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control.space,
                                  .msg_controllen = sizeof control.space };

        if (recvmsg(socket_fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
                return;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
                if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
                        foreign_close((int *)CMSG_DATA(h), (h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        }
}

static bool foreign_name_of(int fd, struct sockaddr_un *ret, socklen_t *ret_size) {
        *ret = (struct sockaddr_un){ 0 };
        *ret_size = sizeof *ret;
        return getsockname(fd, (struct sockaddr *)ret, ret_size) >= 0 && *ret_size <= sizeof *ret;
}

static int option_of(int fd, int option) {
        socklen_t size = sizeof(int);
        int value;

        return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/**
 * foreign_is_accepted_by() - whether a descriptor is a connection that this AF_UNIX socket has accepted, or looks like
 * one: of its type, with its name, and no listener
 */
bool foreign_is_accepted_by(int fd, int listener) {
        struct sockaddr_un name, wanted;
        socklen_t n_name, n_wanted;

        return option_of(fd, SO_DOMAIN) == AF_UNIX &&
               option_of(fd, SO_TYPE) == option_of(listener, SO_TYPE) && option_of(fd, SO_ACCEPTCONN) == 0 &&
               foreign_name_of(fd, &name, &n_name) && foreign_name_of(listener, &wanted, &n_wanted) &&
               n_name == n_wanted && memcmp(&name, &wanted, n_name) == 0;
}

/* A TCP socket that is connected may linger whenever its sender wants it to. */
static bool foreign_is_tame_socket(int fd) {
        int domain = option_of(fd, SO_DOMAIN), type = option_of(fd, SO_TYPE),
            protocol = option_of(fd, SO_PROTOCOL);

        if (domain == AF_UNIX)
                return true;
        if (domain != AF_INET && domain != AF_INET6)
                return false;
        return (type == SOCK_DGRAM && protocol == IPPROTO_UDP) ||
               (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) &&
                option_of(fd, SO_ACCEPTCONN) == 1);
}

/**
 * foreign_is_tame() - whether a descriptor is of a kind that can be kept, polled and closed without sleeping for anybody
 *
 * Local and UDP sockets, TCP sockets that listen, pipes, and memory. Nothing is asked that a file system would answer.
 */
bool foreign_is_tame(int fd) {
        return foreign_is_tame_socket(fd) || fcntl(fd, F_GETPIPE_SZ) >= 0 || fcntl(fd, F_GET_SEALS) >= 0;
}
