# SPDX-License-Identifier: Apache-2.0
"""Checklist 1 to 25: the command line."""

import os

from harness import (CID, RUNTIME, Channel, check, contains, equal, is_older, lacks, line, read_text,
                     wait_fd, wait_path)


def words(a, *more, drop=(), **replace):
    """A complete command line for create, without the options in DROP, with others' values replaced, and MORE words."""
    given = {"cid": CID, "cuuid": CID, "runtime": RUNTIME, "bundle": a.bundle, "log-path": f"k8s-file:{a.path('ctr.log')}",
             "exit-dir": a.exits, "persist-dir": a.persist, "container-pidfile": a.path("pidfile"), "full-attach": None}
    given.update({name.replace("_", "-"): value for name, value in replace.items()})
    argv = []
    for name, value in given.items():
        if name not in drop:
            argv += [f"--{name}"] + ([value] if value is not None else [])
    return argv + list(more)


def refused(a, argv, *texts, env=None):
    """The launcher ends with 1 and says TEXTS, on stderr."""
    done = a.launch(*argv, env=env)
    equal(done.status, 1, f"status, with {done.out} {done.err}")
    said = done.err if not is_older("2.1.8") else done.out + done.err
    for text in texts:
        contains(said, text.encode(), "message")
    if not is_older("2.1.8"):
        equal(done.out, b"", "stdout")
    return done


def accepted(a, argv):
    """The container runs, and ends with 7."""
    done = a.launch(*argv, env={"FAKE_RUNTIME": "exit=7"})
    equal(done.status, 0, f"status, with {done.err}")
    path = wait_path(f"{a.exits}/{CID}")
    equal(read_text(path), b"7", "exit file")
    os.unlink(path)


@line(1)
def version_on_stdout_whatever_else_is_given(a):
    for argv in (["--version"], ["--version", "--exit-delay", "-1", "-l", "bogus:x"], ["-t", "--version", "-e", "--restore", "x"]):
        done = a.launch(*argv)
        equal(done.status, 0, f"status of {argv}")
        lines = done.out.splitlines()
        check(lines[0].startswith(b"conmon version ") and lines[1].startswith(b"commit: "), done.out)


@line(2)
def third_word_of_version_is_a_semantic_version(a):
    done = a.launch("--version")
    equal(done.err, b"", "stderr")
    word = done.out.split()[2].decode()
    numbers = word.split(".")
    check(len(numbers) == 3 and all(n.isdigit() and str(int(n)) == n for n in numbers), f"no semantic version: {word}")
    check([int(n) for n in numbers] >= [2, 1, 2], f"{word} is too old for CRI-O")


@line(3)
def help_goes_to_stdout(a):
    for word in ("--help", "-h", "-?", "--help-all"):
        done = a.launch(word)
        equal(done.status, 0, f"status of {word}")
        for part in (b"--exec", b"--log-global-size-max"):
            contains(done.out, part, word)
        equal(done.err, b"", f"stderr of {word}")


@line(4)
def unknown_option(a):
    refused(a, words(a, "--x"), "conmon: option parsing failed: Unknown option --x")
    refused(a, words(a, "-Z"), "conmon: option parsing failed: Unknown option -Z")
    refused(a, words(a, "--versio"), "Unknown option --versio")


@line(5)
def option_without_its_value(a):
    refused(a, ["--cid"], "conmon: option parsing failed: Missing argument for --cid")


@line(6)
def timeout_that_is_no_number(a):
    refused(a, words(a, "--timeout", "x"), "option parsing failed: Cannot parse integer value", "x", "for --timeout")
    refused(a, words(a, "-T", "1s"), "option parsing failed: Cannot parse integer value")


@line(7, since="2.2.0")
def number_out_of_range(a):
    refused(a, words(a, "--log-max-files", "2147483648"), "option parsing failed", "out of range", "--log-max-files")
    refused(a, words(a, "-T", "99999999999"), "out of range")


@line(8, since="2.2.0")
def log_max_files_is_not_negative(a):
    refused(a, words(a, "--log-rotate", "--log-max-files", "-1"), "conmon: log-max-files must be non-negative, got -1")


@line(9, since="2.2.0")
def rotation_needs_a_file(a):
    refused(a, words(a, "--log-rotate", "--log-max-files", "0"),
            "conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0")


@line(10)
def api_version_is_a_flag_and_the_1_is_ignored(a):
    m = a.monitor("stdout=x", drop=["-l"], args=["-l", "none", "1", "word", "-n", "other"]).start()
    equal(m.record(), {"data": m.target()})
    m.end()
    check(not os.path.exists(m.log_path), "-l after the ignored word was ignored, too")


@line(11)
def api_version_with_a_value_is_still_on(a):
    m = a.monitor("", api=0, args=["--api-version=0"]).start()
    equal(m.record(), {"data": m.target()})


@line(12)
def value_that_begins_with_a_dash(a):
    m = a.monitor("record=" + a.path("runtime-record"), args=["--runtime-arg", "--log-format=json", "--runtime-arg", "--log",
                                                              "--runtime-arg=--log-level=debug", "--runtime-opt", "-x"]).start()
    m.end()
    argv = m.runtime_saw()["argv"]
    equal(argv[1:4], [b"--log-format=json", b"--log", b"--log-level=debug"])
    equal(argv[-2], b"-x")


@line(13)
def posixly_correct_changes_nothing(a):
    m = a.monitor("stdout=x", env={"POSIXLY_CORRECT": "1"}, drop=["-l"], args=["word", "-l", "none"]).start()
    equal(m.record(), {"data": m.target()})
    m.end()
    check(not os.path.exists(m.log_path), "options after a word were ignored")


