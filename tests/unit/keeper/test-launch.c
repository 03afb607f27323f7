/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What happens in the process that the caller has started: notes, the log file, one read, one fork.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/process.h"
#include "capture.h"
#include "clean.h"
#include "keeper/launch.h"
#include "scopemon/protocol.h"

static char *no_words[] = { (char *)"conmon", NULL };

static void note(Origin *origin) {
        cr_assert_eq(launch_note_origin(origin, 1, no_words, environ), 0);
}

static void set_fd(const char *variable, int fd) {
        char text[16];

        (void)snprintf(text, sizeof text, "%d", fd);
        cr_assert_eq(setenv(variable, text, 1), 0);
}

static bool is_noted(const Origin *origin, int fd) {
        for (size_t i = 0; i < origin->n_inherited; i++)
                if (origin->inherited[i] == fd)
                        return true;
        return false;
}

CleanTest(launch, what_the_caller_left_is_noted) {
        int fd = fd_open_null(O_RDONLY);
        Origin o;

        note(&o);
        cr_assert(is_noted(&o, fd));
        for (int i = 0; i < 3; i++)
                cr_assert(!is_noted(&o, i) && !o.journal_stream[i]);
        cr_assert_eq(o.caller, getppid());
        cr_assert_geq(o.caller_pidfd, 0);
        launch_done(&o);
        cr_assert_geq(fcntl(fd, F_GETFD), 0, "noted is not owned");
        (void)close(fd);
}

CleanTest(launch, missing_stdio_is_filled) {
        int saved = fd_dup(STDIN_FILENO);
        struct stat a, b;
        Origin o;

        (void)close(STDIN_FILENO);
        note(&o);
        cr_assert_eq(fstat(STDIN_FILENO, &a), 0);
        cr_assert_eq(stat("/dev/null", &b), 0);
        cr_assert_eq(a.st_rdev, b.st_rdev);
        launch_done(&o);
        if (saved >= 0)
                cr_assert_eq(dup2(saved, STDIN_FILENO), STDIN_FILENO);
        fd_close_many(&saved, 1);
}

