/* SPDX-License-Identifier: Apache-2.0 */

/* cgroups are played by directories, whose extended attributes and inotify are the same. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "clean.h"
#include "event.h"
#include "io/cgroup.h"

#define SURVIVE "user.survive_final_kill_signal"
#define COREDUMP "user.coredump_receive"

typedef struct Unit {
        char dir[64], leaf[80], payload[80];
        Event *event;
} Unit;

static void unit_init(Unit *u) {
        *u = (Unit){ .dir = "/var/tmp/test-attributes.XXXXXX" };
        cr_assert_not_null(mkdtemp(u->dir));
        (void)snprintf(u->leaf, sizeof u->leaf, "%s/supervisor", u->dir);
        (void)snprintf(u->payload, sizeof u->payload, "%s/payload", u->dir);
        cr_assert_eq(mkdir(u->leaf, 0700), 0);
        cr_assert_eq(mkdir(u->payload, 0700), 0);
        if (setxattr(u->dir, "user.any", "1", 1, 0) < 0)
                cr_skip_test("no extended attributes in /var/tmp");
        cr_assert_geq(event_new(&u->event), 0);
}

static void unit_done(Unit *u) {
        u->event = event_unref(u->event);
        cr_assert_eq(rmdir(u->payload), 0);
        cr_assert_eq(rmdir(u->leaf), 0);
        cr_assert_eq(rmdir(u->dir), 0);
}

static bool has(const char *path, const char *name, const char *value) {
        char text[64];
        ssize_t n = getxattr(path, name, text, sizeof text);

        return value ? n == (ssize_t)strlen(value) && memcmp(text, value, (size_t)n) == 0
                     : n < 0 && errno == ENODATA;
}

static bool both_have(const Unit *u, const char *name, const char *value) {
        return has(u->leaf, name, value) && has(u->payload, name, value);
}

CleanTest(cgroup_attributes, cgroups_below_have_what_the_unit_has_also_when_it_changes) {
        CgroupAttributes *a;
        Unit u;

        unit_init(&u);
        cr_assert_eq(setxattr(u.dir, SURVIVE, "1", 1, 0), 0);
        cr_assert_eq(
                cgroup_attributes_new_at(&a, u.event, u.dir, (const char *const[]){ u.leaf, u.payload }, 2),
                0);
        cr_assert(both_have(&u, SURVIVE, "1"));
        cr_assert(both_have(&u, COREDUMP, NULL));
        cr_assert(both_have(&u, "user.any", NULL), "nothing else is followed");

        cr_assert_eq(removexattr(u.dir, SURVIVE), 0);
        cr_assert_eq(setxattr(u.dir, COREDUMP, "1", 1, 0), 0);
        cr_assert(event_run_until(u.event, 10, both_have(&u, SURVIVE, NULL) && both_have(&u, COREDUMP, "1")));
        cr_assert_eq(setxattr(u.dir, SURVIVE, "0", 1, 0), 0);
        cr_assert(event_run_until(u.event, 10, both_have(&u, SURVIVE, "0")));
        a = cgroup_attributes_free(a);
        unit_done(&u);
}

CleanTest(cgroup_attributes, cgroup_that_is_gone_keeps_the_others_from_nothing) {
        CgroupAttributes *a;
        Unit u;

        unit_init(&u);
        cr_assert_eq(
                cgroup_attributes_new_at(&a, u.event, u.dir, (const char *const[]){ u.payload, u.leaf }, 2),
                0);
        cr_assert_eq(rmdir(u.payload), 0);
        cr_assert_eq(setxattr(u.dir, SURVIVE, "1", 1, 0), 0);
        cr_assert(event_run_until(u.event, 10, has(u.leaf, SURVIVE, "1")));
        a = cgroup_attributes_free(a);
        cr_assert_eq(mkdir(u.payload, 0700), 0);
        unit_done(&u);
}

CleanTest(cgroup_attributes, unit_that_is_not_there_is_an_error) {
        CgroupAttributes *a = NULL;
        Unit u;

        unit_init(&u);
        cr_assert_eq(cgroup_attributes_new_at(&a, u.event, "/nonexistent", NULL, 0), -ENOENT);
        cr_assert_null(a);
        unit_done(&u);
}
