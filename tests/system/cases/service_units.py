# SPDX-License-Identifier: Apache-2.0
"""Service mode by the units that are shipped, for root and for an ordinary user, and by systemd-run."""

import functools
import json
import os
import pwd
import shutil

from cases import service_mode
from compare import as_user
from harness import (CGROUPS, UNITS, Unit, check, check_equal, command, journal, messages, run, tree, until,
                     variants)

WHO = "oci-user"
MISCONFIGURED = "d4778fe9538641568ca7c9e539e1fdfe" # SCOPEMON_MESSAGE_MISCONFIGURED
BOTH = {"system": {"user": False}, "user": {"user": True}}
PAYLOAD = "trap 'echo got-usr1' USR1; trap 'echo got-term; exit 3' TERM; echo hello; i=0; " \
          "while true; do i=$((i+1)); echo tick-$i; sleep 0.5 & wait $!; done"


class Here:
    """Where the unit is: the words that speak to its manager, its file, its bundle, its cgroup."""

    def __init__(self, user, runtime=None):
        self.user = user
        self.runtime = runtime or shutil.which("runc")
        self.words, self.prefix = ["systemctl"], []
        self.bindir = "/usr/local/bin"
        self.folder, self.bundles, self.group, self.field = UNITS, "/var/lib/oci", "/system.slice/system-oci.slice", "_SYSTEMD_UNIT"
        if user:
            home, uid = make_user()
            self.prefix = as_user(WHO)
            self.words = [*self.prefix, "systemctl", "--user"]
            self.folder, self.bundles = f"{home}/.config/systemd/user", f"{home}/.local/share/oci"
            self.group = f"/user.slice/user-{uid}.slice/user@{uid}.service/app.slice/app-oci.slice"
            self.field = "_SYSTEMD_USER_UNIT"

    def bundle(self, payload=PAYLOAD, **annotations):
        service_mode.make_bundle(payload, **annotations)
        if not self.user:
            return
        target = f"{self.bundles}/baz"
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(self.bundles, exist_ok=True)
        shutil.move(service_mode.BUNDLE, target)
        run(*self.prefix, "true")
        make_rootless(f"{target}/config.json")
        run("chown", "-R", f"{WHO}:", pwd.getpwnam(WHO).pw_dir)

    def runtime_dir(self):
        return f"/run/user/{pwd.getpwnam(WHO).pw_uid}" if self.user else "/run"

    def change_bundle(self, change):
        """Have CHANGE see to the dictionary that is in config.json."""
        path = f"{self.bundles}/baz/config.json"
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        change(config)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)

    def unit(self, more=""):
        """oci@baz.service, as it is installed, with the lines MORE in [Service]."""
        text = self.shipped("oci@.service").replace("[Install]", more + "\n[Install]")
        os.makedirs(self.folder, exist_ok=True)
        return Unit("oci@baz.service", text, systemctl=self.words, folder=self.folder, slice=self.group)

    def shipped(self, name):
        """The text of units/NAME as it is installed, for our runtime."""
        with open(f"/opt/scopemon-units/{name}", encoding="utf-8") as f:
            text = f.read()
        for word, value in {"bindir": self.bindir, "target": "default.target", "bundles":
                            "%h/.local/share/oci" if self.user else self.bundles}.items():
            text = text.replace(f"@{word}@", value)
        return text.replace("--name %i", f"--name %i --runtime {self.runtime}")

    def lines(self, unit="oci@baz.service"):
        return messages(f"{self.field}={unit}")

    def started(self, unit):
        unit.start()
        until("its first lines", lambda: "tick-1" in self.lines(unit.name))
        return unit.show("ControlGroup")


def make_user():
    """A user with a manager that lives without a session."""
    if command("id", WHO)[0] != 0:
        run("useradd", "--create-home", WHO)
    user = pwd.getpwnam(WHO)
    run("loginctl", "enable-linger", WHO)
    until("the user's manager", lambda: os.path.exists(f"/run/user/{user.pw_uid}/systemd/private"))
    if not os.path.ismount("/run/proc"): # as in compare.make_user()
        os.makedirs("/run/proc", exist_ok=True)
        run("mount", "-t", "proc", "proc", "/run/proc")
    return user.pw_dir, user.pw_uid


def make_rootless(path, who=WHO):
    """What runc spec --rootless writes for a user, who maps no more than itself."""
    user = pwd.getpwnam(who)
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    linux = config["linux"]
    linux["uidMappings"] = [{"containerID": 0, "hostID": user.pw_uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": user.pw_gid, "size": 1}]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"] + [{"type": "user"}]
    linux.pop("resources", None)
    for mount in config["mounts"]:
        mount["options"] = [o for o in mount.get("options", []) if not o.startswith("gid=")]
    config["mounts"] = [m for m in config["mounts"] if m["destination"] not in ("/sys", "/sys/fs/cgroup")]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)


def frozen(group):
    with open(f"{CGROUPS}{group}/cgroup.events", encoding="utf-8") as f:
        return "frozen 1" in f.read()


def expect_gone(group):
    until("its cgroup to go", lambda: not os.path.exists(CGROUPS + group))


@variants("service_unit", system={"user": False}, user={"user": True, "runtime": "/usr/bin/crun"},
          user_runc={"user": True})
