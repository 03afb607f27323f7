/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Another root directory. A filter sees no names, and sendmsg() of a datagram socket takes one, whatever the socket is
 * connected to: behind it could be the service manager, or the journal under another's name. So all names of a worker
 * are looked up where there is no socket.
 *
 * That is its own directory of /proc with a file for each descriptor: it is always there, nobody can make anything in
 * it, and it has no links. A worker that may have to write exit files has theirs instead, the only things in which are
 * such files: that of the exit file is its root directory, and that of the persist file its working directory. The
 * latter is a mount of its own, that is mounted nowhere: there is no way up from it.
 *
 * None of this leaves a descriptor of a directory behind, which could be passed to a container.
 *
 * Who may not change the root directory can in a user namespace. It is entered for that alone, takes some 50 us and two
 * kilobytes of the kernel's memory; to all others we stay who we are.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sandbox/root.h"

#define NOWHERE "/proc/self/fdinfo"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

static int root_change(const char *dir) {
        if (chroot(dir) >= 0)
                return 0;
        if (errno != EPERM)
                return fail(-errno);
        if (unshare(CLONE_NEWUSER) < 0 || chroot(dir) < 0)
                return fail(-errno);
        return 0;
}

/**
 * root_leave() - leave the file system but for the directories of exit files
 * @dirs: NULL for what is not wanted
 * @ret_dirs: how they are called from now on; NULL for what cannot be had
 *
 * Only for a process of one thread that shares its root directory with nobody.
 *
 * Return: 0, or a negative errno; then names are what they were.
 */
int root_leave(const char *const dirs[_EXIT_FILE_MAX], const char *ret_dirs[_EXIT_FILE_MAX]) {
        const char *exit_dir = dirs[EXIT_FILE_EXIT], *persist_dir = dirs[EXIT_FILE_PERSIST];
        const char *root = exit_dir ? exit_dir : persist_dir;
        bool exists = root && access(root, X_OK) >= 0;
        _cleanup_close_ int mount_fd = -1;
        int r;

        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++)
                ret_dirs[i] = dirs[i];
        if (exit_dir && persist_dir)
                mount_fd = (int)syscall(SYS_open_tree, AT_FDCWD, persist_dir, OPEN_TREE_CLONE | O_CLOEXEC);
        r = root_change(exists ? root : NOWHERE);
        if (r < 0)
                return relay(r);
        if (chdir("/") < 0)
                return fail(-errno);
        ret_dirs[EXIT_FILE_EXIT] = exists && exit_dir ? "/" : NULL;
        ret_dirs[EXIT_FILE_PERSIST] = exists && !exit_dir ? "/" : NULL;
        if (mount_fd >= 0 && fchdir(mount_fd) >= 0)
                ret_dirs[EXIT_FILE_PERSIST] = ".";
        return 0;
}
