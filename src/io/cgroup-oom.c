/* SPDX-License-Identifier: Apache-2.0 */

/*
 * OOM kills in the target's cgroup.
 *
 * cgroup v2: memory.events is opened at the start and kept open, since at the end the path may be gone. Reading
 * fails with ENODEV once the cgroup is removed, and its last kill may then be unread. The counters of the parent
 * include all below it, also of what was removed, and are no proof alone, having other children too. So: an event
 * of our cgroup that was never read, together with a kill that the parent has counted since, is a kill of ours. The
 * removal itself makes no event. crun keeps the container in a subgroup "container" of the cgroup that has the
 * limit: there the parent is ours as well, and its parent is the witness.
 *
 * An event that brings no kill is not the end of it: "max" and "high" go up before every kill.
 *
 * cgroup v1 tells of the OOM through an eventfd, and once more when the cgroup is removed, which is no OOM.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "event/event.h"
#include "io/cgroup.h"
#include "wire/cgtext.h"

#define ROOT "/sys/fs/cgroup"
#define PROC_MAX (1024 * 1024)
#define LEVELS 3
#define RECENT_USEC 1000000ULL

typedef struct OomLevel {
        int fd;
        CgOom base;
} OomLevel;

struct CgroupOom {
        sd_event_source *source;
        int event_fd; /* inotify, or cgroup v1's eventfd */
        bool v1;
        OomLevel levels[LEVELS]; /* of the cgroup itself, then upward */
        size_t n_levels;
        size_t n_ours; /* how many count by themselves; the one behind these is the witness */
        uint64_t last_event_usec;
        bool seen;
        CgroupOomHandler on_oom;
        void *userdata;
};

static bool oom_read(const OomLevel *l, CgOom *ret) {
        char text[4096];
        ssize_t n;

        n = pread(l->fd, text, sizeof text, 0);
        return n >= 0 && cgtext_oom(text, (size_t)n, ret) == 0;
}

static bool oom_grew(const OomLevel *l) {
        CgOom now;

        return oom_read(l, &now) && (now.oom_kill > l->base.oom_kill || now.oom > l->base.oom);
}

/* Have we come too late, and did the witness see a kill since we last looked? */
static bool oom_witnessed(const CgroupOom *o, bool unread) {
        const OomLevel *witness = o->n_levels > o->n_ours ? &o->levels[o->n_ours] : NULL;
        CgOom now;

        if (!witness || oom_read(&o->levels[0], &now))
                return false;
        /* The kernel merges events that are close together, and drops the later one with the cgroup. */
        unread = unread || (o->last_event_usec > 0 && event_now() - o->last_event_usec < RECENT_USEC);
        return unread && oom_read(witness, &now) && now.oom_kill > witness->base.oom_kill;
}

static void oom_look(CgroupOom *o, bool unread) {
        OomLevel *witness = o->n_levels > o->n_ours ? &o->levels[o->n_ours] : NULL;
        CgOom now;

        for (size_t i = 0; i < o->n_ours; i++)
                o->seen = o->seen || oom_grew(&o->levels[i]);
        o->seen = o->seen || oom_witnessed(o, unread);
        if (unread)
                o->last_event_usec = event_now();
        if (witness && oom_read(&o->levels[0], &now))
                (void)oom_read(witness, &witness->base);
}

/* Return: have counters changed since the last call? */
static bool oom_drain(CgroupOom *o) {
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        bool changed = false;
        ssize_t n;

        while ((n = read(o->event_fd, buf, sizeof buf)) > 0)
                for (char *p = buf; p < buf + n;) {
                        const struct inotify_event *e = (const struct inotify_event *)p;

                        changed = changed || e->mask & (IN_MODIFY | IN_Q_OVERFLOW);
                        p += sizeof *e + e->len;
                }
        return changed;
}

/* cgroup v1 tells of the OOM itself, but also, once, of the cgroup's removal. */
static bool oom_drain_v1(CgroupOom *o) {
        uint64_t n = 0;
        char text[64];

        if (read(o->event_fd, &n, sizeof n) < 0 || n == 0)
                return false;
        if (n > 1 || pread(o->levels[0].fd, text, sizeof text, 0) >= 0)
                o->seen = true;
        return true;
}

static int on_oom_event(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        CgroupOom *o = userdata;
        bool before = o->seen;

        oom_look(o, o->v1 ? oom_drain_v1(o) : oom_drain(o));
        return o->seen && !before && o->on_oom ? o->on_oom(o->userdata) : 0; /* may free o */
}

