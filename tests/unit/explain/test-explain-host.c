/* SPDX-License-Identifier: Apache-2.0 */

/* What is meant by a word, and who is who of a container, in a host that is made up. */

#include <string.h>

#include "clean.h"
#include "explain/explain-internal.h"

#define ID_A "aaaa223344556677ffeeddccbbaa99887766554433221100aabbccddeeff0011"
#define ID_B "bbbb223344556677ffeeddccbbaa99887766554433221100aabbccddeeff0011"
#define BAZ "/system.slice/baz.service"

static char *argv_a[] = { (char *)"/usr/bin/scopemon",
                          (char *)"-c",
                          (char *)ID_A,
                          (char *)"-r",
                          (char *)"/bin/false",
                          (char *)"-b",
                          (char *)"/x",
                          (char *)"-n",
                          (char *)"baz",
                          NULL };
static char *argv_b[] = { (char *)"/usr/bin/conmon",
                          (char *)"-c",
                          (char *)ID_B,
                          (char *)"-r",
                          (char *)"/bin/false",
                          (char *)"-b",
                          (char *)"/x",
                          (char *)"-n",
                          (char *)"qux",
                          NULL };

#define PROCESS(number, of, uid_, cgroup_, identity, arguments, is_exec)                                     \
        {                                                                                                    \
                .pid = number, .stat = { .parent = of, .uid = uid_, .comm = "x" },                           \
                .cgroup = (char *)cgroup_, .id = identity, .argv = arguments, .exec = is_exec                \
        }

/* Numbers that no process has. */
#define AT 4200000

static ExplainProcess processes[] = {
        PROCESS(AT + 1, 1, 0, BAZ "/supervisor", ID_A, argv_a, false),
        PROCESS(AT + 2, AT + 1, 0, BAZ "/libpod-payload-" ID_A, ID_A, NULL, false),
        PROCESS(AT + 3, AT + 2, 0, BAZ "/libpod-payload-" ID_A, ID_A, NULL, false),
        PROCESS(AT + 4, 1, 1000, "/machine.slice/libpod-conmon-" ID_B ".scope", ID_B, argv_b, false),
        PROCESS(AT + 5,
                AT + 4,
                1000,
                "/machine.slice/machine-pod.slice/libpod-" ID_B ".scope",
                ID_B,
                NULL,
                false),
        PROCESS(AT + 6, AT + 1, 0, BAZ "/supervisor", ID_A, argv_a, true),
        PROCESS(AT + 7, 1, 0, "/system.slice/dbus.service", "", NULL, false),
        PROCESS(AT + 8, AT + 3, 0, NULL, "", NULL, false),
};

static const ExplainHost host = { .processes = processes, .n = ELEMENTS(processes) };

static void check_found(const ExplainHost *h, const char *word, const char *first, const char *second) {
        ExplainIds ids = { 0 };

        cr_assert_eq(explain_find(h, word, &ids), 0);
        cr_assert_eq(ids.n, (size_t)(first != NULL) + (second != NULL), "%s: %zu found", word, ids.n);
        if (first)
                cr_assert_str_eq(ids.ids[0], first, "%s", word);
        if (second)
                cr_assert_str_eq(ids.ids[1], second, "%s", word);
        free(ids.ids);
}

CleanTest(explain_host, a_word_is_a_pid_a_unit_a_name_or_an_id) {
        static const struct {
                const char *word, *first, *second;
        } cases[] = {
                { "4200003", ID_A, NULL },
                { "4200008", ID_A, NULL }, /* the nearest ancestor */
                { "4200007", NULL, NULL },
                { "4200999", NULL, NULL },
                { "baz.service", ID_A, NULL },
                { "dbus.service", NULL, NULL },
                { "machine-pod.slice", ID_B, NULL },
                { "system.slice", ID_A, NULL },
                { "baz", ID_A, NULL },
                { "qux", ID_B, NULL },
                { "ba", NULL, NULL },
                { ID_B, ID_B, NULL },
                { "bbbb", ID_B, NULL },
                { "bbb", NULL, NULL }, /* too short to be meant */
                { "b?z", ID_A, NULL },
                { "*.service", ID_A, NULL },
                { "[bq]*", ID_A, ID_B },
                { "*", ID_A, ID_B },
                { "z*", NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                check_found(&host, cases[i].word, cases[i].first, cases[i].second);
}

CleanTest(explain_host, user_sees_what_is_his) {
        ExplainHost own = host;
        ExplainIds ids = { 0 };

        own.user = true;
        cr_assert_eq(explain_find_all(&own, &ids), 0);
        for (size_t i = 0; i < ids.n; i++)
                cr_assert(strcmp(ids.ids[i], geteuid() == 0 ? ID_A : ID_B) == 0, "%s", ids.ids[i]);
        free(ids.ids);
        check_found(&own, "baz.service", NULL, NULL); /* the system manager's */
}

CleanTest(explain_host, all_are_found_once) {
        ExplainIds ids = { 0 };

        cr_assert_eq(explain_find_all(&host, &ids), 0);
        cr_assert_eq(ids.n, 2);
        free(ids.ids);
}

CleanTest(explain_host, processes_of_a_container) {
        Explained *e = calloc(1, sizeof *e);

        explain_processes(&host, ID_A, e);
        cr_assert_eq(e->keeper, &processes[0]);
        cr_assert_eq(e->init, &processes[1]); /* the child of its monitor */
        cr_assert_eq(e->n_execs, 1);
        cr_assert_eq(e->n_processes, 2);
        cr_assert_str_eq(e->container_cgroup, BAZ "/libpod-payload-" ID_A);
        free(e);
}
