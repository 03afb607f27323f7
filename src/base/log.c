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

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "cleanup.h"
#include "error.h"
#include "log.h"

#define MESSAGE_MAX 9000
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"

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
        { "error", LOG_LEVEL_ERROR },   { "fatal", LOG_LEVEL_ERROR },     { "panic", LOG_LEVEL_ERROR },
        { "warn", LOG_LEVEL_WARNING },  { "warning", LOG_LEVEL_WARNING }, { "info", LOG_LEVEL_INFO },
        { "debug", LOG_LEVEL_DEBUG },   { "trace", LOG_LEVEL_TRACE },
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

/*
 * sd_journal_sendv() and syslog() wait for ever when journald is stuck, and the former says 0 where there is no journal
 * at all. So its socket is asked before.
 */
static int socket_has_room(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;
        struct pollfd p;

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return -errno;

        p = (struct pollfd){ .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, 0) < 0)
                return -errno;
        return p.revents & POLLOUT ? 0 : -EAGAIN;
}

__attribute__((format(printf, 3, 0))) static void
log_emitv(LogLevel level, int r, const char *format, va_list ap) {
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
        if (log_to_syslog && socket_has_room(SYSLOG_SOCKET) == 0)
                syslog(level == LOG_LEVEL_ERROR ? LOG_ERR : LOG_INFO, "conmon %s <%s>: %s",
                       log_container, level_texts[level].syslog, text);
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

/**
 * log_journal() - send one structured entry to the journal
 * @fields: KEY=VALUE each
 *
 * Never waits: an entry the journal has no room for is not sent.
 *
 * Return: 0, or a negative errno: -EAGAIN if the journal is full, -ENOENT or -ECONNREFUSED where there is none.
 */
int log_journal(const struct iovec *fields, size_t n_fields) {
        int r;

        r = socket_has_room(JOURNAL_SOCKET);
        if (r < 0)
                return fail(r);
        r = sd_journal_sendv(fields, (int)n_fields);
        return r < 0 ? relay(r) : 0;
}
