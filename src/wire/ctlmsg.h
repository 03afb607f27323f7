/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lines that come through the ctl and winsz fifos. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTLMSG_LINE_MAX 199   /* longest line that is looked at */
#define CTLMSG_SIZE_MAX 65535 /* rows and columns, as struct winsize has them; more is as much */

typedef enum CtlMsgType {
        CTLMSG_RESIZE = 1,
        CTLMSG_REOPEN = 2,
} CtlMsgType;

typedef struct CtlMsg {
        CtlMsgType type;
        unsigned rows;
        unsigned columns;
} CtlMsg;

/* Answers of the two parsers besides 0; nothing is done then but to warn. */
typedef enum CtlMsgAnswer {
        CTLMSG_BAD = 1,  /* fewer numbers than there must be */
        CTLMSG_BAD_TYPE, /* numbers, but a type nobody knows */
        CTLMSG_BAD_SIZE, /* rows or columns negative */
        CTLMSG_TOO_LONG, /* a piece of an overlong line */
} CtlMsgAnswer;

/*
 * The line that has not ended yet. All zero is empty; what a crashed worker left in it does no
 * harm.
 */
typedef struct CtlBuffer {
        uint16_t n;
        char data[CTLMSG_LINE_MAX + 1];
} CtlBuffer;

int ctlmsg_parse(const char *line, size_t n, CtlMsg *ret);
int ctlmsg_parse_winsz(const char *line, size_t n, CtlMsg *ret);
bool ctlmsg_next_line(CtlBuffer *b, const char **data, size_t *n, const char **ret_line, size_t *ret_n);
