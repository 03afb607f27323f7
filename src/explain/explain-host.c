/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The processes of this host that have to do with containers, all looked at once, so that what is told of one
 * container belongs to one moment. Podman is never asked: it would take locks, and there are other callers.
 *
 * A monitor is known by its command line, whatever its program is called: it has an ID, a runtime and a bundle, and
 * all its options are a monitor's. A container's process is known by its cgroup's name. Processes in containers may
 * call themselves what they like, so those are never taken for monitors.
 */

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "config/options.h"
#include "explain/explain-internal.h"
#include "io/cgroup.h"
#include "wire/cgtext.h"

#define ID_PART_MIN 4 /* of an ID, to be enough */
#define WORKER_TITLE "scopemon: "
#define SERVICE_ID "scopemon-" /* as in service.c */
#define SERVICE_NAME_MAX 200

static bool copy(char ret[EXPLAIN_NAME_SIZE], const char *text, size_t n) {
        if (n == 0 || n >= EXPLAIN_NAME_SIZE)
                return false;
        memcpy(ret, text, n);
        ret[n] = 0;
        return true;
}

/* The last component of a path, without slashes at its end. */
static size_t last_component(const char *path, const char **ret) {
        size_t n = strlen(path);

        while (n > 0 && path[n - 1] == '/')
                n--;
        *ret = memrchr(path, '/', n);
        *ret = *ret ? *ret + 1 : path;
        return n - (size_t)(*ret - path);
}

/* What service_expand() makes of "--service --bundle DIR [--name NAME]". */
static bool service_id(char **argv, char ret[EXPLAIN_NAME_SIZE]) {
        const char *bundle, *name;
        size_t n;
        int size;

        if (!argv[1] || strcmp(argv[1], "--service") != 0 || !options_peek(argv, "bundle", &bundle))
                return false;
        n = options_peek(argv, "name", &name) ? strlen(name) : last_component(bundle, &name);
        size = snprintf(ret, EXPLAIN_NAME_SIZE, SERVICE_ID "%.*s",
                        (int)(n < SERVICE_NAME_MAX ? n : SERVICE_NAME_MAX), name);
        return size > 0 && size < EXPLAIN_NAME_SIZE;
}

static bool monitor_id(char **argv, char ret[EXPLAIN_NAME_SIZE]) {
        const char *id, *unused;

        return options_peek(argv, "cid", &id) && options_peek(argv, "runtime", &unused) &&
               options_peek(argv, "bundle", &unused) && copy(ret, id, strlen(id));
}

/* A monitor's command line? Then @p has it, and the ID in it. */
static void look_at_argv(ExplainProcess *p) {
        const char *unused;
        char **argv;

        if (proc_argv(p->pid, &argv) < 0)
                return;
        if (service_id(argv, p->id) || monitor_id(argv, p->id)) {
                p->exec = options_peek(argv, "exec", &unused);
                p->argv = argv;
                return;
        }
        p->id[0] = 0;
        free(argv);
}

static void look_at(ExplainProcess *p, pid_t pid) {
        CgContainer c;

        *p = (ExplainProcess){ .pid = pid };
        if (proc_stat(pid, &p->stat) < 0)
                return;
        (void)cgroup_own(pid, &p->cgroup); /* gone, or with none that has a name here */
        if (p->cgroup && cgtext_container(p->cgroup, &c) == 0 && !c.monitor) {
                if (c.service)
                        (void)snprintf(p->id, sizeof p->id, "scopemon-%.*s", (int)c.n_id, c.id);
                else
                        (void)copy(p->id, c.id, c.n_id);
        } else
                look_at_argv(p);
}

static int look_at_all(ExplainHost *h) {
        _cleanup_free_ pid_t *pids = NULL;
        size_t n;
        int r;

        r = proc_list(&pids, &n);
        if (r < 0)
                return relay(r);
        h->processes = calloc(n, sizeof *h->processes);
        if (!h->processes)
                return fail(-ENOMEM);
        for (size_t i = 0; i < n; i++)
                look_at(&h->processes[h->n++], pids[i]);
        return 0;
}

