"""Ways from a client to a server: straight, and through a tunnel's forwards. What is seen at both ends is
to be the same on all of them."""

import contextlib
import os
import select
import signal
import socket

from machine import DEADLINE, free_port
from servers import connect, family_of

BROKEN = (ConnectionResetError, BrokenPipeError)
FILL_LIMIT = 256 << 20  # bytes that nothing may hold for a reader that does not read


class Path:
    """From a place to connect to, to a listening socket."""

    def __init__(self, name, where, listener):
        self.name, self.where, self.listener = name, where, listener

    def connect(self):
        """The client's end, as soon as somebody listens."""
        return connect(self.where)

    def accept(self):
        server, _ = self.listener.accept()
        server.settimeout(DEADLINE)
        return server

    @contextlib.contextmanager
    def pair(self):
        """A connection's two ends: the client's and the server's."""
        with self.connect() as client, self.accept() as server:
            yield client, server


def listening(test, where=("127.0.0.1", 0), backlog=128):
    """A listening socket of the test's own; `where` may be a unix path."""
    listener = socket.socket(family_of(where))
    test.addCleanup(listener.close)
    listener.settimeout(DEADLINE)
    listener.bind(where)
    listener.listen(backlog)
    if isinstance(where, str):
        os.chmod(where, 0o777)
    return listener


class Ways:
    """One master with every kind of forward, and the straight ways to compare with. The forwards named
    by `tcp` lead from TCP to TCP; `mixed` have a unix socket at one end or at both."""

    def __init__(self, test, user, *more):
        self.tcp_target, self.unix_target = listening(test), listening(test, f"{user.home}/target.sock")
        target = self.tcp_target.getsockname()
        unix = self.unix_target.getsockname()
        local, remote, local_unix, remote_unix = (("127.0.0.1", free_port()) for _ in range(4))
        local_socket, remote_socket = f"{test.dir}/local.sock", f"{user.home}/remote.sock"
        self.master = test.connected(
            user, "-L", f"{local[1]}:127.0.0.1:{target[1]}", "-R", f"{remote[1]}:127.0.0.1:{target[1]}",
            "-L", f"{local_unix[1]}:{unix}", "-R", f"{remote_unix[1]}:{unix}",
            "-L", f"{local_socket}:127.0.0.1:{target[1]}",
            "-R", f"{remote_socket}:127.0.0.1:{target[1]}", *more)
        self.agent, = user.agents()
        self.direct = Path("direct", target, self.tcp_target)
        self.local = Path("-L", local, self.tcp_target)
        self.remote = Path("-R", remote, self.tcp_target)
        self.tcp = [self.direct, self.local, self.remote]
        self.mixed = [
            Path("direct, unix", unix, self.unix_target),
            Path("-L to a unix socket", local_unix, self.unix_target),
            Path("-R to a unix socket", remote_unix, self.unix_target),
            Path("-L on a unix socket", local_socket, self.tcp_target),
            Path("-R on a unix socket", remote_socket, self.tcp_target),
        ]
        for path in self.tcp + self.mixed:
            with path.connect():
                path.accept().close()

    def dialler(self, path):
        """Who connects to the target of a forward."""
        return self.agent if path is self.local else self.master.pid

    def acceptor(self, path):
        """Who listens for a forward's connections."""
        return self.master.pid if path is self.local else self.agent


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def instrumented(test):
    """The binary under test has sanitizers in it: it is slow, and its memory says nothing."""
    with open(test.berth_path, "rb") as file:
        return b"__asan_init" in file.read()


def rest(connection):
    """What is read until the end, and which end it is."""
    data = bytearray()
    try:
        while chunk := connection.recv(1 << 18):
            data += chunk
    except ConnectionResetError:
        return bytes(data), "reset"
    return bytes(data), "end"


def fill(connection):
    """Sends zeros until no more are taken for a while; how many that was."""
    block, total = bytes(1 << 18), 0
    while select.select([], [connection], [], 0.2)[1]:
        with contextlib.suppress(BlockingIOError):
            total += connection.send(block, socket.MSG_DONTWAIT)
        if total > FILL_LIMIT:
            raise AssertionError(f"{total} bytes were taken for a reader that reads nothing")
    return total


def fate(where, *acts):
    """What becomes of a client that is not to be let in: it connects, does what is asked of it with the
    connection, and reads. A reset may come at any time, connect() included."""
    try:
        with connect(where) as client:
            for act in acts:
                act(client)
            return rest(client)
    except BROKEN:
        return b"", "reset"


def is_told(connection):
    """Whether a reset is heard of without reading or writing."""
    watch = select.poll()
    watch.register(connection, 0)
    return bool(watch.poll(DEADLINE * 1000))


def send_until_broken(connection):
    """Sends bit by bit until the other end's refusal is known; True."""
    watch = select.poll()
    watch.register(connection, select.POLLERR)
    for _ in range(200):
        try:
            connection.send(b"x")
        except BROKEN:
            return True
        if watch.poll(50):
            return True
    return False
