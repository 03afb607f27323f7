# SPDX-License-Identifier: Apache-2.0
"""A service manager that takes its time, before the runtime is started: whoever ends the start, or has gone, is heard."""

import os
import signal
import socket
import threading

import host
from harness import check, contains, equal, scenario, wait_gone

BUS = "/run/bus"
TEXT = b"before the container was created"


class Bus:
    """Somebody who listens where the system bus should be: silent, or one who hangs up at once."""

    def __init__(self, hangs_up=False):
        host.run_directory()
        host.mount("cgroup", "/sys/fs/cgroup", "cgroup2")
        os.makedirs("/run/systemd/system")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(BUS)
        self.socket.listen(8)
        self.came = threading.Event()
        self.connections = []
        self.hangs_up = hangs_up
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.socket.accept()
            if self.hangs_up:
                connection.close()
            else:
                self.connections.append(connection)
            self.came.set()

    def monitor(self, a, words="hang", **options):
        """A monitor that is in no unit of its own, and wants a scope."""
        env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={BUS}", "SCOPEMON_PLACEMENT": None}
        return a.monitor(words, args=["-s"], env=env, **options)


def ask_silent_manager(a, **options):
    bus = Bus()
    m = bus.monitor(a, **options).start()
    check(bus.came.wait(10), "nobody has asked the manager")
    return bus, m


def check_nothing_made(m):
    check(not os.path.exists(m.runtime_record), "the runtime was started")
    equal(os.listdir(m.bundle), [], "bundle")


@scenario(quirk="asks no manager")
def start_is_ended_by_signals_while_the_manager_thinks(a):
    _bus, m = ask_silent_manager(a)
    os.kill(m.pid, signal.SIGUSR1)  # which would end nothing
    os.kill(m.pid, signal.SIGTERM)
    record = m.record()
    equal(record["data"], -1)
    contains(record["message"].encode(), TEXT)
    contains(record["message"].encode(), b"SIGTERM")
    wait_gone(m.pid)
    check_nothing_made(m)


@scenario(quirk="asks no manager")
def start_ends_with_its_caller_while_the_manager_thinks(a):
    _bus, m = ask_silent_manager(a)
    m.sync_channel.close()
    wait_gone(m.pid)
    check_nothing_made(m)


@scenario(quirk="asks no manager")
def caller_without_a_sync_pipe_may_go(a):
    bus = Bus()
    m = bus.monitor(a, "exit=4", sync=None).start()
    check(bus.came.wait(10), "nobody has asked the manager")
    os.kill(m.pid, signal.SIGWINCH)
    check(os.path.exists(f"/proc/{m.pid}"), "it has ended")
    bus.connections.pop().close()
    equal(m.end(), 4)


@scenario(quirk="asks no manager")
def container_starts_without_a_manager_that_hangs_up(a):
    bus = Bus(hangs_up=True)
    m = bus.monitor(a, "exit=4").start()
    check(m.record()["data"] > 0)
    check(bus.came.is_set(), "nobody has asked the manager")
    equal(m.end(), 4)


@scenario(quirk="asks no manager")
def exec_asks_no_manager(a):
    bus = Bus()
    a.file("process.json", b"{}")
    m = bus.monitor(a, "exit=4", mode="exec").start()
    equal(m.end(), 4)
    check(not bus.came.is_set(), "the manager was asked")


@scenario(quirk="asks no manager")
def container_starts_though_the_manager_never_answers(a):
    _bus, m = ask_silent_manager(a, words="exit=4")
    check(m.record(20)["data"] > 0)
    equal(m.end(), 4)
