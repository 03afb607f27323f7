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

static const struct {
        const char *text;
        size_t n;
        bool prefix; /* any value may follow */
} allowed[] = {
#define LINE(text)                                                                                           \
        { text, sizeof text - 1, false }
#define PREFIX(text)                                                                                         \
        { text, sizeof text - 1, true }
        LINE("READY=1"),    LINE("RELOADING=1"),      LINE("STOPPING=1"),
        LINE("WATCHDOG=1"), LINE("WATCHDOG=trigger"), PREFIX("STATUS="),
        PREFIX("ERRNO="),   PREFIX("BUSERROR="),      PREFIX("MONOTONIC_USEC="),
#undef LINE
#undef PREFIX
};

static bool is_allowed(const char *line, size_t n) {
        for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
                if ((allowed[i].prefix ? n >= allowed[i].n : n == allowed[i].n) &&
                    memcmp(line, allowed[i].text, allowed[i].n) == 0)
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

/**
 * notifymsg_says() - is a line among those that notifymsg_filter() has left?
 */
bool notifymsg_says(const char *filtered, size_t n, const char *line) {
        size_t n_line = strlen(line);

        for (size_t at = 0; at < n;) {
                const char *end = memchr(filtered + at, '\n', n - at);
                size_t length = end ? (size_t)(end - filtered) - at : n - at;

                if (length == n_line && memcmp(filtered + at, line, n_line) == 0)
                        return true;
                at += length + 1;
        }
        return false;
}
