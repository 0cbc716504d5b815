"""UDP: servers as threads, and senders that ask until they are answered, as UDP wants it."""

import contextlib
import random
import socket
import threading

from machine import DEADLINE, Missing, until

AGAIN = 0.5  # seconds until a datagram that was not answered is sent once more
LOOK = 0.05  # seconds from one look to the next, whether it is to end
BUFFER = 4 << 20


def udp_socket(host="127.0.0.1", port=0):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    s.bind((host, port))
    return s


def free_udp_port(host="127.0.0.1"):
    """One that no socket is given by chance."""
    while True:
        port = random.randrange(10000, 30000)
        with contextlib.suppress(OSError), udp_socket(host, port):
            return port


class UdpServer:
    """Answers each datagram by reply(data, sender), None by nothing; `senders` are those it heard of."""

    def __init__(self, host="127.0.0.1", port=0):
        self.socket = udp_socket(host, port)
        self.socket.settimeout(LOOK)
        self.port = self.socket.getsockname()[1]
        self.senders = []
        self.closed = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.closed:
            with contextlib.suppress(OSError):
                data, sender = self.socket.recvfrom(65535)
                if sender not in self.senders:
                    self.senders.append(sender)
                answer = self.reply(data, sender)
                if answer is not None:
                    self.socket.sendto(answer, sender)

    def reply(self, data, sender):
        return data

    def close(self):
        """Not while the thread reads: the number may be another socket's then."""
        self.closed = True
        self.thread.join()
        self.socket.close()


class Sender:
    """One address that speaks to a port."""

    def __init__(self, port, host="127.0.0.1", at=None):
        self.socket = udp_socket(at or ("::1" if ":" in host else "127.0.0.1"))
        self.socket.connect((host, port))

    def send(self, data):
        with contextlib.suppress(ConnectionRefusedError):
            self.socket.send(data)

    def receive(self, seconds=DEADLINE):
        """The next datagram; None: none came."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def ask(self, data, seconds=DEADLINE):
        """Sends until an answer comes."""
        def attempt():
            self.send(data)
            answer = self.receive(AGAIN)
            return None if answer is None else (answer,)

        return until(attempt, f"answer to {len(data)} bytes", seconds)[0]

    def ask_for(self, data, wanted, seconds=DEADLINE):
        """The same, where answers to what was asked before may come first."""
        return until(lambda: self.ask(data) == wanted, f"answer {wanted[:40]}", seconds)

    def drain(self):
        while self.receive(0.01) is not None:
            pass

    def close(self):
        self.socket.close()


def await_quiet(sender, seconds=1):
    """Nothing comes."""
    data = sender.receive(seconds)
    if data is not None:
        raise Missing(f"{len(data)} bytes came that nobody should have sent")
