# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for what the host has: journald, syslog, cgroups, a disk that fills up.

The monitor knows these by fixed paths, so each of them lives in a mount namespace of the test's own process, which
isolate() makes and the monitor inherits. Nothing outside of it changes, except for cgroups (see FakeCgroup and
MemoryCgroup, which remove what they make).

    j = Journal()                     journald, from now on for every monitor this test starts
    j.entries(cid)                    the container's entries so far, each {field: bytes}; fields in j.order
    j.wait(lambda entries: ...)       until that holds
    s = Syslog(); s.lines()           /dev/log
    small_disk(path, size)            an empty file system of so many bytes; unmount(path)
"""

import collections
import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import termios
import threading
import time

import harness
from harness import Skip, check

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE, MS_MOVE = 4096, 16384, 1 << 18, 8192
JOURNAL = "/run/systemd/journal"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "pts", "shm")

_isolated = []


def mount(source, target, kind=None, flags=0, data=None):
    words = [w.encode() if w is not None else None for w in (source, target, kind)]
    result = harness.libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None)
    if result < 0:
        raise Skip(f"cannot mount {kind or source} on {target}: {os.strerror(ctypes.get_errno())}")


def isolate():
    """Make a mount namespace for this test, once."""
    if _isolated:
        return
    if harness.libc.unshare(CLONE_NEWNS) < 0:
        raise Skip(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    _isolated.append(True)


def small_disk(path, size):
    isolate()
    os.makedirs(path, exist_ok=True)
    mount("tmpfs", path, "tmpfs", 0, f"size={size},mode=755")
    return path


def unmount(path):
    harness.libc.umount2(path.encode(), 2)  # lazily


def run_directory():
    """An empty /run."""
    isolate()
    if not os.path.exists(JOURNAL + "/is-a-stand-in"):
        mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
        os.makedirs(JOURNAL)
        with open(JOURNAL + "/is-a-stand-in", "w", encoding="ascii"):
            pass


def parse_entry(data):
    """One entry of journald's native protocol: a list of (name, value)."""
    fields = []
    while data:
        line, newline, rest = data.partition(b"\n")
        check(newline, f"journal entry without a newline at its end: {data[:100]}")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name, (size,) = line, struct.unpack("<Q", rest[:8])
            value, rest = rest[8:8 + size], rest[8 + size:]
            check(rest[:1] == b"\n", "no newline after a field with a length")
            rest = rest[1:]
        fields.append((name.decode(), value))
        data = rest
    return fields


class Datagrams:
    """A datagram socket with a thread that reads it, as a sender may wait until it was read; hold() and go_on() stop that."""

    def __init__(self, path, n_buffer=8 << 20):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, n_buffer)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.seen = []
        self.news = threading.Condition()
        self.may_read = threading.Event()
        self.may_read.set()
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            self.may_read.wait()
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 8)
            except OSError:
                return
            for fd in fds:  # an entry too large for a datagram comes as a file
                data += os.pread(fd, os.fstat(fd).st_size, 0)
                os.close(fd)
            with self.news:
                if self.closed:
                    return
                self.seen.append(data)
                self.news.notify_all()

    def take(self):
        """All that was sent before this call."""
        if self.may_read.is_set():
            n = struct.pack("i", 0)
            end = harness.deadline()
            while struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, n))[0] and time.monotonic() < end:
                time.sleep(0.001)  # the thread is at it
            with self.news:
                self.news.wait(0.005)
        return list(self.seen)

    def wait(self, condition, seconds=None, what="the datagrams"):
        """Wait until CONDITION() is true; return what it returned."""
        end = harness.deadline(seconds)
        with self.news:
            while True:
                result = condition()
                if result:
                    return result
                left = end - time.monotonic()
                if left <= 0:
                    raise harness.Failed(f"no sign of {what}; had {len(self.seen)} datagrams")
                self.news.wait(left)

    def hold(self):
        """Read nothing more, but for one datagram that may be waited for already."""
        self.may_read.clear()

    def go_on(self):
        self.may_read.set()

    def close(self):
        """Be gone, and leave the path to another."""
        with self.news:
            self.closed = True
        self.go_on()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(1)
        self.socket.close()
        os.unlink(self.path)


class Journal(Datagrams):
    """journald, as far as a sender sees it."""

    def __init__(self):
        run_directory()
        super().__init__(JOURNAL + "/socket")

    def all(self):
        return [parse_entry(data) for data in list(self.seen)]

    def entries(self, cid=None):
        """Those of the container: a dictionary each. No field of these may come twice."""
        found = []
        for fields in self.all():
            names = collections.Counter(name for name, _ in fields)
            if "CONTAINER_ID_FULL" not in names or cid and (("CONTAINER_ID_FULL", cid.encode()) not in fields):
                continue
            twice = [name for name, n in names.items() if n > 1]
            check(not twice, f"fields that come twice in one entry: {twice}")
            found.append(dict(fields))
        return found

    def messages(self):
        """The texts, without a newline at the end (the original leaves it there)."""
        return [e["MESSAGE"].removesuffix(b"\n") for e in self.entries()]

    def until_entries(self, n, seconds=None):
        """Wait until there are N entries of the container, return all."""
        self.wait(lambda: len(self.seen) >= n, seconds, f"{n} journal entries")
        return self.wait(lambda: self.entries() if len(self.entries()) >= n else None, seconds, f"{n} journal entries")


