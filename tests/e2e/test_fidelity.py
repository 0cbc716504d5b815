"""A connection through the tunnel looks as it does without: each act is done straight to the target first,
and what both ends see then is to be the same through -L and -R."""

import contextlib
import hashlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from harness import (DEADLINE, Echo, Speaker, TestCase, connect, exchange, free_port, read_all, read_exactly,
                     reset, root_only, until)
from paths import Path, Ways, fate, fill, is_told, listening, rest, send_until_broken, stopped
from socks import Socks

BLOCK = random.Random(1).randbytes(1 << 20)


class Fidelity(TestCase):
    transport = "ssh"

    def setUp(self):
        super().setUp()
        self.ways = Ways(self, self.user())

    def same(self, paths, act, expected, **name):
        """act(client, server) sees what is expected on each of the paths."""
        for path in paths:
            with self.subTest(path.name, **name), path.pair() as (client, server):
                self.assertEqual(act(client, server), expected)

    def same_from_either_end(self, paths, act, expected):
        """act(near, far), with the client as the near end, and then with the server."""
        self.same(paths, act, expected, near="client")
        self.same(paths, lambda client, server: act(server, client), expected, near="server")


class HalfClose(Fidelity):
    def test_client_ends_and_then_is_answered(self):
        def act(client, server):
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            asked = rest(server)
            server.sendall(b"answer")
            answered = read_exactly(client, 6)
            server.sendall(b" and more")
            server.shutdown(socket.SHUT_WR)
            return asked, answered, rest(client)

        self.same(self.ways.tcp + self.ways.mixed, act,
                  ((b"question", "end"), b"answer", (b" and more", "end")))

    def test_server_ends_and_then_is_told_more(self):
        def act(client, server):
            server.sendall(b"greeting")
            server.shutdown(socket.SHUT_WR)
            greeted = rest(client)
            client.sendall(b"first")
            first = read_exactly(server, 5)
            client.sendall(b"last")
            client.shutdown(socket.SHUT_WR)
            return greeted, first, rest(server)

        self.same(self.ways.tcp + self.ways.mixed, act, ((b"greeting", "end"), b"first", (b"last", "end")))

    def test_end_without_a_byte(self):
        def act(client, server):
            client.shutdown(socket.SHUT_WR)
            first = rest(server)
            server.shutdown(socket.SHUT_WR)
            return first, rest(client)

        self.same(self.ways.tcp + self.ways.mixed, act, ((b"", "end"), (b"", "end")))

    def test_much_is_read_after_the_own_end(self):
        """In each direction: 48 MiB, of which the reader's first byte is taken once the writer is held up."""
        def pour(reader, writer):
            reader.shutdown(socket.SHUT_WR)
            self.assertEqual(rest(writer), (b"", "end"))
            total = fill(writer)
            sent = hashlib.sha256(bytes(total))
            sender = threading.Thread(target=self.send_blocks, args=[writer, 48, sent])
            sender.start()
            got, how = rest(reader)
            sender.join()
            return len(got) - total, hashlib.sha256(got).digest() == sent.digest(), how

        self.same_from_either_end(self.ways.tcp, pour, (48 << 20, True, "end"))

    def test_end_behind_bytes_that_find_no_room(self):
        """More with each connection, and nothing is read until all ends have come: at some of them it finds
        a target that has taken only half of the last piece. Unix sockets, for they take little."""
        lengths = range(0, 512 << 10, 8 << 10)
        for path in self.ways.mixed[1:3]:
            with self.subTest(path.name), contextlib.ExitStack() as stack:
                pairs = [stack.enter_context(path.pair()) for _ in lengths]
                for (client, _), length in zip(pairs, lengths):
                    client.sendall(BLOCK[:length])
                    client.shutdown(socket.SHUT_WR)
                for (_, server), length in zip(pairs, lengths):
                    self.assertTrue(rest(server) == (BLOCK[:length], "end"), length)

    def test_answer_of_somebody_who_is_gone(self):
        """Whoever asks on before it reads, unheard, loses nothing of an answer that has ended; not more of
        it, at any rate, than a kernel holds."""
        lengths = range(0, 120 << 10, 2 << 10)
        for path in self.ways.tcp + self.ways.mixed[3:]:
            with self.subTest(path.name), contextlib.ExitStack() as stack:
                pairs = [stack.enter_context(path.pair()) for _ in lengths]
                for (_, server), length in zip(pairs, lengths):
                    server.sendall(BLOCK[:length])
                    server.close()
                for client, _ in pairs:
                    client.sendall(b"x")
                for (client, _), length in zip(pairs, lengths):
                    self.assertTrue(rest(client) == (BLOCK[:length], "end"), length)

    def send_blocks(self, connection, count, digest):
        for _ in range(count):
            connection.sendall(BLOCK)
            digest.update(BLOCK)
        connection.shutdown(socket.SHUT_WR)


