/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Plain directories with the kernel's file names for the values; and real cgroups, at the root of cgroup v2, where some may
 * be made.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "io/cgroup.h"

typedef struct Trio {
        char dir[64];
        int slice, unit, pod;
} Trio;

static const char *const names[] = { "slice", "unit", "pod" };
static const char *const files[] = { "cgroup.controllers",
                                     "cgroup.subtree_control",
                                     "cpu.max",
                                     "cpu.weight",
                                     "io.max",
                                     "memory.max",
                                     "memory.low",
                                     "pids.max" };

static void set(int dir, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
}

static bool is(int dir, const char *name, const char *text) {
        _cleanup_free_ char *seen = NULL;

        cr_assert_eq(fd_read_file(dir, name, 4096, &seen, NULL), 0, "%s", name);
        return strcmp(seen, text) == 0;
}

static void trio_init(Trio *t) {
        int *const fds[] = { &t->slice, &t->unit, &t->pod };
        char path[128];

        *t = (Trio){ .dir = "/tmp/test-limits-XXXXXX" };
        cr_assert_not_null(mkdtemp(t->dir));
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                (void)snprintf(path, sizeof path, "%s/%s", t->dir, names[i]);
                cr_assert_eq(mkdir(path, 0700), 0);
                *fds[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        set(t->unit, "cgroup.controllers", "cpuset cpu io memory\n");
        set(t->unit, "cgroup.subtree_control", "");
}

static void trio_done(Trio *t) {
        int fds[] = { t->slice, t->unit, t->pod };
        char path[128];

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                for (size_t k = 0; k < ELEMENTS(files); k++)
                        (void)unlinkat(fds[i], files[k], 0);
                (void)snprintf(path, sizeof path, "%s/%s", t->dir, names[i]);
                cr_assert_eq(rmdir(path), 0, "%s: %m", path);
        }
        fd_close_many(fds, ELEMENTS(fds));
        cr_assert_eq(rmdir(t->dir), 0);
}

/* As the kernel makes them. */
static void set_defaults(int dir) {
        set(dir, "cpu.max", "max 100000\n");
        set(dir, "cpu.weight", "100\n");
        set(dir, "io.max", "");
        set(dir, "memory.max", "max\n");
        set(dir, "memory.low", "0\n");
}

CleanTest(cgroup_limits, what_the_slice_has_the_pod_gets) {
        static const char io[] = "8:0 rbps=1048576 wbps=max riops=max wiops=max\n"
                                 "8:16 rbps=max wbps=4096 riops=max wiops=max";
        Trio t;

        trio_init(&t);
        set_defaults(t.slice);
        set_defaults(t.pod);
        set(t.slice, "memory.max", "67108864\n");
        set(t.slice, "io.max", io);
        cr_assert_null(cgroup_limits_missing_at(t.slice, t.unit));
        cr_assert_eq(cgroup_limits_copy_at(t.slice, t.unit, t.pod), 0);
        cr_assert(is(t.unit, "cgroup.subtree_control", "+memory"), "the last one turned on");
        cr_assert(is(t.pod, "memory.max", "67108864"));
        cr_assert(is(t.pod, "io.max", io));
        cr_assert(is(t.pod, "cpu.weight", "100\n"), "what limits nothing is left alone");
        trio_done(&t);
}

CleanTest(cgroup_limits, limit_without_a_controller_is_named) {
        static const struct {
                const char *controllers, *missing;
        } cases[] = { { "cpuset cpu io memory pids\n", NULL },
                      { "cpu memory pids\n", NULL },
                      { "cpu pids\n", "memory.max" },
                      { "cpuset memory pids\n", "cpu.max" },
                      { "cp cpumemory memor\n", "cpu.max" },
                      { "memory\n", "cpu.max" },
                      { "", "cpu.max" } };
        Trio t;

        trio_init(&t);
        set_defaults(t.slice);
        cr_assert_null(cgroup_limits_missing_at(t.slice, -1), "there are none");
        set(t.slice, "memory.max", "4096\n");
        set(t.slice, "cpu.max", "50000 100000\n");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *missing;

                set(t.unit, "cgroup.controllers", cases[i].controllers);
                missing = cgroup_limits_missing_at(t.slice, t.unit);
                cr_assert_eq(missing == NULL, cases[i].missing == NULL, "case %zu", i);
                if (missing)
                        cr_assert_str_eq(missing, cases[i].missing, "case %zu", i);
        }
        cr_assert_not_null(cgroup_limits_missing_at(t.slice, -1));
        cr_assert_null(cgroup_limits_missing_at(-1, t.unit), "a slice that is not there has none");
        trio_done(&t);
}

