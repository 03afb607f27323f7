/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Questions about containers. What systemd and the journal have to say is for tests/system/cases/explain.py; here are
 * the command line, and a monitor that waits for its start byte.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "clean.h"
#include "config/options.h"
#include "explain/explain-internal.h"
#include "explain/explain.h"

#define ID_REST "223344556677ffeeddccbbaa99887766554433221100aabbccddeeff"

typedef struct Said {
        int status;
        char out[16384], err[1024];
} Said;

static void read_back(int fd, char *text, size_t size) {
        ssize_t n = pread(fd, text, size - 1, 0);

        cr_assert_geq(n, 0);
        text[n] = 0;
}

/* Runs "scopemon WORDS..." in a process of its own: stdout is its to flush. */
static Said ask(const char *const *words) {
        char out[] = "/tmp/test-explain-XXXXXX", err[] = "/tmp/test-explain-XXXXXX";
        int out_fd = mkstemp(out), err_fd = mkstemp(err), status, argc = 1;
        char *argv[16] = { (char *)"scopemon" };
        Said said;
        pid_t pid;

        for (; words[argc - 1]; argc++)
                argv[argc] = strdup(words[argc - 1]);
        pid = fork();
        if (pid == 0) {
                (void)dup2(out_fd, STDOUT_FILENO);
                (void)dup2(err_fd, STDERR_FILENO);
                _exit(explain_is_verb(argv[1]) ? explain_run(argc, argv) : 99);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status), "died of signal %d", WTERMSIG(status));
        said.status = WEXITSTATUS(status);
        read_back(out_fd, said.out, sizeof said.out);
        read_back(err_fd, said.err, sizeof said.err);
        for (int i = 1; i < argc; i++)
                free(argv[i]);
        (void)close(out_fd);
        (void)close(err_fd);
        (void)unlink(out);
        (void)unlink(err);
        return said;
}

#define ask(...) ask((const char *const[]){ __VA_ARGS__, NULL })

static void check_one_line(const char *text) {
        cr_assert_neq(text[0], 0);
        cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "not one line: \"%s\"", text);
}

CleanTest(explain, only_three_first_words_are_questions) {
        cr_assert(explain_is_verb("explain"));
        cr_assert(explain_is_verb("list"));
        cr_assert(explain_is_verb("status"));
        cr_assert_not(explain_is_verb("--explain"));
        cr_assert_not(explain_is_verb("1")); /* "--api-version 1" */
        cr_assert_not(explain_is_verb(""));
}

CleanTest(explain, a_wrong_command_line_is_one_line_and_1) {
        static const struct {
                const char *words[3], *said;
        } cases[] = {
                { { "explain" }, "Missing argument" },
                { { "explain", "--json" }, "Missing argument" },
                { { "status" }, "Missing argument" },
                { { "explain", "--json=long", "x" }, "--json=long" },
                { { "explain", "--json=", "x" }, "--json=" },
                { { "explain", "--user=1", "x" }, "--user does not take an argument" },
                { { "explain", "--nonsense", "x" }, "Unknown option --nonsense" },
                { { "explain", "-x", "x" }, "Unknown option -x" },
                { { "list", "--output=contaner" }, "Unknown column contaner, did you mean container?" },
                { { "list", "-o" }, "-o requires an argument" },
                { { "list", "--jsn" }, "Unknown option --jsn, did you mean --json?" },
                { { "list", "--nonsense" }, "Unknown option --nonsense" },
                { { "list", "-o", "" }, "empty" },
                { { "list", "--output=id," }, "empty" },
                { { "list", "" }, "empty" },
                { { "explain", "" }, "empty" },
                { { "status", "--", "" }, "empty" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *const *words = cases[i].words;
                Said s = ask(words[0], words[1], words[2]);

                cr_assert_eq(s.status, EXPLAIN_FAILED, "case %zu: status %d", i, s.status);
                cr_assert_str_empty(s.out);
                check_one_line(s.err);
                cr_assert_not_null(strstr(s.err, cases[i].said), "%s", s.err);
        }
}

CleanTest(explain, help_names_the_options_of_the_verb) {
        Said s = ask("explain", "--help");

        cr_assert_eq(s.status, EXPLAIN_OK);
        cr_assert_not_null(strstr(s.out, "--json[=MODE]"), "%s", s.out);
        cr_assert_null(strstr(s.out, "--no-legend"), "%s", s.out);
        s = ask("list", "--help");
        cr_assert_not_null(strstr(s.out, "--no-legend"), "%s", s.out);
        cr_assert_not_null(strstr(s.out, "scopemon list"), "%s", s.out);
        s = ask("status", "--help");
        cr_assert_not_null(strstr(s.out, "scopemon status"), "%s", s.out);
}

CleanTest(explain, what_nobody_knows_is_4) {
        static const char *const words[] = { "no-such-container-anywhere",
                                             "no-such-unit-anywhere.service",
                                             "4194303",
                                             "-",
                                             "ffffeeeeddddccccbbbbaaaa",
                                             "a b\033[1m" };

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                Said s = ask("explain", "--json=short", "--", words[i]);

                cr_assert_eq(s.status, EXPLAIN_UNKNOWN, "%s: status %d", words[i], s.status);
                cr_assert_str_empty(s.out);
                check_one_line(s.err);
        }
}

