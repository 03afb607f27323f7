# SPDX-License-Identifier: Apache-2.0
"""The sixty regression cases: faults that an original monitor had once, or has.

Many are lines of the checklist as well: those cases run the lines' tests (lines()). What only a unit test can bring about
is left to it (unit()): its program is run if it was built beside the fake runtime.
"""

import os
import signal
import subprocess
import threading

import harness
import host
from harness import (CID, RUNTIME, TESTS, Area, Skip, check, children, comm, descendants, equal, is_alive, is_older, is_scopemon,
                     lacks, mode_of, poll_until, read_text, regression, release, stat_fields, wait_path)


def lines(*numbers):
    """Run the tests of these lines of the checklist, each in an area of its own."""
    for number in numbers:
        test = TESTS.get(("line", number))
        if not test:
            raise Skip(f"line {number} has no test")
        area = Area()
        try:
            test.function(area)
        except Skip:
            raise
        except Exception as e:  # pylint: disable=broad-except
            if not is_scopemon() and (test.quirk or test.since and is_older(test.since)):
                raise Skip(f"line {number} differs: {e}") from e
            raise harness.Failed(f"line {number}: {e}") from e
        finally:
            harness.kill_descendants()
            area.remove()


def unit(name, pattern="*"):
    """Run a unit test, NAME being its module, of the build that the fake runtime is from."""
    program = f"{os.path.dirname(RUNTIME)}/test-{name}"
    if not is_scopemon():
        raise Skip(f"a unit test, test-{name}")
    if not os.access(program, os.X_OK):
        raise Skip(f"left to the unit test {name}, which is not built")
    done = subprocess.run([program, "--filter", pattern], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=50)
    check(done.returncode == 0 and "Tested: 0" not in done.stdout, f"test-{name}: {done.stdout[-500:]}")


def gated(a, words="", before="", **options):
    """A target that says "up", waits, and goes on with WORDS after m.release("gate")."""
    m = a.monitor(rf"{before} stdout=up\n wait-file={a.path('gate')} {words}", **options)
    m.fifo("gate")
    m.start()
    return m


def forget(m):
    for path in (m.pid_file, m.monitor_pid_file, m.log_path, f"{m.area.exits}/{m.cid}", f"{m.area.persist}/exit"):
        if os.path.exists(path):
            os.unlink(path)


# ---- start and error reporting ----------------------------------------------------------------------


@regression(1, since="2.2.0")
def bin_false_as_the_runtime(a):
    for mode in ("create", "exec"):
        m = a.monitor(runtime="/bin/false", mode=mode).start()
        equal(m.record()["data"], -1)
        equal(m.record(), None)
        equal(m.end(), 1)


@regression(2)
def silent_failure_of_the_runtime(_):
    lines(47, 48)


@regression(3, since="2.2.0")
def hostile_stderr_of_the_runtime(a):
    for text in (r'"quoted"\\and\n\x01\x02\x1f\x7f', r"\xff\xfe\xc3(\xe2\x82", "x" * 9000, r"\xff" * 9000, r"\x01" * 9000,
                 '"' * 9000):
        m = a.monitor(f"runtime-stderr={text} runtime-exit=1").start()
        equal(m.record()["data"], -1, "valid JSON, but")
        check(len(m.raw[-1]) <= 4096)
        equal(m.record(), None)
        forget(m)
    lines(52, 53)


@regression(4)
def exec_that_never_starts(_):
    lines(49, 50)


@regression(5, since="2.1.8")
def closed_sync_pipe(a):
    syslog = host.Syslog()
    m = gated(a, "exit=3", args=["--syslog"], mode="exec")
    m.sync_channel.close()
    m.release("gate")
    equal(m.end(), 3)
    check(len(syslog.lines()) < 5, f"a flood of messages: {syslog.lines()[:5]}")


