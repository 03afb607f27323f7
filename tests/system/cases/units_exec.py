# SPDX-License-Identifier: Apache-2.0
"""systemd.exec of a unit: what of it the container's first process has, looked at from outside, or through a volume."""

import os

from harness import cgroup_of, check, command, messages, until
from unit_cells import cells

IDLE = "trap 'exit 0' TERM; while true; do sleep 1000 & wait $!; done"
HOST = ["--volume=/:/host"]


@cells("exec", """UMask=, Nice=, CPUSchedulingPolicy=, IOSchedulingClass=, LimitNOFILE=, LimitNPROC=, LimitCORE=,
CoredumpFilter=, OOMScoreAdjust=, Environment=, PassEnvironment=, WorkingDirectory=, SupplementaryGroups=""")
def exec_settings(at):
    unit = at.unit(IDLE, "\n".join(("UMask=0027", "Nice=5", "CPUSchedulingPolicy=batch",
                                    "IOSchedulingClass=idle", "LimitNOFILE=1234:2345", "LimitNPROC=5000:6000", "LimitCORE=77", "CoredumpFilter=0x35",
                                    "OOMScoreAdjust=200", "Environment=SET_BY_UNIT=1", "PassEnvironment=SYSTEMD_EXEC_PID",
                                    "WorkingDirectory=/var", "SupplementaryGroups=audio"))).up()
    stat = unit.read("stat").rsplit(")", 1)[1].split()
    at.saw("UMask=", unit.status("Umask") == "0027", unit.status("Umask"))
    at.saw("Nice=", stat[16] == "5", stat[16])
    at.saw("CPUSchedulingPolicy=", stat[38] == "3", stat[38])
    io_class = command("ionice", "-p", unit.pid())[1].split(":")[0].strip()
    at.saw("IOSchedulingClass=", io_class == "idle", io_class)
    for row, word, soft, hard in (("LimitNOFILE=", "open files", "1234", "2345"), ("LimitNPROC=", "processes", "5000", "6000"),
                                  ("LimitCORE=", "core file size", "77", "77")):
        # Podman 4 and 5 take the hard limit for both.
        at.saw(row, unit.limits(word)[1] == hard, unit.limits(word))
    at.saw("CoredumpFilter=", int(unit.read("coredump_filter"), 16) == 0x35, unit.read("coredump_filter"))
    at.saw("OOMScoreAdjust=", unit.read("oom_score_adj").strip() == "200", unit.read("oom_score_adj"))
    at.saw("Environment=", "SET_BY_UNIT=1" in unit.read("environ"), unit.read("environ"))
    at.saw("PassEnvironment=", "SYSTEMD_EXEC_PID=" in unit.read("environ"))
    cwd = os.readlink(f"/proc/{unit.pid()}/cwd")
    at.saw("WorkingDirectory=", cwd == "/var", cwd)
    at.saw("SupplementaryGroups=", unit.status("Groups").split() not in ([], ["0"]), unit.status("Groups"))
    unit.stop()


TRIES = """ls /host/tmp; touch /host/usr/some-file && echo wrote-usr;
test -d /host/run/some-directory && echo has-runtime-directory; ls /host/home/some-file && echo saw-home;
ls /host/dev/fuse && echo has-fuse; ls /host/var/lib/secret/file && echo saw-secret;
touch /tmp/file; chmod u+s /tmp/file && echo made-suid; sync && echo synced;
$(echo /host/usr/lib/*-linux-gnu*/ld-linux*) --library-path $(echo /host/usr/lib/*-linux-gnu*) \
    /host/usr/bin/python3 -c '
import mmap
mmap.mmap(-1, 4096, prot=7)' && echo mapped
echo tried; """


@cells("sandbox", """NoNewPrivileges=, RestrictSUIDSGID=, SystemCallFilter=, MemoryDenyWriteExecute=, PrivateTmp=, ProtectSystem=,
ProtectHome=, PrivateDevices=, InaccessiblePaths=, RuntimeDirectory=""")
def sandbox(at):
    """With the host's file system as a volume, which is that of the unit's mount name-space."""
    for path in ("/tmp/some-file", "/home/some-file", "/var/lib/secret/file"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8"):
            pass
    tries = at.unit(TRIES + IDLE, "", options=[*HOST, "--env=PYTHONHOME=/host/usr"],
                    process={"env": ["PATH=/bin", "PYTHONHOME=/host/usr"]}).up()
    tries.said("tried")
    free = tries.lines()
    tries.stop()
    unit = at.unit(TRIES + IDLE, "\n".join((
        "NoNewPrivileges=yes", "RestrictSUIDSGID=yes", "SystemCallFilter=~sync", "MemoryDenyWriteExecute=yes", "PrivateTmp=yes",
        "ProtectSystem=yes", "ProtectHome=yes", "PrivateDevices=yes", "InaccessiblePaths=/var/lib/secret",
        "RuntimeDirectory=" + ("oci/qux " if at.ours else "") + "some-directory")), name="qux",
        options=[*HOST, "--env=PYTHONHOME=/host/usr"], process={"env": ["PATH=/bin", "PYTHONHOME=/host/usr"]}).up()
    unit.said("tried")
    said = unit.lines()
    at.saw("NoNewPrivileges=", unit.status("NoNewPrivs") == "1")
    for row, line in (("RestrictSUIDSGID=", "made-suid"), ("SystemCallFilter=", "synced"), ("MemoryDenyWriteExecute=", "mapped"),
                      ("PrivateTmp=", "some-file"), ("ProtectSystem=", "wrote-usr"), ("ProtectHome=", "saw-home"),
                      ("PrivateDevices=", "has-fuse"), ("InaccessiblePaths=", "saw-secret")):
        until(f"{line} without {row}", lambda line=line: line in free, 1)
        at.saw(row, line not in said, f"with {said}, without {free}")
    at.saw("RuntimeDirectory=", "has-runtime-directory" in said, said)
    unit.stop()


@cells("control_groups", "ProtectControlGroups=", placements=["nest", "bind"])
def control_groups(at):
    """A monitor that cannot make a cgroup leaves that to the manager, and says why."""
    unit = at.unit("touch /host/sys/fs/cgroup/some-file 2>&1; echo tried; " + IDLE, "ProtectControlGroups=yes", options=HOST).up()
    unit.said("tried")
    at.saw("ProtectControlGroups=", any("Read-only" in line for line in unit.lines()), unit.lines())
    check("/libpod-" in cgroup_of(unit.pid()) and ".scope" in cgroup_of(unit.pid()), cgroup_of(unit.pid()))
    placed = [m for m in messages("-u", "baz.service") if "cannot nest" in str(m).lower()]
    check(len(placed) == (at.placement == "nest"), f"said of nesting: {placed}")
    unit.stop()
