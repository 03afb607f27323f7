/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The command line. One table says what there is: it fills Options, prints --help, and is compared with the man page
 * by tests/lint/check-options. A new option is a new row, a new field and a paragraph in man/scopemon.8.
 *
 * Callers were written against a program that used GLib's option parser, and some of its habits are relied on: the
 * word after an option is its value whatever it looks like, words that are no options are ignored wherever they stand
 * (Podman says "--api-version 1"), a flag with a value is just set, the value of a bundled option is the next word.
 * getopt_long() differs in each of these. One habit is not kept: values may be any bytes, in any locale.
 *
 * Whether the values make sense is asked in options-check.c. These two are the only files in core/ that write to
 * stdout and stderr themselves: before the level of messages is known there is no log. They never exit, and never
 * change a byte of argv, which is what ps shows.
 */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "config/options.h"
#include "scopemon/protocol.h"
#include "version.h"

#define HELP_COLUMN 40

typedef enum OptionType {
        OPT_FLAG,
        OPT_STRING,
        OPT_INT,
        OPT_SIZE,
        OPT_LIST,
        OPT_HELP,
} OptionType;

typedef struct OptionSpec {
        OptionType type;
        size_t offset; /* in Options */
        const char *name;
        char letter;
        const char *value; /* what --help calls it */
        const char *help;  /* NULL for a name that is only kept for old callers */
} OptionSpec;

#define OPT(t, field, n, l, v, h)                                                                            \
        {                                                                                                    \
                .type = (t), .offset = offsetof(Options, field), .name = (n), .letter = (l), .value = (v),   \
                .help = (h)                                                                                  \
        }

