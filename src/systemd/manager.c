/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the keeper asks a systemd manager. Each question is asked by a child: it maps libsystemd, which could never be
 * unmapped again and would be most of the keeper's memory for the months of a container's life, opens the bus, asks
 * one thing, writes the answer into a pipe and ends. Whatever the library leaves behind ends with it.
 *
 * The child has the question by being a fork of ours; of our descriptors it has none but the pipe. It dies with us,
 * and is killed if it does not come to an end. It is in our cgroup, so nothing that empties that may be done
 * meanwhile. SIGCHLD may be pending afterwards, for a child that is buried.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "event/event.h"
#include "event/query.h"
#include "systemd/bus.h"
#include "systemd/manager.h"

#define ANSWER_USEC 60000000ULL /* the child's own limits are below that, all together */
#define UNIT_USEC 30000000ULL   /* likewise, for what is asked in the loop */

typedef struct Question {
        bool user;
        uid_t uid;
        const char *unit;      /* either this */
        const ScopeSpec *spec; /* or this */
} Question;

typedef struct Answer {
        int result;
        ManagerTrouble trouble;
        UnitFacts unit;
} Answer;

/* ---- in the child ------------------------------------------------------------------------------------- */

typedef struct Asking {
        Answer *answer;
        bool over;
} Asking;

static void note_trouble(Answer *a, const BusTrouble *trouble) {
        a->trouble.bus_error = trouble->error;
        (void)snprintf(a->trouble.text, sizeof a->trouble.text, "%s", trouble->text);
}

static int asking_on_unit(void *userdata, const UnitFacts *facts, const BusTrouble *trouble) {
        Asking *asking = userdata;

        if (facts)
                asking->answer->unit = *facts;
        else
                asking->answer->result = trouble->error ?: -EBADMSG;
        note_trouble(asking->answer, trouble);
        asking->over = true;
        return 0;
}

static int asking_on_scope(void *userdata, int answer, const BusTrouble *trouble) {
        Asking *asking = userdata;

        asking->answer->result = trouble->error ?: answer;
        note_trouble(asking->answer, trouble);
        asking->over = true;
        return 0;
}

static void ask(const Question *q, Answer *a) {
        _cleanup_(event_unrefp) Event *event = NULL;
        _cleanup_(bus_freep) Bus *bus = NULL;
        _cleanup_(unit_question_freep) UnitQuestion *question = NULL;
        _cleanup_(scope_freep) Scope *scope = NULL;
        Asking asking = { .answer = a };
        int r;

        r = event_new(&event);
        if (r >= 0)
                r = bus_new(&bus, event, q->user, q->uid);
        if (r >= 0)
                r = q->spec ? scope_ask(&scope, bus, q->spec, asking_on_scope, &asking)
                            : unit_ask(&question, bus, q->unit, asking_on_unit, &asking);
        while (r >= 0 && !asking.over)
                r = event_turn(event, EVENT_FOREVER);
        if (r < 0) {
                a->result = r;
                (void)snprintf(a->trouble.text, sizeof a->trouble.text, "%s", strerror(-r));
        }
}

static void __attribute__((noreturn)) answer(const Question *q, int fd, pid_t parent) {
        Answer a = { 0 };

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                process_exit(EXIT_FAILURE);
        (void)fd_close_all_but(&fd, 1);
        ask(q, &a);
        process_exit(fd_write_full(fd, &a, sizeof a) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* ---- in the keeper ------------------------------------------------------------------------------------ */

static int receive(int fd, Answer *ret) {
        uint64_t end = event_now() + ANSWER_USEC;
        size_t n = 0;

        while (n < sizeof *ret) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                uint64_t now = event_now();
                ssize_t k;
                int r;

                r = now < end ? poll(&p, 1, (int)((end - now + 999) / 1000)) : 0;
                if (r == 0)
                        return fail(-ETIMEDOUT);
                k = r < 0 ? -1 : read(fd, (char *)ret + n, sizeof *ret - n);
                if (k < 0 && errno != EINTR && errno != EAGAIN)
                        return fail(-errno);
                if (k == 0)
                        return fail(-EPIPE); /* it has died */
                n += k > 0 ? (size_t)k : 0;
        }
        return 0;
}

static int put(const Question *q, Answer *ret) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        pid_t parent = getpid(), pid = 0;
        int r;

        r = fd_pipe(&read_fd, &write_fd);
        if (r < 0)
                return relay(r);
        r = process_fork(&pid);
        if (r < 0)
                return relay(r);
        if (r == 0)
                answer(q, write_fd, parent);
        fd_close_many(&write_fd, 1);
        r = receive(read_fd, ret);
        (void)process_end(pid);
        return r < 0 ? relay(r) : 0;
}