class Syslog(Datagrams):
    """/dev/log; OF_JOURNALD: as systemd has it, a link to a socket of journald's."""

    def __init__(self, of_journald=False):
        isolate()
        if of_journald and not os.path.islink("/dev/log"):
            self._other_dev()
            os.symlink(f"{JOURNAL}/dev-log", "/dev/log")
        if os.path.islink("/dev/log"):
            run_directory()
            target = os.path.join("/dev", os.readlink("/dev/log"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            super().__init__(target)
            return
        self._other_dev()
        super().__init__("/dev/log")

    @staticmethod
    def _other_dev():
        new = "/tmp" if not os.path.isdir("/mnt") else "/mnt"
        mount("tmpfs", new, "tmpfs", 0, "mode=755")
        for name in DEVICES:
            old = f"/dev/{name}"
            if os.path.isdir(old):
                os.mkdir(f"{new}/{name}")
            elif os.path.exists(old):
                with open(f"{new}/{name}", "w", encoding="ascii"):
                    pass
            else:
                continue
            mount(old, f"{new}/{name}", None, MS_BIND | MS_REC)
        for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd")):
            os.symlink(target, f"{new}/{name}")
        mount(new, "/dev", None, MS_MOVE)

    def lines(self):
        return [data.rstrip(b"\0\n").decode(errors="surrogateescape") for data in self.take()]

    def texts(self):
        """What is behind time and identifier."""
        return [re.sub(r"^<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d ", "", entry) for entry in self.lines()]


class FakeCgroup:
    """A cgroup v2 of the monitor and all it starts, whose memory.events is a file of ours.

    To be made before the monitor; remove() when all in it have ended. The cgroup is real (so the line in /proc/PID/cgroup
    is the kernel's), but another directory is mounted over it, since the memory controller may be elsewhere.
    """

    def __init__(self, area, events="low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"):
        isolate()
        if not os.path.exists("/sys/fs/cgroup/cgroup.subtree_control"):
            mount("none", "/sys/fs/cgroup", "cgroup2")
        path = next(entry for entry in harness.read_text("/proc/self/cgroup").decode().splitlines()
                    if entry.startswith("0::"))[3:]
        self.before = "/sys/fs/cgroup" + path.rstrip("/")
        self.real = f"{self.before}/{os.path.basename(area.top)}"
        self.events = f"{self.real}/memory.events"
        try:
            os.mkdir(self.real)
            self._move(self.real)
        except OSError as e:
            raise Skip(f"no cgroup of our own: {e}") from e
        mount(area.make("cgroup"), self.real, None, MS_BIND)
        if events is not None:
            self.write(events)

    @staticmethod
    def _move(path):
        with open(f"{path}/cgroup.procs", "w", encoding="ascii") as f:
            f.write("0")

    def write(self, events):
        with open(self.events, "w", encoding="ascii") as f:
            f.write(events)

    def remove(self):
        harness.kill_descendants()
        unmount(self.real)
        self._move(self.before or "/sys/fs/cgroup")
        harness.poll_until(lambda: self._try_rmdir(), what="the cgroup's end")

    def _try_rmdir(self):
        try:
            os.rmdir(self.real)
        except OSError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class MemoryCgroup:
    """A real cgroup of the memory controller, v1."""

    TOP = "/sys/fs/cgroup/memory"

    def __init__(self, area, limit=None):
        if not os.path.exists(f"{self.TOP}/memory.usage_in_bytes"):
            raise Skip("no memory controller of cgroup v1 here")
        self.path = f"{self.TOP}/{os.path.basename(area.top)}"
        try:
            os.mkdir(self.path)
            if limit:
                self.set("memory.limit_in_bytes", limit)
        except OSError as e:
            raise Skip(f"no memory cgroup of our own: {e}") from e

    def set(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="ascii") as f:
            f.write(str(value))

    def add(self, pid):
        self.set("cgroup.procs", pid)

    def empty(self):
        """Everybody back to the top."""
        for pid in harness.read_text(f"{self.path}/cgroup.procs").split():
            with open(f"{self.TOP}/cgroup.procs", "w", encoding="ascii") as f:
                f.write(pid.decode())

    def rmdir(self):
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        harness.kill_descendants()
        harness.poll_until(self.rmdir, what="the cgroup's end")


def lines(n, size):
    """What the words lines=N,SIZE make the target write."""
    result, number = [], 1
    for i in range(n):
        text = bytearray()
        for _ in range(size - 19):
            number = (number * 1664525 + 1013904223) & 0xffffffff
            text.append(97 + (number >> 16) % 26)
        total = 2166136261
        for byte in text:
            total = ((total ^ byte) * 16777619) & 0xffffffff
        result.append(b"%08d %08x %s\n" % (i, total, bytes(text)))
    return b"".join(result)


def check_lines(data, n, size):
    """Whether DATA is what lines=N,SIZE writes, without computing every letter: numbers, lengths, some sums."""
    found = data.split(b"\n")
    check(found.pop() == b"", "the last line is not whole")
    check(len(found) == n, f"{len(found)} lines, wanted {n}")
    for i, text in enumerate(found):
        if not text.startswith(b"%08d " % i) or len(text) != size - 1:
            raise harness.Failed(f"line {i} is {text[:40]!r} ({len(text)} bytes)")
    for i in {0, n // 2, n - 1}:
        total = 2166136261
        for byte in found[i][18:]:
            total = ((total ^ byte) * 16777619) & 0xffffffff
        check(found[i][9:17] == b"%08x" % total, f"line {i} has another sum")


def script(area, name, text):
    """An executable shell script."""
    return area.file(name, ("#!/bin/sh\n" + text).encode(), 0o755)


def kill(pid, number=signal.SIGTERM):
    os.kill(pid, number)