@regression(6)
def sigpipe_at_any_time(a):
    m = a.monitor(f"runtime-wait-file={a.path('runtime')} stdout=up\\n wait-file={a.path('gate')} exit=0")
    m.fifo("runtime"), m.fifo("gate")
    host.kill(m.launcher.pid, 0)
    m.start()
    for step in ("runtime", "gate"):
        for pid in m.processes():
            host.kill(pid, signal.SIGPIPE)
        m.release(step)
    equal(m.end(), 0)
    equal(m.output(), b"up\n")


@regression(7)
def attach_that_cannot_be_set_up(a):
    m = a.monitor(f"record={a.path('runtime-record')}", full=False, drop=["--socket-dir-path"],
                  args=["--socket-dir-path", a.path("missing/dir")]).start()
    record = m.record()
    check(record is None or record["data"] == -1, f"{record}")
    equal(m.end(), 1)
    check(not os.path.exists(m.runtime_record), "the runtime was run")


@regression(8)
def option_errors_and_default_bundle(_):
    lines(4, 37)


@regression(9, quirk="takes descriptors 0 to 2 for its own files")
def without_stdin_stdout_stderr(a):
    closing = host.script(a, "closing", f'exec {harness.MONITOR} "$@" <&- >&- 2>&-\n')
    before, harness.MONITOR = harness.MONITOR, closing
    try:
        m = gated(a, "stderr=err exit=3")
    finally:
        harness.MONITOR = before
    client = m.client()
    m.release("gate")
    client.drain()
    equal(client.err, b"err")
    equal(m.end(), 3)
    equal((m.output(), m.output("stderr")), (b"up\n", b"err"))


@regression(10)
def attach_start_only_after_the_checks(a):
    m = a.monitor(mode="exec", attach="seqpacket", full=False, drop=["--socket-dir-path"],
                  args=["--socket-dir-path", a.path("missing/dir")]).start()
    equal(m.attach_record(), None)
    equal(m.end(), 1)
    lines(58)


@regression(11)
def forks_once_or_not_at_all(_):
    lines(30, 32)


@regression(12)
def stale_files_are_replaced(_):
    lines(63, 94)


# ---- signals, children, exit --------------------------------------------------------------------------


@regression(13)
def target_that_is_gone_before_its_pid_is_read(a):
    for mode in ("create", "exec"):
        m = a.monitor("late-pidfile stdout=last exit=7", mode=mode).start()
        check(m.record()["data"] > 0)
        equal(m.end(), 7, mode)
        equal((m.exit_file(), m.output()), ("7", b"last"))
        forget(m)


@regression(14)
def target_that_is_no_direct_child(a):
    for mode in ("create", "exec"):
        m = a.monitor("daemonize stdout=x exit=9", mode=mode).start()
        equal(m.end(), 9, mode)
        equal(m.exit_file(), "9")
        forget(m)
    lines(34)


@regression(15)
def orphans_are_reaped_during_exit_delay(a):
    m = a.monitor("grandchild-holds-pipe exit=0", exit_command=True, args=["--exit-delay", "300"]).start()
    target = m.record()["data"]
    m.exit_file()
    orphan = poll_until(lambda: [c for c in children(m.pid) if comm(c) == "fake-target" and c != target and is_alive(c)],
                        what="the adopted orphan")[0]
    host.kill(orphan, signal.SIGKILL)
    poll_until(lambda: stat_fields(orphan) is None, what="the orphan's burial")
    check(is_alive(m.pid))


@regression(16)
def exit_command_may_start_daemons(a):
    new, daemon = a.path("new"), a.path("daemon")
    command = host.script(a, "command", f"(setsid sh -c 'echo $$ >{new}; mv {new} {daemon}; exec sleep 60' &)\n"
                                        f"while ! [ -e {daemon} ]; do sleep 0.01; done\n")
    m = a.monitor("exit=2", args=["--exit-command", command]).start()
    equal(m.end(), 2)
    check(is_alive(int(read_text(daemon))), "the daemon is gone")


@regression(17, quirk="ends with the container's status then")
def exit_command_killed_by_a_signal(a):
    command = host.script(a, "command", "kill -9 $$\n")
    m = a.monitor("exit=2", args=["--exit-command", command]).start()
    equal(m.end(), 137)


