"""A SOCKS5 client, as RFC 1928 has it."""

import socket

from servers import connect, read_exactly


class Socks:
    """A connection to a proxy on a loopback port, greeted."""

    def __init__(self, port):
        self.socket = connect(port)
        self.socket.sendall(b"\5\1\0")
        self.greeting = read_exactly(self.socket, 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _send(self, address, port, command):
        self.socket.sendall(bytes([5, command, 0]) + address + port.to_bytes(2, "big"))

    def send_v4(self, address, port, command=1):
        self._send(b"\1" + socket.inet_aton(address), port, command)

    def send_v6(self, address, port, command=1):
        self._send(b"\4" + socket.inet_pton(socket.AF_INET6, address), port, command)

    def send_name(self, name, port, command=1):
        self._send(b"\3" + bytes([len(name)]) + name.encode(), port, command)

    def reply(self):
        """Its code."""
        head = read_exactly(self.socket, 4)
        read_exactly(self.socket, {1: 4, 4: 16}[head[3]] + 2)
        return head[1]

    def ask_v4(self, *request, **more):
        self.send_v4(*request, **more)
        return self.reply()

    def ask_v6(self, *request, **more):
        self.send_v6(*request, **more)
        return self.reply()

    def ask_name(self, *request, **more):
        self.send_name(*request, **more)
        return self.reply()
