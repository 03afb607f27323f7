/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The container's log file, as the keeper handles it: the worker writes, but it is the keeper that
 * has the directory and makes files in it. All names are relative to a directory that was opened
 * at the start, so nobody can exchange a parent of it under us.
 *
 * Others wait for these files: the kubelet renames the log away, has us reopen, and waits for the
 * path to appear again; readers follow the file by name. So a new file is always made under
 * another name and renamed into its place, empty and ready.
 *
 * A rotation that cannot be done safely is refused and told apart from one that failed: refused
 * means that the log goes on in the same file.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sink/logfile.h"

#define LOGFILE_MODE 0640
#define NAME_TRIES 16
#define LOGFILE_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY)

static int name_beside(char out[NAME_MAX + 1], const char *name, const char *suffix, unsigned number) {
        int n;

        n = number > 0 ? snprintf(out, NAME_MAX + 1, "%s.%u", name, number)
                       : snprintf(out, NAME_MAX + 1, "%s%s", name, suffix);
        return n < 0 || n > NAME_MAX ? fail(-ENAMETOOLONG) : 0;
}

/**
 * logfile_open() - open a log file to go on at its end, or make it
 * @name: in the directory @dir_fd
 *
 * Return: the descriptor or a negative errno.
 */
int logfile_open(int dir_fd, const char *name) {
        int fd;

        fd = openat(dir_fd, name, LOGFILE_FLAGS, LOGFILE_MODE);
        return fd < 0 ? fail(-errno) : fd;
}

/*
 * A file of ours beside the log, whoever else may write there. The name is the suffix's alone if it can be, so that what a
 * replacement that was cut short has left goes away.
 */
static int make_beside(int dir_fd, const char *name, const char *suffix, char out[NAME_MAX + 1]) {
        for (unsigned i = 0; i < NAME_TRIES; i++) {
                char more[32];
                uint32_t random = 0;
                int fd, r;

                if (i > 0 && getrandom(&random, sizeof random, GRND_INSECURE) != sizeof random)
                        return fail(-errno);
                (void)snprintf(more, sizeof more, "%s.%08x", suffix, random);
                if (i == 0)
                        more[strlen(suffix)] = 0;
                r = name_beside(out, name, more, 0);
                if (r < 0)
                        return relay(r);
                (void)unlinkat(dir_fd, out, 0); /* none is the rule */
                fd = openat(dir_fd, out, LOGFILE_FLAGS | O_EXCL | O_NOFOLLOW, LOGFILE_MODE);
                if (fd >= 0 || errno != EEXIST)
                        return fd >= 0 ? fd : fail(-errno);
        }
        return fail(-EEXIST);
}

/**
 * logfile_replace() - put an empty file in the place of the log file
 *
 * What was there is gone, unless somebody renamed it before. There is a file of that name at any
 * moment, and CRI-O sees the rename. Unlike the original we append, so that a truncation by
 * somebody else does not leave a hole.
 *
 * Return: the descriptor or a negative errno; then @name is what it was.
 */
int logfile_replace(int dir_fd, const char *name) {
        char temporary[NAME_MAX + 1];
        _cleanup_close_ int fd = -1;
        int r;

        fd = make_beside(dir_fd, name, ".tmp", temporary);
        if (fd < 0)
                return relay(fd);
        if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
                r = fail(-errno);
                (void)unlinkat(dir_fd, temporary, 0); /* the first error is the one to tell */
                return r;
        }
        return TAKE_FD(fd);
}

/* NAME.1 becomes NAME.2 and so on; the last of @n_old is overwritten. */
static int shift_old(int dir_fd, const char *name, unsigned n_old) {
        char from[NAME_MAX + 1], to[NAME_MAX + 1];
        int r;

        for (unsigned i = n_old - 1; i >= 1; i--) {
                r = name_beside(from, name, "", i);
                if (r >= 0)
                        r = name_beside(to, name, "", i + 1);
                if (r < 0)
                        return relay(r);
                if (renameat(dir_fd, from, dir_fd, to) < 0 && errno != ENOENT)
                        return fail(-errno);
        }
        return 0;
}

