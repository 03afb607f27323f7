/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A keeper's state between two images: plain values here, bytes in wire/state.c, and a sealed memfd around them.
 *
 * Two tables say which values there are. Their order is the format: with any change of them, or of the ring's memory,
 * STATE_VERSION or RING_LAYOUT is counted up, and a binary of another version says "not for me" before anything has
 * been given up. All values are there exactly once, or the state is refused; so is a number that does not fit, a
 * descriptor that comes twice, and whatever else a keeper would not have written.
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
#include "io/ring.h"
#include "upgrade/saved.h"
#include "wire/state.h"
#include "worker/worker.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define FDS_MAX 65536 /* numbers of descriptors */
#define WORDS_MAX 65536

typedef struct Number {
        size_t offset, size;
        uint64_t max;
} Number;

#define NUMBER(field, most)                                                                                  \
        { offsetof(Saved, field), sizeof(((Saved *)NULL)->field), most }

/* clang-format off */
static const Number numbers[] = {
        NUMBER(layout, UINT64_MAX),
        NUMBER(keeper, INT_MAX),
        NUMBER(requester, INT_MAX),
        NUMBER(begun_usec, UINT64_MAX),
        NUMBER(facts.runtime_exited, 1),
        NUMBER(facts.runtime_failed, 1),
        NUMBER(facts.pid_known, 1),
        NUMBER(facts.container_exited, 1),
        NUMBER(facts.timed_out, 1),
        NUMBER(facts.streams_closed, 1),
        NUMBER(facts.clients_served, 1),
        NUMBER(facts.reported, 1),
        NUMBER(facts.command_exited, 1),
        NUMBER(facts.gave_up, 1),
        NUMBER(phase, _PHASE_MAX - 1),
        NUMBER(terminal_received, 1),
        NUMBER(terminated, 1),
        NUMBER(oom, 1),
        NUMBER(oom_told, 1),
        NUMBER(report_started, 1),
        NUMBER(report_state, REPORT_STATE_MAX),
        NUMBER(target, INT_MAX),
        NUMBER(target_status.known, 1),
        NUMBER(target_status.code, 255),
        NUMBER(target_status.signal, 127),
        NUMBER(target_status.dumped, 1),
        NUMBER(exit_status, 255),
        NUMBER(serial, UINT64_MAX),
        NUMBER(ready_told, 1),
        NUMBER(started_usec, UINT64_MAX),
        NUMBER(timeout_usec, UINT64_MAX),
        NUMBER(stop_usec, UINT64_MAX),
        NUMBER(mask, UINT64_MAX),
        NUMBER(has_worker, 1),
        NUMBER(worker.crashed, 1),
        NUMBER(worker.place[STREAM_STDOUT], UINT64_MAX),
        NUMBER(worker.place[STREAM_STDERR], UINT64_MAX),
        NUMBER(worker.in_trouble[SINK_FILE], 1),
        NUMBER(worker.in_trouble[SINK_JOURNAL], 1),
        NUMBER(worker.lines[SINK_FILE], UINT64_MAX),
        NUMBER(worker.lines[SINK_JOURNAL], UINT64_MAX),
        NUMBER(plan.row, _PLACEMENT_ROW_MAX - 1),
        NUMBER(plan.monitor, PLACEMENT_MONITOR_SCOPE),
        NUMBER(plan.container, PLACEMENT_CONTAINER_SCOPE),
        NUMBER(plan.systemd_cgroup, 1),
        NUMBER(plan.move_self, 1),
        NUMBER(plan.describe, 1),
        NUMBER(plan.binds_to, 1),
        NUMBER(plan.before, 1),
        NUMBER(plan.stop_propagated_from, 1),
        NUMBER(plan.survives, 1),
        NUMBER(plan.user, 1),
        NUMBER(plan.uid, UINT32_MAX),
        NUMBER(plan.unit_stop_usec, UINT64_MAX),
        NUMBER(plan.user_scope, 1),
};

static const struct {
        size_t offset, size;
} texts[] = {
#define TEXT(field) { offsetof(Saved, field), sizeof(((Saved *)NULL)->field) }
        TEXT(plan.unit),
        TEXT(plan.unit_path),
        TEXT(plan.container_path),
        TEXT(plan.container_scope),
        TEXT(plan.monitor_scope),
        TEXT(plan.monitor_slice),
        TEXT(plan.reason),
        TEXT(oom_score_adj),
        TEXT(version),
        TEXT(comm),
        TEXT(path),
};
/* clang-format on */

