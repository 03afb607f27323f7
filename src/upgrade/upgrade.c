/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An upgrade, from the side of the image that hands on:
 *
 *     request ─▶ WANTED ─▶ CHECKING ─▶ CHECKED ─▶ exec ─▶ (take-over.c)
 *
 * Nothing is given up before it is known that somebody can take it. The new binary is first run as a child, on a sealed
 * copy of our state: one that cannot start, hangs, or does not know this state is found out there, and everything is as
 * it was. Then the descriptors lose CLOEXEC and we become the new program: same pid, so whoever waits for us or signals
 * us notices nothing; same children; deadlines are points in time. An exec that returns after all is a refusal too.
 *
 * The worker notices nothing either. It serves the container until the new program can, which then replaces it: output
 * waits in its pipe for as long as it takes to start a worker. And a new program that dies before has no more effect
 * than a keeper that is killed: the worker goes on alone, to the exit file.
 *
 * Only while the container runs: before, the runtime is our child and has our pipes (then it is done a moment later);
 * after, the end is being told, and there will be nobody to upgrade.
 *
 * The program is looked up by the path it was first started with: it may have been replaced, that is the point.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "io/answer.h"
#include "io/proc.h"
#include "keeper/keeper-internal.h"
#include "report/announce.h"
#include "upgrade/snapshot.h"
#include "upgrade/upgrade-internal.h"
#include "upgrade/upgrade.h"

#define LAST_WORDS_USEC 100000ULL /* for entries that wait; output does so meanwhile */
#define CHECK_USEC 10000000U
#define WORDS_MAX 160

extern char **environ;

static void upgrade_answer(const Keeper *k, const char *how, const char *text) {
        char line[ANSWER_MAX];

        if (k->upgrade->requester <= 0)
                return;
        (void)snprintf(line, sizeof line, "%s: %s", how, text);
        answer_send(k->upgrade->requester, line);
}

static void upgrade_forget(Keeper *k) {
        Upgrade *u = k->upgrade;

        if (!u)
                return;
        u->deadline = timer_free(u->deadline);
        fd_close_many(&u->words_fd, 1);
        free(u);
        k->upgrade = NULL;
}

/**
 * upgrade_begin() - one is on its way from now on
 * @s: of the image before, if this is the one after
 *
 * Return: 0 or -ENOMEM.
 */
int upgrade_begin(Keeper *k, UpgradeStep step, const Saved *s) {
        Upgrade *u = calloc(1, sizeof *u);

        if (!u)
                return fail(-ENOMEM);
        u->step = step;
        u->words_fd = -1;
        u->begun_usec = event_now();
        if (s) {
                u->requester = s->requester;
                (void)snprintf(u->version, sizeof u->version, "%s", s->version);
        }
        k->upgrade = u;
        return 0;
}

/* Everything stays as it is. */
static void upgrade_refuse(Keeper *k, const char *text) {
        log_warning("Not upgraded: %s", text);
        announce_upgrade_refused(k->options, &k->plan, k->origin->program, text);
        upgrade_answer(k, UPGRADE_REFUSED, text);
        upgrade_forget(k);
}

static void upgrade_refuse_errno(Keeper *k, int r, const char *what) {
        char text[256];

        (void)snprintf(text, sizeof text, "%s: %s", what, strerror(-r));
        upgrade_refuse(k, text);
}

static int upgrade_on_deadline(Timer *timer, void *userdata) {
        Keeper *k = userdata;

        Upgrade *u = k->upgrade;

        u->deadline = timer_free(u->deadline);
        u->too_slow = true;
        (void)process_kill_child(u->check_pid, SIGKILL);
        return 0;
}

static int upgrade_set_deadline(Keeper *k, uint64_t usec) {
        int r;

        r = event_add_timer(k->event, &k->upgrade->deadline, usec, upgrade_on_deadline, k);
        return r < 0 ? relay(r) : 0;
}

/* ---- may it take over? -------------------------------------------------------------------------------- */

static int upgrade_seal(Keeper *k, Saved **ret, int *ret_fd) {
        _cleanup_(saved_freep) Saved *s = NULL;
        int r;

        r = keeper_save(k, &s);
        if (r < 0)
                return relay(r);
        s->requester = k->upgrade->requester;
        r = saved_seal(s, ret_fd);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(s);
        return 0;
}

