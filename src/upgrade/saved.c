/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A keeper's state between two images: plain values here, a text of names and values in wire/state.c, and a sealed memfd
 * around it.
 *
 * Each module says what of its own is handed on, by a table of fields; here they get their prefixes. Without the few
 * values that no program can guess (pids and the command line) a state is refused; so is a value that does not fit its
 * name, a descriptor that comes twice, and whatever else no keeper of any version would write.
 *
 * Descriptors are numbers here. Nobody owns them through this struct.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/parse.h"
#include "upgrade/saved.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define FDS_MAX 65536 /* numbers of descriptors */
#define WORDS_MAX 65536

#define FD "fd"
#define CLIENT "client"
#define INHERITED "inherited"
#define WORD "word"

static const StateField own_fields[] = {
        STATE_FIELD_NUMBER(Saved, keeper, "pid", INT_MAX),
        STATE_FIELD_NUMBER(Saved, requester, "requester", INT_MAX),
        STATE_FIELD_NUMBER(Saved, exit_status, "exit-status", 255),
        STATE_FIELD_NUMBER(Saved, serial, "serial", UINT64_MAX),
        STATE_FIELD_BOOL(Saved, ready_told, "ready-told"),
        STATE_FIELD_NUMBER(Saved, mask, "signal-mask", UINT64_MAX),
        STATE_FIELD_BOOL(Saved, has_worker, "has-worker"),
        STATE_FIELD_NUMBER(Saved, fds_max, "fds-max", UINT64_MAX),
        STATE_FIELD_TEXT(Saved, oom_score_adj, "oom-score-adj"),
        STATE_FIELD_TEXT(Saved, version, "version"),
        STATE_FIELD_TEXT(Saved, comm, "name"),
        STATE_FIELD_TEXT(Saved, path, "program"),
};

static const StateFields own_values = { own_fields, ELEMENTS(own_fields) };

static const struct {
        const char *prefix;
        const StateFields *fields;
        size_t offset;
} parts[] = {
        { "keeper", &own_values, 0 },
        { "keeper", &exit_command_values, offsetof(Saved, exit_command) },
        { "target", &target_values, offsetof(Saved, target) },
        { "target", &unit_stop_values, offsetof(Saved, unit_stop) },
        { "facts", &lifecycle_values, offsetof(Saved, facts) },
        { "report", &report_values, offsetof(Saved, report) },
        { "worker", &worker_process_values, offsetof(Saved, worker) },
        { "plan", &placement_values, offsetof(Saved, plan) },
};

/* In systemd's store, too. */
static const char *const fd_names[_SAVED_FD_MAX] = {
        [SAVED_FD_BUNDLE] = "directory",
        [SAVED_FD_TARGET] = "container",
        [SAVED_FD_REPORT] = "sync",
        [SAVED_FD_REPORT + 1] = "attach-pipe",
        [SAVED_FD_REPORT + 2] = "exit-directory",
        [SAVED_FD_REPORT + 3] = "persist-directory",
        [SAVED_FD_REPORT + 4] = "bundle",
        [SAVED_FD_LOG_DIR] = "log-directory",
        [SAVED_FD_WORKER + CHANNEL_FD_RING] = "ring",
        [SAVED_FD_WORKER + CHANNEL_FD_STDOUT] = "stdout",
        [SAVED_FD_WORKER + CHANNEL_FD_STDERR] = "stderr",
        [SAVED_FD_WORKER + CHANNEL_FD_STDIN] = "stdin",
        [SAVED_FD_WORKER + CHANNEL_FD_CONSOLE] = "terminal",
        [SAVED_FD_WORKER + CHANNEL_FD_LISTENER] = "attach",
        [SAVED_FD_WORKER + CHANNEL_FD_STARTER] = "starter",
        [SAVED_FD_WORKER + CHANNEL_FD_CTL] = "ctl",
        [SAVED_FD_WORKER + CHANNEL_FD_WINSZ] = "winsz",
        [SAVED_FD_WORKER + CHANNEL_FD_NOTIFY] = "notify",
        [SAVED_FD_WORKER + CHANNEL_FD_LOGFILE] = "log",
        [SAVED_FD_WORKER + CHANNEL_FD_JOURNAL] = "journal", /* never there */
        [SAVED_FD_CHANNEL] = "channel",
        [SAVED_FD_WORKER_PROCESS] = "worker",
};

