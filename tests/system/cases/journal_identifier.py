# SPDX-License-Identifier: Apache-2.0
"""SyslogIdentifier= of a unit whose own stream of the container's output is withheld: our entry is found by it, too."""

from harness import Unit, check_equal, journal, quote, until, variants

RUN = ["run", "--rm", "--log-driver=journald", "--name", "baz", "--network=none"]
COMMAND = ["localhost/alpine", "sh", "-c", "echo hello; echo oops >&2"]


@variants("journal_identifier", oneshot={"more": "Type=oneshot"}, nested={"more": "Delegate=yes"}, bound={"more": ""},
          split={"more": "Delegate=yes", "options": ["--cgroups=split"]}, tty={"more": "Delegate=yes", "options": ["--tty"]},
          plain={"more": "", "identifier": ""})
def journal_identifier(more, options=(), identifier="the-units"):
    setting = f"SyslogIdentifier={identifier}" if identifier else ""
    unit = Unit("baz.service", f"""[Service]
ExecStart=/usr/bin/podman {quote(*RUN, *options, *COMMAND)}
{setting}
{more}
""")
    unit.start()
    unit.expect_result()
    said = ["hello", "oops"]

    def found(*match):
        return sorted(str(e["MESSAGE"]).rstrip() for e in journal(*match) if str(e["MESSAGE"]).rstrip() in said)

    until("its output", lambda: found("CONTAINER_NAME=baz") == said)
    if identifier:
        check_equal(found("-t", identifier), said, "entries of the unit's identifier")
    check_equal(found("-t", "baz"), said, "entries of the container's name")
    check_equal(found("-u", "baz.service"), said, "entries of the unit")
