# SPDX-License-Identifier: Apache-2.0
"""Checklist 101 to 119: the log file."""

import datetime
import os
import shutil
import subprocess

import host
from harness import (MONITOR, Skip, check, contains, equal, is_older, is_scopemon, lacks, line, mode_of, parse_log, read_text,
                     scenario)

RECORD = 145  # bytes of a record whose line, with its newline, has 100


def run(a, words, *args, **options):
    """A create from start to end, which has to end with 0; the monitor."""
    m = a.monitor(words, args=args, **options).start()
    check(m.record()["data"] > 0)
    equal(m.end(), 0)
    return m


@line(101)
def line_format_and_time_zone(a):
    for zone, offset, minutes in (("UTC0", "+00:00", 0), ("XST-5:30", "+05:30", 330), ("XST3:30", "-03:30", -210)):
        before = datetime.datetime.now(datetime.timezone.utc)
        m = a.monitor(r"stdout=foo\n", env={"TZ": zone}, args=["-l", a.path(zone.replace(":", ""))], log=[]).start()
        m.end()
        after = datetime.datetime.now(datetime.timezone.utc)
        raw = read_text(a.path(zone.replace(":", "")))
        equal(raw[35:], b" stdout F foo\n")
        equal(raw[29:35].decode(), offset, f"offset for {zone}")
        check(raw[29 - 9:29].isdigit() and raw[19:20] == b".", "no nine digits")
        local = datetime.datetime.fromisoformat(raw[:26].decode())
        when = (local - datetime.timedelta(minutes=minutes)).replace(tzinfo=datetime.timezone.utc)
        slack = datetime.timedelta(microseconds=1)
        check(before - slack <= when <= after + slack, f"time {raw[:35]} is not between {before} and {after}")
        os.unlink(m.pid_file)


@line(102)
def unfinished_line_is_partial_and_nothing_follows(a):
    m = run(a, "stdout=foo")
    check(m.log_text().endswith(b" stdout P foo\n"))
    equal(len(m.log()), 1)


@line(103)
def line_in_two_writes_is_partial_then_full(a):
    m = a.monitor(rf"stdout=foo wait-file={a.path('gate')} stdout=bar\n")
    m.fifo("gate")
    m.start()
    m.wait_log(lambda records: len(records) == 1)
    m.release("gate")
    m.end()
    equal([(r.flag, r.text) for r in m.log()], [("P", b"foo"), ("F", b"bar")])


@line(104)
def empty_line_keeps_its_blank(a):
    m = run(a, r"stdout=\n")
    equal(m.log_text()[35:], b" stdout F \n")


