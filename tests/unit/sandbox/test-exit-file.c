/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a confined process can make of the two files it may make, and what it cannot. Each attempt is made by a child of
 * its own, which tells the outcome by how it ends: memory that is sealed is sealed for good.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "clean.h"
#include "sandbox/exit-file.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

#define CAGE_FAILED 99
#define NAMES_FAILED 98
#define ID "0123456789abcdef"
#define PAGE 4096

typedef struct Place {
        char path[64], dirs[_EXIT_FILE_MAX][80];
        int file; /* that can be read */
        ExitFiles files;
} Place;

typedef long (*Attempt)(const Place *p);

static const char *const names[] = { [EXIT_FILE_PERSIST] = "exit", [EXIT_FILE_EXIT] = ID };

static void place_make(Place *p) {
        *p = (Place){ .path = "/tmp/test-exit-file-XXXXXX" };
        cr_assert_not_null(mkdtemp(p->path));
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                (void)snprintf(p->dirs[i], sizeof p->dirs[i], "%s/%u", p->path, i);
                cr_assert_eq(mkdir(p->dirs[i], 0700), 0);
        }
        p->file = memfd_create("file", MFD_CLOEXEC);
        cr_assert_eq(write(p->file, "x", 1), 1);
}

static void file_path(const Place *p, ExitFileId id, char path[128]) {
        (void)snprintf(path, 128, "%s/%s", p->dirs[id], names[id]);
}

static void place_done(Place *p) {
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                char path[128];

                file_path(p, i, path);
                (void)unlink(path);
                cr_assert_eq(rmdir(p->dirs[i]), 0, "something else is in %s", p->dirs[i]);
        }
        cr_assert_eq(rmdir(p->path), 0);
        fd_close_many(&p->file, 1);
}

/* How a confined child ends that tries this: 0 if it could, errno if not; or a signal. */
static ProcessStatus outcome(Place *p, Attempt attempt) {
        const char *const dirs[] = { p->dirs[0], p->dirs[1] };
        const char *left[_EXIT_FILE_MAX];
        ProcessStatus status = { 0 };
        pid_t pid;

        if (process_fork(&pid) == 0) {
                (void)signal(SIGSYS, SIG_DFL); /* a sanitizer may have an opinion */
                (void)umask(022);
                if (root_leave(dirs, left) < 0 || exit_files_seal(&p->files, left, names) < 0)
                        process_exit(NAMES_FAILED);
                if (sandbox_enter(&p->files) < 0)
                        process_exit(CAGE_FAILED);
                process_exit(attempt(p) < 0 ? errno : 0);
        }
        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
        return status;
}

static bool kernel_can(void) {
        struct utsname u;
        char *end;
        long major;

        cr_assert_eq(uname(&u), 0);
        major = strtol(u.release, &end, 10);
        return major > 6 || (major == 6 && strtol(end + 1, NULL, 10) >= 10);
}

static void check_content(const Place *p, ExitFileId id, const char *want) {
        _cleanup_free_ char *text = NULL;
        char path[128];
        struct stat st;

        file_path(p, id, path);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0644);
        cr_assert_eq(fd_read_file(AT_FDCWD, path, 64, &text, NULL), 0);
        cr_assert_str_eq(text, want);
}

static long write_both(const Place *p) {
        int r;

        r = exit_file_write(&p->files, EXIT_FILE_PERSIST, "7");
        if (r >= 0)
                r = exit_file_write(&p->files, EXIT_FILE_EXIT, "7");
        errno = -r;
        return r;
}

CleanTest(exit_file, both_files_can_be_made) {
        Place p;

        place_make(&p);
        if (kernel_can()) {
                cr_assert_eq(outcome(&p, write_both).code, 0);
                check_content(&p, EXIT_FILE_PERSIST, "7");
                check_content(&p, EXIT_FILE_EXIT, "7");
        } else
                cr_assert_eq(outcome(&p, write_both).code, NAMES_FAILED);
        place_done(&p);
}

static long write_again(const Place *p) {
        return exit_file_write(&p->files, EXIT_FILE_EXIT, "0") == EXIT_FILE_THERE ? 0 : -1;
}

CleanTest(exit_file, what_is_there_stays) {
        char path[128];
        Place p;

        place_make(&p);
        file_path(&p, EXIT_FILE_EXIT, path);
        cr_assert_eq(fd_write_file_atomic(AT_FDCWD, path, "7", 1, 0644), 0);
        if (kernel_can())
                cr_assert_eq(outcome(&p, write_again).code, 0);
        check_content(&p, EXIT_FILE_EXIT, "7");
        place_done(&p);
}

static long write_what_has_a_name(const Place *p) {
        if (p->files.names[EXIT_FILE_NAME_DIR + EXIT_FILE_PERSIST])
                return -1;
        return exit_file_write(&p->files, EXIT_FILE_EXIT, "7");
}

CleanTest(exit_file, directory_that_comes_later_is_none) {
        Place p;

        place_make(&p);
        cr_assert_eq(rmdir(p.dirs[EXIT_FILE_PERSIST]), 0);
        if (kernel_can())
                cr_assert_eq(outcome(&p, write_what_has_a_name).code, 0);
        cr_assert_eq(mkdir(p.dirs[EXIT_FILE_PERSIST], 0700), 0);
        place_done(&p);
}

/* ---- what it shall not do ------------------------------------------------------------------------------- */

static const char *dir_of(const Place *p) {
        return p->files.names[EXIT_FILE_NAME_DIR + EXIT_FILE_EXIT];
}

static const char *path_of(const Place *p) {
        return p->files.names[EXIT_FILE_NAME_PATH + EXIT_FILE_EXIT];
}

