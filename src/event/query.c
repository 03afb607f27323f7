/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A question whose answer may take a while: of journal files on a slow disk. A child asks it, writes one struct
 * into a pipe and ends; the loop reads that when it is there. What the child maps and opens for it ends with it.
 *
 * The child is a fork, so it has the question. Of our descriptors it has none but the pipe. It dies with us, and is
 * killed at the deadline, or when nobody wants the answer any more. It has our signal mask: what a service manager
 * sends to all processes of our unit does not end it.
 *
 * Its end is the reaper's to see. Nobody waits for it here, and it is signalled by pidfd, since it may have been buried.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "event/query.h"

struct Query {
        QuerySpec spec;
        sd_event_source *source;
        Timer *timer;
        int fd, pidfd;
        size_t n;
        char answer[];
};

static void __attribute__((noreturn)) query_run(const QuerySpec *spec, void *answer, int fd, pid_t parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                process_exit(EXIT_FAILURE);
        (void)fd_close_all_but(&fd, 1);
        if (spec->ask(spec->userdata, answer) < 0 || fd_write_full(fd, answer, spec->answer_size) < 0)
                process_exit(EXIT_FAILURE);
        process_exit(EXIT_SUCCESS);
}

static int query_end(Query *q, int error) {
        q->source = sd_event_source_disable_unref(q->source);
        q->timer = timer_free(q->timer);
        return q->spec.on_answer(q->spec.userdata, error == 0 ? q->answer : NULL, error);
}

static int query_on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Query *q = userdata;
        ssize_t n;

        n = read(fd, q->answer + q->n, q->spec.answer_size - q->n);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return query_end(q, n < 0 ? -errno : -EPIPE);
        q->n += (size_t)n;
        return q->n == q->spec.answer_size ? query_end(q, 0) : 0;
}

static int query_on_timeout(Timer *timer, void *userdata) {
        Query *q = userdata;

        (void)process_signal(q->pidfd, SIGKILL); /* it may have just ended */
        return query_end(q, -ETIMEDOUT);
}

static int query_fork(Query *q, int write_fd) {
        pid_t parent = getpid(), pid;
        int r;

        r = process_fork(&pid);
        if (r < 0)
                return relay(r);
        if (r == 0)
                query_run(&q->spec, q->answer, write_fd, parent);
        q->pidfd = process_pidfd(pid); /* not buried yet: that is done in the loop */
        if (q->pidfd < 0) {
                (void)process_end(pid);
                return relay(q->pidfd);
        }
        return 0;
}

/**
 * query_new() - ask, and have on_answer() called from the loop
 *
 * Return: 0 or a negative errno; then on_answer() is not called.
 */
int query_new(Query **ret, Event *event, const QuerySpec *spec) {
        _cleanup_(query_freep) Query *q = NULL;
        _cleanup_close_ int write_fd = -1;
        int r;

        if (spec->answer_size == 0 || spec->answer_size > QUERY_ANSWER_MAX)
                return fail(-EINVAL);
        q = calloc(1, sizeof *q + spec->answer_size);
        if (!q)
                return fail(-ENOMEM);
        q->spec = *spec;
        q->fd = q->pidfd = -1;
        r = fd_pipe(&q->fd, &write_fd);
        if (r >= 0)
                r = fd_set_nonblock(q->fd, true);
        if (r < 0)
                return relay(r);
        r = event_add_io(event, &q->source, q->fd, EPOLLIN, query_on_readable, q);
        if (r < 0)
                return relay(r);
        r = event_add_timer(event, &q->timer, spec->usec, query_on_timeout, q);
        if (r < 0)
                return relay(r);
        r = query_fork(q, write_fd);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(q);
        return 0;
}

/**
 * query_free() - the answer is not wanted any more; on_answer() is not called
 *
 * Return: NULL.
 */
Query *query_free(Query *q) {
        if (!q)
                return NULL;
        sd_event_source_disable_unref(q->source);
        timer_free(q->timer);
        if (q->pidfd >= 0)
                (void)process_signal(q->pidfd, SIGKILL); /* it may have ended */
        fd_close_many(&q->fd, 1);
        fd_close_many(&q->pidfd, 1);
        free(q);
        return NULL;
}
