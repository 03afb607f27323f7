# SPDX-License-Identifier: Apache-2.0
"""TimeoutStopSec= of the unit is the container's, in each kind of unit, and from that signal on which is the stop."""

from harness import Unit, case, check, check_equal, journal, messages, quote, run, until, variants

EVERY_SUITE = True
ENDED = "ae7f4f850114466f8c4d890f6616381e" # SCOPEMON_MESSAGE_ENDED of scopemon/protocol.h
# Takes SECONDS from its second or first stop signal on, and says so.
SLOW = ("n=0; trap 'n=$((n+1)); echo got-$n; test $n -lt {which} || end=$(($(date +%s)+{seconds}))' TERM; : >/tmp/ready; "
        "echo up; while true; do sleep 0.2 & wait $!; "
        "if test -n \"$end\" && test $(date +%s) -ge $end; then echo clean; exit 0; fi; done")

RUN = ["run", "--rm", "--name", "{name}", "--network=none", "localhost/alpine", "sh", "-c"]
NOTIFY = ["run", "-d", "--rm", "--sdnotify=conmon", "--name", "{name}", "--network=none", "localhost/alpine", "sh", "-c"]


def make(name, payload, words, more):
    unit = Unit(f"{name}.service", f"""[Service]
ExecStart=/usr/bin/podman {quote(*[w.format(name=name) for w in words], payload)}
{more}
""")
    unit.start()
    until(f"{name} to be up", lambda: "up" in lines(name))
    return unit


def lines(name):
    return [str(m).rstrip() for m in messages(f"CONTAINER_NAME={name}")]


def said(name):
    return [m for m in lines(name) if m == "clean" or m.startswith("got-")]


KINDS = {
    "nested": (RUN, "Delegate=yes"),
    "bound": ([*RUN[:1], "--stop-timeout=170", *RUN[1:]], ""),
    "subgroup": (RUN, "Delegate=yes\nDelegateSubgroup=inner"),
    "notify": (NOTIFY, "Type=notify\nNotifyAccess=all"),
    "notify-nested": (NOTIFY, "Type=notify\nNotifyAccess=all\nDelegate=yes"),
    "mixed": (NOTIFY, "Type=notify\nNotifyAccess=all\nDelegate=yes\nKillMode=mixed"),
}


@variants("stop_time_counts_from_the_stop", **{k.replace("-", "_"): {"kind": k} for k in KINDS})
def stop_time_counts_from_the_stop(kind):
    """A signal to all that the container has outlived, and then a stop: which has all of its time."""
    words, more = KINDS[kind]
    unit = make("baz", SLOW.format(which=2, seconds=4), words, more + "\nTimeoutStopSec=9")
    unit.systemctl("kill", "--kill-whom=all", unit.name)
    until("the first signal", lambda: said("baz"))
    first = len(said("baz"))
    # The container's time would be over before that of the stop, if it ran from the first signal on.
    until("four seconds to pass", lambda: run("sleep", "4") == "")
    unit.stop(timeout=30)
    check_equal(said("baz")[-1], "clean", f"last words, after {first} signals")
    ends = [e.get("SCOPEMON_EXIT_STATUS") for e in journal(f"MESSAGE_ID={ENDED}")]
    check(ends in ([], ["0"]), f"how the monitor saw it end: {ends}")


@case
def stop_time_is_the_units_long():
    """A payload that needs 100 s: units that give it 180 s, or for ever."""
    units = []
    for i, (kind, (words, more)) in enumerate(KINDS.items()):
        for time in ("180", "infinity"):
            units.append(make(f"{kind}-{time}", SLOW.format(which=1, seconds=100), words, f"{more}\nTimeoutStopSec={time}"))
    # Changed while it runs, it is the new one that counts.
    units.append(make("changed", SLOW.format(which=1, seconds=100), *KINDS["nested"]))
    units[-1].rewrite(open(units[-1].path, encoding="utf-8").read() + "TimeoutStopSec=180\n")
    run("systemctl", "stop", *[u.name for u in units], timeout=150)
    names = [u.name.removesuffix(".service") for u in units]
    check_equal({n: said(n)[-1:] for n in names}, {n: ["clean"] for n in names}, "last words")
