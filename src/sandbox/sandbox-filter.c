/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker's filter, compiled. This is a program of the build, not a part of scopemon: it prints the filter for
 * sandbox.c as numbers. So libseccomp does its work once and not at each start of each container, where it cost more
 * than all else that a worker does before it is ready, and is not loaded by processes that stand about for months.
 *
 * The policy is the tables below. What is in none does not exist (ENOSYS), so that a newer C library falls back to
 * what it did before; what is forbidden ends the worker with SIGSYS, since nothing of ours would ever try it.
 *
 * A filter sees the arguments of a call, not what they point to. So it lets files be made by the addresses at which
 * their names stand (exit-file.c), other ones in each worker: where it compares with such an address, or with another
 * value that is the target's own, what is printed is no number but an expression of sandbox.c's.
 *
 *     sandbox-filter ARCH        as libseccomp calls it; system calls that it has not are left out
 *     sandbox-filter ARCH names  the numbers and names of what is forbidden, for the one that tells of it
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/exit-file.h"

/* Numbers that no table of ours would have, and that mean an expression. */
#define NAME_HIGH 0x5c09e300U /* + an ExitFileName */
#define NAME_LOW 0x5c0d7100U
#define EXPRESSION 0x5c0f1a00U /* + an index */

enum {
        OPEN_FLAGS,
        OWN_PID,
        WINDOW_SIZE,
        QUEUE_OUT,
        QUEUE_IN,
        PIDFD_INFO,
};

static const char *const expressions[] = {
        [OPEN_FLAGS] = "EXIT_FILE_FLAGS", [OWN_PID] = "(uint32_t)getpid()",
        [WINDOW_SIZE] = "TIOCSWINSZ",     [QUEUE_OUT] = "SIOCOUTQ",
        [QUEUE_IN] = "FIONREAD",          [PIDFD_INFO] = "PROCESS_PIDFD_GET_INFO",
};

/* In the order of use: the filter is a list that the kernel walks. (The last one is the sanitizers', and harmless.) */
static const int allowed[] = {
        SCMP_SYS(read),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(writev),
        SCMP_SYS(sendmmsg),
        SCMP_SYS(sendmsg),
        SCMP_SYS(write),
        SCMP_SYS(recvmsg),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(recvfrom),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_pwait2),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(madvise),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(close),
        SCMP_SYS(accept4),
        SCMP_SYS(getsockopt),
        SCMP_SYS(setsockopt),
        SCMP_SYS(shutdown),
        SCMP_SYS(lseek),
        SCMP_SYS(ftruncate),
        SCMP_SYS(memfd_create),
        SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),
        SCMP_SYS(mmap),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(brk),
        SCMP_SYS(mprotect),
        SCMP_SYS(futex),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(getrandom),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(sigaltstack),
};

/* Allowed with such arguments only. */
static const struct {
        int call;
        unsigned n;
        struct scmp_arg_cmp arguments[5];
} restricted[] = {
#define IS(i, value) SCMP_CMP(i, SCMP_CMP_EQ, value, 0)
#define MASKED(i, mask, value) SCMP_CMP(i, SCMP_CMP_MASKED_EQ, mask, value)
#define INTEGER(i, value) MASKED(i, UINT32_MAX, (uint32_t)(value)) /* the kernel takes no more of it */
#define BY_PATH(i) INTEGER(i, AT_FDCWD)
#define NAME(i, which) IS(i, (uint64_t)(NAME_HIGH + (which)) << 32 | (NAME_LOW + (which)))
#define OPEN_DIR(id)                                                                                         \
        {                                                                                                    \
                SCMP_SYS(openat), 4, {                                                                       \
                        BY_PATH(0), NAME(1, EXIT_FILE_NAME_DIR + (id)), INTEGER(2, EXPRESSION + OPEN_FLAGS), \
                                INTEGER(3, EXIT_FILE_MODE)                                                   \
                }                                                                                            \
        }
#define LINK_TO(id)                                                                                          \
        {                                                                                                    \
                SCMP_SYS(linkat), 4, {                                                                       \
                        NAME(1, EXIT_FILE_NAME_NONE), BY_PATH(2), NAME(3, EXIT_FILE_NAME_PATH + (id)),       \
                                INTEGER(4, AT_EMPTY_PATH)                                                    \
                }                                                                                            \
        }
#define CONTROL(command)                                                                                     \
        {                                                                                                    \
                SCMP_SYS(fcntl), 1, {                                                                        \
                        INTEGER(1, command)                                                                  \
                }                                                                                            \
        }
#define DEVICE(command)                                                                                      \
        {                                                                                                    \
                SCMP_SYS(ioctl), 1, {                                                                        \
                        INTEGER(1, EXPRESSION + (command))                                                   \
                }                                                                                            \
        }
        /* to whom the socket is connected */
        { SCMP_SYS(sendto), 1, { IS(4, 0) } },
        OPEN_DIR(EXIT_FILE_PERSIST),
        LINK_TO(EXIT_FILE_PERSIST),
        OPEN_DIR(EXIT_FILE_EXIT),
        LINK_TO(EXIT_FILE_EXIT),
        /* signals to ourselves; and none that a descriptor sends to whom it is told to (F_SETOWN, FIOSETOWN) */
        { SCMP_SYS(tgkill), 1, { INTEGER(0, EXPRESSION + OWN_PID) } },
        CONTROL(F_GETFL),
        CONTROL(F_SETFL),
        CONTROL(F_GETFD),
        CONTROL(F_SETFD),
        CONTROL(F_DUPFD_CLOEXEC),
        CONTROL(F_GETPIPE_SZ),
        CONTROL(F_ADD_SEALS),
        CONTROL(F_GET_SEALS),
        DEVICE(WINDOW_SIZE),
        DEVICE(QUEUE_OUT),
        DEVICE(QUEUE_IN),
        DEVICE(PIDFD_INFO),
};

