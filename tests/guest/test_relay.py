"""The relay's port: Ping and TeamMessage, and nothing else."""

from guest import base64_of, message
from harness import RELAY_PORT, TestCase


class Relay(TestCase):
    def test_ping(self):
        answer = self.ask("Ping", port=RELAY_PORT)
        self.assertShape(answer, "Pong", {"version", "uptime_secs"})

    def test_message(self):
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="worker", content="hello"))
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="*", content="", message_type="text",
                               **{"from": "lead", "message_id": "m1"}))
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="worker", content="\u00e9 \U0001f600\n",
                               message_type="anything"))

    def test_message_without_its_fields(self):
        for fields in ({}, {"to": "x"}, {"content": "x"}, {"to": 1, "content": "x"}, {"to": "x", "content": 1},
                       {"to": "x", "content": "x", "message_type": 1}, {"to": "x", "content": "x", "from": []},
                       {"to": "x", "content": "x", "message_id": 7}):
            with self.subTest(fields):
                self.fails("TeamMessage", "InvalidRequest", port=RELAY_PORT, **fields)

    def test_many_on_a_connection(self):
        with self.connect(RELAY_PORT) as c:
            for i in range(100):
                self.assertOk(c.ask("TeamMessage", to="w", content=f"text {i}"))
                self.assertEqual(c.ask("Ping")["type"], "Pong")

    def test_large_message(self):
        self.assertOk(self.ask("TeamMessage", port=RELAY_PORT, to="w", content="x" * (8 << 20)))

    def test_nothing_else(self):
        path = self.path("made")
        requests = {
            "Exec": {"command": f"touch {path}"}, "ExecStream": {"command": f"touch {path}"},
            "ExecBackground": {"command": f"touch {path}"}, "ExecPoll": {"job_id": 1}, "ExecKill": {"job_id": 1},
            "FileRead": {"path": "/etc/passwd"}, "FileGet": {"path": "/etc/passwd"},
            "FileDownload": {"guest_path": "/etc/passwd"}, "FilePut": {"path": path, "size": 0},
            "FileWrite": {"path": path, "content": base64_of(b"x")},
            "FileUpload": {"guest_path": path, "data": base64_of(b"x")}, "ListDir": {"path": "/"},
            "EditFile": {"path": "/etc/passwd", "old_string": "a", "new_string": "a"}, "SetEnv": {"vars": {}},
            "Dial": {"target": "localhost:1"}, "Sync": {}, "PollDaemonResults": {},
        }
        if self.world.way != "unix":  # an agent that did them would do them to this machine
            requests |= {"Shutdown": {}, "SetHostname": {"hostname": "relayed"},
                         "ConfigureNetwork": {"ip_address": "192.0.2.1", "gateway": "192.0.2.2"},
                         "ConfigureWorkspace": {"ip_address": "192.0.2.1", "gateway": "192.0.2.2", "hostname": "x"}}
        for type, fields in requests.items():
            with self.subTest(type):
                self.fails(type, "InvalidRequest", port=RELAY_PORT, **fields)
        self.assertFalse(self.guest.exists(path))

    def test_bad_frames(self):
        for payload in (b"", b"\0data", b"{", message("Teleport")):
            with self.subTest(payload), self.connect(RELAY_PORT) as c:
                c.send_frame(payload)
                self.assertEnds(c)
