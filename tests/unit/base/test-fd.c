/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Descriptors do not leak into programs, files appear whole or not at all, sockets bind below any
 * path.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"

/* A directory of the test's own, removed with all that is in it. */
static char *make_directory(void) {
        char *path = strdup("/tmp/scopemon-test-XXXXXX");

        cr_assert(mkdtemp(path));
        return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void remove_directory(char **path) {
        (void)nftw(*path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(*path);
}

#define _cleanup_directory_ _cleanup_(remove_directory)

static bool is_cloexec(int fd) {
        return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

CleanTest(fd, everything_made_is_cloexec) {
        _cleanup_close_ int r = -1, w = -1, copy = -1, null = -1, directory = -1;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        copy = fd_dup(r);
        null = fd_open_null(O_RDWR);
        directory = fd_open_directory("/");
        cr_assert(is_cloexec(r) && is_cloexec(w) && is_cloexec(copy) && is_cloexec(null));
        cr_assert(is_cloexec(directory));
        cr_assert_gt(copy, STDERR_FILENO);

        cr_assert_eq(fd_set_cloexec(r, false), 0);
        cr_assert_not(is_cloexec(r));
        cr_assert_eq(fd_set_cloexec(r, true), 0);
        cr_assert(is_cloexec(r));
        cr_assert_eq(fd_set_cloexec(-1, true), -EBADF);
        cr_assert_eq(fd_open_directory("/dev/null"), -ENOTDIR);
}

CleanTest(fd, copies_are_above_the_number_asked_for) {
        _cleanup_close_ int copy = fd_dup_at_least(STDIN_FILENO, 100);

        cr_assert_geq(copy, 100);
        cr_assert_eq(fd_dup(-1), -EBADF);
}

CleanTest(fd, nonblock_is_switched_on_and_off) {
        _cleanup_close_ int r = -1, w = -1;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(fd_set_nonblock(r, true), 0);
        cr_assert(fcntl(r, F_GETFL) & O_NONBLOCK);
        cr_assert_eq(fd_set_nonblock(r, false), 0);
        cr_assert_not(fcntl(r, F_GETFL) & O_NONBLOCK);
        cr_assert_eq(fd_set_nonblock(-1, true), -EBADF);
}

CleanTest(fd, whole_files_are_read_up_to_the_limit) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path);
        static char data[10000];
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        memset(data, 'x', sizeof data);
        cr_assert_eq(fd_write_file_atomic(directory, "f", data, sizeof data, 0600), 0);
        cr_assert_eq(fd_read_file(directory, "f", sizeof data - 1, &text, &n), -EFBIG);
        cr_assert_null(text);
        cr_assert_eq(fd_read_file(directory, "f", sizeof data, &text, &n), 0);
        cr_assert_eq(n, sizeof data);
        cr_assert_eq(memcmp(text, data, n), 0);
        cr_assert_eq(text[n], 0);
        cr_assert_eq(fd_read_file(directory, "absent", 1, &text, &n), -ENOENT);
}

CleanTest(fd, empty_file_is_an_empty_text) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path);
        _cleanup_free_ char *text = NULL;
        size_t n = 1;

        cr_assert_eq(fd_write_file_atomic(directory, "f", "", 0, 0600), 0);
        cr_assert_eq(fd_read_file(directory, "f", 0, &text, &n), 0);
        cr_assert_eq(n, 0);
        cr_assert_str_empty(text);
}

static unsigned count_entries(const char *path) {
        DIR *dir = opendir(path);
        unsigned n = 0;

        while (readdir(dir))
                n++;
        (void)closedir(dir);
        return n - 2;
}

CleanTest(fd, file_is_replaced_by_rename_and_nothing_else_is_left) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path), old = -1;
        struct stat st;
        char byte;

        cr_assert_eq(fd_write_file_atomic(directory, "exit", "0", 1, 0644), 0);
        cr_assert_eq(fstatat(directory, "exit", &st, 0), 0);
        cr_assert_eq(st.st_mode & 0777, 0644 & ~022);
        old = openat(directory, "exit", O_RDONLY | O_CLOEXEC);
        cr_assert_eq(fd_write_file_atomic(directory, "exit", "137", 3, 0644), 0);
        cr_assert_eq(read(old, &byte, 1), 1);
        cr_assert_eq(byte, '0', "whoever has the old file open keeps the old file");
        cr_assert_eq(fstatat(directory, "exit", &st, 0), 0);
        cr_assert_eq(st.st_size, 3);
        cr_assert_eq(count_entries(path), 1);
}

CleanTest(fd, failed_file_leaves_nothing_behind) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path);
        char name[300] = { 0 };

        cr_assert_eq(mkdirat(directory, "d", 0700), 0);
        cr_assert_eq(fd_write_file_atomic(directory, "d", "x", 1, 0644), -EISDIR);
        cr_assert_eq(fd_write_file_atomic(directory, "absent/f", "x", 1, 0644), -ENOENT);
        memset(name, 'n', sizeof name - 1);
        cr_assert_eq(fd_write_file_atomic(directory, name, "x", 1, 0644), -ENAMETOOLONG);
        cr_assert_eq(count_entries(path), 1);
}

