# SPDX-License-Identifier: Apache-2.0
"""Checklist 120 to 129: journald, passthrough, none."""

import os

import host
from harness import CID, check, contains, equal, is_older, is_scopemon, line, read_text, wait_path

OPTIONAL = {"CODE_FILE", "CODE_LINE", "CODE_FUNC", "OBJECT_SYSTEMD_UNIT", "OBJECT_SYSTEMD_USER_UNIT"}
SHORT = CID[:12].encode()


def journalled(a, words, *args, n=1, **options):
    """Run WORDS with the journald driver to the end; the N entries of the container."""
    journal = host.Journal()
    try:
        m = a.monitor(words, log=["journald"], args=args, **options).start()
        check(m.record()["data"] > 0)
        equal(m.end(), 0)
        journal.take()
        entries = journal.entries(CID)
        equal(len(entries), n, f"entries {entries}")
    finally:
        journal.close()
        for path in (m.pid_file, m.monitor_pid_file):
            if os.path.exists(path):
                os.unlink(path)
    for e in entries:
        e["MESSAGE"] = e["MESSAGE"].removesuffix(b"\n")
    return entries


@line(120)
def fields_with_and_without_name_tag_labels(a):
    base = {"MESSAGE": b"foo", "CONTAINER_ID_FULL": CID.encode(), "CONTAINER_ID": SHORT, "PRIORITY": b"6"}
    name = {"CONTAINER_NAME": b"name-of-it"}
    cases = [
        ([], ["-n"], {"SYSLOG_IDENTIFIER": SHORT}),
        ([], [], {"SYSLOG_IDENTIFIER": b"name-of-it", **name}),
        (["--log-tag", "T g"], [], {"SYSLOG_IDENTIFIER": b"T g", "CONTAINER_TAG": b"T g", **name}),
        (["--log-tag", "T"], ["-n"], {"SYSLOG_IDENTIFIER": b"T", "CONTAINER_TAG": b"T"}),
    ]
    if not is_older("2.2.0"):
        cases.append((["--log-label", "A_1=b c", "--log-label", "EMPTY="], [],
                      {"SYSLOG_IDENTIFIER": b"name-of-it", "A_1": b"b c", "EMPTY": b"", **name}))
    for args, drop, more in cases:
        (entry,) = journalled(a, r"stdout=foo\n", *args, drop=drop)
        equal({k: v for k, v in entry.items() if k not in OPTIONAL}, base | more, f"with {args} without {drop}")


@line(121)
def identifier_is_tag_else_name_else_short_id(a):
    for args, drop, wanted in ((["--log-tag", "tagged"], [], b"tagged"), ([], [], b"name-of-it"), ([], ["-n"], SHORT)):
        (entry,) = journalled(a, r"stderr=foo\n", *args, drop=drop)
        equal(entry["SYSLOG_IDENTIFIER"], wanted)


def in_pieces(a, first, second, *args):
    """Write FIRST, and SECOND only after the monitor has read FIRST; the journal."""
    journal = host.Journal()
    gates = [a.path(f"gate{i}") for i in range(2)]
    for gate in gates:
        os.mkfifo(gate)
    m = a.monitor(f"wait-file={gates[0]} stdout={first} wait-file={gates[1]} stdout={second}", log=["journald"],
                  args=args).start()
    client = m.client()
    m.release("gate0")
    client.packet()
    m.release("gate1")
    m.end()
    journal.take()
    return journal


@line(122)
def line_in_pieces_is_one_entry(a):
    (entry,) = in_pieces(a, "foo", r"bar\n").entries()
    equal(entry["MESSAGE"].removesuffix(b"\n"), b"foobar")
    check("CONTAINER_PARTIAL_MESSAGE" not in entry)


@line(123)
def unterminated_last_line_is_partial(a):
    whole, rest = journalled(a, r"stdout=whole\nrest", n=2)
    check("CONTAINER_PARTIAL_MESSAGE" not in whole)
    equal((rest["MESSAGE"], rest["CONTAINER_PARTIAL_MESSAGE"]), (b"rest", b"true"))
    if not is_older("2.2.0"):
        (rest,) = journalled(a, "stdout=rest", "--no-container-partial-message")
        check("CONTAINER_PARTIAL_MESSAGE" not in rest)


@line(124)
def long_line_comes_in_partial_pieces(a):
    journal = host.Journal()
    m = a.monitor(r"lines=1,50000 stdout=next\n", log=["journald"]).start()
    m.end()
    journal.take()
    *pieces, last, following = journal.entries()
    check(len(pieces) >= 3, f"{len(pieces)} pieces")
    check(all(len(p["MESSAGE"]) <= 8191 + 8192 for p in pieces), "a piece is too long")
    equal({p.get("CONTAINER_PARTIAL_MESSAGE") for p in pieces}, {b"true"})
    check("CONTAINER_PARTIAL_MESSAGE" not in last, "the last piece is marked partial")
    whole = b"".join(p["MESSAGE"] for p in pieces) + last["MESSAGE"].removesuffix(b"\n") + b"\n"
    host.check_lines(whole, 1, 50000)
    equal(following["MESSAGE"].removesuffix(b"\n"), b"next")