/* What has come of a state that is being read. */
typedef struct Reading {
        Saved *saved;
        unsigned char fds[FDS_MAX / 8]; /* a bit for each that has been named */
} Reading;

/**
 * saved_new() - a state as a reader finds it of which a writer has said nothing
 *
 * Return: 0 or -ENOMEM.
 */
int saved_new(Saved **ret) {
        Saved *s = calloc(1, sizeof *s);

        if (!s)
                return fail(-ENOMEM);
        s->exit_status = EXIT_FAILURE;
        memset(s->fds, -1, sizeof s->fds);
        memset(s->clients, -1, sizeof s->clients);
        *ret = s;
        return 0;
}

/**
 * saved_free() - forget it; descriptors stay as they are
 *
 * Return: NULL.
 */
Saved *saved_free(Saved *s) {
        if (!s)
                return NULL;
        for (int i = 0; i < s->argc; i++)
                free(s->argv[i]);
        free(s->argv);
        free(s->inherited);
        free(s->unknown);
        free(s);
        return NULL;
}

static int saved_append(int **fds, size_t *n, int fd) {
        int *more;

        more = reallocarray(*fds, *n + 1, sizeof *more);
        if (!more)
                return fail(-ENOMEM);
        *fds = more;
        more[(*n)++] = fd;
        return 0;
}

/**
 * saved_add_inherited() - one more descriptor that is not ours to know
 *
 * Return: 0 or -ENOMEM.
 */
int saved_add_inherited(Saved *s, int fd) {
        return saved_append(&s->inherited, &s->n_inherited, fd);
}

/**
 * saved_fd_name() - the name under which a descriptor is handed on
 */
const char *saved_fd_name(SavedFd what) {
        return fd_names[what];
}

/**
 * saved_add_word() - one more word of the command line
 *
 * Return: 0 or a negative errno.
 */
int saved_add_word(Saved *s, const char *word, size_t n) {
        char **more;

        if (s->argc >= WORDS_MAX)
                return fail(-E2BIG);
        more = reallocarray(s->argv, (size_t)s->argc + 2, sizeof *more);
        if (!more)
                return fail(-ENOMEM);
        s->argv = more;
        s->argv[s->argc] = strndup(word, n);
        if (!s->argv[s->argc])
                return fail(-ENOMEM);
        s->argv[++s->argc] = NULL;
        return 0;
}

/* ---- to a text ---------------------------------------------------------------------------------------- */

static void put_fd(StateWriter *w, const char *prefix, const char *name, int fd) {
        char full[STATE_NAME_MAX];

        if (fd < 0)
                return;
        (void)snprintf(full, sizeof full, "%s.%s", prefix, name);
        state_put_number(w, full, (uint64_t)fd);
}

static size_t encode(const Saved *s, char *data, size_t size) {
        char slot[16];
        StateWriter w;

        state_begin(&w, data, size);
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                state_put_fields(&w, parts[i].prefix, parts[i].fields, (const char *)s + parts[i].offset);
        for (SavedFd i = 0; i < _SAVED_FD_MAX; i++)
                put_fd(&w, FD, fd_names[i], s->fds[i]);
        for (unsigned i = 0; i < ATTACH_SLOTS; i++) {
                (void)snprintf(slot, sizeof slot, "%u", i);
                put_fd(&w, CLIENT, slot, s->clients[i]);
        }
        for (size_t i = 0; i < s->n_inherited; i++)
                state_put_number(&w, INHERITED, (uint64_t)s->inherited[i]);
        for (int i = 0; i < s->argc; i++)
                state_put_text(&w, WORD, s->argv[i], strlen(s->argv[i]));
        return state_end(&w);
}

