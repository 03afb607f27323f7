# SPDX-License-Identifier: Apache-2.0
"""podman logs of both drivers, the files and entries behind it, and the other drivers."""

import os
import re
import subprocess
import time

from compare import IMAGE, RUN, compared
from harness import check, quietly, until

DRIVERS = ("k8s-file", "journald")
# Everything that is hard to log. The pauses are for two streams to stay in order, and for one line in two writes.
HARD = r"""echo plain
echo; echo; printf '  blanks  \n'
printf 'tab\there \033[31mred\033[0m cr\rlf\r\n'
sleep 0.1; echo error >&2; sleep 0.1
i=0; while [ $i -lt 2000 ]; do printf 0123456789; i=$((i+1)); done; echo
head -c 9000 /dev/zero | tr '\0' y; echo
sleep 0.1; printf half; sleep 0.2; echo ' and half'
printf '\304\226\342\202\254 utf-8\n'
echo; echo last
"""
BYTES = r"printf 'nul\0nul\n\377\376 no utf-8\n\303(\nafter\n'"
PARTIAL = "echo first; sleep 0.1; printf 'no end'"


def finished(side, driver, script, *options):
    """baz, which has run SCRIPT to its end."""
    side.need(*RUN, "-d", f"--log-driver={driver}", *options, IMAGE, "sh", "-c", script)
    side.need("wait", "baz")


@compared(rootless=True)
def logs_content(side):
    for driver in DRIVERS:
        for terminal in ([], ["-t"]):
            finished(side, driver, HARD, *terminal)
            name = f"{driver}{' -t' if terminal else ''}"
            see_logs(side, driver, name, [], ["--tail=3"], ["--tail=0"], ["-n", "-t", "--tail=2"])
            look_behind(side, driver, name)
            side.need("rm", "baz")


def look_behind(side, driver, name):
    """Record the file or the entries that podman logs reads."""
    if driver == "k8s-file":
        with open(side.need("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", "baz"), "rb") as f:
            side.see(f"{name} file", joined(f.read()))
    else:
        identity = side.need("inspect", "--format", "{{.Id}}", "baz")
        side.see(f"{name} entries", entries(side, side.journal(f"CONTAINER_ID_FULL={identity}")))


def joined(text):
    """Records of a k8s-file, partial ones joined with what follows: where a line is cut is the monitor's affair."""
    found, held = [], {}
    for record in text.decode(errors="backslashreplace").split("\n")[:-1]:
        stamp, stream, flag, content = record.split(" ", 3)
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d", stamp), f"bad time stamp {stamp!r}")
        check(flag in ("F", "P") and len(content) <= 4 * 8192, f"bad record {record[:100]!r}")
        held[stream] = held.get(stream, "") + content
        if flag == "F":
            found.append((stream, held.pop(stream)))
    return found + [("unfinished " + stream, content) for stream, content in held.items()]


def entries(side, found):
    """What we are after in journal entries, partial ones joined as in files. Ours leaves out line endings, which podman
    logs trims and adds itself, and adds the scope for journalctl -u to find the entry."""
    result, held = [], {}
    for entry in found:
        fields = {k: v for k, v in entry.items()
                  if not k.startswith(("_", "CODE_", "SYSLOG_TIMESTAMP", "OBJECT_SYSTEMD_"))}
        message = fields.pop("MESSAGE", "") or ""
        if isinstance(message, list):
            message = bytes(message).decode(errors="backslashreplace")
        stream = fields["PRIORITY"]
        held[stream] = held.get(stream, "") + message
        if "CONTAINER_PARTIAL_MESSAGE" not in fields:
            result.append((without_ending(side, held.pop(stream)), fields))
    return result + [("unfinished " + stream, text) for stream, text in held.items()]


def without_ending(side, text):
    """The text of an entry as ours should have it."""
    return text if side.ours else text.removesuffix("\n").removesuffix("\r")


def plain(side, driver, outcome):
    """OUTCOME of podman logs as it should be with ours, which leaves out the CR of CR LF in the journal: so journalctl
    shows lines of terminals as text."""
    if side.ours or driver != "journald":
        return outcome
    return tuple(o.replace("\r\n", "\n") if isinstance(o, str) else o for o in outcome)


def see_logs(side, driver, name, *all_options):
    for options in all_options:
        side.see(f"{name} logs {' '.join(options)}", plain(side, driver, side.raw("podman", "logs", *options, "baz")))


@compared()
def logs_bytes(side):
    """Bytes that are no text, and a last line without its end."""
    for driver in DRIVERS:
        for name, script, options in (("bytes", BYTES, []), ("bytes -t", BYTES, ["-t"]), ("partial", PARTIAL, [])):
            finished(side, driver, script, *options)
            see_logs(side, driver, f"{driver} {name}", [], ["--tail=1"], ["-f"])
            look_behind(side, driver, f"{driver} {name}")
            side.need("rm", "baz")


