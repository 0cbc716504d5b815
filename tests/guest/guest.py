"""A client of the guest protocol, written from its description alone.

    with guest.connect() as c:
        c.ask("Ping")                       one request, its answer
    guest.ask("Exec", command="true")       the same on a connection of its own

A Guest is reached over one of three ways: a unix socket for each port, a hybrid vsock socket (one for all
ports), or AF_VSOCK. Whatever is awaited has a deadline; what does not come by then raises Missing."""

import base64
import json
import os
import select
import shlex
import socket
import struct
import time

GUEST_PORT = 5000
RELAY_PORT = 5001
FRAME_LIMIT = 16 << 20  # bytes of payload on a guest connection
STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 1 << 18  # bytes received at once
CODES = {"NotFound", "PermissionDenied", "Timeout", "IoError", "InvalidRequest", "Internal"}
DEADLINE = float(os.environ.get("GUEST_DEADLINE", "30"))  # seconds until what should come is missing


class Missing(AssertionError):
    """What was awaited did not come."""


def until(true, what, seconds=None):
    """Asks `true` again and again; its first true value."""
    limit = time.monotonic() + (seconds or DEADLINE)
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > limit:
            raise Missing(f"no {what} within {seconds or DEADLINE:g} s")
        select.select([], [], [], 0.02)


def base64_of(data):
    return base64.b64encode(data).decode()


def message(type, **fields):
    return json.dumps({"type": type, **fields}).encode()


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def data_frame(channel, data=b""):
    return frame(bytes([channel]) + data)


def is_message(payload):
    return payload[:1] == b"{"


class Connection:
    """One connection; closed with the `with` block."""

    def __init__(self, sock, seconds=None, half_closes=True):
        self.sock = sock
        self.half_closes = half_closes
        sock.settimeout(seconds or DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # ---- out ----

    def send(self, data):
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise Missing("nobody takes what is sent") from None

    def send_frame(self, payload):
        self.send(frame(payload))

    def request(self, type, **fields):
        self.send_frame(message(type, **fields))

    def end_input(self):
        self.sock.shutdown(socket.SHUT_WR)

    # ---- in ----

    def receive(self, most=PIECE):
        """What there is, at least a byte; b"" at the end."""
        try:
            return self.sock.recv(most)
        except TimeoutError:
            raise Missing("nothing comes") from None

    def read(self, size):
        parts, left = [], size
        while left:
            part = self.receive(min(left, PIECE))
            if not part:
                raise Missing(f"the end came {left} bytes too early, of {size}")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def skip(self, size):
        """The same, of bytes that all have to be zero."""
        buffer = bytearray(PIECE)
        zeros = memoryview(bytes(PIECE))
        while size:
            try:
                got = self.sock.recv_into(buffer, min(size, PIECE))
            except TimeoutError:
                raise Missing("nothing comes") from None
            if not got:
                raise Missing(f"the end came {size} bytes too early")
            if not buffer.startswith(zeros[:got]):
                raise AssertionError("bytes that are not zero")
            size -= got

    def read_frame(self):
        """A payload, or None at the end."""
        first = self.receive(1)
        if not first:
            return None
        size = struct.unpack(">I", first + self.read(3))[0]
        if not 1 <= size <= FRAME_LIMIT:
            raise AssertionError(f"a frame of {size} bytes")
        return self.read(size)

    def answer(self):
        payload = self.read_frame()
        if payload is None:
            raise Missing("the end came in place of an answer")
        if not is_message(payload):
            raise AssertionError(f"data in place of an answer: {payload[:80]!r}")
        return json.loads(payload)

    def ask(self, type, **fields):
        self.request(type, **fields)
        return self.answer()

    def rest(self):
        """All that comes until the end; a reset is an end, too."""
        parts = []
        while True:
            try:
                part = self.receive()
            except ConnectionResetError:
                part = b""
            if not part:
                return b"".join(parts)
            parts.append(part)

    def end(self):
        """Nothing more, and the end, where a side's end is passed on by itself."""
        if self.half_closes:
            data = self.rest()
            if data:
                raise AssertionError(f"more than there should be: {data[:80]!r}")

    def body(self, size):
        data = self.read(size)
        self.end()
        return data

    def waits(self):
        """Whether there is nothing to be read yet, not even the end."""
        return not select.select([self.sock], [], [], 0)[0]


# ---- ways ----

def unix_socket(path):
    """Connected; where too many wait already, it waits its turn, which it would not if it had Python's timeout."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(DEADLINE), 0))
    sock.connect(path)
    sock.settimeout(DEADLINE)
    return sock


def unix_way(guest_path, relay_path=None):
    paths = {GUEST_PORT: guest_path, RELAY_PORT: relay_path}

    return lambda port: unix_socket(paths[port])


def hybrid_way(path):
    def connect(port):
        sock = unix_socket(path)
        sock.sendall(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            byte = sock.recv(1)
            if not byte or len(line) > 32:
                sock.close()
                raise ConnectionRefusedError(f"{path}: CONNECT {port} was answered by {line!r}")
            line += byte
        if not line.startswith(b"OK ") or not line[3:-1].isdigit():
            sock.close()
            raise ConnectionRefusedError(f"{path}: CONNECT {port} was answered by {line!r}")
        return sock

    return connect


def vsock_way(cid):
    def connect(port):
        sock = socket.socket(socket.AF_VSOCK)
        sock.settimeout(DEADLINE)
        sock.connect((cid, port))
        return sock

    return connect


class Guest:
    """An agent that can be reached."""

    def __init__(self, way, half_closes=True):
        self.way = way
        self.half_closes = half_closes

    def connect(self, port=GUEST_PORT, seconds=None):
        return Connection(self.way(port), seconds, self.half_closes)

    def ask(self, type, *, port=GUEST_PORT, **fields):
        with self.connect(port) as c:
            return c.ask(type, **fields)

    # ---- what the tests need of it to look around ----

    def sh(self, script, **fields):
        """What the script prints; it has to succeed."""
        result = self.ask("Exec", command=script, **fields)
        if result.get("exit_code") != 0:
            raise AssertionError(f"{script}: {json.dumps(result)[:2000]}")
        return result["stdout"]

    def gone(self, *pids):
        """Whether none of them runs. One that nobody has waited for does not run."""
        script = "".join(f"sed 's/.*) //' /proc/{int(pid)}/stat 2>/dev/null | cut -c 1; " for pid in pids)
        return not set(self.sh(script + "true").split()) - {"Z", "X"}

    def get(self, path):
        with self.connect() as c:
            info = c.ask("FileGet", path=path)
            if info["type"] != "FileInfo":
                raise AssertionError(f"{path}: {info}")
            return c.body(info["size"])

    def put(self, path, data, **fields):
        with self.connect() as c:
            c.request("FilePut", path=path, size=len(data), **fields)
            c.send(data)
            answer = c.answer()
        if answer != {"type": "Ok"}:
            raise AssertionError(f"{path}: {answer}")

    def exists(self, path):
        return self.sh(f"[ ! -e {shlex.quote(path)} ] || echo yes") != ""

    def memory(self, reset=False):
        """Peak of the agent's resident memory in bytes, since the last reset."""
        script = "echo 5 >/proc/$PPID/clear_refs; " if reset else ""
        lines = self.sh(script + "cat /proc/$PPID/status").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
