/* SPDX-License-Identifier: Apache-2.0 */

/*
 * memory.events is played by ordinary files: inotify and pread are all that is needed of it. cgroup v1 has interfaces
 * that cannot be played, so there the kernel kills a child; skipped where that cannot be arranged.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "event.h"
#include "io/cgroup.h"

typedef struct Place {
        char dir[64];    /* slice/x.scope/container below it */
        char group[128]; /* the one watched */
        Event *event;
        unsigned n_calls;
} Place;

static void set_events(const Place *p, const char *group, const char *text) {
        _cleanup_close_ int fd = -1;
        char path[256];

        (void)snprintf(path, sizeof path, "%s/%s/memory.events", p->dir, group);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC,
                  0600); /* one write, as in the kernel: no truncation */
        cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
}

#define EVENTS(max, oom, kill) "low 0\nhigh 0\nmax " max "\noom " oom "\noom_kill " kill "\n"

static const char *const groups[] = { "slice", "slice/x.scope", "slice/x.scope/container" };

static void place_new(Place *p, const char *watched) {
        *p = (Place){ .dir = "/tmp/test-oom.XXXXXX" };
        cr_assert_not_null(mkdtemp(p->dir));
        for (size_t i = 0; i < ELEMENTS(groups); i++) {
                char path[256];

                (void)snprintf(path, sizeof path, "%s/%s", p->dir, groups[i]);
                cr_assert_eq(mkdir(path, 0700), 0);
                set_events(p, groups[i], EVENTS("0", "0", "0"));
        }
        (void)snprintf(p->group, sizeof p->group, "%s/%s", p->dir, watched);
        cr_assert_geq(event_new(&p->event), 0);
}

static void place_free(Place *p) {
        char command[256];

        p->event = event_unref(p->event);
        (void)snprintf(command, sizeof command, "rm -r '%s'", p->dir);
        cr_assert_eq(system(command), 0);
}

static int on_oom(void *userdata) {
        Place *p = userdata;

        p->n_calls++;
        return 0;
}

static CgroupOom *watch(Place *p, bool fresh) {
        CgroupOom *o = NULL;

        cr_assert_eq(cgroup_oom_new_at(&o, p->event, p->group, fresh, on_oom, p), 0);
        return o;
}

