# SPDX-License-Identifier: Apache-2.0
"""Podman's containers whose monitor was killed with all that was in its unit: nobody has seen how they ended."""

from compare import USER, as_user, make_user, own_unit
from harness import MONITOR, Skip, check, check_equal, command, quietly, run, until, variants


@variants("lost_container", paused={"paused": True}, running={}, next_monitor={"paused": True, "by_verb": False},
          started={"paused": True, "start": True}, user={"user": True})
def lost_container(paused=False, by_verb=True, start=False, user=False):
    """Podman waits for an exit file for ever; "scopemon end" writes it, and so does the next monitor that is started."""
    if "scopemon" not in MONITOR:
        raise Skip("has no such command")
    if user:
        own_unit(USER)
        make_user(USER)
    prefix = as_user(USER) if user else []
    manager = ["--user"] if user else []

    def podman(*argv):
        return run(*prefix, "podman", *argv)

    def state():
        return podman("inspect", "--type=container", "--format", "{{.State.Status}}", "baz").strip()

    run(*prefix, "systemd-run", *manager, "--unit=lost", "-p", "Delegate=yes", "podman", "run", "--name=baz", "--network=none",
        "localhost/alpine", "sleep", "1000")
    until("container baz to run", lambda: quietly(state) == "running")
    check(command(*prefix, MONITOR, "end", "baz")[0] == 1, "the end of a container that runs is told")
    if paused:
        podman("pause", "baz")
    run(*prefix, "systemctl", *manager, "kill", "-s", "KILL", "lost")
    until("the unit's end", lambda: quietly(command, *prefix, "systemctl", *manager, "is-active", "lost")[1].strip() in ("failed", "inactive"))
    if by_verb:
        run(*prefix, MONITOR, "end", "baz")
    else:
        podman("run", "--rm", "--network=none", "localhost/alpine", "true")
    if start:
        podman("start", "baz")
        check_equal(state(), "running", "after podman start")
    podman("rm", "-f", "-t", "1", "baz")
    check_equal(podman("ps", "-a", "--format", "{{.Names}}").strip(), "", "containers that are left")
