/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which of a container's sd_notify() lines may reach the service manager.
 *
 * The message goes out in the monitor's name, so it may say how the service is (READY=, STATUS=,
 * ...), but never what the service is made of: MAINPID=, FDSTORE= and their like would let a
 * container hand its unit to anybody. What is not in the table is dropped, so that a line somebody
 * invents tomorrow is dropped too.
 *
 * Filtering twice is filtering once; the keeper relies on that when it checks the worker's work.
 */

#include <stdbool.h>
#include <string.h>

#include "wire/notifymsg.h"

#define NUMBER_MAX 19 /* digits, so that it cannot overflow */

typedef enum Value {
        VALUE_NONE, /* the text is the whole line */
        VALUE_ANY,
        VALUE_NUMBER,
} Value;

static const struct {
        const char *text;
        size_t n;
        Value value;
} allowed[] = {
#define LINE(text, value)                                                                                    \
        { text, sizeof text - 1, VALUE_##value }
        LINE("READY=1", NONE),          LINE("RELOADING=1", NONE),
        LINE("STOPPING=1", NONE),       LINE("WATCHDOG=1", NONE),
        LINE("WATCHDOG=trigger", NONE), LINE("RESTART_RESET=1", NONE),
        LINE("STATUS=", ANY),           LINE("ERRNO=", ANY),
        LINE("BUSERROR=", ANY),         LINE("MONOTONIC_USEC=", ANY),
        LINE(NOTIFYMSG_EXTEND, NUMBER), LINE("EXIT_STATUS=", NUMBER),
#undef LINE
};

static bool notifymsg_is_number(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (text[i] < '0' || text[i] > '9')
                        return false;
        return n > 0 && n <= NUMBER_MAX;
}

static bool has_value(Value value, const char *text, size_t n) {
        switch (value) {
        case VALUE_NONE:
                return n == 0;
        case VALUE_ANY:
                return true;
        case VALUE_NUMBER:
                return notifymsg_is_number(text, n);
        }
        return false;
}

static bool is_allowed(const char *line, size_t n) {
        for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
                if (n >= allowed[i].n && memcmp(line, allowed[i].text, allowed[i].n) == 0 &&
                    has_value(allowed[i].value, line + allowed[i].n, n - allowed[i].n))
                        return true;
        return false;
}

/**
 * notifymsg_filter() - what may be passed on of one datagram
 * @in: hostile; split at LF and CR, ends at its first NUL if it has one
 * @out: room for @n bytes; may be @in
 *
 * Return: length of the lines that remain, joined by newlines; 0 if nothing is to be sent.
 */
size_t notifymsg_filter(const char *in, size_t n, char *out) {
        size_t used = 0;

        n = strnlen(in, n);
        for (size_t start = 0, end; start < n; start = end + 1) {
                for (end = start; end < n && in[end] != '\n' && in[end] != '\r';)
                        end++;
                if (!is_allowed(in + start, end - start))
                        continue;
                if (used > 0)
                        out[used++] = '\n';
                memmove(out + used, in + start, end - start);
                used += end - start;
        }
        return used;
}

/* The line that begins at @at of what notifymsg_filter() has left. Returns its length. */
static size_t line_at(const char *filtered, size_t n, size_t at) {
        const char *end = memchr(filtered + at, '\n', n - at);

        return end ? (size_t)(end - filtered) - at : n - at;
}

/**
 * notifymsg_says() - is a line among those that notifymsg_filter() has left?
 */
bool notifymsg_says(const char *filtered, size_t n, const char *line) {
        size_t n_line = strlen(line);

        for (size_t at = 0, length; at < n; at += length + 1) {
                length = line_at(filtered, n, at);
                if (length == n_line && memcmp(filtered + at, line, n_line) == 0)
                        return true;
        }
        return false;
}

/**
 * notifymsg_number() - the value of a line among those that notifymsg_filter() has left
 * @name: with its '='; the last one counts, as it does for the service manager
 *
 * Return: that number, or 0 if there is none.
 */
uint64_t notifymsg_number(const char *filtered, size_t n, const char *name) {
        size_t n_name = strlen(name);
        uint64_t number = 0;

        for (size_t at = 0, length; at < n; at += length + 1) {
                length = line_at(filtered, n, at);
                if (length <= n_name || memcmp(filtered + at, name, n_name) != 0 ||
                    !notifymsg_is_number(filtered + at + n_name, length - n_name))
                        continue;
                number = 0;
                for (size_t i = n_name; i < length; i++)
                        number = number * 10 + (uint64_t)(filtered[at + i] - '0');
        }
        return number;
}
