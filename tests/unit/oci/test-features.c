/* SPDX-License-Identifier: Apache-2.0 */

/* Which runtimes know the annotations: by name, by what they answer, and what if they do not. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "oci/features.h"

typedef struct Site {
        char dir[64], program[128];
} Site;

/* @script: what "RUNTIME features" does */
static void site_init(Site *s, const char *script) {
        _cleanup_close_ int fd = -1;

        *s = (Site){ .dir = "/tmp/test-features-XXXXXX" };
        cr_assert_not_null(mkdtemp(s->dir));
        (void)snprintf(s->program, sizeof s->program, "%s/anything", s->dir);
        fd = open(s->program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        cr_assert_geq(fd, 0);
        cr_assert_eq(fd_write_full(fd, script, strlen(script)), 0);
}

static void site_done(Site *s) {
        ProcessStatus status;

        cr_assert_eq(unlink(s->program), 0);
        cr_assert_eq(rmdir(s->dir), 0);
        cr_assert_eq(process_peek(0, &status), -ECHILD, "no child is left");
}

CleanTest(features, well_known_runtimes_are_known_by_name) {
        static const char *const known[] = { "/nonexistent/runc",     "/nonexistent/crun",
                                             "/nonexistent/krun",     "/nonexistent/crun-wasm",
                                             "/nonexistent/runc-1.1", "/nonexistent/runc.real" };
        static const char *const unknown[] = { "/nonexistent/runsc",  "/nonexistent/youki",
                                               "/nonexistent/crunch", "/nonexistent/my-runc",
                                               "/runc/other",         "/nonexistent/kata-runtime" };

        for (size_t i = 0; i < ELEMENTS(known); i++)
                cr_assert(features_by_name(known[i]), "%s", known[i]);
        for (size_t i = 0; i < ELEMENTS(unknown); i++)
                cr_assert_not(features_by_name(unknown[i]), "%s", unknown[i]);
}

CleanTest(features, names_of_links_mean_nothing) {
        char link[160];
        Site s;

        site_init(&s, "");
        (void)snprintf(link, sizeof link, "%s/runc", s.dir);
        cr_assert_eq(symlink(s.program, link), 0);
        cr_assert_not(features_by_name(link));
        cr_assert_eq(unlink(link), 0);
        site_done(&s);
}

CleanTest(features, answers_are_understood) {
        static const struct {
                const char *text;
                bool knows;
        } cases[] = {
                { "", false },
                { "unknown command features", false },
                { "{\"annotations\":{\"run.oci.crun.version\":\"1.21\"}}", true },
                { "{\"annotations\":{\"org.opencontainers.runc.commit\":\"x\"}}", true },
                { "{\"annotations\":{\"org.opencontainers.runc.version\":\"1.1.0\"}}", false },
                { "{\"potentiallyUnsafeConfigAnnotations\":[\"bundle\",\"org.systemd.property.\"]}", true },
                { "{\"potentiallyUnsafeConfigAnnotations\":[\"run.oci.\"]}", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(features_in_text(cases[i].text, strlen(cases[i].text)), cases[i].knows, "%s",
                             cases[i].text);
}

CleanTest(features, runtime_is_asked) {
        Site s;

        site_init(&s, "#!/bin/sh\ntest \"$*\" = features && echo '{\"x\":[\"org.systemd.property.\"]}'\n");
        cr_assert(features_ask(s.program));
        site_done(&s);
}

CleanTest(features, runtime_without_an_answer_knows_nothing) {
        static const char *const scripts[] = {
                "#!/bin/sh\necho 'no such command' >&2; exit 1\n",
                "#!/bin/sh\nexec head -c 1000000 /dev/zero\n",
                "#!/bin/sh\nexec sleep 1000\n", /* waited for, but not for long */
                "#!/nonexistent/interpreter\n",
        };

        for (size_t i = 0; i < ELEMENTS(scripts); i++) {
                Site s;

                site_init(&s, scripts[i]);
                cr_assert_not(features_ask(s.program), "script %zu", i);
                site_done(&s);
        }
}

CleanTest(features, version_is_its_first_line) {
        char version[16];
        Site s;

        site_init(&s, "#!/bin/sh\n[ \"$1\" = --version ] && printf 'runtime 1.2\\nspec: 1.0\\n'\n");
        features_version(s.program, version, sizeof version);
        cr_assert_str_eq(version, "runtime 1.2");
        features_version("/nonexistent/runtime", version, sizeof version);
        cr_assert_str_empty(version);
        site_done(&s);
}