CleanTest(cgroup_limits, what_cannot_be_kept_is_left_out_and_what_fails_is_an_error) {
        Trio t;

        trio_init(&t);
        set_defaults(t.slice);
        set_defaults(t.pod);
        set(t.slice, "pids.max", "7\n"); /* no such controller, and no such file */
        cr_assert_eq(cgroup_limits_copy_at(t.slice, t.unit, t.pod), 0);
        cr_assert_eq(cgroup_limits_copy_at(-1, t.unit, t.pod), 0);
        set(t.unit, "cgroup.controllers", "pids\n");
        cr_assert_eq(cgroup_limits_copy_at(t.slice, t.unit, t.pod), -ENOENT);
        trio_done(&t);
}

/* ---- real ones ---------------------------------------------------------------------------------------- */

typedef struct Pod {
        char slice[64], unit[64]; /* as /proc/PID/cgroup has them */
        int slice_fd, unit_fd;
} Pod;

static bool pod_init(Pod *p) {
        const char *root;
        int root_fd;

        (void)cgroup_unified(&root);
        (void)snprintf(p->slice, sizeof p->slice, "/test-limits-%d.slice", getpid());
        (void)snprintf(p->unit, sizeof p->unit, "/test-limits-%d.service", getpid());
        root_fd = open(root ?: "/nonexistent", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0 || mkdirat(root_fd, p->slice + 1, 0755) < 0 ||
            mkdirat(root_fd, p->unit + 1, 0755) < 0) {
                fd_close_many(&root_fd, 1);
                cr_skip_test("no cgroup can be made here");
                return false;
        }
        fd_close_many(&root_fd, 1);
        p->slice_fd = cgroup_open(p->slice);
        p->unit_fd = cgroup_open(p->unit);
        return true;
}

static void pod_done(Pod *p) {
        fd_close_many(&p->slice_fd, 1);
        fd_close_many(&p->unit_fd, 1);
        cgroup_remove("/", p->slice + 1);
        cgroup_remove("/", p->unit + 1);
        cr_assert_lt(cgroup_open(p->slice), 0, "the slice is left");
        cr_assert_lt(cgroup_open(p->unit), 0, "the unit is left");
}

static bool there(const Pod *p, const char *name) {
        return faccessat(p->unit_fd, name, F_OK, 0) == 0;
}

CleanTest(cgroup_limits, pod_is_there_for_as_long_as_a_container_is) {
        Pod p;

        if (!pod_init(&p))
                return;
        set(p.slice_fd, "cgroup.max.depth", "5");
        cr_assert_eq(cgroup_make_pod(p.slice, p.unit, "libpod_pod-7", "libpod-payload-1"), 0);
        cr_assert(is(p.unit_fd, "libpod_pod-7/cgroup.max.depth", "5\n"));
        cr_assert(is(p.unit_fd, "libpod_pod-7/cgroup.max.descendants", "max\n"));
        set(p.slice_fd, "cgroup.max.depth", "6");
        cr_assert_eq(cgroup_make_pod(p.slice, p.unit, "libpod_pod-7", "libpod-payload-2"), 0);
        cr_assert_eq(cgroup_make_pod(p.slice, p.unit, "libpod_pod-7", "libpod-payload-2"), 0,
                     "it starts again");
        cr_assert(is(p.unit_fd, "libpod_pod-7/cgroup.max.depth", "6\n"), "it is the slice's");

        cgroup_remove(p.unit, "libpod_pod-7/libpod-payload-1");
        cgroup_remove(p.unit, "libpod_pod-7");
        cr_assert(there(&p, "libpod_pod-7/libpod-payload-2"));
        cr_assert_not(there(&p, "libpod_pod-7/libpod-payload-1"));
        cgroup_remove(p.unit, "libpod_pod-7/libpod-payload-2");
        cgroup_remove(p.unit, "libpod_pod-7");
        cr_assert_not(there(&p, "libpod_pod-7"));
        cgroup_remove(p.unit, "libpod_pod-7");
        pod_done(&p);
}

CleanTest(cgroup_limits, pod_that_cannot_be_limited_is_not_made) {
        Pod p;

        if (!pod_init(&p))
                return;
        set(p.slice_fd, "cgroup.max.depth", "5");
        set(p.unit_fd, "cgroup.max.depth", "1"); /* no room for the container's */
        cr_assert_lt(cgroup_make_pod(p.slice, p.unit, "libpod_pod-7", "libpod-payload-1"), 0);
        cr_assert_not(there(&p, "libpod_pod-7"));
        set(p.unit_fd, "cgroup.max.depth", "max");
        cr_assert_lt(cgroup_make_pod(p.slice, "/nonexistent.service", "libpod_pod-7", "libpod-payload-1"), 0);
        cr_assert_eq(cgroup_make_pod("/nonexistent.slice", p.unit, "libpod_pod-7", "libpod-payload-1"), 0);
        cgroup_remove(p.unit, "libpod_pod-7/libpod-payload-1");
        cgroup_remove(p.unit, "libpod_pod-7");
        pod_done(&p);
}