CleanTest(fd, stale_temporary_files_are_no_obstacle) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path);

        for (unsigned i = 0; i < 5; i++) {
                _cleanup_close_ int fd = -1;
                char name[64];

                (void)snprintf(name, sizeof name, "f.%06x", ((unsigned)getpid() * 100U + i) & 0xffffffU);
                fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                cr_assert_geq(fd, 0);
        }
        cr_assert_eq(fd_write_file_atomic(directory, "f", "x", 1, 0644), 0);
}

CleanTest(fd, open_descriptors_are_listed_in_order) {
        _cleanup_close_ int a = fd_dup_at_least(STDIN_FILENO, 200), b = fd_dup_at_least(STDIN_FILENO, 100);
        _cleanup_free_ int *fds = NULL;
        size_t n;

        cr_assert_eq(fd_list_open(100, &fds, &n), 0);
        cr_assert_eq(n, 2);
        cr_assert(fds[0] == b && fds[1] == a);
        free(fds);
        fds = NULL;
        cr_assert_eq(fd_list_open(201, &fds, &n), 0);
        cr_assert_eq(n, 0);
        cr_assert_null(fds);
}

CleanTest(fd, closing_many_skips_what_is_not_open) {
        int fds[] = { fd_dup(STDIN_FILENO), -1, fd_dup(STDIN_FILENO) }, first = fds[0];

        fd_close_many(fds, ELEMENTS(fds));
        cr_assert(fds[0] == -1 && fds[1] == -1 && fds[2] == -1);
        cr_assert_not(is_open(first));
        fd_close_many(NULL, 0);
}

Test(fd, all_but_the_kept_are_closed, .timeout = 60) {
        int fds[4], keep[6];
        bool open[4], std_open;

        for (int i = 0; i < 4; i++)
                fds[i] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100 + i * 10);
        keep[0] = fds[2];
        keep[1] = -1;
        keep[2] = fds[0];
        keep[3] = fds[2];
        keep[4] = 1;
        keep[5] = 60000; /* not open at all */
        if (fork() == 0) {
                bool ok = fd_close_all_but(keep, ELEMENTS(keep)) == 0;

                for (int i = 0; i < 4; i++)
                        open[i] = is_open(fds[i]);
                std_open = is_open(0) && is_open(1) && is_open(2);
                _exit(ok && open[0] && !open[1] && open[2] && !open[3] && std_open ? 0 : 1);
        } else {
                int status;

                cr_assert_gt(wait(&status), 0);
                cr_assert_eq(status, 0);
        }
}

CleanTest(fd, socket_binds_below_a_path_of_any_length) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = -1, listener = -1, client = -1, again = -1;
        char deep[512], name[120] = { 0 };
        struct sockaddr_un address;
        socklen_t size;
        int n;

        n = snprintf(deep, sizeof deep, "%s/", path);
        memset(deep + n, 'd', 220);
        deep[n + 220] = 0;
        cr_assert_eq(mkdir(deep, 0700), 0);
        directory = fd_open_directory(deep);

        listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(fd_bind_at(listener, directory, "attach"), 0);
        cr_assert_eq(listen(listener, 1), 0);
        (void)snprintf(deep, sizeof deep, "/proc/self/fd/%d/attach", directory);
        cr_assert_eq(fd_unix_address(deep, &address, &size), 0);
        client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(client, (struct sockaddr *)&address, size), 0);

        again = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        cr_assert_eq(fd_bind_at(again, directory, "attach"), 0, "a stale one is replaced");
        memset(name, 'n', sizeof name - 1);
        cr_assert_eq(fd_bind_at(listener, directory, name), -ENAMETOOLONG);
}

/* By its name it could be changed later, but that may be somebody else's by then. */
CleanTest(fd, socket_has_its_mode_from_birth) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path), listener = -1;
        mode_t mask = umask(027);
        struct stat st;

        listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(fchmod(listener, 0777), 0);
        cr_assert_eq(fd_bind_at(listener, directory, "socket"), 0);
        cr_assert_eq(fstatat(directory, "socket", &st, AT_SYMLINK_NOFOLLOW), 0);
        cr_assert_eq(st.st_mode & 07777, 0777);
        cr_assert_eq(umask(mask), 027);
}

CleanTest(fd, only_files_are_read) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path), fd = -1;
        char *text;

        cr_assert_eq(mkfifoat(directory, "fifo", 0600), 0);
        cr_assert_eq(symlinkat("/etc/passwd", directory, "link"), 0);
        cr_assert_eq(fd_read_file(directory, "fifo", 64, &text, NULL), -EINVAL, "nobody writes there");
        cr_assert_eq(fd_read_file(AT_FDCWD, "/dev/zero", 64, &text, NULL), -EINVAL);
        cr_assert_eq(fd_read_file(directory, ".", 64, &text, NULL), -EINVAL);
        cr_assert_eq(fd_open_regular(directory, "link", O_NOFOLLOW, NULL), -ELOOP);
        fd = fd_open_regular(directory, "link", 0, NULL);
        cr_assert_geq(fd, 0);
}

