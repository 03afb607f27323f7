# SPDX-License-Identifier: Apache-2.0
"""What is scarce: descriptors, descriptors on their way, places for a socket. The container is served all the same."""

import array
import contextlib
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys

from harness import (CID, RUNTIME, Failed, check, children, contains, equal, is_scopemon, libc, link, poll_until,
                     read_text, scenario, status_field, wait_gone, wait_path)
import host

CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 21, 24
PR_CAPBSET_DROP = 24
PER_MESSAGE = 253 # what one message can carry


def send_away(n):
    """Put at least N descriptors of our user on their way to nobody; return what keeps them there."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    fds = array.array("i", [one.fileno()] * PER_MESSAGE)
    for _ in range((n + PER_MESSAGE - 1) // PER_MESSAGE):
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    return one, two


def become_ordinary():
    """Who is started from now on is root, but has no more descriptors on their way than anybody."""
    for cap in (CAP_SYS_ADMIN, CAP_SYS_RESOURCE):
        check(libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0, "cannot drop a capability")


def kill_worker(m):
    worker = poll_until(lambda: next((p for p in m.processes()[1:] if status_field(p, "Seccomp") == "2"), None),
                        what="a worker")
    os.kill(worker, signal.SIGKILL)
    wait_gone(worker)


@scenario()
def clients_are_served_while_descriptors_are_in_flight(a):
    away = send_away(300)
    m = a.monitor(f"wait-file={a.path('gate')} stdout=hello\\n cat exit=3", stdin=True, wrapper=limited(110))
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    clients = [m.client() for _ in range(3)]
    m.release("gate")
    for c in clients:
        c.read(b"hello\n")
    for c in away:
        c.close()
    late = m.client()
    late.send(b"input\n")
    for c in (*clients, late):
        c.read(b"input\n")
    late.half_close()
    for c in (*clients, late):
        contains(bytes(c.drain()), b"input\n")
    equal(m.end(), 3)


@scenario()
def clients_outlive_a_worker_that_could_not_send_them(a):
    """The keeper has a copy of each all the same."""
    away = send_away(300)
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=limited(110)).start()
    equal(m.record(), {"data": m.target()})
    clients = [m.client() for _ in range(20)]
    clients[0].send(b"one\n")
    for c in clients:
        c.read(b"one\n")
    kill_worker(m)
    clients[0].send(b"two\n")
    for c in clients:
        c.read(b"two\n")
    clients[0].half_close()
    for c in clients:
        c.drain()
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\ntwo\n")
    del away


@scenario()
def a_start_without_a_descriptor_to_send(a):
    """Not even the keeper may send any, as rootless."""
    away = send_away(300)
    become_ordinary()
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=limited(110)).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    c.send(b"one\n")
    c.read(b"one\n")
    os.rename(m.log_path, m.log_path + ".old")
    m.ctl(b"2 0 0\n") # a new log file, whose descriptor cannot be sent either
    wait_path(m.log_path)
    c.send(b"two\n")
    c.read(b"two\n")
    c.half_close()
    c.drain()
    equal(m.end(), 3)
    contains(m.log_text() + read_text(m.log_path + ".old"), b"two\n")
    del away


@scenario()
def a_replacement_without_a_descriptor_to_send(a):
    """Workers that follow, and the clients that they go on with."""
    become_ordinary()
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=limited(110)).start()
    equal(m.record(), {"data": m.target()})
    clients = [m.client() for _ in range(20)]
    clients[0].send(b"one\n")
    for c in clients:
        c.read(b"one\n")
    away = send_away(300)
    kill_worker(m)
    clients[0].send(b"two\n")
    for c in clients:
        c.read(b"two\n")
    check(m.is_idle(), "the monitor is busy with nothing")
    clients[0].half_close()
    for c in clients:
        c.drain()
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\ntwo\n")
    del away


@scenario()
def a_container_at_each_limit_of_descriptors(a):
    for n in (20, 22, 24, 28, 32, 40, 48, 64, 65, 80, 100, 128):
        try:
            serve_with_few_descriptors(a, n)
        except Failed as e:
            raise Failed(f"with {n} descriptors: {e}") from e


def serve_with_few_descriptors(a, n):
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, cid=f"{CID[:-3]}{n:03}", wrapper=limited(n)).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    c.send(b"one\n")
    c.read(b"one\n")
    c.half_close()
    c.drain()
    equal(m.exit_file(), "3")
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\n")
    os.unlink(m.log_path)
    os.unlink(m.pid_file)
    os.unlink(m.monitor_pid_file)


def limited(soft, hard=None):
    """The command that lets only the monitor, and what comes of it, have so few descriptors."""
    return ["prlimit", f"--nofile={soft}:{hard or soft}"]


def limits_of(pid):
    """(soft, hard) limit of descriptors."""
    row = next(r for r in read_text(f"/proc/{pid}/limits").decode().splitlines() if r.startswith("Max open files"))
    return tuple(int(n) for n in row.split()[3:5])


@scenario()
def soft_limit_of_descriptors_is_the_containers(a):
    """We take all that we may have; runtime, container and exit command have what they were meant to have."""
    m = a.monitor("hang", wrapper=limited(40, 200), exit_command=True, exit_words="exit-hang").start()
    equal(m.record(), {"data": m.target()})
    equal(limits_of(m.target()), (40, 200))
    if is_scopemon():
        equal({limits_of(pid) for pid in m.processes()}, {(200, 200)})
    target = m.target()
    os.kill(target, signal.SIGKILL)
    command = poll_until(lambda: next((c for c in children(m.pid) if c != target and link(c, "exe") == RUNTIME), None),
                         what="the exit command")
    equal(limits_of(command), (40, 200))
    os.kill(command, signal.SIGKILL)
    m.end()


@scenario()
def many_clients_with_few_descriptors(a):
    """The starter, which is this process, is served however many came before it; who is not served is told so."""
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=limited(40)).start()
    equal(m.record(), {"data": m.target()})
    others = subprocess.Popen([sys.executable, "-c", CONNECT_MANY, m.attach_path], stdout=subprocess.PIPE,
                              stdin=subprocess.PIPE)
    told = others.stdout.readline().split()
    check(int(told[1]) > 0, f"nobody was refused: {told}")
    c = m.client()
    c.send(b"one\n")
    c.read(b"one\n")
    c.half_close()
    contains(bytes(c.drain()), b"one\n")
    others.communicate()
    equal(m.end(), 3)


CONNECT_MANY = """
import select, socket, sys
sockets = []
for _ in range(50):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    sockets.append(s)
refused, left = 0, set(sockets)
while True:
    ready = select.select(left, [], [], 1)[0]
    if not ready:
        break
    for s in ready:
        data = s.recv(65536)
        if not data:
            left.remove(s)
        refused += data[:1] == b"\\x03" and b"too many clients" in data
