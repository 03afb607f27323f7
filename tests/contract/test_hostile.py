# SPDX-License-Identifier: Apache-2.0
"""Containers and clients that mean harm: what they send stalls nobody, what they take is missed by nobody.

The container's end is told within SOON seconds whatever its worker does. Output that cannot be had is counted as lost.
"""

import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

import host
from harness import check, equal, libc, poll_until, read_text, scenario, stat_fields, status_field, stays

SOON = 3     # seconds
LINGER = 25  # seconds for which close() of such a socket sleeps


class Lingering:
    """TCP sockets that nobody reads from: the process that closes the last copy of one sleeps."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.peers = []

    def make(self):
        s = socket.socket()
        s.connect(self.listener.getsockname())
        self.peers.append(self.listener.accept()[0])
        s.setblocking(False)
        try:
            while True:
                s.send(b"x" * 65536)
        except BlockingIOError:
            pass
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
        return s

    def send(self, over, data, n=1):
        """Send N of them, of which the receiver has the only copies then; data alone if the receiver refuses descriptors."""
        sockets = [self.make() for _ in range(n)]
        try:
            socket.send_fds(over, [data], [s.fileno() for s in sockets])
        except PermissionError:
            for s in sockets:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            over.send(data)
        for s in sockets:
            s.close()


def notify_sender(a):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(f"{a.bundle}/notify/notify.sock")
    return s


def gated(a, words="", **options):
    m = a.monitor(rf"stdout=up\n wait-file={a.path('gate')} {words}", **options)
    m.fifo("gate")
    m.start()
    check(m.record() is not None)
    m.wait_output(b"up\n")
    return m


def worker_of(m):
    """The child of the monitor that runs its program."""
    return poll_until(lambda: next((p for p in m.processes() if p != m.pid), None), what="a worker")


def ends_soon(m, status=0):
    """The exit file is there in time; afterwards the monitor ends."""
    start = time.monotonic()
    equal(m.exit_file(30), str(status))
    took = time.monotonic() - start
    check(took < SOON, f"the end was told after {took:.1f} s")
    equal(m.end(), status)


@scenario(quirk="closes what it is sent")
def lingering_sockets_in_notifications(a):
    """A notification's descriptors are closed, and the container's output goes on."""
    os.mkdir(f"{a.bundle}/notify")
    host_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    host_socket.bind(a.path("host-notify"))
    m = gated(a, rf"stdout=more\n wait-file={a.path('last')} stdout=end\n", args=[f"--sdnotify-socket={a.path('host-notify')}"])
    m.fifo("last")
    lingering = Lingering()
    with notify_sender(a) as s:
        lingering.send(s, b"READY=1")
        lingering.send(s, b"STATUS=many", n=70)
        lingering.send(s, b"x" * 40000)
    m.release("gate")
    m.wait_log(lambda records: len(records) >= 2, seconds=SOON)
    m.release("last")
    ends_soon(m)
    equal(m.output(), b"up\nmore\nend\n")


def sees_nothing(pid):
    """Names lead nowhere, or to exit files (Linux 6.10), and it has no directory that it could pass on."""
    seen = [name for where in ("root", "cwd") for name in os.listdir(f"/proc/{pid}/{where}/") if not name.isdigit()]
    check(seen in (["other"], []), f"it can name {seen}")
    modes = [os.stat(f"/proc/{pid}/fd/{fd}").st_mode for fd in os.listdir(f"/proc/{pid}/fd")]
    check(not any(map(stat.S_ISDIR, modes)), "it has a directory open")


def confined_worker(m, but=None):
    return poll_until(lambda: next((p for p in m.processes()[1:] if p != but and status_field(p, "Seccomp") == "2"), None),
                      what="a confined worker")


@scenario(quirk="has no worker")
def worker_has_left_the_file_system(a):
    """But for exit files, if it may have to write them; so does the one that comes next."""
    open(f"{a.exits}/other", "w").close()
    m = gated(a, rf"stdout=more\n wait-file={a.path('last')} exit=3")
    m.fifo("last")
    first = confined_worker(m)
    sees_nothing(first)
    os.kill(first, signal.SIGKILL)
    m.release("gate")
    m.wait_log(lambda records: len(records) >= 2)
    sees_nothing(confined_worker(m, first))
    m.release("last")
    ends_soon(m, 3)


@scenario(quirk="has no worker")
def worker_that_cannot_leave_the_file_system(a):
    """Neither CAP_SYS_CHROOT nor a namespace to have it in: that is said once, and nothing else is missing."""
    syslog = host.Syslog()
    enter = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_chroot "$@"'
    m = gated(a, "exit=3", args=["--syslog"], wrapper=["unshare", "-r", "sh", "-c", enter, "sh"])
    os.kill(confined_worker(m), signal.SIGKILL)
    m.release("gate")
    ends_soon(m, 3)
    said = [line for line in syslog.lines() if "root directory" in line]
    equal(len(said), 1, f"said: {syslog.lines()}")


def two_clients(a, words, **options):
    m = a.monitor(words, stdin=True, **options).start()
    check(m.record() is not None)
    return m, m.client(), m.client()


@scenario(quirk="closes what it is sent")
def lingering_sockets_of_an_attached_client(a):
    """Other clients are served, whether its packets are input or thrown away."""
    lingering = Lingering()
    m, bad, good = two_clients(a, "cat")
    lingering.send(bad.socket, b"one\n")
    good.send(b"two\n")
    good.read(b"two\n", seconds=SOON)
    bad.read(b"one\n", seconds=SOON)
    good.half_close()
    ends_soon(m)
    equal(sorted(good.drain().split()), [b"one", b"two"]) # of two clients none is the first


@scenario(quirk="closes what it is sent")
def lingering_sockets_that_nobody_has_read(a):
    """A client leaves packets that the target has never asked for."""
    lingering = Lingering()
    m, bad, good = two_clients(a, rf"stdout=up\n wait-file={a.path('gate')} stdout=end\n")
    m.fifo("gate")
    bad.socket.setblocking(False)
    try:
        while True: # until input is not read any more
            bad.send(b"x" * 8000)
    except BlockingIOError:
        pass
    poll_until(lambda: stat_fields(worker_of(m))[0] == "S", what="a worker that waits")
    try:
        lingering.send(bad.socket, b"x")
    except BlockingIOError:
        pass
    bad.close()
    m.release("gate")
    good.read(b"end\n", seconds=SOON)
    ends_soon(m)


def stop(m):
    pid = worker_of(m)
    os.kill(pid, signal.SIGSTOP)
    poll_until(lambda: (stat_fields(pid) or "X")[0] == "T", what="the worker's stop")
    return pid


@scenario(quirk="has no worker")
def stopped_worker_does_not_delay_the_end(a):
    """Nothing is lost: another one takes what is left."""
    m = gated(a, r"stdout=last\nwords\n exit=3")
    stop(m)
    m.release("gate")
    ends_soon(m, 3)
    equal(m.output(), b"up\nlast\nwords\n")


@scenario(quirk="has no worker")
def stopped_worker_is_replaced(a):
    """Only if there is something to do."""
    m = gated(a, rf"stdout=more\n wait-file={a.path('last')} exit=3")
    m.fifo("last")
    pid = stop(m)
    check(m.is_idle(1), "busy while there is nothing to do")
    equal(worker_of(m), pid)
    m.release("gate")
    m.wait_log(lambda records: len(records) >= 2, seconds=20)
    check(worker_of(m) != pid, "the worker is the same")
    m.release("last")
    ends_soon(m, 3)
    equal(m.output(), b"up\nmore\n")


SPLICE = """
import os, socket, sys
pair = socket.socketpair()
print(flush=True)
os.splice(pair[0].fileno(), 1, 4096)
"""


@scenario(quirk="has no worker")
def pipe_that_somebody_holds_the_lock_of(a):
    """Whoever splices from a silent socket into a pipe lets nobody else touch it, nor be killed while it tries."""
    m = gated(a, r"stdout=last\n exit=3")
    stdout = libc.syscall(438, os.pidfd_open(m.target()), 1, 0)  # pidfd_getfd
    check(stdout >= 0, "no copy of the target's stdout")
    code = SPLICE.replace(", 1, ", f", {stdout}, ")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=[stdout]) as splicer:
        try:
            splicer.stdout.readline()
            poll_until(lambda: stat_fields(splicer.pid)[0] == "S" and b"read" in read_text(f"/proc/{splicer.pid}/wchan"),
                       what="a process in splice()")
            os.kill(m.target(), signal.SIGKILL)
            start = time.monotonic()
            equal(m.exit_file(30), "137")
            took = time.monotonic() - start
        finally:
            splicer.kill()
    check(took < SOON, f"the end was told after {took:.1f} s")
    equal(m.end(), 137)


@scenario(quirk="says each of them")
def flood_of_notifications_is_said_once(a):
    """Nobody takes them, as with a manager that is not there."""
    os.mkdir(f"{a.bundle}/notify")
    syslog = host.Syslog()
    m = gated(a, "exit=3", args=["--syslog", f"--sdnotify-socket={a.path('nobody')}"])
    with notify_sender(a) as s:
        for _ in range(2000):
            s.send(b"READY=1")
    m.release("gate")
    ends_soon(m, 3)
    said = [line for line in syslog.lines() if "notification" in line]
    equal(len(said), 1, f"warnings: {said[:3]}")


@scenario(quirk="believes the pid file")
def process_of_somebody_else_in_the_pid_file(a):
    """Its end is the container's, as far as anybody can know; but it is not killed when the container's time is over."""
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as stranger:
        m = a.monitor(f"pidfile={stranger.pid} exit=0", args=["--timeout", "1"])
        m.start()
        equal(m.record(), {"data": stranger.pid})
        try:
            check(stays(lambda: stranger.poll() is None, 2), "a process that is nobody's was killed")
        finally:
            stranger.kill()
    m.exit_file()
    m.end()
