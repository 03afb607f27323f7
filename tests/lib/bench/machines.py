# SPDX-License-Identifier: Apache-2.0
"""Machines of tests/machine as places to measure in, with podman.py as the agent inside."""

import functools
import json
import os
import subprocess

from . import podman
from .metrics import Metric
from .stage import TOP, Trouble

SUITES = ["bookworm", "trixie", "sid"]
STOCK = "/usr/bin/conmon"  # in a machine that of its suite
LIB, MONITORS = "/opt/scopemon-bench/lib", "/opt/scopemon-bench/monitor"


class Machine:
    """One machine with the monitors in it, and the agent; a context manager."""

    def __init__(self, suite, monitors):
        self.suite = suite
        self.name = f"bench-{os.getpid()}-{suite}"
        self.inside = {m: m if m == STOCK else f"{MONITORS}{i}/{os.path.basename(m)}" for i, m in enumerate(monitors)}
        self.agent = None

    def __enter__(self):
        binds = [f"{m}:{inside}" for m, inside in self.inside.items() if m != inside]
        self._tool("up", self.name, self.suite, f"{TOP}/tests/lib:{LIB}", *binds)
        words = ["run", self.name, "env", f"PYTHONPATH={LIB}", "python3", "-B", "-m", "bench.podman"]
        self.agent = subprocess.Popen([f"{TOP}/tests/machine", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        return self

    def __exit__(self, *_):
        if self.agent:
            self.agent.communicate()
        self._tool("down", self.name)

    def _tool(self, *words):
        done = subprocess.run([f"{TOP}/tests/machine", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Trouble(f"tests/machine {' '.join(words)}: {done.stdout.strip()}")

    def measure(self, metric, _place, monitor, quick):
        """Have the agent measure; return {row: value}."""
        try:
            self.agent.stdin.write(json.dumps([metric, self.inside[monitor], quick]) + "\n")
            self.agent.stdin.flush()
        except BrokenPipeError:
            pass  # the empty line says it
        line = self.agent.stdout.readline()
        if not line:
            raise Trouble(f"the agent in {self.name} has ended")
        result = json.loads(line)
        if "trouble" in result:
            raise Trouble(result["trouble"])
        return result["values"]

    def metrics(self):
        """Those of podman.py, measured in this machine, with the goals of its suite."""
        return [Metric(m.name, functools.partial(self.measure, m.name), [self._row(*row) for row in m.rows], m.rounds,
                       m.quick_rounds) for m in podman.METRICS]

    def _row(self, name, title, unit, goal):
        if goal and isinstance(goal[2], dict):
            goal = (*goal[:2], goal[2][self.suite])
        return name, title, unit, goal
