# SPDX-License-Identifier: Apache-2.0
"""scopemon list, status and doctor, as somebody at a terminal uses them."""

import json
import os
import pty
import re
import select
import time

import compare
from cases.explain import install_catalogue, scopemon, settled
from harness import (MONITOR, OBEYS, Skip, Unit, case, check, check_equal, command, note, podman, run, service,
                     until, wait_running)

LINES = "i=0; while [ $i -lt 25 ]; do i=$((i+1)); echo line-$i; done; exec sleep 1000"
ESCAPE = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")


def on_terminal(*words, env=()):
    """What WORDS print to a terminal of 80 columns."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("env", ["env", "COLUMNS=80", "TERM=xterm", *env, *words])
    out, end = b"", time.monotonic() + 30
    while time.monotonic() < end and select.select([master], [], [], end - time.monotonic())[0]:
        try:
            data = os.read(master, 65536)
        except OSError: # the other end has been closed
            break
        if not data:
            break
        out += data
    os.close(master)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = out.decode().replace("\r\n", "\n")
    note(f"$ {' '.join(words)} # on a terminal\n{text}(status {status})")
    return status, text


def row_of(name, *options):
    """The row of a container, as a dictionary of its columns."""
    status, out, _ = scopemon("list", "-o", "all", *options)
    check_equal(status, 0, "status of list")
    heading = out.splitlines()[0]
    starts = [m.start() for m in re.finditer(r"\S+", heading)]
    line = next((l for l in out.splitlines() if l.startswith(name + " ")), None)
    check(line, f"{name} is not listed:\n{out}")
    words = line.split()
    check(len(words) >= len(starts), f"too few columns: {line}")
    return dict(zip(heading.split(), words[:11] + [" ".join(words[11:-2])] + words[-2:]))


@case
def list_tells_what_containers_do():
    """Output counted while the container runs: journald's lines, bytes, clients."""
    podman("run", "-d", "--name", "baz", "--network=none", "--log-driver=journald", "localhost/alpine", "sh", "-c", LINES)
    wait_running()
    settled("baz")
    row = until("25 lines", lambda: (lambda r: r["LINES"] == "25" and r)(row_of("baz")))
    check_equal((row["STATE"], row["PLACEMENT"], row["LOST"], row["CLIENTS"], row["BYTES"]),
                ("running", "moved", "0", "0", "191B"), "row")
    seen = settled("baz")
    check_equal((seen["output"]["lines"], seen["output"]["bytes"]), (25, 191), "output of explain --json")
    check("baz" in scopemon("list", "b?z")[1] and "baz" not in scopemon("list", "x*")[1], "patterns")
    status, text = on_terminal(MONITOR, "list")
    check_equal(status, 0, "status")
    check("\x1b[" in text and "1 container listed." in text, "no colour or no summary on a terminal")
    check(all(len(ESCAPE.sub("", line)) <= 80 for line in text.splitlines()), "wider than the terminal")
    check("\x1b[0;" not in on_terminal(MONITOR, "list", "--no-pager", env=["NO_COLOR=1"])[1], "colour with NO_COLOR")
    podman("rm", "-f", "-t", "0", "baz")
    until("it to be gone", lambda: "baz" not in scopemon("list")[1])
    until("its end", lambda: row_of("baz", "--all")["STATE"] == "exited")


@case
def list_shows_stock_monitors_as_such():
    if MONITOR == compare.STOCK:
        raise Skip("the stock monitor answers no questions")
    compare.use_monitor(compare.STOCK)
    podman("run", "-d", "--name", "baz", "--network=none", "localhost/alpine", "sleep", "1000")
    wait_running()
    check_equal(row_of("baz")["PLACEMENT"], "(conmon)", "placement")


@case
def status_shows_the_last_lines():
    for driver in "journald", "k8s-file":
        podman("run", "-d", "--name", "baz", "--network=none", f"--log-driver={driver}", "localhost/alpine", "sh", "-c", LINES)
        wait_running()

        def lines():
            run("journalctl", "--sync")
            status, out, _ = scopemon("status", "baz")
            check_equal(status, 0, "status")
            return (lambda found: found == [str(n) for n in range(16, 26)] and out)(re.findall(r"line-(\d+)$", out, re.M))

        out = until(f"the last ten lines, with {driver}", lines)
        check("podman logs baz" in out, "no line to type")
        podman("rm", "-f", "-t", "0", "baz")
    check_equal(scopemon("status", "no-such")[0], 4, "status of a container that nobody knows")


