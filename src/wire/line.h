/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A stream's bytes into lines, and the text that a k8s-file record begins with. */

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/stream.h"

#define LINE_FILE_MAX 8192  /* longest text of one k8s-file record */
#define LINE_STAMP_SIZE 35  /* "2026-01-31T12:00:00.123456789+01:00" */
#define LINE_PREFIX_SIZE 45 /* "STAMP stdout F " */

typedef struct Line {
        const char *text; /* into the data, without the newline */
        size_t n_text;
        size_t n_taken; /* bytes of the data it stands for, the newline among them */
        bool partial;   /* no newline ended it */
} Line;

bool line_next(const char *data, size_t n, size_t max, StreamTail tail, Line *ret);
void line_format_stamp(char out[LINE_STAMP_SIZE], const struct tm *tm, long nsec);
void line_format_prefix(char out[LINE_PREFIX_SIZE],
                        const char stamp[LINE_STAMP_SIZE],
                        StreamId stream,
                        bool partial);
