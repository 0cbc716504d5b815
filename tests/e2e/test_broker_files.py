"""Files of a user's own machine, by curl through the broker."""

import hashlib
import os
import random
import stat
import subprocess

from broker import Broker
from harness import *

GIB = 1 << 30


def digest(path):
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
    return hashed.hexdigest()


def sparse(path, size, pieces=64):
    """A file that is mostly holes."""
    with open(path, "wb") as file:
        file.truncate(size)
        for _ in range(pieces):
            file.seek(random.randrange(max(1, size - 4096)))
            file.write(os.urandom(min(size, 4096)))


def extents(path):
    """What of it is not zeros: its blocks, by their places."""
    found = {}
    with open(path, "rb") as file:
        at, size = 0, os.path.getsize(path)
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            for block in range(at // 4096 * 4096, end, 4096):
                data = os.pread(file.fileno(), 4096, block)
                if data.strip(b"\0"):
                    found[block] = data
            at = end
    return found


class Files(TestCase):
    def begin(self, *args):
        self.broker = Broker(self, *args)
        self.token = self.broker.user("ann")
        self.machine = self.broker.machine(self.token, "laptop")

    def words(self, *args):
        return ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {self.token}", *args]

    def curl(self, *args, check=True):
        return subprocess.run(self.words(*args), capture_output=True, check=check, timeout=20 * DEADLINE)

    def url(self, name, agent=""):
        return f"{self.broker.url}/api/files?path={name}{agent}"

    def status(self, *args):
        return int(self.curl("-o", "/dev/null", "-w", "%{http_code}", *args).stdout)

    def test_there_and_back(self):
        self.begin()
        here, back = os.path.join(self.dir, "here"), os.path.join(self.dir, "back")
        for size in (0, 1, 65536, 10_000_019):
            with open(here, "wb") as file:
                file.write(os.urandom(size))
            self.assertEqual(self.status("-T", here, self.url("there")), 204)
            self.assertEqual(digest(self.machine.path("there")), digest(here))
            self.curl("-f", "-o", back, self.url("~/there"))
            self.assertEqual(digest(back), digest(here))
            self.assertEqual(self.status("-T", "-", "-H", "Transfer-Encoding: chunked", self.url("chunked")), 204)
            with open(here, "rb") as file:
                subprocess.run(self.words("-f", "-T", "-", self.url("chunked")), stdin=file, check=True)
            self.assertEqual(digest(self.machine.path("chunked")), digest(here))

    def test_names_modes_and_heads(self):
        self.begin()
        path = self.machine.path("ä b+c&d")
        with open(path, "w") as file:
            file.write("0123456789")
        os.chmod(path, 0o750)
        self.assertEqual(self.status("-T", "/dev/null", self.url("%C3%A4%20b%2Bc%26d")), 204)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o750)
        self.curl("-f", "--data-binary", "0123456789", "-X", "PUT", self.url("%C3%A4%20b%2Bc%26d"))
        head = self.curl("-I", self.url("%C3%A4%20b%2Bc%26d")).stdout.decode()
        self.assertIn("Content-Length: 10\r\n", head)
        self.assertIn("Content-Disposition: attachment; filename*=UTF-8''%C3%A4%20b%2Bc%26d\r\n", head)
        self.assertIn("X-Content-Type-Options: nosniff\r\n", head)
        self.assertEqual(self.curl("-f", "-r", "3-5", self.url(path.replace("ä", "%C3%A4").replace(" ", "%20")
                                                                .replace("+", "%2B").replace("&", "%26"))).stdout,
                         b"345")

    def test_what_cannot_be_had(self):
        self.begin()
        for name, expected in ("none", 404), ("/etc", 400), ("%ff", 400), ("/dev/zero", 400), ("x/", 404):
            self.assertEqual(self.status(self.url(name)), expected, name)
        self.assertEqual(self.status(self.url("x", "&agent=other")), 409)
        eve = self.broker.user("eve")
        self.assertEqual(self.broker.ask("GET", "/api/files?path=/etc/hostname&agent=laptop", eve).status, 409)
        self.machine.stop()
        self.assertEqual(self.broker.ask("GET", "/api/files?path=/etc/hostname", self.token).json["error"],
                         "agent_not_connected")

    def test_only_what_the_owner_allows(self):
        self.begin()
        self.machine.stop()
        os.mkdir(self.machine.path("shared"))
        self.machine.start("--allow", "files", "--root", self.machine.path("shared"))
        self.assertEqual(self.status("-T", "/etc/hostname", self.url("name")), 204)
        self.assertEqual(os.listdir(self.machine.path("shared")), ["name"])
        self.assertIn(self.status(self.url("/etc/hostname")), (403, 404))
        self.machine.stop()
        self.machine.start("--allow", "exec")
        self.assertEqual(self.status(self.url("name")), 403)

    def test_five_gibibytes(self):
        """As sparse as disks allow; downloads that begin and are cut off anywhere."""
        self.begin()
        size = 5 * GIB + 12345
        here, there = os.path.join(self.dir, "here"), self.machine.path("there")
        sparse(here, size)
        before = self.broker.memory()
        self.assertEqual(self.status("-T", here, self.url("there")), 204)
        self.assertEqual(os.path.getsize(there), size)
        self.assertLess(os.stat(there).st_blocks * 512, 64 << 20)
        self.assertTrue(extents(here) == extents(there))
        for at in (0, *(random.randrange(size) for _ in range(3)), size - (100 << 20)):
            cut = at + random.randrange(200 << 20)
            while at < min(cut, size):
                at = self.compare_part(here, at, min(cut, at + (50 << 20)))
        self.assertEqual(self.compare_part(here, size - 1, size), size)
        self.assertLess(self.broker.memory() - before, 32 << 20)

    def compare_part(self, here, at, cut):
        """Downloads from `at` to at least `cut`, then is killed; where it came to."""
        curl = subprocess.Popen(self.words("-f", "-C", str(at), self.url("there")), stdout=subprocess.PIPE)
        with open(here, "rb") as file:
            file.seek(at)
            while at < cut and (piece := curl.stdout.read(1 << 20)):
                self.assertTrue(piece == file.read(len(piece)), f"other bytes at {at}")
                at += len(piece)
        curl.kill()
        curl.stdout.close()
        curl.wait()
        return at

    def test_an_upload_that_is_cut_off(self):
        self.begin()
        here = os.path.join(self.dir, "here")
        sparse(here, 300 << 20)
        self.curl("-f", "--data-binary", "old", "-X", "PUT", self.url("file"))
        for words in ([], ["-H", "Transfer-Encoding: chunked"]):
            for _ in range(3):
                curl = self.start(*self.words("-T", here, "--limit-rate", "40M", *words, self.url("file")))
                fraction = random.uniform(0.03, 0.15)
                until(lambda: self.read_by(curl) > fraction * (300 << 20), "part of it")
                curl.kill()
                until(lambda: self.broker.ask("GET", "/healthz").status == 200, "broker")
                with open(self.machine.path("file")) as file:
                    self.assertEqual(file.read(), "old")
        until(lambda: not self.files_open(), "end of the agent's part")
        self.assertEqual([name for name in os.listdir(self.machine.home) if "berth-" in name], [])

    def read_by(self, program):
        """Bytes it has read so far, of whatever."""
        try:
            with open(f"/proc/{program.pid}/io") as file:
                return int(file.readline().split()[1])
        except (OSError, IndexError):
            return 1 << 60

    def files_open(self):
        """What the agent has open below its home."""
        found = []
        folder = f"/proc/{self.machine.program.pid}/fd"
        for name in os.listdir(folder):
            try:
                target = os.readlink(os.path.join(folder, name))
            except OSError:
                continue
            if target.startswith(self.machine.home) and "/.config/" not in target and "/.cache/" not in target:
                found.append(target)
        return found

    def test_the_agent_dies(self):
        """In the middle of a file: never as if it were whole. Before: a plain answer."""
        self.begin()
        sparse(self.machine.path("large"), 4 * GIB)
        back = os.path.join(self.dir, "back")
        curl = self.start(*self.words("-f", "-o", back, "--limit-rate", "50M", self.url("large")))
        until(lambda: os.path.exists(back) and os.path.getsize(back) > 1 << 20, "first bytes")
        self.machine.kill()
        self.assertNotEqual(curl.wait(), 0)
        self.assertLess(os.path.getsize(back), 4 * GIB)
        self.assertEqual(self.status(self.url("large")), 409)

    def test_a_cookie_needs_this_origin(self):
        self.begin()
        def status(method, **fields):
            return self.broker.ask(method, "/api/files?path=x", body=b"hello", headers={
                "Cookie": f"berth={self.token}", **{name.replace("_", "-"): value for name, value in fields.items()}}
                ).status
        own = f"127.0.0.1:{self.broker.port}"
        self.assertEqual(status("PUT", Origin="https://evil.example"), 403)
        self.assertEqual(status("PUT", Sec_Fetch_Site="cross-site"), 403)
        self.assertFalse(os.path.exists(self.machine.path("x")))
        self.assertEqual(status("PUT", Origin=f"http://{own}"), 204)

    def test_the_audit_trail(self):
        self.begin()
        self.assertEqual(self.status("-T", "/etc/hostname", self.url("name")), 204)
        self.assertEqual(self.status(self.url("name")), 200)
        self.assertEqual(self.status(self.url("none")), 404)
        rows = self.broker.ask("GET", "/api/activity?limit=3", self.token)
        self.assertEqual([(row["kind"], row["what"], row["outcome"]) for row in rows.json["activity"]],
                         [("file-read", "none", "refused"), ("file-read", "name", "ok"), ("file-write", "name", "ok")])