print(len(left), refused, flush=True)
sys.stdin.read()
"""


@scenario(quirk="knows one place")
def console_socket_where_there_is_room(a):
    """TMPDIR is missing, is no directory, or its path is too long for a socket."""
    for i, where in enumerate(("/nonexistent", a.file("file"), a.make("x" * 100))):
        m = a.monitor("stdout=hello\\n", terminal=True, cid=f"{CID[:-1]}{i}", env={"TMPDIR": where}).start()
        equal(m.record(), {"data": m.target()}, where)
        equal(m.end(), 0)
        equal(m.output(), b"hello\r\n")
        os.unlink(m.log_path)
        os.unlink(m.pid_file)
        os.unlink(m.monitor_pid_file)


@scenario(quirk="knows one place")
def console_socket_without_any_place(a):
    """The caller learns which have been tried."""
    enter = "".join(f"mount -t tmpfs -o ro none {place}; " for place in ("/run", "/dev/shm", "/var/tmp"))
    enter += f"mount --bind /tmp /tmp; mount --bind {a.top} {a.top}; mount -o remount,ro,bind /tmp; exec \"$@\""
    long_bundle = a.make("b" * 100)
    m = a.monitor("hang", terminal=True, env={"TMPDIR": "/nonexistent"}, bundle=long_bundle,
                  wrapper=["unshare", "-m", "sh", "-c", enter, "sh"], drop=["-P"])
    m.go()
    record = m.record()
    check(record, m.left())
    equal(record["data"], -1)
    for place in ("/nonexistent", "/run", "/tmp", "/var/tmp", "/dev/shm"):
        contains(record["message"], place)


# ---- what all processes of a user share: a neighbour takes it, and everybody else is served as before --------

ORDINARY = 54321 # a user of whom there is nobody else


def as_ordinary(a, *limits):
    """The command that starts a monitor as that user, to whom the directories are given."""
    for where in (a.top, *(os.path.join(a.top, name) for name in os.listdir(a.top))):
        os.chown(where, ORDINARY, ORDINARY)
    return ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "prlimit", *limits]


@scenario()
def pipes_that_hold_next_to_nothing(a):
    """Of who has used up fs.pipe-user-pages-soft a new pipe has room for a page or two."""
    become_ordinary()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    mine = [fd for _ in range(int(read_text("/proc/sys/fs/pipe-user-pages-soft")) // 16 + 16) for fd in os.pipe()]
    m = a.monitor(f"wait-file={a.path('gate')} lines=5000,100 exit=3", stdin=True)
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    with open(f"/proc/{m.target()}/fd/1", "wb") as stdout:
        check(fcntl.fcntl(stdout, fcntl.F_GETPIPE_SZ) < 65536, "the pipe has its usual size")
    c = m.client()
    m.release("gate")
    host.check_lines(bytes(c.drain()), 5000, 100)
    equal(m.end(), 3)
    host.check_lines(m.output(), 5000, 100)
    for fd in mine:
        os.close(fd)


@scenario()
def no_place_for_a_queued_signal(a):
    """A signal comes all the same, if it is one, and without what it was sent with."""
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=["prlimit", "--sigpending=0:0"]).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    kill_worker(m)
    c.send(b"one\n")
    c.read(b"one\n")
    c.half_close()
    c.drain()
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\n")


@scenario(quirk="ends with an error")
def no_place_for_an_inotify_instance(a):
    enter = "".join(f"echo 0 > /proc/sys/user/max_inotify_{what}; " for what in ("instances", "watches"))
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True,
                  wrapper=["unshare", "-r", "sh", "-c", enter + 'exec "$@"', "sh"]).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    c.send(b"one\n")
    c.read(b"one\n")
    c.half_close()
    c.drain()
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\n")


@contextlib.contextmanager
def processes(n):
    """So many of that user's."""
    mine = [subprocess.Popen(["sleep", "1000"], user=ORDINARY) for _ in range(n)]
    try:
        yield
    finally:
        for p in mine:
            p.kill()
            p.wait()


@scenario(quirk="is killed as a whole")
def no_process_may_be_started(a):
    """Whoever runs is served to the end; who is started is told why not; and afterwards all is well again."""
    wrapper = as_ordinary(a, "--nproc=20:20")
    m = a.monitor("stdout=hello\\n cat exit=3", stdin=True, wrapper=wrapper).start()
    equal(m.record(), {"data": m.target()})
    with processes(20):
        c = m.client()
        c.send(b"one\n")
        c.read(b"one\n")
        late = a.monitor("stdout=no\\n", cid=CID[:-1] + "x", wrapper=wrapper, drop=["-P", "-p"])
        late.go()
        said = late.left()
        check(said.status != 0, "it was started")
        contains(said.err, b"Resource temporarily unavailable")
        kill_worker(m)
    c.send(b"two\n")
    c.read(b"two\n")
    c.half_close()
    c.drain()
    equal(m.end(), 3)
    equal(m.output(), b"hello\none\ntwo\n")
