# SPDX-License-Identifier: Apache-2.0
"""Checklist 130 to 137: running the OCI runtime."""

import os
import signal

import host
from harness import (CID, RUNTIME, check, contains, equal, is_alive, is_older, line, poll_until, scenario, stat_fields, stays,
                     wait_path)


def argv_of(m):
    return [word.decode() for word in m.runtime_saw()["argv"]]


def forget(m):
    for path in (m.pid_file, m.monitor_pid_file, m.runtime_record):
        if os.path.exists(path):
            os.unlink(path)


@line(130)
def argv_for_create_restore_exec(a):
    record = f"record={a.path('runtime-record')}"
    more = ["-s", "--runtime-arg", "--root=/r", "--runtime-arg", "--log-format=json", "--no-pivot", "--no-new-keyring",
            "--runtime-opt", "--preserve-fds", "--runtime-opt", "0"]
    front = [RUNTIME, "--systemd-cgroup", "--root=/r", "--log-format=json"]
    opts = ["--preserve-fds", "0"]

    m = a.monitor(record, args=more).start()
    files = ["--bundle", a.bundle, "--pid-file", m.pid_file]
    equal(argv_of(m), [*front, "create", *files, "--no-pivot", "--no-new-keyring", *opts, CID])
    m.end()
    forget(m)

    m = a.monitor(record).start()
    equal(argv_of(m), [RUNTIME, "create", *files, CID])
    m.end()
    forget(m)

    m = a.monitor(record, args=more, terminal=True).start()
    words = argv_of(m)
    equal(words[:-2], [*front, "create", *files, "--no-pivot", "--no-new-keyring", *opts, "--console-socket"])
    equal(words[-1], CID)
    m.end()
    forget(m)

    m = a.monitor(record, mode="restore", args=more).start()
    equal(argv_of(m), [*front, "restore", *files, "--no-pivot", "--no-new-keyring", "--detach", "--image-path",
                       a.path("checkpoint"), "--work-path", a.bundle, *opts, CID])
    m.end()
    forget(m)

    m = a.monitor(record, mode="exec", args=more).start()
    equal(argv_of(m), [RUNTIME, *front[2:], "exec", "--pid-file", m.pid_file, "--process", a.path("process.json"), "--detach",
                       *opts, CID])
    m.end()
    forget(m)

    m = a.monitor(record, mode="exec", terminal=True).start()
    words = [w for w in argv_of(m) if not (w == "--tty" and is_older("2.1.11"))]
    equal(words[:-2], [RUNTIME, "exec", "--pid-file", m.pid_file, "--process", a.path("process.json"), "--detach",
                       "--console-socket"])
    m.end()


@line(131)
def environment_of_the_runtime(a):
    env = {"LISTEN_PID": "99999", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "NOTIFY_SOCKET": "/n", "ODD": "a=b c\n",
           "XDG_RUNTIME_DIR": "/x"}
    for args in ([], ["--replace-listen-pid"]):
        m = a.monitor(f"record={a.path('runtime-record')}", env=env, args=args).start()
        m.end()
        saw = m.runtime_saw()
        got = dict(entry.decode().split("=", 1) for entry in saw["env"])
        pid = saw["ids"][0].split()[0].decode()
        equal(got.pop("LISTEN_PID"), pid if args else "99999", f"LISTEN_PID with {args}")
        wanted = a.environment("", env) | {"FAKE_RUNTIME": got["FAKE_RUNTIME"]}
        for name in ("_OCI_SYNCPIPE", "_OCI_STARTPIPE"):
            check(got.pop(name, None), f"{name} is not inherited")
        del wanted["LISTEN_PID"]
        equal(got, wanted)
        forget(m)


@line(132)
def invalid_listen_pid_fails(a):
    for value in ("abc", "0", "-3"):
        m = a.monitor(f"record={a.path('runtime-record')}", env={"LISTEN_PID": value}).start()
        record = m.record()
        equal(record and record["data"], -1, f"record for {value}")
        contains(record.get("message", ""), "Invalid LISTEN_PID")
        equal(m.end(), 1)
        check(not os.path.exists(m.runtime_record), "the runtime was run")
        forget(m)


