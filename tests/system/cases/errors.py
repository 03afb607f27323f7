# SPDX-License-Identifier: Apache-2.0
"""Bad input: the caller is told the real reason, the status is not 0, and nothing is left."""

import json
import os
import shutil
import socket
import subprocess
import tempfile

from harness import (MONITOR, case, check, check_equal, command, expect_nothing_left, note, podman)

RUN = ["run", "--rm", "--name", "baz", "--network=none"]


def program(text):
    """A file with TEXT that can be executed."""
    with open("/run/fake-runtime", "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod("/run/fake-runtime", 0o755)
    return "/run/fake-runtime"


def expect_podman_fails(*argv, reason, expected=None):
    status, out, err = command("podman", *argv)
    check(status != 0 and expected in (None, status), f"status {status}")
    check(reason.lower() in (out + err).lower(), f"{reason!r} is not in what the user sees: {out}{err}")
    expect_nothing_left()
    podman("rm", "--force", "--all", "--time", "0")
    check_equal(podman("ps", "--all", "--quiet"), "", "containers that Podman knows of")


def monitor(*options, bundle=None):
    """Run the monitor as a manager does; return its status, standard error, and the sync pipe's record."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    start, started = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    folder = bundle or tempfile.mkdtemp(dir="/run")
    argv = [MONITOR, "--api-version", "1", "-c", "baz", "-u", "baz", "-r", "/usr/sbin/runc", "-b", folder,
            "-p", f"{folder}/pidfile", "-n", "baz", "--exit-dir", folder, "--full-attach", "-l", f"k8s-file:{folder}/ctr.log", *options]
    note(f"$ {' '.join(argv)}")
    try:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, pass_fds=[theirs.fileno(), started.fileno()],
                              env={**os.environ, "_OCI_SYNCPIPE": str(theirs.fileno()),
                                   "_OCI_STARTPIPE": str(started.fileno())}) as process:
            theirs.close()
            started.close()
            try:
                start.send(b"\0")
            except OSError:
                pass # gone already
            ours.settimeout(30)
            record = ours.recv(65536).decode()
            _, err = process.communicate(timeout=30)
    finally:
        ours.close()
        start.close()
    note(f"status {process.returncode}\nstderr {err}\nsync {record}")
    expect_nothing_left()
    shutil.rmtree(folder)
    return process.returncode, err, json.loads(record) if record else {}


def expect_told(result, *reasons):
    """A manager shows the message of the sync pipe, or if the monitor ends at once, its standard error."""
    status, err, record = result
    check(status != 0 or record.get("data", 0) < 0, f"no failure: status {status}, sync pipe {record}")
    text = err + record.get("message", "")
    for reason in reasons:
        check(reason.lower() in text.lower(), f"{reason!r} is not in {text!r}")


@case
def missing_runtime():
    expect_told(monitor("-r", "/nonexistent/runtime"), "/nonexistent/runtime", "No such file or directory")
    expect_podman_fails("--runtime", program("#!/nonexistent/interpreter\n"), *RUN, "localhost/alpine", "true",
                        reason="No such file or directory")


@case
def failing_runtime():
    runtime = program("#!/bin/sh\ncase \"$*\" in *create*) echo 'the moon is in the way' >&2; exit 3;; esac\n")
    expect_podman_fails("--runtime", runtime, *RUN, "localhost/alpine", "true", reason="the moon is in the way")
    expect_told(monitor("-r", runtime), "the moon is in the way")


@case
def killed_runtime():
    runtime = program("#!/bin/sh\ncase \"$*\" in *create*) kill -9 $$;; esac\n")
    expect_told(monitor("-r", runtime))


@case
def missing_command():
    expect_podman_fails(*RUN, "localhost/alpine", "no-such-command", reason="not found", expected=127)
    expect_podman_fails(*RUN, "localhost/alpine", "/etc/passwd", reason="permission denied", expected=126)


@case
def bundle_without_config():
    expect_told(monitor(), "config.json")


@case
def unwritable_log_path():
    expect_podman_fails(*RUN, "--log-driver=k8s-file", "--log-opt=path=/etc/passwd/ctr.log", "localhost/alpine", "true",
                        reason="Not a directory")


@case
def bad_option():
    for option, reason in (["--no-such-option"], "no-such-option"), (["-l", "nosuchdriver:/x"], "nosuchdriver"), \
                          (["--log-size-max", "lots"], "lots"):
        status, err, _ = monitor(*option)
        check(status != 0, f"status 0 with {option}")
        check(reason in err, f"{reason!r} is not in: {err}")


@case
def version():
    lines = command(MONITOR, "--version")[1].splitlines()
    check(lines and lines[0].startswith("conmon version 2."), f"--version: {lines}")
