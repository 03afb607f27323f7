# SPDX-License-Identifier: Apache-2.0
"""Rootless Podman outside of units, the wishes that placement takes, and the corners of a delegated unit."""

import pwd
import shlex

from cases.unit import PLACED
from cases.user import user_service
from compare import USER, as_user, make_user, own_unit
from harness import (OBEYS, Skip, case, cgroup_of, check, check_equal, command, expect_nothing_left, forget_containers,
                     journal, run, scope_of, service, session, until, variants, wait_running)

MISCONFIGURED = "d4778fe9538641568ca7c9e539e1fdfe" # SCOPEMON_MESSAGE_MISCONFIGURED
ALONE = "lonely" # a user without a manager
RUN = ["podman", "run", "--rm", "--network=none"]
HI = ["localhost/alpine", "echo", "hi"]


def without_session(name):
    """As sudo -u NAME does it: no XDG_RUNTIME_DIR, no bus address."""
    words = as_user(name)
    return [w for w in words if not w.startswith("XDG_RUNTIME_DIR=")]


@case
def user_shell_without_session():
    """The bus is found by the user's number, since the manager runs (linger)."""
    make_user(USER)
    manager = f"/user.slice/user-{pwd.getpwnam(USER).pw_uid}.slice/user@{pwd.getpwnam(USER).pw_uid}.service"
    words = without_session(USER)
    container = run(*words, "podman", "run", "-d", "--name=baz", "--network=none", "localhost/alpine", "sh", "-c", OBEYS)
    monitor, pid = run(*words, "podman", "inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", "baz").split()
    check_equal(cgroup_of(monitor), f"{manager}/user.slice/libpod-conmon-{container}.scope", "cgroup of the monitor")
    check_equal(cgroup_of(pid), f"{manager}/user.slice/{scope_of(container)}", "cgroup of the container")
    check_equal(run(*words, "podman", "exec", "baz", "echo", "inside"), "inside", "podman exec")
    run(*words, "podman", "stop", "-t", "10", "baz")
    expect_nothing_left()
    forget_containers(*words)


@case
def user_without_manager():
    """The container runs, and one entry says what is missing and which command helps."""
    make_user(USER) # an image to copy
    if command("id", ALONE)[0] != 0:
        run("useradd", "--create-home", ALONE)
        home = pwd.getpwnam(ALONE).pw_dir
        run("mkdir", "-p", f"{home}/.config")
        run("cp", "-r", f"{pwd.getpwnam(USER).pw_dir}/.config/containers", f"{home}/.config/")
        run("chown", "-R", f"{ALONE}:", home)
        run(*without_session(ALONE), "podman", "import", "-q", "/usr/local/share/alpine.tar", "localhost/alpine:latest")
    check_equal(run(*without_session(ALONE), *RUN, *HI).splitlines()[-1], "hi", "output")
    uid = pwd.getpwnam(ALONE).pw_uid
    told = until("the entry", lambda: [e for e in journal(f"_UID={uid}") if e.get("MESSAGE_ID") == MISCONFIGURED])
    check_equal([e["SCOPEMON_REMEDY"] for e in told], [f"loginctl enable-linger {uid}"], "the remedy")
    expect_nothing_left()


WISHES = {"auto": None, "caller": None, "scope": None, "unit": "placement \"unit\" was requested, but",
          "bogus": "must be auto, unit, scope or caller"}


def need_environment(annotation):
    if not annotation and run("podman", "--version").split()[-1].startswith("4.3."):
        raise Skip("Podman 4.3 gives the monitor an environment of its own")


@variants("placement_wish", annotation={"annotation": True}, environment={"annotation": False})
def placement_wish(annotation):
    """A wish that cannot be met is an error of podman run, in words."""
    need_environment(annotation)
    for wish, refusal in WISHES.items():
        words = [*RUN, f"--annotation=io.scopemon.placement={wish}", *HI] if annotation else \
                ["env", f"SCOPEMON_PLACEMENT={wish}", *RUN, *HI]
        status, out, err = session(shlex.join(words))
        if refusal:
            check(status != 0 and refusal in err, f"{wish}: status {status}, {err}")
        else:
            check_equal((status, out), (0, "hi\n"), f"{wish}: status and output")
    expect_nothing_left()


@variants("placement_wish_user", annotation={"annotation": True}, environment={"annotation": False})
def placement_wish_user(annotation):
    need_environment(annotation)
    make_user(USER)
    for wish, refusal in WISHES.items():
        words = [*RUN, f"--annotation=io.scopemon.placement={wish}", *HI] if annotation else \
                ["env", f"SCOPEMON_PLACEMENT={wish}", *RUN, *HI]
        status, out, err = command(*as_user(USER), *words)
        if refusal:
            check(status != 0 and refusal in err, f"{wish}: status {status}, {err}")
        else:
            check_equal((status, out.splitlines()[-1:]), (0, ["hi"]), f"{wish}: status and output")
    expect_nothing_left()


@variants("placement_wish_scope_in_delegated_unit", plain={})
def wish_scope_in_delegated_unit():
    service(OBEYS, delegate=True, options=["--annotation=io.scopemon.placement=scope"]).start()
    container = wait_running()
    pid = run("podman", "inspect", "--format", "{{.State.Pid}}", "baz")
    check(scope_of(container) in cgroup_of(pid), f"cgroup of the container: {cgroup_of(pid)}")


def systemd_version():
    return int(run("systemctl", "--version").split()[1].split(".")[0])


@variants("delegate_subgroup", system={"user": False}, user={"user": True})
def delegate_subgroup(user):
    """The main process starts in a group of its own already, and nobody has to be moved."""
    if systemd_version() < 254:
        raise Skip("no DelegateSubgroup=")
    more = "DelegateSubgroup=supervisor"
    unit = user_service(OBEYS, True, more=more)[0] if user else service(OBEYS, delegate=True, more=more)
    unit.start()
    words = as_user(USER) if user else []
    container = until("the container", lambda: run(*words, "podman", "ps", "--quiet", "--no-trunc", "--filter=name=baz"))
    until("its processes", lambda: sorted(unit.tree()) == [f"/libpod-payload-{container}", "/supervisor"])
    field = "_SYSTEMD_USER_UNIT" if user else "_SYSTEMD_UNIT"
    told = [e for e in journal(f"{field}=baz.service") if e.get("MESSAGE_ID") == PLACED]
    check_equal([e.get("SCOPEMON_PLACEMENT") for e in told], ["nest"], "placements")
    unit.stop()
    expect_nothing_left()


@variants("control_process", system={"user": False}, user={"user": True})
def control_process(user):
    """ExecStartPost= of a delegated unit runs in UNIT/.control: its container is nested, and stopped with the unit."""
    own_unit(user)
    if user:
        make_user(USER)
    words = as_user(USER) if user else []
    more = "ExecStartPost=/usr/bin/podman run -d --rm --name side --network=none localhost/alpine " \
           "sh -c \"trap exit TERM; sleep 1000 & wait\""
    unit = user_service(OBEYS, True, more=more)[0] if user else service(OBEYS, delegate=True, more=more)
    unit.start()
    side = run(*words, "podman", "ps", "--quiet", "--no-trunc", "--filter=name=side")
    pid = run(*words, "podman", "inspect", "--format", "{{.State.Pid}}", "side")
    check(cgroup_of(pid).endswith(f"/baz.service/libpod-payload-{side}"), f"cgroup of the container: {cgroup_of(pid)}")
    unit.stop()
    expect_nothing_left()
    forget_containers(*words)
