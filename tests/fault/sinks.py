# SPDX-License-Identifier: Apache-2.0
"""A sink in trouble: what fits into the bound is held back, what does not is counted, and the container goes on."""

import os
import subprocess
import threading
import time

from tools import (Case, Failed, Journal, Skip, check, equal, expected, finish, harness, is_alive, is_scopemon, kill_worker,
                   logged, mount, own_mounts, poll_until, same, scenario, worker_of)


def told_at_end(journal):
    """Bytes lost, as the entry of the container's end has them."""
    journal.settle()
    ends = [e for e in journal.entries() if b"SCOPEMON_EXIT_STATUS" in e or b"has ended" in e.get(b"MESSAGE", b"")]
    check(len(ends) == 1, f"{len(ends)} entries of the end: {[e.get(b'MESSAGE') for e in journal.announced(b'')]}")
    return int(ends[0].get(b"SCOPEMON_BYTES_LOST", b"0"))


def whole_lines(data, wanted, what):
    """DATA is WANTED without some lines: returns the bytes that are missing. No line is out of place, and none is cut but one
    that was begun when its rest was lost."""
    at = missing = 0
    for line in data.splitlines(True):
        where = wanted.find(line, at)
        if where < 0 and wanted.startswith(line[:-1], at): # its end is that of the last line that is lost
            missing -= 1
            at += len(line) - 1
            continue
        if where < 0:
            raise Failed(f"{what}: {line[:80]!r} after {at} bytes is no line of the container's, or comes twice")
        missing += where - at
        at = where + len(line)
    return missing + len(wanted) - at


