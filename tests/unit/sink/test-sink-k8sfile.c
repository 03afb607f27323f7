/* SPDX-License-Identifier: Apache-2.0 */

#include "clean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sink/sink-k8sfile.h"

#define STAMP "2026-01-31T12:00:00.123456789+00:00"
#define OUT STAMP " stdout "
#define ERR STAMP " stderr "

static const struct timespec now = { .tv_sec = 1769860800, .tv_nsec = 123456789 };
static const struct timespec later = { .tv_sec = 1769860900, .tv_nsec = 5 };

typedef struct Fixture {
        int fd; /* to read the file */
        SinkState state;
        SinksSpec spec;
        SinkK8sFile *sink;
} Fixture;

/* ---- what a file system may take its time for -------------------------------------------------------- */

static struct {
        const SinkState *state;
        unsigned writes, cuts, syncs; /* that were said to be under way */
} busy;

static unsigned is_busy(void) {
        return busy.state && busy.state->busy;
}

ssize_t writev(int fd, const struct iovec *iov, int n) {
        busy.writes += is_busy();
        return syscall(SYS_writev, fd, iov, n);
}

int ftruncate(int fd, off_t size) {
        busy.cuts += is_busy();
        return (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd) {
        busy.syncs += is_busy();
        return (int)syscall(SYS_fsync, fd);
}

/* ------------------------------------------------------------------------------------------------------ */

static int reopen_for_append(int fd) {
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static void start(Fixture *x) {
        x->spec.file = true;
        x->spec.file_fd = reopen_for_append(x->fd);
        cr_assert_geq(x->spec.file_fd, 0);
        cr_assert_eq(sink_k8sfile_new(&x->sink, &x->spec, &x->state), 0);
}

static void begin(Fixture *x) {
        (void)setenv("TZ", "UTC", 1);
        tzset();
        *x = (Fixture){ .fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
        cr_assert_geq(x->fd, 0);
}

static void end(Fixture *x) {
        x->sink = sink_k8sfile_free(x->sink);
        (void)close(x->fd);
}

static Window window(const char *data, size_t n) {
        return (Window){ .data = data, .from = 0, .to = n };
}

static int put(Fixture *x, StreamId id, const char *text, StreamTail tail) {
        uint64_t from = x->state.position[id];
        Window w = { .data = text, .from = from, .to = from + strlen(text) };

        return sink_k8sfile_write(x->sink, id, &w, tail, &now);
}

static size_t content(const Fixture *x, char *out, size_t size) {
        ssize_t n = pread(x->fd, out, size - 1, 0);

        cr_assert_geq(n, 0);
        out[n] = 0;
        return (size_t)n;
}

static void expect(const Fixture *x, const char *text) {
        static char buf[65536];

        (void)content(x, buf, sizeof buf);
        cr_assert_str_eq(buf, text);
}

CleanTest(sink_k8sfile, record_is_byte_for_byte_the_contract) {
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "one\n\ntwo\r\n", TAIL_MORE), 0);
        cr_assert_eq(put(&x, STREAM_STDERR, "err\n", TAIL_MORE), 0);
        expect(&x, OUT "F one\n" OUT "F \n" OUT "F two\r\n" ERR "F err\n");
        cr_assert_eq(x.state.bytes, 14);
        end(&x);
}

CleanTest(sink_k8sfile, zone_is_local_and_numeric) {
        Fixture x;

        begin(&x);
        (void)setenv("TZ", "XYZ-5:30", 1);
        tzset();
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), 0);
        expect(&x, "2026-01-31T17:30:00.123456789+05:30 stdout F a\n");
        end(&x);
}

