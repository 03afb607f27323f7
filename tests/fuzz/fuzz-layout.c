/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The input is the lines of a directory. Whatever they say, nothing outside of the memory is read (it has exactly its
 * size, for a sanitizer to see), nothing beside the fields is written, and what is found lies inside.
 */

#include "base/cleanup.h"
#include "fuzz.h"
#include "wire/layout.h"

#define HEAD "scopemon-state 1\n"
#define END "end\n"
#define MEMORY_SIZE 300
#define GUARD 0x5a

typedef struct Part {
        uint8_t small;
        uint32_t medium;
        uint16_t list[3];
        uint64_t large;
} Part;

typedef struct All {
        uint8_t guard[8];
        Part parts[2];
        uint8_t behind[8];
} All;

static const LayoutField part_fields[] = {
        LAYOUT_NUMBER(Part, small, "small"),
        LAYOUT_NUMBER(Part, medium, "medium"),
        LAYOUT_NUMBERS(Part, list, "list"),
        LAYOUT_NUMBER(Part, large, "large"),
};
static const LayoutFields part_members = LAYOUT_FIELDS(part_fields);
static const LayoutGroup groups[] = { LAYOUT_MANY(All, parts, "part", &part_members) };
static const Layout layout = { groups, 1, sizeof(All) };

static void try(const StateReader *directory) {
        char *memory = malloc(MEMORY_SIZE);
        LayoutEntry e;
        All all;

        if (!memory)
                abort();
        memset(memory, 0xff, MEMORY_SIZE);
        memset(&all, GUARD, sizeof all);
        (void)layout_copy(directory, memory, MEMORY_SIZE, &layout, (char *)&all);
        for (size_t i = 0; i < sizeof all.guard; i++)
                fuzz_claim(all.guard[i] == GUARD && all.behind[i] == GUARD);
        if (layout_find(directory, "part.list", MEMORY_SIZE, &e) == 0 && e.count > 0 && e.n > 0)
                fuzz_claim(e.offset < MEMORY_SIZE && e.n <= MEMORY_SIZE && e.width <= 8 &&
                           e.offset + (e.count - 1) * e.stride + e.n * e.width <= MEMORY_SIZE);
        free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t n = strlen(HEAD) + size + strlen(END);
        char *copy = malloc(n);
        StateReader directory;

        if (!copy)
                abort();
        memcpy(copy, HEAD, strlen(HEAD));
        if (size > 0)
                memcpy(copy + strlen(HEAD), data, size);
        memcpy(copy + n - strlen(END), END, strlen(END));
        if (state_open(&directory, copy, n) == 0)
                try(&directory);
        free(copy);
        return 0;
}
