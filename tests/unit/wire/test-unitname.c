/* SPDX-License-Identifier: Apache-2.0 */

/* Names as systemd takes them, and what is made of ids that it would not take. */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/unitname.h"

CleanTest(unitname, validity_is_systemds) {
        static const struct {
                const char *name, *suffix;
                bool valid;
        } cases[] = {
                { "a.service", NULL, true },
                { "a.service", ".service", true },
                { "a.service", ".scope", false },
                { "libpod-0123abc.scope", ".scope", true },
                { "init.scope", NULL, true },
                { "a.b.c.service", NULL, true },
                { "A-z0:9_.\\x2d.service", NULL, true },
                { "oci@baz.service", NULL, true },
                { "oci@a@b.service", NULL, true },
                { "user@1000.service", NULL, true },
                { "a.socket", NULL, true },
                { "-.mount", NULL, true },
                { "oci@.service", NULL, false },
                { "@baz.service", NULL, false },
                { "", NULL, false },
                { ".service", NULL, false },
                { "service", NULL, false },
                { "a.", NULL, false },
                { "a.snapshot", NULL, false },
                { "a.service.", NULL, false },
                { "a b.service", NULL, false },
                { "a/b.service", NULL, false },
                { "a\nb.service", NULL, false },
                { "\xc3\xbc.service", NULL, false },
                { "machine.slice", ".slice", true },
                { "machine-foo.slice", ".slice", true },
                { "-.slice", ".slice", true },
                { "a.b.slice", ".slice", true },
                { "-a.slice", ".slice", false },
                { "a-.slice", ".slice", false },
                { "a--b.slice", ".slice", false },
                { "--.slice", ".slice", false },
                { "a@b.slice", ".slice", false },
                { ".slice", ".slice", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(unitname_is_valid(cases[i].name, cases[i].suffix), cases[i].valid, "%s",
                             cases[i].name);
}

CleanTest(unitname, longest_name_is_255_bytes) {
        char name[300];

        memset(name, 'a', sizeof name);
        (void)strcpy(name + 247, ".service");
        cr_assert(unitname_is_valid(name, NULL));
        (void)strcpy(name + 248, ".service");
        cr_assert_not(unitname_is_valid(name, NULL));
}

CleanTest(unitname, scope_names_are_escaped_where_needed) {
        static const struct {
                const char *prefix, *id, *expected; /* NULL: refused */
        } cases[] = {
                { "libpod", "0123abcdef", "libpod-0123abcdef.scope" },
                { "libpod-conmon", "0123abcdef", "libpod-conmon-0123abcdef.scope" },
                { "crio", "my_pod.1-x", "crio-my_pod.1-x.scope" },
                { "libpod", ".hidden", "libpod-.hidden.scope" },
                { ".a", "b", "\\x2ea-b.scope" },
                { "libpod", "a b/c", "libpod-a\\x20b\\x2fc.scope" },
                { "libpod", "a@b\\", "libpod-a\\x40b\\x5c.scope" },
                { "libpod", "\xc3\xbc\n", "libpod-\\xc3\\xbc\\x0a.scope" },
                { "libpod", "", NULL },
                { "", "a", NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[UNITNAME_SIZE] = "untouched";

                if (!cases[i].expected) {
                        cr_assert_eq(unitname_scope(out, sizeof out, cases[i].prefix, cases[i].id),
                                     UNITNAME_BAD);
                        cr_assert_str_eq(out, "untouched");
                        continue;
                }
                cr_assert_eq(unitname_scope(out, sizeof out, cases[i].prefix, cases[i].id), 0);
                cr_assert_str_eq(out, cases[i].expected);
                cr_assert(unitname_is_valid(out, ".scope"), "%s", out);
        }
}

CleanTest(unitname, too_long_a_scope_is_refused_not_cut) {
        char id[300], out[UNITNAME_SIZE] = "untouched";

        memset(id, 'a', sizeof id);
        id[247] = 0; /* "p-" + 247 + ".scope" */
        cr_assert_eq(unitname_scope(out, sizeof out, "p", id), 0);
        cr_assert_eq(strlen(out), 255);
        (void)strcpy(out, "untouched");
        id[247] = 'a';
        id[248] = 0;
        cr_assert_eq(unitname_scope(out, sizeof out, "p", id), UNITNAME_TOO_LONG);
        id[100] = 0;
        cr_assert_eq(unitname_scope(out, 108, "p", id), UNITNAME_TOO_LONG);
        cr_assert_str_eq(out, "untouched");
        cr_assert_eq(unitname_scope(out, 109, "p", id), 0);
}
