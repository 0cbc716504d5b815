"""Connections that do not get on with it: closed after a while, all waited for at once."""

import struct

from guest import frame, message
from harness import DEADLINE, RELAY_PORT, TestCase

PATIENCE = DEADLINE + 75  # the agent's own is 30 s, and as much again until it closes for good


class Idle(TestCase):
    def test_closed_after_a_while(self):
        ping = frame(message("Ping"))
        sent = {"nothing": b"", "half a length": b"\0\0", "a length": struct.pack(">I", 100), "half": ping[:-1],
                "the beginning of much": struct.pack(">I", 16 << 20) + b'{"type":"' + b"x" * 100_000,
                "a Ping": ping, "a Ping and a half": ping + ping[:9]}
        waiting = {}
        for name, data in sent.items():
            for port in (5000, RELAY_PORT):
                c = waiting[f"{name}, {port}"] = self.connect(port, seconds=PATIENCE)
                c.send(data)
        for name, c in waiting.items():
            with self.subTest(name):
                if "Ping" in name:
                    self.assertEqual(c.answer()["type"], "Pong")
                payload = c.read_frame()
                if payload is not None:
                    self.assertIn(b'"Error"', payload)
                    self.assertEqual(c.rest(), b"")
        self.assertAlive()