CleanTest(launch, journal_stream_is_known_by_its_peer) {
        static const struct {
                const char *path;
                bool is;
        } cases[] = {
                { "/run/systemd/journal/stdout", true },
                { "/run/systemd/journal.x/stdout", true },
                { "/run/systemd/journal/stdoutx", false },
                { "/tmp/test-launch-stdout", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                _cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                _cleanup_close_ int saved = fd_dup(STDERR_FILENO);
                struct sockaddr_un address;
                socklen_t size;
                Origin o;

                cr_assert_eq(fd_unix_address(cases[i].path, &address, &size), 0);
                if (bind(listener, (const struct sockaddr *)&address, size) < 0)
                        continue; /* no such directory here, or not ours */
                cr_assert_eq(listen(listener, 1), 0);
                cr_assert_eq(connect(client, (const struct sockaddr *)&address, size), 0);
                cr_assert_eq(dup2(client, STDERR_FILENO), STDERR_FILENO);
                note(&o);
                cr_assert_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
                (void)unlink(cases[i].path);
                cr_assert_eq(o.journal_stream[STDERR_FILENO], cases[i].is, "%s", cases[i].path);
                launch_done(&o);
        }
}

/* ---- the log file ---------------------------------------------------------------------------- */

static int open_log(const char *path, const char *allowed, Origin *origin, Capture *c) {
        char *words[] = { (char *)allowed, NULL };
        Options o = { .log_targets = { .file = true, .path = (char *)path },
                      .log_allowlist_dir = { .words = words, .n = allowed ? 1 : 0 } };
        int r;

        note(origin);
        capture_begin(c, STDERR_FILENO);
        r = launch_open_log(&o, origin);
        (void)capture_end(c);
        return r;
}

CleanTest(launch, log_file_is_opened_with_its_directory) {
        char dir[] = "/tmp/test-launch-XXXXXX", path[64];
        Capture c;
        Origin o;

        cr_assert_not_null(mkdtemp(dir));
        (void)snprintf(path, sizeof path, "%s/ctr.log", dir);
        cr_assert_eq(open_log(path, dir, &o, &c), 0, "%s", c.text);
        cr_assert_str_eq(o.log_name, "ctr.log");
        cr_assert_eq(faccessat(o.log_dir_fd, "ctr.log", F_OK, 0), 0);
        cr_assert_geq(o.log_fd, 0);
        launch_done(&o);

        cr_assert_lt(open_log(path, "/usr", &o, &c), 0);
        cr_assert_not_null(strstr(c.text, "Failed to open log file"), "%s", c.text);
        launch_done(&o);
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(rmdir(dir), 0);
        cr_assert_lt(open_log(path, NULL, &o, &c), 0);
        cr_assert_not_null(strstr(c.text, "Failed to open log file"), "%s", c.text);
        launch_done(&o);
}

CleanTest(launch, log_file_may_lie_here_or_at_the_root) {
        char dir[] = "/tmp/test-launch-XXXXXX";
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        Capture c;
        Origin o;

        cr_assert_not_null(mkdtemp(dir));
        cr_assert_eq(chdir(dir), 0);
        cr_assert_eq(open_log("ctr.log", NULL, &o, &c), 0, "%s", c.text);
        cr_assert_str_eq(o.log_name, "ctr.log");
        launch_done(&o);
        cr_assert_eq(unlink("ctr.log"), 0);
        cr_assert_eq(chdir(cwd), 0);
        cr_assert_eq(rmdir(dir), 0);
        (void)open_log("/nonexistent-dir/", NULL, &o, &c);
        launch_done(&o);
}

/* ---- the start pipe -------------------------------------------------------------------------- */

CleanTest(launch, one_read_is_one_start) {
        for (unsigned exec_attach = 0; exec_attach < 2; exec_attach++) {
                Options options = { .exec_attach = exec_attach, .exec = exec_attach };
                char text[16] = "";
                int pair[2];
                Origin o;

                cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
                cr_assert_eq(write(pair[1], "start", 5), 5);
                cr_assert_eq(write(pair[1], "again", 5), 5);
                note(&o);
                set_fd(SCOPEMON_ENV_STARTPIPE, pair[0]);
                cr_assert_eq(launch_wait(&options, &o), 0);
                cr_assert(!is_noted(&o, pair[0]), "ours alone from now on");
                if (exec_attach) {
                        cr_assert_eq(o.start_fd, pair[0], "the second signal is for the runtime");
                        cr_assert_eq(read(o.start_fd, text, sizeof text), 5);
                        cr_assert_str_eq(text, "again");
                } else
                        cr_assert_eq(o.start_fd, -1);
                cr_assert_eq(signal(SIGPIPE, SIG_DFL), SIG_IGN);
                launch_done(&o);
                (void)close(pair[1]);
        }
}

CleanTest(launch, end_of_the_start_pipe_starts_too) {
        Options options = { 0 };
        Origin o;
        int r, w;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        (void)close(w);
        note(&o);
        set_fd(SCOPEMON_ENV_STARTPIPE, r);
        cr_assert_eq(launch_wait(&options, &o), 0);
        launch_done(&o);
}

CleanTest(launch, start_pipe_that_is_none_is_an_error) {
        static const char *const words[] = { "x", "-1", "999999999999", "1023" };
        Options options = { 0 };

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                Capture c;
                Origin o;
                int r;

                note(&o);
                cr_assert_eq(setenv(SCOPEMON_ENV_STARTPIPE, words[i], 1), 0);
                capture_begin(&c, STDERR_FILENO);
                r = launch_wait(&options, &o);
                (void)capture_end(&c);
                cr_assert_lt(r, 0, "%s", words[i]);
                cr_assert_not_null(strstr(c.text, SCOPEMON_ENV_STARTPIPE), "%s", c.text);
                launch_done(&o);
        }
}

CleanTest(launch, nobody_waits_without_a_start_pipe) {
        Options options = { 0 };
        Origin o;

        note(&o);
        cr_assert_eq(unsetenv(SCOPEMON_ENV_STARTPIPE), 0);
        cr_assert_eq(launch_wait(&options, &o), 0);
        cr_assert_str_neq(o.oom_score_adj, "", "what the container is to have");
        cr_assert_eq(setenv(SCOPEMON_ENV_STARTPIPE, "0", 1), 0);
        cr_assert_eq(launch_wait(&options, &o), 0);
        launch_done(&o);
}

CleanTest(launch, caller_that_is_ready_is_not_waited_for_after_an_error) {
        int r, w;

        cr_assert_eq(unsetenv(SCOPEMON_ENV_STARTPIPE), 0);
        launch_linger();
        cr_assert_eq(setenv(SCOPEMON_ENV_STARTPIPE, "nonsense", 1), 0);
        launch_linger();
        cr_assert_eq(fd_pipe(&r, &w), 0);
        set_fd(SCOPEMON_ENV_STARTPIPE, r);
        cr_assert_eq(write(w, "x", 1), 1);
        launch_linger();
        (void)close(w);
        launch_linger();
        (void)close(r);
}

/* ---- the fork -------------------------------------------------------------------------------- */

/* What a keeper does: it goes on until the pipe to start_fd, of which sync_fd is the other end, is closed. */
static int keep(Options *o, Origin *origin) {
        char byte;

        (void)close(origin->sync_fd);
        (void)!read(origin->start_fd, &byte, 1);
        return 7;
}

