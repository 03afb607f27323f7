/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files that a process can make which may open nothing: the exit files of a container whose keeper has been killed.
 *
 * Their directories hold those of all containers, and so a descriptor of one has no place in the process that handles
 * what a container sends: it could be passed on to somebody in the container, who could open all of the host beneath
 * it. What the process has are two paths, in memory that can never be changed again, nor unmapped or replaced, and the
 * filter lets no other address be named. A file has no name at first and gets it when it is whole. A name that is taken
 * stays what it is: a keeper that told the end before it died has told it well.
 *
 * All of it needs Linux 6.10: sealed memory, and a name for a file one has made without a capability. The status of
 * a container that was another's child is to be had from 6.15 on.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "sandbox/exit-file.h"

#define MSEAL_CALL                                                                                           \
        462 /* of Linux 6.10; C libraries are older. Elsewhere than where it is 462 it is nothing */

static size_t size_of_names(const char *const *dirs, const char *const *names) {
        size_t size = 1;

        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++)
                if (dirs[i])
                        size += 2 * strlen(dirs[i]) + strlen(names[i]) + 3; /* two ends and a slash */
        return size;
}

static void write_names(ExitFiles *files, char *p, const char *const *dirs, const char *const *names) {
        files->names[EXIT_FILE_NAME_NONE] = p++; /* fresh memory is zero */
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                if (!dirs[i])
                        continue;
                files->names[EXIT_FILE_NAME_DIR + i] = p;
                p = stpcpy(p, dirs[i]) + 1;
                files->names[EXIT_FILE_NAME_PATH + i] = p;
                p = stpcpy(stpcpy(stpcpy(p, dirs[i]), "/"), names[i]) + 1;
        }
}

/**
 * exit_files_possible() - whether the kernel can seal memory
 */
bool exit_files_possible(void) {
        return syscall(MSEAL_CALL, NULL, 0, 0) >= 0;
}

/**
 * exit_files_seal() - fix which files there may be, for the rest of this process's life
 * @dirs: NULL for a file that is not wanted; relative ones are relative to the working directory
 * @names: without slashes
 *
 * The memory is never given back.
 *
 * Return: 0, or a negative errno: -ENOSYS if the kernel seals no memory.
 */
int exit_files_seal(ExitFiles *ret,
                    const char *const dirs[_EXIT_FILE_MAX],
                    const char *const names[_EXIT_FILE_MAX]) {
        size_t size = size_of_names(dirs, names);
        ExitFiles files = { 0 };
        char *p;
        int r;

        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                return fail(-errno);
        write_names(&files, p, dirs, names);
        if (mprotect(p, size, PROT_READ) < 0 || syscall(MSEAL_CALL, p, size, 0) < 0) {
                r = -errno;
                (void)munmap(p, size);
                return fail(r);
        }
        *ret = files;
        return 0;
}

/**
 * exit_file_write() - make a file, whole or not at all
 *
 * Return: 0, EXIT_FILE_THERE if there is one, or a negative errno.
 */
int exit_file_write(const ExitFiles *files, ExitFileId id, const char *text) {
        const char *dir = files->names[EXIT_FILE_NAME_DIR + id],
                   *path = files->names[EXIT_FILE_NAME_PATH + id];
        _cleanup_close_ int fd = -1;
        int r;

        /* the C library's own would be free to change the flags */
        fd = (int)syscall(SYS_openat, AT_FDCWD, dir, EXIT_FILE_FLAGS, EXIT_FILE_MODE);
        if (fd < 0)
                return fail(-errno);
        r = fd_write_full(fd, text, strlen(text));
        if (r < 0)
                return relay(r);
        if (syscall(SYS_linkat, fd, files->names[EXIT_FILE_NAME_NONE], AT_FDCWD, path, AT_EMPTY_PATH) < 0)
                return errno == EEXIST ? EXIT_FILE_THERE : fail(-errno);
        return 0;
}
