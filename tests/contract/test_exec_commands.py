# SPDX-License-Identifier: Apache-2.0
"""Exit commands of exec sessions that are due later: the container's monitor runs them, and nothing of the session stays."""

import os
import secrets
import signal
import subprocess
import time

from harness import MONITOR, RUNTIME, Area, check, descendants, equal, is_alive, poll_until, read_text, scenario, wait_path

PLACE = "/run/scopemon"


class Sessions:
    """A container that waits for its gate, and sessions in it; each has its own directories."""

    def __init__(self, a):
        self.area, self.cid = a, secrets.token_hex(32)
        self.areas = []
        self.container = None
        self.start()

    def start(self):
        """The container, or the same one again."""
        self.container = self.area.monitor(f"wait-file={self.area.path('gate')} exit=0", cid=self.cid)
        self.container.fifo("gate")
        self.container.start()
        poll_until(lambda: f"{self.cid}.{self.container.pid}" in self.left(), what="the container's mark")

    def end(self):
        self.container.release("gate")
        equal(self.container.end(), 0)

    def upgrade(self):
        done = subprocess.run([MONITOR, "upgrade", str(self.container.pid)], capture_output=True, check=False, timeout=30)
        equal(done.returncode, 0, done.stderr.decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for area in self.areas:
            for m in area.monitors:
                m.sync_channel.close()
            area.remove()

    def begin(self, delay, words):
        area = Area()
        self.areas.append(area)
        return area.monitor(words.format(gate=area.path("gate")), mode="exec", cid=self.cid, exit_command=True, args=["--exit-delay", str(delay)])

    def run(self, delay):
        m = self.begin(delay, "exit=3").start()
        equal([m.record()["data"], m.record()["data"]], [m.target(), 3])
        return m

    def left(self):
        """Files that are still there."""
        return [n for n in os.listdir(PLACE) if n.startswith(self.cid)] if os.path.isdir(PLACE) else []


def names(pid, text):
    try:
        return text in read_text(f"/proc/{pid}/cmdline")
    except OSError:
        return False


def expect_to_be_gone(m):
    poll_until(lambda: not is_alive(m.pid), seconds=5, what="the session's monitor to be gone")
    mine = [p for p in descendants(os.getpid()) if names(p, m.area.bundle.encode())]
    equal(mine, [], "processes of the session")


def has_run(m):
    return os.path.exists(m.exit_record)


@scenario(quirk="keeps the session's monitor until then")
def exec_sessions_leave_nothing_but_their_exit_command(a):
    with Sessions(a) as sessions:
        all_of_them = [sessions.run(300) for _ in range(10)]
        for m in all_of_them:
            expect_to_be_gone(m)
        check(not any(has_run(m) for m in all_of_them), "an exit command has run early")
        sessions.end()
        for m in all_of_them:
            equal(m.exit_command_saw()["argv"], [RUNTIME.encode(), b"cleanup"])
        equal(sessions.left(), [])


@scenario(quirk="keeps the session's monitor until then")
def exec_command_runs_when_it_is_due(a):
    with Sessions(a) as sessions:
        begun = time.monotonic()
        m = sessions.run(1)
        expect_to_be_gone(m)
        other = sessions.run(300)
        wait_path(m.exit_record)
        check(time.monotonic() - begun >= 1, "the exit command has run early")
        expect_to_be_gone(other)
        check(not has_run(other), "the other one has run early")
        check(is_alive(sessions.container.pid), "the container's monitor is gone")


@scenario(quirk="keeps the session's monitor until then")
def exec_commands_outlive_an_upgrade(a):
    with Sessions(a) as sessions:
        early, late = sessions.run(2), sessions.run(300)
        expect_to_be_gone(late)
        sessions.upgrade()
        wait_path(early.exit_record)
        check(not has_run(late), "the other one has run early")
        sessions.end()
        wait_path(late.exit_record)
        equal(sessions.left(), [])


@scenario(quirk="keeps the session's monitor until then")
def exec_session_keeps_what_nobody_takes(a):
    """And the next ones are taken again, also by another image."""
    with Sessions(a) as sessions:
        early = sessions.run(300)
        expect_to_be_gone(early)
        os.kill(sessions.container.pid, signal.SIGSTOP)
        m = sessions.run(1)
        wait_path(m.exit_record)
        poll_until(lambda: not is_alive(m.pid), what="the session's monitor to be gone")
        os.kill(sessions.container.pid, signal.SIGCONT)
        os.unlink(m.exit_record)
        expect_to_be_gone(sessions.run(300))
        os.kill(sessions.container.pid, signal.SIGSTOP)
        wait_path(sessions.run(1).exit_record)
        os.kill(sessions.container.pid, signal.SIGCONT)
        sessions.upgrade()
        expect_to_be_gone(sessions.run(300))
        sessions.end()
        check(not has_run(m), "the exit command has run twice")
        wait_path(early.exit_record)
        equal(sessions.left(), [])


@scenario(quirk="keeps the session's monitor until then")
def exec_session_that_ends_with_its_container_does_not_stay(a):
    with Sessions(a) as sessions:
        m = sessions.begin(300, "wait-file={gate} exit=3")
        m.fifo("gate")
        m.start()
        equal(m.record()["data"], m.target())
        sessions.end()
        m.release("gate")
        equal(m.record()["data"], 3)
        wait_path(m.exit_record)
        expect_to_be_gone(m)
        equal(sessions.left(), [])


@scenario(quirk="keeps the session's monitor until then")
def exec_commands_of_a_killed_monitor_are_run_by_the_next_one(a):
    with Sessions(a) as sessions:
        m = sessions.run(300)
        expect_to_be_gone(m)
        for pid in [sessions.container.pid, *descendants(sessions.container.pid)]:
            os.kill(pid, signal.SIGKILL)
            poll_until(lambda pid=pid: not is_alive(pid), what="its end")
        sessions.container.end()  # nobody's zombie
        exit_file = f"{a.exits}/{sessions.cid}"
        sessions.start()
        check(not os.path.exists(exit_file), "the container that runs has an exit file")
        check(not has_run(m), "the exit command has run early")
        expect_to_be_gone(sessions.run(300))
        sessions.end()
        wait_path(m.exit_record)
        equal(sessions.left(), [])
