# SPDX-License-Identifier: Apache-2.0
"""Managers, runtimes, containers and exit commands that behave badly."""

import os
import signal
import time

from tools import Case, check, check_log, children, equal, expected, finish, harness, is_alive, poll_until, scenario, wait_path


@scenario()
def manager_closes_the_sync_pipe(c: Case):
    """It leaves before it was told anything; the container runs."""
    m = c.monitor(f"wait-file={c.area.path('gate')} stdout=after\\n exit=4")
    m.fifo("gate")
    m.sync_channel.close()
    m.start()
    m.release("gate")
    finish(m, 4)
    check_log(m, {"stdout": b"after\n"})
    return {"lost": 0}


@scenario()
def manager_never_reads(c: Case):
    """Its end of the sync pipe is open and full."""
    m = c.monitor(f"wait-file={c.area.path('gate')} stdout=after\\n exit=4", sync="pipe")
    m.fifo("gate")
    theirs = os.open(f"/proc/self/fd/{m.sync_channel.ours}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(theirs, bytes(4096))
    except BlockingIOError:
        pass
    m.start()
    m.release("gate")
    finish(m, 4)
    check_log(m, {"stdout": b"after\n"})
    os.close(theirs)
    return {"lost": 0}


@scenario()
def runtime_hangs(c: Case):
    """It never leaves; SIGTERM goes to it, and the manager is told."""
    m = c.monitor("runtime-hang").start()
    poll_until(lambda: children(m.pid), what="the runtime")
    time.sleep(0.3)
    os.kill(m.pid, signal.SIGTERM)
    status = m.end(20)
    check(status != 0, "status 0 without a container")
    check(m.record()["data"] < 0, "the manager was not told")
    return {"status": status}


@scenario()
def runtime_leaves_a_child_with_the_pipes(c: Case):
    """A grandchild holds stdout and stderr for ever; the end does not wait for it."""
    m = c.monitor("runtime-grandchild stdout=foo\\n exit=2").start()
    begun = time.monotonic()
    equal(m.exit_file(20), "2")
    took = time.monotonic() - begun
    check_log(m, {"stdout": b"foo\n"})
    harness.kill_descendants()
    return {"seconds": round(took, 1)}


@scenario()
def container_leaves_a_child_with_the_pipes(c: Case):
    """The same of the container's own."""
    word = c.numbered(5000, 100)
    wanted = expected(word)
    m = c.monitor(f"grandchild-holds-pipe {word} exit=2").start()
    begun = time.monotonic()
    equal(m.exit_file(20), "2")
    took = time.monotonic() - begun
    check_log(m, wanted)
    harness.kill_descendants()
    return {"seconds": round(took, 1)}


@scenario()
def runtime_prints_10_mb(c: Case):
    """On stderr, then fails: it is not stopped by that, and the manager gets the beginning."""
    m = c.monitor("runtime-stderr=boom\\n runtime-junk=10000000 runtime-exit=7")
    begun = time.monotonic()
    m.start()
    record = m.record(20)
    check(record["data"] < 0 and "boom" in record.get("message", ""), f"the manager was told {str(record)[:200]}")
    m.end(20)
    return {"seconds": round(time.monotonic() - begun, 1)}


@scenario()
def runtime_prints_10_mb_and_succeeds(c: Case):
    """The container runs, and its own output is whole."""
    m = c.monitor("runtime-junk=10000000 stdout=foo\\n exit=5")
    begun = time.monotonic()
    m.start()
    finish(m, 5)
    check(harness.unlogged(m.log()) == b"foo\n", "stdout")
    return {"seconds": round(time.monotonic() - begun, 1)}


@scenario()
def container_floods_at_once(c: Case):
    """It prints as much as it can before anybody has been told that it runs: an exec session may."""
    word = c.numbered(50000, 100)
    wanted = expected(word)
    for _ in range(5):
        m = c.monitor(f"{word} exit=5", cid=f"{c.random.getrandbits(128):032x}").start()
        finish(m, 5)
        check_log(m, wanted)
        os.unlink(m.log_path)
        os.unlink(m.persist_file and f"{c.area.persist}/exit")
    return {"lost": 0, "runs": 5}


@scenario()
def container_that_ends_with_its_runtime(c: Case):
    """It prints 200 KB and is dead before the runtime leaves its pid."""
    word = c.numbered(1000, 100)
    wanted = expected(word)
    m = c.monitor(f"late-pidfile {word} exit=5").start()
    finish(m, 5)
    check_log(m, wanted)
    return {"lost": 0}


@scenario()
def container_closes_its_stdio(c: Case):
    """Nothing is at its end because of that, and the monitor does not spin."""
    m = c.monitor(f"stdout=foo\\n close-stdin close-stdout close-stderr wait-file={c.area.path('gate')} exit=6", stdin=True).start()
    m.fifo("gate")
    m.wait_output(b"foo\n")
    check(m.is_idle(), "the monitor is busy with nothing")
    check(not os.path.exists(f"{c.area.exits}/{m.cid}"), "reported as ended")
    m.release("gate")
    finish(m, 6)
    return {"lost": 0}


@scenario()
def container_ignores_sigterm(c: Case):
    """The signal is passed on and nothing else happens; SIGKILL to the container is what it is."""
    m = c.monitor("ignore=15 stdout=foo\\n hang").start()
    m.wait_output(b"foo\n")
    os.kill(m.pid, signal.SIGTERM)
    time.sleep(0.5)
    check(is_alive(m.target()) and is_alive(m.pid), "somebody has ended")
    os.kill(m.target(), signal.SIGKILL)
    finish(m, 137)
    return {}


@scenario()
def container_leaves_10000_zombies(c: Case):
    """Each is buried, and the container's own status is found among them."""
    m = c.monitor("zombies=10000 stdout=foo\\n exit=42").start()
    finish(m, 42, 300)
    check_log(m, {"stdout": b"foo\n"})
    return {"zombies": 10000}


@scenario()
def exit_command_hangs(c: Case):
    """Everything is told before it runs; when it is killed the monitor leaves."""
    m = c.monitor("stdout=foo\\n exit=3", exit_command=True, exit_words="exit-hang").start()
    equal(m.exit_file(10), "3")
    wait_path(m.exit_record)
    check_log(m, {"stdout": b"foo\n"})
    pid = poll_until(lambda: next(iter(children(m.pid)), None), what="the exit command")
    check(m.is_idle(), "the monitor is busy")
    os.kill(pid, signal.SIGKILL)
    status = m.end(10)
    check(status in (3, 137), f"status {status}")
    return {"status": status}
