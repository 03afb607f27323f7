/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which of a container's sd_notify() lines may reach the service manager.
 *
 * The message goes out in the monitor's name, so it may say how the service is (READY=, STATUS=,
 * ...), but never what the service is made of: MAINPID= and its like would let a container hand its
 * unit to anybody. What is not in the table is dropped, so that a line somebody invents tomorrow is
 * dropped too. What concerns the descriptor store is taken out of the rest, and written anew: whoever
 * sends it decides about the descriptors, and about the name.
 *
 * Filtering twice is filtering once; the keeper relies on that when it checks the worker's work.
 */

#include <stdbool.h>
#include <string.h>

#include "wire/notifymsg.h"

#define FD_STORE "FDSTORE=1"
#define FD_REMOVE "FDSTOREREMOVE=1"
#define FD_UNPOLLED "FDPOLL=0"
#define FD_NAME "FDNAME="
#define NUMBER_MAX 19 /* digits, so that it cannot overflow */

typedef enum Value {
        VALUE_NONE, /* the text is the whole line */
        VALUE_ANY,
        VALUE_NUMBER,
        VALUE_NAME, /* of a descriptor, as the service manager takes it */
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
        LINE(FD_STORE, NONE),           LINE(FD_REMOVE, NONE),
        LINE(FD_UNPOLLED, NONE),        LINE(FD_NAME, NAME),
#undef LINE
};

static bool notifymsg_is_number(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (text[i] < '0' || text[i] > '9')
                        return false;
        return n > 0 && n <= NUMBER_MAX;
}

static bool is_name(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (text[i] < ' ' || text[i] > '~' || text[i] == ':')
                        return false;
        return n > 0 && n < NOTIFYMSG_NAME_MAX;
}

static bool has_value(Value value, const char *text, size_t n) {
        switch (value) {
        case VALUE_NONE:
                return n == 0;
        case VALUE_ANY:
                return true;
        case VALUE_NUMBER:
                return notifymsg_is_number(text, n);
        case VALUE_NAME:
                return is_name(text, n);
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

static bool is_line(const char *line, size_t n, const char *text) {
        return n == strlen(text) && memcmp(line, text, n) == 0;
}

/* Returns false if the line is about something else. */
static bool note_store(NotifymsgStore *store, const char *line, size_t n) {
        if (is_line(line, n, FD_STORE))
                store->store = true;
        else if (is_line(line, n, FD_REMOVE))
                store->remove = true;
        else if (is_line(line, n, FD_UNPOLLED))
                store->unpolled = true;
        else if (n > strlen(FD_NAME) && memcmp(line, FD_NAME, strlen(FD_NAME)) == 0) {
                if (!store->name[0] && is_name(line + strlen(FD_NAME), n - strlen(FD_NAME)))
                        memcpy(store->name, line + strlen(FD_NAME), n - strlen(FD_NAME));
        } else
                return false;
        return true;
}

/**
 * notifymsg_take_store() - take out of what notifymsg_filter() has left all that is about descriptors
 * @ret: of several names the first one counts, as it does for the service manager
 *
 * Return: length of what remains.
 */
size_t notifymsg_take_store(char *filtered, size_t n, NotifymsgStore *ret) {
        size_t used = 0;

        *ret = (NotifymsgStore){ 0 };
        for (size_t at = 0, length; at < n; at += length + 1) {
                length = line_at(filtered, n, at);
                if (note_store(ret, filtered + at, length))
                        continue;
                if (used > 0)
                        filtered[used++] = '\n';
                memmove(filtered + used, filtered + at, length);
                used += length;
        }
        return used;
}

static size_t add_line(char *out, size_t used, const char *text, const char *value) {
        if (used > 0)
                out[used++] = '\n';
        memcpy(out + used, text, strlen(text));
        used += strlen(text);
        memcpy(out + used, value, strlen(value));
        return used + strlen(value);
}

/**
 * notifymsg_write_store() - the lines that notifymsg_take_store() has read
 *
 * Return: their length; 0 if nothing is to be sent: to remove something takes a name.
 */
size_t notifymsg_write_store(const NotifymsgStore *store, char out[NOTIFYMSG_STORE_MAX]) {
        size_t n = 0;

        if (store->store)
                n = add_line(out, n, FD_STORE, "");
        if (store->remove && store->name[0])
                n = add_line(out, n, FD_REMOVE, "");
        if (store->store && store->unpolled)
                n = add_line(out, n, FD_UNPOLLED, "");
        if (n > 0 && store->name[0])
                n = add_line(out, n, FD_NAME, store->name);
        return n;
}
