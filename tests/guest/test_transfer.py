"""FileGet, FilePut and Sync: files of any size, streamed."""

import hashlib
import os

from guest import frame, message
from harness import TestCase, until

BIG = 5 << 30
SLACK = 48 << 20  # how much an agent may grow meanwhile


class Transfer(TestCase):
    def big_path(self):
        """In a file system that is memory, if there is one: it is the quickest."""
        folder = "/dev/shm" if self.sh("stat -f -c %T /dev/shm 2>/dev/null || true") == "tmpfs\n" else self.dir
        path = f"{folder}/berth-guest-{os.getpid()}-{self.world.tests}"
        self.addCleanup(self.sh, f"rm -f {path}")
        return path

    def size(self):
        """The sanitizers' agent gets less, all of it by the same code."""
        return BIG >> 3 if getattr(self.world, "slow", False) else BIG

    def room(self, path):
        """Bytes that a file may have there. That of memory is what can be spared of it."""
        free = int(self.sh(f"df -Pk {os.path.dirname(path)} | tail -n 1").split()[3]) << 10
        if self.sh(f"stat -f -c %T {os.path.dirname(path)}") == "tmpfs\n":
            free = min(free, int(self.sh("grep MemAvailable: /proc/meminfo").split()[1]) << 9)
        return free


class Get(Transfer):
    def get(self, path, **fields):
        with self.connect() as c:
            info = c.ask("FileGet", path=path, **fields)
            self.assertShape(info, "FileInfo", {"size", "mode", "mtime"})
            left = max(0, info["size"] - fields.get("offset", 0))
            return info, c.body(min(left, fields.get("length", left)))

    def test_info(self):
        path = self.file("file", b"content")
        self.sh(f"chmod 4751 {path}; touch -d @1234567890 {path}")
        info, data = self.get(path)
        self.assertEqual((info["size"], info["mode"], info["mtime"], data), (7, 0o4751, 1234567890, b"content"))

    def test_slices(self):
        data = bytes(range(256))
        path = self.file("file", data)
        for offset, length in ((0, 0), (0, 1), (10, 20), (255, 1), (255, 2), (256, 1), (257, 1), (0, 1 << 62),
                               ((1 << 63) - 1, (1 << 63) - 1)):
            with self.subTest(offset=offset, length=length):
                info, got = self.get(path, offset=offset, length=length)
                self.assertEqual((info["size"], got), (256, data[offset:offset + length]))
        self.assertEqual(self.get(path, offset=250)[1], data[250:])
        self.assertEqual(self.get(path, length=6)[1], data[:6])
        for bad in (-1, "1", 1.5, []):
            self.fails("FileGet", "InvalidRequest", path=path, offset=bad)
            self.fails("FileGet", "InvalidRequest", path=path, length=bad)

    def test_empty(self):
        self.assertEqual(self.get(self.file("file"))[1], b"")

    def test_sparse(self):
        """5 GiB, and the agent does not grow."""
        path = self.big_path()
        size = self.size()
        self.sh(f"truncate -s {size} {path}; printf begin | dd of={path} conv=notrunc 2>/dev/null; "
                f"printf end >>{path}")
        self.guest.memory(reset=True)
        before = self.guest.memory()
        with self.connect() as c:
            self.assertEqual(c.ask("FileGet", path=path)["size"], size + 3)
            self.assertEqual(c.read(5), b"begin")
            c.skip(size - 5)
            self.assertEqual(c.body(3), b"end")
        self.assertLess(self.guest.memory() - before, SLACK)

    def test_reader_that_leaves(self):
        path = self.path("file")
        self.sh(f"truncate -s {1 << 30} {path}")
        for _ in range(20):
            with self.connect() as c:
                c.ask("FileGet", path=path)


