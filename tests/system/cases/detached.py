# SPDX-License-Identifier: Apache-2.0
"""Detached containers, and the units that happened to run the command that started them: these end, and the containers
and their monitors do not. Root's and an ordinary user's, from all that people start containers with."""

import os
import pwd
import shlex

from cases.unit import PLACED
from compare import USER, as_user, make_user, own_unit
from harness import (MONITOR, UNITS, Unit, case, cgroup_of, check, check_equal, command, exe_of, expect_nothing_left,
                     forget_containers, journal, quietly, quote, run, scope_of, until, variants)

# What a container does: it obeys, with a status that nothing else has.
PAYLOAD = "trap 'exit 7' TERM; : >/tmp/ready; while true; do sleep 1000 & wait $!; done"
STAY = "while true; do sleep 1000; done"


class Host:
    """Whose units and containers: root's, or an ordinary user's."""

    def __init__(self, user=None):
        self.words, self.manager, self.slice = [], "", "machine.slice"
        self.systemctl, self.folder, self.units = ["systemctl"], UNITS, "/system.slice"
        if not user:
            return
        own_unit(user)
        make_user(user)
        entry = pwd.getpwnam(user)
        self.words = as_user(user)
        self.manager = f"/user.slice/user-{entry.pw_uid}.slice/user@{entry.pw_uid}.service"
        self.slice = "user.slice"
        self.systemctl = [*self.words, "systemctl", "--user"]
        self.folder = f"{entry.pw_dir}/.config/systemd/user"
        self.units = f"{self.manager}/app.slice"
        run(*self.words, "mkdir", "-p", self.folder)

    def podman(self, *argv, **options):
        return run(*self.words, "podman", *argv, **options)

    def unit(self, text, name="baz.service"):
        return Unit(name, "[Service]\nTimeoutStopSec=20\n" + text, self.systemctl, self.folder, self.units)

    def inspect(self, name, what):
        return self.podman("inspect", "--type=container", "--format", "{{." + what + "}}", name)

    def wait_running(self, name="baz"):
        """Wait until container NAME runs and has set its trap; return its full ID."""
        def ready():
            status, _, _ = command(*self.words, "podman", "exec", name, "/bin/test", "-e", "/tmp/ready")
            return status == 0

        until(f"container {name} to run", lambda: quietly(ready))
        return self.inspect(name, "Id")

    def end_process(self, pid, name="baz"):
        """End the container's process PID from within, and wait for the one that the restart policy brings."""
        command(*self.words, "podman", "exec", name, "kill", "-TERM", "1") # which is killed with the container, or not
        until("another process", lambda: self.inspect(name, "State.Pid") not in ("0", pid))

    def show(self, unit, what):
        return run(*self.systemctl, "show", "-P", what, unit)


HOSTS = {"plain": {"user": None}, "user": {"user": USER}}


def script(*lines):
    """Lines for a shell, for ExecStart=."""
    return quote("/bin/sh", "-c", "; ".join(lines))


def words_of(name, *options):
    return ["/usr/bin/podman", "run", "-d", "--name", name, "--network=none", *options, "localhost/alpine", "sh", "-c",
            PAYLOAD]


def run_detached(name="baz", *options):
    """podman run -d, for a shell."""
    return shlex.join(words_of(name, *options))


def exec_detached(*options, name="baz"):
    """The same, for ExecStart=."""
    return quote(*words_of(name, *options))


