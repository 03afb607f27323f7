# SPDX-License-Identifier: Apache-2.0
"""Containers that live through systemctl soft-reboot, with monitor, log and management."""

import os
import re

from harness import (CGROUPS, MONITOR, Skip, Unit, case, cgroup_of, check, check_equal, command, messages, note, podman, quote, run,
                     shuts_down, until)

EVERY_SUITE = True
EXAMPLE = "soft-reboot.conf.in"
PLACES = ["/opt/scopemon-examples/", os.path.dirname(os.path.realpath(__file__)) + "/../../../packaging/examples/"]
SURVIVES = "".join(open(place + EXAMPLE, encoding="utf-8").read() for place in PLACES if os.path.exists(place + EXAMPLE))
SURVIVE = "user.survive_final_kill_signal"
# As a systemd that is process 1 does.
MOVES = "mkdir /sys/fs/cgroup/init.scope; echo 1 >/sys/fs/cgroup/init.scope/cgroup.procs; "
# Ten numbered lines a second.
PAYLOAD = "trap 'exit 0' TERM; i=0; while true; do echo line $i; i=$((i + 1)); usleep 100000; done"


def attribute(cgroup, name=SURVIVE):
    try:
        return os.getxattr(f"{CGROUPS}{cgroup}", name)
    except OSError:
        return None


def expect_support(setting="SurviveFinalKillSignal="):
    version = int(re.search(r"systemd (\d+)", run("systemctl", "--version")).group(1))
    if version < 255:
        raise Skip(f"systemd {version} knows no {setting}")


def stay_alive():
    """This process lives through a soft reboot, and so do those that it starts."""
    os.makedirs(f"{CGROUPS}/tests", exist_ok=True)
    with open(f"{CGROUPS}/tests/cgroup.procs", "w", encoding="utf-8") as f:
        f.write(str(os.getpid()))
    os.setxattr(f"{CGROUPS}/tests", SURVIVE, b"1")


def soft_reboot():
    """Over when the new system has started."""
    stay_alive()
    before = run("systemctl", "show", "-P", "UserspaceTimestampMonotonic")
    command("systemctl", "soft-reboot") # the bus may be gone before the answer
    until("a new start of user space", lambda: over(before), within=90)


def over(before):
    try:
        return (run("systemctl", "show", "-P", "UserspaceTimestampMonotonic") != before
                and command("systemctl", "is-system-running", "--wait")[1].strip() in ("running", "degraded"))
    except Exception:  # pylint: disable=broad-except
        return False  # there is nobody to ask


def container_pid(name):
    return int(podman("inspect", "--format", "{{.State.Pid}}", name))


def monitor_pid(name):
    return int(podman("inspect", "--format", "{{.State.ConmonPid}}", name))


def numbers(name):
    return [int(m.split()[1]) for m in messages(f"CONTAINER_NAME={name}") if m.startswith("line ")]


def units():
    command = ["podman", "run", "--name", "nest", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD]
    yield Unit("nest.service", f"{SURVIVES}[Service]\nDelegate=yes\nKillMode=mixed\nExecStart=/usr/bin/{quote(*command)}\n")
    command = ["podman", "run", "-d", "--name", "split", "--cgroups=split", "--sdnotify=conmon", "--network=none", "localhost/alpine",
               "sh", "-c", PAYLOAD]
    yield Unit("split.service", f"{SURVIVES}[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed\n"
               f"ExecStart=/usr/bin/{quote(*command)}\n")
    command = ["podman", "run", "--name", "bind", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD]
    yield Unit("bind.service", f"{SURVIVES}[Service]\nKillMode=mixed\nExecStart=/usr/bin/{quote(*command)}\n"
               "ExecStop=/usr/bin/podman stop bind\n")


def let_scopes_survive():
    for unit in "libpod-.scope", "machine.slice":
        os.makedirs(f"/etc/systemd/system/{unit}.d", exist_ok=True)
        with open(f"/etc/systemd/system/{unit}.d/50-soft-reboot.conf", "w", encoding="utf-8") as f:
            f.write(SURVIVES)
    run("systemctl", "daemon-reload")


