# SPDX-License-Identifier: Apache-2.0
"""Service mode, when the monitor itself is killed: the next process of the unit takes the container back."""

import glob
import os
import random
import shutil

from cases import service_mode
from cases.service_units import BOTH, Here, expect_gone
from harness import CGROUPS, MONITOR, Skip, case, check, check_equal, journal, note, own_kernel, run, tree, until, variants

REPLACED = "ec066de5a780432892710c6d0840ba2f" # SCOPEMON_MESSAGE_KEEPER_REPLACED of scopemon/protocol.h
SCOPE = "oci-baz.scope"
PAYLOAD = "/libpod-payload-scopemon-baz"
COUNTS = "trap 'echo got-term; exit 3' TERM; echo hello; i=0; " \
         "while true; do i=$((i+1)); echo line-$i; usleep 4000; done" # slower than the limit of journald
WAITS = "echo hello; until test -e /tmp/go; do usleep 20000; done; echo bye; exit 7"
IGNORES = "trap '' TERM; echo hello; while true; do usleep 20000; done"
OWN = "/usr/local/own"
VERSIONS = ["more", "fewer", "normal", "fewer", "more", "fewer", "normal", "more", "normal"] # every third by a reload
KILLS = int(os.environ.get("KILLS", "5"))
KNOWN_FROM = 6, 15 # the kernel keeps the status of a process that somebody else has reaped


def kernel():
    return tuple(int(n) for n in os.uname().release.split(".")[:2])


def status_is_known():
    """Of a container that was taken back, and so is nobody's child who would tell."""
    return kernel() >= KNOWN_FROM


def older():
    """Than what the drop-in is for."""
    return int(run("systemctl", "--version").split()[1]) < 254


class Survivor:
    """oci@baz.service with the lines of the drop-in that is shipped, and oci-end@.service."""

    def __init__(self, user, payload, more="", placement="", runtime=None, bindir=None, **annotations):
        self.here = Here(user, runtime)
        self.here.bindir = bindir or self.here.bindir
        if payload:
            self.here.bundle(payload, **annotations)
        if placement:
            self.here.runtime += f" --placement={placement}"
        survive = self.here.shipped("survive.conf")
        if older():
            # the first two are not known, and said so each time; the third is triggered by each restart
            for line in "DelegateSubgroup=supervisor", "RestartMode=direct", "OnSuccess=oci-end@%i.service":
                survive = survive.replace(line + "\n", "")
        os.makedirs(self.here.folder, exist_ok=True)
        with open(f"{self.here.folder}/oci-end@.service", "w", encoding="utf-8") as f:
            f.write(self.here.shipped("oci-end@.service"))
        self.unit = self.here.unit(f"{survive}\n{more}")

    def start(self):
        self.unit.start()
        until("its first line", lambda: "hello" in self.here.lines())
        self.group = self.unit.show("ControlGroup")
        return self

    def lines(self):
        return [int(m.split("-")[1]) for m in self.here.lines() if m and m.startswith("line-")]

    def processes(self):
        """Of the container."""
        return tree(self.group).get(PAYLOAD)

    def monitor(self):
        pid = self.unit.show("MainPID")
        return pid if pid != "0" else None

    def kill(self):
        run("kill", "-KILL", self.monitor())

    def replace(self):
        """Kill the monitor and wait for the next one."""
        before = self.monitor()
        self.kill()
        until("another monitor", lambda: self.monitor() not in (None, before))
        self.unit.wait_for("active")

    def entries(self):
        return [e for e in journal(f"{self.here.field}={self.unit.name}") if e.get("MESSAGE_ID") == REPLACED]

    def expect_gone(self):
        expect_gone(self.group)
        until("no file of the unit", lambda: not glob.glob(f"{self.here.runtime_dir()}/oci/*"))


