"""A session with a path in the middle, and streams through it.

    class Moves(TestCase):
        def test_renumber(self):
            self.tunnel(delay="25ms")
            self.open_streams(100)
            self.path.here.renumber()
            self.streams.await_all()
            self.finish()"""

import contextlib
import json
import os
import signal
import time

import afar
from harness import DEADLINE, Echo, connect, each_process, exchange, free_port, program, until
from machine import parent
from paths import listening
from streams import Streams

LONG = bool(os.environ.get("BERTH_LONG"))  # tests/wan/run --long

PATIENCE = 4 * DEADLINE

ON_QUIC = r"^berth: testhost: (on quic|back \(quic)"
ON_SSH = r"^berth: testhost: UDP is silent, going on over ssh$"
LOST = r"^berth: testhost: network lost, reconnecting$"
BLOCKED = r"^berth: testhost: UDP port \d+ does not get through: staying on ssh$"
LEFT_SSH = r"^berth: testhost: the ssh connection is gone, going on over quic$"


class TestCase(afar.TestCase):
    """`transport` is that of harness.TestCase: auto."""

    remote = session = streams = None
    stirred = 0

    # ---- the session ----

    def tunnel(self, *args, blocked=(), **path):
        """Once it is over QUIC; with UDP blocked, once it is said to stay on ssh."""
        self.prepare(**path)
        for protocol in blocked:
            self.path.block(protocol)
        self.begin(*args, until=BLOCKED if "udp" in blocked else ON_QUIC)
        return self.path

    def begin(self, *args, until=ON_QUIC, **more):
        self.session = self.connected(self.remote, *self.forwards, *args, **more)
        self.session.await_line(until)

    def prepare(self, **path):
        """The path, a user there, and what the forwards lead to: an echo, and sinks for streams."""
        self.join(**path)
        self.remote = self.user()
        with self.path.there.entered():
            self.echo = self.server(Echo())
            self.targets = listening(self)
        with self.path.here.entered():
            self.echo_here = self.server(Echo())
            self.targets_here = listening(self)
        self.up, self.down, self.echo_up, self.echo_down = (free_port() for _ in range(4))
        self.forwards = [
            word for kind, port, target in (
                ("-L", self.up, self.targets.getsockname()[1]), ("-L", self.echo_up, self.echo.port),
                ("-R", self.down, self.targets_here.getsockname()[1]), ("-R", self.echo_down, self.echo_here.port))
            for word in (kind, f"{port}:127.0.0.1:{target}")]
        self.streams = Streams()
        self.addCleanup(self.streams.close)

    def open_streams(self, count):
        """Half of them by -L, half by -R; what they take is what the session uses now."""
        before = len(self.streams)
        for i in range(count):
            host, port, target, name = (
                (self.path.here, self.up, self.targets, "-L"),
                (self.path.there, self.down, self.targets_here, "-R"))[i % 2]
            with host.entered():
                client = connect(port)
            server, _ = target.accept()
            ends = (client, server) if host is self.path.here else (server, client)
            self.streams.add(f"{name} {len(self.streams)}", *ends)
        self.streams.await_all(before)

    def finish(self):
        """Every byte has come, and nobody was told of a loss."""
        self.streams.await_all()
        moved = self.streams.finish()
        self.assertGreater(moved, 0)
        self.assertEqual(self.said("lost the session"), 0, self.session.text())
        self.assertIsNone(self.session.process.poll())
        return moved

    def said(self, text):
        return sum(text in line for line in self.session.lines)

    def exchange(self, data=b"ping"):
        """By new connections, both ways."""
        for host, port in (self.path.here, self.echo_up), (self.path.there, self.echo_down):
            with host.entered():
                self.assertEqual(exchange(port, data), data)

    def transports(self):
        """As `berth list` says it, here and there."""
        def of(done):
            session, = json.loads(done.stdout)["sessions"]
            return session["transport"], session["state"]

        return of(self.berth("list", "--json")), of(self.remote.run(self.berth_path, "list", "--json"))

    def assert_transport(self, name):
        """Here at once; there when it has been told so by what comes, or does not come."""
        self.assertEqual(self.transports()[0], (name, "up"))
        until(lambda: self.transports()[1] == (name, "up"), f"{name} at the agent")

    # ---- what is done to it ----

    def pass_time(self, seconds):
        """So long is what is done to it to last."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.streams.check()
            time.sleep(min(left, 0.1))

    def marks(self):
        """How far each way has come, for moved_since()."""
        with self.streams.lock:
            return [(way, way.got) for way in self.streams.ways]

    @staticmethod
    def moved_since(marks):
        """How many of those ways have moved on."""
        return sum(way.got > got for way, got in marks)

    def stands_still(self):
        marks = self.marks()
        self.pass_time(0.5)
        return not self.moved_since(marks)

    def ssh_pids(self):
        found = []
        for pid in each_process():
            with contextlib.suppress(OSError):
                if parent(pid) == self.session.pid and os.path.basename(program(pid)) == "ssh":
                    found.append(pid)
        return found

    def stir(self):
        """The network here has changed, in a way that changes nothing."""
        self.stirred += 1
        self.path.here.ip("addr", "add", f"192.0.2.{self.stirred}/32", "dev", "lo")

    def kill_ssh(self):
        """As far as there is one."""
        for pid in self.ssh_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ---- how long things take ----

    def clock_echo(self, connection, word=b"12345678"):
        """Sends it, and awaits all of it; in seconds."""
        began = time.monotonic()
        connection.sendall(word)
        got = b""
        while len(got) < len(word):
            got += connection.recv(len(word) - len(got))
        self.assertEqual(got, word)
        return time.monotonic() - began

    def echo_connection(self):
        with self.path.here.entered():
            connection = connect(self.echo_up)
        connection.settimeout(PATIENCE)
        self.addCleanup(connection.close)
        self.clock_echo(connection)
        return connection

    def connection(self):
        """A stream that nobody uses: its ends here and there."""
        with self.path.here.entered():
            client = connect(self.up)
        server, _ = self.targets.accept()
        for end in client, server:
            end.settimeout(PATIENCE)
            self.addCleanup(end.close)
        return client, server
