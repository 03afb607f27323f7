# SPDX-License-Identifier: Apache-2.0
"""Checklist 26 to 40: from the launcher to the running target."""

import fcntl
import os
import select
import signal

from harness import (MONITOR, Skip, check, children, contains, equal, fds_of, is_alive, is_fifo, is_scopemon, is_socket, line,
                     link, mode_of, poll_until, read_text, stat_fields, status_field, wait_fd, wait_path)


def waits(pid):
    fields = stat_fields(pid)
    return fields and fields[0] == "S"


def check_nothing_done(m):
    """The launcher has read its options and waits; there is nothing to see yet but the log file."""
    wait_path(m.log_path)
    poll_until(lambda: waits(m.launcher.pid), what="a launcher that waits")
    equal(children(m.launcher.pid), set(), "children before the start byte")
    equal(os.listdir(m.bundle), [], "bundle before the start byte")
    equal(os.listdir(m.area.sockets), [], "socket directory before the start byte")
    check(not os.path.exists(m.monitor_pid_file), "pid file before the start byte")


@line(26)
def nothing_happens_before_the_start_byte(a):
    m = a.monitor("exit=4", full=False)
    check_nothing_done(m)
    m.start()
    equal(m.end(), 4)


@line(27)
def end_of_file_counts_as_start(a):
    for kind in ("seqpacket", "stream", "pipe"):
        m = a.monitor("exit=4", begin=kind)
        check_nothing_done(m)
        m.begin_channel.close()
        equal(m.left().status, 0)
        equal(m.end(), 4)
        for name in (m.log_path, m.monitor_pid_file, m.pid_file, f"{m.bundle}/ctl", f"{m.bundle}/winsz"):
            os.unlink(name)


@line(28)
def no_start_pipe(a):
    m = a.monitor("exit=4", begin=None)
    equal(m.left().status, 0)
    equal(m.end(), 4)
    zero = a.monitor("exit=5", begin=None, env={"_OCI_STARTPIPE": "0"}) # 0 counts as absent
    equal(zero.left().status, 0)
    equal(zero.end(), 5)


@line(29)
def bad_start_pipe(a):
    for value, text in (("garbage", b"unable to parse _OCI_STARTPIPE"), ("3x", b"unable to parse _OCI_STARTPIPE"),
                        ("977", b"unable to make _OCI_STARTPIPE CLOEXEC Bad file descriptor")):
        done = a.monitor("", begin=None, env={"_OCI_STARTPIPE": value}).left()
        equal(done.status, 1, f"status for {value}")
        contains(done.err, text)


@line(30)
def launcher_leaves_and_nobody_holds_its_output(a):
    for options in ({}, {"terminal": True}, {"stdin": True}):
        m = a.monitor("hang", **options)
        m.start() # waits for the end of stdout and stderr
        equal(m.left().out + m.left().err, b"", "output of the launcher")
        check(is_alive(m.target()), "the target has not outlived the launcher")
        os.kill(m.target(), signal.SIGKILL)
        m.end()
        os.unlink(m.pid_file)


@line(31)
def pid_file_of_the_monitor(a):
    m = a.monitor("hang")
    m.go()
    m.launcher.wait()
    text = read_text(m.monitor_pid_file)
    check(text.isdigit(), f"not just digits: {text}")
    pid = int(text)
    check(pid != m.launcher.pid and os.path.realpath(link(pid, "exe")) == MONITOR, "not the monitor's pid")
    equal(mode_of(m.monitor_pid_file), 0o644)
    equal(os.listdir(a.top).count("conmon-pidfile"), 1)
    check(not [n for n in os.listdir(a.top) if n.startswith("conmon-pidfile.")], "temporary file left behind")


@line(32)
def sync_does_not_fork_the_monitor(a):
    m = a.monitor("hang", foreground=True, args=["-P", a.path("conmon-pidfile")]).start()
    equal(m.record(), {"data": m.target()})
    check(m.target() in children(m.launcher.pid), "the target is not the launcher's child")
    poll_until(lambda: len(m.processes()) == (2 if is_scopemon() else 1), what="the monitor's processes") # scopemon's worker
    os.kill(m.target(), signal.SIGTERM)
    equal(m.end(), 143)
    check(not os.path.exists(a.path("conmon-pidfile")), "--sync wrote a pid file")


@line(33)
def monitor_has_left_the_session_and_its_stdio(a):
    for options in ({}, {"foreground": True}):
        m = a.monitor("hang", **options).start()
        equal(m.record(), {"data": m.target()})
        if not m.foreground: # with --sync it may lead its process group already
            equal(stat_fields(m.pid)[3], str(m.pid), "session")
        for pid in m.processes():
            for fd in range(3):
                equal(link(pid, f"fd/{fd}"), "/dev/null", f"descriptor {fd} of {pid}")
        os.kill(m.target(), signal.SIGKILL)
        m.end()
        os.unlink(m.pid_file)


