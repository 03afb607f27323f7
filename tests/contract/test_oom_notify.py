# SPDX-License-Identifier: Apache-2.0
"""Checklist 153 to 159: OOM kills and the notification relay."""

import os
import socket

import harness
import host
from harness import CID, Inotify, check, equal, line, poll_until, read_text, scenario, wait_fd

QUIET = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"
PRESSED = "low 0\nhigh 5\nmax 7\noom 0\noom_kill 0\n"
KILLED = "low 0\nhigh 5\nmax 7\noom 1\noom_kill 1\n"


def gated(a, words="", **options):
    m = a.monitor(f"stdout=up\\n wait-file={a.path('gate')} {words}", **options)
    m.fifo("gate")
    m.start()
    check(m.record() is not None)
    m.wait_output(b"up\n")
    return m


def oom_files(a):
    return [os.path.exists(f"{a.persist}/oom"), os.path.exists(f"{a.bundle}/oom")]


@line(153, quirk="takes the first line of /proc/PID/cgroup")
def oom_files_before_the_exit_file(a):
    with host.FakeCgroup(a) as cgroup, Inotify(a.exits) as watch:
        m = gated(a, "signal=9")
        cgroup.write(KILLED)
        m.release("gate")
        while CID not in os.listdir(a.exits):
            check(watch.wait(harness.deadline()) is not None, "no exit file")
        equal(oom_files(a), [True, True], "oom files when the exit file is there")
        equal(m.end(), 137)
        equal((read_text(f"{a.persist}/oom"), oct(harness.mode_of(f"{a.bundle}/oom"))), (b"", "0o644"))


@line(154, since="2.2.0")
def no_oom_file_without_an_oom(a):
    for events in (QUIET, PRESSED, None):
        syslog = host.Syslog() if events is None else None
        with host.FakeCgroup(a, events):
            m = gated(a, "signal=9", args=["--syslog"] if syslog else [])
            m.release("gate")
            equal(m.end(), 137)
            equal(oom_files(a), [False, False], f"oom files with {events!r}")
            if syslog:
                harness.lacks("\n".join(syslog.lines()).lower(), "memory.events", "warnings about a missing file")
        os.unlink(m.pid_file)
        os.unlink(m.log_path)


@line(155, quirk="takes the first line of /proc/PID/cgroup")
def pressure_before_the_oom_does_not_end_the_watch(a):
    with host.FakeCgroup(a) as cgroup:
        m = gated(a, "signal=9")
        cgroup.write(PRESSED)
        check(m.is_idle(0.3), "busy after an event")
        cgroup.write(PRESSED.replace("high 5", "high 6"))
        cgroup.write(KILLED)
        check(m.is_idle(0.3), "busy after an OOM")
        m.release("gate")
        equal(m.end(), 137)
        equal(oom_files(a), [True, True])


@line(156)
def oom_of_cgroup_v1(a):
    with host.MemoryCgroup(a, 64 << 20) as cgroup:
        m = a.monitor(f"wait-file={a.path('start')} eat=256 hang")  # as a container, which is started when it is known
        m.fifo("start")
        cgroup.add(m.launcher.pid)
        m.start()
        m.target()
        m.release("start")
        equal(m.end(), 137)
        equal(oom_files(a), [True, True], "oom files after an OOM kill")
        for path in (f"{a.persist}/oom", f"{a.bundle}/oom", m.pid_file):
            os.unlink(path)
    with host.MemoryCgroup(a) as cgroup:
        m = a.monitor(f"stdout=up\\n wait-file={a.path('gate')} signal=9")
        m.fifo("gate")
        cgroup.add(m.launcher.pid)
        m.start()
        m.wait_output(b"up\n")
        cgroup.empty()
        poll_until(cgroup.rmdir, what="the cgroup's end")
        m.release("gate")
        equal(m.end(), 137)
        equal(oom_files(a), [False, False], "oom files after the cgroup's removal")


class Receiver(host.Datagrams):
    """The service manager's notification socket."""

    def first(self, n):
        return self.wait(lambda: self.seen[:n] if len(self.seen) >= n else None, what=f"{n} notifications")


def notify_socket(a):
    return Receiver(a.path("host-notify"))


def send(bundle, data, fds=()):
    directory = os.open(bundle, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(f"/proc/self/fd/{directory}/notify/notify.sock")
        socket.send_fds(s, [data], list(fds))
    os.close(directory)


@line(157, since="2.1.9")
def notifications_are_filtered(a):
    os.mkdir(f"{a.bundle}/notify")
    receiver = notify_socket(a)
    m = gated(a, r"notify=READY=1\nSTATUS=hi\nMAINPID=77\nFDSTORE=1\nWATCHDOG=1 notify=MAINPID=1\nBARRIER=1"
              r" notify=READY=1\r\nREADY=11\nXREADY=1\nERRNO=2\nSTATUS=\nRELOADING=1\nMONOTONIC_USEC=5\nWATCHDOG=trigger\nWATCHDOG=x"
              r"\nSTOPPING=1\nBUSERROR=o.f\n\nREADY=1", args=[f"--sdnotify-socket={a.path('host-notify')}"])
    m.release("gate")
    equal(m.end(), 0)
    receiver.take()
    equal(receiver.seen, [b"READY=1\nSTATUS=hi\nWATCHDOG=1",
                          b"READY=1\nERRNO=2\nSTATUS=\nRELOADING=1\nMONOTONIC_USEC=5\nWATCHDOG=trigger\nSTOPPING=1\n"
                          b"BUSERROR=o.f\nREADY=1"])


@scenario(quirk="only READY=1 of these lines passes")
def container_asks_for_time_and_tells_its_status(a):
    os.mkdir(f"{a.bundle}/notify")
    receiver = notify_socket(a)
    m = gated(a, r"notify=EXTEND_TIMEOUT_USEC=30000000\nMAINPID=1\nRESTART_RESET=1\nEXIT_STATUS=7\nMAINPIDFDID=1"
              r" notify=EXTEND_TIMEOUT_USEC=x\nRESTART_RESET=0\nEXIT_STATUS=\nREADY=1",
              args=[f"--sdnotify-socket={a.path('host-notify')}"])
    m.release("gate")
    equal(m.end(), 0)
    receiver.take()
    equal(receiver.seen, [b"EXTEND_TIMEOUT_USEC=30000000\nRESTART_RESET=1\nEXIT_STATUS=7", b"READY=1"])


@line(158)
def barriers_and_long_paths(a):
    bundle = a.make("/".join(["b" * 90] * 3))
    os.mkdir(f"{bundle}/notify")
    receiver = notify_socket(a)
    m = gated(a, "", bundle=bundle, args=["--sdnotify-socket", a.path("host-notify")], cwd=a.top)
    r, w = os.pipe()
    send(bundle, b"BARRIER=1", [w])
    os.close(w)
    check(wait_fd(r), "the barrier's descriptor is still open")
    equal(os.read(r, 1), b"")
    os.close(r)
    send(bundle, b"READY=1")
    equal(receiver.first(1), [b"READY=1"])
    m.release("gate")
    equal(m.end(), 0)


@line(159)
def notify_socket_has_mode_0777_and_replaces_another(a):
    os.mkdir(f"{a.bundle}/notify")
    path = f"{a.bundle}/notify/notify.sock"
    with open(path, "wb"):
        pass
    notify_socket(a)
    m = gated(a, "", args=["--sdnotify-socket", a.path("host-notify")])
    check(harness.is_socket(path))
    equal(oct(harness.mode_of(path)), "0o777")
    m.release("gate")
    m.end()
    check(os.path.lexists(path), "the socket was removed")


