/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a container prints, as the journal gets it: each datagram is fields that journald takes, the message is a line of
 * the input, and nothing that a container prints makes a field of its own.
 */

#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "fuzz.h"
#include "sink/sink-journald.h"

#define ENTRY_MAX 65536

static bool is_known(const char *field, size_t n) {
        static const char *const known[] = {
                "MESSAGE",           "PRIORITY",          "CONTAINER_ID", "CONTAINER_ID_FULL",
                "CONTAINER_NAME",    "CONTAINER_TAG",     "LABEL",        "CONTAINER_PARTIAL_MESSAGE",
                "SYSLOG_IDENTIFIER", "CONTAINER_PRIORITY"
        };

        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (strlen(known[i]) == n && memcmp(known[i], field, n) == 0)
                        return true;
        return false;
}

/* One field of the native protocol. Return: its size. */
static size_t check_field(const char *p, size_t n, const char *input, size_t n_input) {
        const char *equals = memchr(p, '=', n), *line = memchr(p, '\n', n);
        uint64_t size;

        fuzz_claim(line);
        if (equals && equals < line) {
                fuzz_claim(is_known(p, (size_t)(equals - p)));
                if (memcmp(p, "MESSAGE=", 8) == 0)
                        fuzz_claim(line == equals + 1 ||
                                   memmem(input, n_input, equals + 1, (size_t)(line - equals - 1)));
                return (size_t)(line - p) + 1;
        }
        fuzz_claim(is_known(p, (size_t)(line - p)));
        fuzz_claim((size_t)(line - p) + 1 + sizeof size < n);
        memcpy(&size, line + 1, sizeof size); /* little-endian, as the machines that fuzz are */
        fuzz_claim(size < n - (size_t)(line - p) - 1 - sizeof size);
        fuzz_claim(line[1 + sizeof size + size] == '\n');
        fuzz_claim(size == 0 || memmem(input, n_input, line + 1 + sizeof size, size));
        return (size_t)(line - p) + 1 + sizeof size + size + 1;
}

static void check_entries(int fd, const char *input, size_t n_input) {
        static char entry[ENTRY_MAX];
        ssize_t n;

        while ((n = recv(fd, entry, sizeof entry, 0)) > 0)
                for (size_t at = 0; at < (size_t)n;)
                        at += check_field(entry + at, (size_t)n - at, input, n_input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *input = (const char *)data;
        SinksSpec spec = { .journald = true, .cid = "0123456789abcdef", .name = "name" };
        SinkState state = { 0 };
        SinkJournald *j;
        Window w = { .data = input, .from = 0, .to = size };
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                abort();
        spec.journal_fd = ends[0];
        spec.podman_priorities = size % 2 == 1;
        if (sink_journald_new(&j, &spec, &state) < 0)
                abort();
        for (uint64_t before = 1;
             state.position[STREAM_STDOUT] < size && before != state.position[STREAM_STDOUT];) {
                before = state.position[STREAM_STDOUT];
                (void)sink_journald_write(j, STREAM_STDOUT, &w, TAIL_END);
                fuzz_claim(state.position[STREAM_STDOUT] >= before && state.position[STREAM_STDOUT] <= size);
                check_entries(ends[1], input, size);
        }
        fuzz_claim(state.position[STREAM_STDOUT] == size);
        sink_journald_free(j);
        fd_close_many(ends, 2);
        return 0;
}
