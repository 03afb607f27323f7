# SPDX-License-Identifier: Apache-2.0
"""Containers as machines of systemd-machined: io.scopemon.machine=yes."""

import os
import pwd
import re
import shlex
import shutil
import time

from cases.service_mode import BUNDLE, UNIT, make_bundle
from compare import USER, as_user, make_user
from harness import (MONITOR, Skip, Unit, case, check, check_equal, command, inspect, journal, messages, note, podman, quietly, quote, run,
                     scope_of, show, until, variants)

MISCONFIGURED = "d4778fe9538641568ca7c9e539e1fdfe" # SCOPEMON_MESSAGE_MISCONFIGURED
VARIABLE = os.environ | {"SCOPEMON_MACHINE": "yes"}
WISH = "--annotation=io.scopemon.machine=yes"
PAYLOAD = "trap 'exit 0' TERM; trap 'echo got-usr1' USR1; echo ready; while true; do sleep 1 & wait $!; done"
RUN = ["--name", "baz", WISH, "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD]
EXEC_START = {"nested": ["run", "--rm", "--replace"], "bound": ["run", "--rm", "--replace"],
              "split": ["run", "--rm", "--replace", "-d", "--cgroups=split", "--sdnotify=conmon"]}
MORE = {"nested": "Delegate=yes\nKillMode=mixed", "bound": "", "split": "Type=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed"}


def expect_machined():
    if "scopemon" not in MONITOR:
        raise Skip("registers no container")


def systemd_version():
    return int(re.search(r"systemd (\d+)", run("systemctl", "--version")).group(1))


def property_of(name, what, *user):
    """Of a machine, "" if there is none."""
    status, out, _ = command(*user, "machinectl", *(["--user"] if user else []), "show", "-p", what, "--value", name)
    return out.strip() if status == 0 else ""


def container_pid(kind):
    if kind == "service":
        return run("runc", "state", "scopemon-baz").split('"pid": ')[1].split(",")[0]
    return inspect("baz", "State.Pid")


def make(kind):
    """A container baz that is started like a unit: by start(), restart()."""
    if kind == "service":
        make_bundle(PAYLOAD, io__scopemon__machine="yes")
        return Unit("baz.service", UNIT.format(bundle=BUNDLE, runtime=shutil.which("runc"), more=""))
    words = quote(*EXEC_START[kind], *RUN)
    return Unit("baz.service", f"[Service]\n{MORE[kind]}\nTimeoutStopSec=30\nExecStart=/usr/bin/podman {words}\n"
                "ExecStop=/usr/bin/podman stop -t 5 -i baz\n")


def is_registered(kind):
    leader = quietly(property_of, "baz", "Leader")
    return leader if leader and leader == quietly(container_pid, kind) else None


@variants("machine_of_a", nested_container={"kind": "nested"}, bound_container={"kind": "bound"}, split_container={"kind": "split"},
          service={"kind": "service"})
def machine_of_a(kind):
    """Listed while it runs, signalled, restarted with its unit, and terminated as the unit is stopped."""
    expect_machined()
    unit = make(kind)
    unit.start()
    leader = until("the machine", lambda: is_registered(kind))
    expected = scope_of(inspect("baz", "Id")) if kind == "bound" else "baz.service"
    check_equal(property_of("baz", "Unit"), expected, "its unit")
    check_equal((property_of("baz", "Service"), property_of("baz", "Class")), ("scopemon", "container"), "service and class")
    check("baz" in run("machinectl", "list", "--no-legend"), "it is listed")
    check('Machine: baz, see "machinectl status baz"' in run(MONITOR, "explain", "baz"), "explain")
    check(f"Leader: {leader}" in run("machinectl", "status", "--no-pager", "baz"), "status")
    until("the payload to be ready", lambda: "ready" in messages("-u", "baz"))
    whom = "--kill-whom=leader" if systemd_version() >= 253 else "--kill-who=leader"
    run("machinectl", "kill", whom, "-s", "USR1", "baz")
    until("the signal", lambda: "got-usr1" in messages("-u", "baz"))
    for _ in range(3): # nobody stops the unit that has just been started, since its last machine has ended
        unit.restart()
        until("another leader", lambda: is_registered(kind) not in (None, leader))
        leader, run_of_unit = is_registered(kind), unit.show("InvocationID")
        check_equal(run("busctl", "call", "org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager",
                        "GetMachine", "s", "baz").startswith("o "), True, "machined has done all that it had to")
        check_equal((unit.show("ActiveState"), unit.show("InvocationID")), ("active", run_of_unit), "the unit")
    run("machinectl", "terminate", "baz")
    until("the machine to go", lambda: not quietly(property_of, "baz", "Leader"))
    unit.expect_result()
    check_equal([e["MESSAGE"] for e in journal(f"MESSAGE_ID={MISCONFIGURED}") if "machined" in e["MESSAGE"]], [], "complaints")


@case
def machine_of_a_shell():
    """In a scope of its own: terminated with that, removed with the container."""
    expect_machined()
    for end in ["podman", "stop", "-t", "5", "baz"], ["machinectl", "terminate", "baz"]:
        container = podman("run", "-d", "--rm", *RUN)
        until("the machine", lambda: is_registered("shell"))
        check_equal(property_of("baz", "Unit"), scope_of(container), "its unit")
        check_equal(property_of("baz", "Id").replace("-", ""), container[:32], "its ID")
        check_equal(podman("exec", "baz", "echo", "here"), "here", "podman exec")
        run(*end)
        until("the machine to go", lambda: not quietly(property_of, "baz", "Leader"))
        until("the container to go", lambda: not quietly(podman, "ps", "-aq"))


@case
def machine_goes_before_its_unit():
    """A unit goes on after its container, and is not stopped; what is registered by then under the name is left alone."""
    expect_machined()
    unit = Unit("baz.service", "[Service]\nDelegate=yes\nKillMode=mixed\nExecStart=/bin/sh /run/baz.sh\n")
    with open("/run/baz.sh", "w", encoding="utf-8") as f:
        f.write(f"podman run --rm --name baz {WISH} --network=none localhost/alpine sleep 1000\nexec sleep 1000\n")
    unit.start()
    until("the machine", lambda: is_registered("nested"))
    podman("stop", "-t", "0", "baz")
    until("the machine to go", lambda: not quietly(property_of, "baz", "Leader"))
    check_equal(unit.show("ActiveState"), "active", "the unit")
    podman("run", "-d", "--rm", *RUN) # the name is free again
    until("another machine", lambda: is_registered("shell"))
    unit.stop()
    check(is_registered("shell"), "the other machine is still there")


@case
def machine_is_terminated_in_its_unit():
    """A nested container with its unit, or by itself with a machined that knows its cgroup."""
    expect_machined()
    with open("/run/baz.sh", "w", encoding="utf-8") as f:
        f.write(f"podman run --rm --name baz {WISH} --network=none localhost/alpine sh -c {shlex.quote(PAYLOAD)}\nexec sleep 1000\n")
    unit = Unit("baz.service", "[Service]\nDelegate=yes\nKillMode=mixed\nExecStart=/bin/sh /run/baz.sh\n")
    unit.start()
    until("the machine", lambda: is_registered("nested"))
    until("the payload to be ready", lambda: "ready" in messages("-u", "baz"))
    alone = property_of("baz", "Subgroup") != ""
    note(f"systemd {systemd_version()}, alone: {alone}")
    run("machinectl", "terminate", "baz")
    until("the machine to go", lambda: not quietly(property_of, "baz", "Leader"))
    unit.wait_for("active" if alone else "inactive")
    check(alone or systemd_version() < 262, "it is terminated alone")


def told(name):
    return [e["MESSAGE"] for e in journal(f"MESSAGE_ID={MISCONFIGURED}", f"SCOPEMON_CONTAINER_NAME={name}")]


@case
def machine_has_addresses():
    """Of a container with a network of its own, by nss-mymachines."""
    expect_machined()
    podman("run", "-d", "--rm", "--name", "baz", WISH, "localhost/alpine", "sh", "-c", PAYLOAD)
    until("the machine", lambda: is_registered("shell"))
    address = podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "baz")
    check(address, "Podman knows its address")
    check_equal(run("getent", "-s", "mymachines", "ahostsv4", "baz").split()[0], address, "its address")


