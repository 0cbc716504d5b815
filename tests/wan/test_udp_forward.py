"""UDP forwards over a path that changes under them: a flow goes on, seen by the port that the target sees."""

from afar import TestCase
from datagrams import Sender, UdpServer, free_udp_port
from machine import until


class UdpForward(TestCase):
    def begin(self, *args, **shape):
        """A path, a master, and a sender at each end that was answered."""
        path = self.join(**shape)
        with path.there.entered():
            there = self.server(UdpServer())
        with path.here.entered():
            here = self.server(UdpServer())
        port, back = free_udp_port(), free_udp_port()
        master = self.connected(self.user(), "-L", f"udp:{port}:127.0.0.1:{there.port}",
                                "-R", f"udp:{back}:127.0.0.1:{here.port}", *args)
        with path.here.entered():
            senders = [self.server(Sender(port))]
        with path.there.entered():
            senders.append(self.server(Sender(back)))
        for sender in senders:
            sender.ask(b"first")
        self.servers, self.senders = (there, here), senders
        return path, master

    def check(self, what):
        """Both are answered, and are still the same to their targets."""
        for server, sender in zip(self.servers, self.senders):
            sender.ask_for(what, what)
            self.assertEqual(len(server.senders), 1, f"{what}: another port")

    def test_udp_blocked_and_let_through(self):
        path, master = self.begin("--transport", "quic", delay="10ms")
        self.check(b"over quic")
        for turn in b"once", b"twice":
            path.block("udp")
            until(lambda: self.ping() and "UDP is silent" in self.new_lines(master), "move to ssh")
            self.check(b"over ssh " + turn)
            path.unblock("udp")
            until(lambda: self.ping() and "on quic" in self.new_lines(master), "move to QUIC")
            self.check(b"over quic " + turn)

    def ping(self):
        """Datagrams on their way, whatever becomes of them."""
        for sender in self.senders:
            sender.send(b"on its way")
        return True

    def new_lines(self, master):
        text = master.text()
        at, self.read = getattr(self, "read", 0), len(text)
        return text[at:]

    def test_lost_and_back_over_ssh(self):
        path, master = self.begin("--transport", "ssh", delay="10ms")
        path.cut()
        until(lambda: self.ping() and "network lost" in self.new_lines(master), "loss")
        path.join()
        master.await_line(r"^berth: \S+: back \(ssh")
        self.check(b"back")

    def test_lost_and_back_over_quic(self):
        path, _ = self.begin("--transport", "quic", delay="10ms")
        path.cut()
        path.here.renumber()
        self.ping()
        path.join()
        self.check(b"back")

    def test_loss_and_jitter(self):
        """Nothing is held up by what is lost, and nothing comes to another sender."""
        path, _ = self.begin("--transport", "quic", delay="20ms", jitter="5ms", loss="5%")
        sender = self.senders[0]
        sender.drain()
        with path.here.entered():
            for i in range(2000):
                sender.send(b"%d" % i)
        got = []
        while (data := sender.receive(2)) is not None:
            got.append(data)
        numbers = {int(data) for data in got if data.isdigit()}
        self.assertEqual(len(numbers), sum(data.isdigit() for data in got), "one came twice")
        self.assertGreater(len(numbers), 1000)
        self.check(b"and after it")
