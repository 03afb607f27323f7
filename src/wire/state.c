/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A monitor's state as bytes: what the next image of an upgrade, or the next keeper of a service, goes on with.
 *
 *     | magic | version | bytes in all | sum of what follows | record | record | ...
 *
 * A record is a tag, an index, a size, then a number or a text. Which number means what is upgrade/saved.c's business;
 * here is decided only what is well formed. Writer and reader may be different versions of scopemon, and the reader
 * is asked before anything has been given up: so everything that it does not know exactly is refused, and state of
 * another version is told apart from state that is broken.
 *
 * The sum finds accidents. Against malice stands that the memory is sealed and was received from ourselves.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "wire/state.h"

#define STATE_MAGIC 0x65746174734d5053ULL

typedef struct Head {
        uint64_t magic;
        uint32_t version;
        uint32_t size; /* of all, this head included */
        uint64_t sum;  /* of what follows */
} Head;

typedef struct RecordHead {
        uint32_t tag;
        uint32_t index;
        uint32_t n; /* bytes that follow */
} RecordHead;

/* FNV-1a. */
static uint64_t sum_of(const char *data, size_t n) {
        uint64_t sum = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < n; i++)
                sum = (sum ^ (unsigned char)data[i]) * 0x100000001b3ULL;
        return sum;
}

static bool is_text(uint32_t tag) {
        return tag == STATE_TEXT || tag == STATE_WORD;
}

/**
 * state_begin() - begin to write
 * @data: borrowed until state_end()
 */
void state_begin(StateWriter *w, char *data, size_t size) {
        *w = (StateWriter){ .data = data, .size = size < STATE_MAX ? size : STATE_MAX, .n = sizeof(Head) };
        w->full = w->size < sizeof(Head);
}

static void put(StateWriter *w, const RecordHead *head, const void *data) {
        if (w->full || w->size - w->n < sizeof *head || w->size - w->n - sizeof *head < head->n) {
                w->full = true;
                return;
        }
        memcpy(w->data + w->n, head, sizeof *head);
        if (head->n > 0)
                memcpy(w->data + w->n + sizeof *head, data, head->n);
        w->n += sizeof *head + head->n;
}

/**
 * state_put_number() - write a number; that there was no room is seen at state_end()
 */
void state_put_number(StateWriter *w, StateTag tag, uint32_t index, uint64_t number) {
        assert(!is_text(tag));
        put(w, &(RecordHead){ .tag = tag, .index = index, .n = sizeof number }, &number);
}

/**
 * state_put_text() - write a text, which has no NUL
 */
void state_put_text(StateWriter *w, StateTag tag, uint32_t index, const char *text, size_t n) {
        assert(is_text(tag));
        if (n > STATE_MAX) {
                w->full = true;
                return;
        }
        put(w, &(RecordHead){ .tag = tag, .index = index, .n = (uint32_t)n }, text);
}

/**
 * state_end() - finish
 *
 * Return: bytes in all, 0 if they did not fit.
 */
size_t state_end(StateWriter *w) {
        Head head = { .magic = STATE_MAGIC, .version = STATE_VERSION, .size = (uint32_t)w->n };

        if (w->full)
                return 0;
        head.sum = sum_of(w->data + sizeof head, w->n - sizeof head);
        memcpy(w->data, &head, sizeof head);
        return w->n;
}

/**
 * state_open() - begin to read
 * @data: borrowed until the last state_next()
 *
 * Return: 0, STATE_FOREIGN, or -EBADMSG for what is no state or has been damaged.
 */
int state_open(StateReader *ret, const char *data, size_t n) {
        Head head;

        if (n < sizeof head || n > STATE_MAX)
                return -EBADMSG;
        memcpy(&head, data, sizeof head);
        if (head.magic != STATE_MAGIC || head.size != n ||
            head.sum != sum_of(data + sizeof head, n - sizeof head))
                return -EBADMSG;
        if (head.version != STATE_VERSION)
                return STATE_FOREIGN;
        *ret = (StateReader){ .data = data, .n = n, .at = sizeof head };
        return 0;
}

/**
 * state_next() - read one record
 * @ret: its text points into the data
 *
 * Return: 1, 0 at the end, or -EBADMSG.
 */
int state_next(StateReader *r, StateRecord *ret) {
        RecordHead head;
        StateRecord record;

        if (r->at == r->n)
                return 0;
        if (r->n - r->at < sizeof head)
                return -EBADMSG;
        memcpy(&head, r->data + r->at, sizeof head);
        if (head.tag == STATE_NONE || head.tag >= _STATE_TAG_MAX || head.n > r->n - r->at - sizeof head)
                return -EBADMSG;
        record = (StateRecord){ .tag = (StateTag)head.tag, .index = head.index };
        if (is_text(head.tag)) {
                record.text = r->data + r->at + sizeof head;
                record.n_text = head.n;
                if (head.n > 0 && memchr(record.text, 0, head.n))
                        return -EBADMSG;
        } else {
                if (head.n != sizeof record.number)
                        return -EBADMSG;
                memcpy(&record.number, r->data + r->at + sizeof head, sizeof record.number);
        }
        r->at += sizeof head + head.n;
        *ret = record;
        return 1;
}
