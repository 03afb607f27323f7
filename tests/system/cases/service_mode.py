# SPDX-License-Identifier: Apache-2.0
"""Service mode: an OCI bundle as a unit of its own, with no container manager."""

import json
import os
import shutil
import subprocess

from harness import Unit, case, cgroup_of, check, check_equal, messages, podman, run, show, until

BUNDLE = "/var/lib/oci/baz"
PAYLOAD = "trap 'echo got-term; exit 3' TERM; echo hello; i=0; while true; do i=$((i+1)); echo tick-$i; sleep 1 & wait $!; done"
UNIT = """[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/local/bin/scopemon --service --bundle {bundle} --name baz --runtime {runtime}
RuntimeDirectory=oci/baz
Delegate=yes
KillMode=mixed
TimeoutStopSec=20
{more}
"""


def make_bundle(payload=PAYLOAD, **annotations):
    """A bundle with the image's root file system; returns the text of its config.json."""
    shutil.rmtree(BUNDLE, ignore_errors=True)
    os.makedirs(f"{BUNDLE}/rootfs")
    podman("create", "--name", "source", "--network=none", "localhost/alpine", "true")
    with subprocess.Popen(["podman", "export", "source"], stdout=subprocess.PIPE) as tar:
        subprocess.run(["tar", "-C", f"{BUNDLE}/rootfs", "-x"], stdin=tar.stdout, check=True)
    podman("rm", "source")
    subprocess.run(["runc", "spec"], cwd=BUNDLE, check=True)
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["process"].update(terminal=False, args=["sh", "-c", payload])
    config["annotations"] = {k.replace("__", ".").replace("_", "-"): v for k, v in annotations.items()}
    text = json.dumps(config)
    with open(f"{BUNDLE}/config.json", "w", encoding="utf-8") as f:
        f.write(text)
    return text


def unit(more=""):
    return Unit("baz.service", UNIT.format(bundle=BUNDLE, runtime=shutil.which("runc"), more=more))


def nothing_left():
    return not run("runc", "list", "-q") and not os.path.exists("/sys/fs/cgroup/system.slice/baz.service")


@case
def service_mode_runs_a_bundle():
    text = make_bundle()
    unit()
    run("systemctl", "start", "baz.service")
    until("its first lines", lambda: "tick-1" in messages("-u", "baz.service"))
    status = run("systemctl", "status", "--no-pager", "--full", "baz.service")
    check("libpod-payload-scopemon-baz" in status and "supervisor" in status, status)
    check("Container baz runs" in status, "STATUS= is shown")
    run("systemctl", "freeze", "baz.service")
    run("systemctl", "thaw", "baz.service")
    run("systemctl", "stop", "baz.service")
    check_equal(show("baz.service", "ExecMainStatus"), "3", "the container's status is the unit's")
    lines = messages("-u", "baz.service")
    check_equal(lines.count("got-term"), 1, "the stop signal comes once, lines")
    check_equal(lines.count("hello"), 1, "each line once")
    until("nothing to be left", nothing_left)
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as f:
        check_equal(f.read(), text, "config.json of the administrator")


@case
def service_mode_kills_what_ignores_its_stop_signal():
    make_bundle("trap '' TERM; echo hello; while true; do sleep 1; done", io__scopemon__stop_timeout="1")
    unit()
    run("systemctl", "start", "baz.service")
    until("its first line", lambda: "hello" in messages("-u", "baz.service"))
    run("systemctl", "stop", "baz.service")
    check_equal(show("baz.service", "ExecMainStatus"), "137", "status")
    until("nothing to be left", nothing_left)


@case
def service_mode_restarts_on_failure():
    make_bundle("echo once-more; exit 5")
    unit("Restart=on-failure\nRestartSec=100ms\nStartLimitBurst=3")
    run("systemctl", "start", "--no-block", "baz.service")
    until("the start limit", lambda: show("baz.service", "ActiveState") == "failed")
    check(messages("-u", "baz.service").count("once-more") >= 2, "it was started again")
    until("nothing to be left", nothing_left)


@case
def service_mode_says_what_is_wrong():
    shutil.rmtree(BUNDLE, ignore_errors=True)
    unit()
    check(subprocess.run(["systemctl", "start", "baz.service"], check=False).returncode != 0, "it fails")
    check(any("/var/lib/oci/baz" in m and "No such file" in m for m in messages("-u", "baz.service")), "why")


@case
def service_mode_container_is_in_the_unit():
    make_bundle()
    unit()
    run("systemctl", "start", "baz.service")
    main = int(show("baz.service", "MainPID"))
    check(cgroup_of(main).endswith("/baz.service/supervisor"), cgroup_of(main))
    run("systemctl", "kill", "-s", "KILL", "baz.service")
    until("the unit to end", lambda: show("baz.service", "ActiveState") == "failed")
    until("its cgroup to go", lambda: not os.path.exists("/sys/fs/cgroup/system.slice/baz.service"))
