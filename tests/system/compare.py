# SPDX-License-Identifier: Apache-2.0
"""The same scenario under two monitors, the machine's own and ours, and what differs between them.

A scenario is a function of one Side with @compared. It does things and records what came of them under names:
outputs, exit statuses, files, what podman inspect says. It runs once for each monitor; then the records are
compared, IDs, process numbers and times made equal first. Where ours is meant to be better, the scenario's
BETTER says so: name -> (reason, what ours must have recorded). With MONITOR=/usr/bin/conmon the scenario is
compared with itself, which shows whether it is one at all.

With rootless=True there is a second case, NAME_rootless, that does everything as an ordinary user.
"""

import contextlib
import fcntl
import json
import os
import pwd
import re
import select
import shlex
import signal
import stat
import struct
import subprocess
import termios
import time

import harness
from cases.stdio import Dialogue
from harness import Failed, Skip, check, note, run, until

STOCK = "/usr/bin/conmon"
USER = "someone"
IMAGE = "localhost/alpine"
RUN = ["run", "--name", "baz", "--network=none"]
WAITS = ["sh", "-c", "trap 'exit 0' TERM; : >/tmp/ready; while true; do sleep 1000 & wait $!; done"]


def compared(rootless=False, better=None, needs=None):
    """Make a case of a scenario, and NAME_rootless of it if ROOTLESS. NEEDS(user), if given, may raise
    Skip."""

    def decorate(scenario):
        def both(user):
            if needs:
                needs(user)
            compare(scenario, user, better or {})

        name = f"compare_{scenario.__name__}"
        for suffix, user in {"": None, **({"_rootless": USER} if rootless else {})}.items():
            assert name + suffix not in harness.CASES, name + suffix
            harness.CASES[name + suffix] = lambda user=user: both(user)
        return scenario

    return decorate


def compare(scenario, user, better):
    if user:
        make_user(user)
    better = better if harness.MONITOR != STOCK else {}
    stock = perform(scenario, STOCK, user)
    ours = perform(scenario, harness.MONITOR, user)
    found = differences(stock, ours, better)
    if found: # is it the original that does not always do the same?
        found = differences(perform(scenario, STOCK, user), ours, better, only=found)
    check(not found, f"{len(found)} differences from {STOCK}:\n" + "\n".join(found.values()))


def perform(scenario, monitor, user):
    """Run SCENARIO with MONITOR; return its records."""
    note(f"######## with {monitor}")
    use_monitor(monitor)
    side = Side(monitor, user)
    try:
        scenario(side)
    finally:
        side.end()
    return side.seen


def use_monitor(monitor):
    with open("/etc/containers/containers.conf.d/monitor.conf", "w", encoding="utf-8") as f:
        f.write(f"[engine]\nconmon_path = [{json.dumps(monitor)}]\nexit_command_delay = 3\n")


def differences(stock, ours, better, only=None):
    """Where the records differ, of the names in ONLY, if given: name -> text."""
    found = {}
    for what in only or [*stock, *(w for w in ours if w not in stock)]:
        theirs, own = stock.get(what, "(not recorded)"), ours.get(what, "(not recorded)")
        expected = better[what][1] if what in better else theirs
        if own != expected and not (what in better and own == theirs):
            found[what] = f"  {what}:\n    stock {theirs!r}\n    ours  {own!r}"
            if what in better:
                found[what] += f"\n    which should be {expected!r}: {better[what][0]}"
    return found


def own_unit(user):
    """Skip where the unit of a user's manager loses Podman: 4.3 leaves it where cgroup v1 is there too."""
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        hybrid = any(not line.startswith("0::") for line in f)
    if user and hybrid and harness.quietly(run, "podman", "--version").split()[-1].startswith("4.3."):
        raise Skip("Podman 4.3 leaves its unit where cgroup v1 is there too")