@line(105)
def long_line_is_split(a):
    for size in (20000, 8193, 8194, 16385):
        m = run(a, f"lines=1,{size}")
        records = m.log()
        check(all(len(r.text) <= 8192 for r in records), "a record with more than 8192 bytes")
        equal([r.flag for r in records[-1:]], ["F"])
        check(len(records) >= -(-(size - 1) // 8192), f"{len(records)} records for {size} bytes")
        check({r.flag for r in records[:-1]} <= {"P"}, f"flags of {size} bytes")
        host.check_lines(m.output(), 1, size)
        os.unlink(m.log_path)


@line(106)
def both_streams_are_labelled_and_drained(a):
    m = run(a, r"lines=2000,100 lines-stderr=2000,100 stdout=last\so stderr=last\se")
    for stream, last in (("stdout", b"last o"), ("stderr", b"last e")):
        out = m.output(stream)
        check(out.endswith(last), f"{stream} ends with {out[-50:]}")
        host.check_lines(out.removesuffix(last), 2000, 100)


@line(107)
def nul_and_cr_survive(a):
    m = run(a, r"stdout=a\0b\rc\xff\xfe\r\n\0\0\n stderr=\0")
    equal(m.output(), b"a\0b\rc\xff\xfe\r\n\0\0\n")
    equal(m.output("stderr"), b"\0")


@line(108, since="2.1.13")
def new_file_is_0640_and_old_one_continues(a):
    old = os.umask(0o77)
    try:
        m = run(a, r"stdout=one\n")
    finally:
        os.umask(old)
    equal(oct(mode_of(m.log_path)), "0o640")
    os.chmod(m.log_path, 0o604)
    os.unlink(m.pid_file)
    m = run(a, r"stdout=two\n")
    equal([r.text for r in m.log()], [b"one", b"two"])
    equal(oct(mode_of(m.log_path)), "0o604", "mode of a file that was there")


@line(109)
def size_limit_is_kept(a):
    m = run(a, "lines=50,100", "--log-size-max", "1000")
    check(len(m.log_text()) <= 1000, f"{len(m.log_text())} bytes")
    equal(m.output(), host.lines(50, 100)[-200:])  # six in a file, 50 = 8 * 6 + 2
    os.unlink(m.log_path)
    os.unlink(m.pid_file)

    m = run(a, r"stdout=before\n lines=1,2000", "--log-size-max", "1000")
    host.check_lines(m.output(), 1, 2000)
    os.unlink(m.pid_file)
    if is_older("2.1.10"):
        return
    with open(m.log_path, "wb") as f:
        f.write(b"x" * 870)
    m = run(a, "lines=1,100", "--log-size-max", "1000")
    equal(len(m.log_text()), RECORD, "the size that was there does not count")


@line(110)
def tiny_limit_leaves_the_last_line(a):
    m = run(a, "lines=3,100", "--log-size-max", "10")
    equal(m.output(), host.lines(3, 100)[200:])


@line(111)
def no_limit_by_zero_or_less(a):
    for limit in ("0", "-5"):
        m = run(a, "lines=30,100", "--log-size-max", limit)
        host.check_lines(m.output(), 30, 100)
        os.unlink(m.log_path)
        os.unlink(m.pid_file)


@line(112)
def global_limit_ends_the_log_but_not_attach(a):
    m = a.monitor(f"wait-file={a.path('gate')} lines=50,100", args=["--log-global-size-max", "1000"])
    m.fifo("gate")
    m.start()
    client = m.client()
    m.release("gate")
    host.check_lines(client.drain(), 50, 100)
    m.end()
    equal(m.output(), host.lines(7, 100))  # the seventh crosses the border, and is whole
    os.unlink(m.log_path)
    os.unlink(m.pid_file)
    m = run(a, "lines=50,100", "--log-global-size-max", "-7")
    host.check_lines(m.output(), 50, 100)


def rotated(a, m, n):
    """Numbers of the lines in each of the files: [.N, ... .1, the file itself]."""
    names = [f"{m.log_path}.{i}" for i in range(n, 0, -1)] + [m.log_path]
    found = []
    for name in names:
        if os.path.exists(name):
            equal(oct(mode_of(name)), "0o640", name)
            found.append([int(r.text[:8]) for r in parse_log(read_text(name))])
    leftover = sorted(set(os.listdir(a.top)) - {os.path.basename(name) for name in names})
    check(not [name for name in leftover if name.startswith("ctr.log")], f"more files: {leftover}")
    return found


@line(113, since="2.2.0", quirk="keeps two files for 1")
def rotation_keeps_n_files_in_order(a):
    for n in (1, 2, 3):
        m = run(a, "lines=20,100", "--log-size-max", "400", "--log-rotate", "--log-max-files", str(n))
        equal(rotated(a, m, n), [[2 * i, 2 * i + 1] for i in range(9 - n, 10)])
        for i in range(n):
            os.unlink(f"{m.log_path}.{i + 1}")
        os.unlink(m.log_path)
        os.unlink(m.pid_file)


@line(114, since="2.2.0")
def rotation_by_ctl(a):
    m = a.monitor(rf"stdout=one\n wait-file={a.path('gate')} stdout=two\n", args=["--log-rotate"])
    m.fifo("gate")
    m.start()
    m.wait_log(lambda records: len(records) == 1)
    m.ctl(b"2 1 1\n")
    m.wait_path(m.log_path + ".1")
    m.release("gate")
    m.end()
    equal([r.text for r in parse_log(read_text(m.log_path + ".1"))], [b"one"])
    equal([r.text for r in m.log()], [b"two"])


@line(115, since="2.1.12")
def no_line_is_lost_or_broken_at_a_replacement(a):
    m = run(a, "lines=2000,100", "--log-size-max", "20000")
    records = m.log()
    equal({r.flag for r in records}, {"F"})
    check(0 < len(m.log_text()) <= 20000)
    equal([int(r.text[:8]) for r in records], list(range(2000 - len(records), 2000)))
    equal([n for n in os.listdir(a.top) if n.startswith("ctr.log")], ["ctr.log"])
    if is_older("2.2.0"):
        return
    os.unlink(m.log_path)
    os.unlink(m.pid_file)
    m = run(a, "lines=2000,100", "--log-size-max", "20000", "--log-rotate", "--log-max-files", "100")
    whole = b"".join(read_text(f"{m.log_path}.{i}") for i in range(100, 0, -1) if os.path.exists(f"{m.log_path}.{i}"))
    records = parse_log(whole + m.log_text())
    equal({r.flag for r in records}, {"F"})
    host.check_lines(b"".join(r.text + b"\n" for r in records), 2000, 100)


WRONG_WORDS = (
    ("", "log-path must not be empty"), (":", "log-path must not be empty"), ("::", "log-path must not be empty"),
    ("k8s-file", "k8s-file requires a filename"), ("k8s-file:", "k8s-file requires a filename"),
    ("json-file:/p", "No such log driver json-file"), ("/a/b:c", "No such log driver /a/b"),
)
FILE_WORDS = (
    ("plain", "plain"), ("json-file", "json-file"), (":none", "none"), (":journald", "journald"),
    ("k8s-file:some", "some"), ("k8s-file:cut:here", "cut"),
)
NOTHING_WORDS = ("none", "off", "null", "none:", "off:", "null:", "journald", "journald:", "journald:anything")


@line(116, quirk="-l words of a few versions differ")
def every_log_path_word(a):
    host.Journal()
    for word, text in WRONG_WORDS:
        done = a.launch("-c", "0123456789abcdef", "-u", "u", "-r", "/bin/true", "-b", a.bundle, "-l", word)
        equal(done.status, 1, f"status for {word!r}")
        contains((done.out + done.err).decode(), text, f"message for {word!r}")
    for i, (word, name) in enumerate(FILE_WORDS):
        where = a.make(f"file-{i}")
        run(a, r"stdout=foo\n", log=[word], cwd=where)
        equal(os.listdir(where), [name], f"files by {word!r}")
        equal([r.text for r in parse_log(read_text(f"{where}/{name}"))], [b"foo"])
        os.unlink(a.path("pidfile"))
    for i, word in enumerate(NOTHING_WORDS + ("passthrough", "passthrough:")):
        where = a.make(f"nothing-{i}")
        stdio = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        run(a, r"stdout=foo\n", log=[word], cwd=where, stdio=stdio)
        equal(os.listdir(where), [], f"files by {word!r}")
        os.unlink(a.path("pidfile"))
    where = a.make("two")
    run(a, r"stdout=foo\n", log=["one", "two", "off"], cwd=where)
    equal([r.text for r in parse_log(read_text(f"{where}/two"))], [b"foo"])
    if is_scopemon():
        equal(os.listdir(where), ["two"], "files by two file drivers")


@line(117)
def options_for_the_journal_only(a):
    words = ["-c", "0123456789abcdef", "-u", "u", "-r", "/bin/true", "-b", a.bundle, "-l", a.path("log")]
    done = a.launch(*words, "--log-tag", "T")
    equal(done.status, 1)
    contains(done.out + done.err, b"k8s-file doesn't support --log-tag")
    if not is_older("2.2.0"):
        done = a.launch(*words, "--log-label", "A=B")
        equal(done.status, 1)
        contains(done.out + done.err, b"k8s-file doesn't support --log-label")


def traced(a, *args):
    """Sync calls and those of the exit file, as strace shows them, of a run."""
    strace = shutil.which("strace")
    if not strace:
        raise Skip("no strace")
    trace = a.path("trace")
    # LeakSanitizer cannot work in a process that is traced
    wrapper = host.script(a, "traced", f'ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 exec {strace} -f -qq -y -o {trace} -e trace=fsync,fdatasync,rename,renameat,renameat2'
                                       f' {MONITOR} "$@"\n')
    import harness
    before, harness.MONITOR = harness.MONITOR, wrapper
    try:
        # the exit of strace itself waits for all it traces, so the launcher's end is the monitor's
        m = a.monitor(r"stdout=foo\n", args=args, drop=["-P"])
        m.go()
        check(m.record()["data"] > 0)
        m.left()
    finally:
        harness.MONITOR = before
    os.unlink(m.pid_file)
    calls = read_text(trace).decode().splitlines()
    if not calls or any("ptrace" in c and "denied" in c for c in calls):
        raise Skip("nothing can be traced here")
    return m, calls


@line(118)
def log_is_synced_at_the_end_unless_told_not_to(a):
    m, calls = traced(a)
    syncs = [i for i, c in enumerate(calls) if "sync(" in c and m.log_path in c]
    files = [i for i, c in enumerate(calls) if "rename" in c and f"{m.cid}\"" in c]
    check(syncs, "no fsync of the log")
    check(files and syncs[-1] < files[0], "the exit file came before the fsync")
    m, calls = traced(a, "--no-sync-log")
    lacks("\n".join(c for c in calls if "sync(" in c), m.log_path)


@line(119, quirk="leaves a broken record at the place")
def full_disk_ends_neither_monitor_nor_attach(a):
    where = host.small_disk(a.path("small"), 65536)
    m = a.monitor(f"wait-file={a.path('gate')} lines=2000,100 exit=3", log=[f"k8s-file:{where}/log"])
    m.fifo("gate")
    m.start()
    client = m.client()
    m.release("gate")
    host.check_lines(client.drain(seconds=40), 2000, 100)
    equal(m.exit_file(seconds=40), "3")
    equal(m.end(seconds=40), 3)
    data = read_text(f"{where}/log")
    check(len(data) > 32768, f"only {len(data)} bytes on a disk of 65536")
    kept = [int(r.text[:8]) for r in parse_log(data[:data.rfind(b"\n") + 1]) if r.flag == "F"]
    equal(kept[:200], list(range(200)), "the first lines in the log")
    host.unmount(where)


@scenario(quirk="cuts letters")
def letter_in_two_writes_is_in_one_record(a):
    """Each half comes when the pipe has long been empty."""
    m = a.monitor(rf"stdout=one\xe2 wait-file={a.path('gate')} stdout=\x82\xactwo\n stderr=\xf0\x9f wait-file={a.path('more')} "
                  r"stderr=\x92\xa9\n exit=0")
    m.fifo("gate"), m.fifo("more")
    m.start()
    m.wait_output(b"one")
    m.release("gate")
    m.wait_output(b"two\n")
    m.release("more")
    equal(m.end(), 0)
    equal([(r.flag, r.text) for r in m.log() if r.stream == "stdout"], [("P", b"one"), ("F", "€two".encode())])
    equal([(r.flag, r.text) for r in m.log() if r.stream == "stderr"], [("F", "💩".encode())])


@scenario()
def what_never_becomes_a_letter_is_written_as_it_is(a):
    m = a.monitor(rf"stdout=caf\xe9 wait-file={a.path('gate')} stdout=\x80\xff\n stdout=end\xc3 exit=0")
    m.fifo("gate")
    m.start()
    m.wait_output(b"caf\xe9") # also while nothing more comes
    m.release("gate")
    equal(m.end(), 0)
    equal(m.output(), b"caf\xe9\x80\xff\nend\xc3")


@scenario(quirk="cuts letters")
def long_lines_are_not_cut_inside_of_letters(a):
    """Wherever the cut falls."""
    lines = [("x" * i + letter * 7000).encode() for letter in ("é", "€", "💩") for i in range(4)]
    data = a.file("data", b"\n".join(lines) + b"\n")
    with open(data, "rb") as f:
        m = a.monitor("cat exit=0", stdin=True).start()
        c = m.client()
        while packet := f.read(32768):
            c.send(packet)
        c.half_close()
        c.drain()
    equal(m.end(), 0)
    equal(m.output(), b"\n".join(lines) + b"\n")
    for r in m.log():
        r.text.decode() # or it fails
        check(len(r.text) <= 8192, len(r.text))
