/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "clean.h"
#include "explain/setting.h"

#define KEY "engine.conmon_path"

/* The strings of a TOML value, each followed by a blank. */
static const char *strings_of(const char *text, const char *key, char *out, size_t size) {
        char value[1024], word[256];
        const char *at = value;

        out[0] = 0;
        if (setting_find_toml(text, key, value, sizeof value) != 0)
                return NULL;
        while (setting_next_string(&at, word, sizeof word) == 0) {
                size_t n = strlen(out);

                cr_assert_lt((size_t)snprintf(out + n, size - n, "%s ", word), size - n);
        }
        return out;
}

CleanTest(setting, toml_values_are_read_as_podman_reads_them) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[engine]\nconmon_path = [\"/a\", \"/b\"]\n", "/a /b " },
                { "[engine]\nconmon_path=[\n  \"/a\", # the first\n  \"/b\",\n]\nother = \"/c\"\n",
                  "/a /b " },
                { "[engine]\r\nconmon_path = [\r\n\"/a\"\r\n]\r\n", "/a " },
                { "[engine] # of Podman\nconmon_path = [\"/a\"] # \"/b\"\n", "/a " },
                { "[ engine ]\n\tconmon_path\t= ['/a', '/b\\']\n", "/a /b\\ " },
                { "[engine]\nconmon_path = [\"/a#b\", \"/c]d\", \"/e\\\"f\\\\\"]\n", "/a#b /c]d /e\"f\\ " },
                { "[engine]\n\"conmon_path\" = [\"/a\"]\n", "/a " },
                { "engine.conmon_path = [\"/a\"]\n", "/a " },
                { "engine . 'conmon_path' = [\"/a\"]\n", "/a " },
                { "[engine]\nconmon_path = []\n", "" },
                { "[engine]\nconmon_path = [\"/a\"]", "/a " },
                { "[engine]\nx = \"\"\"\nconmon_path = [\"/no\"]\n\"\"\"\nconmon_path = [\"/a\"]\n", "/a " },
                { "[engine]\nx = '''\nconmon_path = [\"/no\"]'''\nconmon_path = [\"/a\"]\n", "/a " },
                { "[engine]\nx = [\n\"conmon_path = 1\"\n]\nconmon_path = [\"/a\"]\n", "/a " },
                { "[engine]\nconmon_path = \"\"\"/a\"\"\"\n", "/a " },
                /* not it */
                { "", NULL },
                { "[engine]\n#conmon_path = [\"/a\"]\n", NULL },
                { "[engine]\n  # conmon_path = [\"/a\"]\n", NULL },
                { "[engine]\nconmon_path_x = [\"/a\"]\n", NULL },
                { "[engine]\nconmon_path\n", NULL },
                { "[network]\nconmon_path = [\"/a\"]\n", NULL },
                { "[engine]\n[engine.x]\nconmon_path = [\"/a\"]\n", NULL },
                { "[[engine]]\nconmon_path = [\"/a\"]\n", NULL },
                { "[engine\nconmon_path = [\"/a\"]\n", NULL },
        };
        char out[1024];

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *found = strings_of(cases[i].text, KEY, out, sizeof out);

                if (cases[i].expected)
                        cr_assert_str_eq(found ?: "(none)", cases[i].expected, "case %zu: %s", i, found);
                else
                        cr_assert_null(found, "case %zu: %s", i, found);
        }
}

CleanTest(setting, broken_toml_ends_nowhere_else) {
        static const char *const broken[] = {
                "[engine]\nconmon_path = [\"/a\n",
                "[engine]\nconmon_path = [\n",
                "[engine]\nconmon_path = \"\\",
                "[engine]\nconmon_path = \"\"\"",
                "[engine]\nconmon_path = [[[[",
                "\"",
                "'",
                "[",
                "[\"",
                "=",
        };
        char out[1024];

        for (size_t i = 0; i < ELEMENTS(broken); i++)
                (void)strings_of(broken[i], KEY, out, sizeof out);
}

CleanTest(setting, a_pattern_stands_for_any_name) {
        static const char text[] = "[crio.runtime.runtimes.runc]\nmonitor_path = \"/a\"\n"
                                   "[crio.runtime.runtimes.\"my.crun\"]\nruntime_path = \"/b\"\n";
        char out[64];

        cr_assert_str_eq(strings_of(text, "crio.runtime.runtimes.*.monitor_path", out, sizeof out), "/a ");
        cr_assert_str_eq(strings_of(text, "crio.runtime.runtimes.my.crun.runtime_path", out, sizeof out),
                         "/b ");
        cr_assert_null(strings_of(text, "crio.runtime.conmon", out, sizeof out));
}