CleanTest(launch, keeper_stays_and_its_pid_is_left_in_the_file) {
        char path[] = "/tmp/test-launch-XXXXXX", expected[16];
        _cleanup_free_ char *text = NULL;
        Options options = { .conmon_pidfile = path };
        Origin origin = { 0 };
        _cleanup_close_ int file = -1;
        ProcessStatus status;
        pid_t launcher, pid;

        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        file = mkstemp(path);
        cr_assert_geq(file, 0);
        cr_assert_eq(fd_pipe(&origin.start_fd, &origin.sync_fd), 0);
        if (process_fork(&launcher) == 0) {
                (void)launch_leave(&options, &origin, keep);
                process_exit(99);
        }
        while ((pid = process_peek(0, &status)) == 0)
                ;
        cr_assert_eq(pid, launcher);
        cr_assert_eq(status.code, EXIT_SUCCESS);
        cr_assert_eq(process_reap(pid), 0);
        cr_assert_eq(process_peek(0, &status), 0, "the keeper goes on");
        fd_close_many(&origin.start_fd, 1);
        fd_close_many(&origin.sync_fd, 1);
        while ((pid = process_peek(0, &status)) == 0)
                ;
        cr_assert_eq(status.code, 7);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 64, &text, NULL), 0);
        (void)snprintf(expected, sizeof expected, "%d", pid);
        cr_assert_str_eq(text, expected);
        cr_assert_eq(process_reap(pid), 0);
        cr_assert_eq(unlink(path), 0);
}

static int keep_here(Options *o, Origin *origin) {
        return origin->caller == getpid() ? 7 : 8;
}

CleanTest(launch, nothing_is_forked_with_sync) {
        Options options = { .sync = true, .conmon_pidfile = "/tmp/test-launch-never" };
        Origin origin = { .caller = getpid() };
        ProcessStatus status;

        cr_assert_eq(launch_leave(&options, &origin, keep_here), 7);
        cr_assert_eq(process_peek(0, &status), -ECHILD);
        cr_assert_lt(access("/tmp/test-launch-never", F_OK), 0, "the caller knows the pid");
}

static int keep_a_note(Options *o, Origin *origin) {
        (void)!write(origin->sync_fd, "", 1);
        return 0;
}

CleanTest(launch, pid_file_that_cannot_be_is_an_error) {
        Options options = { .conmon_pidfile = "/nonexistent-dir/pid" };
        Origin origin = { 0 };
        ProcessStatus status;
        Capture c;
        char byte;
        int r;

        cr_assert_eq(fd_pipe(&origin.start_fd, &origin.sync_fd), 0);
        capture_begin(&c, STDERR_FILENO);
        r = launch_leave(&options, &origin, keep_a_note);
        (void)capture_end(&c);
        cr_assert_lt(r, 0);
        cr_assert_not_null(strstr(c.text, "Failed to write conmon pidfile"), "%s", c.text);
        cr_assert_eq(process_peek(0, &status), -ECHILD, "there is no keeper");
        fd_close_many(&origin.sync_fd, 1);
        cr_assert_eq(read(origin.start_fd, &byte, 1), 0, "there was none");
        fd_close_many(&origin.start_fd, 1);
}

/* ---- the keeper's pipes ---------------------------------------------------------------------- */

CleanTest(launch, pipes_are_taken_and_signals_wait) {
        Options options = { .exec_attach = true, .exec = true };
        int sync_r, sync_w, attach_r, attach_w;
        sigset_t now;
        Origin o;

        cr_assert_eq(fd_pipe(&sync_r, &sync_w), 0);
        cr_assert_eq(fd_pipe(&attach_r, &attach_w), 0);
        (void)fd_set_cloexec(sync_w, false);
        note(&o);
        set_fd(SCOPEMON_ENV_SYNCPIPE, sync_w);
        set_fd(SCOPEMON_ENV_ATTACHPIPE, attach_w);
        cr_assert_eq(launch_open_pipes(&options, &o), 0);
        cr_assert(o.sync_fd == sync_w && o.attach_fd == attach_w);
        cr_assert(fcntl(sync_w, F_GETFD) & FD_CLOEXEC);
        cr_assert(!is_noted(&o, sync_w) && !is_noted(&o, attach_w));
        cr_assert(is_noted(&o, sync_r));
        cr_assert_eq(sigprocmask(SIG_BLOCK, NULL, &now), 0);
        cr_assert(sigismember(&now, SIGCHLD) && sigismember(&now, SIGTERM) && sigismember(&now, SIGUSR1));
        cr_assert(!sigismember(&o.mask, SIGTERM));
        launch_done(&o);
        (void)close(sync_r);
        (void)close(attach_r);
}

CleanTest(launch, attach_pipe_is_missed) {
        Options options = { .exec_attach = true, .exec = true };
        Capture c;
        Origin o;
        int r;

        note(&o);
        cr_assert_eq(unsetenv(SCOPEMON_ENV_ATTACHPIPE), 0);
        cr_assert_eq(unsetenv(SCOPEMON_ENV_SYNCPIPE), 0);
        capture_begin(&c, STDERR_FILENO);
        r = launch_open_pipes(&options, &o);
        (void)capture_end(&c);
        cr_assert_eq(r, -EINVAL);
        cr_assert_not_null(strstr(c.text, SCOPEMON_ENV_ATTACHPIPE), "%s", c.text);
        launch_done(&o);
}
