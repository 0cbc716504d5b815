"""UDP forwards, with real sockets at both ends, over QUIC and over ssh."""

import json
import os
import socket
import struct
import subprocess

from datagrams import Sender, UdpServer, free_udp_port, udp_socket
from harness import *
from harness import HOST

SIZES = (0, 1, 1200, 1500, 9000, 65507)


class Names(UdpServer):
    """A little of DNS: the answer to any question is 192.0.2.77."""

    def reply(self, data, sender):
        number, = struct.unpack("!H", data[:2])
        header = struct.pack("!6H", number, 0x8180, 1, 1, 0, 0)
        return header + data[12:] + b"\xc0\x0c" + struct.pack("!2HIH4B", 1, 1, 60, 4, 192, 0, 2, 77)


def question(number, name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


class Udp:
    """The cases, for each transport."""

    def ready(self, user, *args, **more):
        """A master whose forwards have been answered; with QUIC that is once it has come."""
        master = self.connected(user, *args, **more)
        if self.transport == "quic":
            master.await_line(r"^berth: \S+: on quic")
        until(lambda: all(f["state"] != "waiting" for f in self.forwards()), "answers to -R")
        return master

    def forwards(self):
        done = self.berth("list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["sessions"][0]["forwards"]

    def state(self, index=0):
        return self.forwards()[index]["state"]

    def sender(self, port, **more):
        return self.server(Sender(port, **more))

    def test_sizes(self):
        echo = self.server(UdpServer())
        port, back = free_udp_port(), free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:127.0.0.1:{echo.port}", "-R", f"udp:{back}:localhost:{echo.port}")
        for at in port, back:
            sender = self.sender(at)
            for size in SIZES:
                data = os.urandom(size)
                sender.ask_for(data, data)

    def test_senders_are_kept_apart(self):
        echo = self.server(UdpServer())
        port, back = free_udp_port(), free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:127.0.0.1:{echo.port}", "-R", f"udp:{back}:127.0.0.1:{echo.port}")
        senders = [self.sender(at) for at in (port, back) for _ in range(8)]
        for turn in range(20):
            for i, sender in enumerate(senders):
                sender.send(b"%d %d" % (i, turn))
        for i, sender in enumerate(senders):
            sender.ask_for(b"%d last" % i, b"%d last" % i)
            while (data := sender.receive(0.01)) is not None:
                self.assertEqual(data.split()[0], b"%d" % i)
        self.assertEqual(len(echo.senders), len(senders))
        self.assertEqual([f["open"] for f in self.forwards()], [8, 8])

    def test_only_the_target_is_heard(self):
        echo = self.server(UdpServer())
        port = free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:127.0.0.1:{echo.port}")
        sender, stranger = self.sender(port), self.server(udp_socket())
        sender.ask(b"hello")
        stranger.sendto(b"from elsewhere", echo.senders[0])
        sender.drain()
        self.assertEqual(sender.ask(b"again"), b"again")

    def test_names(self):
        names = self.server(Names())
        port = free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:localhost:{names.port}")
        for number in range(1, 50):  # each from a port of its own, as resolvers ask
            sender = self.sender(port)
            answer = sender.ask(question(number, "host.example"))
            self.assertEqual(struct.unpack("!H", answer[:2]), (number,))
            self.assertEqual(socket.inet_ntoa(answer[-4:]), "192.0.2.77")
            sender.close()

    def test_short_form_listing_and_close(self):
        echo = self.server(UdpServer())
        elsewhere = self.server(Echo())
        back = free_udp_port()
        port = free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:localhost:{echo.port}", "-R", f"udp:{back}:localhost:{echo.port}",
                   "-L", f"{port}:localhost:{elsewhere.port}")
        self.sender(port).ask(b"x")
        self.assertEqual(exchange(port, b"tcp"), b"tcp")
        rows = [(f["kind"], f["bind"], f["target"], f["state"], f["open"]) for f in self.forwards()]
        self.assertEqual(rows[:2], [
            ("L", f"udp:127.0.0.1:{port}", f"udp:localhost:{echo.port}", "ok", 1),
            ("R", f"udp:127.0.0.1:{back}", f"udp:localhost:{echo.port}", "ok", 0)])
        self.assertIn(f"-L udp:127.0.0.1:{port} -> udp:localhost:{echo.port}", self.berth("list").stdout)
        self.assertEqual(self.berth("close", f"udp:{port}").returncode, 0)
        self.assertEqual(self.berth("close", str(back)).returncode, 0)
        self.assertEqual([f["bind"] for f in self.forwards()], [f"127.0.0.1:{port}"])
        for free in port, back:
            until(lambda free=free: self.is_free(free), f"free UDP port {free}")
        done = self.berth("close", f"udp:{port}")
        self.assertEqual((done.returncode, done.stderr), (1, f"berth: no forward has UDP port {port}\n"))

    def is_free(self, port):
        try:
            udp_socket(port=port).close()
            return True
        except OSError:
            return False

    def test_remembered(self):
        echo = self.server(UdpServer())
        port, back = free_udp_port(), free_udp_port()
        user = self.user()
        master = self.ready(user, "-L", f"udp:{port}:localhost:{echo.port}", "-R", f"udp:{back}:localhost:{echo.port}")
        master.stop()
        with open(os.path.join(self.home, ".config/berth/forwards.json")) as file:
            self.assertEqual(json.load(file)["hosts"][HOST]["forwards"], [
                {"kind": "L", "bind": f"udp:127.0.0.1:{port}", "target": f"udp:localhost:{echo.port}"},
                {"kind": "R", "bind": f"udp:127.0.0.1:{back}", "target": f"udp:localhost:{echo.port}"}])
        self.ready(user)
        for at in port, back:
            self.assertEqual(self.sender(at).ask(b"x"), b"x")

    def test_port_in_use(self):
        taken = self.server(udp_socket())
        port = taken.getsockname()[1]
        echo = self.server(UdpServer())
        other = free_udp_port()
        master = self.ready(self.user(), "-R", f"udp:{port}:localhost:{echo.port}", "-L",
                            f"udp:{port}:localhost:{echo.port}", "-R", f"udp:{other}:localhost:{echo.port}")
        master.await_line(f"^Error: Remote port {port} is already in use by another process.$")
        self.assertRegex(master.text(), f"cannot listen on udp:127.0.0.1:{port}: Address (already )?in use")
        self.assertEqual(self.sender(other).ask(b"x"), b"x")
        self.assertEqual([f["state"] for f in self.forwards()], ["in use", "in use", "ok"])

    def test_refused_until_an_answer(self):
        closed = free_udp_port()
        port, back = free_udp_port(), free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:127.0.0.1:{closed}", "-R", f"udp:{back}:127.0.0.1:{closed}")
        senders = [self.sender(port), self.sender(back)]
        for i, sender in enumerate(senders):
            def refused(i=i, sender=sender):
                sender.send(b"anybody?")
                return self.state(i) == "refused"
            until(refused, "refused in the list")
        self.server(UdpServer(port=closed))
        for i, sender in enumerate(senders):
            self.assertEqual(sender.ask(b"anybody?"), b"anybody?")
            self.assertEqual(self.state(i), "ok")

    def test_no_such_host(self):
        port = free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:no-such-host.invalid:9")
        sender = self.sender(port)
        sender.send(b"x")
        until(lambda: self.forwards()[0]["open"] == 0, "end of the flow")
        self.assertEqual(self.state(), "ok")

    def test_families_and_wildcards(self):
        """An answer comes from the address that was asked; a name's second address when the first refuses."""
        try:
            echo = self.server(UdpServer(host="::1"))
        except OSError as error:
            self.skipTest(f"no IPv6: {error}")
        any_port, six, name = free_udp_port(), free_udp_port("::1"), free_udp_port()
        self.ready(self.user(), "-L", f"udp:*:{any_port}:[::1]:{echo.port}", "-R", f"udp:[::1]:{six}:[::1]:{echo.port}",
                   "-L", f"udp:{name}:localhost:{echo.port}")
        for host in "127.0.0.1", "127.0.0.2", "::1":  # connected sockets: who else answers is not heard
            self.assertEqual(self.sender(any_port, host=host).ask(b"x"), b"x")
        self.assertEqual(self.sender(six, host="::1").ask(b"x"), b"x")
        self.assertEqual(self.sender(name).ask(b"x"), b"x")

    def test_many_senders(self):
        """More than a forward has flows for: the idle ones go, and the others are served."""
        echo = self.server(UdpServer())
        port = free_udp_port()
        self.ready(self.user(), "-L", f"udp:{port}:127.0.0.1:{echo.port}")
        first = self.sender(port)
        self.assertEqual(first.ask(b"first"), b"first")
        for i in range(1100):
            sender = Sender(port)
            sender.send(b"%d" % i)
            if i % 100 == 99:
                sender.ask_for(b"%d" % i, b"%d" % i)  # its port may have been another's before
                self.assertEqual(first.ask(b"first"), b"first")
            sender.close()
        self.assertLessEqual(self.forwards()[0]["open"], 1024)
        self.assertGreater(self.forwards()[0]["open"], 900)
        self.sender(port).ask_for(b"last", b"last")

    def test_dead_session_is_taken_over(self):
        echo = self.server(UdpServer())
        back = free_udp_port()
        user = self.user()
        words = ("-R", f"udp:{back}:localhost:{echo.port}")
        master = self.ready(user, *words)
        self.assertEqual(self.sender(back).ask(b"x"), b"x")
        master.kill()
        self.ready(user, *words)
        self.assertEqual(self.sender(back).ask(b"x"), b"x")


class OverQuic(Udp, TestCase):
    transport = "quic"


class OverSsh(Udp, TestCase):
    transport = "ssh"


class Refused(TestCase):
    def test_what_makes_no_sense(self):
        for words, why in (
                (["-L", "udp:53:/tmp/x"], "UDP has no unix sockets"),
                (["-R", "udp:/tmp/x:host:53"], "UDP has no unix sockets"),
                (["-D", "udp:1080"], "-D is a proxy for TCP alone"),
                (["-L", "udp:"], "a port must be 1 to 65535"),
                (["-L", "udp:70000"], "a port must be 1 to 65535"),
                (["-L", "udp:5353", "-L", "udp:5353:ns:53"], "udp:127.0.0.1:5353 is taken by another option")):
            done = self.berth("master", *words, HOST)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(why, done.stderr)
        done = self.berth("forward", "udp:5353")
        self.assertEqual(done.returncode, 2)
        self.assertIn("UDP is forwarded with berth master -L udp:", done.stderr)
