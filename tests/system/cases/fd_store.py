# SPDX-License-Identifier: Apache-2.0
"""Containers whose sockets are kept by systemd while they are restarted (FileDescriptorStoreMax=)."""

import json
import re
import shutil
import socket
import threading

from harness import Skip, Unit, case, check, check_equal, messages, note, quote, run, show, until, variants
from cases.service_mode import BUNDLE, UNIT, make_python_bundle, nothing_left

EVERY_SUITE = True
PORT = 8017
# Takes its socket back, or makes it and has it stored; tells what it has found.
SERVES = f"""
import os, select, signal, socket
def say(text, *fds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    socket.send_fds(s, [text.encode()], fds)
end, wakeup = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(wakeup)
signal.signal(signal.SIGTERM, lambda *_: None)
n = int(os.environ.get("LISTEN_FDS", "0"))
names = os.environ.get("LISTEN_FDNAMES", "")
print("listen", n, names, os.environ.get("LISTEN_PID") in (None, str(os.getpid())), flush=True)
stored = [socket.socket(fileno=3 + i) for i in range(n)]
stored = [s for s in stored if s.family == socket.AF_INET]
if stored:
    s = stored[0]
else:
    s = socket.create_server(("127.0.0.1", {PORT}), backlog=4096)
    say("FDSTORE=1\\nFDNAME=scopemon-web", s.fileno())
say("READY=1")
say("FDSTORE=1\\nFDNAME=file", os.open("/proc/self/status", os.O_RDONLY))
while end not in select.select([s, end], [], [])[0]: # whom it has accepted it serves
    c, _ = s.accept()
    c.recv(16)
    c.sendall(b"%d\\n" % os.getpid())
    c.close()
"""


class Clients(threading.Thread):
    """Connect again and again; none is refused or reset."""

    def __init__(self):
        super().__init__()
        self.done, self.served, self.failed = False, 0, []

    def run(self):
        while not self.done or self.served < 1000:
            try:
                with socket.create_connection(("127.0.0.1", PORT), timeout=60) as c:
                    c.sendall(b"x")
                    if not c.recv(16).endswith(b"\n"):
                        raise OSError("no answer")
                self.served += 1
            except OSError as e:
                self.failed.append(str(e))
                if len(self.failed) > 100:
                    return


def expect_store():
    version = int(re.search(r"systemd (\d+)", run("systemctl", "--version")).group(1))
    if version < 254:
        raise Skip(f"systemd {version} closes what it has stored itself")


def listens(unit):
    return [m for m in messages("-u", unit) if m.startswith("listen ")]


def restart_under_load(unit, names):
    run("systemctl", "start", unit)
    until("its first line", lambda: listens(unit))
    check_equal(listens(unit)[0].split()[1], "0", "descriptors at the first start")
    until("a stored descriptor", lambda: show(unit, "NFileDescriptorStore") != "0")
    until("a word about the file", lambda: any("is not stored" in m for m in messages("-u", unit)))
    clients = Clients()
    clients.start()
    for i in range(3):
        run("systemctl", "restart", unit)
        until("another line", lambda i=i: len(listens(unit)) == i + 2)
    clients.done = True
    clients.join()
    note(f"{clients.served} clients, {clients.failed[:3]}")
    check_equal(clients.failed, [], "connections that failed")
    for line in listens(unit)[1:]:
        check_equal(line, f"listen 1 {names} True", "what came back")


@case
def fd_store_of_a_service():
    """In service mode the store is the monitor's, too, and names that look like its own come back as they were."""
    expect_store()
    make_python_bundle(SERVES, io__scopemon__sdnotify="container")
    share_network()
    Unit("baz.service", UNIT.format(bundle=BUNDLE, runtime=shutil.which("runc"), more="FileDescriptorStoreMax=512"))
    restart_under_load("baz.service", "scopemon-web")
    run("systemctl", "stop", "baz.service")
    until("nothing to be left", nothing_left)


def share_network():
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
    with open(f"{BUNDLE}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


@variants("fd_store", of_a_quadlet_unit={"options": ["--cgroups=split"], "more": "Delegate=yes\nKillMode=mixed"},
          of_a_nested_container={"more": "Delegate=yes\nKillMode=mixed"}, of_a_bound_container={})
def fd_store(options=(), more=""):
    """A web server in a unit, such as Quadlet writes: restarted, it refuses no client."""
    expect_store()
    make_python_bundle("")
    command = ["podman", "run", "--name", "baz", "--replace", "--rm", *options, "--sdnotify=container", "-d",
               "--network=host", "-v", "/usr:/usr:ro", "--rootfs", f"{BUNDLE}/rootfs", "python3", "/tmp/serve"]
    with open(f"{BUNDLE}/rootfs/tmp/serve", "w", encoding="utf-8") as f:
        f.write(SERVES)
    unit = Unit("baz.service", f"""[Service]
Type=notify
NotifyAccess=all
{more}
FileDescriptorStoreMax=4
ExecStart=/usr/bin/{quote(*command)}
ExecStop=/usr/bin/podman rm -f -i -t 5 baz
""")
    restart_under_load("baz.service", "scopemon-web")
    unit.stop()
