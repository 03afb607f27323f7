# SPDX-License-Identifier: Apache-2.0
"""How containers live and end, and what Podman remembers of it, with the stock monitor and with ours."""

import os
import subprocess

from compare import IMAGE, RUN, WAITS, compared
from harness import quietly, until


@compared(rootless=True)
def inspect_all(side):
    """The whole of podman inspect and the files of the container: created, running, stopped."""
    side.need("create", "--name", "baz", "--network=none", IMAGE, *WAITS)
    side.inspect(what="created")
    side.need("start", "baz")
    side.until_ready()
    side.inspect(what="running")
    folder = os.path.dirname(side.need("inspect", "--format", "{{.ConmonPidFile}}", "baz"))
    bundle = os.path.dirname(side.need("inspect", "--format", "{{.OCIConfigPath}}", "baz"))
    side.files("run directory, running", folder)
    side.files("bundle, running", bundle)
    with open(f"{folder}/conmon.pid", encoding="utf-8") as f:
        side.see("conmon.pid is digits only", f.read().isdigit())
    side.podman("stop", "-t", "5", "baz")
    side.inspect(what="stopped")
    side.files("run directory, stopped", folder)
    side.files("bundle, stopped", bundle)
    side.need("start", "baz")
    side.until_ready()
    side.podman("kill", "baz")
    side.podman("wait", "baz")
    side.inspect(what="killed")
    side.podman("rm", "baz", what="rm")
    side.see("run directory is gone", not os.path.exists(folder))


TRAP = "trap '%s' %s; : >/tmp/ready; while :; do sleep 100 & wait $!; done"