/* Whether the open file is the one at its place, and nobody else holds a lock on it. */
static int check_rotatable(int dir_fd, const char *name, int fd) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat there, ours;

        if (fstat(fd, &ours) < 0)
                return fail(-errno);
        if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? LOGFILE_MOVED : fail(-errno);
        if (!S_ISREG(there.st_mode))
                return LOGFILE_NOT_REGULAR;
        if (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino)
                return LOGFILE_MOVED;
        if (fcntl(fd, F_GETLK, &lock) >= 0 && lock.l_type != F_UNLCK)
                return LOGFILE_LOCKED;
        return 0;
}

/**
 * logfile_rotate() - keep the log file as NAME.1, the one before as NAME.2, and begin an empty one
 * @fd: the log file as it is open now
 * @n_old: so many old files are kept, exactly (the original keeps two for 1); 1 or more
 * @ret_fd: the new file
 *
 * Return: 0, LOGFILE_NOT_REGULAR (a symlink), LOGFILE_MOVED (another file has the name, or none) or
 * LOGFILE_LOCKED with nothing changed, or a negative errno; then at most old files were moved up.
 */
int logfile_rotate(int dir_fd, const char *name, int fd, unsigned n_old, int *ret_fd) {
        char fresh[NAME_MAX + 1], first[NAME_MAX + 1];
        _cleanup_close_ int new_fd = -1;
        int r;

        r = check_rotatable(dir_fd, name, fd);
        if (r != 0)
                return r < 0 ? relay(r) : r;
        r = name_beside(first, name, "", 1);
        if (r < 0)
                return relay(r);
        new_fd = make_beside(dir_fd, name, ".new", fresh);
        if (new_fd < 0)
                return relay(new_fd);

        r = n_old > 1 ? shift_old(dir_fd, name, n_old) : 0;
        if (r >= 0 && renameat(dir_fd, name, dir_fd, first) < 0)
                r = fail(-errno);
        if (r >= 0 && renameat(dir_fd, fresh, dir_fd, name) < 0) {
                r = fail(-errno);
                (void)renameat(dir_fd, first, dir_fd, name); /* the first error counts */
        }
        if (r < 0) {
                (void)unlinkat(dir_fd, fresh, 0);
                return relay(r);
        }
        *ret_fd = TAKE_FD(new_fd);
        return 0;
}

static bool is_below(const char *path, const char *parent) {
        size_t n = strlen(parent);

        while (n > 0 && parent[n - 1] == '/')
                n--;
        return strncmp(path, parent, n) == 0 && (path[n] == 0 || path[n] == '/');
}

/**
 * logfile_check_directory() - is a directory one of those that log files may be in, or below one
 * @allowed: paths; none of them: every directory is
 *
 * Compared is where things really are, symlinks and ".." resolved.
 *
 * Return: 0, LOGFILE_NOT_ALLOWED, or a negative errno.
 */
int logfile_check_directory(int dir_fd, char *const *allowed, size_t n_allowed) {
        char link[64], path[PATH_MAX];
        ssize_t n;

        if (n_allowed == 0)
                return 0;
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0)
                return fail(-errno);
        path[n] = 0;

        for (size_t i = 0; i < n_allowed; i++) {
                _cleanup_free_ char *real = realpath(allowed[i], NULL);

                if (real && is_below(path, real))
                        return 0;
        }
        return LOGFILE_NOT_ALLOWED;
}

/**
 * logfile_refusal() - why nothing was done, as the end of a sentence
 * @answer: LOGFILE_*
 */
const char *logfile_refusal(int answer) {
        static const char *const texts[] = {
                [LOGFILE_NOT_REGULAR] = "the log file's path is not a regular file",
                [LOGFILE_MOVED] = "the log file has been moved away",
                [LOGFILE_LOCKED] = "somebody holds a lock on the log file",
                [LOGFILE_NOT_ALLOWED] = "the log file's directory is not among those allowed",
        };

        return answer > 0 && (size_t)answer < ELEMENTS(texts) ? texts[answer] : "unknown reason";
}