class Alive:
    """A container that runs as one does that was started from a shell."""

    def __init__(self, host, name="baz", slice=None):
        self.host, self.name = host, name
        self.container = host.wait_running(name)
        self.monitor, self.pid = host.inspect(name, "State.ConmonPid"), host.inspect(name, "State.Pid")
        slice = f"{host.manager}/{slice or host.slice}"
        check_equal(os.path.basename(exe_of(self.monitor)), os.path.basename(MONITOR), "program of the monitor")
        check_equal(cgroup_of(self.monitor), f"{slice}/libpod-conmon-{self.container}.scope", "cgroup of the monitor")
        check(cgroup_of(self.pid).startswith(f"{slice}/{scope_of(self.container)}"),
              f"cgroup of the container: {cgroup_of(self.pid)}")
        for link in "BindsTo", "PartOf", "StopPropagatedFrom", "Requires":
            check("baz.service" not in host.show(scope_of(self.container), link), f"{link} names the unit")

    def expect_same(self):
        """It is the same container still, and so is its monitor."""
        check_equal(self.host.inspect(self.name, "State.Status"), "running", f"status of {self.name}")
        check_equal((self.host.inspect(self.name, "State.ConmonPid"), self.host.inspect(self.name, "State.Pid")),
                    (self.monitor, self.pid), "monitor and container")
        for pid in self.monitor, self.pid:
            check(cgroup_of(pid), f"process {pid} has gone")

    def end(self):
        """Stop it; its status is known to those who ask afterwards."""
        self.expect_same()
        self.host.podman("stop", "-t", "10", self.name)
        check_equal(self.host.podman("wait", self.name), "7", "podman wait")
        check_equal(self.host.inspect(self.name, "State.ExitCode"), "7", "ExitCode")
        self.host.podman("rm", self.name)


def finish(host):
    expect_nothing_left()
    forget_containers(*host.words)


@variants("detached_oneshot", **HOSTS)
def detached_oneshot(user):
    """The unit ends with its command, and does not wait for the container."""
    host = Host(user)
    unit = host.unit(f"Type=oneshot\nExecStart={exec_detached()}\n")
    unit.start()
    check_equal(unit.show("ActiveState"), "inactive", "ActiveState right after the start")
    unit.expect_result()
    alive = Alive(host)
    said = run(*host.words, MONITOR, "explain", "baz")
    check("it outlives baz.service" in said, f"explain: {said}")
    alive.end()
    finish(host)


@variants("detached_oneshot_delegate", **HOSTS)
def detached_oneshot_delegate(user):
    """Delegate= of a unit that does not stay supervises nobody."""
    host = Host(user)
    unit = host.unit(f"Type=oneshot\nDelegate=yes\nExecStart={exec_detached()}\n")
    unit.start()
    unit.expect_result()
    Alive(host).end()
    finish(host)


@variants("detached_remaining_oneshot", **HOSTS)
def detached_remaining_oneshot(user):
    host = Host(user)
    unit = host.unit(f"Type=oneshot\nRemainAfterExit=yes\nExecStart={exec_detached()}\n")
    unit.start()
    check_equal(unit.show("SubState"), "exited", "SubState")
    alive = Alive(host)
    unit.stop()
    alive.end()
    unit.expect_result()
    finish(host)


@variants("detached_from_shell_in_unit", **HOSTS)
def detached_from_shell_in_unit(user):
    """A deployer: restarted, stopped, killed, failed."""
    host = Host(user)
    unit = host.unit("ExecStart=" + script("podman container exists baz || " + run_detached(), STAY) + "\n")
    unit.start()
    alive = Alive(host)
    unit.restart()
    alive.expect_same()
    unit.stop()
    alive.expect_same()
    unit.expect_result()
    unit.start()
    until("its shell", unit.tree)
    unit.kill()
    unit.wait_for("failed")
    alive.end()
    unit.rewrite("[Service]\nExecStart=" + script(run_detached(), "exit 9") + "\n")
    unit.start()
    unit.wait_for("failed")
    Alive(host).end()
    finish(host)


