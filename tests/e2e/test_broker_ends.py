"""However a connection, a request or a terminal ends, the broker gives back what was counted for it: what it does not,
would in time be missing to everybody."""

import contextlib
import http.client
import json
import random
import re
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from bridge_peer import Key, Peer, message
from broker import Broker
from harness import *
from websocket import Closed, WebSocket

SEED = 4
ROUNDS = 3
AT_ONCE = 8
BOUNDED = ("strangers", "calls", "room_bytes", "terminals")


def reset_by(sock):
    """As a client that crashes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def half_close(sock):
    with contextlib.suppress(OSError):  # the broker was quicker
        sock.shutdown(socket.SHUT_WR)


class Case(TestCase):
    def metrics(self):
        return self.broker.ask("GET", "/metrics").body.decode()

    def gauges(self):
        text = self.metrics()
        return {name: int(re.search(rf"^berth_{name} (\d+)$", text, re.M)[1]) for name in BOUNDED}

    def all_given_back(self):
        """But what this very question takes."""
        none = {"strangers": 1, "calls": 1, "room_bytes": 0, "terminals": 0}
        until(lambda: self.gauges() == none, "return of all", 3 * DEADLINE)


class Ends(Case):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(SEED)
        self.broker = Broker(self, "--limit", "none")
        self.ann = self.broker.user("ann")
        self.box = self.broker.machine(self.ann, "box")
        with open(self.box.path("large"), "wb") as file:
            file.truncate(64 << 20)
        self.key = Key(self.dir)

    # ---- how ----

    def opened(self):
        return socket.create_connection(("127.0.0.1", self.broker.port), DEADLINE)

    def sent(self, method, path, body=b"", *fields, token=None):
        sock = self.opened()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.broker.port}",
                 f"Authorization: Bearer {token or self.ann}", f"Content-Length: {len(body)}", *fields, "", ""]
        sock.sendall("\r\n".join(lines).encode() + body)
        return sock

    def run_command(self, command, *fields, token=None, **more):
        return self.sent("POST", "/api/exec", json.dumps({"command": command, **more}).encode(), *fields, token=token)

    def cut(self, sock):
        if self.chance.randrange(2):
            reset_by(sock)
        else:
            sock.close()

    def leave(self, sock):
        """In one of the ways that there are."""
        how = self.chance.randrange(5)
        with contextlib.suppress(OSError):
            if how == 0:
                sock.recv(1000)
            elif how == 1:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 20):
                    pass
            elif how == 2:
                time.sleep(self.chance.random() / 10)
        self.cut(sock)

    # ---- what ----

    def nothing(self):
        self.cut(self.opened())

    def part_of_a_head(self):
        sock = self.opened()
        sock.sendall(b"GET /api/agents HTTP/1.1\r\nHost: ")
        self.cut(sock)

    def no_http(self):
        sock = self.opened()
        sock.sendall(b"\x16\x03\x01\0\0 nonsense\r\n\r\n")
        self.leave(sock)

    def one_after_the_other(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=DEADLINE)
        asked = [("GET", "/", None), ("GET", "/api/me", None), ("GET", "/api/me", self.ann), ("GET", "/nothing", None),
                 ("GET", "/api/me", "wrong"), ("GET", "/api/agents", self.ann), ("GET", "/api/me", None),
                 ("PATCH", "/api/me", None), ("GET", "/metrics", None)]
        for method, path, token in asked:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            connection.getresponse().read()
        connection.close()

    def sent_ahead(self):
        """Several at once, and gone before the answers."""
        sock = self.opened()
        head = f"Host: x\r\nAuthorization: Bearer {self.ann}\r\n\r\n"
        sock.sendall((f"GET /api/agents HTTP/1.1\r\n{head}" * 20 + f"GET /page/xterm.js HTTP/1.1\r\n{head}" * 20)
                     .encode())
        self.leave(sock)

    def command(self):
        self.leave(self.run_command("echo hello"))

    def slow_command(self):
        self.leave(self.run_command("sleep 1"))

    def late_command(self):
        self.leave(self.run_command("sleep 20", timeoutMs=300))

    def loud_command(self):
        self.leave(self.run_command("head -c 2000000 /dev/zero | tr '\\0' x"))

    def long_request(self):
        self.leave(self.run_command(f"true {'x' * 900000}"))

    def part_of_a_body(self):
        sock = self.opened()
        sock.sendall(f"POST /api/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.ann}\r\n"
                     "Content-Length: 900000\r\n\r\n{\"command\"".encode())
        self.cut(sock)

    def events(self):
        self.leave(self.run_command("head -c 4000000 /dev/zero | tr '\\0' x; sleep 0.2", "Accept: text/event-stream"))

    def activity(self):
        sock = self.sent("GET", "/api/activity", b"", "Accept: text/event-stream")
        sock.recv(100)
        self.cut(sock)

    def download(self):
        self.leave(self.sent("GET", "/api/files?path=large"))

    def missing_file(self):
        self.leave(self.sent("GET", "/api/files?path=nothing"))

    def upload(self):
        self.leave(self.sent("PUT", f"/api/files?path=new{self.chance.randrange(9)}", b"x" * 300000))

    def part_of_an_upload(self):
        sock = self.opened()
        sock.sendall(f"PUT /api/files?path=part HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.ann}\r\n"
                     "Content-Length: 900000\r\n\r\nxxx".encode())
        time.sleep(self.chance.random() / 10)
        self.cut(sock)

    def web_socket(self, path, token=None):
        return WebSocket(self.broker.port, path, {"Authorization": f"Bearer {token or self.ann}"})

    def command_by_socket(self):
        with contextlib.suppress(Closed, OSError):
            opened = self.web_socket("/api/exec?agent=box")
            how = self.chance.randrange(4)
            if how > 0:
                opened.send(message("ExecStream", command=self.chance.choice(("true", "sleep 1000", "yes"))))
            if how > 1:
                opened.receive()
            self.cut(opened.socket)

    def terminal(self):
        with contextlib.suppress(Closed, OSError):
            opened = self.web_socket("/api/terminal")
            opened.receive()
            opened.send(b"exit\n" if self.chance.randrange(2) else b"yes\n")
            if self.chance.randrange(3) == 0:
                opened.close(4000)
            else:
                self.cut(opened.socket)

    def refused_upgrade(self):
        for path in "/api/exec?agent=box", "/api/exec?agent=none", "/api/terminal?agent=none", "/api/bridge?type=agent":
            for fields in (["Sec-WebSocket-Key: no"], ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                                                       "Sec-WebSocket-Version: 7"]):
                self.leave(self.sent("GET", path, b"", "Upgrade: websocket", "Connection: Upgrade", *fields))

    def bridge(self):
        with contextlib.suppress(Closed, OSError):
            peer = Peer(self.broker)
            how = self.chance.randrange(4)
            if how == 1:
                peer.join(self.key, signature="00" * 64)
            elif how == 2:
                peer.send_data(peer.hello, b"\xff\xff\xff\xff")
            elif how == 3:
                peer.send(9, 0, 0, 0)
            self.cut(peer.socket.socket)

    def with_a_token_that_is_revoked(self):
        token = self.broker.token("ann")
        opened = [self.run_command("sleep 1000", token=token),
                  self.run_command("sleep 1000", "Accept: text/event-stream", token=token),
                  self.sent("GET", "/api/activity", b"", "Accept: text/event-stream", token=token),
                  self.sent("GET", "/api/files?path=large", token=token)]
        terminal, left = self.web_socket("/api/terminal", token), self.web_socket("/api/terminal", token)
        for each in terminal, left:
            each.receive()
        left.socket.close()
        by_socket = self.web_socket("/api/exec?agent=box", token)
        by_socket.send(message("ExecStream", command="yes"))
        self.broker.revoke("ann", token)
        for each in (*opened, terminal.socket, by_socket.socket):
            self.leave(each)

    WHAT = (nothing, part_of_a_head, no_http, one_after_the_other, sent_ahead, command, slow_command, late_command,
            loud_command, long_request, part_of_a_body, events, activity, download, missing_file, upload,
            part_of_an_upload, command_by_socket, terminal, refused_upgrade, bridge, with_a_token_that_is_revoked)

    def test_ends_of_all_kinds(self):
        what = [each for each in self.WHAT for _ in range(ROUNDS)]
        self.chance.shuffle(what)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for done in [threads.submit(each, self) for each in what]:
                done.result()
        self.broker.admin("user", "remove", "ann")  # the terminals that nobody looks at end
        self.all_given_back()

    def test_agent_that_goes_away(self):
        opened = [self.run_command("sleep 1000"), self.run_command("yes", "Accept: text/event-stream"),
                  self.run_command("head -c 2000000 /dev/zero | tr '\\0' x"), self.sent("GET", "/api/files?path=large")]
        for _ in range(4):
            opened.append(self.web_socket("/api/exec?agent=box"))
            opened[-1].send(message("ExecStream", command="yes"))
            opened.append(self.web_socket("/api/terminal"))
        sockets = [getattr(each, "socket", each) for each in opened]
        for each in sockets[1:2] + sockets[3:]:
            each.recv(10)
        self.box.kill()
        for each in sockets:
            self.leave(each)
        self.broker.admin("user", "remove", "ann")
        self.all_given_back()


class Handshakes(Case):
    def setUp(self):
        super().setUp()
        self.broker = Broker(self, "--limit", "none", "--tls-self-signed")
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def metrics(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.broker.port, timeout=DEADLINE, context=self.tls)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def hello(self):
        """What a client says first."""
        out = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
        return out.read()

    def test_handshakes_that_fail(self):
        hello = self.hello()
        said = (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16", hello[:5], hello[:50], hello, hello + hello,
                hello + b"\0" * 99, b"\x15\x03\x03\0\2\2\x28", b"\xff" * 4096)
        for each in said:
            for end in socket.socket.close, reset_by, half_close:
                sock = socket.create_connection(("127.0.0.1", self.broker.port), DEADLINE)
                self.addCleanup(sock.close)
                sock.sendall(each)
                end(sock)
        for end in socket.socket.close, reset_by:
            end(self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.broker.port), DEADLINE)))
        self.all_given_back()


class Proxied(Case):
    """Each of a connection's requests is counted for whom the proxy names."""

    def test_many_by_one_connection(self):
        self.broker = Broker(self, "--limit", "none", "--behind-proxy")
        ann = self.broker.user("ann")
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, timeout=DEADLINE)
        for i in range(200):
            fields = {"X-Forwarded-For": f"198.51.100.{i % 7}"}
            if i % 3:
                fields["Authorization"] = f"Bearer {ann if i % 2 else 'wrong'}"
            connection.request("GET", "/api/me", headers=fields)
            self.assertEqual(connection.getresponse().read().count(b"ann"), 1 if i % 3 and i % 2 else 0)
        connection.close()
        self.all_given_back()