CleanTest(setting, what_does_not_fit_is_not_taken_for_less) {
        char value[8] = "before", word[3] = "x";
        const char *at = "\"/abc\", \"/d\"";

        cr_assert_eq(setting_find_toml("[a]\nb = [\"/longer\"]\n", "a.b", value, sizeof value), SETTING_NONE);
        cr_assert_str_eq(value, "before");
        cr_assert_eq(setting_next_string(&at, word, sizeof word), 0);
        cr_assert_str_eq(word, "/d");
        cr_assert_eq(setting_next_string(&at, word, sizeof word), SETTING_NONE);
}

CleanTest(setting, a_list_can_be_appended_to) {
        cr_assert(setting_appends("[\"/a\", {append=true}]"));
        cr_assert(setting_appends("[\"/a\", { append = true }]"));
        cr_assert_not(setting_appends("[\"/a\", {append=false}]"));
        cr_assert_not(setting_appends("[\"/append = true\"]"));
        cr_assert_not(setting_appends("[]"));
}

CleanTest(setting, systemd_has_sections_and_comments_of_whole_lines) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[Journal]\nBurst=5\n", "5" },
                { "[Journal]\n Burst = 5 s \n", "5 s" },
                { "[Journal]\nBurst=5\nBurst=6\n", "6" },
                { "[Journal]\nBurst=5 # all of it\n", "5 # all of it" },
                { "[Journal]\nBurst=5\\\n 6", "5  6" },
                { "[Journal]\nBurst=\n", "" },
                { "[Journal]\n#Burst=5\n;Burst=6\n", NULL },
                { "[Other]\nBurst=5\n", NULL },
                { "Burst=5\n", NULL },
                { "[Journal]\nBursts=5\n", NULL },
                { "[Journal]\nBurst\n", NULL },
                { "[Journal]\n[Other]\n[Journal]\nBurst=7", "7" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char value[64] = "";
                int r = setting_find_ini(cases[i].text, "Journal", "Burst", value, sizeof value);

                cr_assert_eq(r, cases[i].expected ? 0 : SETTING_NONE, "case %zu", i);
                cr_assert_str_eq(value, cases[i].expected ?: "", "case %zu", i);
        }
}

static void touch(const char *top, const char *path) {
        char name[128];
        int fd;

        (void)snprintf(name, sizeof name, "%s/%s", top, path);
        fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        cr_assert_geq(fd, 0);
        (void)close(fd);
}

CleanTest(setting, drop_ins_are_sorted_by_name_and_the_first_directory_wins) {
        char top[] = "/tmp/test-setting-XXXXXX", etc[64], lib[64], none[64], command[128];
        const char *const directories[] = { etc, none, lib };
        static const char *const expected[] = { "etc/10-a.conf", "lib/20-b.conf", "etc/30-c.conf" };
        char **files;

        cr_assert_not_null(mkdtemp(top));
        (void)snprintf(etc, sizeof etc, "%s/etc", top);
        (void)snprintf(lib, sizeof lib, "%s/lib", top);
        (void)snprintf(none, sizeof none, "%s/none", top);
        cr_assert_eq(mkdir(etc, 0700), 0);
        cr_assert_eq(mkdir(lib, 0700), 0);
        touch(top, "etc/30-c.conf");
        touch(top, "etc/10-a.conf");
        touch(top, "etc/README");
        touch(top, "etc/.conf");
        touch(top, "lib/20-b.conf");
        touch(top, "lib/10-a.conf");
        touch(top, "lib/25-x.conf~");

        cr_assert_eq(setting_files(directories, ELEMENTS(directories), &files), 0);
        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                cr_assert_not_null(files[i], "only %zu", i);
                cr_assert_str_eq(files[i] + strlen(top) + 1, expected[i]);
        }
        cr_assert_null(files[ELEMENTS(expected)]);
        files = setting_files_free(files);
        cr_assert_eq(setting_files(NULL, 0, &files), 0);
        cr_assert_null(files[0]);
        files = setting_files_free(files);
        (void)snprintf(command, sizeof command, "rm -r %s", top);
        cr_assert_eq(system(command), 0);
}
