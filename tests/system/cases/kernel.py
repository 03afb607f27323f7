# SPDX-License-Identifier: Apache-2.0
"""What takes a kernel of its own: memory and pids controllers in cgroup v2, and the right to lower oom_score_adj."""

import os

from harness import (CGROUPS, MONITOR, OBEYS, case, cgroup_of, check, check_equal, expect_nothing_left,
                     forget_containers, inspect, journal, monitors, own_kernel, podman, service, until, variants,
                     wait_running, worker_of)

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
RUNTIMES = {"crun": {"runtime": "crun"}, "runc": {"runtime": "runc"}}
WAITS = "until test -e /tmp/go; do usleep 100000; done; "


def limited(runtime, payload, limits):
    """A unit whose container waits for /tmp/go and then does PAYLOAD; it is not removed at its end."""
    unit = service(WAITS + payload, delegate=True, options=["--runtime", runtime, "--rm=false"], more=limits)
    unit.start()
    container = wait_running(within=60)
    where = cgroup_of(inspect("baz", "State.Pid"))
    check(where.startswith(f"/system.slice/baz.service/libpod-payload-{container}"), f"the container is in {where}")
    check_equal(os.path.basename(inspect("baz", "OCIRuntime")), runtime, "runtime")
    return unit


def let_go():
    podman("exec", "baz", "touch", "/tmp/go")


def limit_of(unit, file):
    with open(f"{CGROUPS}{unit.cgroup}/{file}", encoding="utf-8") as f:
        return f.read().strip()


def ended():
    """The monitor's entry on how the container ended."""
    return next((e for e in journal("-u", "baz") if e.get("MESSAGE_ID") == ENDED), None)


def over(unit):
    unit.wait_for("failed", within=60)
    forget_containers()
    expect_nothing_left()


@variants("memory_max_binds", **RUNTIMES)
@own_kernel
def memory_max_binds(runtime):
    """Podman needs some 50 MiB, and is in the unit, too."""
    unit = limited(runtime, "dd if=/dev/zero of=/dev/null bs=400M count=1",
                   "OOMPolicy=continue\nMemoryMax=200M\nMemorySwapMax=0")
    check_equal(limit_of(unit, "memory.max"), str(200 << 20), "memory.max of the unit")
    let_go()
    until("the end of the container", lambda: inspect("baz", "State.Status") == "exited", within=60)
    check_equal(inspect("baz", "State.ExitCode"), "137", "ExitCode")
    if "scopemon" in MONITOR:
        check_equal(inspect("baz", "State.OOMKilled"), "true", "OOMKilled")
        entry = until("the monitor's entry", ended)
        check_equal(entry.get("SCOPEMON_OOM"), "yes", "SCOPEMON_OOM")
    unit.wait_for("failed", within=60)
    check_equal(unit.show("ExecMainStatus"), "137", "ExecMainStatus")
    over(unit)


@variants("memory_max_ends_unit", crun={"runtime": "crun"})
@own_kernel
def memory_max_ends_unit(runtime):
    """With OOMPolicy=stop the unit's manager sees the kill in the unit's group, and ends it."""
    unit = limited(runtime, "dd if=/dev/zero of=/dev/null bs=400M count=1; sleep 1000",
                   "OOMPolicy=stop\nMemoryMax=200M\nMemorySwapMax=0")
    let_go()
    unit.wait_for("failed", within=60)
    check_equal(unit.show("Result"), "oom-kill", "Result")
    over(unit)


@variants("tasks_max_binds", **RUNTIMES)
@own_kernel
def tasks_max_binds(runtime):
    unit = limited(runtime, "i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 1000 & done; echo no limit; exit 0",
                   "TasksMax=100")
    check_equal(limit_of(unit, "pids.max"), "100", "pids.max of the unit")
    let_go()
    until("the end of the container", lambda: inspect("baz", "State.Status") == "exited", within=60)
    said = journal("-u", "baz", output="cat")
    check("can't fork" in said and "no limit" not in said, f"fork did not fail: {said}")
    check(inspect("baz", "State.ExitCode") != "0", "ExitCode 0")
    over(unit)


@case
@own_kernel
def oom_scores():
    """The kernel spares the monitor; the container has the score of the one who started it."""
    unit = service(OBEYS, more="OOMScoreAdjust=123")
    unit.start()
    wait_running(within=60)
    monitor, = monitors()
    both = [monitor, worker_of(monitor)] if "scopemon" in MONITOR else [monitor]
    check_equal([score_of(p) for p in both], ["-1000"] * len(both), "oom_score_adj of the monitor")
    check_equal(score_of(inspect("baz", "State.Pid")), "123", "oom_score_adj of the container")
    unit.stop()
    forget_containers()
    expect_nothing_left()


def score_of(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as f:
        return f.read().strip()
