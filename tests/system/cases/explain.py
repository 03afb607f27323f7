# SPDX-License-Identifier: Apache-2.0
"""scopemon explain and list tell what is true, and journalctl -x what our messages mean."""

import re
import json
import os
import pwd
import shutil
import time

import compare
from cases import service_mode
from harness import (MONITOR, OBEYS, Skip, case, cgroup_of, check, check_equal, command, exe_of, expect_nothing_left,
                     inspect, messages, pids, podman, run, scope_of, service, session, until, variants, wait_running,
                     worker_of)

CATALOG = "/opt/scopemon-units/scopemon.catalog"
PLACED, ENDED, TIMED_OUT, MISCONFIGURED = (
    "b5c36f7a6d2a4e329b40dfe192459d67", "ae7f4f850114466f8c4d890f6616381e", "3daa99969dc146e295a5bd6e7d99b172",
    "d4778fe9538641568ca7c9e539e1fdfe")


def scopemon(*words, prefix=()):
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor answers no questions")
    return command(*prefix, MONITOR, *words)


def explain(word, status=0, prefix=(), more=()):
    """What is told of the one container that WORD means."""
    seen, out, err = scopemon("explain", "--json=short", *more, word, prefix=prefix)
    check_equal(seen, status, f"status of explain {word} ({err.strip()})")
    found = json.loads(out)
    check_equal(len(found), 1, f"containers that {word} means")
    return found[0]


def settled(word):
    """explain(), once the journal has what the monitor said."""
    return until("the monitor's entry", lambda: (lambda e: e["placement"]["source"] == "journal" and e)(explain(word)))


def told(message, container=None):
    """Our entries of one kind. Not with journal(): journalctl 252 leaves out the first match behind a cursor that does
    not match itself."""
    run("journalctl", "--sync")
    lines = run("journalctl", "-o", "json", "--all", f"MESSAGE_ID={message}").splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [e for e in entries if container in (None, e["SCOPEMON_CONTAINER_ID"])]


@variants("explain_running", delegate={"delegate": True}, nodelegate={"delegate": False})
def explain_running(delegate):
    unit = service(OBEYS, delegate=delegate)
    unit.start()
    container = wait_running()
    seen = until("sh and sleep", lambda: (lambda e: e["container"]["processes"] >= 2 and e)(settled("baz")))
    monitor, pid = int(inspect("baz", "State.ConmonPid")), int(inspect("baz", "State.Pid"))

    check_equal((seen["id"], seen["name"], seen["running"], seen["owner"]), (container, "baz", True, 0), "who")
    check_equal((seen["monitor"]["pid"], seen["worker"]["pid"]), (monitor, worker_of(monitor)), "monitor and worker")
    check(seen["monitor"]["scopemon"], "our own monitor is not known as such")
    check_equal(seen["monitor"]["cgroup"], cgroup_of(monitor), "cgroup of the monitor")
    check_equal(seen["container"]["pid"], pid, "first process")
    check(cgroup_of(pid).startswith(seen["container"]["cgroup"]), f"cgroup of the container: {cgroup_of(pid)}")
    check_equal(seen["placement"]["name"], "nest" if delegate else "bind", "placement")
    check_equal(seen["placement"]["caller_unit"], "baz.service", "unit of the caller")
    check_equal(seen["unit"]["name"], "baz.service" if delegate else scope_of(container), "unit of the container")
    check_equal(seen["unit"]["delegate"], True, "Delegate")
    check("baz.service" in seen["stop"]["with"], f"what stops it: {seen['stop']}")
    expected = ["baz.service"] if delegate else ["baz.service", scope_of(container)]
    check_equal(seen["stop"]["shutdown"], expected, "what shutdown stops, in this order")

    words = [container, container[:12], str(pid), str(monitor), str(worker_of(monitor)), "baz.service"]
    for word in words + ([] if delegate else [scope_of(container)]):
        check_equal(explain(word)["id"], container, f"container that {word} means")
    status, out, _ = scopemon("explain", "baz")
    check_equal(status, 0, "status of explain")
    check(len(out.splitlines()) <= 15, "more lines than one takes in")
    for text in (container, str(monitor), f"Placement: {'nest' if delegate else 'bind'}: baz.service", "Shutdown: baz.service"):
        check(text in out, f"explain does not say {text!r}")
    columns = "container,id,monitor,pid,placement,unit,state"
    row = next(line.split() for line in scopemon("list", "-o", columns)[1].splitlines() if line.startswith("baz "))
    check_equal(row, ["baz", container[:12], str(monitor), str(pid), "nest" if delegate else "bind",
                      "baz.service" if delegate else scope_of(container), "running"], "row of list")
    unit.stop()


