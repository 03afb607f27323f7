# SPDX-License-Identifier: Apache-2.0
"""Exec sessions by Podman's API, as health probes and CI jobs make them: nothing of them stays but their exit codes."""

import http.client
import json
import os
import socket

from harness import MONITOR, Unit, case, check, check_equal, exe_of, pids, podman, until

SOCKET = "/run/exec-sessions.sock"
COUNT = 60


class Client(http.client.HTTPConnection):
    """A connection to podman system service."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(SOCKET)


def call(method, path, body=None):
    client = Client("d")
    client.request(method, f"/v4.0.0/libpod{path}", json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    answer = client.getresponse()
    text = answer.read()
    client.close()
    check(answer.status < 400, f"{method} {path}: {answer.status} {text}")
    return json.loads(text) if text.startswith(b"{") else text


def is_there():
    try:
        return call("GET", "/_ping")
    except OSError:
        return None


def run_session(name, script):
    session = call("POST", f"/containers/{name}/exec", {"Cmd": ["sh", "-c", script], "AttachStdout": True})["Id"]
    call("POST", f"/exec/{session}/start", {"Detach": True})
    return session


def exit_code(session):
    seen = call("GET", f"/exec/{session}/json")
    return None if seen["Running"] else seen["ExitCode"]


def of_session(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return exe_of(pid) == MONITOR and b"-e" in f.read().split(b"\0")
    except OSError:
        return False


def of_sessions():
    """Monitors of exec sessions, and what waits to become their exit commands."""
    return [p for p in pids() if of_session(p)]


@case
def exec_sessions_leave_no_process():
    """Exit codes are there meanwhile, and what Podman wants to be done later is done by the container's monitor."""
    Unit("api.service", f"[Service]\nExecStart=/usr/bin/podman system service --time=0 unix://{SOCKET}\n").start()
    until("the service", is_there)
    podman("run", "-d", "--name", "box", "--network=none", "localhost/alpine", "sleep", "1000")
    sessions = [run_session("box", f"exit {i % 7}") for i in range(COUNT)]
    # Podman 4.3 takes a detached session for running until its exit command has run.
    known = not podman("--version").split()[-1].startswith("4.")
    for i, session in enumerate(sessions if known else []):
        until("an exit code", lambda session=session, i=i: exit_code(session) == i % 7)
    until("no process of a session", lambda: not of_sessions(), within=10)
    (place,) = [f"/run/scopemon/{n}" for n in os.listdir("/run/scopemon") if n.endswith(".due")]
    check_equal(len(os.listdir(place)), COUNT, "commands that wait")
    check(not known or exit_code(sessions[0]) == 0, "an exit code later")
    podman("rm", "-f", "-t", "0", "box")
    until("nothing to wait", lambda: not [n for n in os.listdir("/run/scopemon") if n.endswith((".due", ".given"))])
