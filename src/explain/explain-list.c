/* SPDX-License-Identifier: Apache-2.0 */

/* The table of "scopemon list": a column is a name, a heading, and a function that writes a cell. */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "explain/explain-internal.h"
#include "explain/suggest.h"
#include "explain/table.h"

#define USEC_PER_SEC 1000000ULL
#define COLUMNS_DEFAULT "container,state,unit,placement,memory,lines,bytes,lost,clients,uptime"

typedef int (*Cell)(Table *t, const Explained *e);

static int cell_container(Table *t, const Explained *e) {
        return table_cell(t, TABLE_PLAIN, "%s", e->name[0] ? e->name : e->id);
}

static int cell_id(Table *t, const Explained *e) {
        return table_cell(t, TABLE_PLAIN, "%.12s", e->id);
}

static int cell_state(Table *t, const Explained *e) {
        const ExplainEnd *end = &e->end;

        if (e->init)
                return e->keeper ? table_cell(t, TABLE_GOOD, "running")
                                 : table_cell(t, TABLE_BAD, "unmonitored");
        if (e->keeper)
                return table_cell(t, TABLE_PLAIN, "starting");
        if (end->known && end->has_status && end->status != 0)
                return table_cell(t, TABLE_BAD, "exited %llu", (unsigned long long)end->status);
        return table_cell(t, TABLE_DIM, "exited");
}

static int cell_unit(Table *t, const Explained *e) {
        const char *unit = e->container_unit.name[0] ? e->container_unit.name : e->monitor_unit.name;

        return table_cell(t, TABLE_PLAIN, "%s", unit[0] ? unit : "-");
}

static int cell_placement(Table *t, const Explained *e) {
        if (e->stock)
                return table_cell(t, TABLE_WARN, "(%s)", e->keeper->stat.comm);
        if (!e->placement.name[0])
                return table_cell(t, TABLE_PLAIN, "-");
        return table_cell(t, TABLE_PLAIN, "%s%s", e->placement.name, e->placement.told ? "" : "?");
}

static int put_bytes(Table *t, bool known, uint64_t bytes) {
        static const char units[] = "BKMGTPE";
        double value = (double)bytes;
        size_t i = 0;

        if (!known)
                return table_cell(t, TABLE_DIM, "-");
        for (; value >= 1024 && units[i + 1]; i++)
                value /= 1024;
        return table_cell(t, TABLE_PLAIN, i == 0 ? "%.0f%c" : "%.1f%c", value, units[i]);
}

static int put_number(Table *t, bool known, uint64_t number) {
        return known ? table_cell(t, TABLE_PLAIN, "%llu", (unsigned long long)number)
                     : table_cell(t, TABLE_DIM, "-");
}

static int cell_memory(Table *t, const Explained *e) {
        return put_bytes(t, e->output.has_memory, e->output.memory);
}

static int cell_lines(Table *t, const Explained *e) {
        return put_number(t, e->output.known && (e->output.lines > 0 || e->output.bytes == 0),
                          e->output.lines);
}

static int cell_bytes(Table *t, const Explained *e) {
        bool ended = !e->keeper && e->end.known && !e->end.by_podman;

        return put_bytes(t, e->output.known || ended, ended ? e->end.bytes : e->output.bytes);
}

static int cell_lost(Table *t, const Explained *e) {
        bool ended = !e->keeper && e->end.known && !e->end.by_podman;
        uint64_t lost = ended ? e->end.lost : e->output.lost;

        if (lost > 0)
                return table_cell(t, TABLE_BAD, "%llu", (unsigned long long)lost);
        return put_number(t, e->output.known || ended, lost);
}

static int cell_suppressed(Table *t, const Explained *e) {
        bool ended = !e->keeper && e->end.known && !e->end.by_podman;
        uint64_t n = ended ? e->end.suppressed : e->output.suppressed;

        if (n > 0)
                return table_cell(t, TABLE_BAD, "%llu", (unsigned long long)n);
        return put_number(t, e->output.known || ended, n);
}

static int cell_clients(Table *t, const Explained *e) {
        return put_number(t, e->output.known, e->output.clients);
}

static int cell_uptime(Table *t, const Explained *e) {
        char span[64];
        struct timespec now;
        uint64_t usec;

        if (!e->init)
                return table_cell(t, TABLE_DIM, "-");
        (void)clock_gettime(CLOCK_REALTIME, &now); /* is always there */
        usec = (uint64_t)now.tv_sec * USEC_PER_SEC;
        usec = usec > e->init->stat.start_usec ? usec - e->init->stat.start_usec : 0;
        return table_cell(t, TABLE_PLAIN, "%s",
                          explain_format_span(usec - usec % USEC_PER_SEC, span, sizeof span));
}

