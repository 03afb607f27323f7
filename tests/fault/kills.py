# SPDX-License-Identifier: Apache-2.0
"""A worker that dies at any instruction loses nothing: kill -9 at random times while output and input flow."""

import os
import signal
import threading
import time

from tools import (Case, Journal, Killer, Reader, Skip, check, check_log, equal, expected, finish, is_alive, is_scopemon,
                   kill_worker, logged, poll_until, same, scenario, wait_pid, worker_of)

KERNEL = tuple(int(n) for n in os.uname().release.split(".")[:2])  # see sandbox/exit-file.c
RATE = 400000  # bytes a second: slow enough to outlive the kills, each of which fills the pipes


def lines_for(c, size, n_bytes=150000):
    """Lines per stream that last for c.kills kills."""
    return max(500, c.kills * n_bytes // size // 2)


def load(c, streams=3, flood=2000000):
    """A word that makes the target print for c.kills kills, and how long a worker may live at most.

    Either as fast as it goes, with short lives, so that most deaths are within a read or a write; or slowly.
    """
    size = c.random.choice((40, 100, 100, 900))
    if c.random.random() < 0.6:
        return c.numbered(c.kills * flood // size // 2, size, 0, streams), 0.01
    return c.numbered(max(500, c.kills * 150000 // size // 2), size, RATE, streams), 0.15


def n_lines(wanted):
    return sum(data.count(b"\n") for data in wanted.values())


@scenario(weight=3)
def killed_with_log_file(c: Case):
    """Both streams into a k8s-file: each byte once."""
    word, slow = load(c)
    wanted = expected(word)
    m = c.monitor(f"{word} exit=7", exit_command=True).start()
    killer = Killer(c, m, c.kills, slow=slow)
    finish(m, 7, 60 + 3 * c.kills)
    kills = killer.stop()
    check_log(m, wanted)
    return {"kills": kills, "lines": n_lines(wanted), "bytes": sum(map(len, wanted.values())), "lost": 0, "repeated": 0}


@scenario(weight=3)
def killed_with_log_file_and_client(c: Case):
    """The same with somebody attached, who may see a batch twice and nothing else."""
    word, slow = load(c)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3").start()
    reader = Reader(m.client())
    m.fifo("gate")
    m.release("gate")
    killer = Killer(c, m, c.kills, slow=slow)
    finish(m, 3, 60 + 3 * c.kills)
    kills = killer.stop()
    check_log(m, wanted)
    times, n = reader.check(wanted)
    check(times <= 2 * kills, f"{times} repetitions to the client, {kills} kills")
    return {"kills": kills, "lines": n_lines(wanted), "lost": 0, "client repeats": times, "client repeated bytes": n}


@scenario(weight=2)
def killed_with_terminal(c: Case):
    """A terminal: one stream, lines end in CR LF, and it is never hung up."""
    word, slow = load(c, 1)
    wanted = {"stdout": expected(word)["stdout"].replace(b"\n", b"\r\n")}
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=4", terminal=True).start()
    reader = Reader(m.client())
    m.fifo("gate")
    m.release("gate")
    killer = Killer(c, m, c.kills, slow=slow)
    finish(m, 4, 60 + 3 * c.kills)
    kills = killer.stop()
    check_log(m, wanted)
    times, n = reader.check(wanted)
    check(times <= kills, f"{times} repetitions to the client, {kills} kills")
    return {"kills": kills, "lines": n_lines(wanted), "lost": 0, "client repeats": times, "client repeated bytes": n}


def killed_with_both_sinks(c, journal, terminal, client):
    """File and journal at once. A batch may come twice in the journal and to a client, at kills only."""
    streams = 1 if terminal else 2
    word, slow = load(c, 1 if terminal else 3, 300000)
    printed = expected(word)
    wanted = {s: data.replace(b"\n", b"\r\n") for s, data in printed.items()} if terminal else printed
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=5", terminal=terminal,
                  log=[f"k8s-file:{c.area.path('ctr.log')}", "journald"]).start()
    m.fifo("gate")
    reader = Reader(m.client()) if client else None
    m.release("gate")
    killer = Killer(c, m, c.kills, slow=slow)
    finish(m, 5, 60 + 3 * c.kills)
    kills = killer.stop()
    check_log(m, wanted)
    times, n = journal.check(printed)
    check(times <= streams * kills, f"{times} repetitions in the journal, {kills} kills")
    counts = {"kills": kills, "lines": n_lines(printed), "lost": 0, "journal repeats": times, "journal repeated bytes": n}
    if reader:
        times, n = reader.check(wanted)
        check(times <= streams * kills, f"{times} repetitions to the client, {kills} kills")
        counts |= {"client repeats": times, "client repeated bytes": n}
    return counts


@scenario(weight=3)
def killed_with_journal(c: Case):
    """The journal and a file, both streams."""
    return killed_with_both_sinks(c, Journal(), False, False)


@scenario(weight=2)
def killed_with_journal_and_client(c: Case):
    """The same with somebody attached."""
    return killed_with_both_sinks(c, Journal(), False, True)


@scenario(weight=2)
def killed_with_terminal_and_journal(c: Case):
    """The journal, a file, a terminal, and somebody attached."""
    return killed_with_both_sinks(c, Journal(), True, True)


@scenario(weight=1)
def killed_while_exec_streams(c: Case):
    """podman exec db pg_dump | gzip: the client has the only copy of 100 MB."""
    n_bytes = 100000000 if c.kills >= 10 else 20000000
    word = c.numbered(n_bytes // 1000, 1000, int(n_bytes / (c.kills * 0.6)), 1)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=9", mode="exec", attach="seqpacket", log=["none"])
    m.fifo("gate")
    m.start()
    equal(m.attach_record(), {"data": 0}, "attach pipe")
    reader = Reader(m.client())
    m.begin_again()
    m.release("gate")
    check(m.record()["data"] > 0, "no pid")
    killer = Killer(c, m, c.kills)
    status = m.record(120 + 3 * c.kills)
    kills = killer.stop()
    times, n = reader.check(wanted, 60)
    equal(status["data"], 9, "exit status on the sync pipe")
    equal(m.end(60), 9, "status of the monitor")
    check(times <= kills, f"{times} repetitions to the client, {kills} kills")
    return {"kills": kills, "lines": n_lines(wanted), "bytes": len(wanted["stdout"]), "lost": 0, "client repeats": times,
            "client repeated bytes": n}


def send_all(client, data, piece, random):
    sent = 0
    while sent < len(data):
        n = random.randint(1, piece)
        client.send(data[sent:sent + n])
        sent += n
        if random.random() < 0.3:
            time.sleep(0.006)
    client.half_close()


@scenario(weight=2)
def killed_while_stdin_flows(c: Case):
    """What a client sends arrives once and whole, and so does its end."""
    data = expected(c.numbered(c.kills * 2500, 100, 0, 1))["stdout"]
    m = c.monitor("cat exit=6", stdin=True).start()
    client = m.client()
    reader = Reader(client)
    sender = threading.Thread(target=send_all, args=(client, data, 8192, c.random), daemon=True)
    killer = Killer(c, m, c.kills, slow=0.05)
    sender.start()
    sender.join(60 + 3 * c.kills)
    check(not sender.is_alive(), "stdin is not taken")
    finish(m, 6)
    kills = killer.stop()
    check_log(m, {"stdout": data})
    times, n = reader.check({"stdout": data})
    return {"kills": kills, "stdin bytes": len(data), "lost": 0, "client repeats": times, "client repeated bytes": n}


@scenario(weight=1)
def killed_while_clients_come(c: Case):
    """Who connects while there is no worker, or just one that has begun, takes nobody's place."""
    word = c.numbered(lines_for(c, 100), 100, RATE)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3").start()
    first = Reader(m.client())
    m.fifo("gate")
    m.release("gate")
    killer = Killer(c, m, c.kills)
    late = []
    while is_alive(m.target()) and len(late) < 500:
        try:
            late.append(Reader(m.client()))
        except FileNotFoundError:
            check(not is_alive(m.target()), "there is a container, and no attach socket")
        time.sleep(c.random.choice((0.001, 0.01, 0.1)))
    finish(m, 3, 60 + 3 * c.kills)
    kills = killer.stop()
    check_log(m, wanted)
    times, n = first.check(wanted)
    cut = 0
    for reader in late:
        reader.join(10)
        check(not reader.is_alive(), "a late client has no end of file")
        for stream in ("stdout", "stderr"):
            got = b"".join(reader.pieces[stream])
            cut += not wanted[stream].endswith(got[-4096:])
    check(cut <= 2 + kills // 20, f"{cut} of {len(late)} late clients did not get the end")
    return {"kills": kills, "lost": 0, "late clients": len(late), "client repeats": times, "cut": cut}


@scenario(weight=1)
def killed_while_idle(c: Case):
    """A worker that dies with nothing to do is replaced, and what comes later is served."""
    m = c.monitor(f"stdout=first\\n wait-file={c.area.path('gate')} stdout=second\\n exit=2").start()
    m.fifo("gate")
    m.wait_output(b"first\n")
    killed = kill_worker(m)
    poll_until(lambda: (p := worker_of(m)) and p != killed, what="another worker")
    reader = Reader(m.client())
    time.sleep(0.3)
    m.release("gate")
    finish(m, 2)
    check_log(m, {"stdout": b"first\nsecond\n"})
    reader.check({"stdout": b"second\n"})
    return {"kills": 1, "lost": 0}


@scenario()
def killed_right_after_stdin_closed(c: Case):
    """The end of stdin reaches the target, whoever dies meanwhile."""
    for _ in range(5):
        m = c.monitor("cat exit=6", stdin=True, cid=f"{c.random.getrandbits(128):032x}").start()
        client = m.client()
        killer = Killer(c, m, 4, slow=0.01)
        client.send(b"hello\n")
        client.half_close()
        equal(m.end(20), 6, "status of the monitor")
        killer.stop()
        equal(m.exit_file(), "6")
        same(logged(m.log_text())["stdout"], b"hello\n", "log")
        os.unlink(m.log_path)
        client.close()
    return {"runs": 5, "lost": 0}


@scenario()
def dying_too_often(c: Case):
    """Five deaths are mended at once, then it is one try a second; the container goes on."""
    if not is_scopemon():
        return {"kills": 0}
    m = c.monitor(f"wait-file={c.area.path('gate')} stdout=after\\n exit=1").start()
    m.fifo("gate")
    last, when = None, []
    for _ in range(8):
        last = kill_worker(m, last=last)
        when.append(time.monotonic())
    check(when[4] - when[0] < 2.5, f"five deaths took {when[4] - when[0]:.2f} s to be mended")
    check(when[7] - when[5] > 1.5, f"no pause between the deaths after those: {when[7] - when[5]:.2f} s")
    m.release("gate")
    finish(m, 1)
    check_log(m, {"stdout": b"after\n"})
    return {"kills": 8, "lost": 0, "pause": round((when[7] - when[5]) / 2, 2)}


@scenario()
def two_deaths_at_one_place(c: Case):
    """A batch that kills each worker is written raw, and that is said."""
    if not is_scopemon():
        return {}
    journal = Journal()
    m = c.monitor(f"stdout=first\\n stdout=unfinished wait-file={c.area.path('gate')} stdout=\\nlast\\n exit=1",
                  log=["journald"]).start()
    m.fifo("gate")
    reader = Reader(m.client())
    poll_until(lambda: journal.lines()["stdout"], what="the first line")
    time.sleep(0.3)
    last = kill_worker(m, signal.SIGSEGV)
    last = kill_worker(m, signal.SIGSEGV, last)
    poll_until(lambda: len(journal.lines()["stdout"]) == 2, what="the raw batch")
    equal(journal.lines()["stdout"][1][0], b"unfinished", "what was written raw")
    check(journal.announced(b"raw"), "nobody said so")
    m.release("gate")
    finish(m, 1)
    journal.settle()
    equal(b"".join(t + b"\n" * w for t, w in journal.lines()["stdout"]).replace(b"\n", b""), b"firstunfinishedlast",
          "journal")
    reader.join(5)
    return {"kills": 2, "lost": 0}


@scenario()
def keeper_killed(c: Case):
    """The half that callers know is killed: container and output go on without it, whole, and the exit files tell its end."""
    if not is_scopemon():
        raise Skip("has one half only: see killed_with_log_file")
    word = c.numbered(20000, 100, 1000000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=7").start()
    m.fifo("gate")
    target = m.target()
    reader = Reader(m.client())
    m.release("gate")
    worker = poll_until(lambda: worker_of(m), what="a worker")
    held = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
    check(not any(map(os.path.isdir, held)), f"a directory could be passed on to the container: {held}")
    poll_until(lambda: len(m.log_text()) > 100000, what="half of the output")
    os.kill(m.pid, signal.SIGKILL)
    equal(wait_pid(target, 60), 7, "status of the container, which falls to the next subreaper")
    poll_until(lambda: not is_alive(worker), 30, "the worker's end")
    check_log(m, wanted)
    equal(reader.check(wanted), (0, 0), "repetitions to the client")
    if KERNEL >= (6, 10):
        told = "7" if KERNEL >= (6, 15) else "-1"
        equal((m.exit_file(), m.persist_file()), (told, told), "exit file and persist file")
    return {"lost": 0, "bytes": sum(map(len, wanted.values()))}


@scenario(weight=1)
def killed_with_control_line_on_its_way(c: Case):
    """A wish for a new log file is read, and its worker dies: the next one carries it out."""
    m = c.monitor("hang").start()
    m.target()
    kills = 0
    for _ in range(max(20, c.kills)):
        worker = poll_until(lambda: worker_of(m), what="a worker")
        os.rename(m.log_path, m.log_path + ".old")
        m.ctl(b"2 0 0\n")
        time.sleep(c.random.uniform(0, 0.0015))
        os.kill(worker, signal.SIGKILL)
        kills += 1
        poll_until(lambda: os.path.exists(m.log_path), 10, "a new log file")
        poll_until(lambda w=worker: worker_of(m) not in (w, None), 10, "another worker")
    os.kill(m.target(), signal.SIGKILL)
    equal(m.end(30), 137, "status of the monitor")
    return {"kills": kills, "lost": 0}
