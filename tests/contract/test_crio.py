# SPDX-License-Identifier: Apache-2.0
"""CRI-O's calls, from the first byte to the last."""

import os
import signal

import harness
import host
from crio import EXEC_OUTPUT_MAX, Container
from harness import check, equal, is_alive, poll_until, read_text, scenario, unlogged, wait_path


@scenario()
def crio_create_attach_exit(a):
    c = Container(a, r"wait-start stdout=hello\n cat stderr=bye\n exit=3")
    check(c.create(stdin=True)["pid"] > 0)
    client = c.attach()
    c.begin()
    client.read(b"hello\n")
    client.send(b"x" * 32768)
    client.send(b"\n")
    client.half_close()
    equal(client.drain(), b"hello\n" + b"x" * 32768 + b"\n")
    equal(client.err, b"bye\n")
    equal(c.notice(), 3)
    equal(c.end(), 3)
    equal(unlogged(c.log()), client.out)
    check(not os.path.lexists(f"{c.sockets}/{c.cid}") or harness.is_older("2.1.7"), "the link is left")


@scenario()
def crio_create_with_terminal(a):
    c = Container(a, r"wait-start wait-resize winsize exit=0")
    check(c.create(terminal=True)["pid"] > 0)
    c.begin()
    client = c.attach()
    c.resize(24, 80)
    equal(client.drain(), b"24 80\r\n")
    equal(c.notice(), 0)
    c.end()


@scenario(quirk="keeps the error pipe open")
def crio_create_fails(a):
    for terminal in (False, True):
        c = Container(a, r"runtime-stderr=container_linux.go:\sno\ssuch\sfile runtime-exit=1")
        equal(c.create(terminal=terminal), {"pid": -1, "message": "container_linux.go: no such file"})
        equal(os.listdir(c.exits), [])


@scenario()
def crio_attach_keeps_stdin_open(a):
    c = Container(a, "wait-start cat")
    c.create(stdin=True, stdin_once=False)
    c.begin()
    for word in (b"one", b"two"):
        client = c.attach()
        client.send(word)
        client.read(word)
        client.half_close()
        client.close()
    os.kill(c.monitor, signal.SIGTERM)
    equal(c.notice(), 143)
    c.end()


@scenario()
def crio_exec_sync_results(a):
    c = Container(a, r"wait-start hang")
    c.create()
    c.begin()
    result = c.exec_sync(r"stdout=out\n stderr=err\n stdout=rest")
    equal(result[:5], (0, "", b"out\nrest", b"err\n", [b"", b""]))
    for code in (1, 3, 126, 127, 255):
        equal(c.exec_sync(f"exit={code}")[:2], (code, ""))
    equal(c.exec_sync("signal=9")[:2], (137, ""))
    equal(c.exec_sync(r"stdout=quick exit=2")[:3], (2, "", b"quick"))
    os.kill(c.monitor, signal.SIGTERM)
    equal(c.notice(), 143)


@scenario(since="2.2.0")
def crio_exec_sync_runtime_fails(a):
    c = Container(a)
    equal(c.exec_sync(r"runtime-stderr=exec\sfailed:\sno\s\"x\" runtime-exit=255".replace(r'\"', "'"))[:2],
          (-1, "exec failed: no 'x'"))
    equal(c.exec_sync("runtime-exit=1")[0], -1)
    equal(c.exec_sync("runtime-signal=9")[0], -1)
    result = c.exec_sync(r"runtime-stderr=oops empty-pidfile exit=0")
    equal(result.code, -1, "empty pid file of a runtime that says it is fine")


@scenario()
def crio_exec_sync_times_out(a):
    c = Container(a)
    begun = c.exec_begin(r"grandchild-holds-pipe stdout=up\n hang", timeout=1)
    log = begun[5]
    harness.until(lambda: b"up\n" in read_text(log), os.path.dirname(log))
    group = int(read_text(begun[6]))
    result = c.exec_end(begun)
    equal(result[:2], (-1, "command timed out"))
    equal(result.out, b"up\n")
    poll_until(lambda: not [p for p in harness.descendants(os.getpid()) if is_alive(p)], what="the end of the command's processes")
    check(not is_alive(group))
    equal(c.exec_sync("exit=4", timeout=30)[:2], (4, ""))


