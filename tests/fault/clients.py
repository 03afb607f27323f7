# SPDX-License-Identifier: Apache-2.0
"""Attached clients that behave badly: nobody else waits for them."""

import os
import resource
import select
import signal
import socket
import threading
import time

from tools import (Case, Reader, check, check_log, children, equal, expected, finish, harness, is_alive, is_scopemon, kill_worker,
                   poll_until, scenario, wait_path)


def in_other_process(function):
    """A client in a process of its own: not the monitor's starter, who has rights of its own. Returns its pid."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)
        function()
        os.close(r)
        os.write(w, b".")
        os.close(w)
        while True:
            signal.pause()
    os.close(w)
    check(os.read(r, 1) == b".", "no client")
    os.close(r)
    return pid


@scenario()
def client_that_stops_reading(c: Case):
    """It is dropped after 10 s; log and another client get everything."""
    word = c.numbered(40000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3").start()
    m.fifo("gate")
    wait_path(m.attach_path)
    keep = []
    in_other_process(lambda: keep.append(m.client()))
    reader = Reader(m.client())
    begun = time.monotonic()
    m.release("gate")
    finish(m, 3)
    took = time.monotonic() - begun
    check_log(m, wanted)
    reader.check(wanted)
    return {"lost": 0, "seconds": round(took, 1)}


@scenario()
def client_with_the_only_copy_stops_reading(c: Case):
    """An exec session's client is never dropped: it pauses for 35 s after the end and still gets every byte."""
    word = c.numbered(10000, 100, 0, 1)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=9", mode="exec", attach="seqpacket", log=["none"])
    m.fifo("gate")
    m.start()
    equal(m.attach_record(), {"data": 0}, "attach pipe")
    client = m.client()
    m.begin_again()
    m.release("gate")
    begun = time.monotonic()
    check(m.record()["data"] > 0, "no pid")
    time.sleep(35)
    reader = Reader(client)
    status = m.record(60)
    reader.check(wanted)
    equal(status["data"], 9, "status on the sync pipe")
    equal(m.end(30), 9)
    return {"lost": 0, "seconds": round(time.monotonic() - begun, 1)}


@scenario()
def client_half_open(c: Case):
    """Who has closed its sending side still gets everything; who has shut its reading side bothers nobody."""
    word = c.numbered(20000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3", stdin=True).start()
    m.fifo("gate")
    half, deaf = m.client(), m.client()
    half.half_close()
    deaf.socket.shutdown(socket.SHUT_RD)
    reader = Reader(half)
    m.release("gate")
    finish(m, 3)
    check_log(m, wanted)
    reader.check(wanted)
    return {"lost": 0}


@scenario()
def client_floods_stdin(c: Case):
    """The target does not read its stdin: output, signals and exit are served all the same."""
    word = c.numbered(20000, 100)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} wait-file={c.area.path('gate2')} exit=3", stdin=True).start()
    m.fifo("gate"), m.fifo("gate2")
    client = m.client()
    reader = Reader(client)
    sent = 0
    while sent < 50000000 and harness.wait_fd(client.fileno(), select.POLLOUT, harness.deadline(1)):
        sent += client.socket.send(bytes(8192), socket.MSG_DONTWAIT)
    check(sent < 10000000, f"{sent} bytes were taken that nobody reads")
    m.release("gate")
    poll_until(lambda: sum(map(len, reader.pieces["stdout"])) == len(wanted["stdout"]), what="the output")
    m.release("gate2")
    finish(m, 3)
    check_log(m, wanted)
    reader.check(wanted)
    return {"lost": 0, "bytes held": sent}


def connect_many(m, n):
    clients = []
    for _ in range(n):
        clients.append(m.client())
    return clients


def check_many(clients, wanted, most_refused):
    """All that were not refused at once got everything."""
    harness.drain_all(clients, 120)
    refused = [x for x in clients if not x.packets]
    check(len(refused) <= most_refused, f"{len(refused)} of {len(clients)} clients got nothing")
    for x in clients:
        if x.packets:
            check(bytes(x.out) == wanted["stdout"] and bytes(x.err) == wanted["stderr"],
                  f"a client got {len(x.out)} and {len(x.err)} bytes")
    return len(refused)


def thousand(c, limit, kill):
    """1,000 clients at once, one of a thousand deaths among them."""
    word = c.numbered(200, 100)
    wanted = expected(word)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 1400:
        raise harness.Skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3").start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 4096), before[1]))
    m.fifo("gate")
    m.target()
    clients = connect_many(m, 1000)
    if kill:
        time.sleep(0.5)
        kill_worker(m)
    m.release("gate")
    refused = check_many(clients, wanted, 0 if limit >= 2048 else 1000 - limit + 64)
    finish(m, 3)
    check_log(m, wanted)
    return {"lost": 0, "clients": 1000, "refused": refused}


@scenario()
def thousand_clients(c: Case):
    """All get everything, also across a death."""
    return thousand(c, 4096, is_scopemon())


@scenario()
def thousand_clients_and_few_descriptors(c: Case):
    """With a limit of 1024 the keeper has no copy of some, and nobody else suffers."""
    return thousand(c, 1024, is_scopemon())


@scenario()
def thousand_connects_that_leave(c: Case):
    """They connect and go, one after the other."""
    word = c.numbered(2000, 100, 200000)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} wait-file={c.area.path('gate2')} exit=3").start()
    m.fifo("gate"), m.fifo("gate2")
    reader = Reader(m.client())
    m.release("gate")
    for _ in range(1000):
        m.client().close()
    m.release("gate2")
    finish(m, 3)
    check_log(m, wanted)
    reader.check(wanted)
    return {"lost": 0, "connects": 1000}


@scenario()
def starter_that_stops_reading(c: Case):
    """podman run in the foreground, suspended: it holds the container back, but neither its end nor the log."""
    word = c.numbered(3800, 100, 0, 1)
    wanted = expected(word)
    m = c.monitor(f"wait-file={c.area.path('gate')} {word} exit=3").start()
    m.fifo("gate")
    client = m.client()
    target = m.target()
    m.release("gate")
    poll_until(lambda: not is_alive(target), what="the container's end: it has more to say than fits anywhere")
    begun = time.monotonic()
    equal(m.exit_file(60), "3")
    took = time.monotonic() - begun
    check_log(m, wanted)
    client.close()
    finish(m, 3)
    return {"lost": 0, "seconds": round(took, 1)}