CleanTest(sink_k8sfile, unfinished_line_waits_only_for_more) {
        static const struct {
                StreamTail tail;
                const char *text;
        } cases[] = {
                { TAIL_MORE, OUT "F a\n" },
                { TAIL_IDLE, OUT "F a\n" OUT "P foo\n" },
                { TAIL_END, OUT "F a\n" OUT "P foo\n" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture x;

                begin(&x);
                start(&x);
                cr_assert_eq(put(&x, STREAM_STDOUT, "a\nfoo", cases[i].tail), 0);
                expect(&x, cases[i].text);
                cr_assert_eq(x.state.position[STREAM_STDOUT], cases[i].tail == TAIL_MORE ? 2 : 5);
                end(&x);
        }
}

CleanTest(sink_k8sfile, long_line_is_cut_into_partial_records) {
        static char text[20001], out[65536];
        static const size_t parts[] = { 8192, 8192, 20000 - 2 * 8192 };
        size_t at = 0;
        Window w;
        Fixture x;

        memset(text, 'x', 20000);
        text[20000] = '\n';
        begin(&x);
        start(&x);
        w = window(text, sizeof text);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
        cr_assert_eq(content(&x, out, sizeof out), 20000 + 3 * (LINE_PREFIX_SIZE + 1));
        for (size_t i = 0; i < 3; i++) {
                cr_assert_eq(memcmp(out + at, i < 2 ? OUT "P " : OUT "F ", LINE_PREFIX_SIZE), 0);
                at += LINE_PREFIX_SIZE + parts[i];
                cr_assert_eq(out[at++], '\n');
        }
        end(&x);
}

CleanTest(sink_k8sfile, bytes_of_any_value_survive) {
        static const char text[] = "a\0b\r\xff\x01\n";
        Window w = window(text, sizeof text - 1);
        char out[256];
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
        cr_assert_eq(content(&x, out, sizeof out), LINE_PREFIX_SIZE + sizeof text - 1);
        cr_assert_eq(memcmp(out + LINE_PREFIX_SIZE, text, sizeof text - 1), 0);
        end(&x);
}

CleanTest(sink_k8sfile, more_lines_than_one_write_takes) {
        static char text[20000], out[20000 * 30];
        Window w = window(text, sizeof text);
        size_t n;
        Fixture x;

        for (size_t i = 0; i < sizeof text; i++)
                text[i] = i % 2 ? '\n' : (char)('a' + i % 26);
        begin(&x);
        start(&x);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDERR, &w, TAIL_MORE, &now), 0);
        n = content(&x, out, sizeof out);
        cr_assert_eq(n, sizeof text / 2 * (LINE_PREFIX_SIZE + 2));
        for (size_t i = 0; i < sizeof text / 2; i++)
                cr_assert_eq(out[i * (LINE_PREFIX_SIZE + 2) + LINE_PREFIX_SIZE], text[2 * i]);
        cr_assert_eq(x.state.position[STREAM_STDERR], sizeof text);
        end(&x);
}

CleanTest(sink_k8sfile, existing_file_is_continued_and_counts) {
        Fixture x;

        begin(&x);
        cr_assert_eq(write(x.fd, "old\n", 4), 4);
        x.spec.size_max = 4 + 2 * (LINE_PREFIX_SIZE + 2);
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\nb\nc\n", TAIL_MORE), SINK_K8SFILE_LIMIT);
        expect(&x, "old\n" OUT "F a\n" OUT "F b\n");
        cr_assert_eq(x.state.position[STREAM_STDOUT], 4);
        end(&x);
}

CleanTest(sink_k8sfile, line_larger_than_the_limit_gets_a_file_of_its_own) {
        Fixture x;

        begin(&x);
        x.spec.size_max = 10;
        start(&x);
        for (const char *p = "abc"; *p; p++) {
                const char text[] = { *p, '\n', p[1] ? p[1] : 'z', '\n', 0 };
                char record[64];

                cr_assert_eq(put(&x, STREAM_STDOUT, text, TAIL_MORE), SINK_K8SFILE_LIMIT);
                (void)snprintf(record, sizeof record, OUT "F %c\n", *p);
                expect(&x, record);
                cr_assert_eq(ftruncate(x.fd, 0), 0); /* a new file, as far as the sink can see */
                cr_assert_eq(sink_k8sfile_set_file(x.sink, reopen_for_append(x.fd)), 0);
        }
        end(&x);
}

