/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a confined process can do and what it cannot. Each attempt is made by a child of its own,
 * which tells the outcome by how it ends; a child never returns into the test, so no leak checker
 * runs behind the filter.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "sandbox/sandbox.h"

#define CAGE_FAILED 99

/* Made before the sandbox is entered. */
typedef struct Tools {
        int pair[2], pipe[2], listener, epoll, file, datagrams;
} Tools;

typedef long (*Attempt)(const Tools *t);

static void tools_make(Tools *t) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, t->pair), 0);
        cr_assert_eq(fd_pipe(&t->pipe[0], &t->pipe[1]), 0);
        t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(t->listener, (const struct sockaddr *)&address, sizeof(sa_family_t)), 0);
        cr_assert_eq(listen(t->listener, 5), 0);
        t->epoll = epoll_create1(EPOLL_CLOEXEC);
        t->file = memfd_create("file", MFD_CLOEXEC);
        t->datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void tools_done(Tools *t) {
        fd_close_many(t->pair, 2);
        fd_close_many(t->pipe, 2);
        fd_close_many(&t->listener, 1);
        fd_close_many(&t->epoll, 1);
        fd_close_many(&t->file, 1);
        fd_close_many(&t->datagrams, 1);
}

static ProcessStatus end_of(pid_t pid) {
        ProcessStatus status = { 0 };

        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
        return status;
}

/* How a confined child ends that tries this: 0 if it could, errno if not; or a signal. */
static ProcessStatus outcome(Attempt attempt) {
        struct rlimit none = { 0, 0 };
        Tools t;
        pid_t pid;
        int r;

        tools_make(&t);
        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                (void)setrlimit(RLIMIT_CORE, &none);
                (void)signal(SIGSYS, SIG_DFL); /* a sanitizer may have an opinion */
                if (sandbox_enter(&(ExitFiles){ 0 }) < 0)
                        process_exit(CAGE_FAILED);
                process_exit(attempt(&t) < 0 ? errno : 0);
        }
        tools_done(&t);
        return end_of(pid);
}

/* ---- what a worker needs --------------------------------------------------------------------- */

CleanTest(sandbox, forbidden_calls_have_names) {
        cr_assert_str_eq(sandbox_call_name(SYS_execve), "execve");
        cr_assert_str_eq(sandbox_call_name(SYS_socket), "socket");
        cr_assert_str_eq(sandbox_call_name(SYS_setuid), "setuid");
        cr_assert_str_eq(sandbox_call_name(SYS_read), "?");
        cr_assert_str_eq(sandbox_call_name(-1), "?");
}

static long try_pipe(const Tools *t) {
        char c;

        return write(t->pipe[1], "x", 1) == 1 && read(t->pipe[0], &c, 1) == 1 && c == 'x' ? 0 : -1;
}

static long try_writev(const Tools *t) {
        struct iovec iov[] = { { (void *)(uintptr_t) "a", 1 }, { (void *)(uintptr_t) "b", 1 } };
        struct stat st;

        if (writev(t->file, iov, 2) != 2 || fstat(t->file, &st) < 0 || st.st_size != 2)
                return -1;
        return lseek(t->file, 0, SEEK_SET) == 0 && ftruncate(t->file, 1) == 0 && fsync(t->file) == 0 &&
                               fdatasync(t->file) == 0
                       ? 0
                       : -1;
}

static long try_messages(const Tools *t) {
        struct iovec iov = { (void *)(uintptr_t) "abc", 3 };
        struct mmsghdr many = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
        char text[8];
        int fds[2];
        size_t n_fds;

        if (fd_send(t->pair[0], "x", 1, &t->pipe[0], 1) != 1 ||
            fd_receive(t->pair[1], text, sizeof text, fds, 2, &n_fds) != 1 || n_fds != 1 || close(fds[0]) < 0)
                return -1;
        return sendmmsg(t->pair[0], &many, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 &&
                               recv(t->pair[1], text, sizeof text, MSG_DONTWAIT) == 3 &&
                               send(t->pair[0], "x", 1, MSG_NOSIGNAL) == 1 &&
                               shutdown(t->pair[0], SHUT_WR) == 0
                       ? 0
                       : -1;
}

static long try_unix_socket(const Tools *t) {
        struct sockaddr_un address;
        socklen_t size = sizeof address;
        int server, value = 65536;
        struct ucred peer;

        /* where the listener is was found out before: getsockname() is not for a worker */
        (void)memset(&address, 0, sizeof address);
        if (setsockopt(t->pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value) < 0)
                return -1;
        (void)fcntl(t->listener, F_SETFL, O_NONBLOCK);
        server = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (server >= 0 || errno != EAGAIN)
                return -1;
        size = sizeof peer;
        return getsockopt(t->pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size);
}

static long try_loop(const Tools *t) {
        struct epoll_event e = { .events = EPOLLIN };
        struct pollfd p = { .fd = t->pair[0], .events = POLLIN };
        struct timespec now;

        if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->pair[0], &e) < 0 || send(t->pair[1], "x", 1, 0) != 1)
                return -1;
        return epoll_wait(t->epoll, &e, 1, 30000) == 1 && poll(&p, 1, 0) == 1 &&
                               clock_gettime(CLOCK_REALTIME, &now) == 0
                       ? 0
                       : -1;
}

