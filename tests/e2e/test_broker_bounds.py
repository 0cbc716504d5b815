"""What one user, or one stranger, cannot take from all others: memory, descriptors, devices."""

import http.client
import json
import os
import re
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from bridge_peer import Peer, message
from broker import Broker
from harness import *
from websocket import Closed, Refused, WebSocket


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


    def test_sockets_that_nobody_reads(self):
        self.broker = Broker(self, "--limit", "none")
        ann = self.broker.user("ann")
        self.broker.machine(ann, "box")
        request = message("ExecStream", command="head -c 16777216 /dev/zero")
        sockets = [WebSocket(self.broker.port, "/api/exec?agent=box", {"Authorization": f"Bearer {ann}"}, 4096)
                   for _ in range(self.CALLS)]
        for each in sockets:
            self.addCleanup(each.socket.close)
            each.send(request)
        self.assertLess(self.settled(), 64 << 20)


class Strangers(TestCase):
    EACH = 1024  # connections of one address that have proven nothing

    def begin(self, *args, **more):
        self.broker = Broker(self, "--limit", "none", *args, **more)
        self.ann = self.broker.user("ann")
        self.broker.machine(self.ann, "box")

    def strange(self, count):
        """Connections from here that say nothing."""
        opened = [socket.create_connection(("127.0.0.1", self.broker.port), DEADLINE) for _ in range(count)]
        for each in opened:
            self.addCleanup(each.close)
        return opened

    def known(self, source=None):
        """A connection by which ann has proven who she is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.port, DEADLINE, source and (source, 0))
        self.addCleanup(connection.close)
        self.assertEqual(self.hello(connection), "hello\n")
        return connection

    def hello(self, connection):
        connection.request("POST", "/api/exec", json.dumps({"command": "echo hello"}),
                           {"Authorization": f"Bearer {self.ann}"})
        return json.loads(connection.getresponse().read())["stdout"]

    def is_refused(self):
        """Whether the next one from here is let go of at once."""
        try:
            return self.broker.ask("GET", "/healthz").status != 200
        except OSError:
            return True

    def test_connections_that_prove_nothing(self):
        """So many of one address; who is known does not count, nor is stopped, nor is anybody elsewhere."""
        self.begin()
        known = [self.known() for _ in range(8)]
        opened = self.strange(self.EACH - 1)
        self.assertFalse(self.is_refused())
        opened += self.strange(1)
        until(self.is_refused, "end to what one may have")
        until(lambda: "127.0.0.1 has 1024 connections" in self.broker.program.text(), "line about that")
        self.assertEqual([self.hello(each) for each in known], ["hello\n"] * len(known))
        self.known("127.0.0.2")
        for each in opened[:2]:
            each.close()
        until(lambda: not self.is_refused(), "place for one more")
        self.assertEqual(self.broker.program.text().count("have proven nothing"), 1)

    def test_bridges_that_do_not_join(self):
        """They count as well, and have some seconds for it."""
        self.begin()
        opened = self.strange(self.EACH - 4)
        bridges = []
        with self.assertRaises(Refused) as refused:
            for _ in range(8):
                bridges.append(Peer(self.broker))
        self.assertEqual(refused.exception.status, 429)
        self.assertGreater(len(bridges), 0)
        end = time.monotonic() + DEADLINE
        for each in bridges:
            with self.assertRaises((Closed, ConnectionError)):
                each.answer_pings(end)
        for each in opened:
            each.close()
        self.broker.machine(self.ann, "another")

    def test_no_descriptors_are_left(self):
        """Who is in is served, who is not waits; that is said once, and costs nothing."""
        limit = 64
        self.begin(by=("sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"))
        known, pid = self.known(), self.broker.program.pid
        with open(f"/proc/{pid}/limits") as file:
            raised = not re.search(rf"Max open files +{limit} ", file.read())
        if raised:  # by itself, where it may; then so may we
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
        opened = self.strange(limit)
        self.broker.program.await_line("no more connections are accepted for now: ")
        self.assertEqual([self.hello(known) for _ in range(50)], ["hello\n"] * 50)
        self.assertLess(self.share_of_a_processor(pid), 0.3)
        self.assertEqual(self.hello(known), "hello\n")
        for each in opened:
            each.close()
        self.known()
        self.assertEqual(self.broker.program.text().count("no more connections"), 1)

    def share_of_a_processor(self, pid):
        """While nobody asks for anything."""
        def used():
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        before, began = used(), time.monotonic()
        while time.monotonic() - began < 2:
            time.sleep(0.1)
        return (used() - before) / (time.monotonic() - began)


class BehindProxy(TestCase):
    """What is limited by address, as a proxy on the same machine passes it on."""

    BURST = 5

    def begin(self, *args):
        self.broker = Broker(self, "--limit", f"nobody=1:{self.BURST}", *args)

    def connection(self, host="127.0.0.1"):
        made = http.client.HTTPConnection(host, self.broker.port, DEADLINE)
        self.addCleanup(made.close)
        return made

    def ask(self, connection, *forwarded):
        """The status of a request by whom nobody knows, with these lines of X-Forwarded-For."""
        connection.putrequest("GET", "/api/me")
        for line in forwarded:
            connection.putheader("X-Forwarded-For", line)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.status

    def status(self, *forwarded):
        return self.ask(self.connection(), *forwarded)

    def use_up(self, *forwarded):
        self.assertEqual([self.status(*forwarded) for _ in range(self.BURST)], [401] * self.BURST)
        self.assertEqual(self.status(*forwarded), 429)

    def test_strangers_are_told_apart(self):
        self.begin("--behind-proxy")
        self.use_up("198.51.100.1")
        self.assertEqual(self.status("198.51.100.2"), 401)
        self.assertEqual(self.status("198.51.100.3, 198.51.100.1"), 429)
        self.assertEqual(self.status("198.51.100.3", "198.51.100.1"), 429)
        self.assertEqual(self.status("198.51.100.1, 198.51.100.3"), 401)
        self.use_up("2001:db8:1:1::1")
        self.assertEqual(self.status("2001:db8:1:1::2"), 429)
        self.assertEqual(self.status("2001:db8:1:2::1"), 401)

    def test_one_connection_is_for_many(self):
        """As proxies keep theirs."""
        self.begin("--behind-proxy")
        connection = self.connection()
        found = [self.ask(connection, f"198.51.100.{i % 2}") for i in range(self.BURST * 3)]
        self.assertEqual(found, [401] * self.BURST * 2 + [429] * self.BURST)

    def test_garbage_is_the_proxys_own(self):
        self.begin("--behind-proxy")
        self.use_up("198.51.100.1, nonsense")
        self.assertEqual(self.status(), 429)
        self.assertEqual(self.status(""), 429)
        connection = self.connection()
        self.assertEqual(self.ask(connection, "198.51.100.1"), 401)
        self.assertEqual(self.ask(connection, "nonsense"), 429)

    def test_nobody_else_is_believed(self):
        """Without the option; with it, who is not on this machine."""
        self.begin()
        self.use_up("198.51.100.1")
        self.assertEqual(self.status("198.51.100.2"), 429)
        own = self.own_address()
        self.broker.stop()
        self.broker = Broker(self, "--limit", f"nobody=1:{self.BURST}", "--behind-proxy", "--insecure-http",
                             "--listen", f"{own}:{self.broker.port}", port=self.broker.port)
        elsewhere = self.connection(own)
        found = [self.ask(elsewhere, f"198.51.100.{i}") for i in range(self.BURST + 1)]
        self.assertEqual(found, [401] * self.BURST + [429])

    def own_address(self):
        """One of this machine's that is not loopback."""
        words = system("hostname", "-I").split()
        if not words or ":" in words[0]:
            self.skipTest("this machine has no address")
        return words[0]
