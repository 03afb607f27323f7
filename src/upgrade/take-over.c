/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An upgrade, from the side of the image that takes over. First as a child of the one that runs, with "--check-state
 * FD": is this state one that we know, do its options mean something to us, is the ring of our form? All that could
 * make us fail later is tried here, and nothing is touched. Then, by exec, in the place of that one: its command line
 * is the same, an environment variable names the descriptor of the state.
 *
 * Until our loop runs, the worker of that one serves the container, and if we fail it goes on alone.
 *
 * A variable that is not meant for this process (somebody's environment was copied) says so by the pid in the state,
 * and is ignored.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "io/cgroup.h"
#include "keeper/keeper-internal.h"
#include "keeper/launch.h"
#include "upgrade/snapshot.h"
#include "upgrade/upgrade.h"

static int options_of(const Saved *s, Options *ret) {
        int r;

        r = options_parse(s->argc, s->argv, ret);
        if (r != 0)
                return r < 0 ? relay(r) : fail(-EINVAL);
        r = options_check(ret);
        return r < 0 ? relay(r) : 0;
}

static int check_ring(const Saved *s) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        bool converted;
        int fd, r;

        if (!s->has_worker)
                return 0;
        fd = fd_dup(s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING]);
        if (fd < 0)
                return relay(fd);
        r = ring_adopt(&ring, fd, &worker_state_layout, &converted);
        return r < 0 ? relay(r) : 0;
}

/**
 * upgrade_is_check() - are we asked whether we could take over?
 */
bool upgrade_is_check(int argc, char *argv[]) {
        return argc == 3 && strcmp(argv[1], UPGRADE_CHECK) == 0;
}

static int take_over_complain(const char *text) {
        (void)fprintf(stderr, "%s\n", text); /* the keeper reads it */
        return EXIT_FAILURE;
}

/**
 * upgrade_check() - could we take over?
 *
 * Return: an exit status; if it is not 0, why is on stderr.
 */
int upgrade_check(int argc, char *argv[]) {
        _cleanup_(saved_freep) Saved *s = NULL;
        char wrong[STATE_NAME_MAX];
        Options options = { 0 };
        int fd, r;

        r = parse_fd(argv[2], &fd);
        if (r < 0)
                return take_over_complain(UPGRADE_CHECK " requires a file descriptor");
        r = saved_open(fd, &s, wrong);
        if (r == SAVED_BINARY)
                return take_over_complain(
                        "only scopemon 0.1.0 can read its state; restart the container to change its "
                        "monitor");
        if (r == SAVED_FOREIGN)
                return take_over_complain("the state has a newer format than this version supports");
        if (r == SAVED_BROKEN && *wrong) {
                (void)fprintf(stderr, "cannot parse %s of the state\n", wrong);
                return EXIT_FAILURE;
        }
        if (r != 0 || !saved_is_whole(s))
                return take_over_complain("cannot parse the state");
        r = options_of(s, &options);
        options_done(&options);
        if (r < 0)
                return take_over_complain("cannot parse the command line");
        r = check_ring(s);
        if (r < 0)
                return take_over_complain("cannot use the ring");
        return EXIT_SUCCESS;
}

/* The state that is meant for us, NULL if there is none. */
static Saved *take_over_find_state(char *envp[]) {
        char wrong[STATE_NAME_MAX];
        const char *word = NULL;
        Saved *s = NULL;
        int fd;

        for (; *envp && !word; envp++)
                if (strncmp(*envp, UPGRADE_VARIABLE "=", strlen(UPGRADE_VARIABLE "=")) == 0)
                        word = *envp + strlen(UPGRADE_VARIABLE "=");
        if (!word || parse_fd(word, &fd) < 0 || saved_open(fd, &s, wrong) != 0)
                return NULL;
        if (s->keeper != getpid() || !saved_is_whole(s))
                return saved_free(s);
        (void)close(fd);
        return s;
}

static void drop_variable(char *envp[]) {
        char **out = envp;

        for (; *envp; envp++)
                if (strncmp(*envp, UPGRADE_VARIABLE "=", strlen(UPGRADE_VARIABLE "=")) != 0)
                        *out++ = *envp;
        *out = NULL;
}

/* What a process of our own has inherited by exec, another one has to make anew. */
static int be_successor(const Saved *s) {
        _cleanup_free_ char *cgroup = NULL;
        int r;

        (void)umask(022);
        launch_protect();
        r = launch_block_signals(NULL);
        if (r < 0)
                return relay(r);
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return fail(-errno);
        if (s->plan.monitor != PLACEMENT_MONITOR_NESTED || cgroup_own(getpid(), &cgroup) != 0 ||
            strcmp(cgroup, s->plan.unit_path) != 0)
                return 0;
        r = cgroup_nest(s->plan.unit_path, PLACEMENT_LEAF, getpid());
        if (r != 0)
                log_warning("Cannot move to " PLACEMENT_LEAF " of %s", s->plan.unit);
        return 0;
}

/**
 * upgrade_go_on() - be a keeper that was another image, or another process
 * @s: its descriptors are taken over
 * @hooks: borrowed
 *
 * Return: as keeper_run().
 */
int upgrade_go_on(Saved *s, char *argv[], char *envp[], const KeeperHooks *const hooks[]) {
        _cleanup_(keeper_freep) Keeper *k = NULL;
        Options options = { 0 };
        Origin origin = { 0 };
        int r;

        log_set_stderr(s->argc > 1 && strcmp(s->argv[1], "--service") == 0);
        (void)prctl(PR_SET_NAME, s->comm);
        r = options_of(s, &options);
        if (r >= 0 && s->keeper != getpid())
                r = be_successor(s);
        if (r < 0)
                return relay(r);
        r = keeper_restore_origin(&origin, s, &options, argv, envp);
        if (r >= 0)
                r = keeper_resume(&k, &options, &origin, hooks, s);
        if (r >= 0)
                r = keeper_run(k);
        k = keeper_free(k);
        options_done(&options);
        launch_done(&origin);
        return r;
}

/**
 * upgrade_resume() - go on where the image before was, if there was one
 * @envp: the variable is taken out of it
 * @hooks: borrowed
 * @ret_resumed: whether there was
 *
 * Return: as keeper_run(); 0 if there was none.
 */
int upgrade_resume(char *argv[], char *envp[], const KeeperHooks *const hooks[], bool *ret_resumed) {
        _cleanup_(saved_freep) Saved *s = NULL;
        int r;

        s = take_over_find_state(envp);
        drop_variable(envp);
        *ret_resumed = s != NULL;
        if (!s)
                return 0;
        r = upgrade_go_on(s, argv, envp, hooks);
        return r < 0 ? log_error_errno(r, "Upgrade failed, the container has no monitor:") : r;
}
