/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole program, called as a caller calls it, with a runtime that does what it is told. We are
 * a subreaper, so the keeper that the launcher leaves behind falls to us and its status can be
 * seen.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "clean.h"
#include "keeper/keeper-internal.h"
#include "log-content.h"
#include "scopemon/protocol.h"

#define CID "0123456789abcdef"
#define EXIT_FILE "exits/" CID
#define PATIENCE_MS 30000
#define WORDS_MAX 48

typedef struct Run {
        char dir[64], *path[16]; /* names below dir */
        size_t n_paths;
        char fake[512], sync_word[64], start_word[64], asan_word[256];
        char preload_word[512], fail_word[32], once_word[128]; /* empty: none */
        const char *words[WORDS_MAX];
        size_t n_words;
        int sync;  /* we read it */
        int start; /* we write it */
        pid_t launcher, keeper;
        char said[8192]; /* what has come through the sync pipe */
        size_t n_said;
} Run;

static const char *below(Run *r, const char *name) {
        cr_assert_lt(r->n_paths, ELEMENTS(r->path));
        cr_assert_gt(asprintf(&r->path[r->n_paths], "%s/%s", r->dir, name), 0);
        return r->path[r->n_paths++];
}

static void add(Run *r, const char *word) {
        cr_assert_lt(r->n_words, WORDS_MAX - 1);
        r->words[r->n_words++] = word;
}

static void make_directory(Run *r, const char *name) {
        cr_assert_eq(mkdir(below(r, name), 0755), 0);
}

static void run_init(Run *r, const char *fake) {
        *r = (Run){ .dir = "/tmp/test-keeper-XXXXXX", .sync = -1, .start = -1 };
        cr_assert_not_null(mkdtemp(r->dir));
        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        (void)snprintf(r->fake, sizeof r->fake, "FAKE_RUNTIME=%s", fake);
        make_directory(r, "bundle");
        make_directory(r, "exits");
        make_directory(r, "persist");
        add(r, "conmon");
        add(r, "-c");
        add(r, CID);
        add(r, "-u");
        add(r, CID);
        add(r, "-b");
        add(r, below(r, "bundle"));
        add(r, "-p");
        add(r, below(r, "ctr.pid"));
        add(r, "-P");
        add(r, below(r, "conmon.pid"));
        add(r, "--exit-dir");
        add(r, below(r, "exits"));
        add(r, "--persist-dir");
        add(r, below(r, "persist"));
        add(r, "-l");
        add(r, below(r, "ctr.log"));
        add(r, "-r");
        add(r, getenv("FAKE_RUNTIME_PROGRAM") ?: "");
        add(r, "--full-attach");
        add(r, "--no-sync-log");
}

/* Lets it go; the start byte is sent, the pipes are ours. */
static void run_start(Run *r) {
        _cleanup_close_ int sync_w = -1, start_r = -1, null = fd_open_null(O_RDWR);
        char *envp[] = { r->fake,       r->sync_word,
                         r->start_word, (char *)"SCOPEMON_PLACEMENT=caller",
                         r->asan_word,  r->preload_word[0] ? r->preload_word : NULL,
                         r->fail_word,  r->once_word,
                         NULL };
        int keep[2];

        cr_assert_not_null(getenv("SCOPEMON"), "the program is to be named by $SCOPEMON");
        cr_assert_eq(fd_pipe(&r->sync, &sync_w), 0);
        cr_assert_eq(fd_pipe(&start_r, &r->start), 0);
        (void)snprintf(r->sync_word, sizeof r->sync_word, SCOPEMON_ENV_SYNCPIPE "=%d", sync_w);
        (void)snprintf(r->start_word, sizeof r->start_word, SCOPEMON_ENV_STARTPIPE "=%d", start_r);
        (void)snprintf(r->asan_word, sizeof r->asan_word, "ASAN_OPTIONS=%s", getenv("ASAN_OPTIONS") ?: "");
        keep[0] = sync_w;
        keep[1] = start_r;
        cr_assert_eq(process_spawn(&(ProcessSpec){ .path = getenv("SCOPEMON"),
                                                   .argv = (char **)(uintptr_t)r->words,
                                                   .envp = envp,
                                                   .stdio = { null, null, STDERR_FILENO },
                                                   .wait_fd = -1,
                                                   .keep_fds = keep,
                                                   .n_keep_fds = 2 },
                                   &r->launcher, NULL),
                     0);
        cr_assert_eq(write(r->start, "x", 1), 1);
}

