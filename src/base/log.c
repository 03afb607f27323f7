/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What we say about ourselves, on up to three channels: stderr while it is still the caller's, syslog when --syslog
 * asks for it, and the journal, by whoever knows the container (report/announce). Where journald is behind syslog(3) or
 * stderr, a message that is in the journal already is not sent there a second time.
 *
 * The texts on stderr and in syslog are part of the contract with callers: "[conmon:e]: text" and
 * "conmon CID <error>: text". This is the one file in src/ with writable globals; a process has one stderr too.
 *
 * Nothing here may ever block: a stuck journald must not stop a monitor.
 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "fd.h"
#include "log.h"

#define MESSAGE_MAX 9000
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"

static LogLevel log_level = LOG_LEVEL_WARNING;
static bool log_to_stderr = true;
static bool log_stderr_is_journal = false;
static bool log_to_syslog = false;
static char log_identifier[64];
static char log_container[21];
static LogJournal log_journal;
static void *log_journal_userdata;
static int log_journal_fd = -1;
static LogSender log_sender;
static void *log_sender_userdata;

static const struct {
        char letter;
        const char *syslog;
} level_texts[_LOG_LEVEL_MAX] = {
        [LOG_LEVEL_ERROR] = { 'e', "error" },  [LOG_LEVEL_WARNING] = { 'w', "nwarn" },
        [LOG_LEVEL_INFO] = { 'i', "ninfo" },   [LOG_LEVEL_DEBUG] = { 'd', "ndebug" },
        [LOG_LEVEL_TRACE] = { 'd', "ntrace" },
};

static const struct {
        const char *name;
        LogLevel level;
} level_names[] = {
        { "error", LOG_LEVEL_ERROR },  { "fatal", LOG_LEVEL_ERROR },     { "panic", LOG_LEVEL_ERROR },
        { "warn", LOG_LEVEL_WARNING }, { "warning", LOG_LEVEL_WARNING }, { "info", LOG_LEVEL_INFO },
        { "debug", LOG_LEVEL_DEBUG },  { "trace", LOG_LEVEL_TRACE },
};

/**
 * log_level_from_string() - level by its name, in any case
 *
 * Return: 0, or -EINVAL for a name nobody knows.
 */
int log_level_from_string(const char *name, LogLevel *ret) {
        for (size_t i = 0; i < ELEMENTS(level_names); i++)
                if (strcasecmp(name, level_names[i].name) == 0) {
                        *ret = level_names[i].level;
                        return 0;
                }
        return fail(-EINVAL);
}

/**
 * log_set_level() - drop messages of less weight than @level from now on
 */
void log_set_level(LogLevel level) {
        log_level = level;
}

/**
 * log_set_stderr() - whether stderr still belongs to somebody who reads it
 */
void log_set_stderr(bool on) {
        log_to_stderr = on;
}

/**
 * log_set_syslog() - send everything to syslog as well
 * @identifier: base name of the program as it was invoked
 * @container: what stands for the container, cut to 20 characters as callers expect
 */
void log_set_syslog(const char *identifier, const char *container) {
        (void)snprintf(log_identifier, sizeof log_identifier, "%s", identifier);
        (void)snprintf(log_container, sizeof log_container, "%s", container);
        openlog(log_identifier, 0, LOG_USER);
        log_to_syslog = true;
}

/**
 * log_set_journal() - hand messages to @journal from now on; NULL: to nobody
 */
void log_set_journal(LogJournal journal, void *userdata) {
        log_journal = journal;
        log_journal_userdata = userdata;
        log_stderr_is_journal = fd_is_journal_stream(STDERR_FILENO);
}

/**
 * log_wants() - would a message of @level go anywhere?
 */
bool log_wants(LogLevel level) {
        return level <= log_level;
}

/* A datagram socket to @path, or a negative errno. */
static int open_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;
        int r;

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        do
                r = connect(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
        while (r == -EINTR);
        return r < 0 ? r : TAKE_FD(fd);
}

