# SPDX-License-Identifier: Apache-2.0
"""systemd.kill of a unit, and systemctl kill: who in the container gets which signal, and what ends it."""

import os
import signal
import time

from harness import (CGROUPS, Unit, case, cgroup_of, check, check_equal, command, expect_nothing_left, inspect, journal, messages,
                     quote, run, until)
from unit_cells import PLACEMENTS, also, cells

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h

MISCONFIGURED = "d4778fe9538641568ca7c9e539e1fdfe" # SCOPEMON_MESSAGE_MISCONFIGURED

# A master with a worker: each says which signal it got. The master ends a moment after SIGTERM, SIGQUIT or SIGINT.
_NUMBERS = {"HUP": "HUP", "USR1": "USR1", "USR2": "USR2"}
MASTER = ("(trap 'echo worker-TERM' TERM; trap 'echo worker-USR1' USR1; trap 'echo worker-URG' URG; trap '' HUP; echo worker; while :; do sleep 0.1 & wait $!; done) & "
          + "".join(f"trap 'echo master-{n}' {n}; " for n in _NUMBERS)
          + "".join(f"trap 'echo master-{n}; usleep 500000; echo end; exit 0' {n}; " for n in ("TERM", "QUIT", "INT"))
          + "while :; do sleep 0.1 & wait $!; done")
STUBBORN = "trap 'echo master-TERM' TERM; while :; do sleep 0.1 & wait $!; done"


def ends():
    """How the monitor saw each container end."""
    return [(e.get("SCOPEMON_EXIT_STATUS"), e.get("SCOPEMON_EXIT_SIGNAL")) for e in journal(f"MESSAGE_ID={ENDED}")]


def stopped(at, more, name, verb="stop"):
    """Stop a unit with the lines MORE whose container is a MASTER; return what it has said."""
    unit = at.unit(MASTER, more, name=name).up()
    unit.said("worker")
    unit.systemctl(verb, unit.name, timeout=40)
    return unit, unit.lines()


@cells("kill_mode", "KillMode=control-group, KillMode=mixed, KillSignal=, RestartKillSignal=", user=PLACEMENTS)
def kill_mode(at):
    """For control-group: all processes of the container get the signal. For mixed: its first process alone."""
    _, said = stopped(at, "KillMode=control-group", "all")
    check("master-TERM" in said and "end" in said, f"control-group: {said}")
    at.saw("KillMode=control-group", "worker-TERM" in said, said)
    told = [e["MESSAGE"] for e in journal(f"MESSAGE_ID={MISCONFIGURED}") if "KillMode=control-group" in e["MESSAGE"]]
    check_equal(len(told), int(at.placement in ("nest", "service")), f"entries about it: {told}")
    _, said = stopped(at, "KillMode=mixed", "one")
    at.saw("KillMode=mixed", "worker-TERM" not in said and "end" in said, said)
    _, said = stopped(at, "KillMode=mixed\nKillSignal=SIGQUIT", "quit")
    at.saw("KillSignal=", "master-QUIT" in said and "master-TERM" not in said and "end" in said, said)
    unit, said = stopped(at, "KillMode=mixed\nRestartKillSignal=SIGINT", "again", "restart")
    unit.wait_up(2)
    said = unit.lines()
    at.saw("RestartKillSignal=", "master-INT" in said and "master-TERM" not in said and "end" in said, said)