static ProcessStatus end_of(pid_t pid) {
        struct pollfd p = { .fd = process_pidfd(pid), .events = POLLIN };
        ProcessStatus status = { 0 };

        cr_assert_geq(p.fd, 0);
        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "it does not end");
        cr_assert_eq(process_peek(pid, &status), pid);
        cr_assert_eq(process_reap(pid), 0);
        (void)close(p.fd);
        return status;
}

static char *text_of(const Run *r, const char *name) {
        char path[128], *text;

        (void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
        return fd_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0 ? NULL : text;
}

static void check_file(const Run *r, const char *name, const char *expected) {
        _cleanup_free_ char *text = text_of(r, name);

        if (!expected)
                cr_assert_null(text, "%s: %s", name, text);
        else
                cr_assert(text && strcmp(text, expected) == 0, "%s: %s", name, text ? text : "not there");
}

static pid_t pid_in(const Run *r, const char *name) {
        _cleanup_free_ char *text = text_of(r, name);
        pid_t pid;

        cr_assert_not_null(text, "%s", name);
        cr_assert_eq(parse_pid(text, &pid), 0, "%s", text);
        return pid;
}

/* The launcher leaves at once and well. */
static void run_launched(Run *r) {
        cr_assert_eq(end_of(r->launcher).code, 0);
        r->keeper = pid_in(r, "conmon.pid");
}

/* More of what it says; false at the end of the pipe. */
static bool hear(Run *r) {
        struct pollfd p = { .fd = r->sync, .events = POLLIN };
        ssize_t n;

        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "nothing is said: %s", r->said);
        n = read(r->sync, r->said + r->n_said, sizeof r->said - 1 - r->n_said);
        cr_assert_geq(n, 0);
        r->n_said += (size_t)n;
        return n > 0;
}

/* The pid it tells; nothing else may have come before. */
static pid_t run_hear_pid(Run *r) {
        while (!memchr(r->said, '\n', r->n_said))
                cr_assert(hear(r), "it has hung up: %s", r->said);
        cr_assert_eq(strncmp(r->said, "{\"pid\": ", 8), 0, "%s", r->said);
        return (pid_t)strtol(r->said + 8, NULL, 10);
}

static int run_end(Run *r) {
        ProcessStatus status = end_of(r->keeper ? r->keeper : r->launcher);

        while (hear(r))
                ;
        cr_assert_eq(status.signal, 0);
        return status.code;
}

static void check_stream(const Run *r, const char *stream, const char *expected) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s/ctr.log", r->dir);
        check_log(path, stream, expected);
}

static void run_done(Run *r) {
        static const char *const files[] = { "bundle/attach", "bundle/ctl",   "bundle/winsz", EXIT_FILE,
                                             "persist/exit",  "ctr.log",      "ctr.pid",      "conmon.pid",
                                             "record",        "process.json", "gate" };
        static const char *const dirs[] = { "bundle", "exits", "persist", "" };
        char path[192];

        fd_close_many(&r->sync, 1);
        fd_close_many(&r->start, 1);
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                (void)snprintf(path, sizeof path, "%s/%s", r->dir, files[i]);
                (void)unlink(path);
        }
        for (size_t i = 0; i < ELEMENTS(dirs); i++) {
                (void)snprintf(path, sizeof path, "%s/%s", r->dir, dirs[i]);
                cr_assert_eq(rmdir(path), 0, "%s: %m", path);
        }
        for (size_t i = 0; i < r->n_paths; i++)
                free(r->path[i]);
}

/* ---- ends ------------------------------------------------------------------------------------ */