/* clang-format off */
static const OptionSpec option_specs[] = {
        OPT(OPT_FLAG,   api_version, "api-version", 0, NULL, "Use version 1 of the protocol"),
        OPT(OPT_STRING, bundle, "bundle", 'b', "DIR", "Directory of the OCI bundle"),
        OPT(OPT_STRING, cid, "cid", 'c', "ID", "Container ID"),
        OPT(OPT_STRING, conmon_pidfile, "conmon-pidfile", 'P', "FILE", "File for the PID of the monitor"),
        OPT(OPT_STRING, container_pidfile, "container-pidfile", 'p', "FILE", "File for the PID of the container"),
        OPT(OPT_STRING, container_pidfile, "pidfile", 0, "FILE", NULL),
        OPT(OPT_STRING, cuuid, "cuuid", 'u', "ID", "Name of the container in the socket directory"),
        OPT(OPT_FLAG,   exec, "exec", 'e', NULL, "Execute a command in a running container"),
        OPT(OPT_FLAG,   exec_attach, "exec-attach", 0, NULL, "Wait for a client to attach before executing the command"),
        OPT(OPT_STRING, exec_process_spec, "exec-process-spec", 0, "FILE", "Process specification of the command to execute"),
        OPT(OPT_STRING, exit_command, "exit-command", 0, "PATH", "Program to run after the container exits"),
        OPT(OPT_LIST,   exit_command_arg, "exit-command-arg", 0, "ARG", "Argument of the exit command (repeatable)"),
        OPT(OPT_INT,    exit_delay, "exit-delay", 0, "SECONDS", "Delay before running the exit command"),
        OPT(OPT_STRING, exit_dir, "exit-dir", 0, "DIR", "Directory of the exit files"),
        OPT(OPT_FLAG,   full_attach, "full-attach", 0, NULL, "Create the attach socket in the bundle only"),
        OPT(OPT_FLAG,   leave_stdin_open, "leave-stdin-open", 0, NULL, "Keep stdin open when an attached client disconnects"),
        OPT(OPT_LIST,   log_allowlist_dir, "log-allowlist-dir", 0, "DIR", "Directory in which log files may be rotated (repeatable)"),
        OPT(OPT_SIZE,   log_global_size_max, "log-global-size-max", 0, "BYTES", "Stop writing the log file after this size"),
        OPT(OPT_LIST,   log_label, "log-label", 0, "NAME=VALUE", "Additional journal field (repeatable)"),
        OPT(OPT_STRING, log_level, "log-level", 0, "LEVEL", "Log level: error, warn, info, debug or trace"),
        OPT(OPT_INT,    log_max_files, "log-max-files", 0, "N", "Number of rotated log files to keep"),
        OPT(OPT_LIST,   log_path, "log-path", 'l', "DRIVER[:PATH]", "Log driver and its file (repeatable)"),
        OPT(OPT_FLAG,   log_rotate, "log-rotate", 0, NULL, "Rotate the log file instead of truncating it"),
        OPT(OPT_SIZE,   log_size_max, "log-size-max", 0, "BYTES", "Size limit of the log file"),
        OPT(OPT_STRING, log_tag, "log-tag", 0, "TAG", "Tag of the container's journal entries"),
        OPT(OPT_STRING, name, "name", 'n', "NAME", "Container name"),
        OPT(OPT_FLAG,   no_container_partial_message, "no-container-partial-message", 0, NULL, "Do not mark partial lines (journald driver only)"),
        OPT(OPT_FLAG,   no_new_keyring, "no-new-keyring", 0, NULL, "Do not create a session keyring for the container"),
        OPT(OPT_FLAG,   no_pivot, "no-pivot", 0, NULL, "Tell the runtime not to use pivot_root"),
        OPT(OPT_FLAG,   no_sync_log, "no-sync-log", 0, NULL, "Do not sync the log file when the container exits"),
        OPT(OPT_STRING, persist_dir, "persist-dir", '0', "DIR", "Directory of files that outlive the container"),
        OPT(OPT_STRING, placement, "placement", 0, "WHERE", "Placement of a service's container: auto, unit, scope or caller"),
        OPT(OPT_FLAG,   replace_listen_pid, "replace-listen-pid", 0, NULL, "Set LISTEN_PID for the runtime"),
        OPT(OPT_STRING, restore, "restore", 0, "DIR", "Restore the container from a checkpoint"),
        OPT(OPT_LIST,   runtime_opt, "restore-arg", 0, "ARG", NULL),
        OPT(OPT_STRING, runtime, "runtime", 'r', "PATH", "The OCI runtime"),
        OPT(OPT_LIST,   runtime_arg, "runtime-arg", 0, "ARG", "Argument for the runtime, before its subcommand (repeatable)"),
        OPT(OPT_LIST,   runtime_opt, "runtime-opt", 0, "ARG", "Argument for the runtime's subcommand (repeatable)"),
        OPT(OPT_STRING, sdnotify, "sdnotify", 0, "WHO", "Who sends READY=1 for the service: conmon or container"),
        OPT(OPT_STRING, sdnotify_socket, "sdnotify-socket", 0, "PATH", "Forward the container's notifications to this socket"),
        OPT(OPT_STRING, seccomp_notify_socket, "seccomp-notify-socket", 0, "PATH", "Not supported"),
        OPT(OPT_STRING, seccomp_notify_plugins, "seccomp-notify-plugins", 0, "LIST", "Not supported"),
        OPT(OPT_FLAG,   service, "service", 0, NULL, "Run a bundle as a service; must come first"),
        OPT(OPT_STRING, socket_dir_path, "socket-dir-path", 0, "DIR", "Directory of the link to the attach socket"),
        OPT(OPT_FLAG,   want_stdin, "stdin", 'i', NULL, "Open stdin for the container"),
        OPT(OPT_FLAG,   sync, "sync", 0, NULL, "Do not fork into the background"),
        OPT(OPT_FLAG,   syslog, "syslog", 0, NULL, "Send the monitor's messages to syslog, too"),
        OPT(OPT_FLAG,   systemd_cgroup, "systemd-cgroup", 's', NULL, "Tell the runtime to use systemd for cgroups"),
        OPT(OPT_FLAG,   terminal, "terminal", 't', NULL, "Allocate a terminal for the container"),
        OPT(OPT_INT,    timeout, "timeout", 'T', "SECONDS", "Kill the container after this time"),
        OPT(OPT_FLAG,   version, "version", 0, NULL, "Show the version"),
        { .type = OPT_HELP, .name = "help", .letter = 'h', .help = "Show this help" },
};
/* clang-format on */

/* The words not looked at yet. */
typedef struct Words {
        char **next;
        char **end;
} Words;

__attribute__((format(printf, 1, 2))) static int parse_error(const char *format, ...) {
        va_list ap;

        (void)fputs("conmon: option parsing failed: ", stderr); /* no one to tell if this fails */
        va_start(ap, format);
        (void)vfprintf(stderr, format, ap);
        va_end(ap);
        (void)fputc('\n', stderr);
        return fail(-EINVAL);
}

static int list_append(StrList *list, char *word) {
        char **words;

        words = realloc(list->words, (list->n + 2) * sizeof *words);
        if (!words)
                return fail(-ENOMEM);
        words[list->n] = word;
        words[list->n + 1] = NULL;
        list->words = words;
        list->n++;
        return 0;
}

