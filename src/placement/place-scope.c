/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The scopes of a plan. The monitor's is made around ourselves. That of the container is made by
 * the runtime, which is told by annotations what its properties are to be; or by us, if the
 * runtime would not understand these.
 *
 * A scope is made around a process, and goes with its last one. So there is a child of ours in it
 * that does nothing but wait, until the runtime has exited and the container is there instead. The
 * runtime itself joins it before it is executed: whatever a strange one leaves behind is in the
 * scope too. Both are in a leaf, since the runtime may want to turn on controllers for the
 * container's cgroup, which is beside it and has the name that crun gives to its own: Podman knows
 * that it means the scope.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "io/cgroup.h"
#include "placement/place-internal.h"

#define STOP_TIMEOUT_USEC 10000000 /* Podman's default, where it does not say */
#define DOCUMENTATION "man:scopemon(8)"
#define PROPERTY "org.systemd.property."
#define LEAF "runtime"
#define CONTAINER "container"
#define NO_SCOPE "Cannot create a scope for the container"

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

static const char *place_scope_name_of(const Options *o) {
        return o->name ? o->name : o->cid;
}

static int scope_answered(void *userdata, int answer, const BusTrouble *trouble) {
        Placer *p = userdata;

        p->note_scope(p, answer, trouble);
        p->scope = scope_free(p->scope);
        place_go_on(p);
        return 0;
}

/* Return: true if there will be an answer; else it has been noted. */
static bool ask_for_scope(Placer *p, bool user, uid_t uid, const ScopeSpec *spec, PlaceNoteScope note) {
        BusTrouble trouble = { 0 };
        int r;

        p->note_scope = note;
        r = place_open_bus(p, user, uid);
        if (r >= 0)
                r = scope_ask(&p->scope, p->bus, spec, scope_answered, p);
        if (r >= 0)
                return true;
        (void)snprintf(trouble.text, sizeof trouble.text, "%s", strerror(-r));
        note(p, SCOPE_NO_ANSWER, &trouble);
        return false;
}

static void note_monitor_scope(Placer *p, int answer, const BusTrouble *trouble) {
        static const char no_scope[] = "Cannot create a scope for the monitor";

        p->monitor_made = answer == 0 && cgroup_in_unit(getpid(), p->plan->monitor_scope) == 1;
        p->step = p->monitor_made ? PLACE_STEP_CONTAINER_SCOPE : PLACE_STEP_DECIDE;
        if (p->monitor_made)
                return;
        p->facts.scope_failed = true;
        if (answer == 0)
                place_note_trouble(p, no_scope, "created, but the monitor is not in it");
        else
                place_note_manager(p, no_scope, trouble);
}

/**
 * place_make_monitor_scope() - a scope around ourselves, if the plan wants one
 *
 * Return: true if that is under way.
 */
bool place_make_monitor_scope(Placer *p) {
        ScopeSpec spec = { .name = p->plan->monitor_scope,
                           .slice = p->plan->monitor_slice[0] ? p->plan->monitor_slice : NULL,
                           .documentation = DOCUMENTATION,
                           .pid = getpid(),
                           .delegate = true };
        char description[256];

        if (p->plan->monitor != PLACEMENT_MONITOR_SCOPE || p->monitor_made) {
                p->step = PLACE_STEP_CONTAINER_SCOPE;
                return false;
        }
        (void)snprintf(description, sizeof description, "Monitor of container %s",
                       place_scope_name_of(p->options));
        spec.description = description;
        return ask_for_scope(p, p->plan->user, p->plan->uid, &spec, note_monitor_scope);
}

static void __attribute__((noreturn)) wait_in_scope(int fd) {
        sigset_t none;
        char byte;

        (void)fd_close_all_but(&fd, 1);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL); /* a scope that is stopped stops us */
        while (read(fd, &byte, 1) < 0 && errno == EINTR)
                continue;
        process_exit(EXIT_SUCCESS);
}

static int start_holder(int *ret_fd, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        int r;

        r = fd_pipe(&read_fd, &write_fd);
        if (r < 0)
                return relay(r);
        r = process_fork(ret_pid);
        if (r < 0)
                return relay(r);
        if (r == 0)
                wait_in_scope(read_fd);
        r = process_pidfd(*ret_pid); /* nobody buries it before the loop turns */
        if (r < 0) {
                (void)process_end(*ret_pid);
                return relay(r);
        }
        *ret_pidfd = r;
        *ret_fd = TAKE_FD(write_fd);
        return 0;
}

/*
 * A number that somebody else has annotated as a property, with or without its type before it:
 * Podman does so with the stop signal and its time.
 */
static uint64_t annotated(const Bundle *b, const char *key, uint64_t otherwise) {
        const char *text = b ? bundle_annotation(b, key) : NULL;
        const char *blank = text ? strrchr(text, ' ') : NULL;
        uint64_t value;

        if (!text || parse_u64(blank ? blank + 1 : text, &value) < 0)
                return otherwise;
        return value;
}

