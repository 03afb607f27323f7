/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What lies where in memory that programs share, told so that one of another version can read it. */

#include <stddef.h>
#include <stdint.h>

#include "wire/state.h"

/* A member of a struct: @n unsigned numbers of @width bytes each, under a name that is for ever. */
typedef struct LayoutField {
        const char *name;
        uint32_t offset, width, n;
} LayoutField;

typedef struct LayoutFields {
        const LayoutField *fields;
        size_t n;
} LayoutFields;

/* Structs of one kind, one after the other. */
typedef struct LayoutGroup {
        const char *name;
        uint32_t offset, stride, count;
        const LayoutFields *fields;
} LayoutGroup;

typedef struct Layout {
        const LayoutGroup *groups;
        size_t n;
        size_t size; /* of all */
} Layout;

/* A field as a directory has it: that of struct I, number J, lies at offset + I * stride + J * width. */
typedef struct LayoutEntry {
        uint64_t offset, stride, count, width, n;
} LayoutEntry;

#define LAYOUT_NUMBER(type, member, name)                                                                    \
        { name, offsetof(type, member), sizeof(((type *)NULL)->member), 1 }
#define LAYOUT_NUMBERS(type, member, name)                                                                   \
        {                                                                                                    \
                name, offsetof(type, member), sizeof(((type *)NULL)->member[0]),                             \
                        sizeof(((type *)NULL)->member) / sizeof(((type *)NULL)->member[0])                   \
        }
#define LAYOUT_FIELDS(fields)                                                                                \
        { fields, sizeof(fields) / sizeof(*(fields)) }
#define LAYOUT_OF(fields) (&(const LayoutFields)LAYOUT_FIELDS(fields))

/* Of a whole struct, and of one, or an array of them, that is a member of another one. */
#define LAYOUT_WHOLE(type, name, fields)                                                                     \
        { name, 0, sizeof(type), 1, fields }
#define LAYOUT_ONE(type, member, name, fields)                                                               \
        { name, offsetof(type, member), sizeof(((type *)NULL)->member), 1, fields }
#define LAYOUT_MANY(type, member, name, fields)                                                              \
        {                                                                                                    \
                name, offsetof(type, member), sizeof(((type *)NULL)->member[0]),                             \
                        sizeof(((type *)NULL)->member) / sizeof(((type *)NULL)->member[0]), fields           \
        }

void layout_put(StateWriter *w, const Layout *layout, size_t base);
int layout_find(const StateReader *directory, const char *name, size_t size, LayoutEntry *ret);
int layout_copy(const StateReader *directory,
                const char *from,
                size_t n_from,
                const Layout *layout,
                char *to);