/* @shown is the option as it was written. Blanks before the number are fine with strtoll(), and with callers. */
static int integer_parse(const char *shown, const char *word, int64_t min, int64_t max, int64_t *ret) {
        long long value;
        char *end;

        errno = 0;
        value = strtoll(word, &end, 0);
        if (end == word || *end)
                return parse_error("Cannot parse integer value “%s” for %s", word, shown);
        if (errno == ERANGE || value < min || value > max)
                return parse_error("Integer value “%s” for %s out of range", word, shown);
        *ret = value;
        return 0;
}

static int option_store(Options *o, const OptionSpec *spec, const char *shown, char *word) {
        void *field = (char *)o + spec->offset;
        int64_t value = 0;
        int r = 0;

        switch (spec->type) {
        case OPT_FLAG:
                *(bool *)field = true;
                return 0;
        case OPT_STRING:
                *(const char **)field = word;
                return 0;
        case OPT_LIST:
                r = list_append(field, word);
                return r < 0 ? relay(r) : 0;
        case OPT_INT:
                r = integer_parse(shown, word, INT_MIN, INT_MAX, &value);
                if (r < 0)
                        return relay(r);
                *(int *)field = (int)value;
                return 0;
        case OPT_SIZE:
                r = integer_parse(shown, word, INT64_MIN, INT64_MAX, &value);
                if (r < 0)
                        return relay(r);
                *(int64_t *)field = value;
                return 0;
        case OPT_HELP:
                r = options_help(stdout, o->program);
                return r < 0 ? relay(r) : OPTIONS_DONE;
        }
        return fail(-EINVAL);
}

static bool option_takes_value(const OptionSpec *spec) {
        return spec->type != OPT_FLAG && spec->type != OPT_HELP;
}

/* @word is what follows the two dashes. */
static const OptionSpec *option_by_name(const char *word, size_t n_name) {
        for (size_t i = 0; i < ELEMENTS(option_specs); i++)
                if (strlen(option_specs[i].name) == n_name && memcmp(option_specs[i].name, word, n_name) == 0)
                        return &option_specs[i];
        return NULL;
}

static const OptionSpec *option_by_letter(char letter) {
        if (letter == '?')
                letter = 'h';
        for (size_t i = 0; i < ELEMENTS(option_specs); i++)
                if (option_specs[i].letter == letter)
                        return &option_specs[i];
        return NULL;
}

/* --name, --name=value, --name value. */
static int parse_long(Options *o, char *word, Words *rest) {
        size_t n_name = strcspn(word + 2, "=");
        char shown[64], *value = NULL;
        const OptionSpec *spec;
        int r;

        spec = option_by_name(strcmp(word, "--help-all") == 0 ? "help" : word + 2,
                              strcmp(word, "--help-all") == 0 ? strlen("help") : n_name);
        if (!spec || (spec->type == OPT_HELP && word[2 + n_name] == '='))
                return parse_error("Unknown option %s", word);

        (void)snprintf(shown, sizeof shown, "--%s", spec->name);
        if (option_takes_value(spec)) {
                if (word[2 + n_name] == '=')
                        value = word + 2 + n_name + 1;
                else if (rest->next < rest->end)
                        value = *rest->next++;
                else
                        return parse_error("Missing argument for %s", shown);
        }
        r = option_store(o, spec, shown, value);
        return r < 0 ? relay(r) : r;
}

/* -abc: three options, of which one may take the next word as its value. */
static int parse_letters(Options *o, char *word, Words *rest) {
        bool value_taken = false;

        for (const char *letter = word + 1; *letter; letter++) {
                const OptionSpec *spec = option_by_letter(*letter);
                const char shown[] = { '-', *letter, '\0' };
                char *value = NULL;
                int r;

                if (!spec)
                        return parse_error("Unknown option %s", word);
                if (option_takes_value(spec)) {
                        if (value_taken)
                                return parse_error("Error parsing option %s", shown);
                        if (rest->next == rest->end)
                                return parse_error("Missing argument for %s", shown);
                        value = *rest->next++;
                        value_taken = true;
                }
                r = option_store(o, spec, shown, value);
                if (r != 0)
                        return r < 0 ? relay(r) : r;
        }
        return 0;
}

static int parse_words(Options *o, Words *words) {
        int r = 0;

        while (r == 0 && words->next < words->end) {
                char *word = *words->next++;

                if (strcmp(word, "--") == 0)
                        break;
                if (word[0] != '-' || word[1] == '\0')
                        continue; /* no option: ignored, options after it still count */
                r = word[1] == '-' ? parse_long(o, word, words) : parse_letters(o, word, words);
        }
        return r < 0 ? relay(r) : r;
}

/* Callers take the third word for a version, and know the lines by their order. */
static int print_version(void) {
        int r;

        (void)printf("conmon version %s\ncommit: %s\nscopemon %s\n", SCOPEMON_CONMON_VERSION, SCOPEMON_COMMIT,
                     SCOPEMON_VERSION);
        r = fd_flush_stdout();
        return r < 0 ? relay(r) : OPTIONS_DONE;
}

