/* SPDX-License-Identifier: Apache-2.0 */

#include "clean.h"
#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "sink/logfile.h"
#include "sink/sink.h"

#define PATIENCE 300000 /* of tests that wait for its end; the others never get there */

/* A worker in small: a stream that is all there, and a log directory with its keeper. */
typedef struct Fixture {
        Event *event;
        char path[64], socket[96];
        int dir, journal, connection;
        char *data;
        size_t n[_STREAM_MAX]; /* how much of @data each stream has so far */
        StreamTail tail;
        SinkState state[_SINK_MAX];
        SinksSpec spec;
        Sinks *sinks;
        bool keep_waiting; /* the keeper does not answer on_reopen() */
        bool refuse;       /* the keeper has no new file */
        bool stale;        /* the keeper's new connection is none */
        unsigned n_ready, n_reopen, n_connect, n_trouble[_SINK_MAX], n_floods, n_files;
        int error[_SINK_MAX];
        uint64_t lost[_SINK_MAX];
} Fixture;

static int write_stream(Fixture *x, StreamId id) {
        static const struct timespec now = { .tv_sec = 1769860800 };
        uint64_t from = sinks_position(x->sinks, id);
        Window w = { .from = from < x->n[id] ? from : x->n[id], .to = x->n[id] };

        w.data = x->data + w.from;
        return sinks_write(x->sinks, id, &w, x->tail, &now);
}

static int on_ready(void *userdata) {
        Fixture *x = userdata;

        x->n_ready++;
        for (StreamId id = 0; id < _STREAM_MAX; id++)
                cr_assert_eq(write_stream(x, id), 0);
        return 0;
}

/* Keeps every file the sink has filled, as log.0, log.1... */
static int next_file(Fixture *x) {
        char old[32];

        (void)snprintf(old, sizeof old, "log.%u", x->n_files++);
        cr_assert_eq(renameat(x->dir, "log", x->dir, old), 0);
        return logfile_replace(x->dir, "log");
}

static int on_reopen(void *userdata) {
        Fixture *x = userdata;

        x->n_reopen++;
        if (x->keep_waiting)
                return 0;
        return sinks_set_file(x->sinks, x->refuse ? -1 : next_file(x));
}

/* A new one, -1 if nobody listens. */
static int connect_to(Fixture *x) {
        struct sockaddr_un address;
        socklen_t size;
        int fd;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(fd_unix_address(x->socket, &address, &size), 0);
        if (!x->stale && connect(fd, (struct sockaddr *)&address, size) < 0) {
                fd_close_many(&fd, 1);
                return -1;
        }
        return fd;
}

static int set_journal(Fixture *x) {
        int fd, former = x->connection, r;

        fd = connect_to(x);
        if (fd < 0)
                return sinks_set_journal(x->sinks, -1, errno);
        x->connection = fd;
        r = sinks_set_journal(x->sinks, fd, 0);
        fd_close_many(&former, 1);
        return r;
}

static int on_connect(void *userdata) {
        Fixture *x = userdata;

        x->n_connect++;
        return x->keep_waiting ? 0 : set_journal(x);
}

static int on_trouble(void *userdata, SinkId sink, int error, uint64_t lost) {
        Fixture *x = userdata;

        if (sink == SINK_JOURNAL && error == SINKS_FLOOD) {
                x->n_floods++;
                return 0;
        }
        x->n_trouble[sink]++;
        x->error[sink] = error;
        x->lost[sink] = lost;
        return 0;
}

static const SinksHandler handler = {
        .on_ready = on_ready,
        .on_reopen = on_reopen,
        .on_connect = on_connect,
        .on_trouble = on_trouble,
};

static void listen_as_journal(Fixture *x) {
        struct sockaddr_un address;
        socklen_t size;

        x->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(fd_unix_address(x->socket, &address, &size), 0);
        (void)unlink(x->socket);
        cr_assert_eq(bind(x->journal, (struct sockaddr *)&address, size), 0);
}

