/* SPDX-License-Identifier: Apache-2.0 */

#include "clean.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "sink/sink-journald.h"

#define CID "0123456789abcdef0123456789abcdef"
#define ENTRY_MAX (20 * 1024 * 1024)

typedef struct Field {
        char name[64];
        const char *value;
        size_t n;
} Field;

typedef struct Entry {
        char *data;
        size_t n_data, n_fields;
        Field fields[64];
} Entry;

typedef struct Fixture {
        char dir[64], path[96];
        int journal; /* the stand-in */
        int connection;
        SinkState state;
        SinksSpec spec;
        SinkJournald *sink;
        Entry entry;
} Fixture;

static void listen_at(Fixture *x) {
        struct sockaddr_un address;
        socklen_t size;

        x->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(fd_unix_address(x->path, &address, &size), 0);
        (void)unlink(x->path);
        cr_assert_eq(bind(x->journal, (struct sockaddr *)&address, size), 0);
}

/* A new one, -1 if nobody listens. */
static int connect_to(Fixture *x) {
        struct sockaddr_un address;
        socklen_t size;

        fd_close_many(&x->connection, 1);
        x->connection = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(fd_unix_address(x->path, &address, &size), 0);
        if (connect(x->connection, (struct sockaddr *)&address, size) < 0)
                fd_close_many(&x->connection, 1);
        return x->connection;
}

static void begin(Fixture *x) {
        *x = (Fixture){ .dir = "/tmp/test-journald-XXXXXX", .journal = -1, .connection = -1 };
        cr_assert_not_null(mkdtemp(x->dir));
        (void)snprintf(x->path, sizeof x->path, "%s/socket", x->dir);
        x->spec = (SinksSpec){ .journald = true, .cid = CID };
}

static void start(Fixture *x) {
        x->spec.journal_fd = connect_to(x);
        cr_assert_eq(sink_journald_new(&x->sink, &x->spec, &x->state), 0);
}

static void end(Fixture *x) {
        x->sink = sink_journald_free(x->sink);
        fd_close_many(&x->connection, 1);
        free(x->entry.data);
        if (x->journal >= 0)
                (void)close(x->journal);
        (void)unlink(x->path);
        cr_assert_eq(rmdir(x->dir), 0);
}

static void begin_listening(Fixture *x) {
        begin(x);
        listen_at(x);
        start(x);
}

static int put_bytes(Fixture *x, StreamId id, const char *text, size_t n, StreamTail tail) {
        Window w = { .data = text, .from = x->state.position[id], .to = x->state.position[id] + n };

        return sink_journald_write(x->sink, id, &w, tail);
}

static int put(Fixture *x, StreamId id, const char *text, StreamTail tail) {
        return put_bytes(x, id, text, strlen(text), tail);
}

static const char *parse_field(Field *f, const char *p, const char *end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *equals;
        uint64_t size;

        cr_assert_not_null(newline, "a field has no end");
        equals = memchr(p, '=', (size_t)(newline - p));
        (void)snprintf(f->name, sizeof f->name, "%.*s", (int)((equals ? equals : newline) - p), p);
        if (equals) {
                f->value = equals + 1;
                f->n = (size_t)(newline - f->value);
                return newline + 1;
        }
        cr_assert_leq(newline + 9, end);
        memcpy(&size, newline + 1, sizeof size);
        f->n = le64toh(size);
        f->value = newline + 9;
        cr_assert_lt(f->n, (size_t)(end - f->value));
        cr_assert_eq(f->value[f->n], '\n');
        return f->value + f->n + 1;
}

