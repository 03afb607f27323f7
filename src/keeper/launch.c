/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The launcher: what must be noted of the caller before anything changes, the log file, the wait for the start byte,
 * the fork.
 *
 * The caller uses the time until the start byte to move us to a cgroup, so nothing is forked and nobody is asked where
 * we are before it. One read is one start signal, whatever it returns, end of file included: an exec session's second
 * signal may be waiting behind it.
 *
 * Errors up to the fork are the launcher's exit status and words on its stderr; those of the sync and attach pipes
 * come after it, as callers know it.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "keeper/launch.h"
#include "scopemon/protocol.h"
#include "sink/logfile.h"

#define OOM_SCORE_FILE "/proc/self/oom_score_adj"
#define OOM_SCORE_OURS "-1000"
#define LINGER_MS 2000
#define PID_FILE_TRIES 10
#define PID_FILE_AGAIN_MS 50

/* A caller that closed one of 0, 1, 2 must not find our files there. */
static int fill_stdio(void) {
        for (;;) {
                int fd = open("/dev/null", O_RDWR);

                if (fd < 0)
                        return fail(-errno);
                if (fd > STDERR_FILENO) {
                        (void)close(fd);
                        return 0;
                }
        }
}

static void note_oom_score(Origin *origin) {
        _cleanup_free_ char *text = NULL;

        if (fd_read_file(AT_FDCWD, OOM_SCORE_FILE, 64, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = 0;
        (void)snprintf(origin->oom_score_adj, sizeof origin->oom_score_adj, "%s", text);
}

/* Where an upgrade is to be found. Without an answer there is none. */
static void note_program(Origin *origin) {
        char path[PATH_MAX];
        ssize_t n;

        n = readlink("/proc/self/exe", path, sizeof path);
        if (n > 0 && (size_t)n < sizeof path)
                origin->program = strndup(path, (size_t)n);
}

/**
 * launch_set_language() - of error texts
 *
 * Only where there are translations, and only the two categories that they take: each is a file to open and to map, in
 * each of our processes and at each start.
 */
void launch_set_language(void) {
        static const char *const variables[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
        const char *name = NULL;

        for (size_t i = 0; i < ELEMENTS(variables) && !(name && *name); i++)
                name = getenv(variables[i]);
        if (!name || !*name || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0 ||
            strncmp(name, "C.", 2) == 0)
                return;
        (void)setlocale(LC_CTYPE, "");
        (void)setlocale(LC_MESSAGES, "");
}

/**
 * launch_note_origin() - note what the caller has left us, before anything is opened
 *
 * Return: 0 or a negative errno.
 */
int launch_note_origin(Origin *ret, int argc, char *argv[], char *envp[]) {
        int r;

        *ret = (Origin){ .argc = argc,
                         .argv = argv,
                         .given_argv = argv,
                         .envp = envp,
                         .start_fd = -1,
                         .sync_fd = -1,
                         .attach_fd = -1,
                         .log_dir_fd = -1,
                         .log_fd = -1,
                         .caller = getppid() };
        r = fill_stdio();
        if (r < 0)
                return relay(r);
        r = fd_list_open(STDERR_FILENO + 1, &ret->inherited, &ret->n_inherited);
        if (r < 0)
                return relay(r);
        ret->fds_max = fd_raise_limit();
        for (int fd = 0; fd < 3; fd++)
                ret->journal_stream[fd] = fd_is_journal_stream(fd);
        ret->caller_pidfd = process_pidfd(ret->caller); /* one that has gone will not attach */
        note_program(ret);
        return 0;
}

/**
 * launch_open_log() - open the log file, and its directory for all that come after it
 *
 * Return: 0, or a negative errno with the error said.
 */
int launch_open_log(const Options *o, Origin *origin) {
        _cleanup_free_ char *copy = NULL;
        char *slash;
        int r;

        if (!o->log_targets.file)
                return 0;
        copy = strdup(o->log_targets.path);
        if (!copy)
                return fail(-ENOMEM);
        slash = strrchr(copy, '/');
        origin->log_name = options_log_name(o);
        if (slash)
                slash[slash == copy] = 0;

        origin->log_dir_fd = fd_open_directory(slash ? copy : ".");
        if (origin->log_dir_fd < 0)
                return log_error_errno(origin->log_dir_fd, "Failed to open log file");
        if (o->log_allowlist_dir.n > 0) {
                r = logfile_check_directory(origin->log_dir_fd, o->log_allowlist_dir.words,
                                            o->log_allowlist_dir.n);
                if (r > 0)
                        log_error("Failed to open log file: %s", logfile_refusal(r));
                if (r != 0)
                        return r > 0 ? fail(-EPERM) : log_error_errno(r, "Failed to open log file");
        }
        origin->log_fd = logfile_open(origin->log_dir_fd, origin->log_name);
        if (origin->log_fd < 0)
                return log_error_errno(origin->log_fd, "Failed to open log file");
        tzset(); /* for the worker's stamps; what it writes is the worker's and ours together */
        return 0;
}

/**
 * launch_linger() - after an error, be there until the caller says start
 *
 * It is moving us to a cgroup meanwhile. Podman, finding us a zombie, would leave an empty scope behind that is never
 * collected. LINGER_MS at most.
 */
void launch_linger(void) {
        const char *word = getenv(SCOPEMON_ENV_STARTPIPE);
        struct pollfd p = { .events = POLLIN };

        if (word && parse_fd(word, &p.fd) >= 0 && p.fd > STDERR_FILENO)
                (void)poll(&p, 1, LINGER_MS);
}

/* A pipe of the caller's, named by a variable: ours alone from now on. */
static int take_pipe(const char *variable, Origin *origin, int *ret) {
        const char *word = getenv(variable);
        int fd, r;

        if (!word)
                return 0;
        r = parse_fd(word, &fd);
        if (r < 0)
                return log_error_errno(r, "unable to parse %s", variable);
        if (fd == 0)
                return 0;
        r = fd_set_cloexec(fd, true);
        if (r < 0)
                return log_error_errno(r, "unable to make %s CLOEXEC", variable);
        for (size_t i = 0; i < origin->n_inherited; i++)
                if (origin->inherited[i] == fd)
                        origin->inherited[i] = -1;
        *ret = fd;
        return 0;
}

/* A container that is restarted has had one, whose exit command the caller may be. */
static void note_former_monitor(const Options *o, Origin *origin) {
        _cleanup_free_ char *text = NULL;

        if (!o->conmon_pidfile || fd_read_file(AT_FDCWD, o->conmon_pidfile, 64, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = 0;
        (void)parse_pid(text, &origin->former_monitor);
}

static void on_early_sigterm(int signal) {
        process_exit(1); /* NOLINT(bugprone-signal-handler): _exit() */
}

static int wait_for_start(int fd) {
        char word[SCOPEMON_START_READ_MAX];
        ssize_t n;

        do
                n = read(fd, word, sizeof word);
        while (n < 0 && errno == EINTR);
        return n < 0 ? log_error_errno(fail(-errno), "start-pipe read failed") : 0;
}

/**
 * launch_protect() - from the OOM killer, if we may, and from SIGPIPE
 */
void launch_protect(void) {
        int fd;

        fd = open(OOM_SCORE_FILE, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                int r = fd_write_full(fd, OOM_SCORE_OURS, strlen(OOM_SCORE_OURS));

                if (r < 0)
                        log_debug("failed to write to " OOM_SCORE_FILE ": %s", strerror(-r));
                (void)close(fd);
        }
        (void)signal(SIGPIPE, SIG_IGN); /* and for good: runtime and exit command inherit it */
}

/**
 * launch_wait() - wait until the caller says start
 *
 * Return: 0, or a negative errno with the error said.
 */
int launch_wait(const Options *o, Origin *origin) {
        int r;

        note_oom_score(origin);
        note_former_monitor(o, origin);
        launch_protect();
        (void)signal(SIGTERM, on_early_sigterm);

        r = take_pipe(SCOPEMON_ENV_STARTPIPE, origin, &origin->start_fd);
        if (r < 0)
                return relay(r);
        if (origin->start_fd < 0)
                return 0;
        r = wait_for_start(origin->start_fd);
        if (r < 0)
                return relay(r);
        if (!o->exec_attach)
                fd_close_many(&origin->start_fd, 1);
        return 0;
}

/**
 * launch_write_pid() - write the pid file of a monitor; a place without room may have some in a moment
 *
 * Return: 0 or a negative errno.
 */
int launch_write_pid(const char *path, pid_t pid) {
        char text[32];
        int n, r = 0;

        n = snprintf(text, sizeof text, "%d", pid);
        for (int tries = 0; tries < PID_FILE_TRIES; tries++) {
                r = fd_write_file_atomic(AT_FDCWD, path, text, (size_t)n, 0644);
                if (r >= 0)
                        return 0;
                (void)poll(NULL, 0, PID_FILE_AGAIN_MS);
        }
        return relay(r);
}

static bool is_let_go(int fd) {
        ssize_t n;
        char byte;

        do
                n = read(fd, &byte, 1);
        while (n < 0 && errno == EINTR);
        return n == 1;
}

typedef struct Keeping {
        Options *options;
        Origin *origin;
        int wait_fd, go_fd; /* -1 if nothing is waited for */
        int (*run)(Options *o, Origin *origin);
} Keeping;

/* The keeper, in the memory of the launcher: until that has written the pid file, it touches nothing. */
static int begin_keeping(void *userdata, void *room) {
        Keeping *k = userdata;

        fd_close_many(&k->go_fd, 1);
        if (k->wait_fd >= 0 && !is_let_go(k->wait_fd))
                process_exit(EXIT_FAILURE); /* the launcher has said why */
        fd_close_many(&k->wait_fd, 1);
        k->origin->launcher_room = room;
        return k->run(k->options, k->origin);
}

/* Of a keeper that is not to be: it has our memory, so we do not return before its end. */
static int take_back(pid_t pid, int *go_fd, int error) {
        fd_close_many(go_fd, 1);
        (void)process_await(pid);
        return error;
}

/**
 * launch_leave() - leave the keeper behind, unless it is to be this process
 * @origin: gets what it has to know of the launcher
 * @run: what the keeper does; its return value is the monitor's exit status
 *
 * The keeper goes on when its pid is in the file. If that cannot be written there is none: the caller has an error, and
 * no container beside it.
 *
 * Return: with --sync, what @run has returned; else only on failure, a negative errno with the error said.
 */
int launch_leave(Options *o, Origin *origin, int (*run)(Options *o, Origin *origin)) {
        _cleanup_close_ int wait_fd = -1, go_fd = -1;
        Keeping keeping = { .options = o, .origin = origin, .run = run };
        pid_t pid;
        int r = 0;

        if (o->sync)
                return run(o, origin);
        origin->launcher = getpid();
        if (o->conmon_pidfile)
                r = fd_pipe(&wait_fd, &go_fd);
        keeping.wait_fd = wait_fd;
        keeping.go_fd = go_fd;
        if (r >= 0)
                r = process_leave(begin_keeping, &keeping, &pid);
        if (r < 0)
                return log_error_errno(r, "Failed to fork the monitor");
        if (o->conmon_pidfile) {
                r = launch_write_pid(o->conmon_pidfile, pid);
                if (r < 0)
                        r = log_error_errno(r,
                                            "conmon: option parsing failed: Failed to write conmon pidfile");
                else if ((r = fd_write_full(go_fd, "", 1)) < 0)
                        r = log_error_errno(r, "Failed to start the monitor");
                if (r < 0)
                        return take_back(pid, &go_fd, r);
        }
        process_exit(EXIT_SUCCESS); /* all that is here is the keeper's */
}

/**
 * launch_block_signals() - those that the keeper's loop takes
 * @ret_before: the mask as it was; may be NULL
 *
 * Return: 0 or a negative errno.
 */
int launch_block_signals(sigset_t *ret_before) {
        static const int blocked[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTS(blocked); i++)
                (void)sigaddset(&set, blocked[i]);
        return sigprocmask(SIG_BLOCK, &set, ret_before) < 0 ? fail(-errno) : 0;
}

/**
 * launch_open_pipes() - the keeper's first steps: signals blocked, sync and attach pipe taken over
 *
 * Return: 0, or a negative errno with the error said.
 */
int launch_open_pipes(const Options *o, Origin *origin) {
        int r;

        r = launch_block_signals(&origin->mask);
        if (r < 0)
                return relay(r);
        (void)signal(SIGTERM, SIG_DFL);

        r = take_pipe(SCOPEMON_ENV_SYNCPIPE, origin, &origin->sync_fd);
        if (r < 0)
                return relay(r);
        if (!o->exec_attach)
                return 0;
        r = take_pipe(SCOPEMON_ENV_ATTACHPIPE, origin, &origin->attach_fd);
        if (r < 0)
                return relay(r);
        if (origin->attach_fd < 0)
                return log_error_errno(-EINVAL, "--attach specified but " SCOPEMON_ENV_ATTACHPIPE " was not");
        return 0;
}

/**
 * launch_done() - close what nobody has taken over
 */
void launch_done(Origin *origin) {
        fd_close_many(&origin->caller_pidfd, 1);
        fd_close_many(&origin->start_fd, 1);
        fd_close_many(&origin->sync_fd, 1);
        fd_close_many(&origin->attach_fd, 1);
        fd_close_many(&origin->log_fd, 1);
        fd_close_many(&origin->log_dir_fd, 1);
        free(origin->program);
        origin->program = NULL;
        free(origin->inherited);
        origin->inherited = NULL;
        origin->n_inherited = 0;
}