@scenario(quirk="takes minutes")
def crio_exec_sync_output_is_capped(a):
    c = Container(a)
    result = c.exec_sync("lines=200000,100 exit=0", seconds=60)
    equal(result[:2], (0, ""))
    check(EXEC_OUTPUT_MAX <= len(result.log) <= EXEC_OUTPUT_MAX + 8192 + 50, f"{len(result.log)} bytes of log")
    n = result.out.count(b"\n")
    host.check_lines(result.out[:100 * (n - 1)], n - 1, 100)


@scenario()
def crio_exec_sync_with_terminal(a):
    c = Container(a)
    result = c.exec_sync(r"stdout=out\n stderr=err\n exit=5", terminal=True)
    equal(result[:4], (5, "", b"out\r\nerr\r\n", b""))


@scenario()
def crio_exec_sync_with_a_process_left(a):
    c = Container(a)
    result = c.exec_sync(r"grandchild-holds-pipe stdout=main\n exit=6")
    equal(result[:3], (6, "", b"main\n"))


@scenario()
def crio_exec_sync_many_at_once(a):
    c = Container(a)
    begun = [c.exec_begin(rf"stdout={i}\n exit={i}") for i in range(20)]
    results = [c.exec_end(b, seconds=30) for b in begun]
    equal([(r.code, r.out) for r in results], [(i, b"%d\n" % i) for i in range(20)])


@scenario()
def crio_exec_sync_is_interrupted(a):
    c = Container(a)
    begun = c.exec_begin(r"stdout=up\n hang")
    harness.until(lambda: b"up\n" in read_text(begun[5]), os.path.dirname(begun[5]))
    os.kill(begun[0], signal.SIGINT)
    equal(c.exec_end(begun)[:2], (130, ""))


@scenario()
def crio_log_reopen_while_silent(a):
    c = Container(a, rf"wait-start stdout=one\n wait-file={a.path('gate')} stdout=two\n exit=0")
    os.mkfifo(a.path("gate"))
    c.create()
    c.begin()
    harness.until(lambda: os.path.exists(c.log_path) and b"one\n" in read_text(c.log_path), c.log_dir)
    os.rename(c.log_path, c.log_path + ".20260101-000000")
    c.reopen()
    equal(read_text(c.log_path), b"")
    for _ in range(3):  # again, without a rename before
        c.reopen()
    harness.release(a.path("gate"))
    equal(c.notice(), 0)
    c.end()
    equal(unlogged(harness.parse_log(read_text(c.log_path + ".20260101-000000"))), b"one\n")
    equal(unlogged(c.log()), b"two\n")
    equal(sorted(os.listdir(c.log_dir)), ["0.log", "0.log.20260101-000000"])


@scenario()
def crio_exit_notice_follows_the_exit_file(a):
    for i in range(10):
        c = Container(a, f"lines=100,100 exit={i}", cid=f"{i:064x}")
        c.create()
        equal(c.notice(), i)
        equal([name for mask, name in c.seen if mask & 0x80], [c.cid], "renames in the exit directory")
        c.end()
        for path in (c.log_path, f"{c.state}/exit", c.pid_file, f"{c.bundle}/conmon-pidfile"):
            os.unlink(path)


@scenario()
def crio_sigpipe_leaves_the_container_alone(a):
    c = Container(a, rf"wait-start wait-file={a.path('gate')} stdout=fine\n exit=0")
    os.mkfifo(a.path("gate"))
    c.create()
    for pid in [c.monitor, *[p for p in harness.children(c.monitor) if harness.link(p, "exe") == harness.link(c.monitor, "exe")]]:
        for _ in range(3):
            os.kill(pid, signal.SIGPIPE)
    c.begin()
    harness.release(a.path("gate"))
    equal(c.notice(), 0)
    equal(c.end(), 0)
    equal(unlogged(c.log()), b"fine\n")


