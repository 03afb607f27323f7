# SPDX-License-Identifier: Apache-2.0
"""CRI-O's side of the contract: what it passes, writes, waits for and reads, in its order.

    c = Container(a, words)                 directories, log path
    c.create(terminal=False, stdin=False)   {"pid": N} or {"pid": -1, "message": ...}, as read from the sync socket
    c.begin()                               RUNTIME start, for the word wait-start
    c.exec_sync(words, timeout=None)        an ExecResult
    c.attach()                              a Client, connected by the literal path
    c.notice()                              waits for the exit notice; the exit status from the state directory
    c.resize(h, w), c.reopen()              through the fifo, opened as CRI-O opens it

Descriptors and working directory are those of the test's process while a monitor is started.
"""

import collections
import fcntl
import json
import os
import signal
import socket
import tempfile

import harness
from harness import CID, RUNTIME, Failed, Inotify, check, deadline, equal, read_text, wait_fd, wait_pid

ExecResult = collections.namedtuple("ExecResult", "code message out err said log")
NAME = "k8s_name_pod_namespace_0123-4567_0"
EXEC_OUTPUT_MAX = 16 << 20
IN_CREATE, IN_MOVED_TO, IN_MODIFY = 0x100, 0x80, 0x2


def high(fd):
    """A copy of a descriptor out of the way of 0 to 4; the original is closed."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return copy


def socket_pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return high(ours.detach()), high(theirs.detach())


def pipe():
    r, w = os.pipe()
    return high(r), high(w)


def read_to_end(fds, seconds=None):
    """Read descriptors to their ends, which is what os/exec's Wait() waits for; close them."""
    end, data, open_fds = deadline(seconds), {fd: b"" for fd in fds}, list(fds)
    for fd in open_fds:
        while True:
            check(wait_fd(fd, end=end), "somebody holds a descriptor of CRI-O's open")
            chunk = os.read(fd, 65536)
            if not chunk:
                break
            data[fd] += chunk
        os.close(fd)
    return [data[fd] for fd in fds]


def read_object(fd, seconds=None):
    """One JSON object; None at the end."""
    end, data = deadline(seconds), b""
    while True:
        check(wait_fd(fd, end=end), "nothing on the sync descriptor")
        chunk = os.read(fd, 4096)
        if not chunk:
            check(not data, f"end in the middle of {data}")
            return None, b""
        data += chunk
        try:
            value, n = json.JSONDecoder().raw_decode(data.decode())
            return value, data[n:]
        except ValueError:
            continue


