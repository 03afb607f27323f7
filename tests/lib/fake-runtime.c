/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stand-in for an OCI runtime, for tests of the whole program. It is called as runc and crun are
 *
 *     fake-runtime [GLOBAL OPTION...] create|restore|exec [OPTION...] CID
 *
 * makes a process (the "target") that inherits its stdio, writes --pid-file and leaves, so that the target falls to the
 * nearest subreaper. What both do stands in the environment variable FAKE_RUNTIME: words between blanks, in which
 * \s is a blank, \n a newline, \t, \r, \0, \e and \\ as usual and \xHH any byte.
 *
 * Words for the runtime:
 *     record=PATH           first of all, write what the runtime sees (format: see record())
 *     runtime-wait-file=PATH  then wait until someone opens this fifo for writing; it is made if need be
 *     runtime-stdout=TEXT, runtime-stderr=TEXT
 *     runtime-junk=N        N bytes on stderr
 *     runtime-exit=N        leave with this status; other than 0 means without making a target
 *     runtime-signal=N      die by this signal, without making a target
 *     runtime-hang          never leave (five minutes at most), without making a target
 *     runtime-grandchild    leave a process behind that holds stdout and stderr
 *     no-pidfile, empty-pidfile, pidfile=TEXT
 *     late-pidfile          write it and leave only after the target is dead
 *     daemonize             the target is the runtime's grandchild, orphaned before the pid file is there
 *     console               does nothing: with --console-socket a terminal is made anyway
 *     no-console            but not with this word; nothing connects then
 *     bad-console=nofd|two|empty  a message without a descriptor, with two, or the end of the connection
 *
 * Words for the target, done from left to right; at the end it exits with 0:
 *     stdout=TEXT, stderr=TEXT
 *     lines=N,SIZE, lines-stderr=N,SIZE  N lines of SIZE bytes (20 to 65536), newline included; see write_lines()
 *     cat                   copy stdin to stdout until its end
 *     close-stdin, close-stdout, close-stderr
 *     reopen-stdout         open /proc/self/fd/1 anew and use that
 *     reopen-tty[=PATH]     let go of the terminal altogether, and open it again by name; between the two, wait as
 *                           wait-file=PATH does
 *     winsize               print "ROWS COLUMNS" of the terminal on stdin
 *     wait-resize           wait until the terminal's size is something else than 0 0
 *     wait-file=PATH        wait until someone opens this fifo for writing; it is made if need be
 *     wait-start            wait for "fake-runtime --root=DIR start CID"
 *     notify=TEXT           send a datagram to BUNDLE/notify/notify.sock
 *     grandchild-holds-pipe leave a process behind that holds stdout and stderr
 *     user=N                become this user, in a group of the same number
 *     eat=N                 use N MiB of memory
 *     flood=BYTES,SIZE[,CHUNK]  lines of SIZE bytes on stdout as fast as they go, in writes of CHUNK bytes; flood-both=
 *                           on stderr too; paced=LINES,SIZE,RATE so many a second; see flood.h
 *     flood-report=PATH     a file that gets a line for each of those: how many ns it took
 *     numbered=LINES,SIZE[,RATE[,STREAMS]]  lines as lines= makes them, cut anywhere, see faults.h; zombies=N children that
 *                           nobody waits for; ignore=SIGNAL; bomb=MS a fork bomb that takes all processes that its user may
 *                           have, for so long
 *     hang                  wait for a signal that kills (five minutes at most)
 *     exit=N, signal=N
 *
 * Other verbs, enough for a caller that does the rest itself; --root=DIR says where state is kept:
 *     start CID             release a target that waits, and hang if there is a word start-hang; state CID; kill CID SIGNAL; delete [--force] CID
 *     cleanup               an exit command: words exit-record=PATH, exit-hang and exit-exit=N
 *
 * Nothing it leaves behind lives longer than five minutes. What goes wrong here ends with 125 and a line on stderr.
 */

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fake-target.h"

/* Stores the value of option argv[*i] if it is @name, which may be given as one word or as two. */
static bool take_option(char *argv[], int *i, const char *name, const char **ret) {
        size_t n = strlen(name);

        if (strncmp(argv[*i], name, n) != 0 || (argv[*i][n] && argv[*i][n] != '='))
                return false;
        if (argv[*i][n] == '=')
                *ret = argv[*i] + n + 1;
        else if (argv[*i + 1])
                *ret = argv[++*i];
        else
                die("%s without its value", name);
        return true;
}