static void begin(Fixture *x, char *data) {
        (void)setenv("TZ", "UTC", 1);
        tzset();
        (void)signal(SIGXFSZ, SIG_IGN);
        *x = (Fixture){ .path = "/tmp/test-sink-XXXXXX", .journal = -1, .connection = -1, .data = data };
        x->tail = TAIL_MORE;
        cr_assert_not_null(mkdtemp(x->path));
        (void)snprintf(x->socket, sizeof x->socket, "%s/socket", x->path);
        x->dir = fd_open_directory(x->path);
        cr_assert_geq(x->dir, 0);
        cr_assert_geq(event_new(&x->event), 0);
        x->spec.cid = "0123456789abcdef";
        x->spec.file_fd = -1;
}

static void start(Fixture *x) {
        if (x->spec.journald)
                x->spec.journal_fd = x->connection = connect_to(x);
        if (x->spec.file)
                x->spec.file_fd = logfile_open(x->dir, "log");
        cr_assert_eq(sinks_new(&x->sinks, x->event, &x->spec, x->state, &handler, x), 0);
}

static void end(Fixture *x) {
        char name[32];

        x->sinks = sinks_free(x->sinks);
        fd_close_many(&x->connection, 1);
        x->event = event_unref(x->event);
        if (x->journal >= 0)
                (void)close(x->journal);
        (void)unlinkat(x->dir, "socket", 0);
        (void)unlinkat(x->dir, "log", 0);
        for (unsigned i = 0; i < x->n_files; i++) {
                (void)snprintf(name, sizeof name, "log.%u", i);
                (void)unlinkat(x->dir, name, 0);
        }
        (void)close(x->dir);
        cr_assert_eq(rmdir(x->path), 0);
}

/* Appends the texts of a file's records to @out; each must be a whole one of stdout. */
static size_t add_texts(const Fixture *x, const char *name, char *out, size_t n) {
        _cleanup_free_ char *text = NULL;
        size_t size;

        cr_assert_eq(fd_read_file(x->dir, name, SIZE_MAX / 2, &text, &size), 0);
        for (const char *p = text; p < text + size;) {
                const char *newline = memchr(p, '\n', (size_t)(text + size - p));

                cr_assert_not_null(newline, "a record is broken");
                cr_assert_geq(newline - p, LINE_PREFIX_SIZE);
                cr_assert_eq(memcmp(p + LINE_STAMP_SIZE, " stdout F ", 10), 0);
                memcpy(out + n, p + LINE_PREFIX_SIZE, (size_t)(newline + 1 - p - LINE_PREFIX_SIZE));
                n += (size_t)(newline + 1 - p - LINE_PREFIX_SIZE);
                p = newline + 1;
        }
        return n;
}

/* Appends the messages of all entries that are there. */
static size_t take_messages(const Fixture *x, char *out, size_t n) {
        char buf[65536];
        ssize_t k;

        while ((k = recv(x->journal, buf, sizeof buf, 0)) > 0) {
                const char *newline = memchr(buf, '\n', (size_t)k);

                memcpy(out + n, buf + 8, (size_t)(newline + 1 - buf - 8));
                n += (size_t)(newline + 1 - buf - 8);
        }
        return n;
}

static char *make_lines(size_t n) {
        char *data = malloc(n + 1);

        for (size_t i = 0; i < n; i++)
                data[i] = i % 50 == 49 || i == n - 1 ? '\n' : (char)('a' + (i / 50 + i) % 26);
        data[n] = 0;
        return data;
}

static void limit_files(rlim_t size) {
        struct rlimit limit;

        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = size;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

CleanTest(sink, no_sinks_need_nothing) {
        Fixture x;

        begin(&x, (char *)"a\n");
        start(&x);
        x.n[STREAM_STDOUT] = 2;
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), UINT64_MAX);
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(sinks_flush(x.sinks), 0);
        cr_assert_eq(x.n_reopen, 0);
        end(&x);
}