static int spawn_check(Keeper *k, const Saved *s, int state_fd) {
        Upgrade *u = k->upgrade;
        _cleanup_close_ int null_fd = -1, words_fd = -1;
        int ring = s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING], keep[2] = { state_fd, ring };
        char number[16];
        char *argv[] = { k->origin->given_argv[0], (char *)UPGRADE_CHECK, number, NULL };
        int r;

        (void)snprintf(number, sizeof number, "%d", state_fd);
        null_fd = fd_open_null(O_RDWR);
        words_fd = memfd_create("scopemon-words", MFD_CLOEXEC);
        if (null_fd < 0 || words_fd < 0)
                return fail(null_fd < 0 ? null_fd : -errno);
        r = process_spawn(&(ProcessSpec){ .path = k->origin->program,
                                          .argv = argv,
                                          .envp = k->origin->envp,
                                          .stdio = { null_fd, words_fd, words_fd },
                                          .wait_fd = -1,
                                          .keep_fds = keep,
                                          .n_keep_fds = ring < 0 ? 1 : 2 },
                          &u->check_pid, NULL);
        if (r < 0)
                return relay(r);
        u->words_fd = TAKE_FD(words_fd);
        u->too_slow = false;
        return reaper_claim(k->reaper, u->check_pid);
}

static int upgrade_begin_check(Keeper *k) {
        _cleanup_(saved_freep) Saved *s = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        r = upgrade_seal(k, &s, &fd);
        if (r < 0)
                return relay(r);
        if (stat(k->origin->program, &k->upgrade->binary) < 0)
                return fail(-errno);
        r = spawn_check(k, s, fd);
        if (r < 0)
                return relay(r);
        k->upgrade->step = UPGRADE_CHECKING;
        return upgrade_set_deadline(k, CHECK_USEC);
}

/*
 * "scopemon upgrade" of 0.1.0: it sends no value, and waits for an answer under its pid. That name can be bound by
 * anybody, so its command line has to say the same.
 */
static bool is_former_asker(pid_t pid) {
        char **argv;
        bool r;

        if (pid <= 0 || !answer_is_awaited(pid) || proc_argv(pid, &argv) != 0)
                return false;
        r = argv[0] && argv[1] && strcmp(argv[1], "upgrade") == 0;
        free(argv);
        return r;
}

/**
 * upgrade_is_request() - is this signal a request for an upgrade?
 *
 * Who may send a signal may ask: the kernel sees to that. A SIGUSR2 without more is the container's.
 */
bool upgrade_is_request(const struct signalfd_siginfo *info) {
        if (info->ssi_signo != SIGUSR2)
                return false;
        if (info->ssi_code == SI_QUEUE)
                return info->ssi_int == UPGRADE_VALUE;
        return info->ssi_code == SI_USER && is_former_asker((pid_t)info->ssi_pid);
}

/**
 * upgrade_is_wanted() - is another image to come in our place, as soon as it can?
 */
bool upgrade_is_wanted(const Keeper *k) {
        return k->upgrade && k->upgrade->step < UPGRADE_RESUMED;
}

/* @requester: from whom, 0 if unknown */
static void upgrade_want(Keeper *k, pid_t requester) {
        if (k->upgrade && k->upgrade->step > UPGRADE_WANTED) {
                if (requester > 0)
                        answer_send(requester, UPGRADE_REFUSED ": an upgrade is already in progress");
                return;
        }
        if (!k->upgrade && upgrade_begin(k, UPGRADE_WANTED, NULL) < 0) {
                log_warning("Not upgraded: out of memory");
                if (requester > 0)
                        answer_send(requester, UPGRADE_REFUSED ": out of memory");
                return;
        }
        k->upgrade->requester = requester;
        if (k->phase < PHASE_RUNNING || KEEPER_ASK(k, is_busy) != 0)
                log_warning("Delaying the upgrade until the runtime exits");
}

static int upgrade_on_request(Keeper *k, const struct signalfd_siginfo *info) {
        if (!upgrade_is_request(info))
                return 0;
        upgrade_want(k, (pid_t)info->ssi_pid);
        return KEEPER_TAKEN;
}

