# SPDX-License-Identifier: Apache-2.0
"""Standard input, terminals, and what the worker holds; the worker may be killed at any time."""

import os
import pty
import re
import select
import signal
import subprocess
import time

from harness import (MONITOR, OBEYS, Failed, case, check, check_equal, command, expect_nothing_left, inspect, monitors, note,
                     podman, until, variants, wait_running, worker_of)

RUN = ["podman", "run", "--rm", "--name", "baz", "--network=none"]


class Dialogue:
    """A program with its output read as it comes, over pipes or a terminal."""

    def __init__(self, argv, terminal):
        if terminal:
            self.input, other = pty.openpty()
            self.output = self.input
            self.process = subprocess.Popen(argv, stdin=other, stdout=other, stderr=other, start_new_session=True)
            os.close(other)
        else:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.seen = b""

    def say(self, text):
        note(f"said {text!r}")
        os.write(self.input, text)

    def expect(self, pattern, within=20):
        """Wait until what was not yet expected matches PATTERN; return the match."""
        end = time.monotonic() + within
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.output], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.output, 4096) if ready else b""
            except OSError: # a terminal whose other side is closed
                data = b""
            note(f"heard {data!r}")
            if not data:
                raise Failed(f"no {pattern!r} in {self.seen!r}" + ("" if ready else f" within {within} s"))
            self.seen += data
        self.seen = self.seen[match.end():]
        return match

    def expect_end(self, status=0):
        try:
            check_equal(self.process.wait(20), status, "exit status")
        except subprocess.TimeoutExpired:
            raise Failed("it does not end") from None

    def close_input(self):
        self.process.stdin.close()


def kill_worker():
    """Kill the worker of baz, and wait for the next."""
    monitor = int(inspect("baz", "State.ConmonPid"))
    old = worker_of(monitor)
    os.kill(old, signal.SIGKILL)
    until("another worker", lambda: worker_of(monitor) != old)


@case
def stdin_of_pipe_ends():
    check_equal(command("sh", "-c", "echo x | podman run --rm -i --network=none localhost/alpine cat", timeout=30)[:2],
                (0, "x\n"), "echo x | podman run -i alpine cat")
    big = "0123456789abcdef" * 65536
    status, out, _ = command("podman", "run", "--rm", "-i", "--network=none", "localhost/alpine", "md5sum", input=big)
    expected = command("md5sum", input=big)[1]
    check_equal((status, out), (0, expected), "a mebibyte through stdin")
    expect_nothing_left()


@variants("terminal", works={"kill": False}, survives_kill_of_worker={"kill": True})
def terminal(kill):
    talk = Dialogue([*RUN, "-it", "localhost/alpine", "sh"], True)
    wait_running()
    talk.say(b"tty; echo first$((1+1))\n")
    talk.expect(rb"/dev/(pts/\d+|console)")
    talk.expect(rb"\nfirst2")
    for turn in range(2 if kill else 0):
        kill_worker()
        talk.say(b"echo after$((%d+1))\n" % turn)
        talk.expect(rb"\nafter%d" % (turn + 1))
    podman("exec", "baz", "sh", "-c", "echo from exec >/dev/console")
    talk.expect(rb"from exec")
    talk.say(b"test -t 0 && exit 4\n")
    talk.expect_end(4)
    expect_nothing_left()


@variants("input", works={"kill": False}, survives_kill_of_worker={"kill": True})
def piped_input(kill):
    talk = Dialogue([*RUN, "-i", "localhost/alpine", "cat"], False)
    wait_running()
    talk.say(b"one\n")
    talk.expect(rb"^one\n")
    for turn in range(3 if kill else 0):
        kill_worker()
        talk.say(b"turn %d\n" % turn)
        talk.expect(rb"^turn %d\n" % turn)
    talk.close_input()
    talk.expect_end()
    expect_nothing_left()