@variants("explain_order_is_what_happens", delegate={"delegate": True}, nodelegate={"delegate": False})
def explain_order_is_what_happens(delegate):
    """What is said to be stopped with the unit is gone with it."""
    unit = service(OBEYS, delegate=delegate)
    unit.start()
    wait_running()
    seen = settled("baz")
    check("baz.service" in seen["stop"]["with"], "the unit's stop is not said to stop the container")
    unit.stop()
    expect_nothing_left()
    check_equal(explain("baz", status=3)["running"], False, "running")


@case
def explain_ended():
    unit = service("echo line; exit 42")
    unit.start()
    unit.wait_for("failed")
    expect_nothing_left()
    seen = until("the last run", lambda: (lambda e: "end" in e and e)(explain("baz", status=3)))
    end = seen["end"]
    check_equal((end["status"], end["signal"], end["oom"], end["bytes"], end["bytes_lost"], end["other_id"]),
                (42, 0, False, 5, 0, False), "how it ended")
    check(end["duration_usec"] < 60_000_000, "how long it ran")
    check(abs(end["when"] / 1e6 - time.time()) < 300, "when it ended")
    check_equal(explain("baz.service", status=3)["id"], seen["id"], "container of the unit")
    check_equal(explain(seen["id"], status=3)["name"], "baz", "name of the ID")
    out = scopemon("explain", "baz")[1]
    check("exited with status 42" in out and "not running" in out, "explain does not say how it ended")

    first = seen["id"]
    service(OBEYS).start()
    container = wait_running()
    check(container != first, "the same container")
    end = explain("baz")["end"]
    check(end["other_id"] and end["status"] == 42, f"the last run of a running container: {end}")


@case
def explain_service_mode():
    """The unit is the container; also when it has ended, by the name of either."""
    service_mode.make_bundle()
    unit = service_mode.unit()
    unit.start()
    until("its first lines", lambda: "tick-1" in messages("-u", "baz.service"))
    seen = settled("baz")
    main = int(unit.show("MainPID"))
    check_equal((seen["id"], seen["name"], seen["monitor"]["pid"]), ("scopemon-baz", "baz", main), "who")
    check_equal(seen["worker"]["pid"], worker_of(main), "worker")
    check_equal(seen["unit"]["name"], "baz.service", "unit of the container")
    check_equal((seen["placement"]["name"], seen["stop"]["shutdown"]), ("nest", ["baz.service"]), "placement, and what stops it")
    for word in "baz.service", "scopemon-baz", str(main), str(seen["container"]["pid"]), str(seen["worker"]["pid"]):
        check_equal(explain(word)["id"], "scopemon-baz", f"container that {word} means")
    unit.stop()
    for word in "baz", "baz.service":
        seen = until("the end", lambda: (lambda e: "end" in e and e)(explain(word, status=3)))
        check_equal((seen["running"], seen["end"]["status"]), (False, 3), f"{word}, which has ended")


@case
def explain_pod_and_exec():
    """A pod's slice means all containers of it, a process of an exec session its container."""
    podman("pod", "create", "--name=pod", "--network=none")
    for name in "baz", "qux":
        podman("run", "-d", "--pod=pod", f"--name={name}", "localhost/alpine", "sh", "-c", OBEYS)
        wait_running(name)
    podman("exec", "-d", "baz", "sleep", "12345")
    seen = until("the session", lambda: (lambda e: e["execs"] == 1 and e)(settled("baz")))
    check_equal(seen["placement"]["name"], "moved", "placement") # Podman has made a scope for the monitor
    slices = [part for part in seen["container"]["cgroup"].split("/") if "libpod_pod" in part]
    status, out, _ = scopemon("explain", "--json=short", slices[-1])
    check_equal(status, 0, "status")
    check({"baz", "qux"} <= {e["name"] for e in json.loads(out)}, f"containers of {slices[-1]}: {out}")
    session_pid = next(p for p in pids() if cmdline(p) == ["sleep", "12345"])
    check_equal(explain(str(session_pid))["name"], "baz", "container of the session's process")
    podman("pod", "rm", "--force", "--time=0", "pod")


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
            return f.read().split("\0")[:-1]
    except OSError:
        return []


