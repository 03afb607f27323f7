# SPDX-License-Identifier: Apache-2.0
"""Which system calls fail, and how: the names of the faults of tests/inject.

A fault is CALL:ERROR:WHEN, CALL being one name or several joined by "+": the call fails with ERROR each time WHEN of
strace says so, counted in each process: 3 (the third), 3+ (from the third on), 2+2 (every second). ERROR may also be a
number: the call then returns that and does nothing. Other faults:

    CALL:short:WHEN read or write, of one byte only (an LD_PRELOAD; WHEN is 3 or 3+)
    nofile:N        both limits of open files are N
    nofile:N/M      the soft one is N, the hard one M
    nproc:N         a user of its own, who is not root, may have N processes, the container and the runtime included
    none            nothing fails
"""

import collections
import re

Fault = collections.namedtuple("Fault", "text calls error when")

# What may go wrong with a call, the likeliest first. A call that is not here fails with DEFAULT.
DEFAULT = ("EPERM",)
ERRORS = {
    "accept4": ("EMFILE", "ECONNABORTED", "ENOMEM"),
    "access": ("ENOENT",),
    "bind": ("EADDRINUSE", "ENOMEM"),
    "brk": ("0",),  # never fails: returns the break as it was
    "capset": ("EPERM",),
    "capget": ("EINVAL",),
    "chdir": ("ENOENT",),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM", "ENOSYS"),
    "close_range": ("ENOSYS", "EMFILE"),
    "connect": ("ECONNREFUSED", "EAGAIN", "EINTR"),
    "dup2": ("EMFILE", "EBUSY"),
    "dup3": ("EMFILE", "EBUSY"),
    "epoll_create1": ("EMFILE", "ENOMEM"),
    "epoll_ctl": ("ENOSPC", "ENOMEM"),
    "epoll_pwait2": ("ENOSYS", "EINTR"),
    "epoll_wait": ("EINTR", "EINVAL"),
    "epoll_pwait": ("EINTR", "EINVAL"),
    "eventfd2": ("EMFILE",),
    "execve": ("ENOENT", "ENOMEM", "ETXTBSY"),
    "fallocate": ("ENOSPC", "EINTR"),
    "fchmod": ("EPERM",),
    "fchown": ("EPERM",),
    "fcntl": ("EMFILE", "EINVAL"),
    "fork": ("EAGAIN",),
    "fstat": ("EIO",),
    "fstatfs": ("EIO",),
    "fsync": ("EIO",),
    "ftruncate": ("ENOSPC", "EINTR"),
    "futex": ("EINTR",),
    "getcwd": ("ENOENT",),
    "getdents64": ("ENOENT",),
    "getpeername": ("ENOTCONN",),
    "getrandom": ("ENOSYS", "EINTR"),
    "getsockopt": ("EINVAL",),
    "inotify_add_watch": ("ENOSPC",),
    "inotify_init1": ("EMFILE",),
    "ioctl": ("EIO",),
    "landlock_add_rule": ("EINVAL",),
    "landlock_create_ruleset": ("EMFILE", "ENOMEM"),
    "landlock_restrict_self": ("E2BIG",),
    "linkat": ("ENOSPC",),
    "listen": ("EADDRINUSE",),
    "lseek": ("ESPIPE",),
    "madvise": ("ENOMEM", "EAGAIN"),
    "memfd_create": ("EMFILE", "ENOMEM"),
    "mkdir": ("ENOSPC",),
    "mkdirat": ("ENOSPC",),
    "mknod": ("ENOSPC",),
    "mknodat": ("ENOSPC",),
    "mmap": ("ENOMEM",),
    "mprotect": ("ENOMEM",),
    "mremap": ("ENOMEM",),
    "munmap": ("ENOMEM",),
    "nanosleep": ("EINTR",),
    "clock_nanosleep": ("EINTR",),
    "newfstatat": ("ENOENT", "ENOMEM"),
    "open": ("ENOENT", "EMFILE"),
    "openat": ("EMFILE", "ENOSPC", "ENOENT", "EINTR"),
    "openat2": ("EMFILE", "ENOSYS"),
    "pidfd_open": ("EMFILE", "ENOSYS"),
    "pidfd_send_signal": ("ESRCH",),
    "pipe2": ("EMFILE", "ENFILE"),
    "poll": ("EINTR", "ENOMEM"),
    "ppoll": ("EINTR", "ENOMEM"),
    "prctl": ("EINVAL",),
    "pread64": ("EIO",),
    "prlimit64": ("EPERM",),
    "pwrite64": ("ENOSPC",),
    "read": ("EIO", "EINTR", "ENOMEM"),
    "readlink": ("ENOENT",),
    "readlinkat": ("ENOENT",),
    "recvfrom": ("ENOMEM", "EINTR"),
    "recvmsg": ("ENOMEM", "EINTR", "EMFILE"),
    "rename": ("ENOSPC", "EIO"),
    "renameat": ("ENOSPC", "EIO"),
    "renameat2": ("ENOSPC", "EINVAL"),
    "rt_sigaction": ("EINVAL",),
    "rt_sigprocmask": ("EINVAL",),
    "rt_sigtimedwait": ("EINTR", "EAGAIN"),
    "seccomp": ("EINVAL", "ENOMEM"),
    "sendmmsg": ("ENOBUFS", "EINTR", "ECONNREFUSED"),
    "sendmsg": ("ENOBUFS", "EINTR", "ETOOMANYREFS"),
    "sendto": ("ENOBUFS", "EINTR"),
    "setsockopt": ("ENOMEM",),
    "shutdown": ("ENOTCONN",),
    "signalfd4": ("EMFILE", "ENOMEM"),
    "socket": ("EMFILE", "ENOBUFS"),
    "socketpair": ("EMFILE", "ENOBUFS"),
    "statfs": ("EIO",),
    "statx": ("EIO",),
    "symlink": ("ENOSPC",),
    "symlinkat": ("ENOSPC",),
    "timerfd_create": ("EMFILE",),
    "timerfd_settime": ("EINVAL",),
    "unlink": ("EROFS",),
    "unlinkat": ("EROFS",),
    "vfork": ("EAGAIN", "ENOMEM"),
    "wait4": ("EINTR",),
    "waitid": ("EINTR",),
    "write": ("ENOSPC", "EIO", "EINTR", "ENOMEM"),
    "writev": ("ENOSPC", "EIO", "EINTR"),
}

