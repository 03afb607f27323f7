# SPDX-License-Identifier: Apache-2.0
"""What the system test cases are made of.

A case is a function with @case. It runs as root where systemd is PID 1, alone, and either returns
or raises: Failed when something is not as promised, Skip when it cannot be tried here. Every command
that a case runs is kept with its output, and shown if the case fails. Nothing waits for a time to
pass; until() looks again until a condition holds.

The monitor under test is $MONITOR. Containers are localhost/alpine without a network.
"""

import functools
import json
import os
import shlex
import signal
import subprocess
import time

MONITOR = os.environ.get("MONITOR", "/usr/bin/conmon")
CGROUPS = "/sys/fs/cgroup"
UNITS = "/run/systemd/system"
CASES = {}

_transcript = []
_units = []
_cursor = ""


class Failed(Exception):
    """The program did not do what it should."""


class Skip(Exception):
    """This cannot be tried here."""


def case(function):
    """Make FUNCTION a test case of its own name."""
    assert function.__name__ not in CASES, function.__name__
    CASES[function.__name__] = function
    return function


def own_kernel(function):
    """FUNCTION is for a machine with a kernel of its own, tests/vm: for memory and pids controllers, and crun."""
    function.own_kernel = True
    return function


def shuts_down(function):
    """FUNCTION shuts the machine down, as far as it goes without its end. It runs in no unit, and is the last there."""
    function.shuts_down = True
    return function


def variants(name, **sets):
    """Make cases of a function with parameters: NAME, and NAME_SUFFIX for each suffix in SETS."""

    def decorate(function):
        for suffix, arguments in sets.items():
            full = name + ("_" + suffix if suffix != "plain" else "")
            assert full not in CASES, full
            CASES[full] = functools.partial(function, **arguments)
        return function

    return decorate


def check(truth, message):
    """Fail with MESSAGE unless TRUTH."""
    if not truth:
        raise Failed(message)


def check_equal(seen, expected, what):
    """Fail unless SEEN is EXPECTED."""
    check(seen == expected, f"{what}: expected {expected!r}, saw {seen!r}")


def note(text):
    """Keep TEXT for the report of a failure."""
    _transcript.append(text)


# ---- commands ------------------------------------------------------------------------------------


def command(*argv, input=None, timeout=90, env=None):
    """Run ARGV; return exit status, standard output and standard error."""
    argv = [str(a) for a in argv]
    begin = time.monotonic()
    try:
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout,
                              errors="backslashreplace", env=env,
                              stdin=subprocess.DEVNULL if input is None else None)
    except subprocess.TimeoutExpired as e:
        note(f"$ {shlex.join(argv)}\n{_text(e.stdout)}{_text(e.stderr)}(no end after {timeout} s)")
        raise Failed(f"no end after {timeout} s: {shlex.join(argv)}") from None
    took = time.monotonic() - begin
    status = f"(status {done.returncode}, {took:.2f} s)\n" if done.returncode or took > 1 else ""
    note(f"$ {shlex.join(argv)}\n{done.stdout}{done.stderr}{status}")
    return done.returncode, done.stdout, done.stderr


def run(*argv, **options):
    """Run ARGV, which must succeed; return its standard output, stripped."""
    status, out, err = command(*argv, **options)
    check(status == 0, f"status {status} from: {shlex.join(map(str, argv))}\n{out}{err}")
    return out.strip()


def _text(data):
    return data.decode(errors="backslashreplace") if isinstance(data, bytes) else data or ""


def until(what, condition, within=30):
    """Wait until CONDITION() is true and return what it returned. It may raise Failed meanwhile."""
    end = time.monotonic() + within
    while True:
        why = ""
        begin = time.monotonic()
        try:
            seen = condition()
            if seen:
                return seen
        except Failed as e:
            why = f": {e}"
        now = time.monotonic()
        if now > end:
            raise Failed(f"waited {within} s in vain for {what}{why}")
        del _transcript[200:-200]
        time.sleep(max(0.05, 2 * (now - begin))) # what is waited for needs the processors, too


