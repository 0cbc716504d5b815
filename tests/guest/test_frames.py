"""Frames, and many requests on a connection."""

import struct

from guest import data_frame, frame, message
from harness import FRAME_LIMIT, TestCase

PINGS = 200


class Requests(TestCase):
    def test_ping(self):
        answer = self.ask("Ping")
        self.assertShape(answer, "Pong", {"version", "uptime_secs"})
        self.assertIsInstance(answer["version"], str)
        self.assertNotEqual(answer["version"], "")
        self.assertNumber(answer["uptime_secs"])

    def test_one_after_the_other(self):
        with self.connect() as c:
            for i in range(PINGS):
                self.assertEqual(c.ask("Ping")["type"], "Pong")
                if i % 50 == 0:
                    self.assertEqual(c.ask("Exec", command=f"echo {i}")["stdout"], f"{i}\n")
                    self.assertError(c.ask("FileRead", path=self.path("missing")), "NotFound")

    def test_pipelined(self):
        with self.connect() as c:
            asked = []
            for i in range(20):
                asked += [message("Exec", command=f"echo {i}"), message("Ping"), message("FileRead", path="/none")]
            c.send(b"".join(map(frame, asked)))
            for i in range(20):
                self.assertEqual(c.answer()["stdout"], f"{i}\n")
                self.assertEqual(c.answer()["type"], "Pong")
                self.assertError(c.answer(), "NotFound")
            self.assertTrue(c.waits(), "an answer too many")

    def test_the_next_waits_for_the_one_before(self):
        with self.connect() as c:
            self.sh(f"mkfifo {self.dir}/gate")
            c.send(frame(message("Exec", command=f"cat {self.dir}/gate")) + frame(message("Ping")))
            for _ in range(20):
                self.assertAlive()
            self.assertTrue(c.waits(), "answered out of order")
            self.sh(f"echo open >{self.dir}/gate")
            self.assertEqual(c.answer()["stdout"], "open\n")
            self.assertEqual(c.answer()["type"], "Pong")

    def test_the_last_takes_the_connection(self):
        """After requests of the other kind, and with bytes that came early."""
        path = self.path("new")
        with self.connect() as c:
            self.assertEqual(c.ask("Ping")["type"], "Pong")
            c.send(frame(message("Ping")) + frame(message("FilePut", path=path, size=4)) + b"data")
            self.assertEqual(c.answer()["type"], "Pong")
            self.assertOk(c.answer())
            c.end()
        with self.connect() as c:
            c.send(frame(message("Ping")) + frame(message("FileGet", path=path)) + frame(message("Ping")))
            self.assertEqual(c.answer()["type"], "Pong")
            self.assertEqual(c.answer()["type"], "FileInfo")
            self.assertEqual(c.body(4), b"data")

    def test_byte_by_byte(self):
        with self.connect() as c:
            for byte in frame(message("Exec", command="echo slow")):
                c.send(bytes([byte]))
            self.assertEqual(c.answer()["stdout"], "slow\n")

    def test_end_after_the_request(self):
        """A request that takes no time is indifferent to it."""
        with self.connect() as c:
            c.request("Ping")
            c.end_input()
            self.assertEqual(c.answer()["type"], "Pong")
            self.assertEqual(c.rest(), b"")

    def test_end_without_a_request(self):
        with self.connect() as c:
            self.assertEqual(c.ask("Ping")["type"], "Pong")
            c.end_input()
            self.assertEqual(c.rest(), b"")

    def test_unknown_fields_and_null(self):
        self.assertEqual(self.ask("Ping", more={"a": [1, None]}, type2="Exec")["type"], "Pong")
        answer = self.ask("Exec", command="echo it", args=None, env=None, workdir=None, timeout_secs=None, x=None)
        self.assertEqual(answer["stdout"], "it\n")

    def test_json_as_it_may_be(self):
        """Spaces, escapes, another order."""
        with self.connect() as c:
            c.send_frame(b'{ "command" : "echo \\u00e9\\ud83d\\ude00\\/",\r\n\t"type":"\\u0045xec" }')
            self.assertEqual(c.answer()["stdout"], "\u00e9\U0001f600/\n")

    def test_largest_frame(self):
        """The limit is 16 MiB on a guest's connections."""
        text = message("Ping", fill="")
        text = message("Ping", fill="x" * (FRAME_LIMIT - len(text)))
        self.assertEqual(len(text), FRAME_LIMIT)
        with self.connect() as c:
            for _ in range(2):
                c.send_frame(text)
                self.assertEqual(c.answer()["type"], "Pong")


