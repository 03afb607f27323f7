# SPDX-License-Identifier: Apache-2.0
"""Containers that dump core."""

import json
import os
import resource
import signal

from cases.soft_reboot import attribute, expect_support
from harness import MONITOR, Skip, case, cgroup_of, check, check_equal, command, inspect, journal, podman, service, until, variants, wait_running

ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
RECEIVE = "user.coredump_receive"
# Signals do not end process 1 of a PID namespace, faults do.
FAULTS = ["/bin/busybox", "chroot", "/host", "/usr/bin/python3", "-c", "import ctypes; ctypes.string_at(0)"]


def kernel_dumps():
    """Whether a process that dies as the container's does leaves a core: that is for the kernel's core_pattern to say."""
    pid = os.fork()
    if pid == 0:
        os.chdir("/tmp")
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(pid, 0)[1])


def how_it_ended(*match):
    entry, = until("the entry on its end", lambda: journal(f"MESSAGE_ID={ENDED}", *match))
    return entry


@variants("core_dump_is_told", yes={"limit": "-1"}, no={"limit": "0"})
def core_dump_is_told(limit):
    """The journal and explain tell it, as systemd tells it of its own services."""
    if "scopemon" not in MONITOR:
        raise Skip("says nothing of an end")
    if not kernel_dumps():
        raise Skip("the kernel writes no core")
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        dumps = limit != "0" or f.read(1) == "|" # a program gets the core whatever the limit is
    others = [f"--ulimit={name}=1024:1024" for name in ("nofile", "nproc")] # Podman 4.3 raises them above ours beside any other
    podman("run", "-d", "--name", "baz", "--network=none", "-v", "/:/host", f"--ulimit=core={limit}", *others, "localhost/alpine",
           *FAULTS)
    entry = how_it_ended("SCOPEMON_CONTAINER_NAME=baz")
    check_equal(entry["MESSAGE"], "Container baz was killed by SIGSEGV" + (", dumped core" if dumps else ""), "MESSAGE")
    check_equal((entry["SCOPEMON_EXIT_SIGNAL"], entry["SCOPEMON_CORE_DUMPED"]), ("11", "yes" if dumps else "no"), "fields")
    check_equal(inspect("baz", "State.ExitCode"), "139", "Podman's status")
    status, said, _ = command(MONITOR, "explain", "baz")
    check_equal(status, 3, "it does not run")
    check(f"killed by SIGSEGV{', dumped core' if dumps else ''} after" in said, said)
    check_equal(json.loads(command(MONITOR, "explain", "--json=short", "baz")[1])[0]["end"]["core_dumped"], dumps, "JSON")


@case
def core_dump_is_received_by_the_unit():
    """What systemd says on the unit's cgroup holds for what we make below it, as the program that it is for may ask there."""
    expect_support("CoredumpReceive=")
    unit = service(delegate=True, more="CoredumpReceive=yes")
    unit.start()
    wait_running()
    groups = unit.show("ControlGroup"), cgroup_of(inspect("baz", "State.Pid")), cgroup_of(inspect("baz", "State.ConmonPid"))
    check_equal(len(set(groups)), 3, "cgroups")
    until("the attribute on all", lambda: [attribute(group, RECEIVE) for group in groups] == [b"1"] * 3)
