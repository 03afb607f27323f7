/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker's cage. It parses what hostile containers and clients send; whoever takes it over shall find a process
 * that can move bytes between the descriptors it holds, and nothing else: no capability, no new privilege, no file
 * to open by name, no program to run, no socket but AF_UNIX.
 *
 * The policy is the two tables below. What is in neither does not exist (ENOSYS), so that a newer C library falls back
 * to what it did before; what is forbidden ends the worker with SIGSYS, since nothing of ours would ever try it.
 *
 * Never for the keeper: its children, the container among them, would inherit it.
 */

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "io/sandbox.h"

/* In the order of use: the filter is a list that the kernel walks. (The last one is the sanitizers', and harmless.) */
static const int allowed[] = {
        SCMP_SYS(read),          SCMP_SYS(epoll_wait),    SCMP_SYS(writev),        SCMP_SYS(sendmmsg),
        SCMP_SYS(sendmsg),       SCMP_SYS(sendto),        SCMP_SYS(write),         SCMP_SYS(recvmsg),
        SCMP_SYS(timerfd_settime), SCMP_SYS(epoll_ctl),   SCMP_SYS(recvfrom),      SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_pwait2),  SCMP_SYS(clock_gettime), SCMP_SYS(madvise),       SCMP_SYS(poll),
        SCMP_SYS(ppoll),         SCMP_SYS(ioctl),         SCMP_SYS(fcntl),         SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),    SCMP_SYS(statx),         SCMP_SYS(close),         SCMP_SYS(accept4),
        SCMP_SYS(getsockopt),    SCMP_SYS(setsockopt),    SCMP_SYS(connect),       SCMP_SYS(shutdown),
        SCMP_SYS(lseek),         SCMP_SYS(ftruncate),     SCMP_SYS(memfd_create),  SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),     SCMP_SYS(mmap),          SCMP_SYS(munmap),        SCMP_SYS(mremap),
        SCMP_SYS(brk),           SCMP_SYS(mprotect),      SCMP_SYS(futex),         SCMP_SYS(getpid),
        SCMP_SYS(gettid),        SCMP_SYS(tgkill),        SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),  SCMP_SYS(restart_syscall), SCMP_SYS(getrandom),   SCMP_SYS(gettimeofday),
        SCMP_SYS(clock_nanosleep), SCMP_SYS(exit),        SCMP_SYS(exit_group),      SCMP_SYS(sigaltstack),
};

static const int forbidden[] = {
        SCMP_SYS(execve),  SCMP_SYS(execveat),   SCMP_SYS(fork),       SCMP_SYS(vfork),
        SCMP_SYS(clone),   SCMP_SYS(clone3),     SCMP_SYS(ptrace),     SCMP_SYS(process_vm_readv),
        SCMP_SYS(mount),   SCMP_SYS(umount2),    SCMP_SYS(pivot_root), SCMP_SYS(process_vm_writev),
        SCMP_SYS(setns),   SCMP_SYS(unshare),    SCMP_SYS(bpf),        SCMP_SYS(perf_event_open),
        SCMP_SYS(keyctl),  SCMP_SYS(add_key),    SCMP_SYS(kexec_load), SCMP_SYS(init_module),
        SCMP_SYS(setuid),  SCMP_SYS(setresuid),  SCMP_SYS(chroot),     SCMP_SYS(finit_module),
        SCMP_SYS(kill),    SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd), SCMP_SYS(pidfd_getfd),
};

static int drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* they follow the next call anyway */
        return syscall(SYS_capset, &header, none) < 0 ? fail(-errno) : 0;
}

/* No path may be opened. Kernels without Landlock have the filter, which says the same. */
static int forbid_paths(void) {
        struct landlock_ruleset_attr all = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
        _cleanup_close_ int fd = -1;

        fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0);
        if (fd < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : fail(-errno);
        return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? fail(-errno) : 0;
}

static int fill_filter(scmp_filter_ctx filter) {
        int r;

        for (size_t i = 0; i < ELEMENTS(allowed); i++) {
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
                if (r < 0)
                        return fail(r);
        }
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
        for (size_t i = 0; r >= 0 && i < ELEMENTS(forbidden); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_TRAP, forbidden[i], 0);
        return r < 0 ? fail(r) : 0;
}

static int load_filter(void) {
        scmp_filter_ctx filter;
        int r;

        filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        if (!filter)
                return fail(-ENOMEM);
        r = fill_filter(filter);
        if (r >= 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? relay(r) : 0;
}

/**
 * sandbox_enter() - confine this process for good
 *
 * Return: 0 or a negative errno; then it is not to go on.
 */
int sandbox_enter(void) {
        int r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return fail(-errno);
        r = drop_capabilities();
        if (r < 0)
                return relay(r);
        r = forbid_paths();
        if (r < 0)
                return relay(r);
        return load_filter();
}
