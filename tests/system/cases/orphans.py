# SPDX-License-Identifier: Apache-2.0
"""Podman's containers, when the half of the monitor that Podman knows is killed."""

import os

from cases.service_survives import kernel, status_is_known
from harness import (MONITOR, Skip, check, check_equal, comm_of, command, inspect, journal, messages, podman, run, service,
                     until, variants, wait_running, worker_of)

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
PAYLOAD = "echo hello; until test -e /tmp/go; do usleep 20000; done; echo bye; exit 7"


@variants("orphan_tells_its_end", journald={"driver": "journald"}, file={"driver": "k8s-file"})
def orphan_tells_its_end(driver):
    """Output goes on to the last line, and the journal, Podman and podman wait have the status."""
    if "scopemon" not in MONITOR:
        raise Skip("has one half only")
    podman("run", "-d", "--name", "baz", "--network=none", "--log-driver", driver, "localhost/alpine", "sh", "-c", PAYLOAD)
    container, monitor = inspect("baz", "Id"), int(inspect("baz", "State.ConmonPid"))
    root = f"/proc/{inspect('baz', 'State.Pid')}/root"
    worker = worker_of(monitor)
    run("kill", "-KILL", str(monitor))
    with open(f"{root}/tmp/go", "w", encoding="ascii"):
        pass
    until("the worker's end", lambda: not comm_of(worker))
    entry, = [e for e in journal(f"SCOPEMON_CONTAINER_ID={container}") if e.get("MESSAGE_ID") == ENDED]
    check_equal(entry.get("SCOPEMON_EXIT_STATUS"), "7" if status_is_known() else None, "status in the journal")
    if driver == "journald":
        check_equal([m for m in messages(f"CONTAINER_ID_FULL={container}") if m in ("hello", "bye")], ["hello", "bye"], "lines")
    else:
        with open(inspect("baz", "HostConfig.LogConfig.Path"), encoding="utf-8") as f:
            check_equal([line.split()[-1] for line in f], ["hello", "bye"], "lines")
    if kernel() >= (6, 10):
        check_podman_knows("7" if status_is_known() else "-1", container, driver == "k8s-file")
    command("podman", "rm", "-f", "-t", "0", "baz")


def check_podman_knows(status, container, wait):
    """Podman 4.3 waits for 20 s for its exit command before it believes the exit file, so this is done once."""
    check_equal(os.path.exists(f"/run/libpod/exits/{container}"), True, "an exit file")
    check_equal(inspect("baz", "State.ExitCode"), status, "podman inspect") # a newer podman ps does not look by itself
    if wait:
        check_equal(podman("wait", "baz").strip(), status, "podman wait")
    shown = podman("ps", "-a", "--format", "{{.Status}}").strip()
    check(shown.startswith(f"Exited ({status})"), f"podman ps: {shown}")


@variants("orphan_in_a_unit", plain={}, delegate={"delegate": True})
def orphan_in_a_unit(delegate=False):
    """The unit ends as its container does, and podman run --rm removes that. (4.3 waits first for its exit command.)"""
    if "scopemon" not in MONITOR:
        raise Skip("has one half only")
    if not status_is_known():
        raise Skip("the kernel does not tell how somebody else's child has ended")
    unit = service(PAYLOAD, delegate)
    unit.start()
    wait_running()
    root = f"/proc/{inspect('baz', 'State.Pid')}/root"
    run("kill", "-KILL", inspect("baz", "State.ConmonPid"))
    with open(f"{root}/tmp/go", "w", encoding="ascii"):
        pass
    unit.wait_for("failed", within=60)
    check_equal((unit.show("Result"), unit.show("ExecMainStatus")), ("exit-code", "7"), "the unit")
    check_equal(messages("CONTAINER_NAME=baz"), ["hello", "bye"], "lines")
    check_equal(podman("ps", "-a", "--format", "{{.Names}}").strip(), "", "containers that are left")