CleanTest(sink_k8sfile, no_new_file_means_going_on_in_the_old_one) {
        Fixture x;

        begin(&x);
        x.spec.size_max = 60;
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\nb\n", TAIL_MORE), SINK_K8SFILE_LIMIT);
        cr_assert_eq(sink_k8sfile_set_file(x.sink, -1), 0);
        cr_assert_eq(put(&x, STREAM_STDOUT, "b\n", TAIL_MORE), 0);
        cr_assert_eq(put(&x, STREAM_STDOUT, "c\n", TAIL_MORE), SINK_K8SFILE_LIMIT);
        expect(&x, OUT "F a\n" OUT "F b\n");
        end(&x);
}

CleanTest(sink_k8sfile, global_limit_is_crossed_by_one_whole_line) {
        Fixture x;

        begin(&x);
        cr_assert_eq(write(x.fd, "old\n", 4), 4);
        x.spec.global_size_max = 4 + LINE_PREFIX_SIZE + 3;
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\nb\nc\n", TAIL_MORE), 0);
        expect(&x, "old\n" OUT "F a\n" OUT "F b\n");
        cr_assert_eq(x.state.position[STREAM_STDOUT], 6, "what is not logged is taken");

        x.sink = sink_k8sfile_free(x.sink); /* the limit outlives a worker */
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDERR, "d\n", TAIL_MORE), 0);
        expect(&x, "old\n" OUT "F a\n" OUT "F b\n");
        cr_assert_eq(x.state.lost_bytes, 0);
        end(&x);
}

/* What a worker leaves that died after @k bytes of the batch had reached the file. */
static void leave_cut(Fixture *x,
                      const SinkState *before,
                      const SinkIntent *intent,
                      const char *file,
                      size_t n) {
        begin(x);
        x->state = *before;
        x->state.intent = *intent;
        x->state.intent.valid = 1;
        cr_assert_eq(write(x->fd, file, n), (ssize_t)n);
}

CleanTest(sink_k8sfile, every_cut_of_a_batch_is_completed_to_the_byte) {
        static char text[9000], want[32768], got[32768];
        const size_t n_text = 8800;
        SinkState before, after;
        size_t n_old, n_want;
        Fixture x;
        Window w;

        memset(text, 'y', n_text);
        memcpy(text, "old\nfirst\n\nthird\r\n", 18);
        memcpy(text + 8700, "\nnext\n", 6); /* ends a line too long for one record */
        begin(&x);
        start(&x);
        w = window(text, 4);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
        before = x.state;
        n_old = content(&x, want, sizeof want);
        w = window(text, n_text);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_IDLE, &now), 0);
        after = x.state;
        n_want = content(&x, want, sizeof want);
        end(&x);
        cr_assert_eq(after.intent.from, 4);
        cr_assert_eq(after.intent.to, n_text);

        for (size_t k = n_old; k <= n_want; k++) {
                leave_cut(&x, &before, &after.intent, want, k);
                start(&x);
                cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &later), 0);
                cr_assert_eq(content(&x, got, sizeof got), n_want, "cut at %zu", k);
                cr_assert_eq(memcmp(got, want, n_want), 0, "cut at %zu", k);
                cr_assert_eq(x.state.position[STREAM_STDOUT], n_text);
                cr_assert_eq(x.state.total, after.total);
                cr_assert_eq(x.state.intent.valid, 0);
                end(&x);
        }
}

CleanTest(sink_k8sfile, committed_batch_is_not_written_again) {
        Window w = window("a\nb\n", 4); /* the ring may still have the first */
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), 0);
        x.state.intent.valid = 1; /* died just before it would have been taken back */
        x.sink = sink_k8sfile_free(x.sink);
        start(&x);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
        expect(&x, OUT "F a\n" OUT "F b\n");
        end(&x);
}

