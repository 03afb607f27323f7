# SPDX-License-Identifier: Apache-2.0
"""Checklist 160 to 162: what the monitor says about itself."""

import os
import re

import host
from harness import CID, MONITOR, RUNTIME, Skip, check, contains, equal, is_older, is_scopemon, lacks, line, scenario

NAME = os.path.basename(MONITOR)


def failing(a, *args, **options):
    """Syslog of a create whose runtime fails."""
    syslog = host.Syslog()
    m = a.monitor(r"runtime-stderr=it\sfailed runtime-exit=7", args=["--syslog", *args], **options).start()
    equal(m.end(), 1)
    found = syslog.lines()
    syslog.close()
    return found


def heads(found):
    return {match[1] for entry in found if (match := re.search(r"<(error|[np]\w+)>: ", entry))}


@line(160)
def syslog_form(a):
    found = failing(a)
    form = re.compile(rf"<(\d+)>\w\w\w [ \d]\d \d\d:\d\d:\d\d {re.escape(NAME)}: conmon ({CID[:20]}) <(\w+)>: (.*)", re.S)
    parts = [form.fullmatch(entry) for entry in found]
    check(parts and all(parts), f"lines of another form: {found}")
    for part in parts:
        equal(int(part[1]), 8 + (3 if part[3] == "error" else 6), part[0])
    contains([part[4].strip() for part in parts if part[3] == "error"], "Failed to create container: exit status 7")
    contains([part[4].strip() for part in parts if part[3] == "nwarn"], "runtime stderr: it failed")
    found = failing(a, "--log-tag", "TAG", cid="0123456789abc", log=["none"])
    contains(found[0], "conmon 0123456789abc: TAG <")


@line(161)
def default_level_shows_warnings_not_info(a):
    equal(heads(failing(a)), {"error", "nwarn"})
    equal(heads(failing(a, "--log-level", "error")), {"error"})
    equal(heads(failing(a, "--log-level", "WARNING")), {"error", "nwarn"})
    if is_older("2.2.0"):
        return
    done = a.launch("-c", CID, "-u", "u", "-r", "/bin/true", "-b", a.bundle, "-l", a.path("log"), "--no-container-partial-message")
    contains(done.err, b"[conmon:w]: --no-container-partial-message has no effect without journald log driver")
    lacks(done.err, b"[conmon:i]")


@line(162)
def trace_shows_the_command_line_of_the_runtime(a):
    found = failing(a, "--log-level", "trace", "--runtime-arg", "--root=/r")
    traces = [entry for entry in found if "<ntrace>" in entry]
    wanted = f"{RUNTIME} --root=/r create --bundle {a.bundle} --pid-file"
    check(any(wanted in entry for entry in traces), f"not in {traces or found}")
    lacks("\n".join(failing(a, "--log-level", "info")), "--pid-file")


@scenario()
def refusal_is_one_sentence(a):
    """Nothing follows a message that says why: not the text of an errno either."""
    if not is_scopemon():
        raise Skip("service mode, and wishes of placement")
    with open(f"{a.bundle}/config.json", "w", encoding="utf-8") as f:
        f.write("{}")
    run = {"RUNTIME_DIRECTORY": a.path("run")}
    for words, env, said in ((["--placement=nonsense"], {}, b"--placement=nonsense: must be auto, unit, scope or caller"),
                             ([], {"SCOPEMON_PLACEMENT": "nonsense"}, b"SCOPEMON_PLACEMENT=nonsense: must be")):
        done = a.launch("--service", "--bundle", a.bundle, "--runtime", RUNTIME, *words, env={**run, **env})
        equal(done.status, 1, f"status, with {done.err}")
        contains(done.err, said)
        lacks(done.err, b"Invalid argument")
        check(b"caller\n" in done.err, done.err)


def failures(journal):
    return [e for e in map(dict, journal.all()) if e["MESSAGE"].startswith(b"Failed to create container: exit status 7")]


@scenario()
def errors_are_in_the_journal_whatever_the_caller_asks_for(a):
    if not is_scopemon():
        raise Skip("the original says them to syslog only")
    journal = host.Journal()
    m = a.monitor(r"runtime-stderr=it\sfailed runtime-exit=7").start()
    equal(m.end(), 1)
    wanted = journal.wait(lambda: failures(journal), what="the failure")
    equal(len(wanted), 1)
    journal.close()
    for name, value in (("PRIORITY", b"3"), ("SCOPEMON_CONTAINER_ID", CID.encode()), ("SYSLOG_IDENTIFIER", b"scopemon")):
        equal(wanted[0].get(name), value, name)
    check(re.fullmatch(rb"src/\w+/[\w-]+\.c", wanted[0].get("CODE_FILE", b"")), wanted[0])
    check(int(wanted[0]["CODE_LINE"]) > 0)


@scenario()
def syslog_of_journald_brings_no_second_copy(a):
    if not is_scopemon():
        raise Skip("the original says them to syslog only")
    syslog, journal = host.Syslog(of_journald=True), host.Journal()
    m = a.monitor(r"runtime-stderr=it\sfailed runtime-exit=7", args=["--syslog"]).start()
    equal(m.end(), 1)
    equal(len(journal.wait(lambda: failures(journal), what="the failure")), 1)
    found = syslog.lines()
    journal.close()
    syslog.close()
    equal(found, [])