static void read_argv(Runtime *r, char *argv[]) {
        const char *preserve = "0", *ignored;

        for (int i = 1; argv[i]; i++) {
                if (take_option(argv, &i, "--bundle", &r->bundle) ||
                    take_option(argv, &i, "--pid-file", &r->pid_file) ||
                    take_option(argv, &i, "--console-socket", &r->console_socket) ||
                    take_option(argv, &i, "--root", &r->root) ||
                    take_option(argv, &i, "--preserve-fds", &preserve) ||
                    take_option(argv, &i, "--process", &ignored) ||
                    take_option(argv, &i, "--image-path", &ignored) ||
                    take_option(argv, &i, "--work-path", &ignored) ||
                    take_option(argv, &i, "--cgroup-manager", &ignored) ||
                    take_option(argv, &i, "--log-format", &ignored) ||
                    take_option(argv, &i, "--log", &ignored) || argv[i][0] == '-')
                        continue;
                if (!r->verb)
                        r->verb = argv[i];
                else if (!r->cid)
                        r->cid = argv[i];
                else
                        r->signal = argv[i];
        }
        r->preserve_fds = (int)strtol(preserve, NULL, 10);
        if (!r->verb)
                die("no verb");
}

/* "KEY: " and @text, in which newlines and backslashes are escaped, on one line. */
static void record_line(FILE *f, const char *key, const char *text) {
        (void)fprintf(f, "%s: ", key);
        for (; *text; text++)
                if (*text == '\n' || *text == '\\')
                        (void)fputs(*text == '\n' ? "\\n" : "\\\\", f);
                else
                        (void)fputc(*text, f);
        (void)fputc('\n', f);
}

static void record_fds(FILE *f) {
        for (int fd = 0; fd < 1024; fd++) {
                char path[64], target[PATH_MAX], line[PATH_MAX + 64];
                ssize_t n;

                (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                n = readlink(path, target, sizeof target - 1);
                if (n < 0 || fd == fileno(f))
                        continue;
                target[n] = 0;
                (void)snprintf(line, sizeof line, "%d %s", fd, target);
                record_line(f, "fd", line);
        }
}

/*
 * One item per line: "argv: WORD", "env: NAME=VALUE", "fd: NUMBER LINK", "cwd: PATH", "ids: PID PPID PGID SID",
 * "cgroup: LINE", "oom_score_adj: N", and the lines of /proc/self/status that tell of signals and the umask. Newlines
 * and backslashes are escaped. The file appears when it is complete.
 */
static void record(const char *path, char *argv[]) {
        static const char *const sources[] = { "/proc/self/status", "/proc/self/cgroup",
                                               "/proc/self/oom_score_adj" };
        static const char *const prefixes[] = { "", "cgroup: ", "oom_score_adj: " };
        char temporary[PATH_MAX], line[8192];
        FILE *f;

        (void)snprintf(temporary, sizeof temporary, "%s.new", path);
        f = fopen(temporary, "we");
        if (!f)
                die("cannot make %s", temporary);
        for (int i = 0; argv[i]; i++)
                record_line(f, "argv", argv[i]);
        for (char **e = environ; *e; e++)
                record_line(f, "env", *e);
        record_fds(f);
        record_line(f, "cwd", getcwd(line, sizeof line) ?: "?");
        (void)fprintf(f, "ids: %d %d %d %d\n", getpid(), getppid(), getpgid(0), getsid(0));
        for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
                FILE *source = fopen(sources[i], "re");

                while (source && fgets(line, sizeof line, source)) {
                        if (i == 0 && strncmp(line, "Sig", 3) != 0 && strncmp(line, "Umask", 5) != 0)
                                continue;
                        (void)fprintf(f, "%s%s", prefixes[i], line);
                }
                if (source)
                        (void)fclose(source);
        }
        if (fclose(f) != 0 || rename(temporary, path) < 0)
                die("cannot write %s", path);
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof address.sun_path)
                die("%s is too long", path);
        (void)memcpy(address.sun_path, path, strlen(path) + 1);
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                die("cannot connect to %s", path);
        return fd;
}

