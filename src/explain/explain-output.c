/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a running container uses and has written: its memory from its cgroup, lines, bytes and clients from the ring of
 * its monitor, and the last lines from the journal or its log file.
 *
 * A ring is read as it lies there, without asking its owner: only that of a monitor that runs this very program has the
 * form that is known here. Its numbers are the worker's, so they are shown and nothing is done with them.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/process.h"
#include "config/options.h"
#include "explain/explain-internal.h"
#include "io/cgroup.h"
#include "io/ring.h"
#include "scopemon/protocol.h"
#include "supervise/suppressed.h"
#include "worker/worker-state.h"

#define RING_LINK "/memfd:" RING_NAME
#define TAIL_SIZE 65536 /* bytes of a log file, for its last lines */
#define USEC_PER_SEC 1000000ULL

static void find_memory(Explained *e) {
        _cleanup_free_ char *text = NULL;
        char path[PATH_MAX + 64];
        const char *root;

        if (!e->container_cgroup[0] || !cgroup_unified(&root))
                return;
        (void)snprintf(path, sizeof path, "%s%s/memory.current", root, e->container_cgroup);
        if (fd_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = 0;
        e->output.has_memory = parse_u64(text, &e->output.memory) >= 0;
}

/* The descriptor is taken from the process itself, so that no name leads elsewhere. Return: it, or -1. */
static int open_ring(pid_t pid) {
        char path[64], link[64];
        struct dirent *entry;
        int found = -1;
        DIR *d;

        (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
        d = opendir(path);
        while (d && found < 0 && (entry = readdir(d))) {
                ssize_t n = readlinkat(dirfd(d), entry->d_name, link, sizeof link - 1);
                int fd;

                if (n >= (ssize_t)strlen(RING_LINK) && strncmp(link, RING_LINK, strlen(RING_LINK)) == 0 &&
                    parse_fd(entry->d_name, &fd) >= 0)
                        found = process_copy_fd(pid, fd);
        }
        if (d)
                (void)closedir(d);
        return found;
}

static void find_counters(Explained *e) {
        _cleanup_free_ WorkerState *state = NULL;
        _cleanup_close_ int fd = -1;
        ExplainOutput *o = &e->output;
        const SinkState *file, *journal;

        if (!e->keeper || e->stock || !proc_same_program(e->keeper->pid, getpid()))
                return;
        fd = open_ring(e->keeper->pid);
        state = malloc(sizeof *state);
        if (fd < 0 || !state || ring_peek(fd, state, sizeof *state) < 0)
                return;
        file = &state->sinks[SINK_FILE];
        journal = &state->sinks[SINK_JOURNAL];
        o->known = true;
        o->lines = journal->flood.sent;
        o->bytes = file->bytes > journal->bytes ? file->bytes : journal->bytes;
        o->lost = file->lost_bytes + journal->lost_bytes;
        o->suppressed = suppressed_for_sure(&state->suppressed);
        for (size_t i = 0; i < ATTACH_SLOTS; i++)
                o->clients += state->slots[i].state != 0;
}

/**
 * explain_output() - what a running container uses and has written
 * @e: filled by explain_processes()
 */
void explain_output(Explained *e) {
        find_memory(e);
        find_counters(e);
}

/* ---- the last lines ------------------------------------------------------------------------------------- */

static void print_line(uint64_t usec, const char *name, const char *text) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        char when[32] = "";
        struct tm tm;

        if (localtime_r(&seconds, &tm))
                (void)strftime(when, sizeof when, "%b %d %H:%M:%S", &tm);
        explain_say_text("%s %s: %s", when, name, text);
}

/* From the newest on; what is kept is shown the other way round. Return: how many there were. */
static size_t print_journal(const ExplainHost *h, const Explained *e, size_t n_max) {
        char match[EXPLAIN_NAME_SIZE + 64], owner[32], text[1024];
        const char *matches[] = { match, owner, e->owner != 0 ? "_UID=0" : NULL, NULL };
        uint64_t usec[EXPLAIN_LINES_MAX];
        char *lines[EXPLAIN_LINES_MAX];
        size_t n = 0;
        int r;

        if (!h->journal)
                return 0;
        (void)snprintf(match, sizeof match, SCOPEMON_FIELD_ID_FULL "=%s", e->id);
        (void)snprintf(owner, sizeof owner, "_UID=%u", e->owner);
        for (r = journal_reader_find(h->journal, matches); r == 0 && n < n_max;
             r = journal_reader_older(h->journal)) {
                if (journal_reader_get(h->journal, "MESSAGE", text, sizeof text) != 0)
                        continue;
                lines[n] = strdup(text);
                usec[n] = journal_reader_usec(h->journal);
                if (!lines[n])
                        break;
                n++;
        }
        for (size_t i = n; i-- > 0; free(lines[i]))
                print_line(usec[i], e->name[0] ? e->name : e->id, lines[i]);
        return n;
}

/* The last bytes of a regular file that a command line names. Return: a text, or NULL. */
static char *read_tail(const char *path) {
        _cleanup_free_ char *text = malloc(TAIL_SIZE + 1);
        _cleanup_close_ int fd = -1;
        struct stat st;
        ssize_t n;

        fd = fd_open_regular(AT_FDCWD, path, O_NOFOLLOW, &st);
        if (!text || fd < 0)
                return NULL;
        n = pread(fd, text, TAIL_SIZE, st.st_size > TAIL_SIZE ? st.st_size - TAIL_SIZE : 0);
        if (n < 0)
                return NULL;
        text[n] = 0;
        return TAKE_PTR(text);
}

/* Records of a log file are "TIME STREAM F TEXT". */
static size_t print_file(const Explained *e, size_t n_max) {
        _cleanup_free_ char *text = NULL;
        const char *path, *colon;
        size_t n = 0;
        char *at;

        if (!e->keeper || !options_peek(e->keeper->argv, "log-path", &path))
                return 0;
        colon = strchr(path, ':');
        path = colon ? colon + 1 : path;
        text = path[0] == '/' ? read_tail(path) : NULL;
        if (!text)
                return 0;
        for (at = text + strlen(text); at > text && n <= n_max; at--)
                n += at[-1] == '\n';
        n = 0;
        for (char *line = strtok_r(at, "\n", &at); line; line = strtok_r(NULL, "\n", &at), n++)
                explain_say_text("%s", line);
        return n;
}

/**
 * explain_lines() - show the last lines of a container's output
 * @n: at most so many, and EXPLAIN_LINES_MAX
 */
void explain_lines(const ExplainHost *h, const Explained *e, size_t n) {
        if (n > EXPLAIN_LINES_MAX)
                n = EXPLAIN_LINES_MAX;
        if (print_journal(h, e, n) == 0 && print_file(e, n) == 0 && geteuid() != 0 && e->owner != geteuid())
                explain_say_text("Output of containers of other users is shown to root, and from the journal "
                                 "to groups adm and systemd-journal.");
}
