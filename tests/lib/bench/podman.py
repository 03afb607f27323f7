# SPDX-License-Identifier: Apache-2.0
"""What monitors cost under a real Podman: this runs in a machine of tests/machine, asked by machines.py.

Each function measures one monitor once and returns {row: value}. As a program it reads requests, one JSON array
[metric, monitor, quick] a line, and answers each with a line: {"values": {...}} or {"trouble": TEXT}.

A unit's environment (INVOCATION_ID) keeps Podman from moving the monitor to a scope of its own, as in any service; a
shell's has none. The time of a command ends with the command. Its CPU time is that of the whole machine (cpu.stat of
its cgroup) until the monitor is gone: Podman, runtime, service manager and journal are included, since what a monitor
asks of others is part of its price.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from .metrics import Metric, at_most, below
from .stage import Trouble, cpu_seconds, memory, monitor_processes, poll_until, private_heap, processes_of, wait_end

METRICS = []
IMAGE = "localhost/alpine"
SIDE_BY_SIDE = 20
MEMORY = at_most({"bookworm": 1.15, "trixie": 1.05, "sid": 1})
HEAP = below(16)
FROM_UNIT = {"INVOCATION_ID": "0123456789abcdef0123456789abcdef"}


def metric(rows, rounds, quick_rounds):
    """Registers a function; rows as in metrics.py, a goal's limit may be {suite: limit}."""
    def decorate(function):
        METRICS.append(Metric(function.__name__, function, rows, rounds, quick_rounds))
        return function

    return decorate


def podman(monitor, *words, unit=False):
    """The seconds that podman WORDS takes, as from a shell or a unit, and what it prints."""
    env = {k: v for k, v in os.environ.items() if k not in ("INVOCATION_ID", "JOURNAL_STREAM")}
    argv = ["podman", "--conmon", monitor, *words]
    with tempfile.TemporaryFile("w+") as out:  # a pipe could be held open by those that remain
        begin = time.monotonic()
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              env={**env, **(FROM_UNIT if unit else {})}) as process:
            wait_end(process.pid)
            seconds = time.monotonic() - begin
        out.seek(0)
        said = out.read().strip()
    if process.returncode != 0:
        raise Trouble(f"{' '.join(argv)}: {said or process.returncode}")
    return seconds, said


def wait_quiet(monitor):
    """Wait until no process of the monitor is left, so that its exit command does not run into what follows."""
    poll_until(lambda: not processes_of(monitor), "the end of all monitors")


def monitor_of(name):
    return int(podman("/usr/bin/conmon", "inspect", "--format", "{{.State.ConmonPid}}", name)[1])


# --- lives ---

def run_rm(monitor, unit):
    cpu = cpu_seconds()
    seconds, _ = podman(monitor, "run", "--rm", "--network=none", IMAGE, "true", unit=unit)
    wait_quiet(monitor)
    return seconds * 1000, (cpu_seconds() - cpu) * 1000


@metric([("run_rm", "podman run --rm, from a shell", "ms", at_most(1)),
         ("run_rm_cpu", "  CPU of the whole machine", "ms", None)], 60, 15)
def run_rm_shell(monitor, quick):
    seconds, cpu = run_rm(monitor, False)
    return {"run_rm": seconds, "run_rm_cpu": cpu}


@metric([("run_rm_unit", "podman run --rm, in a unit", "ms", at_most(1)),
         ("run_rm_unit_cpu", "  CPU of the whole machine", "ms", None)], 60, 15)
def run_rm_unit(monitor, quick):
    seconds, cpu = run_rm(monitor, True)
    return {"run_rm_unit": seconds, "run_rm_unit_cpu": cpu}


@metric([("run_d", "podman run -d, until it returns", "ms", at_most(1)),
         ("exec", "podman exec CONTAINER true", "ms", at_most(1)),
         ("stop", "podman stop, with SIGKILL", "ms", at_most(1)),
         ("life_cpu", "  CPU of the whole machine for these three", "ms", None)], 30, 8)
def lives(monitor, quick):
    name, cpu = "bench", cpu_seconds()
    try:
        run_d = podman(monitor, "run", "-d", "--name", name, "--network=none", "--stop-signal=KILL", IMAGE, "sleep",
                       "1000")[0]
        session = podman(monitor, "exec", name, "true")[0]
        stop = podman(monitor, "stop", name)[0]
        wait_quiet(monitor)
        cpu = cpu_seconds() - cpu
    finally:
        podman(monitor, "rm", "--force", "--ignore", "--time=0", name)
    return {"run_d": run_d * 1000, "exec": session * 1000, "stop": stop * 1000, "life_cpu": cpu * 1000}


# --- memory ---

def crowd(monitor, driver):
    """Memory of one monitor of many idle ones, in KiB: PSS, page tables, and the private heap of keeper and worker."""
    names = [f"bench{i}" for i in range(SIDE_BY_SIDE)]
    try:
        for name in names:
            podman(monitor, "run", "-d", "--name", name, "--network=none", f"--log-driver={driver}", IMAGE,
                   "sleep", "1000")
        time.sleep(1)  # what they give back after the start
        groups = [monitor_processes(monitor_of(name)) for name in names]
        found = [[(*memory(p), private_heap(p)) for p in pids] for pids in groups]
    finally:
        podman(monitor, "rm", "--force", "--ignore", "--time=0", *names)
        wait_quiet(monitor)
    flat = [values for group in found for values in group]
    pss, tables = (sum(values[i] for values in flat) / SIDE_BY_SIDE for i in (0, 1))
    heaps = [sum(group[i][2] for group in found) / SIDE_BY_SIDE for i in range(min(map(len, found)))]
    return pss, tables, heaps + [None]


@metric([("memory", "idle container, 20 side by side: PSS + page tables", "KiB", MEMORY),
         ("memory_pss", "  PSS", "KiB", None), ("memory_pte", "  page tables", "KiB", None),
         ("heap_keeper", "  private heap of the keeper", "KiB", HEAP),
         ("heap_worker", "  private heap of the worker", "KiB", HEAP)], 3, 1)
def memory_file(monitor, quick):
    pss, tables, heaps = crowd(monitor, "k8s-file")
    return {"memory": pss + tables, "memory_pss": pss, "memory_pte": tables, "heap_keeper": heaps[0],
            "heap_worker": heaps[1]}


@metric([("memory_journald", "the same with journald: PSS + page tables", "KiB", MEMORY),
         ("heap_keeper_journald", "  private heap of the keeper", "KiB", HEAP),
         ("heap_worker_journald", "  private heap of the worker", "KiB", HEAP)], 3, 1)
def memory_journald(monitor, quick):
    pss, tables, heaps = crowd(monitor, "journald")
    return {"memory_journald": pss + tables, "heap_keeper_journald": heaps[0], "heap_worker_journald": heaps[1]}


# --- the agent ---

def answer(name, monitor, quick):
    function = next(m.function for m in METRICS if m.name == name)
    try:
        return {"values": function(monitor, quick)}
    except Trouble as e:
        return {"trouble": str(e)}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