static int cell_monitor(Table *t, const Explained *e) {
        return put_number(t, e->keeper, e->keeper ? (uint64_t)e->keeper->pid : 0);
}

static int cell_pid(Table *t, const Explained *e) {
        return put_number(t, e->init, e->init ? (uint64_t)e->init->pid : 0);
}

static const struct {
        const char *name, *heading;
        bool right;
        Cell cell;
} columns[] = {
        { "container", "CONTAINER", false, cell_container },
        { "id", "ID", false, cell_id },
        { "state", "STATE", false, cell_state },
        { "unit", "UNIT", false, cell_unit },
        { "placement", "PLACEMENT", false, cell_placement },
        { "memory", "MEMORY", true, cell_memory },
        { "lines", "LINES", true, cell_lines },
        { "bytes", "BYTES", true, cell_bytes },
        { "lost", "LOST", true, cell_lost },
        { "suppressed", "SUPPRESSED", true, cell_suppressed },
        { "clients", "CLIENTS", true, cell_clients },
        { "uptime", "UPTIME", true, cell_uptime },
        { "monitor", "MONITOR", true, cell_monitor },
        { "pid", "PID", true, cell_pid },
};

struct ExplainList {
        Table *table;
        Cell cells[ELEMENTS(columns)];
        size_t n;
};

/* One that is there already is not added again. */
static int add_column(ExplainList *l, const char *name, size_t n) {
        for (size_t i = 0; i < ELEMENTS(columns); i++) {
                if (strlen(columns[i].name) != n || strncmp(columns[i].name, name, n) != 0)
                        continue;
                for (size_t k = 0; k < l->n; k++)
                        if (l->cells[k] == columns[i].cell)
                                return 0;
                table_column(l->table, columns[i].heading, columns[i].right);
                l->cells[l->n++] = columns[i].cell;
                return 0;
        }
        return EXPLAIN_LIST_UNKNOWN;
}

/**
 * explain_list_new() - a table with these columns
 * @names: separated by commas; NULL for the usual ones, "all" for all
 * @ret_unknown: a name that is not known, and its length
 *
 * Return: 0, EXPLAIN_LIST_UNKNOWN, or -ENOMEM.
 */
int explain_list_new(ExplainList **ret, const char *names, const char **ret_unknown, size_t *ret_n) {
        _cleanup_(explain_list_freep) ExplainList *l = calloc(1, sizeof *l);
        int r;

        if (!l)
                return fail(-ENOMEM);
        r = table_new(&l->table);
        if (r < 0)
                return relay(r);
        if (names && strcmp(names, "all") == 0) {
                for (size_t i = 0; i < ELEMENTS(columns); i++)
                        (void)add_column(l, columns[i].name, strlen(columns[i].name)); /* all are known */
        } else
                for (const char *at = names ?: COLUMNS_DEFAULT;; at++) {
                        size_t n = strcspn(at, ",");

                        if (add_column(l, at, n) != 0) {
                                *ret_unknown = at;
                                *ret_n = n;
                                return EXPLAIN_LIST_UNKNOWN;
                        }
                        at += n;
                        if (!*at)
                                break;
                }
        *ret = TAKE_PTR(l);
        return 0;
}

/**
 * explain_list_free() - with its rows
 *
 * Return: NULL.
 */
ExplainList *explain_list_free(ExplainList *l) {
        if (!l)
                return NULL;
        l->table = table_free(l->table);
        free(l);
        return NULL;
}

/**
 * explain_list_suggest() - the column that was meant, or NULL
 */
const char *explain_list_suggest(const char *name, size_t n) {
        const char *names[ELEMENTS(columns)];

        for (size_t i = 0; i < ELEMENTS(columns); i++)
                names[i] = columns[i].name;
        return suggest(name, n, names, ELEMENTS(columns));
}

/**
 * explain_list_add() - a row
 *
 * Return: 0 or -ENOMEM.
 */
int explain_list_add(ExplainList *l, const Explained *e) {
        for (size_t i = 0; i < l->n; i++) {
                int r = l->cells[i](l->table, e);

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * explain_list_print() - to stdout
 */
void explain_list_print(const ExplainList *l, const Terminal *terminal, bool legend) {
        table_print(l->table, terminal, legend);
}
