/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The words of fake-runtime, and the half of it that plays the target. It is a header only because the program is built
 * from one file; that file says what each word does.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 256
#define LINE_MAX_SIZE 65536
#define PATIENCE_S 300
#define TROUBLE 125

typedef struct Word {
        char *key;
        char *value; /* escapes undone; "" if there is none */
        size_t n;    /* length of @value, which may hold NULs */
} Word;

typedef struct Runtime {
        const char *verb, *cid, *signal;
        const char *bundle, *pid_file, *console_socket, *root;
        int preserve_fds;
        char *text; /* what the words lie in */
        Word words[WORDS_MAX];
        size_t n_words;
} Runtime;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void)fputs("fake-runtime: ", stderr);
        (void)vfprintf(stderr, format, ap);
        (void)fprintf(stderr, " (%s)\n", strerror(errno));
        va_end(ap);
        _exit(TROUBLE);
}

static void write_all(int fd, const char *data, size_t n) {
        while (n > 0) {
                ssize_t written = write(fd, data, n);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        _exit(TROUBLE); /* where to, now? */
                data += written;
                n -= (size_t)written;
        }
}

static size_t unescape(char *text) {
        static const char from[] = "sntr0e\\", to[] = " \n\t\r\0\033\\";
        char *out = text;

        for (const char *in = text; *in; in++) {
                const char *known;

                if (*in != '\\') {
                        *out++ = *in;
                        continue;
                }
                in++;
                if (*in == 'x' && isxdigit((unsigned char)in[1]) && isxdigit((unsigned char)in[2])) {
                        const char hex[] = { in[1], in[2], 0 };

                        *out++ = (char)strtoul(hex, NULL, 16);
                        in += 2;
                } else if (*in && (known = strchr(from, *in)))
                        *out++ = to[known - from];
                else
                        die("bad escape in %s", text);
        }
        *out = 0;
        return (size_t)(out - text);
}

static void read_words(Runtime *r) {
        char *save = NULL;

        r->text = strdup(getenv("FAKE_RUNTIME") ?: "");
        for (char *w = strtok_r(r->text, " \n\t", &save); w; w = strtok_r(NULL, " \n\t", &save)) {
                char *equals = strchr(w, '=');
                Word *word;

                if (r->n_words == WORDS_MAX)
                        die("too many words");
                word = &r->words[r->n_words++];

                word->key = w;
                word->value = equals ? equals + 1 : w + strlen(w);
                if (equals)
                        *equals = 0;
                word->n = unescape(word->value);
        }
}

static const Word *find_word(const Runtime *r, const char *key) {
        for (size_t i = 0; i < r->n_words; i++)
                if (strcmp(r->words[i].key, key) == 0)
                        return &r->words[i];
        return NULL;
}

static int number(const Word *word) {
        char *end;
        long value = strtol(word->value, &end, 10);

        if (end == word->value || (*end && *end != ','))
                die("%s=%s is no number", word->key, word->value);
        return (int)value;
}

static const char *state_path(const Runtime *r, const char *suffix) {
        static char path[PATH_MAX];

        if (!r->root || !r->cid)
                die("%s needs --root and an id", suffix);
        (void)snprintf(path, sizeof path, "%s/%s.%s", r->root, r->cid, suffix);
        return path;
}

static void hold_pipes(void) {
        if (fork() != 0)
                return;
        (void)alarm(PATIENCE_S);
        for (;;)
                (void)pause();
}

static uint32_t checksum(const char *data, size_t n) {
        uint32_t sum = 2166136261U; /* FNV-1a */

        for (size_t i = 0; i < n; i++)
                sum = (sum ^ (unsigned char)data[i]) * 16777619U;
        return sum;
}

/* Each line is "NNNNNNNN HHHHHHHH TEXT\n": its number from 0 on, FNV-1a of TEXT in hexadecimal, letters. */
static void write_lines(int fd, const Word *word) {
        const char *comma = strchr(word->value, ',');
        int size = comma ? (int)strtol(comma + 1, NULL, 10) : 80;
        static char line[LINE_MAX_SIZE];
        unsigned n_lines = (unsigned)number(word);
        uint32_t random = 1;

        if (n_lines > 99999999U)
                die("too many lines");
        if (size < 20 || size > LINE_MAX_SIZE)
                die("lines of %d bytes", size);
        for (unsigned i = 0; i < n_lines; i++) {
                size_t n_text = (size_t)size - 19;
                char head[32];

                for (size_t k = 0; k < n_text; k++) {
                        random = random * 1664525U + 1013904223U;
                        line[18 + k] = (char)('a' + (random >> 16) % 26);
                }
                (void)snprintf(head, sizeof head, "%08u %08x ", i, checksum(line + 18, n_text));
                (void)memcpy(line, head, 18);
                line[size - 1] = '\n';
                write_all(fd, line, (size_t)size);
        }
}