typedef struct Shared {
        SinkState state;
        size_t n;
        char data[4 * 1024 * 1024];
} Shared;

static void write_all(int file, Shared *s) {
        SinksSpec spec = { .file = true, .file_fd = reopen_for_append(file) };
        SinkK8sFile *f;

        if (sink_k8sfile_new(&f, &spec, &s->state) < 0)
                _exit(1);
        while (s->state.position[STREAM_STDOUT] < s->n) {
                uint64_t from = s->state.position[STREAM_STDOUT];
                uint64_t to = from + 5000 < s->n ? from + 5000 : s->n;
                Window w = { .data = s->data + from, .from = from, .to = to };

                if (sink_k8sfile_write(f, STREAM_STDOUT, &w, TAIL_MORE, &now) != 0)
                        _exit(1);
        }
        _exit(0);
}

static size_t fill(Shared *s) {
        size_t n_lines = 0, n = 0;

        while (n + 200 < sizeof s->data) {
                size_t k = (n_lines * 37) % 180;

                memset(s->data + n, (int)('a' + n_lines % 26), k);
                n += k;
                s->data[n++] = '\n';
                n_lines++;
        }
        s->n = n;
        return n_lines;
}

/* The records must be those of one life: no line lost, repeated or broken. */
static void compare_records(const char *file, const Shared *s) {
        const char *p = s->data, *end = s->data + s->n;

        while (p < end) {
                size_t n = (size_t)((const char *)memchr(p, '\n', (size_t)(end - p)) - p) + 1;

                cr_assert_eq(memcmp(file, OUT "F ", LINE_PREFIX_SIZE), 0);
                cr_assert_eq(memcmp(file + LINE_PREFIX_SIZE, p, n), 0);
                file += LINE_PREFIX_SIZE + n;
                p += n;
        }
}

CleanTest(sink_k8sfile, killed_workers_leave_no_trace) {
        Shared *s;
        size_t n_lines;
        unsigned n_deaths = 0;
        int status = -1;
        struct stat st;
        char *file;
        Fixture x;

        begin(&x);
        s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(s, MAP_FAILED);
        n_lines = fill(s);
        for (unsigned life = 0; status != 0; life++) {
                struct itimerval timer = { .it_value = { .tv_usec = 100 + 41 * life } };
                pid_t pid = fork();

                if (pid == 0) {
                        (void)setitimer(ITIMER_REAL, &timer, NULL); /* SIGALRM kills, anywhere */
                        write_all(x.fd, s);
                }
                cr_assert_eq(waitpid(pid, &status, 0), pid);
                cr_assert(status == 0 || WIFSIGNALED(status));
                n_deaths += status != 0;
        }
        cr_assert_gt(n_deaths, 0);
        cr_assert_eq(s->state.position[STREAM_STDOUT], s->n);
        cr_assert_eq(fstat(x.fd, &st), 0);
        cr_assert_eq((size_t)st.st_size, s->n + n_lines * LINE_PREFIX_SIZE);
        file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, x.fd, 0);
        compare_records(file, s);
        (void)munmap(file, (size_t)st.st_size);
        (void)munmap(s, sizeof *s);
        end(&x);
}

static void limit_files(rlim_t size) {
        struct rlimit limit;

        (void)signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = size;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

CleanTest(sink_k8sfile, full_disk_at_any_byte_costs_nothing_once_there_is_room) {
        static const char text[] = "one\n\nthree\nfour";
        static const char want[] = OUT "F one\n" OUT "F \n" OUT "F three\n" OUT "P four\n";
        Window w = window(text, sizeof text - 1);

        for (size_t k = 0; k < sizeof want - 1; k++) {
                Fixture x;

                begin(&x);
                start(&x);
                limit_files(k);
                cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_IDLE, &now), EFBIG);
                if (k > 0)
                        cr_assert_eq(put(&x, STREAM_STDERR, "x\n", TAIL_MORE), SINK_K8SFILE_OTHER);
                limit_files(RLIM_INFINITY);
                cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_IDLE, k > 0 ? &later : &now),
                             0);
                expect(&x, want);
                end(&x);
        }
}