@line(133, since="2.1.8")
def pipes_serve_a_user_that_is_not_root(a):
    m = a.monitor(rf"user=65534 reopen-stdout stdout=reopened\n wait-file={a.path('gate')}")
    m.fifo("gate")
    os.chmod(a.path("gate"), 0o666)
    m.start()
    m.wait_output(b"reopened\n")
    for fd in (1, 2):
        equal(oct(os.stat(f"/proc/{m.target()}/fd/{fd}").st_mode & 0o777), "0o777", f"descriptor {fd}")
    m.release("gate")
    equal(m.end(), 0)


@line(134)
def stderr_of_a_runtime_that_succeeds_is_logged(a):
    m = a.monitor(r"runtime-stderr=warning\n runtime-stdout=said\n stdout=foo\n").start()
    check(m.record()["data"] > 0)
    equal(m.end(), 0)
    equal(m.output("stderr"), b"warning\n")
    equal(m.output(), b"said\nfoo\n")


def hanging(a, **options):
    """A monitor whose runtime does not end, and the runtime's pid."""
    m = a.monitor(f"record={a.path('runtime-record')} runtime-hang", **options).start()
    wait_path(m.runtime_record)
    return m, int(m.runtime_saw()["ids"][0].split()[0])


def is_gone(pid):
    fields = stat_fields(pid)
    return not fields or fields[0] in "ZX"


@line(135)
def runtime_dies_with_a_killed_monitor(a):
    m, runtime = hanging(a)
    host.kill(m.pid, signal.SIGKILL)
    m.end()
    poll_until(lambda: is_gone(runtime), what="the runtime's death")


@line(136)
def sigterm_during_create_reaches_the_runtime(a):
    m, runtime = hanging(a, exit_command=True)
    host.kill(m.pid, signal.SIGTERM)
    record = m.record()
    if not is_older("2.2.0"):
        equal(record, {"data": -1})
    equal(m.record() if record else None, None)
    equal(m.end(), 1)
    check(is_gone(runtime))
    equal(os.listdir(a.exits), [], "exit files of a container that never was")


@scenario(quirk="they end it")
def every_signal_reaches_the_target(a):
    """Whoever signals the monitor means the container; what ends nobody ends neither of them."""
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN + 3):
        m = a.monitor(r"stdout=up\n hang", exit_command=True).start()
        m.wait_output(b"up\n")
        host.kill(m.pid, signal.SIGWINCH)
        host.kill(m.pid, signal.SIGCONT)
        host.kill(m.pid, number)
        equal(m.end(), 128 + number)
        equal(m.exit_file(), str(128 + number))
        os.unlink(m.log_path)
        forget(m)
        os.unlink(f"{a.exits}/{CID}")


@scenario()
def runtime_judges_the_bundle(a):
    """What is wrong with config.json, if anything is, is the runtime's to say, as it is the one that reads it."""
    for config in ('{"a": NaN}', '{"a": Infinity}', "{'a': 1}", '{"linux":', "[]", ""):
        with open(f"{a.bundle}/config.json", "w", encoding="utf-8") as f:
            f.write(config)
        m = a.monitor(r"runtime-stderr=invalid\scharacter runtime-exit=1").start()
        record = m.record()
        equal((record["data"], record["message"]), (-1, "invalid character"), config)
        equal(m.end(), 1)
        forget(m)
        m = a.monitor("exit=3").start()
        check(m.record()["data"] > 0, f"a runtime that takes {config}")
        equal(m.end(), 3)
        forget(m)
        os.unlink(m.log_path)
        os.unlink(f"{a.exits}/{CID}")


@scenario(quirk="they end it")
def signals_that_are_none_of_a_runtimes(a):
    """One that creates a container is only ended by those that mean that."""
    m, runtime = hanging(a)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN + 3, signal.SIGWINCH):
        host.kill(m.pid, number)
    check(stays(lambda: not is_gone(runtime) and is_alive(m.pid)))
    host.kill(m.pid, signal.SIGHUP)
    equal(m.end(), 1)
    check(is_gone(runtime))


@line(137)
def later_signals_reach_the_target(a):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        m = a.monitor(r"stdout=up\n hang").start()
        m.wait_output(b"up\n")
        host.kill(m.pid, number)
        equal(m.end(), 128 + number)
        equal(m.exit_file(), str(128 + number))
        os.unlink(m.log_path)
        forget(m)
        os.unlink(f"{a.exits}/{CID}")
