# SPDX-License-Identifier: Apache-2.0
"""The first line of a container and the last one of a dying one are where people look for them, once, in every row
of the placement table. journald notes the unit of a sender for a while, and forgets one that has gone."""

import pwd
import shlex

from cases import service_mode
from cases.user import user_service
from compare import USER, as_user, make_user
from harness import (Unit, check_equal, command, expect_nothing_left, journal, messages, quote,
                     service, session, variants)

ROUNDS = 5
SAYS = "echo first words; echo last words >&2"
WORDS = ["first words", "last words"]


def said(*match):
    """What the container said, as it is found by MATCH."""
    return sorted(m for m in messages(*match) if m in WORDS)


def expect_said(times, *match):
    check_equal(said(*match), sorted(WORDS * times), f"lines with {' '.join(match)}")


def expect_scopes(times, user=""):
    """Each container's own scope has its two lines."""
    containers = {e["CONTAINER_ID_FULL"] for e in journal("CONTAINER_NAME=baz") if "CONTAINER_ID_FULL" in e}
    check_equal(len(containers), times, "containers in the journal")
    for container in containers:
        expect_said(1, *unit_words(f"libpod-{container}.scope", user))


def unit_words(unit, user=""):
    """The words for journalctl that mean UNIT; a user's unit is one for that user only, so its filter is spelled out."""
    if not user:
        return ["-u", unit]
    uid = f"_UID={pwd.getpwnam(user).pw_uid}"
    return [uid, f"_SYSTEMD_USER_UNIT={unit}", "+", uid, f"OBJECT_SYSTEMD_USER_UNIT={unit}"]


def rounds(unit):
    for _ in range(ROUNDS):
        unit.start()
        unit.expect_result()
    expect_nothing_left()


@variants("journal_rows_unit", nested={"delegate": True}, bound={"delegate": False},
          nested_tty={"delegate": True, "tty": True}, bound_tty={"delegate": False, "tty": True})
def in_unit(delegate, tty=False):
    rounds(service(SAYS, delegate=delegate, tty=tty))
    expect_said(ROUNDS, "-u", "baz.service")
    expect_said(ROUNDS, "CONTAINER_NAME=baz")
    if not delegate:
        expect_scopes(ROUNDS)


@variants("journal_rows_user", nested={"delegate": True}, bound={"delegate": False})
def in_user_unit(delegate):
    unit, _ = user_service(SAYS, delegate)
    rounds(unit)
    expect_said(ROUNDS, *unit_words("baz.service", USER))
    expect_said(ROUNDS, "CONTAINER_NAME=baz")
    if not delegate:
        expect_scopes(ROUNDS, USER)


@variants("journal_rows_split", plain={})
def in_split_unit():
    words = ["run", "-d", "--rm", "--replace", "--name=baz", "--network=none", "--cgroups=split", "--sdnotify=conmon",
             "localhost/alpine", "sh", "-c", SAYS]
    rounds(Unit("baz.service", f"[Service]\nType=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed\n"
                               f"ExecStart=/usr/bin/podman {quote(*words)}\n"))
    expect_said(ROUNDS, "-u", "baz.service")
    expect_said(ROUNDS, "CONTAINER_NAME=baz")


@variants("journal_rows_shell", system={"user": ""}, own_scope={"user": "", "options": ["--cgroups=no-conmon"]},
          user={"user": USER})
def from_shell(user, options=()):
    words = ["podman", "run", "--rm", "--name=baz", "--network=none", *options, "localhost/alpine", "sh", "-c", SAYS]
    if user:
        make_user(user)
    for _ in range(ROUNDS):
        status, out, err = command(*as_user(user), *words) if user else session(shlex.join(words))
        check_equal((status, "first words" in out, "last words" in err), (0, True, True), "status and output")
    expect_nothing_left()
    expect_said(ROUNDS, "CONTAINER_NAME=baz")
    expect_scopes(ROUNDS, user)


@variants("journal_rows_service_mode", plain={})
def in_service_mode():
    service_mode.make_bundle(SAYS)
    rounds(service_mode.unit())
    expect_said(ROUNDS, "-u", "baz.service")
    expect_said(ROUNDS, "CONTAINER_NAME=baz")
