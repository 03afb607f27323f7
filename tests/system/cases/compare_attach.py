# SPDX-License-Identifier: Apache-2.0
"""podman attach, detach keys, and podman run and start in the foreground, with the stock monitor and with ours."""

import select
import signal
import subprocess

from cases.compare_exec import size
from compare import IMAGE, RUN, compared
from harness import until


@compared(rootless=True)
def attach_terminal(side):
    """run -it, detach, attach again, twice; then the status of the container is that of attach."""
    talk = side.terminal(*RUN, "-it", IMAGE, "sh", rows=33, columns=77)
    talk.expect(rb"# ")
    talk.say(b"tty; stty size\n")
    side.see("on the terminal", talk.expect(rb"(/dev/[^\r]*)\r\n(\d+ \d+)\r\n").groups())
    talk.keys(b"\x10\x11")
    side.see("detached from run", talk.end())
    side.see("state", side.state())
    for turn in range(2):
        talk = side.terminal("attach", "baz", rows=20 + turn, columns=70)
        until("the new size", lambda t=turn: size(talk) == b"%d 70" % (20 + t))
        talk.say(b"echo turn-$((40+%d)); pwd\n" % turn)
        side.see(f"turn {turn}", talk.expect(rb"turn-(4\d)\r\n([^\r]*)\r\n").groups())
        if turn == 0:
            talk.keys(b"\x10\x11")
            side.see("detached from attach", talk.end())
    talk.say(b"exit 6\n")
    side.see("status of attach", talk.end())
    side.until_state("exited")
    side.podman("attach", "baz", what="attach to what has ended")


@compared()
def attach_other_keys(side):
    talk = side.terminal(*RUN, "-it", "--detach-keys=ctrl-a,d", IMAGE, "sh", "-c", "echo go; exec cat")
    talk.expect(rb"go\r\n")
    talk.keys(b"\x10\x11x\n")
    talk.expect(rb"x\r\n")
    talk.keys(b"\x01d")
    side.see("detached", talk.end())
    talk = side.terminal("attach", "--detach-keys=", "baz")
    talk.say(b"there\n")
    talk.expect(rb"there\r\nthere\r\n")
    talk.keys(b"\x10\x11y\n")
    talk.expect(rb"y\r\n")
    side.podman("stop", "-t", "0", "baz")
    side.see("attach whose container is stopped", talk.rest())


@compared(rootless=True)
def attach_pipes(side):
    """A container with -i and without a terminal; several clients; the end of input."""
    side.need("create", "-i", "--name", "baz", "--network=none", IMAGE, "sh", "-c", "cat; echo end >&2; exit 4")
    side.podman("start", "baz")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(side.argv("podman", "attach", "baz"), **pipes) as watcher, \
         subprocess.Popen(side.argv("podman", "attach", "baz"), **pipes) as writer:
        side.see("echo", say(writer, b"one\n"))
        # The other may come later: it is there once it hears something.
        until("the second client to hear", lambda: say(writer, b"again\n") and is_readable(watcher.stdout))
        writer.stdin.write(b"no end")
        out, err = writer.communicate(timeout=20)
        side.see("first client's end", (writer.returncode, out, err))
        out, err = watcher.communicate(timeout=20)
        side.see("second client's end", (watcher.returncode, set(out.splitlines()) - {b"one"}, err))
    side.podman("wait", "baz")
    status, out, err = side.raw("podman", "start", "-ai", "baz", input=b"x" * 200000)
    side.see("start -ai", (status, len(out), err))


def say(process, text):
    """Give TEXT to PROCESS; return the line that it says to that."""
    process.stdin.write(text)
    process.stdin.flush()
    return process.stdout.readline()


def is_readable(stream):
    return select.select([stream], [], [], 0.05)[0]


@compared(rootless=True)
def run_outcomes(side):
    """podman run in the foreground: statuses, streams, errors."""
    run = ["run", "--rm", "--network=none"]
    for words in (["true"], ["sh", "-c", "exit 7"], ["sh", "-c", "kill -9 $$"], ["no-such-program"], ["/etc/passwd"],
                  ["sh", "-c", "echo out; echo err >&2; printf 'no end'; exit 255"]):
        side.podman(*run, IMAGE, *words)
    side.podman(*run, "-w", "/no/such", IMAGE, "true", what="run -w")
    side.podman(*run, "-t", IMAGE, "sh", "-c", "echo out; echo err >&2; test -t 2; exit $?", what="run -t")
    side.podman(*run, "-i", IMAGE, "md5sum", input=b"0123456789abcdef" * 65536, what="run -i")
    side.podman(*run, "-a", "stderr", IMAGE, "sh", "-c", "echo out; echo err >&2", what="run -a stderr")
    side.podman(*run, "-v", "/no/such/dir:/x", IMAGE, "true", what="run -v")
    side.podman("ps", "-a", "--format", "{{.Names}} {{.Status}}")


@compared()
def signals_pass(side):
    """podman run passes signals on; --sig-proxy=false does not."""
    script = ("trap 'echo got-usr1; exit 8' USR1; trap 'echo got-int; exit 9' INT; : >/tmp/ready; "
              "while true; do sleep 1000 & wait $!; done")
    for name in ("USR1", "INT"):
        with subprocess.Popen(side.argv("podman", *RUN, "--rm", IMAGE, "sh", "-c", script), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            side.until_ready()
            client.send_signal(getattr(signal, f"SIG{name}"))
            out, err = client.communicate(timeout=20)
            side.see(f"SIG{name} to podman run", (client.returncode, out, err))
        side.until_state("gone")
