/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The hands of tests/bench, in C and linked statically since they must be quicker than what they measure:
 *
 *     bench-tool life KIND FIFO EXIT-DIR EXIT-NAME PID-FILE -- MONITOR ARG...
 *         One life: start MONITOR as Podman does, wait for its record, end the target with SIGKILL, wait for the exit
 *         file, the exit command (which is "bench-tool stamp FIFO") and the monitor's end. KIND "create" does that;
 *         "exec" waits for the exit code instead; "null" is the same with a monitor that does nothing: the command is
 *         the runtime's, and its cost is what runtime and target cost anybody. Prints "KEY NUMBER" lines, in ns.
 *     bench-tool stamp FIFO         write the time to the fifo
 *     bench-tool journal SOCKET     be a journald that forgets all, until killed
 *     bench-tool attach SOCKET N BYTES   N clients that read until each has BYTES; "ready" is printed when connected
 *     bench-tool stuck SOCKET       a client that never reads
 *     bench-tool pause              a payload
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define CLIENTS_MAX 64

static void __attribute__((noreturn)) die(const char *what) {
        (void)fprintf(stderr, "bench-tool: %s: %s\n", what, strerror(errno));
        exit(1);
}

static uint64_t now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void await(int fd, const char *what) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        errno = ETIMEDOUT;
        if (poll(&p, 1, PATIENCE_MS) <= 0)
                die(what);
}

static int make_socket(const char *path, int type, int (*use)(int, const struct sockaddr *, socklen_t)) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof a.sun_path)
                die(path);
        (void)memcpy(a.sun_path, path, strlen(path));
        if (fd < 0 || use(fd, (const struct sockaddr *)&a, sizeof a) < 0)
                die(path);
        return fd;
}

/* ---- a life ------------------------------------------------------------------------------------------- */

typedef struct Life {
        const char *fifo, *exit_dir, *exit_name, *pid_file;
        int sync[2], start[2], fifo_fd, watch;
        uint64_t cpu;
} Life;

static uint64_t cpu_of(const struct rusage *u) {
        return ((uint64_t)u->ru_utime.tv_sec + (uint64_t)u->ru_stime.tv_sec) * 1000000000U +
               ((uint64_t)u->ru_utime.tv_usec + (uint64_t)u->ru_stime.tv_usec) * 1000U;
}

/* A pipe end of the monitor's, under a number that its environment tells. */
static void give(int fd, const char *variable) {
        char text[16];

        (void)fcntl(fd, F_SETFD, 0);
        (void)snprintf(text, sizeof text, "%d", fd);
        (void)setenv(variable, text, 1);
}

static pid_t launch(Life *l, char *argv[]) {
        pid_t pid = vfork();

        if (pid == 0) {
                (void)execv(argv[0], argv);
                _exit(127);
        }
        (void)close(l->sync[1]);
        (void)close(l->start[1]);
        return pid;
}

static pid_t read_pid(const char *path) {
        char text[32] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
                die(path);
        (void)close(fd);
        return (pid_t)strtol(text, NULL, 10);
}

/* The number in the next record of the monitor's. */
static long record(Life *l) {
        char text[4096];
        ssize_t n;
        char *colon;

        await(l->sync[0], "no record");
        n = read(l->sync[0], text, sizeof text - 1);
        if (n <= 0)
                die("end of records");
        text[n] = 0;
        colon = strchr(text, ':');
        if (!colon || (colon[2] == '-' && !strstr(text, "-1")))
                die(text);
        if (strstr(text, "-1")) {
                (void)fputs(text, stderr);
                exit(1);
        }
        return strtol(colon + 1, NULL, 10);
}

static void await_exit_file(Life *l) {
        char path[4096], events[8192];

        (void)snprintf(path, sizeof path, "%s/%s", l->exit_dir, l->exit_name);
        while (access(path, F_OK) < 0) {
                await(l->watch, "no exit file");
                if (read(l->watch, events, sizeof events) < 0)
                        die("inotify");
        }
}

static void bury_all(Life *l) {
        struct rusage u;

        while (wait4(-1, NULL, 0, &u) > 0)
                l->cpu += cpu_of(&u);
}

static void say(const char *key, uint64_t value) {
        (void)printf("%s %llu\n", key, (unsigned long long)value);
}

static void end_target(Life *l, pid_t target) {
        uint64_t begin, stamp = 0;

        begin = now();
        if (kill(target, SIGKILL) < 0)
                die("kill");
        await_exit_file(l);
        say("exit_file", now() - begin);
        await(l->fifo_fd, "no exit command");
        if (read(l->fifo_fd, &stamp, sizeof stamp) != sizeof stamp)
                die("stamp");
        say("exit_command", stamp - begin);
}

/* What runtime, target and exit command cost whoever runs them. */
static int life_null(Life *l, char *argv[]) {
        struct rusage u;
        pid_t pid;

        pid = launch(l, argv);
        if (wait4(pid, NULL, 0, &u) < 0)
                die("wait");
        l->cpu += cpu_of(&u);
        if (strcmp(l->pid_file, "-") != 0)
                (void)kill(read_pid(l->pid_file), SIGKILL);
        launch(l, (char *[]){ (char *)"/proc/self/exe", (char *)"stamp", (char *)(uintptr_t)l->fifo, NULL });
        bury_all(l);
        say("cpu", l->cpu);
        return 0;
}

