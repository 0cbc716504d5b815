"""Connections that do not get on with it: closed after a while, all waited for at once."""

import struct
import time

from guest import frame, message
from harness import DEADLINE, GUEST_PORT, RELAY_PORT, TestCase

PATIENCE = DEADLINE + 75  # the agent's own is 30 s, and as much again until it closes for good


PING = frame(message("Ping"))
SENT = {"nothing": b"", "half a length": b"\0\0", "a length": struct.pack(">I", 100), "half": PING[:-1],
        "the beginning of much": struct.pack(">I", 16 << 20) + b'{"type":"' + b"x" * 100_000,
        "a Ping": PING, "a Ping and a half": PING + PING[:9]}

_waiting = {}


def begin(guest):
    for name, data in SENT.items():
        for port in (GUEST_PORT, RELAY_PORT):
            c = _waiting[f"{name}, {port}"] = guest.connect(port)
            c.send(data)


def early(world):
    """Where there can be an agent for this alone, it waits while the other tests are run."""
    if world.way == "unix":
        begin(world.agent())


class Idle(TestCase):
    def test_closed_after_a_while(self):
        if not _waiting:
            begin(self.guest)
        limit = time.monotonic() + PATIENCE
        for name, c in _waiting.items():
            with self.subTest(name), c:
                c.sock.settimeout(max(1, limit - time.monotonic()))
                if "Ping" in name:
                    self.assertEqual(c.answer()["type"], "Pong")
                payload = c.read_frame()
                if payload is not None:
                    self.assertIn(b'"Error"', payload)
                    self.assertEqual(c.rest(), b"")
        self.assertAlive()