class Put(Transfer):
    def test_new(self):
        for size in (0, 1, 65536, 1_000_003):
            data = os.urandom(size)
            self.guest.put(self.path("file"), data)
            self.assertEqual(self.guest.get(self.path("file")), data)
        self.assertEqual(self.sh(f"ls -A {self.dir}"), "file\n")

    def test_mode(self):
        self.guest.put(self.path("new"), b"x", mode=0o751)
        self.assertEqual(self.sh(f"stat -c %a {self.dir}/new"), "751\n")
        self.guest.put(self.path("new"), b"x")
        self.assertEqual(self.sh(f"stat -c %a {self.dir}/new"), "751\n", "the old file's")
        for mode in (-1, 0o10000, "755"):
            self.fails("FilePut", "InvalidRequest", path=self.path("other"), size=0, mode=mode)
        self.assertFalse(self.guest.exists(self.path("other")))

    def test_size(self):
        for size in (-1, "5", 1.5):
            with self.subTest(size):
                self.fails("FilePut", "InvalidRequest", path=self.path("file"), size=size)
        self.assertEqual(self.sh(f"ls -A {self.dir}"), "")

    def test_a_size_that_is_not_known(self):
        """The bytes come as frames of data then, and an empty one ends them."""
        with self.connect() as c:
            c.send(frame(message("FilePut", path=self.path("file"))) + frame(b"\0data") + frame(b"\0 and more") +
                   frame(b"\0"))
            self.assertOk(c.answer())
        self.assertEqual(self.guest.get(self.path("file")), b"data and more")

    def test_more_than_announced(self):
        with self.connect() as c:
            c.send(frame(message("FilePut", path=self.path("file"), size=4)) + b"data and more")
            self.assertOk(c.answer())
        self.assertEqual(self.guest.get(self.path("file")), b"data")

    def test_old_until_complete(self):
        """Whoever opens it meanwhile finds the old one, whole."""
        path = self.file("file", b"old")
        with self.connect() as c:
            c.request("FilePut", path=path, size=1000)
            for _ in range(9):
                c.send(b"n" * 100)
                self.assertEqual(self.guest.get(path), b"old")
            c.send(b"n" * 100)
            self.assertOk(c.answer())
        self.assertEqual(self.guest.get(path), b"n" * 1000)

    def test_two_at_once(self):
        """The one that ends last is what is there; neither is mixed with the other."""
        path = self.path("file")
        with self.connect() as a, self.connect() as b:
            for c in (a, b):
                c.request("FilePut", path=path, size=200_000)
                c.send(b"." * 100_000)
            b.send(b"b" * 100_000)
            self.assertOk(b.answer())
            a.send(b"a" * 100_000)
            self.assertOk(a.answer())
        self.assertEqual(self.guest.get(path), b"." * 100_000 + b"a" * 100_000)
        self.assertEqual(self.sh(f"ls -A {self.dir}"), "file\n")

    def test_interrupted_at_any_byte(self):
        """Old and whole, and nothing beside it. Every other one ends its side and reads on."""
        path = self.file("file", b"the old file")
        whole = frame(message("FilePut", path=path, size=100)) + b"n" * 100
        for size in range(len(whole)):
            with self.connect() as c:
                c.send(whole[:size])
                if size % 2 and c.half_closes:
                    c.end_input()
                    self.assertNotIn(b'"Ok"', c.rest())
        until(lambda: self.sh(f"ls -A {self.dir}") == "file\n", "end of the temporary files")
        self.assertEqual(self.guest.get(path), b"the old file")

    def test_interrupted_when_large(self):
        path = self.file("file", b"the old file")
        for size in (1 << 16, (1 << 16) + 1, 5 << 20):
            with self.connect() as c:
                c.send(frame(message("FilePut", path=path, size=(5 << 20) + 1)) + b"n" * size)
        until(lambda: self.sh(f"ls -A {self.dir}") == "file\n", "end of the temporary files")
        self.assertEqual(self.guest.get(path), b"the old file")

    def test_big(self):
        """5 GiB, and the agent does not grow."""
        path = self.big_path()
        size = self.size()
        if self.room(path) < size + (64 << 20):
            self.skipTest(f"{os.path.dirname(path)} has no room for {size >> 20} MiB")
        self.guest.memory(reset=True)
        before = self.guest.memory()
        zeros = bytes(4 << 20)
        with self.connect(seconds=120) as c:
            c.request("FilePut", path=path, size=size + 3)
            for _ in range(size // len(zeros)):
                c.send(zeros)
            c.send(b"end")
            self.assertOk(c.answer())
        self.assertLess(self.guest.memory() - before, SLACK)
        self.assertEqual(self.sh(f"stat -c %s {path}; tail -c 5 {path} | tr '\\0' 0"), f"{size + 3}\n00end")

    def test_noise(self):
        """What comes back is what was sent, over pieces of all sizes."""
        data = os.urandom(7 << 20)
        path = self.path("file")
        with self.connect() as c:
            c.request("FilePut", path=path, size=len(data))
            at, step = 0, 1
            while at < len(data):
                c.send(data[at:at + step])
                at, step = at + step, step * 3 % 1_000_003 + 1
            self.assertOk(c.answer())
        with self.connect() as c:
            c.ask("FileGet", path=path)
            self.assertEqual(hashlib.sha256(c.body(len(data))).digest(), hashlib.sha256(data).digest())


class Sync(TestCase):
    def test_ok(self):
        with self.connect() as c:
            self.assertOk(c.ask("Sync"))
            self.assertEqual(c.ask("Ping")["type"], "Pong")