static const int forbidden[] = {
        SCMP_SYS(execve), SCMP_SYS(execveat),       SCMP_SYS(fork),        SCMP_SYS(vfork),
        SCMP_SYS(clone),  SCMP_SYS(clone3),         SCMP_SYS(ptrace),      SCMP_SYS(process_vm_readv),
        SCMP_SYS(mount),  SCMP_SYS(umount2),        SCMP_SYS(pivot_root),  SCMP_SYS(process_vm_writev),
        SCMP_SYS(setns),  SCMP_SYS(unshare),        SCMP_SYS(bpf),         SCMP_SYS(perf_event_open),
        SCMP_SYS(keyctl), SCMP_SYS(add_key),        SCMP_SYS(kexec_load),  SCMP_SYS(init_module),
        SCMP_SYS(setuid), SCMP_SYS(setresuid),      SCMP_SYS(chroot),      SCMP_SYS(finit_module),
        SCMP_SYS(kill),   SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd), SCMP_SYS(pidfd_getfd),
};

static int choose_architecture(scmp_filter_ctx filter, const char *name) {
        uint32_t wanted = seccomp_arch_resolve_name(name);
        int r;

        if (wanted == 0)
                return -EINVAL;
        if (wanted == seccomp_arch_native())
                return 0;
        r = seccomp_arch_add(filter, wanted);
        return r < 0 ? r : seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
}

static int fill_filter(scmp_filter_ctx filter) {
        int r;

        for (size_t i = 0; i < ELEMENTS(allowed); i++) {
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTS(restricted); i++) {
                r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, restricted[i].call, restricted[i].n,
                                           restricted[i].arguments);
                if (r < 0)
                        return r;
        }
        r = seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
        for (size_t i = 0; r >= 0 && i < ELEMENTS(forbidden); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_TRAP, forbidden[i], 0);
        return r;
}

static int print_step(const struct sock_filter *step) {
        uint32_t high = step->k - NAME_HIGH, low = step->k - NAME_LOW, expression = step->k - EXPRESSION;

        if (printf("{ 0x%02x, %u, %u, ", step->code, step->jt, step->jf) < 0)
                return -EIO;
        if (high < _EXIT_FILE_NAME_MAX)
                return printf("HIGH(%u) },\n", high) < 0 ? -EIO : 0;
        if (low < _EXIT_FILE_NAME_MAX)
                return printf("LOW(%u) },\n", low) < 0 ? -EIO : 0;
        if (expression < ELEMENTS(expressions))
                return printf("%s },\n", expressions[expression]) < 0 ? -EIO : 0;
        return printf("0x%08x },\n", step->k) < 0 ? -EIO : 0;
}

static int print_filter(scmp_filter_ctx filter) {
        struct sock_filter step;
        FILE *f = tmpfile();
        int r;

        if (!f)
                return -errno;
        r = seccomp_export_bpf(filter, fileno(f));
        rewind(f);
        while (r >= 0 && fread(&step, sizeof step, 1, f) == 1)
                r = print_step(&step);
        (void)fclose(f);
        return r < 0 || fflush(stdout) == 0 ? r : -errno;
}

static int print_names(const char *architecture) {
        uint32_t token = seccomp_arch_resolve_name(architecture);

        for (size_t i = 0; i <= ELEMENTS(forbidden); i++) {
                int call = i < ELEMENTS(forbidden) ? forbidden[i] : SCMP_SYS(socket), number;
                char *name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), call);

                number = name ? seccomp_syscall_resolve_name_arch(token, name) : -1;
                if (number >= 0)
                        (void)printf("{ %d, \"%s\" },\n", number, name);
                free(name);
        }
        return fflush(stdout) == 0 ? 0 : -errno;
}

static int print_names_or_filter(int argc, char *argv[], scmp_filter_ctx filter) {
        int r;

        if (argc == 3)
                return print_names(argv[1]);
        r = choose_architecture(filter, argv[1]);
        if (r >= 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
                                     2); /* the kernel tries every number at once */
        if (r >= 0)
                r = fill_filter(filter);
        return r < 0 ? r : print_filter(filter);
}

int main(int argc, char *argv[]) {
        scmp_filter_ctx filter;
        int r;

        if (argc < 2 || argc > 3)
                return EXIT_FAILURE;
        filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        if (!filter)
                return EXIT_FAILURE;
        r = print_names_or_filter(argc, argv, filter);
        seccomp_release(filter);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
