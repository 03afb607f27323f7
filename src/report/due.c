/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Exit commands of exec sessions, in files below the place of the container's mark (report/mark.c): those in
 * ID.MONITOR.given wait for the container's monitor, which moves them to ID.MONITOR.due. Whoever of the two moves or
 * deletes a file first has it, so that a command is run once, and by somebody. Files outlive an upgrade of the monitor by
 * themselves; if it is killed and its container has ended, the next monitor that is started, of whatever container, adopts
 * what it had taken.
 *
 * The place is its owner's alone, so what stands in it is believed.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "io/proc.h"
#include "report/due.h"
#include "wire/state.h"

#define NAME_SIZE 80U
#define ARGUMENT "argument"
#define VARIABLE "variable"

static const char *const due_suffix[] = { [DUE_GIVEN] = "given", [DUE_TAKEN] = "due" };

static void due_name(char out[NAME_SIZE], const DueId *id) {
        (void)snprintf(out, NAME_SIZE, "%020" PRIu64 ".%d.%" PRIu64, id->at_usec, id->giver,
                       id->giver_boot_usec);
}

/* Return: false for a file that is none of these, or not whole yet. */
static bool due_parse_name(const char *name, DueId *ret) {
        char copy[NAME_SIZE], *pid, *boot;

        if (strlen(name) >= sizeof copy)
                return false;
        (void)snprintf(copy, sizeof copy, "%s", name);
        pid = strchr(copy, '.');
        boot = pid ? strchr(pid + 1, '.') : NULL;
        if (!boot)
                return false;
        *pid++ = *boot++ = 0;
        return parse_u64(copy, &ret->at_usec) >= 0 && parse_pid(pid, &ret->giver) >= 0 &&
               parse_u64(boot, &ret->giver_boot_usec) >= 0;
}

static int due_folder_name(char out[NAME_MAX + 1], const char *cid, pid_t monitor, DueFolder folder) {
        int n;

        if (!*cid || strchr(cid, '/'))
                return fail(-EINVAL);
        n = snprintf(out, NAME_MAX + 1, "%s.%d.%s", cid, monitor, due_suffix[folder]);
        return n < 0 || n > NAME_MAX ? fail(-ENAMETOOLONG) : 0;
}

/**
 * due_open() - a folder of a container's monitor
 * @make: if it is not there
 *
 * Return: a descriptor or a negative errno: -ENOENT if there is none.
 */
