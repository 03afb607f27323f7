# SPDX-License-Identifier: Apache-2.0
"""systemd.service of a unit: what systemd makes of the container's end, and what ends it."""

import os

from harness import check, check_equal, command, inspect, podman, run, until
from unit_cells import also, cells

# Owns a name on the system bus, with nothing but Python.
OWNER = r"""
import socket, struct
pad = lambda data: data + bytes(-len(data) % 8)
def call(serial, member, signature="", body=b""):
    fields = b""
    values = [(1, "o", "/org/freedesktop/DBus"), (2, "s", "org.freedesktop.DBus"), (3, "s", member), (6, "s", "org.freedesktop.DBus")]
    for code, kind, value in values:
        fields = pad(fields) + struct.pack("<B3sI", code, b"\1" + kind.encode(), len(value)) + value.encode() + b"\0"
    if signature:
        fields = pad(fields) + struct.pack("<B3sB", 8, b"\1g", len(signature)) + signature.encode() + b"\0"
    return pad(struct.pack("<4sIII", b"l\1\0\1", len(body), serial, len(fields)) + fields) + body
bus = socket.socket(socket.AF_UNIX)
bus.connect("/run/dbus/system_bus_socket")
bus.sendall(b"\0AUTH EXTERNAL 30\r\n")
assert bus.recv(4096).startswith(b"OK")
name = b"org.example.Baz"
bus.sendall(b"BEGIN\r\n" + call(1, "Hello") + call(2, "RequestName", "su", struct.pack("<I", len(name)) + name + b"\0" + struct.pack("<I", 0)))
while bus.recv(4096):
    pass
"""
POLICY = """<busconfig><policy user="root"><allow own="org.example.Baz"/></policy></busconfig>
"""
FAILS = "sleep 0.3; exit 7"
IDLE = "trap 'exit 0' TERM; while true; do sleep 1000 & wait $!; done"


def ended(unit):
    unit.start()
    until(f"{unit.name} to end", lambda: unit.show("ActiveState") in ("inactive", "failed"))
    return unit.show("Result"), unit.show("ExecMainStatus")


@cells("restart", """Restart=, RestartMode=, RestartForceExitStatus=, RestartPreventExitStatus=, SuccessExitStatus=, RemainAfterExit=,
StartLimitBurst=""")
def restart(at):
    unit = at.unit(FAILS, "SuccessExitStatus=7\nRemainAfterExit=yes", name="success").up()
    until("it to have ended", lambda: unit.show("SubState") == "exited")
    seen = (unit.show("Result"), unit.show("ExecMainStatus"))
    at.saw("SuccessExitStatus=", seen == ("success", "7"), seen)
    unit = at.unit(FAILS, "Restart=on-failure\nRestartSec=100ms\nRestartPreventExitStatus=7", name="prevent")
    seen = ended(unit)
    at.saw("RestartPreventExitStatus=", seen == ("exit-code", "7") and unit.show("NRestarts") == "0", seen)
    unit = at.unit(FAILS, "Restart=no\nRestartSec=100ms\nRestartForceExitStatus=7", name="force").up()
    unit.wait_up(2)
    at.saw("RestartForceExitStatus=", int(unit.show("NRestarts")) > 0)
    unit.stop()
    unit = at.unit(FAILS, "Restart=on-failure\nRestartSec=100ms", "StartLimitBurst=2\nStartLimitIntervalSec=100", name="limit")
    unit.start()
    until("the start limit", lambda: unit.show("ActiveState") == "failed")
    lines = unit.lines()
    at.saw("Restart=", lines.count("up-limit") >= 2, lines)
    at.saw("StartLimitBurst=", lines.count("up-limit") == 2, lines)
    if at.since(254, "RestartMode="):
        unit = at.unit(FAILS, "Restart=on-failure\nRestartMode=direct\nRestartSec=100ms", name="direct").up()
        unit.wait_up(2)
        at.saw("RestartMode=", int(unit.show("NRestarts")) > 0)
        unit.stop()
    unit = at.unit("sleep 0.3; exit 0", "RemainAfterExit=yes", name="remains").up()
    unit.gone()
    until("it to be exited", lambda: unit.show("SubState") == "exited")
    at.saw("RemainAfterExit=", unit.show("ActiveState") == "active")
    unit.stop()


@cells("ends", "RuntimeMaxSec=, WatchdogSec=, ExitType=cgroup")
def ends(at):
    unit = at.unit(IDLE, "RuntimeMaxSec=2\nKillMode=mixed", name="runtime").up()
    until("the end of its time", lambda: unit.show("ActiveState") == "failed")
    at.saw("RuntimeMaxSec=", unit.show("Result") == "timeout" and not unit.runs(), unit.show("Result"))
    unit = at.unit(IDLE, "WatchdogSec=2\nTimeoutAbortSec=5\nKillMode=mixed", name="watchdog").up()
    if not at.ours:
        until("the watchdog", lambda: unit.show("ActiveState") == "failed")
    else:
        until("some of its time to be over", lambda: command("sleep", "5")[0] == 0)
    at.saw("WatchdogSec=", unit.show("Result") == "watchdog" and not unit.runs(), unit.show("Result"))
    unit.stop()
    unit = at.unit("sleep 1; exit 0", "ExitType=cgroup", name="cgroup").up()
    until("its end", lambda: unit.show("ActiveState") == "inactive")
    at.saw("ExitType=cgroup", unit.show("Result") == "success" and not unit.runs(), unit.show("Result"))


