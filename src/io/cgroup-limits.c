/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The cgroup of a pod in a unit, and the limits of the pod's slice, which it is to have as well.
 *
 * A limit is a value that is not the kernel's default. Whether the unit has the controllers for them is a question of its
 * own, to be asked before anybody is moved. The limits are there before the first process of the pod is: each of its
 * monitors sets them, and makes the container's cgroup before that, so that nobody can remove the pod's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "io/cgroup.h"

#define LIMIT_MAX 4096 /* of io.max and its like: a line for each device */
#define MAKE_ROUNDS 10

typedef struct Limit {
        const char *name;
        const char *none; /* what it is without a limit */
} Limit;

static const Limit limits[] = {
        { "cgroup.max.depth", "max" },  { "cgroup.max.descendants", "max" },
        { "cpu.max", "max 100000" },    { "cpu.max.burst", "0" },
        { "cpu.uclamp.max", "max" },    { "cpu.uclamp.min", "0.00" },
        { "cpu.weight", "100" },        { "cpuset.cpus", "" },
        { "cpuset.mems", "" },          { "io.bfq.weight", "default 100" },
        { "io.latency", "" },           { "io.max", "" },
        { "io.weight", "default 100" }, { "memory.high", "max" },
        { "memory.low", "0" },          { "memory.max", "max" },
        { "memory.min", "0" },          { "memory.oom.group", "0" },
        { "memory.swap.high", "max" },  { "memory.swap.max", "max" },
        { "memory.zswap.max", "max" },  { "pids.max", "max" },
};

/* Return: its value, the caller's to free, or NULL if it limits nothing. */
static char *limit_read(int dir, const Limit *limit) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (dir < 0 || fd_read_file(dir, limit->name, LIMIT_MAX, &text, &n) < 0)
                return NULL;
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
                text[--n] = 0;
        return n == 0 || strcmp(text, limit->none) == 0 ? NULL : TAKE_PTR(text);
}

/* "memory" of "memory.swap.max"; @controllers: as in cgroup.controllers. What has none is in each cgroup. */
static bool is_delegated(const Limit *limit, const char *controllers) {
        size_t n = strcspn(limit->name, ".");

        if (n == strlen("cgroup") && memcmp(limit->name, "cgroup", n) == 0)
                return true;
        for (const char *p = controllers; *p; p += strspn(p, " \n")) {
                size_t word = strcspn(p, " \n");

                if (word == n && memcmp(p, limit->name, n) == 0)
                        return true;
                p += word;
        }
        return false;
}

/* NULL when memory ran out; empty if there are none. */
static char *read_controllers(int dir) {
        char *text = NULL;

        if (dir < 0 || fd_read_file(dir, "cgroup.controllers", LIMIT_MAX, &text, NULL) < 0)
                return strdup("");
        return text;
}

/**
 * cgroup_limits_missing_at() - which of the limits of a cgroup can another one not have?
 * @from, @unit: directories; -1 for a cgroup that is not there
 *
 * Return: static text, or NULL if it can have them all.
 */
const char *cgroup_limits_missing_at(int from, int unit) {
        _cleanup_free_ char *controllers = read_controllers(unit);

        for (size_t i = 0; i < ELEMENTS(limits); i++) {
                _cleanup_free_ char *value = limit_read(from, &limits[i]);

                if (value && !(controllers && is_delegated(&limits[i], controllers)))
                        return limits[i].name;
        }
        return NULL;
}

/**
 * cgroup_limits_missing() - the same with the paths of cgroups
 */
const char *cgroup_limits_missing(const char *from, const char *unit) {
        _cleanup_close_ int from_fd = cgroup_open(from), unit_fd = cgroup_open(unit);

        return cgroup_limits_missing_at(from_fd, unit_fd);
}