@case
def oneshot_stop_is_for_the_first_process():
    """A oneshot that is stopped has its container stopped by podman run and monitor, before its scope is."""
    words = ["run", "--rm", "--replace", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", MASTER]
    unit = Unit("baz.service", f"[Service]\nType=oneshot\nExecStart=/usr/bin/podman {quote(*words)}\n")
    unit.systemctl("start", "--no-block", unit.name)
    until("the worker", lambda: "worker" in said("baz"))
    unit.systemctl("stop", unit.name)
    check("end" in said("baz") and "worker-TERM" not in said("baz"), f"{said('baz')}")
    expect_nothing_left()


def said(name):
    return [str(m).rstrip() for m in messages(f"CONTAINER_NAME={name}")]


@cells("kill_alone", "KillMode=process, KillMode=none", user=PLACEMENTS)
def kill_alone(at):
    """For process: a container that ends is stopped by its main process. For none: it is not stopped."""
    _, said = stopped(at, "KillMode=process", "process")
    at.saw("KillMode=process", "end" in said, said)
    unit, said = stopped(at, "KillMode=none", "none")
    at.saw("KillMode=none", unit.runs() and "master-TERM" not in said, said)
    if not at.ours:
        run(*at.words, "podman", "rm", "--force", "--time", "0", "none")
    else:
        run(*at.words, "runc", "kill", "scopemon-none", "KILL")
    unit.gone()


def stop_of_stubborn(at, more, name):
    """Stop a unit whose container ignores SIGTERM; return it, how long that took, and how the monitor saw the container end."""
    unit = at.unit(STUBBORN, more + "\nSuccessExitStatus=137 SIGKILL SIGABRT", name=name).up()
    before, begin = len(ends()), time.monotonic()
    command(*unit.words, "stop", unit.name, timeout=40)
    return unit, time.monotonic() - begin, ends()[before:]


@cells("kill_more", "SendSIGHUP=, FinalKillSignal=, TimeoutStopSec=5, SendSIGKILL=no", user=PLACEMENTS)
def kill_more(at):
    """A container is killed before the unit's time is over, if it is to be killed at all; always by SIGKILL."""
    _, said = stopped(at, "KillMode=mixed\nSendSIGHUP=yes", "hup")
    at.saw("SendSIGHUP=", "master-HUP" in said, said)
    unit, took, status = stop_of_stubborn(at, "KillMode=control-group\nTimeoutStopSec=5", "five")
    at.saw("TimeoutStopSec=5", took < 6 and status == [("137", "9")] and not unit.runs(), f"{took:.1f} s, {status}")
    unit, took, status = stop_of_stubborn(at, "KillMode=control-group\nTimeoutStopSec=5\nFinalKillSignal=SIGABRT", "final")
    check(not unit.runs(), "it runs")
    at.saw("FinalKillSignal=", status == [("134", "6")], status)
    unit, took, status = stop_of_stubborn(at, "KillMode=control-group\nTimeoutStopSec=3\nSendSIGKILL=no", "spared")
    at.saw("SendSIGKILL=no", unit.runs(), f"{took:.1f} s, {status}")
    first = unit.pid()
    if first:
        os.kill(first, signal.SIGKILL)
        unit.gone()


@cells("failure_mode", "TimeoutStopFailureMode=")
def failure_mode(at):
    """The container is killed before the unit's time is over, so nothing is left to abort."""
    unit, took, status = stop_of_stubborn(at, "KillMode=mixed\nTimeoutStopSec=5\nTimeoutStopFailureMode=abort", "abort")
    check(not unit.runs() and unit.show("Result") != "timeout", f"{took:.1f} s, {unit.show('Result')}")
    at.saw("TimeoutStopFailureMode=", status == [("134", "6")], status)


TRIGGERS = "NotifyAccess=all\nWatchdogSec=300\nExecReload=\nExecReload=/usr/bin/systemd-notify WATCHDOG=trigger"


@cells("watchdog", "WatchdogSignal=, TimeoutAbortSec=", ["nest", "bind", "split"])
def watchdog(at):
    """The main process passes the signal on; TimeoutAbortSec= is the time for what comes then."""
    unit = at.unit(MASTER, f"KillMode=mixed\nWatchdogSignal=SIGQUIT\n{TRIGGERS}", name="dog").up()
    unit.said("worker")
    command("systemctl", "reload", unit.name)
    unit.wait_for("failed")
    at.saw("WatchdogSignal=", "master-QUIT" in unit.lines() and "end" in unit.lines(), unit.lines())
    unit = at.unit(STUBBORN, f"KillMode=mixed\nWatchdogSignal=SIGTERM\nTimeoutStopSec=80\nTimeoutAbortSec=5\n{TRIGGERS}", name="abort").up()
    begin = time.monotonic()
    command("systemctl", "reload", unit.name)
    unit.wait_for("failed", 60)
    at.saw("TimeoutAbortSec=", time.monotonic() - begin < 20 and not unit.runs(), f"{time.monotonic() - begin:.1f} s")


@case
def stop_is_heard_of_by_whom_it_does_not_signal():
    """podman run in the foreground, KillMode=mixed: the monitor gets no signal, and ends what ignores it in time."""
    for name, delegate in ("nested", "yes"), ("bound", "no"):
        words = ["run", "--name", name, "--network=none", "localhost/alpine", "sh", "-c", f"echo up; {STUBBORN}"]
        unit = Unit("baz.service", f"[Service]\nExecStart=/usr/bin/podman {quote(*words)}\nKillMode=mixed\nDelegate={delegate}\n"
                    "TimeoutStopSec=8\n")
        unit.start()
        until("its line", lambda name=name: "up" in said(name))
        unit.systemctl("stop", unit.name)
        check(unit.show("Result") != "timeout", f"the container was not killed in time: {name}")
        state = inspect(name, "State.Status"), inspect(name, "State.ExitCode")
        check(state in (("exited", "137"), ("stopped", "137")), f"{state}") # the latter if the clean-up was killed with the unit's rest
        run("podman", "rm", name)
        expect_nothing_left()


def states(unit):
    """States of the container's processes."""
    with open(f"{CGROUPS}{cgroup_of(unit.pid())}/cgroup.procs", encoding="ascii") as f:
        pids = f.read().split()
    found = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                found.add(f.read().rsplit(")", 1)[1].split()[0])
        except OSError:
            pass
    return found


@cells("systemctl_kill", ", ".join("systemctl kill " + words for words in (
    "--kill-whom=main", "--kill-whom=all", "--signal=HUP", "--signal=STOP", "--signal=CONT", "--signal=KILL")), user=PLACEMENTS)
def systemctl_kill(at):
    """main: the first process gets it. all, STOP: all processes of the container do."""
    unit = at.unit(MASTER).up()
    unit.said("worker")
    unit.systemctl("kill", "--kill-whom=main", "--signal=USR1", unit.name)
    unit.said("master-USR1")
    at.saw("systemctl kill --kill-whom=main", "worker-USR1" not in unit.lines(), unit.lines())
    unit.systemctl("kill", "--kill-whom=main", "--signal=HUP", unit.name)
    unit.said("master-HUP")
    at.saw("systemctl kill --signal=HUP", True)
    # podman run does not pass SIGURG on: it gives up when the runtime that is to bring a signal gets that signal, too
    unit.systemctl("kill", "--kill-whom=all", "--signal=URG", unit.name)
    if at.placement != "bind":
        unit.said("worker-URG")
    at.saw("systemctl kill --kill-whom=all", "worker-URG" in unit.lines(), unit.lines())
    unit.systemctl("kill", "--signal=STOP", unit.name)
    stops = at.placement != "bind"
    if stops:
        until("the container to be stopped", lambda: states(unit) == {"T"})
    at.saw("systemctl kill --signal=STOP", states(unit) == {"T"}, states(unit))
    unit.systemctl("kill", "--signal=CONT", unit.name)
    until("the container to run", lambda: "T" not in states(unit))
    at.saw("systemctl kill --signal=CONT", True)
    unit.systemctl("kill", "--signal=KILL", unit.name)
    unit.gone()
    at.saw("systemctl kill --signal=KILL", not unit.runs())
    unit.wait_for("failed")
    check_equal(unit.show("Result") in ("signal", "exit-code"), True, unit.show("Result"))


@cells("stop_time_long", "TimeoutStopSec=180, TimeoutStopSec=infinity")
def stop_time(at):
    """A database that takes two minutes to stop."""
    slow = "trap 'echo stopping; sleep 120; echo clean; exit 0' TERM; while :; do sleep 0.2 & wait $!; done"
    settings = {"TimeoutStopSec=180": "TimeoutStopSec=180", "TimeoutStopSec=infinity": "TimeoutStopSec=infinity"}
    if at.placement != "bind" and at.since(254):
        settings["DelegateSubgroup="] = "TimeoutStopSec=180\nDelegateSubgroup=inner"
    units = {row: at.unit(slow, "KillMode=mixed\n" + more, name=f"slow-{i}").up() for i, (row, more) in enumerate(settings.items())}
    run("systemctl", "stop", *[u.name for u in units.values()], timeout=200)
    for row, unit in units.items():
        at.saw(row, "clean" in unit.lines(), unit.lines())


for _placement in "nest", "split", "service":
    also(f"units_stop_time_{_placement}_long", "DelegateSubgroup=", _placement)