@case
def doctor_finds_what_is_missing():
    status, out, _ = scopemon("doctor", "--json=short")
    found = {row["check"]: row for row in json.loads(out)}
    check_equal(found["systemd"]["verdict"], "ok", "systemd")
    check_equal(found["Podman"]["verdict"], "note" if MONITOR == compare.STOCK else "ok", "Podman")
    check(MONITOR in found["Podman"]["found"], f"drop-in: {found['Podman']}")
    check(re.search(r"/(crun|runc), \w+ version \d", found["OCI runtime"]["found"]), f"runtime: {found['OCI runtime']}")
    check_equal(found["rate limit"]["verdict"], "ok", "rate limit, which the machine does not have")
    check_equal(status, int(any(row["verdict"] == "bad" for row in found.values())), "exit status")
    install_catalogue()
    check_equal({r["check"]: r for r in json.loads(scopemon("doctor", "--json=short")[1])}["catalog"]["verdict"], "ok", "catalog")

    compare.use_monitor(compare.STOCK)
    found = {r["check"]: r for r in json.loads(scopemon("doctor", "--json=short")[1])}
    check_equal((found["Podman"]["verdict"], "podman.conf" in found["Podman"]["remedy"]), ("note", True), "stock monitor")


@case
def doctor_reads_files_as_podman_does():
    """Whatever is written there: what doctor says is what Podman uses."""
    for text in (f"[engine]\nconmon_path = [\n  '/nonexistent', # or\n  \"{MONITOR}\",\n]\n",
                 f"[engine] # conmon_path\n# conmon_path = [\"{compare.STOCK}\"]\nconmon_path=['{MONITOR}'] # \"{compare.STOCK}\"\n",
                 f"engine.conmon_path = [\"{MONITOR}\"]\n"):
        with open("/etc/containers/containers.conf.d/zz-doctor.conf", "w", encoding="utf-8") as f:
            f.write(text)
        path = podman("info", "--format", "{{.Host.Conmon.Path}}")
        check_equal(path, MONITOR, "what Podman uses")
        found = {r["check"]: r for r in json.loads(scopemon("doctor", "--json=short")[1])}["Podman"]
        check_equal((found["verdict"], MONITOR in found["found"], "zz-doctor.conf" in found["found"]), ("ok", True, True),
                    f"{found} of {text}")
    os.unlink("/etc/containers/containers.conf.d/zz-doctor.conf")
    with open("/etc/systemd/journald.conf.d/zz-doctor.conf", "w", encoding="utf-8") as f:
        f.write("[Journal]\nRateLimitIntervalSec=0s\n")
    found = {r["check"]: r for r in json.loads(scopemon("doctor", "--json=short")[1])}["rate limit"]
    check_equal(found["verdict"], "ok", f"rate limit: {found}")
    os.unlink("/etc/systemd/journald.conf.d/zz-doctor.conf")


@case
def doctor_looks_at_units():
    service(OBEYS)
    Unit("qux.service", "[Service]\nExecStart=sleep 1000\nDelegate=yes\n")
    service(OBEYS, name="stops", delegate=True)
    service(OBEYS, name="mixed", delegate=True, more="KillMode=mixed")
    status, out, _ = scopemon("doctor", "--json=short", "baz", "qux.service", "mixed", "stops", "no-such")
    found = {row["check"]: row for row in json.loads(out)}
    check_equal([found[f"{u}.service"]["verdict"] for u in ("baz", "qux", "mixed", "stops", "no-such")],
                ["note", "note", "ok", "ok", "bad"],
                "verdicts")
    check("Delegate=yes" in found["baz.service"]["remedy"], f"remedy: {found['baz.service']}")
    check("KillMode=mixed" in found["qux.service"]["remedy"], f"remedy: {found['qux.service']}")
    check_equal(status, 1, "exit status")


@case
def no_words_on_a_terminal():
    status, text = on_terminal(MONITOR)
    check_equal(status, 0, "status")
    check("man scopemon" in text, "no manual")
    status, text = on_terminal(MONITOR, "lst")
    check((status, "did you mean 'list'?" in text) == (1, True), f"a misspelt command: {text}")
    status, _, err = command(MONITOR)
    check((status, "Container ID not provided" in err) == (1, True), f"without a terminal: {err}")


@case
def pager_is_chosen_as_by_systemctl():
    for words in (MONITOR, "list"), ("systemctl", "list-units", "no-such-*"):
        for env, paged in ((["PAGER=tr a-z A-Z"], True), (["PAGER=tr a-z A-Z", "TERM=dumb"], False),
                           (["PAGER=tr a-z A-Z", "SYSTEMD_PAGER="], False), (["PAGER=no-such-pager"], False)):
            _, text = on_terminal(*words, env=["SYSTEMD_PAGERSECURE=0", *env]) # $PAGER is trusted
            check_equal(("listed" in text, "LISTED" in text), (not paged, paged), f"{words[0]}, {' '.join(env)}")
