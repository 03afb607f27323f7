# SPDX-License-Identifier: Apache-2.0
"""Checklist 95 to 100: terminals."""

import os
import signal
import termios

from harness import check, equal, is_socket, line, link, mode_of, poll_until


def console_socket(m):
    argv = m.runtime_saw()["argv"]
    return os.fsdecode(argv[argv.index(b"--console-socket") + 1])


@line(95, quirk="stays behind when the runtime never connects")
def console_socket_is_private_and_goes_away(a):
    for number, tmpdir in enumerate((None, a.make("tmp"))):
        for words in ("hang", "no-console hang", "runtime-exit=1"):
            gate = f"gate-{number}-{words}".replace(" ", "-")
            m = a.monitor(f"record={a.path('runtime-record')} runtime-wait-file={a.path(gate)} {words}", terminal=True,
                          env={"TMPDIR": tmpdir})
            m.fifo(gate)
            m.start()
            path = console_socket(m)
            check(path.startswith((tmpdir or "/tmp") + "/") and len(path) < 108, f"console socket {path}")
            directory = os.path.dirname(path)
            check(is_socket(path), "no socket")
            is_private = mode_of(directory) & 0o077 == 0 and directory != (tmpdir or "/tmp")
            check(is_private or mode_of(path) == 0o700, f"mode {mode_of(path):o} in a directory of {mode_of(directory):o}")
            m.release(gate)
            m.record()
            if words == "hang":
                equal(link(m.target(), "fd/0")[:9], "/dev/pts/")
                check(not os.path.exists(path), "still there after use")
                os.kill(m.target(), signal.SIGKILL)
            m.end()
            check(not os.path.exists(path), f"left behind by {words}")
            check(directory == (tmpdir or "/tmp") or not os.path.exists(directory), f"{directory} left behind by {words}")
            os.unlink(m.runtime_record)
            if os.path.exists(m.pid_file):
                os.unlink(m.pid_file)
        if tmpdir:
            equal(os.listdir(tmpdir), [], "left in TMPDIR")


@line(96)
def terminal_settings(a):
    m = a.monitor("stdout=one\\ntwo\\r\\n\\nend\\n hang", terminal=True).start()
    equal(m.record(), {"data": m.target()})
    records = m.wait_log(lambda found: len(found) == 4)
    fd = os.open(f"/proc/{m.target()}/fd/0", os.O_RDWR | os.O_NOCTTY)
    _, output, _, local, *_ = termios.tcgetattr(fd)
    check(output & termios.OPOST and output & termios.ONLCR, f"output flags {output:o}")
    check(local & termios.ICANON and local & termios.ECHO, f"local flags {local:o}")
    equal([(r.stream, r.flag, r.text) for r in records],
          [("stdout", "F", t) for t in (b"one\r", b"two\r\r", b"\r", b"end\r")])


@line(97)
def terminal_that_is_closed_and_opened_again(a):
    m = a.monitor(f"stdout=one\\n reopen-tty={a.path('gate')} stdout=two\\n wait-file={a.path('gate-2')} exit=3", terminal=True)
    m.fifo("gate")
    m.fifo("gate-2")
    m.start()
    equal(m.record(), {"data": m.target()})
    m.wait_output(b"one\r\n")
    c = m.client()
    poll_until(lambda: not link(m.target(), "fd/1").startswith("/dev/pts"), what="a target without a terminal")
    check(m.is_idle(), "the monitor is busy")
    m.release("gate")
    m.wait_output(b"two\r\n")
    c.read(b"two\r\n")
    m.release("gate-2")
    equal(m.end(), 3)


@line(98, since="2.1.8")
def bad_messages_on_the_console_socket(a):
    for kind in ("nofd", "two", "empty"):
        for mode in ("create", "exec"):
            m = a.monitor(f"bad-console={kind} hang", terminal=True, mode=mode).start()
            record = m.record()
            equal(record and record["data"], -1, f"record for {kind}, {mode}")
            equal(m.record(), None)
            equal(m.end(), 1, f"status of the monitor for {kind}")
            if os.path.exists(m.pid_file): # the runtime may have died with the monitor before that
                os.unlink(m.pid_file)


@line(99)
def stream_number_of_a_terminal(a):
    m = a.monitor(f"wait-file={a.path('gate')} stdout=out stderr=err stdout=end", terminal=True)
    m.fifo("gate")
    m.start()
    c = m.client()
    m.release("gate")
    equal(c.drain(), b"outerrend")
    equal({p[0] for p in c.packets}, {2}, "stream numbers")
    m.end()
    equal({r.stream for r in m.log()}, {"stdout"})


@line(100)
def fast_exec_with_a_terminal(a):
    for words, size in (("late-pidfile lines=20,100", 2020), ("lines=500,100", 50500), ("late-pidfile", 0)):
        for api, key in ((0, "exit_code"), (1, "data")):
            m = a.monitor(f"{words} stdout=end exit=5", mode="exec", terminal=True, api=api).start()
            if api:
                equal(m.record(), {"data": m.target()})
            equal(m.record(), {key: 5})
            equal(m.record(), None)
            equal(m.end(), 5)
            equal(len(m.output()), size + 3, "bytes of output")
            os.unlink(m.log_path)
            os.unlink(m.pid_file)
