/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The OCI runtime as a command line, and the one thing that comes back from it, the target's pid. Nothing is started
 * here and nobody is waited for.
 *
 * Order and spelling of the words are what runc, crun and their wrappers have been called with for years; wrappers look
 * for words at fixed places, so no word moves. The words of a vector are borrowed: it is good for as long as the
 * Options and the console socket's name it was made from.
 *
 * The pid file is written by the runtime, sometimes made empty by the caller beforehand, so "there is none" and "there
 * is nothing in it" are both ordinary ends of a runtime that failed, and never a pid of 0: signalling that one would
 * hit our own process group.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"
#include "oci/runtime.h"

#define BLANKS " \t\r\n"

typedef struct Argv {
        char **words;
        size_t n;
} Argv;

/* Room for @n_more words on top of the lists, and the NULL. */
static int argv_init(Argv *a, size_t n_more, const StrList *lists[], size_t n_lists) {
        for (size_t i = 0; i < n_lists; i++)
                n_more += lists[i]->n;
        a->n = 0;
        a->words = calloc(n_more + 1, sizeof *a->words);
        return a->words ? 0 : fail(-ENOMEM);
}

static void add(Argv *a, const char *word) {
        a->words[a->n++] = (char *)word; /* exec's type; nobody writes there */
}

static void add_if(Argv *a, bool wanted, const char *word) {
        if (wanted)
                add(a, word);
}

static void add_option(Argv *a, const char *option, const char *value) {
        if (value) {
                add(a, option);
                add(a, value);
        }
}

static void add_list(Argv *a, const StrList *list) {
        for (size_t i = 0; i < list->n; i++)
                add(a, list->words[i]);
}

static void add_exec(Argv *a, const Options *o) {
        add(a, "exec");
        add_option(a, "--pid-file", o->container_pidfile);
        add_option(a, "--process", o->exec_process_spec);
        add(a, "--detach");
}

static void add_create(Argv *a, const Options *o) {
        add(a, o->restore ? "restore" : "create");
        add_option(a, "--bundle", o->bundle);
        add_option(a, "--pid-file", o->container_pidfile);
        add_if(a, o->no_pivot, "--no-pivot");
        add_if(a, o->no_new_keyring, "--no-new-keyring");
        if (o->restore) {
                add(a, "--detach");
                add_option(a, "--image-path", o->restore);
                add_option(a, "--work-path", o->bundle);
        }
}

/**
 * runtime_argv() - the command that creates, restores or execs
 * @o: checked
 * @systemd_cgroup: the plan's word, which may differ from the option; no effect on exec
 * @console_socket: NULL without a terminal
 * @ret: NULL-terminated array, the caller's to free(); its words belong to @o and @console_socket
 *
 * Return: 0 or -ENOMEM.
 */
int runtime_argv(const Options *o, bool systemd_cgroup, const char *console_socket, char ***ret) {
        const StrList *lists[] = { &o->runtime_arg, &o->runtime_opt };
        Argv a;
        int r;

        r = argv_init(&a, 20, lists, ELEMENTS(lists));
        if (r < 0)
                return relay(r);

        add(&a, o->runtime);
        add_if(&a, systemd_cgroup && !o->exec, "--systemd-cgroup");
        add_list(&a, &o->runtime_arg);
        if (o->exec)
                add_exec(&a, o);
        else
                add_create(&a, o);
        add_list(&a, &o->runtime_opt);
        add_option(&a, "--console-socket", console_socket);
        add(&a, o->cid);

        *ret = a.words;
        return 0;
}

/**
 * runtime_verb_argv() - a command for a container that is there
 * @verb: start, delete
 * @ret: NULL-terminated array, the caller's to free(); its words belong to @o
 *
 * Return: 0 or -ENOMEM.
 */
int runtime_verb_argv(const Options *o, const char *verb, char ***ret) {
        const StrList *lists[] = { &o->runtime_arg };
        Argv a;
        int r;

        r = argv_init(&a, 3, lists, ELEMENTS(lists));
        if (r < 0)
                return relay(r);
        add(&a, o->runtime);
        add_list(&a, &o->runtime_arg);
        add(&a, verb);
        add(&a, o->cid);

        *ret = a.words;
        return 0;
}

/**
 * runtime_exit_command_argv() - the command that is run at the end
 * @o: with an exit_command
 * @ret: NULL-terminated array, the caller's to free(); its words belong to @o
 *
 * Return: 0 or -ENOMEM.
 */
int runtime_exit_command_argv(const Options *o, char ***ret) {
        const StrList *lists[] = { &o->exit_command_arg };
        Argv a;
        int r;

        r = argv_init(&a, 1, lists, ELEMENTS(lists));
        if (r < 0)
                return relay(r);
        add(&a, o->exit_command);
        add_list(&a, &o->exit_command_arg);

        *ret = a.words;
        return 0;
}

/**
 * runtime_read_pid() - the pid in the file that the runtime was told to write
 *
 * Blanks and newlines around the number are fine.
 *
 * Return: 0, RUNTIME_NO_PID_FILE, RUNTIME_BAD_PID_FILE, or a negative errno.
 */
int runtime_read_pid(const char *path, pid_t *ret) {
        _cleanup_close_ int fd = -1;
        char text[64], *word;
        ssize_t n = 0, more;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? RUNTIME_NO_PID_FILE : fail(-errno);
        do { /* to the end: half of a number is another process */
                more = read(fd, text + n, sizeof text - 1 - (size_t)n);
                if (more < 0 && errno != EINTR)
                        return fail(-errno);
                n += more > 0 ? more : 0;
        } while (more != 0 && (size_t)n < sizeof text - 1);

        text[n] = 0;
        word = text + strspn(text, BLANKS);
        n -= word - text;
        if ((size_t)n != strlen(word) ||
            word + n == text + sizeof text - 1) /* a NUL in it, or more to come */
                return RUNTIME_BAD_PID_FILE;
        while (n > 0 && strchr(BLANKS, word[n - 1]))
                word[--n] = 0;
        return parse_pid(word, ret) < 0 ? RUNTIME_BAD_PID_FILE : 0;
}

/**
 * runtime_is_podman() - whether it is Podman that called us
 *
 * Told by the exit command: its base name, or "container cleanup" among its words, since Podman names itself as it was
 * called and may have been renamed.
 */
bool runtime_is_podman(const Options *o) {
        const StrList *args = &o->exit_command_arg;

        if (!o->exit_command)
                return false;
        if (strcmp(basename(o->exit_command), "podman") == 0)
                return true;
        for (size_t i = 0; i + 1 < args->n; i++)
                if (strcmp(args->words[i], "container") == 0 && strcmp(args->words[i + 1], "cleanup") == 0)
                        return true;
        return false;
}
