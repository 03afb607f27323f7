/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Marks of containers that run: a file for each in /run/scopemon, or in $XDG_RUNTIME_DIR/scopemon of whoever may not
 * write there. It says who watches over the container, and where its end is to be told. The monitor takes it away
 * when it has told the end. One that is left behind by a monitor that was killed with all of its unit lets others do
 * so: the next monitor that is started, or "scopemon end". Callers wait for an exit file, and Podman does not even
 * remove a container for which there is none.
 *
 * Nothing is told of a container that may still have somebody: a process counts by its pid and the time of its start,
 * and a worker that goes on without its keeper by its title. The status is unknown, -1, as nobody has seen it.
 *
 * The name of a file ends with the monitor's pid: where there are many, most need not be opened.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "report/mark.h"
#include "scopemon/protocol.h"
#include "wire/state.h"

#define MARK_SIZE_MAX (3U * PATH_MAX)
#define MARK_PREFIX "mark"
#define STATUS_TEXT "-1"
#define ID_PART_MIN 4 /* of an ID, to be enough */

static const StateField mark_field[] = {
        STATE_FIELD_TEXT(Mark, cid, "id"),
        STATE_FIELD_TEXT(Mark, name, "name"),
        STATE_FIELD_TEXT(Mark, exit_dir, "exit-directory"),
        STATE_FIELD_TEXT(Mark, persist_dir, "persist-directory"),
        STATE_FIELD_NUMBER(Mark, monitor, "monitor", INT_MAX),
        STATE_FIELD_NUMBER(Mark, monitor_boot_usec, "monitor-since-boot-usec", UINT64_MAX),
        STATE_FIELD_NUMBER(Mark, target, "target", INT_MAX),
        STATE_FIELD_NUMBER(Mark, target_boot_usec, "target-since-boot-usec", UINT64_MAX),
        STATE_FIELD_BOOL(Mark, takes_commands, "takes-commands"),
};

static const StateFields mark_fields = { mark_field, ELEMENTS(mark_field) };

/**
 * mark_open_place() - a directory that marks are in
 * @i: below MARK_PLACES
 * @make: if it is not there
 *
 * Only one that is ours: what stands in it is believed.
 *
 * Return: a descriptor or a negative errno.
 */
int mark_open_place(size_t i, bool make) {
        const char *dir = i == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
        _cleanup_close_ int fd = -1;
        char path[PATH_MAX];
        struct stat st;

        if (!dir || dir[0] != '/' || (size_t)snprintf(path, sizeof path, "%s/scopemon", dir) >= sizeof path)
                return -ENOENT;
        if (make)
                (void)mkdir(path, 0700); /* is there already, or may not be made */
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || st.st_mode & 022)
                return -EPERM;
        return TAKE_FD(fd);
}

/* Return: false for an ID that is no file's name. */
static bool file_name(char out[NAME_MAX + 1], const char *cid, pid_t monitor) {
        if (!*cid || strchr(cid, '/'))
                return false;
        return (size_t)snprintf(out, NAME_MAX + 1, "%s.%d", cid, monitor) <= NAME_MAX;
}

/**
 * mark_make() - a container runs, and this monitor will tell its end
 *
 * Return: 0 or a negative errno; then nobody else will be able to.
 */
int mark_make(const Mark *mark) {
        _cleanup_free_ char *text = malloc(MARK_SIZE_MAX);
        char name[NAME_MAX + 1];
        StateWriter w;
        int r = -ENOENT;
        size_t n;

        if (!text)
                return fail(-ENOMEM);
        if (!file_name(name, mark->cid, mark->monitor))
                return fail(-EINVAL);
        state_begin(&w, text, MARK_SIZE_MAX);
        state_put_fields(&w, MARK_PREFIX, &mark_fields, mark);
        n = state_end(&w);
        if (n == 0)
                return fail(-E2BIG);
        for (size_t i = 0; r < 0 && i < MARK_PLACES; i++) {
                _cleanup_close_ int dir_fd = mark_open_place(i, true);

                r = dir_fd < 0 ? dir_fd : fd_write_file_atomic(dir_fd, name, text, n, 0600);
        }
        return r < 0 ? relay(r) : 0;
}

/**
 * mark_remove() - the end has been told
 */
void mark_remove(const char *cid, pid_t monitor) {
        char name[NAME_MAX + 1];

        if (!file_name(name, cid, monitor))
                return;
        for (size_t i = 0; i < MARK_PLACES; i++) {
                _cleanup_close_ int dir_fd = mark_open_place(i, false);

                if (dir_fd >= 0 && unlinkat(dir_fd, name, 0) == 0)
                        return;
        }
}

/* ---- of others ---------------------------------------------------------------------------------------- */

static bool read_mark(int dir_fd, const char *file, Mark *ret) {
        _cleanup_free_ char *text = NULL;
        StateReader reader;
        StateValue value;
        size_t n;

        memset(ret, 0, sizeof *ret);
        if (fd_read_file(dir_fd, file, MARK_SIZE_MAX, &text, &n) < 0 || state_open(&reader, text, n) != 0)
                return false;
        while (state_next(&reader, &value))
                if (state_take(&value, MARK_PREFIX, &mark_fields, ret) < 0)
                        return false;
        return ret->cid[0] && ret->exit_dir[0] == '/' && ret->monitor > 0;
}

