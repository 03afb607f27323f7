# SPDX-License-Identifier: Apache-2.0
"""What the contract tests are made of.

A test is a function with @line(N), N being its number in the contract's checklist, or with
@regression(N); it takes one argument, an Area, and returns or raises Failed or Skip. The runner forks
for each test. The test's process is a subreaper: the monitor falls to it when the launcher leaves, so
Monitor.end() gets its exit status, and whatever a test leaves behind is killed with it.

    @line(41)
    def pid_record_of_create(a):
        m = a.monitor("stdout=foo\\\\n exit=3", api=0)     # words: see tests/lib/fake-runtime.c
        m.start()                                         # the start byte, then the launcher's end
        equal(m.record(), {"pid": m.target()})            # None at end of file
        equal(m.end(), 3)                                 # status of the monitor
        equal([r.text for r in m.log()], [b"foo"])

Area: a temporary directory with a.bundle, a.exits, a.persist, a.sockets, a.path(NAME); a.monitor(...)
makes a Monitor, a.launch(ARGV...) only runs the program and returns a finished Launch.

Monitor: made by a.monitor(words, **options), which starts the launcher; nothing happens before start().
Options: api=1, mode="create" ("exec", "restore"), args=[more words], env={}, cid, terminal, stdin (flags
-t, -i), sync/begin/attach="seqpacket" ("stream", "pipe", None: none), log=None (k8s-file in the area) or a
list of -l words, full=True (--full-attach), bundle (True, False, or a path), exit_command (True: the fake
runtime's "cleanup", recorded in m.exit_record), drop=[option names not to pass], foreground=True (--sync),
extra_fds=[...], cwd, runtime, wrapper=[command that executes the monitor].
    m.start()  m.go()  m.begin_again()     start byte and wait for the launcher; only the byte; the second byte
    m.record()  m.raw                      next record of the sync pipe; all of them as they came
    m.attach_record()                      the same from the attach pipe
    m.pid  m.target()                      pids of the monitor and of the target
    m.client()                             a connected Client
    m.ctl(b"1 2 3\\n")                      writes to the control fifo
    m.log()  m.log_text()  m.wait_log(f)   records of the k8s-file; content; wait until f(records) holds
    m.fifo(NAME)  m.release(NAME)          path for the word wait-file=; let the target go on
    m.exit_file()  m.wait_path(path)       content of the exit file, awaited; wait for any file
    m.end()                                wait for the monitor's end, return its status
    m.processes()  m.cpu()                 pids of the monitor's own processes; their CPU time in seconds

Client: packets as they come: c.packet() (None at end), c.read(n_or_predicate), c.drain() to the end;
c.out, c.err, c.packets; c.send(data), c.half_close(), c.close(), c.reset (ECONNRESET instead of an end).

Waiting: each wait has a deadline (PATIENCE seconds) and hangs on descriptors: until(condition, *paths) looks
again whenever inotify reports something in one of the directories; wait_fd(fd) polls; wait_pid(pid) uses a pidfd.
Only what has no event (state in /proc) is looked at again and again: poll_until(condition). That something does
not happen is seen by watching for a short while: stays(condition).

Monitors that are not scopemon: @line(N, since="2.2.0") or @line(N, quirk="why") says that an original monitor
older than that, or any, is expected to differ; the runner then prints "differs" instead of FAIL.
"""

import collections
import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MONITOR = os.path.realpath(os.environ.get("MONITOR") or f"{TOP}/build/src/scopemon")
RUNTIME = os.path.realpath(os.environ.get("FAKE_RUNTIME_PATH") or f"{TOP}/build/tests/fake-runtime")
PATIENCE = float(os.environ.get("PATIENCE", "10"))
N_LINES = 162
N_REGRESSIONS = 60
CID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

libc = ctypes.CDLL(None, use_errno=True)

# --- tests ---

Test = collections.namedtuple("Test", "kind number function since quirk")
TESTS = {} # (kind, number) -> Test


class Failed(Exception):
    """The program did not do what it should."""


class Skip(Exception):
    """This cannot be tried here; says why."""


def _register(kind, number, since, quirk):
    def decorate(function):
        assert (kind, number) not in TESTS, f"two tests for {kind} {number}"
        TESTS[kind, number] = Test(kind, number, function, since, quirk)
        return function

    return decorate


def line(number, since=None, quirk=None):
    """Make a function the test of line NUMBER of the checklist."""
    assert 1 <= number <= N_LINES
    return _register("line", number, since, quirk)


