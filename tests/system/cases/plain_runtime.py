# SPDX-License-Identifier: Apache-2.0
"""A runtime that knows no annotations for the scope it makes: the monitor makes the scope, and binds it."""

import os
import shlex
import shutil

from cases import service_mode
from cases.user import user_service
from compare import USER, as_user, own_unit
from harness import (CGROUPS, MONITOR, OBEYS, case, cgroup_of, check, check_equal, expect_nothing_left,
                     forget_containers, inspect, messages, own_kernel, podman, run, scope_of, service, session, show,
                     tree, until, variants, wait_running)

PROGRAM = "/usr/local/bin/other-runtime"
CALLS = "/tmp/other-runtime.calls"
# runc under another name, deaf to annotations: with --systemd-cgroup it would make a scope that nothing binds.
PLAIN = """#!/bin/sh
echo "$*" >>{calls}
case " $* " in *" features "*) exit 1;; *" --systemd-cgroup "*) echo "asked for a scope" >&2; exit 1;; esac
{more}
exec {runtime} "$@"
"""
# A wrapper, as there are for special hardware: it passes everything on.
WRAPPER = """#!/bin/sh
echo "$*" >>{calls}
exec {runtime} "$@"
"""


def make_runtime(text=PLAIN, more="", runtime="runc"):
    """PROGRAM, as words for podman, which knows it by its name from then on."""
    os.makedirs("/etc/containers/containers.conf.d", exist_ok=True)
    with open("/etc/containers/containers.conf.d/other-runtime.conf", "w", encoding="utf-8") as f:
        f.write(f'[engine.runtimes]\n{os.path.basename(PROGRAM)} = ["{PROGRAM}"]\n')
    with open(CALLS, "w", encoding="utf-8"):
        pass
    os.chmod(CALLS, 0o666)
    with open(PROGRAM, "w", encoding="utf-8") as f:
        f.write(text.format(calls=CALLS, more=more, runtime=shutil.which(runtime)))
    os.chmod(PROGRAM, 0o755)
    return ["--runtime", os.path.basename(PROGRAM)]


def calls():
    with open(CALLS, encoding="utf-8") as f:
        return f.read().splitlines()


def expect_bound(scope, unit, ask=("systemctl",)):
    def value(what):
        return run(*ask, "show", "-P", what, scope)

    check_equal(value("StopPropagatedFrom"), unit, "StopPropagatedFrom")
    check(unit in value("Before").split(), "Before")
    check_equal(value("Description"), "Container baz", "Description")
    check_equal(value("Documentation").strip('"'), "man:scopemon(8)", "Documentation")
    check_equal(value("CollectMode"), "inactive-or-failed", "CollectMode")
    check_equal(value("TimeoutStopUSec"), "10s", "TimeoutStopUSec")
    check_equal(value("Delegate"), "yes", "Delegate")


@case
def plain_runtime_unit():
    """All that the placement "bind" promises, and podman's verbs."""
    unit = service(OBEYS, options=make_runtime(), stop="-t 10")
    for _ in range(3):
        unit.start()
        container = wait_running()
        scope = scope_of(container)
        expect_bound(scope, "baz.service")
        check_equal(show(scope, "Slice"), "machine.slice", "Slice")
        pid = inspect("baz", "State.Pid")
        check_equal(cgroup_of(pid), f"/machine.slice/{scope}/container", "cgroup of the container")
        check_equal(inspect("baz", "State.CgroupPath"), f"/machine.slice/{scope}", "CgroupPath")
        until("only the container to be there", lambda: sorted(tree(f"/machine.slice/{scope}")) == ["/container"])
        check(not [c for c in calls() if "--systemd-cgroup" in c], f"calls of the runtime: {calls()}")
        podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do usleep 50000; done")
        podman("top", "baz")
        until("a line", lambda: "line-1" in messages("-u", scope))
        unit.stop()
        unit.expect_result()
        expect_nothing_left()
    unit.start()
    wait_running()
    unit.kill()
    expect_nothing_left(within=20)
    unit.wait_for("failed")
    forget_containers()
    unit.start()
    wait_running()
    podman("kill", "baz")
    unit.wait_for("failed")


@case
def plain_runtime_restart():
    unit = service(OBEYS, options=[*make_runtime(), "--replace"])
    unit.start()
    first = wait_running()
    unit.restart()
    until("another container", lambda: wait_running() != first)
    unit.stop()
    expect_nothing_left()


@case
def plain_runtime_shell():
    """From a shell: the container's scope is described, and stopped before that of its monitor."""
    runtime = make_runtime()
    for options in [], ["--cgroups=no-conmon"]:
        status, out, err = session(shlex.join(["podman", *runtime, "run", "-d", "--name=baz", "--network=none", *options,
                                               "localhost/alpine", "sh", "-c", OBEYS]))
        check_equal(status, 0, f"podman run: {out}{err}")
        container = wait_running()
        scope = scope_of(container)
        check_equal(show(scope, "Description"), "Container baz", "Description")
        check(f"libpod-conmon-{container}.scope" in show(scope, "After").split(), "After")
        check_equal(cgroup_of(inspect("baz", "State.Pid")), f"/machine.slice/{scope}/container", "cgroup")
        run("systemctl", "stop", scope) # by its name, as anybody may
        until("the end", lambda: inspect("baz", "State.Status") == "exited")
        podman("rm", "baz")
        expect_nothing_left()


