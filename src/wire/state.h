/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A monitor's state as bytes, for the one that takes over: a head with size and sum, then records. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_VERSION 2U     /* to be counted up with any change of what upgrade/saved.c writes */
#define STATE_MAX (4U << 20) /* bytes */
#define STATE_FOREIGN 1      /* state_open(): it is whole, but another version's */

typedef enum StateTag {
        STATE_NONE,
        STATE_NUMBER,    /* index: which, in the order of a table */
        STATE_TEXT,      /* likewise; no NUL in it */
        STATE_FD,        /* index: what for; number: the descriptor */
        STATE_CLIENT,    /* index: slot; number: the descriptor */
        STATE_INHERITED, /* number: a descriptor that is not ours to know */
        STATE_WORD,      /* of the command line, in their order */
        _STATE_TAG_MAX,
} StateTag;

typedef struct StateRecord {
        StateTag tag;
        uint32_t index;
        uint64_t number;  /* of NUMBER, FD, CLIENT, INHERITED */
        const char *text; /* of TEXT, WORD; n_text bytes, and none of them 0 */
        size_t n_text;
} StateRecord;

typedef struct StateWriter {
        char *data;
        size_t size, n;
        bool full;
} StateWriter;

typedef struct StateReader {
        const char *data;
        size_t n, at;
} StateReader;

void state_begin(StateWriter *w, char *data, size_t size);
void state_put_number(StateWriter *w, StateTag tag, uint32_t index, uint64_t number);
void state_put_text(StateWriter *w, StateTag tag, uint32_t index, const char *text, size_t n);
size_t state_end(StateWriter *w);

int state_open(StateReader *ret, const char *data, size_t n);
int state_next(StateReader *r, StateRecord *ret);
