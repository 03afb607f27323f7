/* SPDX-License-Identifier: Apache-2.0 */

/* What people and programs are told of a container that is made up. */

#include <string.h>

#include "capture.h"
#include "clean.h"
#include "explain/explain-internal.h"

static const ExplainProcess monitor = { .pid = 11,
                                        .stat.comm = "scopemon",
                                        .cgroup = (char *)"/baz/supervisor" };
static const ExplainProcess process = { .pid = 12, .stat = { .comm = "sh", .start_usec = 1000000 } };

static Explained *sample(void) {
        Explained *e = calloc(1, sizeof *e);

        (void)strcpy(e->id, "0123");
        (void)strcpy(e->name, "baz");
        return e;
}

static const char *printed(Capture *c, const Explained *e) {
        capture_begin(c, 1);
        explain_print(e);
        return capture_end(c);
}

CleanTest(explain_print, spans_have_their_two_largest_units) {
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0" },
                { 999, "0" },
                { 1500, "1ms" },
                { 1000000, "1s" },
                { 1500000, "1s" },
                { 61000000, "1min 1s" },
                { 3600000000, "1h" },
                { 3601000000, "1h 1s" },
                { 90061000000, "1d 1h" },
                { UINT64_MAX, "infinity" },
        };
        char out[64];

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_str_eq(explain_format_span(cases[i].usec, out, sizeof out), cases[i].text);
}

CleanTest(explain_print, an_end_is_told_by_what_is_known_of_it) {
        static const struct {
                ExplainEnd end;
                const char *said;
        } cases[] = {
                { { .known = true, .has_status = true, .status = 3 }, "exited with status 3 after" },
                { { .known = true, .has_status = true, .status = 137, .signal = 9 },
                  "killed by SIGKILL after" },
                { { .known = true, .signal = 9, .oom = true }, "killed by SIGKILL, out of memory" },
                { { .known = true, .signal = 11, .core_dumped = true },
                  "killed by SIGSEGV, dumped core after" },
                { { .known = true, .has_status = true, .oom = true },
                  "status 0, after an out-of-memory kill" },
                { { .known = true, .timed_out = true, .signal = 9 }, "killed after its timeout" },
                { { .known = true }, "exited, status unknown" },
                { { .known = true, .other = true, .id = "0123456789abcdef" },
                  "(container 0123456789ab of the same name) exited" },
                { { .known = true, .by_podman = true, .has_status = true, .status = 4 },
                  "status 4 (from Podman)" },
                { { .known = true, .suppressed = 5, .lost = 6 }, "6 lost, 5 lines dropped by journald" },
                { { .known = true, .signal = 4000 }, "exited, status unknown" },
        };
        Capture c;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ Explained *e = sample();

                e->end = cases[i].end;
                cr_assert_not_null(strstr(printed(&c, e), cases[i].said), "case %zu: %s", i, c.text);
                cr_assert_not_null(strstr(c.text, "not running"), "%s", c.text);
        }
}

CleanTest(explain_print, a_container_that_runs) {
        _cleanup_free_ Explained *e = sample();
        Capture c;

        e->keeper = &monitor;
        e->init = &process;
        e->n_processes = 3;
        (void)strcpy(e->placement.name, "nest");
        (void)strcpy(e->placement.reason, "because");
        e->output = (ExplainOutput){ .known = true, .bytes = 5, .suppressed = 2000, .clients = 1 };
        (void)printed(&c, e);
        cr_assert_not_null(strstr(c.text, "baz (0123)"), "%s", c.text);
        cr_assert_not_null(strstr(c.text, "Monitor: 11 (scopemon), in /baz/supervisor"), "%s", c.text);
        cr_assert_not_null(strstr(c.text, "Container: 12 (sh) and 2 more"), "%s", c.text);
        cr_assert_not_null(strstr(c.text, "nest (inferred): because"), "%s", c.text);
        cr_assert_not_null(strstr(c.text, "0 lost, 2000 lines dropped by journald; 1 client attached"), "%s",
                           c.text);
        cr_assert_not_null(strstr(c.text, "podman logs baz"), "%s", c.text);
        e->placement.told = true;
        cr_assert_not_null(strstr(printed(&c, e), "nest: because"), "%s", c.text);
        e->placement.told = false;
        e->stock = true;
        cr_assert_not_null(strstr(printed(&c, e), "scopemon would choose nest"), "%s", c.text);
        e->keeper = NULL;
        cr_assert_not_null(strstr(printed(&c, e), "none (died)"), "%s", c.text);
}

CleanTest(explain_print, names_do_not_reach_the_terminal_as_they_are) {
        _cleanup_free_ Explained *e = sample();
        Capture c;

        (void)strcpy(e->name, "a\033[2Jb");
        cr_assert_null(strchr(printed(&c, e), '\033'));
}

CleanTest(explain_print, programs_are_told_what_is_known_only) {
        _cleanup_(json_freep) Json *json = NULL, *more = NULL;
        _cleanup_free_ Explained *e = sample();
        const char *text;

        cr_assert_eq(explain_json(e, &json), 0);
        text = json_text(json, false);
        cr_assert_not_null(strstr(text, "\"running\":false"), "%s", text);
        cr_assert(!strstr(text, "\"output\"") && !strstr(text, "\"end\"") && !strstr(text, "\"unit\""), "%s",
                  text);
        e->keeper = &monitor;
        e->init = &process;
        e->output = (ExplainOutput){ .known = true, .suppressed = 7 };
        e->end = (ExplainEnd){ .known = true, .has_status = true, .status = 3 };
        cr_assert_eq(explain_json(e, &more), 0);
        text = json_text(more, false);
        cr_assert_not_null(strstr(text, "\"entries_suppressed\":7"), "%s", text);
        cr_assert_not_null(strstr(text, "\"status\":3"), "%s", text);
}
