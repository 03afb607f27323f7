/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Records between keeper and worker: a fixed head in native byte order, then text. Both ends are the same binary (but
 * for a worker that is left over from a keeper of another version), and neither believes the other: the worker parses
 * what a container wrote and may have been taken over, and the keeper's records decide which descriptors a worker holds.
 * A record that is not exactly one of the known ones, with exactly the descriptors that belong to it, is refused whole.
 */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "wire/channel.h"

typedef struct Head {
        uint32_t type;
        uint32_t number;
        int64_t value;
        uint64_t count;
        uint64_t n_text;
} Head;

typedef enum FdRule {
        FDS_NONE,
        FDS_ONE,
        FDS_OPTIONAL, /* one, or none if number says why */
        FDS_LOSSY,    /* one, or none if it could not be sent, or was lost on the way */
} FdRule;

static const struct {
        bool known, text;
        FdRule fds;
        uint32_t number_end; /* 0: any number */
} rules[_CHANNEL_MAX] = {
        [CHANNEL_SETUP] = { true, true, FDS_NONE, 0 },
        [CHANNEL_CONSOLE] = { true, false, FDS_ONE, 0 },
        [CHANNEL_RUN] = { true, false, FDS_OPTIONAL, 0 },
        [CHANNEL_LOGFILE] = { true, false, FDS_OPTIONAL, 0 },
        [CHANNEL_DRAIN] = { true, false, FDS_NONE, 0 },
        [CHANNEL_STOP] = { true, false, FDS_NONE, 0 },
        [CHANNEL_READY] = { true, false, FDS_NONE, 0 },
        [CHANNEL_CLIENT_NEW] = { true, false, FDS_LOSSY, 0 },
        [CHANNEL_CLIENT_GONE] = { true, false, FDS_NONE, 0 },
        [CHANNEL_REOPEN] = { true, false, FDS_NONE, 0 },
        [CHANNEL_STDIN_CLOSED] = { true, false, FDS_NONE, 0 },
        [CHANNEL_NOTIFY] = { true, true, FDS_LOSSY, 0 },
        [CHANNEL_TROUBLE] = { true, true, FDS_NONE, _CHANNEL_TROUBLE_MAX },
        [CHANNEL_DRAINED] = { true, false, FDS_NONE, 0 },
        [CHANNEL_DONE] = { true, false, FDS_NONE, 0 },
        [CHANNEL_PING] = { true, false, FDS_NONE, 0 },
        [CHANNEL_PONG] = { true, false, FDS_NONE, 0 },
        [CHANNEL_CONNECT] = { true, false, FDS_NONE, 0 },
        [CHANNEL_JOURNAL] = { true, false, FDS_OPTIONAL, 0 },
};

_Static_assert(sizeof(Head) == CHANNEL_HEAD, "head and limit belong together");

/**
 * channel_pack() - write a record
 * @out: room for CHANNEL_RECORD_MAX bytes, or for as many as the text needs behind 32
 *
 * A text longer than CHANNEL_TEXT_MAX or than there is room for is cut. It may lie where it goes, CHANNEL_HEAD bytes behind
 * @out, or nowhere in it.
 *
 * Return: bytes written.
 */
size_t channel_pack(char *out, size_t size, const ChannelRecord *record) {
        Head head = { .type = record->type,
                      .number = record->number,
                      .value = record->value,
                      .count = record->count,
                      .n_text = record->n_text };

        assert(size >= sizeof head);
        if (head.n_text > size - sizeof head)
                head.n_text = size - sizeof head;
        if (head.n_text > CHANNEL_TEXT_MAX)
                head.n_text = CHANNEL_TEXT_MAX;
        memcpy(out, &head, sizeof head);
        if (head.n_text > 0 && record->text != out + sizeof head)
                memcpy(out + sizeof head, record->text, head.n_text);
        return sizeof head + head.n_text;
}

/**
 * channel_unpack() - read a record
 * @ret: its text points into @data
 *
 * Return: 0, or -EBADMSG for anything that is not exactly one known record.
 */
int channel_unpack(const char *data, size_t n, ChannelRecord *ret) {
        Head head;

        if (n < sizeof head)
                return -EBADMSG;
        memcpy(&head, data, sizeof head);
        if (head.type >= _CHANNEL_MAX || !rules[head.type].known || head.n_text != n - sizeof head ||
            head.n_text > CHANNEL_TEXT_MAX)
                return -EBADMSG;
        if (head.n_text > 0 && !rules[head.type].text)
                return -EBADMSG;
        if (rules[head.type].number_end != 0 && head.number >= rules[head.type].number_end)
                return -EBADMSG;

        *ret = (ChannelRecord){ .type = (ChannelType)head.type,
                                .number = head.number,
                                .value = head.value,
                                .count = head.count,
                                .text = data + sizeof head,
                                .n_text = (size_t)head.n_text };
        return 0;
}

/**
 * channel_takes_fds() - whether @n descriptors are what belongs to a record
 */
bool channel_takes_fds(const ChannelRecord *record, size_t n) {
        switch (rules[record->type].fds) {
        case FDS_NONE:
                return n == 0;
        case FDS_ONE:
                return n == 1;
        case FDS_OPTIONAL:
                return n == (record->number == 0);
        case FDS_LOSSY:
                return n <= 1;
        }
        return false;
}

/**
 * channel_setup_add() - one more descriptor to the text of a CHANNEL_SETUP
 * @text: room for CHANNEL_SETUP_ENTRY bytes more behind the @n_text that are there
 * @what: a ChannelFd, or _CHANNEL_FD_MAX and the slot of a client
 * @fd: its number in the worker, which inherits it
 *
 * Return: the length now.
 */
size_t channel_setup_add(char *text, size_t n_text, uint32_t what, int fd) {
        int32_t number = fd;

        memcpy(text + n_text, &what, sizeof what);
        memcpy(text + n_text + sizeof what, &number, sizeof number);
        return n_text + CHANNEL_SETUP_ENTRY;
}

/**
 * channel_setup_next() - the next descriptor of a CHANNEL_SETUP
 * @at: 0 for the first one; moved on, in the end to what follows the descriptors
 *
 * Return: false if there is none.
 */
bool channel_setup_next(const ChannelRecord *record, size_t *at, uint32_t *ret_what, int *ret_fd) {
        int32_t number;

        if (*at / CHANNEL_SETUP_ENTRY >= record->number || record->n_text - *at < CHANNEL_SETUP_ENTRY)
                return false;
        memcpy(ret_what, record->text + *at, sizeof *ret_what);
        memcpy(&number, record->text + *at + sizeof *ret_what, sizeof number);
        *ret_fd = number;
        *at += CHANNEL_SETUP_ENTRY;
        return true;
}
