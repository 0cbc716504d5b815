"""Dial: connections from inside of the guest, to a server that runs there."""

from guest import data_frame, frame, message
from harness import TestCase, quote

# One connection after the other, on TCP and on a unix socket: what it gets, sent back; "reset" is answered so.
SERVER = """
import os, select, socket, struct, sys
tcp = socket.create_server(("127.0.0.1", 0))
six = socket.create_server(("::1", 0), family=socket.AF_INET6) if os.path.exists("/proc/net/if_inet6") else tcp
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[1])
unix.listen()
print(tcp.getsockname()[1], six.getsockname()[1], flush=True)
while True:
    for server in select.select([tcp, six, unix, 0], [], [])[0]:
        if server == 0:
            sys.exit()
        s = server.accept()[0]
        if os.fork():
            s.close()
            continue
        total = 0
        while True:
            data = s.recv(65536)
            if data == b"reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
                os._exit(0)
            if not data:
                break
            total += len(data)
            s.sendall(data)
        s.sendall(b"total %d" % total)
        os._exit(0)
"""


class Server(TestCase):
    def setUp(self):
        super().setUp()
        if self.ask("Exec", command="python3 -c 'import socket'")["exit_code"] != 0:
            self.skipTest("the guest has no python3 to run a server")
        self.server = self.connect()
        command = f"exec python3 -c {quote(SERVER)} {self.dir}/socket"
        answer = self.server.ask("ExecStream", command=command, stdin=True)
        self.assertEqual(answer["type"], "Started")
        ports = self.server.read_frame()
        self.assertEqual(ports[:1], b"\x01", ports)
        self.port, self.port6 = (int(word) for word in ports[1:].split())

    def tearDown(self):
        self.server.send(data_frame(0))
        while b'"Exited"' not in self.server.read_frame():
            pass
        self.server.close()

    def dial(self, target):
        c = self.connect()
        self.assertOk(c.ask("Dial", target=target))
        return c

    def targets(self):
        yield f"127.0.0.1:{self.port}"
        yield f"localhost:{self.port}"
        yield f"unix:{self.dir}/socket"
        if self.port6 != self.port:
            yield f"[::1]:{self.port6}"


class Dial(Server):
    def test_echo(self):
        for target in self.targets():
            with self.subTest(target), self.dial(target) as c:
                for data in (b"x", b'\0\0\0\x0f{"type":"Ping"}', bytes(range(256)) * 1000):
                    c.send(data)
                    self.assertEqual(c.read(len(data)), data)

    def test_bytes_at_once(self):
        """Without waiting for Ok."""
        with self.connect() as c:
            c.send(frame(message("Dial", target=f"127.0.0.1:{self.port}")) + b"early")
            self.assertOk(c.answer())
            self.assertEqual(c.read(5), b"early")

    def test_after_other_requests(self):
        with self.connect() as c:
            self.assertEqual(c.ask("Ping")["type"], "Pong")
            self.assertOk(c.ask("Dial", target=f"127.0.0.1:{self.port}"))
            c.send(b"text")
            self.assertEqual(c.read(4), b"text")

    def test_reset(self):
        """Of the server's side: never a clean end, where the way knows another."""
        with self.dial(f"127.0.0.1:{self.port}") as c:
            c.send(b"reset")
            try:
                self.assertEqual(c.receive(), b"")
            except ConnectionResetError:
                pass


class HalfClosed(Server):
    def test_half_close(self):
        for target in self.targets():
            with self.subTest(target), self.dial(target) as c:
                c.send(b"12345")
                c.end_input()
                self.assertEqual(c.rest(), b"12345total 5")


class Refused(TestCase):
    def test_refused(self):
        """By a port that nobody has, and that the kernel gives to nobody who does not ask for it."""
        taken = self.sh("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | cut -d: -f3 | cut -c1-4").split()
        port = next(port for port in range(20000, 32768) if f"{port:04X}" not in taken)
        answer = self.ask("Dial", target=f"127.0.0.1:{port}")
        self.assertEqual((answer["type"], answer["code"]), ("Error", "ConnectionRefused"), answer)

    def test_nobody_at_the_path(self):
        self.fails("Dial", "NotFound", target=f"unix:{self.dir}/none")
        path = self.file("file")
        answer = self.ask("Dial", target=f"unix:{path}")
        self.assertEqual((answer["type"], answer["code"]), ("Error", "ConnectionRefused"), answer)

    def test_bad_target(self):
        for target in ("", "x", "localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:x", ":80",
                       "unix:", "[::1]", "::1:80", "unix:/" + "x" * 200, 80, None, "a\u0000b:80"):
            with self.subTest(target):
                self.fails("Dial", "InvalidRequest", target=target)


