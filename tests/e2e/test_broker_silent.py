"""Who says nothing while their connection lives: an agent on one of its streams, a client in the middle of a body.
All of them at once, as it takes a minute to be sure of one."""

import http.client
import json
import os
import socket
import struct
import threading

from bridge_peer import Key, Peer, message
from broker import Broker
from harness import *
from websocket import CLOSE, WebSocket

MINUTES = 4 * 60  # by when all of it is over, whatever the machine does besides
LARGE = 1 << 30


class Silent(Peer):
    """Answers pings, and of requests as little as they say: by the path or the command."""

    FIRST = {
        "half": message("FileInfo", size=1000, mode=0o600, mtime=0) + b"some",
        "begun": message("Started", pid=1),
    }

    def __init__(self, broker):
        super().__init__(broker)
        self.asked = set()

    def live(self):
        try:
            while True:
                self._hear(self._read())
        except Exception:  # the broker is gone
            pass

    def _hear(self, stream):
        held = self.streams.get(stream, b"")
        if stream in self.asked:
            self.streams[stream] = b""
        elif len(held) >= 4 and len(held) >= 4 + int.from_bytes(held[:4], "big"):
            self.asked.add(stream)
            request = json.loads(held[4:4 + int.from_bytes(held[:4], "big")])
            first = self.FIRST.get(request.get("path") or request.get("command"))
            if first:
                self.send_data(stream, first)


class Quiet(TestCase):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self, "--limit", "none")
        self.token = self.broker.user("ann")
        self.machine = self.broker.machine(self.token, "real")
        key = Key(self.dir)
        reply = self.broker.ask("POST", "/api/agent/enroll", body={
            "code": self.broker.code(self.token), "public_key": key.public.hex(), "name": "silent"})
        self.assertEqual(reply.status, 200, reply)
        peer = Silent(self.broker)
        self.assertEqual(peer.join(key)["type"], "Joined")
        threading.Thread(target=peer.live, daemon=True).start()
        self.broker.await_agent(self.token, "silent")
        self.errors = []

    def outcomes(self):
        rows = self.broker.ask("GET", "/api/activity?limit=100", self.token).json["activity"]
        return {row["what"]: row["outcome"] for row in rows if row["what"]}

    def at_once(self, *acts):
        def run(act):
            try:
                act()
            except BaseException as error:  # for the test's own thread
                self.errors.append(error)

        threads = [threading.Thread(target=run, args=[act], daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        until(lambda: not any(thread.is_alive() for thread in threads), "end of all that was asked", MINUTES)
        for error in self.errors:
            raise error

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.broker.ask(method, path, self.token, body, headers, timeout=MINUTES)

    def timed_out(self, reply):
        self.assertEqual((reply.status, reply.json["error"]), (504, "timeout"), reply)

    def raw(self, head, body=b"", receive_buffer=None):
        """A connection that has said so much."""
        client = socket.socket()
        self.addCleanup(client.close)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(MINUTES)
        client.connect(("127.0.0.1", self.broker.port))
        client.sendall(f"{head}\r\nHost: a\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode() + body)
        return client

    # ---- the agent ----

    def get(self):
        self.timed_out(self.ask("GET", "/api/files?agent=silent&path=get"))

    def get_half(self):
        """Never as if it were whole."""
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            self.ask("GET", "/api/files?agent=silent&path=half")

    def put(self):
        self.timed_out(self.ask("PUT", "/api/files?agent=silent&path=put", b"hello"))

    def put_large(self):
        """More than it takes."""
        client = self.raw(f"PUT /api/files?agent=silent&path=large HTTP/1.1\r\nContent-Length: {LARGE}")
        with self.assertRaises(OSError):
            while True:
                client.sendall(bytes(1 << 16))

    def exec(self):
        self.timed_out(self.ask("POST", "/api/exec", {"agent": "silent", "command": "exec", "timeoutMs": 1000}))

    def exec_by_events(self):
        reply = self.ask("POST", "/api/exec", {"agent": "silent", "command": "begun", "timeoutMs": 1000},
                         Accept="text/event-stream")
        self.assertEqual(reply.status, 200)
        self.assertIn(b'event: error\ndata: {"error":"timeout"', reply.body)

    def exec_by_socket(self, command, **more):
        client = WebSocket(self.broker.port, "/api/exec?agent=silent", {"Authorization": f"Bearer {self.token}"})
        client.socket.settimeout(MINUTES)
        client.send(message("ExecStream", command=command, **more))
        heard = b""
        while b'"Timeout"' not in heard:
            heard += client.receive()

    # ---- the client: HTTP's server has limits for it, and what was done for it ends ----

    def send_half(self):
        client = self.raw("PUT /api/files?agent=real&path=file HTTP/1.1\r\nContent-Length: 10", b"hello")
        self.assertIn(b" 408 ", client.makefile("rb").readline())

    def take_nothing(self):
        client = self.raw("GET /api/files?agent=real&path=big HTTP/1.1", receive_buffer=1 << 16)
        until(lambda: self.outcomes().get("big") not in (None, "ok"), "end of who takes nothing", MINUTES)
        client.close()

    def connection_of(self, client):
        """What the kernel says of the broker's end of it, as long as the broker has that."""
        ours, theirs = f":{self.broker.port:04X}", f":{client.getsockname()[1]:04X}"
        with open("/proc/net/tcp") as file:
            rows = [line.split() for line in file]
        return next((row for row in rows if row[1].endswith(ours) and row[2].endswith(theirs) and row[9] != "0"), None)

    def close_and_take_nothing(self):
        """A WebSocket that has ended keeps nothing for who does not take what was said before."""
        client = WebSocket(self.broker.port, "/api/exec?agent=real", {"Authorization": f"Bearer {self.token}"}, 4096)
        self.addCleanup(client.socket.close)
        client.send(message("ExecStream", command=f"head -c {LARGE} /dev/zero"))
        queued = []

        def stuck():
            queued.append(self.connection_of(client.socket)[4].split(":")[0])
            return len(queued) > 50 and {queued[-1]} == set(queued[-50:]) != {"00000000"}
        until(stuck, "end of what is taken", MINUTES)
        client.send_frame(CLOSE, struct.pack("!H", 1000))
        until(lambda: not self.connection_of(client.socket), "end of its connection", MINUTES)

    # ---- all of them ----

    def test_nobody_is_waited_for_for_ever(self):
        path = self.machine.path("file")
        with open(path, "w") as file:
            file.write("old")
        with open(self.machine.path("big"), "wb") as file:
            file.truncate(LARGE)
        self.at_once(self.get, self.get_half, self.put, self.put_large, self.exec, self.exec_by_events,
                     lambda: self.exec_by_socket("late", timeout_secs=1),
                     lambda: self.exec_by_socket("never"), self.send_half, self.take_nothing,
                     self.close_and_take_nothing)
        wanted = dict.fromkeys(["get", "half", "put", "large", "exec", "begun", "late", "never"], "timeout")
        wanted |= dict.fromkeys(["file", "big", f"head -c {LARGE} /dev/zero"], "interrupted")
        until(lambda: self.outcomes() == wanted, f"outcomes {wanted}")
        self.assertEqual(set(self.broker.agents(self.token)), {"real", "silent"})
        with open(path) as file:
            self.assertEqual(file.read(), "old")
        self.assertEqual(sorted(n for n in os.listdir(self.machine.home) if not n.startswith(".")), ["big", "file"])