@regression(18)
def status_is_the_containers(a):
    for words, wanted in (("exit=0", 0), ("exit=1", 1), ("exit=42", 42), ("exit=255", 255), ("signal=9", 137)):
        m = a.monitor(words).start()
        equal(m.end(), wanted)
        forget(m)


@regression(19)
def status_of_an_exec_is_the_commands(a):
    for code in (0, 1, 126, 127, 137):
        for api in (0, 1):
            m = a.monitor(f"exit={code}", mode="exec", api=api).start()
            if api:
                check(m.record()["data"] > 0)
            equal(m.record(), {"data" if api else "exit_code": code})
            equal(m.end(), code)
            forget(m)


@regression(20)
def descriptors_are_closed_before_the_exit_file(a):
    m = gated(a, "exit=0", exit_command=True, exit_words="")
    m.release("gate")
    equal(m.end(), 0)
    lacks(b"\n".join(m.exit_command_saw()["fd"]), a.bundle.encode(), "descriptors of the exit command")
    lines(39)


@regression(21)
def sigterm_while_the_runtime_creates(_):
    lines(136)


@regression(22)
def signals_when_the_container_is_dead(a):
    gate = a.path("gate")
    os.mkfifo(gate)
    command = host.script(a, "command", f"echo >{a.path('runs')}; : <{gate}\n")
    m = a.monitor("exit=5", args=["--exit-command", command]).start()
    wait_path(a.path("runs"))
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        host.kill(m.pid, number)
    check(is_alive(m.pid))
    release(gate)
    equal(m.end(), 5)


@regression(23, quirk="takes the number as it is")
def pids_that_are_none(a):
    bystander = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    for text in ("0", "-1", "1x", "x", ""):
        m = a.monitor(f"pidfile={text} hang", args=["-T", "1"]).start()
        record = m.record()
        if text != "1x":
            check(record is None or record["data"] == -1, f"{record} for {text!r}")
        if record and record["data"] > 0:
            continue
        equal(m.end(), 1, f"status for pid {text!r}")
        forget(m)
    equal(bystander.poll(), None)
    bystander.kill()
    bystander.wait()


@regression(24)
def timeout_kills_the_group(a):
    m = a.monitor(r"grandchild-holds-pipe stdout=up\n hang", mode="exec", args=["-T", "1"]).start()
    m.wait_output(b"up\n")
    group = [p for p in descendants(os.getpid()) if comm(p) == "fake-target"]
    check(len(group) >= 2, f"{group}")
    check(m.record()["data"] > 0)
    equal(m.record(), {"data": -1, "message": "command timed out"})
    poll_until(lambda: not [p for p in group if is_alive(p)], what="the end of the group")
    lines(142)


@regression(25, quirk="SIGUSR1 ends it")
def storm_of_signals(a):
    m = gated(a, "exit=3", before=f"ignore={int(signal.SIGUSR1)}")
    for _ in range(1000):
        host.kill(m.pid, signal.SIGCHLD)
        host.kill(m.pid, signal.SIGUSR1)
    m.release("gate")
    equal(m.end(), 3)


@regression(26, since="2.1.13")
def files_are_where_they_belong(a):
    cwd = a.make("cwd")
    with host.FakeCgroup(a) as cgroup:
        m = gated(a, "signal=9", cwd=cwd)
        m.wait_output(b"up\n")
        cgroup.write("oom 1\noom_kill 1\n")
        m.release("gate")
        equal(m.end(), 137)
        equal(os.listdir(cwd), [])
        equal((sorted(os.listdir(a.exits)), sorted(os.listdir(a.persist))), ([CID], ["exit", "oom"]))
        check("oom" in os.listdir(a.bundle))


@regression(27)
def container_that_is_over_at_once(a):
    for i in range(20):
        m = a.monitor(f"exit={i}").start()
        check(m.record()["data"] > 0)
        equal(m.exit_file(), f"{i}")
        equal(m.persist_file(), f"{i}")
        equal(m.end(), i)
        forget(m)
    lines(139)


# ---- streams ------------------------------------------------------------------------------------------