def quietly(condition, *arguments):
    """CONDITION(), leaving no trace in the transcript: for loops."""
    length = len(_transcript)
    try:
        return condition(*arguments)
    finally:
        del _transcript[length:]


def podman(*argv, **options):
    """podman ARGV, as from a shell."""
    return run("podman", *argv, **options)


def session(script, input=None, timeout=90):
    """Run SCRIPT in a login session of root; return status, stdout and stderr."""
    return command(*SESSION, "bash", "-c", script, input=input, timeout=timeout)


class Shell:
    """A login session of root, and a shell in it. It is there when with Shell() as shell: begins."""

    def __enter__(self):
        self.process = subprocess.Popen([*SESSION, "bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.run("true")
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=30)

    def run(self, line):
        """Have LINE executed, which must succeed."""
        self.process.stdin.write(f"{line}; echo \"(status $?)\"\n")
        self.process.stdin.flush()
        said = ""
        while not said.endswith(")\n"):
            said += self.process.stdout.readline() or "the session is over (status -)\n"
        note(f"$ {line} # in a login session\n{said}")
        check(said.endswith("(status 0)\n"), f"{line}:\n{said}")


SESSION = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "-p", "User=root", "-p", "PAMName=login",
           "-E", "HOME=/root", "--", "env", "-u", "INVOCATION_ID", "-u", "JOURNAL_STREAM"]


# ---- processes and cgroups -----------------------------------------------------------------------


def cgroup_of(pid):
    """The v2 cgroup of PID, "" if there is no such process."""
    try:
        with open(f"/proc/{pid}/cgroup") as f:
            return next(line[3:].strip() for line in f if line.startswith("0::"))
    except OSError:
        return ""


def comm_of(pid):
    """The name of process PID."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def exe_of(pid):
    """The program that PID runs."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def parent_of(pid):
    """The parent of PID, 0 if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def pids():
    """All processes."""
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def tree(cgroup):
    """Dictionary of the processes in CGROUP and below: path relative to CGROUP -> list of PIDs."""
    top = CGROUPS + cgroup
    found = {}
    for folder, _, _ in os.walk(top):
        try:
            with open(folder + "/cgroup.procs") as f:
                members = [int(line) for line in f]
        except OSError:
            continue
        if members:
            found[folder[len(top):] or "/"] = members
    return found


def names(members):
    """The names of the processes in the list MEMBERS."""
    return sorted(comm_of(p) for p in members)


def monitors():
    """The PIDs of monitors; for a monitor of several processes, those that have another as parent are left out."""
    own = [p for p in pids() if exe_of(p) == MONITOR]
    return [p for p in own if parent_of(p) not in own]


def worker_of(monitor):
    """The child of MONITOR that runs the same program."""
    found = [p for p in pids() if parent_of(p) == monitor and exe_of(p) == MONITOR]
    check(len(found) == 1, f"monitor {monitor} has {len(found)} workers")
    return found[0]


def left_over():
    """What containers leave where they do not end: list of texts, empty if all is clean."""
    found = []
    for pid in pids():
        cgroup = cgroup_of(pid)
        if "libpod" in cgroup or exe_of(pid) == MONITOR or cgroup.startswith("/machine.slice"):
            found.append(f"process {pid} ({comm_of(pid)}) in {cgroup}")
    for folder, subfolders, _ in os.walk(CGROUPS):
        found += [f"cgroup {folder}/{s}" for s in subfolders if "libpod" in s]
    for unit in _units:
        for path, members in unit.tree().items():
            found += [f"process {p} ({comm_of(p)}) in {unit.name}{path}" for p in members]
    loaded = quietly(run, "systemctl", "list-units", "--all", "--plain", "--no-legend", "libpod*")
    return found + [f"unit {line}" for line in loaded.splitlines()]


def expect_nothing_left(within=10):
    """Fail unless all that containers brought is gone, or goes in a moment."""
    until("nothing to be left", lambda: _none(left_over()), within)


def _none(found):
    check(not found, "left over:\n  " + "\n  ".join(found))
    return True


# ---- units ---------------------------------------------------------------------------------------


class Unit:
    """A unit file that exists for the duration of a case: in FOLDER, where the manager that the words SYSTEMCTL
    speak to finds it, and with its cgroup in SLICE."""

    def __init__(self, name, text, systemctl=("systemctl",), folder=UNITS, slice="/system.slice"):
        self.name = name
        self.words = systemctl
        self.path = f"{folder}/{name}"
        self.cgroup = f"{slice}/{name}"
        with open(self.path, "w") as f:
            f.write(text)
        note(f"# {name}\n{text}")
        _units[:] = [u for u in _units if u.name != name] + [self]
        self.systemctl("daemon-reload")

    def rewrite(self, text):
        """Have TEXT in the unit file instead."""
        with open(self.path, "w") as f:
            f.write(text)
        note(f"# {self.name}\n{text}")
        self.systemctl("daemon-reload")

    def systemctl(self, *argv, **options):
        """systemctl ARGV, to the unit's manager."""
        return run(*self.words, *argv, **options)

    def start(self, **options):
        self.systemctl("start", self.name, **options)

    def stop(self, **options):
        self.systemctl("stop", self.name, **options)

    def restart(self, **options):
        self.systemctl("restart", self.name, **options)

    def kill(self):
        """SIGKILL to all that is in the unit."""
        self.systemctl("kill", "-s", "KILL", self.name)

    def show(self, what):
        """The value of property WHAT."""
        return self.systemctl("show", "-P", what, self.name)

    def wait_for(self, state, within=30):
        """Wait until ActiveState is STATE."""
        until(f"{self.name} to be {state}", lambda: quietly(self.show, "ActiveState") == state, within)

    def expect_result(self, expected="success"):
        """Wait until the unit has ended; fail unless it did so with result EXPECTED."""
        until(f"{self.name} to end", lambda: quietly(self.show, "ActiveState") in ("inactive", "failed"))
        check_equal(self.show("Result"), expected, f"Result of {self.name}")

    def tree(self):
        """tree() of the unit's cgroup."""
        return tree(self.cgroup)

    def remove(self):
        for verb in ("stop", "reset-failed"):
            command(*self.words, verb, self.name)
        os.unlink(self.path)
        self.systemctl("daemon-reload")


