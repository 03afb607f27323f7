# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of tests/faults are made of.

A scenario is a function with @scenario(); it takes a Case and returns a dict of counts, raises Failed or Skip. It runs
in a process of its own (a subreaper, see tests/contract/harness.py, whose Area and Monitor it uses), so it may mount
and leave whatever it likes. Case: c.random (seeded), c.area, c.kills (how often to kill, where that is the point),
c.monitor(words, **options).

Output is checked byte for byte: the target prints numbered, check-summed lines that depend on nothing (numbered= in
tests/lib/faults.h), and expected() asks fake-runtime itself what they are.
"""

import array
import collections
import contextlib
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "contract"))
# pylint: disable=wrong-import-position,unused-import
import harness  # noqa: E402
from harness import (Area, Client, Failed, Skip, check, children, contains, equal, is_alive, is_scopemon, link, poll_until,  # noqa: E402,F401
                     read_text, wait_fd, wait_path, wait_pid)

STREAMS = ("stdout", "stderr")
BATCH_JOURNAL = 64           # entries that may repeat at a kill
BATCH_ATTACH = 64 * 8192 * 2  # bytes that may: one sendmmsg, for each stream
JOURNAL_DIR = "/run/systemd/journal"

SCENARIOS = {}
Scenario = collections.namedtuple("Scenario", "name function weight long")


def scenario(weight=1, long=False):
    """Make a function a scenario. WEIGHT: kills it gets of the whole budget; LONG: not in the short form."""
    def decorate(function):
        SCENARIOS[function.__name__] = Scenario(function.__name__, function, weight, long)
        return function

    return decorate


class Case:
    def __init__(self, seed, kills):
        self.random = random.Random(seed)
        self.kills = kills
        self.area = Area()

    def monitor(self, words="", **options):
        """With no pid file of one before it: as soon as there is one, there is a target, and no runtime to be."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.area.path("pidfile"))
        return self.area.monitor(words, **options)

    def numbered(self, n_lines, size=0, rate=0, streams=3):
        """The word for that output."""
        return f"numbered={n_lines},{size or self.random.choice((40, 100, 100, 700))},{rate},{streams}"


def expected(word):
    """{stream: bytes} of what a word makes the target print, from the horse's mouth."""
    area = harness.tempfile.mkdtemp(prefix="expected-")
    try:
        with open(f"{area}/1", "wb") as out, open(f"{area}/2", "wb") as err:
            subprocess.run([harness.RUNTIME, "create", "--pid-file", f"{area}/pid", "x"], stdout=out, stderr=err,
                           env={"FAKE_RUNTIME": word}, check=True, timeout=60)
        pid = int(read_text(f"{area}/pid"))
        harness.wait_gone(pid, 60)
        return {"stdout": read_text(f"{area}/1"), "stderr": read_text(f"{area}/2")}
    finally:
        harness.shutil.rmtree(area)


# --- checking ---

RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d (stdout|stderr) ([FP]) ")


def records(data):
    """[(stream, whole, text)] of a k8s-file; fails if a line is not a record."""
    found = []
    check(not data or data.endswith(b"\n"), "log ends within a record")
    for raw in data.split(b"\n")[:-1]:
        head = RECORD.match(raw)
        check(head, f"no log record: {raw[:200]!r}")
        found.append((head[1].decode(), head[2] == b"F", raw[head.end():]))
    return found


def logged(data):
    """{stream: bytes} that a k8s-file stands for."""
    parts = {"stdout": [], "stderr": []}
    for stream, whole, text in records(data):
        parts[stream].append(text)
        if whole:
            parts[stream].append(b"\n")
    return {stream: b"".join(p) for stream, p in parts.items()}


def same(got, wanted, what):
    """Byte for byte, with the first difference told."""
    if got == wanted:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    raise Failed(f"{what}: {len(got)} bytes, wanted {len(wanted)}, differ at {at}: "
                 f"{got[max(0, at - 20):at + 40]!r} for {wanted[max(0, at - 20):at + 40]!r}")


