# SPDX-License-Identifier: Apache-2.0
"""Pods in delegated units: a pod nests as a whole, with its limits, and all that Podman tells of it stays true."""

import json
import os

from cases.detached import HOSTS, Host
from cases.unit import PLACED
from harness import (CGROUPS, MONITOR, Skip, case, cgroup_of, check, check_equal, command, expect_nothing_left,
                     forget_containers, journal, own_kernel, quietly, run, until, variants)

EVERY_SUITE = True

YAML = "/run/kube.yaml"
NAMES = ["kubepod-one", "kubepod-two"]
# Its first process alone can say so, and its child has no time to.
PAYLOAD = "trap 'echo obeyed; exit 0' TERM; : >/tmp/ready; while true; do sleep 1000 & wait $!; done"
STOPS = "ExecStop=/usr/bin/podman pod stop --ignore --time=10 {}\n"


def write_yaml():
    with open(YAML, "w", encoding="utf-8") as f:
        f.write("apiVersion: v1\nkind: Pod\nmetadata:\n  name: kubepod\nspec:\n  containers:\n")
        for name in ("one", "two"):
            f.write(f"""  - name: {name}
    image: localhost/alpine:latest
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", "{PAYLOAD}"]
""")


def kube_unit(host, mode="mixed", more=STOPS.format("kubepod")):
    """What Quadlet makes of a .kube file, with Delegate=yes, and MORE."""
    write_yaml()
    return host.unit(f"Type=notify\nNotifyAccess=all\nDelegate=yes\nKillMode={mode}\nSuccessExitStatus=137\n"
                     "ExecStart=/usr/bin/podman kube play --replace --network=none --log-driver=journald "
                     f"--service-container=true {YAML}\n{more}"
                     f"ExecStopPost=-/usr/bin/podman kube down {YAML}\n")


def pod_unit(host, *options, more="", start="pod start pod", kind="forking\nPIDFile={}", create=()):
    """A pod with an infra container and baz in it, and the unit that starts and stops it."""
    pid_file = f"{runtime_folder(host)}/pod.pid"
    host.podman("pod", "create", "--name=pod", f"--infra-conmon-pidfile={pid_file}", "--network=none", *create)
    host.podman("create", "--pod=pod", "--name=baz", "--log-driver=journald", *options, "localhost/alpine", "sh", "-c", PAYLOAD)
    return host.unit(f"Type={kind.format(pid_file)}\nDelegate=yes\nSuccessExitStatus=137 143\n"
                     f"ExecStart=/usr/bin/podman {start}\n{more}")


def runtime_folder(host):
    return next((word.split("=")[1] for word in host.words if word.startswith("XDG_RUNTIME_DIR=")), "/run")


def pod_of(host, name):
    return host.podman("pod", "inspect", "--format", "{{.ID}}", name)


def slice_of(host, pod):
    parent = host.slice.removesuffix(".slice")
    return f"{parent}-libpod_pod_{pod}.slice"


def placements(unit):
    """How many times each placement was told from within UNIT."""
    seen = {}
    for e in journal(f"_SYSTEMD_{'USER_' if 'user@' in unit.cgroup else ''}UNIT={unit.name}"):
        if e.get("MESSAGE_ID") == PLACED:
            word = e["SCOPEMON_PLACEMENT"]
            seen[word] = seen.get(word, 0) + 1
    return seen


def expect_nested(host, unit, pod, names):
    """Fail unless the containers of POD are in its cgroup in UNIT, and their monitors beside it."""
    for name in names:
        container = host.inspect(name, "Id")
        where = cgroup_of(host.inspect(name, "State.Pid"))
        check_equal(where, f"{unit.cgroup}/libpod_pod-{pod}/libpod-payload-{container}", f"cgroup of {name}")
        check_equal(cgroup_of(host.inspect(name, "State.ConmonPid")), f"{unit.cgroup}/supervisor", f"monitor of {name}")
        check_equal(host.inspect(name, "State.CgroupPath").removeprefix(host.manager), where.removeprefix(host.manager),
                    f"what Podman says of {name}")


def frozen(cgroup):
    with open(f"{CGROUPS}{cgroup}/cgroup.events", encoding="utf-8") as f:
        return "frozen 1" in f.read()


