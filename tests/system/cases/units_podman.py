# SPDX-License-Identifier: Apache-2.0
"""Options of podman run that meet settings of the unit it runs in: each holds as it does from a shell."""

import json
import os
import time

from harness import (Unit, case, cgroup_of, check, check_equal, command, inspect, journal, podman, quote, run, tree, until,
                     wait_running)
from unit_cells import also, cells

OURS = ["nest", "bind", "split"] # where there is a Podman
TRAPS = "".join(f"trap 'echo got-{n}; exit 0' {n}; " for n in ("TERM", "USR1", "37"))
IDLE = "while :; do sleep 0.1 & wait $!; done"
STUBBORN = "trap 'echo got-TERM' TERM; " + IDLE


def podman_version():
    return [int(n) for n in run("podman", "version", "--format", "{{.Client.Version}}").split(".")[:2]]


@cells("podman_stop", "--stop-timeout=, --stop-signal=, --systemd=always", OURS)
def podman_stop(at):
    """podman stop of a container in a unit: its own time, its own signal."""
    unit = at.unit(STUBBORN, "SuccessExitStatus=137", options=["--stop-timeout=2"], name="patient").up()
    begin = time.monotonic()
    podman("stop", "patient")
    took = time.monotonic() - begin
    unit.gone()
    at.saw("--stop-timeout=", 1.5 < took < 8 and "got-TERM" in unit.lines(), f"{took:.1f} s")
    unit = at.unit(TRAPS + IDLE, options=["--stop-signal=USR1"], name="own").up()
    podman("stop", "-t", "9", "own")
    unit.gone()
    at.saw("--stop-signal=", "got-USR1" in unit.lines(), unit.lines())
    unit = at.unit("mkdir /sys/fs/cgroup/below && echo made; " + TRAPS + IDLE, options=["--systemd=always"], name="machine").up()
    unit.said("made")
    podman("stop", "-t", "9", "machine")
    unit.gone()
    at.saw("--systemd=always", "got-37" in unit.lines(), unit.lines())


@cells("podman_parent", "--cgroup-parent=", ["nest", "bind"])
def podman_parent(at):
    """The container ends with the unit all the same."""
    unit = at.unit(IDLE, options=["--cgroup-parent=other.slice"], name="parent").up()
    cgroup = cgroup_of(unit.pid())
    unit.stop()
    unit.gone()
    at.saw("--cgroup-parent=", cgroup.startswith("/other.slice/"), cgroup)


@cells("podman_given", "--pid=host, --log-opt=tag=, --preserve-fds=", OURS)
def podman_given(at):
    """What the container sees, and what it is given."""
    unit = at.unit("(trap '' TERM; sleep 1000) & exec sleep 1000", "TimeoutStopSec=3\nSuccessExitStatus=137 143 SIGTERM", options=["--pid=host"], name="host")
    unit.start()
    until("its line", lambda: "up-host" in unit.lines())
    until("its processes", lambda: len(sleepers()) == 2)
    command("systemctl", "stop", unit.name)
    until("the end of all its processes", lambda: not sleepers())
    at.saw("--pid=host", True)
    unit = at.unit(IDLE, options=["--log-driver=journald", "--log-opt=tag={{.Name}}/tag"], name="tagged").up()
    at.saw("--log-opt=tag=", [e.get("CONTAINER_TAG") for e in journal("CONTAINER_NAME=tagged") if e["MESSAGE"] == "up-tagged"] == ["tagged/tag"])
    unit.stop()
    with open("/run/given", "w", encoding="ascii") as f:
        f.write("given\n")
    unit = at.unit("cat <&3; " + IDLE, options=["--preserve-fds=1"], name="given")
    with open(unit.path, encoding="utf-8") as f:
        text = f.read()
    unit.rewrite(text.replace("ExecStart=", "ExecStart=/bin/sh -c 'exec \"$$@\" 3</run/given' sh "))
    unit.up()
    at.saw("--preserve-fds=", bool(until("what it was given", lambda: "given" in unit.lines())))
    unit.stop()


def sleepers():
    return [p for p in os.listdir("/proc") if p.isdigit() and _words(p) == ["sleep", "1000"]]


def _words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
            return f.read().split("\0")[:-1]
    except OSError:
        return []


@cells("podman_health", "--health-cmd=, --health-on-failure=", OURS)
def podman_health(at):
    """Health checks are exec sessions: they run beside the container, tell what they saw, and leave nothing."""
    unit = at.unit(IDLE, options=["--health-cmd=test ! -e /tmp/ill", "--health-interval=1s", "--health-retries=1"], name="well").up()
    until("the first check", lambda: health("well") == "healthy")
    before = sorted(path for path in tree(unit.cgroup))
    podman("exec", "well", "touch", "/tmp/ill")
    at.saw("--health-cmd=", bool(until("another check", lambda: health("well") == "unhealthy")))
    check(unit.runs(), "it has ended")
    check_equal(sorted(path for path in tree(unit.cgroup)), before, "cgroups after some checks")
    unit.stop()
    options = ["--health-cmd=false", "--health-interval=1s", "--health-retries=1", "--health-on-failure=kill"]
    unit = at.unit(IDLE, "SuccessExitStatus=137", options=options, name="ill")
    if command("podman", "run", "--rm", "--help")[1].find("--health-on-failure") < 0:
        at.unseen.discard("--health-on-failure=")
        return
    unit.start()
    until("the end of the unit", lambda: unit.show("ActiveState") in ("inactive", "failed"))
    at.saw("--health-on-failure=", not unit.runs(), unit.show("Result"))