CleanTest(sink, both_sinks_get_everything_each_at_its_pace) {
        const size_t n = 200000;
        char *data = make_lines(n), *got = malloc(n);
        size_t n_got = 0;
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.file = x.spec.journald = true;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.state[SINK_FILE].position[STREAM_STDOUT], n, "the file waits for nobody");
        cr_assert_lt(sinks_position(x.sinks, STREAM_STDOUT), n);
        cr_assert(sinks_waiting(x.sinks));
        cr_assert(event_run_until(x.event, 30, (n_got = take_messages(&x, got, n_got)) == n));
        cr_assert_eq(memcmp(got, data, n), 0);
        cr_assert_eq(add_texts(&x, "log", got, 0), n);
        cr_assert_eq(memcmp(got, data, n), 0);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), n);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 0, "back-pressure is no trouble");
        cr_assert_eq(x.n_floods, 1, "so many entries may meet the rate limit");
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, full_journal_is_waited_for_without_spinning) {
        const size_t n = 200000;
        char *data = make_lines(n);
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.journald = true;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        for (unsigned i = 0; i < 20; i++)
                cr_assert_eq(event_turn(x.event, 1000), 0, "nothing may happen");
        cr_assert_eq(x.n_ready, 0);
        end(&x);
        free(data);
}

CleanTest(sink, size_limit_splits_a_burst_between_lines) {
        const size_t n = 100000;
        char *data = make_lines(n), *got = malloc(n), name[32];
        size_t n_got = 0;
        struct stat st;
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        x.spec.size_max = 7777;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n));
        cr_assert_eq(x.n_reopen, x.n_files);
        cr_assert_gt(x.n_files, 20);
        for (unsigned i = 0; i < x.n_files; i++) {
                (void)snprintf(name, sizeof name, "log.%u", i);
                cr_assert_eq(fstatat(x.dir, name, &st, 0), 0);
                cr_assert_leq(st.st_size, 7777);
                n_got = add_texts(&x, name, got, n_got);
        }
        n_got = add_texts(&x, "log", got, n_got);
        cr_assert_eq(n_got, n);
        cr_assert_eq(memcmp(got, data, n), 0);
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, nothing_is_written_while_the_file_is_replaced) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\ntwo\n");
        x.spec.file = true;
        x.keep_waiting = true;
        start(&x);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert_eq(x.n_reopen, 1);
        x.n[STREAM_STDOUT] = 8;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), 4);

        cr_assert_eq(sinks_set_file(x.sinks, next_file(&x)), 0);
        cr_assert_eq(x.n_ready, 0, "only the loop calls it");
        event_run_idle(x.event);
        cr_assert_eq(x.n_ready, 1);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(add_texts(&x, "log.0", got, 0), 4);
        cr_assert_eq(add_texts(&x, "log", got, 4), 8);
        cr_assert_eq(memcmp(got, "one\ntwo\n", 8), 0);
        end(&x);
}

CleanTest(sink, wish_for_a_new_file_is_kept_while_another_is_on_its_way) {
        char got[64];
        Fixture x;

        begin(&x, (char *)"one\n");
        x.spec.file = true;
        x.keep_waiting = true;
        start(&x);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert_eq(x.n_reopen, 1);
        x.keep_waiting = false;
        cr_assert_eq(sinks_set_file(x.sinks, next_file(&x)), 0);
        cr_assert_eq(x.n_reopen, 2);
        x.n[STREAM_STDOUT] = 4;
        event_run_idle(x.event);
        cr_assert_eq(x.n_files, 2);
        cr_assert_eq(add_texts(&x, "log", got, 0), 4);
        end(&x);
}

