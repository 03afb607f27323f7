/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What one program hands on to the next: a monitor to the image that replaces it, or to the next main process of its
 * unit. The two may be of different versions, in either order, so the state is a text of named values:
 *
 *     scopemon-state 1
 *     target.pid=1234
 *     plan.unit=some.service
 *     end
 *
 * The reader skips names that it does not know, and keeps its defaults for names that do not come. A value that it
 * cannot understand although it knows the name is an error: the writer means something else by it. If a future version
 * has to keep older ones from reading its state at all, it counts up the number in the first line.
 *
 * A name has at most STATE_NAME_MAX - 1 of a-z, 0-9, "." and "-". In a value "\n" stands for a newline and "\\" for a
 * backslash; there is no NUL. Names may repeat: that is a list, or else the last one counts. The last line shows that
 * nothing has been cut off.
 *
 * Which values there are is said by tables of the modules that own them (StateFields): one for both directions, so
 * that they cannot disagree.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "wire/state.h"

#define KIND "scopemon-state "
#define HEAD KIND "1\n"
#define END "end\n"
#define BINARY "SPMstate" /* how the state of 0.1.0 begins */
#define NUMBER_MAX 20     /* digits of a 64-bit number */

/**
 * state_has() - does this version hand on the field of that name?
 */
bool state_has(const char *name) {
#ifdef STATE_TEST_FEWER
        static const char *const unknown[] = { "exit-status",     "oom-told",   "crashed",    "place-stdout",
                                               "file-lines-lost", "describe",   "reason",     "title",
                                               "dropped",         "lost-lines", "flood-sent", "missing" };

        for (size_t i = 0; i < ELEMENTS(unknown); i++)
                if (strcmp(name, unknown[i]) == 0)
                        return false;
#endif
        return true;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void state_put(StateWriter *w, const char *text, size_t n) {
        if (w->full || w->size - w->n < n) {
                w->full = true;
                return;
        }
        if (n > 0)
                memcpy(w->data + w->n, text, n);
        w->n += n;
}

static void put_string(StateWriter *w, const char *text) {
        state_put(w, text, strlen(text));
}

/**
 * state_begin() - begin to write
 * @data: borrowed until state_end()
 */
void state_begin(StateWriter *w, char *data, size_t size) {
        *w = (StateWriter){ .data = data, .size = size < STATE_SIZE_MAX ? size : STATE_SIZE_MAX };
        put_string(w, HEAD);
}

static void put_digits(StateWriter *w, uint64_t number) {
        char digits[NUMBER_MAX];
        size_t n = 0;

        do {
                digits[NUMBER_MAX - ++n] = (char)('0' + number % 10);
                number /= 10;
        } while (number > 0);
        state_put(w, digits + NUMBER_MAX - n, n);
}

static void state_put_escaped(StateWriter *w, const char *text, size_t n) {
        for (size_t from = 0, i = 0; i <= n; i++) {
                if (i < n && text[i] != '\n' && text[i] != '\\')
                        continue;
                state_put(w, text + from, i - from);
                if (i < n)
                        put_string(w, text[i] == '\n' ? "\\n" : "\\\\");
                from = i + 1;
        }
}

/**
 * state_put_number() - write a number; that there was no room is seen at state_end()
 */
void state_put_number(StateWriter *w, const char *name, uint64_t number) {
        put_string(w, name);
        put_string(w, "=");
        put_digits(w, number);
        put_string(w, "\n");
}

/**
 * state_put_text() - write a text, in which there is no NUL
 */
void state_put_text(StateWriter *w, const char *name, const char *text, size_t n) {
        put_string(w, name);
        put_string(w, "=");
        state_put_escaped(w, text, n);
        put_string(w, "\n");
}

static uint64_t field_get(const StateField *f, const void *base) {
        const char *p = (const char *)base + f->offset;
        uint64_t number = 0;
        uint32_t medium;

        assert(f->size == sizeof(uint8_t) || f->size == sizeof medium || f->size == sizeof number);
        if (f->size == sizeof(uint8_t))
                return *(const uint8_t *)p;
        if (f->size == sizeof medium) {
                memcpy(&medium, p, sizeof medium);
                return medium;
        }
        memcpy(&number, p, sizeof number);
        return number;
}

/**
 * state_put_fields() - write all fields of a struct, as PREFIX.NAME
 */
void state_put_fields(StateWriter *w, const char *prefix, const StateFields *fields, const void *base) {
        for (size_t i = 0; i < fields->n; i++) {
                const StateField *f = &fields->fields[i];
                const char *text = (const char *)base + f->offset;

                if (!state_has(f->name))
                        continue;
                put_string(w, prefix);
                put_string(w, ".");
                if (f->kind == STATE_NUMBER)
                        state_put_number(w, f->name, field_get(f, base));
                else if (f->kind == STATE_TEXT)
                        state_put_text(w, f->name, text, strnlen(text, f->size));
                else {
                        uint64_t index = field_get(f, base);

                        text = index <= f->max ? f->words[index] : "?";
                        state_put_text(w, f->name, text, strlen(text));
                }
        }
#ifdef STATE_TEST_MORE
        put_string(w, prefix);
        state_put_text(w, ".more", "\n", 1);
#endif
}

/**
 * state_end() - finish
 *
 * Return: bytes in all, 0 if they did not fit.
 */
size_t state_end(StateWriter *w) {
        put_string(w, END);
        return w->full ? 0 : w->n;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool is_name(const char *name, size_t n) {
        for (size_t i = 0; i < n; i++)
                if ((name[i] < 'a' || name[i] > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '.' &&
                    name[i] != '-')
                        return false;
        return n > 0 && n < STATE_NAME_MAX;
}

static bool is_text(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++) {
                if (text[i] == 0)
                        return false;
                if (text[i] == '\\' && (++i == n || (text[i] != 'n' && text[i] != '\\')))
                        return false;
        }
        return true;
}

static bool is_line(const char *line, size_t n) {
        const char *equals = memchr(line, '=', n);
        size_t n_name = equals ? (size_t)(equals - line) : n;

        return equals && is_name(line, n_name) && is_text(equals + 1, n - n_name - 1);
}

static bool begins(const char *data, size_t n, const char *with) {
        return n >= strlen(with) && memcmp(data, with, strlen(with)) == 0;
}

/**
 * state_open() - begin to read
 * @data: borrowed until the last state_next()
 *
 * Return: 0, STATE_FOREIGN, STATE_BINARY, or -EBADMSG for what is no state or not all of one.
 */
int state_open(StateReader *ret, const char *data, size_t n) {
        size_t at = strlen(HEAD);

        if (n > STATE_SIZE_MAX)
                return -EBADMSG;
        if (begins(data, n, BINARY))
                return STATE_BINARY;
        if (begins(data, n, KIND) && !begins(data, n, HEAD))
                return memchr(data, '\n', n) ? STATE_FOREIGN : -EBADMSG;
        if (!begins(data, n, HEAD) || n < at + strlen(END) ||
            memcmp(data + n - strlen(END), END, strlen(END)) != 0)
                return -EBADMSG;
        *ret = (StateReader){ .data = data, .n = n - strlen(END), .at = at };
        while (at < ret->n) {
                const char *newline = memchr(data + at, '\n', ret->n - at);

                if (!newline || !is_line(data + at, (size_t)(newline - data) - at))
                        return -EBADMSG;
                at = (size_t)(newline - data) + 1;
        }
        return 0;
}

/**
 * state_next() - the next value, if there is one
 */
bool state_next(StateReader *r, StateValue *ret) {
        const char *line = r->data + r->at, *newline, *equals;

        if (r->at == r->n)
                return false;
        newline = memchr(line, '\n', r->n - r->at);
        equals = memchr(line, '=', (size_t)(newline - line)); /* state_open() has found both */
        *ret = (StateValue){ .name = line,
                             .n_name = (size_t)(equals - line),
                             .text = equals + 1,
                             .n_text = (size_t)(newline - equals) - 1 };
        r->at += (size_t)(newline - line) + 1;
        return true;
}

/**
 * state_is() - is this its name?
 */
bool state_is(const StateValue *v, const char *name) {
        return strlen(name) == v->n_name && memcmp(v->name, name, v->n_name) == 0;
}

/**
 * state_behind() - what is left of its name behind "PREFIX."; NULL if it does not begin so
 */
const char *state_behind(const StateValue *v, const char *prefix, size_t *ret_n) {
        size_t n = strlen(prefix);

        if (n + 1 >= v->n_name || memcmp(v->name, prefix, n) != 0 || v->name[n] != '.')
                return NULL;
        *ret_n = v->n_name - n - 1;
        return v->name + n + 1;
}

/**
 * state_number() - a value that is a number
 *
 * Return: 0, or -EBADMSG if it is none, or larger than @max.
 */
int state_number(const StateValue *v, uint64_t max, uint64_t *ret) {
        char digits[NUMBER_MAX + 1];
        uint64_t number;

        if (v->n_text == 0 || v->n_text > NUMBER_MAX)
                return -EBADMSG;
        memcpy(digits, v->text, v->n_text);
        digits[v->n_text] = 0;
        if (parse_u64(digits, &number) < 0 || number > max)
                return -EBADMSG;
        *ret = number;
        return 0;
}

/**
 * state_text() - a value that is a text
 * @out: gets it with a NUL
 * @size: n_text + 1 is enough for any value
 *
 * Return: 0, or -EBADMSG if there is not enough room.
 */
int state_text(const StateValue *v, char *out, size_t size, size_t *ret_n) {
        size_t n = 0;

        for (size_t i = 0; i < v->n_text; i++) {
                char c = v->text[i];

                if (n + 1 >= size)
                        return -EBADMSG;
                if (c == '\\')
                        c = v->text[++i] == 'n' ? '\n' : '\\';
                out[n++] = c;
        }
        if (size == 0)
                return -EBADMSG;
        out[n] = 0;
        *ret_n = n;
        return 0;
}

static int field_set(const StateField *f, void *base, uint64_t number) {
        char *p = (char *)base + f->offset;
        uint32_t medium = (uint32_t)number;

        if (f->size == sizeof(uint8_t))
                *(uint8_t *)p = (uint8_t)number;
        else if (f->size == sizeof medium)
                memcpy(p, &medium, sizeof medium);
        else
                memcpy(p, &number, sizeof number);
        return 0;
}

static int field_take(const StateField *f, const StateValue *v, void *base) {
        uint64_t number = 0;
        size_t n;
        int r;

        switch (f->kind) {
        case STATE_TEXT:
                return state_text(v, (char *)base + f->offset, f->size, &n);
        case STATE_NUMBER:
                r = state_number(v, f->max, &number);
                return r < 0 ? r : field_set(f, base, number);
        case STATE_WORD:
                for (; number <= f->max; number++)
                        if (strlen(f->words[number]) == v->n_text &&
                            memcmp(f->words[number], v->text, v->n_text) == 0)
                                return field_set(f, base, number);
        }
        return -EBADMSG;
}

/**
 * state_take() - a value into the field of a struct that has its name, PREFIX.NAME
 *
 * Return: 0, STATE_UNKNOWN, or -EBADMSG if it cannot be the value of that field.
 */
int state_take(const StateValue *v, const char *prefix, const StateFields *fields, void *base) {
        const char *name;
        size_t n;

        name = state_behind(v, prefix, &n);
        for (size_t i = 0; name && i < fields->n; i++)
                if (strlen(fields->fields[i].name) == n && memcmp(fields->fields[i].name, name, n) == 0 &&
                    state_has(fields->fields[i].name))
                        return field_take(&fields->fields[i], v, base);
        return STATE_UNKNOWN;
}
