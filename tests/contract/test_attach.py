# SPDX-License-Identifier: Apache-2.0
"""Checklist 61 to 83: the attach socket."""

import os
import select
import signal
import socket

from harness import (CID, Client, Failed, check, deadline, drain_all, equal, is_alive, is_fifo, is_socket, line, link,
                     mode_of, poll_until, stat_fields, stays, unlogged, wait_fd, wait_path)

PACKET = 32768 # bytes of input that a client sends at once, at most


def numbered(n, size):
    """Bytes in which every piece is different."""
    return b"".join(b"%08d\n" % i for i in range(n * size // 9 + 1))[:n * size]


def send_all(c, data):
    """Send DATA in packets while output is read."""
    end = deadline()
    while data:
        ready = wait_fd(c.fileno(), select.POLLIN | select.POLLOUT, end)
        check(ready, "the client can neither send nor receive")
        if ready & select.POLLIN:
            c.packet()
        elif ready & select.POLLOUT:
            try:
                n = c.socket.send(data[:PACKET], socket.MSG_DONTWAIT)
            except BlockingIOError:
                wait_fd(c.fileno(), select.POLLIN, deadline(0.05)) # poll is more optimistic than send
                continue
            data = data[n:]


def send_until_it_blocks(c, most):
    """Send packets until none is taken for a while; the number of bytes sent, MOST if it never blocked."""
    sent = 0
    while sent < most:
        try:
            sent += c.socket.send(numbered(1, PACKET), socket.MSG_DONTWAIT)
        except BlockingIOError:
            def try_again():
                try:
                    c.socket.send(numbered(1, PACKET), socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return True
                return False
            if stays(try_again):
                return sent
            sent += PACKET
    return sent


@line(61)
def full_attach(a):
    m = a.monitor("hang").start()
    equal(m.record(), {"data": m.target()})
    check(is_socket(f"{a.bundle}/attach"), "no socket")
    equal(mode_of(f"{a.bundle}/attach"), 0o700)
    m.client()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        try:
            s.connect(f"{a.bundle}/attach")
            raise Failed("a stream socket can connect")
        except OSError as e:
            equal(e.errno, 91, "errno") # EPROTOTYPE


@line(62)
def link_in_the_socket_directory(a):
    m = a.monitor(f"stdout=early wait-file={a.path('gate')} stdout=hello", full=False)
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    equal(os.readlink(f"{a.sockets}/{CID}"), a.bundle)
    c = m.client(f"{a.sockets}/{CID}/attach")
    m.release("gate")
    check(c.drain().endswith(b"hello"), c.out)
    equal(m.end(), 0)
    m = a.monitor("hang", full=False, args=["--socket-dir-path", a.bundle], uuid="session").start() # a link to where it lies
    equal(m.record()["data"] > 0, True)
    m.client(f"{a.bundle}/session/attach")


@line(63)
def stale_files_are_replaced(a):
    os.symlink("/nonexistent", f"{a.sockets}/{CID}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(f"{a.bundle}/attach")
    m = a.monitor(f"wait-file={a.path('gate')} stdout=hello", full=False)
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    equal(os.readlink(f"{a.sockets}/{CID}"), a.bundle)
    c = m.client()
    m.release("gate")
    equal(c.drain(), b"hello")
    m.end()
    a.file("bundle/attach", b"a regular file")
    m = a.monitor("hang").start()
    equal(m.record()["data"] > 0, True)
    m.client()


@line(64)
def long_bundle_path(a):
    bundle = a.make("/".join(["bundle", "b" * 100, "c" * 100, "d" * 60]))
    for full in (True, False):
        gate = f"gate-{full}"
        m = a.monitor(f"wait-file={a.path(gate)} stdout=hello", bundle=bundle, full=full)
        m.fifo(gate)
        m.start()
        equal(m.record()["data"] > 0, True)
        c = m.client() if full else m.client(f"{a.sockets}/{CID}/attach")
        m.ctl(b"1 2 3\n")
        m.release(gate)
        equal(c.drain(), b"hello")
        equal(m.end(), 0)
        check(not os.path.exists(m.attach_path), "socket left behind")


@line(65, quirk="the shortened link is never removed")
def link_of_exactly_107_characters(a):
    for n in (106, 107, 108):
        uuid = "u" * (n - len(a.sockets) - 1)
        equal(len(f"{a.sockets}/{uuid}"), n)
        name = f"{a.sockets}/{uuid[:-1] if n == 107 else uuid}"
        m = a.monitor("hang", full=False, uuid=uuid).start()
        equal(m.record()["data"] > 0, True)
        equal(os.listdir(a.sockets), [os.path.basename(name)])
        equal(os.readlink(name), a.bundle)
        m.client(f"{name}/attach")
        os.kill(m.target(), signal.SIGKILL)
        m.end()
        equal(os.listdir(a.sockets), [], "left behind")
        os.unlink(m.pid_file)


@line(66)
def output_packets(a):
    m = a.monitor(f"wait-file={a.path('gate')} lines=200,5000 lines-stderr=200,5000 stdout=end stderr=end")
    m.fifo("gate")
    m.start()
    c = m.client()
    m.release("gate")
    c.drain()
    for packet in c.packets:
        check(packet[0] in (2, 3) and 2 <= len(packet) <= 8193, f"packet of {len(packet)} bytes, the first {packet[0]}")
    m.end()
    equal(len(c.out), 1000003, "bytes of stdout")
    equal(len(c.err), 1000003, "bytes of stderr")
    equal(c.out, m.output("stdout"), "stdout as logged")
    equal(c.err, m.output("stderr"), "stderr as logged")


@line(67)
def two_clients_get_all_from_when_they_connected(a):
    m = a.monitor(f"stdout=none\\n wait-file={a.path('gate-1')} lines=500,100 wait-file={a.path('gate-2')} lines=500,200")
    m.fifo("gate-1")
    m.fifo("gate-2")
    m.start()
    m.wait_output(b"none")
    one = m.client()
    m.release("gate-1")
    one.read(50000)
    m.wait_log(lambda records: len(unlogged(records)) >= 50005)
    two = m.client()
    m.release("gate-2")
    drain_all([one, two])
    m.end()
    everything = m.output()
    equal(one.out, everything[5:], "first client")
    equal(two.out, everything[50005:], "second client")


@line(68)
def input_reaches_the_target(a):
    data = numbered(40, 1000)
    m = a.monitor("cat", stdin=True).start()
    c, other = m.client(), m.client()
    send_all(c, data)
    c.read(len(data))
    other.send(b"and another's\n")
    other.half_close()
    equal(c.drain(), data + b"and another's\n")
    equal(other.drain(), data + b"and another's\n")
    m.end()
    equal(m.output(), data + b"and another's\n")
    os.unlink(m.pid_file)
    m = a.monitor("cat", terminal=True, stdin=True).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    c.send(b"hello\n")
    c.read(b"hello\r\nhello\r\n") # the terminal's echo, then cat's


@line(69)
def half_close_ends_stdin(a):
    m = a.monitor("cat stdout=after", stdin=True).start()
    c, other = m.client(), m.client()
    c.send(b"data\n")
    c.half_close()
    equal(c.drain(), b"data\nafter")
    equal(other.drain(), b"data\nafter", "the other client")
    equal(m.end(), 0)
    os.unlink(m.pid_file)
    m = a.monitor("cat stdout=after", stdin=True).start() # a close does the same
    other, c = m.client(), m.client()
    c.send(b"data\n")
    c.close()
    equal(other.drain(), b"data\nafter")


@line(70)
def empty_packet_ends_stdin(a):
    m = a.monitor("cat stdout=after", stdin=True).start()
    c = m.client()
    c.send(b"data\n")
    c.send(b"")
    equal(c.drain(), b"data\nafter")
    equal(m.end(), 0)


@line(71)
def leave_stdin_open(a):
    m = a.monitor("cat", stdin=True, args=["--leave-stdin-open"]).start()
    watcher = m.client()
    one = m.client()
    one.send(b"one\n")
    one.half_close()
    one.read(b"one\n")
    two = m.client()
    two.send(b"two\n")
    one.read(b"two\n") # the one that half-closed still gets output
    two.close()
    three = m.client()
    three.send(b"three\n")
    watcher.read(b"three\n")
    equal(watcher.out, b"one\ntwo\nthree\n")
    check(is_alive(m.target()), "the target's stdin was closed")


@line(72)
def half_close_without_stdin(a):
    m = a.monitor(f"stdout=before wait-file={a.path('gate')} cat stdout=after exit=3")
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    m.wait_output(b"before")
    equal(link(m.target(), "fd/0"), "/dev/null")
    c = m.client()
    c.half_close()
    check(stays(lambda: not wait_fd(c.fileno(), end=0)), "the half-close had an effect")
    m.release("gate")
    equal(c.drain(), b"after")
    equal(m.end(), 3)


@line(73, quirk="reads one packet; the rest makes ECONNRESET")
def input_without_stdin_is_discarded(a):
    m = a.monitor(f"stdout=before wait-file={a.path('gate')} lines=1000,100 exit=3")
    m.fifo("gate")
    m.start()
    m.wait_output(b"before")
    c = m.client()
    send_all(c, numbered(100, PACKET))
    m.release("gate")
    c.send(b"more")
    c.drain()
    check(not c.reset, "ECONNRESET instead of the end")
    equal(len(c.out), 100000, "bytes of output")
    equal(m.end(), 3)


@line(74)
def terminal_without_stdin_outlives_clients(a):
    m = a.monitor("cat", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    one = m.client()
    one.send(b"one\n")
    one.read(b"one\r\none\r\n")
    one.close()
    half = m.client()
    half.half_close()
    two = m.client()
    two.send(b"two\n")
    two.read(b"two\r\ntwo\r\n")
    half.read(b"two\r\ntwo\r\n")
    two.close()
    three = m.client()
    three.send(b"three\n")
    three.read(b"three\r\nthree\r\n")
    check(is_alive(m.target()), "the target has ended")


def gets_no_echo(c, n):
    """Whether what a client types is not echoed by the terminal."""
    probe = b"probe-%d\n" % n
    c.send(probe)
    while wait_fd(c.fileno(), end=deadline(0.3)):
        c.packet()
        if probe.strip() in c.out:
            return False
    return True


@line(75)
def half_close_with_terminal_and_stdin(a):
    m = a.monitor(f"stdout=ready wait-file={a.path('gate')} stdout=after wait-file={a.path('gate-2')} exit=3", terminal=True,
                  stdin=True)
    m.fifo("gate")
    m.fifo("gate-2")
    m.start()
    m.wait_output(b"ready")
    one, two = m.client(), m.client()
    two.send(b"hello\n")
    two.read(b"hello")
    one.half_close()
    check(any(gets_no_echo(two, n) for n in range(10)), "input is still taken") # the first may be faster than the half-close
    check(is_alive(m.target()), "the half-close was a hangup")
    m.release("gate")
    one.read(b"after")
    two.read(b"after")
    m.release("gate-2")
    equal(m.end(), 3)


@line(76)
def target_that_does_not_read_stdin(a):
    m = a.monitor(f"stdout=ready\\n wait-file={a.path('gate')} cat", stdin=True)
    m.fifo("gate")
    m.start()
    c = m.client()
    m.wait_output(b"ready")
    n = send_until_it_blocks(c, 2000 * PACKET)
    check(n < 2000 * PACKET, "the sender never blocked")
    check(m.is_idle(), "the monitor is busy")
    m.release("gate")
    c.half_close()
    c.drain()
    received = c.out.removeprefix(b"ready\n")
    equal(len(received), n, "bytes")
    check(received == numbered(1, PACKET) * (n // PACKET), "bytes are lost or out of order")
    equal(m.end(), 0)


@line(77, quirk="spins on EPIPE")
def target_that_closed_stdin(a):
    m = a.monitor(f"close-stdin stdout=closed wait-file={a.path('gate')} stdout=after exit=3", stdin=True)
    m.fifo("gate")
    m.start()
    m.wait_output(b"closed")
    c, other = m.client(), m.client()
    send_until_it_blocks(c, 100 * PACKET)
    check(m.is_idle(), "the monitor is busy")
    m.release("gate")
    equal(c.drain(), b"after")
    check(not c.reset, "ECONNRESET instead of the end")
    equal(other.drain(), b"after")
    equal(m.end(), 3)


def stalled(a, gate, log, **options):
    """A monitor whose target writes 20 MB, which a client does not read: (monitor, client), the target being held back."""
    m = a.monitor(f"wait-file={a.path(gate)} lines=200000,100 stdout=end\\n exit=3", log=log, **options)
    m.fifo(gate)
    m.start()
    m.target()
    c = m.client()
    m.release(gate)

    def is_held():
        fields = stat_fields(m.target())
        return fields and fields[0] == "S" and b"pipe" in wchan(m.target())

    poll_until(lambda: is_held() and stays(is_held, 0.2), what="a target that is held back")
    check(is_alive(m.target()), "the target was not held back")
    return m, c


def wchan(pid):
    with open(f"/proc/{pid}/wchan", "rb") as f:
        return f.read()


@line(78, quirk="stalls completely")
def client_that_stops_reading(a):
    m, c = stalled(a, "gate-1", None)
    c.read(b"end\n")
    c.drain()
    equal(len(c.out), 20000004, "bytes at the client")
    m.end()
    check(m.output() == c.out, "client and log do not agree")
    equal(m.exit_file(), "3")
    for n, (options, status, text) in enumerate((({"log": ["none"], "args": ["-T", "1"]}, 255, "-1"),
                                                 ({"log": ["none"], "mode": "exec"}, 137, "137"))):
        os.unlink(m.pid_file)
        os.unlink(f"{a.exits}/{CID}")
        m, c = stalled(a, f"gate-2-{n}", **options)
        if status == 137:
            os.kill(m.target(), signal.SIGKILL)
        equal(m.exit_file(), text, "exit file, while the client still does not read")
        c.drain()
        check(len(c.out) > 65536, "what was written before the end is lost")
        equal(m.end(), status)


@line(79)
def client_that_is_killed(a):
    m = a.monitor(f"cat wait-file={a.path('gate')} lines=50000,100 exit=3", stdin=True)
    m.fifo("gate")
    m.start()
    stays_on = m.client()
    pid = os.fork()
    if pid == 0:
        try:
            c = Client(m.attach_path)
            c.send(b"here\n")
            c.read(50000) # and reads no more
            signal.pause()
        finally:
            os._exit(1)
    stays_on.read(b"here\n")
    stays_on.half_close()
    m.release("gate")
    stays_on.read(100000)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    stays_on.drain()
    equal(len(stays_on.out), 5000005, "bytes at the other client")
    equal(m.end(), 3)
    check(m.output() == stays_on.out, "the log and the other client do not agree")


@line(80)
def client_that_connects_before_the_runtime_has_finished(a):
    for options in ({}, {"mode": "exec"}, {"terminal": True}):
        gate = "gate-" + "-".join(options)
        m = a.monitor(f"record={a.path('runtime-record')} runtime-wait-file={a.path(gate)} cat", stdin=True, **options)
        m.fifo(gate)
        m.start()
        wait_path(m.runtime_record) # it runs
        c = m.client()
        c.send(b"early\n")
        if not options.get("terminal"):
            c.half_close()
        m.release(gate)
        c.read(b"early")
        if not options.get("terminal"):
            equal(c.drain(), b"early\n")
            m.end()
        os.unlink(m.runtime_record)
        os.unlink(m.pid_file)


@line(81)
def clients_see_the_end(a):
    for words in ("", "grandchild-holds-pipe"):
        gate = f"gate-{words}"
        m = a.monitor(f"wait-file={a.path(gate)} {words} lines=5000,100 stderr=error exit=3")
        m.fifo(gate)
        m.start()
        clients = [m.client() for _ in range(3)]
        m.release(gate)
        drain_all(clients)
        for c in clients:
            check(not c.reset, "ECONNRESET instead of the end")
            equal((len(c.out), c.err), (500000, b"error"))
        equal(m.exit_file(), "3")
        os.unlink(f"{a.exits}/{CID}")


@line(82)
def what_is_left_in_the_bundle(a):
    for mode in ("create", "exec"):
        m = a.monitor("exit=3", mode=mode).start()
        equal(m.end(), 3)
        equal(sorted(os.listdir(a.bundle)), ["ctl", "winsz"])
        check(is_fifo(f"{a.bundle}/ctl") and is_fifo(f"{a.bundle}/winsz"), "no fifos")


@line(83)
def legacy_exec_makes_no_files(a):
    elsewhere = a.make("elsewhere")
    m = a.monitor("stdout=hello hang", mode="exec", api=0, bundle=False, cwd=elsewhere, drop=["-u", "--full-attach"]).start()
    m.wait_output(b"hello")
    os.kill(m.target(), signal.SIGKILL)
    equal(m.record(), {"exit_code": 137})
    for directory in (elsewhere, a.bundle, a.sockets):
        equal(os.listdir(directory), [], directory)
    m.end()
    for directory in (elsewhere, a.bundle, a.sockets):
        equal(os.listdir(directory), [], directory)
