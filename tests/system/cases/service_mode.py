# SPDX-License-Identifier: Apache-2.0
"""Service mode: an OCI bundle as a unit of its own, with no container manager."""

import json
import os
import shutil
import subprocess

from harness import Unit, case, cgroup_of, check, check_equal, messages, podman, run, show, until, variants

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


def make_python_bundle(payload, **annotations):
    """A bundle whose container runs the Python program PAYLOAD, with the host's /usr."""
    make_bundle("", **annotations)
    for entry in os.listdir(f"{BUNDLE}/rootfs"):
        path = f"{BUNDLE}/rootfs/{entry}"
        if entry in ("bin", "sbin", "lib", "lib64", "usr"):
            os.unlink(path) if os.path.islink(path) else shutil.rmtree(path)
    for entry in "bin", "sbin", "lib", "lib64":
        os.symlink(f"usr/{entry}", f"{BUNDLE}/rootfs/{entry}")
    for entry in "usr", "tmp":
        os.makedirs(f"{BUNDLE}/rootfs/{entry}", exist_ok=True)
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["process"]["args"] = ["python3", "-u", "-c", payload]
    config["root"]["readonly"] = False
    config["mounts"].append({"destination": "/usr", "source": "/usr", "type": "bind", "options": ["rbind", "ro"]})
    with open(f"{BUNDLE}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


def tell(name):
    """Make the file that a payload waits for with wait_for(NAME)."""
    with open(f"{BUNDLE}/rootfs/tmp/{name}", "w", encoding="utf-8"):
        pass


def unit(more=""):
    return Unit("baz.service", UNIT.format(bundle=BUNDLE, runtime=shutil.which("runc"), more=more))


def nothing_left():
    return "baz" not in run("runc", "list", "-q") and not os.path.exists("/sys/fs/cgroup/system.slice/baz.service")


@case
def service_mode_runs_a_bundle():
    text = make_bundle()
    unit()
    run("systemctl", "start", "baz.service")
    until("its first lines", lambda: "tick-1" in messages("-u", "baz.service"))
    status = run("systemctl", "status", "--no-pager", "--full", "baz.service")
    check("libpod-payload-scopemon-baz" in status and "supervisor" in status, status)
    check("Container baz is running" in status, "STATUS= is shown")
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
    warnings = [m for m in messages("-u", "baz.service") if "did not stop in time" in m]
    check_equal(warnings, ["Container baz did not stop in time, killing it"], "warnings in the journal, where stderr goes, too")
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
    run("systemctl", "start", "baz.service") # although nobody has told the runtime
    until("its first lines", lambda: "tick-1" in messages("-u", "baz.service"))
    run("systemctl", "stop", "baz.service")
    until("nothing to be left", nothing_left)


SPEAKS = """
import os, signal, socket, sys, time
def say(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
def wait_for(name):
    while not os.path.exists("/tmp/" + name):
        time.sleep(0.05)
"""
READY = SPEAKS + """
def end(*_):
    say("STATUS=I am going")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("started", flush=True)
say("STATUS=I am warming up")
wait_for("go")
say("MAINPID=1\\nREADY=1\\nFDSTORE=1\\nSTATUS=I am serving")
wait_for("never")
"""


@variants("service_mode_container_says_ready", annotation={}, option={"option": "--sdnotify=container"})
def service_mode_container_says_ready(option=None):
    make_python_bundle(READY, **{} if option else {"io__scopemon__sdnotify": "container"})
    baz = unit()
    if option:
        baz.rewrite(UNIT.format(bundle=BUNDLE, runtime=shutil.which("runc") + " " + option, more=""))
    run("systemctl", "start", "--no-block", "baz.service")
    until("its first status", lambda: show("baz.service", "StatusText") == "I am warming up")
    check_equal(show("baz.service", "ActiveState"), "activating", "before it has said that it is ready")
    main = show("baz.service", "MainPID")
    tell("go")
    until("its second status", lambda: show("baz.service", "StatusText") == "I am serving")
    baz.wait_for("active")
    check_equal(show("baz.service", "MainPID"), main, "the container cannot say who the main process is")
    run("systemctl", "stop", "baz.service")
    check_equal(show("baz.service", "Result"), "success", "result")
    until("nothing to be left", nothing_left)


TAKES_ITS_TIME = SPEAKS + """
def work(seconds):
    for i in range(seconds * 2):
        say("EXTEND_TIMEOUT_USEC=4000000")
        time.sleep(0.5)
def barrier():
    r, w = os.pipe()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    socket.send_fds(s, [b"BARRIER=1"], [w])
    os.close(w)
    assert os.read(r, 1) == b"" # when the monitor has closed its end
def end(*_):
    print("flushing", flush=True)
    work(8)
    print("flushed", flush=True)
    say("EXIT_STATUS=5\\nRESTART_RESET=1")
    sys.exit(5)
signal.signal(signal.SIGTERM, end)
print("recovering", flush=True)
work(6)
say("MAINPID=1\\nREADY=1")
barrier()
print("no more barrier", flush=True)
wait_for("never")
"""


@variants("service_mode_waits_for_a_container_that_works", unit={}, annotation={"io__scopemon__stop_timeout": "2"})
def service_mode_waits_for_a_container_that_works(**annotations):
    """EXTEND_TIMEOUT_USEC= of a container counts at start and stop, for systemd and for the monitor."""
    make_python_bundle(TAKES_ITS_TIME, io__scopemon__sdnotify="container", **annotations)
    unit("TimeoutStartSec=4\nTimeoutStopSec=4")
    run("systemctl", "start", "baz.service")
    main = show("baz.service", "MainPID")
    until("the answer to its barrier", lambda: "no more barrier" in messages("-u", "baz.service"))
    check_equal(show("baz.service", "MainPID"), main, "main process")
    run("systemctl", "stop", "baz.service")
    check("flushed" in messages("-u", "baz.service"), "it had its time")
    check_equal(show("baz.service", "ExecMainStatus"), "5", "status")
    check_equal(show("baz.service", "Result"), "exit-code", "result")
    until("nothing to be left", nothing_left)


FEEDS = READY.replace('wait_for("never")', """
print("watchdog", os.environ["WATCHDOG_USEC"], flush=True)
for i in range(1000):
    if os.path.exists("/tmp/stop"):
        wait_for("never")
    say("WATCHDOG=1")
    print("fed", i, flush=True)
    time.sleep(0.25)
""")


@case
def service_mode_watchdog_fed_by_container():
    make_python_bundle(FEEDS, io__scopemon__sdnotify="container")
    baz = unit("WatchdogSec=2")
    tell("go")
    run("systemctl", "start", "baz.service")
    until("more than its time", lambda: "fed 14" in messages("-u", "baz.service"))
    check("watchdog 2000000" in messages("-u", "baz.service"), "WATCHDOG_USEC in the container")
    check_equal(show("baz.service", "ActiveState"), "active", "while it is fed")
    tell("stop")
    baz.wait_for("failed")
    check_equal(show("baz.service", "Result"), "watchdog", "result")
    until("nothing to be left", lambda: not os.path.exists("/sys/fs/cgroup/system.slice/baz.service"))
    run("runc", "delete", "--force", "scopemon-baz")


@case
def service_mode_watchdog_fed_by_monitor():
    make_bundle()
    unit("WatchdogSec=1")
    run("systemctl", "start", "baz.service")
    until("more than its time", lambda: "tick-4" in messages("-u", "baz.service"))
    check_equal(show("baz.service", "ActiveState"), "active", "the monitor vouches for itself")
    run("systemctl", "stop", "baz.service")
    until("nothing to be left", nothing_left)


SLOW = "trap 'echo got-int; sleep 5; echo last-words; exit 0' INT; trap 'echo got-term' TERM; echo hello; " \
       "while true; do sleep 0.2; done"


@case
def service_mode_stop_may_take_longer_than_the_unit_says():
    """The container's own time counts, and it gets its own signal, once, and no other."""
    make_bundle(SLOW, io__scopemon__stop_timeout="30", org__opencontainers__image__stopSignal="SIGINT")
    unit("TimeoutStopSec=2")
    run("systemctl", "start", "baz.service")
    until("its first line", lambda: "hello" in messages("-u", "baz.service"))
    run("systemctl", "stop", "baz.service")
    lines = [m for m in messages("-u", "baz.service") if m in ("got-int", "got-term", "last-words")]
    check_equal(lines, ["got-int", "last-words"], "what the container said")
    check_equal(show("baz.service", "Result"), "success", "result")
    until("nothing to be left", nothing_left)


@case
def service_mode_time_to_stop_is_that_of_the_unit():
    """Without a word in the bundle, it is killed by the monitor a little before systemd would do it."""
    make_bundle("trap '' TERM; echo hello; while true; do sleep 1; done")
    unit("TimeoutStopSec=3")
    run("systemctl", "start", "baz.service")
    until("its first line", lambda: "hello" in messages("-u", "baz.service"))
    run("systemctl", "stop", "baz.service")
    check_equal(show("baz.service", "ExecMainStatus"), "137", "status")
    check_equal(show("baz.service", "Result"), "exit-code", "result, which is no time-out of the unit's")
    until("nothing to be left", nothing_left)
