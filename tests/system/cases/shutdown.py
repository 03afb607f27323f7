# SPDX-License-Identifier: Apache-2.0
"""A machine that is shut down: containers end first, by their stop signal, and say so; then their monitors."""

import os
import shlex

from cases import service_mode
from harness import (MONITOR, UNITS, Unit, case, cgroup_of, check_equal, exe_of, journal, messages, pids,
                     quote, run, service, session, shuts_down, until)

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
PAYLOAD = "trap 'sleep 0.3; echo last words; exit 0' TERM; echo first words; while true; do sleep 0.1 & wait $!; done"


def detached(name, options=()):
    return ["podman", "run", "-d", "--name", name, "--network=none", *options, "localhost/alpine", "sh", "-c", PAYLOAD]


def start_all():
    """Containers of all kinds; returns their names."""
    service(PAYLOAD, name="bound").start()
    service(PAYLOAD, name="nested", delegate=True).start()
    Unit("notify.service", "[Service]\nType=notify\nNotifyAccess=all\n"
         f"ExecStart=/usr/bin/{quote(*detached('notify', ['--sdnotify=conmon']))}\n").start()
    Unit("split.service", "[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed\n"
         f"ExecStart=/usr/bin/{quote(*detached('split', ['--sdnotify=conmon', '--cgroups=split']))}\n").start()
    Unit("always.service", "[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nTimeoutStopSec=25\n"
         f"ExecStart=/usr/bin/{quote(*detached('always', ['--sdnotify=conmon', '--restart=always']))}\n").start()
    for name, options in ("shell", []), ("own", ["--cgroups=no-conmon"]), ("shell-always", ["--restart=always"]):
        check_equal(session(shlex.join(detached(name, options)))[0], 0, "podman run from a shell")
    service_mode.make_bundle(PAYLOAD)
    service_mode.unit().start()
    return ["bound", "nested", "notify", "split", "always", "shell", "own", "shell-always", "baz"]


def said(name, text):
    return messages(f"CONTAINER_NAME={name}").count(text)


@case
@shuts_down
def shutdown_ends_containers_in_order():
    containers = start_all()
    for name in containers:
        until(f"{name} to run", lambda name=name: said(name, "first words"))
    # All that a shutdown does but for its very end, so that somebody is left to look.
    os.makedirs(f"{UNITS}/systemd-poweroff.service.d", exist_ok=True)
    with open(f"{UNITS}/systemd-poweroff.service.d/stay.conf", "w", encoding="utf-8") as f:
        f.write("[Unit]\nSuccessAction=none\n[Service]\nType=oneshot\nExecStart=/bin/true\nRemainAfterExit=yes\n")
    os.makedirs(f"{UNITS}/poweroff.target.d", exist_ok=True)
    with open(f"{UNITS}/poweroff.target.d/stay.conf", "w", encoding="utf-8") as f:
        f.write("[Unit]\nSuccessAction=none\nJobTimeoutAction=none\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "--no-block", "--job-mode=replace-irreversibly", "poweroff.target")
    until("the shutdown", lambda: "active" == run("systemctl", "show", "-P", "ActiveState", "poweroff.target"), within=60)
    for name in containers:
        check_equal((said(name, "first words"), said(name, "last words")), (1, 1), f"first and last words of {name}")
        ends = [e for e in journal(f"MESSAGE_ID={ENDED}") if e.get("SCOPEMON_CONTAINER_NAME") == name]
        check_equal([e.get("SCOPEMON_EXIT_STATUS") for e in ends], ["0"], f"the end of {name}, told by its monitor")
    left = [f"{p} in {cgroup_of(p)}" for p in pids() if exe_of(p) == MONITOR or "libpod" in cgroup_of(p)]
    check_equal(left, [], "processes")
    loaded = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "libpod*")
    check_equal(loaded, "", "scopes")
    killed = [m for m in messages("_PID=1") if isinstance(m, str) and ("SIGKILL" in m or "timed out" in m)
              and any(n in m for n in [*containers, "libpod"])]
    check_equal(killed, [], "what systemd had to kill")
