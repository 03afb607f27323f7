/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a confined process can make of the two files it may make, and what it cannot. Each attempt is made by a child of
 * its own, which tells the outcome by how it ends.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "io/exit-file.h"
#include "io/sandbox.h"

#define CAGE_FAILED 99
#define ID "0123456789abcdef"

typedef struct Place {
        char path[64];
        int dirs[2]; /* persist, exit */
        int file;    /* that can be read */
        char *names;
} Place;

typedef long (*Attempt)(const Place *p);

static void place_make(Place *p) {
        *p = (Place){ .path = "/tmp/test-exit-file-XXXXXX" };
        cr_assert_not_null(mkdtemp(p->path));
        for (int i = 0; i < 2; i++) {
                char path[80];

                (void)snprintf(path, sizeof path, "%s/%d", p->path, i);
                cr_assert_eq(mkdir(path, 0700), 0);
                p->dirs[i] = fd_open_directory(path);
                cr_assert_geq(p->dirs[i], 0);
        }
        p->file = memfd_create("file", MFD_CLOEXEC);
        cr_assert_eq(write(p->file, "x", 1), 1);
        cr_assert_eq(exit_file_names_new(&p->names, "exit", ID), 0);
}

static void place_done(Place *p) {
        static const char *const names[] = { "exit", ID };

        for (int i = 0; i < 2; i++) {
                char path[80];

                for (size_t k = 0; k < ELEMENTS(names); k++)
                        (void)unlinkat(p->dirs[i], names[k], 0);
                (void)snprintf(path, sizeof path, "%s/%d", p->path, i);
                cr_assert_eq(rmdir(path), 0, "something else is in %s", path);
        }
        cr_assert_eq(rmdir(p->path), 0);
        fd_close_many(p->dirs, 2);
        fd_close_many(&p->file, 1);
        cr_assert_eq(mprotect(p->names, EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE), 0);
        free(p->names);
}

/* How a confined child ends that tries this: 0 if it could, errno if not; or a signal. */
static ProcessStatus outcome(const Place *p, Attempt attempt) {
        ProcessStatus status = { 0 };
        pid_t pid;

        if (process_fork(&pid) == 0) {
                (void)signal(SIGSYS, SIG_DFL); /* a sanitizer may have an opinion */
                if (sandbox_enter((SandboxFiles){ p->names, p->dirs, 2 }) < 0)
                        process_exit(CAGE_FAILED);
                process_exit(attempt(p) < 0 ? errno : 0);
        }
        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
        return status;
}

static void check_content(const Place *p, int dir, const char *name, const char *want) {
        _cleanup_free_ char *text = NULL;
        struct stat st;

        cr_assert_eq(fstatat(p->dirs[dir], name, &st, 0), 0);
        cr_assert_eq(st.st_mode & 0777, 0644);
        cr_assert_eq(fd_read_file(p->dirs[dir], name, 64, &text, NULL), 0);
        cr_assert_str_eq(text, want);
}

static long write_both(const Place *p) {
        int r;

        r = exit_file_write(p->names, EXIT_FILE_PERSIST, p->dirs[0], "7");
        if (r >= 0)
                r = exit_file_write(p->names, EXIT_FILE_EXIT, p->dirs[1], "7");
        errno = -r;
        return r;
}

/* Naming a file that one has made oneself takes Linux 6.10, or a capability that is given up. */
static bool can_name_files(const Place *p) {
        ProcessStatus status = outcome(p, write_both);

        for (int i = 0; i < 2; i++)
                (void)unlinkat(p->dirs[i], i == 0 ? "exit" : ID, 0);
        cr_assert(status.code == 0 || status.code == ENOENT, "%d (%s)", status.code, strerror(status.code));
        return status.code == 0;
}

CleanTest(exit_file, both_files_can_be_made) {
        Place p;

        place_make(&p);
        if (can_name_files(&p)) {
                (void)umask(022);
                cr_assert_eq(outcome(&p, write_both).code, 0);
                check_content(&p, 0, "exit", "7");
                check_content(&p, 1, ID, "7");
        }
        place_done(&p);
}

static long write_again(const Place *p) {
        return exit_file_write(p->names, EXIT_FILE_EXIT, p->dirs[1], "0") == EXIT_FILE_THERE ? 0 : -1;
}

CleanTest(exit_file, what_is_there_stays) {
        Place p;

        place_make(&p);
        if (can_name_files(&p)) {
                cr_assert_eq(fd_write_file_atomic(p.dirs[1], ID, "7", 1, 0644), 0);
                cr_assert_eq(outcome(&p, write_again).code, 0);
                check_content(&p, 1, ID, "7");
        }
        place_done(&p);
}

