/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* State that one program hands on to another one, of any version: a text of named values. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_SIZE_MAX (4U << 20) /* bytes */
#define STATE_NAME_MAX 64         /* with its NUL */

/* Positive answers of state_open(). */
enum {
        STATE_FOREIGN = 1, /* of a form that does not exist yet */
        STATE_BINARY,      /* of scopemon 0.1.0 */
};

#define STATE_UNKNOWN 1 /* state_take(): no field has this name */

typedef enum StateKind {
        STATE_NUMBER, /* unsigned, 1, 4 or 8 bytes */
        STATE_WORD,   /* an enum, by the names of its values */
        STATE_TEXT,   /* char[], ends with NUL */
} StateKind;

/* A member of a struct that is handed on under a name. Names are for ever; new ones may be added, unused ones go. */
typedef struct StateField {
        const char *name;
        StateKind kind;
        uint16_t offset, size; /* small, as each process has pages of its own for these tables */
        uint64_t max;
        const char *const *words; /* max + 1 of them */
} StateField;

typedef struct StateFields {
        const StateField *fields;
        size_t n;
} StateFields;

#define STATE_FIELD_NUMBER(type, member, name, max)                                                          \
        { name, STATE_NUMBER, offsetof(type, member), sizeof(((type *)NULL)->member), max, NULL }
#define STATE_FIELD_BOOL(type, member, name) STATE_FIELD_NUMBER(type, member, name, 1)
#define STATE_FIELD_TEXT(type, member, name)                                                                 \
        { name, STATE_TEXT, offsetof(type, member), sizeof(((type *)NULL)->member), 0, NULL }
#define STATE_FIELD_WORD(type, member, name, words)                                                          \
        {                                                                                                    \
                name, STATE_WORD, offsetof(type, member), sizeof(((type *)NULL)->member),                    \
                        sizeof(words) / sizeof(*(words)) - 1, words                                          \
        }

typedef struct StateWriter {
        char *data;
        size_t size, n;
        bool full;
} StateWriter;

typedef struct StateReader {
        const char *data;
        size_t n, at;
} StateReader;

/* One line; both point into the state, and the text is as it stands there. */
typedef struct StateValue {
        const char *name, *text;
        size_t n_name, n_text;
} StateValue;

/*
 * Two versions that do not exist, for tests of upgrades (-Dtest-state=more, fewer). One has a value more in each struct,
 * which lies before all others; the other one has never heard of some names.
 */
#ifdef STATE_TEST_MORE
#define STATE_MORE(...) __VA_ARGS__
#else
#define STATE_MORE(...)
#endif

bool state_has(const char *name);

void state_begin(StateWriter *w, char *data, size_t size);
void state_put_number(StateWriter *w, const char *name, uint64_t number);
void state_put_text(StateWriter *w, const char *name, const char *text, size_t n);
void state_put_fields(StateWriter *w, const char *prefix, const StateFields *fields, const void *base);
size_t state_end(StateWriter *w);

int state_open(StateReader *ret, const char *data, size_t n);
bool state_next(StateReader *r, StateValue *ret);
bool state_is(const StateValue *v, const char *name);
const char *state_behind(const StateValue *v, const char *prefix, size_t *ret_n);
int state_number(const StateValue *v, uint64_t max, uint64_t *ret);
int state_text(const StateValue *v, char *out, size_t size, size_t *ret_n);
int state_take(const StateValue *v, const char *prefix, const StateFields *fields, void *base);
