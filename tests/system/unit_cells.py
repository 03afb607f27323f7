# SPDX-License-Identifier: Apache-2.0
"""The cells of the tables in man/scopemon-units.7: what a setting of a unit means to the container in it.

A row is a setting or a verb, a column one of PLACEMENTS. A cell says "yes", "no", "Podman" (the container has what
podman run says, whatever the unit says), or "-" where there is nothing to say, or nothing that could be tried: the
row's remark then tells why. Each other cell is filled by a case that is made with @cells: it tells what it has seen,
which is compared with what the page says. "case --cells" lists the cells and their cases; tests/lint/check-units compares them
with the page.
"""

import functools
import glob
import json
import os
import pwd
import re
import shutil

import harness
from cases.service_units import make_rootless
from compare import USER, as_user, make_user, own_unit
from harness import UNITS, Unit, check, command, forget_containers, messages, note, podman, quietly, quote, run, until

PLACEMENTS = ["nest", "bind", "split", "service"]
WORDS = {"yes": True, "no": False, "Podman": False}
PAGES = ["/opt/scopemon-man/scopemon-units.7", os.path.dirname(os.path.realpath(__file__)) + "/../../man/scopemon-units.7"]
ROW = re.compile(r'^\.It Va "?(.+?)"? Ta (\S+) Ta (\S+) Ta (\S+) Ta (\S+)$', re.M)
FILLED = {} # cell -> name of the case
BUNDLES = "/var/lib/oci"


def table(text):
    """Rows of the page TEXT: name -> (placement -> word)."""
    return {row: dict(zip(PLACEMENTS, words)) for row, *words in ROW.findall(text.replace("\\&", ""))}


def cell_name(row, placement):
    """The name of a cell: what it would be called as a test of its own."""
    row = re.sub("^--", "podman_", row)
    return "unit_" + re.sub("[^a-z0-9]+", "_", re.sub("([a-z0-9])([A-Z])", r"\1_\2", row).lower()).strip("_") + "_" + placement


def user_row(row):
    """The row that ROW is for units of a user's manager."""
    return row.replace("systemctl ", "systemctl --user ") if row.startswith("systemctl ") else f"{row} (user)"


def cells(name, rows, placements=PLACEMENTS, kernel=False, user=()):
    """Make cases NAME_PLACEMENT of a function of a Place: each fills the cells of ROWS (names, ", " between two). USER:
    placements for which there is another one, with units of a user's manager."""
    rows = [row.strip() for row in rows.split(",")]

    def decorate(function):
        for placement, of_user in [(p, False) for p in placements] + [(p, True) for p in user]:
            long = "_long" if name.endswith("_long") else ""
            full = f"units_{name.removesuffix('_long')}_{placement}{'_user' if of_user else ''}{long}"
            assert full not in harness.CASES, full
            seen = [user_row(row) for row in rows] if of_user else rows
            for row in seen:
                cell = cell_name(row, placement)
                assert cell not in FILLED, cell
                FILLED[cell] = full
            case = functools.partial(_perform, function, placement, seen, of_user)
            if kernel:
                case.own_kernel = True
            harness.CASES[full] = case
        return function

    return decorate


def _perform(function, placement, rows, user):
    at = Place(placement, rows, user)
    function(at)
    if user:
        forget_containers(*at.words)
    check(not at.unseen, f"cells that nothing was seen of: {', '.join(sorted(at.unseen))}")
    check(not at.wrong, "\n".join(at.wrong))


def also(case, row, *placements):
    """The cells of ROW are filled by CASE, which is not made by @cells."""
    for placement in placements:
        cell = cell_name(row, placement)
        assert cell not in FILLED, cell
        FILLED[cell] = case


@functools.cache
def systemd():
    """The version of the manager."""
    return int(run("systemctl", "--version").split()[1].split(".")[0])


