# SPDX-License-Identifier: Apache-2.0
"""A container in the foreground of a unit: with Delegate= it nests, without it gets a scope bound to the unit."""

import os
import subprocess

from harness import (CGROUPS, MONITOR, OBEYS, Failed, case, cgroup_of, check, check_equal, comm_of, command,
                     exe_of, expect_nothing_left, forget_containers, inspect, journal, names, podman, run, scope_of, service, show,
                     tree, until, variants, wait_processes, wait_running)

EVERY_SUITE = True
PLACED = "b5c36f7a6d2a4e329b40dfe192459d67" # SCOPEMON_MESSAGE_PLACED of scopemon/protocol.h
BOTH = {"plain": {"tty": False}, "tty": {"tty": True}}


@variants("delegate_status_lists_container", **BOTH)
def delegate_status_lists_container(tty):
    unit = service(delegate=True, tty=tty)
    unit.start()
    container = wait_running()
    wait_processes("/system.slice/baz.service", "sh", "sleep", "podman")
    status = run("systemctl", "status", "--no-pager", "--full", "--lines=0", "baz")
    for word in ("sh -c", "sleep 1", "podman run", MONITOR, "supervisor", f"libpod-payload-{container}"):
        check(word in status, f"systemctl status does not show {word!r}")

    found = unit.tree()
    check_equal(sorted(found), [f"/libpod-payload-{container}", "/supervisor"], "groups of baz.service with processes")
    check_equal(names(found[f"/libpod-payload-{container}"]), ["sh", "sleep"], "processes of the container")
    supervisor = {os.path.basename(exe_of(p)) for p in found["/supervisor"]}
    check_equal(supervisor, {"podman", os.path.basename(MONITOR)}, "programs in supervisor")
    check_equal(tree("/machine.slice"), {}, "processes in machine.slice")
    check_equal(comm_of(unit.show("MainPID")), "podman", "main process")


@variants("delegate_stop_leaves_nothing", **BOTH)
def delegate_stop_leaves_nothing(tty):
    stop_leaves_nothing(True, tty)


@variants("nodelegate_stop_leaves_nothing", **BOTH)
def nodelegate_stop_leaves_nothing(tty):
    stop_leaves_nothing(False, tty)


def stop_leaves_nothing(delegate, tty):
    unit = service(delegate=delegate, tty=tty, more="SuccessExitStatus=137")
    unit.start()
    wait_running()
    unit.stop(timeout=25)
    expect_nothing_left()
    unit.expect_result()
    check_equal(podman("ps", "--all", "--quiet"), "", "containers that Podman knows of")


@variants("stop_forgets_container", delegate={"delegate": True}, nodelegate={"delegate": False})
def stop_forgets_container(delegate):
    """podman stop returns before Podman's exit command has removed the container, and the unit ends what is in it."""
    unit = service(OBEYS, delegate=delegate, stop="-t 10")
    for _ in range(10):
        unit.start()
        wait_running()
        podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do usleep 50000; done")
        unit.stop()
        check_equal(podman("ps", "--all", "--format", "{{.Names}} {{.Status}}"), "", "what podman ps knows of")
        unit.expect_result()
    expect_nothing_left()


@variants("delegate_kill_leaves_nothing", **BOTH)
def delegate_kill_leaves_nothing(tty):
    kill_leaves_nothing(True, tty)


@variants("nodelegate_kill_leaves_nothing", **BOTH)
def nodelegate_kill_leaves_nothing(tty):
    kill_leaves_nothing(False, tty)


def kill_leaves_nothing(delegate, tty):
    unit = service(delegate=delegate, tty=tty)
    unit.start()
    wait_running()
    unit.kill()
    # A payload that is process 1 of its container ignores SIGTERM, so a scope's time-out has to pass.
    expect_nothing_left(within=20)
    unit.wait_for("failed")
    # Podman was killed in the middle; what it remembers must not be in the way of a new start.
    forget_containers()
    unit.start()
    wait_running()


@variants("restart_is_clean", delegate={"delegate": True}, nodelegate={"delegate": False})
def restart_is_clean(delegate):
    unit = service(OBEYS, delegate=delegate, options=["--replace"])
    unit.start()
    first = wait_running()
    unit.restart()
    until("another container", lambda: wait_running() != first)
    unit.stop()
    expect_nothing_left()
    unit.expect_result()


