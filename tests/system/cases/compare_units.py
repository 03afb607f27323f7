# SPDX-License-Identifier: Apache-2.0
"""Units that Podman makes or that users write: sd_notify in all its modes, generate systemd, Quadlet, sockets."""

import os
import pwd
import socket

from compare import IMAGE, WAITS, compared, own_unit
from harness import Skip, check, comm_of, exe_of, quietly, quote, run, until

LOOP = "trap 'exit 0' TERM; : >/tmp/ready; while true; do sleep 1000 & wait $!; done"
FOLLOWS = "trap 'exit 0' TERM; : >/tmp/ready; until test -e /tmp/go; do sleep 0.1; done; "
# The machine's own programs in the container, for systemd-notify.
PROGRAMS = [f"--volume={folder}:{folder}:ro" for folder in ("/usr", "/lib", "/lib64")]


def notify_unit(side, mode, script, *options, more=""):
    """A unit of Type=notify that runs baz with --sdnotify=MODE."""
    words = ["run", "-d", "--rm", "--replace", f"--sdnotify={mode}", "--name", "baz", "--network=none", *options, IMAGE,
             "sh", "-c", script]
    side.unit("compare.service", f"""[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/podman {quote(*words)}
ExecStop=/usr/bin/podman stop -t 5 --ignore baz
TimeoutStartSec=20
TimeoutStopSec=20
{more}
""")


def see_unit(side, what, unit="compare.service"):
    for name in ("ActiveState", "SubState", "Result", "ExecMainStatus", "StatusText"):
        side.see(f"{what}: {name}", side.show(unit, name))
    main = int(side.show(unit, "MainPID") or 0)
    side.see(f"{what}: main process", "MONITOR" if exe_of(main) == side.monitor else comm_of(main))


def stop_unit(side, what, unit="compare.service", state="gone"):
    """Stop UNIT. The clean-up may meet the SIGTERM that systemd sends to all that podman stop leaves in a unit: the
    original then never removes the container, ours tries again."""
    side.see(f"{what}: stop", side.systemctl("stop", unit))
    see_unit(side, f"{what}, stopped", unit)
    until_over(side, state)


def until_over(side, state="gone"):
    side.until_state(state, *([] if side.ours else ["exited"]))


@compared()
def notify_modes(side):
    """Readiness by the monitor and ignored; payloads that end by themselves, well and not."""
    notify_unit(side, "conmon", LOOP)
    side.see("start", side.systemctl("start", "compare.service"))
    side.until_ready()
    see_unit(side, "conmon")
    side.podman("exec", "baz", "sh", "-c", "echo $NOTIFY_SOCKET; ls /run/notify", what="in the container")
    stop_unit(side, "conmon")
    notify_unit(side, "ignore", LOOP)
    side.see("ignore: start", side.systemctl("start", "compare.service"))
    see_unit(side, "ignore")
    # The stock monitor dies with the unit, and Podman may then need to be told twice.
    until("baz to be removed", lambda: side.raw("podman", "rm", "-f", "-t", "0", "--ignore", "baz")[0] == 0)
    side.systemctl("reset-failed", "compare.service")
    for status in (0, 3):
        notify_unit(side, "conmon", FOLLOWS + f"exit {status}")
        side.see("start", side.systemctl("start", "compare.service"))
        side.until_ready()
        side.raw("podman", "exec", "baz", "touch", "/tmp/go") # may see its own end
        side.until_unit("compare.service", "inactive", "failed")
        see_unit(side, f"ends with {status}")
        side.systemctl("reset-failed", "compare.service")


# The original passes STATUS= on from 2.1.9 on; before that READY=1 only.
SERVING = {f"{when}: StatusText": ("what the payload says of itself is passed on", text)
           for when, text in (("begun", "on its way"), ("ready", "serving"))}