/**
 * explain_host_new() - look at all processes
 * @user: --user
 *
 * Return: 0 or a negative errno.
 */
int explain_host_new(ExplainHost **ret, bool user) {
        ExplainHost *h = calloc(1, sizeof *h);
        int r;

        if (!h)
                return fail(-ENOMEM);
        r = look_at_all(h);
        if (r < 0) {
                (void)explain_host_free(h);
                return relay(r);
        }
        h->user = user;
        /* A host without a journal has processes all the same. */
        (void)journal_reader_open(&h->journal, NULL);
        *ret = h;
        return 0;
}

/**
 * explain_host_free() - forget it
 *
 * Return: NULL.
 */
ExplainHost *explain_host_free(ExplainHost *h) {
        if (!h)
                return NULL;
        for (size_t i = 0; i < h->n; i++) {
                free(h->processes[i].cgroup);
                free(h->processes[i].argv);
        }
        h->journal = journal_reader_free(h->journal);
        free(h->processes);
        free(h);
        return NULL;
}

/**
 * explain_ids_add() - put an ID into a set
 *
 * Return: 0 or -ENOMEM.
 */
int explain_ids_add(ExplainIds *ids, const char *id) {
        char(*larger)[EXPLAIN_NAME_SIZE];

        for (size_t i = 0; i < ids->n; i++)
                if (strcmp(ids->ids[i], id) == 0)
                        return 0;
        larger = realloc(ids->ids, (ids->n + 1) * sizeof *larger);
        if (!larger)
                return fail(-ENOMEM);
        ids->ids = larger;
        (void)snprintf(ids->ids[ids->n++], EXPLAIN_NAME_SIZE, "%s", id);
        return 0;
}

static bool is_in_unit(const ExplainHost *h, const ExplainProcess *p, const char *unit) {
        CgUnit u;

        return p->cgroup && cgtext_unit(p->cgroup, &u) == 0 && u.user == h->user &&
               (!u.user || u.owner == geteuid()) &&
               (!unit || (u.n_name == strlen(unit) && memcmp(u.name, unit, u.n_name) == 0));
}

static bool is_below(const ExplainProcess *p, const char *name, size_t n) {
        for (const char *at = p->cgroup; (at = strchr(at, '/')); at++)
                if (strncmp(at + 1, name, n) == 0 && at[1 + n] == '/')
                        return true;
        return false;
}

/* Somewhere below a slice, as the containers of a pod are below theirs; or in a unit, with that pod. */
static bool is_in_slice(const ExplainHost *h, const ExplainProcess *p, const char *slice) {
        static const char infix[] = "-libpod_pod_";
        const char *pod = strstr(slice, infix);
        char name[EXPLAIN_NAME_SIZE];

        if (p->argv || !is_in_unit(h, p, NULL))
                return false;
        if (is_below(p, slice, strlen(slice)))
                return true;
        if (!pod)
                return false;
        pod += strlen(infix);
        (void)snprintf(name, sizeof name, "libpod_pod-%.*s", (int)(strlen(pod) - strlen(".slice")), pod);
        return is_below(p, name, strlen(name));
}

/* With --user: own monitors, and containers in units of the own manager. */
static bool is_visible(const ExplainHost *h, const ExplainProcess *p) {
        if (!p->id[0])
                return false;
        return !h->user || (p->argv ? p->stat.uid == geteuid() : is_in_unit(h, p, NULL));
}

static bool is_named(const ExplainProcess *p, const char *name) {
        const char *value;

        if (!p->argv)
                return false;
        if (options_peek(p->argv, "name", &value))
                return strcmp(value, name) == 0;
        return strncmp(p->id, SERVICE_ID, strlen(SERVICE_ID)) == 0 &&
               strcmp(p->id + strlen(SERVICE_ID), name) == 0;
}

