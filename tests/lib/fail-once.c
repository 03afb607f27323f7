/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For LD_PRELOAD: the $FAIL_EPOLL_CTL-th watch that a process asks for, those counted that it was forked with, fails as it
 * does when the user's share of watches is used up (fs.epoll.max_user_watches). Once: $FAIL_ONCE_FILE goes with it.
 */

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event) {
        static int (*next)(int, int, int, struct epoll_event *);
        static long n_left = -1;

        if (!next) {
                *(void **)&next = dlsym(RTLD_NEXT, "epoll_ctl");
                n_left = getenv("FAIL_EPOLL_CTL") ? atol(getenv("FAIL_EPOLL_CTL")) : 0;
        }
        if (op == EPOLL_CTL_ADD && n_left > 0 && --n_left == 0 &&
            unlink(getenv("FAIL_ONCE_FILE") ?: "") == 0) {
                errno = ENOSPC;
                return -1;
        }
        return next(epfd, op, fd, event);
}
