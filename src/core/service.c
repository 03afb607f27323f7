/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Service mode. "scopemon --service --bundle DIR" is expanded to the command line that a container manager would have
 * written, and everything after that is the same program: monitor and container nest in the unit, which has to be
 * delegated; the output goes to the journal; the exit command deletes the container from the runtime's records.
 *
 * The administrator's bundle is not written to. A copy of its config.json, with the root file system's path made
 * absolute, goes into $RUNTIME_DIRECTORY (RuntimeDirectory= of the unit), where attach, ctl and the pid file are too.
 *
 * Notifications go out under our own name: we are the unit's main process.
 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/parse.h"
#include "core/service.h"
#include "io/bundle.h"
#include "io/notify.h"

#define TELL_TRIES 100
#define TELL_PAUSE_MS 10

static const char *value_of(int argc, char *argv[], const char *name, const char *letter) {
        size_t n = strlen(name);

        for (int i = 1; i < argc; i++) {
                if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
                        return argv[i] + n + 1;
                if (i + 1 < argc && (strcmp(argv[i], name) == 0 || strcmp(argv[i], letter) == 0))
                        return argv[i + 1];
        }
        return NULL;
}

/**
 * service_is_wanted() - does the command line ask for service mode?
 */
bool service_is_wanted(int argc, char *argv[]) {
        return argc > 1 && strcmp(argv[1], "--service") == 0;
}

static const char *find_runtime(void) {
        static const char *const places[] = { "/usr/bin/crun", "/usr/local/bin/crun", "/usr/bin/runc",
                                              "/usr/sbin/runc", "/usr/local/sbin/runc" };

        for (size_t i = 0; i < ELEMENTS(places); i++)
                if (access(places[i], X_OK) == 0)
                        return places[i];
        return places[0]; /* the check of the options will say that it is not there */
}

/* The directory that is ours while the unit runs: the first of systemd's, or one of our own making. */
static int runtime_directory(const char *name, char **ret) {
        const char *given = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
        char path[PATH_MAX];
        int n;

        if (given && *given)
                n = snprintf(path, sizeof path, "%.*s", (int)strcspn(given, ":"), given);
        else
                n = snprintf(path, sizeof path, "%s/scopemon-%s", geteuid() != 0 && user ? user : "/run", name);
        if (n < 0 || (size_t)n >= sizeof path)
                return fail(-ENAMETOOLONG);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return fail(-errno);
        *ret = strdup(path);
        return *ret ? 0 : fail(-ENOMEM);
}

static int copy_bundle(const char *bundle, const char *dir, bool *ret_terminal) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        char absolute[PATH_MAX];
        const char *why = NULL;
        int r;

        if (!realpath(bundle, absolute))
                return log_error_errno(fail(-errno), "bundle %s:", bundle);
        r = bundle_open(&b, absolute, &why);
        if (r != 0) {
                log_error("%s/config.json: %s", absolute,
                          r < 0 ? strerror(-r) : r == BUNDLE_BROKEN && why ? why : "is not there");
                return r < 0 ? relay(r) : fail(-ENOENT);
        }
        *ret_terminal = bundle_wants_terminal(b);
        r = bundle_copy_to(b, absolute, dir);
        return r < 0 ? log_error_errno(r, "%s/config.json:", dir) : 0;
}

/**
 * service_expand() - from "--service --bundle DIR [OPTION...]" to a monitor's command line
 * @ret_argv: lives as long as the process
 *
 * What the caller has given comes last, so that it wins.
 *
 * Return: 0, or a negative errno with the error said.
 */
int service_expand(int argc, char *argv[], int *ret_argc, char ***ret_argv) {
        const char *bundle = value_of(argc, argv, "--bundle", "-b"), *name = value_of(argc, argv, "--name", "-n");
        const char *runtime = value_of(argc, argv, "--runtime", "-r");
        char cid[NAME_MAX], pidfile[PATH_MAX], *dir = NULL, **words;
        bool terminal = false;
        int r, n = 0;

        if (!bundle) {
                log_error("No bundle given. Use --bundle");
                return fail(-EINVAL);
        }
        if (!name)
                name = *basename(bundle) ? basename(bundle) : "container";
        if (!runtime)
                runtime = find_runtime();
        r = runtime_directory(name, &dir);
        if (r < 0)
                return log_error_errno(r, "No directory for the state of %s:", name);
        r = copy_bundle(bundle, dir, &terminal);
        if (r < 0)
                return relay(r);
        (void)snprintf(cid, sizeof cid, "scopemon-%.200s", name);
        (void)snprintf(pidfile, sizeof pidfile, "%s/pid", dir);

        {
                const char *const fixed[] = { argv[0], "--service", "--sync", "--api-version", "--full-attach",
                                              "--cid", cid, "--cuuid", cid, "--name", name,
                                              "--runtime", runtime, "--log-path", "journald",
                                              "--container-pidfile", pidfile, "--exit-command", runtime,
                                              "--exit-command-arg", "delete", "--exit-command-arg", "--force",
                                              "--exit-command-arg", cid, "--terminal" };

                words = calloc(ELEMENTS(fixed) + (size_t)argc + 2, sizeof *words);
                if (!words)
                        return fail(-ENOMEM);
                for (size_t i = 0; i < ELEMENTS(fixed) - !terminal; i++)
                        words[n++] = strdup(fixed[i]);
        }
        for (int i = 2; i < argc; i++)
                words[n++] = argv[i];
        words[n++] = strdup("--bundle");
        words[n++] = dir;
        for (int i = 0; i < n; i++)
                if (!words[i])
                        return fail(-ENOMEM);
        *ret_argc = n;
        *ret_argv = words;
        return 0;
}