@case
@shuts_down
def soft_reboot_leaves_containers():
    """The same processes before and after, and Podman manages them as before."""
    expect_support()
    let_scopes_survive()
    made = list(units())
    names = [u.name.removesuffix(".service") for u in made] + ["shell", "crun"]
    for unit in made:
        unit.start()
    podman("run", "-d", "--name", "shell", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD)
    podman("--runtime", "crun", "run", "-d", "--name", "crun", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD)
    podman("run", "-d", "--name", "moves", "--systemd=always", "--network=none", "localhost/alpine", "sh", "-c", MOVES + PAYLOAD)
    check(cgroup_of(container_pid("crun")).endswith(".scope/container"), "crun makes a cgroup below the scope")
    until("a container to move", lambda: cgroup_of(container_pid("moves")).endswith(".scope/init.scope"))
    check("/libpod-conmon-" in cgroup_of(monitor_pid("shell")), "the shell's container has two scopes")
    check("/bind.service" in cgroup_of(monitor_pid("bind")) and "/libpod-" in cgroup_of(container_pid("bind")),
          "unit and scope")
    for name in names:
        until(f"lines of {name}", lambda name=name: numbers(name))
    before = {n: (container_pid(n), monitor_pid(n)) for n in names}
    for name in names:
        for pid in before[name]:
            check_equal(attribute(cgroup_of(pid)), b"1", f"{SURVIVE} of {cgroup_of(pid)}")
    for name in names:
        said = run(MONITOR, "explain", name)
        check("Soft reboot: survives" in said, said)
    said = run(MONITOR, "explain", "moves")
    check("Soft reboot: is killed, because the container's scope is marked, but not the cgroup that the container is in" in said, said)
    soft_reboot()
    # it gets the last SIGTERM, by which it ends with 0, and SIGKILL a moment later
    check_equal(podman("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}} {{.Status}}").split()[:2], ["moves", "Exited"],
                "the one that is not marked")
    for name in names:
        last = numbers(name)[-1]
        until(f"more lines of {name}", lambda name=name, last=last: numbers(name)[-1] > last + 5)
        check_equal((container_pid(name), monitor_pid(name)), before[name], f"processes of {name}")
        seen = numbers(name)
        check_equal(seen, sorted(set(seen)), f"lines of {name}, in order and once each")
        # What journald has not read when PID 1 closes its sockets is lost, and no sender can know.
        lost = seen[-1] + 1 - len(seen)
        note(f"{lost} lines of {name} are lost")
        check(lost <= 5, f"{lost} lines of {name} are lost")
        check_equal(podman("exec", name, "echo", "here").strip(), "here", f"exec in {name}")
    for unit in made:
        check_equal(unit.show("ActiveState"), "active", unit.name)
        unit.stop()
        unit.expect_result()
    podman("stop", "shell", "crun")
    check_equal(podman("ps", "-q").strip(), "", "containers that run")


@case
def soft_reboot_attribute_follows_the_unit():
    """A setting that is changed while the container runs: it is in force when systemd next applies settings to the cgroup."""
    expect_support()
    unit = next(units())
    text = open(unit.path, encoding="utf-8").read()
    unit.start()
    until("its first line", lambda: numbers("nest"))
    container, monitor = cgroup_of(container_pid("nest")), cgroup_of(monitor_pid("nest"))
    check(unit.show("ControlGroup") not in (container, monitor), "the container is nested")
    for word, value in ("no", None), ("yes", b"1"):
        unit.rewrite(text.replace("SurviveFinalKillSignal=yes", f"SurviveFinalKillSignal={word}"))
        unit.systemctl("set-property", "--runtime", unit.name, f"CPUWeight={50 if value else 60}")
        until(f"the attribute {value} of unit, container and monitor",
              lambda value=value: [attribute(g) for g in (unit.show("ControlGroup"), container, monitor)] == [value] * 3)