def obeyed(names):
    """Fail unless each container has said that its first process got the signal."""
    said = [e["CONTAINER_NAME"] for e in journal("MESSAGE=obeyed")]
    check_equal(sorted(said), sorted(names), "containers that obeyed")


def count_sleeps(text):
    return sum(line.rstrip().endswith(" sleep 1000") for line in text.splitlines())


def ask_podman(host, unit, pod):
    """All that Podman tells of a pod, and does to it."""
    check_equal(host.podman("pod", "inspect", "--format", "{{.State}} {{.NumContainers}}", pod), "Running 3", "pod inspect")
    check("Running" in host.podman("pod", "ps", "--filter", "name=kubepod"), "pod ps")
    stats = host.podman("pod", "stats", "--no-stream", pod)
    check(all(name in stats for name in NAMES), f"pod stats: {stats}")
    top = host.podman("pod", "top", pod)
    check(top.count("trap") == 2 and count_sleeps(top) == 2, f"pod top: {top}")
    host.podman("pod", "pause", pod)
    groups = [cgroup_of(host.inspect(name, "State.Pid")) for name in NAMES]
    check(all(frozen(g) for g in groups), "a container is not frozen")
    host.podman("pod", "unpause", pod)
    check(not any(frozen(g) for g in groups), "a container is frozen")
    check_equal(host.podman("exec", NAMES[0], "/bin/echo", "inside"), "inside", "exec")
    host.podman("exec", NAMES[1], "/bin/sh", "-c", "echo seen >/proc/1/fd/1")
    until("the log", lambda: host.podman("logs", NAMES[1]) == "seen")
    status = run(*host.systemctl, "status", "--no-pager", "--full", unit.name)
    check_equal(count_sleeps(status), 2, f"payload processes in systemctl status:\n{status}")


@variants("pods_kube", **HOSTS)
def pods_kube(user):
    """A .kube unit: all of its containers nest, those of the pod together, and are stopped by their first processes."""
    host = Host(user)
    unit = kube_unit(host)
    unit.start()
    for name in NAMES:
        host.wait_running(name)
    pod = pod_of(host, "kubepod")
    infra = host.podman("pod", "inspect", "--format", "{{.InfraContainerID}}", pod)
    expect_nested(host, unit, pod, [*NAMES, infra])
    service = next(n for n in host.podman("ps", "--format", "{{.Names}}").split() if n.endswith("-service"))
    check_equal(cgroup_of(host.inspect(service, "State.Pid")), f"{unit.cgroup}/libpod-payload-{host.inspect(service, 'Id')}",
                "cgroup of the service container")
    check_equal(placements(unit), {"nest": 4}, "placements")
    ask_podman(host, unit, pod)
    out = run(*host.words, MONITOR, "explain", *(["--user"] if user else []), "--json=short", slice_of(host, pod))
    seen = json.loads(out)
    check_equal(sorted(e["name"] for e in seen), sorted([*NAMES, host.inspect(infra, "Name")]), "explain SLICE")
    check_equal({e["placement"]["name"] for e in seen}, {"nest"}, "placement")
    unit.stop(timeout=60)
    unit.expect_result()
    obeyed(NAMES)
    check_equal(host.podman("pod", "ps", "--quiet"), "", "pods")
    expect_nothing_left()
    forget_containers(*host.words)


@case
def pods_kube_restarts():
    """After a restart there is one pod in the unit, and no cgroup of the one before."""
    host = Host()
    unit = kube_unit(host)
    unit.start()
    host.wait_running(NAMES[0])
    before = pod_of(host, "kubepod")
    unit.restart(timeout=60)
    for name in NAMES:
        host.wait_running(name)
    pod = pod_of(host, "kubepod")
    check(pod != before, "another pod")
    expect_nested(host, unit, pod, NAMES)
    groups = [name for name in os.listdir(CGROUPS + unit.cgroup) if name.startswith("libpod_pod")]
    check_equal(groups, [f"libpod_pod-{pod}"], "pods in the unit")
    host.podman("kube", "down", YAML)
    unit.expect_result()
    expect_nothing_left()


