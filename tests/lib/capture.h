/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a function prints: capture_begin(), the call, capture_end(). */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Capture {
        int stream; /* 1 or 2 */
        int saved;
        int file;
        char text[8192]; /* after capture_end() */
} Capture;

static inline void capture_begin(Capture *c, int stream) {
        (void)fflush(NULL);
        c->stream = stream;
        c->saved = dup(stream);
        c->file = memfd_create("capture", MFD_CLOEXEC);
        cr_assert_geq(c->saved, 0);
        cr_assert_geq(dup2(c->file, stream), 0);
}

static inline const char *capture_end(Capture *c) {
        ssize_t n;

        (void)fflush(NULL);
        cr_assert_geq(dup2(c->saved, c->stream), 0);
        n = pread(c->file, c->text, sizeof c->text - 1, 0);
        cr_assert_geq(n, 0);
        c->text[n] = '\0';
        (void)close(c->saved);
        (void)close(c->file);
        return c->text;
}
