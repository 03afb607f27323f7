# SPDX-License-Identifier: Apache-2.0
"""Units of Type=notify whose main process is the monitor, as Podman and Quadlet write them, twenty times in a row."""

from harness import (IGNORES, MONITOR, OBEYS, Unit, check, check_equal, exe_of, expect_nothing_left, inspect,
                     podman, quote, variants, wait_running)

ROUNDS = 10 # of start, restart, stop: twenty starts, twenty stops


def generated(payload, delegate):
    """As podman generate systemd --new writes it, but for a shorter time-out."""
    words = ["run", "-d", "--rm", "--replace", "--sdnotify=conmon", "--name", "baz", "--network=none",
             "localhost/alpine", "sh", "-c", payload]
    return Unit("baz.service", f"""[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/podman {quote(*words)}
ExecStop=/usr/bin/podman stop -t 2 --ignore baz
SuccessExitStatus=137
TimeoutStartSec=30
TimeoutStopSec=30
{"Delegate=yes" if delegate else ""}
""")


def quadlet(payload):
    """As Quadlet writes it, with a time-out for rm; Podman 4.3 leaves the file with the ID."""
    words = ["run", "--name", "baz", "--cidfile=/run/baz.cid", "--replace", "--rm", "--cgroups=split",
             "--sdnotify=conmon", "-d", "--network=none", "localhost/alpine", "sh", "-c", payload]
    return Unit("baz.service", f"""[Service]
Type=notify
NotifyAccess=all
KillMode=mixed
Delegate=yes
SyslogIdentifier=%N
Environment=PODMAN_SYSTEMD_UNIT=%n
ExecStartPre=/bin/rm -f /run/baz.cid
ExecStart=/usr/bin/podman {quote(*words)}
ExecStop=/usr/bin/podman rm -v -f -i -t 2 --cidfile=/run/baz.cid
ExecStopPost=-/usr/bin/podman rm -v -f -i -t 2 --cidfile=/run/baz.cid
SuccessExitStatus=137
TimeoutStartSec=30
TimeoutStopSec=30
""")


@variants("notify_twenty_times", obeys={"payload": OBEYS}, obeys_delegate={"payload": OBEYS, "delegate": True},
          ignores={"payload": IGNORES})
def notify_twenty_times(payload, delegate=False):
    twenty_times(generated(payload, delegate))


@variants("quadlet_twenty_times", obeys={"payload": OBEYS}, ignores={"payload": IGNORES})
def quadlet_twenty_times(payload):
    twenty_times(quadlet(payload))


def twenty_times(unit):
    for _ in range(ROUNDS):
        unit.start()
        first = expect_active(unit)
        unit.restart()
        check(expect_active(unit) != first, "systemctl restart left the old container")
        unit.stop()
        expect_nothing_left()
        unit.expect_result()
        check_equal(podman("ps", "--all", "--quiet"), "", "containers that Podman knows of")


def expect_active(unit):
    check_equal(unit.show("ActiveState"), "active", "ActiveState")
    container = wait_running()
    main = unit.show("MainPID")
    check_equal(exe_of(main), MONITOR, "program of the main process")
    check_equal(inspect("baz", "State.ConmonPid"), main, "ConmonPid and MainPID")
    return container
