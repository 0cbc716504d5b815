"""What one user, or one stranger, cannot take from all others: memory, descriptors, devices."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from broker import Broker
from harness import *


class Waiting:
    """A request whose client reads nothing until reply()."""

    def __init__(self, broker, token, body, fields=()):
        data = json.dumps(body).encode()
        lines = ["POST /api/exec HTTP/1.1", f"Host: 127.0.0.1:{broker.port}", f"Authorization: Bearer {token}",
                 f"Content-Length: {len(data)}", *fields, "", ""]
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", broker.port))
        self.socket.sendall("\r\n".join(lines).encode() + data)

    def reply(self):
        with self.socket, http.client.HTTPResponse(self.socket) as response:
            response.begin()
            return response.status, response.read()


class Memory(TestCase):
    MACHINES = 4  # each agent keeps 64 MiB of output
    CALLS = 64
    LOUD = "head -c 2000000 /dev/zero | tr '\\0' x; head -c 2000000 /dev/zero | tr '\\0' y >&2"

    def begin(self, command, *fields):
        self.broker = Broker(self, "--limit", "none")
        ann = self.broker.user("ann")
        for i in range(self.MACHINES):
            self.broker.machine(ann, f"m{i}")
        return [Waiting(self.broker, ann, {"command": command, "agent": f"m{i % self.MACHINES}"}, fields)
                for i in range(self.CALLS)]

    def settled(self):
        """What the broker holds once that has not grown for a while."""
        most, still = 0, 0
        while still < 20:
            time.sleep(0.1)
            now = self.broker.memory()
            most, still = max(most, now), 0 if now > most else still + 1
        return most

    def test_answers_that_nobody_reads(self):
        """Not all at once: the rest waits, and nothing of it is missing when it comes."""
        waiting = self.begin(self.LOUD)
        self.assertLess(self.settled(), 128 << 20)
        with ThreadPoolExecutor(len(waiting)) as readers:
            replies = list(readers.map(Waiting.reply, waiting))
        for status, body in replies:
            self.assertEqual(status, 200)
            answer = json.loads(body)
            self.assertEqual((len(answer["stdout"]), len(answer["stderr"])), (2000000, 2000000))
        self.assertLess(self.broker.memory(), 32 << 20)

    def test_events_that_nobody_reads(self):
        size = 16 << 20  # more than the kernel takes for each
        waiting = self.begin(f"head -c {size} /dev/zero | tr '\\0' x", "Accept: text/event-stream")
        self.assertLess(self.settled(), 48 << 20)
        for each in waiting[:4]:
            status, body = each.reply()
            self.assertEqual(status, 200)
            self.assertEqual((body.count(b"x") >= size, b"event: exit\n" in body), (True, True))