/* All that is escaped is twice as long. */
static size_t room_for(const Saved *s) {
        size_t n = 65536 + 2 * sizeof *s + (s->n_inherited + ATTACH_SLOTS) * 32;

        for (int i = 0; i < s->argc; i++)
                n += 2 * strlen(s->argv[i]) + 32;
        return n;
}

/**
 * saved_seal() - a state as memory that nobody can change any more
 * @ret_fd: CLOEXEC, the caller's
 *
 * Return: 0 or a negative errno: -E2BIG if it is larger than a state may be.
 */
int saved_seal(const Saved *s, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        size_t size = room_for(s), n;
        int r;

        data = malloc(size);
        if (!data)
                return fail(-ENOMEM);
        n = encode(s, data, size);
        if (n == 0)
                return fail(-E2BIG);
        fd = memfd_create("scopemon-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return fail(-errno);
        r = fd_write_full(fd, data, n);
        if (r < 0)
                return relay(r);
        if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
                return fail(-errno);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* ---- from a text -------------------------------------------------------------------------------------- */

/* None twice: each will be closed by whoever gets it. */
static int take_fd(Reading *reading, const StateValue *v, int *place) {
        uint64_t number;

        if (*place >= 0 || state_number(v, FDS_MAX - 1, &number) < 0 || number <= STDERR_FILENO ||
            reading->fds[number / 8] & 1U << number % 8)
                return -EBADMSG;
        reading->fds[number / 8] |= (unsigned char)(1U << number % 8);
        *place = (int)number;
        return 0;
}

static int take_known_fd(Reading *reading, const StateValue *v, const char *name, size_t n) {
        Saved *s = reading->saved;
        int fd = -1, r;

        for (SavedFd i = 0; i < _SAVED_FD_MAX; i++)
                if (strlen(fd_names[i]) == n && memcmp(fd_names[i], name, n) == 0)
                        return take_fd(reading, v, &s->fds[i]);
        r = take_fd(reading, v, &fd);
        return r < 0 ? r : saved_append(&s->unknown, &s->n_unknown, fd);
}

static int take_client(Reading *reading, const StateValue *v, const char *slot, size_t n) {
        char digits[8];
        uint64_t i;

        if (n >= sizeof digits)
                return -EBADMSG;
        memcpy(digits, slot, n);
        digits[n] = 0;
        if (parse_u64(digits, &i) < 0)
                return -EBADMSG;
        if (i >= ATTACH_SLOTS)
                return take_known_fd(reading, v, "", 0);
        return take_fd(reading, v, &reading->saved->clients[i]);
}

static int take_inherited(Reading *reading, const StateValue *v) {
        int fd = -1, r;

        r = take_fd(reading, v, &fd);
        return r < 0 ? r : saved_add_inherited(reading->saved, fd);
}

static int take_word(Saved *s, const StateValue *v) {
        _cleanup_free_ char *word = malloc(v->n_text + 1);
        size_t n;
        int r;

        if (!word)
                return -ENOMEM;
        r = state_text(v, word, v->n_text + 1, &n);
        return r < 0 ? r : saved_add_word(s, word, n);
}

/* Return: 0, also for what is skipped, or a negative errno. */
static int take(Reading *reading, const StateValue *v) {
        const char *name;
        size_t n;
        int r;

        if (state_is(v, WORD))
                return take_word(reading->saved, v);
        if (state_is(v, INHERITED))
                return take_inherited(reading, v);
        name = state_behind(v, FD, &n);
        if (name)
                return take_known_fd(reading, v, name, n);
        name = state_behind(v, CLIENT, &n);
        if (name)
                return take_client(reading, v, name, n);
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                r = state_take(v, parts[i].prefix, parts[i].fields, (char *)reading->saved + parts[i].offset);
                if (r != STATE_UNKNOWN)
                        return r;
        }
        return 0;
}

static const char *what_is_missing(const Saved *s) {
        return s->keeper <= 1 ? "keeper.pid" : s->target.pid <= 0 ? "target.pid" : s->argc == 0 ? WORD : NULL;
}

static int read_all(Saved *s, StateReader *reader, char wrong[STATE_NAME_MAX]) {
        _cleanup_free_ Reading *reading = calloc(1, sizeof *reading);
        const char *missing;
        StateValue v;

        if (!reading)
                return fail(-ENOMEM);
        reading->saved = s;
        while (state_next(reader, &v))
                if (take(reading, &v) < 0) {
                        (void)snprintf(wrong, STATE_NAME_MAX, "%.*s", (int)v.n_name, v.name);
                        return SAVED_BROKEN;
                }
        missing = what_is_missing(s);
        if (missing)
                (void)snprintf(wrong, STATE_NAME_MAX, "%s", missing);
        return missing ? SAVED_BROKEN : 0;
}

/**
 * saved_decode() - a state from its text
 * @wrong: the name of the value that makes it SAVED_BROKEN, or ""
 *
 * Return: 0, SAVED_FOREIGN, SAVED_BINARY, SAVED_BROKEN, or -ENOMEM.
 */
int saved_decode(const char *data, size_t n, Saved **ret, char wrong[STATE_NAME_MAX]) {
        _cleanup_(saved_freep) Saved *s = NULL;
        StateReader reader;
        int r;

        *wrong = 0;
        r = state_open(&reader, data, n);
        if (r != 0)
                return r == STATE_FOREIGN ? SAVED_FOREIGN : r == STATE_BINARY ? SAVED_BINARY : SAVED_BROKEN;
        r = saved_new(&s);
        if (r >= 0)
                r = read_all(s, &reader, wrong);
        if (r != 0)
                return r < 0 ? relay(r) : r;
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * saved_open() - a state from sealed memory
 * @fd: borrowed
 *
 * Return: as saved_decode(), or another negative errno.
 */
int saved_open(int fd, Saved **ret, char wrong[STATE_NAME_MAX]) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int seals, r;

        *wrong = 0;
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size <= 0 ||
            st.st_size > (off_t)STATE_SIZE_MAX)
                return SAVED_BROKEN;
        data = malloc((size_t)st.st_size);
        if (!data)
                return fail(-ENOMEM);
        if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
                return fail(-EIO);
        r = saved_decode(data, (size_t)st.st_size, ret, wrong);
        return r < 0 ? relay(r) : r;
}

/**
 * saved_is_whole() - is there every descriptor without which it is of no use?
 */
bool saved_is_whole(const Saved *s) {
        return s->has_worker == (s->fds[SAVED_FD_WORKER + CHANNEL_FD_RING] >= 0);
}

/**
 * saved_set_cloexec() - let all its descriptors through the next exec, or not
 *
 * Return: 0 or the first negative errno; all are tried.
 */
int saved_set_cloexec(const Saved *s, bool on) {
        const struct {
                const int *fds;
                size_t n;
        } lists[] = { { s->fds, _SAVED_FD_MAX },
                      { s->clients, ATTACH_SLOTS },
                      { s->inherited, s->n_inherited },
                      { s->unknown, s->n_unknown } };
        int result = 0;

        for (size_t i = 0; i < ELEMENTS(lists); i++)
                for (size_t j = 0; j < lists[i].n; j++) {
                        int r = lists[i].fds[j] >= 0 ? fd_set_cloexec(lists[i].fds[j], on) : 0;

                        if (r < 0 && result == 0)
                                result = r;
                }
        return result < 0 ? relay(result) : 0;
}
