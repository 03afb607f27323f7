# SPDX-License-Identifier: Apache-2.0
"""Checklist 138 to 152: the end."""

import os
import signal

import harness
import host
from harness import (CID, RUNTIME, Inotify, check, children, comm, deadline, equal, is_alive, line,
                     poll_until, read_text, wait_path)

IN_CREATE, IN_MOVED_TO = 0x100, 0x80


class Events:
    """What happens in a directory, in order."""

    def __init__(self, directory):
        self.watch = Inotify(directory)
        self.all = []

    def until(self, mask, name):
        """Wait for an event; it and those after it in the same read stay in self.all."""
        end = deadline()
        while not any(m & mask and n == name for m, n in self.all):
            got = self.watch.wait(end)
            check(got is not None, f"no event {mask:#x} of {name}; had {self.all}")
            self.all += got


@line(138)
def exit_file_appears_by_rename(a):
    events = Events(a.exits)
    m = a.monitor("exit=42").start()
    events.until(IN_MOVED_TO, CID)
    equal(read_text(f"{a.exits}/{CID}"), b"42")
    equal(m.end(), 42)
    equal([mask for mask, name in events.all if name == CID and mask & (IN_CREATE | IN_MOVED_TO)], [IN_MOVED_TO],
          "events of the name")
    check(events.all[0][0] & IN_CREATE and events.all[0][1].startswith(CID + "."), f"first event is {events.all[0]}")
    equal(oct(harness.mode_of(f"{a.exits}/{CID}")), "0o644")
    equal(os.listdir(a.exits), [CID])


@line(139)
def persist_file_is_not_later(a):
    events = Events(a.exits)
    m = a.monitor("exit=3").start()
    events.until(IN_MOVED_TO, CID)
    equal(read_text(f"{a.persist}/exit"), b"3")
    m.end()
    check(os.stat(f"{a.persist}/exit").st_ctime_ns <= os.stat(f"{a.exits}/{CID}").st_ctime_ns)
    equal(os.listdir(a.persist), ["exit"])


@line(140)
def killed_is_128_and_the_signal(a):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        m = a.monitor(f"signal={number.value}").start()
        equal(m.end(), 128 + number)
        equal((m.exit_file(), m.persist_file()), (f"{128 + number}",) * 2)
        for path in (m.pid_file, f"{a.exits}/{CID}", f"{a.persist}/exit"):
            os.unlink(path)


@line(141)
def timeout_kills_the_target(a):
    m = a.monitor(r"stdout=up\n hang", args=["-T", "1"]).start()
    target = m.record()["data"]
    equal(m.end(), 255)
    equal((m.exit_file(), m.persist_file()), ("-1", "-1"))
    poll_until(lambda: not is_alive(target), what="the target's death")


@line(142)
def target_that_ends_before_the_timeout(a):
    m = a.monitor("exit=3", args=["--timeout", "30"]).start()
    equal(m.end(), 3)
    equal(m.exit_file(), "3")


@line(143)
def process_that_holds_stdout_does_not_delay(a):
    m = a.monitor(r"stdout=main\n grandchild-holds-pipe exit=4").start()
    equal(m.end(), 4)
    equal(m.output(), b"main\n")


@line(144)
def all_output_is_logged_before_the_exit_file(a):
    for _ in range(3):
        events = Events(a.exits)
        m = a.monitor("lines=20000,100 lines-stderr=100,100").start()
        events.until(IN_MOVED_TO, CID)
        data = m.log_text()
        m.end()
        records = harness.parse_log(data)
        host.check_lines(harness.unlogged(records), 20000, 100)
        host.check_lines(harness.unlogged(records, "stderr"), 100, 100)
        for path in (m.pid_file, m.log_path, f"{a.exits}/{CID}"):
            os.unlink(path)


@line(145)
def exit_files_and_record_precede_the_exit_command(a):
    gate = a.path("gate")
    os.mkfifo(gate)
    seen = a.path("seen")
    command = host.script(a, "command", f'cat {a.exits}/{CID} {a.persist}/exit >{seen}.new; mv {seen}.new {seen}; : <{gate}\n')
    m = a.monitor("exit=7", mode="exec", args=["--exit-command", command]).start()
    check(m.record()["data"] > 0)
    wait_path(seen)
    equal(read_text(seen), b"77")
    equal(m.record(), {"data": 7})
    check(is_alive(m.pid))
    harness.release(gate)
    equal(m.end(), 7)


