/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory that programs share, and that one of another version may have to read: structs, as the compiler laid them out,
 * and a directory that says where each of their members lies. The directory is a state (wire/state.c), whose values are
 * five numbers:
 *
 *     sink.file.position=1176 264 1 8 2
 *
 * at offset 1176 begins the first of 1 structs that are 264 bytes apart, and there are 2 numbers of 8 bytes each.
 *
 * Whoever takes such memory over copies what it knows by name into structs of its own. A member that the other one did
 * not have stays zero, so zero must be what a fresh one holds. Numbers are unsigned and in the machine's order; one that
 * does not fit becomes the largest that does. (A signed one keeps its width for ever.)
 *
 * The directory may be a hostile worker's, like all else in the ring: it can say where in the memory a number lies, but
 * not lead out of it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "wire/layout.h"

#define NUMBERS 5
#define VALUE_MAX 112 /* of 20 digits each */

/**
 * layout_put() - write the lines of a directory
 * @base: where in the memory the layout begins
 */
void layout_put(StateWriter *w, const Layout *layout, size_t base) {
        for (size_t i = 0; i < layout->n; i++) {
                const LayoutGroup *g = &layout->groups[i];

                for (size_t j = 0; j < g->fields->n; j++) {
                        const LayoutField *f = &g->fields->fields[j];
                        char name[STATE_NAME_MAX], value[VALUE_MAX];
                        int n;

                        if (!state_has(f->name))
                                continue;
                        (void)snprintf(name, sizeof name, "%s.%s", g->name, f->name);
                        n = snprintf(value, sizeof value, "%zu %u %u %u %u", base + g->offset + f->offset,
                                     g->stride, g->count, f->width, f->n);
                        state_put_text(w, name, value, (size_t)n);
                }
#ifdef STATE_TEST_MORE
                char more[STATE_NAME_MAX];

                (void)snprintf(more, sizeof more, "%s.more", g->name);
                state_put_text(w, more, "0 8 1 8 1", strlen("0 8 1 8 1"));
#endif
        }
}

/* Return: 0, or -EBADMSG if it is not five numbers of which the fourth can be a width. */
static int parse_entry(const StateValue *v, LayoutEntry *ret) {
        char value[VALUE_MAX], *p = value;
        uint64_t numbers[NUMBERS];
        size_t n;

        if (state_text(v, value, sizeof value, &n) < 0)
                return -EBADMSG;
        for (size_t i = 0; i < NUMBERS; i++) {
                char *space = strchr(p, ' ');

                if (!space != (i == NUMBERS - 1))
                        return -EBADMSG;
                if (space)
                        *space = 0;
                if (parse_u64(p, &numbers[i]) < 0)
                        return -EBADMSG;
                p += strlen(p) + 1; /* at the last one it is not used any more */
        }
        *ret = (LayoutEntry){ .offset = numbers[0],
                              .stride = numbers[1],
                              .count = numbers[2],
                              .width = numbers[3],
                              .n = numbers[4] };
        return ret->width == 1 || ret->width == 2 || ret->width == 4 || ret->width == 8 ? 0 : -EBADMSG;
}

static uint64_t least(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* Does all that is going to be read of it lie in so many bytes? */
static bool lies_within(const LayoutEntry *e, uint64_t count, uint64_t n, size_t size) {
        uint64_t last, bytes, end;

        if (count == 0 || n == 0)
                return true;
        if (__builtin_mul_overflow(count - 1, e->stride, &last) ||
            __builtin_add_overflow(last, e->offset, &last) || __builtin_mul_overflow(n, e->width, &bytes) ||
            __builtin_add_overflow(last, bytes, &end))
                return false;
        return end <= size;
}

/**
 * layout_find() - where something lies
 * @size: of the memory
 *
 * Return: 0, -ENOENT, or -EBADMSG if that cannot be understood or leads outside.
 */
int layout_find(const StateReader *directory, const char *name, size_t size, LayoutEntry *ret) {
        StateReader reader = *directory;
        StateValue v;

        while (state_next(&reader, &v))
                if (state_is(&v, name)) {
                        LayoutEntry e;

                        if (parse_entry(&v, &e) < 0 || !lies_within(&e, e.count, e.n, size))
                                return -EBADMSG;
                        *ret = e;
                        return 0;
                }
        return -ENOENT;
}

static uint64_t load(const char *p, uint64_t width) {
        uint16_t two;
        uint32_t four;
        uint64_t eight;

        switch (width) {
        case 1:
                return (unsigned char)*p;
        case sizeof two:
                memcpy(&two, p, sizeof two);
                return two;
        case sizeof four:
                memcpy(&four, p, sizeof four);
                return four;
        default:
                memcpy(&eight, p, sizeof eight);
                return eight;
        }
}

static void store(char *p, uint64_t width, uint64_t number) {
        uint16_t two = number < UINT16_MAX ? (uint16_t)number : UINT16_MAX;
        uint32_t four = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;

        switch (width) {
        case 1:
                *p = (char)(number < UINT8_MAX ? number : UINT8_MAX);
                return;
        case sizeof two:
                memcpy(p, &two, sizeof two);
                return;
        case sizeof four:
                memcpy(p, &four, sizeof four);
                return;
        default:
                memcpy(p, &number, sizeof number);
                return;
        }
}

/* Only what is not zero is stored: pages that nobody has used stay unused. */
static int copy_field(const LayoutEntry *theirs,
                      const char *from,
                      size_t n_from,
                      const LayoutGroup *g,
                      const LayoutField *f,
                      char *to) {
        uint64_t count = least(theirs->count, g->count), n = least(theirs->n, f->n);

        if (!lies_within(theirs, count, n, n_from))
                return -EBADMSG;
        for (uint64_t i = 0; i < count; i++)
                for (uint64_t j = 0; j < n; j++) {
                        uint64_t number = load(from + theirs->offset + i * theirs->stride + j * theirs->width,
                                               theirs->width);

                        if (number != 0)
                                store(to + g->offset + f->offset + i * g->stride + j * f->width, f->width,
                                      number);
                }
        return 0;
}

static const LayoutField *find_field(const LayoutFields *fields, const char *name, size_t n) {
        for (size_t i = 0; i < fields->n; i++)
                if (strlen(fields->fields[i].name) == n && memcmp(fields->fields[i].name, name, n) == 0 &&
                    state_has(fields->fields[i].name))
                        return &fields->fields[i];
        return NULL;
}

/**
 * layout_copy() - from memory of another layout all that this one has a name for
 * @directory: says what lies where in @from
 * @to: zero where nothing comes
 *
 * Return: 0, or -EBADMSG if the directory cannot be understood or leads outside.
 */
int layout_copy(const StateReader *directory,
                const char *from,
                size_t n_from,
                const Layout *layout,
                char *to) {
        StateReader reader = *directory;
        StateValue v;

        while (state_next(&reader, &v))
                for (size_t i = 0; i < layout->n; i++) {
                        const LayoutGroup *g = &layout->groups[i];
                        const LayoutField *f;
                        const char *name;
                        LayoutEntry theirs;
                        size_t n;

                        name = state_behind(&v, g->name, &n);
                        f = name ? find_field(g->fields, name, n) : NULL;
                        if (!f)
                                continue;
                        if (parse_entry(&v, &theirs) < 0 || copy_field(&theirs, from, n_from, g, f, to) < 0)
                                return -EBADMSG;
                        break;
                }
        return 0;
}