CleanTest(exit_file, names_that_are_none_are_refused) {
        char longer[300], *names;

        memset(longer, 'x', sizeof longer - 1);
        longer[sizeof longer - 1] = 0;
        cr_assert_eq(exit_file_names_new(&names, "exit", longer), -ENAMETOOLONG);
        cr_assert_eq(exit_file_names_new(&names, "exitexit", ID), -ENAMETOOLONG);
}

/* ---- what it shall not do ------------------------------------------------------------------------------- */

static long new_file(const Place *p) {
        return syscall(SYS_openat, p->dirs[1], p->names + EXIT_FILE_HERE, EXIT_FILE_FLAGS, 0600);
}

/* The same letters, but at another address. */
static long name_of_ones_own(const Place *p) {
        char name[] = ID;

        return syscall(SYS_linkat, new_file(p), p->names + EXIT_FILE_NOTHING, p->dirs[1], name, AT_EMPTY_PATH);
}

static long part_of_the_name(const Place *p) {
        return syscall(SYS_linkat, new_file(p), p->names + EXIT_FILE_NOTHING, p->dirs[1], p->names + EXIT_FILE_EXIT + 1,
                       AT_EMPTY_PATH);
}

static long link_of_somebody_elses(const Place *p) {
        return syscall(SYS_linkat, AT_FDCWD, "/etc/passwd", p->dirs[1], p->names + EXIT_FILE_EXIT, 0);
}

static long in_the_current_directory(const Place *p) {
        return syscall(SYS_linkat, new_file(p), p->names + EXIT_FILE_NOTHING, AT_FDCWD, p->names + EXIT_FILE_EXIT,
                       AT_EMPTY_PATH);
}

static long open_for_reading(const Place *p) {
        return syscall(SYS_openat, p->dirs[1], p->names + EXIT_FILE_HERE, O_RDONLY | O_DIRECTORY, 0);
}

static long open_the_current_directory(const Place *p) {
        return syscall(SYS_openat, AT_FDCWD, p->names + EXIT_FILE_HERE, EXIT_FILE_FLAGS, 0600);
}

static long open_by_a_path(const Place *p) {
        return syscall(SYS_openat, p->dirs[1], "/tmp", EXIT_FILE_FLAGS, 0600);
}

static long make_it_writable(const Place *p) {
        return mprotect(p->names, EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE);
}

static long make_all_up_to_it_writable(const Place *p) {
        return mprotect(p->names - EXIT_FILE_NAMES_SIZE, 2 * EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE);
}

static long unmap_it(const Place *p) {
        return munmap(p->names, EXIT_FILE_NAMES_SIZE);
}

static long map_over_it(const Place *p) {
        return mmap(p->names, EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                    0) == MAP_FAILED
                       ? -1
                       : 0;
}

static long map_from_null(const Place *p) {
        return mmap(NULL, EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                    0) == MAP_FAILED
                       ? -1
                       : 0;
}

static long move_onto_it(const Place *p) {
        void *other = mmap(NULL, EXIT_FILE_NAMES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return mremap(other, EXIT_FILE_NAMES_SIZE, EXIT_FILE_NAMES_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, p->names) ==
                               MAP_FAILED
                       ? -1
                       : 0;
}

static long shrink_the_heap(const Place *p) {
        return syscall(SYS_brk, p->names) >= 0 ? 0 : -1;
}

CleanTest(exit_file, nothing_else_can_be_named) {
        static const struct {
                const char *name;
                Attempt attempt;
        } cases[] = {
                { "name of one's own", name_of_ones_own },
                { "part of the name", part_of_the_name },
                { "link of somebody else's", link_of_somebody_elses },
                { "in the current directory", in_the_current_directory },
                { "open for reading", open_for_reading },
                { "open the current directory", open_the_current_directory },
                { "open by a path", open_by_a_path },
                { "mprotect", make_it_writable },
                { "mprotect from below", make_all_up_to_it_writable },
                { "munmap", unmap_it },
                { "mmap", map_over_it },
                { "mmap at 0", map_from_null },
                { "mremap", move_onto_it },
                { "brk", shrink_the_heap },
        };
        Place p;

        place_make(&p);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(&p, cases[i].attempt);

                cr_assert_eq(s.code, ENOSYS, "%s: %d (%s)", cases[i].name, s.code, strerror(s.code));
        }
        place_done(&p);
}

static long overwrite_by_reading(const Place *p) {
        return lseek(p->file, 0, SEEK_SET) < 0 ? 0 : read(p->file, p->names, 1);
}

CleanTest(exit_file, the_names_cannot_be_written) {
        Place p;

        place_make(&p);
        cr_assert_eq(outcome(&p, overwrite_by_reading).code, EFAULT);
        place_done(&p);
}