static int oom_open_v1(CgroupOom *o, const char *directory) {
        _cleanup_close_ int dir = -1, control = -1;
        char text[64];
        int n;

        o->v1 = true;
        dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return fail(-errno);
        o->levels[0].fd = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
        if (o->levels[0].fd < 0)
                return fail(-errno);
        o->n_levels = o->n_ours = 1;
        o->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        control = openat(dir, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
        if (o->event_fd < 0 || control < 0)
                return fail(-errno);
        n = snprintf(text, sizeof text, "%d %d", o->event_fd, o->levels[0].fd);
        return write(control, text, (size_t)n) < 0 ? fail(-errno) : 0;
}

static int oom_open(CgroupOom *o, const char *directory) {
        const char *end = directory + strlen(directory);

        o->event_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (o->event_fd < 0)
                return fail(-errno);
        while (o->n_levels < LEVELS && o->n_levels <= o->n_ours && end > directory) {
                const char *name = memrchr(directory, '/', (size_t)(end - directory)) ?: directory;
                OomLevel *l = &o->levels[o->n_levels];
                char path[PATH_MAX];
                int n;

                n = snprintf(path, sizeof path, "%.*s/memory.events", (int)(end - directory), directory);
                if (n < 0 || (size_t)n >= sizeof path)
                        return fail(-ENAMETOOLONG);
                l->fd = open(path, O_RDONLY | O_CLOEXEC);
                if (l->fd < 0)
                        return o->n_levels == 0 ? fail(-errno) : 0;
                if (o->n_levels++ == 0)
                        o->n_ours = end - name == 10 && memcmp(name, "/container", 10) == 0 ? 2 : 1;
                if (o->n_levels <= o->n_ours && inotify_add_watch(o->event_fd, path, IN_MODIFY) < 0)
                        return fail(-errno);
                end = name;
        }
        o->n_ours = o->n_ours < o->n_levels ? o->n_ours : o->n_levels;
        return 0;
}

static int oom_watch(CgroupOom *o, Event *event, bool fresh) {
        size_t i = fresh ? o->n_ours : 0; /* what a fresh cgroup has counted is all its own */
        int r;

        for (; i < o->n_levels; i++)
                (void)oom_read(&o->levels[i], &o->levels[i].base);
        oom_look(o, false);
        r = event_add_io(event, &o->source, o->event_fd, EPOLLIN, on_oom_event, o);
        return r < 0 ? relay(r) : 0;
}

static int oom_new(CgroupOom **ret,
                   Event *event,
                   const char *directory,
                   bool v1,
                   bool fresh,
                   CgroupOomHandler on_oom) {
        _cleanup_(cgroup_oom_freep) CgroupOom *o = NULL;
        int r;

        o = malloc(sizeof *o);
        if (!o)
                return fail(-ENOMEM);
        *o = (CgroupOom){ .event_fd = -1, .v1 = v1, .on_oom = on_oom };
        r = v1 ? oom_open_v1(o, directory) : oom_open(o, directory);
        if (r >= 0)
                r = oom_watch(o, event, fresh);
        if (r < 0)
                return relay(r);
        *ret = TAKE_PTR(o);
        return 0;
}

/**
 * cgroup_oom_new_at() - watch one cgroup v2 directory for OOM kills
 * @fresh: the cgroup was made for the target, so that kills before now count too; else only those from now on
 * @on_oom: called at most once, from the loop; a kill before now is for cgroup_oom_check() to find
 *
 * Return: 0 or a negative errno: -ENOENT if nothing is counted there.
 */
int cgroup_oom_new_at(CgroupOom **ret,
                      Event *event,
                      const char *directory,
                      bool fresh,
                      CgroupOomHandler on_oom,
                      void *userdata) {
        int r;

        r = oom_new(ret, event, directory, false, fresh, on_oom);
        if (r < 0)
                return relay(r);
        (*ret)->userdata = userdata;
        return 0;
}

/**
 * cgroup_oom_new() - watch a process's cgroup for OOM kills, v2 or v1 as the host has it
 *
 * As cgroup_oom_new_at(). A failure is no reason not to run the container.
 *
 * Return: 0 or a negative errno: -ENOENT or -ENODATA if nothing is counted there.
 */
int cgroup_oom_new(CgroupOom **ret,
                   Event *event,
                   pid_t pid,
                   bool fresh,
                   CgroupOomHandler on_oom,
                   void *userdata) {
        bool v1 = !cgroup_unified(NULL);
        _cleanup_free_ char *text = NULL;
        char proc[64], directory[PATH_MAX];
        const char *path;
        size_t size, n;
        int r;

        (void)snprintf(proc, sizeof proc, "/proc/%d/cgroup", pid);
        r = fd_read_file(AT_FDCWD, proc, PROC_MAX, &text, &size);
        if (r < 0)
                return relay(r);
        r = v1 ? cgtext_v1_path(text, size, "memory", &path, &n) : cgtext_path(text, size, &path, &n);
        if (r != 0)
                return fail(-ENODATA);
        r = snprintf(directory, sizeof directory, "%s%.*s", v1 ? ROOT "/memory" : ROOT, (int)n, path);
        if (r < 0 || (size_t)r >= sizeof directory)
                return fail(-ENAMETOOLONG);
        r = oom_new(ret, event, directory, v1, fresh, on_oom);
        if (r < 0)
                return relay(r);
        (*ret)->userdata = userdata;
        return 0;
}

/**
 * cgroup_oom_check() - has there been an OOM kill? Looks once more
 *
 * To be called as soon as the target's end is known, before others tidy its cgroup away; later calls repeat the
 * answer or improve on it. on_oom is not called. NULL is an object that has seen nothing.
 */
bool cgroup_oom_check(CgroupOom *o) {
        if (!o)
                return false;
        if (!o->seen)
                oom_look(o, o->v1 ? oom_drain_v1(o) : oom_drain(o));
        return o->seen;
}

/**
 * cgroup_oom_free() - stop watching
 */
CgroupOom *cgroup_oom_free(CgroupOom *o) {
        if (!o)
                return NULL;
        (void)sd_event_source_disable_unref(o->source);
        cleanup_close(&o->event_fd);
        for (size_t i = 0; i < o->n_levels; i++)
                cleanup_close(&o->levels[i].fd);
        free(o);
        return NULL;
}