@line(14)
def bundled_flags(a):
    m = a.monitor("cat", args=["-it"]).start()
    equal(m.record(), {"data": m.target()})
    c = m.client()
    c.send(b"hello\n")
    c.read(b"hello\r\nhello\r\n")
    os.kill(m.target(), 9)
    m.end()
    b = a.monitor("stdout=x", drop=["-c"], args=["-itc", "another-id-that-is-long"])
    b.start()
    b.end()
    equal(read_text(f"{a.exits}/another-id-that-is-long"), b"0")


@line(15)
def missing_cid(a):
    refused(a, words(a, drop=["cid"]), "conmon: Container ID not provided. Use --cid")


@line(16)
def missing_cuuid(a):
    refused(a, words(a, drop=["cuuid"]), "Container UUID not provided. Use --cuuid")
    refused(a, words(a, "-e", "--exec-process-spec", a.path("p"), "--api-version", drop=["cuuid"]),
            "Container UUID not provided. Use --cuuid")
    accepted(a, words(a, "-e", "--exec-process-spec", a.path("p"), drop=["cuuid"]))


@line(17)
def missing_or_bad_runtime(a):
    refused(a, words(a, drop=["runtime"]), "Runtime path not provided. Use --runtime")
    path = a.file("not-executable")
    refused(a, words(a, runtime=path), f"Runtime path {path} is not valid", "Permission denied")
    refused(a, words(a, runtime="/nonexistent"), "Runtime path /nonexistent is not valid", "No such file or directory")


@line(18)
def missing_log_path(a):
    refused(a, words(a, drop=["log-path"]), "Log driver not provided. Use --log-path")


@line(19)
def modes_that_exclude_each_other(a):
    spec = ["--exec-process-spec", a.path("p")]
    refused(a, words(a, "-e", "--restore", a.path("c"), *spec), "Cannot use 'exec' and 'restore' at the same time")
    refused(a, words(a, "--exec-attach"), "Attach can only be specified with exec")
    refused(a, words(a, "-e", "--exec-attach", *spec), "Attach can only be specified for a non-legacy exec session")


@line(20)
def exec_needs_a_process_spec(a):
    refused(a, words(a, "-e"), "Exec process spec path not provided. Use --exec-process-spec")


@line(21)
def negative_exit_delay(a):
    refused(a, words(a, "--exit-delay", "-1"), "Delay before invoking exit command must be greater than or equal to 0")


@line(22)
def log_levels(a):
    refused(a, words(a, "--log-level", "bogus"), "No such log level bogus")
    for level in ("ERROR", "Fatal", "panic", "warn", "Warning", "info", "DEBUG", "trace"):
        accepted(a, words(a, "--log-level", level))


@line(23)
def hidden_aliases(a):
    path = a.path("other-pidfile")
    record = a.path("runtime-record")
    done = a.launch(*words(a, "--pidfile", path, "--restore-arg", "--alias-of-runtime-opt", drop=["container-pidfile"]),
                    env={"FAKE_RUNTIME": f"record={record} exit=0"})
    equal(done.status, 0, f"status, with {done.err}")
    m = a.monitor("record=" + record, drop=["-p"], args=["--pidfile", path, "--restore-arg", "--alias-of-runtime-opt"]).start()
    m.end()
    argv = m.runtime_saw()["argv"]
    equal(argv[argv.index(b"--pid-file") + 1], path.encode())
    contains(argv, b"--alias-of-runtime-opt")
    lacks(a.launch("--help").out, b"--restore-arg", "help")


@line(24)
def validation_does_not_wait_for_the_start_byte(a):
    """The start pipe stays silent in all of these."""
    spec = ["--exec-process-spec", a.path("p")]
    wrong = [words(a, drop=["cid"]), words(a, drop=["cuuid"]), words(a, drop=["runtime"]), words(a, drop=["log-path"]),
             words(a, runtime="/nonexistent"), words(a, "-e"), words(a, "-e", "--restore", "x", *spec),
             words(a, "--exec-attach"), words(a, "--exit-delay", "-1"), words(a, "--log-level", "bogus"), words(a, "--x"),
             words(a, log_path="bogus:x"), words(a, log_path="k8s-file"), words(a, log_path="k8s-file:/nonexistent/log"),
             words(a, "--log-tag", "tag"), words(a, "-c", "short", log_path="journald")]
    for argv in wrong:
        pipe = Channel("seqpacket", writing=True)
        done = a.launch(*argv, env={"_OCI_STARTPIPE": str(pipe.theirs)}, pass_fds=[pipe.theirs])
        equal(done.status, 1, f"status of {argv}")
        check(done.out + done.err, f"no word about {argv}")
        os.close(pipe.theirs)
        check(wait_fd(pipe.ours) != 0, "somebody still holds the start pipe")
        pipe.close()


@line(25, quirk="GLib converts arguments")
def any_bytes_in_arguments(a):
    for locale in ({"LANG": "C.UTF-8"}, {"LC_ALL": "C"}):
        record = a.path("runtime-record")
        m = a.monitor("record=" + record, env=locale, args=["--runtime-arg", b"--odd=\xff\xfe\xe9", "--runtime-opt", "--fine=\u00e9"])
        m.start()
        m.end()
        argv = m.runtime_saw()["argv"]
        contains(argv, b"--odd=\xff\xfe\xe9")
        contains(argv, "--fine=\u00e9".encode())
        os.unlink(record)
