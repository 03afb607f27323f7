# SPDX-License-Identifier: Apache-2.0
"""The lives that tests/inject lets fail: what is started, and what the caller does meanwhile.

Each container prints something and exits with 3, so that a 0 is never true.
"""

import collections
import contextlib
import os
import shutil
import subprocess
import time

import life
from life import harness, tools

Scenario = collections.namedtuple("Scenario", "name function told output")
SCENARIOS = {}


def scenario(told=life.told_create, output=b"hello"):
    """Make a function a scenario: it takes a Life and returns what was Seen. OUTPUT is in log or journal of a whole life."""
    def decorate(function):
        SCENARIOS[function.__name__] = Scenario(function.__name__, function, told, output)
        return function

    return decorate


@scenario()
def plain(l):
    """As podman run -d: output into a file, an exit command at the end."""
    l.start("stdout=hello\\n stderr=there\\n exit=3", exit_command=True)
    return l.run()


@scenario()
def terminal(l):
    """With a terminal, whose size is set."""
    l.start("stdout=hello\\n exit=3", terminal=True)
    return l.run()


def attach_and_type(l):
    """A client that sends a line and then the end of its input; as soon as it can be."""
    client = l.attach()
    if not client:
        return False
    with contextlib.suppress(OSError):
        client.send(b"line\n")
        client.half_close()
    return True


@scenario(output=None)  # what a client that is refused types is never there
def stdin(l):
    """A client types, the container reads to the end."""
    l.start("cat exit=3", stdin=True)
    l.hooks.append(attach_and_type)
    return l.run()


@scenario(life.told_exec)
def exec(l):  # pylint: disable=redefined-builtin
    """As podman exec -d."""
    l.start("stdout=hello\\n exit=3", mode="exec")
    return l.run()


def attach_when_told(l):
    """What podman exec does: connects when the attach pipe says so, then lets the runtime start."""
    s = l.seen
    if s.attach_ended and not s.attach_records:
        l.monitor.begin_channel.close()  # the caller gives up
        return True
    if not s.attach_records:
        return False
    if not l.attach():
        l.monitor.begin_channel.close()  # the caller gives up
        return True
    with contextlib.suppress(OSError):
        l.monitor.begin_again()
    return True


@scenario(life.told_exec, None)
def exec_attach(l):
    """As podman exec: the client has the only copy."""
    l.start("stdout=hello\\n exit=3", mode="exec", attach="seqpacket", log=["none"])
    l.hooks.append(attach_when_told)
    return l.run()


@scenario()
def journald(l):
    """Output into the journal."""
    l.start("stdout=hello\\n stderr=there\\n exit=3", log=["journald"])
    return l.run()


def end_what_is_left(l):
    """As systemd does when the main process has ended."""
    if l.seen.launcher is None:
        return False
    for pid in harness.descendants(os.getpid()):
        if harness.comm(pid) != "strace":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
    return True


@scenario(life.told_service)
def service(l):
    """As oci@.service: the runtime's create, start and delete."""
    l.start_service("stdout=hello\\n exit=3")
    l.hooks.append(end_what_is_left)
    return l.run()


@scenario(life.told_service)
def service_start_hangs(l):
    """The runtime's start does not return, also when the container has ended."""
    l.start_service("start-hang stdout=hello\\n exit=3")
    l.hooks.append(end_what_is_left)
    return l.run()


def upgrade_then_release(l):
    """Another image takes over when the pid is told; whatever comes of it, the container goes on then."""
    if not l.seen.pid and (l.seen.sync_ended or l.seen.records):
        harness.release(l.area.path("gate"))  # of what a failed runtime may have left
        return True
    if not l.seen.pid:
        return False
    run = subprocess.Popen([harness.MONITOR, "upgrade", str(l.keeper())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def release(l):
        if run.pid not in l.seen.ended and harness.is_alive(run.pid) and time.monotonic() < l.end_at - 6:
            return False
        harness.release(l.area.path("gate"))
        return True

    l.hooks.append(release)
    return True


@scenario()
def upgrade(l):
    """Another image takes over under the container."""
    harness.MONITOR = shutil.copy2(harness.MONITOR, l.area.path("scopemon"))
    os.mkfifo(l.area.path("gate"))
    l.start(f"stdout=hello\\n wait-file={l.area.path('gate')} exit=3")
    l.hooks.append(upgrade_then_release)
    return l.run()


def fill(l):
    """Directories of exit files without room from now on."""
    tools.mount("tmpfs", l.area.exits, "tmpfs", 0, "size=16k")
    tools.mount("tmpfs", l.area.persist, "tmpfs", 0, "size=16k")
    for directory in (l.area.exits, l.area.persist):
        with contextlib.suppress(OSError), open(f"{directory}/filler", "wb", 0) as f:
            f.write(bytes(1 << 20))


@scenario(life.told_full)
def disk_full(l):
    """There is no room for exit files, and never will be."""
    fill(l)
    l.start("stdout=hello\\n exit=3", exit_command=True)
    return l.run()


@scenario()
def disk_full_for_a_while(l):
    """There is room after two seconds."""
    fill(l)
    begun = time.monotonic()

    def make_room(l):
        if time.monotonic() - begun < 2:
            return False
        os.unlink(f"{l.area.exits}/filler")
        os.unlink(f"{l.area.persist}/filler")
        return True

    l.start("stdout=hello\\n exit=3")
    l.hooks.append(make_room)
    return l.run()


def release_when_told(l):
    """Let the container go on when its pid is told, or nothing more will be."""
    if not l.seen.pid and not l.seen.sync_ended:
        return False
    harness.release(l.area.path("gate"))
    return True


def explode(l, *more):
    """A container that is a fork bomb for two seconds, of a user who may have 20 processes, and then does MORE."""
    l.processes = l.processes or 20
    os.mkfifo(l.area.path("gate"))
    l.start(" ".join(["stdout=hello\\n", f"wait-file={l.area.path('gate')}", "bomb=2000", *more, "exit=3"]), exit_command=True)
    l.hooks.append(release_when_told)


def run_to_command(l):
    """The exit command must run, though later."""
    s = l.run()
    if s.exit_file is not None and not os.path.exists(l.monitor.exit_record):
        s.notes.append("no record of the exit command")
    return s


@scenario()
def fork_bomb(l):
    """No process can be had, not even those that have just ended."""
    explode(l)
    return run_to_command(l)


def kill_worker_in_bomb(l):
    """As soon as the bomb has gone off. Then the container may end."""
    if l.seen.sync_ended and not l.seen.pid:
        harness.release(l.area.path("end"))
        return True
    if not l.seen.pid or len(harness.children(l.seen.pid)) < 2:
        return False
    for pid in harness.children(l.keeper()):
        if harness.status_field(pid, "Seccomp") == "2":
            os.kill(pid, 9)
    harness.release(l.area.path("end"))
    return True


@scenario()
def fork_bomb_without_worker(l):
    """Nor one for a worker in place of one that has died."""
    os.mkfifo(l.area.path("end"))
    explode(l, f"wait-file={l.area.path('end')}")
    l.hooks.append(kill_worker_in_bomb)
    return run_to_command(l)
