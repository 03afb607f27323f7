# SPDX-License-Identifier: Apache-2.0
"""Examples of the manual, as they are written there: units before and after a migration, and what else is to be copied.
IMAGE and COMMAND are filled in, and there is no network."""

import contextlib
import os
import shlex
import shutil

import compare
from cases import service_mode
from cases.service_units import Here, expect_gone
from harness import (MONITOR, OBEYS, Skip, Unit, case, cgroup_of, check, check_equal, command, exe_of, inspect, names, podman,
                     quote, run, tree, until, wait_running)
from manual import manual
from unit_cells import systemd

PAYLOAD = quote("localhost/alpine", "sh", "-c", OBEYS)


def concrete(text):
    """An example with an image and a command."""
    text = text.replace("IMAGE COMMAND", "IMAGE").replace("IMAGE", PAYLOAD)
    for tool in "podman run ", "docker run ", "podman --cgroup-manager=cgroupfs run ":
        text = text.replace(tool, tool + "--network=none ")
    return text


def try_unit(text, nested, container="baz"):
    """Start it, look where the container is, stop it: cleanly, and nothing is left."""
    if MONITOR == compare.STOCK:
        raise Skip("the manual is not the stock monitor's")
    unit = Unit("baz.service", text if "localhost/alpine" in text else concrete(text))
    unit.start()
    wait_running(container)
    podman("exec", container, "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
    cgroup = cgroup_of(int(inspect(container, "State.Pid")))
    check_equal(exe_of(int(inspect(container, "State.ConmonPid"))), MONITOR, "monitor")
    check_equal(cgroup.startswith(unit.cgroup + "/"), nested, f"in its unit: {cgroup}")
    unit.stop()
    unit.expect_result()
    until("the container to go", lambda: command("podman", "container", "exists", container)[0] == 1)


@case
def migration_conmon():
    """A unit that runs under conmon: it keeps it until it is restarted, over to scopemon and back."""
    switch, restart = manual("scopemon-migration.7", "CONMON")
    before, _ = manual("scopemon-migration.7", "PODMAN RUN IN A SERVICE")
    unit = Unit("baz.service", concrete(before) + "ExecStopPost=/usr/bin/podman rm -f --ignore baz\n")

    def monitor():
        wait_running("baz")
        podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
        return exe_of(int(inspect("baz", "State.ConmonPid")))

    shutil.move("/etc/containers/containers.conf.d/monitor.conf", "/run/monitor.conf")
    os.makedirs("/usr/share/scopemon")
    try:
        with open("/usr/share/scopemon/podman.conf", "w", encoding="utf-8") as f:
            f.write(f'[engine]\nconmon_path = ["{MONITOR}"]\n')
        unit.start()
        check_equal(monitor(), compare.STOCK, "monitor before")
        run("bash", "-euc", switch)
        check_equal(monitor(), compare.STOCK, "monitor of a running container")
        run("bash", "-euc", restart)
        check_equal(monitor(), MONITOR, "monitor after a restart")
        os.unlink("/etc/containers/containers.conf.d/50-scopemon.conf")
        run("bash", "-euc", restart)
        check_equal(monitor(), compare.STOCK, "monitor after switching back")
        unit.stop()
        unit.expect_result()
    finally:
        run("rm", "-rf", "/usr/share/scopemon", "/etc/containers/containers.conf.d/50-scopemon.conf")
        shutil.move("/run/monitor.conf", "/etc/containers/containers.conf.d/monitor.conf")


@case
def migration_podman_run():
    before, after = manual("scopemon-migration.7", "PODMAN RUN IN A SERVICE")
    try_unit(before, False)
    try_unit(after, True)


@case
def migration_generated():
    """What podman generate systemd writes is what the page has; with the two settings the container is in the unit."""
    before, = manual("scopemon-migration.7", "PODMAN GENERATE SYSTEMD")
    podman("create", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", OBEYS)
    made = podman("generate", "systemd", "--new", "--name", "baz")
    podman("rm", "baz")
    check_equal(options_of(made), options_of(before.replace("podman run", "podman run --network=none")), "options of podman run")
    try_unit(made, False)
    try_unit(before, False)
    try_unit(before + "Delegate=yes\nKillMode=mixed\n", True)


def options_of(text):
    """Those of ExecStart=, up to the image."""
    line = next(l for l in text.replace("\\\n", " ").splitlines() if l.startswith("ExecStart="))
    words = shlex.split(line.replace("$$", "$"))
    end = next(i for i, word in enumerate(words) if word in ("IMAGE", "localhost/alpine"))
    return sorted(words[1:end])


@case
def migration_quadlet():
    if not os.path.exists("/usr/lib/systemd/system-generators/podman-system-generator"):
        raise Skip("this Podman has no Quadlet")
    text, = manual("scopemon-migration.7", "QUADLET")
    os.makedirs("/etc/containers/systemd", exist_ok=True)
    with open("/etc/containers/systemd/baz.container", "w", encoding="utf-8") as f:
        f.write(text.replace("Image=IMAGE", "Image=localhost/alpine\nNetwork=none")
                .replace("COMMAND", quote("sh", "-c", OBEYS)))
    try:
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "baz")
        wait_running("systemd-baz")
        podman("exec", "systemd-baz", "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
        cgroup = cgroup_of(int(inspect("systemd-baz", "State.Pid")))
        check(cgroup.startswith("/system.slice/baz.service/"), f"the container is in {cgroup}")
        run("systemctl", "stop", "baz")
        check_equal(run("systemctl", "show", "-P", "ActiveState", "baz"), "inactive", "state after its stop")
    finally:
        os.unlink("/etc/containers/systemd/baz.container")
        run("systemctl", "daemon-reload")


@contextlib.contextmanager
def docker():
    """The command, as the package podman-docker has it, and a service for those that require it."""
    with open("/usr/bin/docker", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec /usr/bin/podman \"$@\"\n")
    os.chmod("/usr/bin/docker", 0o755)
    Unit("docker.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    try:
        yield
    finally:
        os.unlink("/usr/bin/docker")


@case
def migration_docker():
    before, after = manual("scopemon-migration.7", "DOCKER RUN IN A SERVICE")
    with docker():
        try_unit(before, False)
    try_unit(after, True)


# Stops at once, and tells what it sees of the machine.
TELLS = """#!/bin/sh
trap 'exit 0' TERM
{ echo writable; readlink /proc/self/ns/net; } >/seen
while true; do sleep 1 & wait $!; done
"""


@case
def migration_nspawn():
    """The tree of a machine becomes a bundle, by the commands of the page. Both can write to it and have the host's network;
    the second stops at once, and well."""
    if not os.path.exists("/usr/bin/systemd-nspawn"):
        raise Skip("no systemd-nspawn")
    before, after = manual("scopemon-migration.7", "NSPAWN")
    here = Here(user=False)
    machine_tree, expected = "/var/lib/machines/baz", f"writable\n{os.readlink('/proc/self/ns/net')}\n"

    def seen(folder):
        def read():
            try:
                with open(f"{folder}/seen", encoding="utf-8") as f:
                    return f.read() == expected
            except FileNotFoundError:
                return False
        return read

    run("rm", "-rf", "/var/lib/oci") # of another case
    os.makedirs(f"{machine_tree}/usr") # without it nspawn refuses
    try:
        run("tar", "-C", machine_tree, "-xf", "/usr/local/share/alpine.tar")
        with open(f"{machine_tree}/bin/payload", "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o755)) as f:
            f.write(TELLS)
        with open("/run/systemd/system/oci@.service", "w", encoding="utf-8") as f:
            f.write(here.shipped("oci@.service"))
        nspawn = Unit("baz.service", before.replace("COMMAND", "payload"))
        nspawn.start()
        until("the payload of nspawn", seen(machine_tree))
        nspawn.stop()

        os.unlink(f"{machine_tree}/seen")
        nspawn.start()
        until("the payload of nspawn", seen(machine_tree))
        os.unlink(f"{machine_tree}/seen")
        run("bash", "-euc", after.replace("COMMAND", "payload"))
        check_equal(run("systemctl", "is-active", "oci@baz"), "active", "state of oci@baz")
        group = run("systemctl", "show", "-P", "ControlGroup", "oci@baz")
        check_equal(sorted(tree(group)), ["/libpod-payload-scopemon-baz", "/supervisor"], "groups of the unit")
        until("the payload of oci@baz", seen("/var/lib/oci/baz/rootfs"))
        run("systemctl", "stop", "oci@baz")
        check_equal(run("systemctl", "show", "-P", "Result", "oci@baz"), "success", "result of oci@baz")
        expect_gone(group)
    finally:
        command("systemctl", "stop", "baz", "oci@baz")
        run("rm", "-rf", "/run/systemd/system/oci@.service", "/var/lib/oci", machine_tree)
        run("systemctl", "daemon-reload")
        command("systemctl", "reset-failed", "oci@baz", "baz")


@case
def manual_oci():
    """The bundle of oci@.service(8): its unit stops at once, since the command handles the signal. The limit needs a memory
    controller."""
    made, _, reloaded = manual("oci@.service.8", "EXAMPLES")
    run("rm", "-rf", "/var/lib/oci") # of another case
    with open("/run/systemd/system/oci@.service", "w", encoding="utf-8") as f:
        f.write(Here(user=False).shipped("oci@.service"))
    try:
        run("systemctl", "daemon-reload")
        run("bash", "-euc", made)
        group = run("systemctl", "show", "-P", "ControlGroup", "oci@baz")
        until("the command", lambda: "sleep" in names(p for pids in tree(group).values() for p in pids))
        run("bash", "-euc", reloaded)
        run("systemctl", "stop", "oci@baz")
        check_equal(run("systemctl", "show", "-P", "Result", "-P", "ExecMainStatus", "oci@baz"), "success\n0", "its end")
        expect_gone(group)
    finally:
        run("rm", "-rf", "/run/systemd/system/oci@.service", "/var/lib/oci")
        run("systemctl", "daemon-reload")
        command("systemctl", "reset-failed", "oci@baz")


@case
def manual_unit():
    text, = manual("scopemon-units.7", "EXAMPLES")
    try_unit(text.replace("KillSignal=SIGINT", "KillSignal=SIGTERM"), True, "db") # which this payload handles
    unit = Unit("baz.service", concrete(text).replace("trap 'exit 0' TERM", "trap 'exit 0' INT"))
    unit.start()
    wait_running("db")
    podman("exec", "db", "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
    unit.stop()
    unit.expect_result()


@case
def manual_pod():
    if systemd() < 254:
        raise Skip("no DelegateSubgroup=")
    _, text = manual("scopemon-units.7", "PODS") # the first one is what pods_quadlet tries
    text = text.replace("pod create ", "pod create --infra=false ").replace("POD IMAGE", "POD --name=baz IMAGE")
    unit = Unit("baz.service", concrete(text))
    unit.start()
    wait_running()
    podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
    cgroup = cgroup_of(int(inspect("baz", "State.Pid")))
    check(cgroup.startswith(unit.cgroup + "/"), f"the container is in {cgroup}")
    unit.stop()
    unit.expect_result()
    check_equal(podman("pod", "ps", "--quiet"), "", "pods")


@case
def manual_transient():
    """The runtime is not named: crun, which does not run in all machines, or runc."""
    text, = manual("scopemon.8", "Transient units")
    service_mode.make_bundle("exec sleep 1000")
    mode = os.stat("/usr/bin/crun").st_mode
    os.chmod("/usr/bin/crun", 0o644)
    try:
        words = text.replace("systemd-run ", "systemd-run --unit=adhoc --quiet ").replace("DIR", service_mode.BUNDLE)
        run("bash", "-euc", words.replace("scopemon --service", f"{MONITOR} --service"))
        group = run("systemctl", "show", "-P", "ControlGroup", "adhoc")
        check_equal(sorted(tree(group)), ["/libpod-payload-scopemon-baz", "/supervisor"], "groups of the unit")
        run("systemctl", "stop", "adhoc")
        expect_gone(group)
    finally:
        os.chmod("/usr/bin/crun", mode)
        command("systemctl", "reset-failed", "adhoc")