@case
def explain_stock_monitor():
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor answers no questions")
    compare.use_monitor(compare.STOCK)
    unit = service(OBEYS)
    unit.start()
    container = wait_running()
    monitor = int(inspect("baz", "State.ConmonPid"))
    check_equal(exe_of(monitor), compare.STOCK, "program of the monitor")
    for word in ("baz", container, inspect("baz", "State.Pid"), str(monitor)):
        seen = explain(word)
        check_equal((seen["id"], seen["name"], seen["monitor"]["pid"]), (container, "baz", monitor), f"what {word} means")
    check(not seen["monitor"]["scopemon"] and "worker" not in seen, "taken for ours")
    check_equal(seen["placement"]["source"], "hypothetical", "where the placement is from")
    check_equal(seen["unit"]["name"], scope_of(container), "unit of the container")
    check("baz.service" not in seen["stop"]["with"], "a link that is not there")
    podman("stop", "-t", "5", "baz")
    unit.expect_result()
    expect_nothing_left()
    check_equal(explain("baz", status=3)["end"]["source"], "podman", "who tells how it ended")


@case
def explain_without_monitor():
    """The container of a monitor that was killed is still found."""
    session("podman run -d --name baz --network=none localhost/alpine sleep 1000")
    container = wait_running()
    pid, monitor = inspect("baz", "State.Pid"), inspect("baz", "State.ConmonPid")
    settled("baz")
    run("kill", "-KILL", monitor)
    until("the monitor to be gone", lambda: not os.path.exists(f"/proc/{monitor}"))
    if not os.path.exists(f"/proc/{pid}"):
        raise Skip("the container has gone with its monitor")
    for word in ("baz", container[:12], pid):
        seen = explain(word)
        check_equal((seen["id"], seen["name"], "monitor" in seen), (container, "baz", False), f"what {word} means")
    podman("kill", "baz")


@case
def explain_rootless():
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor answers no questions")
    compare.own_unit(compare.USER)
    compare.make_user(compare.USER)
    uid, user = pwd.getpwnam(compare.USER).pw_uid, compare.as_user(compare.USER)
    status, _, err = command(*user, "podman", "run", "-d", "--name", "mine", "--network=none", "--pid=host",
                             "localhost/alpine", "sleep", "1000")
    if status == 126 and "procfs" in err:
        run(*user, "podman", "rm", "--force", "mine")
        raise Skip("no rootless container with this runc and /proc")
    try:
        seen = until("the monitor's entry", lambda: (lambda e: e["placement"]["source"] == "journal" and e)(
            explain("mine", prefix=user)))
        check_equal((seen["owner"], seen["unit"]["manager"], seen["unit"]["owner"]), (uid, "user", uid), "whose")
        check(seen["unit"].get("active") == "active", f"the user's manager has told nothing: {seen['unit']}")
        check_equal(explain("mine", prefix=user, more=["--user"])["id"], seen["id"], "with --user")
        check_equal(explain(seen["unit"]["name"], prefix=user, more=["--user"])["id"], seen["id"], "by unit")
        check_equal(scopemon("explain", seen["unit"]["name"], prefix=user)[0], 4, "a user's unit without --user")
        check_equal(explain("mine")["id"], seen["id"], "as root")
        check_equal(scopemon("explain", "--user", "mine")[0] in (3, 4), True, "not root's own")
    finally:
        run(*user, "podman", "rm", "--force", "--time", "0", "mine")


@variants("explain_without_the_journal", nest={"delegate": True, "split": False}, bind={"delegate": False, "split": False},
          split={"delegate": True, "split": True})
def explain_without_the_journal(delegate, split):
    """A placement that the journal does not tell, as it is old or another user asks, is inferred as it is."""
    service(OBEYS, delegate=delegate, options=["--cgroups=split"] if split else []).start()
    wait_running()
    expected = settled("baz")["placement"]
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    seen = explain("baz", prefix=stranger)["placement"]
    check_equal((seen["source"], seen["name"]), ("inferred", expected["name"]), f"placement, for another user: {seen}")
    check("is shown to root" in scopemon("status", "baz", prefix=stranger)[1], "status does not tell why there is no output")
    run("journalctl", "--rotate", "--quiet")
    run("journalctl", "--vacuum-size=1", "--quiet")
    seen = until("the entry to go", lambda: (lambda p: p["source"] != "journal" and p)(explain("baz")["placement"]))
    check_equal((seen["name"], seen["reason"]), (expected["name"], expected["reason"]), "placement, without its entry")


