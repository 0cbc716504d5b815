"""Hosts and what lies between them: addresses, NAT, several paths, and what is left when a run is killed."""

import os
import signal
import socket
import subprocess
import sys
import unittest
from unittest import mock

import hosts
from flows import connection, exchange, ping, sockets
from hosts import Host
from machine import is_zombie, until
from wan import Path, why_not

APART = f"berth-killed-{os.getpid()}"  # what runs that begin meanwhile do not clean up
KILLED = """
import sys
sys.path[:0] = {paths}
import hosts
hosts.PREFIX = "{apart}"
from wan import Path
path = Path(nat=True)
far = path.there.popen("sleep", "1000", start_new_session=True)
print(path.there.name, path.emulator.process.pid, far.pid, flush=True)
sys.stdin.read()
"""


def namespaces(whose=""):
    """Also those of the runs beside this one."""
    return [name.split()[0] for name in hosts.system("ip", "netns").splitlines()
            if name.startswith(f"{hosts.PREFIX}-{whose}")]


@unittest.skipIf(why_not(), f"NOT TESTED: {why_not()}")
class Hosts(unittest.TestCase):
    def path(self, **more):
        path = Path(**more)
        self.addCleanup(path.close)
        return path

    def sockets(self, path, v6=False):
        both = sockets(path, v6)
        for s in both:
            self.addCleanup(s.close)
        return both

    def reaches(self, path, v6=False):
        return ping(path.here, path.there.v6 if v6 else path.there.v4, 1, "-W", "0.3")

    def test_entered(self):
        path = self.path()
        outside = os.readlink("/proc/thread-self/ns/net")
        with path.here.entered():
            here = os.readlink("/proc/thread-self/ns/net")
            with path.there.entered():
                there = os.readlink("/proc/thread-self/ns/net")
            self.assertEqual(os.readlink("/proc/thread-self/ns/net"), here)
        self.assertEqual(os.readlink("/proc/thread-self/ns/net"), outside)
        self.assertEqual(len({outside, here, there}), 3)
        self.assertEqual(path.there.run("readlink", "/proc/self/ns/net").stdout.strip(), there)

    def test_close_leaves_nothing(self):
        whose = f"{os.getpid()}-"
        before = namespaces(whose)
        with Path(nat=True) as path:
            sleeper = path.there.popen("sleep", "1000")
            emulator = path.emulator.process
            self.assertEqual(path.there.processes(), [sleeper.pid])
            self.assertEqual(len(namespaces(whose)), len(before) + 3)
        self.assertEqual(sleeper.wait(), -signal.SIGTERM)
        self.assertIsNotNone(emulator.poll())
        self.assertEqual(namespaces(whose), before)

    def test_killed_run(self):
        paths = [os.path.dirname(os.path.abspath(module.__file__)) for module in (hosts, sys.modules["machine"])]
        self.enterContext(mock.patch.object(hosts, "PREFIX", APART))
        run = subprocess.Popen([sys.executable, "-c", KILLED.format(paths=paths, apart=APART)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
        with run:
            name, emulator, far = run.stdout.readline().split()
            self.assertIn(name, namespaces())
            hosts.clean_leftovers()
            self.assertIn(name, namespaces(), "a living run's host is gone")
            run.kill()
        until(lambda: is_zombie(int(emulator)), "end of the emulator")
        self.assertFalse(is_zombie(int(far)))
        hosts.clean_leftovers()
        self.assertTrue(is_zombie(int(far)))
        self.assertNotIn(name, namespaces())
        self.assertFalse(os.path.exists(hosts.folder_of(name)))

    def test_congestion_control(self):
        for name in "cubic", "bbr":
            here, there = connection(self.path(congestion=name, nat=True), v6=name == "bbr")
            with here, there:
                for end in here, there:
                    control = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
                    self.assertEqual(control.rstrip(b"\0").decode(), name)

    # ---- addresses ----

    def test_renumber(self):
        path = self.path(delay="1ms")
        for end in path.here, path.there:
            here, there = self.sockets(path)
            self.assertTrue(exchange(here, there))
            old = end.v4, end.v6
            end.renumber()
            for before, now in zip(old, (end.v4, end.v6)):
                self.assertNotEqual(before, now)
                self.assertIn(f" {now}/", end.ip("addr"))
                self.assertNotIn(f" {before}/", end.ip("addr"))
            self.assertTrue(self.reaches(path))
            self.assertTrue(self.reaches(path, v6=True))

    def test_renumber_takes_the_address_from_sockets_too(self):
        path = self.path()
        here, there = self.sockets(path)
        path.here.renumber()
        with self.assertRaises(OSError):
            exchange(here, there, 0.2)
        path = self.path()
        here, there = self.sockets(path)
        with path.here.entered():
            loose = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with loose:
            self.assertEqual(exchange(loose, there)[0], path.here.v4)
            path.here.renumber()
            self.assertEqual(exchange(loose, there)[0], path.here.v4)

    def test_renumber_often(self):
        path = self.path()
        seen = set()
        for _ in range(50):
            path.here.renumber()
            seen.add((path.here.v4, path.here.v6))
        self.assertEqual(len(seen), 50)
        self.assertTrue(self.reaches(path))

    # ---- NAT ----

    def test_nat_hides_what_is_behind_it(self):
        path = self.path(nat=True, delay="1ms")
        for v6, outer in (False, path.nat.v4), (True, path.nat.v6):
            here, there = self.sockets(path, v6)
            seen = exchange(here, there)
            self.assertEqual(seen[0], outer)
            there.sendto(b"back", seen)
            self.assertEqual(here.recv(10), b"back")
            self.assertTrue(self.reaches(path, v6))
            near, far = connection(path, v6)
            with near, far:
                self.assertEqual(far.getpeername()[0], outer)

    def test_nat_rebinds(self):
        path = self.path(nat=True)
        for v6 in False, True:
            here, there = self.sockets(path, v6)
            before = exchange(here, there)
            self.assertEqual(exchange(here, there), before)
            path.nat.rebind()
            there.sendto(b"nobody's", before)
            after = exchange(here, there)
            self.assertEqual(after[0], before[0])
            self.assertNotEqual(after[1], before[1])
            there.sendto(b"back", after)
            self.assertEqual(here.recv(10), b"back")

    def test_nat_changes_its_address(self):
        path = self.path(nat=True)
        here, there = self.sockets(path)
        before = exchange(here, there)
        path.nat.renumber()
        after = exchange(here, there)
        self.assertEqual(after[0], path.nat.v4)
        self.assertNotEqual(after[0], before[0])

    def test_nat_and_renumber_behind_it(self):
        path = self.path(nat=True)
        path.here.renumber()
        self.assertTrue(self.reaches(path))
        self.assertTrue(self.reaches(path, v6=True))

    def test_firewall(self):
        """UDP that the far host's own rules keep out, which can be read there."""
        path = self.path()
        here, there = self.sockets(path)
        path.there.nft("table inet t { chain c { type filter hook input priority 0; }; }; "
                       "add rule inet t c meta l4proto udp drop")
        self.assertIsNone(exchange(here, there, 0.2))
        self.assertIn("udp drop", path.there.system("nft", "list", "ruleset"))
        self.assertTrue(self.reaches(path))

    # ---- several paths ----

    def test_carry(self):
        """From a slow network to a fast one, and back, while the far address stays."""
        with Host("laptop") as laptop, Host("server") as server:
            slow = self.path(here=laptop, there=server, delay="20ms")
            fast = self.path(here=laptop, there=server)
            self.addCleanup(lambda: (fast.close(), slow.close()))
            for v6 in False, True:
                target = slow.there.v6 if v6 else slow.there.v4
                self.assertGreater(min(ping(slow.here, target, 5).values()), 39)
                slow.cut()
                fast.carry(slow)
                self.assertLess(min(ping(slow.here, target, 5).values()), 39)
                slow.join()
                slow.carry(slow)
                self.assertGreater(min(ping(slow.here, target, 5).values()), 39)
            fast.close()
            slow.close()
