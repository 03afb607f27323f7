/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a process ends that somebody else reaps. A pidfd is readable when it has ended; its status is there, if the
 * kernel keeps it at all, when its parent has taken it, which shows as a hang-up. A parent that does not care is waited
 * for for a moment.
 */

#include <sys/epoll.h>

#include "base/error.h"
#include "event/exit-watch.h"

#define REAP_USEC 2000000U

struct ExitWatch {
        Loop *loop;
        LoopSource *source, *timer;
        const ExitWatchHandler *handler;
        void *userdata;
};

static int watch_over(ExitWatch *w, const ProcessStatus *status) {
        w->source = loop_source_free(w->source);
        w->timer = loop_source_free(w->timer);
        return w->handler->on_end(w->userdata, status);
}

static int on_never_reaped(LoopSource *source, uint64_t usec, void *userdata) {
        return watch_over(userdata, NULL);
}

static int on_readable(LoopSource *source, int fd, uint32_t revents, void *userdata) {
        ExitWatch *w = userdata;
        ProcessStatus status;
        int r;

        if (w->handler->on_sign) {
                r = w->handler->on_sign(w->userdata);
                if (r != 0)
                        return r < 0 ? relay(r) : 0;
        }
        r = process_status_of(fd, &status);
        if (r != PROCESS_UNREAPED)
                return watch_over(w, r == 0 ? &status : NULL);
        if (w->timer)
                return 0;
        (void)loop_source_set_io_events(source, 0); /* EPOLLHUP comes in any case */
        r = loop_add_time(w->loop, &w->timer, REAP_USEC, on_never_reaped, w);
        return r < 0 ? relay(r) : 0;
}

/**
 * exit_watch_new() - learn how a process ends
 * @pidfd: borrowed for as long as the watch lives
 * @handler: must outlive the watch
 *
 * Return: 0 or a negative errno.
 */
int exit_watch_new(ExitWatch **ret, Loop *loop, int pidfd, const ExitWatchHandler *handler, void *userdata) {
        _cleanup_(exit_watch_freep) ExitWatch *w = NULL;
        int r;

        w = calloc(1, sizeof *w);
        if (!w)
                return fail(-ENOMEM);
        w->loop = loop_ref(loop);
        w->handler = handler;
        w->userdata = userdata;
        r = loop_add_io(loop, &w->source, pidfd, EPOLLIN, on_readable, w);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(w);
        return 0;
}

/**
 * exit_watch_free() - watch it no more
 *
 * Return: NULL.
 */
ExitWatch *exit_watch_free(ExitWatch *w) {
        if (!w)
                return NULL;
        w->source = loop_source_free(w->source);
        w->timer = loop_source_free(w->timer);
        w->loop = loop_unref(w->loop);
        free(w);
        return NULL;
}