/* Runs the program with stdout at @out. Return: its exit status. */
static int run_into(int out, char *const *argv, char *err, size_t size) {
        int err_fd = memfd_create("stderr", MFD_CLOEXEC), status;
        pid_t pid = fork();

        if (pid == 0) {
                (void)signal(SIGPIPE, SIG_IGN); /* as units have it */
                (void)dup2(out, STDOUT_FILENO);
                (void)dup2(err_fd, STDERR_FILENO);
                (void)execv(getenv("SCOPEMON"), argv);
                _exit(99);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status), "died of signal %d", WTERMSIG(status));
        read_back(err_fd, err, size);
        (void)close(err_fd);
        return WEXITSTATUS(status);
}

CleanTest(explain, a_reader_that_has_gone_is_no_error) {
        static const char *const commands[][4] = {
                { "scopemon", "list", "--json=short" },
                { "scopemon", "list", "--help" },
                { "scopemon", "explain", "--help" },
                { "scopemon", "status", "--help" },
                { "scopemon", "doctor", "--help" },
                { "scopemon", "doctor", "--json=short" },
                { "scopemon", "upgrade", "--help" },
                { "scopemon", "end", "--help" },
                { "scopemon", "--help" },
                { "scopemon", "--version" },
        };
        int ends[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC),
                     null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char err[1024];

        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        (void)close(ends[0]);
        for (size_t i = 0; i < ELEMENTS(commands); i++) {
                char *const *argv = (char *const *)commands[i];
                int expected = run_into(null_fd, argv, err, sizeof err);

                cr_assert_eq(run_into(ends[1], argv, err, sizeof err), expected, "case %zu", i);
                cr_assert_str_empty(err);
                cr_assert_eq(run_into(full, argv, err, sizeof err), EXPLAIN_FAILED, "case %zu", i);
                cr_assert(commands[i][1][0] == '-' || strstr(err, "No space left on device"), "case %zu: %s",
                          i, err);
        }
        (void)close(ends[1]);
        (void)close(full);
        (void)close(null_fd);
}

/* A monitor that waits for its start byte: started, and nothing made yet. */
typedef struct Waiting {
        pid_t pid;
        int start;
        int made; /* inotify: something is made in the directory */
        char dir[64];
        char id[128], name[64]; /* of this very test: others run beside it */
} Waiting;

static void start_waiting_for(Waiting *w, uid_t uid, const char *pid_file) {
        const char *program = getenv("SCOPEMON");
        int pipe_fds[2];
        char number[16], log[96];

        cr_assert_not_null(program);
        (void)snprintf(w->id, sizeof w->id, "%08x" ID_REST, (unsigned)getpid());
        (void)snprintf(w->name, sizeof w->name, "test-explain-%d", getpid());
        (void)strcpy(w->dir, "/tmp/test-explain-XXXXXX");
        cr_assert_not_null(mkdtemp(w->dir));
        cr_assert_eq(chmod(w->dir, 0777), 0);
        (void)snprintf(log, sizeof log, "%s/log", w->dir);
        w->made = inotify_init1(IN_CLOEXEC);
        cr_assert_geq(inotify_add_watch(w->made, w->dir, IN_CREATE), 0);
        cr_assert_eq(pipe(pipe_fds), 0);
        w->pid = fork();
        if (w->pid == 0) {
                (void)close(pipe_fds[1]);
                (void)snprintf(number, sizeof number, "%d", pipe_fds[0]);
                (void)setenv("_OCI_STARTPIPE", number, 1);
                if (uid != geteuid() && setresuid(uid, uid, uid) < 0)
                        _exit(1);
                (void)execl(program, "any-name", "--api-version", "1", "-c", w->id, "-u", w->id, "-r",
                            "/bin/false", "-b", w->dir, "-n", w->name, "--exit-command-arg", "-c", "-sl", log,
                            "--sync", "--conmon-pidfile", pid_file, (char *)NULL);
                _exit(1);
        }
        (void)close(pipe_fds[0]);
        w->start = pipe_fds[1];
}

static void start_waiting(Waiting *w) {
        start_waiting_for(w, geteuid(), "/nonexistent");
}

/* Until it has made its log file: then its command line is its own. */
static void wait_for_argv(const Waiting *w) {
        struct pollfd p = { .fd = w->made, .events = POLLIN };

        cr_assert_eq(poll(&p, 1, 60000), 1, "the monitor does not start");
}

static void end_waiting(Waiting *w) {
        char log[96];

        cr_assert_eq(kill(w->pid, SIGKILL), 0);
        cr_assert_eq(waitpid(w->pid, NULL, 0), w->pid);
        (void)close(w->start);
        (void)close(w->made);
        (void)snprintf(log, sizeof log, "%s/log", w->dir);
        (void)unlink(log);
        cr_assert_eq(rmdir(w->dir), 0);
}

