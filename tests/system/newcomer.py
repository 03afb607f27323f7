# SPDX-License-Identifier: Apache-2.0
"""What tests/newcomer does inside of a machine: install, switch, use, upgrade, switch back, purge. The packages are in
/opt/debs, a later version of the first in /opt/next, README.md and the manual in /opt/tree: their examples are what is
tried. Each step is told; the first that is not as promised ends it."""

import glob
import json
import os
import re
import sys

import harness
from harness import (Failed, Unit, check, check_equal, cgroup_of, comm_of, command, exe_of, inspect, names, podman, run,
                     until, wait_processes, wait_running)
from manual import manual

STOCK, OURS = "/usr/bin/conmon", "/usr/bin/scopemon"
MESSAGE_EXITED = "ae7f4f850114466f8c4d890f6616381e"
RUN = "/usr/bin/podman run --rm --name {0} --network=none {1}localhost/alpine sh -c '{2}'"
OBEYS = "trap \"exit 0\" TERM; while true; do date; sleep 1 & wait $$!; done"


def tell(text):
    print("    " + text, flush=True)


def monitor_path():
    return podman("info", "--format", "{{.Host.Conmon.Path}}")


def monitor_of(name):
    return int(inspect(name, "State.ConmonPid"))


def files():
    """All files that packages could bring, but for the databases of dpkg and the journal."""
    found = set()
    for top in "/etc", "/usr":
        for folder, _, here in os.walk(top):
            found.update(f"{folder}/{name}" for name in here)
    return found


def install(*packages):
    run("dpkg", "-i", *(glob.glob(f"/opt/debs/{p}_*.deb")[0] for p in packages))


def baz(more=""):
    return Unit("baz.service", f"[Service]\nExecStart={RUN.format('baz', '', OBEYS)}\n"
                f"ExecStop=/usr/bin/podman stop -t 5 baz\n{more}")


def gone(name, unit):
    """Nothing is left of a container whose unit was stopped."""
    until(f"{name} to be gone", lambda: command("podman", "container", "exists", name)[0] == 1 and not unit.tree())


def packages_switch_podman():
    """Installed and removed, each time for new containers only."""
    podman("run", "-d", "--name", "old", "--network=none", "localhost/alpine", "sleep", "10000")
    wait_running("old")
    old = monitor_of("old")
    check_equal(exe_of(old), STOCK, "monitor of the first container")
    install("scopemon")
    check_equal(monitor_path(), STOCK, "monitor while scopemon-podman is not installed")
    install("scopemon-podman")
    check_equal(monitor_path(), OURS, "monitor after installation of scopemon-podman")
    run("dpkg", "-r", "scopemon-podman")
    check_equal(monitor_path(), STOCK, "monitor after removal of scopemon-podman")
    install("scopemon-podman")
    check_equal((monitor_of("old"), exe_of(old)), (old, STOCK), "monitor of the first container, which goes on")
    check(MESSAGE_EXITED in run("journalctl", "--list-catalog"), "the catalogue was not updated")
    tell("installed: Podman starts new containers under scopemon, the old one is not touched")


def unit_of_the_readme():
    """The unit without Delegate=, then with the drop-in."""
    unit = baz()
    unit.start()
    container = wait_running()
    check_equal(exe_of(monitor_of("baz")), OURS, "monitor")
    status = run("systemctl", "status", "--no-pager", "baz")
    check("scopemon" in status, f"systemctl status does not show the monitor:\n{status}")
    check(f"libpod-{container}.scope" in cgroup_of(int(inspect("baz", "State.Pid"))), "the container has no scope")
    unit.stop()
    gone("baz", unit)

    os.makedirs("/etc/systemd/system/baz.service.d")
    os.symlink("/usr/share/scopemon/nest.conf", "/etc/systemd/system/baz.service.d/50-nest.conf")
    unit.systemctl("daemon-reload")
    unit.start()
    wait_running()
    found = wait_processes("/system.slice/baz.service", "sh", "sleep", "scopemon", "podman")
    check("sh" in names(p for path, pids in found.items() if "payload" in path for p in pids), f"no payload: {found}")
    lines = until("its lines", lambda: (lambda t: len(t) >= 3 and t)(
        [l for l in run("journalctl", "-u", "baz", "-o", "cat", "--no-pager").splitlines() if " UTC 20" in l]))
    check_equal(len(lines), len(set(lines)), "lines of the journal, each once")
    tell("baz.service: scope bound to the unit; with nest.conf in the unit; each line in the journal once")
    return unit


def readme_example(path):
    """The file PATH that README.md shows."""
    with open("/opt/tree/README.md", encoding="utf-8") as f:
        text = f.read()
    return re.sub("^    ", "", re.search(rf"^    # {re.escape(path)}\n((?:    .*\n)+)", text, re.M).group(1), flags=re.M)