def service_unit(user, runtime=None):
    here = Here(user, runtime)
    here.bundle()
    unit = here.unit()
    group = here.started(unit)
    check_equal(sorted(tree(group)), ["/libpod-payload-scopemon-baz", "/supervisor"], "groups of the unit")
    unit.systemctl("freeze", unit.name)
    until("the container to be frozen", lambda: frozen(f"{group}/libpod-payload-scopemon-baz"))
    unit.systemctl("thaw", unit.name)
    check(not frozen(f"{group}/libpod-payload-scopemon-baz"), "thawed")
    unit.stop()
    check_equal(unit.show("ExecMainStatus"), "3", "the container's status is the unit's")
    check_equal(here.lines().count("got-term"), 1, "stop signals")
    check_equal(here.lines().count("hello"), 1, "first lines")
    check(not [m for m in here.lines() if m and "lost" in m], "words of loss")
    expect_gone(group)


@variants("service_unit_succeeds", **BOTH)
def service_unit_succeeds(user):
    """SuccessExitStatus= is about the container's status."""
    here = Here(user)
    here.bundle()
    unit = here.unit("SuccessExitStatus=3")
    group = here.started(unit)
    unit.stop()
    check_equal((unit.show("Result"), unit.show("ActiveState")), ("success", "inactive"), "result and state")
    expect_gone(group)


@variants("service_unit_restarts", **BOTH)
def service_unit_restarts(user):
    """Restart=on-failure, also after all of it was killed, which the runtime does not know of."""
    here = Here(user)
    here.bundle()
    unit = here.unit("Restart=on-failure\nRestartSec=100ms")
    here.started(unit)
    first = unit.show("MainPID")
    unit.kill()
    until("another start", lambda: here.lines().count("hello") == 2)
    until("another monitor", lambda: unit.show("MainPID") not in (first, "0"))
    unit.wait_for("active")
    group = unit.show("ControlGroup")
    unit.stop()
    expect_gone(group)


@variants("service_by_systemd_run", **BOTH)
def service_by_systemd_run(user):
    """A container that is not worth a unit file, as the manual page has it."""
    here = Here(user)
    here.bundle()
    ask = functools.partial(run, *here.words)
    run(*here.prefix, "systemd-run", *(["--user"] if user else []), "--unit=adhoc", "--quiet", "-p", "Type=notify",
        "-p", "Delegate=yes", "-p", "KillMode=mixed", "-p", "TasksMax=100", "-p", "SuccessExitStatus=3",
        "/usr/local/bin/scopemon", "--service", "--bundle", f"{here.bundles}/baz", "--runtime", here.runtime)
    until("its first lines", lambda: "tick-1" in here.lines("adhoc.service"))
    check_equal(ask("show", "-P", "ActiveState", "adhoc.service"), "active", "state")
    group = ask("show", "-P", "ControlGroup", "adhoc.service")
    check_equal(sorted(tree(group)), ["/libpod-payload-scopemon-baz", "/supervisor"], "groups of the unit")
    ask("stop", "adhoc.service")
    expect_gone(group)
    check_equal(ask("show", "-P", "LoadState", "adhoc.service"), "not-found", "what is left of the unit")


@variants("service_in_scope", **BOTH)
def service_in_scope(user):
    """--placement=scope: beside the unit, stopped with it by its own signal, and again after all was killed."""
    here = Here(user)
    here.bundle()
    here.runtime += " --placement=scope"
    unit = here.unit("Delegate=no\nSuccessExitStatus=3")
    here.started(unit)
    ask = functools.partial(run, *here.words, "show", "-P")
    group = ask("ControlGroup", "oci-baz.scope")
    check(group.endswith("/user.slice/oci-baz.scope" if user else "/machine.slice/oci-baz.scope"), group)
    check_equal(len(tree(group)), 1, "groups of the scope with processes")
    check_equal(ask("StopPropagatedFrom", "oci-baz.scope"), "oci@baz.service", "StopPropagatedFrom of the scope")
    check_equal(messages(f"OBJECT{here.field}=oci-baz.scope").count("hello"), 1, "its lines under its scope")
    unit.stop()
    check_equal(unit.show("Result"), "success", "result")
    check_equal(here.lines().count("got-term"), 1, "stop signals")
    expect_gone(group)
    unit.start()
    until("another start", lambda: here.lines().count("hello") == 2)
    unit.kill()
    unit.wait_for("failed")
    expect_gone(group)
    check_equal(ask("LoadState", "oci-baz.scope"), "not-found", "what is left of the scope")
    unit.start()
    until("a third start", lambda: here.lines().count("hello") == 3)
    unit.stop()
    expect_gone(group)


@variants("service_kill_mode_is_told", **BOTH)
def service_kill_mode_is_told(user):
    """systemd's default signals the container behind its monitor's back: one entry says so, and what helps."""
    here = Here(user)
    here.bundle()
    unit = here.unit("KillMode=control-group")
    group = here.started(unit)
    told = [e for e in journal(f"{here.field}={unit.name}") if e.get("MESSAGE_ID") == MISCONFIGURED]
    check_equal([e.get("SCOPEMON_REMEDY") for e in told], ["set KillMode=mixed in the unit"], "remedies")
    unit.stop()
    expect_gone(group)