@case
def pods_kube_mixed_without_stop():
    """Where the unit would kill the pod as soon as its main process has ended, it is left to its slice."""
    host = Host()
    unit = kube_unit(host, more="")
    unit.start()
    for name in NAMES:
        host.wait_running(name)
    check_equal(placements(unit), {"nest": 1, "as-given": 3}, "placements")
    where = cgroup_of(host.inspect(NAMES[0], "State.Pid"))
    check(slice_of(host, pod_of(host, "kubepod")) in where, f"the container is in {where}")
    unit.stop(timeout=60)
    expect_nothing_left()


@variants("pods_limits", **HOSTS)
def pods_limits(user):
    """What limits the pod's slice limits its cgroup in the unit; all ends with podman pod rm."""
    host = Host(user)
    unit = pod_unit(host, more=STOPS.format("pod"))
    pod = pod_of(host, "pod")
    limit = f"{CGROUPS}{host.manager}/{host.slice}/{slice_of(host, pod)}/cgroup.max.depth"
    with open(limit, "w", encoding="utf-8") as f: # there is no controller for this one, so it is on all machines
        f.write("5")
    unit.start()
    host.wait_running()
    expect_nested(host, unit, pod, ["baz"])
    with open(f"{CGROUPS}{unit.cgroup}/libpod_pod-{pod}/cgroup.max.depth", encoding="utf-8") as f:
        check_equal(f.read(), "5\n", "limit of the pod")
    host.podman("pod", "rm", "--force", "--time=10", "pod")
    obeyed(["baz"])
    unit.expect_result()
    expect_nothing_left()
    forget_containers(*host.words)