@line(34)
def monitor_is_a_subreaper(a):
    m = a.monitor("daemonize exit=5").start()
    equal(m.record(), {"data": m.target()})
    equal(m.end(), 5)
    equal(m.exit_file(), "5")


@line(35, since="2.1.9")
def oom_score_adj(a):
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
        f.write("123")
    m = a.monitor(f"record={a.path('runtime-record')} hang", exit_command=True).start()
    equal(m.record(), {"data": m.target()})
    pids, values = m.processes(), [read_text(f"/proc/{p}/oom_score_adj").strip() for p in m.processes()]
    os.kill(m.target(), signal.SIGKILL)
    m.end()
    equal(m.runtime_saw()["oom_score_adj"], [b"123"], "of the runtime")
    equal(m.exit_command_saw()["oom_score_adj"], [b"123"], "of the exit command")
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
            f.write("-1000")
    except PermissionError as e:
        raise Skip("lowering oom_score_adj is not permitted here; runtime and exit command have the original value") from e
    equal(values, [b"-1000"] * len(pids), "of the monitor")


@line(36)
def working_directory_stays(a):
    elsewhere = a.make("elsewhere")
    m = a.monitor(f"record={a.path('runtime-record')} hang", cwd=elsewhere, drop=["-p", "-l"], args=["-l", "relative.log"]).start()
    m.pid_file = f"{elsewhere}/pidfile-{m.cid}"
    equal(m.record(), {"data": m.target()})
    equal(link(m.pid, "cwd"), elsewhere)
    equal(m.runtime_saw()["cwd"], [elsewhere.encode()], "of the runtime")
    check(os.path.exists(f"{elsewhere}/relative.log"), "log with a relative path")


@line(37)
def default_bundle_is_the_working_directory(a):
    m = a.monitor(f"record={a.path('runtime-record')} hang", bundle=False, cwd=a.bundle).start()
    equal(m.record(), {"data": m.target()})
    argv = m.runtime_saw()["argv"]
    equal(argv[argv.index(b"--bundle") + 1], a.bundle.encode())
    check(is_socket(f"{a.bundle}/attach") and is_fifo(f"{a.bundle}/ctl") and is_fifo(f"{a.bundle}/winsz"), "files in the bundle")


@line(38)
def only_the_callers_descriptors_reach_the_runtime(a):
    """Those that are to be preserved do reach it; what becomes of the caller's others (ports) is the monitor's choice."""
    r, w = os.pipe()
    high = fcntl.fcntl(r, fcntl.F_DUPFD_CLOEXEC, 200)
    preserve = ["--runtime-opt", "--preserve-fds", "--runtime-opt", str(w - 2)]
    for options in ({}, {"stdin": True}, {"terminal": True}, {"mode": "exec", "attach": "seqpacket"}):
        m = a.monitor(f"record={a.path('runtime-record')}", extra_fds=[w, high], args=preserve, **options).start()
        if options.get("attach"):
            equal(m.attach_record(), {"data": 0})
            m.begin_again()
        m.end()
        fds = {int(f.split()[0]) for f in m.runtime_saw()["fd"]}
        check({0, 1, 2, w} <= fds <= {0, 1, 2, w, high}, f"descriptors of the runtime with {options}: {fds}, caller's {w}, {high}")
        os.unlink(m.runtime_record)
        os.unlink(m.monitor_pid_file)
        os.unlink(m.pid_file)


@line(39)
def callers_descriptors_are_open_until_the_exit_file_appears(a):
    r, w = os.pipe()
    m = a.monitor(f"stdout=here wait-file={a.path('gate')}", extra_fds=[w], exit_command=True)
    m.fifo("gate")
    os.close(w)
    m.start()
    equal(m.record(), {"data": m.target()})
    m.wait_output(b"here") # the runtime has gone
    inode = os.fstat(r).st_ino
    contains(fds_of(m.pid).values(), f"pipe:[{inode}]", "descriptors of the monitor")
    equal(wait_fd(r, end=0), 0, "already closed")
    m.release("gate")
    m.persist_file()
    check(wait_fd(r, end=0) & select.POLLHUP, "still open when the exit file appears")
    m.exit_file()


@line(40)
def broken_pipes_do_no_harm(a):
    m = a.monitor(f"cat wait-file={a.path('gate')} lines=2000,100 exit=6", stdin=True)
    m.fifo("gate")
    m.start()
    equal(m.record(), {"data": m.target()})
    check(int(status_field(m.pid, "SigIgn"), 16) & 1 << signal.SIGPIPE - 1, "SIGPIPE is not ignored")
    for pid in m.processes():
        os.kill(pid, signal.SIGPIPE)
    gone, stays_on = m.client(), m.client()
    stays_on.send(b"ping\n")
    for c in (gone, stays_on):
        c.read(b"ping\n")
    gone.close()
    stays_on.half_close()
    m.release("gate")
    stays_on.drain()
    equal(len(stays_on.out), 5 + 200000, "bytes at the client that stayed")
    equal(m.end(), 6)
    equal(len(m.output()), 5 + 200000, "bytes in the log")