def show(unit, what):
    """The value of property WHAT of UNIT."""
    return run("systemctl", "show", "-P", what, unit)


def quote(*words):
    """WORDS as a command line for ExecStart=, to be taken literally."""
    text = " ".join(w if w.replace("-", "").replace("=", "").isalnum() else _quoted(w) for w in words)
    return text.replace("$", "$$").replace("%", "%%")


def _quoted(word):
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


# Payloads, for sh -c in the container. The first is that of the unit that users show. A process 1 that has
# not got as far as its trap ignores SIGTERM, so there is a file to tell.
DATES = "while true; do date; sleep 1; done"
OBEYS = "trap 'exit 0' TERM; : >/tmp/ready; i=0; while true; do i=$((i+1)); echo line-$i; sleep 1 & wait $!; done"
IGNORES = "trap '' TERM; i=0; while true; do i=$((i+1)); echo line-$i; sleep 1; done"


def service(payload=DATES, delegate=False, tty=False, options=(), more="", name="baz", stop="-t 1 --ignore",
            make=Unit):
    """The unit that users write: podman run in the foreground, podman stop to stop it."""
    words = ["run", "--rm", *(["--tty"] if tty else []), "--name", name, "--network=none", *options,
             "localhost/alpine", "sh", "-c", payload]
    return make(f"{name}.service", f"""[Unit]
Description=Container {name} for a test
[Service]
ExecStart=/usr/bin/podman {quote(*words)}
ExecStop=/usr/bin/podman stop {stop} {name}
TimeoutStopSec=30
{"Delegate=yes" if delegate else ""}
{more}
""")


# ---- containers and journal ----------------------------------------------------------------------


def inspect(name, what):
    """Go template WHAT of container NAME."""
    return podman("inspect", "--type", "container", "--format", "{{." + what + "}}", name)


