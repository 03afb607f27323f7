/* SPDX-License-Identifier: Apache-2.0 */

/* A ring goes from one version to another with all that is in it, and no ring leads the next one astray. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "io/ring.h"

#define DIRECTORY_SIZE 8192

/* The state of two versions. */
typedef struct Old {
        uint32_t first;
        uint32_t second;
} Old;

typedef struct New {
        char more[5000]; /* so that all behind it lies elsewhere */
        uint64_t second;
        uint64_t third;
        uint8_t first;
} New;

static const LayoutField old_fields[] = { LAYOUT_NUMBER(Old, first, "first"),
                                          LAYOUT_NUMBER(Old, second, "second") };
static const LayoutField new_fields[] = { LAYOUT_NUMBERS(New, more, "more"),
                                          LAYOUT_NUMBER(New, second, "second"),
                                          LAYOUT_NUMBER(New, third, "third"),
                                          LAYOUT_NUMBER(New, first, "first") };
static const LayoutFields old_members = LAYOUT_FIELDS(old_fields), new_members = LAYOUT_FIELDS(new_fields);
static const LayoutGroup old_groups[] = { { "state", 0, sizeof(Old), 1, &old_members } };
static const LayoutGroup new_groups[] = { { "state", 0, sizeof(New), 1, &new_members } };
static const Layout old_layout = { old_groups, 1, sizeof(Old) };
static const Layout new_layout = { new_groups, 1, sizeof(New) };

static void feed(Ring *ring, StreamId id, size_t n) {
        _cleanup_close_ int r = -1, w = -1;
        char data[32768];

        cr_assert_eq(fd_pipe(&r, &w), 0);
        while (n > 0) {
                size_t size = n < sizeof data ? n : sizeof data;

                for (size_t i = 0; i < size; i++)
                        data[i] = (char)((ring_head(ring, id) + i) * 2654435761U >> 24);
                cr_assert_eq(write(w, data, size), (ssize_t)size);
                cr_assert_eq(ring_read_stream(ring, id, r), (ssize_t)size);
                n -= size;
        }
}

static void expect_stream(Ring *ring, StreamId id, uint64_t from, uint64_t to) {
        Window w = ring_window(ring, id, 0);

        cr_assert(w.from == from && w.to == to, "%llu to %llu", (unsigned long long)w.from,
                  (unsigned long long)w.to);
        for (uint64_t p = from; p < to; p++)
                cr_assert_eq(w.data[p - from], (char)(p * 2654435761U >> 24), "byte %llu",
                             (unsigned long long)p);
}

static void read_text(Ring *ring, const char *input, const char *control) {
        _cleanup_close_ int r = -1, w = -1;

        cr_assert_eq(fd_pipe(&r, &w), 0);
        cr_assert_eq(write(w, input, strlen(input)), (ssize_t)strlen(input));
        cr_assert_eq(ring_read_input(ring, 7, r), (ssize_t)strlen(input));
        cr_assert_eq(write(w, control, strlen(control)), (ssize_t)strlen(control));
        cr_assert_eq(ring_read_control(ring, 1, r), (ssize_t)strlen(control));
}

/* As another process would: with a descriptor of its own. */
static int adopt(Ring **ret, const Ring *ring, const Layout *layout, bool *ret_converted) {
        return ring_adopt(ret, fd_dup(ring_fd(ring)), layout, ret_converted);
}

CleanTest(ring_layout, ring_of_the_same_form_stays_the_same_memory) {
        _cleanup_(ring_freep) Ring *ring = NULL, *same = NULL;
        bool converted = true;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        feed(ring, STREAM_STDOUT, 1000);
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);
        cr_assert_eq(adopt(&same, ring, &old_layout, &converted), 0);
        cr_assert(!converted);
        ((Old *)ring_state(ring))->first = 9;
        cr_assert_eq(((Old *)ring_state(same))->first, 9);
        expect_stream(same, STREAM_STDOUT, 0, 1000);
}