def check_log(m, wanted):
    """The k8s-file holds exactly that, once."""
    got = logged(m.log_text())
    for stream in STREAMS:
        same(got[stream], wanted.get(stream, b""), f"log, {stream}")


def repeats(pieces, wanted, what, most):
    """PIECES in their order are WANTED, but for repetitions of what came just before. Returns (times, bytes)."""
    at = times = n_bytes = 0
    for piece in pieces:
        if wanted.startswith(piece, at):
            at += len(piece)
            continue
        where = wanted.rfind(piece, max(0, at - most), at + len(piece))
        if where < 0 or where > at:
            raise Failed(f"{what}: after {at} bytes of {len(wanted)} comes {piece[:80]!r}, wanted {wanted[at:at + 80]!r}")
        times += 1
        n_bytes += at - where
        at = where + len(piece)
    equal(at, len(wanted), f"{what}: bytes")
    return times, n_bytes


class Reader(threading.Thread):
    """Reads an attached client to its end, beside everything else."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.pieces = {"stdout": [], "stderr": []}
        self.error = None
        self.gap = 0  # longest time between two packets
        self.start()

    def run(self):
        sock, last = self.client.socket, None
        try:
            while data := sock.recv(65536):
                now = time.monotonic()
                self.gap = max(self.gap, now - (last or now))
                last = now
                self.pieces[STREAMS[data[0] - 2]].append(data[1:])
        except OSError as e:
            self.error = e

    def check(self, wanted, seconds=60, most=BATCH_ATTACH):
        """To be called at the end. Returns (times, bytes) repeated."""
        self.join(seconds)
        check(not self.is_alive(), "client: no end of file")
        check(not self.error, f"client: {self.error}")
        total = [0, 0]
        for stream in STREAMS:
            for i, n in enumerate(repeats(self.pieces[stream], wanted.get(stream, b""), f"client, {stream}", most)):
                total[i] += n
        return tuple(total)


# --- the worker, and its deaths ---

def worker_of(m):
    """Pid of the worker; of the monitor itself if it is another one, which has none. None if there is none now."""
    if not is_scopemon():
        return m.pid if is_alive(m.pid) else None
    for pid in children(m.pid):
        if pid == getattr(m, "_target", None) or not is_alive(pid):
            continue
        if link(pid, "exe").removesuffix(" (deleted)") == os.path.realpath(harness.MONITOR) and has_title(pid):
            return pid
    return None


def has_title(pid):
    """Is it a worker? A program that looks whether it can take over has none, nor has anything else between fork and exec."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().startswith(b"scopemon: ")
    except OSError:
        return False


class Killer(threading.Thread):
    """Kills the worker at random times, until it has done so N times or the monitor is gone."""

    def __init__(self, c, m, n, signal_number=signal.SIGKILL, slow=0.15):
        super().__init__(daemon=True)
        m.target()  # before that, a child may be the runtime to be
        self.random = random.Random(c.random.random())
        self.m, self.n, self.signal, self.slow = m, n, signal_number, slow
        self.kills = 0
        self.finished = False
        self.start()

    def pause(self):
        kind = self.random.random()
        most = 0.001 if kind < 0.3 else 0.01 if kind < 0.7 else self.slow
        time.sleep(self.random.uniform(0, most))

    def run(self):
        last = None
        while self.kills < self.n and not self.finished and is_alive(self.m.pid):
            pid = worker_of(self.m)
            if not pid or pid == last:
                time.sleep(0.0005)
                continue
            self.pause()
            try:
                os.kill(pid, self.signal)
            except ProcessLookupError:
                continue
            self.kills += 1
            last = pid

    def stop(self):
        self.finished = True
        self.join(10)
        return self.kills


def kill_worker(m, signal_number=signal.SIGKILL, last=None):
    """Kill the worker once, when there is one (another than LAST); returns its pid."""
    m.target()
    pid = poll_until(lambda: (p := worker_of(m)) and p != last and p, what="a worker")
    os.kill(pid, signal_number)
    return pid


def finish(m, status=0, seconds=150):
    """The monitor's end, its status, and the exit files."""
    equal(m.end(seconds), status, "status of the monitor")
    equal(m.exit_file(), str(status), "exit file")
    equal(m.persist_file(), str(status), "persist file")


