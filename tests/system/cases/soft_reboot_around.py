# SPDX-License-Identifier: Apache-2.0
"""What is around a container that lives through a soft reboot: restart policies, health checks, and stored sockets."""

import os
import signal

from cases.fd_store import SERVES, Clients, listens
from cases.service_mode import BUNDLE, make_python_bundle
from cases.soft_reboot import SURVIVES, container_pid, expect_support, soft_reboot, stay_alive
from cases.soft_reboot_root import make_root
from harness import (MONITOR, Skip, Unit, case, check, check_equal, inspect, messages, note, podman, quote, run, shuts_down,
                     until)

EVERY_SUITE = True
UP = "echo up; while true; do usleep 100000; done"


def policy_unit(name, options, more):
    words = ["run", "--name", name, "--network=none", *options, "localhost/alpine", "sh", "-c", UP]
    unit = Unit(f"{name}.service", f"{SURVIVES}[Service]\nDelegate=yes\nKillMode=mixed\n{more}\nExecStart=/usr/bin/podman {quote(*words)}\n"
                f"ExecStop=/usr/bin/podman stop -i -t 1 {name}\nSuccessExitStatus=137\n")
    unit.start()
    until(f"{name} to run", lambda: ups(name) == 1)
    return unit


def ups(name):
    return messages(f"CONTAINER_NAME={name}").count("up")


def health_log(name):
    """How often its health has been checked."""
    text = podman("inspect", "--format", "{{range .State.Health.Log}}{{.Start}}\n{{end}}", name)
    return text.split("\n")[-1]


@case
@shuts_down
def soft_reboot_leaves_policies_in_force():
    """Nothing is restarted by the reboot; what ends after it is, by Podman and by systemd. Health is checked on demand."""
    expect_support()
    if "scopemon" not in MONITOR:
        raise Skip("is killed")
    stay_alive()
    policy_unit("always", ["-d", "--restart=always", "--health-cmd=true", "--health-interval=1s"],
                "Type=oneshot\nRemainAfterExit=yes")
    policy_unit("unit", ["-d", "--replace", "--rm", "--cgroups=split", "--sdnotify=conmon"],
                "Type=notify\nNotifyAccess=all\nRestart=always\nRestartSec=100ms")
    until("a check by the timer", lambda: health_log("always"))
    before = {n: container_pid(n) for n in ("always", "unit")}
    make_root() # has Podman's storage and the monitor, which the reboot unmounts here
    soft_reboot()
    check_equal({n: container_pid(n) for n in before}, before, "processes")
    check_equal({n: ups(n) for n in before}, {n: 1 for n in before}, "starts")
    timers = run("systemctl", "list-units", "--plain", "--no-legend", "--type=timer", f"{inspect('always', 'Id')}*")
    note(f"timers of Podman: {timers}")
    podman("healthcheck", "run", "always")
    for name, pid in before.items():
        os.kill(pid, signal.SIGKILL)
    until("unit to be started again", lambda: ups("unit") == 2)
    # The reboot has unmounted the file system of a container, which Podman counts in /run. The start that fails puts that right.
    until("Podman to try it", lambda: inspect("always", "State.Running") == "false" and messages("CONTAINER_NAME=always"))
    podman("start", "always")
    until("always to be started again", lambda: ups("always") == 2)
    last = health_log("always")
    until("a check by the new timer", lambda: health_log("always") != last)


@case
@shuts_down
def soft_reboot_closes_no_socket():
    """A container that ends with its unit in the reboot, and whose socket the service manager keeps: every client is served."""
    expect_support("FileDescriptorStorePreserve= through a soft reboot")
    stay_alive()
    make_python_bundle("")
    words = ["podman", "run", "--name", "baz", "--replace", "--rm", "--cgroups=split", "--sdnotify=container", "-d",
             "--network=host", "-v", "/usr:/usr:ro", "--rootfs", f"{BUNDLE}/rootfs", "python3", "/tmp/serve"]
    with open(f"{BUNDLE}/rootfs/tmp/serve", "w", encoding="utf-8") as f:
        f.write(SERVES)
    unit = Unit("baz.service", f"""{SURVIVES.replace("SurviveFinalKillSignal=yes", "")}
[Service]
Type=notify
NotifyAccess=all
Delegate=yes
KillMode=mixed
FileDescriptorStoreMax=4
FileDescriptorStorePreserve=yes
Restart=always
ExecStart=/usr/bin/{quote(*words)}
ExecStop=/usr/bin/podman rm -f -i -t 5 baz
[Install]
WantedBy=multi-user.target
""")
    unit.systemctl("enable", "--runtime", unit.name)
    unit.start()
    until("its first line", lambda: listens(unit.name))
    until("a stored descriptor", lambda: unit.show("NFileDescriptorStore") != "0")
    before = container_pid("baz")
    clients = Clients()
    clients.start()
    until("clients", lambda: clients.served > 10)
    make_root()
    soft_reboot()
    until("another start", lambda: len(listens(unit.name)) == 2)
    check(container_pid("baz") != before, "another container")
    served = clients.served
    until("more clients", lambda: clients.served > served + 10)
    clients.done = True
    clients.join()
    note(f"{clients.served} clients, {clients.failed[:3]}")
    check_equal(clients.failed, [], "connections that failed")
    check_equal(listens(unit.name)[1], "listen 1 scopemon-web True", "what came back")