CleanTest(ring_layout, all_goes_to_another_version_and_back) {
        _cleanup_(ring_freep) Ring *ring = NULL, *newer = NULL, *back = NULL;
        bool converted = false;
        Old *old;
        New *new;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        cr_assert(ring_is_unread(ring));
        feed(ring, STREAM_STDOUT, 200000);
        ring_release(ring, STREAM_STDOUT, 150000);
        feed(ring, STREAM_STDOUT, 200000); /* across the wrap */
        feed(ring, STREAM_STDERR, RING_STREAM_SIZE);
        read_text(ring, "some input", "1 20 80\n1 30");
        ring_input(ring)->from = 5;
        ring_input(ring)->written = 1ULL << 40;
        ring_control(ring, 1)->tries = 2;
        *(Old *)ring_state(ring) = (Old){ 11, 22 };
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);

        cr_assert_eq(adopt(&newer, ring, &new_layout, &converted), 0);
        cr_assert(converted && !ring_is_unread(newer));
        expect_stream(newer, STREAM_STDOUT, 150000, 400000);
        expect_stream(newer, STREAM_STDERR, 0, RING_STREAM_SIZE);
        cr_assert_eq(ring_space(newer, STREAM_STDERR), 0);
        cr_assert(ring_input(newer)->from == 5 && ring_input(newer)->to == 10 &&
                  ring_input(newer)->slot == 7);
        cr_assert_eq(ring_input(newer)->written, 1ULL << 40);
        cr_assert_eq(memcmp(ring_input(newer)->data, "some input", 10), 0);
        cr_assert(ring_control(newer, 1)->n == 12 && ring_control(newer, 1)->tries == 2);
        cr_assert_eq(memcmp(ring_control(newer, 1)->data, "1 20 80\n1 30", 12), 0);
        cr_assert_eq(ring_control(newer, 0)->n, 0);
        new = ring_state(newer);
        cr_assert(new->first == 11 && new->second == 22 && new->third == 0);

        ring_release(newer, STREAM_STDERR, 100000); /* it is a ring like any other */
        feed(newer, STREAM_STDERR, 50000);
        new->second = 1ULL << 50;
        cr_assert_eq(adopt(&back, newer, &old_layout, &converted), 0);
        cr_assert(converted);
        expect_stream(back, STREAM_STDOUT, 150000, 400000);
        expect_stream(back, STREAM_STDERR, 100000, RING_STREAM_SIZE + 50000);
        old = ring_state(back);
        cr_assert(old->first == 11 && old->second == UINT32_MAX);
}

CleanTest(ring_layout, empty_ring_takes_no_more_memory_than_a_fresh_one) {
        _cleanup_(ring_freep) Ring *ring = NULL, *newer = NULL;
        struct stat before, after;
        bool converted;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);
        cr_assert_eq(fstat(ring_fd(ring), &before), 0);
        cr_assert_eq(adopt(&newer, ring, &new_layout, &converted), 0);
        cr_assert(ring_is_unread(newer));
        cr_assert_eq(fstat(ring_fd(newer), &after), 0);
        cr_assert_eq(after.st_blocks, before.st_blocks);
        cr_assert_eq(fstat(ring_fd(ring), &after), 0);
        cr_assert_eq(after.st_blocks, before.st_blocks, "to be read costs nothing");
}

/* A worker whose keeper has died goes on with its own ring until it is told to leave. */
CleanTest(ring_layout, what_was_done_since_can_be_imported_again) {
        _cleanup_(ring_freep) Ring *ring = NULL, *newer = NULL;
        bool converted;
        New *new;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        *(Old *)ring_state(ring) = (Old){ 1, 2 };
        feed(ring, STREAM_STDOUT, 5000);
        read_text(ring, "long input", "1 20 80\n");
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);
        cr_assert_eq(adopt(&newer, ring, &new_layout, &converted), 0);
        new = ring_state(newer);
        new->third = 5;

        *(Old *)ring_state(ring) = (Old){ 0, 3 };
        ring_release(ring, STREAM_STDOUT, 4000);
        feed(ring, STREAM_STDOUT, 100000);
        ring_input(ring)->to = ring_input(ring)->from = 0;
        cr_assert_eq(ring_import(newer, ring_fd(ring), &new_layout), 0);
        cr_assert(new->first == 0 && new->second == 3 && new->third == 0);
        expect_stream(newer, STREAM_STDOUT, 4000, 105000);
        cr_assert_eq(ring_input(newer)->to, 0);
}

