# SPDX-License-Identifier: Apache-2.0
"""Another binary in the place of the monitor that runs, on a real host: Podman, and a unit of its own."""

import os
import re
import shutil
import subprocess

from cases.service_mode import BUNDLE, make_bundle, unit
from harness import case, check, check_equal, inspect, messages, podman, run, show, until

INSTALLED = "/usr/local/bin/scopemon"
MONITOR = "/usr/local/bin/own-scopemon"
COUNT = "trap 'exit 7' TERM; i=0; while true; do i=$((i+1)); echo line-$i; sleep 0.01 & wait $!; done"


def install():
    """A copy that can be replaced; the one installed is mounted there."""
    shutil.copy2(INSTALLED, MONITOR)


def replace():
    """As a package manager does."""
    with open(INSTALLED, "rb") as f:
        data = f.read()
    with open(MONITOR + ".new", "wb") as f:
        f.write(data + os.urandom(8).hex().encode())
    os.chmod(MONITOR + ".new", 0o755)
    os.rename(MONITOR + ".new", MONITOR)


def check_lines(text):
    """Numbered lines from 1 on, each once."""
    numbers = [int(n) for n in re.findall(r"^line-(\d+)\r?$", text, re.M)]
    check_equal(numbers, list(range(1, len(numbers) + 1)), "lines")
    return len(numbers)


def told(text, *match):
    return any(text in str(message) for message in messages(*match))


@case
def upgrade_keeps_podmans_container_and_its_client():
    install()
    podman("--conmon", MONITOR, "run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", COUNT)
    pid, container = inspect("baz", "State.ConmonPid"), inspect("baz", "State.Pid")
    with open("/tmp/attached", "wb") as out:
        with subprocess.Popen(["podman", "attach", "--no-stdin", "--sig-proxy=false", "baz"], stdout=out) as client:
            until("the client to be served", lambda: os.path.getsize("/tmp/attached") > 100)
            for _ in range(3):
                replace()
                said = run(INSTALLED, "upgrade", "baz")
                check("upgraded: output was delayed by" in said, said)
            check_equal(inspect("baz", "State.ConmonPid"), pid, "the monitor's pid")
            check_equal(inspect("baz", "State.Pid"), container, "the container's pid")
            before = os.path.getsize("/tmp/attached")
            until("the client to be served on", lambda: os.path.getsize("/tmp/attached") > before + 100)
            check_equal(podman("exec", "baz", "echo", "still-here").strip(), "still-here", "exec")
            podman("stop", "--time", "5", "baz")
            client.wait(10)
    check_equal(inspect("baz", "State.ExitCode"), "7", "exit code")
    n = check_lines(podman("logs", "baz"))
    with open("/tmp/attached", encoding="utf-8") as f:
        got = [int(x) for x in re.findall(r"^line-(\d+)\r?$", f.read(), re.M)]
    check_equal(got, list(range(got[0], got[0] + len(got))), "lines of the client")
    check(n >= got[-1], f"{n} lines logged, the client saw {got[-1]}")
    check(told("was upgraded from", "SCOPEMON_CONTAINER_NAME=baz"), "the journal tells it")
    podman("rm", "baz")


@case
def upgrade_refused_changes_nothing():
    install()
    podman("--conmon", MONITOR, "run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sh", "-c", COUNT)
    with open(MONITOR + ".new", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho not this one >&2; exit 1\n")
    os.chmod(MONITOR + ".new", 0o755)
    os.rename(MONITOR + ".new", MONITOR)
    done = subprocess.run([INSTALLED, "upgrade", "--all"], capture_output=True, text=True, check=False)
    check_equal(done.returncode, 1, "status")
    check("not this one" in done.stderr, done.stderr)
    check(told("was not upgraded", "SCOPEMON_CONTAINER_NAME=baz"), "the journal tells it")
    podman("stop", "--time", "5", "baz")
    check_equal(inspect("baz", "State.ExitCode"), "7", "exit code")
    check_lines(podman("logs", "baz"))
    podman("rm", "baz")


@case
def upgrade_by_reload_of_a_service():
    install()
    make_bundle(COUNT)
    unit(f"ExecStart=\nExecStart={MONITOR} --service --bundle {BUNDLE} --name baz --runtime {shutil.which('runc')}\nExecReload={MONITOR} upgrade $MAINPID")
    run("systemctl", "start", "baz.service")
    until("its first line", lambda: "line-1" in messages("-u", "baz.service"))
    pid = show("baz.service", "MainPID")
    replace()
    run("systemctl", "reload", "baz.service")
    check_equal(show("baz.service", "MainPID"), pid, "main process")
    check_equal(show("baz.service", "ActiveState"), "active", "state")
    check(told("was upgraded from", "-u", "baz.service"), "the journal tells it")
    run("systemctl", "stop", "baz.service")
    check_equal(show("baz.service", "ExecMainStatus"), "7", "the container's status is the unit's")
    check_lines("\n".join(x for x in messages("-u", "baz.service") if x.startswith("line-")))