def read_count(client):
    """Read a client to the end, keeping nothing; how many bytes it had."""
    n, end = 0, harness.deadline(50)
    while (packet := client.packet(end=end)) is not None:
        n += len(packet) - 1
        client.out, client.packets = b"", []
    return n


@regression(28)
def hundred_megabytes_and_a_quick_end(a):
    m = gated(a, "lines=100000,1000")
    client = m.client()
    m.release("gate")
    n = read_count(client)
    check(n in (100_000_000, 100_000_003), f"{n} bytes by attach")  # with "up" or without
    equal(m.end(seconds=50), 0)
    host.check_lines(m.output().removeprefix(b"up\n"), 100000, 1000)


@regression(29)
def no_busy_loops(a):
    m = gated(a, f"close-stdout close-stderr close-stdin wait-file={a.path('gate2')} exit=0", stdin=True)
    m.fifo("gate2")
    client = m.client()
    m.wait_output(b"up\n")
    m.release("gate")
    client.half_close()
    check(m.is_idle(), "busy with closed streams")
    m.release("gate2")
    equal(m.end(), 0)
    lines(143, 97)


@regression(30)
def nonblocking_stdio_of_the_caller(a):
    in_r, in_w = os.pipe()
    out_r, out_w = os.pipe()
    for fd in (in_r, out_w):
        os.set_blocking(fd, False)
    m = a.monitor(rf"stdout=out\n exit=3", log=["passthrough"], stdio={"stdin": in_r, "stdout": out_w, "stderr": out_w})
    os.close(out_w)
    m.start()
    equal(m.end(), 3)
    equal(os.read(out_r, 100), b"out\n")
    os.close(in_w)


@regression(31)
def stdin_while_the_target_is_blocked_on_stderr(a):
    m = gated(a, "lines-stderr=20000,100 cat", stdin=True)
    client = m.client()
    m.release("gate")
    data = bytes(range(256)) * 4096

    def paste():
        for i in range(0, len(data), 16384):
            client.send(data[i:i + 16384])
        client.half_close()

    sender = threading.Thread(target=paste, daemon=True)
    sender.start()
    out = client.drain(seconds=30)
    sender.join()
    check(out.endswith(data), f"{len(out)} bytes came back")
    host.check_lines(client.err, 20000, 100)
    equal(m.end(), 0)


def deaf_client(m):
    """A client in another process than the monitor's starter, who is never dropped; it connects and reads nothing."""
    wait_path(m.attach_path)
    r, w = os.pipe()
    if os.fork() == 0:
        _client = m.client()
        os.close(w)
        signal.pause()
    os.close(w)
    os.read(r, 1)
    os.close(r)


@regression(32, quirk="a client that never reads stops everything")
def client_that_never_reads(a):
    m = gated(a, "lines=100000,500 exit=3")
    deaf_client(m)
    other = m.client()
    m.release("gate")
    n = read_count(other)
    check(n >= 50_000_000, f"{n} bytes to the other client")
    equal(m.exit_file(seconds=50), "3")
    equal(m.end(seconds=50), 3)
    host.check_lines(m.output().removeprefix(b"up\n"), 100000, 500)


@regression(33)
def stdin_of_a_client_that_leaves(_):
    lines(69, 71)


@regression(34)
def input_before_the_terminal_exists(a):
    m = a.monitor(f"runtime-wait-file={a.path('gate')} stdout=up\\n wait-file={a.path('gate2')}", terminal=True, stdin=True)
    m.fifo("gate"), m.fifo("gate2")
    m.start()
    client = m.client()
    client.send(b"early\n")
    m.release("gate")
    client.read(b"early\r\n")  # the terminal's echo
    m.release("gate2")
    client.drain()
    equal(m.end(), 0)
    lines(97)


@regression(35)
def resizes_early_and_together(_):
    lines(88, 90)


@regression(36)
def dev_null_keeps_its_mode(a):
    before = mode_of("/dev/null")
    for options in ({}, {"terminal": True}, {"stdin": True}):
        m = a.monitor("stdout=x", **options).start()
        m.end()
        equal(oct(mode_of("/dev/null")), oct(before))
        forget(m)
    lines(133)