def concrete(text, command=OBEYS):
    """An example with an image and a command, for a machine without a network."""
    text = text.replace("docker.io/library/alpine", "localhost/alpine").replace("run ", "run --network=none ", 1)
    return text.replace("IMAGE COMMAND", f"localhost/alpine sh -c '{command}'")


def try_unit(name, text, nested):
    """Start, look where the container is, stop."""
    unit = Unit(f"{name}.service", text)
    unit.start()
    wait_running("baz")
    monitor, cgroup = monitor_of("baz"), cgroup_of(int(inspect("baz", "State.Pid")))
    check_equal(exe_of(monitor), OURS, f"monitor of {name}")
    check_equal(cgroup.startswith(f"/system.slice/{name}.service/"), nested, f"in its unit, {name}: {cgroup}")
    unit.stop()
    gone("baz", unit)
    check_equal(unit.show("ActiveState"), "inactive", f"state of {name} after its stop")
    unit.remove()


def units_are_converted():
    """Those of README.md and of scopemon-migration(7), as they are written there."""
    try_unit("readme", concrete(readme_example("/etc/systemd/system/baz.service")), True)
    before, after = manual("scopemon-migration.7", "PODMAN RUN IN A SERVICE")
    try_unit("before", concrete(before), False)
    try_unit("after", concrete(after), True)
    generated = concrete(manual("scopemon-migration.7", "PODMAN GENERATE SYSTEMD")[0])
    try_unit("generated", generated + "Delegate=yes\nKillMode=mixed\n", True)
    try_unit("docker", concrete(manual("scopemon-migration.7", "DOCKER RUN IN A SERVICE")[1]), True)
    tell("units of podman run, podman generate systemd and docker run: converted as scopemon-migration(7) has it")
    if os.path.exists("/usr/lib/systemd/system-generators/podman-system-generator"):
        quadlet(readme_example("/etc/containers/systemd/baz.container"))
    bundle()


def quadlet(text):
    """A Quadlet file."""
    os.makedirs("/etc/containers/systemd", exist_ok=True)
    with open("/etc/containers/systemd/baz.container", "w", encoding="utf-8") as f:
        f.write(text.replace("docker.io/library/alpine", "localhost/alpine\nNetwork=none"))
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "baz")
    wait_running("systemd-baz")
    check_equal(exe_of(monitor_of("systemd-baz")), OURS, "monitor of the Quadlet unit")
    cgroup = cgroup_of(int(inspect("systemd-baz", "State.Pid")))
    check(cgroup.startswith("/system.slice/baz.service/"), f"the Quadlet container is in {cgroup}")
    run("systemctl", "stop", "baz")
    check_equal(run("systemctl", "show", "-P", "ActiveState", "baz"), "inactive", "state of the Quadlet unit after its stop")
    until("its end", lambda: command("podman", "container", "exists", "systemd-baz")[0] == 1)
    os.unlink("/etc/containers/systemd/baz.container")
    run("systemctl", "daemon-reload")
    tell("Quadlet: nothing to convert")


def bundle():
    """The example of oci@.service(8). With runc, as all containers of these machines (tests/machine)."""
    os.chmod("/usr/bin/crun", 0o644)
    made, _, reloaded = manual("oci@.service.8", "EXAMPLES") # the second needs a memory controller
    run("bash", "-euc", made)
    check_equal(run("systemctl", "is-active", "oci@baz"), "active", "state of oci@baz")
    found = wait_processes("/system.slice/system-oci.slice/oci@baz.service", "sleep", "scopemon")
    check(found, "the container is not in oci@baz.service")
    run("bash", "-euc", reloaded)
    run("systemctl", "stop", "oci@baz")
    check_equal(run("systemctl", "show", "-P", "ExecMainStatus", "oci@baz"), "0", "exit status of oci@baz, which was stopped")
    run("rm", "-r", "/var/lib/oci")
    tell("oci@.service: an OCI bundle is a unit")


