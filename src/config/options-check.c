/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Do the options make sense together? Order and text of the messages are part of the contract, scripts search for
 * them, and each ends the program with status 1 before anything was created. Two calls, since the log file is opened
 * (by the caller) between two messages:
 *
 *     options_check()      what is missing or contradicts itself; fills in defaults; sets the level of our own
 *                          messages and opens syslog
 *     (the log file is opened)
 *     options_check_log()  what the log drivers think of the other options
 *
 * An unknown log driver is an error here and not a default: a container whose output went nowhere is noticed too
 * late.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/options.h"

#define JOURNAL_CID_MIN 13 /* CONTAINER_ID has the first 12 of them */

/* What is wrong here is said without the prefix of log_error(). */
static int check_basics(const Options *o) {
        if (o->log_max_files < 0) {
                (void)fprintf(stderr, "conmon: log-max-files must be non-negative, got %d\n",
                              o->log_max_files);
                return fail(-EINVAL);
        }
        if (o->log_rotate && o->log_max_files == 0) {
                (void)fputs("conmon: log-max-files must be at least 1 when log-rotate is enabled, "
                            "got 0\n",
                            stderr);
                return fail(-EINVAL);
        }
        if (!o->cid) {
                (void)fputs("conmon: Container ID not provided. Use --cid\n", stderr);
                return fail(-EINVAL);
        }
        return 0;
}

static int set_log(Options *o) {
        char container[32]; /* syslog gets 20 characters of it */

        if (o->syslog) {
                (void)snprintf(container, sizeof container, "%s%s%s", o->cid, o->log_tag ? ": " : "",
                               o->log_tag ? o->log_tag : "");
                log_set_syslog(o->program, container);
        }
        if (o->log_level && log_level_from_string(o->log_level, &o->level) < 0) {
                log_error("No such log level %s", o->log_level);
                return fail(-EINVAL);
        }
        log_set_level(o->level);
        return 0;
}

static int check_mode(const Options *o) {
        const struct {
                bool wrong;
                const char *text;
        } rules[] = {
                { o->exec && o->restore, "Cannot use 'exec' and 'restore' at the same time" },
                { o->exec_attach && !o->exec, "Attach can only be specified with exec" },
                { o->exec_attach && !o->api_version,
                  "Attach can only be specified for a non-legacy exec session" },
                { !o->cuuid && (!o->exec || o->api_version), "Container UUID not provided. Use --cuuid" },
                { !o->runtime, "Runtime path not provided. Use --runtime" },
                { o->sdnotify && !o->service, "--sdnotify is for --service only" },
                { o->placement && !o->service, "--placement is for --service only" },
        };

        for (size_t i = 0; i < ELEMENTS(rules); i++)
                if (rules[i].wrong) {
                        log_error("%s", rules[i].text);
                        return fail(-EINVAL);
                }
        if (access(o->runtime, X_OK) < 0)
                return fail(log_error_errno(-errno, "Runtime path %s is not valid", o->runtime));
        if (o->exec && !o->exec_process_spec) {
                log_error("Exec process spec path not provided. Use --exec-process-spec");
                return fail(-EINVAL);
        }
        return 0;
}

/* Of a monitor that is upgraded after a soft reboot it may be in the root file system of before, and have no name. */
static int set_defaults(Options *o) {
        bool bundle = o->bundle || o->exec;
        char cwd[PATH_MAX];

        if (o->exit_delay < 0) {
                log_error("Delay before invoking exit command must be greater than or equal to 0");
                return fail(-EINVAL);
        }
        if (bundle && o->container_pidfile)
                return 0;
        o->cwd = getcwd(cwd, sizeof cwd) ? strdup(cwd)
                                         : NULL; /* getcwd(NULL) takes a page for as long as it is kept */
        if (!o->cwd)
                return fail(log_error_errno(-errno, "Failed to get working directory"));
        if (!bundle)
                o->bundle = o->cwd;
        if (o->container_pidfile)
                return 0;
        if (asprintf(&o->default_pidfile, "%s/pidfile-%s", o->cwd, o->cid) < 0) {
                o->default_pidfile = NULL;
                return fail(log_error_errno(-ENOMEM, "Failed to name the container's pid file"));
        }
        o->container_pidfile = o->default_pidfile;
        return 0;
}

static int refuse_seccomp_notify(const Options *o) {
        if (!o->seccomp_notify_socket && !o->seccomp_notify_plugins)
                return 0;
        log_error("%s is not supported: seccomp notifications are not passed to plugins",
                  o->seccomp_notify_socket ? "--seccomp-notify-socket" : "--seccomp-notify-plugins");
        return fail(-EINVAL);
}

/**
 * options_parse_log_path() - what one -l word asks for
 * @word: DRIVER, DRIVER:PATH, PATH or :PATH; what follows another colon is ignored
 * @targets: the answer is added here; a later file replaces an earlier one
 *
 * Return: 0; LOG_PATH_EMPTY, LOG_PATH_NO_FILENAME or LOG_PATH_NO_DRIVER for a word that means nothing (@targets is
 * unchanged); -ENOMEM.
 */