/**
 * service_environment() - the environment for the runtime
 *
 * Without what is between systemd and us: runc, given NOTIFY_SOCKET, would wait for the container to say READY=1.
 *
 * Return: an array that lives as long as the process, or NULL.
 */
char **service_environment(char *envp[]) {
        static const char *const ours[] = { "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=" };
        size_t n = 0, kept = 0;
        char **copy;

        while (envp[n])
                n++;
        copy = calloc(n + 1, sizeof *copy);
        for (size_t i = 0; copy && i < n; i++) {
                bool drop = false;

                for (size_t j = 0; j < ELEMENTS(ours); j++)
                        drop = drop || strncmp(envp[i], ours[j], strlen(ours[j])) == 0;
                if (!drop)
                        copy[kept++] = envp[i];
        }
        return copy;
}

/**
 * service_stop_of() - how a container wants to be stopped
 * @signal_text: annotation org.opencontainers.image.stopSignal: a name with or without SIG, or a number; or NULL
 * @usec_text: annotation io.scopemon.stop-timeout: seconds; or NULL
 *
 * Return: 0, or -EINVAL with the defaults for what cannot be understood.
 */
int service_stop_of(const char *signal_text, const char *usec_text, ServiceStop *ret) {
        uint64_t seconds;
        int r = 0;

        *ret = (ServiceStop){ .signal = SIGTERM, .usec = SERVICE_STOP_USEC };
        if (signal_text) {
                const char *name = strncmp(signal_text, "SIG", 3) == 0 ? signal_text + 3 : signal_text;
                uint64_t number = 0;
                int found = 0;

                if (parse_u64(name, &number) >= 0 && number > 0 && number < (uint64_t)SIGRTMAX)
                        found = (int)number;
                for (int i = 1; found == 0 && i < SIGRTMIN; i++)
                        if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), name) == 0)
                                found = i;
                if (found == 0)
                        r = fail(-EINVAL);
                else
                        ret->signal = found;
        }
        if (usec_text) {
                if (parse_u64(usec_text, &seconds) < 0 || seconds > 86400)
                        r = fail(-EINVAL);
                else
                        ret->usec = seconds * 1000000U;
        }
        return r;
}

/* Without waiting for ever: a manager whose queue stays full for that long will miss more than this. */
static void __attribute__((format(printf, 1, 2))) tell(const char *format, ...) {
        const char *path = getenv("NOTIFY_SOCKET");
        char text[512];
        va_list ap;
        int n;

        if (!path)
                return;
        va_start(ap, format);
        n = vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (n < 0)
                return;
        if ((size_t)n >= sizeof text)
                n = sizeof text - 1;
        for (int i = 0; notify_send(path, text, (size_t)n) == -EAGAIN && i < TELL_TRIES; i++)
                (void)poll(NULL, 0, TELL_PAUSE_MS);
}

/**
 * service_tell_ready() - the container runs
 */
void service_tell_ready(const Options *o, pid_t pid) {
        tell("%sSTATUS=Container %.300s runs, its first process is %d", o->sdnotify_socket ? "" : "READY=1\n", o->name,
             pid);
}

/**
 * service_tell_stopping() - the container has been asked to end
 * @usec: what that may take
 */
void service_tell_stopping(const Options *o, uint64_t usec) {
        tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=Container %.300s is asked to stop",
             (unsigned long long)usec + 5000000ULL, o->name);
}

/**
 * service_tell_failed() - there is no container
 */
void service_tell_failed(const char *text) {
        tell("STATUS=%.200s", text);
}

/**
 * service_tell_alive() - what WatchdogSec= of the unit asks for
 */
void service_tell_alive(void) {
        tell("WATCHDOG=1");
}

/**
 * service_watchdog_usec() - how often service_tell_alive() is expected at least; 0 if not at all
 */
uint64_t service_watchdog_usec(void) {
        const char *word = getenv("WATCHDOG_USEC"), *of = getenv("WATCHDOG_PID");
        uint64_t usec;
        pid_t pid;

        if (!word || parse_u64(word, &usec) < 0 || usec == UINT64_MAX)
                return 0;
        return of && (parse_pid(of, &pid) < 0 || pid != getpid()) ? 0 : usec;
}