@compared(rootless=True)
def logs_follow(side):
    """podman logs -f from before the end to the end; --since and --until a line."""
    script = "echo one; until test -e /tmp/go; do sleep 0.1; done; echo two; echo three >&2; sleep 0.5; printf four"
    for driver in DRIVERS:
        side.need(*RUN, "-d", f"--log-driver={driver}", IMAGE, "sh", "-c", script)
        until("the first line", lambda: quietly(side.raw, "podman", "logs", "baz")[1] == "one\n")
        with subprocess.Popen(side.argv("podman", "logs", "-f", "baz"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower, \
             subprocess.Popen(side.argv("podman", "logs", "-f", "--tail=0", "baz"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as late:
            side.see(f"{driver} first", follower.stdout.readline())
            time.sleep(1.1) # --since knows whole seconds
            between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            side.need("exec", "baz", "touch", "/tmp/go")
            for name, client in (("follower", follower), ("late", late)):
                out, err = client.communicate(timeout=30)
                side.see(f"{driver} {name}", (client.returncode, out, err))
        side.need("wait", "baz")
        for option in ("--since", "--until"):
            side.podman("logs", option, between, "baz", what=f"{driver} {option}")
        side.need("rm", "baz")


@compared()
def logs_restarted(side):
    """Two lives in one log."""
    for driver in DRIVERS:
        finished(side, driver, "echo begins; printf ends")
        side.need("start", "baz")
        side.need("wait", "baz")
        side.podman("logs", "baz", what=f"{driver} logs")
        look_behind(side, driver, driver)
        side.need("rm", "baz")


@compared(better={"journald logs": ("a prefix is the entry's priority, in a field of its own for podman logs to go on",
                                    [0, "plain\nwarned\n<9>x\n", ""]),
                  "journald entries": ("the same", [["plain", "6", None], ["warned", "6", "4"], ["<9>x", "6", None]])})
def logs_priority(side):
    for driver in DRIVERS:
        finished(side, driver, "echo plain; echo '<4>warned'; echo '<9>x'")
        side.podman("logs", "baz", what=f"{driver} logs")
        if driver == "journald":
            identity = side.need("inspect", "--format", "{{.Id}}", "baz")
            found = entries(side, side.journal(f"CONTAINER_ID_FULL={identity}"))
            side.see(f"{driver} entries", [(m, f["PRIORITY"], f.get("CONTAINER_PRIORITY")) for m, f in found])
        side.need("rm", "baz")


@compared()
def logs_limit(side):
    """max-size: what is left is the end, and no more than the limit."""
    numbers = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo number-$i-0123456789012345678901234567890123456789; done"
    # One line at a time, for the stock monitor cuts where a read ends.
    finished(side, "k8s-file", numbers.replace("; done", "; usleep 500; done"), "--log-opt=max-size=10kb")
    path = side.need("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", "baz")
    with open(path, "rb") as f:
        records = joined(f.read())
    side.see("last record", records[-1])
    numbers = [int(record[1].split("-")[1]) for record in records]
    side.see("numbers follow each other", numbers == list(range(401 - len(numbers), 401)))
    check(os.path.getsize(path) <= 10240, f"{os.path.getsize(path)} bytes in the file")
    side.see("size in inspect", side.need("inspect", "--format", "{{.HostConfig.LogConfig.Size}}", "baz"))
    side.podman("logs", "--tail=2", "baz")


@compared(better={"access": ("the group may read it, as with the original from 2.1.13 on", "0o100640")})
def logs_drivers(side):
    """Tags; no driver, passthrough, a path of one's own, a driver that is none."""
    finished(side, "journald", "echo x", "--log-opt=tag={{.Name}}/{{.ImageName}}")
    look_behind(side, "journald", "tag")
    side.podman("logs", "baz", what="logs of tag")
    side.need("rm", "baz")
    says = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    for driver in ("none", "passthrough", "json-file", "no-such-driver"):
        side.podman(*RUN, f"--log-driver={driver}", IMAGE, *says, what=f"{driver} run")
        side.podman("logs", "baz", what=f"{driver} logs")
        side.podman("inspect", "--format", "{{json .HostConfig.LogConfig}}", "baz", what=f"{driver} inspect")
        side.raw("podman", "rm", "-f", "-t", "0", "baz")
    path = f"{side.runtime_folder}/own.log"
    finished(side, "k8s-file", "echo own", f"--log-opt=path={path}")
    with open(path, "rb") as f:
        side.see("own path", joined(f.read()))
    side.see("access", oct(os.stat(path).st_mode))
    os.unlink(path)
    status, out, err = side.raw("podman", "run", "--rm", "--network=none", "--log-driver=k8s-file",
                                "--log-opt=path=/no/such/dir/x", IMAGE, "true")
    # Podman's own line depends on when the monitor gives up.
    side.see("path that cannot be", (status, out, err.splitlines()[0]))
