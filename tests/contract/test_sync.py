# SPDX-License-Identifier: Apache-2.0
"""Checklist 41 to 60: the records on the sync and the attach pipe."""

import json
import os

from harness import check, comm, contains, descendants, equal, is_fifo, is_socket, line, read_text, stays, wait_path

PODMAN_READS = 4096


@line(41)
def create_with_api_0(a):
    for kind in ("seqpacket", "stream", "pipe"):
        m = a.monitor("exit=3", api=0, sync=kind).start()
        equal(m.record(), {"pid": int(read_text(m.pid_file))})
        equal(m.raw, [b'{"pid": %d}\n' % m.target()])
        equal(m.end(), 3)
        os.unlink(m.pid_file)


@line(42)
def create_with_api_1(a):
    m = a.monitor("exit=3").start()
    equal(m.record(), {"data": int(read_text(m.pid_file))})
    equal(m.raw, [b'{"data": %d}\n' % m.target()])


@line(43)
def exec_with_api_0_has_one_record(a):
    for kind in ("seqpacket", "stream", "pipe"):
        m = a.monitor("exit=3", api=0, mode="exec", sync=kind).start()
        equal(m.record(), {"exit_code": 3})
        equal(m.record(), None)
        equal(m.raw, [b'{"exit_code": 3}\n'])
        equal(m.end(), 3)


@line(44)
def exec_with_api_1_has_two_records(a):
    m = a.monitor("exit=3", mode="exec").start()
    equal(m.record(), {"data": int(read_text(m.pid_file))})
    equal(m.record(), {"data": 3})
    equal(m.record(), None)
    equal(m.raw, [b'{"data": %d}\n' % m.target(), b'{"data": 3}\n'])


@line(45)
def each_record_is_one_packet(a):
    for options, words, count in (({}, "", 1), ({"api": 0}, "", 1), ({"mode": "exec"}, "signal=9", 2),
                                  ({"mode": "exec", "api": 0}, "", 1), ({}, "runtime-stderr=no\\nway\\n runtime-exit=1", 1),
                                  ({"mode": "exec"}, "runtime-stderr=no\\nway\\n runtime-exit=1", 1)):
        m = a.monitor(words, **options).start()
        while m.record() is not None:
            pass
        equal(len(m.raw), count, f"records of {options} {words}")
        for raw in m.raw:
            check(raw.endswith(b"}\n") and raw.count(b"\n") == 1, f"not one record in one packet: {raw}")
        if os.path.exists(m.pid_file):
            os.unlink(m.pid_file)


@line(46)
def create_with_failing_runtime(a):
    for mode in ("create", "restore"):
        for api, key in ((0, "pid"), (1, "data")):
            m = a.monitor("runtime-stderr=it\\swill\\snot\\n runtime-exit=4", api=api, mode=mode).start()
            equal(m.record(), {key: -1, "message": "it will not\n"})
            equal(m.raw, [b'{"%s": -1, "message": "it will not\\n"}\n' % key.encode()])
            equal(m.record(), None)
            equal(m.end(), 1, "status of the monitor")
            check(not os.path.exists(f"{a.exits}/{m.cid}"), "there is an exit file")


@line(47, since="2.2.0")
def create_with_failing_silent_runtime(a):
    for words in ("runtime-exit=1", "runtime-signal=9"):
        m = a.monitor(words).start()
        equal(m.record(), {"data": -1})
        equal(m.raw, [b'{"data": -1}\n'])
        equal(m.record(), None)
        equal(m.end(), 1)


@line(48, since="2.2.0")
def runtime_that_cannot_be_executed(a):
    m = a.monitor("", runtime=a.make("directory")).start()
    record = m.record()
    equal(record and record.get("data"), -1, "record")
    equal(m.record(), None)
    equal(m.end(), 1)
    text = a.file("no-program", b"this is no program", 0o755)
    m = a.monitor("", runtime=text, api=0).start()
    record = m.record()
    equal(record and record.get("pid"), -1, "record")


@line(49)
def exec_with_failing_runtime(a):
    for api, key in ((0, "exit_code"), (1, "data")):
        m = a.monitor("runtime-stderr=it\\swill\\snot runtime-exit=255", api=api, mode="exec").start()
        equal(m.record(), {key: -1, "message": "it will not"})
        equal(m.record(), None)
        equal(m.end(), 1)


@line(50)
def exec_with_failing_runtime_and_empty_pid_file(a):
    for api, key in ((0, "exit_code"), (1, "data")):
        a.file("pidfile")
        m = a.monitor("runtime-stderr=it\\swill\\snot runtime-exit=255", api=api, mode="exec").start()
        equal(m.record(), {key: -1, "message": "it will not"})
        equal(m.record(), None)
        equal(m.end(), 1)


@line(51, since="2.2.0")
def runtime_without_a_terminal(a):
    for mode in ("create", "exec"):
        m = a.monitor("no-console hang", terminal=True, mode=mode).start()
        equal(m.record(), {"data": -1, "message": "Runtime did not set up terminal"})
        equal(m.record(), None)
        equal(m.end(), 1)


@line(52, since="2.2.0")
def escaping_of_the_message(a):
    text = "".join(f"\\x{b:02x}" for b in b'a"b\\c/d\ne\tf\rg\x01h\x1fi\x7fj\bk\fl\xc3\xa9m\xe2\x82\xacn')
    m = a.monitor(f"runtime-stderr={text} runtime-exit=1").start()
    m.record()
    wanted = b'a\\"b\\\\c\\/d\\ne\\tf\\rg\\u0001h\\u001fi\\u007fj\\bk\\fl\xc3\xa9m\xe2\x82\xacn'
    equal(m.raw, [b'{"data": -1, "message": "' + wanted + b'"}\n'])
    m = a.monitor("runtime-stderr=bad\\xffbytes\\xc3 runtime-exit=1").start()
    m.record()
    equal(m.raw, [b'{"data": -1, "message": "bad\xffbytes\xc3"}\n'], "invalid UTF-8")