/* A line each, as the kernel takes them. */
static int limit_write(int dir, const Limit *limit, const char *value) {
        _cleanup_close_ int fd = openat(dir, limit->name, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return fail(-errno);
        for (size_t n; *value; value += n + (value[n] == '\n')) {
                n = strcspn(value, "\n");
                if (write(fd, value, n + (value[n] == '\n')) < 0)
                        return fail(-errno);
        }
        return 0;
}

static int turn_on(int dir, const Limit *limit) {
        _cleanup_close_ int fd = openat(dir, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
        char word[32];
        int n;

        if (fd < 0)
                return fail(-errno);
        n = snprintf(word, sizeof word, "+%.*s", (int)strcspn(limit->name, "."), limit->name);
        return write(fd, word, (size_t)n) < 0 ? fail(-errno) : 0;
}

/**
 * cgroup_limits_copy_at() - give the limits of one cgroup to another, as far as its parent has the controllers
 * @from, @unit, @to: directories, of which @to is below @unit; -1 as @from for a cgroup that is not there
 *
 * Return: 0 or a negative errno.
 */
int cgroup_limits_copy_at(int from, int unit, int to) {
        _cleanup_free_ char *controllers = read_controllers(unit);
        int r;

        for (size_t i = 0; i < ELEMENTS(limits); i++) {
                _cleanup_free_ char *value = limit_read(from, &limits[i]);

                if (!value || !controllers || !is_delegated(&limits[i], controllers))
                        continue;
                r = memcmp(limits[i].name, "cgroup.", strlen("cgroup.")) == 0 ? 0 : turn_on(unit, &limits[i]);
                if (r >= 0)
                        r = limit_write(to, &limits[i], value);
                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/* The pod's may be removed by the monitor of its last container, until another one's is in it. */
static int make_both(int unit, const char *pod, const char *leaf_path) {
        for (int i = 0; i < MAKE_ROUNDS; i++) {
                if (mkdirat(unit, pod, 0755) < 0 && errno != EEXIST)
                        return fail(-errno);
                if (mkdirat(unit, leaf_path, 0755) == 0 || errno == EEXIST)
                        return 0;
                if (errno != ENOENT)
                        return fail(-errno);
        }
        return fail(-EBUSY);
}

/**
 * cgroup_make_pod() - the cgroup of a pod in a unit, with the limits of the pod's slice, and of a container in the pod's
 * @slice, @unit: paths of cgroups; no process is in the unit's own
 * @pod: name of the pod's cgroup, which may be there already
 * @leaf: name of the container's below it
 *
 * On failure there is neither, but for a pod's with other containers in it.
 *
 * Return: 0 or a negative errno.
 */
int cgroup_make_pod(const char *slice, const char *unit, const char *pod, const char *leaf) {
        _cleanup_close_ int slice_fd = cgroup_open(slice), unit_fd = cgroup_open(unit), pod_fd = -1;
        _cleanup_free_ char *leaf_path = NULL;
        int r;

        if (unit_fd < 0)
                return relay(unit_fd);
        if (asprintf(&leaf_path, "%s/%s", pod, leaf) < 0)
                return fail(-ENOMEM);
        r = make_both(unit_fd, pod, leaf_path);
        if (r >= 0) {
                pod_fd = openat(unit_fd, pod, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                r = pod_fd < 0 ? fail(-errno) : cgroup_limits_copy_at(slice_fd, unit_fd, pod_fd);
        }
        if (r < 0) {
                (void)unlinkat(unit_fd, leaf_path, AT_REMOVEDIR);
                (void)unlinkat(unit_fd, pod, AT_REMOVEDIR);
                return relay(r);
        }
        return 0;
}

/**
 * cgroup_remove() - remove a cgroup if nothing is in it
 * @unit: path of the cgroup that it is in
 */
void cgroup_remove(const char *unit, const char *name) {
        _cleanup_close_ int fd = cgroup_open(unit);

        if (fd >= 0)
                (void)unlinkat(fd, name, AT_REMOVEDIR);
}