def make_user(name):
    """An ordinary user with a manager of his own and an image. Where that cannot be had: Skip."""
    if not os.path.ismount("/run/proc"):
        # A user's namespaces may have a proc of their own only if they can see one of which nothing is covered.
        os.makedirs("/run/proc", exist_ok=True)
        run("mount", "-t", "proc", "proc", "/run/proc")
    try:
        pwd.getpwnam(name)
    except KeyError:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "home", "/home") # a user may put an overlay on this one
        run("useradd", "--create-home", name)
        home = pwd.getpwnam(name).pw_dir
        os.makedirs(f"{home}/.config/containers")
        with open(f"{home}/.config/containers/storage.conf", "w", encoding="utf-8") as f:
            f.write("[storage]\ndriver = \"vfs\"\n") # no overlay on the overlay that is our root
        run("chown", "-R", f"{name}:", home)
        run("loginctl", "enable-linger", name)
        until("the user's manager", lambda: os.path.exists(f"/run/user/{pwd.getpwnam(name).pw_uid}/bus"))
        run(*as_user(name), "podman", "import", "-q", "/usr/local/share/alpine.tar", f"{IMAGE}:latest")


def as_user(name):
    """Words that run the rest of a command line as NAME."""
    entry = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--", "env", "-C",
            entry.pw_dir, f"XDG_RUNTIME_DIR=/run/user/{entry.pw_uid}", f"HOME={entry.pw_dir}", f"USER={name}"]


# ---- making equal --------------------------------------------------------------------------------

EQUAL = [
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "ID"),
    (r"(?<!\d)(?!0001)\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d)( [A-Z]+)?)?( m=[+-][\d.]+)?",
     "TIME"),
    (r"(?i)\b(up|exited \(\d+\)|created) (about )?(an?|\d+|less than a) (second|minute)s?( ago)?", r"\1 AGE"),
    (r"\b(pid|PID) \d+\b", "PID"),
    (r"/proc/\d+/", "/proc/PID/"),
    (r"(runctop|runctmpdir)\d+", r"\1N"),
    # Podman restarts faster than the last monitor's cleanup ends, or not: a race of its own, with any monitor
    (r'time="TIME" level=warning msg="Failed to add conmon to systemd sandbox cgroup: [^\n]*\n', ""),
]


