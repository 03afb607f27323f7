# SPDX-License-Identifier: Apache-2.0
"""Podman's containers, when the half of the monitor that Podman knows is killed."""

from cases.service_survives import status_is_known
from harness import MONITOR, Skip, check_equal, comm_of, command, inspect, journal, messages, podman, run, until, variants, worker_of

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
PAYLOAD = "echo hello; until test -e /tmp/go; do usleep 20000; done; echo bye; exit 7"


@variants("orphan_tells_its_end", journald={"driver": "journald"}, file={"driver": "k8s-file"})
def orphan_tells_its_end(driver):
    """Output goes on to the last line, and the journal has the status. The exit file nobody writes."""
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
    entry, = [e for e in journal(f"CONTAINER_ID_OF={container}") if e.get("MESSAGE_ID") == ENDED]
    check_equal(entry.get("SCOPEMON_EXIT_STATUS"), "7" if status_is_known() else None, "status in the journal")
    if driver == "journald":
        check_equal([m for m in messages(f"CONTAINER_ID_FULL={container}") if m in ("hello", "bye")], ["hello", "bye"], "lines")
    else:
        with open(inspect("baz", "HostConfig.LogConfig.Path"), encoding="utf-8") as f:
            check_equal([line.split()[-1] for line in f], ["hello", "bye"], "lines")
    command("podman", "rm", "-f", "-t", "0", "baz")
