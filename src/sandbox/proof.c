/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether the cage holds on this host, for administrators and packagers (scopemon doctor): a child enters it as a worker
 * does, tries what it is there against, and tells what has gone well. What would end it is not tried.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "sandbox/proof.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

typedef struct Targets {
        int datagrams;
        struct sockaddr_un abstract;
        socklen_t n_abstract;
} Targets;

static void targets_done(Targets *t) {
        cleanup_close(&t->datagrams);
}

/* Where the message came that far, whoever was there. */
static bool proof_sends(const Targets *t, const struct sockaddr_un *to, socklen_t n) {
        struct sockaddr_un name = *to;
        struct msghdr message = { .msg_name = &name, .msg_namelen = n };

        return sendmsg(t->datagrams, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
               (errno != ENOENT && errno != EPERM && errno != ENOSYS);
}

static unsigned proof_attempt(const Targets *t) {
        static const struct sockaddr_un path = { .sun_family = AF_UNIX, .sun_path = "/proc/self/status" };
        unsigned done = 0;

        if (open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0 || open("/", O_PATH | O_CLOEXEC) >= 0)
                done |= PROOF_OPEN;
        if (socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 ||
            connect(t->datagrams, (const struct sockaddr *)&t->abstract, t->n_abstract) >= 0)
                done |= PROOF_SOCKET;
        if (proof_sends(t, &path, sizeof path))
                done |= PROOF_NAME;
        if (proof_sends(t, &t->abstract, t->n_abstract))
                done |= PROOF_ABSTRACT;
        if (syscall(SYS_tgkill, getppid(), getppid(), 0) >= 0)
                done |= PROOF_KILL;
        return done;
}

static void __attribute__((noreturn)) proof_child(const Targets *t, int answer) {
        static const char *const none[_EXIT_FILE_MAX];
        const char *left[_EXIT_FILE_MAX];
        unsigned char done = PROOF_NONE;

        (void)root_leave(none, left); /* PROOF_NAME shows whether that was possible */
        if (sandbox_enter(&(ExitFiles){ 0 }) >= 0)
                done = (unsigned char)proof_attempt(t);
        (void)!write(answer, &done, sizeof done);
        process_exit(0);
}

static int proof_make_targets(Targets *t, int *ret_listener) {
        const struct sockaddr_un any = { .sun_family = AF_UNIX };

        *ret_listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        t->datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        t->n_abstract = sizeof t->abstract;
        if (*ret_listener < 0 || t->datagrams < 0 ||
            bind(*ret_listener, (const struct sockaddr *)&any, sizeof any.sun_family) < 0 ||
            getsockname(*ret_listener, (struct sockaddr *)&t->abstract, &t->n_abstract) < 0)
                return fail(-errno);
        return 0;
}

/**
 * proof_try() - let a child try
 * @ret: a Proof for each thing that it could do: 0 if the cage is whole
 *
 * Waits for the child.
 *
 * Return: 0 or a negative errno.
 */
int proof_try(unsigned *ret) {
        _cleanup_close_ int listener = -1, answer = -1, theirs = -1;
        _cleanup_(targets_done) Targets t = { .datagrams = -1 };
        unsigned char done = PROOF_NONE;
        pid_t pid;
        int r;

        r = proof_make_targets(&t, &listener);
        if (r < 0)
                return relay(r);
        r = fd_pipe(&answer, &theirs);
        if (r < 0)
                return relay(r);
        r = process_fork(&pid);
        if (r < 0)
                return relay(r);
        if (r == 0)
                proof_child(&t, theirs);
        cleanup_close(&theirs);
        theirs = -1;
        (void)!read(answer, &done, sizeof done); /* the end of the file, if it has died */
        *ret = done;
        r = process_await(pid);
        return r < 0 ? relay(r) : 0;
}
