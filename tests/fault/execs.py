# SPDX-License-Identifier: Apache-2.0
"""Exec sessions hand their exit commands over while monitors are killed, upgraded, or end: each command runs once."""

import contextlib
import os
import secrets
import signal
import time

import harness
from tools import Area, Case, Killer, Skip, check, equal, is_alive, is_scopemon, link, poll_until, read_text, scenario
from upgrades import Upgrader, own_copy

PLACE = "/run/scopemon"
LATE = 300


def knows_container(pid):
    """Whether the session's monitor has found the container's mark: it holds the place in which that is."""
    with contextlib.suppress(OSError):
        return any(link(pid, f"fd/{fd}") == PLACE for fd in os.listdir(f"/proc/{pid}/fd"))
    return False


class Box:
    """A container, and sessions in it that count how often their exit commands have run."""

    def __init__(self, c: Case):
        if not is_scopemon():
            raise Skip("keeps the session's monitor until then")
        self.c, self.cid = c, secrets.token_hex(32)
        self.sessions, self.areas, self.monitor, self.gate = [], [], None, None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for m in self.sessions:
            m.sync_channel.close()
        for area in self.areas:
            area.remove()

    def start(self):
        """The container; or the same one again."""
        self.gate = f"gate-{secrets.token_hex(8)}"  # one that was opened stays open
        self.monitor = self.c.monitor(f"wait-file={self.c.area.path(self.gate)} exit=5", cid=self.cid, drop=["-n"],
                                      args=["-n", f"box-{self.cid[:12]}"])
        self.monitor.fifo(self.gate)
        self.monitor.start()
        self.monitor.target()
        poll_until(lambda: f"{self.cid}.{self.monitor.pid}" in self.left(), what="the container's mark")

    def session(self, delay):
        """One that ends at once; whatever becomes of its exit command goes on by itself."""
        area = Area()
        self.areas.append(area)
        m = area.monitor("exit=3", mode="exec", cid=self.cid, args=[
            "--exit-delay", str(delay), "--exit-command", "/bin/sh", "--exit-command-arg", "-c",
            "--exit-command-arg", f"echo >>{area.path('runs')}"]).start()
        self.sessions.append(m)
        return m

    def burst(self, n, delays=(LATE,)):
        """Sessions that run in the container, to their monitors' knowledge: what ends from now on ends under them."""
        for _ in range(n):
            self.session(self.c.random.choice(delays))
        self.meet()

    def meet(self):
        for m in self.sessions:
            poll_until(lambda m=m: not is_alive(m.pid) or knows_container(m.pid), what="the session to know its container")

    def left(self):
        """Files that are still there."""
        return [n for n in os.listdir(PLACE) if n.startswith(self.cid)] if os.path.isdir(PLACE) else []

    def end(self):
        self.monitor.release(self.gate)
        equal(self.monitor.end(60), 5, "status of the monitor")

    def runs(self, m):
        path = m.area.path("runs")
        return len(read_text(path)) if os.path.exists(path) else 0

    def settle(self, spared=(), repeats=0):
        """All is over: each command has run once, those of SPARED sessions at most, and there is nothing left. Who is killed
        between the start of a command and the end of its record cannot prevent that the next one runs it: REPEATS."""
        for m in self.sessions:
            poll_until(lambda m=m: not is_alive(m.pid), 60, "the session's monitor to be gone")
        for m in self.sessions:
            if m not in spared:
                poll_until(lambda m=m: self.runs(m), 60, "an exit command")
        repeated = sum(max(0, self.runs(m) - 1) for m in self.sessions)
        check(repeated <= repeats, f"{repeated} exit commands have run twice")
        poll_until(lambda: not self.left(), 10, "nothing to be left")
        return {"sessions": len(self.sessions), "lost": 0, "repeated": repeated}


@scenario()
def exec_commands_under_upgrades_and_killed_workers(c: Case):
    """Commands are handed over and run while the container's monitor is replaced and its workers die."""
    path = own_copy(c)
    with Box(c) as box:
        killer = Killer(c, box.monitor, c.kills, slow=0.1)
        upgrader = Upgrader(c, box.monitor, path, 8)
        while upgrader.is_alive():
            box.burst(3, (1, 2, LATE))
        kills, counts = killer.stop(), upgrader.counts()
        box.end()
        return {**box.settle(), **counts, "kills": kills}


@scenario(weight=3)
def exec_sessions_killed_while_they_hand_over(c: Case):
    """A command is lost with its session's monitor at most, never run twice, and the others go on."""
    with Box(c) as box:
        killed = []
        for _ in range(2 * c.kills):
            m = box.session(c.random.choice((1, LATE)))
            if c.random.random() < 0.5:
                time.sleep(c.random.uniform(0, 0.03))
                if is_alive(m.pid) and link(m.pid, "exe") == os.path.realpath(harness.MONITOR):
                    os.kill(m.pid, signal.SIGKILL)
                    killed.append(m)
        box.meet()
        box.end()
        return {**box.settle(killed), "session_kills": len(killed)}


@scenario(weight=3)
def exec_commands_of_killed_monitors(c: Case):
    """The container's monitor is killed with all of its unit, again and again: the next one runs what it had taken."""
    with Box(c) as box:
        rounds = max(2, c.kills // 3)
        for _ in range(rounds):
            box.burst(c.random.randrange(1, 5))
            time.sleep(c.random.uniform(0, 0.03))
            for pid in [*harness.descendants(box.monitor.pid), box.monitor.pid]:
                os.kill(pid, signal.SIGKILL)
            box.monitor.end()
            poll_until(lambda: not is_alive(box.monitor.target()), what="the container's end")
            box.start()
        box.end()
        return {**box.settle(repeats=4 * rounds), "monitor_kills": rounds} # four commands run at once


@scenario()
def exec_commands_of_a_monitor_that_nobody_follows(c: Case):
    """The container's monitor is killed with all of its unit: that of another container runs what it had taken."""
    with Box(c) as box:
        box.burst(4)
        for m in box.sessions:
            poll_until(lambda m=m: not is_alive(m.pid), 60, "the session's monitor to be gone")
        for pid in [*harness.descendants(box.monitor.pid), box.monitor.pid]:
            os.kill(pid, signal.SIGKILL)
        box.monitor.end()
        poll_until(lambda: not is_alive(box.monitor.target()), what="the container's end")
        with Box(c) as other:
            result = box.settle()
            other.end()
        return result


@scenario(weight=3)
def exec_commands_when_the_container_ends(c: Case):
    """It ends at any time of the handing over."""
    total = 0
    for _ in range(max(2, c.kills // 3)):
        with Box(c) as box:
            box.burst(c.random.randrange(1, 6), (1, LATE))
            time.sleep(c.random.uniform(0, 0.03))
            box.end()
            total += box.settle()["sessions"]
    return {"sessions": total, "lost": 0, "repeated": 0}