class Reset(Fidelity):
    def test_after_a_byte(self):
        def act(near, far):
            near.sendall(b"bye")
            said = read_exactly(far, 3)
            reset(near)
            return said, rest(far)

        self.same_from_either_end(self.ways.tcp, act, (b"bye", (b"", "reset")))

    def test_without_a_byte(self):
        def act(near, far):
            reset(near)
            return rest(far)

        self.same_from_either_end(self.ways.tcp, act, (b"", "reset"))

    def test_answer_to_a_half_close(self):
        def act(near, far):
            far.shutdown(socket.SHUT_WR)
            self.assertEqual(rest(near), (b"", "end"))
            reset(near)
            return rest(far)

        self.same_from_either_end(self.ways.tcp, act, (b"", "reset"))

    def test_closed_with_bytes_unread(self):
        """What a kernel does when a program ends without having read everything."""
        def act(near, far):
            far.sendall(b"unread")
            until(lambda: near.recv(1, socket.MSG_PEEK), "byte")
            near.close()
            return rest(far)

        self.same_from_either_end(self.ways.tcp, act, (b"", "reset"))

    def test_found_out_by_writing(self):
        """Bytes for who has reset are there before its reset is looked at."""
        for path in self.ways.tcp[1:]:
            with self.subTest(path.name), contextlib.ExitStack() as stack:
                pairs = [stack.enter_context(path.pair()) for _ in range(50)]
                with stopped(self.ways.acceptor(path)):
                    for _, server in pairs:
                        server.sendall(b"late")
                    for client, _ in pairs:
                        reset(client)
                self.assertEqual([rest(server) for _, server in pairs], [(b"", "reset")] * len(pairs))

    def test_by_who_is_held_up(self):
        """It is told before anything is read; one direction is full, and then both are."""
        for both in False, True:
            def act(near, far):
                fill(near)
                if both:
                    fill(far)
                reset(near)
                return is_told(far), rest(far)[1]

            self.same_from_either_end(self.ways.tcp, act, (True, "reset"))

    def test_by_who_has_ended_while_the_other_is_held_up(self):
        """Its end was told before; that it takes no more must be told, too."""
        def act(near, far):
            near.shutdown(socket.SHUT_WR)
            ended = rest(far)
            fill(far)
            reset(near)
            return ended, send_until_broken(far)

        self.same_from_either_end(self.ways.tcp, act, ((b"", "end"), True))

    def test_a_peer_that_is_gone(self):
        """It has closed, both ways: who goes on sending is told."""
        def act(near, far):
            near.close()
            return rest(far), send_until_broken(far)

        self.same_from_either_end(self.ways.tcp + self.ways.mixed, act, ((b"", "end"), True))

    def test_unix_socket_ends(self):
        """There is no reset on unix sockets; the other end is told of an end all the same."""
        def act(near, far):
            reset(near)
            return rest(far)[0]

        self.same_from_either_end(self.ways.mixed, act, b"")


