/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What we say about ourselves. The container's output is none of this module's business. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define LOG_FIELDS_MAX 24

typedef enum LogLevel {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
        LOG_LEVEL_TRACE,
        _LOG_LEVEL_MAX,
} LogLevel;

int log_level_from_string(const char *name, LogLevel *ret);
void log_set_level(LogLevel level);
void log_set_stderr(bool on);
void log_set_syslog(const char *identifier, const char *container);
bool log_wants(LogLevel level);
void log_emit(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));
int log_error_errno(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int log_warning_errno(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int log_journal(const struct iovec *fields, size_t n_fields);
int log_journal_to(const char *path, const struct iovec *fields, size_t n_fields);

#define log_error(...) log_emit(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_emit(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_emit(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_emit(LOG_LEVEL_DEBUG, __VA_ARGS__)