@line(146, quirk="blocked signals and -1000 stay")
def exit_command_as_started(a):
    with open("/dev/null", "rb") as extra:
        words = ["--exit-command-arg", "--one", "--exit-command-arg", "", "--exit-command-arg", "t w o"]
        m = a.monitor("exit=3", exit_command=True, args=words, extra_fds=[extra.fileno()], cwd=a.top).start()
        equal(m.end(), 3)
    saw = m.exit_command_saw()
    equal(saw["argv"], [RUNTIME.encode(), b"cleanup", b"--one", b"", b"t w o"])
    equal(sorted(saw["fd"]), [b"0 /dev/null", b"1 /dev/null", b"2 /dev/null"])
    equal(int(saw["SigBlk"][0], 16), 0, "blocked signals")
    equal(saw["cwd"], [a.top.encode()])
    equal(saw["oom_score_adj"][0], read_text("/proc/self/oom_score_adj").strip())
    check(f"FAKE_RUNTIME={'exit=3'}".encode() in saw["env"][0] or any(e.startswith(b"FAKE_RUNTIME=exit=3") for e in saw["env"]))

    os.unlink(m.pid_file)
    command = host.script(a, "command", f"echo once >>{a.path('count')}\n")
    m = a.monitor("exit=3", args=["--exit-command", command]).start()
    equal(m.end(), 3)
    equal(read_text(a.path("count")), b"once\n")


@line(147)
def exit_command_after_failed_creation(a):
    m = a.monitor("runtime-exit=5", exit_command=True).start()
    check(m.exit_command_saw()["argv"])
    equal(m.end(), 1)


@line(148)
def exit_delay_delays_only_the_command(a):
    m = a.monitor("exit=3", exit_command=True, args=["--exit-delay", "1"]).start()
    equal(m.exit_file(), "3")
    check(not os.path.exists(m.exit_record), "the exit command has run already")
    wait_path(m.exit_record)
    late = os.stat(m.exit_record).st_ctime_ns - os.stat(f"{a.exits}/{CID}").st_ctime_ns
    check(late >= 990_000_000, f"the exit command ran {late / 1e9} s after the exit file")
    equal(m.end(), 3)


@line(149, since="2.1.7")
def status_of_the_exit_command_wins_if_not_zero(a):
    for words, command, wanted in (("exit=0", "exit-exit=7", 7), ("exit=3", "exit-exit=7", 7), ("exit=3", "exit-exit=0", 3)):
        m = a.monitor(words, exit_command=True, exit_words=command).start()
        equal(m.end(), wanted, f"{words} {command}")
        os.unlink(m.pid_file)


@line(150)
def orphans_are_waited_for_after_the_exit_command(a):
    m = a.monitor("grandchild-holds-pipe exit=3", exit_command=True).start()
    target = m.record()["data"]
    wait_path(m.exit_record)
    orphans = [c for c in children(m.pid) if comm(c) == "fake-target" and c != target]
    equal(len(orphans), 1, "adopted orphans")
    poll_until(lambda: not [c for c in children(m.pid) if comm(c) == "fake-runtime"], what="the exit command's end")
    check(is_alive(m.pid), "the monitor has not waited")
    equal(m.exit_file(), "3")
    host.kill(orphans[0], signal.SIGKILL)
    equal(m.end(), 3)


@line(151, since="2.1.7", quirk="a failing exit command keeps the link")
def symlink_is_removed_at_the_end(a):
    link = f"{a.sockets}/{CID}"
    for command, wanted in (({}, 3), ({"exit_command": True}, 3), ({"exit_command": True, "exit_words": "exit-exit=7"}, 7)):
        m = a.monitor(f"wait-file={a.path('gate')} exit=3", full=False, **command)
        m.fifo("gate")
        m.start()
        check(m.record()["data"] > 0)
        equal(os.readlink(link), a.bundle)
        m.release("gate")
        equal(m.end(), wanted)
        check(not os.path.lexists(link), f"the link is left with {command}")
        os.unlink(m.pid_file)


@line(152, quirk="no record is sent then")
def unwritable_exit_dir(a):
    m = a.monitor("exit=3", drop=["--exit-dir"], args=["--exit-dir", a.path("missing")], exit_command=True).start()
    equal(m.end(), 1)
    check(m.exit_command_saw()["argv"])
    os.unlink(m.pid_file)
    m = a.monitor("exit=3", mode="exec", drop=["--exit-dir"], args=["--exit-dir", a.path("missing")]).start()
    check(m.record()["data"] > 0)
    equal(m.record(), {"data": 3})
    equal(m.end(), 1)