@line(53, quirk="up to 8191 bytes of text, more than Podman reads")
def long_message_is_cut(a):
    for unit in ("x", "\\x22", "\\x01", "\\xe2\\x82\\xac", "a\\n\\\\", "\\xf0\\x9f\\x90\\xb3\\x02"):
        m = a.monitor(f"runtime-stderr={unit * (20000 // (unit.count('x') or 1))} runtime-exit=1").start()
        record = m.record()
        equal(record["data"], -1)
        check(len(m.raw[0]) <= PODMAN_READS, f"record of {len(m.raw[0])} bytes")
        check(len(m.raw[0]) > PODMAN_READS - 64, f"only {len(m.raw[0])} bytes of {PODMAN_READS} are used")
        json.loads(m.raw[0].decode("utf-8")) # strictly: no half character at the cut
        equal(m.record(), None)


@line(54, since="2.1.8")
def reader_of_the_sync_pipe_is_gone(a):
    for kind in ("seqpacket", "stream", "pipe"):
        for mode in ("create", "exec"):
            m = a.monitor("stdout=on\\n exit=3", mode=mode, sync=kind)
            m.sync_channel.close()
            m.start()
            equal(m.end(), 3, f"status of the monitor, {kind} {mode}")
            equal(m.exit_file(), "3")
            equal(m.output(), b"on\n")
            for path in (m.log_path, f"{a.exits}/{m.cid}", m.pid_file):
                os.unlink(path)


@line(55)
def exec_that_takes_too_long(a):
    for api, key in ((1, "data"), (0, "exit_code")):
        m = a.monitor("hang", mode="exec", api=api, args=["-T", "1"]).start()
        if api:
            equal(m.record(), {"data": m.target()})
        equal(m.record(), {key: -1, "message": "command timed out"})
        equal(m.record(), None)
        equal(m.end(), 255)
        os.unlink(m.pid_file)


@line(56)
def create_has_no_record_at_the_end(a):
    m = a.monitor("exit=3").start()
    equal(m.record(), {"data": m.target()})
    equal(m.record(), None)
    equal(m.exit_file(), "3")


@line(57)
def restore_has_the_pid_record(a):
    for api, key in ((0, "pid"), (1, "data")):
        m = a.monitor(f"record={a.path('runtime-record')} exit=3", mode="restore", api=api).start()
        equal(m.record(), {key: m.target()})
        equal(m.record(), None)
        contains(m.runtime_saw()["argv"], b"restore")
        os.unlink(m.pid_file)


@line(58)
def attach_record_comes_when_the_files_are_there(a):
    for kind in ("seqpacket", "stream", "pipe"):
        m = a.monitor("exit=3", mode="exec", attach=kind).start()
        equal(m.attach_record(), {"data": 0})
        equal(m.attach_channel.raw, [b'{"data": 0}\n'])
        check(is_socket(m.attach_path) and is_fifo(f"{m.bundle}/ctl") and is_fifo(f"{m.bundle}/winsz"), "files are not there yet")
        m.client() # and somebody listens
        m.begin_again()
        equal(m.record(), {"data": m.target()})
        equal(m.record(), {"data": 3})
        equal(m.attach_record(), None)
        for path in (m.pid_file, f"{m.bundle}/ctl", f"{m.bundle}/winsz"):
            os.unlink(path)


@line(59)
def exec_waits_for_the_second_start(a):
    m = a.monitor(f"record={a.path('runtime-record')} stdout=hello", mode="exec", attach="seqpacket").start()
    equal(m.attach_record(), {"data": 0})
    c = m.client()
    check(stays(lambda: not os.path.exists(m.runtime_record)), "the runtime has started")
    check("fake-runtime" not in {comm(p) for p in descendants(m.pid)}, "the runtime has been executed")
    m.begin_again()
    equal(c.drain(), b"hello")
    # two signals as words of different length on a byte stream, with the rest of the first not taken for the second
    os.unlink(m.runtime_record)
    m = a.monitor(f"record={a.path('runtime-record')}", mode="exec", attach="stream", begin="stream")
    os.write(m.begin_channel.ours, b"start conmon\n")
    equal(m.left().status, 0)
    equal(m.attach_record(), {"data": 0})
    check(stays(lambda: not os.path.exists(m.runtime_record)), "the rest of the first word was taken for the second")
    os.write(m.begin_channel.ours, b"start attach\n")
    wait_path(m.runtime_record)
    # the end of the start pipe counts, too
    os.unlink(m.runtime_record)
    m = a.monitor(f"record={a.path('runtime-record')}", mode="exec", attach="stream").start()
    equal(m.attach_record(), {"data": 0})
    m.begin_channel.close()
    wait_path(m.runtime_record)


@line(60)
def exec_attach_without_attach_pipe(a):
    m = a.monitor(f"record={a.path('runtime-record')}", mode="exec", args=["--exec-attach"])
    m.go()
    done = m.left()
    contains(done.out + done.err, b"--attach specified but _OCI_ATTACHPIPE was not")
    equal(m.record(), None)
    if done.status == 0 and m.pid:
        equal(m.end(), 1, "status of the monitor")
    check(not os.path.exists(m.runtime_record), "the runtime was started")