def health(name):
    return inspect(name, "State.Health.Status" if podman_version() >= [4, 5] else "State.Healthcheck.Status")


@cells("podman_notify", "--sdnotify=container, --sdnotify=healthy, --sdnotify=ignore", OURS)
def podman_notify(at):
    """The unit becomes active when the container says so, or is healthy, or, for ignore, never by its words."""
    kind = "Type=notify\nNotifyAccess=all"
    unit = notifying(at, kind, "container", "until test -e /tmp/go; do sleep 0.1; done; " + READY)
    unit.systemctl("start", "--no-block", unit.name)
    until("its line", lambda: "up-container" in unit.lines())
    waits = unit.show("ActiveState")
    podman("exec", "container", "touch", "/tmp/go")
    unit.wait_for("active")
    at.saw("--sdnotify=container", waits == "activating" and unit.show("StatusText") == "said", (waits, unit.show("StatusText")))
    unit.stop()
    if podman_version() < [4, 6]:
        at.unseen.discard("--sdnotify=healthy")
    else:
        unit = notifying(at, kind, "healthy", IDLE, "--health-cmd=test -e /tmp/go", "--health-interval=1s", "--health-retries=100")
        unit.systemctl("start", "--no-block", unit.name)
        until("its line", lambda: "up-healthy" in unit.lines())
        waits = unit.show("ActiveState")
        podman("exec", "healthy", "touch", "/tmp/go")
        unit.wait_for("active")
        at.saw("--sdnotify=healthy", waits == "activating", waits)
        unit.stop()
    unit = notifying(at, kind + "\nTimeoutStartSec=4", "ignore", READY)
    command("systemctl", "start", unit.name)
    until("its end", lambda: not unit.runs())
    at.saw("--sdnotify=ignore", unit.show("Result") in ("timeout", "protocol"), unit.show("Result"))


@cells("extend", "EXTEND_TIMEOUT_USEC=", OURS)
def extend(at):
    """A container that asks for more time to stop gets it, from systemd and from the monitor."""
    slow = "trap 'systemd-notify EXTEND_TIMEOUT_USEC=30000000; sleep 7; echo clean; exit 0' TERM; systemd-notify --ready; " + IDLE
    unit = notifying(at, "Type=notify\nNotifyAccess=all\nKillMode=mixed\nTimeoutStopSec=4", "container", slow).up()
    unit.stop()
    at.saw("EXTEND_TIMEOUT_USEC=", "clean" in unit.lines() and unit.show("Result") == "success", (unit.lines(), unit.show("Result")))


@cells("notify_access", "NotifyAccess=all, NotifyAccess=main", OURS)
def notify_access(at):
    """A container's word comes from its monitor, which Podman has made the main process."""
    for access in "all", "main":
        unit = notifying(at, f"Type=notify\nNotifyAccess={access}\nKillMode=mixed", "container", "trap 'exit 0' TERM; " + READY, name=access)
        unit.start()
        at.saw(f"NotifyAccess={access}", unit.show("StatusText") == "said", unit.show("StatusText"))
        unit.stop()


# The machine's own programs in the container, for systemd-notify.
PROGRAMS = [f"--volume={folder}:{folder}:ro" for folder in ("/usr", "/lib", "/lib64")]
READY = "systemd-notify --ready --status=said; " + IDLE


def notifying(at, kind, mode, payload, *options, name=None):
    """A unit with --sdnotify=MODE."""
    unit = at.unit(payload, kind, options=[*PROGRAMS, *options], name=name or mode)
    with open(unit.path, encoding="utf-8") as f:
        text = f.read()
    text = text.replace("--sdnotify=conmon ", "").replace("--name ", f"--sdnotify={mode} --name ")
    unit.rewrite(text if " -d " in text else text.replace("podman run ", "podman run -d "))
    return unit


@case
def auto_update_in_a_unit():
    """podman auto-update restarts the unit with the new image, and takes the old one back if that does not start."""
    podman("tag", "localhost/alpine", "localhost/updated")
    words = ["run", "-d", "--rm", "--replace", "--name", "baz", "--network=none", "--sdnotify=container", "--label",
             "io.containers.autoupdate=local", *PROGRAMS, "localhost/updated", "sh", "-c",
             "test ! -e /broken && systemd-notify --ready; trap 'exit 0' TERM; " + IDLE]
    unit = Unit("baz.service", "[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed\nTimeoutStartSec=5\n"
                f"Environment=PODMAN_SYSTEMD_UNIT=%n\nExecStart=/usr/bin/podman {quote(*words)}\nTimeoutStopSec=10\n")
    unit.start()
    images = [inspect("baz", "Image")]
    for file in ("good", "broken"):
        podman("exec", "baz", "touch", f"/{file}")
        podman("commit", "--quiet", "--change", f"LABEL of={file}", "baz", "localhost/updated")
        told = json.loads(command("podman", "auto-update", "--format=json")[1])
        wait_running()
        images.append(inspect("baz", "Image"))
        check_equal([(t["Unit"], t["Updated"]) for t in told], [("baz.service", "true" if file == "good" else "rolled back")], f"auto-update to {file}")
        check(cgroup_of(int(inspect("baz", "State.Pid"))).startswith(unit.cgroup + "/"), "the container is in its unit")
    check(images[0] != images[1] and images[1] == images[2], f"images: {images}")
    unit.stop()
    podman("rmi", "--force", "localhost/updated")


for placement, kind in (("nest", "nested"), ("bind", "bound"), ("split", "split")):
    also(f"restart_policy_ends_with_the_unit_{kind}", "--restart=", placement)