@scenario()
def journal_stuck_for_a_while(c: Case):
    """journald under SIGSTOP for three seconds: the container waits, nothing is lost."""
    journal = Journal()
    word = c.numbered(40000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=1", log=["journald"]).start()
    m.fifo("gate")
    journal.stick()
    m.release("gate")
    time.sleep(3)
    journal.go_on()
    finish(m, 1)
    times, _ = journal.check(wanted)
    equal(times, 0, "repetitions")
    return {"lost": 0, "bytes": sum(map(len, wanted.values()))}


@scenario()
def journal_stuck_for_good(c: Case):
    """Longer than the bound of 10 s: what does not fit is given up and counted, the container ends in time."""
    journal = Journal()
    word = c.numbered(200000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=1", log=["journald", f"k8s-file:{c.area.path('ctr.log')}"])
    m.fifo("gate")
    m.start()
    m.target()
    journal.stick()
    begun = time.monotonic()
    m.release("gate")
    finish(m, 1)
    took = time.monotonic() - begun
    check(took < 25, f"the container's end took {took:.1f} s")
    same_file(m, wanted)
    journal.settle()
    found = journal.lines()
    missing = sum(whole_lines(b"".join(t + b"\n" for t, _ in found[s]), wanted[s], s) for s in wanted)
    check(missing > 0, "nothing was lost: the stand-in was not stuck")
    return {"untold": missing, "seconds": round(took, 1)}  # whom could it be told, with the journal stuck to the end


@scenario()
def journal_stuck_at_the_end(c: Case):
    """A container that ends while the journal stands still: the exit file is there before callers stop looking for it."""
    journal = Journal()
    word = c.numbered(1500, 100, 0, 1)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=1", log=["journald", f"k8s-file:{c.area.path('ctr.log')}"])
    m.fifo("gate")
    m.start()
    target = m.target()
    journal.stick()
    m.release("gate")
    poll_until(lambda: not is_alive(target), 30, "the target's end")
    begun = time.monotonic()
    equal(m.exit_file(60 if is_scopemon() else 20), "1", "exit file")
    took = time.monotonic() - begun
    check(took < 4.5, f"the exit file was there after {took:.1f} s")
    finish(m, 1)
    same_file(m, expected(word))
    journal.settle()
    found = journal.lines()["stdout"]
    check(len(found) < 1500, "nothing was lost: the stand-in was not stuck")
    return {"untold": 1500 - len(found), "seconds": round(took, 1)}


@scenario()
def journal_stuck_too_long(c: Case):
    """Longer than the bound, then it goes on: the loss is told once, with its size, and again at the end."""
    journal = Journal()
    word = c.numbered(200000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} wait-file={c.area.path('gate2')} stdout=last\\n exit=1",
                  log=["journald"])
    m.fifo("gate"), m.fifo("gate2")
    m.start()
    m.target()
    journal.stick()
    m.release("gate")
    time.sleep(13)
    journal.settle()
    m.release("gate2")
    finish(m, 1)
    wanted["stdout"] += b"last\n"
    journal.settle()
    found = journal.lines()
    missing = lines = 0
    for stream in wanted:
        lines += wanted[stream].count(b"\n") - len(found[stream])
        missing += whole_lines(b"".join(t + b"\n" for t, _ in found[stream]), wanted[stream], stream)
    check(missing > 0, "nothing was lost: the stand-in was not stuck")
    if is_scopemon():
        equal(told_at_end(journal), missing, "bytes lost, as counted at the end")
        told = [(int(e[b"SCOPEMON_BYTES_LOST"]), int(e[b"SCOPEMON_LINES_LOST"])) for e in journal.announced(b"accepts output again")]
        equal(told, [(missing, lines)], "bytes and lines lost, as told in the incident's entry")
    return {"lost counted": missing, "lines": lines}


def same_file(m, wanted):
    got = logged(m.log_text())
    for stream in wanted:
        same(got[stream], wanted[stream], f"log, {stream}")


@scenario()
def journal_restarted(c: Case):
    """Gone for two seconds, then back on a new socket."""
    journal = Journal()
    word = c.numbered(10000, 100, 300000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=1", log=["journald"]).start()
    m.fifo("gate")
    m.release("gate")
    poll_until(lambda: len(journal.raw) > 1000, what="the first entries")
    journal.vanish_clean()
    time.sleep(2)
    journal.come_back()
    finish(m, 1)
    times, n = journal.check(wanted)
    return {"lost": 0, "journal repeats": times, "journal repeated bytes": n}


@scenario()
def journal_missing_from_the_start(c: Case):
    """No socket at all when the container starts, then there is one."""
    journal = Journal()
    journal.vanish()
    word = c.numbered(5000, 100)
    wanted = expected(word)
    m = c.monitor(f"{word} exit=1", log=["journald"]).start()
    time.sleep(2)
    journal.come_back()
    finish(m, 1)
    journal.check(wanted)
    return {"lost": 0}


@scenario()
def journal_gone_for_good(c: Case):
    """It never comes back: the container ends all the same, in time and with the right status."""
    journal = Journal()
    word = c.numbered(50000, 100)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=1", log=["journald"]).start()
    m.fifo("gate")
    journal.vanish()
    begun = time.monotonic()
    m.release("gate")
    finish(m, 1)
    return {"seconds": round(time.monotonic() - begun, 1)}


def small_disk(c, megabytes):
    own_mounts()
    path = c.area.make("disk")
    mount("tmpfs", path, "tmpfs", 0, f"size={megabytes}m")
    return path


@scenario()
def disk_full_and_room_again(c: Case):
    """The container waits while the disk is full; when there is room in time nothing is lost, and no line is cut."""
    journal = Journal()
    disk = small_disk(c, 4)
    with open(f"{disk}/ballast", "wb") as f:
        f.write(bytes(3 << 20))
    word = c.numbered(10000, 100)
    wanted = expected(word)
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.log_path = f"{disk}/ctr.log"
    time.sleep(2)
    check(m.pid and not os.path.exists(f"{c.area.exits}/{m.cid}"), "the disk was not full")
    os.unlink(f"{disk}/ballast")
    finish(m, 1)
    same_file(m, wanted)
    if is_scopemon():
        equal(told_at_end(journal), 0, "bytes lost, as counted")
    return {"lost": 0}


@scenario()
def disk_full_for_good(c: Case):
    """No room comes: after the bound the rest is counted, the container ends, and the log holds whole lines only."""
    journal = Journal()
    disk = small_disk(c, 1)
    word = c.numbered(20000, 100)
    wanted = expected(word)
    begun = time.monotonic()
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.log_path = f"{disk}/ctr.log"
    finish(m, 1)
    took = time.monotonic() - begun
    got = logged(m.log_text())
    missing = sum(whole_lines(got[s], wanted[s], s) for s in wanted)
    check(missing > 0, "the disk was not full")
    if is_scopemon():
        equal(told_at_end(journal), missing, "bytes lost, as counted")
        check(1 <= len(journal.announced(b"does not accept output")) <= 3, f"{len(journal.announced(b'does not accept output'))} entries")
    return {"lost counted": missing, "seconds": round(took, 1)}


@scenario()
def killed_while_disk_is_full(c: Case):
    """Kills while a batch is half written."""
    journal = Journal()
    disk = small_disk(c, 4)
    word = c.numbered(10000, 100)
    wanted = expected(word)
    with open(f"{disk}/ballast", "wb") as f:
        f.write(bytes((3 << 20) + 123))
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.log_path = f"{disk}/ctr.log"
    last = None
    for _ in range(3):
        time.sleep(0.5)
        last = kill_worker(m, last=last)
    os.unlink(f"{disk}/ballast")
    finish(m, 1)
    same_file(m, wanted)
    journal.settle()
    return {"kills": 3, "lost": 0}


def image_disk(c, megabytes, *format_words):
    """A file system of its own, for this process and its children."""
    own_mounts()
    image, disk = c.area.path("image"), c.area.make("disk")
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    tool(*format_words, image)
    tool("mount", "-o", "loop", image, disk)
    return disk


def tool(*words):
    """A command that the host or its kernel may lack."""
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        raise Skip(f"no {words[0]}") from None
    if done.returncode != 0:
        raise Skip(f"{words[0]}: {done.stderr.decode().strip()}")


@scenario()
def disk_turns_read_only(c: Case):
    """ext4 shuts down under the log: EROFS or EIO for ever. Counted, and the container ends."""
    journal = Journal()
    disk = image_disk(c, 8, "mkfs.ext4", "-q", "-F")
    word = c.numbered(2000, 100)
    wanted = expected(word)
    m = c.monitor(f"stdout=first\\n wait-file={c.area.path('gate')} {word} exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.fifo("gate")
    m.log_path = f"{disk}/ctr.log"
    m.wait_output(b"first\n")
    subprocess.run(["mount", "-o", "remount,abort", disk], capture_output=True, check=False)
    begun = time.monotonic()
    m.release("gate")
    finish(m, 1)
    took = round(time.monotonic() - begun, 1)
    if is_scopemon():
        equal(told_at_end(journal), sum(map(len, wanted.values())), "bytes lost, as counted")
    subprocess.run(["umount", disk], capture_output=True, check=False)
    return {"seconds": took, "lost counted": sum(map(len, wanted.values()))}


def quota_disk(c, limit):
    """There is room, but not for us."""
    disk = image_disk(c, 256, "mkfs.btrfs", "-q")
    tool("btrfs", "quota", "enable", disk)
    set_quota(disk, limit)
    return disk


def set_quota(disk, limit):
    tool("btrfs", "qgroup", "limit", limit, disk)


@scenario()
def quota_reached_and_raised(c: Case):
    """The container waits while the quota is used up; when it is raised in time nothing is lost."""
    journal = Journal()
    disk = quota_disk(c, "1M")
    word = c.numbered(10000, 100)
    wanted = expected(word)
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.log_path = f"{disk}/ctr.log"
    time.sleep(2)
    check(not os.path.exists(f"{c.area.exits}/{m.cid}"), "the quota was not reached")
    set_quota(disk, "100M")
    finish(m, 1)
    same_file(m, wanted)
    if is_scopemon():
        equal(told_at_end(journal), 0, "bytes lost, as counted")
    subprocess.run(["umount", disk], capture_output=True, check=False)
    return {"lost": 0}


@scenario()
def quota_reached_too_long(c: Case):
    """After the bound the rest is counted; what comes when there is room again follows a whole line.

    btrfs cuts no file while the quota is used up, so half a record stays there as long as that lasts.
    """
    journal = Journal()
    disk = quota_disk(c, "1M")
    word = c.numbered(10000, 100)
    wanted = expected(word)
    m = c.monitor(f"{word} wait-file={c.area.path('gate')} stdout=last\\n exit=1", log=[f"k8s-file:{disk}/ctr.log"]).start()
    m.log_path = f"{disk}/ctr.log"
    m.fifo("gate")
    if is_scopemon():
        poll_until(lambda: journal.announced(b"does not accept output"), what="word of it")
    time.sleep(12)
    set_quota(disk, "100M")
    m.release("gate")
    finish(m, 1)
    got = logged(m.log_text())
    wanted["stdout"] += b"last\n"
    missing = sum(whole_lines(got[s], wanted[s], s) for s in wanted)
    check(missing > 0, "the quota was not reached")
    check(got["stdout"].endswith(b"\nlast\n"), f"stdout ends with {got['stdout'][-300:]}")
    if is_scopemon():
        equal(told_at_end(journal), missing, "bytes lost, as counted")
        check(any(b"quota" in e[b"MESSAGE"] for e in journal.announced(b"does not accept output")), "the reason is not told")
    subprocess.run(["umount", disk], capture_output=True, check=False)
    return {"lost counted": missing}


@scenario()
def log_directory_removed(c: Case):
    """The file lives on without a name; a reopen that cannot be is said, and nothing is lost."""
    logs = c.area.make("logs")
    word = c.numbered(5000, 100, 2000000)
    wanted = expected(word)
    m = c.monitor(f"stdout=first\\n wait-file={c.area.path('gate')} {word} exit=1", log=[f"k8s-file:{logs}/ctr.log"]).start()
    m.fifo("gate")
    m.log_path = f"{logs}/ctr.log"
    m.wait_output(b"first\n")
    fd = os.open(f"{logs}/ctr.log", os.O_RDONLY)
    harness.shutil.rmtree(logs)
    m.release("gate")
    m.ctl(b"2 0 0\n")
    finish(m, 1)
    data = b""
    while piece := os.read(fd, 1 << 20):
        data += piece
    got = logged(data)
    same(got["stdout"], b"first\n" + wanted["stdout"], "log, stdout")
    same(got["stderr"], wanted["stderr"], "log, stderr")
    return {"lost": 0}


@scenario()
def fifo_as_log(c: Case):
    """Somebody reads it, slowly, and stops for two seconds."""
    path = c.area.path("fifo")
    os.mkfifo(path)
    word = c.numbered(10000, 100)
    wanted = expected(word)
    data = []

    def read():
        with open(path, "rb", buffering=0) as f:
            n = 0
            while piece := f.read(65536):
                data.append(piece)
                n += 1
                if n == 3:
                    time.sleep(2)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{path}"]).start()
    finish(m, 1)
    reader.join(20)
    check(not reader.is_alive(), "no end of file")
    got = logged(b"".join(data))
    for stream in wanted:
        same(got[stream], wanted[stream], f"fifo, {stream}")
    return {"lost": 0}


@scenario()
def fifo_as_log_that_nobody_reads(c: Case):
    """It is full for ever: counted, and the container ends."""
    journal = Journal()
    path = c.area.path("fifo")
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    word = c.numbered(10000, 100)
    begun = time.monotonic()
    m = c.monitor(f"{word} exit=1", log=[f"k8s-file:{path}"]).start()
    finish(m, 1)
    took = time.monotonic() - begun
    os.set_blocking(fd, False)
    data = os.read(fd, 1 << 20)
    missing = sum(map(len, expected(word).values())) - sum(map(len, logged(data[:data.rfind(b"\n") + 1]).values()))
    if is_scopemon():
        counted = told_at_end(journal)
        check(abs(missing - counted) < 100, f"{missing} bytes lost, {counted} counted")
    return {"lost counted": missing, "seconds": round(took, 1)}


@scenario()
def worker_stopped_at_the_end(c: Case):
    """A worker that hangs (SIGSTOP) is followed by another one, which stores what is left before callers give up."""
    if not is_scopemon():
        raise Skip("no worker")
    m = c.monitor(f"stdout=first\\n wait-file={c.area.path('gate')} stdout=last\\n exit=1").start()
    m.fifo("gate")
    m.wait_output(b"first\n")
    os.kill(worker_of(m), 19)
    begun = time.monotonic()
    m.release("gate")
    finish(m, 1)
    seconds = time.monotonic() - begun
    check(seconds < 4.5, "the end took %.1f s" % seconds)
    equal(m.output(), b"first\nlast\n", "output")
    return {"seconds": round(seconds, 1)}
