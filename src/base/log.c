/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What we say about ourselves, on up to three channels: stderr while it is still the caller's, syslog when
 * --syslog asks for it, and structured entries in the journal (log_journal()).
 *
 * The texts on stderr and in syslog are part of the contract with callers: "[conmon:e]: text" and
 * "conmon CID <error>: text". This is the one file in src/ with writable globals; a process has one stderr too.
 *
 * Nothing here may ever block: a stuck journald must not stop a monitor.
 */

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include "cleanup.h"
#include "error.h"
#include "log.h"

#define MESSAGE_MAX 9000
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"
#define FIELD_PIECES 5

static LogLevel log_level = LOG_LEVEL_WARNING;
static bool log_to_stderr = true;
static bool log_to_syslog = false;
static char log_identifier[64];
static char log_container[21];

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
 * log_wants() - would a message of @level go anywhere?
 */
bool log_wants(LogLevel level) {
        return level <= log_level;
}

/* A datagram socket to @path, or a negative errno. */
static int open_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* syslog() waits for ever when journald is stuck, so its socket is asked before. */
static bool syslog_has_room(void) {
        _cleanup_close_ int fd = open_socket(SYSLOG_SOCKET);
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return fd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

__attribute__((format(printf, 3, 0))) static void log_emitv(LogLevel level,
                                                            int r,
                                                            const char *format,
                                                            va_list ap) {
        char text[MESSAGE_MAX];
        int n;

        if (!log_wants(level))
                return;

        n = vsnprintf(text, sizeof text, format, ap);
        if (n < 0)
                return;
        if (r != 0 && (size_t)n < sizeof text)
                (void)snprintf(text + n, sizeof text - (size_t)n, " %s", strerror(r < 0 ? -r : r));

        if (log_to_stderr)
                (void)dprintf(STDERR_FILENO, "[conmon:%c]: %s\n", level_texts[level].letter, text);
        if (log_to_syslog && syslog_has_room())
                syslog(level == LOG_LEVEL_ERROR ? LOG_ERR : LOG_INFO, "conmon %s <%s>: %s", log_container,
                       level_texts[level].syslog, text);
}

/**
 * log_emit() - say something
 *
 * errno is left alone.
 */
void log_emit(LogLevel level, const char *format, ...) {
        int saved = errno;
        va_list ap;

        va_start(ap, format);
        log_emitv(level, 0, format, ap);
        va_end(ap);
        errno = saved;
}

/**
 * log_error_errno() - say what failed, and with which error
 * @r: negative errno; its text follows the message after a blank, as in the texts callers match
 *
 * Return: @r.
 */
int log_error_errno(int r, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_emitv(LOG_LEVEL_ERROR, r, format, ap);
        va_end(ap);
        return r;
}

/**
 * log_warning_errno() - as log_error_errno(), for what does not end anything
 *
 * Return: @r.
 */
int log_warning_errno(int r, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_emitv(LOG_LEVEL_WARNING, r, format, ap);
        va_end(ap);
        return r;
}

static struct iovec piece(const void *data, size_t n) {
        return (struct iovec){ .iov_base = (void *)data, .iov_len = n };
}

/* A field in the journal's protocol, as up to FIELD_PIECES pieces: KEY=VALUE, or KEY, size and VALUE if that has lines. */
static size_t frame_field(const struct iovec *field, struct iovec *out, uint64_t *size) {
        const char *data = field->iov_base, *value = memchr(data, '=', field->iov_len);
        size_t n = 0, n_value;

        if (!value)
                return 0;
        value++;
        n_value = field->iov_len - (size_t)(value - data);
        if (memchr(value, '\n', n_value)) {
                *size = htole64(n_value);
                out[n++] = piece(data, (size_t)(value - 1 - data));
                out[n++] = piece("\n", 1);
                out[n++] = piece(size, sizeof *size);
                out[n++] = piece(value, n_value);
        } else
                out[n++] = *field;
        out[n++] = piece("\n", 1);
        return n;
}

/**
 * log_journal() - send one structured entry to the journal
 * @fields: KEY=VALUE each, LOG_FIELDS_MAX at most
 *
 * Never waits: an entry the journal has no room for is not sent.
 *
 * Return: 0, or a negative errno: -EAGAIN if the journal is full, -ENOENT or -ECONNREFUSED where there is none.
 */
int log_journal(const struct iovec *fields, size_t n_fields) {
        return log_journal_to(JOURNAL_SOCKET, fields, n_fields);
}

/**
 * log_journal_to() - log_journal(), with the socket at @path
 *
 * Return: likewise.
 */
int log_journal_to(const char *path, const struct iovec *fields, size_t n_fields) {
        struct iovec pieces[LOG_FIELDS_MAX * FIELD_PIECES];
        struct msghdr message = { .msg_iov = pieces };
        uint64_t sizes[LOG_FIELDS_MAX];
        _cleanup_close_ int fd = -1;

        if (n_fields > LOG_FIELDS_MAX)
                return fail(-E2BIG);
        fd = open_socket(path);
        if (fd < 0)
                return fail(fd);
        for (size_t i = 0; i < n_fields; i++)
                message.msg_iovlen += frame_field(&fields[i], pieces + message.msg_iovlen, &sizes[i]);
        return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? fail(-errno) : 0;
}