/* What has come of a state that is being read. */
typedef struct Seen {
        bool numbers[ELEMENTS(numbers)], texts[ELEMENTS(texts)];
        unsigned char fds[FDS_MAX / 8];
} Seen;

/* Worker and keeper of two images map the same ring: what lies in it must lie where both look. */
static uint64_t layout_of_ring(void) {
        const uint64_t parts[] = { RING_LAYOUT,
                                   sizeof(WorkerState),
                                   sizeof(WorkerFacts),
                                   sizeof(SinkState),
                                   sizeof(AttachSlot),
                                   sizeof(CtlBuffer),
                                   offsetof(WorkerState, ctl),
                                   offsetof(WorkerState, sinks),
                                   offsetof(WorkerState, slots),
                                   sizeof(RingInput),
                                   sizeof(RingControl) };
        uint64_t sum = 0;

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                sum = sum * 1000003U + parts[i];
        return sum;
}

/**
 * saved_new() - a state in which nothing is and no descriptor either
 *
 * Return: 0 or -ENOMEM.
 */
int saved_new(Saved **ret) {
        Saved *s = calloc(1, sizeof *s);

        if (!s)
                return fail(-ENOMEM);
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
        free(s);
        return NULL;
}

/**
 * saved_add_inherited() - one more descriptor that is not ours to know
 *
 * Return: 0 or -ENOMEM.
 */
