# SPDX-License-Identifier: Apache-2.0
"""Random sequences over units of four styles, of root's manager and a user's: whatever is done in whatever order, the
unit's state is what was asked for, nothing of a container that has ended is left, and each line it wrote is in the
journal once. SEED=N repeats all of them; there are SEQUENCES=N (default 25) of STEPS=N (default 3) and what ends them,
for each of the two managers."""

import functools
import os
import random
import re
import signal

from cases.user import user_service
from compare import USER, as_user, own_unit
from harness import (Failed, Unit, check, check_equal, expect_nothing_left, forget_containers, journal,
                     left_over, monitors, note, quietly, quote, run, until, variants, worker_of)

SEQUENCES, STEPS = 25, 3
FILES = ["find", "/run", "/var/lib/containers", "/home", "-xdev", "-regextype", "egrep",
         "(", "-path", "*/storage/overlay/*", "-o", "-path", "*/storage/vfs/*", ")", "-prune", "-o",
         "(", "-type", "p", "-o", "-type", "s", "-o", "-type", "l", ")", "-regex", ".*[0-9a-f]{64}.*", "-print"]
PAYLOAD = "trap 'exit 0' TERM; h=$(cat /proc/sys/kernel/hostname); i=0; : >/tmp/ready; " \
          "while true; do i=$((i+1)); echo \"$h $i\"; sleep 0.2 & wait $!; done"
LINE = re.compile(r"^([0-9a-f]{12}) (\d+)$")

# Style: Type=, options of podman run, more lines.
STYLES = {
    "plain": ("exec", ["--rm"], ""),
    "delegate": ("exec", ["--rm"], "Delegate=yes"),
    "notify": ("notify", ["-d", "--rm", "--sdnotify=conmon"], "NotifyAccess=all"),
    "quadlet": ("notify", ["-d", "--rm", "--sdnotify=conmon", "--cgroups=split"],
                "NotifyAccess=all\nDelegate=yes\nKillMode=mixed\nExecStopPost=-/usr/bin/podman rm -v -f -i -t 2 baz"),
}


def write_unit(style, make):
    kind, options, more = STYLES[style]
    words = ["run", "--replace", "--name=baz", "--network=none", *options, "localhost/alpine", "sh", "-c", PAYLOAD]
    return make("baz.service", f"""[Service]
Type={kind}
ExecStart=/usr/bin/podman {quote(*words)}
ExecStop=/usr/bin/podman stop -t 3 --ignore baz
SuccessExitStatus=143
TimeoutStopSec=15
{more}
""")


class Play:
    """One unit after the other, and what is expected of the one that there is."""

    def __init__(self, make, prefix):
        self.make = make
        self.prefix = prefix
        self.unit = None
        self.active = False
        self.worker_killed = self.killed = False

    def podman(self, *argv):
        return run(*self.prefix, "podman", *argv)

    def settle(self):
        """Wait until the unit is as it should be and, if it is active, its container has a line to show for it."""
        wanted = ("active",) if self.active else ("inactive", "failed")
        until(f"ActiveState of {wanted}", lambda: quietly(self.unit.show, "ActiveState") in wanted)
        if self.active:
            until("the container", lambda: quietly(self.podman, "exec", "baz", "test", "-e", "/tmp/ready") == "")
            self.expect_one()
        else:
            expect_nothing_left(within=20)

    def expect_one(self):
        container = self.podman("ps", "--quiet", "--no-trunc", "--filter=name=baz")
        until("one monitor", lambda: len(monitors()) == 1) # that of podman exec may take a moment
        until("nothing left of other containers", lambda: self.is_alone(container))

    @staticmethod
    def is_alone(container):
        others = [text for text in left_over() if ("libpod" in text or text.startswith("unit")) and
                  container not in text and "baz.service" not in text]
        check_equal(others, [], "left of other containers")
        return Play.has_no_files(container)

    @staticmethod
    def has_no_files(container):
        """No fifo, socket or link that is named after another container than CONTAINER, or lies in its folders."""
        found = [path for path in run(*FILES).splitlines() if not container or container not in path]
        check_equal(found, [], "fifos, sockets and links of containers that have ended")
        return True

    # What may be done, each if it makes sense now. Returns whether the unit should be active then.

    def start(self):
        self.unit.start()
        return True

    def stop(self):
        self.unit.stop()
        return False

    def restart(self):
        self.unit.restart()
        return True

    def reload(self):
        self.unit.systemctl("daemon-reload")
        return self.active

    def kill(self):
        """All that is in the unit; Podman does not know, and is told."""
        self.unit.kill()
        self.killed = True
        return False

    def kill_worker(self):
        os.kill(worker_of(monitors()[0]), signal.SIGKILL)
        self.worker_killed = True
        return True

    def podman_stop(self):
        self.podman("stop", "-t", "3", "baz")
        return False

    def podman_rm(self):
        self.podman("rm", "-f", "-t", "3", "baz")
        return False

    def step(self, chance):
        busy = [self.stop, self.restart, self.reload, self.kill, self.kill_worker, self.podman_stop, self.podman_rm]
        what = chance.choice(busy if self.active else [self.start, self.start, self.restart, self.stop, self.reload])
        note(f"# ---- {what.__name__}")
        self.killed = False
        try:
            self.active = what()
            self.settle()
        except Failed as e:
            raise Failed(f"{what.__name__}: {e}") from None
        if self.killed:
            forget_containers(*self.prefix)
        if not self.active:
            until("no fifo, socket or link", lambda: self.has_no_files(None))
            run(*self.unit.words, "reset-failed")
        return what.__name__

    def play(self, style, steps, chance):
        """Returns what was done."""
        self.unit = write_unit(style, self.make)
        done = [style]
        while len(done) <= steps or self.active:
            try:
                done.append(self.step(chance) if len(done) <= steps else self.step(LAST))
            except Failed as e:
                raise Failed(f"after {', '.join(done)}: {e}") from None
        return done


class _Last:
    """No chance at all: the first thing that can be done, which ends the unit."""

    @staticmethod
    def choice(list_of):
        return list_of[0]


LAST = _Last()


def expect_lines(worker_killed):
    """Each line of each container once, in order, from the first one to the last that is there."""
    said = {}
    for entry in journal("CONTAINER_NAME=baz"):
        match = LINE.match(entry["MESSAGE"] if isinstance(entry.get("MESSAGE"), str) else "")
        if match:
            said.setdefault(match[1], []).append(int(match[2]))
    check(said, "no lines at all")
    for container, numbers in said.items():
        if worker_killed: # of the batch in flight there may be a second copy
            numbers = sorted(set(numbers))
        check_equal(numbers, list(range(1, len(numbers) + 1)), f"lines of {container}")


@variants("random_units", system={"user": False}, user={"user": True})
def random_units(user):
    seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().randrange(1, 1 << 31)
    sequences, steps = int(os.environ.get("SEQUENCES", SEQUENCES)), int(os.environ.get("STEPS", STEPS))
    chance = random.Random(seed)
    note(f"# SEED={seed}")
    make, prefix = Unit, []
    if user:
        own_unit(USER)
        unit, manager = user_service("true", False)
        make = functools.partial(Unit, systemctl=unit.words, folder=os.path.dirname(unit.path),
                                 slice=f"{manager}/app.slice")
        prefix = as_user(USER)
    play = Play(make, prefix)
    done = []
    try:
        for number in range(sequences):
            done += play.play(list(STYLES)[number % len(STYLES)], steps, chance)
        expect_lines(play.worker_killed)
    except Failed as e:
        raise Failed(f"SEED={seed}: {e}") from None
    note(f"# {', '.join(done)}")
