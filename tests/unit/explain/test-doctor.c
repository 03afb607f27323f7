/* SPDX-License-Identifier: Apache-2.0 */

/* Its findings are for tests/system/cases/commands.py; here is what any host has to say. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "clean.h"
#include "explain/doctor.h"

static int examine(Capture *c, const char *option, const char *unit) {
        char *argv[] = { (char *)"scopemon", (char *)"doctor", (char *)option, (char *)unit, NULL };
        int r;

        capture_begin(c, 1);
        r = doctor_run(4, argv);
        (void)capture_end(c);
        return r;
}

CleanTest(doctor, each_finding_has_a_row) {
        static const char *const checks[] = { "CHECK",       "REMEDY",      "cgroup v2", "systemd",
                                              "OCI runtime", "confinement", "catalog" };
        Capture c;

        (void)examine(&c, "--no-pager", NULL);
        for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
                cr_assert_not_null(strstr(c.text, checks[i]), "%s:\n%s", checks[i], c.text);
}

CleanTest(doctor, a_remedy_names_the_drop_in_of_this_installation) {
        Capture c;

        if (access("/usr/bin/podman", F_OK) < 0)
                cr_skip("no Podman");
        cr_assert_eq(setenv("CONTAINERS_CONF", "/dev/null", 1), 0);
        (void)examine(&c, "--json=short", NULL);
        cr_assert_not_null(strstr(c.text, "\"remedy\":\"ln -s " SCOPEMON_DATADIR "/podman.conf /etc"), "%s",
                           c.text);
}

CleanTest(doctor, a_unit_that_there_is_not_is_bad) {
        Capture c;

        cr_assert_eq(examine(&c, "--json=short", "no-such-unit-anywhere"), 1);
        cr_assert_eq(c.text[0], '[');
        cr_assert_not_null(strstr(c.text, "\"check\":\"no-such-unit-anywhere.service\",\"verdict\":\"bad\""),
                           "%s", c.text);
}