/* The next entry, false if there is none. */
static bool take(Fixture *x) {
        Entry *e = &x->entry;
        size_t n_fds = 0;
        ssize_t n;
        int fd;

        if (!e->data)
                e->data = malloc(ENTRY_MAX);
        n = fd_receive(x->journal, e->data, ENTRY_MAX, &fd, 1, &n_fds);
        if (n == -EAGAIN)
                return false;
        cr_assert_geq(n, 0);
        if (n_fds > 0) {
                cr_assert_eq(n, 0);
                cr_assert_eq(fcntl(fd, F_GET_SEALS),
                             F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
                n = pread(fd, e->data, ENTRY_MAX, 0);
                (void)close(fd);
        }
        e->n_data = (size_t)n;
        e->n_fields = 0;
        for (const char *p = e->data; p < e->data + n;)
                p = parse_field(&e->fields[e->n_fields++], p, e->data + n);
        return true;
}

static const Field *field(const Fixture *x, const char *name) {
        const Field *found = NULL;

        for (size_t i = 0; i < x->entry.n_fields; i++)
                if (strcmp(x->entry.fields[i].name, name) == 0) {
                        cr_assert_null(found, "%s is there twice", name);
                        found = &x->entry.fields[i];
                }
        return found;
}

static void expect(const Fixture *x, const char *name, const char *value) {
        const Field *f = field(x, name);

        if (!value) {
                cr_assert_null(f, "%s is there", name);
                return;
        }
        cr_assert_not_null(f, "%s is not there", name);
        cr_assert_eq(f->n, strlen(value), "%s is %.*s", name, (int)f->n, f->value);
        cr_assert_eq(memcmp(f->value, value, f->n), 0, "%s is %.*s", name, (int)f->n, f->value);
}

/* The next entry's MESSAGE, PRIORITY, CONTAINER_PRIORITY and whether it is partial. */
static void expect_entry(Fixture *x,
                         const char *message,
                         const char *priority,
                         const char *own,
                         bool partial) {
        cr_assert(take(x), "no entry for %s", message);
        expect(x, "MESSAGE", message);
        expect(x, "PRIORITY", priority);
        expect(x, "CONTAINER_PRIORITY", own);
        expect(x, "CONTAINER_PARTIAL_MESSAGE", partial ? "true" : NULL);
}

CleanTest(sink_journald, fields_and_their_order_are_the_contract) {
        static const char *const names[] = {
                "MESSAGE",
                "CONTAINER_ID_FULL",
                "PRIORITY",
                "CONTAINER_ID",
                "CONTAINER_TAG",
                "CONTAINER_NAME",
                "SYSLOG_IDENTIFIER",
                "CONTAINER_PARTIAL_MESSAGE",
                "A",
                "B_2",
                "OBJECT_SYSTEMD_UNIT",
        };
        char *labels[] = { (char *)"A=1", (char *)"B_2=" };
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.name = "baz";
        x.spec.tag = "the tag";
        x.spec.labels = labels;
        x.spec.n_labels = 2;
        x.spec.object_unit = "OBJECT_SYSTEMD_UNIT=libpod-x.scope";
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "hello", TAIL_END), 0);
        cr_assert(take(&x));
        cr_assert_eq(x.entry.n_fields, ELEMENTS(names));
        for (size_t i = 0; i < ELEMENTS(names); i++)
                cr_assert_str_eq(x.entry.fields[i].name, names[i]);
        expect(&x, "MESSAGE", "hello");
        expect(&x, "CONTAINER_ID_FULL", CID);
        expect(&x, "PRIORITY", "6");
        expect(&x, "CONTAINER_ID", "0123456789ab");
        expect(&x, "CONTAINER_TAG", "the tag");
        expect(&x, "CONTAINER_NAME", "baz");
        expect(&x, "SYSLOG_IDENTIFIER", "the tag");
        expect(&x, "A", "1");
        expect(&x, "B_2", "");
        expect(&x, "OBJECT_SYSTEMD_UNIT", "libpod-x.scope");
        end(&x);
}

