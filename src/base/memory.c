/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory that only the start has needed goes back, and what waits for output takes none before there is any.
 *
 * A page of the heap goes back if nothing in it is used. So what is large or lives for a moment only stays out of the
 * heap, and what remains lies close together.
 */

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

#define LARGE 4096                /* bytes, as malloc() counts them: with its own note */
#define STACK_USED (256U * 1024U) /* deeper than anything of ours goes */
#define STACK_LEFT 512U           /* what the call itself needs */
#define SEGMENTS_MAX 8            /* that are not written to; three or four are usual */

/**
 * memory_keep_heap_small() - for programs that start with much and stand about with little
 *
 * What is large gets pages of its own, and its end is the end of them. In the heap it would be a hole under what came
 * later, and a little of that in each page is enough to keep the page. No room is kept ahead either: as long as there
 * is some, that is where the large things go.
 */
void memory_keep_heap_small(void) {
        (void)mallopt(M_TOP_PAD, 0);
        (void)mallopt(M_MMAP_THRESHOLD, LARGE);
        (void)malloc_trim(0); /* a library's constructor may have begun the heap */
}

/*
 * Code and constants of one program or library; what is needed again is mapped again, from the same pages. The list of
 * segments is in one of them, so it is read first.
 */
static int unmap_pages(struct dl_phdr_info *info, size_t size, void *userdata) {
        const size_t *page = userdata;
        struct {
                char *begin;
                size_t size;
        } found[SEGMENTS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < info->dlpi_phnum && n < SEGMENTS_MAX; i++) {
                const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
                ElfW(Addr) begin = info->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
                char *where;

                if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
                        continue;
                begin -= begin % *page;
                memcpy(&where, &begin, sizeof where);
                found[n].begin = where;
                found[n++].size = end - begin;
        }
        for (size_t i = 0; i < n; i++)
                (void)madvise(found[i].begin, found[i].size, MADV_DONTNEED); /* or it stays */
        return 0;
}

/**
 * memory_trim() - give back the memory that only the start has needed
 *
 * Of the heap what is free, of the stack what lies below the caller's frame, and the claim to code that will not run
 * again: the kernel can only drop what no process maps.
 */
void memory_trim(void) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *end = (char *)__builtin_frame_address(0) - STACK_LEFT;

        end -= (uintptr_t)end % page;
        (void)malloc_trim(0);
        (void)dl_iterate_phdr(unmap_pages, &page);
        (void)madvise(end - STACK_USED, STACK_USED, MADV_DONTNEED); /* what is not mapped is no harm */
}

/**
 * memory_give_back() - give back the pages of what nobody needs any more
 * @memory: NULL is fine; else it begins with a page
 */
void memory_give_back(void *memory, size_t size) {
        if (memory)
                (void)madvise(memory, size, MADV_DONTNEED); /* or it stays */
}

static bool is_zero(const char *p, size_t n) {
        return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/**
 * memory_trim_zeros() - give back pages in which there is nothing but zeros; they stay zero
 * @memory: of memory_reserve()
 * @size: as it was
 */
void memory_trim_zeros(void *memory, size_t size) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        for (char *p = memory; p < (char *)memory + size; p += page)
                if (is_zero(p, page))
                        (void)madvise(p, page, MADV_DONTNEED); /* or it stays */
}

/**
 * memory_reserve() - zeroed memory that takes a page when something is written to it, and not before
 *
 * Not by malloc(), whose own note takes the first page.
 *
 * Return: the memory, for memory_release(), or NULL if there is none.
 */
void *memory_reserve(size_t size) {
        void *p;

        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return p == MAP_FAILED ? NULL : p;
}

/**
 * memory_release() - give back what memory_reserve() has given; NULL is fine
 * @size: as it was
 */
void memory_release(void *memory, size_t size) {
        if (memory)
                (void)munmap(memory, size);
}
