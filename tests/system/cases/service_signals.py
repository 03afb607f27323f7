# SPDX-License-Identifier: Apache-2.0
"""systemctl kill, reload, freeze and thaw of a unit that is a container: they mean the container."""

import os

from cases.service_units import BOTH, Here, expect_gone, frozen
from harness import Skip, check, check_equal, command, run, tree, until, variants

SIGNALS = ["HUP", "USR1", "USR2", "INT", "QUIT", "WINCH", "ALRM", "RTMIN+3"]
PAYLOAD = "".join(f"trap 'echo got-{s}' {s}; " for s in SIGNALS if "+" not in s) + \
          "trap 'echo got-RTMIN+3' 37; trap 'echo got-TERM; exit 3' TERM; echo hello; i=0; " \
          "while true; do i=$((i+1)); echo tick-$i; sleep 0.3 & wait $!; done"


def ticks(here):
    return len([m for m in here.lines() if isinstance(m, str) and m.startswith("tick-")])


def goes_on(here, unit):
    """The container still does what it did, and nobody was replaced."""
    before = ticks(here)
    until("more of its output", lambda: ticks(here) > before)
    check_equal(unit.show("ActiveState"), "active", "state")


@variants("service_signals", **BOTH)
def service_signals(user):
    """To the main process: once to the container. To all: to each of its processes, and the monitor stays."""
    here = Here(user)
    here.bundle(PAYLOAD)
    unit = here.unit("SuccessExitStatus=3")
    group = here.started(unit)
    main, workers = unit.show("MainPID"), sorted(tree(group)["/supervisor"])
    for name in SIGNALS:
        unit.systemctl("kill", "--kill-whom=main", "-s", name, unit.name)
        until(f"word of {name}", lambda: f"got-{name}" in here.lines()) # pylint: disable=cell-var-from-loop
        goes_on(here, unit)
        check_equal(here.lines().count(f"got-{name}"), 1, f"times that {name} came")
    unit.systemctl("reload", unit.name) # the monitor is another program now, and passes on all the same
    unit.systemctl("kill", "--kill-whom=main", "-s", "HUP", unit.name)
    until("word of HUP", lambda: here.lines().count("got-HUP") == 2)
    workers = sorted(tree(group)["/supervisor"])
    for name in SIGNALS:
        seen = here.lines().count(f"got-{name}")
        unit.systemctl("kill", "-s", name, unit.name)
        until(f"more word of {name}", lambda: here.lines().count(f"got-{name}") > seen) # pylint: disable=cell-var-from-loop
        goes_on(here, unit)
    check_equal((unit.show("MainPID"), sorted(tree(group)["/supervisor"])), (main, workers), "processes of the monitor")
    status, _, err = command(*here.words, "kill", "--kill-whom=control", "-s", "TERM", unit.name)
    check(status != 0, f"there is no control process: {err}")
    goes_on(here, unit)
    unit.stop()
    check_equal(unit.show("Result"), "success", "result")
    check_equal(here.lines().count("got-TERM"), 1, "stop signals")
    expect_gone(group)


@variants("service_kill_ends_it", **BOTH)
def service_kill_ends_it(user):
    """SIGTERM is a stop, whomever it goes to; SIGKILL of the monitor leaves nothing behind either."""
    here = Here(user)
    here.bundle(PAYLOAD)
    unit = here.unit()
    for i, whom in enumerate(("main", "all")):
        unit.start()
        until("its first lines", lambda: here.lines().count("tick-1") == i + 1) # pylint: disable=cell-var-from-loop
        group = unit.show("ControlGroup")
        unit.systemctl("kill", f"--kill-whom={whom}", unit.name)
        unit.expect_result("exit-code")
        check_equal(unit.show("ExecMainStatus"), "3", "the container's status is the unit's")
        check("got-TERM" in here.lines(), "the container was asked")
        expect_gone(group)
    check(here.lines().count("got-TERM") in (2, 3), "once when the main process was asked")
    unit.start()
    until("its first lines", lambda: here.lines().count("tick-1") == 3)
    group = unit.show("ControlGroup")
    unit.systemctl("kill", "--kill-whom=main", "-s", "KILL", unit.name)
    unit.expect_result("signal")
    expect_gone(group)
    unit.start()
    until("its first lines", lambda: here.lines().count("tick-1") == 4)
    unit.stop()
    expect_gone(group)


@variants("service_freeze", **BOTH)
def service_freeze(user):
    """Frozen and thawed with its monitor: what comes meanwhile is there afterwards, and no line is missing."""
    here = Here(user)
    here.bundle(PAYLOAD)
    unit = here.unit("SuccessExitStatus=3\nWatchdogSec=60")
    group = here.started(unit)
    for _ in range(2):
        seen = here.lines().count("got-USR1")
        unit.systemctl("freeze", unit.name)
        until("it to be frozen", lambda: frozen(f"{group}/libpod-payload-scopemon-baz"))
        check_equal(unit.show("FreezerState"), "frozen", "FreezerState")
        os.kill(int(unit.show("MainPID")), 10)
        run("journalctl", "--sync")
        check_equal(here.lines().count("got-USR1"), seen, "signals seen while frozen")
        unit.systemctl("thaw", unit.name)
        until("word of the signal", lambda: here.lines().count("got-USR1") == seen + 1) # pylint: disable=cell-var-from-loop
        goes_on(here, unit)
    said = [m for m in here.lines() if isinstance(m, str) and m.startswith("tick-")]
    check_equal(said, [f"tick-{i + 1}" for i in range(len(said))], "lines")
    unit.stop()
    expect_gone(group)


@variants("service_notify_reload", **BOTH)
def service_notify_reload(user):
    """Type=notify-reload: the signal reaches the container, and systemctl reload returns."""
    here = Here(user)
    if int(run("systemctl", "--version").split()[1].split(".")[0]) < 253:
        raise Skip("no Type=notify-reload")
    here.bundle(PAYLOAD)
    unit = here.unit("Type=notify-reload\nExecReload=\nSuccessExitStatus=3")
    group = here.started(unit)
    for i in range(3):
        unit.systemctl("reload", unit.name, timeout=20)
        until("word of the reload", lambda: here.lines().count("got-HUP") == i + 1) # pylint: disable=cell-var-from-loop
        check_equal((unit.show("ActiveState"), unit.show("ReloadResult")), ("active", "success"), "state and result")
        check("is running" in unit.show("StatusText"), "status text")
    unit.stop()
    expect_gone(group)