CleanTest(sink_journald, entry_is_found_by_the_identifier_of_the_unit_as_well) {
        static const char *const expected[] = { "baz", "the-units" };
        size_t n = 0;
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.name = "baz";
        x.spec.identifier = "SYSLOG_IDENTIFIER=the-units";
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "hello", TAIL_END), 0);
        cr_assert(take(&x));
        for (size_t i = 0; i < x.entry.n_fields; i++) {
                if (strcmp(x.entry.fields[i].name, "SYSLOG_IDENTIFIER") != 0)
                        continue;
                cr_assert_lt(n, ELEMENTS(expected));
                cr_assert_eq(strncmp(x.entry.fields[i].value, expected[n], strlen(expected[n])), 0);
                n++;
        }
        cr_assert_eq(n, ELEMENTS(expected));
        end(&x);
}

CleanTest(sink_journald, facility_of_the_unit_is_the_entrys) {
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.facility = "SYSLOG_FACILITY=19";
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "hello", TAIL_END), 0);
        cr_assert(take(&x));
        expect(&x, "SYSLOG_FACILITY", "19");
        end(&x);
}

CleanTest(sink_journald, prefix_of_a_line_is_text_to_a_unit_that_says_so) {
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.no_level_prefix = true;
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "<4>hello", TAIL_END), 0);
        cr_assert(take(&x));
        expect(&x, "MESSAGE", "<4>hello");
        expect(&x, "PRIORITY", "6");
        end(&x);
}

CleanTest(sink_journald, identifier_is_tag_else_name_else_short_id) {
        static const struct {
                const char *tag, *name, *identifier;
        } cases[] = {
                { "t", "n", "t" },
                { NULL, "n", "n" },
                { "", "n", "n" },
                { NULL, NULL, "0123456789ab" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture x;

                begin(&x);
                listen_at(&x);
                x.spec.tag = cases[i].tag;
                x.spec.name = cases[i].name;
                start(&x);
                cr_assert_eq(put(&x, STREAM_STDERR, "a\n", TAIL_MORE), 0);
                expect_entry(&x, "a", "3", NULL, false);
                expect(&x, "SYSLOG_IDENTIFIER", cases[i].identifier);
                expect(&x, "CONTAINER_NAME", cases[i].name);
                end(&x);
        }
}

CleanTest(sink_journald, label_cannot_stand_in_for_our_fields) {
        char *labels[] = { (char *)"CONTAINER_ID_FULL=fake",
                           (char *)"PRIORITY=0",
                           (char *)"MESSAGE=fake",
                           (char *)"CONTAINER_PARTIAL_MESSAGE=true",
                           (char *)"PRIORITY_2=x",
                           (char *)"none",
                           (char *)"=none",
                           (char *)"TWO=a\nMESSAGE=fake" };
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.labels = labels;
        x.spec.n_labels = ELEMENTS(labels);
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "true\n", TAIL_MORE), 0);
        expect_entry(&x, "true", "6", NULL, false); /* field() fails on a second one */
        expect(&x, "CONTAINER_ID_FULL", CID);
        expect(&x, "PRIORITY_2", "x");
        expect(&x, "TWO", "a\nMESSAGE=fake");
        cr_assert_eq(x.entry.n_fields, 7);
        end(&x);
}

CleanTest(sink_journald, line_ending_is_not_part_of_the_message) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "a\n", "a" }, { "a\r\n", "a" }, { "a\r\r\n", "a\r" },
                { "\r\n", "" }, { "\n", "" },     { "a\rb\n", "a\rb" },
        };
        Fixture x;

        begin_listening(&x);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                cr_assert_eq(put(&x, STREAM_STDOUT, cases[i].text, TAIL_MORE), 0);
                expect_entry(&x, cases[i].message, "6", NULL, false);
        }
        end(&x);
}