CleanTest(explain, a_monitor_is_found_by_all_its_names) {
        char pid[16], part[13];
        Waiting w;

        start_waiting(&w);
        wait_for_argv(&w);
        (void)snprintf(pid, sizeof pid, "%d", w.pid);
        (void)snprintf(part, sizeof part, "%.12s", w.id);
        {
                const char *const words[] = { w.name, w.id, part, pid };

                for (size_t i = 0; i < ELEMENTS(words); i++) {
                        Said s = ask("explain", words[i], "--json=short");

                        cr_assert_eq(s.status, EXPLAIN_OK, "%s: status %d, %s", words[i], s.status, s.err);
                        check_one_line(s.out);
                        cr_assert_not_null(strstr(s.out, w.id), "%s", s.out);
                        cr_assert_not_null(strstr(s.out, w.name), "%s", s.out);
                        cr_assert_not_null(strstr(s.out, "\"running\":false"), "%s", s.out);
                        cr_assert_not_null(strstr(s.out, pid), "%s", s.out);
                        cr_assert_null(strstr(s.out, "\"container\""), "%s", s.out);
                }
        }
        end_waiting(&w);
}

/* Both bear the same ID, and the stranger's says of itself whatever it likes. */
CleanTest(explain, a_stranger_is_not_taken_for_the_monitor) {
        char own[16], fifo[] = "/tmp/test-explain-fifo-XXXXXX";
        Waiting w, stranger;
        Said s;

        if (geteuid() != 0)
                cr_skip_test("only root can be a stranger");
        cr_assert_not_null(mkdtemp(fifo));
        cr_assert_eq(rmdir(fifo), 0);
        cr_assert_eq(mkfifo(fifo, 0666), 0);
        start_waiting_for(&stranger, 77777, fifo); /* whoever opens it waits for a writer */
        start_waiting(&w);
        wait_for_argv(&stranger);
        wait_for_argv(&w);
        (void)snprintf(own, sizeof own, "\"pid\":%d,", w.pid);
        s = ask("explain", w.id, "--json");
        cr_assert_eq(s.status, EXPLAIN_OK, "%s", s.err);
        cr_assert_not_null(strstr(s.out, own), "%s", s.out);
        s = ask("list");
        cr_assert_eq(s.status, EXPLAIN_OK, "%s", s.err);
        end_waiting(&w);
        end_waiting(&stranger);
        cr_assert_eq(unlink(fifo), 0);
}

CleanTest(explain, people_get_a_dozen_lines_and_a_table) {
        size_t lines = 0;
        Waiting w;
        Said s;

        start_waiting(&w);
        wait_for_argv(&w);
        s = ask("explain", w.name);
        cr_assert_eq(s.status, EXPLAIN_OK);
        for (const char *p = s.out; (p = strchr(p, '\n')); p++)
                lines++;
        cr_assert_leq(lines, 14, "%s", s.out);
        cr_assert_not_null(strstr(s.out, w.name), "%s", s.out);
        cr_assert_not_null(strstr(s.out, w.id), "%s", s.out);
        cr_assert_not_null(strstr(s.out, "Placement: "), "%s", s.out);

        s = ask("list");
        cr_assert_eq(s.status, EXPLAIN_OK);
        cr_assert_eq(strncmp(s.out, "CONTAINER ", 10), 0, "%s", s.out);
        cr_assert_not_null(strstr(s.out, w.name), "%s", s.out);
        s = ask("list", "--no-legend");
        cr_assert_null(strstr(s.out, "PLACEMENT"), "%s", s.out);
        s = ask("list", "--json=pretty");
        cr_assert_eq(s.out[0], '[');
        end_waiting(&w);
}

CleanTest(explain, another_programs_command_line_is_not_a_monitors) {
        static const char *const monitor[] = { "x",    "--api-version",       "1",  "-c",
                                               "id",   "--exit-command-arg",  "-n", "-tin",
                                               "name", "--log-path=journald", "-s", "--exec",
                                               NULL };
        static const char *const others[][5] = {
                { "sh", "-c", "sleep 1; true", "--login" },
                { "ls", "--cid", "id", "-Q" },
                { "x", "--cid" },
                { "x", "--", "--cid", "id" },
                { NULL },
        };
        const char *value = "unchanged";

        cr_assert(options_peek((char *const *)monitor, "cid", &value));
        cr_assert_str_eq(value, "id");
        cr_assert(options_peek((char *const *)monitor, "name", &value));
        cr_assert_str_eq(value, "name");
        cr_assert(options_peek((char *const *)monitor, "log-path", &value));
        cr_assert_str_eq(value, "journald");
        cr_assert(options_peek((char *const *)monitor, "systemd-cgroup", &value));
        cr_assert(options_peek((char *const *)monitor, "exec", &value));
        cr_assert(options_peek((char *const *)monitor, "terminal", &value));
        value = "unchanged";
        cr_assert_not(options_peek((char *const *)monitor, "sync", &value));
        for (size_t i = 0; i < ELEMENTS(others); i++)
                cr_assert_not(options_peek((char *const *)others[i], "cid", &value), "case %zu", i);
        cr_assert_str_eq(value, "unchanged");
}