@variants("service_survives", **BOTH)
def service_survives(user):
    """Monitors are killed one after the other: no line is lost, none told twice."""
    baz = Survivor(user, COUNTS, more="[Unit]\nStartLimitIntervalSec=0").start()
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    note(f"seed {seed}")
    processes = baz.processes()
    for i in range(KILLS):
        for _ in range(chance.randrange(4)): # as good as any other way to pass some time
            baz.unit.show("MainPID")
        if i % 10 == 0:
            wanted = len(baz.lines()) + chance.randrange(100)
            until("more lines", lambda: len(baz.lines()) > wanted)
        baz.replace()
        check_equal(baz.processes()[:1], processes[:1], "the container's first process")
    told = run(*baz.here.prefix, MONITOR, "explain", "baz")
    check(f"Monitor: {baz.monitor()}" in told and f"Container: {processes[0]} " in told, told)
    monitor = baz.monitor()
    baz.unit.systemctl("reload", baz.unit.name) # the next image stores all of it anew
    check_equal(baz.monitor(), monitor, "the monitor after an upgrade")
    baz.replace()
    check_equal(baz.unit.show("NRestarts"), str(KILLS + 1), "restarts")
    wanted = baz.lines()[-1]
    until("lines of the last monitor", lambda: baz.lines()[-1] > wanted)
    baz.unit.stop()
    check_equal(baz.unit.show("ExecMainStatus"), "3" if status_is_known() else "255", "status")
    lines = baz.lines()
    check_equal(lines, list(range(1, len(lines) + 1)), "lines, each once and in order")
    check_equal(baz.here.lines().count("got-term"), 1, "stop signals")
    check_equal(len(baz.entries()), KILLS + 1, "entries of replaced monitors")
    check_equal(baz.unit.show("NFileDescriptorStore"), "0", "descriptors that are still stored")
    baz.expect_gone()


def install(which):
    """Another version in the place of the one that is there, as a package manager does."""
    os.makedirs(OWN, exist_ok=True)
    shutil.copy2(MONITOR if which == "normal" else f"{MONITOR}-{which}", f"{OWN}/scopemon.new")
    os.rename(f"{OWN}/scopemon.new", f"{OWN}/scopemon")


@case
def service_survives_versions():
    """Each next monitor is of another version: one hands on more, one fewer values. It finds the worker of the one before."""
    if not os.path.exists(f"{MONITOR}-more"):
        raise Skip("the other versions cannot be made")
    install("normal")
    baz = Survivor(False, COUNTS, more="[Unit]\nStartLimitIntervalSec=0", bindir=OWN).start()
    processes = baz.processes()
    for i, which in enumerate(VERSIONS):
        wanted = len(baz.lines()) + 20
        until("more lines", lambda: len(baz.lines()) > wanted)
        install(which)
        if i % 3 < 2:
            baz.replace()
        else:
            baz.unit.systemctl("reload", baz.unit.name)
        check_equal(os.readlink(f"/proc/{baz.monitor()}/exe"), f"{OWN}/scopemon", f"program after version {which}")
        check_equal(baz.processes()[:1], processes[:1], "the container's first process")
    wanted = baz.lines()[-1]
    until("lines of the last monitor", lambda: baz.lines()[-1] > wanted)
    baz.unit.stop()
    lines = baz.lines()
    check_equal(lines, list(range(1, len(lines) + 1)), "lines, each once and in order")
    check_equal(baz.here.lines().count("got-term"), 1, "stop signals")
    check_equal(baz.unit.show("NFileDescriptorStore"), "0", "descriptors that are still stored")
    baz.expect_gone()


@variants("service_survives_status", **BOTH)
def service_survives_status(user):
    """The container ends while it has no monitor: what it printed and its status are there, if the kernel knows it."""
    baz = Survivor(user, WAITS, more="RestartSec=1s").start()
    baz.kill()
    until("no monitor", lambda: not baz.monitor())
    with open(f"{baz.here.bundles}/baz/rootfs/tmp/go", "w", encoding="ascii"):
        pass
    until("its last line", lambda: "bye" in baz.here.lines())
    baz.unit.wait_for("failed")
    check_equal(baz.unit.show("ExecMainStatus"), "7" if status_is_known() else "255", "status")
    check_equal(baz.here.lines().count("bye"), 1, "last lines")
    check_equal(len(baz.entries()), 1, "entries of replaced monitors")
    baz.expect_gone()


@variants("service_survives_until_limit", **BOTH)
def service_survives_until_limit(user):
    """A start limit that is hit ends the container, by its own stop signal."""
    baz = Survivor(user, COUNTS, more="[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h").start()
    baz.replace()
    baz.kill()
    baz.unit.wait_for("failed")
    until("the container's end", lambda: "got-term" in baz.here.lines())
    lines = baz.lines()
    check_equal(lines, list(range(1, len(lines) + 1)), "lines, each once and in order")
    baz.expect_gone()


