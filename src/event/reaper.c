/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Statuses of our children. We are a subreaper: besides the processes we made, everything the runtime leaves behind
 * comes to us, among it the container's first process, which may well have ended before anybody could tell us its pid.
 * So the status of a child that nobody has claimed yet is kept until somebody does.
 *
 * What is kept is bounded: a container that leaves zombies by the thousand pushes the oldest out.
 */

#include <errno.h>
#include <signal.h>

#include "base/error.h"
#include "event/reaper.h"

#define UNCLAIMED_MAX 1024
#define CLAIMS_MAX 12

typedef struct Unclaimed {
        pid_t pid;
        ProcessStatus status;
} Unclaimed;

struct Reaper {
        sd_event_source *source;
        const ReaperHandler *handler;
        void *userdata;
        pid_t claims[CLAIMS_MAX]; /* 0: free */
        Unclaimed *unclaimed;     /* a ring of n_unclaimed, the next one at next */
        size_t n_unclaimed, next;
};

static int reaper_on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void)reaper_look(userdata); /* a status that nobody has asked for is lost, and nobody else's */
        return 0;
}

/**
 * reaper_new() - take the ends of all children from now on
 * @event: NULL if the owner takes SIGCHLD itself, and calls reaper_look() then
 * @handler: borrowed
 *
 * SIGCHLD must be blocked.
 *
 * Return: 0 or a negative errno.
 */
int reaper_new(Reaper **ret, Event *event, const ReaperHandler *handler, void *userdata) {
        _cleanup_(reaper_freep) Reaper *reaper = NULL;
        int r;

        reaper = calloc(1, sizeof *reaper);
        if (!reaper)
                return fail(-ENOMEM);
        reaper->handler = handler;
        reaper->userdata = userdata;
        r = event ? event_add_signal(event, &reaper->source, SIGCHLD, reaper_on_signal, reaper) : 0;
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(reaper);
        return 0;
}

/**
 * reaper_free() - stop taking them
 *
 * Return: NULL.
 */
Reaper *reaper_free(Reaper *reaper) {
        if (!reaper)
                return NULL;
        sd_event_source_disable_unref(reaper->source);
        free(reaper->unclaimed);
        free(reaper);
        return NULL;
}

static pid_t *find_claim(Reaper *reaper, pid_t pid) {
        for (size_t i = 0; i < CLAIMS_MAX; i++)
                if (reaper->claims[i] == pid)
                        return &reaper->claims[i];
        return NULL;
}

static Unclaimed *find_unclaimed(Reaper *reaper, pid_t pid) {
        for (size_t i = 0; i < reaper->n_unclaimed; i++)
                if (reaper->unclaimed[i].pid == pid)
                        return &reaper->unclaimed[i];
        return NULL;
}

static int keep(Reaper *reaper, pid_t pid, const ProcessStatus *status) {
        Unclaimed *former = find_unclaimed(reaper, pid);

        if (former) /* the pid has been used again */
                former->pid = 0;
        if (reaper->n_unclaimed < UNCLAIMED_MAX && reaper->next == reaper->n_unclaimed) {
                Unclaimed *more;

                more = reallocarray(reaper->unclaimed, reaper->n_unclaimed + 1, sizeof *more);
                if (!more)
                        return fail(-ENOMEM);
                reaper->unclaimed = more;
                reaper->n_unclaimed++;
        }
        reaper->unclaimed[reaper->next] = (Unclaimed){ .pid = pid, .status = *status };
        reaper->next = (reaper->next + 1) % UNCLAIMED_MAX;
        return 0;
}

/**
 * reaper_claim() - somebody wants to know how @pid ends
 *
 * The handler is called at once, from here, if it has ended already. A status kept of another process that had this
 * pid before, while a child has it now, is not meant.
 *
 * Return: 0, -ENOSPC with too many claims, or what the handler returned.
 */
int reaper_claim(Reaper *reaper, pid_t pid) {
        Unclaimed *former = find_unclaimed(reaper, pid);
        ProcessStatus status;
        pid_t *claim;

        if (former) {
                former->pid = 0;
                if (process_peek(pid, &status) < 0) {
                        status = former->status;
                        return reaper->handler->on_exit(reaper->userdata, pid, &status);
                }
        }

        claim = find_claim(reaper, 0);
        if (!claim)
                return fail(-ENOSPC);
        *claim = pid;
        return 0;
}

/**
 * reaper_look() - bury every child that has ended
 *
 * Return: 0, or the first negative errno of a handler; the others are called all the same.
 */
int reaper_look(Reaper *reaper) {
        int result = 0, last;

        for (;;) {
                ProcessStatus status;
                pid_t pid, *claim;
                int r;

                pid = process_peek(0, &status);
                if (pid <= 0)
                        break;

                claim = find_claim(reaper, pid);
                if (claim) {
                        *claim = 0;
                        r = reaper->handler->on_exit(reaper->userdata, pid, &status);
                } else
                        r = keep(reaper, pid, &status);
                if (r < 0 && result == 0)
                        result = r;

                (void)process_reap(pid); /* it is there: it was just seen */
        }
        last = reaper->handler->on_buried(reaper->userdata);
        return result < 0 ? result : last;
}

/**
 * reaper_has_children() - is there any child left, dead or alive?
 */
bool reaper_has_children(Reaper *reaper) {
        ProcessStatus status;

        return process_peek(0, &status) != -ECHILD;
}
