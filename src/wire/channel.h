/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records between keeper and worker, one packet each on a SEQPACKET pair. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_TEXT_MAX 32768U
#define CHANNEL_HEAD 32U /* bytes before the text */
#define CHANNEL_RECORD_MAX (CHANNEL_HEAD + CHANNEL_TEXT_MAX)
#define CHANNEL_SHORT_MAX 512U /* nearly all; from the keeper, all but CHANNEL_SETUP */
#define CHANNEL_SETUP_ENTRY 8U /* bytes of its text for each descriptor */

/*
 * A worker whose keeper has died is told to leave by one of another version, and may have told something before: numbers
 * are for ever, and what is new comes last.
 */
typedef enum ChannelType {
        CHANNEL_NONE = 0,
        /* keeper to worker */
        CHANNEL_SETUP =
                1, /* text: so many (number) descriptors that it has inherited, see channel_setup_add(), and
                                its configuration */
        CHANNEL_CONSOLE = 2, /* the terminal; its descriptor */
        CHANNEL_RUN = 3,     /* the container runs: number: 0 with its pidfd, else 1; count: since when */
        CHANNEL_LOGFILE = 4, /* the new one's descriptor; none, and number an errno, if there is none */
        CHANNEL_DRAIN = 5,   /* the target has ended: read what is there, flush, say so */
        CHANNEL_STOP = 6,    /* leave, between two batches: another one goes on */
        /* worker to keeper */
        CHANNEL_READY = 7, /* set up and confined; number: an errno if it could not leave the file system */
        CHANNEL_CLIENT_NEW = 8, /* number: slot; its descriptor, or value: its number, if it cannot be sent */
        CHANNEL_CLIENT_GONE = 9,   /* number: slot */
        CHANNEL_REOPEN = 10,       /* a new log file is wanted */
        CHANNEL_STDIN_CLOSED = 11, /* the target's stdin has ended, for good */
        CHANNEL_NOTIFY = 12,       /* text: filtered lines to send on; a descriptor to store */
        CHANNEL_TROUBLE = 13, /* number: what (ChannelTrouble), value: errno, count: bytes lost; text: more */
        CHANNEL_DRAINED = 14, /* all that could be read is in the sinks */
        CHANNEL_DONE = 15,    /* the clients have had everything too */
        CHANNEL_PING = 16,    /* keeper to worker: are you there? */
        CHANNEL_PONG = 17,    /* worker to keeper: yes */
        CHANNEL_CONNECT = 18, /* worker to keeper: the journal does not answer, a new connection is wanted */
        CHANNEL_JOURNAL =
                19, /* keeper to worker: its descriptor; none, and number an errno, if there is none */
        _CHANNEL_MAX,
} ChannelType;

/* What a worker is given at start. */
typedef enum ChannelFd {
        CHANNEL_FD_RING,
        CHANNEL_FD_STDOUT,
        CHANNEL_FD_STDERR,
        CHANNEL_FD_STDIN,
        CHANNEL_FD_CONSOLE,
        CHANNEL_FD_LISTENER,
        CHANNEL_FD_STARTER, /* pidfd of the process that started us */
        CHANNEL_FD_CTL,
        CHANNEL_FD_WINSZ,
        CHANNEL_FD_NOTIFY,
        CHANNEL_FD_LOGFILE,
        CHANNEL_FD_JOURNAL, /* a connection, another one for each worker */
        _CHANNEL_FD_MAX,
} ChannelFd;

typedef enum ChannelTrouble {
        CHANNEL_TROUBLE_FILE,
        CHANNEL_TROUBLE_JOURNAL,
        CHANNEL_TROUBLE_CONTROL,
        CHANNEL_TROUBLE_SANDBOX,
        CHANNEL_TROUBLE_CLIENT, /* one could not be served */
        CHANNEL_TROUBLE_FAILED, /* the worker leaves; value: why */
        _CHANNEL_TROUBLE_MAX,
} ChannelTrouble;

typedef struct ChannelRecord {
        ChannelType type;
        uint32_t number;
        int64_t value;
        uint64_t count;
        const char *text;
        size_t n_text;
} ChannelRecord;

size_t channel_pack(char *out, size_t size, const ChannelRecord *record);
int channel_unpack(const char *data, size_t n, ChannelRecord *ret);
bool channel_takes_fds(const ChannelRecord *record, size_t n);
size_t channel_setup_add(char *text, size_t n_text, uint32_t what, int fd);
bool channel_setup_next(const ChannelRecord *record, size_t *at, uint32_t *ret_what, int *ret_fd);