/* A scope was made around the holder: see that it is there, move it to a leaf, know the container's place. */
static int place_scope_settle(Placer *p) {
        _cleanup_free_ char *path = NULL;
        char leaf[PATH_MAX];
        int r;

        r = cgroup_own(p->holder, &path);
        if (r < 0)
                return relay(r);
        if (cgroup_in_unit(p->holder, p->plan->container_scope) != 1)
                return fail(-ESRCH);
        r = cgroup_nest(path, LEAF, 0);
        if (r < 0)
                return relay(r);
        r = snprintf(leaf, sizeof leaf, "%s/" LEAF, path);
        if (r < 0 || (size_t)r >= sizeof leaf - strlen(CONTAINER))
                return fail(-ENAMETOOLONG);
        (void)snprintf(p->plan->container_path, sizeof p->plan->container_path, "%s/" CONTAINER, path);
        r = cgroup_open_procs(leaf);
        if (r < 0)
                return relay(r);
        p->hold->procs_fd = r;
        return 0;
}

static void forget_holder(Placer *p) {
        p->holder = 0;
        fd_close_many(&p->holder_pidfd, 1);
}

/**
 * place_end_holder() - nobody is to wait in the container's scope, if somebody does
 */
void place_end_holder(Placer *p) {
        place_let_go(p->hold);
        if (p->holder_pidfd >= 0 && process_signal(p->holder_pidfd, SIGKILL) >= 0) /* else it is buried */
                (void)process_end(p->holder);
        forget_holder(p);
}

static void give_up_container_scope(Placer *p) {
        place_end_holder(p);
        p->facts.made_failed = true;
        p->step = PLACE_STEP_DECIDE;
}

static void note_container_scope(Placer *p, int answer, const BusTrouble *trouble) {
        int r = 0;

        if (answer != 0)
                place_note_manager(p, NO_SCOPE, trouble);
        else {
                r = place_scope_settle(p);
                if (r < 0)
                        place_note_trouble(p, NO_SCOPE, strerror(-r));
        }
        if (answer != 0 || r < 0) {
                give_up_container_scope(p);
                return;
        }
        forget_holder(p); /* it ends with the hold */
        p->step = PLACE_STEP_STREAM;
}

static bool ask_for_container_scope(Placer *p) {
        const PlacementPlan *plan = p->plan;
        ScopeSpec spec = { .name = plan->container_scope,
                           .slice = plan->container_slice,
                           .documentation = DOCUMENTATION,
                           .before = plan->before ? plan->unit : NULL,
                           .after = plan->after[0] ? plan->after : NULL,
                           .stop_propagated_from = plan->stop_propagated_from ? plan->unit : NULL,
                           .pid = p->holder,
                           .delegate = true,
                           .default_dependencies = plan->after[0] };
        char description[256];

        (void)snprintf(description, sizeof description, "Container %s", place_scope_name_of(p->options));
        spec.description = description;
        spec.timeout_stop_usec = annotated(p->bundle, PROPERTY "TimeoutStopUSec", STOP_TIMEOUT_USEC);
        spec.kill_signal = (int)annotated(p->bundle, PROPERTY "KillSignal", 0);
        return ask_for_scope(p, plan->user_scope, p->facts.uid, &spec, note_container_scope);
}

/**
 * place_make_container_scope() - a scope for the container, if the plan wants one of ours
 *
 * Return: true if that is under way.
 */
bool place_make_container_scope(Placer *p) {
        int r;

        if (!p->plan->make_scope) {
                p->step = PLACE_STEP_STREAM;
                return false;
        }
        r = start_holder(&p->hold->end_fd, &p->holder, &p->holder_pidfd);
        if (r >= 0)
                return ask_for_container_scope(p);
        place_note_trouble(p, NO_SCOPE, strerror(-r));
        give_up_container_scope(p);
        return false;
}

static int annotate_list(Bundle *b, const char *property, const char *word) {
        _cleanup_free_ char *value = NULL;
        const char *words[] = { word, NULL };

        value = bundle_quote_list(words);
        if (!value)
                return fail(-ENOMEM);
        return bundle_annotate_property(b, property, value);
}

static int annotate_text(Bundle *b, const char *property, const char *text) {
        _cleanup_free_ char *value = NULL;

        value = bundle_quote(text);
        if (!value)
                return fail(-ENOMEM);
        return bundle_annotate_property(b, property, value);
}

/**
 * place_describe_scope() - tell the runtime by annotations what the scope that it makes is to be
 *
 * Return: 0 or a negative errno.
 */
int place_describe_scope(Placer *p) {
        const struct {
                bool wanted;
                const char *property;
        } links[] = { { p->plan->before, "Before" },
                      { p->plan->stop_propagated_from, "StopPropagatedFrom" } };
        char description[256];
        int r = 0;

        (void)snprintf(description, sizeof description, "Container %s", place_scope_name_of(p->options));
        if (p->plan->describe) {
                r = annotate_text(p->bundle, "Description", description);
                if (r >= 0)
                        r = annotate_text(p->bundle, "CollectMode", "inactive-or-failed");
                if (r >= 0)
                        r = annotate_list(p->bundle, "Documentation", DOCUMENTATION);
                if (r >= 0)
                        r = bundle_annotate_property(p->bundle, "TimeoutStopUSec",
                                                     "uint64 " TEXT(STOP_TIMEOUT_USEC));
        }
        if (r >= 0 && p->plan->after[0]) {
                r = annotate_list(p->bundle, "After", p->plan->after);
                if (r >= 0)
                        r = bundle_annotate_property(p->bundle, "DefaultDependencies", "true");
        }
        for (size_t i = 0; r >= 0 && i < ELEMENTS(links); i++)
                if (links[i].wanted)
                        r = annotate_list(p->bundle, links[i].property, p->plan->unit);
        return r < 0 ? relay(r) : 0;
}
