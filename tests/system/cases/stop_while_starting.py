# SPDX-License-Identifier: Apache-2.0
"""A unit that is stopped, or ends, while its container is being started: it ends at once, is not started again, and
nothing is left."""

import os
import shutil
import signal

from harness import (Unit, check, check_equal, expect_nothing_left, monitors, note, quote, quietly, run, until,
                     variants)

FOLDER = "/run/slow"
PHASES = ["create-before", "create-waiting", "create-after", "start-before"]
# A runtime that waits at PHASE: it says so, and goes on when it is told to.
RUNTIME = f"""#!/bin/sh
phase=$(cat {FOLDER}/phase)
for word; do case $word in create|start) verb=$word; break;; esac; done
case $phase in
$verb-before|$verb-waiting)
        echo here >{FOLDER}/at; read go <{FOLDER}/go ;;
$verb-after)
        {shutil.which("runc")} "$@"; status=$?
        echo here >{FOLDER}/at; read go <{FOLDER}/go; exit $status ;;
esac
exec {shutil.which("runc")} "$@"
"""
PODMAN = ["/usr/bin/podman", "--runtime", f"{FOLDER}/runc", "run", "--rm", "--name", "baz", "--network=none"]
KINDS = {
    "bind": ([], ""),
    "bind_notify": (["-d", "--sdnotify=conmon"], "Type=notify\nNotifyAccess=all"),
    "nest": ([], "Delegate=yes"),
    "nest_notify": (["-d", "--sdnotify=conmon"], "Type=notify\nNotifyAccess=all\nDelegate=yes"),
    "split": (["-d", "--sdnotify=conmon", "--cgroups=split"], "Type=notify\nNotifyAccess=all\nDelegate=yes"),
}


def make_runtime():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)
    with open(f"{FOLDER}/runc", "w", encoding="utf-8") as f:
        f.write(RUNTIME)
    os.chmod(f"{FOLDER}/runc", 0o755)
    for fifo in ("at", "go"):
        os.mkfifo(f"{FOLDER}/{fifo}")


def set_phase(phase):
    with open(f"{FOLDER}/phase", "w", encoding="utf-8") as f:
        f.write(phase)


def go_on():
    """Let the runtime go on, if it has not been killed."""
    try:
        fd = os.open(f"{FOLDER}/go", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(fd, b"go\n")
    os.close(fd)


def jobs():
    return [line.split() for line in run("systemctl", "list-jobs", "--no-legend", "--full").splitlines()]


def stop_at(phase, unit):
    """Stop UNIT when its start has got to PHASE; for create-waiting the container's scope waits for that stop."""
    set_phase(phase)
    unit.systemctl("start", "--no-block", unit.name)
    with open(f"{FOLDER}/at", encoding="utf-8") as f:
        f.read()
    waiting = monitors() if phase == "create-waiting" and unit.alone else [] # else the stop makes them go on
    for pid in waiting:
        os.kill(pid, signal.SIGSTOP)
    unit.systemctl("stop", "--no-block", unit.name)
    until("the stop", lambda: quietly(unit.show, "ActiveState") != "activating" and quietly(unit.show, "SubState") != "running")
    go_on()
    if waiting and unit.bound:
        until("the scope to be asked for", lambda: any(".scope" in j[1] for j in quietly(jobs)))
    for pid in waiting:
        os.kill(pid, signal.SIGCONT)
    until(f"{unit.name} to end", lambda: quietly(unit.show, "ActiveState") in ("inactive", "failed"), within=20)
    go_on()
    check_equal([j for j in jobs() if j[1] == unit.name], [], f"{phase}: jobs")
    with open(f"{FOLDER}/starts", encoding="utf-8") as f:
        check_equal(f.read(), "once\n", f"{phase}: starts of the unit")
    os.unlink(f"{FOLDER}/starts")


SHORT = ["bind_mixed", "bind_notify_mixed", "bind_control_group"]
SETS = {f"{kind}_{mode}": {"kind": kind, "mode": mode} for kind in KINDS for mode in ("mixed", "control_group", "process")}


@variants("stop_while_starting", **{name + ("" if name in SHORT else "_long"): words for name, words in SETS.items()})
def stop_while_starting(kind, mode):
    """systemctl stop at each phase of the start."""
    make_runtime()
    options, more = KINDS[kind]
    words = [*PODMAN, *options, "localhost/alpine", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1 & wait $!; done"]
    unit = Unit("baz.service", f"""[Service]
ExecStartPre=/bin/sh -c 'echo once >>{FOLDER}/starts'
ExecStart={quote(*words)}
ExecStopPost=-/usr/bin/podman rm -f -t 0 --ignore baz
KillMode={mode.replace("_", "-")}
TimeoutStopSec=60
{more}
""")
    unit.bound, unit.alone = kind.startswith("bind"), mode != "control_group"
    for phase in PHASES:
        note(f"# {phase}")
        stop_at(phase, unit)
        set_phase("none")
        run("podman", "rm", "-f", "-t", "0", "--ignore", "baz")
        expect_nothing_left()
        run("systemctl", "reset-failed")
