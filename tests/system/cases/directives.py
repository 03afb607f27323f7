# SPDX-License-Identifier: Apache-2.0
"""Containers from each of a unit's commands: nothing waits for ever, no stop is cancelled, nothing is left but what was
detached."""

import shlex

from harness import OBEYS, Unit, check_equal, expect_nothing_left, quote, run, variants

FOREGROUND = "podman run --rm --name qux --network=none localhost/alpine true"
DETACHED = f"""podman run -d --rm --replace --name qux --network=none localhost/alpine sh -c {shlex.quote(OBEYS)} &&
exec podman exec qux sh -c 'until test -e /tmp/ready; do usleep 50000; done'"""

DIRECTIVES = {d: {"directive": d} for d in ("ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop",
                                            "ExecStopPost")}


@variants("container_from", **DIRECTIVES)
def container_from(directive):
    for delegate in (False, True):
        for script in (FOREGROUND, DETACHED):
            from_directive(directive, delegate, script)


def from_directive(directive, delegate, script):
    command = f"{directive}=/bin/sh -c {quote(script)}"
    main = "" if directive == "ExecStart" else "ExecStart=/bin/sleep infinity"
    unit = Unit("baz.service", f"""[Service]
Type={"exec" if main else "oneshot"}
RemainAfterExit=yes
{main}
{command}
{"Delegate=yes" if delegate else ""}
TimeoutStartSec=20
TimeoutStopSec=20
""")
    unit.start()
    check_equal(unit.show("ActiveState"), "active", "ActiveState after the start")
    if directive == "ExecReload":
        run("systemctl", "reload", "baz.service")
        check_equal(unit.show("ActiveState"), "active", "ActiveState after the reload")
    unit.stop() # fails if the job is cancelled
    check_equal(unit.show("ActiveState"), "inactive", "ActiveState after the stop")
    check_equal(unit.show("Result"), "success", "Result")
    if script == DETACHED and not delegate:
        check_equal(run("podman", "inspect", "--format", "{{.State.Status}}", "qux"), "running", "status afterwards")
        run("podman", "stop", "-t", "10", "qux")
    expect_nothing_left()
    run("podman", "rm", "--force", "--all", "--time", "0")