@case
def output_survives_kill_of_worker():
    """No numbered line is lost or twice in the log file while workers are killed."""
    podman("run", "-d", "--name", "baz", "--network=none", "--log-driver=k8s-file", "localhost/alpine", "sh", "-c",
           "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line-$i; done; exec sleep 1000")
    for _ in range(4):
        kill_worker()
    until("the last line", lambda: podman("logs", "--tail", "1", "baz") == "line-20000")
    lines = podman("logs", "baz").split()
    wrong = next((i for i, line in enumerate(lines) if line != f"line-{i + 1}"), None)
    check(wrong is None and len(lines) == 20000, f"{len(lines)} lines, the first wrong one at {wrong}: "
          f"{lines[wrong - 1:wrong + 2] if wrong is not None else ''}")


def worker_of_another(main):
    """The worker of a monitor other than MAIN, None if there is none just now. That of the stock monitor is itself."""
    for monitor in monitors():
        try:
            if monitor != main:
                return worker_of(monitor) if "scopemon" in MONITOR else monitor
        except Failed:
            pass
    return None


@case
def exec_survives_its_worker():
    """podman exec db pg_dump: 100 MB for the only client there is, while the session's worker is killed."""
    lines, kills = 1000000, 0
    payload = f"awk 'BEGIN {{ for (i = 1; i <= {lines}; i++) printf \"%099d\\n\", i }}'; exit 7"
    podman("run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", OBEYS)
    main = int(inspect("baz", "State.ConmonPid"))
    wait_running()
    with subprocess.Popen(["podman", "exec", "baz", "sh", "-c", payload], stdout=subprocess.PIPE) as dump:
        at, last, rest = 0, None, b""
        while data := dump.stdout.read(1 << 20):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                check(at - 10500 < int(line) <= at + 1, f"{line!r} comes after {at}")  # two batches may come again
                at = int(line)
            worker = worker_of_another(main) if kills < 8 and at < lines else None  # after five it is one a second
            if worker not in (None, last):
                os.kill(worker, signal.SIGKILL)
                kills, last = kills + 1, worker
        check_equal((at, rest), (lines, b""), "the last line, and what comes behind it")
        check_equal(dump.wait(30), 7, "exit status of podman exec")
    note(f"{kills} kills")
    check(kills >= 3, f"{kills} kills: it was too fast")


@variants("worker_descriptors", plain={"options": []}, tty={"options": ["-t"]}, stdin={"options": ["-i"]},
          file={"options": ["--log-driver=k8s-file"]})
def worker_descriptors(options):
    podman("run", "-d", "--name", "baz", "--network=none", *options, "localhost/alpine", "sh", "-c", OBEYS)
    wait_running()
    monitor = int(inspect("baz", "State.ConmonPid"))
    worker = worker_of(monitor)
    seen = descriptors(worker)
    note("worker:\n" + "\n".join(f"  {fd}: {what}" for fd, what in seen.items()))
    unneeded = [f"{fd}: {what}" for fd, what in seen.items() if not needed(what, worker, options)]
    check(not unneeded, "descriptors that a worker does not need:\n  " + "\n  ".join(unneeded))
    pidfds = [what for what in seen.values() if what == "anon_inode:[pidfd]"]
    check(len(pidfds) <= 2, f"{len(pidfds)} processes are held; who started us and the container would do")
    check(len(seen) <= 24, f"{len(seen)} descriptors: {seen}")


def descriptors(pid):
    folder = f"/proc/{pid}/fd"
    return {int(fd): os.readlink(f"{folder}/{fd}") for fd in sorted(os.listdir(folder), key=int)}


def needed(what, worker, options):
    """Whether WHAT is of a kind that a worker works with. What it has read is counted in its own file io."""
    allowed = [f"/proc/{worker}/io$", r"/dev/null$", r"anon_inode:\[(eventpoll|timerfd|eventfd|pidfd)\]$",
               r"/memfd:", r"socket:", r"pipe:", r"/.*/(ctl|winsz)$"]
    if "-t" in options:
        allowed += [r"/dev/pts/ptmx$", r"/dev/ptmx$"]
    if "--log-driver=k8s-file" in options:
        allowed += [r"/.*/ctr\.log$"]
    return any(re.match(pattern, what) for pattern in allowed)
