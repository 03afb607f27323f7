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
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/parse.h"
#include "event/event.h"
#include "io/notify-queue.h"
#include "keeper/unit-stop.h"
#include "oci/bundle.h"
#include "service/service.h"

#define ANNOTATION_NOTIFY "io.scopemon.sdnotify"
#define ANNOTATION_SIGNAL "org.opencontainers.image.stopSignal"
#define ANNOTATION_TIMEOUT "io.scopemon.stop-timeout"
#define NOTIFY_INSIDE "/run/notify" /* where the container has its socket, as it has with Podman */
#define EXTEND_USEC 5000000ULL      /* for what comes after the container's end, where it is asked for */

/**
 * service_next_value() - the value of option @name from word @at on, which is left behind it
 *
 * Return: borrowed from @argv, NULL if there is none.
 */
const char *service_next_value(int argc, char *argv[], const char *name, int *at) {
        size_t n = strlen(name);

        for (int i = *at; i < argc && argv[i]; i++) {
                *at = i + 1;
                if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
                        return argv[i] + n + 1;
                if (i + 1 == argc || strcmp(argv[i], name) != 0)
                        continue;
                *at = i + 2;
                return argv[i + 1];
        }
        return NULL;
}

static const char *value_of(int argc, char *argv[], const char *name, const char *letter) {
        const char *value;
        int at = 1;

        value = service_next_value(argc, argv, name, &at);
        at = 1;
        return value ? value : service_next_value(argc, argv, letter, &at);
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
                n = snprintf(path, sizeof path, "%s/scopemon-%s", geteuid() != 0 && user ? user : "/run",
                             name);
        if (n < 0 || (size_t)n >= sizeof path)
                return fail(-ENAMETOOLONG);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return fail(-errno);
        *ret = strdup(path);
        return *ret ? 0 : fail(-ENOMEM);
}

/* What comes of the bundle and the options, before it is a command line. */
typedef struct Expansion {
        ServiceWords words;
        const char *notify;        /* who says READY=1 */
        const char *notify_socket; /* of systemd, if the container is to write to it */
        char *dir;                 /* ours while the unit runs */
        bool terminal;
} Expansion;

static int choose_notify(Expansion *e, const Bundle *b) {
        if (!e->notify)
                e->notify = bundle_annotation(b, ANNOTATION_NOTIFY);
        if (!e->notify || strcmp(e->notify, SERVICE_NOTIFY_MONITOR) == 0)
                return 0;
        if (strcmp(e->notify, SERVICE_NOTIFY_CONTAINER) != 0) {
                log_error("Invalid value \"%.64s\": --sdnotify and annotation %s must be %s or %s", e->notify,
                          ANNOTATION_NOTIFY, SERVICE_NOTIFY_MONITOR, SERVICE_NOTIFY_CONTAINER);
                return fail(-EINVAL);
        }
        e->notify_socket = getenv("NOTIFY_SOCKET");
        if (!e->notify_socket)
                log_warning("NOTIFY_SOCKET is not set, notifications are discarded (unit not Type=notify?)");
        return 0;
}

/* The container's end of the relay. The other one is made by the keeper. */
static int offer_notify(const Expansion *e, Bundle *b) {
        const char *watchdog = getenv("WATCHDOG_USEC");
        char path[PATH_MAX];
        int r;

        r = snprintf(path, sizeof path, "%s/notify", e->dir);
        if (r < 0 || (size_t)r >= sizeof path)
                return fail(-ENAMETOOLONG);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return fail(-errno);
        r = bundle_add_mount(b, path, NOTIFY_INSIDE);
        if (r >= 0)
                r = bundle_set_variable(b, "NOTIFY_SOCKET", NOTIFY_INSIDE "/notify.sock");
        if (r >= 0 && watchdog) /* without WATCHDOG_PID=, which would be wrong in there */
                r = bundle_set_variable(b, "WATCHDOG_USEC", watchdog);
        return r < 0 ? relay(r) : 0;
}

