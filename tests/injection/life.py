# SPDX-License-Identifier: Apache-2.0
"""One container's life under one fault, and the verdict on it.

The life plays the caller: it starts the monitor under strace, gives the start byte, reads the sync pipe, and watches
until no process is left or the time is over. A process of its own, a subreaper, so that nothing can get away.

The verdict is computed from what was seen (judge()), and is empty or says what was wrong:

    hang            a process is left when the time is over
    told nobody     the sync pipe promised a container (a pid), and neither exit file nor exit record followed; or
                    nothing at all came: no record, no end of file
    untrue          what was told cannot be: success where there was none, an exit file before the container's end
    client hangs    an attached client has no end of file though all is over
    lost in silence output is neither in log or journal, nor does the monitor say in the journal that it is lost

EXCUSED has what cannot be otherwise.
"""

import collections
import contextlib
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "contract"))
# pylint: disable=wrong-import-position
import harness  # noqa: E402
import calls  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "fault"))
import tools  # noqa: E402

TICK = 0.02
USERS = 1 << 24
SHORT_LIBRARY = os.environ.get("SHORT_LIBRARY") or f"{os.path.dirname(harness.RUNTIME)}/short.so"


class Seen:
    """What the caller of one life has seen."""

    def __init__(self):
        self.records = []      # decoded, of the sync pipe
        self.sync_ended = False
        self.attach_records = []
        self.attach_ended = False
        self.ended = set()     # pids
        self.launcher = None   # its exit status
        self.monitor = None    # exit status of the keeper, if it was seen
        self.pid = None        # of the container, as told
        self.exit_file = None  # its content
        self.early = False     # it was there while the container ran
        self.clients = []      # whether each has seen its end
        self.left = []         # texts, one a process
        self.injected = 0
        self.said = []         # in the journal, by the monitor
        self.output = b""      # of the container, in file or journal
        self.hits = []         # the calls that failed, as strace tells them
        self.notes = []

    def numbers(self):
        return [r.get("data", r.get("pid", r.get("exit_code"))) for r in self.records]


class Service:
    """Stands where a harness.Monitor does: nobody reads of it but the exit status of its process."""

    def __init__(self, process):
        self.launcher = process
        self.sync_channel = self.attach_channel = None
        self.mode, self.cid = "service", "none"


def traced_calls(text):
    """The lines of strace's output, each call whole: what another process's line has split in two is joined, where it ended."""
    calls_under_way, whole = {}, []
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        resumed = re.match(r"<\.\.\. \w+ resumed>", rest)
        if rest.endswith("<unfinished ...>"):
            calls_under_way[pid] = rest.removesuffix("<unfinished ...>")
        elif resumed:
            whole.append(f"{pid} {calls_under_way.pop(pid, '')}{rest[resumed.end():]}")
        else:
            whole.append(line)
    return whole + [f"{pid} {begun}" for pid, begun in calls_under_way.items()]