/* One message with the terminal's name, and its descriptor @n_fds times. */
static void send_terminal(int socket_fd, int fd, size_t n_fds) {
        static char name[] = "/dev/pts/ptmx";
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(2 * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = name, .iov_len = strlen(name) };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        const int fds[] = { fd, fd };

        if (n_fds > 0) {
                message.msg_control = control.space;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                  .cmsg_type = SCM_RIGHTS,
                                                  .cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
                (void)memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
        }
        if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0)
                die("cannot send the terminal");
}

/* Returns the terminal's other end, or -1 if there is to be none. */
static int make_console(const Runtime *r) {
        const Word *bad = find_word(r, "bad-console");
        int socket_fd, master, slave;
        char path[PATH_MAX];

        if (!r->console_socket || find_word(r, "no-console"))
                return -1;
        master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
            ptsname_r(master, path, sizeof path) != 0)
                die("no terminal");
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        socket_fd = connect_to(r->console_socket);
        if (slave < 0)
                die("cannot open %s", path);

        if (!bad)
                send_terminal(socket_fd, master, 1);
        else if (strcmp(bad->value, "empty") != 0)
                send_terminal(socket_fd, master, strcmp(bad->value, "two") == 0 ? 2 : 0);
        (void)close(socket_fd);
        (void)close(master);
        return slave;
}

static void __attribute__((noreturn)) become_target(const Runtime *r, int slave, int ready, int gate) {
        sigset_t set;
        char byte;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGWINCH);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)prctl(PR_SET_PDEATHSIG, 0);
        (void)prctl(PR_SET_NAME, "fake-target");
        (void)setsid();
        if (slave >= 0) {
                for (int i = 0; i < 3; i++)
                        if (dup2(slave, i) < 0)
                                die("dup2");
                (void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
                (void)close(ready);
        }
        if (gate >= 0)
                (void)!read(gate, &byte, 1); /* end of file is the sign */
        (void)close_range((unsigned)(STDERR_FILENO + 1 + r->preserve_fds), ~0U, 0);
        run_target(r);
}

/* Forks the target, or has a child fork it that is gone before this returns. A terminal is the target's by then. */
static pid_t fork_target(const Runtime *r, int slave, int gate[2]) {
        int fds[2], ready[2] = { -1, -1 };
        pid_t target = 0, between;
        char byte;

        if (pipe2(fds, O_CLOEXEC) < 0 || (slave >= 0 && pipe2(ready, O_CLOEXEC) < 0))
                die("no pipe");
        between = find_word(r, "daemonize") ? fork() : 0;
        if (between == 0)
                target = fork();
        if (between == 0 && target == 0) {
                (void)close(gate[1]);
                become_target(r, slave, ready[1], gate[0]);
        }
        if (between < 0 || target < 0)
                die("no process");
        if (between == 0 && find_word(r, "daemonize")) {
                write_all(fds[1], (const char *)&target, sizeof target);
                _exit(EXIT_SUCCESS);
        }
        if (between > 0) {
                (void)waitpid(between, NULL, 0);
                if (read(fds[0], &target, sizeof target) != sizeof target)
                        die("no target");
        }
        (void)close(fds[0]);
        (void)close(fds[1]);
        if (slave >= 0) {
                (void)close(ready[1]);
                (void)!read(ready[0], &byte, 1); /* end of file is the sign */
                (void)close(ready[0]);
        }
        return target;
}

static void write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd < 0)
                die("cannot make %s", path);
        write_all(fd, text, strlen(text));
        (void)close(fd);
}

static void write_pid_file(const Runtime *r, pid_t pid) {
        const Word *other = find_word(r, "pidfile");
        char text[16];

        (void)snprintf(text, sizeof text, "%d", pid);
        if (r->root)
                write_file(state_path(r, "pid"), text);
        if (r->pid_file && !find_word(r, "no-pidfile"))
                write_file(r->pid_file, find_word(r, "empty-pidfile") ? "" : other ? other->value : text);
}

static void wait_for_end(pid_t pid) {
        struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

        while (p.fd >= 0 && poll(&p, 1, -1) < 0 && errno == EINTR)
                ;
        (void)close(p.fd);
}