int due_open(int place_fd, const char *cid, pid_t monitor, DueFolder folder, bool make) {
        char name[NAME_MAX + 1];
        int fd, r;

        r = due_folder_name(name, cid, monitor, folder);
        if (r < 0)
                return relay(r);
        if (make && mkdirat(place_fd, name, 0700) < 0 && errno != EEXIST)
                return fail(-errno);
        fd = openat(place_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? fail(-errno) : fd;
}

static void due_for_each(int folder_fd,
                         void (*on_name)(void *userdata, int folder_fd, const char *name),
                         void *userdata) {
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *e;

        if (fd >= 0 && !dir)
                (void)close(fd);
        while (dir && (e = readdir(dir)))
                if (e->d_name[0] != '.')
                        on_name(userdata, folder_fd, e->d_name);
        if (dir)
                (void)closedir(dir);
}

static void due_unlink(void *userdata, int folder_fd, const char *name) {
        (void)unlinkat(folder_fd, name, 0);
}

/**
 * due_remove() - a folder goes, and the commands that are left in it with it, which nobody has any more
 */
void due_remove(int place_fd, const char *cid, pid_t monitor, DueFolder folder) {
        _cleanup_close_ int fd = due_open(place_fd, cid, monitor, folder, false);
        char name[NAME_MAX + 1];

        if (fd < 0 || due_folder_name(name, cid, monitor, folder) < 0)
                return;
        due_for_each(fd, due_unlink, NULL);
        (void)unlinkat(place_fd, name, AT_REMOVEDIR);
}

/**
 * due_close() - nobody may give commands any more
 *
 * Return: 0 or a negative errno: -ENOTEMPTY if somebody has meanwhile.
 */
int due_close(int place_fd, const char *cid, pid_t monitor) {
        char name[NAME_MAX + 1];
        int r;

        r = due_folder_name(name, cid, monitor, DUE_GIVEN);
        if (r < 0)
                return relay(r);
        return unlinkat(place_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

typedef struct DueListing {
        DueHandler on_id;
        void *userdata;
} DueListing;

static void due_on_name(void *userdata, int folder_fd, const char *name) {
        const DueListing *l = userdata;
        DueId id;

        if (due_parse_name(name, &id))
                l->on_id(l->userdata, &id);
}

/**
 * due_list() - all commands in a folder, in any order
 */
void due_list(int folder_fd, DueHandler on_id, void *userdata) {
        due_for_each(folder_fd, due_on_name, &(DueListing){ .on_id = on_id, .userdata = userdata });
}

/* ID and monitor of a folder's @name. Return: false for another name. */
static bool due_parse_folder(const char *name, char cid[NAME_MAX + 1], pid_t *monitor, DueFolder *folder) {
        char copy[NAME_MAX + 1], *pid, *suffix;

        if (strlen(name) >= sizeof copy)
                return false;
        (void)snprintf(copy, sizeof copy, "%s", name);
        suffix = strrchr(copy, '.');
        if (!suffix)
                return false;
        *suffix++ = 0;
        pid = strrchr(copy, '.');
        if (!pid || pid == copy || parse_pid(pid + 1, monitor) < 0)
                return false;
        *pid = 0;
        (void)snprintf(cid, NAME_MAX + 1, "%s", copy);
        for (*folder = DUE_GIVEN; *folder <= DUE_TAKEN; (*folder)++)
                if (strcmp(suffix, due_suffix[*folder]) == 0)
                        return true;
        return false;
}

/**
 * due_is_left() - whether this is the folder of a monitor that is surely dead
 * @name: of a file beside the marks
 */
bool due_is_left(const char *name) {
        char cid[NAME_MAX + 1];
        DueFolder folder;
        pid_t monitor;

        return due_parse_folder(name, cid, &monitor, &folder) && kill(monitor, 0) < 0 && errno == ESRCH;
}

typedef struct DueAdoption {
        int place_fd, folder_fd, taken_fd;
        const char *cid;
        pid_t heir;
        uint64_t latest;
        DueFolder folder;
        DueHandler on_id;
        void *userdata;
        size_t n;
} DueAdoption;

/* Whoever is first to move a file has it. What was given belongs to its giver, as long as that is there. */
static void due_adopt_command(void *userdata, const DueId *id) {
        DueAdoption *a = userdata;
        char from[NAME_SIZE], to[NAME_SIZE];
        DueId now = *id;

        if (a->folder == DUE_GIVEN && proc_is_alive(id->giver, id->giver_boot_usec))
                return;
        if (a->taken_fd < 0)
                a->taken_fd = due_open(a->place_fd, a->cid, a->heir, DUE_TAKEN, true);
        if (now.at_usec > a->latest)
                now.at_usec = a->latest;
        due_name(from, id);
        due_name(to, &now);
        if (a->taken_fd < 0 || renameat(a->folder_fd, from, a->taken_fd, to) < 0)
                return;
        a->n++;
        if (a->on_id)
                a->on_id(a->userdata, &now);
}

/* As long as there is a mark, the container may run. */
static void due_adopt_folder(void *userdata, int place_fd, const char *name) {
        DueAdoption *a = userdata;
        char cid[NAME_MAX + 1], mark[NAME_MAX + 1];
        struct stat st;
        pid_t monitor;
        int n;

        if (!due_is_left(name) || !due_parse_folder(name, cid, &monitor, &a->folder))
                return;
        n = snprintf(mark, sizeof mark, "%s.%d", cid, monitor);
        if (n < 0 || n > NAME_MAX || fstatat(place_fd, mark, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return;
        a->folder_fd = due_open(place_fd, cid, monitor, a->folder, false);
        if (a->folder_fd < 0)
                return;
        due_list(a->folder_fd, due_adopt_command, a);
        fd_close_many(&a->folder_fd, 1);
        (void)unlinkat(place_fd, name, AT_REMOVEDIR); /* unless somebody may still take something back */
}

/**
 * due_adopt() - the commands of monitors that were killed, and whose containers have ended, are @heir's of @cid from now on
 * @latest: when they are due at the latest
 * @on_id: called for each, under its new name; may be NULL
 *
 * Return: how many.
 */
size_t due_adopt(int place_fd,
                 const char *cid,
                 pid_t heir,
                 uint64_t latest,
                 DueHandler on_id,
                 void *userdata) {
        DueAdoption a = { .place_fd = place_fd,
                          .folder_fd = -1,
                          .taken_fd = -1,
                          .cid = cid,
                          .heir = heir,
                          .latest = latest,
                          .on_id = on_id,
                          .userdata = userdata };

        due_for_each(place_fd, due_adopt_folder, &a);
        fd_close_many(&a.taken_fd, 1);
        return a.n;
}

/* All that is escaped is twice as long. */
static size_t due_room(char *const *words) {
        size_t n = 0;

        for (; *words; words++)
                n += 2 * strlen(*words) + 32;
        return n;
}

static void due_put_words(StateWriter *w, const char *name, char *const *words) {
        for (; *words; words++)
                state_put_text(w, name, *words, strlen(*words));
}

/**
 * due_give() - leave a command for the container's monitor
 *
 * Return: 0 or a negative errno.
 */
int due_give(int given_fd, const DueId *id, const DueCommand *command) {
        size_t size = 4096 + due_room(command->argv) + due_room(command->envp), n;
        _cleanup_free_ char *text = malloc(size);
        char name[NAME_SIZE];
        StateWriter w;
        int r;

        if (!text)
                return fail(-ENOMEM);
        state_begin(&w, text, size);
        due_put_words(&w, ARGUMENT, command->argv);
        due_put_words(&w, VARIABLE, command->envp);
        n = state_end(&w);
        if (n == 0)
                return fail(-E2BIG);
        due_name(name, id);
        r = fd_write_file_atomic(given_fd, name, text, n, 0600);
        return r < 0 ? relay(r) : 0;
}

/**
 * due_take() - a command becomes ours to run
 *
 * Return: 0 or a negative errno: -ENOENT if it was taken back.
 */
int due_take(int given_fd, int taken_fd, const DueId *id) {
        char name[NAME_SIZE];

        due_name(name, id);
        return renameat(given_fd, name, taken_fd, name) < 0 ? fail(-errno) : 0;
}

/**
 * due_delete() - it has been run; or, of a command that was given, it is taken back
 *
 * Return: 0 or a negative errno: -ENOENT if somebody has taken it.
 */
int due_delete(int folder_fd, const DueId *id) {
        char name[NAME_SIZE];

        due_name(name, id);
        return unlinkat(folder_fd, name, 0) < 0 ? fail(-errno) : 0;
}

static int due_add_word(char ***words, size_t *n, const StateValue *v) {
        size_t size = v->n_text + 1, length; /* unescaping makes nothing longer */
        _cleanup_free_ char *word = malloc(size);
        char **more;
        int r;

        more = reallocarray(*words, *n + 2, sizeof *more);
        if (!more)
                return fail(-ENOMEM);
        *words = more;
        more[*n] = NULL;
        if (!word)
                return fail(-ENOMEM);
        r = state_text(v, word, size, &length);
        if (r < 0)
                return relay(r);
        more[(*n)++] = TAKE_PTR(word);
        more[*n] = NULL;
        return 0;
}

/**
 * due_read() - what is to be run
 * @ret: due_command_done() is the caller's to call
 *
 * Return: 0 or a negative errno: -EBADMSG if there is nothing to run.
 */
int due_read(int taken_fd, const DueId *id, DueCommand *ret) {
        _cleanup_free_ char *text = NULL;
        size_t n, n_argv = 0, n_envp = 0;
        DueCommand c = { 0 };
        char name[NAME_SIZE];
        StateReader reader;
        StateValue value;
        int r;

        due_name(name, id);
        r = fd_read_file(taken_fd, name, STATE_SIZE_MAX, &text, &n);
        if (r < 0)
                return relay(r);
        r = state_open(&reader, text, n) == 0 ? 0 : fail(-EBADMSG);
        while (r >= 0 && state_next(&reader, &value)) {
                if (state_is(&value, ARGUMENT))
                        r = due_add_word(&c.argv, &n_argv, &value);
                else if (state_is(&value, VARIABLE))
                        r = due_add_word(&c.envp, &n_envp, &value);
        }
        if (r >= 0 && n_argv == 0)
                r = fail(-EBADMSG);
        if (r >= 0 && !c.envp) {
                c.envp = calloc(1, sizeof *c.envp);
                r = c.envp ? 0 : fail(-ENOMEM);
        }
        if (r < 0) {
                due_command_done(&c);
                return relay(r);
        }
        *ret = c;
        return 0;
}

static void due_free_words(char **words) {
        for (char **w = words; w && *w; w++)
                free(*w);
        free(words);
}

/**
 * due_command_done() - forget what due_read() has read
 */
void due_command_done(DueCommand *c) {
        due_free_words(c->argv);
        due_free_words(c->envp);
        *c = (DueCommand){ 0 };
}
