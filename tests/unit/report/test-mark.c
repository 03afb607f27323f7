/* SPDX-License-Identifier: Apache-2.0 */

/* The end of a container is told by somebody else if its monitor is dead, and only then. */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "io/proc.h"
#include "report/due.h"
#include "report/mark.h"

typedef struct Fixture {
        char dir[64];
        Mark mark;
        int found; /* of ours; 0: it was not looked at */
} Fixture;

static void on_mark(void *userdata, const Mark *mark, int found) {
        Fixture *f = userdata;

        if (strcmp(mark->cid, f->mark.cid) == 0)
                f->found = found;
}

static int look(Fixture *f, const char *word) {
        f->found = 0;
        mark_settle(word, on_mark, f);
        return f->found;
}

/* Monitors that others start meanwhile settle what they find in /run: as root, have one of our own. */
static void isolate(void) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                return;
        (void)mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        (void)mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
}

static void fixture_init(Fixture *f) {
        ProcStat stat;

        isolate();
        *f = (Fixture){ .dir = "/tmp/test-mark-XXXXXX" };
        cr_assert_not_null(mkdtemp(f->dir));
        cr_assert_eq(setenv("XDG_RUNTIME_DIR", f->dir, 1), 0);
        cr_assert_eq(proc_stat(getpid(), &stat), 0);
        f->mark.monitor = f->mark.target = getpid();
        f->mark.monitor_boot_usec = f->mark.target_boot_usec = stat.boot_usec;
        (void)snprintf(f->mark.cid, sizeof f->mark.cid, "test-mark-%d", getpid());
        (void)snprintf(f->mark.name, sizeof f->mark.name, "name-%d", getpid());
        (void)snprintf(f->mark.exit_dir, sizeof f->mark.exit_dir, "%s", f->dir);
}

static void fixture_done(Fixture *f) {
        char path[512];

        mark_remove(f->mark.cid, f->mark.monitor);
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, f->mark.cid);
        (void)unlink(path);
        (void)snprintf(path, sizeof path, "%s/scopemon", f->dir);
        (void)rmdir(path); /* if /run is not ours */
        cr_assert_eq(rmdir(f->dir), 0);
        cr_assert_eq(unsetenv("XDG_RUNTIME_DIR"), 0);
}

static pid_t ended_pid(void) {
        pid_t pid = 0;

        if (process_fork(&pid) == 0)
                for (;;)
                        (void)pause();
        cr_assert_eq(process_end(pid), 0);
        return pid;
}

static void expect_exit_file(const Fixture *f, const char *content) {
        _cleanup_free_ char *text = NULL;
        char path[512];

        (void)snprintf(path, sizeof path, "%s/%s", f->dir, f->mark.cid);
        if (!content) {
                cr_assert_lt(access(path, F_OK), 0);
                return;
        }
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 64, &text, NULL), 0);
        cr_assert_str_eq(text, content);
}

CleanTest(mark, nothing_is_told_while_somebody_lives) {
        Fixture f;

        fixture_init(&f);
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(look(&f, f.mark.name), MARK_ALIVE);
        cr_assert_eq(look(&f, NULL), 0, "one whose pid is there is not even opened");
        expect_exit_file(&f, NULL);
        mark_remove(f.mark.cid, f.mark.monitor);
        cr_assert_eq(look(&f, f.mark.name), 0);

        f.mark.monitor = ended_pid(); /* but the container runs */
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(look(&f, NULL), MARK_ALIVE);
        expect_exit_file(&f, NULL);
        fixture_done(&f);
}

CleanTest(mark, end_is_told_once_when_all_are_dead) {
        Fixture f;

        fixture_init(&f);
        f.mark.monitor = f.mark.target = ended_pid();
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(look(&f, "somebody-else"), 0);
        cr_assert_eq(look(&f, f.mark.cid), MARK_TOLD);
        expect_exit_file(&f, "-1");
        cr_assert_eq(look(&f, f.mark.cid), 0, "it is forgotten");
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(look(&f, NULL), MARK_KNOWN, "what is there stays");
        fixture_done(&f);
}

CleanTest(mark, pid_that_was_given_away_is_nobody) {
        Fixture f;

        fixture_init(&f);
        f.mark.monitor_boot_usec++;
        f.mark.target_boot_usec++;
        cr_assert_eq(mark_make(&f.mark), 0);
        cr_assert_eq(look(&f, f.mark.name), MARK_TOLD);
        fixture_done(&f);
}

CleanTest(mark, id_that_is_no_file_name_has_none) {
        Fixture f;

        fixture_init(&f);
        (void)snprintf(f.mark.cid, sizeof f.mark.cid, "../x");
        cr_assert_lt(mark_make(&f.mark), 0);
        mark_remove(f.mark.cid, f.mark.monitor);
        fixture_done(&f);
}

CleanTest(mark, container_that_was_started_again_has_not_ended) {
        int place, folder;
        Mark next;
        Fixture f;

        fixture_init(&f);
        next = f.mark;
        f.mark.monitor = f.mark.target = ended_pid();
        cr_assert_eq(mark_make(&f.mark), 0);
        place = mark_find(f.mark.cid, &(Mark){ 0 });
        cr_assert_lt(place, 0);
        cr_assert_eq(mark_make(&next), 0);
        place = mark_find(next.cid, &(Mark){ 0 });
        cr_assert_geq(place, 0);
        cr_assert_not(mark_settle("nobody", on_mark, &f));
        for (DueFolder i = DUE_GIVEN; i <= DUE_TAKEN; i++) {
                folder = due_open(place, f.mark.cid, f.mark.monitor, i, true);
                cr_assert_geq(folder, 0);
                (void)close(folder);
        }

        f.found = 0;
        cr_assert(mark_settle(NULL, on_mark, &f), "commands are left");
        cr_assert_eq(f.found, MARK_KNOWN);
        expect_exit_file(&f, NULL);
        cr_assert_eq(look(&f, NULL), 0, "it is forgotten");
        for (DueFolder i = DUE_GIVEN; i <= DUE_TAKEN; i++) {
                folder = due_open(place, f.mark.cid, f.mark.monitor, i, false);
                cr_assert_geq(folder, 0, "who runs them takes them");
                (void)close(folder);
        }
        cr_assert_eq(due_adopt(place, next.cid, next.monitor, 0, NULL, NULL), 0);
        cr_assert_not(mark_settle(NULL, on_mark, &f));
        (void)close(place);
        mark_remove(next.cid, next.monitor);
        fixture_done(&f);
}
