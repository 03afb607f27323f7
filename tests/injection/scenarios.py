# SPDX-License-Identifier: Apache-2.0
"""The lives that tests/inject lets fail: what is started, and what the caller does meanwhile.

Each container prints something and exits with 3, so that a 0 is never true.
"""

import collections
import contextlib
import os
import sys

import life

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "fault"))
import tools  # noqa: E402  pylint: disable=wrong-import-position

Scenario = collections.namedtuple("Scenario", "name function told statuses")
SCENARIOS = {}


def scenario(told=life.told_create, statuses=("3", "-1", "125")):
    """Make a function a scenario: it takes a Life and returns what was Seen."""
    def decorate(function):
        SCENARIOS[function.__name__] = Scenario(function.__name__, function, told, statuses)
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


@scenario()
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
        return True
    if not s.attach_records:
        return False
    if not l.attach():
        l.monitor.begin_channel.close()  # the caller gives up
        return True
    with contextlib.suppress(OSError):
        l.monitor.begin_again()
    return True


@scenario(life.told_exec)
def exec_attach(l):
    """As podman exec: the client has the only copy."""
    l.start("stdout=hello\\n exit=3", mode="exec", attach="seqpacket", log=["none"])
    l.hooks.append(attach_when_told)
    return l.run()


@scenario()
def journald(l):
    """Output into the journal."""
    tools.Journal()
    l.start("stdout=hello\\n stderr=there\\n exit=3", log=["journald"])
    return l.run()