@scenario(quirk="takes the first line of /proc/PID/cgroup")
def crio_oom_file_is_in_the_bundle(a):
    with host.FakeCgroup(a) as cgroup:
        c = Container(a, "wait-start signal=9")
        c.create()
        cgroup.write("low 0\nhigh 0\nmax 1\noom 1\noom_kill 1\n")
        c.begin()
        equal(c.notice(), 137)
        check(os.path.exists(f"{c.bundle}/oom"), "no oom file beside the notice")


@scenario()
def crio_restore(a):
    for name in ("attach", "ctl", "winsz"):
        check(not os.path.exists(f"{a.bundle}/{name}"))
    c = Container(a, rf"record={a.path('record')} stdout=on\sit\sgoes\n exit=0")
    more = ["--restore", a.make("checkpoint"), "--runtime-opt", "--lsm-profile=selinux:x", "--runtime-opt", "--lsm-mount-context=x"]
    check(c.create(more=more)["pid"] > 0)
    equal(c.notice(), 0)
    words = harness.parse_record_file(read_text(wait_path(a.path("record"))))["argv"]
    equal(words[-3:-1], [b"--lsm-profile=selinux:x", b"--lsm-mount-context=x"])
    c.end()


@scenario()
def crio_journal_beside_the_file(a):
    journal = host.Journal()
    c = Container(a, r"stdout=both\n exit=0")
    c.create(more=["--log-path", "journald:"])
    equal(c.notice(), 0)
    c.end()
    (entry,) = journal.until_entries(1)
    equal({k: entry[k] for k in ("CONTAINER_ID_FULL", "CONTAINER_ID", "PRIORITY")},
          {"CONTAINER_ID_FULL": c.cid.encode(), "CONTAINER_ID": c.cid[:12].encode(), "PRIORITY": b"6"})
    equal(unlogged(c.log()), b"both\n")


@scenario()
def crio_log_size_max_keeps_the_newest(a):
    c = Container(a, "lines=1000,100")
    c.create(more=["--log-size-max", "8192"])
    equal(c.notice(), 0)
    c.end()
    records = c.log()
    check(len(read_text(c.log_path)) <= 8192)
    equal(int(records[-1].text[:8]), 999)


@scenario()
def crio_exit_status_while_journald_stands_still(a):
    journal = host.Journal()
    journal.hold()
    c = Container(a, r"stdout=foo\n exit=7")
    c.create(more=["--log-path", "journald:"])
    equal(c.notice(seconds=4), 7)  # CRI-O looks that long before it says 255
    c.end()
    journal.go_on()
    (entry,) = journal.until_entries(1)
    equal(entry["MESSAGE"].removesuffix(b"\n"), b"foo")


@scenario()
def crio_monitor_is_killed(a):
    """What CRI-O looks at comes all the same, when the log is whole; see sandbox/exit-file.c for the kernel."""
    if not harness.is_scopemon():
        raise harness.Skip("has one half only")
    if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 15):
        raise harness.Skip("Linux before 6.15 does not tell how somebody else's child has ended")
    c = Container(a, rf"wait-start stdout=hello\n wait-file={a.path('gate')} stdout=bye\n exit=3")
    target = c.create()["pid"]
    c.begin()
    harness.poll_until(lambda: unlogged(c.log()) == b"hello\n", what="a worker's line")
    os.kill(c.monitor, signal.SIGKILL)
    equal(c.end(), 137)
    with open(a.path("gate"), "w", encoding="ascii"):
        pass
    equal(harness.wait_pid(target), 3, "status of the container, which falls to the next subreaper")
    equal(c.notice(), 3)
    equal(unlogged(c.log()), b"hello\nbye\n")