class Stop(TestCase):
    def cut_short(self, end_it):
        """Connections in every stage, when the tunnel ends: none of them ends properly."""
        user = self.user()
        listener = listening(self, f"{user.home}/busy.sock", backlog=0)
        proxy, dialling = free_port(), free_port()
        ways = Ways(self, user, "-D", str(proxy), "-L", f"{dialling}:{listener.getsockname()}")
        with contextlib.ExitStack() as stack:
            pairs = [stack.enter_context(path.pair()) for path in ways.tcp[1:] for _ in range(2)]
            filler, dialled, greeted = connect(listener.getsockname()), connect(dialling), Socks(proxy)
            for client in filler, dialled, greeted:
                stack.enter_context(client)
            for client, server in pairs[::2]:
                fill(server)
            end_it(ways)
            for client, server in pairs:
                self.assertEqual((rest(client)[1], rest(server)[1]), ("reset", "reset"))
            self.assertEqual(rest(dialled), (b"", "reset"))
            if ways.master.process.poll() is not None:
                self.assertEqual(rest(greeted.socket)[0], b"")

    def test_master_stops(self):
        self.cut_short(lambda ways: ways.master.stop())

    def test_agent_stops(self):
        self.cut_short(lambda ways: os.kill(ways.agent, signal.SIGTERM))