CleanTest(sink_journald, priority_prefix_is_taken_or_left) {
        static const struct {
                const char *text, *message, *priority, *podman_priority, *own;
        } cases[] = {
                { "<0>a\n", "a", "0", "6", "0" },       { "<7>a\n", "a", "7", "6", "7" },
                { "<4>\n", "", "4", "6", "4" },         { "<6>a\r\n", "a", "6", "6", "6" },
                { "<3><4>a\n", "<4>a", "3", "6", "3" }, { "<8>a\n", "<8>a", "6", "6", NULL },
                { "<>a\n", "<>a", "6", "6", NULL },     { "<<0>>a\n", "<<0>>a", "6", "6", NULL },
                { "<0\n", "<0", "6", "6", NULL },       { "< 0>a\n", "< 0>a", "6", "6", NULL },
                { " <3>a\n", " <3>a", "6", "6", NULL },
        };

        for (size_t i = 0; i < 2 * ELEMENTS(cases); i++) {
                bool podman = i >= ELEMENTS(cases);
                size_t k = i % ELEMENTS(cases);
                Fixture x;

                begin(&x);
                listen_at(&x);
                x.spec.podman_priorities = podman;
                start(&x);
                cr_assert_eq(put(&x, STREAM_STDOUT, cases[k].text, TAIL_MORE), 0);
                expect_entry(&x, cases[k].message, podman ? cases[k].podman_priority : cases[k].priority,
                             podman ? cases[k].own : NULL, false);
                end(&x);
        }
}

CleanTest(sink_journald, unfinished_line_is_one_entry_however_it_came) {
        static const char text[] = "<3>hello\nnext";
        Fixture x;

        begin_listening(&x);
        for (size_t n = 1; n < sizeof text; n++) {
                Window w = { .data = text, .from = 0, .to = n };

                cr_assert_eq(sink_journald_write(x.sink, STREAM_STDERR, &w, TAIL_IDLE), 0);
        }
        expect_entry(&x, "hello", "3", NULL, false);
        cr_assert_not(take(&x));
        cr_assert_eq(x.state.position[STREAM_STDERR], 9);
        cr_assert_eq(put(&x, STREAM_STDERR, "next", TAIL_END), 0);
        expect_entry(&x, "next", "3", NULL, true);
        end(&x);
}

CleanTest(sink_journald, long_line_comes_in_partial_messages_of_one_priority) {
        static char text[40001];
        const Field *f;
        Fixture x;

        memset(text, 'x', 40000);
        memcpy(text, "<4>", 3);
        memcpy(text + SINK_JOURNALD_LINE_MAX, "<1>", 3); /* not the beginning of a line */
        text[40000] = '\n';
        begin_listening(&x);
        cr_assert_eq(put_bytes(&x, STREAM_STDOUT, text, sizeof text, TAIL_MORE), 0);
        for (unsigned i = 0; i < 3; i++) {
                static const size_t sizes[] = { 16380, 16383, 40000 - 2 * 16383 };

                cr_assert(take(&x));
                expect(&x, "PRIORITY", "4");
                expect(&x, "CONTAINER_PARTIAL_MESSAGE", i < 2 ? "true" : NULL);
                f = field(&x, "MESSAGE");
                cr_assert_eq(f->n, sizes[i]);
                cr_assert_eq(memcmp(f->value, i == 1 ? "<1>x" : "xxxx", 4), 0);
        }
        cr_assert_eq(put(&x, STREAM_STDOUT, "<1>new\n", TAIL_MORE), 0);
        expect_entry(&x, "new", "1", NULL, false);
        end(&x);
}

CleanTest(sink_journald, long_line_is_not_cut_inside_of_a_letter) {
        static char text[SINK_JOURNALD_LINE_MAX + 3];
        const Field *f;
        Fixture x;

        memset(text, 'x', sizeof text);
        memcpy(text + SINK_JOURNALD_LINE_MAX - 1, "\xc3\xa9\n", 3);
        begin_listening(&x);
        cr_assert_eq(put_bytes(&x, STREAM_STDOUT, text, SINK_JOURNALD_LINE_MAX + 2, TAIL_MORE), 0);
        cr_assert(take(&x));
        f = field(&x, "MESSAGE");
        cr_assert_eq(f->n, SINK_JOURNALD_LINE_MAX - 1);
        cr_assert_eq(f->value[f->n - 1], 'x');
        expect_entry(&x, "\xc3\xa9", "6", NULL, false);
        end(&x);
}