/* Does a pattern fit its name, or the unit that it is in? */
static bool fits(const ExplainProcess *p, const char *pattern) {
        char unit[UNITNAME_SIZE];
        const char *name;
        CgUnit u;

        if (p->argv && options_peek(p->argv, "name", &name) && fnmatch(pattern, name, 0) == 0)
                return true;
        if (strncmp(p->id, SERVICE_ID, strlen(SERVICE_ID)) == 0 &&
            fnmatch(pattern, p->id + strlen(SERVICE_ID), 0) == 0)
                return true;
        if (!p->cgroup || cgtext_unit(p->cgroup, &u) != 0)
                return false;
        (void)snprintf(unit, sizeof unit, "%.*s", (int)u.n_name, u.name);
        return fnmatch(pattern, unit, 0) == 0;
}

static int find_by_pattern(const ExplainHost *h, const char *pattern, ExplainIds *ids) {
        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i];
                int r = is_visible(h, p) && fits(p, pattern) ? explain_ids_add(ids, p->id) : 0;

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

static bool has_id(const ExplainProcess *p, const char *part) {
        size_t n = strlen(part);

        return n >= ID_PART_MIN && strncmp(p->id, part, n) == 0;
}

static const ExplainProcess *process_of(const ExplainHost *h, pid_t pid) {
        for (size_t i = 0; i < h->n; i++)
                if (h->processes[i].pid == pid)
                        return &h->processes[i];
        return NULL;
}

/* The process itself, or the nearest of its ancestors that has to do with a container. */
static int find_by_pid(const ExplainHost *h, const char *word, ExplainIds *ids) {
        const ExplainProcess *p;
        pid_t pid;

        if (parse_pid(word, &pid) < 0)
                return 0;
        for (size_t i = 0; i < h->n && (p = process_of(h, pid)); i++, pid = p->stat.parent)
                if (p->id[0])
                        return is_visible(h, p) ? explain_ids_add(ids, p->id) : 0;
        return 0;
}

/**
 * explain_find_all() - all containers that run
 *
 * Return: 0 or -ENOMEM.
 */
int explain_find_all(const ExplainHost *h, ExplainIds *ids) {
        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i];
                int r = is_visible(h, p) ? explain_ids_add(ids, p->id) : 0;

                if (r < 0)
                        return relay(r);
        }
        return 0;
}

/**
 * explain_find() - what somebody means with a word
 * @word: PID, unit, name, ID or the beginning of one, whatever fits first; or a pattern of names and units, of containers
 * that run
 * @ids: of containers that run, or else of the last one that did; empty if there was none
 *
 * Return: 0 or a negative errno.
 */
int explain_find(const ExplainHost *h, const char *word, ExplainIds *ids) {
        bool is_slice = unitname_is_valid(word, ".slice");
        bool is_unit = is_slice || unitname_is_valid(word, ".service") || unitname_is_valid(word, ".scope");
        int r;

        if (strpbrk(word, "*?["))
                return find_by_pattern(h, word, ids);
        r = find_by_pid(h, word, ids);
        for (int way = 0; r >= 0 && ids->n == 0 && way < 3; way++)
                for (size_t i = 0; r >= 0 && i < h->n; i++) {
                        const ExplainProcess *p = &h->processes[i];

                        if (is_visible(h, p) && (way == 0   ? is_unit && (is_slice ? is_in_slice(h, p, word)
                                                                                   : is_in_unit(h, p, word))
                                                 : way == 1 ? is_named(p, word)
                                                            : has_id(p, word)))
                                r = explain_ids_add(ids, p->id);
                }
        if (r >= 0 && ids->n == 0)
                r = explain_journal_find(h, word, is_unit, ids);
        return r < 0 ? relay(r) : 0;
}

/* Its --conmon-pidfile tells a monitor from the process that forks it. */
static pid_t read_pid_file(const ExplainProcess *p, const char *option) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *text = NULL;
        const char *path;
        pid_t pid;

        if (!options_peek(p->argv, option, &path) || path[0] != '/')
                return 0;
        fd = fd_open_regular(AT_FDCWD, path, O_NOFOLLOW, NULL); /* anybody's command line names anything */
        if (fd < 0 || fd_read_all(fd, 64, &text, NULL) < 0)
                return 0;
        text[strcspn(text, "\n")] = 0;
        return parse_pid(text, &pid) < 0 ? 0 : pid;
}

