/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which runtimes take annotations org.systemd.property.NAME for properties of the scope that they
 * make.
 *
 * runc and crun do, and each start of a container would have to pay for a question, so these are
 * known by the name of the file. Any other one is asked: "RUNTIME features" prints what the runtime
 * can do, as JSON. There runc 1.3.6 has the prefix of these annotations among the unsafe ones; runc
 * 1.1.5 and 1.1.15, crun 1.21 and 1.28 have not, though they know them, but both sign their answer,
 * and a wrapper passes it on. Of runc's keys that is the commit: its version may be in the answer of
 * anybody who is like it. crun 1.8.1 has no such command, and under another name is not known.
 *
 * No answer is none that counts: what then follows works with any runtime.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "event/event.h"
#include "oci/features.h"

#define ANSWER_USEC 2000000ULL
#define ANSWER_MAX 65536

/**
 * features_by_name() - is this a runtime that everybody knows?
 * @runtime: its path; links are followed
 */
bool features_by_name(const char *runtime) {
        static const char *const names[] = { "crun", "krun", "runc" };
        _cleanup_free_ char *path = realpath(runtime, NULL);
        const char *name = basename(path ?: runtime);

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *rest = name + strlen(names[i]);

                if (strncmp(name, names[i], strlen(names[i])) == 0 && (*rest == 0 || strchr("-_.", *rest)))
                        return true; /* crun-wasm and runc-1.1 are what they say */
        }
        return false;
}

/**
 * features_in_text() - does the answer of "RUNTIME features" say that it knows these annotations?
 */
bool features_in_text(const char *text, size_t n) {
        static const char *const signs[] = { "\"org.systemd.property.\"",
                                             "\"org.opencontainers.runc.commit\"",
                                             "\"run.oci.crun.version\"" };

        for (size_t i = 0; i < ELEMENTS(signs); i++)
                if (memmem(text, n, signs[i], strlen(signs[i])))
                        return true;
        return false;
}

static size_t listen_to(int fd, char *text, size_t size) {
        uint64_t end = event_now() + ANSWER_USEC, now;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t n = 0;

        while (n < size && (now = event_now()) < end && poll(&p, 1, (int)((end - now + 999) / 1000)) > 0) {
                ssize_t k = read(fd, text + n, size - n);

                if (k <= 0)
                        break;
                n += (size_t)k;
        }
        return n;
}

/* What "RUNTIME WORD" prints, for 2 s at most. Return: how many bytes; 0 also if it cannot be executed. */
static size_t ask(const char *runtime, const char *word, char *text, size_t size) {
        const char *const words[] = { runtime, word, NULL };
        _cleanup_close_ int read_fd = -1, write_fd = -1, null_fd = -1;
        size_t n;
        pid_t pid;

        null_fd = fd_open_null(O_RDWR);
        if (null_fd < 0 || fd_pipe(&read_fd, &write_fd) < 0)
                return 0;
        if (process_spawn(&(ProcessSpec){ .path = runtime,
                                          .argv = (char *const *)words,
                                          .envp = environ,
                                          .stdio = { null_fd, write_fd, null_fd },
                                          .death_signal = SIGKILL,
                                          .wait_fd = -1,
                                          .close_others = true },
                          &pid, NULL) < 0)
                return 0;
        fd_close_many(&write_fd, 1);
        n = listen_to(read_fd, text, size);
        (void)process_end(pid);
        return n;
}

/**
 * features_ask() - ask a runtime whether it knows these annotations
 *
 * Blocks until it has answered, 2 s at most.
 */
bool features_ask(const char *runtime) {
        _cleanup_free_ char *text = malloc(ANSWER_MAX);

        return text && features_in_text(text, ask(runtime, "features", text, ANSWER_MAX));
}

/**
 * features_version() - the first line of what a runtime says of its version, for people
 * @ret: empty if it says nothing
 *
 * Blocks until it has answered, 2 s at most.
 */
void features_version(const char *runtime, char *ret, size_t size) {
        size_t n = ask(runtime, "--version", ret, size - 1);

        ret[n] = 0;
        ret[strcspn(ret, "\n")] = 0;
}
