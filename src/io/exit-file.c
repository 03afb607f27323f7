/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files that a process can make which may open nothing: the exit files of a container whose keeper has been killed.
 *
 * The directories are those of all containers. So the process that handles what one of them sends has no right to make
 * files there, but for two, by two names: these are written into memory that cannot be written any more, and the
 * filter lets no other address be named. Such a file has no name at first and gets it when it is whole. A name that is
 * taken stays what it is: a keeper that told the end before it died has told it well.
 *
 * Needs Linux 6.10, where a process may name a file that it has made itself. The status of a container that was
 * another's child is to be had from 6.15 on.
 */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "io/exit-file.h"

#define FILE_MODE 0644

/**
 * exit_file_names_new() - the names, in a page that can only be read from now on
 * @ret: what sandbox_enter() takes; it is never freed
 * @persist_name: shorter than EXIT_FILE_EXIT - EXIT_FILE_PERSIST
 *
 * Return: 0 or a negative errno: -ENAMETOOLONG for what is no name of a file.
 */
int exit_file_names_new(char **ret, const char *persist_name, const char *exit_name) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), size = page > EXIT_FILE_NAMES_SIZE ? page : EXIT_FILE_NAMES_SIZE;
        char *names;

        if (strlen(persist_name) >= EXIT_FILE_EXIT - EXIT_FILE_PERSIST || strlen(exit_name) > NAME_MAX)
                return fail(-ENAMETOOLONG);
        names = aligned_alloc(page, size);
        if (!names)
                return fail(-ENOMEM);
        memset(names, 0, size);
        names[EXIT_FILE_HERE] = '.';
        memcpy(names + EXIT_FILE_PERSIST, persist_name, strlen(persist_name));
        memcpy(names + EXIT_FILE_EXIT, exit_name, strlen(exit_name));
        if (mprotect(names, size, PROT_READ) < 0) {
                free(names);
                return fail(-errno);
        }
        *ret = names;
        return 0;
}

/**
 * exit_file_write() - make a file, whole or not at all
 * @name: EXIT_FILE_PERSIST or EXIT_FILE_EXIT
 *
 * Return: 0, EXIT_FILE_THERE if there is one, or a negative errno.
 */
int exit_file_write(const char *names, size_t name, int dir_fd, const char *text) {
        _cleanup_close_ int fd = -1;
        int r;

        /* the C library's own may change what it is given */
        fd = (int)syscall(SYS_openat, dir_fd, names + EXIT_FILE_HERE, EXIT_FILE_FLAGS, FILE_MODE);
        if (fd < 0)
                return fail(-errno);
        r = fd_write_full(fd, text, strlen(text));
        if (r < 0)
                return relay(r);
        if (syscall(SYS_linkat, fd, names + EXIT_FILE_NOTHING, dir_fd, names + name, AT_EMPTY_PATH) < 0)
                return errno == EEXIST ? EXIT_FILE_THERE : fail(-errno);
        return 0;
}