CleanTest(cgroup_oom, a_kill_is_told_once) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        cr_assert_not(cgroup_oom_check(o));
        set_events(&p, "slice/x.scope", EVENTS("4", "1", "1"));
        cr_assert(event_run_until(p.event, 10, p.n_calls > 0));
        set_events(&p, "slice/x.scope", EVENTS("4", "1", "2"));
        event_run_idle(p.event);
        cr_assert_eq(p.n_calls, 1);
        cr_assert(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, an_event_without_a_kill_does_not_end_the_watch) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        for (char i = '1'; i <= '9'; i++) {
                char text[64];

                (void)snprintf(text, sizeof text, "low 0\nhigh %c\nmax %c\noom 0\noom_kill 0\n", i, i);
                set_events(&p, "slice/x.scope", text);
                event_run_idle(p.event);
        }
        cr_assert_eq(p.n_calls, 0);
        set_events(&p, "slice/x.scope", EVENTS("9", "0", "1")); /* as below crun's scope: no "oom" */
        cr_assert(event_run_until(p.event, 10, p.n_calls == 1));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, an_oom_without_a_kill_counts) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        set_events(&p, "slice/x.scope", EVENTS("3", "1", "0"));
        cr_assert(cgroup_oom_check(o));
        cr_assert_eq(p.n_calls, 0, "the caller has its answer already");
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, what_was_before_counts_only_in_a_fresh_cgroup) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        set_events(&p, "slice/x.scope", EVENTS("3", "1", "1"));
        o = watch(&p, false);
        cr_assert_not(cgroup_oom_check(o));
        set_events(&p, "slice/x.scope", EVENTS("4", "1", "2"));
        cr_assert(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        o = watch(&p, true);
        cr_assert(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, crun_has_the_limit_one_level_up) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope/container");
        o = watch(&p, true);
        set_events(&p, "slice/x.scope", EVENTS("3", "1", "0"));
        cr_assert(event_run_until(p.event, 10, p.n_calls == 1));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, a_kill_elsewhere_in_the_slice_is_not_ours) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        set_events(&p, "slice", EVENTS("3", "1", "1"));
        event_run_idle(p.event);
        cr_assert_not(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

/* Emptied, the file is as unreadable as a removed cgroup's. */
static void remove_group(const Place *p) {
        char path[256];

        (void)snprintf(path, sizeof path, "%s/memory.events", p->group);
        cr_assert_eq(truncate(path, 0), 0);
}

CleanTest(cgroup_oom, a_cgroup_that_went_with_its_last_event_unread_is_asked_of_its_parent) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        set_events(&p, "slice", EVENTS("3", "1", "1"));
        remove_group(&p); /* the file played by makes the event that the kill would have made */
        cr_assert(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, teardown_alone_is_no_oom) {
        Place p;
        CgroupOom *o;

        place_new(&p, "slice/x.scope");
        o = watch(&p, true);
        remove_group(&p);
        event_run_idle(p.event);
        cr_assert_not(cgroup_oom_check(o));
        cr_assert_not(cgroup_oom_check(o));
        cr_assert_null(cgroup_oom_free(o));
        place_free(&p);
}

CleanTest(cgroup_oom, no_counters_no_watch) {
        Place p;
        CgroupOom *o = NULL;

        place_new(&p, "slice");
        strcat(p.group, "/nothing");
        cr_assert_eq(cgroup_oom_new_at(&o, p.event, p.group, true, on_oom, &p), -ENOENT);
        cr_assert_null(o);
        cr_assert_not(cgroup_oom_check(NULL));
        cr_assert_null(cgroup_oom_free(NULL));
        place_free(&p);
}

/* A child that waits in a cgroup of v1's memory controller and then, if told to, takes more than it may */
typedef struct Victim {
        char dir[128];
        pid_t pid;
        int go;
} Victim;

static bool write_to(const char *dir, const char *name, const char *text) {
        _cleanup_close_ int fd = -1;
        char path[256];

        (void)snprintf(path, sizeof path, "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0;
}

static void eat(void) {
        for (;;) {
                volatile char *p = malloc(1024 * 1024); /* or compilers leave all of it out */

                for (size_t i = 0; p && i < 1024 * 1024; i += 1024)
                        p[i] = 1;
        }
}

static bool victim_new(Victim *v) {
        int ends[2];
        char pid[16];

        *v = (Victim){ .go = -1 };
        (void)snprintf(v->dir, sizeof v->dir, "/sys/fs/cgroup/memory/test-oom-%d", getpid());
        if (cgroup_unified(NULL) || mkdir(v->dir, 0755) < 0) {
                cr_skip_test("no cgroup v1 can be made here");
                return false;
        }
        cr_assert(write_to(v->dir, "memory.limit_in_bytes", "33554432"));
        (void)write_to(v->dir, "memory.memsw.limit_in_bytes", "33554432"); /* needs swap accounting */
        cr_assert_eq(fd_pipe(&ends[0], &ends[1]), 0);
        v->pid = fork();
        if (v->pid == 0) {
                char c;

                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)close(ends[1]);
                if (read(ends[0], &c, 1) == 1)
                        eat();
                _exit(0);
        }
        (void)close(ends[0]);
        v->go = ends[1];
        (void)snprintf(pid, sizeof pid, "%d", v->pid);
        cr_assert(write_to(v->dir, "cgroup.procs", pid));
        return true;
}

/* Ends the child, by the kernel's hand or its own, and removes the cgroup. */
static void victim_end(Victim *v, bool by_oom) {
        if (by_oom)
                cr_assert_eq(write(v->go, "x", 1), 1);
        cleanup_close(&v->go);
        cr_assert_eq(waitpid(v->pid, NULL, 0), v->pid);
}

CleanTest(cgroup_oom, v1_a_real_kill_is_seen) {
        Event *event = NULL;
        CgroupOom *o = NULL;
        Place p = { 0 };
        Victim v;

        if (!victim_new(&v))
                return;
        cr_assert_geq(event_new(&event), 0);
        cr_assert_eq(cgroup_oom_new(&o, event, v.pid, true, on_oom, &p), 0);
        cr_assert_not(cgroup_oom_check(o));
        victim_end(&v, true);
        cr_assert(event_run_until(event, 10, p.n_calls == 1));
        cr_assert_eq(rmdir(v.dir), 0);
        cr_assert(cgroup_oom_check(o));
        o = cgroup_oom_free(o);
        event = event_unref(event);
}

CleanTest(cgroup_oom, v1_teardown_alone_is_no_oom) {
        Event *event = NULL;
        CgroupOom *o = NULL;
        Place p = { 0 };
        Victim v;

        if (!victim_new(&v))
                return;
        cr_assert_geq(event_new(&event), 0);
        cr_assert_eq(cgroup_oom_new(&o, event, v.pid, true, on_oom, &p), 0);
        victim_end(&v, false);
        cr_assert_eq(rmdir(v.dir), 0);
        event_run_idle(event);
        cr_assert_not(cgroup_oom_check(o));
        cr_assert_eq(p.n_calls, 0);
        o = cgroup_oom_free(o);
        event = event_unref(event);
}

/* Our own cgroup, as the host has it: whatever is there, it must not be an OOM, and leave nothing behind. */
CleanTest(cgroup_oom, a_process_is_watched_where_it_is) {
        Event *event = NULL;
        CgroupOom *o = NULL;
        int r;

        cr_assert_geq(event_new(&event), 0);
        r = cgroup_oom_new(&o, event, getpid(), false, NULL, NULL);
        if (r == 0) {
                event_run_idle(event);
                cr_assert_not(cgroup_oom_check(o));
        }
        o = cgroup_oom_free(o);
        event = event_unref(event);
        if (r < 0)
                cr_skip_test("nothing is counted here");
}
