# SPDX-License-Identifier: Apache-2.0
"""Where a container's output goes and what its journal entries say, by what its unit says of its own output."""

import os
import pty
import select
import socket
import time

from harness import Unit, check, command, journal, quietly, run, until
from unit_cells import cells

SAYS = "echo hello; echo oops >&2; echo '<4>warned'; sleep 0.3"
OUT = ["hello", "oops"]


def once(unit):
    """Start UNIT, and wait for its end."""
    unit.start()
    until(f"{unit.name} to end", lambda: quietly(unit.show, "ActiveState") in ("inactive", "failed"))


def found(*match):
    """The lines of SAYS among the entries that MATCH."""
    lines = [str(e["MESSAGE"]).rstrip() for e in journal(*match)]
    return sorted(line for line in lines if line.removeprefix("<4>") in [*OUT, "warned"])


@cells("journal", """SyslogIdentifier=, SyslogFacility=, LogExtraFields=, LogLevelMax=, LogRateLimitBurst=, LogFilterPatterns=,
StandardOutput=journal""")
def journal_settings(at):
    unit = at.unit(SAYS, "SyslogIdentifier=the-units\nSyslogFacility=local3\nLogExtraFields=SOME_FIELD=some-value")
    once(unit)
    until("its output", lambda: len(found("-u", unit.name)) >= 3)
    at.saw("StandardOutput=journal", found("-u", unit.name) == ["hello", "oops", "warned"], found("-u", unit.name))
    at.saw("SyslogIdentifier=", len(found("-t", "the-units")) == 3, found("-t", "the-units"))
    at.saw("SyslogFacility=", len(found("SYSLOG_FACILITY=19")) == 3, found("SYSLOG_FACILITY=19"))
    at.saw("LogExtraFields=", len(found("SOME_FIELD=some-value")) == 3, found("SOME_FIELD=some-value"))
    unit = at.unit(SAYS, "LogLevelMax=err", name="level")
    once(unit)
    until("the error", lambda: "oops" in found("-u", unit.name))
    at.saw("LogLevelMax=", "hello" not in found("-u", unit.name), found("-u", unit.name))
    unit = at.unit("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line-$i; done; echo end >&2",
                   "LogRateLimitIntervalSec=1h\nLogRateLimitBurst=100", name=f"limit-{at.placement}")
    once(unit)
    unit.said("end")
    n = len([line for line in unit.lines() if line.startswith("line-")])
    at.saw("LogRateLimitBurst=", 0 < n < 3000, n)
    if at.since(253, "LogFilterPatterns="):
        unit = at.unit(SAYS, "LogFilterPatterns=~hello", name="filter")
        once(unit)
        until("the other line", lambda: "oops" in found("-u", unit.name))
        at.saw("LogFilterPatterns=", "hello" not in found("-u", unit.name), found("-u", unit.name))


@cells("journal_level", "SyslogLevel=, SyslogLevelPrefix=, LogNamespace=")
def journal_level(at):
    unit = at.unit(SAYS, "SyslogLevel=notice", name="level")
    once(unit)
    until("its output", lambda: len(found("-u", unit.name)) >= 3)
    at.saw("SyslogLevel=", {"hello", "oops"} <= set(found("-u", unit.name, "PRIORITY=5")), found("-u", unit.name, "PRIORITY=5"))
    unit = at.unit(SAYS, "SyslogLevelPrefix=no", name="prefix")
    once(unit)
    until("its output", lambda: len(found("-u", unit.name)) >= 3)
    at.saw("SyslogLevelPrefix=", "<4>warned" in found("-u", unit.name), found("-u", unit.name))
    unit = at.unit(SAYS, "LogNamespace=cells", name=f"space-{at.placement}")
    once(unit)
    command("journalctl", "--namespace=cells", "--sync")
    lines = run("journalctl", "--namespace=cells", "-o", "cat", "-u", unit.name).split("\n")
    seen = sorted(line for line in lines if line in OUT)
    at.saw("LogNamespace=", seen == OUT and not found("-u", unit.name), f"{seen}, {found('-u', unit.name)}")


FILE = "/run/units-output"


@cells("output", """StandardOutput=null, StandardOutput=file:, StandardOutput=append:, StandardOutput=truncate:, StandardError=file:,
StandardInput=file:, StandardInputText=""")
def output(at):
    def content():
        with open(FILE, encoding="utf-8") as f:
            return f.read().split("\n")

    unit = at.unit(SAYS, "StandardOutput=null\nStandardError=null", name="null")
    once(unit)
    at.saw("StandardOutput=null", not found("-u", unit.name), found("-u", unit.name))
    for kind in "file", "append", "truncate":
        with open(FILE, "w", encoding="utf-8") as f:
            f.write("before, and long\n")
        once(at.unit(SAYS, f"StandardOutput={kind}:{FILE}", name=kind))
        kept = "before, and long" in content()
        at.saw(f"StandardOutput={kind}:", "hello" in content() and kept == (kind == "append"), content())
        os.unlink(FILE)
    once(at.unit(SAYS, f"StandardError=file:{FILE}", name="error"))
    at.saw("StandardError=file:", "oops" in content(), content())
    with open(FILE, "w", encoding="utf-8") as f:
        f.write("from a file\n")
    inputs = (("StandardInput=file:", f"StandardInput=file:{FILE}", "from a file"),
              ("StandardInputText=", "StandardInput=data\nStandardInputText=from the unit", "from the unit"))
    for i, (row, more, text) in enumerate(inputs):
        unit = at.unit("read line; echo got: $line; sleep 0.3", f"{more}\nTimeoutStopSec=2", name=f"in-{i}", options=["--interactive"])
        unit.start()
        if at.placement in ("nest", "bind"):
            until("the line", lambda unit=unit: any(line.startswith("got:") for line in unit.lines()))
        else:
            unit.stop()
        at.saw(row, f"got: {text}" in unit.lines(), unit.lines())


@cells("sockets", "StandardOutput=socket, StandardInput=tty", ["nest", "bind"])
def sockets(at):
    """A connection, or a terminal, is podman run's, and it passes on what comes: in, and out."""
    unit = at.unit("read line; echo got: $line", "StandardInput=socket\nStandardOutput=socket", name="dial", unit="dial@.service",
                   options=["--interactive"])
    Unit("dial.socket", "[Socket]\nListenStream=/run/dial\nAccept=yes\n").start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect("/run/dial")
        client.sendall(b"through a socket\n")
        said = b"".join(iter(lambda: client.recv(4096), b"")).decode()
    at.saw("StandardOutput=socket", "got: through a socket" in said, said)
    unit.gone()
    ours, theirs = pty.openpty()
    try:
        more = f"StandardInput=tty\nStandardOutput=tty\nTTYPath={os.ttyname(theirs)}"
        unit = at.unit("read line; echo got: $line", more, name="terminal", options=["--interactive", "--tty"])
        unit.start()
        said = heard(ours, "up-terminal")
        os.write(ours, b"through a terminal\n")
        said = heard(ours, "got: through a terminal")
        at.saw("StandardInput=tty", True, said)
        unit.gone()
    finally:
        os.close(ours)
        os.close(theirs)


def heard(fd, wanted, within=30):
    """Read from FD until WANTED has come."""
    said, end = "", time.monotonic() + within
    while wanted not in said:
        check(select.select([fd], [], [], max(0, end - time.monotonic()))[0], f"{wanted!r} does not come, but {said!r}")
        said += os.read(fd, 4096).decode(errors="replace")
    return said