@case
def plain_runtime_user():
    own_unit(USER)
    unit, manager = user_service(OBEYS, False, options=make_runtime(), stop="-t 10")
    unit.start()
    words = as_user(USER)
    container = until("the container", lambda: run(*words, "podman", "ps", "--quiet", "--no-trunc", "--filter=name=baz"))
    expect_bound(scope_of(container), "baz.service", [*words, "systemctl", "--user"])
    pid = run(*words, "podman", "inspect", "--format", "{{.State.Pid}}", "baz")
    check_equal(cgroup_of(pid), f"{manager}/user.slice/{scope_of(container)}/container", "cgroup of the container")
    check_equal(run(*words, "podman", "exec", "baz", "echo", "inside"), "inside", "podman exec")
    unit.stop()
    expect_nothing_left()
    unit.start()
    until("the container", lambda: run(*words, "podman", "ps", "--quiet", "--filter=name=baz"))
    unit.kill()
    expect_nothing_left(within=20)
    forget_containers(*words)


@case
def plain_runtime_that_fails():
    """Nothing stays of a scope that was made for nothing, and its name is free."""
    more = "case \" $* \" in *\" create \"*) echo 'the moon is in the way' >&2; exit 3;; esac"
    status, _, err = session(shlex.join(["podman", *make_runtime(more=more), "run", "--rm", "--network=none",
                                         "localhost/alpine", "true"]))
    check(status != 0 and "the moon is in the way" in err, f"status {status}: {err}")
    expect_nothing_left()


@case
def wrapped_runtime_makes_its_scope():
    """A wrapper of a runtime that knows annotations is asked, and left to it."""
    unit = service(OBEYS, options=make_runtime(WRAPPER))
    unit.start()
    scope = scope_of(wait_running())
    check_equal(show(scope, "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    check_equal([c for c in calls() if c == "features"], ["features"], "questions")
    check([c for c in calls() if "--systemd-cgroup" in c], f"calls of the runtime: {calls()}")
    unit.stop()
    expect_nothing_left()


@case
def plain_runtime_service_mode():
    """--placement=scope of service mode is the same thing."""
    service_mode.make_bundle()
    make_runtime()
    unit = service_mode.unit("Delegate=no\nSuccessExitStatus=3")
    unit.rewrite(service_mode.UNIT.format(bundle=service_mode.BUNDLE, runtime=f"{PROGRAM} --placement=scope",
                                          more="Delegate=no\nSuccessExitStatus=3"))
    unit.start()
    until("its first lines", lambda: "tick-1" in messages("-u", "baz.service"))
    expect_bound("oci-baz.scope", "baz.service")
    check_equal(sorted(tree("/machine.slice/oci-baz.scope")), ["/container"], "groups of the scope")
    check_equal(messages("OBJECT_SYSTEMD_UNIT=oci-baz.scope").count("hello"), 1, "its lines under its scope")
    unit.stop()
    unit.expect_result()
    check_equal(messages("-u", "baz.service").count("got-term"), 1, "stop signals")
    until("its cgroup to go", lambda: not os.path.exists(f"{CGROUPS}/machine.slice/oci-baz.scope"))


@variants("plain_runtime_limits", crun={"runtime": "crun"}, runc={"runtime": "runc"})
@own_kernel
def plain_runtime_limits(runtime):
    """The container's own limits bind it, and systemd counts it."""
    payload = "until test -e /tmp/go; do usleep 100000; done; dd if=/dev/zero of=/dev/null bs=400M count=1"
    unit = service(payload, options=[*make_runtime(runtime=runtime), "--memory=64m", "--memory-swap=64m",
                                     "--pids-limit=100", "--rm=false"])
    unit.start()
    scope = scope_of(wait_running(within=60))
    group = f"{CGROUPS}/machine.slice/{scope}"
    for file, value in {"memory.max": str(64 << 20), "pids.max": "100"}.items():
        with open(f"{group}/container/{file}", encoding="utf-8") as f:
            check_equal(f.read().strip(), value, file)
    check(int(show(scope, "MemoryCurrent")) > 0 and int(show(scope, "TasksCurrent")) > 0, "what systemd counts")
    podman("exec", "baz", "touch", "/tmp/go")
    until("the end of the container", lambda: inspect("baz", "State.Status") == "exited", within=60)
    check_equal(inspect("baz", "State.ExitCode"), "137", "ExitCode")
    if "scopemon" in MONITOR:
        check_equal(inspect("baz", "State.OOMKilled"), "true", "OOMKilled")
    unit.wait_for("failed", within=60)
    forget_containers()
    expect_nothing_left()