def regression(number, since=None, quirk=None):
    """Make a function the test of regression case NUMBER."""
    return _register("regression", number, since, quirk)


def scenario(since=None, quirk=None):
    """Make a function a test of its own name, beside the two lists."""
    return lambda function: _register("scenario", function.__name__, since, quirk)(function)


def check(truth, message="not as promised"):
    """Fail with MESSAGE unless TRUTH."""
    if not truth:
        raise Failed(message)


def _short(value):
    if isinstance(value, (bytes, bytearray)) and len(value) > 1000:
        return f"{_short(bytes(value[:250]))} ... {_short(bytes(value[-250:]))} ({len(value)} bytes)"
    text = repr(value)
    return text if len(text) < 600 else f"{text[:300]} ... {text[-250:]} ({len(text)} characters)"


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failed(f"{what + ': ' if what else ''}got {_short(got)}, wanted {_short(wanted)}")


def contains(text, part, what=""):
    if part not in text:
        raise Failed(f"{what + ': ' if what else ''}{_short(part)} is not in {_short(text)}")


def lacks(text, part, what=""):
    if part in text:
        raise Failed(f"{what + ': ' if what else ''}{_short(part)} is in {_short(text)}")


# --- which monitor ---

def _ask_version():
    done = subprocess.run([MONITOR, "--version"], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    version = tuple(int(n) for n in words[2].split(".")) if len(words) > 2 else (0, 0, 0)
    return "scopemon" in done.stdout, version


_asked = []


def is_scopemon():
    if not _asked:
        _asked.append(_ask_version())
    return _asked[0][0]


def version():
    if not _asked:
        _asked.append(_ask_version())
    return _asked[0][1]


def is_older(than):
    """Whether the monitor is an original one from before version THAN ("2.2.0")."""
    return not is_scopemon() and version() < tuple(int(n) for n in than.split("."))


# --- waiting ---

def deadline(seconds=None):
    return time.monotonic() + (seconds or PATIENCE)


def wait_fd(fd, events=select.POLLIN, end=None):
    """Wait until FD is ready; return its revents, 0 when the time is over."""
    end = end or deadline()
    poll = select.poll()
    poll.register(fd, events)
    while True:
        ready = poll.poll(max(0, (end - time.monotonic()) * 1000))
        if ready:
            return ready[0][1]
        if time.monotonic() >= end:
            return 0


class Inotify:
    """Wakes up when anything happens in one of some directories (or to a file)."""

    MASK = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400  # modify, attrib, close_write, moves, create, delete

    def __init__(self, *paths):
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        for path in paths:
            if libc.inotify_add_watch(self.fd, os.fsencode(path), self.MASK) < 0:
                raise Failed(f"cannot watch {path}: {os.strerror(ctypes.get_errno())}")

    def wait(self, end):
        """The events since the last time: [(mask, name)]; None when the time is over."""
        if not wait_fd(self.fd, end=end):
            return None
        data, events = os.read(self.fd, 65536), []
        while data:
            _, mask, _, n = struct.unpack("iIII", data[:16])
            events.append((mask, os.fsdecode(data[16:16 + n].rstrip(b"\0"))))
            data = data[16 + n:]
        return events

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def until(condition, *directories, seconds=None, what="the condition"):
    """Wait until CONDITION() is true, looking again whenever something happens in DIRECTORIES; return what it returned."""
    end = deadline(seconds)
    with Inotify(*directories) as watch:
        while True:
            result = condition()
            if result:
                return result
            if watch.wait(end) is None:
                raise Failed(f"no sign of {what} within {seconds or PATIENCE} s")


def poll_until(condition, seconds=None, what="the condition"):
    """For what has no event, such as state in /proc. Not to be used for anything else."""
    end = deadline(seconds)
    pause = 0.002
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed(f"no sign of {what} within {seconds or PATIENCE} s")
        select.select([], [], [], pause)
        pause = min(pause * 1.5, 0.1)


def stays(condition, seconds=0.3):
    """Whether CONDITION() holds for a while: for what must not happen, where no event says that it will not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        select.select([], [], [], 0.01)
    return bool(condition())


def wait_path(path, seconds=None):
    """Wait until PATH exists, its directory being there already."""
    until(lambda: os.path.lexists(path), os.path.dirname(path), seconds=seconds, what=path)
    return path


def wait_pid(pid, seconds=None):
    """Wait for the end of a child, also one that we have adopted; return its status as a shell has it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        fd = None
    if fd is not None:
        ready = wait_fd(fd, end=deadline(seconds))
        os.close(fd)
        if not ready:
            raise Failed(f"process {pid} has not ended within {seconds or PATIENCE} s")
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def wait_gone(pid, seconds=None):
    """Wait for the end of any process."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready = wait_fd(fd, end=deadline(seconds))
    os.close(fd)
    check(ready, f"process {pid} has not ended within {seconds or PATIENCE} s")


# --- /proc ---

def read_text(path):
    with open(path, "rb") as f:
        return f.read()


def children(pid):
    """The pids of PID's children, zombies too."""
    found = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found.update(int(c) for c in read_text(f"/proc/{pid}/task/{task}/children").split())
    except OSError:
        pass
    return found


def descendants(pid):
    found, todo = set(), [pid]
    while todo:
        for child in children(todo.pop()) - found:
            found.add(child)
            todo.append(child)
    return found


def stat_fields(pid):
    """What follows the name in /proc/PID/stat: [state, ppid, pgrp, session, ...]; None if it is gone."""
    try:
        return read_text(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()
    except OSError:
        return None


def is_alive(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def comm(pid):
    try:
        return read_text(f"/proc/{pid}/comm").decode().strip()
    except OSError:
        return ""


def link(pid, what):
    try:
        return os.readlink(f"/proc/{pid}/{what}")
    except OSError:
        return ""


def fds_of(pid):
    """{number: link} of a process's descriptors."""
    try:
        return {int(n): link(pid, f"fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        return {}


def status_field(pid, name):
    for entry in read_text(f"/proc/{pid}/status").decode().splitlines():
        if entry.startswith(name + ":"):
            return entry.split(":", 1)[1].strip()
    return None


# --- the monitor ---

Launch = collections.namedtuple("Launch", "status out err")
LogRecord = collections.namedtuple("LogRecord", "time stream flag text raw")
LOG_LINE = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)", re.S)


def parse_log(data):
    """Records of a k8s-file; fails if a line is not one."""
    records = []
    for raw in data.split(b"\n")[:-1] if data else []:
        match = LOG_LINE.fullmatch(raw)
        check(match, f"no log record: {_short(raw)}")
        records.append(LogRecord(match[1].decode(), match[2].decode(), match[3].decode(), match[4], raw))
    check(not data or data.endswith(b"\n"), "log does not end with a newline")
    return records


def unlogged(records, stream="stdout"):
    """The bytes that RECORDS stand for."""
    return b"".join(r.text + (b"\n" if r.flag == "F" else b"") for r in records if r.stream == stream)


def parse_record_file(data):
    """What the word record= writes: {key: [values]}, escapes undone."""
    found = collections.defaultdict(list)
    for entry in data.split(b"\n"):
        key, _, value = entry.partition(b": ") if b": " in entry else entry.partition(b":")
        value = re.sub(rb"\\(.)", lambda m: b"\n" if m[1] == b"n" else m[1], value)
        found[key.decode()].append(value.strip(b"\t") if key.startswith(b"Sig") else value)
    return found


class Area:
    """Directories of one test."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="contract-", dir="/tmp")
        os.chmod(self.top, 0o755)
        self.bundle = self.make("bundle")
        self.exits = self.make("exits")
        self.persist = self.make("persist")
        self.sockets = self.make("sockets")
        self.monitors = []

    def path(self, name):
        return os.path.join(self.top, name)

    def make(self, name):
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    def file(self, name, content=b"", mode=0o644):
        with open(self.path(name), "wb") as f:
            f.write(content)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def monitor(self, words="", **options):
        m = Monitor(self, words, **options)
        self.monitors.append(m)
        return m

    def environment(self, words="", env=None):
        """What the launcher gets: little, and always the same. A value of None takes a variable out."""
        result = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "FAKE_RUNTIME": words,
                  "SCOPEMON_PLACEMENT": "caller"}
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH"):
            if key in os.environ:
                result[key] = os.environ[key]
        result.update(env or {})
        return {k: v for k, v in result.items() if v is not None}

    def launch(self, *argv, env=None, cwd=None, pass_fds=(), seconds=None):
        """Run the monitor with exactly these words and wait for the launcher's end and its output's."""
        try:
            done = subprocess.run([MONITOR, *argv], env=self.environment("", env), cwd=cwd or self.top, pass_fds=pass_fds,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=seconds or PATIENCE)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"launcher has not ended, or holds its output: {e.stdout} {e.stderr}") from e
        return Launch(done.returncode, done.stdout, done.stderr)

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)


def make_pair(kind):
    """(ours, theirs) of a channel as callers use them; theirs is what the monitor gets. Sockets serve both directions."""
    if kind == "pipe":
        r, w = os.pipe()
        return r, w
    types = {"seqpacket": socket.SOCK_SEQPACKET, "stream": socket.SOCK_STREAM}
    one, two = socket.socketpair(socket.AF_UNIX, types[kind])
    return one.detach(), two.detach()


class Channel:
    """Our end of a sync, start or attach pipe."""

    def __init__(self, kind, writing=False):
        self.kind = kind
        self.ours, self.theirs = make_pair(kind)
        if kind == "pipe" and writing:
            self.ours, self.theirs = self.theirs, self.ours
        self.buffer = b""
        self.raw = []  # whole records, as they came

    def close(self):
        if self.ours >= 0:
            os.close(self.ours)
        self.ours = -1

    def _chunk(self, end):
        check(wait_fd(self.ours, end=end), f"nothing from the monitor within {PATIENCE} s")
        try:
            return os.read(self.ours, 65536)
        except ConnectionResetError:
            return b""

    def record(self, seconds=None):
        """The next record, decoded; None at the end. A record on a seqpacket socket has to be one packet."""
        end = deadline(seconds)
        if self.kind == "seqpacket":
            self.buffer = self._chunk(end)
        else:
            while b"\n" not in self.buffer:
                data = self._chunk(end)
                if not data:
                    break
                self.buffer += data
        if not self.buffer:
            return None
        if self.kind == "seqpacket":
            raw, self.buffer = self.buffer, b""
            check(raw.endswith(b"\n") and raw.count(b"\n") == 1, f"not one record in one packet: {_short(raw)}")
        else:
            raw, newline, self.buffer = self.buffer.partition(b"\n")
            raw += newline
        self.raw.append(raw)
        return json.loads(raw.decode("utf-8", "surrogateescape"))


class Client:
    """A client of the attach socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        handle = os.open(path, os.O_PATH)  # as Podman does it: paths of any length
        try:
            self.socket.connect(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
        self.packets = []
        self.out = bytearray()
        self.err = bytearray()
        self.ended = False
        self.reset = False

    def fileno(self):
        return self.socket.fileno()

    def packet(self, seconds=None, end=None):
        """The next packet as it came, None at the end."""
        if not wait_fd(self.socket.fileno(), end=end or deadline(seconds)):
            raise Failed(f"no packet within {seconds or PATIENCE} s; had {_short(self.out)} {_short(self.err)}")
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            self.reset, data = True, b""
        if not data:
            self.ended = True
            return None
        self.packets.append(data)
        if data[0] == 2:
            self.out += data[1:]
        elif data[0] == 3:
            self.err += data[1:]
        return data

    def read(self, enough, seconds=None):
        """Read until there are ENOUGH bytes on stdout, or bytes with ENOUGH in them, or ENOUGH(self) is true."""
        end, seen = deadline(seconds), 0

        def is_enough():
            nonlocal seen
            if isinstance(enough, int):
                return len(self.out) >= enough
            if isinstance(enough, bytes):
                begin, seen = max(0, seen - len(enough)), len(self.out)
                return self.out.find(enough, begin) >= 0
            return enough(self)

        while not is_enough():
            if self.packet(end=end) is None:
                raise Failed(f"end before {_short(enough)}; had {_short(self.out)} {_short(self.err)}")
        return self.out

    def drain(self, seconds=None):
        """Read to the end; return what came on stdout, from the beginning."""
        end = deadline(seconds)
        while not self.ended:
            self.packet(end=end)
        return self.out

    def send(self, data):
        self.socket.send(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def drain_all(clients, seconds=None):
    """Read several clients to their ends, side by side: each holds the output back for the others."""
    end = deadline(seconds)
    while left := [c for c in clients if not c.ended]:
        ready = select.select(left, [], [], max(0, end - time.monotonic()))[0]
        check(ready, f"nothing for {len(left)} clients")
        for c in ready:
            c.packet(end=end)


class Monitor:
    """One run of the monitor; see the top of this file."""

    def __init__(self, area, words="", *, api=1, mode="create", args=(), env=None, cid=CID, uuid=None, terminal=False,
                 stdin=False, sync="seqpacket", begin="seqpacket", attach=None, log=None, full=True, bundle=True,
                 exit_command=False, exit_words="", drop=(), foreground=False, extra_fds=(), cwd=None, runtime=None,
                 stdio=None, wrapper=(), before=None):
        self.area = area
        self.cid = cid
        self.mode = mode
        self.foreground = foreground
        self.bundle = area.bundle if bundle is True else bundle or None
        self.pid_file = area.path("pidfile")
        self.monitor_pid_file = area.path("conmon-pidfile")
        self.log_path = area.path("ctr.log")
        self.runtime_record = area.path("runtime-record")
        self.exit_record = area.path("exit-record")
        self.sync_channel = Channel(sync) if sync else None
        self.begin_channel = Channel(begin, writing=True) if begin else None
        self.attach_channel = Channel(attach) if attach else None
        self._pid = None
        self._pid_file_drop = "-P" in drop or foreground
        if exit_command:
            exit_words = f"exit-record={self.exit_record} {exit_words}"
        environment = area.environment(f"{words} {exit_words}".strip(), env)
        fds = list(extra_fds)
        for name, channel in (("SYNC", self.sync_channel), ("START", self.begin_channel), ("ATTACH", self.attach_channel)):
            if channel:
                environment.setdefault(f"_OCI_{name}PIPE", str(channel.theirs))
                fds.append(channel.theirs)
        self.argv = self._make_argv(api, uuid, terminal, stdin, log, full, exit_command, drop, runtime) + list(args)
        stdio = stdio or {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.launcher = subprocess.Popen([*wrapper, MONITOR, *self.argv], env=environment, cwd=cwd or self.bundle or area.top,
                                         pass_fds=fds, process_group=0, preexec_fn=before, **stdio)
        for channel in (self.sync_channel, self.begin_channel, self.attach_channel):
            if channel:
                os.close(channel.theirs)
        self.launched = None

    def _make_argv(self, api, uuid, terminal, stdin, log, full, exit_command, drop, runtime):
        area, argv = self.area, []

        def option(name, *value, when=True):
            if when and name not in drop:
                argv.extend([name, *value])

        option("--api-version", "1", when=api)
        option("-c", self.cid)
        option("-u", uuid or self.cid)
        option("-r", runtime or RUNTIME)
        option("-b", self.bundle or "", when=self.bundle)
        option("-p", self.pid_file)
        option("-P", self.monitor_pid_file, when=not self.foreground)
        option("-n", "name-of-it")
        option("--exit-dir", area.exits)
        option("--persist-dir", area.persist)
        option("--full-attach", when=full)
        option("--socket-dir-path", area.sockets, when=not full)
        for driver in [f"k8s-file:{self.log_path}"] if log is None else log:
            option("-l", driver)
        option("-t", when=terminal)
        option("-i", when=stdin)
        option("--sync", when=self.foreground)
        option("-e", when=self.mode == "exec")
        option("--exec-process-spec", area.path("process.json"), when=self.mode == "exec")
        option("--exec-attach", when=self.attach_channel)
        option("--restore", area.path("checkpoint"), when=self.mode == "restore")
        if exit_command:
            option("--exit-command", RUNTIME)
            argv.extend(["--exit-command-arg", "cleanup"])
        return argv

    # the launcher

    def go(self):
        """The start byte, nothing else."""
        os.write(self.begin_channel.ours, b"\0")

    begin_again = go

    def start(self):
        """Let it go, and wait until the launcher has left and its output is at its end (not with --sync)."""
        if self.begin_channel:
            self.go()
        if self.foreground:
            self._pid = self.launcher.pid
            return self
        launch = self.left()
        equal(launch.status, 0, f"status of the launcher, which said {launch.out} {launch.err}")
        return self

    def left(self):
        """Wait for the launcher's end and that of its output: a Launch."""
        if self.launched is None:
            try:
                out, err = self.launcher.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired as e:
                raise Failed("launcher has not ended, or its output is still open") from e
            self.launched = Launch(self.launcher.returncode, out or b"", err or b"")
            if self.launched.status == 0 and not self.foreground:
                _ = self.pid
        return self.launched

    # what it writes

    @property
    def pid(self):
        """The monitor's pid. Without a pid file: the child that we have adopted."""
        if self._pid is None and not self._pid_file_drop:
            self._pid = int(read_text(self.monitor_pid_file))
        elif self._pid is None:
            name = os.path.basename(MONITOR)[:15]
            self._pid = next((c for c in children(os.getpid()) if c != self.launcher.pid and comm(c) == name), None)
        return self._pid

    def target(self):
        wait_path(self.pid_file)
        return int(until(lambda: read_text(self.pid_file), os.path.dirname(self.pid_file), what="the target's pid"))

    def record(self, seconds=None):
        return self.sync_channel.record(seconds)

    @property
    def raw(self):
        return self.sync_channel.raw

    def attach_record(self, seconds=None):
        return self.attach_channel.record(seconds)

    def log_text(self):
        return read_text(self.log_path) if os.path.exists(self.log_path) else b""

    def log(self):
        return parse_log(self.log_text())

    def wait_log(self, condition, seconds=None):
        """Wait until CONDITION(records) holds; return the records."""
        def look():
            data = self.log_text()
            records = parse_log(data[:data.rfind(b"\n") + 1])
            return [records] if condition(records) else None

        return until(look, os.path.dirname(self.log_path), seconds=seconds, what="the records in the log")[0]

    def wait_output(self, part, stream="stdout"):
        """Wait until the log holds the bytes PART of a stream."""
        return self.wait_log(lambda records: part in unlogged(records, stream))

    def output(self, stream="stdout"):
        return unlogged(self.log(), stream)

    # talking to it

    @property
    def attach_path(self):
        return f"{self.bundle}/attach"

    def client(self, path=None):
        """Connect. Before the pid is told it may be too early: bind() makes the name, listen() comes after it."""
        def connect():
            with contextlib.suppress(ConnectionRefusedError):
                return Client(path or self.attach_path)

        wait_path(path or self.attach_path)
        return poll_until(connect, what="a listener")

    def ctl(self, data, name="ctl"):
        fd = os.open(f"{self.bundle}/{name}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.set_blocking(fd, True)
            os.write(fd, data)
        finally:
            os.close(fd)

    def fifo(self, name):
        """Path for the word wait-file=; made here, so that release() may come first."""
        path = self.area.path(name)
        with contextlib.suppress(FileExistsError): # the target makes it, too
            os.mkfifo(path)
        return path

    def release(self, name):
        """Let a target go on that waits, or will wait, with wait-file=; the gate stays open."""
        release(self.area.path(name))

    # its end

    def wait_path(self, path, seconds=None):
        return wait_path(path, seconds)

    def exit_file(self, seconds=None):
        return read_text(wait_path(f"{self.area.exits}/{self.cid}", seconds)).decode()

    def persist_file(self, seconds=None):
        return read_text(wait_path(f"{self.area.persist}/exit", seconds)).decode()

    def end(self, seconds=None):
        """Wait for the monitor's end; return its status."""
        if self.foreground:
            return self.left().status
        return wait_pid(self.pid, seconds)

    def processes(self):
        """Pids of the monitor's own processes: itself and its children that run the same program."""
        exe = link(self.pid, "exe")
        return [self.pid] + [c for c in children(self.pid) if link(c, "exe") == exe]

    def cpu(self):
        ticks = 0
        for pid in self.processes():
            fields = stat_fields(pid)
            ticks += int(fields[11]) + int(fields[12]) if fields else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def is_idle(self, seconds=0.5):
        """Whether the monitor uses next to no CPU during a stretch of time (this is a measurement, not a wait)."""
        before = self.cpu()
        select.select([], [], [], seconds)
        return self.cpu() - before <= 0.2 * seconds

    def runtime_saw(self):
        """What the word record=PATH (m.runtime_record) has written."""
        return parse_record_file(read_text(wait_path(self.runtime_record)))

    def exit_command_saw(self):
        return parse_record_file(read_text(wait_path(self.exit_record)))


_gates = []


def release(path):
    """Let whoever opens the fifo PATH for reading go on, now or later: from now on the gate is open."""
    _gates.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def become_subreaper():
    """And give the signals their meaning: a shell's job in the background has these two ignored, as targets would."""
    check(libc.prctl(36, 1, 0, 0, 0) == 0, "cannot become a subreaper")
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def kill_descendants():
    """End all that a test has left; only our own descendants."""
    for _ in range(50):
        left = [c for c in children(os.getpid())]
        if not left:
            return
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in left:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass


def is_fifo(path):
    return stat.S_ISFIFO(os.lstat(path).st_mode)


def is_socket(path):
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)
