# SPDX-License-Identifier: Apache-2.0
"""podman run from a login shell: two scopes, and no more talk with systemd than needed."""

import shlex

from bustap import BusTap
from harness import (MONITOR, OBEYS, Shell, Unit, case, cgroup_of, check, check_equal, command, comm_of, exe_of,
                     expect_nothing_left, inspect, monitors, note, podman, quote, scope_of, service, session, show,
                     until, variants, wait_running)

EVERY_SUITE = True
DETACHED = ["podman", "run", "-d", "--name", "baz", "--network=none"]
WHAT = ["localhost/alpine", "sh", "-c", OBEYS]


def from_shell(*options):
    """Start baz from a login shell, which then ends; return the container's ID."""
    status, out, err = session(shlex.join([*DETACHED, *options, *WHAT]))
    check(status == 0, f"podman run: status {status}\n{out}{err}")
    return wait_running()


def expect_two_scopes(container):
    monitor, pid = inspect("baz", "State.ConmonPid"), inspect("baz", "State.Pid")
    check_equal(exe_of(monitor), MONITOR, "program of ConmonPid")
    own = f"libpod-conmon-{container}.scope"
    check_equal(cgroup_of(monitor), f"/machine.slice/{own}", "cgroup of the monitor")
    check(cgroup_of(pid).startswith(f"/machine.slice/{scope_of(container)}"),
          f"cgroup of the container: {cgroup_of(pid)}")
    for scope in (own, scope_of(container)):
        check_equal(show(scope, "BindsTo"), "", f"BindsTo of {scope}")
    return own


@case
def shell_two_scopes():
    container = from_shell()
    expect_two_scopes(container)
    description = show(scope_of(container), "Description")
    check("baz" in description and "libcontainer" not in description, f"not for a person: {description!r}")
    podman("stop", "baz")
    expect_nothing_left()


@case
def shell_own_scope():
    """Where Podman makes no scope for the monitor, the monitor makes one."""
    container = from_shell("--cgroups=no-conmon")
    own = expect_two_scopes(container)
    check("baz" in show(own, "Description"), f"not for a person: {show(own, 'Description')!r}")
    podman("stop", "baz")
    expect_nothing_left()


@case
def shell_foreground():
    status, out, err = session("podman run --rm --network=none localhost/alpine sh -c 'echo out; echo err >&2; exit 5'")
    check_equal((status, out, err), (5, "out\n", "err\n"), "status and output of podman run")
    expect_nothing_left()


@case
def shell_life():
    """The monitor is there from run or start and goes with the container; the next start brings another."""
    from_shell()
    first = inspect("baz", "State.ConmonPid")
    check_equal(podman("exec", "baz", "echo", "inside"), "inside", "output of podman exec")
    until("a line in podman logs", lambda: "line-1" in podman("logs", "baz").split())
    podman("kill", "baz")
    check_equal(podman("wait", "baz"), "137", "podman wait after podman kill")
    expect_nothing_left()
    check_equal(inspect("baz", "State.ExitCode"), "137", "ExitCode")
    check_equal(monitors(), [], "monitors after the end")

    podman("start", "baz")
    wait_running()
    second = inspect("baz", "State.ConmonPid")
    check(second != first and exe_of(second) == MONITOR, f"ConmonPid {second} ({comm_of(second)}) after {first}")
    podman("stop", "-t", "10", "baz")
    check_equal(inspect("baz", "State.ExitCode"), "0", "ExitCode")
    podman("rm", "baz")
    expect_nothing_left()


@case
def shell_restart_policy():
    """With --restart Podman's exit command starts the next monitor itself."""
    status, out, err = session("podman run -d --name baz --network=none --restart=on-failure:2 localhost/alpine "
                               "sh -c 'echo round; exit 3'")
    check(status == 0, f"podman run: status {status}\n{out}{err}")
    until("three rounds", lambda: podman("logs", "baz").split() == ["round"] * 3)
    until("the end", lambda: inspect("baz", "State.Status") == "exited")
    check_equal(inspect("baz", "State.ExitCode"), "3", "ExitCode")
    expect_nothing_left()


@variants("bus_calls", shell={"options": [], "most": 0}, own_scope={"options": ["--cgroups=no-conmon"], "most": 1})
def bus_calls(options, most):
    # The session is there before the tap: to the manager of sessions, whoever asks through that is the tap.
    with Shell() as shell, BusTap() as tap:
        shell.run(shlex.join([*DETACHED, *options, *WHAT]))
        wait_running()
        podman("exec", "baz", "true")
        podman("stop", "baz")
        expect_calls(tap, most)


@variants("bus_calls_unit", delegate={"delegate": True}, nodelegate={"delegate": False})
def bus_calls_unit(delegate):
    unit = service(OBEYS, delegate=delegate)
    with BusTap() as tap:
        unit.start()
        wait_running()
        unit.stop()
        expect_calls(tap, 1)


@case
def bus_calls_detached():
    """One for the unit, one for the scope."""
    unit = Unit("baz.service", f"[Service]\nType=oneshot\nExecStart=/usr/bin/{quote(*DETACHED, *WHAT)}\n")
    with BusTap() as tap:
        unit.start()
        wait_running()
        podman("stop", "baz")
        expect_calls(tap, 2)


@variants("exec_never_calls_bus", shell={"unit": None}, unit={"unit": False}, unit_delegate={"unit": True})
def exec_never_calls_bus(unit):
    """There may be a thousand in a minute."""
    if unit is None:
        from_shell()
    else:
        service(OBEYS, delegate=unit).start()
        wait_running()
    with BusTap() as tap:
        for options in [], ["-t"], ["-i"], ["-d"]:
            podman("exec", *options, "baz", "sh", "-c", "echo inside")
        check_equal(command("podman", "exec", "baz", "false")[0], 1, "status of podman exec")
        check_equal(command("podman", "exec", "baz", "no-such-command")[0], 127, "status of podman exec")
        show("baz.service", "ActiveState") # a call that the tap must see
        note("\n".join(map(str, tap.calls)))
        check(tap.of("/usr/bin/systemctl"), "the tap saw nothing")
        check_equal(tap.of(MONITOR), [], "calls by the monitor")


def expect_calls(tap, most):
    note("\n".join(map(str, tap.calls)))
    check(any(c.member == "StartTransientUnit" or c.member == "StartUnit" for c in tap.calls), "the tap saw nothing")
    own = tap.of(MONITOR)
    check(len(own) <= most, f"calls by the monitor, {most} at most: {own}")
