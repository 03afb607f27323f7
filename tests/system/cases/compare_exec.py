# SPDX-License-Identifier: Apache-2.0
"""podman exec in all its forms, with the stock monitor and with ours."""

import hashlib
import os
import subprocess

from compare import compared
from harness import quietly, until


@compared(rootless=True)
def exec_outcomes(side):
    side.start_waiting()
    for words in (["true"], ["sh", "-c", "exit 7"], ["sh", "-c", "kill -9 $$"], ["no-such-program"], ["/etc/passwd"],
                  ["/etc"], ["sh", "-c", "echo out; echo err >&2; exit 3"],
                  ["sh", "-c", "printf 'a\\r\\nb\\n\\n\\0\\377partial'"]):
        side.podman("exec", "baz", *words)
    for options in (["-w", "/no/such"], ["-w", "/tmp"], ["--user", "nobody-there"], ["--user", "12:34"],
                    ["--env", "A=b c"], ["--privileged"], ["--tty"]):
        side.podman("exec", *options, "baz", "sh", "-c", "pwd; id; echo $A; test -t 1 && echo tty; ls /proc/self/fd")
    side.podman("exec", "no-such-container", "true")
    side.podman("stop", "-t", "5", "baz")
    side.podman("exec", "baz", "true")


LATER = {"input left alone": ("the original loses output at the end if input is left that nobody reads",
                              [0, "x\nlater\n", ""])}


@compared(better=LATER)
def exec_streams(side):
    """Input to its end, output to its last byte, inherited descriptors."""
    side.start_waiting()
    big = b"0123456789abcdef" * 65536
    side.podman("exec", "-i", "baz", "md5sum", input=big, what="a mebibyte in")
    status, out, _ = side.raw("podman", "exec", "baz", "sh", "-c",
                              "yes 0123456789abcde | head -n 65536; yes err | head -n 9000 >&2")
    side.see("a mebibyte out", (status, hashlib.md5(out.encode()).hexdigest()))
    side.podman("exec", "-i", "baz", "cat", input=b"echo\r\n\0\xff no end", what="bytes through cat")
    side.podman("exec", "baz", "cat", input=b"not to be read", what="no -i")
    side.podman("exec", "-i", "baz", "sh", "-c", "read a; exec <&-; echo $a; sleep 0.2; echo later",
                input=b"x\n" * 100000, what="input left alone")
    read, write = os.pipe()
    try:
        os.write(write, b"from descriptor 3\n")
        os.close(write)
        side.podman("exec", "--preserve-fds", "1", "baz", "sh", "-c", "cat <&3", what="--preserve-fds 1",
                    preexec_fn=lambda: os.dup2(read, 3), pass_fds=[3])
    finally:
        os.close(read)


@compared(rootless=True)
def exec_detached(side):
    side.start_waiting()
    status, session, _ = side.raw("podman", "exec", "-d", "baz", "sh", "-c", "echo lost; : >/tmp/made; exec sleep 1000")
    side.see("exec -d", (status, len(session)))
    until("the file of exec -d", lambda: quietly(side.raw, "podman", "exec", "baz", "test", "-e", "/tmp/made")[0] == 0)
    side.see("ExecIDs", side.need("inspect", "--format", "{{len .ExecIDs}}", "baz"))
    side.podman("exec", "-d", "baz", "no-such-program")
    side.podman("exec", "-d", "baz", "false")
    side.podman("top", "baz", "comm", "tty", "args")
    side.podman("logs", "baz")
    side.podman("stop", "-t", "5", "baz", what="stop with a session in it")


@compared()
def exec_given_up(side):
    """The client goes: by SIGTERM, SIGKILL and SIGINT; the container goes while a session lasts."""
    side.start_waiting()
    for signal in ("TERM", "KILL", "INT"):
        outcome = side.raw("timeout", "-s", signal, "0.8", "podman", "exec", "baz", "sleep", "1000")
        side.see(f"timeout -s {signal} podman exec", outcome)
    side.podman("exec", "baz", "true", what="exec after them")
    with subprocess.Popen(side.argv("podman", "exec", "baz", "sh", "-c", "echo begun; exec sleep 1000"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as session:
        side.see("first line", session.stdout.readline())
        side.podman("kill", "baz")
        out, err = session.communicate(timeout=20)
        side.see("exec whose container is killed", (session.returncode, out, err))
    side.podman("wait", "baz")


@compared(rootless=True)
def exec_terminal(side):
    side.start_waiting()
    talk = side.terminal("exec", "-it", "baz", "sh", rows=33, columns=77)
    talk.expect(rb"# ")
    talk.say(b"tty; stty size; test -t 0 && test -t 2 && echo all-tty\n")
    side.see("on the terminal", talk.expect(rb"(?s)(/dev/[^\r]*)\r\n(\d+ \d+)\r\n.*all-tty\r\n.*# ").groups())
    talk.resize(44, 99)
    until("the new size", lambda: size(talk) == b"44 99")
    talk.say(b"echo go; cat\n")
    talk.expect(rb"\r\ngo\r\n")
    talk.say(b"\x03")
    talk.expect(rb"(?s)\^C.*# ") # a shell throws away what it has been told before its prompt
    talk.say(b"echo status-$?\n")
    side.see("after ctrl-c", talk.expect(rb"status-(\d+)\r\n").group(1))
    talk.say(b"exit 5\n")
    side.see("status of exec -it", talk.end())
    for number, words in enumerate((["no-such-program"], ["sh", "-c", "printf 'no end'; exit 9"], ["true"])):
        talk = side.terminal("exec", "-it", "baz", *words)
        side.see(f"exec -it {number}", talk.rest())


def size(talk):
    talk.say(b"stty size\n")
    return talk.expect(rb"(?s)(\d+ \d+)\r\n.*?# ").group(1)


@compared()
def exec_detach_keys(side):
    side.start_waiting()
    talk = side.terminal("exec", "-it", "baz", "sh", "-c", "echo begun; exec sleep 1000")
    talk.expect(rb"begun")
    talk.keys(b"\x10\x11")
    side.see("detached from exec", talk.end())
    side.see("it lives on", "sleep" in side.need("exec", "baz", "ps"))
    talk = side.terminal("exec", "-it", "--detach-keys", "ctrl-a,d", "baz", "sh")
    talk.expect(rb"# ")
    talk.keys(b"\x10\x11 echo still-$((1+1))\n")
    talk.expect(rb"still-2\r\n")
    talk.keys(b"\x01d")
    side.see("detached by other keys", talk.end())
    side.podman("rm", "-f", "-t", "0", "baz")