CleanTest(sink_k8sfile, settled_file_ends_with_a_whole_record) {
        static const char text[] = "one\ntwo\n";
        Window w = window(text, sizeof text - 1);
        const size_t n_record = LINE_PREFIX_SIZE + 4;

        for (size_t k = 0; k < 2 * n_record; k++) {
                Fixture x;

                begin(&x);
                start(&x);
                limit_files(k);
                cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), EFBIG);
                limit_files(RLIM_INFINITY);
                cr_assert(sink_k8sfile_settle(x.sink));
                expect(&x, k < n_record ? "" : OUT "F one\n");
                cr_assert_eq(x.state.position[STREAM_STDOUT], k < n_record ? 0 : 4);
                cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
                expect(&x, OUT "F one\n" OUT "F two\n");
                end(&x);
        }
}

/* The same bytes in a file that may be cut. */
static void unseal(Fixture *x) {
        char buf[4096];
        size_t n = content(x, buf, sizeof buf);

        (void)close(x->fd);
        x->fd = memfd_create("log", MFD_CLOEXEC);
        cr_assert_eq(write(x->fd, buf, n), (ssize_t)n);
}

CleanTest(sink_k8sfile, nothing_is_written_behind_a_half_record_that_cannot_be_cut_off) {
        static const char text[] = "one\ntwo\n";
        Window w = window(text, sizeof text - 1);
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_eq(fcntl(x.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        limit_files(LINE_PREFIX_SIZE + 4 + 7);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), EFBIG);
        cr_assert(sink_k8sfile_settle(x.sink));
        cr_assert_eq(x.state.position[STREAM_STDOUT], 4);
        limit_files(RLIM_INFINITY);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), EPERM);
        cr_assert_eq(put(&x, STREAM_STDERR, "x\n", TAIL_MORE), EPERM);
        cr_assert_eq(x.state.position[STREAM_STDOUT], 4);
        x.sink = sink_k8sfile_free(x.sink);

        unseal(&x);
        start(&x); /* another worker */
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), 0);
        expect(&x, OUT "F one\n" OUT "F two\n");
        cr_assert_eq(x.state.uncut, 0);
        end(&x);
}

CleanTest(sink_k8sfile, a_file_that_somebody_has_cut_shorter_does_not_grow) {
        Fixture x;

        begin(&x);
        x.state = (SinkState){ .cut_to = 500, .uncut = true };
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "one\n", TAIL_MORE), 0);
        expect(&x, OUT "F one\n");
        end(&x);
}

CleanTest(sink_k8sfile, the_next_file_has_no_half_record) {
        Fixture x;

        begin(&x);
        x.state = (SinkState){ .cut_to = 0, .uncut = true };
        start(&x);
        (void)sink_k8sfile_set_file(x.sink, reopen_for_append(x.fd));
        cr_assert_eq(x.state.uncut, 0);
        end(&x);
}

/* The keeper has more patience then. */
CleanTest(sink_k8sfile, says_when_it_waits_for_the_file_system) {
        static const char text[] = "one\ntwo\n";
        Window w = window(text, sizeof text - 1);
        Fixture x;

        begin(&x);
        start(&x);
        busy.state = &x.state;
        limit_files(LINE_PREFIX_SIZE + 4 + 7);
        cr_assert_eq(sink_k8sfile_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE, &now), EFBIG);
        cr_assert_eq(busy.writes, 2, "as much as went, and the answer");
        cr_assert_eq(x.state.busy, 0);
        cr_assert(sink_k8sfile_settle(x.sink));
        cr_assert_eq(busy.cuts, 1);
        cr_assert_eq(x.state.busy, 0);
        cr_assert_eq(sink_k8sfile_sync(x.sink), 0);
        cr_assert_eq(busy.syncs, 1);
        cr_assert_eq(x.state.busy, 0);
        limit_files(RLIM_INFINITY);
        end(&x);
}