CleanTest(sink, refused_rotation_goes_on_in_the_same_file) {
        const size_t n = 200000;
        char *data = make_lines(n), *got = malloc(n);
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        x.spec.size_max = 1000;
        x.refuse = true;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n));
        cr_assert_eq(add_texts(&x, "log", got, 0), n);
        cr_assert_eq(memcmp(got, data, n), 0);
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, file_may_come_late) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\n");
        x.spec.file = true;
        x.spec.file_fd = -1;
        cr_assert_eq(sinks_new(&x.sinks, x.event, &x.spec, x.state, &handler, &x), 0);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        cr_assert_eq(sinks_set_file(x.sinks, logfile_open(x.dir, "log")), 0);
        event_run_idle(x.event);
        cr_assert_eq(add_texts(&x, "log", got, 0), 4);
        end(&x);
}

CleanTest(sink, full_disk_is_told_once_and_costs_nothing_if_short) {
        const size_t n = 100000;
        char *data = make_lines(n), *got = malloc(n);
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        start(&x);
        limit_files(70000);
        x.n[STREAM_STDOUT] = n / 2;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.n_trouble[SINK_FILE], 1);
        cr_assert_eq(x.error[SINK_FILE], EFBIG);
        cr_assert(event_run_until(x.event, 30, x.n_ready >= 3)); /* it keeps trying */
        cr_assert_eq(x.n_trouble[SINK_FILE], 1);
        cr_assert(sinks_waiting(x.sinks));
        limit_files(RLIM_INFINITY);
        x.n[STREAM_STDOUT] = n;
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n));
        cr_assert_eq(x.n_trouble[SINK_FILE], 2);
        cr_assert_eq(x.error[SINK_FILE], 0);
        cr_assert_eq(x.lost[SINK_FILE], 0);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(add_texts(&x, "log", got, 0), n);
        cr_assert_eq(memcmp(got, data, n), 0);
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, other_stream_is_called_for_after_a_torn_write) {
        Fixture x;
        char *got = NULL;

        begin(&x, (char *)"one\n");
        x.spec.file = true;
        start(&x);
        limit_files(20);
        x.n[STREAM_STDERR] = x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDERR), 0);
        cr_assert(sinks_waiting(x.sinks));
        x.sinks = sinks_free(x.sinks); /* the next worker begins with the other stream */
        limit_files(RLIM_INFINITY);
        start(&x);
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        cr_assert_eq(write_stream(&x, STREAM_STDERR), 0);
        event_run_idle(x.event);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), 4);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(fd_read_file(x.dir, "log", 1000, &got, NULL), 0);
        cr_assert_str_eq(got, "2026-01-31T12:00:00.000000000+00:00 stderr F one\n"
                              "2026-01-31T12:00:00.000000000+00:00 stdout F one\n");
        free(got);
        end(&x);
}

CleanTest(sink, reopen_on_a_full_disk_breaks_no_line) {
        const size_t n = 50000;
        char *data = make_lines(n), *got = malloc(n);
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        start(&x);
        limit_files(20000);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        limit_files(RLIM_INFINITY);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n));
        cr_assert_eq(add_texts(&x, "log", got, add_texts(&x, "log.0", got, 0)), n);
        cr_assert_eq(memcmp(got, data, n), 0);
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, reopen_waits_for_the_write_of_the_worker_before) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\n");
        x.spec.file = true;
        start(&x);
        limit_files(20);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        x.sinks = sinks_free(x.sinks);
        limit_files(RLIM_INFINITY);
        start(&x);
        cr_assert_eq(sinks_reopen(x.sinks), 0);
        cr_assert_eq(x.n_reopen, 0);
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.n_reopen, 1);
        cr_assert_eq(add_texts(&x, "log.0", got, 0), 4);
        cr_assert_eq(add_texts(&x, "log", got, 0), 0);
        end(&x);
}

