/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cells come one after the other, row by row. On a terminal that is too narrow the widest column is cut first, with an
 * ellipsis; elsewhere nothing is. A table that folds cuts nothing there: its last column goes below the row. No line ends
 * in blanks.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "explain/table.h"

#define CELL_SIZE 1024
#define WIDTH_MIN 6
#define ELLIPSIS "\xe2\x80\xa6"

typedef struct Cell {
        char *text;
        TableStyle style;
} Cell;

struct Table {
        const char *headings[TABLE_COLUMNS_MAX];
        bool right[TABLE_COLUMNS_MAX];
        size_t n_columns;
        Cell *cells;
        size_t n_cells;
        bool folds;
};

/**
 * table_new() - make a table without columns
 *
 * Return: 0 or -ENOMEM.
 */
int table_new(Table **ret) {
        Table *t = calloc(1, sizeof *t);

        if (!t)
                return fail(-ENOMEM);
        *ret = t;
        return 0;
}

/**
 * table_free() - with its cells
 *
 * Return: NULL.
 */
Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

/**
 * table_column() - add a column, before any cell
 * @heading: must outlive the table
 * @right: numbers
 */
void table_column(Table *t, const char *heading, bool right) {
        if (t->n_columns == TABLE_COLUMNS_MAX)
                return;
        t->headings[t->n_columns] = heading;
        t->right[t->n_columns++] = right;
}

/**
 * table_fold() - on a terminal that is too narrow, put the last column below its row
 */
void table_fold(Table *t) {
        t->folds = true;
}

/**
 * table_cell() - add a cell
 *
 * Control characters become "?".
 *
 * Return: 0 or -ENOMEM.
 */
int table_cell(Table *t, TableStyle style, const char *format, ...) {
        char text[CELL_SIZE];
        Cell *larger;
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        larger = realloc(t->cells, (t->n_cells + 1) * sizeof *larger);
        if (!larger)
                return fail(-ENOMEM);
        t->cells = larger;
        larger[t->n_cells] = (Cell){ strdup(utf8_make_printable(text)), style };
        if (!larger[t->n_cells].text)
                return fail(-ENOMEM);
        t->n_cells++;
        return 0;
}

/* Characters, of text that is printable. */
static size_t length(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

static size_t widest(const size_t *widths, size_t n) {
        size_t found = 0;

        for (size_t i = 1; i < n; i++)
                if (widths[i] > widths[found])
                        found = i;
        return found;
}

/* Return: does it have to be folded? */
static bool measure(const Table *t, unsigned width, bool legend, size_t *widths) {
        size_t sum = t->n_columns - 1, k;

        for (size_t i = 0; i < t->n_columns; i++)
                widths[i] = legend ? length(t->headings[i]) : 0;
        for (size_t i = 0; i < t->n_cells; i++)
                if (length(t->cells[i].text) > widths[i % t->n_columns])
                        widths[i % t->n_columns] = length(t->cells[i].text);
        for (size_t i = 0; i < t->n_columns; i++)
                sum += widths[i];
        if (t->folds)
                return width > 0 && sum > width;
        for (; width > 0 && sum > width && widths[k = widest(widths, t->n_columns)] > WIDTH_MIN; sum--)
                widths[k]--;
        return false;
}

static void print_cell(const Terminal *terminal, const Cell *c, size_t width, bool right, bool last) {
        static const char *const styles[_TABLE_STYLE_MAX] = {
                "", "\x1b[0;32m", "\x1b[0;1;38;5;185m", "\x1b[0;1;31m", "\x1b[0;38;5;245m", "\x1b[0;4m"
        };
        const char *on = terminal->color ? styles[c->style] : "";
        size_t n = length(c->text), bytes = 0, shown = 0, pad = n < width ? width - n : 0;
        bool cut = n > width;

        while (shown < (cut ? width - 1 : n)) {
                bytes++;
                while (((unsigned char)c->text[bytes] & 0xc0) == 0x80)
                        bytes++;
                shown++;
        }
        if (right)
                (void)printf("%*s", (int)pad, "");
        (void)printf("%s%.*s%s%s", on, (int)bytes, c->text, cut ? ELLIPSIS : "", on[0] ? "\x1b[0m" : "");
        if (!right && !last)
                (void)printf("%*s", (int)pad, "");
        (void)putchar(last ? '\n' : ' ');
}

static void print_row(const Table *t,
                      const Terminal *terminal,
                      const Cell *row,
                      const size_t *widths,
                      size_t n) {
        while (n > 1 && !row[n - 1].text[0])
                n--;
        for (size_t i = 0; i < n; i++)
                print_cell(terminal, &row[i], widths[i], t->right[i], i + 1 == n);
}

/* Below the row, where the column before it begins. */
static void print_folded(const Table *t, const char *text, const size_t *widths) {
        size_t indent = t->n_columns - 2;

        for (size_t i = 0; i + 2 < t->n_columns; i++)
                indent += widths[i];
        if (text[0])
                (void)printf("%*s%s: %s\n", (int)indent, "", t->headings[t->n_columns - 1], text);
}

/**
 * table_print() - to stdout
 * @legend: with headings
 */
void table_print(const Table *t, const Terminal *terminal, bool legend) {
        size_t widths[TABLE_COLUMNS_MAX] = { 0 }, n = t->n_columns;
        Cell headings[TABLE_COLUMNS_MAX];
        bool folded;

        if (n == 0)
                return;
        folded = measure(t, terminal->width, legend, widths) && n > 1;
        for (size_t i = 0; i < n; i++)
                headings[i] = (Cell){ (char *)t->headings[i], TABLE_HEADING };
        if (legend)
                print_row(t, terminal, headings, widths, folded ? n - 1 : n);
        for (size_t i = 0; i + n <= t->n_cells; i += n) {
                print_row(t, terminal, &t->cells[i], widths, folded ? n - 1 : n);
                if (folded)
                        print_folded(t, t->cells[i + n - 1].text, widths);
        }
}