class Refusals(TestCase):
    """One Error, then the connection is closed; others do not notice."""

    def tearDown(self):
        self.assertAlive()

    def refused(self, payload):
        with self.subTest(payload=payload[:60]), self.connect() as c:
            c.send_frame(payload)
            self.assertEnds(c)

    def test_unknown_type(self):
        self.refused(message("Teleport"))
        self.refused(message("ping"))
        self.refused(message(""))

    def test_unknown_type_later(self):
        with self.connect() as c:
            c.send(frame(message("Ping")) + frame(message("Teleport")) + frame(message("Ping")))
            self.assertEqual(c.answer()["type"], "Pong")
            self.assertEnds(c)

    def test_no_request(self):
        """Types that mean something elsewhere."""
        for type in ("Pong", "Ok", "Error", "Hello", "Listen", "Attach", "Stop", "Resize", "Started"):
            with self.subTest(type):
                self.fails(type, "InvalidRequest")

    def test_only_on_the_relay_port(self):
        self.fails("TeamMessage", "InvalidRequest", to="a", content="b")

    def test_bad_json(self):
        for text in (b"{", b"{}", b'{"type"}', b'{"type":7}', b'{"type":null}', b'{"type":["Ping"]}',
                     b'{"type":"Ping"', b'{"type":"Ping"}}', b'{"type":"Ping"} {"type":"Ping"}',
                     b"{'type':'Ping'}", b'{"type":"Ping",}', b'{"type":"Ping","a":NaN}',
                     b'{"type":"Ping","a":"\xff\xfe"}', b'{"type":"Ping","a":"\\ud800"}', b'{"type":"Ping\x00"}'):
            self.refused(text)

    def test_no_message(self):
        for text in (b'[{"type":"Ping"}]', b'"Ping"', b"\x00", b"\x01data", b"GET / HTTP/1.1",
                     b' {"type":"Ping"}', b'\n{"type":"Ping"}', b'\xef\xbb\xbf{"type":"Ping"}'):
            self.refused(text)

    def test_deep_json(self):
        deep = b'{"type":"Ping","a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
        with self.connect() as c:
            c.send_frame(deep)
            self.assertIn(c.answer()["type"], ("Pong", "Error"))

    def test_empty_frame(self):
        with self.connect() as c:
            c.send_frame(b"")
            self.assertEnds(c)
        with self.connect() as c:
            c.send(data_frame(0))  # its first byte is no brace
            self.assertEnds(c)

    def test_over_the_limit(self):
        for size in (FRAME_LIMIT + 1, 1 << 31, (1 << 32) - 1):
            with self.subTest(size=size), self.connect() as c:
                c.send(struct.pack(">I", size))
                self.assertEnds(c)

    def test_a_length_costs_nothing(self):
        """Memory is taken for what has come, not for what was announced."""
        self.guest.memory(reset=True)
        before = self.guest.memory()
        waiting = [self.connect() for _ in range(50)]
        for c in waiting:
            c.send(struct.pack(">I", FRAME_LIMIT) + b'{"type"')
        self.assertLess(self.guest.memory() - before, 32 << 20)
        for c in waiting:
            c.close()

    def test_cut_short(self):
        whole = frame(message("Ping"))
        for size in (1, 3, 4, 5, len(whole) - 1):
            with self.subTest(size=size), self.connect() as c:
                c.send(whole[:size])
                c.end_input()
                payload = c.read_frame()
                if payload is not None:
                    self.assertIn(b'"Error"', payload)
                    self.assertEqual(c.rest(), b"")

    def test_gone_at_once(self):
        for sent in (b"", b"\0", frame(message("Ping")), frame(message("Exec", command="echo x")) * 3):
            for _ in range(10):
                with self.connect() as c:
                    c.send(sent)