int options_parse_log_path(const char *word, LogTargets *targets) {
        static const struct {
                const char *driver;
                size_t offset;
        } drivers[] = {
                { "journald", offsetof(LogTargets, journald) },
                { "none", offsetof(LogTargets, none) },
                { "off", offsetof(LogTargets, none) },
                { "null", offsetof(LogTargets, none) },
                { "passthrough", offsetof(LogTargets, passthrough) },
        };
        size_t n_driver = strcspn(word, ":");
        const char *path = word + n_driver + strspn(word + n_driver, ":");
        size_t n_path = strcspn(path, ":");
        char *copy;

        if (n_driver == 0 && n_path == 0)
                return LOG_PATH_EMPTY;
        for (size_t i = 0; i < ELEMENTS(drivers); i++)
                if (n_driver == strlen(drivers[i].driver) && memcmp(word, drivers[i].driver, n_driver) == 0) {
                        *(bool *)((char *)targets + drivers[i].offset) = true;
                        return 0;
                }

        if (n_driver == strlen("k8s-file") && memcmp(word, "k8s-file", n_driver) == 0) {
                if (n_path == 0)
                        return LOG_PATH_NO_FILENAME;
        } else if (n_driver > 0 && word[n_driver] == ':') {
                return LOG_PATH_NO_DRIVER;
        } else if (n_driver > 0) {
                path = word;
                n_path = n_driver;
        }

        copy = strndup(path, n_path);
        if (!copy)
                return fail(-ENOMEM);
        free(targets->path);
        targets->path = copy;
        targets->file = true;
        return 0;
}

static int check_log_paths(Options *o) {
        if (o->log_path.n == 0) {
                log_error("Log driver not provided. Use --log-path");
                return fail(-EINVAL);
        }
        for (size_t i = 0; i < o->log_path.n; i++) {
                const char *word = o->log_path.words[i];
                int r = options_parse_log_path(word, &o->log_targets);

                if (r < 0)
                        return fail(log_error_errno(r, "Failed to take log driver %s", word));
                if (r == LOG_PATH_EMPTY)
                        log_error("log-path must not be empty");
                if (r == LOG_PATH_NO_FILENAME)
                        log_error("k8s-file requires a filename");
                if (r == LOG_PATH_NO_DRIVER)
                        log_error("No such log driver %.*s", (int)strcspn(word, ":"), word);
                if (r != 0)
                        return fail(-EINVAL);
        }
        return 0;
}

/**
 * options_check() - judge all options but what depends on the log file being open; fill in defaults
 *
 * From here on our own messages have the level and the channels the caller asked for. Whatever is wrong has been said
 * when this returns. What comes next is opening log_targets.path, if log_targets.file, then options_check_log().
 *
 * Return: 0, or a negative errno: end with status 1.
 */
int options_check(Options *o) {
        int r;

        r = check_basics(o);
        if (r < 0)
                return relay(r);
        r = set_log(o);
        if (r < 0)
                return relay(r);
        r = check_mode(o);
        if (r < 0)
                return relay(r);
        r = set_defaults(o);
        if (r < 0)
                return relay(r);
        r = refuse_seccomp_notify(o);
        if (r < 0)
                return relay(r);
        r = check_log_paths(o);
        return r < 0 ? relay(r) : 0;
}

static int check_label(const char *label) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
        const char *equals = strchr(label, '=');

        if (equals == label)
                log_error("Container labels must be in format LABEL=VALUE "
                          "(no LABEL present in '%s')",
                          label);
        else if (!equals || strchr(equals + 1, '='))
                log_error("Container labels must be in format LABEL=VALUE "
                          "(none or more than one '=' present in '%s')",
                          label);
        else if (strspn(label, letters) != (size_t)(equals - label))
                log_error("Container label names must contain only uppercase letters, numbers and "
                          "underscore (in '%s')",
                          label);
        else
                return 0;
        return fail(-EINVAL);
}

/**
 * options_check_log() - judge the options of the log drivers
 *
 * To be called after the log file has been opened, or nothing opened if there is none: an unwritable file is to be
 * heard of before anything that is said here.
 *
 * Return: 0, or a negative errno: end with status 1.
 */
int options_check_log(const Options *o) {
        const LogTargets *targets = &o->log_targets;
        int r;

        if (targets->file && !targets->journald) {
                if (o->log_tag)
                        log_error("k8s-file doesn't support --log-tag");
                else if (o->log_label.n > 0)
                        log_error("k8s-file doesn't support --log-label");
                if (o->log_tag || o->log_label.n > 0)
                        return fail(-EINVAL);
        }
        if (targets->journald) {
                if (!o->service && strlen(o->cid) < JOURNAL_CID_MIN) {
                        log_error("Container ID must be longer than 12 characters");
                        return fail(-EINVAL);
                }
                for (size_t i = 0; i < o->log_label.n; i++) {
                        r = check_label(o->log_label.words[i]);
                        if (r < 0)
                                return relay(r);
                }
        } else if (o->no_container_partial_message) {
                log_warning("--no-container-partial-message has no effect without journald log driver");
        }
        return 0;
}
