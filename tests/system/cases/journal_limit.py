# SPDX-License-Identifier: Apache-2.0
"""What journald takes and throws away by its rate limit is counted and said, once."""

import contextlib
import json
import os
import time

import cases.explain
from cases.explain import ENDED, explain
from cases.user import user_service
from compare import STOCK
from harness import MONITOR, Skip, check, check_equal, case, podman, run, service, until, variants

SUPPRESSED = "6e3990008d3e42538effab0a71e05c85"
LINES = 5000
FLOOD = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo \"numbered $i\"; done"
SETTING = "/etc/systemd/journald.conf.d/zz-limit.conf"  # after that of the machine, which lifts the limit


@contextlib.contextmanager
def limit():
    """journald makes some more of it while the disk has room."""
    with open(SETTING, "w", encoding="utf-8") as f:
        f.write("[Journal]\nRateLimitIntervalSec=30s\nRateLimitBurst=100\n")
    try:
        run("systemctl", "restart", "systemd-journald")
        yield
    finally:
        os.unlink(SETTING)
        run("systemctl", "restart", "systemd-journald")


def since(entries, begun):
    """Those that have come since the case has begun: the one before it may have been in the same second."""
    return [e for e in entries if int(e["__REALTIME_TIMESTAMP"]) >= begun * 1000000]


def told(message, begun):
    """Our entries of one kind."""
    return since(cases.explain.told(message), begun)


def flood(payload, **how):
    if MONITOR == STOCK:
        raise Skip("the stock monitor never tells")
    unit = service(payload, **how)
    unit.start()
    return unit


def stored(begun):
    """How many lines are there."""
    run("journalctl", "--sync")
    entries = map(json.loads, run("journalctl", "-o", "json", "--all", f"--since=@{int(begun)}", "CONTAINER_NAME=baz").splitlines())
    return sum(str(e.get("MESSAGE", "")).startswith("numbered") for e in since(entries, begun))


def the_end(begun):
    """Our entry of the end, which the rate limit must not meet."""
    ends = until("the entry of the end", lambda: told(ENDED, begun))
    check_equal(len(ends), 1, "entries of the end")
    return ends[0]


def check_told(begun):
    """How many lines are missing is told once when it is known, and at the end."""
    end, missing = the_end(begun), LINES - stored(begun)
    check(0 < missing < LINES, f"{missing} of {LINES} lines are missing")
    check_equal(end["SCOPEMON_ENTRIES_SUPPRESSED"], str(missing), "told at the end")
    entries = told(SUPPRESSED, begun)
    check_equal([(e["SCOPEMON_ENTRIES_SUPPRESSED"], e["SCOPEMON_ENTRIES"], e["PRIORITY"]) for e in entries],
                [(str(missing), str(LINES), "4")], "entries about it")
    return entries[0], missing


@variants("journal_limit_at_the_end", plain={}, delegate={"delegate": True}, tty={"tty": True})
def journal_limit_at_the_end(**how):
    """A flood and the end: journald itself never tells, as nothing comes later."""
    begun = time.time()
    with limit():
        flood(FLOOD, **how).expect_result()
    entry, missing = check_told(begun)
    check("LogRateLimitBurst= in baz.service" in entry["MESSAGE"], entry["MESSAGE"])
    check_equal(explain("baz", status=3)["end"]["entries_suppressed"], missing, "scopemon explain")


@case
def journal_limit_of_a_user():
    """All units of a user's manager share one limit, that of user@UID.service."""
    begun = time.time()
    with limit():
        unit, _ = user_service(FLOOD, False)
        unit.start()
        unit.expect_result()
    entry, _ = check_told(begun)
    check("LogRateLimitBurst= in user@" in entry["MESSAGE"], entry["MESSAGE"])


@case
def journal_limit_while_it_runs():
    """Told when half a minute is over, and only once; what comes later is there."""
    begun = time.time()
    with limit():
        unit = flood(f"{FLOOD}; sleep 45; echo later; sleep 1000")
        entries = until("an entry about it", lambda: told(SUPPRESSED, begun), within=60)
        missing = LINES - stored(begun)
        check(missing > 0, "nothing is missing")
        check_equal(entries[0]["SCOPEMON_ENTRIES_SUPPRESSED"], str(missing), "lines that are missing")
        check_equal(run(MONITOR, "list", "--no-legend", "-o", "container,lost,suppressed", "baz").split(),
                    ["baz", "0", str(missing)], "list")
        until("what comes later", lambda: "later" in run("journalctl", "-o", "cat", "CONTAINER_NAME=baz"), within=60)
        lines = podman("logs", "baz").splitlines()
        check_equal((len(lines), lines[-1]), (LINES - missing + 1, "later"), "podman logs")
        unit.stop()
    check_equal((len(told(SUPPRESSED, begun)), the_end(begun)["SCOPEMON_ENTRIES_SUPPRESSED"]), (1, str(missing)), "told at the end")


@case
def journal_limit_not_met():
    """A flood that journald keeps is nothing to tell of."""
    begun = time.time()
    unit = flood(FLOOD)
    unit.expect_result()
    end = the_end(begun)
    check_equal(stored(begun), LINES, "lines in the journal")
    check_equal((end["SCOPEMON_ENTRIES_SUPPRESSED"], end["PRIORITY"]), ("0", "6"), "the end")
    check_equal(told(SUPPRESSED, begun), [], "entries about it")
