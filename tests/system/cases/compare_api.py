# SPDX-License-Identifier: Apache-2.0
"""Clients of podman system service: what a program sees that talks HTTP, with the stock monitor and with ours."""

import http.client
import json
import os
import socket
import struct

from compare import IMAGE, WAITS, compared
from harness import check, quietly, until

VERSION = "/v4.0.0"


class Client(http.client.HTTPConnection):
    """A connection to the service's socket."""

    def __init__(self, path):
        super().__init__("d", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Service:
    """podman system service for one scenario."""

    def __init__(self, side):
        self.side = side
        self.path = f"{side.runtime_folder}/compare.sock"
        side.spawn("podman", "system", "service", "--time=0", f"unix://{self.path}")
        until("the service", lambda: quietly(self.call, "GET", "/libpod/_ping")[0] == 200)
        side.at_end(lambda: os.path.exists(self.path) and os.unlink(self.path))

    def call(self, method, path, body=None):
        """Status and body of the answer."""
        client = Client(self.path)
        try:
            client.request(method, VERSION + path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"})
            answer = client.getresponse()
            return answer.status, answer.read()
        except OSError as e:
            return 0, str(e).encode()
        finally:
            client.close()

    def see(self, what, method, path, body=None):
        """Record the answer; return its JSON, if it is that."""
        status, text = self.call(method, path, body)
        self.side.see(what, (status, text))
        return json.loads(text) if text.startswith(b"{") else text

    def hijack(self, path, body=None):
        """A connection that has become a stream both ways: its socket, and what came with the head."""
        text = json.dumps(body).encode() if body is not None else b""
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(30)
        stream.connect(self.path)
        stream.sendall(f"POST {VERSION}{path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        head = b""
        while b"\r\n\r\n" not in head:
            more = stream.recv(4096)
            check(more, f"end of stream in the head: {head!r}")
            head += more
        head, rest = head.split(b"\r\n\r\n", 1)
        self.side.see(f"head of {path}", head.split(b"\r\n")[0])
        return stream, rest


def to_end(stream, data):
    while more := stream.recv(65536):
        data += more
    stream.close()
    return data


def frames(data):
    """Frames of a multiplexed stream, joined: stream -> bytes."""
    found = {}
    while data:
        stream, size = struct.unpack(">BxxxL", data[:8])
        found[stream] = found.get(stream, b"") + data[8:8 + size]
        data = data[8 + size:]
    return found


def create(service, script, **more):
    answer = service.call("POST", "/libpod/containers/create",
                          {"name": "baz", "image": IMAGE, "command": ["sh", "-c", script],
                           "netns": {"nsmode": "none"}, **more})
    check(answer[0] == 201, f"create: {answer}")


@compared(rootless=True)
def api_attach(side):
    """create, attach before the start, start, wait, logs, inspect, delete."""
    service = Service(side)
    create(service, "read a; echo got $a; echo err >&2; cat | md5sum; exit 5", stdin=True)
    service.see("init", "POST", "/libpod/containers/baz/init")
    stream, rest = service.hijack("/libpod/containers/baz/attach?stream=1&stdin=1&stdout=1&stderr=1")
    service.see("start", "POST", "/libpod/containers/baz/start")
    stream.sendall(b"hello\n" + b"0123456789abcdef" * 20000)
    stream.shutdown(socket.SHUT_WR)
    side.see("output", frames(to_end(stream, rest)))
    service.see("wait", "POST", "/libpod/containers/baz/wait")
    side.see("logs", [(status, frames(text)) for status, text in
                      [service.call("GET", "/libpod/containers/baz/logs?stdout=1&stderr=1&follow=1")]])
    service.see("start again", "POST", "/libpod/containers/baz/start")
    service.see("stop", "POST", "/libpod/containers/baz/stop?timeout=1")
    service.see("stop again", "POST", "/libpod/containers/baz/stop?timeout=1")
    service.see("delete", "DELETE", "/libpod/containers/baz?force=1")
    service.see("gone", "GET", "/libpod/containers/baz/exists")
    create(service, "no end", command=["no-such-program"])
    service.see("start of no program", "POST", "/libpod/containers/baz/start")


@compared(rootless=True)
def api_exec(side):
    """exec create, start (hijacked, detached, terminal, resize), inspect."""
    service = Service(side)
    create(service, WAITS[2], terminal=True, stdin=True)
    service.see("start", "POST", "/libpod/containers/baz/start")
    side.until_ready()
    for name, script, more in (("plain", "echo out; echo err >&2; exit 7", {}),
                               ("input", "cat; exit 3", {"AttachStdin": True}),
                               ("terminal", "test -t 1 && echo tty; exit 4", {"Tty": True})):
        session = exec_create(service, script, **more)
        stream, rest = service.hijack(f"/libpod/exec/{session}/start", {"Detach": False, "Tty": "Tty" in more})
        if more.get("AttachStdin"):
            stream.sendall(b"typed\n")
            stream.shutdown(socket.SHUT_WR)
        data = to_end(stream, rest)
        side.see(f"{name}: output", data if more.get("Tty") else frames(data))
        see_exec(service, name, session)
    session = exec_create(service, ": >/tmp/made; exit 9")
    side.see("detached", service.call("POST", f"/libpod/exec/{session}/start", {"Detach": True}))
    until("the file", lambda: quietly(side.raw, "podman", "exec", "baz", "test", "-e", "/tmp/made")[0] == 0)
    see_exec(service, "detached", session)
    session = exec_create(service, "", Cmd=["no-such-program"])
    side.see("no program", service.call("POST", f"/libpod/exec/{session}/start", {"Detach": True}))
    service.see("resize", "POST", "/libpod/containers/baz/resize?h=30&w=90")
    service.see("resize of the exited", "POST", f"/libpod/exec/{session}/resize?h=30&w=90")
    side.podman("exec", "baz", "sh", "-c", "stty size </dev/pts/0", what="size")
    service.see("kill", "POST", "/libpod/containers/baz/kill?signal=TERM")
    service.see("wait", "POST", "/libpod/containers/baz/wait")


def exec_create(service, script, **more):
    status, text = service.call("POST", "/libpod/containers/baz/exec", {"AttachStdout": True, "AttachStderr": True,
                                                                         "Cmd": ["sh", "-c", script], **more})
    check(status == 201, f"exec: {status} {text}")
    return json.loads(text)["Id"]


def see_exec(service, name, session):
    """Record the end of SESSION. Podman 4.3 forgets a detached one at once."""
    def ended():
        status, text = service.call("GET", f"/libpod/exec/{session}/json")
        if status != 200:
            return {"gone": True}
        seen = json.loads(text)
        return not seen["Running"] and {k: seen[k] for k in ("ExitCode", "CanRemove", "OpenStdin")}
    service.side.see(f"{name}: inspect", until(f"the end of exec {name}", ended))