static int copy_bundle(Expansion *e) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *names = getenv("LISTEN_FDNAMES"), *why = NULL;
        char absolute[PATH_MAX];
        int r;

        if (!realpath(e->words.bundle, absolute))
                return log_error_errno(fail(-errno), "bundle %s:", e->words.bundle);
        r = bundle_open(&b, absolute, &why);
        if (r != 0) {
                log_error("%s/config.json: %s", absolute,
                          r < 0                       ? strerror(-r)
                          : r == BUNDLE_BROKEN && why ? why
                                                      : "not found");
                return r < 0 ? relay(r) : fail(-ENOENT);
        }
        e->terminal = bundle_wants_terminal(b);
        r = choose_notify(e, b);
        if (r < 0)
                return relay(r);
        if (e->notify_socket)
                r = offer_notify(e, b);
        if (r >= 0 && names) /* the runtime tells only how many there are */
                r = bundle_set_variable(b, "LISTEN_FDNAMES", names);
        if (r >= 0)
                r = bundle_copy_to(b, absolute, e->dir);
        return r < 0 ? log_error_errno(r, "%s/config.json:", e->dir) : 0;
}

static void add_pair(char **words, int *n, const char *option, const char *value) {
        words[(*n)++] = strdup(option);
        words[(*n)++] = strdup(value);
}

static int write_words(const Expansion *e, int argc, char *argv[], int *ret_argc, char ***ret_argv) {
        const char *cid = e->words.cid, *runtime = e->words.runtime;
        char pidfile[PATH_MAX], **words;
        const char *word;
        int n = 0;

        (void)snprintf(pidfile, sizeof pidfile, "%s/pid", e->dir);
        {
                const char *const fixed[] = { argv[0],
                                              "--service",
                                              "--sync",
                                              "--api-version",
                                              "--full-attach",
                                              "--cid",
                                              cid,
                                              "--cuuid",
                                              cid,
                                              "--name",
                                              e->words.name,
                                              "--runtime",
                                              runtime,
                                              "--log-path",
                                              "journald",
                                              "--container-pidfile",
                                              pidfile,
                                              "--exit-command",
                                              runtime };

                words = calloc(ELEMENTS(fixed) + (size_t)argc * 3 + 11, sizeof *words);
                if (!words)
                        return fail(-ENOMEM);
                for (size_t i = 0; i < ELEMENTS(fixed); i++)
                        words[n++] = strdup(fixed[i]);
        }
        for (int at = 2; (word = service_next_value(argc, argv, "--runtime-arg", &at));)
                add_pair(words, &n, "--exit-command-arg", word);
        add_pair(words, &n, "--exit-command-arg", "delete");
        add_pair(words, &n, "--exit-command-arg", "--force");
        add_pair(words, &n, "--exit-command-arg", cid);
        if (e->terminal)
                words[n++] = strdup("--terminal");
        for (int i = 2; i < argc; i++)
                words[n++] = argv[i];
        words[n++] = strdup("--bundle");
        words[n++] = e->dir;
        if (e->notify_socket)
                add_pair(words, &n, "--sdnotify-socket", e->notify_socket);
        for (int i = 0; i < n; i++)
                if (!words[i])
                        return fail(-ENOMEM);
        *ret_argc = n;
        *ret_argv = words;
        return 0;
}

/**
 * service_words() - which bundle, under which name, with which runtime
 * @ret: borrows from @argv
 *
 * Return: 0, or a negative errno with the error said.
 */
int service_words(int argc, char *argv[], ServiceWords *ret) {
        *ret = (ServiceWords){ .bundle = value_of(argc, argv, "--bundle", "-b"),
                               .name = value_of(argc, argv, "--name", "-n"),
                               .runtime = value_of(argc, argv, "--runtime", "-r") };
        if (!ret->bundle) {
                log_error("No bundle given. Use --bundle");
                return fail(-EINVAL);
        }
        if (!ret->name)
                ret->name = *basename(ret->bundle) ? basename(ret->bundle) : "container";
        if (!ret->runtime)
                ret->runtime = find_runtime();
        (void)snprintf(ret->cid, sizeof ret->cid, "scopemon-%.200s", ret->name);
        return 0;
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
        Expansion e = { .notify = value_of(argc, argv, "--sdnotify", "--sdnotify") };
        int r;

        r = service_words(argc, argv, &e.words);
        if (r < 0)
                return relay(r);
        r = runtime_directory(e.words.name, &e.dir);
        if (r < 0)
                return log_error_errno(r, "Failed to create the state directory of %s:", e.words.name);
        r = copy_bundle(&e);
        if (r >= 0)
                r = write_words(&e, argc, argv, ret_argc, ret_argv);
        return r < 0 ? relay(r) : 0;
}

