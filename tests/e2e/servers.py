"""What forwards lead to and where they come from: servers as threads, clients, and a wire between the
master's ssh and sshd that counts."""

import contextlib
import hashlib
import socket
import struct
import threading

from machine import DEADLINE, until

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets


def reset(connection):
    """Closes with a TCP reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.close()


def family_of(where):
    if isinstance(where, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in where[0] else socket.AF_INET


class Server:
    """Listens on a loopback port, or on `path`; each connection is serve()d by a thread of its own."""

    def __init__(self, port=0, path=None, host="127.0.0.1"):
        where = path or (host, port)
        self.listener = socket.socket(family_of(where))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(where)
        self.listener.listen(1024)
        self.port = None if path else self.listener.getsockname()[1]
        self.accepted = 0
        self.open = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                self.open.add(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            self.serve(connection)
        with self.lock:
            self.open.discard(connection)
        connection.close()

    def serve(self, connection):
        raise NotImplementedError

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            connections = list(self.open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Echo(Server):
    """Sends back what comes, and its end after the client's."""

    def serve(self, connection):
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


class Sink(Server):
    """Takes everything, then answers with its length and sha256."""

    def serve(self, connection):
        total, digest = 0, hashlib.sha256()
        while data := connection.recv(1 << 18):
            total += len(data)
            digest.update(data)
        connection.sendall(f"{total} {digest.hexdigest()}\n".encode())
        connection.shutdown(socket.SHUT_WR)


class Speaker(Server):
    """Sends `text` to whoever connects, then ends: who is at the other end?"""

    def __init__(self, text, **where):
        self.text = text.encode()
        super().__init__(**where)

    def serve(self, connection):
        connection.sendall(self.text)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def connect(where, seconds=DEADLINE):
    """A connection to a loopback port, (host, port) or a unix path, as soon as there is one."""
    if isinstance(where, int):
        where = ("127.0.0.1", where)

    def attempt():
        s = socket.socket(family_of(where))
        s.settimeout(seconds)
        try:
            s.connect(where)
            return s
        except (ConnectionRefusedError, FileNotFoundError):
            s.close()
            return None

    return until(attempt, f"listener at {where}", seconds)


def read_all(connection):
    data = bytearray()
    while chunk := connection.recv(1 << 18):
        data += chunk
    return bytes(data)


def read_exactly(connection, length):
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(min(1 << 18, length - len(data)))
        if not chunk:
            raise AssertionError(f"ended after {len(data)} of {length} bytes")
        data += chunk
    return bytes(data)


def exchange(where, data=b"ping"):
    """Sends data, half-closes, and returns what came back until the end."""
    with connect(where) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)


class Wire(Server):
    """A way to a port that counts what passes."""

    def __init__(self, port):
        self.target = port
        self.passed = 0  # bytes, in both directions
        super().__init__()

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.target)) as far:
            with self.lock:
                self.open.add(far)
            back = threading.Thread(target=self._pump, args=[far, connection], daemon=True)
            back.start()
            self._pump(connection, far)
            back.join()
            with self.lock:
                self.open.discard(far)

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
                self.passed += len(data)
            sink.shutdown(socket.SHUT_WR)
