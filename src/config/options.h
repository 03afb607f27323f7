/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line: words in, checked values out. Nobody below core/ sees struct Options. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"

/* Words of an option that may be repeated, NULL after the last one. The words are argv's, the array is ours. */
typedef struct StrList {
        char **words; /* NULL if the option was never given */
        size_t n;
} StrList;

/* What all -l words together ask for. */
typedef struct LogTargets {
        bool file;
        bool journald;
        bool none; /* said, which does not switch off the others */
        bool passthrough;
        char *path; /* of the file; owned */
} LogTargets;

/* Answers of options_parse_log_path(). */
enum {
        LOG_PATH_EMPTY = 1,
        LOG_PATH_NO_FILENAME,
        LOG_PATH_NO_DRIVER,
};

/* Answer of options_parse(): version or help has been printed, there is nothing left to do. */
enum {
        OPTIONS_DONE = 1,
};

/*
 * A field is called as its long option, with underscores ("stdin" is a macro of the C library, hence want_stdin).
 * Strings are NULL unless given, and point into argv, except where a default of ours is owned below.
 */
typedef struct Options {
        bool api_version;   /* protocol version 1 */
        const char *bundle; /* default: the working directory, but none with exec */
        const char *cid;
        const char *conmon_pidfile;
        const char *container_pidfile; /* default: <working directory>/pidfile-<cid> */
        const char *cuuid;
        bool exec;
        bool exec_attach;
        const char *exec_process_spec;
        const char *exit_command;
        StrList exit_command_arg;
        int exit_delay;
        const char *exit_dir;
        bool full_attach;
        bool leave_stdin_open;
        StrList log_allowlist_dir;
        int64_t log_global_size_max; /* -1: no limit, as is every value up to 0 */
        StrList log_label;
        const char *log_level; /* the word; log_set_level() has been called with it */
        int log_max_files;
        StrList log_path; /* the words; see log_targets */
        bool log_rotate;
        int64_t log_size_max; /* -1: no limit, as is every value up to 0 */
        const char *log_tag;
        const char *name;
        bool no_container_partial_message;
        bool no_new_keyring;
        bool no_pivot;
        bool no_sync_log;
        const char *persist_dir;
        bool replace_listen_pid;
        const char *restore;
        const char *runtime;
        const char *placement; /* service mode; as SCOPEMON_PLACEMENT, and before it */
        StrList runtime_arg;
        StrList runtime_opt;  /* --restore-arg too */
        const char *sdnotify; /* service mode: "conmon" or "container" */
        const char *sdnotify_socket;
        const char *seccomp_notify_socket;
        const char *seccomp_notify_plugins;
        bool service;                /* see service.c */
        const char *socket_dir_path; /* default: /var/run/crio */
        bool want_stdin;
        bool sync;
        bool syslog;
        bool systemd_cgroup;
        bool terminal;
        int timeout; /* seconds; none if <= 0 */
        bool version;

        /* Set by options_parse() */
        const char *program; /* base name of argv[0], "conmon" if there is none */

        /* Set by options_check() */
        LogLevel level;
        LogTargets log_targets;
        char *cwd;             /* owned */
        char *default_pidfile; /* owned; what container_pidfile points to unless it was given */
} Options;

int options_parse(int argc, char *argv[], Options *ret);
int options_check(Options *o);
int options_check_log(const Options *o);
bool options_peek(char *const argv[], const char *name, const char **ret_value);
int options_parse_log_path(const char *word, LogTargets *targets);
int options_help(FILE *f, const char *program);
void options_done(Options *o);
const char *options_log_name(const Options *o);
const char *options_version(void);