@case
def explain_errors():
    for words, status, said in ((["explain", "no-such"], 4, "No container found for no-such"),
                                (["explain", "no-such.service"], 4, "No container found for no-such.service"),
                                (["explain"], 1, "Missing argument"), (["explain", "--json=x", "y"], 1, "--json=x"),
                                (["list", "-o", "x"], 1, "Unknown column x"),
                                (["end", "--no-such"], 1, "Unknown option --no-such"),
                                (["end", "no-such"], 1, "Failed to end no-such")):
        seen, out, err = scopemon(*words)
        check_equal((seen, out), (status, ""), f"answer to {words}")
        check(said in err and err.count("\n") == 1, f"error text: {err!r}")
    check_equal(scopemon("list")[:2], (0, ""), "list with no container")
    check_equal(scopemon("list", "--json=short")[:2], (0, "[]\n"), "list with no container, as JSON")


# ---- the catalogue -------------------------------------------------------------------------------


def install_catalogue():
    if not os.path.exists(CATALOG):
        raise Skip("no catalogue here")
    shutil.copy(CATALOG, "/usr/lib/systemd/catalog/scopemon.catalog")
    check_equal(command("journalctl", "--update-catalog")[::2], (0, ""), "status and complaints of --update-catalog")


@case
def catalogue_explains():
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor sends no messages of its own")
    install_catalogue()
    unit = service("echo line; exit 3", more="MemoryMax=500M")
    unit.start()
    unit.wait_for("failed")
    command("podman", "run", "--rm", "--name", "long", "--timeout", "1", "--network=none", "localhost/alpine", "sleep",
            "1000")
    until("all messages", lambda: all(told(i) for i in (PLACED, ENDED, MISCONFIGURED, TIMED_OUT)))
    text = run("journalctl", "-x", "--no-pager", *(f"MESSAGE_ID={i}" for i in (PLACED, ENDED, MISCONFIGURED, TIMED_OUT)))
    for words in ("Subject: Container baz started", "Its placement is", "baz.service is not delegated",
                  "Subject: Container baz exited", "Hint: set Delegate=yes in the unit",
                  "Subject: Container long timed out and was killed", "Documentation: man:scopemon(8)",
                  "Defined-By: scopemon"):
        check(words in text, f"journalctl -x does not say {words!r}")
    check("Subject: Container baz started" in run("journalctl", "-x", "--no-pager", "-u", "baz"), "not with -u baz")
    check(not re.search("@[A-Z_]+@", text), "a field without a value in a text")


@variants("limits_that_do_not_bind_are_told", memory={"more": "MemoryMax=500M", "words": "MemoryMax="},
          tasks={"more": "TasksMax=100", "words": "TasksMax="},
          others={"more": "IPAddressDeny=10.0.0.0/8\nDevicePolicy=closed\nAllowedCPUs=0", "words": "AllowedCPUs=, IPAddressDeny=, DevicePolicy="},
          private={"more": "PrivateDevices=yes", "words": None}, none={"more": "", "words": None},
          delegate={"more": "MemoryMax=500M\nDelegate=yes", "words": None})
def limits_that_do_not_bind_are_told(more, words):
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor sends no messages of its own")
    service(OBEYS, more=more).start()
    container = wait_running()
    settled("baz")
    found = told(MISCONFIGURED, container)
    check_equal(len(found), 1 if words else 0, "messages about limits")
    if words:
        entry = found[0]
        check_equal(entry["SCOPEMON_PROBLEM"], f"{words} of baz.service does not apply to the container", "problem")
        check_equal(entry["SCOPEMON_REMEDY"], "set Delegate=yes in the unit", "remedy")
        check_equal((entry["SCOPEMON_CONTAINER_ID"], entry["SCOPEMON_CONTAINER_NAME"]), (container, "baz"), "container")
        check_equal(entry["PRIORITY"], "4", "priority")
