# SPDX-License-Identifier: Apache-2.0
"""The real journald, stopped, killed and restarted while a container prints: tests/faults has the same with a stand-in."""

import json
import time

from harness import case, check, check_equal, command, inspect, run, service, until, wait_running

LINES = 10000
SLOWLY = f"""i=0
while [ $i -lt {LINES} ]; do
        i=$((i+1)); echo "numbered $i"
        [ $((i % 100)) -ne 0 ] || sleep 0.1
done"""


def numbers(begun):
    """Of the lines in the journal, in their order."""
    until("journald", lambda: command("journalctl", "--sync")[0] == 0)
    out = run("journalctl", "-o", "json", "--all", f"--since=@{int(begun)}", "CONTAINER_NAME=baz")
    said = [str(json.loads(line).get("MESSAGE", "")).strip() for line in out.splitlines() if line.startswith("{")]
    return [int(m.split()[1]) for m in said if m.startswith("numbered")]


def disturbed(disturb, most_lost=0):
    """DISTURB happens three times while lines come."""
    begun = time.time()
    unit = service(SLOWLY)
    unit.start()
    container = wait_running()
    for _ in range(3):
        time.sleep(1)  # lines come meanwhile
        check_equal(inspect(container, "State.Status"), "running", "the container, which prints for 10 s")
        disturb()
    unit.wait_for("inactive", within=90)
    unit.expect_result()
    found = numbers(begun)
    check_equal(found, sorted(set(found)), "numbers in the journal, each once and in their order")
    missing = LINES - len(found)
    check(0 <= missing <= most_lost, f"{missing} lines are missing: {sorted(set(range(1, LINES + 1)) - set(found))[:10]}")


def journald(signal):
    run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "systemd-journald.service")


@case
def journal_real_stopped():
    def stop():
        journald("STOP")
        time.sleep(2)  # shorter than the container would be held back for
        journald("CONT")

    disturbed(stop)


@case
def journal_real_killed():
    """What it had in hand may go with it: one entry each time."""
    disturbed(lambda: journald("KILL"), 3)


@case
def journal_real_restarted():
    disturbed(lambda: run("systemctl", "restart", "systemd-journald.service"))