int saved_add_inherited(Saved *s, int fd) {
        int *more;

        more = reallocarray(s->inherited, s->n_inherited + 1, sizeof *more);
        if (!more)
                return fail(-ENOMEM);
        s->inherited = more;
        s->inherited[s->n_inherited++] = fd;
        return 0;
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

/* ---- to bytes ----------------------------------------------------------------------------------------- */

static uint64_t number_get(const Saved *s, const Number *n) {
        const char *field = (const char *)s + n->offset;

        switch (n->size) {
        case sizeof(uint8_t):
                return *(const uint8_t *)field;
        case sizeof(uint32_t):
                return *(const uint32_t *)(const void *)field;
        default:
                return *(const uint64_t *)(const void *)field;
        }
}

static size_t encode(const Saved *s, char *data, size_t size) {
        StateWriter w;

        state_begin(&w, data, size);
        for (uint32_t i = 0; i < ELEMENTS(numbers); i++)
                state_put_number(&w, STATE_NUMBER, i, number_get(s, &numbers[i]));
        for (uint32_t i = 0; i < ELEMENTS(texts); i++) {
                const char *text = (const char *)s + texts[i].offset;

                state_put_text(&w, STATE_TEXT, i, text, strnlen(text, texts[i].size));
        }
        for (uint32_t i = 0; i < _SAVED_FD_MAX; i++)
                if (s->fds[i] >= 0)
                        state_put_number(&w, STATE_FD, i, (uint64_t)s->fds[i]);
        for (uint32_t i = 0; i < ATTACH_SLOTS; i++)
                if (s->clients[i] >= 0)
                        state_put_number(&w, STATE_CLIENT, i, (uint64_t)s->clients[i]);
        for (size_t i = 0; i < s->n_inherited; i++)
                state_put_number(&w, STATE_INHERITED, 0, (uint64_t)s->inherited[i]);
        for (int i = 0; i < s->argc; i++)
                state_put_text(&w, STATE_WORD, 0, s->argv[i], strlen(s->argv[i]));
        return state_end(&w);
}

static size_t room_for(const Saved *s) {
        size_t n = 65536 + sizeof *s + s->n_inherited * 32 + ATTACH_SLOTS * 32;

        for (int i = 0; i < s->argc; i++)
                n += strlen(s->argv[i]) + 32;
        return n;
}

/**
 * saved_seal() - a state as memory that nobody can change any more
 * @ret_fd: CLOEXEC, the caller's
 *
 * Return: 0 or a negative errno: -E2BIG if it is larger than a state may be.
 */
int saved_seal(Saved *s, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        size_t size = room_for(s), n;
        int r;

        s->layout = layout_of_ring();
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

/* ---- from bytes --------------------------------------------------------------------------------------- */

static bool take_number(Saved *s, Seen *seen, const StateRecord *record) {
        const Number *n;
        char *field;

        if (record->index >= ELEMENTS(numbers) || seen->numbers[record->index])
                return false;
        n = &numbers[record->index];
        if (record->number > n->max)
                return false;
        seen->numbers[record->index] = true;
        field = (char *)s + n->offset;
        switch (n->size) {
        case sizeof(uint8_t):
                *(uint8_t *)field = (uint8_t)record->number;
                return true;
        case sizeof(uint32_t):
                *(uint32_t *)(void *)field = (uint32_t)record->number;
                return true;
        default:
                *(uint64_t *)(void *)field = record->number;
                return true;
        }
}

static bool take_text(Saved *s, Seen *seen, const StateRecord *record) {
        if (record->index >= ELEMENTS(texts) || seen->texts[record->index] ||
            record->n_text >= texts[record->index].size)
                return false;
        seen->texts[record->index] = true;
        memcpy((char *)s + texts[record->index].offset, record->text, record->n_text);
        return true;
}

/* None twice: each will be closed by whoever gets it. */
static bool take_fd(int *place, Seen *seen, uint64_t number) {
        if (*place >= 0 || number <= STDERR_FILENO || number >= FDS_MAX ||
            seen->fds[number / 8] & 1U << number % 8)
                return false;
        seen->fds[number / 8] |= (unsigned char)(1U << number % 8);
        *place = (int)number;
        return true;
}

static bool take_inherited(Saved *s, Seen *seen, uint64_t number) {
        int fd = -1;

        return take_fd(&fd, seen, number) && saved_add_inherited(s, fd) >= 0;
}

static bool take(Saved *s, Seen *seen, const StateRecord *record) {
        switch (record->tag) {
        case STATE_NUMBER:
                return take_number(s, seen, record);
        case STATE_TEXT:
                return take_text(s, seen, record);
        case STATE_FD:
                return record->index < _SAVED_FD_MAX && take_fd(&s->fds[record->index], seen, record->number);
        case STATE_CLIENT:
                return record->index < ATTACH_SLOTS &&
                       take_fd(&s->clients[record->index], seen, record->number);
        case STATE_INHERITED:
                return take_inherited(s, seen, record->number);
        case STATE_WORD:
                return saved_add_word(s, record->text, record->n_text) >= 0;
        case STATE_NONE:
        case _STATE_TAG_MAX:
                break;
        }
        return false;
}

static bool is_all_there(const Saved *s, const Seen *seen) {
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                if (!seen->numbers[i])
                        return false;
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (!seen->texts[i])
                        return false;
        return s->argc > 0 && s->keeper > 1 && s->target > 0 && s->phase == PHASE_RUNNING;
}

/**
 * saved_decode() - a state from bytes
 *
 * Return: 0, SAVED_FOREIGN, SAVED_BROKEN, or -ENOMEM.
 */
int saved_decode(const char *data, size_t n, Saved **ret) {
        _cleanup_(saved_freep) Saved *s = NULL;
        _cleanup_free_ Seen *seen = NULL;
        StateRecord record;
        StateReader reader;
        int r;

        r = state_open(&reader, data, n);
        if (r != 0)
                return r == STATE_FOREIGN ? SAVED_FOREIGN : SAVED_BROKEN;
        r = saved_new(&s);
        if (r < 0)
                return relay(r);
        seen = calloc(1, sizeof *seen);
        if (!seen)
                return fail(-ENOMEM);
        while ((r = state_next(&reader, &record)) > 0)
                if (!take(s, seen, &record))
                        return SAVED_BROKEN;
        if (r < 0 || !is_all_there(s, seen))
                return SAVED_BROKEN;
        if (s->layout != layout_of_ring())
                return SAVED_FOREIGN;
        *ret = TAKE_PTR(s);
        return 0;
}

/**
 * saved_open() - a state from sealed memory
 * @fd: borrowed
 *
 * Return: 0, SAVED_FOREIGN, SAVED_BROKEN, or a negative errno.
 */
int saved_open(int fd, Saved **ret) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int seals, r;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size <= 0 ||
            st.st_size > (off_t)STATE_MAX)
                return SAVED_BROKEN;
        data = malloc((size_t)st.st_size);
        if (!data)
                return fail(-ENOMEM);
        if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
                return fail(-EIO);
        r = saved_decode(data, (size_t)st.st_size, ret);
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
                      { s->inherited, s->n_inherited } };
        int result = 0;

        for (size_t i = 0; i < ELEMENTS(lists); i++)
                for (size_t j = 0; j < lists[i].n; j++) {
                        int r = lists[i].fds[j] >= 0 ? fd_set_cloexec(lists[i].fds[j], on) : 0;

                        if (r < 0 && result == 0)
                                result = r;
                }
        return result < 0 ? relay(result) : 0;
}