def wait_running(name="baz", within=30):
    """Wait until container NAME runs and has forked what it wants; return its full ID."""
    def running():
        status, out, _ = command("podman", "inspect", "--type", "container", "--format",
                                 "{{.State.Status}} {{.Id}} {{.State.Pid}}", name)
        words = out.split()
        return status == 0 and words[0] == "running" and int(words[2]) > 0 and words[1]

    return until(f"container {name} to run", lambda: quietly(running), within)


def wait_processes(cgroup, *wanted, within=20):
    """Wait until processes of the names WANTED are in CGROUP or below; return tree()."""
    def there():
        found = tree(cgroup)
        seen = names(p for members in found.values() for p in members)
        check(set(wanted) <= set(seen), f"in {cgroup}: {seen}")
        return found

    return until(f"{' and '.join(wanted)} in {cgroup}", there, within)


def forget_containers(*prefix):
    """Make Podman forget all containers. Of one whose monitor was killed it is only told by the first try.
    PREFIX are words before podman: those that make it another user's."""
    for _ in range(4):
        if not run(*prefix, "podman", "ps", "--all", "--quiet"):
            return
        command(*prefix, "podman", "rm", "--force", "--all", "--time", "0")
    raise Failed("podman rm --force does not remove all containers")


def scope_of(container):
    """The name of the scope that the runtime makes for the full ID CONTAINER."""
    return f"libpod-{container}.scope"


def journal(*match, output="json"):
    """The journal's entries of this case: dictionaries for "json", else text."""
    run("journalctl", "--sync")
    # Not --after-cursor: with a match, that of 252 leaves out the first entry, or all.
    text = quietly(run, "journalctl", "--no-pager", "--quiet", "--cursor", _cursor, "-o", output, "--all", *match)
    note(f"$ journalctl {shlex.join(match)}: {len(text.splitlines())} entries")
    if output != "json":
        return text
    entries = [json.loads(line) for line in text.splitlines()]
    return [entry for entry in entries if entry["__CURSOR"] != _cursor]


def messages(*match):
    """The values of MESSAGE, as journalctl's JSON has them: strings, or lists of bytes."""
    return [entry.get("MESSAGE") for entry in journal(*match)]


# ---- one case ------------------------------------------------------------------------------------


def _configure():
    global _cursor
    os.environ.pop("INVOCATION_ID", None)
    os.environ.pop("JOURNAL_STREAM", None)
    os.environ.setdefault("HOME", "/root")
    os.makedirs("/etc/containers/containers.conf.d", exist_ok=True)
    with open("/etc/containers/containers.conf.d/monitor.conf", "w") as f:
        f.write(f"[engine]\nconmon_path = [{json.dumps(MONITOR)}]\n")
    run("logger", "-t", "case", "begin")
    run("journalctl", "--sync")
    _cursor = run("journalctl", "-n", "1", "-t", "case", "--show-cursor").rsplit("-- cursor: ", 1)[1].strip()


def _clean():
    for unit in _units:
        unit.remove()
    forget_containers()
    run("systemctl", "reset-failed")
    expect_nothing_left()


def _report(why):
    print(f"{why}\n\n---- what was done, and what it said")
    print("\n".join(t.rstrip() for t in _transcript))
    print("---- how it is now")
    for look in (["systemctl", "status", "--no-pager", "--full", "--lines=0"] + [u.name for u in _units],
                 ["podman", "ps", "--all"], ["systemd-cgls", "--no-pager", "--full"],
                 ["sh", "-c", f"journalctl --no-pager --after-cursor '{_cursor}' | tail -n 150"]):
        print(f"$ {shlex.join(look)}", flush=True)
        subprocess.run(look, timeout=30, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def perform(name):
    """Run case NAME; return an exit status: 0, 1, or 77 for skipped."""
    if name not in CASES:
        print(f"no such case: {name}")
        return 2
    try:
        _configure()
        CASES[name]()
        if not hasattr(CASES[name], "shuts_down"):
            _clean()
    except Skip as e:
        print(e)
        return 77
    except Failed as e:
        _report(e)
        return 1
    except Exception as e: # pylint: disable=broad-except
        import traceback
        _report(traceback.format_exc())
        return 1
    return 0