static void copy_stdin(void) {
        char buf[65536];
        ssize_t n;

        while ((n = read(STDIN_FILENO, buf, sizeof buf)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return; /* EIO: the terminal was hung up */
                write_all(STDOUT_FILENO, buf, (size_t)n);
        }
}

static void reopen_stdout(void) {
        int fd = open("/proc/self/fd/1", O_WRONLY);

        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
                die("cannot open stdout anew");
        (void)close(fd);
}

static void wait_fifo(const char *path) {
        int fd;

        if (mkfifo(path, 0666) < 0 && errno != EEXIST)
                die("cannot make %s", path);
        do
                fd = open(path, O_RDONLY | O_CLOEXEC);
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
                die("cannot open %s", path);
        (void)close(fd);
}

static void reopen_tty(const char *fifo) {
        char path[PATH_MAX];

        if (ttyname_r(STDIN_FILENO, path, sizeof path) != 0)
                die("no terminal on stdin");
        for (int i = 0; i < 3; i++)
                (void)close(i);
        if (*fifo)
                wait_fifo(fifo);
        for (int i = 0; i < 3; i++)
                if (open(path, O_RDWR) != i)
                        _exit(TROUBLE); /* without a stderr */
}

static void print_winsize(void) {
        struct winsize size;
        char text[32];
        int n;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
                die("no terminal on stdin");
        n = snprintf(text, sizeof text, "%u %u\n", size.ws_row, size.ws_col);
        write_all(STDOUT_FILENO, text, (size_t)n);
}

/* SIGWINCH has been blocked since before the terminal existed, so none is missed. */
static void wait_resize(void) {
        struct winsize size;
        sigset_t set;
        int which;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGWINCH);
        for (;;) {
                if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
                        die("no terminal on stdin");
                if (size.ws_row != 0 || size.ws_col != 0)
                        return;
                (void)sigwait(&set, &which);
        }
}

static void send_notification(const Runtime *r, const Word *word) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (chdir(r->bundle ?: ".") < 0) /* for paths of any length */
                die("no bundle");
        (void)stpcpy(address.sun_path, "notify/notify.sock");
        if (sendto(fd, word->value, word->n, 0, (const struct sockaddr *)&address, sizeof address) < 0)
                die("cannot notify");
        (void)close(fd);
}

static void become_user(int id) {
        if (setresgid((gid_t)id, (gid_t)id, (gid_t)id) < 0 || setresuid((uid_t)id, (uid_t)id, (uid_t)id) < 0)
                die("cannot become %d", id);
}

static void __attribute__((noreturn)) die_by_signal(int signal_number) {
        sigset_t set;

        (void)sigfillset(&set);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
        _exit(TROUBLE);
}

/* Touches each page, so that the kernel has to find the memory, or somebody to kill. */
static void eat_memory(int mib) {
        size_t n = (size_t)mib << 20;
        char *memory = malloc(n);

        if (!memory)
                die("no %d MiB", mib);
        (void)memset(memory, 1, n);
        __asm__ volatile("" : : "r"(memory) : "memory");
}

#include "faults.h"
#include "flood.h"

/* Returns false if the word is not one for the target that takes a value. */
static bool do_word_with_value(const Runtime *r, const Word *w) {
        if (strcmp(w->key, "stdout") == 0)
                write_all(STDOUT_FILENO, w->value, w->n);
        else if (strcmp(w->key, "stderr") == 0)
                write_all(STDERR_FILENO, w->value, w->n);
        else if (strcmp(w->key, "lines") == 0)
                write_lines(STDOUT_FILENO, w);
        else if (strcmp(w->key, "lines-stderr") == 0)
                write_lines(STDERR_FILENO, w);
        else if (strcmp(w->key, "wait-file") == 0)
                wait_fifo(w->value);
        else if (strcmp(w->key, "notify") == 0)
                send_notification(r, w);
        else if (strcmp(w->key, "user") == 0)
                become_user(number(w));
        else if (strcmp(w->key, "eat") == 0)
                eat_memory(number(w));
        else if (strcmp(w->key, "exit") == 0)
                _exit(number(w));
        else if (strcmp(w->key, "signal") == 0)
                die_by_signal(number(w));
        else
                return do_fault(w) || do_flood(r, w);
        return true;
}

static void do_word(const Runtime *r, const Word *w) {
        if (do_word_with_value(r, w))
                return;
        if (strcmp(w->key, "cat") == 0)
                copy_stdin();
        else if (strcmp(w->key, "close-stdin") == 0)
                (void)close(STDIN_FILENO);
        else if (strcmp(w->key, "close-stdout") == 0)
                (void)close(STDOUT_FILENO);
        else if (strcmp(w->key, "close-stderr") == 0)
                (void)close(STDERR_FILENO);
        else if (strcmp(w->key, "reopen-stdout") == 0)
                reopen_stdout();
        else if (strcmp(w->key, "reopen-tty") == 0)
                reopen_tty(w->value);
        else if (strcmp(w->key, "winsize") == 0)
                print_winsize();
        else if (strcmp(w->key, "wait-resize") == 0)
                wait_resize();
        else if (strcmp(w->key, "wait-start") == 0)
                wait_fifo(state_path(r, "start"));
        else if (strcmp(w->key, "grandchild-holds-pipe") == 0)
                hold_pipes();
        else if (strcmp(w->key, "hang") == 0)
                for (;;)
                        (void)pause();
}

static void __attribute__((noreturn)) run_target(const Runtime *r) {
        sigset_t set;

        (void)alarm(PATIENCE_S);
        (void)sigfillset(&set);
        (void)sigdelset(&set, SIGWINCH);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
        for (size_t i = 0; i < r->n_words; i++)
                do_word(r, &r->words[i]);
        _exit(EXIT_SUCCESS);
}