CleanTest(keeper, end_is_told_wherever_somebody_looks) {
        static const struct {
                const char *fake;
                int status;
                const char *text;
        } cases[] = {
                { "stdout=hello\\n stderr=oops\\n exit=7", 7, "7" },
                { "stdout=hello\\n stderr=oops\\n exit=0", 0, "0" },
                { "stdout=hello\\n stderr=oops\\n signal=9", 137, "137" },
                { "daemonize stdout=hello\\n stderr=oops\\n exit=3", 3, "3" },
                { "late-pidfile stdout=hello\\n stderr=oops\\n exit=4", 4, "4" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct stat st;
                char path[128];
                pid_t pid;
                Run r;

                run_init(&r, cases[i].fake);
                run_start(&r);
                run_launched(&r);
                pid = run_hear_pid(&r);
                cr_assert_eq(pid, pid_in(&r, "ctr.pid"));
                cr_assert_eq(run_end(&r), cases[i].status, "%s", cases[i].fake);
                check_file(&r, EXIT_FILE, cases[i].text);
                check_file(&r, "persist/exit", cases[i].text);
                check_stream(&r, "stdout", "hello\n");
                check_stream(&r, "stderr", "oops\n");
                (void)snprintf(path, sizeof path, "%s/bundle/attach", r.dir);
                cr_assert_lt(stat(path, &st), 0);
                run_done(&r);
        }
}

CleanTest(keeper, runtime_that_fails_is_quoted) {
        Run r;

        run_init(&r, "runtime-stderr=no\\ssuch\\sprogram runtime-exit=1");
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_hear_pid(&r), -1);
        cr_assert_not_null(strstr(r.said, "\"message\": \"no such program\""), "%s", r.said);
        cr_assert_eq(run_end(&r), 1);
        check_file(&r, EXIT_FILE, NULL);
        run_done(&r);
}

CleanTest(keeper, runtime_that_lies_is_caught) {
        static const char *const fakes[] = { "no-pidfile exit=0", "empty-pidfile exit=0",
                                             "pidfile=abc exit=0", "runtime-signal=9" };

        for (size_t i = 0; i < ELEMENTS(fakes); i++) {
                Run r;

                run_init(&r, fakes[i]);
                run_start(&r);
                run_launched(&r);
                cr_assert_eq(run_hear_pid(&r), -1, "%s", fakes[i]);
                cr_assert_eq(run_end(&r), 1, "%s", fakes[i]);
                check_file(&r, EXIT_FILE, NULL);
                run_done(&r);
        }
}

CleanTest(keeper, time_that_is_over_ends_it) {
        Run r;

        run_init(&r, "stdout=x\\n hang");
        add(&r, "-T");
        add(&r, "1");
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_end(&r), 255);
        check_file(&r, EXIT_FILE, "-1");
        check_stream(&r, "stdout", "x\n");
        run_done(&r);
}

CleanTest(keeper, signal_goes_to_the_container) {
        Run r;

        run_init(&r, "hang");
        run_start(&r);
        run_launched(&r);
        (void)run_hear_pid(&r);
        cr_assert_eq(process_kill_child(r.keeper, SIGTERM), 0);
        cr_assert_eq(run_end(&r), 128 + SIGTERM);
        check_file(&r, EXIT_FILE, "143");
        run_done(&r);
}

CleanTest(keeper, nothing_is_forked_with_sync) {
        Run r;

        run_init(&r, "stdout=x\\n exit=5");
        add(&r, "--sync");
        run_start(&r);
        cr_assert_eq(run_end(&r), 5);
        check_file(&r, "conmon.pid", NULL);
        check_stream(&r, "stdout", "x\n");
        run_done(&r);
}

CleanTest(keeper, exit_command_comes_last_and_has_the_last_word) {
        _cleanup_free_ char *record = NULL;
        char word[160];
        Run r;

        run_init(&r, "");
        (void)snprintf(r.fake, sizeof r.fake, "FAKE_RUNTIME=exit=3 exit-record=%s exit-exit=9",
                       below(&r, "record"));
        (void)snprintf(word, sizeof word, "--marker=%s", r.dir);
        add(&r, "--exit-command");
        add(&r, getenv("FAKE_RUNTIME_PROGRAM"));
        add(&r, "--exit-command-arg");
        add(&r, "cleanup");
        add(&r, "--exit-command-arg");
        add(&r, word);
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_end(&r), 9);
        check_file(&r, EXIT_FILE, "3");
        record = text_of(&r, "record");
        cr_assert(record && strstr(record, word), "%s", record);
        cr_assert_not_null(strstr(record, "SigBlk:\t0000000000000000"), "%s", record);
        cr_assert_null(strstr(record, "pipe:"), "nothing of ours is open in it: %s", record);
        run_done(&r);
}

