# SPDX-License-Identifier: Apache-2.0
"""--restart= in a unit that is being stopped: the container stays as it ended, the stop is quick, its result is right."""

import shlex

from harness import (Unit, case, cgroup_of, check, check_equal, command, inspect, journal, messages, podman, quote, run, session, until,
                     variants, wait_running)

NOT_RESTARTED = "d430f0e15ce345f689481deaa1341b88" # SCOPEMON_MESSAGE_NOT_RESTARTED of scopemon/protocol.h
PAYLOAD = "trap 'echo last words; exit {status}' TERM; echo up; while true; do sleep 0.2 & wait $!; done"
NOTIFY = "Type=notify\nNotifyAccess=all\n"
KINDS = {
    "nested": (NOTIFY + "Delegate=yes", ["--sdnotify=conmon"]),
    "bound": (NOTIFY, ["--sdnotify=conmon"]),
    "split": (NOTIFY + "Delegate=yes\nKillMode=mixed", ["--sdnotify=conmon", "--cgroups=split"]),
    "mixed": (NOTIFY + "Delegate=yes\nKillMode=mixed", ["--sdnotify=conmon"]),
    "subgroup": (NOTIFY + "Delegate=yes\nDelegateSubgroup=inner", ["--sdnotify=conmon"]),
    "compose": ("Type=oneshot\nRemainAfterExit=yes\nDelegate=yes", []),
    "forking": ("Type=forking\nPIDFile=/run/baz.pid", ["--conmon-pidfile=/run/baz.pid"]),
}
POLICIES = ["always", "unless-stopped", "on-failure"]


def make(more, options, policy, status=3):
    words = ["run", "-d", "--replace", f"--restart={policy}", *options, "--name", "baz", "--network=none", "localhost/alpine",
             "sh", "-c", PAYLOAD.format(status=status)]
    return Unit("baz.service", f"[Service]\nExecStart=/usr/bin/podman {quote(*words)}\nTimeoutStopSec=20\n"
                f"SuccessExitStatus=3\n{more}\n")


def ups():
    return [str(m).rstrip() for m in messages("CONTAINER_NAME=baz")].count("up")


@variants("restart_policy_ends_with_the_unit", **{k: {"more": m, "options": o} for k, (m, o) in KINDS.items()})
def restart_policy_ends_with_the_unit(more, options):
    for i, policy in enumerate(POLICIES):
        unit = make(more, options, policy)
        unit.start()
        wait_running()
        until("its first line", lambda: ups() == i + 1)
        unit.stop(timeout=15) # well before TimeoutStopSec=
        unit.expect_result()
        check_equal((inspect("baz", "State.Status"), inspect("baz", "State.ExitCode")), ("exited", "3"), "what is left")
        check_equal(ups(), i + 1, "starts")
        told = [e["SCOPEMON_CONTAINER_NAME"] for e in journal(f"MESSAGE_ID={NOT_RESTARTED}")]
        check_equal(told, ["baz"] * (i + 1), "entries that say so")


@case
def restart_policy_holds_while_the_unit_runs():
    """A container that ends by itself is restarted, in its unit, as often as it likes."""
    unit = make(*KINDS["compose"], "always") # with no main process, which would end with each monitor
    unit.start()
    wait_running()
    for i in range(2):
        until("its first line", lambda: ups() == i + 1) # pylint: disable=cell-var-from-loop
        command("podman", "exec", "baz", "kill", "-TERM", "1") # which may end with the container
    until("another start", lambda: ups() == 3)
    check(inspect("baz", "State.Status") == "running", "it runs")
    check_equal(journal(f"MESSAGE_ID={NOT_RESTARTED}"), [], "refusals")
    inside = cgroup_of(int(inspect("baz", "State.ConmonPid"))).startswith(unit.cgroup + "/") # Podman 4.3 has moved it
    unit.stop(timeout=15)
    check_equal(inspect("baz", "State.Status"), "exited" if inside else "running", "what is left")


@case
def restart_policy_ends_with_the_monitors_scope():
    """A container from a shell, whose scope is stopped: it is not restarted into a scope that is going down."""
    check_equal(session("podman run -d --restart=always --name baz --network=none localhost/alpine sh -c "
                        f"{shlex.quote(PAYLOAD.format(status=3))}")[0], 0, "podman run")
    container = wait_running()
    until("its first line", lambda: ups() == 1)
    run("systemctl", "stop", f"libpod-conmon-{container}.scope", timeout=15)
    until("its end", lambda: inspect("baz", "State.Status") == "exited")
    check_equal(ups(), 1, "starts")


@case
def restart_policy_survives_a_stop_of_the_unit():
    """The next start finds it as it was left, and so does podman start."""
    unit = make(*KINDS["nested"], "always")
    for i in range(2):
        unit.start()
        wait_running()
        until("its first line", lambda: ups() == i + 1) # pylint: disable=cell-var-from-loop
        unit.stop(timeout=15)
    podman("start", "baz")
    wait_running()
    until("its first line", lambda: ups() == 3)
    run("podman", "stop", "-t", "5", "baz")