@variants("detached_start_of_two", **HOSTS)
def detached_start_of_two(user):
    host = Host(user)
    for name in "baz", "qux":
        host.podman("create", "--name", name, "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD)
    unit = host.unit("Type=oneshot\nExecStart=/usr/bin/podman start baz qux\n")
    unit.start()
    unit.expect_result()
    alive = [Alive(host, name) for name in ("baz", "qux")]
    for container in alive:
        container.end()
    finish(host)


@variants("detached_systemd_run", **HOSTS)
def detached_systemd_run(user):
    host = Host(user)
    manager = ["--user"] if user else []
    run(*host.words, "systemd-run", *manager, "--quiet", "--collect", "--unit=job", "sh", "-c",
        run_detached() + "; " + STAY)
    alive = Alive(host)
    run(*host.systemctl, "stop", "job.service")
    alive.end()
    finish(host)


@variants("detached_by_api", **HOSTS)
def detached_by_api(user):
    """podman system service in a unit of any name."""
    host = Host(user)
    socket = f"/run/user/{pwd.getpwnam(user).pw_uid}/api.sock" if user else "/run/api.sock"
    unit = host.unit(f"ExecStart=/usr/bin/podman system service --time=0 unix://{socket}\n")
    unit.start()
    until("the socket", lambda: os.path.exists(socket))
    run(*host.words, "podman", "--remote", "--url", f"unix://{socket}", *words_of("baz")[1:])
    alive = Alive(host)
    unit.stop()
    alive.end()
    finish(host)


@variants("detached_compose", **HOSTS)
def detached_compose(user):
    """Up and down: the containers go by the unit's own command, and stay if that has none of them."""
    host = Host(user)
    unit = host.unit("Type=oneshot\nRemainAfterExit=yes\n"
                     f"ExecStart={exec_detached()}\nExecStart={exec_detached(name='qux')}\n"
                     "ExecStop=/usr/bin/podman stop -t 10 baz\n")
    unit.start()
    alive = [Alive(host, name) for name in ("baz", "qux")]
    unit.stop()
    unit.expect_result()
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode of the one that was stopped")
    host.podman("rm", "baz")
    alive[1].end()
    finish(host)


@variants("detached_pod", **HOSTS)
def detached_pod(user):
    host = Host(user)
    host.podman("pod", "create", "--infra=false", "--name=pod")
    unit = host.unit(f"Type=oneshot\nExecStart={exec_detached('--pod=pod')}\n")
    unit.start()
    unit.expect_result()
    container = host.wait_running()
    slice = os.path.dirname(cgroup_of(host.inspect("baz", "State.Pid")).split("/libpod-" + container)[0] + "/")
    alive = Alive(host, slice=slice[len(host.manager) + 1:])
    alive.end()
    host.podman("pod", "rm", "pod")
    finish(host)


@case
def detached_in_unit_of_user():
    """User= of a system unit: both scopes are the user's manager's, and its unit is the system's."""
    host = Host(USER)
    text = exec_detached()
    unit = Unit("baz.service", f"[Service]\nType=oneshot\nUser={USER}\n"
                f"Environment=XDG_RUNTIME_DIR=/run/user/{pwd.getpwnam(USER).pw_uid}\nExecStart={text}\n")
    unit.start()
    check_equal(unit.show("ActiveState"), "inactive", "ActiveState right after the start")
    Alive(host).end()
    finish(host)


@variants("detached_user_leaves", terminate={"verb": "terminate-user"}, linger={"verb": "disable-linger"})
def detached_user_leaves(verb):
    """The manager of a user ends: so do the user's containers, with their own stop signal, and their status is known."""
    host = Host(USER)
    unit = host.unit(f"Type=oneshot\nExecStart={exec_detached()}\n")
    unit.start()
    alive = Alive(host)
    run("loginctl", verb, USER)
    manager = f"user@{pwd.getpwnam(USER).pw_uid}.service"
    until("the monitor's end", lambda: not cgroup_of(alive.monitor), 60)
    until("the manager's end", lambda: run("systemctl", "show", "-P", "ActiveState", manager) != "deactivating", 60)
    run("loginctl", "enable-linger", USER)
    run("systemctl", "start", manager)
    check_equal(host.inspect("baz", "State.Status"), "exited", "status of baz")
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode")
    finish(host)


@variants("detached_kill_mode", **{mode: {"mode": mode} for mode in ("process", "mixed", "none")})
def detached_kill_mode(mode):
    host = Host()
    unit = host.unit(f"KillMode={mode}\nExecStart=" + script(run_detached(), f"exec sh -c '{STAY}'") + "\n")
    unit.start()
    alive = Alive(host)
    unit.stop()
    alive.end()
    command("systemctl", "kill", "-s", "KILL", unit.name) # what the stop has spared
    finish(host)


@variants("detached_restart_always", **HOSTS)
def detached_restart_always(user):
    """Each monitor that the policy brings is where the first was."""
    host = Host(user)
    unit = host.unit(f"Type=oneshot\nExecStart={exec_detached('--restart=always')}\n")
    unit.start()
    unit.expect_result()
    alive = Alive(host)
    host.end_process(alive.pid)
    again = Alive(host)
    check(again.monitor != alive.monitor, "there is another monitor")
    host.podman("stop", "-t", "10", "baz")
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode")
    finish(host)


# ---- and those that do not outlive their unit ------------------------------------------------------


@variants("foreground_behind_wrapper", shell={"wrapper": None}, script={"wrapper": "script -qec {} /dev/null"},
          sudo={"wrapper": "setpriv --reuid=0 --clear-groups {}"}, background={"wrapper": "{} & wait"})
def foreground_behind_wrapper(wrapper):
    """A caller that waits is the unit's, and so is what it waits for."""
    host = Host()
    inner = run_detached().replace(" run -d ", " run --rm ")
    if wrapper and wrapper.startswith("script"):
        inner = shlex.quote(inner)
    lines = [wrapper.format(inner)] if wrapper else ["true", inner]
    unit = host.unit("ExecStart=" + script(*lines, "true") + "\n")
    for end in "stop", "kill":
        unit.start()
        container = host.wait_running()
        check_equal(host.show(scope_of(container), "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
        check_equal(cgroup_of(host.inspect("baz", "State.ConmonPid")), unit.cgroup, "cgroup of the monitor")
        unit.stop() if end == "stop" else unit.kill()
        finish(host)


@variants("foreground_kill_mode", **{mode: {"mode": mode} for mode in ("process", "mixed", "none")})
def foreground_kill_mode(mode):
    """A stop that ends nobody does not end the container either."""
    host = Host()
    words = words_of("baz")
    words.remove("-d")
    unit = host.unit(f"KillMode={mode}\nSuccessExitStatus=7\nExecStart={quote(*words)}\n")
    unit.start()
    host.wait_running()
    pid = host.inspect("baz", "State.Pid")
    unit.stop()
    if mode == "none":
        check_equal(host.inspect("baz", "State.Status"), "running", "status after the stop")
        check_equal(host.inspect("baz", "State.Pid"), pid, "the container's process")
        host.podman("stop", "-t", "10", "baz")
    check_equal(host.podman("wait", "baz"), "7", "podman wait")
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode")
    finish(host)


@case
def foreground_start_attach():
    host = Host()
    host.podman("create", "--name=baz", "--network=none", "localhost/alpine", "sh", "-c", PAYLOAD)
    unit = host.unit("ExecStart=/usr/bin/podman start --attach baz\nSuccessExitStatus=7\n")
    unit.start()
    container = host.wait_running()
    check_equal(host.show(scope_of(container), "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    unit.stop()
    expect_nothing_left()
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode")


@variants("supervised", notify={"text": "Type=notify\nNotifyAccess=all", "options": ["--sdnotify=conmon"]},
          notify_wrapper={"text": "Type=notify\nNotifyAccess=all", "options": ["--sdnotify=conmon"], "wrapped": True},
          new={"text": "Type=notify\nNotifyAccess=all", "options": ["--sdnotify=conmon", "--cgroups=no-conmon"]},
          main={"text": "Type=exec\nNotifyAccess=all", "options": ["--sdnotify=conmon"]},
          forking={"text": "Type=forking", "options": []},
          pidfile={"text": "Type=forking\nPIDFile=/run/baz.pid", "options": ["--conmon-pidfile=/var/run/baz.pid"]})
def supervised(text, options, wrapped=False):
    """Detached, but the unit takes the monitor for its main process: generated units, old and new."""
    host = Host()
    # systemd may look at a notification when its sender has gone, and knows it then by being the main process only
    words = exec_detached(*options) if not wrapped else script("true", "exec " + run_detached("baz", *options))
    unit = host.unit(f"{text}\nSuccessExitStatus=7\nExecStart={words}\n")
    unit.start()
    container = host.wait_running()
    monitor = host.inspect("baz", "State.ConmonPid")
    check_equal(unit.show("MainPID"), monitor, "MainPID")
    check_equal(cgroup_of(monitor), unit.cgroup, "cgroup of the monitor")
    check_equal(host.show(scope_of(container), "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    unit.stop()
    expect_nothing_left()
    check_equal(host.inspect("baz", "State.ExitCode"), "7", "ExitCode")
    unit.expect_result()


@case
def supervised_restart_policy():
    """The monitor that the policy brings is the unit's, as the one before was."""
    host = Host()
    unit = host.unit("Type=notify\nNotifyAccess=all\nSuccessExitStatus=7\n"
                     f"ExecStart={exec_detached('--sdnotify=conmon', '--restart=always')}\n")
    unit.start()
    host.wait_running()
    before, pid = host.inspect("baz", "State.ConmonPid"), host.inspect("baz", "State.Pid")
    host.end_process(pid)
    container = host.wait_running()
    monitor = host.inspect("baz", "State.ConmonPid")
    check(monitor != before, "there is another monitor")
    if not run("podman", "--version").split()[-1].startswith("4.3."): # which moves it to a scope itself
        check_equal(cgroup_of(monitor), unit.cgroup, "cgroup of the monitor")
        check_equal(host.show(scope_of(container), "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    host.podman("stop", "-t", "10", "baz")
    unit.expect_result()
    finish(host)


KUBE = f"""apiVersion: v1
kind: Pod
metadata:
  name: kubepod
spec:
  containers:
""" + "".join(f"""  - name: {name}
    image: localhost/alpine:latest
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", "{PAYLOAD}"]
""" for name in ("one", "two"))


def placements(unit):
    """The placements that were told from within UNIT."""
    return {e["SCOPEMON_PLACEMENT"] for e in journal(f"_SYSTEMD_UNIT={unit.name}") if e.get("MESSAGE_ID") == PLACED}


@case
def supervised_pod():
    """The pod's first container is the unit's main process, and the others belong to the unit, too."""
    host = Host()
    host.podman("pod", "create", "--name=pod", "--infra-conmon-pidfile=/run/pod.pid", "--network=none")
    host.podman("create", "--pod=pod", "--name=baz", "localhost/alpine", "sh", "-c", PAYLOAD)
    unit = host.unit("Type=forking\nPIDFile=/run/pod.pid\nSuccessExitStatus=137\nExecStart=/usr/bin/podman pod start pod\n")
    unit.start()
    container = host.wait_running()
    check_equal(cgroup_of(host.inspect("baz", "State.ConmonPid")), unit.cgroup, "cgroup of the monitor")
    check_equal(host.show(scope_of(container), "StopPropagatedFrom"), "baz.service", "StopPropagatedFrom")
    check_equal(placements(unit), {"as-given"}, "placements")
    unit.stop()
    expect_processes_gone(host, "baz")
    host.podman("pod", "rm", "-f", "pod")
    finish(host)


def expect_processes_gone(host, name):
    until(f"the end of {name}", lambda: host.inspect(name, "State.Status") == "exited")
    check_equal(host.inspect(name, "State.ExitCode"), "7", f"ExitCode of {name}")


@variants("kube_unit", notify={"kind": "notify", "option": "--service-container=true"},
          oneshot={"kind": "oneshot", "option": ""})
def kube_unit(kind, option):
    """The containers of kube play end with a unit that waits for their readiness, and outlive one that only ran it."""
    host = Host()
    with open("/run/kube.yaml", "w", encoding="utf-8") as f:
        f.write(KUBE)
    unit = host.unit(f"Type={kind}\nNotifyAccess=all\nSuccessExitStatus=137\n"
                     f"ExecStart=/usr/bin/podman kube play --network=none {option} /run/kube.yaml\n")
    unit.start()
    names = ["kubepod-one", "kubepod-two"]
    for name in names:
        host.wait_running(name)
    inside = {n: cgroup_of(host.inspect(n, "State.ConmonPid")) == unit.cgroup for n in names}
    check_equal(inside, dict.fromkeys(names, kind == "notify"), "monitors in the unit")
    if kind == "notify":
        unit.stop()
        for name in names:
            expect_processes_gone(host, name)
    else:
        unit.expect_result()
        for name in names:
            check_equal(host.inspect(name, "State.Status"), "running", f"status of {name}")
    host.podman("kube", "down", "/run/kube.yaml")
    finish(host)
