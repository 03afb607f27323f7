# SPDX-License-Identifier: Apache-2.0
"""Restarting and stopping units with no ExecStop=: only systemd's signals, and a payload that ignores them."""

from harness import IGNORES, Unit, case, check, expect_nothing_left, inspect, messages, podman, quote, until, wait_running

UNIT = """[Service]
ExecStart=/usr/bin/podman {run}
TimeoutStopSec=6
"""
RUN = ("run", "--rm", "--replace", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", IGNORES)


def start():
    unit = Unit("baz.service", UNIT.format(run=quote(*RUN)))
    unit.start()
    wait_running()
    return unit


@case
def restart_without_ExecStop_leaves_no_old_container():
    unit = start()
    before = inspect("baz", "Id")
    unit.restart()
    until("another container to run", lambda: inspect("baz", "Id") != before)
    wait_running()
    scopes = podman("ps", "--all", "--quiet", "--no-trunc").split()
    check(before not in scopes, "the old container is gone")
    check(messages("-u", "baz.service").count("line-1") == 2, "each container's first line once")
    unit.stop()
    until("nothing to be left", lambda: expect_nothing_left(1) is None, 30)
    podman("rm", "--force", "--all", "--time", "0")
