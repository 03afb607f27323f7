# SPDX-License-Identifier: Apache-2.0
"""Containers that live through a soft reboot into another root file system, with whatever is going on."""

import os
import shutil
import subprocess

from cases.soft_reboot import PAYLOAD, SURVIVES, container_pid, expect_support, let_scopes_survive, monitor_pid, numbers, soft_reboot, stay_alive
from harness import MONITOR, Skip, Unit, case, check, check_equal, inspect, journal, messages, note, podman, quote, run, shuts_down, until

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
ROOT = "/run/nextroot"


def make_root():
    """The root of the next system: a changed one, with a monitor of its own and /var as it is."""
    for path in ROOT, "/run/next/upper", "/run/next/work":
        os.makedirs(path)
    run("mount", "-t", "overlay", "-o", "lowerdir=/,upperdir=/run/next/upper,workdir=/run/next/work", "overlay", ROOT)
    for path in "/var", "/var/lib/containers":
        run("mount", "--bind", path, ROOT + path)
    with open(f"{ROOT}/etc/is-another", "w", encoding="ascii"):
        pass
    shutil.copy(MONITOR, ROOT + MONITOR)


def unit_of(name, payload, *options):
    command = ["podman", "run", "--name", name, "--network=none", *options, "localhost/alpine", "sh", "-c", payload]
    unit = Unit(f"{name}.service", f"{SURVIVES}[Service]\nDelegate=yes\nKillMode=mixed\nSuccessExitStatus=7\n"
                f"ExecStart=/usr/bin/{quote(*command)}\n")
    unit.start()
    return unit


class Client:
    """A process whose lines end in a number."""

    def __init__(self, *words):
        self.path = f"/run/client-{words[1]}"
        with open(self.path, "w", encoding="ascii") as f:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.DEVNULL)

    def seen(self):
        with open(self.path, encoding="ascii") as f:
            return [int(line.split()[-1]) for line in f.read().splitlines(keepends=True) if line.endswith("\n")]

    def check_goes_on(self, n):
        until(f"more in {self.path}", lambda: self.seen()[-1] > n)
        check_equal(self.seen(), list(range(self.seen()[0], self.seen()[-1] + 1)), f"numbers in {self.path}")


@case
@shuts_down
def soft_reboot_into_changed_root():
    """Attached clients and exec sessions go on, an end in the middle of it is told, and the monitor becomes that of the new root."""
    expect_support()
    if "scopemon" not in MONITOR:
        raise Skip("is killed")
    stay_alive()
    let_scopes_survive() # that of the session's monitor
    os.makedirs("/run/shared")
    baz = unit_of("baz", PAYLOAD, "--health-cmd=true", "--health-interval=disable")
    unit_of("mid", "until test -e /shared/go; do usleep 20000; done; echo bye; exit 7", "-v", "/run/shared:/shared")
    Unit("go.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/usr/bin/touch /run/shared/go\n").start()
    until("both containers", lambda: numbers("baz") and inspect("mid", "State.Running") == "true")
    mid = inspect("mid", "Id")
    attached, session = Client("podman", "attach", "baz"), Client("podman", "exec", "baz", "sh", "-c", PAYLOAD)
    until("lines of clients", lambda: attached.seen() and session.seen())
    before = container_pid("baz"), monitor_pid("baz")
    make_root()
    soft_reboot()
    check(os.path.exists("/etc/is-another"), "this is the other root")
    check_equal((container_pid("baz"), monitor_pid("baz")), before, "processes")
    last = numbers("baz")[-1]
    until("more lines", lambda: numbers("baz")[-1] > last)
    for client in attached, session:
        client.check_goes_on(client.seen()[-1])
    podman("healthcheck", "run", "baz")

    # "stopped": its unit has ended, too, so its exit command may have been killed with what is left of that
    until("the end of who has ended meanwhile", lambda: inspect("mid", "State.Status") in ("exited", "stopped"))
    check_equal(inspect("mid", "State.ExitCode"), "7", "its status")
    check_equal([e.get("SCOPEMON_EXIT_STATUS") for e in journal(f"MESSAGE_ID={ENDED}", f"SCOPEMON_CONTAINER_ID={mid}")], ["7"], "its end")
    check("bye" in messages("CONTAINER_NAME=mid"), "its last line")

    check(not os.path.samefile(f"/proc/{before[1]}/exe", MONITOR), "the monitor is still the old one")
    note(run(MONITOR, "upgrade", "baz"))
    check_equal(monitor_pid("baz"), before[1], "the monitor after its upgrade")
    check(os.path.samefile(f"/proc/{before[1]}/exe", MONITOR), "the monitor is that of the new root")
    for client in attached, session:
        client.check_goes_on(client.seen()[-1])
    baz.stop()
    for client in attached, session:
        client.process.wait(timeout=30)
    check_equal(podman("ps", "-q"), "", "containers that run")