CleanTest(sink_journald, partial_field_can_be_left_out) {
        Fixture x;

        begin(&x);
        listen_at(&x);
        x.spec.no_partial_message = true;
        start(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "end", TAIL_END), 0);
        expect_entry(&x, "end", "6", NULL, false);
        end(&x);
}

CleanTest(sink_journald, bytes_of_any_value_stay_in_the_message) {
        static const char text[] = "a\0MESSAGE=b\x01\xff=\n";
        const Field *f;
        Fixture x;

        begin_listening(&x);
        cr_assert_eq(put_bytes(&x, STREAM_STDOUT, text, sizeof text - 1, TAIL_MORE), 0);
        cr_assert(take(&x));
        f = field(&x, "MESSAGE");
        cr_assert_eq(f->n, sizeof text - 2);
        cr_assert_eq(memcmp(f->value, text, f->n), 0);
        cr_assert_eq(x.entry.n_fields, 5);
        end(&x);
}

CleanTest(sink_journald, full_journal_loses_and_repeats_nothing) {
        char text[300 * 5 + 1], message[16];
        unsigned n_taken = 0, n_full = 0;
        Window w = { .data = text, .from = 0, .to = 300 * 5 };
        Fixture x;
        int r;

        for (unsigned i = 0; i < 300; i++)
                (void)snprintf(text + (size_t)5 * i, 6, "%04u\n", i);
        begin_listening(&x);
        do {
                r = sink_journald_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE);
                cr_assert(r == 0 || r == EAGAIN);
                n_full += r == EAGAIN;
                cr_assert_gt(x.state.position[STREAM_STDOUT], 5U * n_taken, "there was room");
                while (take(&x)) {
                        (void)snprintf(message, sizeof message, "%04u", n_taken++);
                        expect(&x, "MESSAGE", message);
                }
        } while (r == EAGAIN);
        cr_assert_gt(n_full, 0, "the stand-in was never full");
        cr_assert_eq(n_taken, 300);
        cr_assert_eq(x.state.bytes, 1500);
        end(&x);
}

CleanTest(sink_journald, a_connection_that_is_lost_is_so_until_another_one_comes) {
        Fixture x;

        begin(&x);
        start(&x);
        cr_assert_not(sink_journald_is_connected(x.sink));
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), ENOTCONN);
        cr_assert_eq(x.state.position[STREAM_STDOUT], 0);
        listen_at(&x);
        sink_journald_set_socket(x.sink, connect_to(&x));
        cr_assert(sink_journald_is_connected(x.sink));
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), 0);
        expect_entry(&x, "a", "6", NULL, false);

        (void)close(x.journal); /* another one at the same path */
        listen_at(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "b\n", TAIL_MORE), ECONNREFUSED);
        cr_assert_eq(x.state.position[STREAM_STDOUT], 2);
        cr_assert_not(sink_journald_is_connected(x.sink));
        cr_assert_eq(put(&x, STREAM_STDOUT, "b\n", TAIL_MORE), ENOTCONN);
        sink_journald_set_socket(x.sink, connect_to(&x));
        cr_assert_eq(put(&x, STREAM_STDOUT, "b\n", TAIL_MORE), 0);
        expect_entry(&x, "b", "6", NULL, false);
        end(&x);
}

CleanTest(sink_journald, entry_too_large_for_a_datagram_arrives) {
        const size_t n = 10 * 1024 * 1024;
        char *label, *labels[1];
        Fixture x;

        label = malloc(n + 1);
        memset(label, 'v', n);
        memcpy(label, "BIG=", 4);
        label[n] = 0;
        labels[0] = label;
        begin(&x);
        listen_at(&x);
        x.spec.labels = labels;
        x.spec.n_labels = 1;
        start(&x);
        free(label);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\nb\n", TAIL_MORE), 0);
        expect_entry(&x, "a", "6", NULL, false);
        cr_assert_eq(field(&x, "BIG")->n, n - 4);
        expect_entry(&x, "b", "6", NULL, false);
        end(&x);
}

