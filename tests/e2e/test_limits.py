"""What a session must hold: how much at once, how often, and in how little memory."""

import contextlib
import os
import resource
import socket
import struct
import sys
import unittest

from harness import TestCase, connect, free_port, read_exactly, until
from machine import resident
from paths import Path, fate, fill, instrumented, listening, rest, stopped
from traffic import Traffic

CONNECTIONS = 100_000
WARM_UP = 10_000
OPEN = 2000
MIB = 1 << 20
IDLE = 2 * MIB  # bytes of either end when nothing is open, whatever was before
STORM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "storm.py")


def connections(pid):
    """The TCP sockets that a process holds, without those that listen."""
    open_here = set()
    for table in "tcp", "tcp6":
        with open(f"/proc/net/{table}") as file:
            rows = [line.split() for line in list(file)[1:]]
        open_here |= {f"socket:[{row[9]}]" for row in rows if row[3] != "0A"}
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            held.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return held & open_here


@contextlib.contextmanager
def descriptors_at_first(count):
    """What is started meanwhile may open so many until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Limits(TestCase):
    """One master with two paths through it."""

    transport = "ssh"

    def setUp(self):
        super().setUp()
        self.measured = not instrumented(self)
        self.remote_user = self.user()
        self.listener = listening(self, backlog=1024)
        self.target = self.listener.getsockname()[1]
        closed = free_port()
        self.ports, self.refusing = [free_port(), free_port()], [free_port(), free_port()]
        forwards = [word for ports, target in ((self.ports, self.target), (self.refusing, closed))
                    for word in ("-L", f"{ports[0]}:127.0.0.1:{target}", "-R", f"{ports[1]}:127.0.0.1:{target}")]
        self.sshd.stop()  # which starts again under the limit, and the agent with it
        with descriptors_at_first(1024):
            self.master = self.connected(self.remote_user, *forwards)
        agent, = self.remote_user.agents()
        self.pids = {"master": self.master.pid, "agent": agent}
        self.paths = [Path(name, ("127.0.0.1", port), self.listener)
                      for name, port in zip(("-L", "-R"), self.ports)]

    def resident(self):
        return {name: resident(pid) for name, pid in self.pids.items()}

    def descriptors(self):
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in self.pids.items()}

    def await_idle(self):
        until(lambda: not any(map(connections, self.pids.values())), "end of all connections")

    def warm_up(self):
        """Everything was done once."""
        for path, refusing in zip(self.paths, self.refusing):
            with connect(path.where) as client:
                path.accept().close()
                self.assertEqual(rest(client), (b"", "end"))
            self.assertEqual(fate(refusing), (b"", "reset"))
        self.await_idle()

    def assert_memory(self, bound):
        """Neither end holds more than so many bytes."""
        for name, size in self.resident().items() if self.measured else ():
            self.assertLess(size, bound, name)

    def await_memory(self, bound):
        """Both have given back what they do not need any more."""
        if self.measured:
            until(lambda: all(size < bound for size in self.resident().values()),
                  f"return to {bound} bytes, but {self.resident()},")


class Often(Limits):
    def storm(self, count):
        client = self.start(sys.executable, STORM, "connect", str(count), "8", *map(str, self.ports), "--",
                            *map(str, self.refusing))
        self.assertEqual(client.wait(300), 0, client.text())
        self.await_idle()

    def test_hundred_thousand_connections(self):
        """However they end, nothing is left of them."""
        self.warm_up()
        before = self.descriptors()
        self.start(sys.executable, STORM, "serve", str(self.listener.fileno()), "4",
                   pass_fds=[self.listener.fileno()])
        self.storm(WARM_UP)
        early = self.resident()
        self.storm(CONNECTIONS - WARM_UP)
        until(lambda: self.descriptors() == before, f"return to {before} descriptors")
        if self.measured:
            until(lambda: all(size - early[name] < MIB // 16 for name, size in self.resident().items()),
                  f"return to about {early} bytes")


class AtOnce(Limits):
    # What either end may hold while one reader is stalled: its window (4 MiB), what is kept for replay (4), the
    # storage kept for the next bytes (8), berth itself (2); and a queue's storage may be half used.
    stalled = 24 * MIB

    def allow_descriptors(self, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count:
            self.skipTest(f"only {hard} descriptors are allowed here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_idle_agent_is_small(self):
        if not self.measured:
            self.skipTest("sanitizers take memory of their own")
        self.assertLess(resident(self.pids["agent"]), IDLE)

    def open_at_once(self, path, here, there):
        """Half of OPEN, asked for by one side before the other looks at the first: clients and servers."""
        before = len(connections(self.pids[here]))
        with stopped(self.pids[there]):
            clients = [path.connect() for _ in range(OPEN // 2)]
            until(lambda: len(connections(self.pids[here])) == before + OPEN // 2, "acceptance of all")
        servers = [path.accept() for _ in clients]
        return clients, servers

    def paired(self, clients, servers):
        """Each client with its own server, whatever the order they came in."""
        for i, client in enumerate(clients):
            client.sendall(struct.pack("!H", i))
        return [(clients[struct.unpack("!H", read_exactly(server, 2))[0]], server) for server in servers]

    def test_two_thousand_at_once(self):
        """Half of them through -L, half through -R; all are open before the first byte is sent."""
        self.allow_descriptors(2 * OPEN + 200)
        self.warm_up()
        traffic = Traffic()
        self.addCleanup(traffic.close)
        local, remote = self.paths
        ends = [self.open_at_once(local, "master", "agent"), self.open_at_once(remote, "agent", "master")]
        for name, pid in self.pids.items():
            self.assertEqual(len(connections(pid)), OPEN, name)
        for path, (clients, servers) in zip(self.paths, ends):
            for i, pair in enumerate(self.paired(clients, servers)):
                traffic.add(f"{path.name} {i}", *pair, 60_000)
        traffic.run()
        self.assertEqual(traffic.moved, traffic.total)
        traffic.close()
        self.await_idle()
        self.await_memory(IDLE)

    def stall(self, path, downward):
        """One reader does not read, and eight others get everything. What is kept for the first has a
        bound, and arrives when it reads at last."""
        with path.pair() as (client, server):
            writer, reader = (server, client) if downward else (client, server)
            kept = fill(writer)
            self.assert_memory(self.stalled)
            traffic = Traffic()
            for i in range(8):
                traffic.add(f"beside {i}", path.connect(), path.accept(), 8 * MIB)
            traffic.run()
            traffic.close()
            self.assert_memory(self.stalled)
            writer.shutdown(socket.SHUT_WR)
            got, how = rest(reader)
            self.assertEqual((len(got), how), (kept, "end"))
        self.await_idle()

    def test_one_stalled_reader(self):
        self.warm_up()
        for path in self.paths:
            for downward in True, False:
                with self.subTest(path.name, downward=downward):
                    self.stall(path, downward)


class OftenByQuic(Often):
    transport = "quic"


class AtOnceByQuic(AtOnce):
    transport = "quic"
    stalled = 32 * MIB  # a connection's window, and what is kept for the next bytes


if __name__ == "__main__":
    unittest.main()