class Target(Fidelity):
    """What happens at the target before there is a connection, and at once after."""

    def refusals(self):
        """Forwards to a port that nobody listens on, and to a socket that is not there."""
        user, closed = self.user(), free_port()
        local, remote, local_unix, remote_unix = ports = [free_port() for _ in range(4)]
        self.connected(user, "-L", f"{local}:127.0.0.1:{closed}", "-R", f"{remote}:127.0.0.1:{closed}",
                       "-L", f"{local_unix}:{user.home}/none", "-R", f"{remote_unix}:{user.home}/none")
        return ports

    def test_refused(self):
        def end_it(client):
            with contextlib.suppress(OSError):  # the reset may have come by now
                client.shutdown(socket.SHUT_WR)

        acts = {"only waits": [], "ends": [end_it],
                "has much to say": [lambda client: client.sendall(BLOCK * 4)]}
        for port in self.refusals():
            for name, act in acts.items():
                with self.subTest(name):
                    self.assertEqual(fate(port, *act), (b"", "reset"))

    def test_unreachable(self):
        """A broadcast address: the kernel says ENETUNREACH, whatever the network is like."""
        with self.assertRaises(OSError), socket.socket() as straight:
            straight.connect(("255.255.255.255", 9))
        local, remote, no_name = (free_port() for _ in range(3))
        self.connected(self.user(), "-L", f"{local}:255.255.255.255:9", "-R", f"{remote}:255.255.255.255:9",
                       "-L", f"{no_name}:a..b:9")
        for port in local, remote, no_name:
            with self.subTest(port):
                self.assertEqual(fate(port), (b"", "reset"))

    def test_closes_at_once(self):
        for path in self.ways.tcp + self.ways.mixed:
            with self.subTest(path.name), path.connect() as client:
                path.accept().close()
                self.assertEqual(rest(client), (b"", "end"))

    def test_speaks_and_closes_at_once(self):
        def act(client, server):
            server.sendall(BLOCK[:100000])
            server.close()
            return rest(client) == (BLOCK[:100000], "end")

        self.same(self.ways.tcp + self.ways.mixed, act, True)

    def test_bytes_and_the_end_come_before_the_dial(self):
        """All that the client does is done before its connection is looked at, on the other side."""
        for early in b"", BLOCK[:100000]:
            for path in self.ways.tcp[1:] + self.ways.mixed[1:]:
                with self.subTest(path.name, early=len(early)):
                    with stopped(self.ways.dialler(path)):
                        client = path.connect()
                        client.sendall(early)
                        client.shutdown(socket.SHUT_WR)
                    with client, path.accept() as server:
                        self.assertEqual(rest(server), (early, "end"))
                        server.sendall(b"late answer")
                        server.shutdown(socket.SHUT_WR)
                        self.assertEqual(rest(client), (b"late answer", "end"))

    def test_bytes_and_the_end_come_during_the_dial(self):
        """The target's queue of connections is full meanwhile."""
        user = self.user()
        listener = listening(self, f"{user.home}/busy.sock", backlog=0)
        local, remote, echo = (free_port() for _ in range(3))
        beside = self.server(Speaker("beside"))
        self.connected(user, "-L", f"{local}:{listener.getsockname()}",
                       "-R", f"{remote}:{listener.getsockname()}", "-L", f"{echo}:127.0.0.1:{beside.port}")
        for port, early in itertools.product((local, remote), (b"", b"early")):
            with self.subTest(port, early=early), connect(listener.getsockname()) as filler, \
                    connect(port) as client:
                client.sendall(early)
                client.shutdown(socket.SHUT_WR)
                # What was sent before this has arrived, too.
                self.assertEqual(exchange(echo), b"beside")
                listener.accept()[0].close()
                self.assertEqual(rest(filler), (b"", "end"))
                with listener.accept()[0] as server:
                    server.settimeout(DEADLINE)
                    self.assertEqual(rest(server), (early, "end"))
                    server.sendall(b"answer")
                    server.shutdown(socket.SHUT_WR)
                    self.assertEqual(rest(client), (b"answer", "end"))

    def test_reset_before_the_dial(self):
        """The target sees no connection, or one that is reset; never one that ends properly."""
        for path in self.ways.tcp[1:]:
            with self.subTest(path.name):
                with stopped(self.ways.dialler(path)):
                    client = path.connect()
                    client.sendall(b"never mind")
                    reset(client)
                with path.connect() as second:
                    second.sendall(b"second")
                    second.shutdown(socket.SHUT_WR)
                    with path.accept() as server:
                        seen = [rest(server)]
                    if seen[0][1] == "reset":
                        with path.accept() as server:
                            seen.append(rest(server))
                    self.assertEqual(seen[-1], (b"second", "end"))

    def test_ipv6(self):
        try:
            listener = listening(self, ("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        port = listener.getsockname()[1]
        local, remote, on_six = (free_port() for _ in range(3))
        self.connected(self.user(), "-L", f"{local}:[::1]:{port}", "-R", f"{remote}:[::1]:{port}",
                       "-L", f"[::1]:{on_six}:localhost:{port}")
        for path in (Path("direct", ("::1", port), listener), Path("-L", ("127.0.0.1", local), listener),
                     Path("-R", ("127.0.0.1", remote), listener), Path("on ::1", ("::1", on_six), listener)):
            with self.subTest(path.name), path.pair() as (client, server):
                client.sendall(b"six")
                self.assertEqual(read_exactly(server, 3), b"six")


class Large(Fidelity):
    def test_both_ways_at_once(self):
        """64 MiB each way, each in pieces of its own."""
        for path in self.ways.tcp[1:] + self.ways.mixed[1:]:
            with self.subTest(path.name), path.pair() as ends:
                length = 64 << 20 if path in self.ways.tcp else 8 << 20
                sent, got = [None, None], [None, None]
                work = [threading.Thread(target=self.send, args=[ends[i], i, length, sent]) for i in (0, 1)]
                work += [threading.Thread(target=self.receive, args=[ends[1 - i], i, got]) for i in (0, 1)]
                for thread in work:
                    thread.start()
                for thread in work:
                    thread.join()
                self.assertEqual(got, sent)
                self.assertEqual([total for total, _ in got], [length, length])

    def send(self, connection, i, length, sent):
        chance, digest, left = random.Random(i), hashlib.sha256(), length
        while left:
            start = chance.randrange(len(BLOCK))
            piece = BLOCK[start:start + min(left, chance.randrange(1, len(BLOCK)))]
            connection.sendall(piece)
            digest.update(piece)
            left -= len(piece)
        connection.shutdown(socket.SHUT_WR)
        sent[i] = length, digest.hexdigest()

    def receive(self, connection, i, got):
        digest, total = hashlib.sha256(), 0
        while data := connection.recv(1 << 18):
            digest.update(data)
            total += len(data)
        got[i] = total, digest.hexdigest()


class Names(TestCase):
    """Each side resolves for itself what is asked of it."""

    def mounted(self, hosts, *argv):
        """A command for which /etc/hosts says this."""
        path = os.path.join(self.dir, f"hosts-{hosts.split()[0]}")
        with open(path, "w") as file:
            file.write(f"127.0.0.1 localhost\n{hosts}\n")
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', path, *argv]

    def start_sshd(self, hosts):
        """One more, with the first one's keys; its port."""
        port, log = free_port(), os.path.join(self.dir, "sshd.log")
        config = os.path.join(self.sshd.dir, "config")
        self.start(*self.mounted(hosts, shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"), "-D", "-f",
                                 config, "-p", str(port), "-E", log))
        until(lambda: os.path.exists(log) and "Server listening" in open(log).read(), "second sshd")
        return port

    @root_only
    def test_resolved_on_the_other_side(self):
        if subprocess.run(self.mounted("127.0.0.1 try", "true"), capture_output=True, check=False).returncode:
            self.skipTest("no mount namespaces here")
        user = self.user()
        target = self.server(Speaker("there", host="127.0.0.2"))
        decoy = self.server(Speaker("here", host="127.0.0.3", port=target.port))
        local, remote, socks = (free_port() for _ in range(3))
        config = self.ssh_config(user, port=self.start_sshd("127.0.0.2 service"))
        master = self.start(*self.mounted("127.0.0.3 service", self.berth_path, "master", "-F", config,
                                          "-L", f"{local}:service:{target.port}", "-D", str(socks),
                                          "-R", f"{remote}:service:{decoy.port}", "testhost"))
        master.await_line("connected")
        self.assertEqual(exchange(local), b"there")
        self.assertEqual(exchange(remote), b"here")
        with Socks(socks) as client:
            self.assertEqual(client.ask_name("service", target.port), 0)
            self.assertEqual(read_all(client.socket), b"there")


class SocksProxy(TestCase):
    transport = "ssh"

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.connected(self.user(), "-D", str(self.port))

    def test_connects(self):
        target = self.server(Speaker("behind the proxy"))
        for ask in (lambda c: c.ask_v4("127.0.0.1", target.port),
                    lambda c: c.ask_name("localhost", target.port),
                    lambda c: c.ask_name("127.0.0.1", target.port)):
            with self.subTest(ask), Socks(self.port) as client:
                self.assertEqual(ask(client), 0)
                self.assertEqual(rest(client.socket), (b"behind the proxy", "end"))

    def test_connects_by_v6(self):
        try:
            target = self.server(Speaker("six", host="::1"))
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with Socks(self.port) as client:
            self.assertEqual(client.ask_v6("::1", target.port), 0)
            self.assertEqual(rest(client.socket), (b"six", "end"))

    def test_says_why_not(self):
        closed = free_port()
        for reply, ask in ((5, lambda c: c.ask_v4("127.0.0.1", closed)),
                           (5, lambda c: c.ask_v6("::1", closed)),
                           (5, lambda c: c.ask_name("localhost", closed)),
                           (4, lambda c: c.ask_v4("255.255.255.255", 9)),
                           (4, lambda c: c.ask_name("a..b", 9)),
                           (7, lambda c: c.ask_v4("127.0.0.1", closed, command=2))):
            with self.subTest(reply), Socks(self.port) as client:
                self.assertEqual(ask(client), reply)
                self.assertEqual(rest(client.socket), (b"", "end"))

    def test_half_close_and_reset(self):
        listener = listening(self)
        port = listener.getsockname()[1]
        for ending in "half-close", "reset":
            with self.subTest(ending), Socks(self.port) as client:
                self.assertEqual(client.ask_v4("127.0.0.1", port), 0)
                with listener.accept()[0] as server:
                    server.settimeout(DEADLINE)
                    client.socket.sendall(b"question")
                    self.assertEqual(read_exactly(server, 8), b"question")
                    if ending == "reset":
                        reset(client.socket)
                        self.assertEqual(rest(server), (b"", "reset"))
                        continue
                    client.socket.shutdown(socket.SHUT_WR)
                    self.assertEqual(rest(server), (b"", "end"))
                    server.sendall(b"answer")
                    reset(server)
                    self.assertIn(rest(client.socket), [(b"answer", "reset"), (b"", "reset")])

    def test_all_in_one_piece(self):
        """A client that waits for nothing: its request, its data and its end come at once."""
        echo = self.server(Echo())
        with connect(self.port) as client:
            client.sendall(b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + echo.port.to_bytes(2, "big") + b"data")
            client.shutdown(socket.SHUT_WR)
            data, how = rest(client)
            self.assertEqual((data[:4], data[12:], how), (b"\5\0\5\0", b"data", "end"))


class HalfCloseByQuic(HalfClose):
    transport = "quic"


class ResetByQuic(Reset):
    transport = "quic"


class TargetByQuic(Target):
    transport = "quic"


class LargeByQuic(Large):
    transport = "quic"


class SocksProxyByQuic(SocksProxy):
    transport = "quic"


if __name__ == "__main__":
    unittest.main()
