/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rows and columns, fitted to the width of a terminal. */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "explain/terminal.h"

#define TABLE_COLUMNS_MAX 24

typedef enum TableStyle {
        TABLE_PLAIN,
        TABLE_GOOD,
        TABLE_WARN,
        TABLE_BAD,
        TABLE_DIM,
        TABLE_HEADING,
        _TABLE_STYLE_MAX,
} TableStyle;

typedef struct Table Table;

int table_new(Table **ret);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free)

void table_column(Table *t, const char *heading, bool right);
void table_fold(Table *t);
int table_cell(Table *t, TableStyle style, const char *format, ...) __attribute__((format(printf, 3, 4)));
void table_print(const Table *t, const Terminal *terminal, bool legend);
