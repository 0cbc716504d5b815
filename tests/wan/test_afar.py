"""ssh as it is, and berth, over a path that is long, loses, and breaks."""

import threading

from afar import TestCase
from harness import HOST, Echo, connect, exchange, free_port, read_exactly

LENGTH = 2_000_000


class Afar(TestCase):
    def ssh(self, config, *command):
        return self.start("ssh", "-F", config, HOST, *command)

    def test_ssh(self):
        path = self.join(delay="20ms", loss="1%", rate="100mbit")
        user = self.user()
        for v6, address in (False, path.here.v4), (True, path.here.v6):
            ssh = self.ssh(self.ssh_config(user, v6=v6), "echo $SSH_CONNECTION; head -c 1000000 /dev/zero | wc -c")
            self.assertEqual(ssh.wait(), 0, ssh.text())
            self.assertEqual(ssh.output[0].split()[0], address)
            self.assertEqual(ssh.output[1], "1000000")
        self.assertGreater(path.stats()["down"]["out_bytes"], 0)
        self.assertEqual(self.sshd.accepted(), 2)

    def test_ssh_through_nat(self):
        path = self.join(nat=True)
        ssh = self.ssh(self.ssh_config(self.user()), "echo $SSH_CONNECTION")
        self.assertEqual(ssh.wait(), 0, ssh.text())
        self.assertEqual(ssh.output[0].split()[0], path.nat.v4)

    def test_tunnel(self):
        """Bytes on their way while the path is cut, and another address after it."""
        path = self.join(delay="10ms", rate="20mbit")
        with path.there.entered():
            echo = self.server(Echo())
        port = free_port()
        master = self.connected(self.user(), "--transport", "ssh", "-L", f"{port}:127.0.0.1:{echo.port}")
        with path.here.entered():
            self.assertEqual(exchange(port, b"hello"), b"hello")
            data = bytes(range(256)) * (LENGTH // 256)
            with connect(port) as s:
                sender = threading.Thread(target=s.sendall, args=[data])
                sender.start()
                got = read_exactly(s, len(data) // 4)
                path.cut()
                path.here.renumber()
                path.join()
                got += read_exactly(s, len(data) - len(got))
                sender.join()
        self.assertEqual(got, data)
        self.assertIsNone(master.process.poll())