def equal(value, side):
    """VALUE without what differs from one run to the next."""
    if isinstance(value, dict):
        return {equal(k, side): equal(v, side) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [equal(v, side) for v in value]
    if isinstance(value, set):
        return equal(sorted(value), side)
    if isinstance(value, bytes):
        return equal(value.decode(errors="backslashreplace"), side)
    if not isinstance(value, str):
        return value
    value = value.replace(side.monitor, "MONITOR")
    for pattern, instead in EQUAL:
        value = re.sub(pattern, instead, value)
    return value


class Side:
    """A monitor, and what was recorded with it."""

    def __init__(self, monitor, user=None):
        self.monitor = monitor
        self.ours = monitor != STOCK
        self.user = user
        self.prefix = as_user(user) if user else []
        self.systemctl_words = ["systemctl", *(["--user"] if user else [])]
        self.unit_folder = f"{pwd.getpwnam(user).pw_dir}/.config/systemd/user" if user else harness.UNITS
        self.runtime_folder = f"/run/user/{pwd.getpwnam(user).pw_uid}" if user else "/run"
        self.seen = {}
        self._begin, self._since = time.monotonic(), time.time()
        self._at_end = []

    def see(self, what, value):
        """Record VALUE under the name WHAT."""
        what = equal(what, self)
        name, number = what, 1
        while name in self.seen:
            number += 1
            name = f"{what} #{number}"
        self.seen[name] = equal(value, self)
        note(f"{time.monotonic() - self._begin:.1f} s: recorded {name}: {self.seen[name]!r}")

    def argv(self, *argv):
        return [*self.prefix, *(str(a) for a in argv)]

    def raw(self, *argv, input=b"", timeout=60, **options):
        """Run ARGV; return status, stdout and stderr, the outputs byte by byte, what is no UTF-8 with backslashes."""
        argv = self.argv(*argv)
        begin = time.monotonic()
        try:
            done = subprocess.run(argv, input=input, capture_output=True, timeout=timeout, check=False, **options)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"no end after {timeout} s: {shlex.join(argv)}\n{e.stdout}{e.stderr}") from None
        out, err = (text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr))
        took = time.monotonic() - begin
        note(f"$ {shlex.join(argv)}\n{out[:500]}{err[:500]}(status {done.returncode}, {took:.2f} s)")
        return done.returncode, out, err

    def podman(self, *argv, what=None, **options):
        """podman ARGV, its outcome recorded under WHAT or ARGV; returns stdout."""
        outcome = self.raw("podman", *argv, **options)
        self.see(what or shlex.join(["podman", *argv]), outcome)
        return outcome[1]

    def need(self, *argv, **options):
        """podman ARGV, which must succeed; nothing is recorded. Returns stdout, stripped."""
        status, out, err = self.raw("podman", *argv, **options)
        check(status == 0, f"status {status} from podman {shlex.join(argv)}\n{out}{err}")
        return out.strip()

    def start_waiting(self, *options, name="baz"):
        """A container that does nothing, ends on SIGTERM with 0, and has got as far as to know that."""
        identity = self.need("run", "-d", "--name", name, "--network=none", *options, IMAGE, *WAITS)
        self.until_ready(name)
        return identity

    def until_ready(self, name="baz"):
        until("the container's trap", lambda: harness.quietly(self.ready, name))

    def ready(self, name):
        return self.raw("podman", "exec", name, "/bin/test", "-e", "/tmp/ready")[0] == 0

    def infra(self, pod):
        """The name of the infra container of POD."""
        return self.need("ps", "-a", "--format", "{{.Names}}", "--filter", f"pod={pod}", "--filter", "name=-infra")

    def without_infra(self, text):
        return re.sub(r"[0-9a-f]{12}-infra", "INFRA", text)

    def state(self, name="baz"):
        status, out, _ = self.raw("podman", "inspect", "--type=container", "--format", "{{.State.Status}}", name)
        return out.strip() if status == 0 else "gone"

    def until_state(self, *states, name="baz"):
        until(f"{name} to be {' or '.join(states)}", lambda: harness.quietly(self.state, name) in states)

    def inspect(self, name="baz", what=None):
        """Record the whole of podman inspect, one record for each value."""
        status, out, err = self.raw("podman", "inspect", "--type=container", name)
        check(status == 0, err)
        for path, value in flat(json.loads(out)[0]):
            if path.endswith(".Env"):
                value = sorted(value)
            if path.endswith(("Pid", ".PID")):
                value = value > 0
            # Ours tells the scope's name and what else systemd should know of it by annotations.
            if not path.startswith((".Config.Annotations.org.systemd.property.", ".HostConfig.Annotations.org.s")):
                self.see(f"{what or 'inspect'}{path}", value)

    def files(self, what, folder):
        """Record what is in FOLDER: names, types, access."""
        found = {}
        for path, folders, names in os.walk(folder):
            for name in folders + names:
                full = os.path.join(path, name)
                info = os.lstat(full)
                found[os.path.relpath(full, folder)] = stat.filemode(info.st_mode)
        self.see(what, found)

    def terminal(self, *argv, rows=0, columns=0):
        """podman ARGV with a terminal of its own."""
        note(f"$ podman {shlex.join(argv)} (on a terminal)")
        return Terminal(self.argv("podman", *argv), rows, columns)

    def spawn(self, *argv, **options):
        """Start ARGV and return its Popen object; it ends with the scenario."""
        note(f"$ {shlex.join(self.argv(*argv))} &")
        process = subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL, **options)
        self.at_end(lambda: (process.kill(), process.wait()))
        return process

    def systemctl(self, *argv, timeout=60):
        """systemctl of the manager in charge; returns the outcome."""
        return self.raw(*self.systemctl_words, *argv, timeout=timeout)

    def show(self, unit, what):
        return self.systemctl("show", "-P", what, unit)[1].strip()

    def unit(self, name, text):
        """Have a unit NAME until the scenario ends."""
        path = f"{self.unit_folder}/{name}"
        is_new = not os.path.exists(path)
        os.makedirs(self.unit_folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        note(f"# {path}\n{text}")
        self.systemctl("daemon-reload")
        if is_new:
            self.at_end(lambda: (self.systemctl("stop", name), self.systemctl("reset-failed", name), os.unlink(path)))

    def until_unit(self, name, *states, within=30):
        until(f"{name} to be {' or '.join(states)}",
              lambda: harness.quietly(self.show, name, "ActiveState") in states, within)

    def journal(self, *match):
        """The journal's entries since the scenario's beginning.

        Not by a cursor: systemd 252 skips the first match after one.
        """
        run("journalctl", "--sync")
        since = f"--since=@{self._since:.6f}"
        text = harness.quietly(run, "journalctl", "--no-pager", "--quiet", "-o", "json", "--all", since, *match)
        return [json.loads(line) for line in text.splitlines()]

    def sweep(self):
        """Take away what the stock monitor, at times, leaves. It does not always wait for Podman's word before it gives
        up, so that its scope is made around a dead process, and stays."""
        self.systemctl("stop", "libpod-*.scope")
        for folder, _, _ in os.walk(harness.CGROUPS, topdown=False):
            if "libpod" in folder and os.path.isdir(folder) and not harness.tree(folder[len(harness.CGROUPS):]):
                with contextlib.suppress(OSError): # it may go by itself
                    os.rmdir(folder)

    def at_end(self, action):
        self._at_end.append(action)

    def end(self):
        """Undo everything, for the next to find nothing."""
        while self._at_end:
            self._at_end.pop()()
        self.raw("podman", "pod", "rm", "--force", "--all", "--time", "0")
        self.raw("podman", "rm", "--force", "--all", "--time", "0")
        self.raw("podman", "volume", "prune", "--force")
        until(f"{self.monitor} to be gone", lambda: not running(self.monitor))
        if not self.ours:
            self.sweep()


def running(program):
    return [p for p in harness.pids() if harness.exe_of(p) == program]


def flat(value, path=""):
    """The leaves of VALUE, as JSON has them, with their paths."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from flat(value[key], f"{path}.{key}")
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        for number, item in enumerate(value):
            yield from flat(item, f"{path}[{number}]")
    else:
        yield path, value


class Terminal(Dialogue):
    """A program on a terminal of its own."""

    def __init__(self, argv, rows=0, columns=0):
        super().__init__(argv, True)
        self.resize(rows, columns, tell=False)

    def resize(self, rows, columns, tell=True):
        fcntl.ioctl(self.input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def keys(self, text):
        """Type TEXT, one byte after the other, as a person does: podman expects each detach key in its own read."""
        for key in text:
            self.say(bytes([key]))
            time.sleep(0.1) # the kernel takes a moment to bring it to the other side, and does not tell
            until("the key to be read", self.all_read)

    def all_read(self):
        try:
            with open(f"/proc/{self.process.pid}/fd/0", "rb", buffering=0) as terminal:
                return not any(fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))
        except OSError: # it has ended
            return True

    def rest(self, within=20):
        """Wait for the end; return the status and what was not yet expected."""
        end = time.monotonic() + within
        text = self.seen
        while True:
            ready, _, _ = select.select([self.output], [], [], max(0, end - time.monotonic()))
            check(ready, f"the program on the terminal does not end; it said {text!r}")
            try:
                data = os.read(self.output, 65536)
            except OSError: # nobody has the other side any more
                break
            if not data:
                break
            text += data
        try:
            return self.process.wait(within), text.decode(errors="backslashreplace")
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the program on the terminal does not end") from None

    def end(self):
        """rest(), the status only."""
        return self.rest()[0]