# What programs have to bear without anything to be seen of it.
INTERRUPTIBLE = ("accept4", "connect", "epoll_wait", "fallocate", "ftruncate", "nanosleep", "clock_nanosleep", "openat", "poll", "ppoll",
                 "read", "recvfrom", "recvmsg", "sendmmsg", "sendmsg", "sendto", "waitid", "wait4", "write", "writev")
FORKS = ("clone", "clone3", "fork", "vfork")
SHORT = ("read", "write", "writev")
NPROC_MOST = 8  # more than any life has at the same time


def lasting(counted):
    """Faults that last: all that the host may be short of, from some point on. COUNTED: {call: times it is made}."""
    found = [f"nofile:{n}" for n in range(12, 41)] + [f"nofile:{n}/4096" for n in (8, 16, 20, 24, 32)]
    found += [f"nproc:{n}" for n in range(1, NPROC_MOST + 1)]
    found += [f"{'+'.join(FORKS)}:EAGAIN:{n}+" for n in range(1, 5)]
    found += [f"{'+'.join(INTERRUPTIBLE)}:EINTR:{n}" for n in ("1+2", "2+2", "1+3", "2+5")]
    found += [f"{call}:short:{n}" for call in SHORT for n in [*range(1, 13), "1+"]]
    for call, times in counted.items():
        if call in ERRORS and call not in HARMLESS_LASTING:
            found += [f"{call}:{ERRORS[call][0]}:{n}+" for n in (1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 30) if n <= times]
    return found


# Something that never succeeds in any process, the loader's included, tells nothing; EINTR for ever is no kernel's.
HARMLESS_LASTING = {"epoll_wait", "poll", "ppoll", "waitid", "wait4", "futex", "nanosleep", "clock_nanosleep", "execve"}

# These cannot fail, or not in any way that a kernel would do (close() closes also when it says that it failed).
NEVER = {"arch_prctl", "close", "exit", "exit_group", "getegid", "geteuid", "getgid", "getpgrp", "getpid", "getppid", "gettid", "getuid",
         "pause", "restart_syscall", "rseq", "rt_sigreturn", "rt_sigsuspend", "set_robust_list", "set_tid_address", "umask",
         "sigaltstack", "sched_yield", "alarm"}


def parse(text):
    """A Fault. Raises ValueError with the reason."""
    if text == "none" or re.fullmatch(r"nofile:\d+(/\d+)?|nproc:\d+", text):
        return Fault(text, (), None, None)
    match = re.fullmatch(r"([a-z0-9_+]+):(E[A-Z0-9]+|\d+|short):(\d+(?:\+\d*)?)", text)
    if not match:
        raise ValueError(f"no fault: {text}")
    return Fault(text, tuple(match[1].split("+")), match[2], match[3])


def is_harmless(fault):
    """Whether a life under it must be like any other."""
    return fault.error in ("EINTR", "short") or fault.text == "none"


def strace_words(fault):
    """The options of strace that make it so."""
    calls = ",".join("?" + c for c in fault.calls)
    kind = "error" if fault.error.startswith("E") else "retval"
    return ["-e", f"trace={calls}", "-e", f"inject={calls}:{kind}={fault.error}:when={fault.when}"]