class Place:
    """One column: makes units of its kind, and is told what was seen."""

    def __init__(self, placement, rows, user=False):
        self.placement = placement
        self.words = [] # that come before a command to the manager, or to Podman
        self.top = ""   # the manager's cgroup
        self.manager = {"systemctl": ["systemctl"], "folder": UNITS}
        self.user = user
        if user:
            self._become_user()
        self.unseen = set(rows)
        self.wrong = []
        page = next(p for p in PAGES if os.path.exists(p))
        with open(page, encoding="utf-8") as f:
            self.page = table(f.read())

    def _become_user(self):
        if not self.ours:
            own_unit(USER)
        make_user(USER)
        entry = pwd.getpwnam(USER)
        self.words = as_user(USER)
        self.top = f"/user.slice/user-{entry.pw_uid}.slice/user@{entry.pw_uid}.service"
        self.manager = {"systemctl": [*self.words, "systemctl", "--user"], "folder": f"{entry.pw_dir}/.config/systemd/user"}
        run(*self.words, "mkdir", "-p", self.manager["folder"])

    def systemctl(self, *argv):
        """systemctl ARGV, to the units' manager."""
        return run(*self.manager["systemctl"], *argv)

    def saw(self, row, applies, what=""):
        """The setting of ROW does, or does not, apply to the container: WHAT was seen."""
        if self.user:
            row = user_row(row)
        note(f"# {row} in {self.placement}: {bool(applies)} {what}")
        self.unseen.discard(row)
        word = self.page[row][self.placement] if row in self.page else "nothing"
        if WORDS.get(word) != bool(applies):
            self.wrong.append(f"{row} in {self.placement}: the page says {word}, seen: {bool(applies)} {what}")

    def since(self, version, *rows):
        """Is this a systemd of VERSION or later? If not, ROWS are not looked at."""
        if systemd() < version:
            self.unseen -= {user_row(row) if self.user else row for row in rows}
        return systemd() >= version

    @property
    def ours(self):
        """Is there no Podman?"""
        return self.placement == "service"

    def unit(self, payload, more="", head="", name="baz", options=(), process=None, unit=None, bundle=None):
        """A unit NAME of this placement whose container runs the shell commands PAYLOAD, with the lines MORE in [Service], HEAD in
        [Unit], OPTIONS for podman run, and the members PROCESS in config.json where there is no Podman, which BUNDLE
        changes. UNIT: another name for it."""
        payload = f"echo up-{name}; {payload}"
        if self.ours:
            return Contained(name, f"oci@{name}.service", payload, self._service(name, payload, more, head, process, bundle),
                             f"{self.top}/app.slice/app-oci.slice" if self.user else "/system.slice/system-oci.slice",
                             **self.manager)
        network = [] if any(o.startswith("--network=") for o in options) else ["--network=none"]
        words = ["run", "--rm", "--replace", "--name", name, *network, *options, "localhost/alpine", "sh", "-c", payload]
        if self.placement == "split":
            words[1:1] = ["-d", "--cgroups=split", "--sdnotify=conmon"]
            more = "Type=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed\n" + more
        elif self.placement == "nest":
            more = "Delegate=yes\n" + more
        text = f"[Unit]\n{head}\n[Service]\nExecStart=/usr/bin/podman {quote(*words)}\nTimeoutStopSec=20\n{more}\n"
        return Contained(name, unit or f"{name}.service", payload, text, f"{self.top}/{'app' if self.user else 'system'}.slice",
                         **self.manager)

    def _service(self, name, payload, more, head, process, bundle):
        bundles = f"{pwd.getpwnam(USER).pw_dir}/.local/share/oci" if self.user else BUNDLES
        make_bundle(name, payload, process or {}, bundle, bundles)
        if self.user:
            make_rootless(f"{bundles}/{name}/config.json", USER)
            run("chown", "-R", f"{USER}:", os.path.dirname(os.path.dirname(bundles)))
        with open("/opt/scopemon-units/oci@.service", encoding="utf-8") as f:
            text = f.read()
        for word, value in {"bindir": "/usr/local/bin", "target": "multi-user.target", "bundles": bundles}.items():
            text = text.replace(f"@{word}@", value)
        text = text.replace("--name %i", f"--name %i --runtime {shutil.which('runc')}")
        return text.replace("[Install]", f"{more}\n[Install]").replace("[Unit]", f"[Unit]\n{head}")


