/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Descriptors and files. Everything made here is CLOEXEC from birth, so that nothing of ours reaches the runtime; a
 * file that others wait for is written beside its place and renamed into it, so that nobody ever sees half of it.
 *
 * Names that may be long are handled relative to a directory descriptor; a socket is bound below one through
 * /proc/self/fd, since the kernel's addresses end at 108 bytes and bundle paths do not.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "error.h"
#include "fd.h"
#include "foreign.h"
#include "parse.h"

#define CLOSE_MAX 1048576 /* numbers above are not looked for one by one: fs.nr_open by default */

/**
 * fd_pipe() - a pipe, both ends CLOEXEC and blocking
 *
 * Return: 0 or a negative errno.
 */
int fd_pipe(int *ret_read, int *ret_write) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return fail(-errno);
        *ret_read = ends[0];
        *ret_write = ends[1];
        return 0;
}

/**
 * fd_set_nonblock() - switch O_NONBLOCK, which all copies of the descriptor share
 *
 * Return: 0 or a negative errno.
 */
int fd_set_nonblock(int fd, bool on) {
        int flags, wanted;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0)
                return fail(-errno);
        wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
                return fail(-errno);
        return 0;
}

/**
 * fd_set_cloexec() - switch FD_CLOEXEC of this one descriptor
 *
 * Return: 0 or a negative errno.
 */
int fd_set_cloexec(int fd, bool on) {
        if (fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0)
                return fail(-errno);
        return 0;
}

/**
 * fd_dup() - a copy, CLOEXEC and never one of 0 to 2
 *
 * Return: the new descriptor or a negative errno.
 */
int fd_dup(int fd) {
        return fd_dup_at_least(fd, STDERR_FILENO + 1);
}

/**
 * fd_dup_at_least() - a copy with a number of @lowest or more, CLOEXEC
 *
 * Return: the new descriptor or a negative errno.
 */
int fd_dup_at_least(int fd, int lowest) {
        int copy;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
        return copy < 0 ? fail(-errno) : copy;
}

/**
 * fd_write_full() - write everything, blocking as the descriptor does
 *
 * Return: 0 or a negative errno; then some of it may have been written.
 */
int fd_write_full(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return fail(-errno);
                }
                p += n;
                size -= (size_t)n;
        }
        return 0;
}

/**
 * fd_open_null() - /dev/null
 * @flags: O_RDONLY, O_WRONLY or O_RDWR
 *
 * Return: the descriptor or a negative errno.
 */
int fd_open_null(int flags) {
        int fd;

        fd = open("/dev/null", flags | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? fail(-errno) : fd;
}

/**
 * fd_open_directory() - a directory, as a place for *at() calls only
 *
 * Return: the descriptor or a negative errno.
 */
int fd_open_directory(const char *path) {
        int fd;

        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? fail(-errno) : fd;
}

/**
 * fd_flush_stdout() - write what has been printed
 *
 * A reader that has gone has read enough: that is no error.
 *
 * Return: 0 or a negative errno.
 */
int fd_flush_stdout(void) {
        return fflush(stdout) == 0 || errno == EPIPE ? 0 : fail(-errno);
}

/**
 * fd_read_all() - what a regular file has from here to its end
 * @max: bytes, beyond which it is too large
 * @ret_text: the content and a NUL behind it; the caller's to free
 * @ret_size: length without that NUL; may be NULL
 *
 * Return: 0, -EFBIG if there is more than @max, or another negative errno.
 */
int fd_read_all(int fd, size_t max, char **ret_text, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                if (allocated - size < 2) {
                        char *larger;

                        allocated = allocated ? allocated * 2 : 2048; /* below LARGE of memory.c */
                        larger = realloc(text, allocated);
                        if (!larger)
                                return fail(-ENOMEM);
                        text = larger;
                }
                n = read(fd, text + size, allocated - size - 1);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return fail(-errno);
                }
                if (n == 0)
                        break;
                size += (size_t)n;
                if (size > max)
                        return fail(-EFBIG);
        }

        text[size] = 0;
        *ret_text = TAKE_PTR(text);
        if (ret_size)
                *ret_size = size;
        return 0;
}

/**
 * fd_open_regular() - a file to be read, and nothing that would have us wait
 * @dir_fd: directory that a relative @path starts from, or AT_FDCWD
 * @flags: O_NOFOLLOW or 0
 * @ret_st: may be NULL
 *
 * Return: the descriptor, or a negative errno: -EINVAL for what is no regular file.
 */
int fd_open_regular(int dir_fd, const char *path, int flags, struct stat *ret_st) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(-errno);
        if (!S_ISREG(st.st_mode))
                return fail(-EINVAL);
        if (ret_st)
                *ret_st = st;
        return TAKE_FD(fd);
}

/**
 * fd_read_file() - a whole regular file, at most @max bytes of it
 * @dir_fd: directory that a relative @path starts from, or AT_FDCWD
 *
 * See fd_read_all() for the rest, and the answers.
 *
 * Return: 0 or a negative errno.
 */
int fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size) {
        _cleanup_close_ int fd = -1;
        int r;

        fd = fd_open_regular(dir_fd, path, 0, NULL);
        if (fd < 0)
                return relay(fd);
        r = fd_read_all(fd, max, ret_text, ret_size);
        return r < 0 ? relay(r) : 0;
}

static int open_beside(int dir_fd, const char *path, char *name, size_t n_name, mode_t mode) {
        for (unsigned attempt = 0; attempt < 100; attempt++) {
                int fd, n;

                n = snprintf(name, n_name, "%s.%06x", path,
                             ((unsigned)getpid() * 100U + attempt) & 0xffffffU);
                if (n < 0 || (size_t)n >= n_name)
                        return fail(-ENAMETOOLONG);
                fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
                if (fd >= 0)
                        return fd;
                if (errno != EEXIST && errno != EINTR)
                        return fail(-errno);
        }
        return fail(-EEXIST);
}

/**
 * fd_write_file_atomic() - make or replace a file by rename
 * @dir_fd: directory that a relative @path starts from, or AT_FDCWD
 *
 * Whoever watches the directory sees a temporary name made and moved to @path.
 *
 * Return: 0, or a negative errno with nothing left behind.
 */
int fd_write_file_atomic(int dir_fd, const char *path, const void *data, size_t size, mode_t mode) {
        char name[PATH_MAX + 16];
        _cleanup_close_ int fd = -1;
        int r;

        fd = open_beside(dir_fd, path, name, sizeof name, mode);
        if (fd < 0)
                return relay(fd);

        r = fd_write_full(fd, data, size);
        if (r >= 0 && renameat(dir_fd, name, dir_fd, path) < 0)
                r = fail(-errno);
        if (r < 0) {
                (void)unlinkat(dir_fd, name, 0); /* the first error is the one to tell */
                return relay(r);
        }
        return 0;
}

static int compare_ints(const void *a, const void *b) {
        int x = *(const int *)a, y = *(const int *)b;

        return (x > y) - (x < y);
}

/**
 * fd_list_open() - numbers of all open descriptors from @lowest up, ascending
 * @ret_fds: the caller's to free; NULL if there are none
 *
 * Return: 0 or a negative errno.
 */
int fd_list_open(int lowest, int **ret_fds, size_t *ret_n) {
        _cleanup_free_ int *fds = NULL;
        size_t n = 0;
        DIR *dir;

        dir = opendir("/proc/self/fd");
        if (!dir)
                return fail(-errno);

        for (struct dirent *entry; (entry = readdir(dir));) {
                int fd, *more;

                if (entry->d_name[0] == '.' || parse_fd(entry->d_name, &fd) < 0)
                        continue;
                if (fd < lowest || fd == dirfd(dir))
                        continue;
                more = reallocarray(fds, n + 1, sizeof *fds);
                if (!more) {
                        (void)closedir(dir);
                        return fail(-ENOMEM);
                }
                fds = more;
                fds[n++] = fd;
        }
        (void)closedir(dir);

        if (n > 0)
                qsort(fds, n, sizeof *fds, compare_ints);
        *ret_fds = TAKE_PTR(fds);
        *ret_n = n;
        return 0;
}

/**
 * fd_close_many() - close them all; -1 among them is fine
 */
void fd_close_many(int *fds, size_t n_fds) {
        for (size_t i = 0; i < n_fds; i++)
                if (fds[i] >= 0) {
                        (void)close(fds[i]);
                        fds[i] = -1;
                }
}

/* Where the call is not to be had, as under an older filter of a container that we run in. Async-signal-safe. */
static int close_one_by_one(unsigned first, unsigned last) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return fail(-errno);
        for (rlim_t fd = first; fd <= last && fd < limit.rlim_max && fd < CLOSE_MAX; fd++)
                (void)close((int)fd);
        return 0;
}

static int close_between(unsigned first, unsigned last) {
        if (close_range(first, last, 0) >= 0)
                return 0;
        return errno == ENOSYS || errno == EPERM ? close_one_by_one(first, last) : fail(-errno);
}

/**
 * fd_close_all_but() - close every descriptor from 3 up that is not in @keep
 * @keep: sorted in place; numbers below 3 are ignored
 *
 * Return: 0 or a negative errno.
 */
int fd_close_all_but(int *keep, size_t n_keep) {
        unsigned next = STDERR_FILENO + 1;
        int r;

        if (n_keep > 0)
                qsort(keep, n_keep, sizeof *keep, compare_ints);
        for (size_t i = 0; i < n_keep; i++) {
                if (keep[i] < (int)next)
                        continue;
                if ((unsigned)keep[i] > next) {
                        r = close_between(next, (unsigned)keep[i] - 1);
                        if (r < 0)
                                return relay(r);
                }
                next = (unsigned)keep[i] + 1;
        }
        return close_between(next, ~0U);
}

/**
 * fd_raise_limit() - allow ourselves as many descriptors as we may have
 *
 * Return: how many there were before, for whoever is to have no more than that; 0 if unknown.
 */
uint64_t fd_raise_limit(void) {
        struct rlimit limit;
        rlim_t before;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 0;
        before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what everybody may do */
        return before;
}

