/* SPDX-License-Identifier: Apache-2.0 */

/* The cells of "scopemon list", of containers in all states. */

#include <string.h>

#include "capture.h"
#include "clean.h"
#include "explain/explain-internal.h"

/* The row of one container, without blanks between its cells but one. */
static const char *row(Capture *c, const char *columns, const Explained *e) {
        _cleanup_(explain_list_freep) ExplainList *l = NULL;
        const char *unknown;
        size_t n;
        char *to;

        cr_assert_eq(explain_list_new(&l, columns, &unknown, &n), 0);
        cr_assert_eq(explain_list_add(l, e), 0);
        capture_begin(c, 1);
        explain_list_print(l, &(Terminal){ 0 }, false);
        (void)capture_end(c);
        to = c->text;
        for (const char *from = c->text; *from && *from != '\n'; from++)
                if (*from != ' ' || (to > c->text && to[-1] != ' '))
                        *to++ = *from;
        *to = 0;
        return c->text;
}

static const ExplainProcess monitor = { .pid = 11, .stat.comm = "conmon" };
static const ExplainProcess process = { .pid = 12, .stat.comm = "sleep" };

CleanTest(explain_list, a_state_is_what_runs_and_how_it_ended) {
        const struct {
                Explained e;
                const char *state;
        } cases[] = {
                { { .init = &process, .keeper = &monitor }, "running" },
                { { .init = &process }, "unmonitored" },
                { { .keeper = &monitor }, "starting" },
                { { .end = { .known = true, .has_status = true, .status = 3 } }, "exited 3" },
                { { .end = { .known = true, .has_status = true } }, "exited" },
                { { .end = { .known = true } }, "exited" },
                { { .id = "x" }, "exited" },
        };
        Capture c;

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_str_eq(row(&c, "state", &cases[i].e), cases[i].state, "case %zu", i);
}

CleanTest(explain_list, output_is_of_this_run_or_of_the_last_one) {
        Explained e = { .id = "x",
                        .keeper = &monitor,
                        .init = &process,
                        .output = { .known = true,
                                    .lines = 7,
                                    .bytes = 1536,
                                    .lost = 1,
                                    .suppressed = 5000,
                                    .clients = 2 },
                        .end = { .known = true, .bytes = 99, .lost = 98, .suppressed = 97 } };
        Capture c;

        cr_assert_str_eq(row(&c, "lines,bytes,lost,suppressed,clients", &e), "7 1.5K 1 5000 2");
        e.keeper = e.init = NULL;
        e.output = (ExplainOutput){ 0 };
        cr_assert_str_eq(row(&c, "lines,bytes,lost,suppressed,clients", &e), "- 99B 98 97 -");
        e.end.by_podman = true; /* which knows nothing of output */
        cr_assert_str_eq(row(&c, "lines,bytes,lost,suppressed,clients", &e), "- - - - -");
        e.keeper = &monitor; /* another version's: its ring is not read */
        cr_assert_str_eq(row(&c, "lines,bytes,lost,suppressed,clients", &e), "- - - - -");
}

CleanTest(explain_list, what_is_not_known_for_sure_is_marked) {
        Explained e = { .id = "0123456789abcdef", .keeper = &monitor, .init = &process };
        Capture c;

        cr_assert_str_eq(row(&c, "container,id,unit,placement,memory,monitor,pid", &e),
                         "0123456789abcdef 0123456789ab - - - 11 12");
        (void)strcpy(e.name, "baz");
        (void)strcpy(e.monitor_unit.name, "m.service");
        (void)strcpy(e.placement.name, "nest");
        e.output.has_memory = true;
        e.output.memory = 3 << 20;
        cr_assert_str_eq(row(&c, "container,unit,placement,memory", &e), "baz m.service nest? 3.0M");
        (void)strcpy(e.container_unit.name, "c.scope");
        e.placement.told = true;
        cr_assert_str_eq(row(&c, "unit,placement", &e), "c.scope nest");
        e.stock = true;
        cr_assert_str_eq(row(&c, "placement", &e), "(conmon)");
}

CleanTest(explain_list, columns_are_chosen_and_misspelt) {
        ExplainList *l = NULL;
        const char *unknown;
        size_t n;

        cr_assert_eq(explain_list_new(&l, "all", &unknown, &n), 0);
        l = explain_list_free(l);
        cr_assert_eq(explain_list_new(&l, NULL, &unknown, &n), 0);
        l = explain_list_free(l);
        cr_assert_eq(explain_list_new(&l, "id,contaner,pid", &unknown, &n), EXPLAIN_LIST_UNKNOWN);
        cr_assert_null(l);
        cr_assert_eq(strncmp(unknown, "contaner,", n + 1), 0);
        cr_assert_str_eq(explain_list_suggest(unknown, n), "container");
        cr_assert_null(explain_list_suggest("zzzzzzz", 7));
        cr_assert_eq(explain_list_new(&l, "id,,pid", &unknown, &n), EXPLAIN_LIST_UNKNOWN);
        /* as often as there is room */
        cr_assert_eq(explain_list_new(&l, "", &unknown, &n), EXPLAIN_LIST_UNKNOWN);
        cr_assert_eq(explain_list_new(&l, "id,", &unknown, &n), EXPLAIN_LIST_UNKNOWN);
        cr_assert_eq(n, 0);
}

CleanTest(explain_list, a_column_is_shown_once) {
        Explained e = { .id = "0123456789abcdef", .init = &process };
        Capture c;

        cr_assert_str_eq(row(&c, "pid,id,pid,id,id,id,id,id,id,id,id,id,id,id,id,id,id", &e),
                         "12 0123456789ab");
}