def make_bundle(name, payload, process, change=None, bundles=BUNDLES):
    """A bundle NAME in BUNDLES, its config.json changed by CHANGE(); all have the same root file system, that of the image."""
    root = f"{BUNDLES}/.rootfs"
    if not os.path.exists(root):
        os.makedirs(root)
        podman("create", "--name", "source", "--network=none", "localhost/alpine", "true")
        podman("export", "--output", "/run/rootfs.tar", "source")
        podman("rm", "source")
        run("tar", "-C", root, "-xf", "/run/rootfs.tar")
        for folder in ("dev", "host", "proc", "sys", "tmp"): # an ordinary user's runtime cannot make them
            os.makedirs(f"{root}/{folder}", exist_ok=True)
    bundle = f"{bundles}/{name}"
    shutil.rmtree(bundle, ignore_errors=True)
    os.makedirs(bundle)
    run("runc", "spec", "--bundle", bundle)
    with open(f"{bundle}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["root"] = {"path": root, "readonly": True}
    if bundles == BUNDLES:
        config["mounts"].append({"destination": "/host", "source": "/", "type": "bind", "options": ["rbind", "rw"]})
    config["mounts"].append({"destination": "/tmp", "source": "tmpfs", "type": "tmpfs"})
    del config["process"]["rlimits"]
    config["process"]["noNewPrivileges"] = False
    config["process"].update({"terminal": False, "args": ["sh", "-c", payload], **process})
    if change:
        change(config)
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


class Contained(Unit):
    """A unit with a container in it, by the name of which it is found."""

    def __init__(self, container, name, payload, text, slice, **manager):
        self.container = container
        self.payload = payload
        super().__init__(name, text, slice=slice, **manager)

    def lines(self):
        """What the container has said so far."""
        return [str(m).rstrip() for m in quietly(messages, f"CONTAINER_NAME={self.container}")]

    def up(self, times=1):
        """Start the unit, and see the container's first line; TIMES: how many containers have said it by now."""
        self.start()
        self.wait_up(times)
        return self

    def wait_up(self, times=1):
        until(f"{self.container} to be up", lambda: self.lines().count(f"up-{self.container}") >= times)

    def said(self, line):
        """Wait for LINE."""
        until(f"{line!r} of {self.container}", lambda: line in self.lines())

    def pid(self):
        """The container's first process, 0 if there is none."""
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    words = f.read().split("\0")
                if words[:3] == ["sh", "-c", self.payload] and _status(path, "NSpid").split()[-1] == "1":
                    return int(path.split("/")[2])
            except OSError:
                continue
        return 0

    def status(self, key):
        """The value of KEY in /proc/PID/status of the first process."""
        return _status(f"/proc/{self.pid()}/cmdline", key)

    def read(self, file):
        """FILE in /proc/PID of the first process."""
        with open(f"/proc/{self.pid()}/{file}", encoding="utf-8", errors="replace") as f:
            return f.read()

    def limits(self, word):
        """Soft and hard limit of the kind WORD of the first process."""
        line = next(line for line in self.read("limits").splitlines() if line.startswith(f"Max {word} "))
        return line[len(f"Max {word} "):].split()[:2]

    def runs(self):
        """Does the container run?"""
        return self.pid() != 0

    def gone(self, within=20):
        until(f"the end of {self.container}", lambda: not self.runs(), within)

    def remove(self):
        command(*self.words, "kill", "-s", "KILL", self.name)
        super().remove()


def _status(path, key):
    with open(os.path.dirname(path) + "/status", encoding="utf-8") as f:
        return next(line.split(":", 1)[1].strip() for line in f if line.startswith(key + ":"))