@regression(37)
def long_socket_paths(_):
    lines(61, 62, 64, 65, 151)


@regression(38)
def frames_keep_their_boundaries(_):
    lines(66)


# ---- logs ---------------------------------------------------------------------------------------------


@regression(39, since="2.1.10")
def crash_loop_cannot_outgrow_the_limit(a):
    for _ in range(5):
        m = a.monitor("lines=4,100 exit=1", args=["--log-size-max", "1000"]).start()
        m.end()
        check(len(m.log_text()) <= 1000, f"{len(m.log_text())} bytes")
        os.unlink(m.pid_file)


@regression(40)
def rotation_in_the_middle_of_a_write(_):
    lines(115, 105)


@regression(41)
def rotation_and_reopen(_):
    lines(113, 114, 92)


@regression(42)
def partial_last_line_has_no_end(_):
    lines(102, 103)


def journal_of(a, words, *args, **options):
    journal = host.Journal()
    m = a.monitor(words, log=["journald"], args=args, **options).start()
    m.end()
    journal.take()
    found = journal.entries(CID)
    journal.close()
    forget(m)
    return found


@regression(43)
def nul_in_a_journal_line(a):
    (entry,) = journal_of(a, r"stdout=a\0b\0\n")
    equal(entry["MESSAGE"].removesuffix(b"\n"), b"a\0b\0")


@regression(44, quirk="a priority that comes in two reads stays text")
def journal_line_in_pieces(a):
    journal = host.Journal()
    m = gated(a, rf"stdout=<3>he wait-file={a.path('gate2')} stdout=llo\n", log=["journald"])
    m.fifo("gate2")
    client = m.client()
    m.release("gate")
    client.read(b"<3>he")
    m.release("gate2")
    m.end()
    journal.take()
    entry = journal.entries()[-1]
    equal((entry["MESSAGE"], entry["PRIORITY"]), (b"hello", b"3"))
    journal.close()
    lines(122)


@regression(45)
def identifier_in_the_journal(_):
    lines(120, 121)


@regression(46, since="2.2.0", quirk="checks letters only")
def labels_do_not_override_fields(a):
    for label in ("MESSAGE=forged", "CONTAINER_ID_FULL=forged", "PRIORITY=0"):
        (entry,) = journal_of(a, r"stdout=true\n", "--log-label", label)  # entries() refuses fields that come twice
        equal((entry["MESSAGE"], entry["CONTAINER_ID_FULL"], entry["PRIORITY"]), (b"true", CID.encode(), b"6"), label)


@regression(47)
def words_of_log_path(_):
    lines(116)


@regression(48)
def log_mode_umask_and_tag(_):
    lines(117, 108)


@regression(49)
def time_stamps_of_odd_zones(_):
    lines(101)
    unit("line")


@regression(50)
def global_limit(_):
    lines(112)


@regression(51, since="2.1.9")
def passthrough_of_a_terminal(a):
    master, slave = os.openpty()
    m = a.monitor(r"stdout=foo\n exit=3", log=["passthrough"], stdio={"stdin": slave, "stdout": slave, "stderr": slave})
    m.start()
    equal(m.end(), 3)
    os.close(slave)
    equal(os.read(master, 100), b"foo\r\n")
    lines(128)


@regression(52, quirk="the file's failure ends the journal's turn")
def one_driver_fails_the_other_goes_on(a):
    journal = host.Journal()
    m = a.monitor("lines=1000,100 exit=3", log=["k8s-file:/dev/full", "journald"]).start()
    equal(m.end(seconds=40), 3)
    journal.take()
    host.check_lines(b"".join(text + b"\n" for text in journal.messages()), 1000, 100)
    journal.close()
    forget(m)
    m = a.monitor("lines=1000,100 exit=3", log=[f"k8s-file:{a.path('ctr.log')}", "journald"]).start()  # no journal now
    equal(m.end(seconds=40), 3)
    host.check_lines(m.output(), 1000, 100)


