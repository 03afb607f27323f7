# SPDX-License-Identifier: Apache-2.0
"""Another binary takes over under a container that runs, or does not and nothing has happened.

The monitor runs from a copy of its own, which is then replaced. Outcome and pause are what "scopemon upgrade" says.

Other versions are two builds of the same tree, of which one hands on more values and one fewer (-Dtest-state=). They are
made in the build directory when first needed.
"""

import fcntl
import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import harness
from tools import (Case, Failed, Journal, Killer, Reader, Skip, check, check_log, contains, equal, expected, finish,
                   is_alive, is_scopemon, link, poll_until, scenario, worker_of)

REAL = harness.MONITOR


def own_copy(c: Case):
    """From now on this scenario's monitors run from a copy."""
    if not is_scopemon():
        raise Skip("no upgrade in place")
    harness.MONITOR = c.area.path("scopemon")
    shutil.copy2(REAL, harness.MONITOR)
    return harness.MONITOR


@functools.cache
def version(which):
    """Path of the build that hands on "more" or "fewer" values; of "normal", the one that is tested."""
    if which == "normal":
        return REAL
    tool = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../other-version")
    run = subprocess.run([tool, REAL, which], capture_output=True, timeout=300, check=False)
    if run.returncode == 77:
        raise Skip(run.stderr.decode().strip())
    equal(run.returncode, 0, f"other-version {which}: {run.stderr[-2000:]}")
    return run.stdout.decode().strip()


def replace(path, content=None, which="normal"):
    """As a package manager does: another file, renamed over the old one."""
    new = path + ".new"
    if content is None:
        shutil.copy2(version(which), new)
        with open(new, "ab") as f:
            f.write(os.urandom(8).hex().encode())  # so that it is another one
    else:
        with open(new, "wb") as f:
            f.write(content)
    os.chmod(new, 0o755)
    os.rename(new, path)


def ask(word, seconds=90):
    """(exit status, stdout, stderr) of "scopemon upgrade WORD"."""
    run = subprocess.run([REAL, "upgrade", *str(word).split()], capture_output=True, timeout=seconds, check=False)
    return run.returncode, run.stdout.decode(), run.stderr.decode()


def upgrade(m):
    """Upgrade, which must succeed; returns the pause in microseconds."""
    status, out, err = ask(m.pid)
    equal((status, err), (0, ""), "scopemon upgrade")
    found = re.search(r"monitor (\d+) upgraded: output was delayed by (\d+)\.(\d+) ms", out)
    check(found and int(found[1]) == m.pid, f"scopemon upgrade said {out!r}")
    return int(found[2]) * 1000 + int(found[3])


def waits(c):
    """The word that keeps a container there until Upgrader.let_end(), however slow this machine is."""
    return f"wait-file={c.area.path('end')}"


class Upgrader(threading.Thread):
    """Replaces the binary and upgrades, again and again, N times; by turns with these VERSIONS."""

    def __init__(self, c, m, path, n, gap=0.05, versions=("normal",)):
        super().__init__(daemon=True)
        self.versions = itertools.cycle(versions)
        self.m, self.path, self.n, self.gap = m, path, n, gap
        self.random = c.random
        self.pauses, self.error, self.finished = [], None, False
        m.fifo("end")
        m.target()
        self.start()

    def let_end(self, least=1):
        """The container that waits() may end when there have been LEAST upgrades."""
        poll_until(lambda: len(self.pauses) >= least or not self.is_alive(), 120, "upgrades")
        self.m.release("end")

    def run(self):
        try:
            while len(self.pauses) < self.n and not self.finished and is_alive(self.m.pid):
                replace(self.path, which=next(self.versions))
                status, out, err = ask(self.m.pid)
                if status != 0 and ("has exited" in err or "no container found" in err or "not running" in err):
                    return
                found = re.search(r"delayed by (\d+)\.(\d+) ms", out)
                if not found and status == 0 and not out:
                    return  # gone meanwhile
                check(status == 0 and found, f"scopemon upgrade: {status} {out} {err}")
                self.pauses.append(int(found[1]) * 1000 + int(found[2]))
                time.sleep(self.random.uniform(0, self.gap))
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def counts(self):
        self.finished = True
        self.join(30)
        if self.error:
            raise self.error
        check(self.pauses, "not one upgrade")
        pauses = sorted(self.pauses)
        return {"upgrades": len(pauses), "pause median": f"{pauses[len(pauses) // 2] / 1000:.1f}ms",
                "pause most": f"{pauses[-1] / 1000:.1f}ms"}


