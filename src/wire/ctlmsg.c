/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lines of the ctl fifo, "TYPE HEIGHT WIDTH", and of the winsz fifo, "HEIGHT WIDTH".
 *
 * Callers were written against scanf("%d %d %d"), so the numbers are read as it reads them: blanks
 * before each are skipped and need not be there before a sign, zeros in front are decimal, and
 * whatever follows the last number is ignored. Unlike scanf() a number that is too large is large,
 * not whatever it wraps to, and no number is ever looked for beyond the newline.
 *
 * A fifo gives bytes, not lines: the unfinished one waits in a CtlBuffer, which lies in the ring
 * and survives the worker. Its content may therefore be anything and is bounded before it is used.
 * Of a line longer than the buffer the pieces that fill it are handed out as they are, for the
 * parsers to refuse; its end is a line of its own.
 */

#include <assert.h>
#include <string.h>

#include "wire/ctlmsg.h"

#define NUMBER_LIMIT 1000000L /* larger numbers are all alike */

static bool is_blank(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* How many of the @wanted numbers the line begins with. */
static size_t read_numbers(const char *line, size_t n, long *numbers, size_t wanted) {
        const char *p = line, *end = line + n;

        for (size_t i = 0; i < wanted; i++) {
                bool negative;
                long value = 0;

                while (p < end && is_blank(*p))
                        p++;
                negative = p < end && *p == '-';
                if (p < end && (*p == '-' || *p == '+'))
                        p++;
                if (p == end || !is_digit(*p))
                        return i;
                for (; p < end && is_digit(*p); p++)
                        if (value < NUMBER_LIMIT)
                                value = value * 10 + (*p - '0');
                numbers[i] = negative ? -value : value;
        }
        return wanted;
}

/* Return: false for what is no size. */
static bool take_sizes(const long numbers[2], CtlMsg *ret) {
        if (numbers[0] < 0 || numbers[1] < 0)
                return false;
        ret->rows = (unsigned)(numbers[0] < CTLMSG_SIZE_MAX ? numbers[0] : CTLMSG_SIZE_MAX);
        ret->columns = (unsigned)(numbers[1] < CTLMSG_SIZE_MAX ? numbers[1] : CTLMSG_SIZE_MAX);
        return true;
}

/**
 * ctlmsg_parse() - one line of the ctl fifo
 * @line: without its newline; hostile
 * @ret: CTLMSG_REOPEN has no rows and columns, whatever stood there
 *
 * Return: 0, or a positive CtlMsgAnswer: the line has no effect then.
 */
int ctlmsg_parse(const char *line, size_t n, CtlMsg *ret) {
        CtlMsg message = { 0 };
        long numbers[3];

        if (n > CTLMSG_LINE_MAX)
                return CTLMSG_TOO_LONG;
        if (read_numbers(line, n, numbers, 3) < 3)
                return CTLMSG_BAD;
        if (numbers[0] != CTLMSG_RESIZE && numbers[0] != CTLMSG_REOPEN)
                return CTLMSG_BAD_TYPE;
        if (numbers[0] == CTLMSG_REOPEN) {
                *ret = (CtlMsg){ .type = CTLMSG_REOPEN };
                return 0;
        }
        message.type = CTLMSG_RESIZE;
        if (!take_sizes(numbers + 1, &message))
                return CTLMSG_BAD_SIZE;
        *ret = message;
        return 0;
}

/**
 * ctlmsg_parse_winsz() - one line of the winsz fifo
 * @line: without its newline; hostile
 * @ret: always a CTLMSG_RESIZE
 *
 * Return: 0, or a positive CtlMsgAnswer.
 */
int ctlmsg_parse_winsz(const char *line, size_t n, CtlMsg *ret) {
        CtlMsg message = { .type = CTLMSG_RESIZE };
        long numbers[2];

        if (n > CTLMSG_LINE_MAX)
                return CTLMSG_TOO_LONG;
        if (read_numbers(line, n, numbers, 2) < 2)
                return CTLMSG_BAD;
        if (!take_sizes(numbers, &message))
                return CTLMSG_BAD_SIZE;
        *ret = message;
        return 0;
}

/**
 * ctlmsg_next_line() - the next line of what a fifo gave
 * @b: holds the unfinished line between two calls
 * @data: what was read; moved behind the bytes that were taken
 * @n: their number, lessened likewise
 * @ret_line: without its newline, inside @b: good until the next call; never NULL when there is a
 * line
 * @ret_n: its length; CTLMSG_LINE_MAX + 1 for a piece of an overlong line
 *
 * Call it until it says false: then all of @data has been taken.
 *
 * Return: true with a line, false if there is none.
 */
bool ctlmsg_next_line(CtlBuffer *b, const char **data, size_t *n, const char **ret_line, size_t *ret_n) {
        const char *newline;
        size_t room, n_piece;

        if (b->n > CTLMSG_LINE_MAX)
                b->n = 0; /* a crashed worker's */
        if (*n == 0)
                return false;

        room = sizeof b->data - b->n;
        newline = memchr(*data, '\n', *n <= room ? *n : room);
        n_piece = newline ? (size_t)(newline - *data) : *n <= room ? *n : room;
        memcpy(b->data + b->n, *data, n_piece);
        b->n = (uint16_t)(b->n + n_piece);
        n_piece += newline != NULL;
        *data += n_piece;
        *n -= n_piece;
        if (!newline && b->n < sizeof b->data)
                return false;

        *ret_line = b->data;
        *ret_n = b->n;
        b->n = 0;
        return true;
}