CleanTest(sink_k8sfile, unknown_write_of_the_worker_before_cannot_be_settled) {
        Fixture x;

        begin(&x);
        x.state.intent = (SinkIntent){ .from = 0, .to = 4, .valid = 1 };
        memcpy(x.state.intent.stamp, STAMP, LINE_STAMP_SIZE);
        start(&x);
        cr_assert_not(sink_k8sfile_settle(x.sink));
        cr_assert_eq(put(&x, STREAM_STDOUT, "one\n", TAIL_MORE), 0);
        cr_assert(sink_k8sfile_settle(x.sink));
        expect(&x, OUT "F one\n");
        end(&x);
}

CleanTest(sink_k8sfile, garbage_in_the_state_does_no_harm) {
        static const SinkIntent cases[] = {
                { .from = 0, .to = 100, .valid = 1 }, /* beyond the window */
                { .from = 0, .to = 2, .valid = 1, .partial = 77 },
                { .from = 0, .to = 2, .valid = 1, .stream = 9 },
                { .from = 5, .to = 2, .valid = 1 },
                { .from = 0, .to = UINT64_MAX, .valid = 1, .size = UINT64_MAX },
                { .from = 0, .to = 2, .valid = 200 },
                { .from = 0, .to = 4, .valid = 1, .size = 1U << 30, .total = UINT64_MAX },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char out[512];
                Fixture x;

                begin(&x);
                x.state.intent = cases[i];
                start(&x);
                cr_assert_eq(put(&x, STREAM_STDOUT, "one\n", TAIL_MORE), 0);
                cr_assert_eq(x.state.position[STREAM_STDOUT], 4);
                cr_assert_gt(content(&x, out, sizeof out), LINE_PREFIX_SIZE);
                end(&x);
        }
}

CleanTest(sink_k8sfile, truncated_file_leaves_no_hole) {
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "one\n", TAIL_MORE), 0);
        cr_assert_eq(ftruncate(x.fd, 0), 0);
        cr_assert_eq(put(&x, STREAM_STDOUT, "two\n", TAIL_MORE), 0);
        expect(&x, OUT "F two\n");
        end(&x);
}

CleanTest(sink_k8sfile, full_fifo_does_not_block) {
        static char text[200000], buf[4096];
        Window w = window(text, sizeof text);
        SinksSpec spec = { .file = true };
        SinkState state = { 0 };
        unsigned n_full = 0;
        size_t n_read = 0;
        SinkK8sFile *f;
        int ends[2], r;
        ssize_t n;

        for (size_t i = 0; i < sizeof text; i++)
                text[i] = i % 100 == 99 ? '\n' : 'x';
        cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        cr_assert_eq(fcntl(ends[1], F_SETFL, 0), 0);
        spec.file_fd = ends[1];
        cr_assert_eq(sink_k8sfile_new(&f, &spec, &state), 0);
        do {
                r = sink_k8sfile_write(f, STREAM_STDOUT, &w, TAIL_MORE, &now);
                cr_assert(r == 0 || r == EAGAIN);
                n_full += r == EAGAIN;
                while ((n = read(ends[0], buf, sizeof buf)) > 0)
                        n_read += (size_t)n;
        } while (r == EAGAIN);
        cr_assert_gt(n_full, 0);
        cr_assert_eq(n_read, sizeof text / 100 * (LINE_PREFIX_SIZE + 100));
        f = sink_k8sfile_free(f);
        (void)close(ends[0]);
}