@case
@own_kernel
def pods_memory_limit():
    """A container of the pod that needs more than the pod may have is killed."""
    host = Host()
    unit = pod_unit(host, more=STOPS.format("pod"), create=["--memory=100m"])
    unit.start()
    host.wait_running()
    pod = pod_of(host, "pod")
    expect_nested(host, unit, pod, ["baz"])
    with open(f"{CGROUPS}{unit.cgroup}/libpod_pod-{pod}/memory.max", encoding="utf-8") as f:
        check_equal(f.read(), f"{100 << 20}\n", "limit of the pod")
    status, _, err = command("podman", "exec", "baz", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
    check_equal(status, 137, f"status of a program that needs more: {err}")
    host.podman("pod", "rm", "--force", "--time=10", "pod")
    unit.expect_result()
    expect_nothing_left()
    forget_containers(*host.words)


@case
def pods_cgroup_goes_with_last_container():
    """In a unit that stays, the pod's cgroup is there as long as one of its containers is."""
    host = Host()
    unit = pod_unit(host, kind="oneshot\nRemainAfterExit=yes", more=STOPS.format("pod"))
    unit.start()
    host.wait_running()
    pod = pod_of(host, "pod")
    expect_nested(host, unit, pod, ["baz"])
    group = f"{CGROUPS}{unit.cgroup}/libpod_pod-{pod}"
    own = f"{group}/libpod-payload-{host.inspect('baz', 'Id')}"
    host.podman("stop", "--time=10", "baz")
    until("the container's cgroup to go", lambda: not os.path.exists(own))
    check(os.path.exists(group), "the pod's has gone as well")
    host.podman("pod", "stop", "--time=10", "pod")
    until("the pod's cgroup to go", lambda: not os.path.exists(group))
    check_equal(unit.show("ActiveState"), "active", "ActiveState")
    unit.stop()
    host.podman("pod", "rm", "pod")
    expect_nothing_left()


@case
def pods_container_that_fails_to_start():
    """It leaves no cgroup."""
    host = Host()
    host.podman("pod", "create", "--name=pod", "--infra=false")
    host.podman("create", "--pod=pod", "--name=baz", "--network=none", "localhost/alpine", "/nonexistent")
    unit = host.unit("Type=oneshot\nRemainAfterExit=yes\nDelegate=yes\nExecStart=-/usr/bin/podman pod start pod\n")
    unit.start()
    check_equal(unit.show("ActiveState"), "active", "ActiveState")
    check_equal([name for name in os.listdir(CGROUPS + unit.cgroup) if "libpod" in name], [], "cgroups in the unit")
    unit.stop()
    host.podman("pod", "rm", "--force", "pod")
    expect_nothing_left()


@case
def pods_restart_policy():
    """A container that its policy starts again is where it was, with its pod."""
    host = Host()
    unit = pod_unit(host, "--restart=always", more=STOPS.format("pod"))
    unit.start()
    host.wait_running()
    pod, pid = pod_of(host, "pod"), host.inspect("baz", "State.Pid")
    host.end_process(pid)
    host.wait_running()
    if run("podman", "--version").split()[-1].startswith("4.3."): # which moves the monitor to a scope itself
        check_equal(placements(unit).get("nest"), 2, "placements before")
    else:
        expect_nested(host, unit, pod, ["baz"])
    unit.stop()
    unit.expect_result()
    host.podman("pod", "rm", "--force", "--time=0", "pod")
    expect_nothing_left()


@case
def pods_health():
    """A health check's process is in the container's cgroup."""
    host = Host()
    check_words = "cut -d: -f3 /proc/self/cgroup >/tmp/where; test -e /tmp/ready"
    unit = pod_unit(host, f"--health-cmd={check_words}", "--health-interval=disable", more=STOPS.format("pod"))
    unit.start()
    host.wait_running()
    expect_nested(host, unit, pod_of(host, "pod"), ["baz"])
    host.podman("healthcheck", "run", "baz")
    check_equal(host.inspect("baz", "State.Healthcheck.Status" if has_old_health(host) else "State.Health.Status"), "healthy", "health")
    unit.stop()
    unit.expect_result()
    host.podman("pod", "rm", "--force", "--time=0", "pod")
    expect_nothing_left()


def has_old_health(host):
    return quietly(command, *host.words, "podman", "inspect", "--format", "{{.State.Health.Status}}", "baz")[0] != 0


@case
def pods_elsewhere_stay():
    """Without Delegate=, and from a shell, a pod is in its slice as before."""
    host = Host()
    unit = pod_unit(host, more=STOPS.format("pod"))
    with open(unit.path, encoding="utf-8") as f:
        unit.rewrite(f.read().replace("Delegate=yes\n", ""))
    unit.start()
    host.wait_running()
    check_equal(placements(unit), {"as-given": 2}, "placements")
    where = cgroup_of(host.inspect("baz", "State.Pid"))
    check(where.startswith(f"/machine.slice/{slice_of(host, pod_of(host, 'pod'))}/libpod-"), f"the container is in {where}")
    unit.stop()
    unit.expect_result()
    host.podman("pod", "start", "pod")
    host.wait_running()
    where = cgroup_of(host.inspect("baz", "State.Pid"))
    check(where.startswith(f"/machine.slice/{slice_of(host, pod_of(host, 'pod'))}/libpod-"), f"the container is in {where}")
    host.podman("pod", "rm", "--force", "--time=10", "pod")
    expect_nothing_left()


@case
def pods_quadlet():
    """A .kube file with Delegate=yes and ExecStop=."""
    if not os.path.exists("/usr/libexec/podman/quadlet"):
        raise Skip("there is no Quadlet here")
    host = Host()
    write_yaml()
    path = "/run/containers/systemd/quadkube.kube"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[Kube]\nYaml={YAML}\nNetwork=none\n[Quadlet]\nDefaultDependencies=false\n"
                "[Service]\nDelegate=yes\nExecStop=/usr/bin/podman pod stop --ignore kubepod\n")
    try:
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "quadkube.service")
        for name in NAMES:
            host.wait_running(name)
        group = f"/system.slice/quadkube.service/libpod_pod-{pod_of(host, 'kubepod')}/"
        for name in NAMES:
            where = cgroup_of(host.inspect(name, "State.Pid"))
            check(where.startswith(group), f"{name} is in {where}")
        run("systemctl", "stop", "quadkube.service", timeout=60)
        check_equal(run("systemctl", "show", "-P", "Result", "quadkube.service"), "success", "Result")
        obeyed(NAMES)
    finally:
        os.unlink(path)
        run("systemctl", "daemon-reload")
    expect_nothing_left()
