/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For LD_PRELOAD: reads or writes of one byte only. $SHORT says which: "write:3" is the third of a process, "write:3+"
 * that and all that follow. A kernel may do so at any time: a signal came, a disk had room for no more.
 */

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What has no bytes but records, such as a signalfd, has no short ones either. */
static int is_bytes(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 &&
               (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISCHR(st.st_mode));
}

static int is_short(const char *call, int fd) {
        static pid_t process;
        static long n;
        const char *word = getenv("SHORT");
        size_t length = strlen(call);
        char *end;
        long which;

        if (!word || strncmp(word, call, length) != 0 || word[length] != ':')
                return 0;
        if (process != getpid()) {
                process = getpid();
                n = 0;
        }
        if (!is_bytes(fd))
                return 0;
        which = strtol(word + length + 1, &end, 10);
        n++;
        return n == which || (*end == '+' && n > which);
}

ssize_t read(int fd, void *buf, size_t size) {
        static ssize_t (*next)(int, void *, size_t);

        if (!next)
                *(void **)&next = dlsym(RTLD_NEXT, "read");
        return next(fd, buf, size > 1 && is_short("read", fd) ? 1 : size);
}

ssize_t write(int fd, const void *buf, size_t size) {
        static ssize_t (*next)(int, const void *, size_t);

        if (!next)
                *(void **)&next = dlsym(RTLD_NEXT, "write");
        return next(fd, buf, size > 1 && is_short("write", fd) ? 1 : size);
}

ssize_t writev(int fd, const struct iovec *iov, int n_iov) {
        static ssize_t (*next)(int, const struct iovec *, int);
        static ssize_t (*next_write)(int, const void *, size_t);

        if (!next) {
                *(void **)&next = dlsym(RTLD_NEXT, "writev");
                *(void **)&next_write = dlsym(RTLD_NEXT, "write");
        }
        if (n_iov > 0 && iov[0].iov_len > 0 && is_short("writev", fd))
                return next_write(fd, iov[0].iov_base, 1);
        return next(fd, iov, n_iov);
}
