/* SPDX-License-Identifier: Apache-2.0 */

/* Real cgroups, below our own directory at the root of cgroup v2; skipped where we may not make any. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "io/cgroup.h"
#include "io/proc.h"

typedef struct Group {
        char path[128]; /* as /proc/PID/cgroup has it */
        char full[256];
        pid_t pids[3];
} Group;

static bool group_new(Group *g) {
        const char *root;

        (void)cgroup_unified(&root);
        *g = (Group){ .path = "" };
        (void)snprintf(g->path, sizeof g->path, "/test-cgroup-%d.service", getpid());
        (void)snprintf(g->full, sizeof g->full, "%s%s", root ?: "/nonexistent", g->path);
        if (mkdir(g->full, 0755) < 0) {
                cr_skip_test("no cgroup can be made here");
                return false;
        }
        return true;
}

static void group_move(const Group *g, pid_t pid) {
        _cleanup_close_ int fd = -1;
        char path[512], text[16];

        (void)snprintf(path, sizeof path, "%s/cgroup.procs", g->full);
        (void)snprintf(text, sizeof text, "%d", pid);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
}

/* A process in the group that sleeps until it is killed */
static void group_fill(Group *g, size_t n) {
        for (size_t i = 0; i < n; i++) {
                g->pids[i] = fork();
                if (g->pids[i] == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        for (;;)
                                (void)pause();
                }
                group_move(g, g->pids[i]);
        }
}

static void group_free(Group *g) {
        static const char *const children[] = { "/supervisor", "/.control", "" };
        char path[512];

        for (size_t i = 0; i < ELEMENTS(g->pids) && g->pids[i] > 0; i++) {
                (void)kill(g->pids[i], SIGKILL);
                (void)waitpid(g->pids[i], NULL, 0);
        }
        for (size_t i = 0; i < ELEMENTS(children); i++) {
                (void)snprintf(path, sizeof path, "%s%s", g->full, children[i]);
                (void)rmdir(path);
        }
        cr_assert_neq(access(g->full, F_OK), 0, "%s is left", g->full);
}

static void check_place(pid_t pid, const Group *g, const char *leaf) {
        _cleanup_free_ char *path = NULL;
        char wanted[256];

        (void)snprintf(wanted, sizeof wanted, "%s%s", g->path, leaf);
        cr_assert_eq(cgroup_own(pid, &path), 0);
        cr_assert_str_eq(path, wanted);
}

CleanTest(cgroup, all_processes_go_to_the_leaf) {
        Group g;

        if (!group_new(&g))
                return;
        group_fill(&g, 3);
        cr_assert_eq(cgroup_nest(g.path, "supervisor", 0), 0);
        for (int i = 0; i < 3; i++)
                check_place(g.pids[i], &g, "/supervisor");
        cr_assert_eq(cgroup_nest(g.path, "supervisor", 0), 0, "again, with nobody left to move");
        group_free(&g);
}

CleanTest(cgroup, an_empty_top_moves_nobody_and_makes_nothing) {
        char path[512];
        Group g;

        if (!group_new(&g))
                return;
        cr_assert_eq(cgroup_nest(g.path, "supervisor", 0), 0);
        (void)snprintf(path, sizeof path, "%s/supervisor", g.full);
        cr_assert_neq(access(path, F_OK), 0);
        group_free(&g);
}

CleanTest(cgroup, a_process_beside_the_top_is_moved_if_named) {
        Group control, g;

        if (!group_new(&g))
                return;
        control = g;
        strcat(control.path, "/.control");
        strcat(control.full, "/.control");
        cr_assert_eq(mkdir(control.full, 0755), 0);
        group_fill(&control, 2);
        group_fill(&g, 1);

        cr_assert_eq(cgroup_nest(g.path, "supervisor", control.pids[0]), 0);
        check_place(g.pids[0], &g, "/supervisor");
        check_place(control.pids[0], &g, "/supervisor");
        check_place(control.pids[1], &control, "");
        for (int i = 0; i < 2; i++)
                g.pids[1 + i] = control.pids[i];
        group_free(&g);
}

/* With a threaded child the top is a threaded domain, and a leaf beside that child takes no processes. */
CleanTest(cgroup, a_leaf_made_in_vain_is_removed) {
        _cleanup_close_ int fd = -1;
        char path[512];
        Group g;

        if (!group_new(&g))
                return;
        (void)snprintf(path, sizeof path, "%s/.control", g.full);
        cr_assert_eq(mkdir(path, 0755), 0);
        strcat(path, "/cgroup.type");
        fd = open(path, O_WRONLY | O_CLOEXEC);
        cr_assert_eq(fd_write_full(fd, "threaded", 8), 0);
        group_fill(&g, 2);

        cr_assert_eq(cgroup_nest(g.path, "supervisor", 0), -EOPNOTSUPP);
        check_place(g.pids[0], &g, "");
        check_place(g.pids[1], &g, "");
        (void)snprintf(path, sizeof path, "%s/supervisor", g.full);
        cr_assert_neq(access(path, F_OK), 0);
        group_free(&g);
}