CleanTest(ring_layout, ring_without_a_directory_is_refused) {
        _cleanup_(ring_freep) Ring *ring = NULL, *other = NULL;
        _cleanup_close_ int empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        bool converted;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        cr_assert_eq(adopt(&other, ring, &old_layout, &converted), -EBADMSG);
        cr_assert_eq(ring_adopt(&other, fd_dup(empty), &old_layout, &converted), -EBADMSG);
        cr_assert_eq(ftruncate(empty, 100000), 0);
        cr_assert_eq(ring_adopt(&other, fd_dup(empty), &old_layout, &converted), -EBADMSG, "not sealed");
        cr_assert_lt(ring_adopt(&other, fd_open_null(O_RDWR), &old_layout, &converted), 0);
}

static char *directory_of(const Ring *ring, off_t *ret_at) {
        char *text = calloc(1, DIRECTORY_SIZE + 1);
        struct stat st;

        cr_assert_eq(fstat(ring_fd(ring), &st), 0);
        *ret_at = st.st_size - DIRECTORY_SIZE;
        cr_assert_gt(pread(ring_fd(ring), text, DIRECTORY_SIZE, *ret_at), 0);
        return text;
}

static void put_directory(const Ring *ring, const char *text, off_t at) {
        char page[DIRECTORY_SIZE] = { 0 };

        memcpy(page, text, strlen(text));
        cr_assert_eq(pwrite(ring_fd(ring), page, sizeof page, at), (ssize_t)sizeof page);
}

CleanTest(ring_layout, hostile_directories_are_refused) {
        static const struct {
                const char *name, *value;
        } cases[] = {
                { "memory.byte", "0 262144 2 1 18446744073709551615" },
                { "memory.byte", "400000 262144 2 1 262144" },
                { "memory.byte", "0 4096 2 1 3000" },
                { "memory.byte", "0 4096 2 1 0" },
                { "memory.byte", "0 4096 2 2 4096" },
                { "memory.byte", "0 4096 1 1 4096" },
                { "memory.byte", "0 0 2 1 524288" },
                { "memory.bytes", "0 262144 2 1 262144" },
                { "input.data", "0 1 1 1 32769" },
                { "input.data", "18446744073709551615 1 1 1 10" },
                { "control.data", "0 1 2 1 4097" },
                { "stream.head", "nonsense" },
                { "state.first", "99999999 1 1 4 1" },
        };
        _cleanup_(ring_freep) Ring *ring = NULL;
        _cleanup_free_ char *text = NULL;
        off_t at;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        feed(ring, STREAM_STDOUT, 3000);
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);
        text = directory_of(ring, &at);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char line[STATE_NAME_MAX], changed[DIRECTORY_SIZE], *begin, *end;
                Ring *other = NULL;
                bool converted;

                (void)snprintf(line, sizeof line, "\n%.11s", cases[i].name);
                begin = strstr(text, line);
                cr_assert_not_null(begin, "%s", cases[i].name);
                end = strchr(begin + 1, '\n');
                (void)snprintf(changed, sizeof changed, "%.*s\n%s=%s%s", (int)(begin - text), text,
                               cases[i].name, cases[i].value, end);
                put_directory(ring, changed, at);
                cr_assert_eq(adopt(&other, ring, &new_layout, &converted), -EBADMSG, "%s=%s", cases[i].name,
                             cases[i].value);
        }
}

CleanTest(ring_layout, hostile_positions_are_refused) {
        _cleanup_(ring_freep) Ring *ring = NULL, *other = NULL;
        uint64_t *head;
        bool converted;
        off_t at;
        _cleanup_free_ char *text = NULL;

        cr_assert_eq(ring_new(&ring, sizeof(Old)), 0);
        cr_assert_eq(ring_describe(ring, ring_fd(ring), &old_layout), 0);
        text = directory_of(ring, &at);
        head = (uint64_t *)(void *)((char *)ring_state(ring) -
                                    (strtoull(strstr(text, "state.first=") + 12, NULL, 10) -
                                     strtoull(strstr(text, "stream.head=") + 12, NULL, 10)));
        head[0] = 1ULL << 40; /* more than the memory can hold */
        cr_assert_eq(adopt(&other, ring, &new_layout, &converted), -EBADMSG);
        head[1] = 1ULL << 41; /* taken before it was read */
        cr_assert_eq(adopt(&other, ring, &new_layout, &converted), -EBADMSG);
        head[1] = head[0];
        cr_assert_eq(adopt(&other, ring, &new_layout, &converted), 0);
        cr_assert_eq(ring_head(other, STREAM_STDOUT), 1ULL << 40);
}