@compared(rootless=True, better=SERVING, needs=own_unit)
def notify_container(side):
    """The payload itself says that it is ready: not before, and other fields do not pass."""
    script = ("systemd-notify --status='on its way' X_SECRET=1; " + FOLLOWS +
              "systemd-notify --ready --status=serving MAINPID=1; " + LOOP)
    notify_unit(side, "container", script, *PROGRAMS)
    side.see("start", side.systemctl("start", "--no-block", "compare.service"))
    side.until_ready()
    see_unit(side, "begun")
    side.podman("exec", "baz", "sh", "-c", "echo $NOTIFY_SOCKET; ls /run/notify", what="in the container")
    side.need("exec", "baz", "touch", "/tmp/go")
    side.until_unit("compare.service", "active")
    see_unit(side, "ready")
    stop_unit(side, "ready")
    # One that ends without a word.
    notify_unit(side, "container", FOLLOWS + "exit 4", *PROGRAMS)
    side.see("start of the silent", side.systemctl("start", "--no-block", "compare.service"))
    side.until_ready()
    side.raw("podman", "exec", "baz", "touch", "/tmp/go")
    side.until_unit("compare.service", "failed", "inactive")
    see_unit(side, "silent")


def has_healthy(user):
    if quietly(run, "podman", "--version").split()[-1].startswith("4.3."):
        raise Skip("Podman 4.3 has no --sdnotify=healthy")


@compared(rootless=True, needs=has_healthy)
def notify_healthy(side):
    """Ready once the health check says so; started by Podman's timer."""
    notify_unit(side, "healthy", LOOP, "--health-cmd=test -e /tmp/well", "--health-interval=1s", "--health-retries=30")
    side.see("start", side.systemctl("start", "--no-block", "compare.service"))
    side.until_ready()
    see_unit(side, "begun")
    side.need("exec", "baz", "touch", "/tmp/well")
    side.until_unit("compare.service", "active")
    see_unit(side, "healthy")
    side.podman("inspect", "--format", "{{.State.Health.Status}}", "baz", what="health")
    stop_unit(side, "healthy")


@compared()
def generated(side):
    """podman generate systemd, with --new and without: the text, a start, a restart, a stop."""
    for options in (["--new"], []):
        name = " ".join(["generate systemd", *options])
        side.need("create", "--name", "baz", "--network=none", IMAGE, *WAITS)
        text = side.need("generate", "systemd", "--name", "--no-header", "--time=5", "--restart-policy=no", *options,
                         "baz")
        side.see(name, text.replace(side.need("inspect", "--format", "{{.StaticDir}}", "baz"), "STATIC"))
        if options:
            side.need("rm", "baz")
        side.unit("container-baz.service", text)
        side.see(f"{name}: start", side.systemctl("start", "container-baz.service"))
        side.until_ready()
        see_unit(side, name, "container-baz.service")
        side.see(f"{name}: restart", side.systemctl("restart", "container-baz.service"))
        side.until_ready()
        see_unit(side, f"{name}, restarted", "container-baz.service")
        side.podman("ps", "-a", "--format", "{{.Names}} {{.State}}", what=f"{name}: ps")
        stop_unit(side, name, "container-baz.service", "gone" if options else "exited")
        side.raw("podman", "rm", "-f", "-t", "0", "--ignore", "baz")


def has_quadlet(user):
    if not os.path.exists("/usr/libexec/podman/quadlet"):
        raise Skip("there is no Quadlet here")