@case
def nodelegate_scope_bound():
    unit = service()
    unit.start()
    container = wait_running()
    scope = scope_of(container)
    found = wait_processes(f"/machine.slice/{scope}", "sh", "sleep")
    check_equal(names(p for members in found.values() for p in members), ["sh", "sleep"], "processes in the scope")
    check_equal(show(scope, "Slice"), "machine.slice", "Slice")
    check_equal(show(scope, "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    check("baz.service" in show(scope, "Before").split(), "the scope is not Before=baz.service")
    check("baz.service" not in show(scope, "After").split(), "the scope is After=baz.service")
    description = show(scope, "Description")
    check("baz" in description and "libcontainer" not in description and container not in description,
          f"not a Description for a person: {description!r}")
    programs = {os.path.basename(exe_of(p)) for members in unit.tree().values() for p in members}
    check_equal(programs, {"podman", os.path.basename(MONITOR)}, "programs in baz.service")


@case
def nodelegate_status_names_scope():
    unit = service()
    unit.start()
    scope = scope_of(wait_running())
    until("the scope's name in systemctl status",
          lambda: scope in run("systemctl", "status", "--no-pager", "--full", "baz"))
    check(not {"sh", "sleep"} & set(names(unit.tree().get("/", []))), "the container's processes are in the unit")
    # The scope's own status tells of the unit.
    check("baz.service" in run("systemctl", "status", "--no-pager", "--full", scope), f"status of {scope}")


@variants("placement_is_told", delegate={"delegate": True}, nodelegate={"delegate": False})
def placement_is_told(delegate):
    service(delegate=delegate).start()
    container = wait_running()
    scope = scope_of(container)
    for unit in ["baz.service"] if delegate else ["baz.service", scope]:
        told = [e for e in journal("-u", unit) if e.get("MESSAGE_ID") == PLACED]
        check_equal(len(told), 1, f"entries in the journal of {unit} that say where the container is")
    expected = {"SCOPEMON_PLACEMENT": "nest" if delegate else "bind", "SCOPEMON_CALLER_UNIT": "baz.service",
                "SCOPEMON_CONTAINER_ID": container, "SCOPEMON_CONTAINER_NAME": "baz"}
    check_equal({field: told[0].get(field) for field in expected}, expected, "what the entry says")
    check("delegated" in told[0].get("SCOPEMON_REASON", ""), f"the reason: {told[0].get('SCOPEMON_REASON')}")
    where = f"libpod-payload-{container}" if delegate else scope
    check(where in told[0]["MESSAGE"], f"a person is not told the place: {told[0]['MESSAGE']}")


@variants("podman_verbs", delegate={"delegate": True}, nodelegate={"delegate": False})
def podman_verbs(delegate):
    unit = service(OBEYS, delegate=delegate)
    unit.start()
    container = wait_running()

    row = podman("ps", "--format", "{{.Names}} {{.Status}}")
    check(row.startswith("baz Up"), f"podman ps: {row!r}")
    monitor, pid = int(inspect("baz", "State.ConmonPid")), int(inspect("baz", "State.Pid"))
    check_equal(exe_of(monitor), MONITOR, "program of ConmonPid")
    check_equal(comm_of(pid), "sh", "name of the container's first process")
    where = inspect("baz", "State.CgroupPath")
    check(cgroup_of(pid).startswith(where) and len(where) > 1, f"CgroupPath {where}, process in {cgroup_of(pid)}")

    check_equal(podman("exec", "baz", "echo", "inside"), "inside", "output of podman exec")
    check_equal(command("podman", "exec", "baz", "sh", "-c", "exit 7")[0], 7, "status of podman exec")
    check_equal(podman("exec", "-i", "baz", "cat", input="through\n"), "through", "output of podman exec -i")
    podman("exec", "-d", "baz", "touch", "/tmp/made")
    until("the file of podman exec -d", lambda: command("podman", "exec", "baz", "test", "-e", "/tmp/made")[0] == 0)
    check("sh" in podman("top", "baz", "comm").split(), "podman top does not show sh")
    until("a line in podman logs", lambda: "line-1" in podman("logs", "baz").split())
    lines = podman("logs", "baz").split()
    check_equal(lines, [f"line-{i + 1}" for i in range(len(lines))], "podman logs")
    check_attach("baz")

    podman("stop", "-t", "10", "baz")
    unit.expect_result()
    expect_nothing_left()
    check(not os.path.exists(f"{CGROUPS}/machine.slice/{scope_of(container)}"), "the scope's group is there")


def check_attach(name):
    """An attached client sees the lines that come from then on."""
    with subprocess.Popen(["podman", "attach", "--no-stdin", "--sig-proxy=false", name], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as client:
        try:
            numbers = [int(client.stdout.readline().removeprefix("line-") or -1) for _ in range(2)]
        except ValueError as e:
            raise Failed(f"podman attach: {e}") from None
        finally:
            client.kill()
    check(numbers[1] == numbers[0] + 1, f"podman attach saw the lines {numbers}")


@variants("exit_status_of_unit", delegate={"delegate": True}, nodelegate={"delegate": False})
def exit_status_of_unit(delegate):
    unit = service("exit 42", delegate=delegate)
    unit.start()
    unit.wait_for("failed")
    check_equal(unit.show("ExecMainStatus"), "42", "ExecMainStatus")
    expect_nothing_left()
