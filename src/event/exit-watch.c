/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a process ends that somebody else reaps. A pidfd is readable when it has ended; its status is there, if the
 * kernel keeps it at all, when its parent has taken it, which shows as a hang-up. A parent that does not care is waited
 * for for a moment. Where the kernel has no room for one more watch the pidfd is looked at from time to time.
 */

#include <poll.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "event/exit-watch.h"

#define REAP_USEC 2000000U
#define LOOK_USEC 500000U /* if it cannot be watched */

struct ExitWatch {
        sd_event_source *source;
        Timer *timer;
        int pidfd;
        bool unreaped; /* it has ended, and its parent has been given time */
        const ExitWatchHandler *handler;
        void *userdata;
};

static int watch_over(ExitWatch *w, const ProcessStatus *status) {
        w->source = sd_event_source_disable_unref(w->source);
        w->timer = timer_free(w->timer);
        return w->handler->on_end(w->userdata, status);
}

static int watch_look(ExitWatch *w) {
        ProcessStatus status;
        int r;

        if (w->handler->on_sign) {
                r = w->handler->on_sign(w->userdata);
                if (r != 0)
                        return r < 0 ? relay(r) : 0;
        }
        r = process_status_of(w->pidfd, &status);
        if (r != PROCESS_UNREAPED)
                return watch_over(w, r == 0 ? &status : NULL);
        if (w->unreaped)
                return 0;
        w->unreaped = true;
        if (w->source)
                (void)sd_event_source_set_io_events(w->source, 0); /* EPOLLHUP comes in any case */
        timer_set(w->timer, REAP_USEC);
        return 0;
}

static int exit_watch_on_time(Timer *timer, void *userdata) {
        ExitWatch *w = userdata;
        struct pollfd p = { .fd = w->pidfd, .events = POLLIN };

        if (w->unreaped)
                return watch_over(w, NULL);
        timer_set(timer, LOOK_USEC);
        return poll(&p, 1, 0) > 0 ? watch_look(w) : 0;
}

static int exit_watch_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        return watch_look(userdata);
}

/**
 * exit_watch_new() - learn how a process ends
 * @pidfd: borrowed for as long as the watch lives
 * @handler: must outlive the watch
 *
 * Return: 0 or a negative errno.
 */
int exit_watch_new(ExitWatch **ret,
                   Event *event,
                   int pidfd,
                   const ExitWatchHandler *handler,
                   void *userdata) {
        _cleanup_(exit_watch_freep) ExitWatch *w = NULL;
        int r;

        w = calloc(1, sizeof *w);
        if (!w)
                return fail(-ENOMEM);
        w->pidfd = pidfd;
        w->handler = handler;
        w->userdata = userdata;
        r = event_add_timer(event, &w->timer, TIMER_NEVER, exit_watch_on_time, w);
        if (r < 0)
                return relay(r);
        if (event_add_io(event, &w->source, pidfd, EPOLLIN, exit_watch_on_readable, w) < 0)
                timer_set(w->timer, LOOK_USEC);
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
        w->source = sd_event_source_disable_unref(w->source);
        w->timer = timer_free(w->timer);
        free(w);
        return NULL;
}
