/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "capture.h"
#include "clean.h"
#include "explain/verb.h"

CleanTest(verb, options_may_stand_anywhere) {
        char *words[] = { (char *)"a", (char *)"--json=short", (char *)"-o", (char *)"id,unit",
                          (char *)"b", (char *)"--no-pager",   (char *)"--", (char *)"--all",
                          NULL };
        VerbOptions o = { 0 };

        cr_assert_eq(verb_parse(VERB_LIST, words, &o), 0);
        cr_assert_str_eq(words[0], "a");
        cr_assert_str_eq(words[1], "b");
        cr_assert_str_eq(words[2], "--all");
        cr_assert_null(words[3]);
        cr_assert(o.no_pager && !o.all && !o.user);
        cr_assert_str_eq(o.output, "id,unit");
        cr_assert_eq(o.format, VERB_FORMAT_SHORT);
}

/* As --json is of other programs: elsewhere than on a terminal it is for a program. */
CleanTest(verb, json_needs_no_mode) {
        char *words[] = { (char *)"--json", (char *)"pretty", NULL };
        VerbOptions o = { 0 };
        Capture c;
        int r;

        capture_begin(&c, 1);
        r = verb_parse(VERB_LIST, words, &o);
        (void)capture_end(&c);
        cr_assert_eq(r, 0);
        cr_assert_eq(o.format, VERB_FORMAT_SHORT);
        cr_assert_str_eq(words[0], "pretty"); /* the name of a container */
}

CleanTest(verb, what_is_wrong_is_told) {
        char *wrong[] = { (char *)"--json=",  (char *)"--outptu=x", (char *)"-o",
                          (char *)"--user=1", (char *)"-z",         (char *)"" };
        static const char *const said[] = { "--json=: must be",     "did you mean --output?",
                                            "requires an argument", "does not take an argument",
                                            "Unknown option -z",    "An argument is empty" };

        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                char *words[] = { wrong[i], NULL };
                VerbOptions o = { 0 };
                Capture c;
                int r;

                capture_begin(&c, 2);
                r = verb_parse(VERB_LIST, words, &o);
                (void)capture_end(&c);
                cr_assert_lt(r, 0);
                cr_assert_not_null(strstr(c.text, said[i]), "%s", c.text);
        }
}

CleanTest(verb, an_option_of_another_verb_is_none) {
        static const struct {
                Verb verb;
                const char *word;
        } cases[] = { { VERB_EXPLAIN, "--all" },
                      { VERB_STATUS, "--no-legend" },
                      { VERB_DOCTOR, "-oid" },
                      { VERB_EXPLAIN, "-a" },
                      { VERB_UPGRADE, "--json" } };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                char *words[] = { (char *)cases[i].word, NULL };
                VerbOptions o = { 0 };
                Capture c;
                int r;

                capture_begin(&c, 2);
                r = verb_parse(cases[i].verb, words, &o);
                (void)capture_end(&c);
                cr_assert_lt(r, 0, "%s", cases[i].word);
                cr_assert_not_null(strstr(c.text, cases[i].word), "%s", c.text);
        }
}
