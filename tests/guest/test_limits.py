"""What goes on at the same time, and how much of it."""

import hashlib
import struct
import threading

from guest import GUEST_PORT, RELAY_PORT, base64_of, data_frame, frame, message
from harness import DEADLINE, TestCase, until

MIB = 1 << 20
SERVED = 64


class Concurrency(TestCase):
    def test_none_waits_for_another(self):
        """A thousand Pings while a command runs, and files are read and written slowly."""
        data = hashlib.shake_128(b"slowly").digest(30 * MIB)
        path, new = self.file("file", data), self.path("new")
        sleeper, getter, putter, reader = (self.connect() for _ in range(4))
        sleeper.request("Exec", command=f"touch {self.dir}/sleeps; sleep 300", timeout_secs=400)
        until(lambda: self.guest.exists(f"{self.dir}/sleeps"), "command that sleeps")
        self.assertEqual(getter.ask("FileGet", path=path)["size"], len(data))
        putter.request("FilePut", path=new, size=len(data))
        got, slices = [], []
        step = len(data) // 21
        for i in range(1000):
            self.assertAlive()
            if i % 50 == 0:
                at = i // 50 * step
                got.append(getter.read(step))
                putter.send(data[at:at + step])
                slices.append(reader.ask("FileRead", path=path, offset=at, limit=step)["content"])
        self.assertTrue(sleeper.waits(), "the command has ended before the Pings did")
        self.assertFalse(self.guest.exists(new), "the file that is not complete has its name")
        got.append(getter.body(len(data) - 20 * step))
        self.assertTrue(b"".join(got) == data)
        putter.send(data[20 * step:])
        self.assertOk(putter.answer())
        self.assertTrue(self.guest.get(new) == data)
        for i, text in enumerate(slices):
            self.assertTrue(text == base64_of(data[i * step:(i + 1) * step]), f"slice {i}")

    def test_a_reader_that_does_not_read(self):
        """Answers that nobody takes hold up nothing but their own connection."""
        path = self.path("file")
        self.sh(f"truncate -s {8 * MIB} {path}")
        idle = [self.connect() for _ in range(8)]
        for c in idle:
            c.send(frame(message("FileRead", path=path)) * 20)
        for _ in range(100):
            self.assertAlive()
        for c in idle:
            c.close()

    def test_requests_that_nobody_reads_the_answers_of(self):
        """The agent takes no more of them than it can answer: it does not grow."""
        self.guest.memory(reset=True)
        before = self.guest.memory()
        many = frame(message("Exec", command="head -c 1000000 /dev/zero | tr '\\0' x")) * 2000
        with self.connect() as c:
            c.sock.settimeout(0.5)
            try:
                c.sock.sendall(many)
            except TimeoutError:
                pass
            for _ in range(100):
                self.assertAlive()
            self.assertLess(self.guest.memory() - before, 64 * MIB)

    def test_commands_at_once(self):
        connections = [self.connect() for _ in range(40)]
        for i, c in enumerate(connections):
            c.request("Exec", command=f"head -c 300000 /dev/zero | tr '\\0' x; exit {i}")
        for i, c in reversed(list(enumerate(connections))):
            answer = c.answer()
            self.assertEqual((answer["exit_code"], len(answer["stdout"])), (i, 300000))
            c.close()


class Waiting(threading.Thread):
    """A connection whose opening may have to wait, too."""

    def __init__(self, guest, port=GUEST_PORT):
        super().__init__(daemon=True)
        self.guest = guest
        self.port = port
        self.result = None
        self.start()

    def run(self):
        try:
            with self.guest.connect(self.port) as c:
                c.request("Ping")
                self.result = c.answer()["type"]
        except Exception as error:  # told by whoever looks at the result
            self.result = error


class Connections(TestCase):
    def test_two_hundred(self):
        """64 are served; of the rest none is, until one of the 64 has ended; then all are."""
        self.sh(f"mkfifo {self.dir}/gate; touch {self.dir}/begun")
        served = [self.connect() for _ in range(SERVED)]
        for c in served[1:]:
            c.request("Exec", command=f"echo >>{self.dir}/begun; cat {self.dir}/gate")
        echo = served[0]
        echo.request("ExecStream", command=f"until [ $(wc -l <{self.dir}/begun) = {SERVED - 1} ]; do sleep 0.05; "
                                           "done; echo all; cat", stdin=True)
        self.assertEqual(echo.answer()["type"], "Started")
        self.assertEqual(echo.read_frame(), b"\x01all\n")
        rest = [Waiting(self.guest) for _ in range(200 - SERVED)]
        for i in range(100):  # the agent has turned often, and taken what it would
            text = b"turn %d\n" % i
            echo.send(data_frame(0, text))
            self.assertEqual(echo.read_frame(), b"\x01" + text)
        self.assertEqual([thread.result for thread in rest if thread.result is not None], [])
        self.assertTrue(all(c.waits() for c in served))
        echo.send(data_frame(0))
        while b'"Exited"' not in echo.read_frame():
            pass
        echo.close()
        for thread in rest:
            thread.join(DEADLINE)
            self.assertEqual(thread.result, "Pong")
        self.assertTrue(all(c.waits() for c in served[1:]))
        for c in served[1:]:
            c.close()

    def test_those_that_leave_make_room(self):
        for _ in range(3):
            silent = [self.connect() for _ in range(SERVED)]
            late = Waiting(self.guest)
            for c in silent:
                c.close()
            late.join(DEADLINE)
            self.assertEqual(late.result, "Pong")

    def test_the_relay_has_a_limit_of_its_own(self):
        """As many, and whoever uses it up keeps nobody from the other port."""
        served = [self.connect(RELAY_PORT) for _ in range(SERVED)]
        for c in served:
            self.assertEqual(c.ask("Ping")["type"], "Pong")
        late = Waiting(self.guest, RELAY_PORT)
        for _ in range(100):
            self.assertAlive()
            self.assertEqual(served[0].ask("Ping")["type"], "Pong")
        self.assertIsNone(late.result)
        served[1].close()
        late.join(DEADLINE)
        self.assertEqual(late.result, "Pong")
        for c in served:
            c.close()

    def test_many_after_each_other(self):
        for port in (GUEST_PORT, RELAY_PORT):
            for _ in range(300):
                with self.connect(port) as c:
                    c.send(struct.pack(">I", 5))


class Sockets(TestCase):
    def test_no_network_sockets(self):
        """Not one of TCP or UDP, in the agent or in what started it, while all kinds of requests are served."""
        script = """for pid in $PPID $(cut -d ' ' -f 4 /proc/$PPID/stat); do ls -l /proc/$pid/fd; done 2>/dev/null \
                    | sed -n 's/.*socket:.\\([0-9]*\\).*/\\1/p' | sort -u >%s/held
                    for table in /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/raw; do
                        [ ! -e $table ] || sed 1d $table; done | while read -r line; do
                        set -- $line; echo ${10}; done | sort >%s/network
                    wc -l <%s/held; grep -c -x -F -f %s/held %s/network || true"""
        with self.connect() as c, self.connect(RELAY_PORT) as relay:
            c.request("Exec", command="sleep 300")
            relay.ask("Ping")
            held, network = self.sh(script.replace("%s", self.dir)).split()
            self.assertGreaterEqual(int(held), 3)
            if self.world.way == "unix":
                return  # what started it is ours, and has what it wants
            self.assertEqual(network, "0")
