/* SPDX-License-Identifier: Apache-2.0 */

/* The kernel's texts about cgroups, and the units found in paths. */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/cgtext.h"

#define HYBRID                                                                                               \
        "12:memory:/machine.slice/m\n"                                                                       \
        "3:cpu,cpuacct:/machine.slice/c\n"                                                                   \
        "1:name=systemd:/machine.slice/s\n"                                                                  \
        "0::/machine.slice/u\n"

CleanTest(cgtext, finds_the_path_of_each_hierarchy) {
        static const struct {
                const char *text;
                const char *controller; /* NULL: cgroup v2 */
                int answer;
                const char *path;
        } cases[] = {
                { "0::/\n", NULL, 0, "/" },
                { "0::/init.scope\n", NULL, 0, "/init.scope" },
                { "0::/a", NULL, 0, "/a" },
                /* contract 10: the 0:: line, wherever it stands */
                { HYBRID, NULL, 0, "/machine.slice/u" },
                { "0::/first\n12:memory:/second\n", NULL, 0, "/first" },
                { "0::/with:colon and blank\n", NULL, 0, "/with:colon and blank" },
                { "0::/gone (deleted)\n", NULL, 0, "/gone (deleted)" },
                { "0::/..a/b..\n", NULL, 0, "/..a/b.." },
                { "0::/../other\n", NULL, CGTEXT_OUTSIDE, NULL },
                { "0::/a/..\n", NULL, CGTEXT_OUTSIDE, NULL },
                { "", NULL, CGTEXT_NONE, NULL },
                { "\n\n", NULL, CGTEXT_NONE, NULL },
                { "12:memory:/x\n", NULL, CGTEXT_NONE, NULL },
                { "00::/x\n", NULL, CGTEXT_NONE, NULL },
                { "0::\n", NULL, CGTEXT_NONE, NULL },
                { "0::x\n", NULL, CGTEXT_NONE, NULL },
                { "0:\n", NULL, CGTEXT_NONE, NULL },
                { "0\n", NULL, CGTEXT_NONE, NULL },
                { "10::/x\n", NULL, CGTEXT_NONE, NULL },
                { HYBRID, "memory", 0, "/machine.slice/m" },
                { HYBRID, "cpu", 0, "/machine.slice/c" },
                { HYBRID, "cpuacct", 0, "/machine.slice/c" },
                { HYBRID, "name=systemd", 0, "/machine.slice/s" },
                { HYBRID, "mem", CGTEXT_NONE, NULL },
                { HYBRID, "memory2", CGTEXT_NONE, NULL },
                { HYBRID, "cpu,cpuacct", CGTEXT_NONE, NULL },
                { "4:memory:/../x\n", "memory", CGTEXT_OUTSIDE, NULL },
                { "0::/a:memory:/b\n", "memory", CGTEXT_NONE, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *path = NULL;
                size_t n = 0;
                int r;

                r = cases[i].controller ? cgtext_v1_path(cases[i].text, strlen(cases[i].text),
                                                         cases[i].controller, &path, &n)
                                        : cgtext_path(cases[i].text, strlen(cases[i].text), &path, &n);
                cr_assert_eq(r, cases[i].answer, "%s", cases[i].text);
                if (!cases[i].path) {
                        cr_assert_null(path);
                        continue;
                }
                cr_assert_eq(n, strlen(cases[i].path), "%s", cases[i].text);
                cr_assert_eq(memcmp(path, cases[i].path, n), 0, "%s", cases[i].text);
        }
}

CleanTest(cgtext, reads_oom_counters) {
        static const struct {
                const char *text;
                int answer;
                CgOom oom;
        } cases[] = {
                { "low 0\nhigh 7\nmax 8\noom 1\noom_kill 2\noom_group_kill 9\n", 0, { 1, 2 } },
                { "oom_kill 3\noom 4", 0, { 4, 3 } },
                { "low 0\nhigh 1\nmax 1\noom 0\noom_kill 0\n", 0, { 0, 0 } },
                { "oom_kill_disable 0\nunder_oom 1\noom_kill 5\n", 0, { 0, 5 } },
                { "oom 18446744073709551615\n", 0, { UINT64_MAX, 0 } },
                { "oom 18446744073709551616\noom_kill 1\n", 0, { 0, 1 } },
                { "oom 99999999999999999999999\n", CGTEXT_NONE, { 0 } },
                { "oom -1\noom_kill x\n", CGTEXT_NONE, { 0 } },
                { "oom \noom_kill\n", CGTEXT_NONE, { 0 } },
                { "oom 1 \n", CGTEXT_NONE, { 0 } },
                { "oom  1\n", CGTEXT_NONE, { 0 } },
                { " oom 1\n", CGTEXT_NONE, { 0 } },
                { "oom_group_kill 1\nhigh 2\n", CGTEXT_NONE, { 0 } },
                { "", CGTEXT_NONE, { 0 } },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CgOom oom = { 0 };

                cr_assert_eq(cgtext_oom(cases[i].text, strlen(cases[i].text), &oom), cases[i].answer, "%s",
                             cases[i].text);
                cr_assert_eq(oom.oom, cases[i].oom.oom, "%s", cases[i].text);
                cr_assert_eq(oom.oom_kill, cases[i].oom.oom_kill, "%s", cases[i].text);
        }
}

#define USER "/user.slice/user-1000.slice/user@1000.service"

CleanTest(cgtext, finds_the_unit_of_a_path) {
        static const struct {
                const char *path;
                CgUnitKind kind;
                const char *name;
                const char *leaf;
                int owner; /* -1: the system manager's */
        } cases[] = {
                { "/system.slice/baz.service", CG_UNIT_SERVICE, "baz.service", "", -1 },
                { "/system.slice/baz.service/supervisor", CG_UNIT_SERVICE, "baz.service", "/supervisor", -1 },
                { "/system.slice/baz.service/.control", CG_UNIT_SERVICE, "baz.service", "/.control", -1 },
                { "/system.slice/baz.service/a/b.scope", CG_UNIT_SERVICE, "baz.service", "/a/b.scope", -1 },
                { "/system.slice/system-oci.slice/oci@a\\x2db.service", CG_UNIT_SERVICE,
                  "oci@a\\x2db.service", "", -1 },
                { "/baz.service", CG_UNIT_SERVICE, "baz.service", "", -1 },
                { "/machine.slice/libpod-conmon-0123.scope", CG_UNIT_SCOPE, "libpod-conmon-0123.scope", "",
                  -1 },
                { "/machine.slice/libpod-1.scope/container/init.scope", CG_UNIT_SCOPE, "libpod-1.scope",
                  "/container/init.scope", -1 },
                { "/user.slice/user-1000.slice/session-3.scope", CG_UNIT_SCOPE, "session-3.scope", "", -1 },
                { "/init.scope", CG_UNIT_MANAGER, "init.scope", "", -1 },
                /* the user manager's */
                { USER "/app.slice/foo.service", CG_UNIT_SERVICE, "foo.service", "", 1000 },
                { USER "/app.slice/foo.service/runtime", CG_UNIT_SERVICE, "foo.service", "/runtime", 1000 },
                { USER "/user.slice/libpod-1.scope", CG_UNIT_SCOPE, "libpod-1.scope", "", 1000 },
                { USER "/foo.service", CG_UNIT_SERVICE, "foo.service", "", 1000 },
                { USER "/init.scope", CG_UNIT_MANAGER, "init.scope", "", 1000 },
                { USER, CG_UNIT_MANAGER, "user@1000.service", "", 1000 },
                { USER "/supervisor", CG_UNIT_MANAGER, "user@1000.service", "/supervisor", 1000 },
                { USER "/app.slice", CG_UNIT_MANAGER, "user@1000.service", "/app.slice", 1000 },
                { USER "/user@5.service/x", CG_UNIT_SERVICE, "user@5.service", "/x", 1000 },
                { "/user.slice/user-0.slice/user@0.service/a.scope", CG_UNIT_SCOPE, "a.scope", "", 0 },
                /* no user managers */
                { "/system.slice/user@joe.service", CG_UNIT_SERVICE, "user@joe.service", "", -1 },
                { "/system.slice/user@.service", CG_UNIT_SERVICE, "user@.service", "", -1 },
                { "/system.slice/user@01.service", CG_UNIT_SERVICE, "user@01.service", "", -1 },
                { "/system.slice/user@4294967295.service", CG_UNIT_SERVICE, "user@4294967295.service", "",
                  -1 },
                { "/system.slice/user@4294967296.service", CG_UNIT_SERVICE, "user@4294967296.service", "",
                  -1 },
                /* escaping undone */
                { "/system.slice/_cpu.service/x", CG_UNIT_SERVICE, "cpu.service", "/x", -1 },
                { "/system.slice/__a.service", CG_UNIT_SERVICE, "_a.service", "", -1 },
                { "/_cpu.slice/_cpu-a.slice/b.scope", CG_UNIT_SCOPE, "b.scope", "", -1 },
                /* no unit, or no kind that a monitor could be in */
                { "/", CG_UNIT_NONE, NULL, "/", -1 },
                { "", CG_UNIT_NONE, NULL, "", -1 },
                { "/system.slice", CG_UNIT_NONE, NULL, "/system.slice", -1 },
                { "/libpod_parent/libpod-1", CG_UNIT_NONE, NULL, "/libpod_parent/libpod-1", -1 },
                { "/docker/a.service", CG_UNIT_NONE, NULL, "/docker/a.service", -1 },
                { "/system.slice/dbus.socket", CG_UNIT_NONE, NULL, "/system.slice/dbus.socket", -1 },
                { "/system.slice/.service", CG_UNIT_NONE, NULL, "/system.slice/.service", -1 },
                { "/system.slice/@x.service", CG_UNIT_NONE, NULL, "/system.slice/@x.service", -1 },
                { "/system.slice/a b.service", CG_UNIT_NONE, NULL, "/system.slice/a b.service", -1 },
                { "/system.slice/a.service (deleted)", CG_UNIT_NONE, NULL,
                  "/system.slice/a.service (deleted)", -1 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CgUnit unit;

                cr_assert_eq(cgtext_unit(cases[i].path, &unit),
                             cases[i].kind == CG_UNIT_NONE ? CGTEXT_NONE : 0, "%s", cases[i].path);
                cr_assert_eq(unit.kind, cases[i].kind, "%s", cases[i].path);
                cr_assert_eq(unit.n_leaf, strlen(cases[i].leaf), "%s", cases[i].path);
                cr_assert_str_eq(unit.leaf, cases[i].leaf, "%s", cases[i].path);
                if (!cases[i].name)
                        continue;
                cr_assert_eq(unit.n_name, strlen(cases[i].name), "%s", cases[i].path);
                cr_assert_eq(memcmp(unit.name, cases[i].name, unit.n_name), 0, "%s", cases[i].path);
                cr_assert_eq(cases[i].path + unit.n_path, unit.leaf, "%s", cases[i].path);
                cr_assert_eq(unit.user, cases[i].owner >= 0, "%s", cases[i].path);
                cr_assert_eq(unit.owner, (uint32_t)(cases[i].owner < 0 ? 0 : cases[i].owner));
        }
}

CleanTest(cgtext, overlong_name_is_no_unit) {
        char path[400] = "/";
        CgUnit unit;

        memset(path + 1, 'a', 300);
        (void)strcpy(path + 248, ".service"); /* 247 + 8 bytes */
        cr_assert_eq(cgtext_unit(path, &unit), 0);
        (void)strcpy(path + 248, "a.service");
        cr_assert_eq(cgtext_unit(path, &unit), CGTEXT_NONE);
}

CleanTest(cgtext, below_is_by_component) {
        static const struct {
                const char *path, *parent;
                bool below;
        } cases[] = {
                { "/a/b", "/a/b", true },    { "/a/b/c", "/a/b", true }, { "/a/bc", "/a/b", false },
                { "/a", "/a/b", false },     { "/a/b", "/", true },      { "/", "/", true },
                { "/a", "", true },          { "/a/b/", "/a/b", true },  { "/a/b", "/a/b/", true },
                { "/a/bc", "/a/b/", false }, { "/", "/a", false },       { "", "/", true },
                { "/b/a", "/a", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(cgtext_is_below(cases[i].path, cases[i].parent), cases[i].below, "%s %s",
                             cases[i].path, cases[i].parent);
}

CleanTest(cgtext, container_is_named_by_the_managers_names) {
        static const struct {
                const char *path, *id;
                bool monitor;
        } cases[] = {
                { "/machine.slice/libpod-0123456789ab.scope", "0123456789ab", false },
                { "/machine.slice/libpod-0123456789ab.scope/container", "0123456789ab", false },
                { "/machine.slice/libpod-conmon-0123456789abcdef.scope", "0123456789abcdef", true },
                { "/system.slice/crio-conmon-0123456789ab.scope", "0123456789ab", true },
                { "/kubepods.slice/kubepods-pod1.slice/crio-0123456789ab.scope/x", "0123456789ab", false },
                { "/system.slice/baz.service/libpod-payload-0123456789ab", "0123456789ab", false },
                { "/system.slice/oci@baz.service/libpod-payload-scopemon-baz", "baz", false },
                { "/system.slice/oci@baz.service/libpod-payload-scopemon-baz/x", "baz", false },
                { "/machine.slice/oci-baz.scope", "baz", false },
                { "/libpod_parent/libpod-0123456789ab", "0123456789ab", false },
                { "/machine.slice/libpod-0123456789ab.scope/libpod-ba9876543210", "0123456789ab", false },
                { "/system.slice/baz.service/supervisor", NULL, false },
                { "/machine.slice/machine-libpod_pod_0123456789ab.slice", NULL, false },
                { "/machine.slice/libpod-0123456789a.scope", NULL, false },
                { "/machine.slice/libpod-0123456789abX.scope", NULL, false },
                { "/machine.slice/libpod-.scope", NULL, false },
                { "/machine.slice/oci-.scope", NULL, false },
                { "/machine.slice/oci-baz", NULL, false },
                { "/machine.slice/libpod-payload-scopemon-", NULL, false },
                { "/machine.slice/xlibpod-0123456789ab.scope", NULL, false },
                { "/", NULL, false },
                { "", NULL, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                CgContainer c;

                cr_assert_eq(cgtext_container(cases[i].path, &c), cases[i].id ? 0 : CGTEXT_NONE, "%s",
                             cases[i].path);
                if (!cases[i].id)
                        continue;
                cr_assert_eq(c.n_id, strlen(cases[i].id), "%s", cases[i].path);
                cr_assert_eq(memcmp(c.id, cases[i].id, c.n_id), 0, "%s", cases[i].path);
                cr_assert_eq(c.monitor, cases[i].monitor, "%s", cases[i].path);
                cr_assert_eq(c.service, strcmp(cases[i].id, "baz") == 0, "%s", cases[i].path);
        }
}