CleanTest(sink, lasting_trouble_is_counted_and_whole_lines_remain) {
        const size_t n = 60000;
        char *data = make_lines(n), *got = malloc(n);
        size_t n_file, n_got = 0;
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.file = x.spec.journald = true;
        x.spec.patience_usec = PATIENCE;
        start(&x);
        limit_files(20000);
        x.n[STREAM_STDOUT] = n / 2;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30,
                                  (n_got = take_messages(&x, got, n_got)) == n / 2 &&
                                          sinks_position(x.sinks, STREAM_STDOUT) == n / 2));
        cr_assert_eq(memcmp(got, data, n / 2), 0, "the journal has all of it");
        cr_assert_not(sinks_waiting(x.sinks), "a sink that has given up holds nothing back");
        cr_assert_eq(x.n_trouble[SINK_FILE], 1);

        limit_files(RLIM_INFINITY);
        x.n_ready = 0;
        cr_assert(event_run_until(x.event, 30, x.n_ready > 0)); /* it has gone on trying */
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.n_trouble[SINK_FILE], 2);
        cr_assert(event_run_until(x.event, 30, (n_got = take_messages(&x, got, n_got)) == n));
        n_file = add_texts(&x, "log", got, 0);
        cr_assert_eq(x.error[SINK_FILE], 0);
        cr_assert_eq(x.lost[SINK_FILE], x.state[SINK_FILE].lost_bytes);
        cr_assert_eq(n_file + x.state[SINK_FILE].lost_bytes, n);
        cr_assert_eq(x.state[SINK_FILE].lost_lines, x.state[SINK_FILE].lost_bytes / 50);
        cr_assert_eq(x.state[SINK_FILE].bytes, n_file);
        end(&x);
        free(data);
        free(got);
}

/* The last words of a container, for which there is room again: nothing is given up that has not been tried. */
CleanTest(sink, first_line_after_trouble_is_stored_at_once) {
        const size_t n = 60000;
        char *data = make_lines(n);
        uint64_t lost;
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        x.spec.patience_usec = PATIENCE;
        start(&x);
        limit_files(20000);
        x.n[STREAM_STDOUT] = n / 2;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n / 2));
        lost = x.state[SINK_FILE].lost_bytes;
        cr_assert_gt(lost, 0);

        x.n[STREAM_STDOUT] = n / 2 + 50;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.state[SINK_FILE].lost_bytes, lost + 50, "there is no room yet");
        limit_files(RLIM_INFINITY);
        x.n[STREAM_STDOUT] = n / 2 + 100;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), n / 2 + 100);
        cr_assert_eq(x.state[SINK_FILE].lost_bytes, lost + 50);
        cr_assert_eq(x.n_trouble[SINK_FILE], 2, "its end is told");
        end(&x);
        free(data);
}

/* What of a line is in the file already, as its container had paused, ends there; the next line is not part of it. */
CleanTest(sink, line_that_was_begun_is_ended_where_its_rest_is_lost) {
        char data[] = "half a line, and its rest\nlost\nlast\n", text[4096];
        const size_t n_half = 11, n_lost = 31;
        _cleanup_close_ int fd = -1;
        struct stat st;
        ssize_t n;
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        x.spec.patience_usec = PATIENCE;
        start(&x);
        x.n[STREAM_STDOUT] = n_half;
        x.tail = TAIL_IDLE;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), n_half);
        x.tail = TAIL_MORE;
        cr_assert_eq(fstatat(x.dir, "log", &st, 0), 0);
        limit_files((rlim_t)st.st_size);
        x.n[STREAM_STDOUT] = n_lost;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30, x.state[SINK_FILE].lost_bytes > 0));

        limit_files(RLIM_INFINITY);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n_lost));
        x.n[STREAM_STDOUT] = sizeof data - 1;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(
                event_run_until(x.event, 30, x.state[SINK_FILE].position[STREAM_STDOUT] == sizeof data - 1));
        cr_assert_eq(x.state[SINK_FILE].lost_bytes + x.state[SINK_FILE].bytes, sizeof data - 1);

        fd = openat(x.dir, "log", O_RDONLY | O_CLOEXEC);
        n = read(fd, text, sizeof text - 1);
        cr_assert_gt(n, 0);
        text[n] = 0;
        cr_assert_not_null(strstr(text, " stdout P half a line\n"));
        cr_assert_not_null(strstr(text, " stdout F \n"), "the line that was begun has an end: %s", text);
        cr_assert_not_null(strstr(text, " stdout F last\n"));
        end(&x);
}