@cells("bus_name", "Type=dbus", ["nest", "bind"])
def bus_name(at):
    """The unit has started when the container has the name, and ends with it."""
    with open("/etc/dbus-1/system.d/baz.conf", "w", encoding="utf-8") as f:
        f.write(POLICY)
    run("systemctl", "reload", "dbus")
    with open("/run/owner.py", "w", encoding="utf-8") as f:
        f.write(OWNER)
    options = [f"--volume={path}:{path}" for path in ("/usr", "/lib", "/lib64", "/run/owner.py", "/run/dbus")]
    payload = "until test -e /named; do usleep 50000; done; exec python3 /run/owner.py"
    unit = at.unit(payload, "Type=dbus\nBusName=org.example.Baz\nSuccessExitStatus=137", options=options)
    run("systemctl", "start", "--no-block", unit.name)
    unit.wait_up()
    check_equal(unit.show("ActiveState"), "activating", "ActiveState before the container has the name")
    podman("exec", "baz", "touch", "/named")
    unit.wait_for("active")
    owner = run("busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                "GetConnectionUnixProcessID", "s", "org.example.Baz").split()[1]
    at.saw("Type=dbus", owner == inspect("baz", "State.Pid"), owner)
    podman("kill", "baz")
    unit.wait_for("inactive")


COMMANDS = ["ExecCondition=", "ExecStartPre=", "ExecStartPost=", "ExecReload=", "ExecStop=", "ExecStopPost="]


@cells("commands", ", ".join(COMMANDS + ["Type=exec", "TimeoutStartSec=", "systemctl reload"]))
def commands(at):
    """Commands of all places run, those that stop it while the container is there, the last one when it has gone."""
    where = "/run/unit-commands"
    os.makedirs(where, exist_ok=True)
    kind = "" if at.placement in ("split", "service") else "Type=exec\n"
    lines = [f'{c}/bin/sh -c "echo $$(pgrep -x -c sh) > {where}/{c[:-1]}"' for c in COMMANDS if c != "ExecReload="]
    lines += ["ExecReload=", f'ExecReload=/bin/sh -c "kill -USR1 $MAINPID; echo > {where}/ExecReload"']
    unit = at.unit("trap 'echo reloaded' USR1; " + IDLE, kind + "TimeoutStartSec=20\n" + "\n".join(lines)).up()
    unit.systemctl("reload", unit.name)
    unit.said("reloaded")
    at.saw("systemctl reload", True)
    unit.stop()
    for c in COMMANDS:
        at.saw(c, os.path.exists(f"{where}/{c[:-1]}"), os.listdir(where))
        os.unlink(f"{where}/{c[:-1]}")
    check_equal(unit.show("Result"), "success", "Result")
    at.saw("Type=exec", unit.show("Result") == "success")
    unit = at.unit(IDLE, "ExecStartPre=/bin/sleep 1000\nTimeoutStartSec=1", name="late")
    command("systemctl", "start", unit.name)
    at.saw("TimeoutStartSec=", unit.show("Result") == "timeout" and not unit.runs(), unit.show("Result"))


also("forking_delegate_pidfile", "PIDFile=", "nest")
also("forking_pidfile", "PIDFile=", "bind")
also("forking_delegate", "Type=forking", "nest")
also("forking", "Type=forking", "bind")
also("oneshot_remains_delegate", "Type=oneshot", "nest")
also("oneshot_remains_nodelegate", "Type=oneshot", "bind")
also("stop_time_counts_from_the_stop_notify_nested", "Type=notify", "nest")
also("stop_time_counts_from_the_stop_notify", "Type=notify", "bind")
also("units_commands_split", "Type=notify", "split")
also("units_commands_service", "Type=notify", "service")
also("memory_max_ends_unit_crun", "OOMPolicy=stop", "nest")
also("memory_max_binds_crun", "MemoryMax=", "nest")
also("service_memory_max_crun", "MemoryMax=", "service")
also("tasks_max_binds_crun", "TasksMax=", "nest")
also("service_tasks_max_crun", "TasksMax=", "service")
also("service_mode_waits_for_a_container_that_works_unit", "EXTEND_TIMEOUT_USEC=", "service")
also("service_mode_container_says_ready_annotation", "NotifyAccess=main", "service")
also("service_survives_system", "FileDescriptorStoreMax=", "service")
also("fd_store_of_a_nested_container", "FileDescriptorStoreMax=", "nest")
also("fd_store_of_a_bound_container", "FileDescriptorStoreMax=", "bind")
also("fd_store_of_a_quadlet_unit", "FileDescriptorStoreMax=", "split")
