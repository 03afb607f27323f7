# SPDX-License-Identifier: Apache-2.0
"""systemd.resource-control of a unit, and credentials: what of it reaches the container."""

import shutil

from compare import STOCK
from harness import MONITOR, cgroup_of, check, check_equal, command, messages, until
from unit_cells import cells

IDLE = "trap 'echo stopped; exit 0' TERM; while true; do sleep 0.2 & wait $!; done"


@cells("delegate", "Delegate=yes, Delegate=no, Delegate=, Delegate=cpu memory")
def delegate(at):
    """Is the container in the unit's cgroup? It ends with the unit in any case."""
    for i, row in enumerate(("Delegate=yes", "Delegate=", "Delegate=cpu memory", "Delegate=no")):
        unit = at.unit(IDLE, f"KillMode=mixed\n{row}", name=f"delegate-{i}")
        if at.ours and row == "Delegate=no":
            check(command("systemctl", "start", unit.name)[0] != 0, "it has started")
            check(any("is not delegated" in str(m) for m in messages("-u", unit.name)), "nothing is said about it")
            at.saw(row, unit.runs())
            continue
        unit.up()
        where = cgroup_of(unit.pid())
        at.saw(row, where.startswith(unit.cgroup + "/"), where)
        unit.stop()
        check(not unit.runs() and "stopped" in unit.lines(), f"after its stop, with {row}: {unit.lines()}")


@cells("credentials", "LoadCredential=")
def credentials(at):
    unit = at.unit("cat /credentials/token /host/run/credentials/oci@baz.service/token 2>/dev/null; echo; echo; echo tried;" + IDLE, "SetCredential=token:a-secret",
                   options=["--volume=/run/credentials/baz.service:/credentials:ro"]).up()
    unit.said("tried")
    at.saw("LoadCredential=", "a-secret" in unit.lines(), unit.lines())
    unit.stop()


def with_device(config):
    tun = {"type": "c", "major": 10, "minor": 200}
    config["linux"]["devices"] = [{"path": "/dev/net/tun", "fileMode": 0o666, **tun}]
    config["linux"]["resources"]["devices"].append({"allow": True, "access": "rwm", **tun})


TRIES = """nc -ll -p 7 -e echo served & i=0; while true; do i=$((i+1)); net=$(timeout 1 nc -w 1 127.0.0.1 7 </dev/null 2>/dev/null | head -n 1)
dev=$( (exec 3</dev/net/tun) 2>/dev/null && echo opened); echo try $i $net $dev; sleep 0.1; done"""


@cells("filters", "IPAddressDeny=, DevicePolicy=, systemctl set-property")
def filters(at):
    """Filters of the unit's cgroup hold in any network."""
    def seen():
        """What a later try finds."""
        last = len(unit.lines())
        return set(until("another try", lambda: unit.lines()[last + 1:last + 2])[0].split()[2:])

    denies = ["IPAddressDeny=any", "DevicePolicy=closed"]
    for name, more in ("free", ""), ("denied", "\n".join(denies)):
        unit = at.unit(TRIES, f"KillSignal=SIGKILL\n{more}", name=name, options=["--device=/dev/net/tun"], bundle=with_device).up()
        if more:
            said = seen()
            at.saw("IPAddressDeny=", "served" not in said, said)
            at.saw("DevicePolicy=", "opened" not in said, said)
        else:
            until("the listener", lambda: seen() == {"served", "opened"})
            unit.systemctl("set-property", "--runtime", unit.name, *denies)
            said = seen()
            at.saw("systemctl set-property", not said, said)
            shutil.rmtree(f"/run/systemd/system.control/{unit.name}.d")
        unit.stop()


def in_unit(at, *rows):
    """A controller's limits of a cgroup are those of all in it."""
    unit = at.unit(IDLE, "CPUWeight=50\nMemoryMax=200M\nTasksMax=100").up()
    where = cgroup_of(unit.pid())
    for row in rows:
        at.saw(row, where.startswith(unit.cgroup + "/"), where)
    told = [m for m in messages("-u", unit.name) if "MemoryMax=, TasksMax= of baz.service does not apply" in str(m)]
    check_equal(len(told), int(at.placement == "bind" and MONITOR != STOCK), "entries about it")
    unit.stop()


@cells("weight", "CPUWeight=", ["nest", "service"])
def weight(at):
    in_unit(at, "CPUWeight=")


@cells("limits", "CPUWeight=, MemoryMax=, TasksMax=", ["bind", "split"]) # of others: kernel.py
def limits(at):
    in_unit(at, "CPUWeight=", "MemoryMax=", "TasksMax=")
