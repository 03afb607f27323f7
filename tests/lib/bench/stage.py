# SPDX-License-Identifier: Apache-2.0
"""A monitor at work, and what it costs.

A Stage is a private place: a mount namespace with an empty /run, in which a journald that forgets everything listens,
a network namespace with the queue length that systemd gives its socket, so that nothing depends on the host's services and nothing is left behind; and a directory in memory for bundles and
logs. A Container is one monitor with its fake container; its output waits for gates, which this side opens.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../../..")
PATIENCE = 60
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """This cannot be measured here; says why."""


class Trouble(Exception):
    """The monitor did not do what it should."""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def poll_until(condition, what, seconds=PATIENCE, pause=0.002):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Trouble(f"no sign of {what} within {seconds} s")
        time.sleep(pause)


def wait_end(pid, seconds=PATIENCE):
    """Wait for the end of a process, to the moment: subprocess looks every 50 ms."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready = select.select([fd], [], [], seconds)[0]
    os.close(fd)
    if not ready:
        raise Trouble(f"process {pid} has not ended within {seconds} s")


def wait_gone(pid, seconds=PATIENCE):
    """Wait for the end of a process of ours, and bury it."""
    wait_end(pid, seconds)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


# --- /proc ---

def cpu_ns(pid):
    """CPU time of a process, in ns where the kernel tells, else in ticks."""
    try:
        return int(read(f"/proc/{pid}/schedstat").split()[0])
    except (OSError, IndexError):
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_NS


def field(path, key):
    for line in read(path).splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def memory(pid):
    """(PSS, page tables) of a process in KiB."""
    return field(f"/proc/{pid}/smaps_rollup", "Pss"), field(f"/proc/{pid}/status", "VmPTE")


def mappings(pid):
    """[begin, end, path, KiB written and shared with nobody] of each mapping."""
    found = []
    for words in map(str.split, read(f"/proc/{pid}/smaps").splitlines()):
        if not words[0].endswith(":"):
            found.append([*words[0].split("-"), words[5] if words[5:] else "", 0])
        elif words[0] == "Private_Dirty:":
            found[-1][3] = int(words[1])
    return found


def private_heap(pid):
    """KiB of the heap, and of mappings without a name, that a process has written and shares with nobody. Those next to
    a program's or library's are not malloc()'s, but .bss, or what the loader has made for threads."""
    found = mappings(pid)
    files = [m for m in found if m[2].startswith("/") and not m[2].startswith("/memfd:")]
    edges = {m[1] for m in files}, {m[0] for m in files}
    return sum(kib for begin, end, path, kib in found
               if path == "[heap]" or (not path and begin not in edges[0] and end not in edges[1]))


def cpu_seconds():
    """CPU time of all processes in the cgroup that is the root here, in a machine those of the machine."""
    return int(read("/sys/fs/cgroup/cpu.stat").split()[1]) / 1e6


def is_running(pid):
    """A zombie is not."""
    try:
        return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def runs(pid, exe):
    try:
        return os.readlink(f"/proc/{pid}/exe") == exe
    except OSError:
        return False