/**
 * service_environment() - the environment for the runtime
 *
 * Without what is between systemd and us: runc, given NOTIFY_SOCKET, would wait for the container to say READY=1.
 *
 * Return: an array that is the caller's to free, with words that are not, or NULL.
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
 * @unit_usec: TimeoutStopSec= of the unit, which counts if there is no such annotation; 0 if unknown
 *
 * Return: 0, or -EINVAL with the defaults for what cannot be understood.
 */
int service_stop_of(const char *signal_text, const char *usec_text, uint64_t unit_usec, ServiceStop *ret) {
        uint64_t seconds;
        int r = 0;

        *ret = (ServiceStop){ .signal = SIGTERM,
                              .usec = unit_usec ? unit_stop_time(unit_usec) : SERVICE_STOP_USEC };
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
                if (parse_u64(usec_text, &seconds) < 0 || seconds > SERVICE_STOP_MAX)
                        r = fail(-EINVAL);
                else
                        ret->usec = seconds * 1000000U;
        }
        return r;
}

/**
 * service_stop_of_bundle() - how the bundle wants its container to be stopped
 * @b: NULL for the defaults
 * @unit_usec: as service_stop_of()
 */
void service_stop_of_bundle(const Bundle *b, uint64_t unit_usec, ServiceStop *ret) {
        if (service_stop_of(b ? bundle_annotation(b, ANNOTATION_SIGNAL) : NULL,
                            b ? bundle_annotation(b, ANNOTATION_TIMEOUT) : NULL, unit_usec, ret) < 0)
                log_warning("Invalid annotation %s or %s in the bundle, ignoring it", ANNOTATION_SIGNAL,
                            ANNOTATION_TIMEOUT);
}

static void __attribute__((format(printf, 2, 3))) service_tell(NotifyQueue *to, const char *format, ...) {
        char text[512];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (n < 0)
                return;
        (void)notify_queue_send(to, text, -1); /* perhaps nobody listens */
}

/**
 * service_container_notifies() - is it the container that says READY=1, and that feeds the watchdog?
 */
bool service_container_notifies(const Options *o) {
        return o->service && o->sdnotify_socket;
}

/**
 * service_tell_created() - the container is about to start
 *
 * Before it does: what it says itself comes after that.
 */
void service_tell_created(NotifyQueue *to, const Options *o) {
        if (service_container_notifies(o))
                service_tell(to, "STATUS=Container %.300s is starting, waiting for its notification",
                             o->name);
}

/**
 * service_tell_ready() - the container runs
 */
void service_tell_ready(NotifyQueue *to, const Options *o, pid_t pid) {
        if (!service_container_notifies(o))
                service_tell(to, "READY=1\nSTATUS=Container %.300s is running, PID %d", o->name, pid);
}

/**
 * service_tell_reloading() - the container is asked to reload
 *
 * With Type=notify-reload systemd waits for that, and for service_tell_ready() after it.
 */
void service_tell_reloading(NotifyQueue *to, const Options *o) {
        if (!service_container_notifies(o))
                service_tell(to, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)event_now());
}

/**
 * service_tell_taken() - the container runs, and is ours from now on: another process's before
 * @ready: that one, or the container, had said READY=1
 */
void service_tell_taken(NotifyQueue *to, const Options *o, pid_t pid, bool ready) {
        service_tell(to, "%sSTATUS=Container %.300s is running, PID %d; the monitor died and was restarted",
                     ready ? "READY=1\n" : "", o->name, pid);
}

/**
 * service_tell_stopping() - the container has been asked to end
 * @usec: what that may take
 */
void service_tell_stopping(NotifyQueue *to, const Options *o, uint64_t usec) {
        if (usec == UNIT_STOP_NEVER)
                service_tell(to, "STOPPING=1\nSTATUS=Stopping container %.300s", o->name);
        else
                service_tell(to, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=Stopping container %.300s",
                             (unsigned long long)(usec + EXTEND_USEC), o->name);
}

/**
 * service_tell_stopped() - it has ended
 * @usec: what storing the rest of its output may take
 */
void service_tell_stopped(NotifyQueue *to, const Options *o, uint64_t usec) {
        service_tell(to, "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=Container %.300s exited, storing its output",
                     (unsigned long long)(usec + EXTEND_USEC), o->name);
}

/**
 * service_tell_failed() - there is no container
 */
void service_tell_failed(NotifyQueue *to, const char *text) {
        service_tell(to, "STATUS=%.200s", text);
}

/**
 * service_tell_alive() - what WatchdogSec= of the unit asks for
 */
void service_tell_alive(NotifyQueue *to) {
        service_tell(to, "WATCHDOG=1");
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