CleanTest(sink, missing_journal_is_told_once_and_found_again) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\ntwo\n");
        x.spec.journald = true;
        start(&x);
        x.n[STREAM_STDOUT] = 8;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.error[SINK_JOURNAL], ENOENT);
        cr_assert(event_run_until(x.event, 30, x.n_ready >= 2));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 1);
        listen_as_journal(&x);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == 8));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 2);
        cr_assert_eq(x.error[SINK_JOURNAL], 0);
        cr_assert_eq(take_messages(&x, got, 0), 8);
        end(&x);
}

CleanTest(sink, replaced_journal_is_no_trouble) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\ntwo\nthree\n");
        x.spec.journald = true;
        listen_as_journal(&x);
        start(&x);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(take_messages(&x, got, 0), 4);
        cr_assert_eq(x.n_connect, 0);
        (void)close(x.journal);
        listen_as_journal(&x);
        x.n[STREAM_STDOUT] = 14;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == 14));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 0);
        cr_assert_eq(x.n_connect, 1);
        cr_assert_eq(take_messages(&x, got, 0), 10);
        end(&x);
}

CleanTest(sink, lines_wait_for_the_connection_that_was_asked_for) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\ntwo\n");
        x.spec.journald = x.keep_waiting = true;
        start(&x);
        listen_as_journal(&x);
        for (unsigned i = 1; i <= 2; i++) {
                x.n[STREAM_STDOUT] = 4 * i;
                cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
                cr_assert(sinks_waiting(x.sinks));
        }
        event_run_idle(x.event);
        cr_assert_eq(x.n_connect, 1, "once is enough");
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 0);
        cr_assert_eq(set_journal(&x), 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == 8));
        cr_assert_eq(take_messages(&x, got, 0), 8);
        cr_assert_not(sinks_waiting(x.sinks));
        end(&x);
}

/* A keeper's answer must not bring the next question at once. */
CleanTest(sink, connection_that_is_no_better_is_trouble_and_tried_later) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\n");
        x.spec.journald = x.stale = true;
        listen_as_journal(&x);
        start(&x);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        event_run_idle(x.event);
        cr_assert_eq(x.n_connect, 1);
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 1);
        cr_assert_eq(x.error[SINK_JOURNAL], ENOTCONN);
        x.stale = false;
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == 4));
        cr_assert_eq(x.n_connect, 2);
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 2);
        cr_assert_eq(x.error[SINK_JOURNAL], 0);
        cr_assert_eq(take_messages(&x, got, 0), 4);
        end(&x);
}

CleanTest(sink, stuck_journal_costs_what_does_not_fit_and_says_so) {
        const size_t n = 200000;
        char *data = make_lines(n), *got = malloc(n);
        size_t n_got;
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.journald = true;
        x.spec.patience_usec = PATIENCE;
        start(&x);
        x.n[STREAM_STDOUT] = n - 50;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 0);
        cr_assert(event_run_until(x.event, 30, sinks_position(x.sinks, STREAM_STDOUT) == n - 50));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 1);
        cr_assert_eq(x.error[SINK_JOURNAL], EAGAIN);
        cr_assert_gt(x.lost[SINK_JOURNAL], 0);
        cr_assert_not(sinks_waiting(x.sinks));
        cr_assert_eq(sinks_flush(x.sinks), 0, "no second wait");

        x.n_ready = 0;
        n_got = take_messages(&x, got, 0);
        cr_assert_eq(n_got + x.state[SINK_JOURNAL].lost_bytes, n - 50);
        cr_assert(event_run_until(x.event, 30, x.n_ready > 0));
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 2);
        cr_assert_eq(x.error[SINK_JOURNAL], 0);
        cr_assert_eq(take_messages(&x, got, 0), 50);
        end(&x);
        free(data);
        free(got);
}