# --- mounts and the journal's stand-in ---

libc = ctypes.CDLL(None, use_errno=True)


def own_mounts():
    """From now on, mounts of this process and its children are theirs alone."""
    if libc.unshare(0x00020000) != 0:
        raise Skip("no mount namespace")
    mount("none", "/", None, 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE


def mount(source, target, kind, flags=0, data=None):
    result = libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags,
                        data.encode() if data else None)
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {target}: {os.strerror(error)}")


class Journal(threading.Thread):
    """Stands in for journald: takes entries, or does not. In a mount namespace of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        own_mounts()
        if not os.path.isdir(JOURNAL_DIR):
            mount("tmpfs", "/run/systemd" if os.path.isdir("/run/systemd") else "/run", "tmpfs")
            os.makedirs(JOURNAL_DIR)
        else:
            mount("tmpfs", JOURNAL_DIR, "tmpfs")
        self.raw = []
        self.reading = threading.Event()
        self.reading.set()
        self.over = False
        self.listen()
        self.start()

    def listen(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"{JOURNAL_DIR}/socket")
        os.chmod(f"{JOURNAL_DIR}/socket", 0o666)
        self.socket.settimeout(0.05)

    def run(self):
        while not self.over:
            self.reading.wait(1)
            if self.reading.is_set():
                self.take()
            else:
                time.sleep(0.01)

    def take(self):
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 20, 64)
        except (TimeoutError, socket.timeout):
            return
        except OSError:
            time.sleep(0.01)
            return
        for level, kind, fds in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                for fd in array.array("i", fds):
                    data = os.pread(fd, 1 << 22, 0)
                    os.close(fd)
        self.raw.append(data)

    def stick(self):
        """Read no more, as under SIGSTOP."""
        self.reading.clear()
        time.sleep(0.1)

    def go_on(self):
        self.reading.set()

    def vanish(self):
        """The process is gone, its socket too."""
        self.stick()
        self.socket.close()
        os.unlink(f"{JOURNAL_DIR}/socket")

    def vanish_clean(self):
        """As at systemctl restart: it takes what was sent, then goes."""
        os.unlink(f"{JOURNAL_DIR}/socket")
        self.settle()
        self.stick()
        self.socket.close()

    def come_back(self):
        self.listen()
        self.go_on()

    def settle(self):
        """Until all that was sent has been read."""
        self.go_on()
        n = -1
        while n != len(self.raw):
            n = len(self.raw)
            time.sleep(0.2)

    def entries(self):
        """[{field: value}] of all."""
        return [parse_entry(data) for data in self.raw]

    def lines(self):
        """{stream: [(text, whole)]} of the container's entries."""
        found = {"stdout": [], "stderr": []}
        for e in self.entries():
            if b"CONTAINER_ID_FULL" in e:
                found["stdout" if e[b"PRIORITY"] == b"6" else "stderr"].append(
                    (e[b"MESSAGE"].removesuffix(b"\n"), b"CONTAINER_PARTIAL_MESSAGE" not in e))  # the original keeps it
        return found

    def announced(self, word):
        """Messages of the monitor's own that contain WORD."""
        return [e for e in self.entries() if b"CONTAINER_ID_FULL" not in e and word in e.get(b"MESSAGE", b"")]

    def check(self, wanted):
        """All lines are there, in their order; returns (times, bytes) repeated."""
        self.settle()
        total, found = [0, 0], self.lines()
        for stream in STREAMS:
            pieces = [text + (b"\n" if whole else b"") for text, whole in found[stream]]
            longest = max((len(p) for p in pieces), default=0)
            result = repeats(pieces, wanted.get(stream, b""), f"journal, {stream}", BATCH_JOURNAL * longest)
            for i, n in enumerate(result):
                total[i] += n
        return tuple(total)


def parse_entry(data):
    fields = {}
    while data:
        name, _, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            key, size = name, int.from_bytes(rest[:8], "little")
            value, data = rest[8:8 + size], rest[9 + size:]
        fields[key] = value
    return fields
