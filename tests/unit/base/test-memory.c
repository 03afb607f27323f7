/* SPDX-License-Identifier: Apache-2.0 */

/* How much memory is taken, and when. */

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/memory.h"
#include "clean.h"

CleanTest(memory, what_is_given_back_is_zero_again) {
        char *memory = memory_reserve(8192);

        cr_assert_not_null(memory);
        memory[0] = memory[5000] = 'x';
        memory_give_back(NULL, 4096);
        memory_give_back(memory, 8192);
        cr_assert(memory[0] == 0 && memory[5000] == 0);
        memory_release(memory, 8192);
}

#ifndef __SANITIZE_ADDRESS__ /* which has a heap of its own */
CleanTest(memory, what_is_large_leaves_no_hole_in_the_heap) {
        void *before = malloc(100), *large, *after;
        char *end;

        memory_keep_heap_small();
        memory_trim(); /* what the test has started with */
        end = sbrk(0);
        large = malloc(4096);
        cr_assert_not_null(large);
        memset(large, 1, 4096);
        after = malloc(2000);
        cr_assert_leq((char *)sbrk(0) - end, 4096);
        free(large);
        free(after);
        free(before);
}
#endif

/* KiB of files that are mapped and there. */
static unsigned long mapped_files(void) {
        _cleanup_free_ char *text = NULL;
        const char *p;

        cr_assert_eq(fd_read_file(AT_FDCWD, "/proc/self/status", 65536, &text, NULL), 0);
        p = strstr(text, "RssFile:");
        cr_assert_not_null(p);
        return strtoul(p + strlen("RssFile:"), NULL, 10);
}

CleanTest(memory, what_has_run_is_not_mapped_any_more) {
        unsigned long before = mapped_files(), after;

        memory_trim();
        after = mapped_files(); /* with what it takes to find out */
        cr_assert_lt(after, before, "%lu of %lu KiB", after, before);
}

CleanTest(memory, zeros_take_no_page) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 4 * page;
        unsigned char resident[4];
        char *p;

        p = memory_reserve(size);
        cr_assert_not_null(p);
        for (size_t i = 0; i < size; i++)
                ((volatile char *)p)[i] = 0;
        p[page] = p[3 * page - 1] = 1; /* the first and the last byte of a page */
        memory_trim_zeros(p, size - 2);
        cr_assert_eq(mincore(p, size, resident), 0);
        for (size_t i = 0; i < 4; i++)
                cr_assert_eq(resident[i] & 1, i == 1 || i == 2, "page %zu", i);
        cr_assert(p[page] == 1 && p[3 * page - 1] == 1 && p[3 * page] == 0);
        memory_release(p, size);
}

CleanTest(memory, what_is_reserved_takes_no_page_before_it_is_used) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 16 * page;
        unsigned char resident[16];
        char *p;

        p = memory_reserve(size);
        cr_assert_not_null(p);
        cr_assert_eq(mincore(p, size, resident), 0);
        for (size_t i = 0; i < 16; i++)
                cr_assert_eq(resident[i] & 1, 0, "page %zu", i);
        p[5 * page] = 1;
        cr_assert_eq(mincore(p, size, resident), 0);
        for (size_t i = 0; i < 16; i++)
                cr_assert_eq(resident[i] & 1, i == 5, "page %zu", i);
        memory_release(p, size);
        cr_assert_neq(mincore(p, size, resident), 0, "it is gone");
        memory_release(NULL, size);
}

/* A mapping for each of the small files that a start reads would cost more than reading them. */
CleanTest(memory, small_file_takes_no_mapping) {
        struct mallinfo2 before, after;
        char *text;

        memory_keep_heap_small();
        before = mallinfo2();
        cr_assert_eq(fd_read_file(AT_FDCWD, "/proc/self/comm", 4096, &text, NULL), 0);
        after = mallinfo2();
        cr_assert_eq(after.hblks, before.hblks);
        free(text);
}