/* syslog() waits for ever when journald is stuck, so its socket is asked before. */
static bool syslog_has_room(void) {
        _cleanup_close_ int fd = open_socket(SYSLOG_SOCKET);
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return fd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

/* journald is behind it: what the journal has been given as an entry need not go there again. */
static bool syslog_is_journald(void) {
        static const char of_journald[] = "/run/systemd/journal/";
        char target[sizeof of_journald];
        ssize_t n = readlink(SYSLOG_SOCKET, target, sizeof target);

        return n == (ssize_t)sizeof target && memcmp(target, of_journald, sizeof of_journald - 1) == 0;
}

/**
 * log_emit() - say something, if it is of the level that is wanted
 * @r: negative errno whose text follows the message, 0 for none
 *
 * errno is left alone. Use the macros: they know the place.
 *
 * Return: @r.
 */
int log_emit(const LogPlace *place, LogLevel level, int r, const char *format, ...) {
        char text[MESSAGE_MAX];
        LogMessage m = { .level = level, .error = r < 0 ? -r : r, .text = text, .place = place };
        int saved = errno, n;
        bool told = false;
        va_list ap;

        if (!log_wants(level))
                return r;
        va_start(ap, format);
        n = vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (n >= 0 && r != 0 && (size_t)n < sizeof text)
                (void)snprintf(text + n, sizeof text - (size_t)n, " %s", strerror(m.error));
        if (n >= 0 && log_journal) {
                LogJournal journal = log_journal;

                log_journal = NULL; /* what it says itself goes the other ways only */
                told = journal(&m, log_journal_userdata);
                log_journal = journal;
        }
        if (n >= 0 && log_to_stderr && !(told && log_stderr_is_journal))
                (void)dprintf(STDERR_FILENO, "[conmon:%c]: %s\n", level_texts[level].letter, text);
        if (n >= 0 && log_to_syslog && !(told && syslog_is_journald()) && syslog_has_room())
                syslog(level == LOG_LEVEL_ERROR ? LOG_ERR : LOG_INFO, "conmon %s <%s>: %s", log_container,
                       level_texts[level].syslog, text);
        errno = saved;
        return r;
}

/**
 * log_open_journal() - a connection to the journal, that never blocks
 *
 * Return: a descriptor, or a negative errno: -ENOENT or -ECONNREFUSED where there is no journal.
 */
int log_open_journal(void) {
        return open_socket(JOURNAL_SOCKET);
}

/**
 * log_use_journal() - where log_send_entry() sends from now on, in a process that may not connect
 * @fd: of log_open_journal(), borrowed for good
 */
void log_use_journal(int fd) {
        log_journal_fd = fd;
}

static int log_send(int fd, const char *entry, size_t n) {
        ssize_t sent;

        do
                sent = send(fd, entry, n, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent < 0 ? fail(-errno) : 0;
}

/**
 * log_set_sender() - have entries sent by @sender from now on; NULL: by nobody else
 */
void log_set_sender(LogSender sender, void *userdata) {
        log_sender = sender;
        log_sender_userdata = userdata;
}

/**
 * log_send_entry() - send one entry, as wire/journal.h writes it, to the journal, by whoever log_set_sender() has named
 *
 * Never waits.
 *
 * Return: 0, or a negative errno: -ENOENT or -ECONNREFUSED where there is no journal.
 */
int log_send_entry(const char *entry, size_t n) {
        return log_sender ? log_sender(entry, n, log_sender_userdata) : log_try_entry(entry, n);
}

/**
 * log_try_entry() - send one entry at once
 *
 * Return: 0, or a negative errno: -EAGAIN if the journal is full, -ENOENT or -ECONNREFUSED where there is none.
 */
int log_try_entry(const char *entry, size_t n) {
        return log_journal_fd >= 0 ? log_send(log_journal_fd, entry, n)
                                   : log_send_entry_to(JOURNAL_SOCKET, entry, n);
}

/**
 * log_wait_for_room() - wait until the journal takes another entry, for @usec at most
 *
 * Return: 0, or a negative errno: -ETIMEDOUT if it does not.
 */
int log_wait_for_room(uint64_t usec) {
        _cleanup_close_ int own = log_journal_fd < 0 ? open_socket(JOURNAL_SOCKET) : -1;
        struct pollfd p = { .fd = log_journal_fd < 0 ? own : log_journal_fd, .events = POLLOUT };
        const struct timespec wait = { .tv_sec = (time_t)(usec / 1000000U),
                                       .tv_nsec = (long)(usec % 1000000U) * 1000 };
        int r;

        if (p.fd < 0)
                return fail(own);
        do
                r = ppoll(&p, 1, &wait, NULL);
        while (r < 0 && errno == EINTR);
        return r < 0 ? fail(-errno) : r == 0 ? fail(-ETIMEDOUT) : 0;
}

/**
 * log_send_entry_to() - log_send_entry(), with the socket at @path
 *
 * Return: likewise.
 */
int log_send_entry_to(const char *path, const char *entry, size_t n) {
        _cleanup_close_ int fd = open_socket(path);

        return fd < 0 ? fail(fd) : log_send(fd, entry, n);
}