def fingerprint(m):
    """What callers can see of a monitor and its container, which must stay."""
    return (harness.stat_fields(m.pid)[19], read(m.pid, "cmdline"), harness.comm(m.pid), is_alive(m.target()),
            harness.stat_fields(m.pid)[1])


def read(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as f:
        return f.read()


@scenario()
def upgraded_under_flood(c: Case):
    """Both streams flow into a k8s-file and to a client, the binary is replaced again and again: each byte once."""
    path = own_copy(c)
    n = max(3, c.kills // 2)
    word = c.numbered(n * 4000, 100, 1000000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} {waits(c)} exit=7", exit_command=True).start()
    reader = Reader(m.client())
    before = fingerprint(m)
    m.fifo("gate")
    m.release("gate")
    upgrader = Upgrader(c, m, path, n)
    poll_until(lambda: upgrader.pauses or not upgrader.is_alive(), 120, "an upgrade")
    if not upgrader.error:
        equal(fingerprint(m), before, "pid, start time, command line, name")
    upgrader.let_end()
    finish(m, 7)
    check_log(m, wanted)
    times, n_bytes = reader.check(wanted)
    equal((times, n_bytes), (0, 0), "repetitions to the client")
    return {**upgrader.counts(), "client gap most": f"{reader.gap * 1000:.1f}ms", "bytes": sum(map(len, wanted.values())),
            "lost": 0, "repeated": 0}


@scenario()
def upgraded_with_terminal(c: Case):
    """A terminal is never hung up, and the client types on."""
    path = own_copy(c)
    m = c.monitor("cat exit=6", terminal=True, stdin=True).start()
    client = m.client()
    text = b""
    for i in range(5):
        line = b"line %d\n" % i
        client.send(line)
        text += line
        upgrade(m)
        replace(path)
    m.wait_output(b"line 4")
    check(is_alive(m.target()), "the container has ended")
    os.kill(m.target(), signal.SIGKILL)
    equal(m.end(30), 137, "status of the monitor")
    return {"upgrades": 5}


@scenario()
def upgraded_while_stdin_flows(c: Case):
    """What a client sends arrives once and whole, and so does its end; the answer too."""
    path = own_copy(c)
    data = expected(c.numbered(30000, 100, 0, 1))["stdout"]
    m = c.monitor(f"cat {waits(c)} exit=6", stdin=True).start()
    client = m.client()
    reader = Reader(client)

    def send():
        for i in range(0, len(data), 8000):
            client.send(data[i:i + 8000])
            time.sleep(0.002)
        client.half_close()

    sender = threading.Thread(target=send, daemon=True)
    upgrader = Upgrader(c, m, path, 6, 0.1)
    sender.start()
    sender.join(60)
    upgrader.let_end()
    finish(m, 6)
    check_log(m, {"stdout": data})
    equal(reader.check({"stdout": data}), (0, 0), "repetitions to the client")
    return {**upgrader.counts(), "bytes": len(data), "lost": 0}


@scenario()
def upgraded_with_journal(c: Case):
    """Nothing is repeated in the journal, and it is told there."""
    journal = Journal()
    path = own_copy(c)
    word = c.numbered(12000, 100, 800000)
    wanted = expected(word)
    m = c.monitor(f"{word} {waits(c)} exit=5", log=["journald"]).start()
    upgrader = Upgrader(c, m, path, 4)
    upgrader.let_end()
    finish(m, 5)
    counts = upgrader.counts()
    times, _ = journal.check(wanted)
    equal(times, 0, "repetitions in the journal")
    told = journal.announced(b"was upgraded")
    equal(len(told), counts["upgrades"], "entries about upgrades")
    check(all(b"MESSAGE_ID" in e and b"SCOPEMON_PAUSE_USEC" in e for e in told), "fields")
    return {**counts, "lost": 0}


VERSIONS = ("more", "fewer", "normal", "fewer", "more", "normal")  # each to each other


def prepare_versions():
    """Before the scenario's time runs."""
    for which in VERSIONS:
        version(which)


def ring_of(m):
    """Which memory the monitor has as its ring."""
    for fd in os.listdir(f"/proc/{m.pid}/fd"):
        if "scopemon-ring" in link(m.pid, f"fd/{fd}"):
            return os.stat(f"/proc/{m.pid}/fd/{fd}").st_ino
    raise Failed("no ring")


@scenario()
def upgraded_between_versions_with_terminal(c: Case):
    """To a version that knows more, one that knows fewer, and back, under a terminal on which a client types."""
    prepare_versions()
    path = own_copy(c)
    m = c.monitor("cat exit=6", terminal=True, stdin=True).start()
    client, late = m.client(), None
    before = fingerprint(m)
    for i, which in enumerate(VERSIONS):
        client.send(b"line %d\n" % i)
        ring = ring_of(m)
        replace(path, which=which)
        upgrade(m)
        check(ring_of(m) != ring, f"the ring has not been changed for {which}")
        equal(link(m.pid, "exe"), path, "the program that runs")
        equal(fingerprint(m), before, "pid, start time, command line, name")
        late = late or m.client()
        client.read(b"line %d\r\nline %d\r\n" % (i, i))
    ring = ring_of(m)
    replace(path)
    upgrade(m)
    equal(ring_of(m), ring, "the ring after an upgrade to the same version")
    client.send(b"last\n")
    said = b"".join(b"line %d\r\nline %d\r\n" % (i, i) for i in range(len(VERSIONS))) + b"last\r\nlast\r\n"
    equal(client.read(said), said, "what the first client has read")
    check(said.endswith(late.read(b"last\r\nlast\r\n")), "what the second client has read")
    m.wait_output(b"last\r\nlast")
    equal(m.output(), said, "the log")
    os.kill(m.target(), signal.SIGKILL)
    equal(m.end(30), 137, "status of the monitor")
    return {"upgrades": len(VERSIONS) + 1}


@scenario()
def upgraded_between_versions_under_flood(c: Case):
    """Both streams flow into a k8s-file and to a client: each byte once, whatever versions follow one another."""
    prepare_versions()
    path = own_copy(c)
    n = max(len(VERSIONS), c.kills // 2)
    word = c.numbered(n * 4000, 100, 1000000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} {waits(c)} exit=7", exit_command=True).start()
    reader = Reader(m.client())
    m.fifo("gate")
    m.release("gate")
    upgrader = Upgrader(c, m, path, n, versions=VERSIONS)
    upgrader.let_end(2)
    finish(m, 7)
    check_log(m, wanted)
    counts = upgrader.counts()
    check(counts["upgrades"] >= 2, "not one upgrade to a version and back")
    equal(reader.check(wanted), (0, 0), "repetitions to the client")
    return {**counts, "bytes": sum(map(len, wanted.values())), "lost": 0, "repeated": 0}


@scenario()
def upgraded_between_versions_while_stdin_flows(c: Case):
    """What a client sends arrives once and whole, and so does its end; the answer too."""
    prepare_versions()
    path = own_copy(c)
    data = expected(c.numbered(30000, 100, 0, 1))["stdout"]
    m = c.monitor(f"cat {waits(c)} exit=6", stdin=True).start()
    client = m.client()
    reader = Reader(client)
    upgrader = Upgrader(c, m, path, 6, 0.1, versions=VERSIONS)
    for i in range(0, len(data), 8000):
        client.send(data[i:i + 8000])
        time.sleep(0.002)
    client.half_close()
    upgrader.let_end()
    finish(m, 6)
    check_log(m, {"stdout": data})
    equal(reader.check({"stdout": data}), (0, 0), "repetitions to the client")
    return {**upgrader.counts(), "bytes": len(data), "lost": 0}


@scenario()
def upgraded_between_versions_and_killed_meanwhile(c: Case):
    """Workers die in the middle of a write to the log file, and the next one is another version's."""
    prepare_versions()
    path = own_copy(c)
    word = c.numbered(40000, 100, 1000000)
    wanted = expected(word)
    m = c.monitor(f"{word} {waits(c)} exit=4").start()
    killer = Killer(c, m, 20, slow=0.2)
    upgrader = Upgrader(c, m, path, 8, versions=VERSIONS)
    upgrader.let_end()
    finish(m, 4)
    kills = killer.stop()
    check_log(m, wanted)
    return {**upgrader.counts(), "kills": kills, "lost": 0}


@scenario()
def upgraded_exec_session(c: Case):
    """An exec session's client has the only copy."""
    path = own_copy(c)
    word = c.numbered(30000, 1000, 12000000, 1)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} {waits(c)} exit=9", mode="exec", attach="seqpacket", log=["none"])
    m.fifo("gate")
    m.start()
    equal(m.attach_record(), {"data": 0}, "attach pipe")
    reader = Reader(m.client())
    m.begin_again()
    m.release("gate")
    check(m.record()["data"] > 0, "no pid")
    upgrader = Upgrader(c, m, path, 4)
    upgrader.let_end()
    status = m.record(90)
    equal(reader.check(wanted), (0, 0), "repetitions to the client")
    equal(status["data"], 9, "exit status on the sync pipe")
    equal(m.end(30), 9, "status of the monitor")
    return {**upgrader.counts(), "bytes": len(wanted["stdout"]), "lost": 0}


@scenario()
def upgraded_and_killed_meanwhile(c: Case):
    """Upgrades while workers die all the time."""
    path = own_copy(c)
    word = c.numbered(40000, 100, 1000000)
    wanted = expected(word)
    m = c.monitor(f"{word} {waits(c)} exit=4").start()
    killer = Killer(c, m, 20, slow=0.2)
    upgrader = Upgrader(c, m, path, 8)
    upgrader.let_end()
    finish(m, 4)
    kills = killer.stop()
    check_log(m, wanted)
    return {**upgrader.counts(), "kills": kills, "lost": 0}


@scenario()
def upgraded_with_time_limit(c: Case):
    """Deadlines are points in time: an upgrade half-way does not begin them anew."""
    path = own_copy(c)
    limit, n = 8, 0
    m = c.monitor("hang", args=["--timeout", str(limit)]).start()
    m.target()
    begun = time.monotonic()
    while n == 0 or time.monotonic() - begun < limit / 2:
        replace(path)
        upgrade(m)
        n += 1
    last = time.monotonic()
    equal(m.end(30), 255, "status of the monitor")
    equal(m.exit_file(), "-1", "exit file")
    check(time.monotonic() - begun > limit - 0.5, f"ended after {time.monotonic() - begun:.1f} s")
    check(time.monotonic() - last < limit - 0.5, f"ended {time.monotonic() - last:.1f} s after an upgrade, as if that were its begin")
    return {"upgrades": n}


@scenario()
def upgrade_waits_for_the_runtime(c: Case):
    """Not while the runtime runs; a moment later."""
    own_copy(c)
    m = c.monitor(f"runtime-wait-file={c.area.path('gate')} wait-file={c.area.path('later')} exit=3").start()
    m.fifo("gate")
    m.fifo("later")
    timer = threading.Timer(0.5, m.release, ("gate",))
    timer.start()
    begun = time.monotonic()
    upgrade(m)
    check(time.monotonic() - begun > 0.4, "it did not wait")
    m.release("later")
    finish(m, 3)
    return {"upgrades": 1}


def refused(c: Case, words, spoil, seconds=60):
    """A binary that cannot take over: said so, and everything goes on."""
    path = own_copy(c)
    word = c.numbered(6000, 100, 400000)
    wanted = expected(word)
    m = c.monitor(f"{word} wait-file={c.area.path('gate')} exit=2").start()
    m.fifo("gate")
    m.target()
    worker = poll_until(lambda: worker_of(m), what="a worker")
    before, exe = fingerprint(m), os.stat(f"/proc/{m.pid}/exe").st_ino
    spoil(path)
    status, out, err = ask(m.pid, seconds)
    equal((status, out), (1, ""), "scopemon upgrade")
    contains(err, words)
    equal(fingerprint(m), before, "pid, start time, command line, name")
    equal(os.stat(f"/proc/{m.pid}/exe").st_ino, exe, "the binary that runs")
    check(is_alive(worker), "the worker was replaced")
    replace(path)
    upgrade(m)  # a good one is taken all the same
    m.release("gate")
    finish(m, 2)
    check_log(m, wanted)
    return {"refused": 1, "lost": 0}


@scenario()
def upgrade_refused_other_version(c: Case):
    """A binary that does not know this state."""
    return refused(c, "the state is of another version", lambda path: replace(
        path, b"#!/bin/sh\n[ \"$1\" != --check-state ] || { echo the state is of another version >&2; exit 1; }\n"))


def sealed(data):
    """A descriptor of memory that nobody can change, as a state is."""
    fd = os.memfd_create("state", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


@scenario()
def upgrade_refused_from_0_1_0(c: Case):
    """The state that 0.1.0 hands on is binary, and only its own: it is told so, and goes on."""
    if not is_scopemon():
        raise Skip("no upgrade in place")
    corpus = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../fuzz/corpus/state")
    for name, words in (("binary-0.1.0", b"only scopemon 0.1.0 can read its state"), ("foreign", b"newer form"),
                        ("unknown-word", b"cannot parse plan.row of the state"), ("cut", b"cannot parse")):
        with open(f"{corpus}/{name}", "rb") as f:
            fd = sealed(f.read())
        run = subprocess.run([REAL, "--check-state", str(fd)], pass_fds=[fd], capture_output=True, timeout=60, check=False)
        os.close(fd)
        equal((run.returncode, run.stdout), (1, b""), f"--check-state of {name}")
        contains(run.stderr, words)
        check(len(run.stderr) < 160, "the keeper takes no more of what is said")
    return {"refused": 4}


@scenario()
def upgrade_refused_missing_library(c: Case):
    """A binary whose library is not there."""
    def spoil(path):
        with open(REAL, "rb") as f:
            data = f.read()
        for name in (b"libc.so.6", b"libc.musl"):
            if name in data:
                replace(path, data.replace(name, b"libX" + name[4:], 1))
                return
        raise Skip("which library to take away?")
    return refused(c, "cannot open shared object", spoil)


@scenario()
def upgrade_refused_crash(c: Case):
    """A binary that crashes at start."""
    return refused(c, "SIGSEGV", lambda path: replace(path, b"#!/bin/sh\nkill -SEGV $$\n"))


@scenario()
def upgrade_refused_hang(c: Case):
    """A binary that hangs."""
    return refused(c, "timed out", lambda path: replace(path, b"#!/bin/sh\nexec sleep 1000\n"))


@scenario()
def upgrade_refused_no_program(c: Case):
    """No program at all, and one that is half there."""
    result = refused(c, "No such file", os.unlink)
    with open(REAL, "rb") as f:
        half = f.read(5000)
    c.area.remove()
    c.area = harness.Area()
    refused(c, "monitor", lambda path: replace(path, half))
    return {**result, "refused": 2}


@scenario()
def upgrade_refused_by_the_exec(c: Case):
    """It looks at the state and finds it good, but when it is to be executed it is another one."""
    path = own_copy(c)
    word = c.numbered(6000, 100, 400000)
    wanted = expected(word)
    m = c.monitor(f"{word} {waits(c)} exit=2").start()
    m.fifo("end")
    m.target()
    replace(path, f"#!/bin/sh\nrm -f {path}\nexit 0\n".encode())
    status, _, err = ask(m.pid)
    equal(status, 1, "scopemon upgrade")
    contains(err, "No such file")
    replace(path)
    upgrade(m)
    m.release("end")
    finish(m, 2)
    check_log(m, wanted)
    return {"refused": 1, "lost": 0}


@scenario()
def upgrade_fails_after_the_exec(c: Case):
    """It finds the state good, is executed, and ends: nobody is left but the worker, which goes on to the exit file."""
    path = own_copy(c)
    word = c.numbered(6000, 100, 400000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=2").start()
    m.fifo("gate")
    target, worker = m.target(), poll_until(lambda: worker_of(m), what="a worker")
    reader = Reader(m.client())
    replace(path, b"#!/bin/sh\n[ \"$1\" = --check-state ]\n")
    status, _, err = ask(m.pid)
    equal(status, 1, "scopemon upgrade")
    contains(err, "it has exited")
    check(is_alive(target) and is_alive(worker), "the container and its worker go on")
    m.release("gate")
    equal(reader.check(wanted), (0, 0), "repetitions to the client")
    poll_until(lambda: not is_alive(worker), 60, "the end of the worker")
    check(m.exit_file() in ("2", "-1"), f"the exit file says {m.exit_file()}")
    check_log(m, wanted)
    return {"lost": 0, "repeated": 0}


@scenario()
def upgrade_by_name(c: Case):
    """Unknown ones are told, the others upgraded; --all takes all."""
    own_copy(c)
    m = c.monitor("hang", cid=f"{c.random.getrandbits(256):064x}").start()
    m.target()
    status, _, err = ask("no-such-container")
    equal(status, 1, "status")
    contains(err, "no container found")
    status, out, err = ask(f"no-such-container {m.cid}")
    equal(status, 1, "status")
    contains(out, "upgraded: output was delayed")
    for words in ("", "--all x", "--nonsense"):
        equal(ask(words)[0], 1, f"status of upgrade {words}")
    os.kill(m.target(), signal.SIGTERM)
    equal(m.end(30), 143, "status of the monitor")
    return {"upgrades": 1}
