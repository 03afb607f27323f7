# SPDX-License-Identifier: Apache-2.0
"""Service mode where controllers are real: the limits of oci@NAME.service bind the container."""

import time

from cases.kernel import ENDED
from cases.service_units import Here, expect_gone
from harness import CGROUPS, check, check_equal, journal, own_kernel, until, variants

RUNTIMES = {"crun": {"runtime": "/usr/bin/crun"}, "runc": {"runtime": "/usr/sbin/runc"},
         "user": {"runtime": "/usr/bin/crun", "user": True}}
# The container has no file to wait for that we could make: it waits for a signal.
WAITS = "trap 'go=1' USR1; echo hello; while test -z \"$go\"; do usleep 100000; done; "
CONTAINER = "/libpod-payload-scopemon-baz"


def started(here, payload, more):
    """The unit with the lines MORE, and its cgroup; its container waits for let_go()."""
    here.bundle(WAITS + payload)
    unit = here.unit(more)
    unit.start()
    until("its first line", lambda: "hello" in here.lines(), within=60)
    return unit, unit.show("ControlGroup")


def let_go(unit):
    unit.systemctl("kill", "--kill-whom=main", "-s", "USR1", unit.name)


def content(group, file):
    with open(f"{CGROUPS}{group}/{file}", encoding="utf-8") as f:
        return f.read().strip()


def value_in(group, file, key):
    return int(dict(line.split() for line in content(group, file).splitlines())[key])


def ended(here, unit):
    """The monitor's entry on how the container ended."""
    found = [e for e in journal(f"{here.field}={unit.name}") if e.get("MESSAGE_ID") == ENDED]
    return found[0] if found else None


@variants("service_memory_max", **RUNTIMES)
@own_kernel
def service_memory_max(runtime, user=False):
    """It is the container that the kernel kills, and unit and journal say so."""
    here = Here(user, runtime)
    unit, group = started(here, "exec dd if=/dev/zero of=/dev/null bs=400M count=1",
                          "MemoryMax=100M\nMemorySwapMax=0\nOOMPolicy=continue")
    check_equal(content(group, "memory.max"), str(100 << 20), "memory.max of the unit")
    main = unit.show("MainPID")
    let_go(unit)
    unit.expect_result("exit-code")
    check_equal(unit.show("ExecMainPID"), main, "the main process")
    check_equal(unit.show("ExecMainStatus"), "137", "the container's status is the unit's")
    entry = until("the monitor's entry", lambda: ended(here, unit))
    check_equal((entry.get("SCOPEMON_OOM"), entry.get("SCOPEMON_EXIT_SIGNAL")), ("yes", "9"), "how it ended")
    check("out of memory" in entry["MESSAGE"], entry["MESSAGE"])
    expect_gone(group)


@variants("service_memory_max_stops", **RUNTIMES)
@own_kernel
def service_memory_max_stops(runtime, user=False):
    """OOMPolicy=stop: systemd itself says that it was for lack of memory, whichever process was killed for it."""
    here = Here(user, runtime)
    unit, group = started(here, "dd if=/dev/zero of=/dev/null bs=400M count=1; trap 'exit 0' TERM; while true; do sleep 1; done",
                          "MemoryMax=100M\nMemorySwapMax=0\nOOMPolicy=stop")
    let_go(unit)
    unit.expect_result("oom-kill")
    entry = until("the monitor's entry", lambda: ended(here, unit))
    check_equal(entry.get("SCOPEMON_OOM"), "yes", "whether memory ran out")
    expect_gone(group)


@variants("service_tasks_max", **RUNTIMES)
@own_kernel
def service_tasks_max(runtime, user=False):
    here = Here(user, runtime)
    unit, group = started(here, "i=0; while [ $i -lt 100 ]; do i=$((i+1)); sleep 1000 & done; echo no limit; exit 0", "TasksMax=40")
    check_equal(content(group, "pids.max"), "40", "pids.max of the unit")
    let_go(unit)
    unit.expect_result("exit-code")
    said = [m for m in here.lines() if isinstance(m, str)]
    check(any("can't fork" in m for m in said) and "no limit" not in said, f"fork did not fail: {said}")
    expect_gone(group)


@variants("service_cpu_quota", **RUNTIMES)
@own_kernel
def service_cpu_quota(runtime, user=False):
    here = Here(user, runtime)
    unit, group = started(here, "while true; do :; done", "CPUQuota=20%\nKillSignal=SIGTERM\nTimeoutStopSec=9")
    check_equal(content(group, "cpu.max"), "20000 100000", "cpu.max of the unit")
    let_go(unit)
    throttled = value_in(group, "cpu.stat", "nr_throttled")
    until("it to be held back", lambda: value_in(group, "cpu.stat", "nr_throttled") > throttled + 10, within=60)
    begin, used = time.monotonic(), value_in(group + CONTAINER, "cpu.stat", "usage_usec")
    until("more of it", lambda: value_in(group, "cpu.stat", "nr_throttled") > throttled + 40, within=60)
    share = (value_in(group + CONTAINER, "cpu.stat", "usage_usec") - used) / (time.monotonic() - begin) / 1e6
    check(0.05 < share < 0.3, f"the container had {share:.2f} of a CPU")
    unit.stop()
    expect_gone(group)