@case
def machine_names():
    """A name that machined refuses, or that another machine has, is told once; the container runs."""
    expect_machined()
    podman("run", "-d", "--name", "under_score", WISH, "--network=none", "localhost/alpine", "sleep", "1000")
    until("the word", lambda: told("under_score"))
    other = Unit("other.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    other.start()
    run("busctl", "call", "org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager", "RegisterMachine",
        "sayssus", "baz", "0", "test", "container", other.show("MainPID"), "")
    podman("run", "-d", *RUN)
    until("the word", lambda: told("baz"))
    check("Invalid machine name; hint: give the container a name" in told("under_score")[0], told("under_score")[0])
    check("Machine 'baz' already exists; hint: give the container a name" in told("baz")[0], told("baz")[0])
    podman("stop", "-t", "5", "baz", "under_score")
    check_equal((len(told("baz")), len(told("under_score"))), (1, 1), "entries")
    check_equal(property_of("baz", "Leader"), other.show("MainPID"), "the other machine is left alone")


@case
def machine_is_a_wish():
    """Without it machined is not even started; the variable does as the annotation, which counts."""
    expect_machined()
    run("systemctl", "stop", "systemd-machined.service", *(["systemd-machined.socket"] if systemd_version() >= 258 else []))
    podman("run", "--rm", "--network=none", "localhost/alpine", "true")
    podman("run", "--rm", "--annotation=io.scopemon.machine=no", "--network=none", "localhost/alpine", "true",
           env=VARIABLE)
    check_equal(show("systemd-machined.service", "ActiveState"), "inactive", "machined")
    if systemd_version() > 252: # Podman 4.3 does not pass it on
        podman("run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sleep", "1000", env=VARIABLE)
        until("the machine", lambda: is_registered("shell"))
    podman("run", "-d", "--name", "maybe", "--annotation=io.scopemon.machine=maybe", "--network=none", "localhost/alpine", "sleep", "1000")
    check_equal(until("a word", lambda: told("maybe")),
                ['Container maybe: io.scopemon.machine of "maybe" is no boolean; hint: set it to yes or no'], "what is told")


@case
def machine_waits_for_nobody():
    """A machined that does not answer delays no start, and an end for seconds only. An upgrade comes afterwards."""
    expect_machined()
    run("systemctl", "start", "systemd-machined.service")
    pid = show("systemd-machined.service", "MainPID")
    run("kill", "-STOP", pid)
    try:
        begin = time.monotonic()
        podman("run", "-d", *RUN)
        podman("run", "--rm", "--name", "short", WISH, "--network=none", "localhost/alpine", "true")
        took = time.monotonic() - begin
        note(f"two starts and an end took {took:.1f} s")
        check(took < 9, "machined is waited for") # its own time-out is 10 s
        check("does not respond" in until("a word", lambda: told("baz"))[0], told("baz")[0])
    finally:
        run("kill", "-CONT", pid)
    check_equal(podman("exec", "baz", "echo", "here"), "here", "podman exec")
    podman("rm", "-f", "-t", "0", "baz")
    podman("run", "-d", *RUN)
    until("the machine", lambda: is_registered("shell"))
    run(MONITOR, "upgrade", "baz")
    podman("stop", "-t", "5", "baz")
    until("the machine to go", lambda: not quietly(property_of, "baz", "Leader"))


@case
def machine_of_a_user():
    """With a machined of users it is there; without, the user is told."""
    expect_machined()
    make_user(USER)
    words = as_user(USER)
    run(*words, "podman", "run", "-d", *RUN)
    pid = run(*words, "podman", "inspect", "--format", "{{.State.Pid}}", "baz")
    uid = pwd.getpwnam(USER).pw_uid
    if systemd_version() >= 259:
        until("the machine", lambda: quietly(property_of, "baz", "Leader", *words) == pid)
        run(*words, "podman", "stop", "-t", "5", "baz")
        until("the machine to go", lambda: not quietly(property_of, "baz", "Leader", *words))
    else:
        entry = until("a word", lambda: [e for e in journal(f"MESSAGE_ID={MISCONFIGURED}", f"_UID={uid}") if "machined" in e["MESSAGE"]])[0]
        check("users have a systemd-machined from systemd 259 on" in entry["MESSAGE"], entry["MESSAGE"])
    run(*words, "podman", "rm", "-f", "-t", "0", "baz")
