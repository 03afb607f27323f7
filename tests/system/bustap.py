# SPDX-License-Identifier: Apache-2.0
"""Who calls systemd? BusTap takes the place of the bus sockets and passes everything on.

The caller's program is asked of the kernel when it connects, so no call can be missed by a client
that is gone when somebody looks.
"""

import array
import os
import socket
import struct
import threading
from collections import namedtuple

Call = namedtuple("Call", "program pid destination interface member")
SOCKETS = ["/run/dbus/system_bus_socket", "/run/systemd/private"]


class BusTap:
    """with BusTap() as tap: ...; tap.calls has the method calls that clients made meanwhile."""

    def __init__(self):
        self.calls = []
        self.listeners = []

    def __enter__(self):
        for path in SOCKETS:
            os.rename(path, path + ".real")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            os.chmod(path, 0o666)
            listener.listen(64)
            self.listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, path + ".real"), daemon=True).start()
        return self

    def __exit__(self, *_):
        for path in SOCKETS:
            os.rename(path + ".real", path)
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)

    def of(self, program):
        """The calls to systemd that processes running PROGRAM made."""
        return [c for c in self.calls if c.program == program and c.destination != "org.freedesktop.DBus"]

    def _accept(self, listener, real):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            try:
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                program = "?"
            server = socket.socket(socket.AF_UNIX)
            server.connect(real)
            parser = Parser(lambda *call, who=(program, pid): self.calls.append(Call(*who, *call)))
            threading.Thread(target=_pump, args=(client, server, parser.feed), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, lambda data: None), daemon=True).start()


def _pump(source, sink, look):
    """Pass bytes and descriptors from SOURCE to SINK until the end, and let LOOK see the bytes."""
    while True:
        fds = array.array("i")
        try:
            data, ancillary, _, _ = source.recvmsg(65536, socket.CMSG_SPACE(64 * fds.itemsize))
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            look(data)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
            sent = sink.sendmsg([data], rights)
            sink.sendall(data[sent:])
        except OSError:
            return
        finally:
            for fd in fds:
                os.close(fd)


class Parser:
    """Finds the method calls in what a client sends: authentication in lines, then messages."""

    PATH, INTERFACE, MEMBER, DESTINATION = 1, 2, 3, 6

    def __init__(self, on_call):
        self.on_call = on_call
        self.buffer = b""
        self.authenticated = False

    def feed(self, data):
        self.buffer += data
        if not self.authenticated:
            _, begin, rest = self.buffer.partition(b"BEGIN\r\n")
            if not begin:
                return
            self.authenticated, self.buffer = True, rest
        while self._message():
            pass

    def _message(self):
        if len(self.buffer) < 16:
            return False
        order = "<" if self.buffer[:1] == b"l" else ">"
        kind = self.buffer[1]
        body, _, fields = struct.unpack_from(order + "III", self.buffer, 4)
        whole = (16 + fields + 7) // 8 * 8 + body
        if len(self.buffer) < whole:
            return False
        if kind == 1:
            found = self._fields(order, self.buffer[16:16 + fields])
            self.on_call(*(found.get(f, "") for f in (self.DESTINATION, self.INTERFACE, self.MEMBER)))
        self.buffer = self.buffer[whole:]
        return True

    @staticmethod
    def _fields(order, data):
        found, at = {}, 0
        while at < len(data):
            at = (at + 7) // 8 * 8
            code, signature = data[at], data[at + 2:at + 3]
            at += 4 # code, length and text of a signature of one letter, NUL
            if signature in (b"s", b"o"):
                at = (at + 3) // 4 * 4
                size = struct.unpack_from(order + "I", data, at)[0]
                found[code] = data[at + 4:at + 4 + size].decode()
                at += 4 + size + 1
            elif signature == b"g":
                at += 1 + data[at] + 1
            else:
                at = (at + 3) // 4 * 4 + 4
        return found