/* Anybody can call a process of his like a monitor, and a container like that of somebody else. */
static bool is_trusted(const ExplainProcess *p) {
        return p->stat.uid == 0 || p->stat.uid == geteuid();
}

static void find_keeper(const ExplainHost *h, Explained *e) {
        bool sure = false, trusted = false;

        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i], *parent;

                if (!p->argv || strcmp(p->id, e->id) != 0)
                        continue;
                if (p->exec) {
                        e->n_execs++;
                        continue;
                }
                if (is_trusted(p) && !trusted) {
                        trusted = true;
                        sure = false;
                        e->keeper = NULL;
                }
                if (sure || (trusted && !is_trusted(p)))
                        continue; /* for the sessions that may come */
                sure = read_pid_file(p, "conmon-pidfile") == p->pid;
                parent = process_of(h, p->stat.parent);
                if (!e->keeper || sure || !(parent && parent->argv && strcmp(parent->id, e->id) == 0))
                        e->keeper = p;
        }
}

static bool is_worker(const ExplainProcess *p) {
        _cleanup_free_ char **argv = NULL;

        return proc_argv(p->pid, &argv) >= 0 && argv[0] &&
               strncmp(argv[0], WORKER_TITLE, strlen(WORKER_TITLE)) == 0;
}

/* Best is who is in the pid file; then a child of the monitor, then anybody in the container's cgroup. */
static void find_init(const ExplainHost *h, Explained *e) {
        pid_t told = e->keeper ? read_pid_file(e->keeper, "container-pidfile") : 0;
        int best = 0;

        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i];
                bool child = e->keeper && p->stat.parent == e->keeper->pid;
                bool inside = !p->argv && strcmp(p->id, e->id) == 0;
                int rank = (child || inside) && p->pid == told ? 4
                           : child && inside                   ? 3
                           : inside                            ? 2
                           : child                             ? 1
                                                               : 0;

                if (p->argv || rank <= best || (child && !inside && is_worker(p)))
                        continue;
                best = rank;
                e->init = p;
        }
}

/* Up to the component that is named after the container; a runtime may make another one below it. */
static void find_container_cgroup(Explained *e) {
        CgContainer c;

        if (!e->init || !e->init->cgroup)
                return;
        (void)snprintf(e->container_cgroup, sizeof e->container_cgroup, "%s", e->init->cgroup);
        if (cgtext_container(e->container_cgroup, &c) == 0) {
                size_t n = (size_t)(c.id - e->container_cgroup) + c.n_id;

                e->container_cgroup[n + strcspn(e->container_cgroup + n, "/")] = 0;
        }
}

/**
 * explain_processes() - monitor, worker and processes of one container
 * @e: all zero; keeps pointers into @h
 */
void explain_processes(const ExplainHost *h, const char *id, Explained *e) {
        const char *name;

        (void)snprintf(e->id, sizeof e->id, "%s", id);
        find_keeper(h, e);
        find_init(h, e);
        find_container_cgroup(e);
        e->owner = e->keeper ? e->keeper->stat.uid : geteuid();
        if (e->keeper && options_peek(e->keeper->argv, "name", &name))
                (void)snprintf(e->name, sizeof e->name, "%s", name);
        if (e->keeper && e->keeper->cgroup)
                (void)snprintf(e->monitor_cgroup, sizeof e->monitor_cgroup, "%s", e->keeper->cgroup);

        for (size_t i = 0; i < h->n; i++) {
                const ExplainProcess *p = &h->processes[i];

                if (e->container_cgroup[0] && p->cgroup &&
                    strcmp(e->container_cgroup, e->monitor_cgroup) != 0 &&
                    cgtext_is_below(p->cgroup, e->container_cgroup))
                        e->n_processes++;
                if (!e->worker && e->keeper && p->stat.parent == e->keeper->pid && p != e->init &&
                    is_worker(p))
                        e->worker = p;
        }
        e->stock = e->keeper && !e->worker && !proc_same_program(e->keeper->pid, getpid());
}