@compared(rootless=True, needs=has_quadlet)
def quadlets(side):
    """.container, .pod and .kube files."""
    folder = f"{pwd.getpwnam(side.user).pw_dir}/.config/containers/systemd" if side.user else "/run/containers/systemd"
    # Rootless, kube's units and their like wait for a network that is not there.
    kube = f"{side.runtime_folder}/compare.yaml"
    write(kube, f"""apiVersion: v1
kind: Pod
metadata:
  name: kubepod
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 3
  containers:
  - name: one
    image: {IMAGE}:latest
    command: ["/bin/sh", "-c", "{LOOP}"]
""")
    os.makedirs(folder, exist_ok=True)
    files = {"quadbaz.container": f"""[Container]
ContainerName=baz
Image={IMAGE}
Network=none
PodmanArgs=--stop-timeout=5
Exec={quote('sh', '-c', LOOP)}
""", "quadkube.kube": f"[Kube]\nYaml={kube}\n"}
    for name, text in files.items():
        write(f"{folder}/{name}", text + "\n[Quadlet]\nDefaultDependencies=false\n")
        side.at_end(lambda n=name: os.unlink(f"{folder}/{n}"))
    side.at_end(lambda: os.unlink(kube))
    side.systemctl("daemon-reload")
    for unit, name in (("quadbaz.service", "baz"), ("quadkube.service", "kubepod-one")):
        side.at_end(lambda u=unit: (side.systemctl("stop", u), side.systemctl("reset-failed", u)))
        side.see(f"{unit}: start", side.systemctl("start", unit))
        side.until_ready(name)
        see_unit(side, unit, unit)
        side.podman("exec", name, "/bin/echo", "inside", what=f"{unit}: exec")
        side.podman("inspect", "--format", "{{.HostConfig.CgroupMode}} {{.HostConfig.LogConfig.Type}}",
                    name, what=f"{unit}: inspect")
        side.see(f"{unit}: restart", side.systemctl("restart", unit))
        side.until_ready(name)
        see_unit(side, f"{unit}, restarted", unit)
        side.see(f"{unit}: stop", side.systemctl("stop", unit))
        see_unit(side, f"{unit}, stopped", unit)
        side.podman("ps", "-a", "--format", "{{.Names}} {{.Status}}", what=f"{unit}: ps after stop")


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o644)


@compared(rootless=True)
def socket_activation(side):
    """The payload gets the unit's socket as descriptor 3, and answers."""
    path = f"{side.runtime_folder}/compare-echo"
    words = ["run", "--rm", "--name", "baz", "--network=none", IMAGE, "sh", "-c",
             "read line <&3; echo \"got $line, $LISTEN_FDS at $LISTEN_PID\" >&3"]
    side.unit("compare@.service", f"[Unit]\nCollectMode=inactive-or-failed\n"
                                  f"[Service]\nExecStart=/usr/bin/podman {quote(*words)}\n")
    side.unit("compare.socket", f"[Socket]\nListenStream={path}\nAccept=yes\n")
    check(side.systemctl("start", "compare.socket")[0] == 0, "the socket cannot be started")
    for line in (b"one\n", b"two\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(path)
            client.sendall(line)
            side.see("answer", client.recv(100))
            side.see("end", client.recv(100))
        side.until_state("gone")


ONCE = {f"journald: {stream}": ("each line once, not from podman run as well", ["PRIORITY " + priority])
        for stream, priority in (("out", "6"), ("err", "3"))}


@compared(rootless=True, better=ONCE)
def foreground_units(side):
    """podman run in the foreground of a unit, with each log driver: what the journal has, and the status."""
    for driver in ("journald", "k8s-file", "none", "passthrough"):
        words = ["run", "--rm", "--name", "baz", "--network=none", f"--log-driver={driver}", IMAGE, "sh", "-c",
                 f"echo {driver} out; echo {driver} err >&2; exit 7"]
        side.unit("compare.service", f"[Service]\nType=oneshot\nExecStart=/usr/bin/podman {quote(*words)}\n")
        status, _, _ = side.systemctl("start", "compare.service")
        side.see(f"{driver}: status of start", status)
        see_unit(side, driver)
        entries = [(e["MESSAGE"].strip(), e["PRIORITY"]) for e in side.journal() if isinstance(e.get("MESSAGE"), str)]
        for stream in ("out", "err"):
            found = sorted("PRIORITY " + p for m, p in entries if m == f"{driver} {stream}")
            side.see(f"{driver}: {stream}", found)
        side.systemctl("reset-failed", "compare.service")