static int life(const char *kind, Life *l, char *argv[]) {
        struct rusage u;
        uint64_t begin;
        pid_t launcher;
        long number;

        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (strcmp(kind, "null") == 0)
                return life_null(l, argv);
        give(l->sync[1], "_OCI_SYNCPIPE");
        give(l->start[1], "_OCI_STARTPIPE");
        if (write(l->start[0], "", 1) != 1)
                die("start pipe");

        begin = now();
        launcher = launch(l, argv);
        number = record(l);
        say("start", now() - begin);
        if (strcmp(kind, "exec") == 0) {
                (void)record(l);
                say("exec", now() - begin);
        }
        if (wait4(launcher, NULL, 0, &u) < 0)
                die("wait");
        l->cpu += cpu_of(&u);
        if (strcmp(kind, "create") == 0)
                end_target(l, (pid_t)number);
        bury_all(l);
        say("cpu", l->cpu);
        return 0;
}

static int do_life(int argc, char *argv[]) {
        Life l = { 0 };

        if (argc < 9)
                die("life: too few words");
        l = (Life){ .fifo = argv[3], .exit_dir = argv[4], .exit_name = argv[5], .pid_file = argv[6] };
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l.sync) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l.start) < 0)
                die("socketpair");
        (void)mkfifo(l.fifo, 0600);
        l.fifo_fd = open(l.fifo, O_RDWR | O_CLOEXEC);
        l.watch = inotify_init1(IN_CLOEXEC);
        if (l.fifo_fd < 0 ||
            inotify_add_watch(l.watch, l.exit_dir, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
                die(l.exit_dir);
        return life(argv[2], &l, argv + 8);
}

static int do_stamp(const char *path) {
        uint64_t t = now();
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        return fd >= 0 && write(fd, &t, sizeof t) == sizeof t ? 0 : 1;
}

/* ---- peers -------------------------------------------------------------------------------------------- */

static int do_journal(const char *path) {
        static char data[64][8192];
        struct mmsghdr messages[64];
        struct iovec iov[64];
        int fd, size = 8 << 20;

        (void)unlink(path);
        fd = make_socket(path, SOCK_DGRAM, bind);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
        for (size_t i = 0; i < 64; i++) {
                iov[i] = (struct iovec){ data[i], sizeof data[i] };
                messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
        }
        while (recvmmsg(fd, messages, 64, MSG_WAITFORONE, NULL) > 0)
                ;
        return 1;
}

static int do_attach(const char *path, const char *clients, const char *bytes) {
        static char data[65536];
        struct pollfd fds[CLIENTS_MAX];
        unsigned long long left[CLIENTS_MAX], want = strtoull(bytes, NULL, 10);
        size_t n = strtoul(clients, NULL, 10), open_ones = n;

        if (n > CLIENTS_MAX)
                die("too many clients");
        for (size_t i = 0; i < n; i++) {
                fds[i] =
                        (struct pollfd){ .fd = make_socket(path, SOCK_SEQPACKET, connect), .events = POLLIN };
                left[i] = want;
        }
        (void)puts("ready");
        (void)fflush(stdout);
        while (open_ones > 0 && poll(fds, n, PATIENCE_MS * 5) > 0)
                for (size_t i = 0; i < n; i++) {
                        ssize_t k;

                        if (!(fds[i].revents & (POLLIN | POLLHUP)))
                                continue;
                        while ((k = recv(fds[i].fd, data, sizeof data, MSG_DONTWAIT)) > 1)
                                left[i] -= (unsigned long long)k - 1 < left[i] ? (unsigned long long)k - 1
                                                                               : left[i];
                        if (left[i] == 0 || k == 0) {
                                fds[i].fd = ~fds[i].fd;
                                open_ones--;
                        }
                }
        return open_ones == 0 ? 0 : 1;
}

static void __attribute__((noreturn)) hang(void) {
        (void)alarm(300);
        for (;;)
                (void)pause();
}

static int do_stuck(const char *path) {
        (void)make_socket(path, SOCK_SEQPACKET, connect);
        (void)puts("ready");
        (void)fflush(stdout);
        hang();
}

int main(int argc, char *argv[]) {
        const char *verb = argc > 1 ? argv[1] : "";

        if (strcmp(verb, "life") == 0)
                return do_life(argc, argv);
        if (strcmp(verb, "stamp") == 0 && argc > 2)
                return do_stamp(argv[2]);
        if (strcmp(verb, "journal") == 0 && argc > 2)
                return do_journal(argv[2]);
        if (strcmp(verb, "attach") == 0 && argc > 4)
                return do_attach(argv[2], argv[3], argv[4]);
        if (strcmp(verb, "stuck") == 0 && argc > 2)
                return do_stuck(argv[2]);
        if (strcmp(verb, "pause") == 0)
                hang();
        errno = EINVAL;
        die("usage: see the top of bench-tool.c");
}
