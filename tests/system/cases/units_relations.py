# SPDX-License-Identifier: Apache-2.0
"""systemd.unit: what stops a unit stops its container, whoever asks for it; verbs of systemctl; where the container's cgroup is."""

import os

from harness import CGROUPS, Unit, cgroup_of, check, check_equal, command, run, until
from unit_cells import PLACEMENTS, cells

IDLE = "trap 'echo stopped; exit 0' TERM; trap 'echo by-USR1; exit 0' USR1; while true; do sleep 0.2 & wait $!; done"
OTHER = "[Service]\nExecStart=/bin/sleep infinity\n"


@cells("relations", """PartOf=, BindsTo=, Requires=, Conflicts=, PropagatesStopTo=, StopWhenUnneeded=, OnFailure=, OnSuccess=,
RefuseManualStop=, JobTimeoutSec=""")
def relations(at):
    other = Unit("other.service", OTHER)
    told = "/run/told"
    Unit("tells.service", f"[Service]\nType=oneshot\nExecStart=/bin/touch {told}\n")
    for i, (row, head, ends) in enumerate((
            ("PartOf=", "PartOf=other.service\nAfter=other.service", ("stop", "other")),
            ("BindsTo=", "BindsTo=other.service\nAfter=other.service", ("kill", "other")),
            ("Requires=", "Requires=other.service\nAfter=other.service", ("stop", "other")),
            ("PropagatesStopTo=", "StopPropagatedFrom=other.service\nAfter=other.service", ("stop", "other")),
            ("Conflicts=", "Conflicts=another.service", ("start", "another")))):
        other.start()
        if row == "Conflicts=":
            Unit("another.service", OTHER)
        unit = at.unit(IDLE, "KillMode=mixed", head, name=f"rel-{i}").up()
        run("systemctl", ends[0], ends[1])
        until(f"{unit.name} to stop with {row}", lambda unit=unit: unit.show("ActiveState") == "inactive")
        at.saw(row, not unit.runs() and "stopped" in unit.lines(), unit.lines())
    unit = at.unit(IDLE, "KillMode=mixed", "StopWhenUnneeded=yes", name="unneeded")
    wants = Unit("wants.service", f"[Unit]\nWants={unit.name}\nAfter={unit.name}\n{OTHER}")
    wants.start()
    unit.wait_up()
    wants.stop()
    until("it to be stopped", lambda: unit.show("ActiveState") == "inactive")
    at.saw("StopWhenUnneeded=", not unit.runs() and "stopped" in unit.lines(), unit.lines())
    unit.stop()
    for row, payload in (("OnFailure=", "exit 7"), ("OnSuccess=", "exit 0")):
        command("rm", "-f", told)
        at.unit("sleep 0.3; " + payload, head=f"{row}tells.service", name=row[:-1].lower()).up()
        until(row, lambda: os.path.exists(told))
        at.saw(row, True)
    unit = at.unit(IDLE, "KillMode=mixed", "RefuseManualStop=yes", name="refuses").up()
    at.saw("RefuseManualStop=", command("systemctl", "stop", unit.name)[0] != 0 and unit.runs())
    unit.rewrite(open(unit.path, encoding="utf-8").read().replace("RefuseManualStop=yes", "JobTimeoutSec=20"))
    unit.stop()
    at.saw("JobTimeoutSec=", not unit.runs() and "stopped" in unit.lines(), unit.lines())


@cells("isolate", "systemctl isolate, systemctl clean")
def isolate(at):
    """isolate stops the unit. clean is refused while it runs, and removes its directories afterwards."""
    kept = "units-kept"
    directories = "RuntimeDirectory=" + ("oci/baz " if at.ours else "") + kept
    unit = at.unit("(trap 'echo worker-TERM' TERM; while true; do sleep 0.2; done) & " + IDLE, f"KillMode=mixed\n{directories}\nRuntimeDirectoryPreserve=yes").up()
    check(command("systemctl", "clean", "--what=runtime", unit.name)[0] != 0 and unit.runs(), "it was cleaned while it runs")
    others = [line.split()[0] for line in run("systemctl", "list-units", "--plain", "--no-legend", "--state=active").splitlines()]
    others = [name for name in others if name != unit.name and not name.startswith("libpod-") and not name.endswith(".device")]
    Unit("cells.target", "[Unit]\nAllowIsolate=yes\n" + "".join(f"Wants={name}\n" for name in others))
    run("systemctl", "isolate", "cells.target")
    unit.wait_for("inactive")
    at.saw("systemctl isolate", not unit.runs() and "stopped" in unit.lines() and "worker-TERM" not in unit.lines(), unit.lines())
    check(os.path.exists(f"/run/{kept}"), "the directory is not kept")
    run("systemctl", "clean", "--what=runtime", unit.name)
    at.saw("systemctl clean", not os.path.exists(f"/run/{kept}"))


def frozen(unit):
    with open(f"{CGROUPS}{cgroup_of(unit.pid())}/cgroup.events", encoding="ascii") as f:
        return "frozen 1" in f.read()


@cells("verbs", """systemctl start, systemctl stop, systemctl restart, systemctl try-restart, systemctl freeze, systemctl thaw,
systemctl daemon-reload, systemctl daemon-reexec, drop-in while it runs, Slice=, templates""", user=PLACEMENTS)
def verbs(at):
    unit = at.unit(IDLE, "KillMode=mixed\nSlice=cells.slice", name="baz").up()
    at.saw("systemctl start", unit.runs())
    at.saw("Slice=", cgroup_of(unit.pid()).startswith(f"{at.top}/cells.slice/"), cgroup_of(unit.pid()))
    first = unit.pid()
    at.systemctl("daemon-reload")
    at.saw("systemctl daemon-reload", unit.pid() == first and unit.show("ActiveState") == "active")
    at.systemctl("daemon-reexec")
    until("the manager to be back", lambda: unit.show("ActiveState") == "active")
    at.saw("systemctl daemon-reexec", unit.pid() == first)
    unit.systemctl("freeze", unit.name)
    at.saw("systemctl freeze", frozen(unit))
    unit.systemctl("thaw", unit.name)
    at.saw("systemctl thaw", not frozen(unit))
    unit.restart()
    unit.wait_up(2)
    at.saw("systemctl restart", unit.pid() != first and unit.lines().count("stopped") == 1, unit.lines())
    unit.systemctl("try-restart", unit.name)
    unit.wait_up(3)
    at.saw("systemctl try-restart", unit.lines().count("stopped") == 2, unit.lines())
    folder = f"{unit.path}.d"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/signal.conf", "w", encoding="utf-8") as f:
        f.write("[Service]\nKillSignal=SIGUSR1\n")
    unit.systemctl("daemon-reload")
    unit.stop()
    run("rm", "-r", folder)
    at.saw("drop-in while it runs", "by-USR1" in unit.lines(), unit.lines())
    unit.systemctl("daemon-reload")
    unit = at.unit(IDLE, "KillMode=mixed", name="instance", unit="baz@1.service").up()
    check(unit.runs(), "the instance runs")
    unit.stop()
    at.saw("systemctl stop", not unit.runs() and "stopped" in unit.lines())
    at.saw("templates", unit.show("Result") == "success" and not unit.runs())
    check_equal(at.systemctl("list-units", "--plain", "--no-legend", "libpod*"), "", "scopes")