static int put_and_tell(const Question *q, Answer *ret, ManagerTrouble *ret_trouble) {
        int r;

        r = put(q, ret);
        if (r < 0) {
                ret->result = r;
                ret->trouble.bus_error = r;
                (void)snprintf(ret->trouble.text, sizeof ret->trouble.text, "failed to query the manager: %s",
                               strerror(-r));
        }
        *ret_trouble = ret->trouble;
        return ret->result;
}

/**
 * manager_look_at_unit() - unit_facts(), from a manager named as for bus_open()
 *
 * Return: 0 or a negative errno; then @ret_trouble has the words.
 */
int manager_look_at_unit(bool user,
                         uid_t uid,
                         const char *unit,
                         UnitFacts *ret,
                         ManagerTrouble *ret_trouble) {
        Answer a = { 0 };
        int r;

        r = put_and_tell(&(Question){ .user = user, .uid = uid, .unit = unit }, &a, ret_trouble);
        if (r < 0)
                return relay(r);
        *ret = a.unit;
        return 0;
}

/**
 * manager_make_scope() - start a scope and wait for the end of its job, 25 s at most
 *
 * Return: 0, what scope_wait() returns, or a negative errno; if not 0 @ret_trouble has the words.
 */
int manager_make_scope(bool user, uid_t uid, const ScopeSpec *spec, ManagerTrouble *ret_trouble) {
        Answer a = { 0 };
        int r;

        r = put_and_tell(&(Question){ .user = user, .uid = uid, .spec = spec }, &a, ret_trouble);
        return r < 0 ? relay(r) : r;
}

/* ---- in the keeper's loop ----------------------------------------------------------------------------- */

struct ManagerQuestion {
        Query *query;
        bool user;
        uid_t uid;
        ManagerOnUnit on_unit;
        void *userdata;
        char unit[UNITNAME_SIZE];
};

static int manager_ask(void *userdata, void *answer) {
        const ManagerQuestion *q = userdata;

        ask(&(Question){ .user = q->user, .uid = q->uid, .unit = q->unit }, answer);
        return 0;
}

static int manager_on_answer(void *userdata, const void *answer, int error) {
        ManagerQuestion *q = userdata;
        const Answer *a = answer;

        if (!a)
                return q->on_unit(q->userdata, NULL, strerror(-error));
        return a->result < 0 ? q->on_unit(q->userdata, NULL, a->trouble.text)
                             : q->on_unit(q->userdata, &a->unit, NULL);
}

/**
 * manager_ask_about_unit() - manager_look_at_unit() for the loop: @on_unit is called when there is an answer, or none
 *
 * Return: 0 or a negative errno; then @on_unit is not called.
 */
int manager_ask_about_unit(ManagerQuestion **ret,
                           Event *event,
                           const ManagerUnit *unit,
                           ManagerOnUnit on_unit,
                           void *userdata) {
        _cleanup_(manager_question_freep) ManagerQuestion *q = NULL;
        QuerySpec spec = { .ask = manager_ask,
                           .answer_size = sizeof(Answer),
                           .usec = UNIT_USEC,
                           .on_answer = manager_on_answer };
        int r;

        q = calloc(1, sizeof *q);
        if (!q)
                return fail(-ENOMEM);
        q->user = unit->user;
        q->uid = unit->uid;
        q->on_unit = on_unit;
        q->userdata = userdata;
        (void)snprintf(q->unit, sizeof q->unit, "%s", unit->name);
        spec.userdata = q;
        r = query_new(&q->query, event, &spec);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(q);
        return 0;
}

/**
 * manager_question_free() - the answer is not wanted any more
 *
 * Return: NULL.
 */
ManagerQuestion *manager_question_free(ManagerQuestion *q) {
        if (!q)
                return NULL;
        q->query = query_free(q->query);
        free(q);
        return NULL;
}