/* The last line that is not empty. */
static void last_words(int fd, char text[WORDS_MAX]) {
        char all[4096], *line;
        ssize_t n = pread(fd, all, sizeof all - 1, 0);

        all[n > 0 ? n : 0] = 0;
        while (n > 0 && (unsigned char)all[n - 1] <= ' ')
                all[--n] = 0;
        line = strrchr(all, '\n');
        (void)snprintf(text, WORDS_MAX, "%.*s", WORDS_MAX - 1, line ? line + 1 : all);
        for (char *p = text; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';
}

/* The new binary has looked at our state. */
static int upgrade_on_child(Keeper *k, pid_t pid, const ProcessStatus *status) {
        Upgrade *u = k->upgrade;
        char text[2 * WORDS_MAX], words[WORDS_MAX];

        if (!u || pid != u->check_pid)
                return 0;
        u->check_pid = 0;
        u->deadline = timer_free(u->deadline);
        if (status->code != 0) {
                last_words(u->words_fd, words);
                if (u->too_slow)
                        (void)snprintf(text, sizeof text, "the new program timed out");
                else if (status->signal != 0)
                        (void)snprintf(text, sizeof text, "the new program was killed by SIG%s%s%s",
                                       sigabbrev_np(status->signal) ?: "?", words[0] ? ": " : "", words);
                else
                        (void)snprintf(text, sizeof text, "the new program cannot take over%s%s",
                                       words[0] ? ": " : "", words);
                upgrade_refuse(k, text);
                return KEEPER_TAKEN;
        }
        fd_close_many(&u->words_fd, 1);
        u->step = UPGRADE_CHECKED; /* the exec follows when it has been reaped */
        return KEEPER_TAKEN;
}

/* ---- the exec ----------------------------------------------------------------------------------------- */

static bool is_same_file(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
               a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
               a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Ours, with one variable more: command line and environment are what callers look for in /proc. */
static char **environment(char *variable) {
        size_t n = 0, kept = 0;
        char **copy;

        while (environ[n])
                n++;
        copy = calloc(n + 2, sizeof *copy);
        for (size_t i = 0; copy && i < n; i++)
                if (strncmp(environ[i], UPGRADE_VARIABLE "=", strlen(UPGRADE_VARIABLE "=")) != 0)
                        copy[kept++] = environ[i];
        if (copy)
                copy[kept] = variable;
        return copy;
}

/* Returns only if it has failed. */
static int upgrade_become(Keeper *k) {
        _cleanup_(saved_freep) Saved *s = NULL;
        _cleanup_free_ char **envp = NULL;
        _cleanup_close_ int fd = -1;
        char variable[64];
        struct stat now;
        int r;

        if (stat(k->origin->program, &now) < 0)
                return fail(-errno);
        if (!is_same_file(&now, &k->upgrade->binary))
                return fail(-ETXTBSY); /* another one than was checked */
        r = upgrade_seal(k, &s, &fd);
        if (r < 0)
                return relay(r);
        (void)snprintf(variable, sizeof variable, UPGRADE_VARIABLE "=%d", fd);
        envp = environment(variable);
        if (!envp)
                return fail(-ENOMEM);
        r = saved_set_cloexec(s, false);
        if (r >= 0)
                r = fd_set_cloexec(fd, false);
        entry_queue_finish(k->entries, LAST_WORDS_USEC); /* the next image does not know of them */
        KEEPER_TELL(k, on_replace);
        if (r >= 0)
                r = process_replace(k->origin->program, k->origin->given_argv, envp);
        (void)saved_set_cloexec(s, true); /* what could not be set before cannot be now */
        return relay(r);
}

/* As far as is possible now. */
static void upgrade_on_buried(Keeper *k) {
        int r;

        if (!k->upgrade)
                return;
        switch (k->upgrade->step) {
        case UPGRADE_WANTED:
                if (k->phase > PHASE_RUNNING)
                        upgrade_refuse(k, "the container has exited");
                else if (!k->origin->program)
                        upgrade_refuse(k, "the path of the program is unknown");
                else if (k->phase == PHASE_RUNNING && KEEPER_ASK(k, is_busy) == 0 &&
                         !report_is_waiting(k->report)) {
                        r = upgrade_begin_check(k);
                        if (r < 0)
                                upgrade_refuse_errno(k, r, k->origin->program);
                }
                return;
        case UPGRADE_CHECKED:
                if (k->phase > PHASE_RUNNING)
                        upgrade_refuse(k, "the container has exited");
                else
                        upgrade_refuse_errno(k, upgrade_become(k), k->origin->program);
                return;
        case UPGRADE_CHECKING:
        case UPGRADE_RESUMED:
        case UPGRADE_ADOPTING:
                return;
        }
}

/* This is the new image, and its worker is ready: say so. */
static void upgrade_done(Keeper *k) {
        uint64_t usec = event_now() - k->upgrade->begun_usec;
        char text[ANSWER_MAX / 2];

        announce_upgraded(k->options, &k->plan, k->upgrade->version, usec);
        KEEPER_TELL(k, on_resumed, true);
        (void)snprintf(text, sizeof text, "output was delayed by %llu.%03llu ms",
                       (unsigned long long)usec / 1000, (unsigned long long)usec % 1000);
        upgrade_answer(k, UPGRADE_DONE, text);
        upgrade_forget(k);
}

static int upgrade_on_worker_ready(Keeper *k) {
        if (k->upgrade && k->upgrade->step == UPGRADE_RESUMED) {
                upgrade_done(k);
                return KEEPER_TAKEN;
        }
        if (k->upgrade && k->upgrade->step == UPGRADE_ADOPTING) {
                upgrade_forget(k);
                KEEPER_TELL(k, on_resumed, false);
                return KEEPER_TAKEN;
        }
        return 0;
}

const KeeperHooks upgrade_hooks = { .on_free = upgrade_forget,
                                    .on_request = upgrade_on_request,
                                    .on_child = upgrade_on_child,
                                    .on_buried = upgrade_on_buried,
                                    .on_worker_ready = upgrade_on_worker_ready };
