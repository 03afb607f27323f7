/* SPDX-License-Identifier: Apache-2.0 */

/* Only a flood of small writes is let gather, and never until its pipe is full. */

#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "io/gather.h"

typedef struct Fixture {
        Gather gather;
        uint64_t now;
        int r, w;
} Fixture;

static void setup(Fixture *f) {
        *f = (Fixture){ .now = 1000000000, .r = -1, .w = -1 };
        cr_assert_eq(fd_pipe(&f->r, &f->w), 0);
        cr_assert_geq(fcntl(f->r, F_SETPIPE_SZ, 65536), 65536);
}

static void done(Fixture *f) {
        fd_close_many(&f->r, 1);
        fd_close_many(&f->w, 1);
}

/* So many reads of @n bytes, one each @usec; says what came of the last. */
static uint64_t reads(Fixture *f, unsigned count, uint64_t usec, size_t n) {
        uint64_t rest = 0;

        while (count-- > 0) {
                f->now += usec;
                rest = gather_usec(&f->gather, f->r, f->now, n);
        }
        return rest;
}

CleanTest(gather, flood_of_lines_is_let_gather) {
        Fixture f;

        setup(&f);
        cr_assert_eq(reads(&f, 30, 30, 2000), 0, "not what a pipe holds");
        cr_assert_eq(reads(&f, 30, 30, 2000), GATHER_MAX_USEC);
        done(&f);
}

CleanTest(gather, nothing_else_is) {
        Fixture f;

        setup(&f);
        cr_assert_eq(reads(&f, 1000, 500, 100), 0, "2000 lines a second");
        cr_assert_eq(reads(&f, 1000, 500, 3900), 0, "long ones");
        cr_assert_eq(reads(&f, 1, 1000000, 65536), 0);
        cr_assert_eq(reads(&f, 1, 1000000, 65536), 0, "bursts, as large as they come");
        cr_assert_eq(reads(&f, 1000, 100, 65536), 0, "a flood of large writes");
        cr_assert_neq(reads(&f, 1, 100, 4000), 0);
        cr_assert_eq(reads(&f, 1, 1000, 100), 0, "a millisecond of silence ends it");
        cr_assert_eq(reads(&f, 1000, 30, 0), 0);
        done(&f);
}

CleanTest(gather, pipe_does_not_get_full) {
        Fixture f;

        setup(&f);
        for (size_t n = 100; n < 65536; n += 100)
                for (uint64_t usec = 1; usec < 300; usec++) {
                        uint64_t rest;

                        f.gather.level = 65536 + 4096;
                        rest = reads(&f, 1, usec, n);
                        cr_assert_leq(rest * n / usec, 16384);
                        if (n >= 32768)
                                cr_assert_eq(rest, 0);
                }
        cr_assert_geq(fcntl(f.r, F_SETPIPE_SZ, 4096), 4096);
        cr_assert_eq(reads(&f, 100, 30, 2048), 0, "a small pipe, as users get who have many");
        cr_assert_leq(reads(&f, 1, 30, 1000), 1024 * 30 / 1000);
        done(&f);
}

CleanTest(gather, terminal_is_read_at_once) {
        Fixture f;
        _cleanup_close_ int master = -1;

        setup(&f);
        master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        cr_assert_geq(master, 0);
        for (unsigned i = 0; i < 100; i++)
                cr_assert_eq(gather_usec(&f.gather, master, f.now += 30, 4000), 0);
        done(&f);
}
