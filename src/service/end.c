/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The end of a container whose monitor has died. A unit that lets its container outlive that (KillMode=process) has
 * nobody else who would end it, so it calls us from two places:
 *
 *     ExecStopPost=   "scopemon end --unless-restarted": whenever the monitor has gone. If it was killed and had left
 *                     its container to be taken back, nothing is done yet.
 *     OnFailure=      "scopemon end": systemd has given up to start another one: no Restart=, a stop, the start limit.
 *
 * The container gets its own stop signal, and its time. What it is, and whether it is there, the runtime knows.
 *
 * "scopemon end NAME|ID" is for containers of Podman and CRI-O, whose ends their managers are waiting for: if monitor and
 * container were killed together, the exit files that nobody has written are (report/mark.c).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "oci/bundle.h"
#include "oci/json.h"
#include "report/mark.h"
#include "service/end.h"
#include "service/service.h"
#include "service/store.h"

#define UNLESS_RESTARTED "--unless-restarted"
#define RUNTIME_MS 30000
#define STATE_MAX 65536

typedef struct End {
        ServiceWords words;
        int argc;
        char **argv, **envp;
} End;

/* The runtime, with up to two words before the container's ID. Returns its exit status. */
static int run_runtime(const End *e, const char *verb, const char *option, int out) {
        _cleanup_close_ int null_fd = -1, pidfd = -1;
        _cleanup_free_ char **words = NULL;
        struct pollfd end = { .events = POLLIN };
        ProcessStatus status = { .code = 1 };
        const char *word;
        size_t n = 0;
        pid_t pid;
        int r;

        words = calloc((size_t)e->argc + 5, sizeof *words);
        null_fd = fd_open_null(O_RDWR);
        if (!words || null_fd < 0)
                return fail(words ? null_fd : -ENOMEM);
        words[n++] = (char *)e->words.runtime;
        for (int at = 1; (word = service_next_value(e->argc, e->argv, "--runtime-arg", &at));)
                words[n++] = (char *)word;
        words[n++] = (char *)verb;
        if (option)
                words[n++] = (char *)option;
        words[n++] = (char *)e->words.cid;
        r = process_spawn(&(ProcessSpec){ .path = e->words.runtime,
                                          .argv = words,
                                          .envp = e->envp,
                                          .stdio = { null_fd, out < 0 ? null_fd : out, null_fd },
                                          .wait_fd = -1 },
                          &pid, &pidfd);
        if (r < 0)
                return relay(r);
        end.fd = pidfd;
        if (poll(&end, 1, RUNTIME_MS) <= 0)
                return process_end(pid) < 0 ? fail(-ECHILD) : fail(-ETIMEDOUT);
        (void)process_peek(pid, &status);
        (void)process_reap(pid);
        return status.code;
}

/* Return: 1 with its pid, or 0 if it has none; 0 with a pid of -1 if the runtime does not know it; or a negative errno. */
static int service_end_ask_runtime(const End *e, pid_t *ret_pid) {
        _cleanup_close_ int out = memfd_create("scopemon-runtime-state", MFD_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        uint64_t pid;
        ssize_t n;
        int r;

        *ret_pid = -1;
        text = calloc(1, STATE_MAX + 1);
        if (out < 0 || !text)
                return fail(text ? -errno : -ENOMEM);
        r = run_runtime(e, "state", NULL, out);
        if (r != 0)
                return r < 0 ? relay(r) : 0;
        n = pread(out, text, STATE_MAX, 0);
        *ret_pid = 0;
        if (n <= 0 || json_read_number(text, "pid", &pid) != 0 || pid < 2 || pid > INT_MAX)
                return 0;
        *ret_pid = (pid_t)pid;
        return 1;
}

static void service_end_read_stop(const End *e, ServiceStop *ret) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *why;

        if (bundle_open(&b, e->words.bundle, &why) != 0)
                b = NULL;
        service_stop_of_bundle(b, 0, ret);
}

static void stop_gently(const End *e, pid_t pid) {
        _cleanup_close_ int pidfd = process_pidfd(pid);
        struct pollfd end = { .fd = pidfd, .events = POLLIN };
        ServiceStop stop;

        if (pidfd < 0)
                return;
        service_end_read_stop(e, &stop);
        if (process_signal(pidfd, stop.signal) >= 0)
                (void)poll(
                        &end, 1,
                        (int)(stop.usec / 1000)); /* SERVICE_STOP_MAX at most; what is left then is killed */
}

static int forget_mark(void) {
        _cleanup_free_ char *mark = NULL;

        if (store_mark_path(&mark) >= 0)
                (void)unlink(mark);
        return 0;
}

/**
 * service_end() - end a container that has no monitor, and have the runtime forget it
 * @argc, @argv: with --bundle, --name, --runtime, --runtime-arg as in service mode
 * @at_once: kill it
 *
 * Blocks until it has ended.
 *
 * Return: 0, also if there is none, or a negative errno with the error said.
 */