class Life:
    """Runs one life. A scenario sets what it needs, then calls run()."""

    def __init__(self, fault, limit):
        self.fault = calls.parse(fault)
        self.limit = limit
        self.area = harness.Area()
        self.seen = Seen()
        self.monitor = None
        self.trace = self.area.path("trace")
        self.strace = None         # its pid
        self.count_all = False     # a life of measuring: which calls are there
        self.journal = tools.Journal()
        self.hooks = []            # called at each tick with the life; True when it has done its work
        self.sockets = {}          # attached clients: socket -> index
        self.begin_twice = False
        self.end_at = 0
        kind, _, value = self.fault.text.partition(":")
        self.processes = int(value) if kind == "nproc" else 0  # that the life may have; 0: as many as it likes
        self.user = USERS + os.getpid()  # who has that limit, and nothing else

    # --- starting ---

    def wrapper(self):
        """What stands before the monitor's command line."""
        words = ["strace", "-D", "-f", "-qqq", "-e", "signal=none", "-o", self.trace]
        if self.count_all:
            return words
        if not self.fault.calls or self.fault.error == "short":
            return []
        return words + ["--seccomp-bpf", *calls.strace_words(self.fault)]

    def limits(self):
        kind, _, value = self.fault.text.partition(":")
        soft, _, hard = value.partition("/")
        if kind == "nofile":
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), int(hard or soft)))
        if self.processes:  # which is not for root; and counted for each user
            resource.setrlimit(resource.RLIMIT_NPROC, (self.processes, self.processes))
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)

    def give_away(self):
        """To the user who has a limit of processes: what the area has, and programs that every user can reach."""
        if not self.processes:
            return
        harness.MONITOR = shutil.copy2(harness.MONITOR, self.area.path("monitor"))
        harness.RUNTIME = shutil.copy2(harness.RUNTIME, self.area.path("fake-runtime"))
        for directory, _, names in os.walk(self.area.top):
            for path in (directory, *(os.path.join(directory, n) for n in names)):
                os.chown(path, self.user, self.user)

    def environment(self):
        """What the monitor's has besides."""
        if self.fault.error != "short":
            return {}
        return {"LD_PRELOAD": SHORT_LIBRARY, "SHORT": f"{self.fault.calls[0]}:{self.fault.when}"}

    def start_service(self, words):
        """The monitor as a service's main process."""
        root = self.area.make("root")
        with open(f"{self.area.bundle}/config.json", "w", encoding="utf-8") as f:
            f.write('{"ociVersion": "1.0.2", "process": {"terminal": false, "args": ["x"], "cwd": "/"}, "root": {"path": "/"}}')
        run = self.area.make("run")
        self.give_away()
        env = self.area.environment(f"wait-start {words}", {"RUNTIME_DIRECTORY": run, **self.environment()})
        with open(self.area.path("output"), "wb") as out:
            process = subprocess.Popen([*self.wrapper(), harness.MONITOR, "--service", "--bundle", self.area.bundle, "--runtime",
                                        harness.RUNTIME, "--runtime-arg", f"--root={root}"], env=env, cwd=self.area.top,
                                       preexec_fn=self.limits, process_group=0, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.monitor = Service(process)
        return self.monitor

    def start(self, words, **options):
        """The monitor, under its fault, with the start byte given."""
        self.give_away()
        out = os.open(self.area.path("output"), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)
        self.monitor = self.area.monitor(words, wrapper=self.wrapper(), before=self.limits, env=self.environment(),
                                         stdio={"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}, **options)
        os.close(out)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.monitor.go()
        return self.monitor

    # --- looking ---

    def take(self, channel, records):
        """Records that are there; True at the end of file."""
        try:
            data = os.read(channel.ours, 65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        except BlockingIOError:
            return False
        for line in data.splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                self.seen.notes.append(f"no record: {line[:80]!r}")
        return not data

    def look(self, seconds):
        """Take what has come, after SECONDS at most."""
        m, s = self.monitor, self.seen
        poll = select.poll()
        if m.sync_channel and not s.sync_ended:
            poll.register(m.sync_channel.ours, select.POLLIN)
        if m.attach_channel and not s.attach_ended:
            poll.register(m.attach_channel.ours, select.POLLIN)
        for sock in self.sockets:
            poll.register(sock, select.POLLIN)
        for fd, _ in poll.poll(seconds * 1000):
            if m.sync_channel and fd == m.sync_channel.ours:
                s.sync_ended = self.take(m.sync_channel, s.records)
            elif m.attach_channel and fd == m.attach_channel.ours:
                s.attach_ended = self.take(m.attach_channel, s.attach_records)
            else:
                self.read_client(next(sock for sock in self.sockets if sock.fileno() == fd))
        self.look_around()

    def read_client(self, sock):
        try:
            data = sock.recv(65536, 0x40)  # MSG_DONTWAIT
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            s = self.sockets.pop(sock)
            self.seen.clients[s] = True
            sock.close()

    def look_around(self):
        """The exit file, and whether the container runs; children that have ended."""
        m, s = self.monitor, self.seen
        numbers = [n for n in s.numbers() if isinstance(n, int) and n > 0]
        if numbers and s.pid is None and (m.mode != "exec" or len(numbers) >= 1):
            s.pid = numbers[0]
        path = f"{self.area.exits}/{m.cid}"
        if s.exit_file is None and os.path.exists(path):
            s.early = bool(s.pid) and harness.is_alive(s.pid) and harness.comm(s.pid) == "fake-target"
            s.exit_file = harness.read_text(path).decode(errors="replace")
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            s.ended.add(pid)
            if pid == m.launcher.pid:
                s.launcher = m.launcher.returncode = code
            elif s.monitor is None and pid == self.keeper():
                s.monitor = code

    def keeper(self):
        if isinstance(self.monitor, Service):
            return self.monitor.launcher.pid
        try:
            return int(harness.read_text(self.monitor.monitor_pid_file))
        except (OSError, ValueError):
            return None

    def attach(self):
        """A client, if it can be; a hook's helper."""
        path = self.monitor.attach_path
        if not os.path.exists(path):
            return False
        try:
            client = harness.Client(path)
        except OSError:
            return False
        client.socket.setblocking(False)
        self.sockets[client.socket] = len(self.seen.clients)
        self.seen.clients.append(False)
        return client

    # --- the whole of it ---

    def run(self):
        """Until nothing is left, or the time is over; what is left is ended then."""
        m, s = self.monitor, self.seen
        for channel in (m.sync_channel, m.attach_channel):
            if channel:
                os.set_blocking(channel.ours, False)
        self.end_at = time.monotonic() + self.limit
        while harness.children(os.getpid()) and time.monotonic() < self.end_at:
            self.look(TICK)
            self.hooks = [h for h in self.hooks if not h(self)]
        if harness.children(os.getpid()):
            s.left = self.describe_left()
        for _ in range(1000):
            self.look(0)
            if s.sync_ended and not self.sockets:
                break
        s.injected = self.count_injected()
        self.listen()
        return s

    def listen(self):
        """What is in the log file and in the journal."""
        self.journal.over = True
        self.journal.join(1)
        self.journal.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.journal.raw.append(self.journal.socket.recv(1 << 20))
        entries = self.journal.entries()
        self.seen.said = [e[b"MESSAGE"].decode(errors="replace") for e in entries if b"CONTAINER_ID_FULL" not in e and b"MESSAGE" in e]
        self.seen.output = b"".join(e[b"MESSAGE"] + b"\n" for e in entries if b"CONTAINER_ID_FULL" in e and b"MESSAGE" in e)
        with contextlib.suppress(OSError, AttributeError):
            self.seen.output += harness.read_text(self.monitor.log_path)

    def describe_left(self):
        def one(pid):
            fields = harness.stat_fields(pid)
            with contextlib.suppress(OSError):
                return (f"{harness.comm(pid)}[{pid}] {fields[0]} in {harness.read_text(f'/proc/{pid}/wchan').decode() or '?'}"
                        f"{', child of ' + fields[1]}")
            return ""

        found = [(pid, one(pid)) for pid in sorted(harness.descendants(os.getpid()))]
        return [text for pid, text in found if text and harness.comm(pid) != "strace"]

    def count_injected(self):
        if not self.fault.calls or self.fault.error == "short":
            return 1
        try:
            hits = [line for line in traced_calls(harness.read_text(self.trace).decode(errors="replace")) if "(INJECTED)" in line]
        except OSError:
            return 0
        keeper = f"{self.keeper()} "
        self.seen.hits = [" ".join(("KEEPER " + line.removeprefix(keeper) if line.startswith(keeper) else line)
                                   .removesuffix(" (INJECTED)").split())[:120] for line in hits]
        return len(hits)

    def counts(self):
        """{call: times in the process that makes it most often} of a life of measuring."""
        most, now = {}, {}
        for line in traced_calls(harness.read_text(self.trace).decode(errors="replace")):
            pid, _, rest = line.partition(" ")
            name = rest.strip().partition("(")[0]
            if not name.replace("_", "").isalnum():
                continue
            now[pid, name] = now.get((pid, name), 0) + 1
            most[name] = max(most.get(name, 0), now[pid, name])
        return most


# What truly cannot be told, or cannot be in a kernel: scenario and fault, what was wrong, which calls failed or what the journal says
# (regular expressions), and why it is excused.
Excuse = collections.namedtuple("Excuse", "life wrong hits said reason")
EXCUSED = (
    Excuse(r"\w+ epoll_ctl:.*", r".*", r"EPOLL_CTL_(DEL|MOD)", None, "a kernel needs no memory to change or remove a watch"),
    Excuse(r"\w+ (write|renameat|openat):E\w+:\d+\+", r"told nobody: pid \d+ and no exit (file|code)", None,
           r"the exit status cannot be written", "no exit file can be made for as long as it is tried, and the journal says so"),
    Excuse(r"\w+ (sendmsg|sendto|connect):E\w+:\d+\+", r"lost in silence.*", None, None, "the process that would tell is refused every send, to the journal, too"),
)


def excuse(life, wrong, s):
    """Why a life ("SCENARIO FAULT") is excused, or None."""
    for e in EXCUSED:
        if (re.fullmatch(e.life, life) and re.fullmatch(e.wrong, wrong) and (not e.hits or any(re.search(e.hits, h) for h in s.hits))
                and (not e.said or any(re.search(e.said, t) for t in s.said))):
            return e.reason
    return None


def judge(scenario, s):
    """What is wrong with a life: a text, or None."""
    wrong = []
    if s.left:
        wrong.append("hang: " + "; ".join(s.left))
    told = scenario.told(s)
    if told:
        wrong.append(told)
    if s.early:
        wrong.append("untrue: exit file while the container runs")
    if s.exit_file is not None and not s.exit_file.lstrip("-").isdigit():
        wrong.append(f"untrue: exit file says {s.exit_file!r}")
    if s.exit_file == "0":
        wrong.append("untrue: exit file says 0")
    if not s.left and not all(s.clients):
        wrong.append("client hangs")
    wrong.extend(n for n in s.notes if n.startswith("no record"))
    if not wrong and scenario.output and s.exit_file == "3" and scenario.output not in s.output and not any("lost" in t or "discarded" in t for t in s.said):
        wrong.append(f"lost in silence: {scenario.output!r} is not in {s.output!r}")
    return "; ".join(wrong) or None


def told_service(s):
    """The service manager sees the exit status of the main process."""
    return "untrue: the service has succeeded" if s.launcher == 0 else None


def told_full(s):
    """Where no file can be written the journal says so."""
    wrong = told_create(s)
    return None if wrong and any("exit status" in text for text in s.said) else wrong


def told_create(s):
    """A failure or the end of the sync pipe without a pid; or a pid, and an exit file at the end."""
    numbers = s.numbers()
    if any(isinstance(n, int) and n < 0 for n in numbers):
        return None
    if not numbers:
        return None if s.sync_ended else "told nobody: no record and no end of file"
    return None if s.exit_file is not None else f"told nobody: pid {numbers[0]} and no exit file"


def told_exec(s):
    """The same, or an exit code as the last record."""
    numbers = s.numbers()
    if any(isinstance(n, int) and n < 0 for n in numbers):
        return None
    if not numbers:
        return None if s.sync_ended else "told nobody: no record and no end of file"
    if len(numbers) > 1 and numbers[1] == 0:
        return "untrue: exit code 0"
    return None if len(numbers) > 1 or s.exit_file is not None else f"told nobody: pid {numbers[0]} and no exit code"
