/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A k8s-file read back: what a stream's bytes were, each record checked on the way. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "wire/line.h"

#define LOG_CONTENT_MAX (64U << 20)

/*
 * All that @path says @stream has written, the caller's to free. A full record is a line and its
 * newline, a partial one only its text.
 */
static inline char *log_content(const char *path, const char *stream, size_t *ret_n) {
        char *text, *out, *next;
        size_t n, n_out = 0;

        cr_assert_eq(fd_read_file(AT_FDCWD, path, LOG_CONTENT_MAX, &text, &n), 0, "%s", path);
        cr_assert(n == 0 || text[n - 1] == '\n', "a record is cut off");
        out = malloc(n + 1);
        for (char *p = text; p < text + n; p = next + 1) {
                size_t n_text;

                next = memchr(p, '\n', (size_t)(text + n - p));
                cr_assert_geq(next - p, LINE_PREFIX_SIZE, "record too short: %.*s", (int)(next - p), p);
                cr_assert(p[LINE_STAMP_SIZE] == ' ' && p[LINE_STAMP_SIZE - 6] == '+', "%.60s", p);
                cr_assert(p[LINE_PREFIX_SIZE - 2] == 'F' || p[LINE_PREFIX_SIZE - 2] == 'P', "%.60s", p);
                if (strncmp(p + LINE_STAMP_SIZE + 1, stream, strlen(stream)) != 0)
                        continue;
                n_text = (size_t)(next - p) - LINE_PREFIX_SIZE;
                memcpy(out + n_out, p + LINE_PREFIX_SIZE, n_text);
                n_out += n_text;
                if (p[LINE_PREFIX_SIZE - 2] == 'F')
                        out[n_out++] = '\n';
        }
        out[n_out] = 0;
        free(text);
        if (ret_n)
                *ret_n = n_out;
        return out;
}

static inline void check_log(const char *path, const char *stream, const char *expected) {
        char *text = log_content(path, stream, NULL);

        cr_assert_str_eq(text, expected);
        free(text);
}

/* Line @i of a flood, newline included; of some 20 to 220 bytes. */
static inline size_t flood_line(char line[256], unsigned i) {
        size_t n = (size_t)snprintf(line, 32, "%08u ", i), more = 10 + (i * 7919U) % 200;

        memset(line + n, 'a' + (int)(i % 26), more);
        line[n + more] = '\n';
        return n + more + 1;
}

/* Is @text the lines from 0 on, each once, and nothing else? */
static inline void check_flood(const char *text, size_t n, unsigned n_lines) {
        size_t at = 0;

        for (unsigned i = 0; i < n_lines; i++) {
                char line[256];
                size_t n_line = flood_line(line, i);

                cr_assert(at + n_line <= n && memcmp(text + at, line, n_line) == 0, "line %u: %.*s", i,
                          (int)(n - at < 60 ? n - at : 60), text + at);
                at += n_line;
        }
        cr_assert_eq(at, n, "more than was written: %.60s", text + at);
}
