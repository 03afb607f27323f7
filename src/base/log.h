/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What we say about ourselves. The container's output is none of this module's business. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum LogLevel {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
        LOG_LEVEL_TRACE,
        _LOG_LEVEL_MAX,
} LogLevel;

/* Where in the source a message comes from. */
typedef struct LogPlace {
        const char *file, *function;
        int line;
} LogPlace;

typedef struct LogMessage {
        LogLevel level;
        int error; /* errno, 0 for none; its text is part of @text */
        const char *text;
        const LogPlace *place;
} LogMessage;

/* Puts a message into the journal, with all that is known of the container. Return: true if it is there. */
typedef bool (*LogJournal)(const LogMessage *m, void *userdata);

/* Has an entry sent, now or later. Return: 0 or a negative errno. */
typedef int (*LogSender)(const char *entry, size_t n, void *userdata);

int log_level_from_string(const char *name, LogLevel *ret);
void log_set_level(LogLevel level);
void log_set_stderr(bool on);
void log_set_syslog(const char *identifier, const char *container);
void log_set_journal(LogJournal journal, void *userdata);
bool log_wants(LogLevel level);
int log_emit(const LogPlace *place, LogLevel level, int r, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
int log_open_journal(void);
void log_use_journal(int fd);
void log_set_sender(LogSender sender, void *userdata);
int log_send_entry(const char *entry, size_t n);
int log_try_entry(const char *entry, size_t n);
int log_wait_for_room(uint64_t usec);
int log_send_entry_to(const char *path, const char *entry, size_t n);

#define log_at(...)                                                                                          \
        log_emit(&(const LogPlace){ .file = __FILE__, .function = __func__, .line = __LINE__ }, __VA_ARGS__)
#define log_error(...) ((void)log_at(LOG_LEVEL_ERROR, 0, __VA_ARGS__))
#define log_warning(...) ((void)log_at(LOG_LEVEL_WARNING, 0, __VA_ARGS__))
#define log_info(...) ((void)log_at(LOG_LEVEL_INFO, 0, __VA_ARGS__))
#define log_trace(...) ((void)log_at(LOG_LEVEL_TRACE, 0, __VA_ARGS__))
#define log_debug(...) ((void)log_at(LOG_LEVEL_DEBUG, 0, __VA_ARGS__))
/* With the text of -@r behind a blank, as in the texts that callers match. Return: @r. */
#define log_error_errno(r, ...) log_at(LOG_LEVEL_ERROR, r, __VA_ARGS__)
#define log_warning_errno(r, ...) log_at(LOG_LEVEL_WARNING, r, __VA_ARGS__)