/* What the runtime does before it makes a target; ends it here if it is told not to make one. */
static void fail_as_told(const Runtime *r) {
        const Word *w;

        if ((w = find_word(r, "runtime-wait-file")))
                wait_fifo(w->value);
        if ((w = find_word(r, "runtime-stdout")))
                write_all(STDOUT_FILENO, w->value, w->n);
        if ((w = find_word(r, "runtime-stderr")))
                write_all(STDERR_FILENO, w->value, w->n);
        if ((w = find_word(r, "runtime-junk")))
                write_junk(STDERR_FILENO, number(w));
        if (find_word(r, "runtime-grandchild"))
                hold_pipes();
        if (find_word(r, "runtime-hang")) {
                (void)alarm(PATIENCE_S);
                for (;;)
                        (void)pause();
        }
        if ((w = find_word(r, "runtime-signal")))
                die_by_signal(number(w));
        if ((w = find_word(r, "runtime-exit")) && number(w) != 0)
                _exit(number(w));
}

/* The target starts its words when the runtime has gone, or at once if the runtime waits for its end. */
static int create(const Runtime *r) {
        bool late = find_word(r, "late-pidfile");
        int gate[2] = { -1, -1 }, slave;
        pid_t pid;

        fail_as_told(r);
        if (!late && pipe2(gate, O_CLOEXEC) < 0)
                die("no pipe");
        slave = make_console(r);
        pid = fork_target(r, slave, gate);
        if (late)
                wait_for_end(pid);
        write_pid_file(r, pid);
        return EXIT_SUCCESS;
}

static int cleanup(const Runtime *r, char *argv[]) {
        const Word *path = find_word(r, "exit-record"), *status = find_word(r, "exit-exit");

        if (path)
                record(path->value, argv);
        if (find_word(r, "exit-hang")) {
                (void)alarm(PATIENCE_S);
                (void)pause();
        }
        return status ? number(status) : EXIT_SUCCESS;
}

static pid_t read_pid(const Runtime *r) {
        FILE *f = fopen(state_path(r, "pid"), "re");
        char text[16] = "";

        if (!f)
                return -1;
        (void)!fgets(text, sizeof text, f);
        (void)fclose(f);
        return (pid_t)strtol(text, NULL, 10);
}

static int start(const Runtime *r) {
        int fd;

        (void)mkfifo(state_path(r, "start"), 0600);
        fd = open(state_path(r, "start"), O_WRONLY | O_CLOEXEC);
        if (find_word(r, "start-hang")) {
                (void)alarm(PATIENCE_S);
                (void)pause();
        }
        return fd < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A dead process that nobody has reaped yet is not alive. */
static bool is_alive(pid_t pid) {
        char path[64], text[512] = "", *end;
        FILE *f;

        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return false;
        (void)!fgets(text, sizeof text, f);
        (void)fclose(f);
        end = strrchr(text, ')');
        return end && !strchr("ZX", end[2]);
}

static int state(const Runtime *r) {
        pid_t pid = read_pid(r);
        bool alive = pid > 0 && is_alive(pid);

        if (pid <= 0)
                return EXIT_FAILURE;
        (void)printf("{\"ociVersion\": \"1.0.0\", \"id\": \"%s\", \"pid\": %d, "
                     "\"status\": \"%s\"}\n",
                     r->cid, alive ? pid : 0, alive ? "running" : "stopped");
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int kill_target(const Runtime *r, const char *name) {
        int signal_number = (int)strtol(name, NULL, 10);
        pid_t pid = read_pid(r);

        if (strncmp(name, "SIG", 3) == 0)
                name += 3;
        for (int i = 1; signal_number == 0 && i < NSIG; i++)
                if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), name) == 0)
                        signal_number = i;
        return pid > 0 && kill(pid, signal_number) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int delete (const Runtime *r) {
        (void)kill_target(r, "KILL");
        (void)unlink(state_path(r, "start"));
        return unlink(state_path(r, "pid")) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        static Runtime r;
        const Word *w;

        read_words(&r);
        read_argv(&r, argv);
        if (strcmp(r.verb, "cleanup") == 0)
                return cleanup(&r, argv);
        if (strcmp(r.verb, "start") == 0)
                return start(&r);
        if (strcmp(r.verb, "state") == 0)
                return state(&r);
        if (strcmp(r.verb, "kill") == 0)
                return kill_target(&r, r.signal ?: "TERM");
        if (strcmp(r.verb, "delete") == 0)
                return delete (&r);
        if (strcmp(r.verb, "create") != 0 && strcmp(r.verb, "restore") != 0 && strcmp(r.verb, "exec") != 0)
                die("unknown verb %s", r.verb);
        if ((w = find_word(&r, "record")))
                record(w->value, argv);
        return create(&r);
}