static const char *base_name(const char *path) {
        const char *slash;

        if (!path)
                return "conmon";
        slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/**
 * options_parse() - read the command line
 * @ret: where the options go; they point into @argv, which has to outlive them. options_done() frees the rest
 *
 * Nothing is judged yet but the form. An error has been printed to stderr when this returns.
 *
 * Return: 0; OPTIONS_DONE if version or help was printed and all is done (@ret is untouched); a negative errno.
 */
int options_parse(int argc, char *argv[], Options *ret) {
        Options o = {
                .log_global_size_max = -1,
                .log_size_max = -1,
                .log_max_files = 1,
                .socket_dir_path = SCOPEMON_SOCKET_DIR,
                .program = base_name(argc > 0 ? argv[0] : NULL),
                .level = LOG_LEVEL_WARNING,
        };
        Words words = { argv + (argc > 0), argv + (argc > 0 ? argc : 0) };
        int r;

        r = parse_words(&o, &words);
        if (r == 0 && o.version)
                r = print_version();
        if (r != 0) {
                options_done(&o);
                return r < 0 ? relay(r) : r;
        }
        *ret = o;
        return 0;
}

/**
 * options_log_name() - last component of the log file's path
 *
 * Return: a part of it; there must be one.
 */
const char *options_log_name(const Options *o) {
        const char *slash = strrchr(o->log_targets.path, '/');

        return slash ? slash + 1 : o->log_targets.path;
}

/**
 * options_version() - of this binary, to tell it from another
 */
const char *options_version(void) {
        return SCOPEMON_VERSION "-" SCOPEMON_COMMIT;
}

/**
 * options_peek() - what another process' command line says of one option
 * @argv: NULL after the last word; nothing is said about words that make no sense
 * @name: its long name
 * @ret_value: the last one given, in @argv; "" for a flag
 *
 * Return: false if it is not there, or if the command line is none of a monitor's.
 */
bool options_peek(char *const argv[], const char *name, const char **ret_value) {
        const char *found = NULL;

        for (char *const *word = argv[0] ? argv + 1 : argv; *word; word++) {
                bool is_long = word[0][0] == '-' && word[0][1] == '-';
                const char *letter = *word + 1;

                if (strcmp(*word, "--") == 0)
                        break;
                if (word[0][0] != '-' || word[0][1] == '\0')
                        continue;
                for (; *letter; letter++) {
                        const char *value = is_long ? strchr(*word, '=') : NULL;
                        const OptionSpec *spec = is_long ? option_by_name(*word + 2, strcspn(*word + 2, "="))
                                                         : option_by_letter(*letter);

                        if (!spec || (option_takes_value(spec) && !value && !word[1]))
                                return false;
                        value = value ? value + 1 : option_takes_value(spec) ? *++word : "";
                        if (strcmp(spec->name, name) == 0)
                                found = value;
                        if (is_long || option_takes_value(spec))
                                break;
                }
        }
        if (found)
                *ret_value = found;
        return found != NULL;
}

/**
 * options_help() - print all options, in the order of the table
 * @program: the name to call the program by
 *
 * Return: 0, also if its reader has gone, or a negative errno if @f does not take it.
 */
int options_help(FILE *f, const char *program) {
        (void)fprintf(f,
                      "Usage:\n  %s [OPTION...] - monitor an OCI container\n"
                      "  %s list|status|explain|doctor|upgrade|end ... - manage containers\n\n"
                      "Options:\n",
                      program, program);
        for (size_t i = 0; i < ELEMENTS(option_specs); i++) {
                const OptionSpec *s = &option_specs[i];
                int n;

                if (!s->help)
                        continue;
                n = s->letter ? fprintf(f, "  -%c, --%s", s->letter, s->name) : fprintf(f, "  --%s", s->name);
                if (s->value)
                        n += fprintf(f, "=%s", s->value);
                (void)fprintf(f, "%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "", s->help);
        }
        if (fflush(f) != 0 && errno != EPIPE)
                return fail(-errno);
        return 0;
}

/**
 * options_done() - free what the options own
 *
 * Fine for options that were never parsed (all zero), and for those whose check failed.
 */
void options_done(Options *o) {
        free(o->exit_command_arg.words);
        free(o->log_allowlist_dir.words);
        free(o->log_label.words);
        free(o->log_path.words);
        free(o->runtime_arg.words);
        free(o->runtime_opt.words);
        free(o->log_targets.path);
        free(o->cwd);
        free(o->default_pidfile);
        *o = (Options){ 0 };
}
