"""A WebSocket's client (RFC 6455), which reads only when told to."""

import base64
import hashlib
import os
import re
import socket
import struct

from machine import DEADLINE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body!r}")
        self.status, self.body = status, body


class Closed(Exception):
    """`code` is None where there was no close frame."""

    def __init__(self, code, reason=""):
        super().__init__(f"{code} {reason}")
        self.code = code


class WebSocket:
    def __init__(self, port, target, fields=None, receive_buffer=None):
        self.rest = b""
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16))
        lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}",
                 *(f"{name}: {value}" for name, value in (fields or {}).items())]
        self.socket.sendall("".join(line + "\r\n" for line in (*lines, "")).encode())
        self._handshake(base64.b64encode(hashlib.sha1(key + GUID).digest()).decode())

    def _handshake(self, accept):
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 101:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = self._take(int(length.group(1)))
            self.socket.close()
            raise Refused(status, body)
        assert f"Sec-WebSocket-Accept: {accept}".encode() in head, head

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Closed(None)
        self.rest += data

    def _take(self, count):
        while len(self.rest) < count:
            self._more()
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def _frame(self):
        first, length = self._take(2)
        assert first & 0x80 and not length & 0x80, "whole messages, unmasked, are what a server sends"
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        return first & 15, self._take(length)

    def receive(self):
        """The next message: str or bytes."""
        while True:
            opcode, payload = self._frame()
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode == CLOSE:
                self.socket.close()
                raise Closed(int.from_bytes(payload[:2], "big") if payload else 1005, payload[2:].decode())
            elif opcode != PONG:
                return payload.decode() if opcode == TEXT else payload

    def send_frame(self, opcode, payload):
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        self.socket.sendall(head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big"))

    def send(self, message):
        self.send_frame(TEXT if isinstance(message, str) else BINARY,
                        message.encode() if isinstance(message, str) else message)

    def close(self, code=1000):
        """Says so, and waits for the answer."""
        self.send_frame(CLOSE, struct.pack("!H", code))
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed.code

    def drop(self):
        """As a client's crash."""
        self.socket.close()