static long try_memory(const Tools *t) {
        char *large = malloc(8U << 20), *map;
        int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (!large || fd < 0 || ftruncate(fd, 8192) < 0)
                return -1;
        memset(large, 1, 8U << 20);
        large = realloc(large, 16U << 20);
        if (!large)
                return -1;
        free(large);
        map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED || madvise(map, 8192, MADV_REMOVE) < 0)
                return -1;
        return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && munmap(map, 8192) == 0 ? close(fd) : -1;
}

static long try_terminal_size(const Tools *t) {
        int n;

        return ioctl(t->pipe[0], FIONREAD, &n);
}

static long try_capabilities(const Tools *t) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        errno = 0;
        if (syscall(SYS_capget, &header, data) == 0 || errno != ENOSYS)
                return -1; /* not for a worker either; the test below looks from outside */
        return 0;
}

CleanTest(sandbox, what_a_worker_needs_works) {
        static const struct {
                const char *name;
                Attempt attempt;
        } cases[] = {
                { "read, write", try_pipe },    { "writev, fsync", try_writev },
                { "messages", try_messages },   { "accept4, options of sockets", try_unix_socket },
                { "epoll", try_loop },          { "memory, memfd", try_memory },
                { "ioctl", try_terminal_size }, { "capget is not there", try_capabilities },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(cases[i].attempt);

                cr_assert_eq(s.code, 0, "%s: %d (%s)", cases[i].name, s.code, strerror(s.code));
        }
}

/* ---- what it shall not do -------------------------------------------------------------------- */

static long try_execve(const Tools *t) {
        char *argv[] = { (char *)"true", NULL };

        return syscall(SYS_execve, "/bin/true", argv, environ);
}

static long try_execveat(const Tools *t) {
        char *argv[] = { (char *)"true", NULL };

        return syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, environ, 0);
}

static long try_clone(const Tools *t) {
        return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long try_clone3(const Tools *t) {
        return syscall(SYS_clone3, NULL, 0);
}

static long try_inet(const Tools *t) {
        return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_netlink(const Tools *t) {
        return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long try_packet(const Tools *t) {
        return socket(AF_PACKET, SOCK_RAW, 0);
}

static long try_ptrace(const Tools *t) {
        return syscall(SYS_ptrace, 0, 0, 0, 0);
}

static long try_kill(const Tools *t) {
        return kill(getppid(), 0);
}

static long try_mount(const Tools *t) {
        return syscall(SYS_mount, "a", "/", "tmpfs", 0, NULL);
}

static long try_unshare(const Tools *t) {
        return syscall(SYS_unshare, 0);
}

static long try_setuid(const Tools *t) {
        return syscall(SYS_setuid, 0);
}

static long try_bpf(const Tools *t) {
        return syscall(SYS_bpf, 0, NULL, 0);
}

CleanTest(sandbox, what_nothing_of_ours_would_try_ends_it) {
        static const struct {
                const char *name;
                Attempt attempt;
        } cases[] = {
                { "execve", try_execve },    { "execveat", try_execveat }, { "clone", try_clone },
                { "clone3", try_clone3 },    { "AF_INET", try_inet },      { "AF_NETLINK", try_netlink },
                { "AF_PACKET", try_packet }, { "ptrace", try_ptrace },     { "kill", try_kill },
                { "mount", try_mount },      { "unshare", try_unshare },   { "setuid", try_setuid },
                { "bpf", try_bpf },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(cases[i].attempt);

                cr_assert_eq(s.signal, SIGSYS, "%s: exited with %d", cases[i].name, s.code);
        }
}

static long try_open(const Tools *t) {
        return open("/dev/null", O_RDONLY);
}

static long try_create(const Tools *t) {
        return open("/tmp/test-sandbox-file", O_WRONLY | O_CREAT, 0600);
}

static long try_unlink(const Tools *t) {
        return unlink("/tmp/test-sandbox-file");
}

static long try_mkdir(const Tools *t) {
        return mkdir("/tmp/test-sandbox-file", 0700);
}

static long try_rename(const Tools *t) {
        return rename("/tmp/test-sandbox-a", "/tmp/test-sandbox-b");
}

static long try_chmod(const Tools *t) {
        return chmod("/tmp", 01777);
}

static long try_bind(const Tools *t) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t));
}