@regression(53, quirk="arguments are converted from the locale's charset")
def bytes_beyond_ascii(a):
    for env in ({"LANG": "C", "LC_ALL": "C"}, {"LANG": "C.UTF-8"}):
        (entry,) = journal_of(a, r"stdout=gr\xc3\xb6\xc3\x9fe\n", "--log-tag", "gr\udcc3\udcb6\udcffe", env=env)
        equal((entry["CONTAINER_TAG"], entry["MESSAGE"]), (b"gr\xc3\xb6\xffe", b"gr\xc3\xb6\xc3\x9fe"))
    lines(25)


# ---- OOM and cgroups ----------------------------------------------------------------------------------


@regression(54)
def oom_watch_is_quiet(_):
    lines(155, 154)


@regression(55)
def oom_counters_and_removal(_):
    lines(156, 153)  # the latter covers cgroup v1
    unit("cgroup-oom")


@regression(56)
def controller_lines_before_the_unified_one(a):
    if b"\n0::" not in read_text("/proc/self/cgroup"):
        unit("cgtext")
        raise Skip("no such line here; the unit test cgtext passes")
    lines(153)


@regression(57)
def oom_scores(_):
    lines(35)


# ---- notify -------------------------------------------------------------------------------------------


@regression(58, since="2.1.9")
def notifications(a):
    os.mkdir(f"{a.bundle}/notify")
    receiver = host.Datagrams(a.path("host-notify"))
    texts = ["STATUS=" + "x" * n for n in (8184, 8185, 8186, 20000)]
    m = gated(a, " ".join(f"notify={t}" for t in texts), args=["--sdnotify-socket", a.path("host-notify")])
    m.release("gate")  # the launcher has left long before the container is ready
    equal(m.end(), 0)
    receiver.wait(lambda: len(receiver.seen) == 4)
    equal([len(d) for d in receiver.seen], [len(t) for t in texts])
    lines(157)


# ---- resources ----------------------------------------------------------------------------------------


@regression(59, quirk="keeps clients whose input it does not want")
def no_descriptor_is_leaked(a):
    m = gated(a, stdin=False)
    m.wait_output(b"up\n")

    def count():
        return [len(harness.fds_of(p)) for p in m.processes()]

    def attach_and_leave():
        client = m.client()
        client.send(b"x")
        client.close()

    attach_and_leave()
    before = poll_until(count)
    for _ in range(500):
        attach_and_leave()
        m.ctl(b"1 2 2\n")
    for _ in range(20):
        m.ctl(b"2 0 0\n")
    # of the last client either half may still have its descriptor
    poll_until(lambda: sum(count()) <= sum(before), what=f"as few descriptors as before: {before}, now {count()}")
    m.release("gate")
    equal(m.end(), 0)
    lines(38)


def private_memory(pid):
    return sum(int(entry.split()[1]) for entry in read_text(f"/proc/{pid}/smaps_rollup").decode().splitlines()
               if entry.startswith("Private_Dirty") or entry.startswith("Private_Clean"))


@regression(60)
def no_threads_and_no_growth(a):
    m = gated(a, f"lines=50000,200 wait-file={a.path('gate2')} lines=200000,200 stdout=over\\n wait-file={a.path('gate3')}",
              args=["--log-size-max", "1000000"])
    m.fifo("gate2"), m.fifo("gate3")
    m.release("gate")
    m.wait_log(lambda records: any(r.text.startswith(b"00049999 ") for r in records), seconds=30)
    before = sum(private_memory(p) for p in m.processes())
    m.release("gate2")
    m.wait_log(lambda records: any(r.text == b"over" for r in records), seconds=30)
    after = sum(private_memory(p) for p in m.processes())
    for pid in m.processes():
        equal(len(os.listdir(f"/proc/{pid}/task")), 1, f"threads of {pid}")
    if "ASAN_OPTIONS" not in os.environ:  # which keeps what was freed
        check(after <= before + 512, f"{before} KiB before, {after} KiB after forty megabytes")
    m.release("gate3")
    equal(m.end(), 0)
