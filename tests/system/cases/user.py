# SPDX-License-Identifier: Apache-2.0
"""Units of an ordinary user's manager, with rootless Podman: the same promises as for root."""

import functools
import os
import pwd

from cases.lines import LINES, PAYLOAD
from cases.unit import PLACED
from compare import USER, as_user, make_user, own_unit
from harness import (CASES, MONITOR, OBEYS, Unit, check, check_equal, exe_of, expect_nothing_left, forget_containers,
                     journal, names, own_kernel, quietly, run, scope_of, service, tree, until, variants)

BOTH = {"delegate": {"delegate": True}, "nodelegate": {"delegate": False}}


def podman(*argv):
    return run(*as_user(USER), "podman", *argv)


def wait_running():
    """Wait until baz runs; return its full ID."""
    def running():
        status, identity = podman("inspect", "--type=container", "--format", "{{.State.Status}} {{.Id}}", "baz").split()
        return status == "running" and identity

    return until("container baz to run", lambda: quietly(running))


def user_service(payload, delegate, **options):
    own_unit(USER)
    make_user(USER)
    user = pwd.getpwnam(USER)
    folder = f"{user.pw_dir}/.config/systemd/user"
    run(*as_user(USER), "mkdir", "-p", folder)
    manager = f"/user.slice/user-{user.pw_uid}.slice/user@{user.pw_uid}.service"
    make = functools.partial(Unit, systemctl=[*as_user(USER), "systemctl", "--user"], folder=folder,
                             slice=f"{manager}/app.slice")
    return service(payload, delegate=delegate, make=make, **options), manager


@variants("user_placement", **BOTH)
def user_placement(delegate):
    unit, manager = user_service(OBEYS, delegate)
    unit.start()
    container = wait_running()
    found = until("the container's processes", lambda: is_placed(unit, manager, container, delegate))
    supervisor = {os.path.basename(exe_of(p)) for p in found["/supervisor" if delegate else "/"]}
    check_equal(supervisor, {"podman", os.path.basename(MONITOR)}, "programs beside the container")
    status = unit.systemctl("status", "--no-pager", "--full", "--lines=0", "baz")
    check(f"libpod-payload-{container}" in status if delegate else scope_of(container) in status, "systemctl status")
    if not delegate:
        bound = unit.systemctl("show", "-P", "StopPropagatedFrom", scope_of(container))
        check_equal(bound, "baz.service", "StopPropagatedFrom of the scope")
    told = [e for e in journal("_SYSTEMD_USER_UNIT=baz.service") if e.get("MESSAGE_ID") == PLACED]
    check_equal([e.get("SCOPEMON_PLACEMENT") for e in told], ["nest" if delegate else "bind"], "placements")
    check_equal(podman("exec", "baz", "echo", "inside"), "inside", "podman exec")
    podman("stop", "-t", "10", "baz")
    unit.expect_result()
    expect_nothing_left()


def is_placed(unit, manager, container, delegate):
    """The unit's tree, once the container's two processes are where they belong."""
    found = unit.tree()
    payload = found.get(f"/libpod-payload-{container}", []) if delegate else \
        [p for members in tree(f"{manager}/user.slice/{scope_of(container)}").values() for p in members]
    check_equal(names(payload), ["sh", "sleep"], "processes of the container")
    return found


@variants("user_stop_leaves_nothing", **BOTH)
def user_stop_leaves_nothing(delegate):
    """By stop five times, and by SIGKILL to all."""
    unit, _ = user_service(OBEYS, delegate, stop="-t 10")
    for _ in range(5):
        unit.start()
        wait_running()
        podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do usleep 50000; done")
        unit.stop()
        check_equal(podman("ps", "--all", "--quiet"), "", "what podman ps knows of")
        unit.expect_result()
        expect_nothing_left()
    unit.start()
    wait_running()
    unit.kill()
    expect_nothing_left(within=20)
    unit.wait_for("failed")
    forget_containers(*as_user(USER))
    unit.start()
    wait_running()
    unit.stop()


@variants("user_journal_every_line_once", **BOTH)
def user_journal_every_line_once(delegate):
    unit, _ = user_service(PAYLOAD, delegate)
    unit.start()
    unit.expect_result()
    said = [e.get("MESSAGE") for e in journal("_SYSTEMD_USER_UNIT=baz.service")]
    numbered = [m for m in said if isinstance(m, str) and m.startswith("numbered")]
    check_equal(numbered, [f"numbered {i + 1}" for i in range(LINES)], "numbered lines")
    for text in ("on standard error", "without an end"):
        check_equal(said.count(text), 1, f"number of times that {text!r} is there")


# With Podman 4.3 that takes a kernel that has cgroup v2 only.
for _name in [n for n in CASES if n.startswith("user_")]:
    CASES[f"{_name}_vm"] = own_kernel(lambda promise=CASES[_name]: promise())
