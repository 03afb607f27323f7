# SPDX-License-Identifier: Apache-2.0
"""Signals to the monitor of a container that Podman has started: they mean the container, as in a unit's KillSignal=."""

import os
import signal

from harness import Unit, case, check, check_equal, inspect, journal, messages, podman, quote, until, variants, wait_running

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h

NAMES = ["HUP", "USR1", "USR2", "INT", "RTMIN+3"]
NUMBERS = {"RTMIN+3": "37"}
TRAPS = "".join(f"trap 'echo got-{n}; exit 5' {NUMBERS.get(n, n)}; " for n in NAMES + ["TERM"])
PAYLOAD = TRAPS + "echo up; while true; do sleep 0.2 & wait $!; done"


def lines(name="baz"):
    return [str(m).rstrip() for m in messages(f"CONTAINER_NAME={name}")]


def notify(more, before):
    words = ["run", "-d", "--rm", "--sdnotify=conmon", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD]
    unit = Unit("baz.service", f"""[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/podman {quote(*words)}
TimeoutStopSec=15
SuccessExitStatus=5
{more}
""")
    unit.start()
    until("the container to be up", lambda: lines().count("up") > before)
    return unit


@variants("stop_by_signal", nested={"more": "Delegate=yes\nKillMode=mixed"}, bound={"more": "KillMode=mixed"},
          bound_all={"more": ""})
def stop_by_signal(more):
    """KillSignal= of a unit whose main process is the monitor reaches the container."""
    for i, name in enumerate(NAMES):
        unit = notify(f"{more}\nKillSignal=SIG{name}", i)
        unit.stop(timeout=40)
        check(f"got-{name}" in lines(), f"it did not come: {lines()}")
        unit.expect_result()
        ends = [e.get("SCOPEMON_EXIT_STATUS") for e in journal(f"MESSAGE_ID={ENDED}")]
        check_equal(ends, ["5"] * (i + 1), "how the monitor saw it end")
        check_equal(podman("ps", "--all", "--quiet"), "", "containers that are left")


@case
def stop_by_signal_that_is_ignored():
    """The container is killed before the unit's time is over, and how it ended is known."""
    words = ["run", "-d", "--sdnotify=conmon", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c",
             "trap '' HUP; echo up; while true; do sleep 1; done"]
    unit = Unit("baz.service", f"""[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/podman {quote(*words)}
TimeoutStopSec=5
KillSignal=SIGHUP
KillMode=mixed
SuccessExitStatus=137
""")
    unit.start()
    until("the container to be up", lambda: "up" in lines())
    unit.stop()
    unit.expect_result()
    check_equal(podman("ps", "--all", "--format", "{{.Names}} {{.ExitCode}}"), "baz 137", "what podman knows of")


@case
def signals_to_a_monitor_from_a_shell():
    """Those that end nobody change nothing; the monitor is there until the container has ended."""
    podman("run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD)
    wait_running()
    until("the container to be up", lambda: "up" in lines())
    monitor = int(inspect("baz", "State.ConmonPid"))
    for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGURG):
        os.kill(monitor, number)
    check_equal(inspect("baz", "State.ConmonPid"), str(monitor), "monitor")
    os.kill(monitor, signal.SIGRTMIN + 3)
    check_equal(podman("wait", "baz"), "5", "status")
    check("got-RTMIN+3" in lines(), "the signal came")
    podman("rm", "baz")
