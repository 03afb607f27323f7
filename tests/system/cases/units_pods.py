# SPDX-License-Identifier: Apache-2.0
"""A whole pod in a unit: with Podman's own cgroup manager, and the unit's cgroup as the parent of the pod's."""

from harness import OBEYS, Skip, Unit, cgroup_of, check, check_equal, inspect, own_kernel, podman, quote, run, variants, wait_running
from unit_cells import systemd

PODMAN = ["--cgroup-manager=cgroupfs"]


def pod_nests():
    """The unit's stop stops the pod, and what Podman tells of a pod it tells of this one."""
    if systemd() < 254:
        raise Skip("no DelegateSubgroup=")
    start = [*PODMAN, "run", "-d", "--pod=pod", "--network=none", "--name=baz", "localhost/alpine", "sh", "-c", OBEYS]
    unit = Unit("baz.service", f"""[Service]
Type=oneshot
RemainAfterExit=yes
Delegate=yes
DelegateSubgroup=supervisor
ExecStart=/usr/bin/podman --cgroup-manager=cgroupfs pod create --name=pod --infra=false --cgroup-parent=/system.slice/%n
ExecStart=/usr/bin/podman {quote(*start)}
ExecStop=/usr/bin/podman --cgroup-manager=cgroupfs pod stop --time=10 pod
ExecStopPost=/usr/bin/podman --cgroup-manager=cgroupfs pod rm --force pod
TimeoutStopSec=30
""")
    unit.start()
    wait_running()
    first = int(inspect("baz", "State.Pid"))
    pod = run("podman", "pod", "inspect", "--format", "{{.ID}}", "pod")
    check(cgroup_of(first).startswith(f"{unit.cgroup}/{pod}/"), f"the container is in {cgroup_of(first)}")
    check_equal(cgroup_of(inspect("baz", "State.ConmonPid")), f"{unit.cgroup}/supervisor", "cgroup of the monitor")
    check(f"{first} sh -c" in run("systemctl", "status", "--no-pager", "--full", unit.name), "status does not show the container")
    check("sh -c" in podman("pod", "top", "pod"), "podman pod top")
    check("baz" in podman("pod", "stats", "--no-stream", "pod"), "podman pod stats")
    podman("exec", "baz", "sh", "-c", "until test -e /tmp/ready; do sleep 0.1; done")
    unit.stop()
    unit.expect_result()
    check_equal(podman("pod", "ps", "--quiet"), "", "pods")


variants("units_pod_nests", plain={})(pod_nests)
variants("units_pod_nests_vm", plain={})(own_kernel(lambda: pod_nests()))
