# SPDX-License-Identifier: Apache-2.0
"""podman run -d in units that are no Type=notify: what systemd takes for the unit's main process, and when it ends."""

from harness import (CGROUPS, IGNORES, OBEYS, Unit, cgroup_of, check_equal, command, expect_nothing_left, inspect,
                     messages, podman, quote, until, variants, wait_running)


def detached(kind, more="", options=(), payload=OBEYS):
    words = ["run", "-d", "--rm", "--replace", "--name", "baz", "--network=none", *options, "localhost/alpine", "sh",
             "-c", "echo hello; " + payload]
    return Unit("baz.service", f"""[Service]
Type={kind}
ExecStart=/usr/bin/podman {quote(*words)}
TimeoutStopSec=6
{more}
""")


@variants("oneshot_leaves_container", nodelegate={"more": ""}, delegate={"more": "Delegate=yes"})
def oneshot_leaves_container(more):
    """A oneshot has ended with its command, and is nobody's supervisor (more of that in detached.py)."""
    unit = detached("oneshot", more)
    unit.start()
    check_equal(unit.show("ActiveState"), "inactive", "ActiveState")
    unit.expect_result()
    container = wait_running()
    until("its first line", lambda: "line-1" in messages("CONTAINER_NAME=baz"))
    check_equal(cgroup_of(inspect("baz", "State.ConmonPid")), f"/machine.slice/libpod-conmon-{container}.scope",
                "cgroup of the monitor")
    podman("stop", "-t", "10", "baz")
    expect_nothing_left()


@variants("oneshot_remains", nodelegate={"delegate": False}, delegate={"delegate": True})
def oneshot_remains(delegate):
    """One that remains holds the container only if it has asked for that, by Delegate=."""
    unit = detached("oneshot", "RemainAfterExit=yes" + ("\nDelegate=yes" if delegate else ""))
    unit.start()
    container = wait_running()
    check_equal((unit.show("ActiveState"), unit.show("SubState")), ("active", "exited"), "state")
    until("its first line", lambda: "line-1" in messages("CONTAINER_NAME=baz"))
    unit.stop()
    if not delegate:
        check_equal(wait_running(), container, "the container that runs after the unit's stop")
        podman("stop", "-t", "10", "baz")
    expect_nothing_left()
    unit.expect_result()
    # A container that ends by itself leaves the unit as it is: nothing of it was a main process.
    unit.start()
    wait_running()
    podman("stop", "-t", "1", "baz")
    check_equal((unit.show("ActiveState"), unit.show("SubState")), ("active", "exited"), "state without a container")


@variants("forking", plain={}, pidfile={"pidfile": True}, delegate={"delegate": True, "main": False},
          delegate_pidfile={"delegate": True, "pidfile": True})
def forking(delegate=False, pidfile=False, main=True):
    """The monitor is the main process if systemd finds it: by the file, or by a guess, not in a cgroup below the unit's."""
    unit = detached("forking", ("Delegate=yes\n" if delegate else "") + ("PIDFile=/run/baz.pid" if pidfile else ""),
                    ["--conmon-pidfile=/run/baz.pid"] if pidfile else [], OBEYS)
    unit.start()
    wait_running()
    monitor = inspect("baz", "State.ConmonPid")
    check_equal(unit.show("MainPID"), monitor if main else "0", "MainPID")
    until("its first line", lambda: "line-1" in messages("CONTAINER_NAME=baz"))
    unit.stop()
    expect_nothing_left()
    unit.expect_result()
    check_equal(command("test", "-e", CGROUPS + unit.cgroup)[0], 1, "the unit's cgroup is there")


@variants("forking_status", pidfile={"delegate": False}, delegate_pidfile={"delegate": True})
def forking_status(delegate):
    """The container's status is the unit's, so Restart=on-failure works."""
    unit = detached("forking", f"PIDFile=/run/baz.pid\nDelegate={delegate}\nRestart=on-failure\nRestartSec=100ms",
                    ["--conmon-pidfile=/run/baz.pid"], "sleep 1; exit 7")
    unit.start()
    first = wait_running()
    until("another container", lambda: wait_running() != first)
    check_equal(int(unit.show("NRestarts")) > 0, True, "it was started again")
    until("the status to be told", lambda: any("status=7" in str(m) for m in messages("-u", "baz.service")))
    unit.stop()


@variants("stop_without_execstop", nodelegate={"delegate": False}, delegate={"delegate": True})
def stop_without_execstop(delegate):
    """A container that ignores its stop signal is killed before the unit's time is over, and its end is known."""
    words = ["run", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", IGNORES]
    unit = Unit("baz.service", f"""[Service]
ExecStart=/usr/bin/podman {quote(*words)}
TimeoutStopSec=4
SuccessExitStatus=137
Delegate={delegate}
""")
    unit.start()
    wait_running()
    until("its first line", lambda: "line-1" in messages("CONTAINER_NAME=baz"))
    unit.stop()
    unit.expect_result()
    check_equal(podman("ps", "--all", "--format", "{{.Names}} {{.ExitCode}}"), "baz 137", "what podman knows of")
    expect_nothing_left()
