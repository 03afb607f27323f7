/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Extended attributes of a unit's cgroup, followed by the cgroups below it. systemd sets them on the unit's own cgroup
 * only, but the programs that read them look at the cgroup of a process: the final killer of a soft reboot
 * (SurviveFinalKillSignal=), and systemd-coredump (CoredumpReceive=). The cgroups of a nested monitor and its container
 * are none of systemd's, so nobody else sets them there.
 *
 * systemd changes them when the unit's settings change, at a daemon-reload: inotify tells.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "io/cgroup.h"
#include "wire/cgtext.h"

#define VALUE_MAX 64

static const char *const followed[] = { CGROUP_SURVIVES, "user.coredump_receive" };

struct CgroupAttributes {
        sd_event_source *source;
        int inotify_fd;
        size_t n_below;
        char *unit;
        char *below[CGROUP_ATTRIBUTES_MAX];
};

static void attributes_copy(const char *name, const char *from, const char *to) {
        char value[VALUE_MAX], present[VALUE_MAX];
        ssize_t n, n_present;

        n = getxattr(from, name, value, sizeof value);
        n_present = getxattr(to, name, present, sizeof present);
        if (n >= 0 && (n != n_present || memcmp(value, present, (size_t)n) != 0)) {
                if (setxattr(to, name, value, (size_t)n, 0) < 0 && errno != ENOENT)
                        (void)log_warning_errno(-errno, "Failed to set %s on %s:", name, to);
        } else if (n < 0 && errno == ENODATA && n_present >= 0)
                (void)removexattr(to, name); /* the cgroup may be gone */
}

static void attributes_follow(const CgroupAttributes *a) {
        for (size_t i = 0; i < a->n_below; i++)
                for (size_t k = 0; k < ELEMENTS(followed); k++)
                        attributes_copy(followed[k], a->unit, a->below[i]);
}

static int attributes_on_change(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        CgroupAttributes *a = userdata;

        while (read(fd, buf, sizeof buf) > 0)
                ;
        attributes_follow(a);
        return 0;
}

/**
 * cgroup_attributes_new_at() - keep the attributes of @below as those of @unit are
 * @unit, @below: directories; at most CGROUP_ATTRIBUTES_MAX of the latter
 *
 * Return: 0 or a negative errno.
 */
int cgroup_attributes_new_at(CgroupAttributes **ret,
                             Event *event,
                             const char *unit,
                             const char *const below[],
                             size_t n_below) {
        _cleanup_(cgroup_attributes_freep) CgroupAttributes *a = NULL;
        int r;

        a = calloc(1, sizeof *a);
        if (!a)
                return fail(-ENOMEM);
        a->inotify_fd = -1;
        a->unit = strdup(unit);
        if (!a->unit)
                return fail(-ENOMEM);
        for (; a->n_below < n_below; a->n_below++) {
                a->below[a->n_below] = strdup(below[a->n_below]);
                if (!a->below[a->n_below])
                        return fail(-ENOMEM);
        }
        a->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (a->inotify_fd < 0 || inotify_add_watch(a->inotify_fd, unit, IN_ATTRIB | IN_ONLYDIR) < 0)
                return fail(-errno);
        r = event_add_io(event, &a->source, a->inotify_fd, EPOLLIN, attributes_on_change, a);
        if (r < 0)
                return relay(r);
        attributes_follow(a);
        *ret = TAKE_PTR(a);
        return 0;
}

/* The cgroup of @pid below that of its unit, in @ret_unit and @ret_below; false if it is the unit's own, or in none. */
static bool attributes_find(const char *root, pid_t pid, char ret_unit[PATH_MAX], char ret_below[PATH_MAX]) {
        _cleanup_free_ char *path = NULL;
        CgUnit unit;
        int n;

        if (cgroup_own(pid, &path) < 0 || cgtext_unit(path, &unit) != 0 || unit.n_leaf == 0 ||
            (unit.kind != CG_UNIT_SERVICE && unit.kind != CG_UNIT_SCOPE))
                return false;
        n = snprintf(ret_below, PATH_MAX, "%s%s", root, path);
        if (n < 0 || n >= PATH_MAX)
                return false;
        (void)snprintf(ret_unit, PATH_MAX, "%.*s", (int)(strlen(root) + unit.n_path), ret_below);
        return true;
}

/**
 * cgroup_attributes_new() - keep the attributes of the cgroups of @pids as those of the unit are in which they are nested
 * @pids: of the first, the unit counts; others may be in another one, or nowhere
 *
 * Return: 0, -ENOENT if none of them is nested, or another negative errno.
 */
int cgroup_attributes_new(CgroupAttributes **ret, Event *event, const pid_t pids[CGROUP_ATTRIBUTES_MAX]) {
        char unit[CGROUP_ATTRIBUTES_MAX][PATH_MAX], below[CGROUP_ATTRIBUTES_MAX][PATH_MAX];
        const char *names[CGROUP_ATTRIBUTES_MAX], *root;
        size_t n = 0;
        int r;

        (void)cgroup_unified(&root);
        if (!root)
                return fail(-ENOENT);
        for (size_t i = 0; i < CGROUP_ATTRIBUTES_MAX; i++)
                if (attributes_find(root, pids[i], unit[n], below[n]) && strcmp(unit[n], unit[0]) == 0 &&
                    (n == 0 || strcmp(below[n], below[0]) != 0)) {
                        names[n] = below[n];
                        n++;
                }
        if (n == 0)
                return fail(-ENOENT);
        r = cgroup_attributes_new_at(ret, event, unit[0], names, n);
        return r < 0 ? relay(r) : 0;
}

/**
 * cgroup_attributes_free() - follow them no more; they stay as they are
 *
 * Return: NULL.
 */
CgroupAttributes *cgroup_attributes_free(CgroupAttributes *a) {
        if (!a)
                return NULL;
        a->source = sd_event_source_disable_unref(a->source);
        if (a->inotify_fd >= 0)
                (void)close(a->inotify_fd);
        for (size_t i = 0; i < ELEMENTS(a->below); i++)
                free(a->below[i]);
        free(a->unit);
        free(a);
        return NULL;
}