/* A kernel thread stays where it is, and so the last move fails. */
CleanTest(cgroup, on_failure_all_are_back) {
        _cleanup_free_ char *name = NULL;
        char path[512];
        Group g;

        if (!group_new(&g))
                return;
        if (fd_read_file(AT_FDCWD, "/proc/2/comm", 64, &name, NULL) < 0 || strcmp(name, "kthreadd\n") != 0) {
                group_free(&g);
                cr_skip_test("no kernel threads to be seen");
                return;
        }
        group_fill(&g, 3);
        cr_assert_lt(cgroup_nest(g.path, "supervisor", 2), 0);
        for (int i = 0; i < 3; i++)
                check_place(g.pids[i], &g, "");
        (void)snprintf(path, sizeof path, "%s/supervisor", g.full);
        cr_assert_neq(access(path, F_OK), 0);
        group_free(&g);
}

CleanTest(cgroup, what_is_gone_need_not_be_moved) {
        Group g;

        if (!group_new(&g))
                return;
        cr_assert_eq(cgroup_nest(g.path, "supervisor", 999999999), 0);
        cr_assert_lt(cgroup_nest(g.path, "no/such/leaf", 999999999), 0);
        cr_assert_lt(cgroup_nest("/no-such.service", "supervisor", 0), 0);
        group_free(&g);
}

/* Its pages take the kernel a while, in which it is listed and cannot be moved. */
CleanTest(cgroup, one_that_is_exiting_is_waited_for) {
        const size_t size = (size_t)256 << 20;
        ProcStat stat = { 0 };
        char *pages, byte;
        int pipes[2];
        Group g;

        if (!group_new(&g))
                return;
        cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
        g.pids[0] = fork();
        if (g.pids[0] == 0) {
                pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (pages == MAP_FAILED || madvise(pages, size, MADV_NOHUGEPAGE) < 0)
                        _exit(1);
                memset(pages, 1, size);
                (void)write(pipes[1], "", 1);
                for (;;)
                        (void)pause();
        }
        (void)close(pipes[1]);
        cr_assert_eq(read(pipes[0], &byte, 1), 1);
        (void)close(pipes[0]);
        group_move(&g, g.pids[0]);
        cr_assert_eq(kill(g.pids[0], SIGKILL), 0);
        while (!stat.exiting)
                cr_assert_eq(proc_stat(g.pids[0], &stat), 0);
        cr_assert_eq(cgroup_nest(g.path, "supervisor", 0), 0);
        group_free(&g);
}

CleanTest(cgroup, delegation_is_told_by_the_xattr) {
        Group g;

        if (!group_new(&g))
                return;
        cr_assert_eq(cgroup_delegated(g.path), 0);
        cr_assert_eq(setxattr(g.full, "user.delegate", "1", 1, 0), 0);
        cr_assert_eq(cgroup_delegated(g.path), 1);
        cr_assert_eq(setxattr(g.full, "user.delegate", "0", 1, 0), 0);
        cr_assert_eq(cgroup_delegated(g.path), 0);
        cr_assert_eq(cgroup_delegated("/no-such.service"), 0);
        cr_assert_eq(cgroup_survives(g.path), 0);
        cr_assert_eq(setxattr(g.full, CGROUP_SURVIVES, "1", 1, 0), 0);
        cr_assert_eq(cgroup_survives(g.path), 1);
        cr_assert_eq(setxattr(g.full, CGROUP_SURVIVES, "0", 1, 0), 0);
        cr_assert_eq(cgroup_survives(g.path), 0);
        cr_assert_eq(cgroup_survives("/no-such.service"), 0);
        group_free(&g);
}

CleanTest(cgroup, arrival_in_a_unit_is_seen) {
        Group g;

        if (!group_new(&g))
                return;
        group_fill(&g, 1);
        cr_assert_eq(cgroup_in_unit(g.pids[0], g.path + 1), 1);
        cr_assert_eq(cgroup_in_unit(g.pids[0], "other.service"), 0);
        cr_assert_eq(cgroup_in_unit(getpid(), g.path + 1), 0);
        cr_assert_lt(cgroup_in_unit(999999999, g.path + 1), 0);
        group_free(&g);
}

CleanTest(cgroup, our_own_path_is_known) {
        _cleanup_free_ char *path = NULL;

        if (cgroup_own(getpid(), &path) == -ENODATA) {
                cr_skip_test("no cgroup v2");
                return;
        }
        cr_assert_eq(path[0], '/');
        cr_assert_eq(cgroup_own(999999999, &path), -ENOENT);
}