def looked_at(unit):
    """scopemon list, status and doctor, of a container that runs in its unit."""
    heading, *rows = run("scopemon", "list").splitlines()
    check(heading.startswith("CONTAINER ") and all(c in heading for c in ("STATE", "UNIT", "MEMORY", "LOST")), heading)
    rows = {row.split()[0]: row for row in rows}
    check("running" in rows["baz"] and "baz.service" in rows["baz"] and "nest" in rows["baz"], f"baz:\n{rows['baz']}")
    check("(conmon)" in rows["old"], f"the container of the stock monitor:\n{rows['old']}")
    check_equal(run("scopemon", "list", "--no-legend", "-o", "container,lost,suppressed", "b?z").split(), ["baz", "0", "0"],
                "what README.md says of losses")
    check_equal([c["name"] for c in json.loads(run("scopemon", "list", "--json", "baz"))], ["baz"], "list --json")

    text = until("ten lines in scopemon status", lambda: (lambda t: len(re.findall(r" baz: .* UTC 20", t)) == 10 and t)(
        run("scopemon", "status", "baz")))
    check("Placement: nest" in text and "baz.service of the system: active" in text, f"no placement, or no unit:\n{text}")
    check_equal(command("scopemon", "status", "no-such")[0], 4, "status of a container that there is not")

    rows = {row["check"]: row for row in json.loads(run("scopemon", "doctor", "--json", "baz.service"))}
    check_equal([rows[c]["verdict"] for c in ("systemd", "Podman", "OCI runtime", "catalog")], ["ok"] * 4, f"verdicts of {rows}")
    check(OURS in rows["Podman"]["found"], f"monitor: {rows['Podman']}")
    check("Delegate=yes" in rows["baz.service"]["found"], f"unit: {rows['baz.service']}")
    check("REMEDY" in run("scopemon", "doctor"), "doctor for people")
    check_equal(unit.show("ActiveState"), "active", "state of the unit, after all of this")
    tell("scopemon list, status and doctor: the container, its unit, its last lines, and a host that is set up")


def exit_is_explained():
    """A unit that fails, and what one reads of it."""
    unit = Unit("short.service", f"[Service]\nExecStart={RUN.format('short', '', 'echo goodbye; exit 3')}\n")
    command("systemctl", "start", "short")
    unit.wait_for("failed")
    text = until("the message", lambda: (lambda t: "Subject: Container short exited" in t and t)(
        run("journalctl", "-x", "-u", "short", "--no-pager")))
    check("Documentation: man:scopemon(8)" in text, "no documentation in journalctl -x")
    status, out, _ = command("scopemon", "explain", "short")
    check_equal(status, 3, "status of scopemon explain, of a container that does not run")
    check("exited with status 3" in out, f"scopemon explain does not tell the status:\n{out}")
    unit.remove()
    tell("a container that exited: journalctl -x and scopemon explain tell why")


def upgrade_under(unit):
    """Of the package; with the file it changes nothing."""
    monitor, container = monitor_of("baz"), int(inspect("baz", "State.Pid"))
    before = os.stat(f"/proc/{monitor}/exe").st_ino
    out = run("dpkg", "-i", "/opt/next/scopemon.deb")
    check(f"baz: monitor {monitor}" in out, f"dpkg does not tell of the upgrade:\n{out}")
    check(os.stat(f"/proc/{monitor}/exe").st_ino == os.stat(OURS).st_ino != before, "the monitor is the old program")
    check_equal((monitor_of("baz"), int(inspect("baz", "State.Pid"))), (monitor, container), "PIDs")
    os.makedirs("/etc/scopemon", exist_ok=True)
    with open("/etc/scopemon/no-upgrade", "w", encoding="utf-8"):
        pass
    install("scopemon")
    check(os.stat(f"/proc/{monitor}/exe").st_ino != os.stat(OURS).st_ino, "upgraded in spite of no-upgrade")
    os.unlink("/etc/scopemon/no-upgrade")
    os.rmdir("/etc/scopemon")
    run("scopemon", "upgrade", "baz")
    check(os.stat(f"/proc/{monitor}/exe").st_ino == os.stat(OURS).st_ino, "not upgraded by hand")
    check_equal(unit.show("ActiveState"), "active", "state of the unit")
    tell("package upgraded: running monitors re-execute, containers go on; not with /etc/scopemon/no-upgrade")


def purged(unit, before):
    """Back to stock, and what runs goes on."""
    monitor = monitor_of("baz")
    run("dpkg", "--purge", "scopemon-podman", "scopemon")
    check_equal(monitor_path(), STOCK, "monitor after the purge")
    check_equal((comm_of(monitor), inspect("baz", "State.Status")), ("scopemon", "running"), "the container that runs")
    podman("run", "--rm", "--name", "new", "--network=none", "localhost/alpine", "true")
    podman("exec", "baz", "true")
    unit.stop()
    gone("baz", unit)
    os.unlink("/etc/systemd/system/baz.service.d/50-nest.conf")
    os.rmdir("/etc/systemd/system/baz.service.d")
    left = {f for f in files() - before if "scopemon" in f or "oci" in f or "containers.conf.d" in f}
    check(not left, f"left behind: {sorted(left)}")
    check(MESSAGE_EXITED not in run("journalctl", "--list-catalog"), "the catalogue still has our messages")
    podman("rm", "-f", "-t", "0", "old")
    tell("purged: Podman is back to conmon, what was running went on, nothing is left")


def main():
    before = files()
    try:
        packages_switch_podman()
        units_are_converted()
        unit = unit_of_the_readme()
        looked_at(unit)
        exit_is_explained()
        upgrade_under(unit)
        purged(unit, before)
    except Failed as e:
        print("\n".join(harness._transcript)) # pylint: disable=protected-access
        print(f"not as promised: {e}")
        return 1
    return 0


sys.exit(main())