def processes_of(exe):
    """The PIDs of all that run a program."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and runs(pid, exe)]


def monitor_processes(pid):
    """The monitor of a pid that callers know, and those children that run the same program."""
    exe = os.readlink(f"/proc/{pid}/exe")
    return [pid] + [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split() if runs(child, exe)]


def switches(pid):
    return sum(field(f"/proc/{pid}/status", f"{kind}_ctxt_switches") for kind in ("voluntary", "nonvoluntary"))


class Stage:
    """The place where monitors are measured."""

    def __init__(self, tool, runtime):
        self.tool, self.runtime = tool, runtime
        self.top = tempfile.mkdtemp(prefix="scopemon-bench-", dir="/dev/shm")
        self.exits = self.path("exits")
        self.count = 0
        self.journal = None
        os.mkdir(self.exits)

    def enter(self):
        libc.prctl(36, 1, 0, 0, 0)  # subreaper: monitors fall to us
        if libc.unshare(0x20000 | 0x40000000) != 0:
            raise Skip("needs root, for namespaces")
        with open("/proc/sys/net/unix/max_dgram_qlen", "w", encoding="ascii") as f:
            f.write("512")  # what systemd sets; the kernel's 10 would measure task switches
        for words in (["--make-rprivate", "/"], ["-t", "tmpfs", "tmpfs", "/run"]):
            subprocess.run(["mount", *words], check=True)
        os.makedirs("/run/systemd/journal")
        path = "/run/systemd/journal/socket"
        self.journal = subprocess.Popen([self.tool, "journal", path], stdin=subprocess.DEVNULL)
        poll_until(lambda: os.path.exists(path), "the journal")

    def leave(self):
        if self.journal:
            self.journal.kill()
            self.journal.wait()
        shutil.rmtree(self.top, ignore_errors=True)

    def path(self, name):
        return f"{self.top}/{name}"

    def next_id(self):
        self.count += 1
        return f"bench{self.count:011d}"

    def argv(self, monitor, cid, bundle, log=None, runtime=None, args=()):
        """The command line that Podman would use."""
        return [monitor, "--api-version", "1", "-c", cid, "-u", cid, "-r", runtime or self.runtime, "-b", bundle,
                "-p", f"{bundle}/pidfile", "-P", f"{bundle}/conmon.pid", "-n", cid, "--exit-dir", self.exits,
                "--persist-dir", bundle, "--full-attach", "-l", log or f"k8s-file:{bundle}/ctr.log", "--log-level",
                "error", *args]

    def bundle(self, cid):
        path = self.path(cid)
        os.mkdir(path)
        with open(f"{path}/config.json", "w", encoding="utf-8") as f:
            json.dump({"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": "rootfs"}}, f)
        return path

    def life(self, monitor, *, kind="create", runtime=None, words="hang", bundle=None, wrap=()):
        """One life by bench-tool: a dict of ns."""
        cid = self.next_id()
        path = bundle or self.bundle(cid)
        pid_file, args = f"{path}/pidfile", []
        if kind == "exec":
            args = ["-e", "--exec-process-spec", f"{path}/config.json"]
            words = "exit=0"
        args += ["--exit-command", self.tool, "--exit-command-arg", "stamp", "--exit-command-arg", f"{path}/stamp"] \
            if kind == "create" else []
        argv = self.argv(monitor, cid, path, runtime=runtime, args=args)
        if kind == "null":
            argv = [self.runtime, "create", "--bundle", path, "--pid-file", pid_file, cid]
        done = subprocess.run([*wrap, self.tool, "life", kind, f"{path}/stamp", self.exits, cid, pid_file, "--", *argv],
                              capture_output=True, text=True, check=False, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, FAKE_RUNTIME=words))
        if done.returncode != 0:
            raise Trouble(f"{monitor}: {done.stderr.strip() or done.returncode}")
        if runtime:
            subprocess.run([runtime, "delete", "-f", cid], capture_output=True, check=False)
        for name in ("stamp", "pidfile", "ctr.log") if bundle else ():
            if os.path.exists(f"{path}/{name}"):
                os.unlink(f"{path}/{name}")
        if not bundle:
            shutil.rmtree(path)
        return {key: int(value) for key, value in (line.split() for line in done.stdout.splitlines())}

    def container(self, monitor, words, **options):
        return Container(self, monitor, words, **options)


class Container:
    """One running monitor; a context manager that ends it and removes what it has left."""

    def __init__(self, stage, monitor, words, log=None, args=(), exec_in=None):
        self.stage = stage
        self.cid = stage.next_id()
        self.bundle = stage.bundle(self.cid)
        if exec_in:  # no container, but an exec session in that one
            self.cid = exec_in.cid
            args = ["-e", "--exec-process-spec", f"{self.bundle}/config.json", *args]
        self.gates, self.open_fds = [], []
        self.report = f"{self.bundle}/flood"
        sync = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start[0].send(b"\0")
        env = dict(os.environ, FAKE_RUNTIME=self._words(words), _OCI_SYNCPIPE=str(sync[1].fileno()),
                   _OCI_STARTPIPE=str(start[1].fileno()))
        fds = [sync[1].fileno(), start[1].fileno()]
        done = subprocess.run(stage.argv(monitor, self.cid, self.bundle, log, args=args), env=env, pass_fds=fds,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=PATIENCE)
        sync[1].close()
        start[1].close()
        sync[0].settimeout(PATIENCE)
        record = json.loads(sync[0].recv(4096) or b"{}")
        self.target = record.get("data", -1)
        for s in (sync[0], start[0]):
            s.close()
        if self.target <= 0:
            raise Trouble(f"{monitor}: {record} {done.stderr.strip()}")
        self.pid = int(read(f"{self.bundle}/conmon.pid"))

    def _words(self, words):
        """{gate} in the words becomes a wait for a fifo that open_gate() opens, in their order."""
        while "{gate}" in words:
            path = f"{self.bundle}/gate{len(self.gates)}"
            os.mkfifo(path)
            self.gates.append(path)
            words = words.replace("{gate}", f"wait-file={path}", 1)
        return f"{words} flood-report={self.report}"

    def open_gate(self):
        """Let the target go on; the gate stays open, should it not be there yet."""
        self.open_fds.append(os.open(self.gates.pop(0), os.O_RDWR | os.O_CLOEXEC))

    def processes(self):
        return monitor_processes(self.pid)

    def cpu(self):
        return sum(cpu_ns(p) for p in self.processes())

    def wait_flood(self, seconds=PATIENCE):
        """The ns that the target's flood took."""
        return int(poll_until(lambda: os.path.exists(self.report) and read(self.report).strip(), "the flood's end",
                              seconds))

    def log(self):
        return f"{self.bundle}/ctr.log"

    def close(self, seconds=PATIENCE):
        try:
            os.kill(self.target, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            wait_gone(self.pid, seconds)
        except Trouble:
            self.kill()
            raise
        finally:
            for fd in self.open_fds:
                os.close(fd)
            shutil.rmtree(self.bundle, ignore_errors=True)

    def kill(self):
        """The monitor, and what of it waits."""
        try:
            for p in reversed(self.processes()):
                os.kill(p, signal.SIGKILL)
        except OSError:
            pass  # it has ended
        wait_gone(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
