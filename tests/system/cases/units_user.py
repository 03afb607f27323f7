# SPDX-License-Identifier: Apache-2.0
"""User= of a unit of the system's manager: rootless Podman in it."""

import pwd

from compare import USER, as_user, make_user, own_unit
from harness import cgroup_of, check, expect_nothing_left, forget_containers, until
from unit_cells import cells

LOOP = "while true; do sleep 0.2 & wait $!; done"
IDLE = "trap 'echo stopped; exit 0' TERM; " + LOOP
STUBBORN = "trap 'echo stopped' TERM; " + LOOP


@cells("user", "User=", ["nest", "bind", "split"])
def user(at):
    """The container is the user's, and gets the stop signal. Where Podman may not use the unit's cgroup, it moves itself
    and the monitor to the user's manager, so the stop is not known there, and is not enforced."""
    own_unit(USER)
    make_user(USER)
    uid = pwd.getpwnam(USER).pw_uid
    more = f"User={USER}\nEnvironment=XDG_RUNTIME_DIR=/run/user/{uid}\nKillMode=mixed\nTimeoutStopSec=6\nSuccessExitStatus=137"
    payloads = {"obeys": IDLE, "stubborn": STUBBORN}
    if at.placement == "bind":
        del payloads["stubborn"]
    for name, payload in payloads.items():
        unit = at.unit(payload, more, name=name).up()
        where = cgroup_of(unit.pid())
        check(where.startswith(unit.cgroup + "/") == (at.placement != "bind"), f"the container is in {where}")
        at.saw("User=", unit.status("Uid").split()[0] == str(uid), where)
        unit.stop()
        check("stopped" in unit.lines() and not unit.runs(), f"after its stop: {unit.lines()}, pid {unit.pid()}")
        unit.expect_result()
    expect_nothing_left()
    forget_containers(*as_user(USER))