CleanTest(sink_journald, unread_falls_to_zero_when_all_is_taken) {
        Fixture x;

        begin_listening(&x);
        cr_assert_eq(sink_journald_unread(x.sink), 0);
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), 0);
        cr_assert_gt(sink_journald_unread(x.sink), 0);
        cr_assert(take(&x));
        cr_assert_eq(sink_journald_unread(x.sink), 0);
        end(&x);
}

CleanTest(sink_journald, garbage_in_the_state_does_no_harm) {
        Fixture x;
        Window w;

        begin_listening(&x);
        x.state.continues[STREAM_STDOUT] = 255;
        x.state.position[STREAM_STDOUT] = UINT64_MAX;
        w = (Window){ "a\n", 0, 2 };
        cr_assert_eq(sink_journald_write(x.sink, STREAM_STDOUT, &w, TAIL_MORE), 0);
        x.state.position[STREAM_STDOUT] = 0;
        cr_assert_eq(put(&x, STREAM_STDOUT, "a\n", TAIL_MORE), 0);
        cr_assert(take(&x));
        expect(&x, "MESSAGE", "a");
        end(&x);
}

CleanTest(sink_journald, a_flood_is_told_once_in_each_span) {
        SinkFlood flood = { 0 };
        uint64_t t = 1700000000000000U;

        flood.sent = SINK_FLOOD_ENTRIES - 1;
        cr_assert_not(sink_journald_floods(&flood, t));
        cr_assert_not(sink_journald_floods(&flood, t + SINK_FLOOD_USEC - 1));
        flood.sent++;
        cr_assert(sink_journald_floods(&flood, t + SINK_FLOOD_USEC - 1));
        flood.sent += 100000;
        cr_assert_not(sink_journald_floods(&flood, t + SINK_FLOOD_USEC - 1));

        flood.sent +=
                SINK_FLOOD_ENTRIES; /* of the next span already: they were sent before this look at the clock */
        cr_assert(sink_journald_floods(&flood, t + SINK_FLOOD_USEC));
        cr_assert_eq(flood.begin_usec, t + SINK_FLOOD_USEC);
        cr_assert_eq(flood.sent - flood.before, SINK_FLOOD_ENTRIES);
}

CleanTest(sink_journald, little_is_no_flood_however_long_it_goes_on) {
        SinkFlood flood = { 0 };

        for (uint64_t i = 1; i < 100000; i++) {
                flood.sent++;
                cr_assert_not(sink_journald_floods(&flood, i * (SINK_FLOOD_USEC / SINK_FLOOD_ENTRIES + 40)));
        }
}

CleanTest(sink_journald, a_clock_that_is_set_back_begins_a_new_span) {
        SinkFlood flood = { 0 };

        flood.sent = SINK_FLOOD_ENTRIES;
        cr_assert(sink_journald_floods(&flood, 5000000000U));
        flood.sent += 2;
        cr_assert_not(sink_journald_floods(&flood, 1000000000U));
        cr_assert_eq(flood.sent - flood.before, 2);
}

CleanTest(sink_journald, entries_are_counted_as_they_are_sent) {
        Fixture x;

        begin_listening(&x);
        cr_assert_eq(put(&x, STREAM_STDOUT, "one\ntwo\nthr", TAIL_MORE), 0);
        cr_assert_eq(x.state.flood.sent, 2);
        cr_assert_eq(put(&x, STREAM_STDERR, "four\n", TAIL_MORE), 0);
        cr_assert_eq(x.state.flood.sent, 3);
        end(&x);
}