/* Callers look for the exit file for four or five seconds. */
CleanTest(sink, stuck_journal_is_given_up_sooner_when_the_container_has_ended) {
        const size_t n = 200000;
        char *data = make_lines(n);
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.journald = true;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        sinks_hurry(x.sinks);
        cr_assert(event_run_until(x.event, 5, sinks_position(x.sinks, STREAM_STDOUT) == n));
        cr_assert_eq(x.n_trouble[SINK_JOURNAL], 1);
        cr_assert_gt(x.lost[SINK_JOURNAL], 0);
        cr_assert_eq(sinks_flush(x.sinks), 0, "no second wait");
        end(&x);
        free(data);
}

/* A worker that was frozen for longer than the patience hears of the end before its own timer. */
CleanTest(sink, patience_that_was_over_unseen_is_over_at_once_when_the_container_has_ended) {
        const size_t n = 200000;
        char *data = make_lines(n);
        Fixture x;

        begin(&x, data);
        listen_as_journal(&x);
        x.spec.journald = true;
        x.spec.patience_usec = 1;
        start(&x);
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert(sinks_waiting(x.sinks));
        sinks_hurry(x.sinks);
        x.n_ready = 0;
        cr_assert(event_run_until(x.event, 5, x.n_ready > 0), "nothing is tried any more");
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), n, "what the journal did not take is given up");
        end(&x);
        free(data);
}

CleanTest(sink, next_worker_goes_on_where_the_last_one_stood) {
        const size_t n = 100000;
        char *data = make_lines(n), *got = malloc(n);
        Fixture x;

        begin(&x, data);
        x.spec.file = true;
        start(&x);
        for (size_t k = 0; k <= n; k += 997) {
                x.n[STREAM_STDOUT] = k;
                cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
                x.sinks = sinks_free(x.sinks);
                start(&x);
        }
        x.n[STREAM_STDOUT] = n;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(add_texts(&x, "log", got, 0), n);
        cr_assert_eq(memcmp(got, data, n), 0);
        end(&x);
        free(data);
        free(got);
}

CleanTest(sink, position_below_the_window_counts_as_loss) {
        const struct timespec some_time = { 0 };
        Window w = { .data = "one\n", .from = 100, .to = 104 };
        Fixture x;

        begin(&x, NULL);
        x.spec.file = true;
        start(&x);
        cr_assert_eq(sinks_write(x.sinks, STREAM_STDOUT, &w, TAIL_MORE, &some_time), 0);
        cr_assert_eq(x.state[SINK_FILE].lost_bytes, 100);
        cr_assert_eq(sinks_position(x.sinks, STREAM_STDOUT), 104);
        end(&x);
}

CleanTest(sink, flush_waits_until_the_journal_has_taken_all) {
        Fixture x;
        char got[64];

        begin(&x, (char *)"one\n");
        listen_as_journal(&x);
        x.spec.file = x.spec.journald = x.spec.fsync = true;
        start(&x);
        x.n[STREAM_STDOUT] = 4;
        cr_assert_eq(write_stream(&x, STREAM_STDOUT), 0);
        cr_assert_eq(sinks_flush(x.sinks), SINKS_NOT_YET);
        cr_assert(event_run_until(x.event, 30, x.n_ready > 0));
        cr_assert_eq(sinks_flush(x.sinks), SINKS_NOT_YET);
        cr_assert_eq(take_messages(&x, got, 0), 4);
        cr_assert_eq(sinks_flush(x.sinks), 0);
        end(&x);
}