int service_end(int argc, char *argv[], char *envp[], bool at_once) {
        End e = { .argc = argc, .argv = argv, .envp = envp };
        pid_t pid;
        int r;

        r = service_words(argc, argv, &e.words);
        if (r < 0)
                return relay(r);
        r = service_end_ask_runtime(&e, &pid);
        if (r < 0)
                return log_error_errno(r, "%s failed to report the state of container %s:", e.words.runtime,
                                       e.words.name);
        if (pid < 0)
                return forget_mark();
        if (r > 0) {
                log_warning("The monitor of container %s died, stopping the container", e.words.name);
                if (!at_once)
                        stop_gently(&e, pid);
        }
        r = run_runtime(&e, "delete", "--force", -1);
        if (r == 0)
                return forget_mark();
        log_error("%s failed to delete container %s", e.words.runtime, e.words.name);
        return r < 0 ? relay(r) : fail(-ECHILD);
}

/* Has the monitor been killed, with a container that the next one can take back? */
static bool can_be_taken_back(const char *result) {
        static const char *const killed[] = { "signal", "core-dump", "watchdog" };
        _cleanup_free_ char *mark = NULL;

        for (size_t i = 0; i < ELEMENTS(killed); i++)
                if (strcmp(result, killed[i]) == 0)
                        return store_mark_path(&mark) >= 0 && access(mark, F_OK) == 0;
        return false;
}

/* ---- containers of callers ---------------------------------------------------------------------------- */

typedef struct Told {
        unsigned n, n_failed;
} Told;

static void service_end_on_mark(void *userdata, const Mark *mark, int found) {
        const char *name = mark->name[0] ? mark->name : mark->cid;
        Told *t = userdata;

        t->n++;
        if (found == MARK_TOLD)
                (void)printf("%s: exited without its monitor, status unknown; wrote its exit file to %s\n",
                             name, mark->exit_dir);
        else if (found == MARK_KNOWN)
                (void)printf("%s: exit file exists already\n", name);
        else
                (void)fprintf(stderr, "Failed to end %s: %s\n", name,
                              found == MARK_ALIVE ? "container or monitor is still running"
                                                  : strerror(-found));
        t->n_failed += found == MARK_ALIVE || found < 0;
}

static int flush(int status) {
        int r = fd_flush_stdout();

        if (r < 0)
                (void)fprintf(stderr, "Failed to write to stdout: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : status;
}

/* A manager's container, by name: its exit file is all that is missing. */
static int end_by_name(char **words) {
        int status = EXIT_SUCCESS;

        for (char **word = words; *word; word++)
                if (!**word) {
                        (void)fprintf(stderr, "An argument is empty\n");
                        return EXIT_FAILURE;
                }
        for (; *words; words++) {
                Told t = { 0 };

                mark_settle(*words, service_end_on_mark, &t);
                if (t.n == 0)
                        (void)fprintf(stderr, "Failed to end %s: no container without a monitor found\n",
                                      *words);
                if (t.n == 0 || t.n_failed > 0)
                        status = EXIT_FAILURE;
        }
        return flush(status);
}

/* Of a service's container: what its ExecStart= has, other than what only a start needs. */
static bool is_option(const char *word) {
        static const char *const options[] = { UNLESS_RESTARTED, "--bundle", "-b",           "--name", "-n",
                                               "--runtime",      "-r",       "--runtime-arg" };
        size_t n = strcspn(word, "=");

        for (size_t i = 0; i < ELEMENTS(options); i++)
                if (strlen(options[i]) == n && strncmp(word, options[i], n) == 0)
                        return true;
        return false;
}

/**
 * service_end_run_verb() - scopemon end
 *
 * Return: an exit status.
 */
int service_end_run_verb(int argc, char *argv[], char *envp[]) {
        const char *result = getenv("SERVICE_RESULT");
        bool unless_restarted = argc > 2 && strcmp(argv[2], UNLESS_RESTARTED) == 0;
        _cleanup_free_ char **environment = service_environment(envp);

        if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
                (void)printf(
                        "Usage:\n  scopemon end NAME|ID...\n\n"
                        "Write the exit file of a container whose monitor was killed with it, so that its "
                        "manager can remove it.\n\nOptions:\n  --help              Show this help (-h)\n");
                return flush(EXIT_SUCCESS);
        }
        if (argc == 2) {
                (void)fprintf(stderr, "Missing argument: name or ID of a container\n");
                return EXIT_FAILURE;
        }
        if (argv[2][0] != '-')
                return end_by_name(argv + 2);
        if (!is_option(argv[2])) {
                (void)fprintf(stderr, "Unknown option %s\n", argv[2]);
                return EXIT_FAILURE;
        }
        if (!environment)
                return EXIT_FAILURE;
        if (unless_restarted && result && (strcmp(result, "success") == 0 || can_be_taken_back(result)))
                return EXIT_SUCCESS;
        return service_end(argc, argv, environment, result && strcmp(result, "timeout") == 0) < 0
                       ? EXIT_FAILURE
                       : EXIT_SUCCESS;
}