CleanTest(fd, unix_addresses_know_the_abstract_name_space) {
        struct sockaddr_un address;
        char path[109] = { 0 };
        socklen_t size;

        cr_assert_eq(fd_unix_address("/run/x", &address, &size), 0);
        cr_assert_str_eq(address.sun_path, "/run/x");
        cr_assert_eq(size, offsetof(struct sockaddr_un, sun_path) + 7);
        cr_assert_eq(fd_unix_address("@x", &address, &size), 0);
        cr_assert(address.sun_path[0] == 0 && address.sun_path[1] == 'x');
        cr_assert_eq(size, offsetof(struct sockaddr_un, sun_path) + 2);
        cr_assert_eq(fd_unix_address("", &address, &size), -EINVAL);
        cr_assert_eq(fd_unix_address("@", &address, &size), -EINVAL);
        memset(path, 'p', 107);
        cr_assert_eq(fd_unix_address(path, &address, &size), 0);
        path[107] = 'p';
        cr_assert_eq(fd_unix_address(path, &address, &size), -ENAMETOOLONG);
}

static void make_pair(int fds[2]) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

CleanTest(fd, messages_carry_descriptors) {
        int pair[2], sent[] = { STDIN_FILENO, STDOUT_FILENO }, got[4];
        char text[16];
        size_t n;

        make_pair(pair);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 4, &n), -EAGAIN);
        cr_assert_eq(fd_send(pair[0], "hello", 5, sent, 2), 5);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 4, &n), 5);
        cr_assert_eq(memcmp(text, "hello", 5), 0);
        cr_assert_eq(n, 2);
        cr_assert(is_cloexec(got[0]) && is_cloexec(got[1]));
        fd_close_many(got, n);

        cr_assert_eq(fd_send(pair[0], "x", 1, NULL, 0), 1);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 4, &n), 1);
        cr_assert_eq(n, 0);
        (void)close(pair[0]);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 4, &n), 0, "end of file");
        cr_assert_eq(fd_send(pair[1], "x", 1, NULL, 0), -EPIPE);
        (void)close(pair[1]);
}

CleanTest(fd, surplus_descriptors_are_closed) {
        int pair[2], sent[FD_MESSAGE_MAX + 1] = { 0 }, got[1];
        char text[16];
        size_t n;

        make_pair(pair);
        cr_assert_eq(fd_send(pair[0], "x", 1, sent, FD_MESSAGE_MAX + 1), -E2BIG);
        cr_assert_eq(fd_send(pair[0], "x", 1, sent, FD_MESSAGE_MAX), 1);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 1, &n), 1);
        cr_assert_eq(n, 1);
        fd_close_many(got, n);

        cr_assert_eq(fd_send(pair[0], "longer than it may be", 21, sent, 3), 21);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, got, 1, &n), -EMSGSIZE);
        cr_assert_eq(fd_send(pair[0], "next", 4, sent, 3), 4);
        cr_assert_eq(fd_receive(pair[1], text, sizeof text, NULL, 0, &n), 4, "the long one is gone");
        (void)close(pair[0]);
        (void)close(pair[1]);
}

CleanTest(fd, full_socket_is_no_reason_to_wait) {
        static char data[4096];
        int pair[2];
        ssize_t n;

        make_pair(pair);
        do
                n = fd_send(pair[0], data, sizeof data, NULL, 0);
        while (n > 0);
        cr_assert_eq(n, -EAGAIN);
        (void)close(pair[0]);
        (void)close(pair[1]);
}

CleanTest(fd, write_goes_on_to_the_end) {
        _cleanup_directory_ char *path = make_directory();
        _cleanup_close_ int directory = fd_open_directory(path), fd = -1;
        static char data[300000];
        struct stat st;

        fd = openat(directory, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_eq(fd_write_full(fd, data, sizeof data), 0);
        cr_assert_eq(fstat(fd, &st), 0);
        cr_assert_eq(st.st_size, (off_t)sizeof data);
        cr_assert_eq(fd_write_full(-1, data, 1), -EBADF);
        cr_assert_eq(fd_write_full(-1, data, 0), 0);
}

CleanTest(fd, limit_is_raised_and_what_it_was_is_known) {
        struct rlimit limit;

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = 40;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert(fd_are_few());
        cr_assert(fd_has_room_above(29, 10));
        cr_assert_not(fd_has_room_above(30, 10));
        cr_assert_not(fd_has_room_above(-1, 0), "there is none");
        cr_assert_eq(fd_raise_limit(), 40);
        cr_assert_eq(fd_raise_limit(), limit.rlim_max);
        cr_assert_not(fd_are_few());
}