/**
 * fd_are_few() - whether there is no room for descriptors that are only nice to have
 */
bool fd_are_few(void) {
        struct rlimit limit;

        return getrlimit(RLIMIT_NOFILE, &limit) >= 0 && limit.rlim_cur < FD_FEW;
}

/**
 * fd_has_room_above() - whether @n more descriptors than @fd can be open
 * @fd: a new one, so that those below are taken
 */
bool fd_has_room_above(int fd, unsigned n) {
        struct rlimit limit;

        return fd >= 0 && (getrlimit(RLIMIT_NOFILE, &limit) < 0 || (rlim_t)fd + n < limit.rlim_cur);
}

/**
 * fd_bind_at() - bind a socket to @name in a directory, whatever the length of the directory's path
 *
 * An existing @name is removed first. The socket's mode is the one set on @socket_fd with fchmod() before, whatever the
 * umask is.
 *
 * Return: 0, or a negative errno: -ENAMETOOLONG if @name alone is too long.
 */
int fd_bind_at(int socket_fd, int dir_fd, const char *name) {
        struct sockaddr_un address;
        char path[PATH_MAX];
        socklen_t size;
        mode_t mask;
        int r;

        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return fail(-errno);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir_fd, name);
        r = fd_unix_address(path, &address, &size);
        if (r < 0)
                return relay(r);
        mask = umask(0); /* changing the mode by name later could hit what somebody puts there meanwhile */
        r = bind(socket_fd, (const struct sockaddr *)&address, size) < 0 ? fail(-errno) : 0;
        (void)umask(mask);
        return r;
}

/**
 * fd_unix_address() - socket address of a path; a leading '@' stands for the abstract name space
 *
 * Return: 0, -EINVAL for an empty path or name, -ENAMETOOLONG for one of more than 107 bytes.
 */
int fd_unix_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_size) {
        size_t n = strlen(path);

        if (n == 0 || strcmp(path, "@") == 0)
                return fail(-EINVAL);
        if (n >= sizeof ret->sun_path)
                return fail(-ENAMETOOLONG);

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path, path, n);
        if (path[0] == '@')
                ret->sun_path[0] = 0;
        *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'));
        return 0;
}

/**
 * fd_send() - send one message with descriptors, without waiting
 * @fds: borrowed; at most FD_MESSAGE_MAX
 *
 * Return: bytes sent, or a negative errno; -EAGAIN if the socket is full.
 */
ssize_t fd_send(int socket_fd, const void *data, size_t size, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (n_fds > FD_MESSAGE_MAX)
                return fail(-E2BIG);
        if (n_fds > 0) {
                struct cmsghdr *header;

                message.msg_control = control.space;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
        }

        do
                n = sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? fail(-errno) : n;
}

static size_t fd_take_descriptors(struct msghdr *message, int *fds, size_t max_fds) {
        size_t taken = 0;

        for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
                size_t n;

                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
                        if (taken < max_fds)
                                fds[taken++] = fd;
                        else
                                foreign_close(&fd, 1);
                }
        }
        return taken;
}

/**
 * fd_pending() - how long the next message is; 0 if there is none
 */
size_t fd_pending(int socket_fd) {
        ssize_t n;

        n = recv(socket_fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
        return n < 0 ? 0 : (size_t)n;
}

/**
 * fd_receive() - receive one message with descriptors, without waiting
 * @fds: filled with at most @max_fds descriptors, CLOEXEC, the caller's to close (foreign_close(), if the peer is not
 *       trusted); what is beyond is closed
 *
 * Return: bytes received (0 at end of file), -EAGAIN if there is no message, -EMSGSIZE if it was longer than @size (it
 * is gone then, its descriptors closed), or another negative errno.
 */
ssize_t fd_receive(int socket_fd, void *data, size_t size, int *fds, size_t max_fds, size_t *ret_n_fds) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(FOREIGN_MAX * sizeof(int)) + CMSG_SPACE(64)];
        } control;
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control.space,
                                  .msg_controllen = sizeof control.space };
        size_t n_fds;
        ssize_t n;

        do
                n = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return fail(-errno);

        n_fds = fd_take_descriptors(&message, fds, max_fds);
        if (message.msg_flags & MSG_TRUNC) {
                foreign_close(fds, n_fds);
                return fail(-EMSGSIZE);
        }
        *ret_n_fds = n_fds;
        return n;
}

/**
 * fd_is_journal_stream() - is the peer the journal's stream socket, of whichever namespace?
 */
bool fd_is_journal_stream(int fd) {
        static const char before[] = "/run/systemd/journal", after[] = "/stdout";
        struct sockaddr_un peer = { 0 };
        socklen_t size = sizeof peer - 1;
        size_t n;

        if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0 || peer.sun_family != AF_UNIX)
                return false;
        n = strlen(peer.sun_path);
        return n >= strlen(before) + strlen(after) && strncmp(peer.sun_path, before, strlen(before)) == 0 &&
               strcmp(peer.sun_path + n - strlen(after), after) == 0;
}