/* ---- exec, terminals ------------------------------------------------------------------------- */

CleanTest(keeper, exec_tells_its_status_and_writes_no_files) {
        char bundle[128];
        Run r;

        run_init(&r, "stdout=x\\n exit=6");
        (void)snprintf(bundle, sizeof bundle, "%s", below(&r, "process.json"));
        add(&r, "-e");
        add(&r, "--exec-process-spec");
        add(&r, bundle);
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_end(&r), 6);
        cr_assert_not_null(strstr(r.said, "\"exit_code\": 6"), "%s", r.said);
        check_file(&r, EXIT_FILE, "6");
        check_stream(&r, "stdout", "x\n");
        run_done(&r);
}

CleanTest(keeper, terminal_is_taken_over) {
        Run r;

        run_init(&r, "stdout=hello\\n exit=0");
        add(&r, "-t");
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_end(&r), 0);
        check_stream(&r, "stdout", "hello\r\n");
        run_done(&r);
}

/* Whatever the runtime has made all the same has fallen to us; a caller would have it deleted. */
static void end_leftovers(void) {
        ProcessStatus status;
        pid_t pid;

        while ((pid = process_peek(0, &status)) != -ECHILD) {
                _cleanup_free_ char *text = NULL;
                char path[64];

                if (pid > 0) {
                        cr_assert_eq(process_reap(pid), 0);
                        continue;
                }
                (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
                cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
                for (char *p = text; *p; p += strspn(p, " \n")) {
                        pid = (pid_t)strtol(p, &p, 10);
                        if (pid > 0)
                                (void)process_kill_child(pid, SIGKILL);
                }
        }
}

CleanTest(keeper, terminal_that_does_not_come_is_an_error) {
        static const char *const fakes[] = { "no-console hang", "bad-console=nofd hang",
                                             "bad-console=two hang", "bad-console=empty hang" };

        for (size_t i = 0; i < ELEMENTS(fakes); i++) {
                Run r;

                run_init(&r, fakes[i]);
                add(&r, "-t");
                run_start(&r);
                run_launched(&r);
                cr_assert_eq(run_hear_pid(&r), -1, "%s", fakes[i]);
                cr_assert_not_null(strstr(r.said, "message"), "%s", r.said);
                cr_assert_neq(run_end(&r), 0);
                end_leftovers();
                run_done(&r);
        }
}

/* ---- workers --------------------------------------------------------------------------------- */

/* The child of the keeper that is not the target. */
static pid_t find_worker(const Run *r, pid_t target) {
        for (;;) {
                _cleanup_free_ char *text = NULL;
                char path[64], *p;

                (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", r->keeper, r->keeper);
                cr_assert_eq(fd_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
                for (p = text; *p;) {
                        pid_t pid = (pid_t)strtol(p, &p, 10);

                        if (pid > 0 && pid != target)
                                return pid;
                        p += strspn(p, " \n");
                }
        }
}

CleanTest(keeper, killed_workers_cost_no_line) {
        _cleanup_free_ char *log = NULL;
        char words[256], gate[128], path[128];
        pid_t target;
        size_t n;
        Run r;
        int fd;

        run_init(&r, "");
        (void)snprintf(gate, sizeof gate, "%s", below(&r, "gate"));
        cr_assert_eq(mkfifo(gate, 0600), 0);
        (void)snprintf(words, sizeof words, "lines=20000,100 wait-file=%s stdout=end exit=2", gate);
        (void)snprintf(r.fake, sizeof r.fake, "FAKE_RUNTIME=%s", words);
        run_start(&r);
        run_launched(&r);
        target = run_hear_pid(&r);
        for (unsigned i = 0; i < 4; i++) {
                pid_t worker = find_worker(&r, target);

                (void)kill(worker, SIGKILL);
                while (find_worker(&r, target) == worker)
                        ;
        }
        fd = open(gate, O_WRONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        (void)close(fd);
        cr_assert_eq(run_end(&r), 2);
        (void)snprintf(path, sizeof path, "%s/ctr.log", r.dir);
        log = log_content(path, "stdout", &n);
        cr_assert_eq(n, 20000U * 100 + 3);
        for (unsigned i = 0; i < 20000; i++)
                if (strtoul(log + (size_t)i * 100, NULL, 10) != i || log[i * 100 + 99] != '\n')
                        cr_assert_fail("line %u: %.40s", i, log + (size_t)i * 100);
        cr_assert_str_eq(log + n - 3, "end");
        run_done(&r);
}

static bool tells_end(Run *r) {
        _cleanup_free_ char *text = NULL;

        while (hear(r))
                ;
        text = text_of(r, EXIT_FILE);
        if (!text)
                return strstr(r->said, "{\"pid\": -1") || !r->said[0];
        check_stream(r, "stdout", "hello\n");
        return strcmp(text, "3") == 0;
}

/* As if the user's watches were used up, at each place in turn where one is asked for. */
CleanTest(keeper, watch_that_the_kernel_refuses_is_done_without) {
        unsigned n_ended = 0, n_failed = 0;

        if (!getenv("FAIL_ONCE"))
                cr_skip_test("does not go with a sanitizer");
        for (int n = 1; n <= 8; n++) {
                Run r;

                run_init(&r, "stdout=hello\\n exit=3");
                (void)snprintf(r.preload_word, sizeof r.preload_word, "LD_PRELOAD=%s", getenv("FAIL_ONCE"));
                (void)snprintf(r.fail_word, sizeof r.fail_word, "FAIL_EPOLL_CTL=%d", n);
                (void)snprintf(r.once_word, sizeof r.once_word, "FAIL_ONCE_FILE=%s", below(&r, "once"));
                cr_assert_eq(close(open(below(&r, "once"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
                run_start(&r);
                (void)end_of(r.launcher);
                r.keeper = pid_in(&r, "conmon.pid");
                (void)end_of(r.keeper);
                cr_assert(tells_end(&r), "%d: %s", n, r.said);
                n_failed += unlink(below(&r, "once")) < 0;
                n_ended += access(below(&r, EXIT_FILE), F_OK) == 0;
                run_done(&r);
        }
        cr_assert_geq(n_failed, 5, "only %u", n_failed);
        cr_assert_geq(n_ended, 6, "only %u", n_ended); /* without those that come before there is a report */
}

/* ---- errors before anything runs ------------------------------------------------------------- */

CleanTest(keeper, bundle_that_is_not_there_is_told) {
        Run r;

        run_init(&r, "exit=0");
        add(&r, "-b");
        add(&r, "/nonexistent-bundle");
        run_start(&r);
        run_launched(&r);
        cr_assert_eq(run_hear_pid(&r), -1);
        cr_assert_not_null(strstr(r.said, "/nonexistent-bundle"), "%s", r.said);
        cr_assert_neq(run_end(&r), 0);
        check_file(&r, "ctr.pid", NULL);
        run_done(&r);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static int on_no_time(Timer *timer, void *userdata) {
        return 0;
}

/* An exit command may take longer than a worker may: nobody is to be told then that output was not waited for. */
CleanTest(keeper, worker_that_is_done_has_no_deadline) {
        Keeper *k = calloc(1, sizeof *k);

        cr_assert_eq(event_new(&k->event), 0);
        k->phase = PHASE_FINISHING;
        k->exit_command.running = true;
        cr_assert_eq(event_add_timer(k->event, &k->drain.timer, 30000000, on_no_time, k), 0);
        cr_assert_eq(drain_on_worker_done(k), 0);
        cr_assert_null(k->drain.timer);
        k->event = event_unref(k->event);
        free(k);
}