@line(125)
def priorities(a):
    out, err = sorted(journalled(a, r"stdout=o\n stderr=e\n", n=2), key=lambda e: e["MESSAGE"], reverse=True)
    equal((out["PRIORITY"], err["PRIORITY"]), (b"6", b"3"))
    text = r"stdout=<4>warned\n<0>worst\n<8>eight\n<>none\n<<0>>two\n<0\n<\s0>blank\nplain\n"
    plain = [(b"<8>eight", b"6"), (b"<>none", b"6"), (b"<<0>>two", b"6"), (b"<0", b"6"), (b"< 0>blank", b"6"), (b"plain", b"6")]
    seen = [(e["MESSAGE"], e["PRIORITY"]) for e in journalled(a, text, n=8)]
    if is_older("2.2.0"):
        equal(seen, [(b"<4>warned", b"6"), (b"<0>worst", b"6")] + plain)
    else:
        equal(seen, [(b"warned", b"4"), (b"worst", b"0")] + plain)
    if not is_scopemon():
        return
    # Podman's logs stop at anything but 3 and 6; it is known by its exit command
    podman = host.script(a, "podman", "exit 0\n")
    seen = journalled(a, text, "--exit-command", podman, "--exit-command-arg", "container", "--exit-command-arg", "cleanup",
                      "--exit-command-arg", CID, n=8)
    equal({e["PRIORITY"] for e in seen}, {b"6"}, "priorities for Podman")
    equal([e.get("CONTAINER_PRIORITY") for e in seen[:3]], [b"4", b"0", None])


@line(126)
def journal_needs_a_long_id_and_good_labels(a):
    words = ["-u", "u", "-r", "/bin/true", "-b", a.bundle, "-l", "journald"]
    done = a.launch("-c", "123456789012", *words)
    equal(done.status, 1)
    contains(done.out + done.err, b"Container ID must be longer than 12 characters")
    if is_older("2.2.0"):
        return
    form = "Container labels must be in format LABEL=VALUE "
    for label, text in (("=b", form + "(no LABEL present in '=b')"),
                        ("ab", form + "(none or more than one '=' present in 'ab')"),
                        ("A=b=c", form + "(none or more than one '=' present in 'A=b=c')"),
                        ("a=b", "Container label names must contain only uppercase letters, numbers and underscore (in 'a=b')")):
        done = a.launch("-c", CID, *words, "--log-label", label)
        equal(done.status, 1, f"status for label {label}")
        contains(done.err.decode(), text)


@line(127)
def journal_and_file_are_both_complete(a):
    journal = host.Journal()
    m = a.monitor("lines=3000,100", log=["journald", f"k8s-file:{a.path('ctr.log')}"]).start()
    journal.until_entries(3000, 120)
    m.end()
    host.check_lines(m.output(), 3000, 100)
    host.check_lines(b"".join(text + b"\n" for text in journal.messages()), 3000, 100)


@line(128)
def passthrough_hands_stdio_on(a):
    r, w = os.pipe()
    os.write(w, b"from stdin\n")
    os.close(w)
    with open(a.path("out"), "wb") as out, open(a.path("err"), "wb") as err:
        m = a.monitor(rf"cat stdout=out\n stderr=err\n wait-file={a.path('gate')} exit=5", log=["passthrough"],
                      stdio={"stdin": r, "stdout": out, "stderr": err})
        os.close(r)
        m.fifo("gate")
        m.start()
        check(m.record()["data"] > 0)
        m.release("gate")
        equal(m.end(), 5)
    equal(read_text(a.path("out")), b"from stdin\nout\n")
    equal(read_text(a.path("err")), b"err\n")
    equal(os.listdir(a.bundle), [], "attach, ctl, winsz")
    equal((m.exit_file(), m.persist_file()), ("5", "5"))


@line(129)
def none_makes_no_file(a):
    for word in ("none", "off", "null"):
        where = a.make(f"cwd-{word}")
        m = a.monitor(rf"wait-file={a.path('gate-' + word)} stdout=foo\n", log=[word], cwd=where)
        m.fifo(f"gate-{word}")
        m.start()
        client = m.client()
        m.release(f"gate-{word}")
        equal(client.drain(), b"foo\n")
        m.end()
        equal(os.listdir(where), [])
        os.unlink(m.pid_file)
        m = a.monitor(r"stdout=foo\n", log=[word, f"k8s-file:{a.path('log-' + word)}"]).start()
        m.end()
        check(read_text(wait_path(a.path("log-" + word))).endswith(b" stdout F foo\n"))
        os.unlink(m.pid_file)