static const struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };

static long try_connect(const Tools *t) {
        return connect(t->datagrams, (const struct sockaddr *)&nobody, sizeof nobody);
}

static long try_sendto(const Tools *t) {
        return sendto(t->datagrams, "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)&nobody, sizeof nobody);
}

static long try_datagrams(const Tools *t) {
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long try_stream(const Tools *t) {
        return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_packets(const Tools *t) {
        return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static long try_tgkill(const Tools *t) {
        return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long try_owner(const Tools *t) {
        return fcntl(t->pair[0], F_SETOWN, getpid());
}

static long try_owner_by_ioctl(const Tools *t) {
        int pid = getpid();

        return ioctl(t->pair[0], FIOSETOWN, &pid);
}

static long try_pidfd(const Tools *t) {
        return syscall(SYS_pidfd_open, getpid(), 0);
}

static long try_dup(const Tools *t) {
        return dup2(t->file, 0);
}

static long try_prlimit(const Tools *t) {
        struct rlimit limit;

        return getrlimit(RLIMIT_NOFILE, &limit);
}

CleanTest(sandbox, what_is_not_listed_does_not_exist) {
        static const struct {
                const char *name;
                Attempt attempt;
        } cases[] = {
                { "open", try_open },
                { "create", try_create },
                { "unlink", try_unlink },
                { "mkdir", try_mkdir },
                { "rename", try_rename },
                { "chmod", try_chmod },
                { "bind", try_bind },
                { "pidfd", try_pidfd },
                { "dup2", try_dup },
                { "prlimit", try_prlimit },
                { "connect", try_connect },
                { "sendto, with an address", try_sendto },
                { "AF_UNIX, datagrams", try_datagrams },
                { "AF_UNIX, stream", try_stream },
                { "AF_UNIX, packets", try_packets },
                { "tgkill", try_tgkill },
                { "F_SETOWN", try_owner },
                { "FIOSETOWN", try_owner_by_ioctl },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(cases[i].attempt);

                cr_assert_eq(s.code, ENOSYS, "%s: %d (%s)", cases[i].name, s.code, strerror(s.code));
        }
}

/* ---- from outside ---------------------------------------------------------------------------- */

static uint64_t status_field(const char *text, const char *key) {
        const char *p = strstr(text, key);

        cr_assert_not_null(p, "%s", key);
        return strtoull(p + strlen(key), NULL, 16);
}

CleanTest(sandbox, no_capability_and_no_core_is_left_and_none_can_be_had) {
        _cleanup_free_ char *text = NULL;
        char path[64], soft[16], hard[16], byte;
        const char *core;
        Tools t;
        pid_t pid;
        int r;

        tools_make(&t);
        r = process_fork(&pid);
        cr_assert_geq(r, 0);
        if (r == 0) {
                if (sandbox_enter(&(ExitFiles){ 0 }) < 0)
                        process_exit(CAGE_FAILED);
                (void)close(t.pair[1]);
                (void)!write(t.pipe[1], "x", 1);
                (void)!read(t.pair[0], &byte, 1);
                process_exit(0);
        }
        cr_assert_eq(read(t.pipe[0], &byte, 1), 1);
        (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
        cr_assert_eq(status_field(text, "CapEff:"), 0);
        cr_assert_eq(status_field(text, "CapPrm:"), 0);
        cr_assert_eq(status_field(text, "CapInh:"), 0);
        cr_assert_eq(status_field(text, "CapAmb:"), 0);
        cr_assert_eq(status_field(text, "NoNewPrivs:"), 1);
        cr_assert_eq(status_field(text, "Seccomp:"), 2);
        free(TAKE_PTR(text));
        (void)snprintf(path, sizeof path, "/proc/%d/limits", pid);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
        core = strstr(text, "Max core file size");
        cr_assert_eq(sscanf(core, "Max core file size %15s %15s", soft, hard), 2);
        cr_assert(strcmp(soft, "0") == 0 && strcmp(hard, "0") == 0);
        tools_done(&t);
        cr_assert_eq(end_of(pid).code, 0);
}
