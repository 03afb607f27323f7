# SPDX-License-Identifier: Apache-2.0
"""Checklist 84 to 94: the control fifos."""

import fcntl
import os
import signal
import socket
import struct
import termios

from harness import (RUNTIME, CID, check, contains, equal, is_alive, is_fifo, line, link, poll_until, read_text, scenario, stays,
                     wait_path)


def terminal_of(m):
    """The target's end of its terminal, opened by us."""
    path = f"/proc/{m.target()}/fd/0"
    poll_until(lambda: link(m.target(), "fd/0").startswith("/dev/pts/"), what="a target with a terminal")
    return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def size_of(terminal):
    return struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))[:2]


def await_size(terminal, size):
    poll_until(lambda: size_of(terminal) == size, what=f"size {size} (it is {size_of(terminal)})")


def pending(fd):
    """Bytes in a fifo that nobody has read yet."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


def await_read(m, name="ctl"):
    """Wait until the monitor has read what was written to a fifo."""
    fd = os.open(f"{m.bundle}/{name}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    poll_until(lambda: pending(fd) == 0, what="a monitor that reads its fifo")
    os.close(fd)


def barrier(m):
    """Wait until everything written to ctl so far has had its effect: reopening the log is something that can be seen."""
    inode = os.stat(m.log_path).st_ino
    os.rename(m.log_path, m.log_path + ".away")
    m.ctl(b"2 0 0\n")
    wait_path(m.log_path)
    check(os.stat(m.log_path).st_ino != inode, "the log was not reopened")


@line(84)
def fifos_exist_before_the_runtime_starts(a):
    script = f"#!/bin/sh\n[ -p {a.bundle}/ctl ] && [ -p {a.bundle}/winsz ] && echo yes > {a.path('found')}\nexec {RUNTIME} \"$@\"\n"
    m = a.monitor(f"runtime-wait-file={a.path('gate')}", runtime=a.file("wrapper", script.encode(), 0o755))
    m.fifo("gate")
    m.start()
    wait_path(a.path("found"))
    for name in ("ctl", "winsz"):
        os.close(os.open(f"{a.bundle}/{name}", os.O_WRONLY | os.O_NONBLOCK)) # ENXIO if nobody has it open for reading
    equal(os.stat(f"{a.bundle}/ctl").st_mode & 0o777, 0o640)
    m.release("gate")
    equal(m.end(), 0)


@line(85)
def resize(a):
    m = a.monitor("wait-resize winsize", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    m.ctl(b"1 24 80\n")
    m.end()
    equal(m.output(), b"24 80\r\n")


ACCEPTED = {b"1 2 2\n": (2, 2), b"1 2 2 3\n": (2, 2), b"1 0010 0020\n": (10, 20), b"1 1000 1000\n": (1000, 1000),
            b"  1 +7 8\n": (7, 8), b"1 0 0\n": (0, 0)}
TOO_LARGE = {b"1 50 1200\n": (50, 1200), b"1 1001 1000\n": (1001, 1000), b"1 65535 65535\n": (65535, 65535),
             b"1 100000 70000\n": (65535, 65535)} # for the original since 2.2.0; before, only the last one
REJECTED = (b"1 -1 -1\n", b"1 2\n", b"1\n", b"foo\n", b"999\n", b"999 2 2\n", b"1 10.5 20.3\n", b"1 0x10 0x20\n",
            b"1 2 2 " + b"#" * 65535 + b"\n", b"\n")


@line(86, since="2.2.0")
def accepted_and_rejected_lines(a):
    m = a.monitor("hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    terminal = terminal_of(m)
    equal(size_of(terminal), (0, 0), "initial size")
    for text, size in ACCEPTED.items():
        m.ctl(b"1 3 3\n")
        await_size(terminal, (3, 3))
        m.ctl(text)
        await_size(terminal, size)
    m.ctl(b"1 3 3\n")
    await_size(terminal, (3, 3))
    for text in REJECTED:
        m.ctl(text)
        barrier(m)
        equal(size_of(terminal), (3, 3), f"after {text[:30]}")


@scenario(quirk="has limits")
def large_terminals(a):
    """What a terminal's size can hold is set, and what is more is as much."""
    m = a.monitor("hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    terminal = terminal_of(m)
    for text, size in TOO_LARGE.items():
        m.ctl(b"1 3 3\n")
        await_size(terminal, (3, 3))
        m.ctl(text)
        await_size(terminal, size)


@line(87)
def message_in_two_writes(a):
    m = a.monitor("hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    terminal = terminal_of(m)
    for first, second, size in ((b"1 2", b"0 30\n", (20, 30)), (b"1 21 31", b"\n", (21, 31)), (b"1", b" 22 32\n", (22, 32))):
        m.ctl(first)
        await_read(m)
        m.ctl(second)
        await_size(terminal, size)


@line(88, since="2.2.0")
def several_messages_in_one_write(a):
    m = a.monitor("hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    terminal = terminal_of(m)
    m.ctl(b"1 5 6\n1 7 8\n")
    await_size(terminal, (7, 8))
    os.rename(m.log_path, m.log_path + ".away")
    m.ctl(b"1 5 6\n2 0 0\n1 9 10\n" + b"1 2" + b"\n1 11 12\n")
    await_size(terminal, (11, 12))
    wait_path(m.log_path)
    m.ctl(b"".join(b"1 %d %d\n" % (n, n + 1) for n in range(1, 401)))
    await_size(terminal, (400, 401))


@line(89, since="2.2.0")
def overlong_line_is_ignored(a):
    m = a.monitor("hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    terminal = terminal_of(m)
    for filler in (b" " * 300, b"#" * 199, b"1" * 1000, b"\0" * 4000):
        m.ctl(b"1 9 9" + filler + b"\n1 20 30\n")
        await_size(terminal, (20, 30))
        m.ctl(b"junk\n1 3 3\n") # and a rejected line does not take others with it
        await_size(terminal, (3, 3))


@line(90)
def resize_before_there_is_a_terminal(a):
    """It waits for the terminal. A target that looks at once may be first: no runtime waits for the monitor."""
    m = a.monitor("wait-resize winsize", mode="exec", attach="seqpacket", terminal=True).start()
    equal(m.attach_record(), {"data": 0})
    c = m.client()
    m.ctl(b"1 40 50\n")
    m.begin_again()
    equal(c.drain(), b"40 50\r\n")
    os.unlink(m.pid_file)
    m = a.monitor(f"record={a.path('runtime-record')} runtime-wait-file={a.path('gate')} wait-resize winsize",
                  terminal=True)
    m.fifo("gate")
    m.start()
    wait_path(m.runtime_record) # the runtime runs, and waits
    m.ctl(b"1 41 51\n")
    await_read(m)
    m.release("gate")
    m.end()
    contains(m.output(), b"41 51\r\n")


@line(91, quirk="fills the winsz fifo and blocks")
def resizes_without_a_terminal(a):
    m = a.monitor("cat exit=3", stdin=True).start()
    equal(m.record(), {"data": m.target()})
    fd = os.open(f"{m.bundle}/ctl", os.O_WRONLY | os.O_NONBLOCK)
    data = b"".join(b"1 %d 80\n" % (n % 1000) for n in range(10000))
    while data:
        try:
            data = data[os.write(fd, data[:4096]):]
        except BlockingIOError:
            await_read(m)
    await_read(m)
    c = m.client()
    c.send(b"still there\n")
    c.read(b"still there\n")
    check(m.is_idle(), "the monitor is busy")
    c.half_close()
    equal(m.end(), 3)


@line(92)
def reopen_after_the_log_was_renamed(a):
    m = a.monitor(f"stdout=one\\n wait-file={a.path('gate')} stdout=two\\n")
    m.fifo("gate")
    m.start()
    m.wait_output(b"one\n")
    old = m.log_path + ".old"
    os.rename(m.log_path, old)
    m.ctl(b"2 0 0\n")
    wait_path(m.log_path) # the container is silent meanwhile
    equal(m.log_text(), b"")
    content = read_text(old)
    m.release("gate")
    m.end()
    equal(m.output(), b"two\n")
    equal(read_text(old), content, "the old log")
    contains(content, b" stdout F one\n")


@line(93)
def reopen_without_a_log_file(a):
    """There need not be a journal: the target is silent."""
    elsewhere = a.make("elsewhere")
    m = a.monitor("hang", log=["journald"], cwd=elsewhere).start()
    equal(m.record(), {"data": m.target()})
    before = sorted(os.listdir(a.bundle))
    m.ctl(b"2 0 0\n")
    await_read(m)
    m.ctl(b"2 1 1\n")
    await_read(m)
    check(stays(lambda: is_alive(m.pid)), "the monitor has ended")
    equal(sorted(os.listdir(a.bundle)), before)
    equal(os.listdir(elsewhere), [])
    os.kill(m.target(), signal.SIGTERM)
    equal(m.end(), 143)
    equal(m.exit_file(), "143")


@line(94)
def existing_files_are_replaced(a):
    def make_file(path):
        with open(path, "wb") as f:
            f.write(b"1 1 1\n")

    def make_socket(path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

    for make in (make_file, os.mkfifo, make_socket, lambda path: os.symlink("/nonexistent", path)):
        for name in ("ctl", "winsz"):
            if os.path.lexists(f"{a.bundle}/{name}"):
                os.unlink(f"{a.bundle}/{name}")
            make(f"{a.bundle}/{name}")
        m = a.monitor("wait-resize winsize", terminal=True).start()
        equal(m.record(), {"data": m.target()})
        check(is_fifo(f"{a.bundle}/ctl") and is_fifo(f"{a.bundle}/winsz"), "not replaced")
        m.ctl(b"1 30 40\n")
        m.end()
        contains(m.output(), b"30 40\r\n")
        os.unlink(m.pid_file)
        os.unlink(f"{a.exits}/{CID}")