@variants("service_survives_not_a_stop", **BOTH)
def service_survives_not_a_stop(user):
    """A unit that is stopped while it has no monitor, or whose monitor is killed while it stops, leaves nothing."""
    if not older():
        baz = Survivor(user, COUNTS, more="RestartSec=1h").start()
        baz.kill()
        until("no monitor", lambda: baz.unit.show("SubState") == "auto-restart")
        check(baz.processes(), "the container runs")
        baz.unit.stop()
        until("the container's end", lambda: "got-term" in baz.here.lines())
        expect_gone(baz.group)
    baz = Survivor(user, IGNORES, io__scopemon__stop_timeout="3").start()
    baz.unit.systemctl("stop", "--no-block", baz.unit.name)
    until("the stop", lambda: baz.unit.show("ActiveState") == "deactivating")
    baz.kill()
    baz.unit.wait_for("failed")
    baz.expect_gone()


@variants("service_survives_terminal", system={"user": False})
def service_survives_terminal(user):
    """A terminal does not hang up with the monitor."""
    baz = Survivor(user, COUNTS)
    baz.here.change_bundle(lambda config: config["process"].update(terminal=True))
    baz.start()
    for _ in range(3):
        wanted = len(baz.lines()) + 20
        until("more lines", lambda: len(baz.lines()) > wanted)
        baz.replace()
    baz.unit.stop()
    lines = baz.lines()
    check_equal(lines, list(range(1, len(lines) + 1)), "lines, each once and in order")
    baz.expect_gone()


@case
def service_survives_before_it_is_ready():
    """A container that says itself when it is ready: a monitor that takes it back says so only if it had."""
    service_mode.make_python_bundle(service_mode.READY, io__scopemon__sdnotify="container")
    baz = Survivor(False, None, more="[Unit]\nStartLimitIntervalSec=0")
    baz.unit.systemctl("start", "--no-block", baz.unit.name)
    until("its first status", lambda: baz.unit.show("StatusText") == "I am warming up")
    baz.group = baz.unit.show("ControlGroup")
    before = baz.monitor()
    baz.kill()
    until("another monitor's entry", lambda: len(baz.entries()) == 1)
    check(baz.monitor() not in (None, before), "another monitor")
    check_equal(baz.unit.show("ActiveState"), "activating", "before the container has said that it is ready")
    service_mode.tell("go")
    until("its second status", lambda: baz.unit.show("StatusText") == "I am serving")
    baz.unit.wait_for("active")
    baz.replace() # which says for the container what it says only once
    check_equal(len(baz.entries()), 2, "entries of replaced monitors")
    baz.unit.stop()
    baz.expect_gone()


def without_pid_namespace(config):
    linux = config["linux"]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "pid"]
    for mount in config["mounts"]:
        if mount["destination"] == "/proc": # another one cannot be had without a namespace
            mount.update(type="bind", source="/proc", options=["rbind"])


@variants("service_survives_no_longer", runc={"runtime": "runc"}, crun={"runtime": "crun"})
def service_survives_no_longer(runtime):
    """KillMode=process: what a container leaves behind that has no PID namespace goes with it all the same."""
    if runtime == "crun" and older():
        raise Skip("crun 1.8 wants controllers that this machine has not")
    baz = Survivor(False, "sleep 1000 & echo hello; exit 3", runtime=shutil.which(runtime))
    baz.here.change_bundle(without_pid_namespace)
    baz.unit.systemctl("start", "--no-block", baz.unit.name)
    baz.unit.wait_for("failed")
    check_equal(baz.unit.show("ExecMainStatus"), "3", "status")
    baz.group = f"{baz.here.group}/{baz.unit.name}"
    baz.expect_gone()


@variants("service_survives_limits", plain={"user": False})
@own_kernel
def service_survives_limits(user):
    """Where controllers are real, a unit that holds a container can be restarted from 254 on; before, a scope holds it."""
    baz = Survivor(user, COUNTS, more="MemoryMax=200M\nTasksMax=50\n[Unit]\nStartLimitIntervalSec=0",
                   placement="scope" if older() else "")
    baz.start()
    if older():
        baz.unit.systemctl("set-property", "--runtime", SCOPE, "MemoryMax=200M", "TasksMax=50")
        baz.group = baz.unit.systemctl("show", "-P", "ControlGroup", SCOPE)
    for _ in range(3):
        wanted = len(baz.lines()) + 20
        until("more lines", lambda: len(baz.lines()) > wanted, within=60)
        baz.replace()
        for file, value in {"memory.max": str(200 << 20), "pids.max": "50"}.items():
            with open(f"{CGROUPS}{baz.group}/{file}", encoding="ascii") as f:
                check_equal(f.read().strip(), value, file)
    baz.unit.stop()
    check_equal(baz.unit.show("ExecMainStatus"), "3" if status_is_known() else "255", "status")
    lines = baz.lines()
    check_equal(lines, list(range(1, len(lines) + 1)), "lines, each once and in order")
    baz.expect_gone()