/* A worker without a keeper tells the end itself. */
static bool has_worker(const Mark *mark) {
        const char *name = mark->name[0] ? mark->name : mark->cid;
        _cleanup_free_ pid_t *pids = NULL;
        char title[MARK_NAME_MAX + 32];
        size_t n, n_title;

        if (proc_list(&pids, &n) < 0)
                return true;
        n_title = (size_t)snprintf(title, sizeof title, "scopemon: output of %s", name);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char **argv = NULL;

                if (proc_argv(pids[i], &argv) >= 0 && argv[0] && strncmp(argv[0], title, n_title) == 0 &&
                    (argv[0][n_title] == 0 || argv[0][n_title] == ','))
                        return true;
        }
        return false;
}

/**
 * mark_find() - the mark of a container whose monitor is alive
 *
 * Return: the place that it is in, a descriptor, or a negative errno: -ENOENT if there is none.
 */
int mark_find(const char *cid, Mark *ret) {
        size_t n_cid = strlen(cid);

        for (size_t i = 0; i < MARK_PLACES; i++) {
                _cleanup_close_ int dir_fd = mark_open_place(i, false);
                int fd = dir_fd < 0 ? -1 : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                DIR *dir = fd < 0 ? NULL : fdopendir(fd);
                const struct dirent *e;
                bool found = false;

                if (fd >= 0 && !dir)
                        (void)close(fd);
                while (dir && !found && (e = readdir(dir)))
                        found = strncmp(e->d_name, cid, n_cid) == 0 && e->d_name[n_cid] == '.' &&
                                read_mark(dir_fd, e->d_name, ret) && strcmp(ret->cid, cid) == 0 &&
                                proc_is_alive(ret->monitor, ret->monitor_boot_usec);
                if (dir)
                        (void)closedir(dir);
                if (found)
                        return TAKE_FD(dir_fd);
        }
        return -ENOENT;
}

/* Return: 1 if it has been written now, 0 if there is one, or a negative errno. */
static int write_status(const char *dir, const char *name) {
        _cleanup_close_ int dir_fd = fd_open_directory(dir);
        struct stat st;
        int r;

        if (dir_fd < 0)
                return relay(dir_fd);
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        r = fd_write_file_atomic(dir_fd, name, STATUS_TEXT, strlen(STATUS_TEXT), 0644);
        return r < 0 ? relay(r) : 1;
}

/* Return: a MarkFound or a negative errno. @heir: the container's next monitor, 0 if there is none */
static int mark_settle_one(const Mark *mark, pid_t heir) {
        int r;

        if (proc_is_alive(mark->monitor, mark->monitor_boot_usec) ||
            proc_is_alive(mark->target, mark->target_boot_usec))
                return MARK_ALIVE;
        if (heir > 0)
                return MARK_KNOWN; /* or the container would not have been started again, and that end is not told */
        if (has_worker(mark))
                return MARK_ALIVE;
        if (mark->persist_dir[0])
                (void)write_status(mark->persist_dir, "exit"); /* it may be gone with the container */
        r = write_status(mark->exit_dir, mark->cid);
        if (r == -ENOENT)
                return MARK_KNOWN; /* nobody looks there any more */
        return r < 0 ? relay(r) : r > 0 ? MARK_TOLD : MARK_KNOWN;
}

static bool is_meant(const Mark *mark, const char *word) {
        size_t n = strlen(word);

        return strcmp(mark->name, word) == 0 || (n >= ID_PART_MIN && strncmp(mark->cid, word, n) == 0);
}

/* A pid that is in use is most likely still the monitor's. */
static bool may_be_dead(const char *file) {
        const char *dot = strrchr(file, '.');
        pid_t pid;

        return dot && parse_pid(dot + 1, &pid) >= 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

/* The monitor of a container that has been started again, 0 if there is none. */
static pid_t mark_heir(const char *cid) {
        _cleanup_close_ int fd = -1;
        Mark next;

        fd = mark_find(cid, &next);
        return fd < 0 ? 0 : next.monitor;
}

/**
 * mark_settle() - tell the ends of containers whose monitors were killed
 * @word: only of the container with this name or ID, or beginning of an ID; NULL: of all whose monitors are surely dead
 * @on_mark: called for each that was looked at, with a MarkFound or a negative errno
 *
 * Return: whether there are folders of commands of such monitors (report/due.c).
 */
bool mark_settle(const char *word, MarkHandler on_mark, void *userdata) {
        bool left = false;

        for (size_t i = 0; i < MARK_PLACES; i++) {
                int fd = mark_open_place(i, false);
                DIR *dir = fd < 0 ? NULL : fdopendir(fd);
                const struct dirent *e;

                if (fd >= 0 && !dir)
                        (void)close(fd);
                while (dir && (e = readdir(dir))) {
                        Mark mark;
                        pid_t heir;
                        int found;

                        left = left || due_is_left(e->d_name);
                        if (e->d_name[0] == '.' || (!word && !may_be_dead(e->d_name)) ||
                            !read_mark(dirfd(dir), e->d_name, &mark) || (word && !is_meant(&mark, word)))
                                continue;
                        heir = mark_heir(mark.cid);
                        found = mark_settle_one(&mark, heir);
                        if (found == MARK_TOLD || found == MARK_KNOWN)
                                (void)unlinkat(dirfd(dir), e->d_name, 0);
                        on_mark(userdata, &mark, found);
                }
                if (dir)
                        (void)closedir(dir);
        }
        return left;
}