class Container:
    def __init__(self, area, words="", cid=CID):
        self.area = area
        self.words = words
        self.cid = cid
        self.exits, self.state, self.sockets = area.exits, area.persist, area.sockets
        self.bundle = area.bundle
        self.root = area.make("root")
        self.log_dir = area.make("logs")
        self.log_path = f"{self.log_dir}/0.log"
        self.pid_file = f"{self.bundle}/pidfile"
        self.exit_watch = Inotify(self.exits)  # CRI-O watches before any container is made
        self.monitor = None
        self.seen = []

    # starting

    def _environment(self, words):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "CRI_O_EXTERNAL": "1", "_OCI_SYNCPIPE": "3",
               "_OCI_STARTPIPE": "4", "FAKE_RUNTIME": words, "SCOPEMON_PLACEMENT": "caller"}
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH"):
            if key in os.environ:
                env[key] = os.environ[key]
        return env

    def _spawn(self, argv, words, stdio, sync, begin, cwd, group):
        actions = [(os.POSIX_SPAWN_DUP2, fd, i) for i, fd in enumerate([*stdio, sync, begin])]
        before = os.getcwd()
        os.chdir(cwd)
        try:
            more = {"setpgroup": 0} if group else {}
            return os.posix_spawn(harness.MONITOR, [harness.MONITOR, *argv], self._environment(words), file_actions=actions,
                                  setsigdef=[signal.SIGPIPE], **more)
        finally:
            os.chdir(before)

    def create(self, terminal=False, stdin=False, stdin_once=True, more=(), runtime=RUNTIME, seconds=None):
        argv = ["-b", self.bundle, "-c", self.cid, "--exit-dir", self.exits, "-l", self.log_path, "--log-level", "info", "-n", NAME,
                "-P", f"{self.bundle}/conmon-pidfile", "-p", self.pid_file, "--persist-dir", self.state, "-r", runtime,
                "--runtime-arg", f"--root={self.root}", "--socket-dir-path", self.sockets, "--syslog", "-u", self.cid, *more]
        if terminal:
            argv.append("-t")
        elif stdin:
            argv.extend(["-i"] if stdin_once else ["--leave-stdin-open", "-i"])
        null = high(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        err_r, err_w = pipe() if terminal else (-1, high(os.open(self.area.path("crio-stderr"), os.O_WRONLY | os.O_CREAT, 0o600)))
        sync, their_sync = socket_pair()
        begin, their_begin = socket_pair()
        pid = self._spawn(argv, self.words, [null, err_w, err_w], their_sync, their_begin, self.bundle, True)
        for fd in (null, err_w, their_sync, their_begin):
            os.close(fd)
        equal(harness.children(pid), set(), "processes before the start byte")
        os.write(begin, b"\0")
        equal(wait_pid(pid, seconds), 0, "status of the process that CRI-O started")
        if terminal:
            equal(read_to_end([err_r], seconds), [b""], "standard error of a create")
        told, rest = read_object(sync, seconds)
        check(told is not None, "error reading container (probably exited) json message: EOF")
        equal(rest.strip(), b"", "what follows the object")
        equal(list(told), ["pid", "message"] if told["pid"] < 0 and "message" in told else ["pid"])
        os.close(sync)
        os.close(begin)
        if told["pid"] > 0:
            digits = read_text(f"{self.bundle}/conmon-pidfile")
            check(digits.isdigit(), f"conmon-pidfile is {digits}")
            self.monitor = int(digits)
            check(os.path.exists(f"/proc/{self.monitor}"), "the monitor of conmon-pidfile is not there")  # dead, perhaps
            equal(read_text(self.pid_file).decode(), str(told["pid"]))
        return told

    def runtime(self, *words):
        pid = os.posix_spawn(RUNTIME, [RUNTIME, f"--root={self.root}", *words], {"PATH": "/usr/bin:/bin"})
        return wait_pid(pid)

    def begin(self):
        equal(self.runtime("start", self.cid), 0, "status of RUNTIME start")

    # exec

    def _exec_files(self):
        made = []
        for prefix in ("pidfile", "crio-log" + self.cid[:12], "exec-process-"):
            fd, path = tempfile.mkstemp(prefix=prefix, dir=self.area.make("tmp"))
            os.close(fd)
            made.append(path)
        return made

    def exec_begin(self, words, timeout=None, terminal=False):
        """Start the exec monitor and say go; what exec_end() needs."""
        pid_file, log, spec = self._exec_files()
        argv = ["-c", self.cid, "-n", NAME, "-r", RUNTIME, "-p", pid_file, "-e", "-l", log, "--socket-dir-path", self.sockets,
                "--log-level", "info", "--sync", "--log-global-size-max", str(EXEC_OUTPUT_MAX)]
        argv += ["-t"] if terminal else []
        argv += ["-T", str(timeout)] if timeout else []
        argv += ["--exec-process-spec", spec, "--runtime-arg", f"--root={self.area.make('exec-root')}"]
        null = high(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        (out_r, out_w), (err_r, err_w), (sync, their_sync) = pipe(), pipe(), pipe()
        begin, their_begin = socket_pair()
        pid = self._spawn(argv, words, [null, out_w, err_w], their_sync, their_begin, self.area.make("root-directory"), False)
        for fd in (null, out_w, err_w, their_sync, their_begin):
            os.close(fd)
        os.write(begin, b"\0")
        return pid, begin, sync, out_r, err_r, log, pid_file

    def exec_end(self, begun, seconds=None):
        pid, begin, sync, out_r, err_r, log, pid_file = begun
        said = read_to_end([out_r, err_r], seconds)
        wait_pid(pid, seconds)  # its status is ignored
        os.close(begin)
        told, rest = read_object(sync, seconds)
        check(told is not None, "no object on the sync pipe")
        check("exit_code" in told and set(told) <= {"exit_code", "message"}, f"not a result: {told}")
        equal((rest.strip(), os.read(sync, 100)), (b"", b""), "what follows the result")
        os.close(sync)
        data = read_text(log) if os.path.exists(log) else b""
        out, err = self._parse(data)
        for path in (log, pid_file):
            if os.path.exists(path):
                os.unlink(path)
        equal(os.listdir(self.area.path("root-directory")), [], "files in CRI-O's own directory")
        return ExecResult(told["exit_code"], told.get("message", ""), out, err, said, data)

    def exec_sync(self, words, seconds=None, **options):
        return self.exec_end(self.exec_begin(words, **options), seconds)

    @staticmethod
    def _parse(data):
        """As CRI-O does: TIME STREAM TAG REST, lines that do not parse are skipped."""
        found = {b"stdout": bytearray(), b"stderr": bytearray()}
        for entry in data[:EXEC_OUTPUT_MAX].split(b"\n"):
            fields = entry.split(b" ", 3)
            if len(fields) == 4 and fields[1] in found:
                found[fields[1]] += fields[3] + (b"\n" if fields[2] == b"F" else b"")
        return bytes(found[b"stdout"]), bytes(found[b"stderr"])

    # afterwards

    def attach(self):
        path = f"{self.sockets}/{self.cid}/attach"
        if len(path) > 107:
            raise Failed(f"{path} is longer than a socket's address")
        return harness.Client(path)

    def _control(self, text):
        fd = os.open(f"{self.bundle}/ctl", os.O_WRONLY)  # blocking: without a reader CRI-O hangs here
        os.write(fd, text)
        os.close(fd)

    def resize(self, height, width):
        self._control(b"1 %d %d\n" % (height, width))

    def reopen(self, seconds=None):
        """ReopenContainerLog: waits for a create, rename or write on exactly the path."""
        with Inotify(self.log_dir) as watch:
            self._control(b"2 0 0\n")
            end = deadline(seconds)
            while True:
                events = watch.wait(end)
                check(events is not None, "ReopenContainerLog would wait for ever")
                if any(mask & (IN_CREATE | IN_MOVED_TO | IN_MODIFY) and name == "0.log" for mask, name in events):
                    return

    def notice(self, seconds=None):
        """Wait for the exit notice; return what the state directory says at that moment."""
        end = deadline(seconds)
        while not any(mask & (IN_CREATE | IN_MOVED_TO) and name == self.cid for mask, name in self.seen):
            events = self.exit_watch.wait(end)
            check(events is not None, "no exit notice")
            self.seen += events
        state = f"{self.state}/exit"
        check(os.path.exists(state), "the notice came before the exit file of the state directory")
        check(os.stat(state).st_ctime_ns <= os.stat(f"{self.exits}/{self.cid}").st_ctime_ns)
        text = read_text(state)
        check(text.lstrip(b"-").isdigit(), f"exit file holds {text}")
        os.unlink(f"{self.exits}/{self.cid}")
        return int(text)

    def log(self):
        return harness.parse_log(read_text(self.log_path))

    def end(self, seconds=None):
        return wait_pid(self.monitor, seconds)