static long name_file(const Place *p, int at, const char *path, int flags) {
        long fd = syscall(SYS_openat, AT_FDCWD, dir_of(p), EXIT_FILE_FLAGS, EXIT_FILE_MODE);

        return fd < 0 ? CAGE_FAILED
                      : syscall(SYS_linkat, fd, p->files.names[EXIT_FILE_NAME_NONE], at, path, flags);
}

static long name_of_another_file(const Place *p) {
        return syscall(SYS_linkat, p->file, p->files.names[EXIT_FILE_NAME_NONE], AT_FDCWD, path_of(p),
                       AT_EMPTY_PATH);
}

CleanTest(exit_file, what_was_not_made_here_gets_no_name) {
        Place p;

        place_make(&p);
        if (kernel_can())
                cr_assert_neq(outcome(&p, name_of_another_file).code, 0);
        place_done(&p);
}

/* The same letters, but at another address. */
static long name_of_ones_own(const Place *p) {
        char path[128];

        (void)snprintf(path, sizeof path, "%s", path_of(p));
        return name_file(p, AT_FDCWD, path, AT_EMPTY_PATH);
}

static long part_of_the_name(const Place *p) {
        return name_file(p, AT_FDCWD, path_of(p) + 1, AT_EMPTY_PATH);
}

static long name_beneath_a_descriptor(const Place *p) {
        return name_file(p, p->file, path_of(p), AT_EMPTY_PATH);
}

static long link_of_somebody_elses(const Place *p) {
        return syscall(SYS_linkat, AT_FDCWD, "/etc/passwd", AT_FDCWD, path_of(p), 0);
}

static long other_mode(const Place *p) {
        return syscall(SYS_openat, AT_FDCWD, dir_of(p), EXIT_FILE_FLAGS, 06755);
}

static long open_for_reading(const Place *p) {
        return syscall(SYS_openat, AT_FDCWD, dir_of(p), O_RDONLY | O_DIRECTORY, EXIT_FILE_MODE);
}

static long open_what_is_there(const Place *p) {
        return syscall(SYS_openat, AT_FDCWD, path_of(p), EXIT_FILE_FLAGS & ~O_TMPFILE, EXIT_FILE_MODE);
}

static long open_elsewhere(const Place *p) {
        return syscall(SYS_openat, AT_FDCWD, "/tmp", EXIT_FILE_FLAGS, EXIT_FILE_MODE);
}

static long open_beneath_a_descriptor(const Place *p) {
        return syscall(SYS_openat, p->file, dir_of(p), EXIT_FILE_FLAGS, EXIT_FILE_MODE);
}

CleanTest(exit_file, nothing_else_can_be_named) {
        static const struct {
                const char *name;
                Attempt attempt;
        } cases[] = {
                { "name of one's own", name_of_ones_own },
                { "part of the name", part_of_the_name },
                { "name beneath a descriptor", name_beneath_a_descriptor },
                { "link of somebody else's", link_of_somebody_elses },
                { "other mode", other_mode },
                { "open for reading", open_for_reading },
                { "open what is there", open_what_is_there },
                { "open elsewhere", open_elsewhere },
                { "open beneath a descriptor", open_beneath_a_descriptor },
        };
        Place p;

        place_make(&p);
        for (size_t i = 0; kernel_can() && i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(&p, cases[i].attempt);

                cr_assert_eq(s.code, ENOSYS, "%s: %d (%s)", cases[i].name, s.code, strerror(s.code));
        }
        place_done(&p);
}

static void *page_of(const Place *p) {
        return (void *)(uintptr_t)p->files.names[EXIT_FILE_NAME_NONE];
}

static long failed(const void *map) {
        return map == MAP_FAILED ? -1 : 0;
}

static void *other_page(void) {
        return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long make_it_writable(const Place *p) {
        return mprotect(page_of(p), PAGE, PROT_READ | PROT_WRITE);
}

static long make_it_writable_by_another_address(const Place *p) {
        return mprotect((void *)((uintptr_t)page_of(p) | 1ULL << 56), PAGE, PROT_READ | PROT_WRITE) < 0 ? -1
                                                                                                        : 0;
}

static long unmap_it(const Place *p) {
        return munmap(page_of(p), PAGE);
}

static long map_over_it(const Place *p) {
        return failed(mmap(page_of(p), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                           -1, 0));
}

static long move_onto_it(const Place *p) {
        return failed(mremap(other_page(), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page_of(p)));
}

static long move_it_away(const Place *p) {
        return failed(mremap(page_of(p), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other_page()));
}

static long forget_it(const Place *p) {
        return madvise(page_of(p), PAGE, MADV_DONTNEED);
}

static long read_into_it(const Place *p) {
        return lseek(p->file, 0, SEEK_SET) < 0 ? 0 : read(p->file, page_of(p), 1);
}

CleanTest(exit_file, names_cannot_be_changed) {
        static const struct {
                const char *name;
                Attempt attempt;
                int error;
        } cases[] = {
                { "mprotect", make_it_writable, EPERM },
                { "mprotect, tagged", make_it_writable_by_another_address, 0 },
                { "munmap", unmap_it, EPERM },
                { "mmap", map_over_it, EPERM },
                { "mremap onto it", move_onto_it, EPERM },
                { "mremap from it", move_it_away, EPERM },
                { "madvise", forget_it, EPERM },
                { "read", read_into_it, EFAULT },
        };
        Place p;

        place_make(&p);
        for (size_t i = 0; kernel_can() && i < ELEMENTS(cases); i++) {
                ProcessStatus s = outcome(&p, cases[i].attempt);

                if (cases[i].error != 0)
                        cr_assert_eq(s.code, cases[i].error, "%s: %d (%s)", cases[i].name, s.code,
                                     strerror(s.code));
                cr_assert_neq(s.code, 0, "%s", cases[i].name);
        }
        place_done(&p);
}