@compared(rootless=True)
def ends(side):
    """wait, stop signals, time-outs, kill, --rm -d, --init."""
    state = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}"
    for name, options, script, end in (
            ("exit", [], "sleep 0.3; exit 11", None),
            ("--stop-signal", ["--stop-signal=USR1"], TRAP % ("exit 12", "USR1"), ["stop", "-t", "9", "baz"]),
            ("stop -t 1 of one that ignores", [], TRAP % ("", "TERM"), ["stop", "-t", "1", "baz"]),
            ("kill -s USR2", [], TRAP % ("echo two; exit 13", "USR2"), ["kill", "-s", "USR2", "baz"]),
            ("--timeout", ["--timeout=1"], TRAP % ("", "TERM"), None),
            ("--init", ["--init"], "ps -o comm; sleep 0 & exit 14", None)):
        side.need(*RUN, "-d", *options, IMAGE, "sh", "-c", script)
        with subprocess.Popen(side.argv("podman", "wait", "baz"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            if end:
                side.until_ready()
                side.podman(*end, what=f"{name}: {end[0]}")
            out, err = client.communicate(timeout=30)
            side.see(f"{name}: wait", (client.returncode, out, err))
        side.podman("inspect", "--format", state, "baz", what=f"{name}: inspect")
        side.podman("logs", "baz", what=f"{name}: logs")
        side.podman("rm", "baz", what=f"{name}: rm")
    side.need(*RUN, "-d", "--rm", IMAGE, "sleep", "0.3")
    side.until_state("gone")
    side.start_waiting("--rm")
    side.podman("stop", "-t", "5", "baz", what="--rm: stop")
    side.until_state("gone")


@compared()
def restarts(side):
    """Restart policies: on-failure:2, always until stop, unless it ends well."""
    side.need(*RUN, "-d", "--restart=on-failure:2", IMAGE, "sh", "-c", "echo once more; exit 3")
    until("three lives", lambda: quietly(side.raw, "podman", "logs", "baz")[1].count("once more") == 3)
    side.until_state("exited")
    side.podman("inspect", "--format", "{{.RestartCount}} {{.State.ExitCode}}", "baz", what="on-failure:2")
    side.podman("logs", "baz", what="on-failure:2 logs")
    side.need("rm", "baz")
    side.need(*RUN, "-d", "--restart=on-failure:2", IMAGE, "sh", "-c", "exit 0")
    side.until_state("exited")
    side.podman("inspect", "--format", "{{.RestartCount}} {{.State.ExitCode}}", "baz", what="ended well")
    side.need("rm", "baz")
    side.start_waiting("--restart=always")
    first = side.need("inspect", "--format", "{{.State.Pid}}", "baz")
    side.raw("podman", "exec", "baz", "kill", "-TERM", "1") # may see its own end
    until("another life", lambda: side.state() == "running" and
          quietly(side.need, "inspect", "--format", "{{.State.Pid}}", "baz") not in (first, "0"))
    side.podman("inspect", "--format", "{{.RestartCount}} {{.State.Status}}", "baz", what="always")
    side.podman("restart", "-t", "0", "baz")
    side.until_state("running")
    side.podman("stop", "-t", "0", "baz", what="stop of always")
    side.podman("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "baz", what="always, stopped")


@compared()
def verbs(side):
    """pause, top, cp, diff, commit, rename, port, export, checkpoint."""
    side.start_waiting("-i")
    if not side.user: # needs the freezer of a cgroup of one's own
        for verb in ("pause", "pause", "unpause", "unpause"):
            side.podman(verb, "baz")
            side.see(f"state after {verb}", side.state())
        side.podman("pause", "baz")
        side.podman("exec", "baz", "true", what="exec in a paused one")
        side.podman("unpause", "baz")
    side.podman("top", "baz", "user", "comm")
    path = f"{side.runtime_folder}/compare.txt"
    with open(path, "w", encoding="utf-8") as f:
        f.write("there and back\n")
    os.chmod(path, 0o644)
    side.podman("cp", path, "baz:/tmp/copy", what="cp in")
    side.podman("exec", "baz", "cat", "/tmp/copy")
    side.podman("cp", "baz:/tmp/copy", path + ".back", what="cp out")
    for name in (path, path + ".back"):
        with open(name, "rb") as f:
            side.see(name, f.read())
        os.unlink(name)
    side.podman("diff", "baz")
    side.podman("rename", "baz", "qux")
    side.podman("commit", "-q", "qux", "localhost/committed")
    side.podman("run", "--rm", "--network=none", "localhost/committed", "cat", "/tmp/copy")
    side.need("rmi", "localhost/committed")
    side.podman("container", "checkpoint", "qux")
    side.see("state after checkpoint", side.state("qux"))
    side.podman("start", "qux", what="start of what runs")
    side.podman("rm", "qux", what="rm of what runs")
    side.podman("rm", "-f", "-t", "1", "qux", what="rm -f")
    side.podman("ps", "-aq")


@compared()
def descriptors(side):
    """--preserve-fds, LISTEN_FDS; and nothing of ours in the container."""
    look = "ls /proc/self/fd; echo $LISTEN_FDS $LISTEN_PID; cat <&3"
    for name, words in (("--preserve-fds", "podman run --preserve-fds=2"),
                        ("LISTEN_FDS", "env LISTEN_FDS=2 LISTEN_PID=$$ podman run")): # the shell becomes Podman
        read, write = os.pipe()
        os.write(write, b"from descriptor 3\n")
        os.close(write)
        side.see(name, side.raw("sh", "-c", f"exec {words} --rm --network=none {IMAGE} sh -c '{look}'",
                                preexec_fn=lambda r=read: (os.dup2(r, 3), os.dup2(r, 4)), pass_fds=[3, 4]))
        os.close(read)
    side.podman("run", "--rm", "--network=none", IMAGE, "ls", "/proc/self/fd", what="none")
    side.podman("run", "--rm", "-t", "--network=none", IMAGE, "ls", "/proc/self/fd", what="none, terminal")
    status, out, err = side.raw("podman", "run", "--rm", "--network=none", IMAGE, "env")
    side.see("environment", (status, sorted(out.splitlines()), err))


@compared(rootless=True)
def health(side):
    """podman healthcheck run: well, ill after retries, none, not running."""
    options = ["--health-interval=disable", "--health-retries=2", "--health-timeout=3s"]
    side.start_waiting("--health-cmd=test ! -e /tmp/ill", *options)
    state = ["inspect", "--format",
             "{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{len .State.Health.Log}}", "baz"]
    side.podman(*state, what="at first")
    side.podman("healthcheck", "run", "baz")
    side.podman(*state, what="well")
    side.need("exec", "baz", "touch", "/tmp/ill")
    for _ in range(2):
        side.podman("healthcheck", "run", "baz")
        side.podman(*state, what="ill")
    side.need("stop", "-t", "3", "baz")
    side.podman("healthcheck", "run", "baz", what="of a stopped one")
    side.need("rm", "baz")
    side.start_waiting("--health-cmd=echo said; echo more >&2; exit 4", *options)
    side.podman("healthcheck", "run", "baz", what="with output")
    side.podman("inspect", "--format", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "baz",
                what="its log")
    side.need("rm", "-f", "-t", "0", "baz")
    side.start_waiting()
    side.podman("healthcheck", "run", "baz", what="of one that has none")


@compared(better={"bad mount, terminal": ("the runtime's words, also when it leaves the console socket alone",
                                                         [126, True])})
def failures(side):
    """What cannot be started: who says what, and what remains."""
    for name, options, words in (("no program", [], ["no-such-program"]), ("no permission", [], ["/etc/passwd"]),
                                 ("no directory", ["-w", "/no/such/place/file"], ["true"]),
                                 ("no user", ["-u", "nobody-here"], ["true"]),
                                 ("no device", ["--device", "/dev/no-such"], ["true"]),
                                 ("bad mount", ["--mount", "type=tmpfs,destination=/etc/passwd"], ["true"])):
        side.podman("run", "-d", "--name", "baz", "--network=none", *options, IMAGE, *words, what=f"{name}: run -d")
        side.podman("ps", "-a", "--format", "{{.Names}} {{.Status}}", what=f"{name}: ps")
        side.raw("podman", "rm", "-f", "-t", "0", "baz")
        side.podman("create", "--name", "baz", "--network=none", *options, IMAGE, *words, what=f"{name}: create")
        side.podman("start", "baz", what=f"{name}: start")
        side.podman("start", "-a", "baz", what=f"{name}: start -a")
        side.raw("podman", "rm", "-f", "-t", "0", "baz")
    status, _, err = side.raw("podman", "run", "--rm", "-dt", "--network=none", "--mount",
                              "type=tmpfs,destination=/etc/passwd", IMAGE, "true")
    side.see("bad mount, terminal", (status, "tmpcopyup: failed to copy /etc/passwd" in err))
    side.podman("--runtime=/no/such/runtime", "run", "--rm", "--network=none", IMAGE, "true", what="no runtime")
