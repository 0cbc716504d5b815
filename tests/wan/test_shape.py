"""What the emulator does to packets is what it was told."""

import math
import statistics
import time
import unittest

from flows import connection, datagrams, exchange, flood, ping, receive, sockets
from machine import until
from wan import EMULATOR, Path, Refused, why_not

MANY = 20000
EARLY, SLACK = 0.3, 1.5  # milliseconds by which a round trip may fall short, and the best of many be over


def runs_of(numbers):
    """The lengths of what follows each other without a gap."""
    runs, last = [], None
    for number in numbers:
        if last is not None and number == last + 1:
            runs[-1] += 1
        else:
            runs.append(1)
        last = number
    return runs


@unittest.skipIf(why_not(), f"NOT TESTED: {why_not()}")
class Shape(unittest.TestCase):
    def path(self, **more):
        path = Path(**more)
        self.addCleanup(path.close)
        return path

    def assert_share(self, count, share, of):
        """Within five standard deviations of the binomial distribution."""
        self.assertAlmostEqual(count, share * of, delta=5 * math.sqrt(of * share * (1 - share)))

    def assert_round_trip(self, times, wanted):
        self.assertTrue(times, "no answer")
        self.assertGreaterEqual(min(times.values()), wanted - EARLY)
        self.assertLessEqual(min(times.values()), wanted + SLACK)

    # ---- delay ----

    def test_delay(self):
        path = self.path(delay="50ms")
        for target in path.there.v4, path.there.v6:
            self.assert_round_trip(ping(path.here, target, 30), 100)

    def test_delay_of_each_way(self):
        path = self.path(up={"delay": "30ms"}, down={"delay": "5ms"})
        self.assert_round_trip(ping(path.here, path.there.v4, 20), 35)
        path.set_up(delay="1ms")
        self.assert_round_trip(ping(path.there, path.here.v6, 20), 6)

    def test_delay_none(self):
        path = self.path()
        self.assert_round_trip(ping(path.here, path.there.v4, 20), 0)

    def test_jitter(self):
        path = self.path(up={"delay": "30ms", "jitter": "20ms"})
        times = list(ping(path.here, path.there.v4, 100, interval=0.03).values())
        self.assertGreaterEqual(min(times), 10 - EARLY)
        self.assertLess(min(times), 25)
        self.assertGreater(max(times), 35)
        self.assertLess(statistics.median(times), 50 + SLACK)

    def test_jitter_keeps_the_order(self):
        path = self.path(delay="10ms", jitter="10ms")
        got = datagrams(path, 500, gap=0.0005)
        self.assertEqual(got, list(range(500)))

    # ---- chance ----

    def test_loss(self):
        path = self.path(up={"loss": "3%"})
        got = datagrams(path, MANY)
        up = path.stats()["up"]
        self.assertEqual(up["overrun"], 0)
        self.assertEqual(len(got), MANY - up["lost"])
        self.assert_share(up["lost"], 0.03, MANY)
        self.assertEqual(path.stats()["down"]["lost"], 0)

    def test_loss_in_bursts(self):
        path = self.path(up={"loss": "5% burst 10"})
        missing = sorted(set(range(MANY)) - set(datagrams(path, MANY)))
        bursts = runs_of(missing)
        self.assertAlmostEqual(len(missing) / MANY, 0.05, delta=0.02)
        self.assertAlmostEqual(statistics.mean(bursts), 10, delta=3)

    def test_loss_in_bursts_that_let_some_pass(self):
        path = self.path(up={"loss": "5% burst 50 bad 50%"})
        missing = sorted(set(range(MANY)) - set(datagrams(path, MANY)))
        self.assertAlmostEqual(len(missing) / MANY, 0.05, delta=0.03)
        self.assertAlmostEqual(statistics.mean(runs_of(missing)), 2, delta=0.5)

    def test_seed_repeats(self):
        path = self.path(up={"loss": "10%"})
        results = []
        for seed in 7, 7, 8:
            path.tell(f"seed {seed}")
            results.append(datagrams(path, 1000))
        self.assertEqual(results[0], results[1])
        self.assertNotEqual(results[0], results[2])

    def test_reorder(self):
        path = self.path(delay="5ms", up={"reorder": "10% 5ms"})
        got = datagrams(path, 500, gap=0.001)
        self.assertEqual(sorted(got), list(range(500)))
        self.assertNotEqual(got, sorted(got))
        self.assert_share(path.stats()["up"]["reordered"], 0.1, 500)

    def test_duplicate(self):
        path = self.path(up={"duplicate": "20%"})
        got = datagrams(path, 2000)
        self.assertEqual(len(got), 2000 + path.stats()["up"]["duplicated"])
        self.assert_share(len(got) - 2000, 0.2, 2000)
        self.assertEqual(sorted(set(got)), list(range(2000)))

    # ---- rate ----

    def test_rate(self):
        """TCP fills it, and gets no more; of each 1500 bytes 52 are headers."""
        path = self.path(delay="5ms", congestion="cubic", rate="40mbit queue 50ms")
        here, there = connection(path)
        with here, there, flood(here):
            receive(there, 1)
            before, start = path.stats()["up"], time.monotonic()
            payload = receive(there, 3) * 8 / 1e6
            after, end = path.stats()["up"], time.monotonic()
        carried = (after["out_bytes"] - before["out_bytes"]) * 8 / 1e6 / (end - start)
        self.assertLess(carried, 40.8)
        self.assertGreater(carried, 28, "a busy machine leaves the path idle at times, not for long")
        self.assertAlmostEqual(payload, carried * 1448 / 1500, delta=4)

    def test_rate_of_each_way(self):
        path = self.path(congestion="cubic", up={"rate": "10mbit"}, down={"rate": "40mbit"})
        here, there = connection(path, v6=True)
        with here, there, flood(here), flood(there):
            receive_down = receive(here, 1) * 8 / 1e6
            receive_up = receive(there, 1) * 8 / 1e6
        self.assertGreater(receive_down, 1.5 * receive_up)

    def test_queue_makes_others_wait(self):
        """A full queue of 200 ms is what a ping finds in front of it; much less if it holds 8k."""
        path = self.path(congestion="cubic", up={"rate": "20mbit queue 200ms"})
        here, there = connection(path)
        with here, there, flood(here):
            receive(there, 2)
            times = ping(path.here, path.there.v4, 10, interval=0.1).values()
            self.assertGreater(max(times, default=0), 100)
            self.assertLess(min(times), 205)
            path.set_up(rate="20mbit queue 8k")
            receive(there, 1)
            self.assertLess(min(ping(path.here, path.there.v4, 20, interval=0.1).values()), 20)

    def test_queue_drops_what_it_has_no_room_for(self):
        path = self.path(up={"rate": "1mbit queue 10k"})
        got = datagrams(path, 100, size=972)  # 1000 with its headers
        self.assertIn(len(got), range(10, 13))  # and those sent while the rest came in
        self.assertEqual(path.stats()["up"]["dropped"], 100 - len(got))
        self.assertEqual(got[:10], list(range(10)))

    def test_rate_taken_away(self):
        path = self.path(up={"rate": "10kbit queue 1m"})
        source, sink = sockets(path)
        with source, sink:
            for _ in range(100):
                source.sendto(bytes(1000), sink.getsockname())
            path.set(rate="0")
            until(lambda: path.stats()["up"]["out"] == 100, "end of the queue")

    # ---- obstacles ----

    def test_cut(self):
        path = self.path(delay="1ms")
        for v6 in False, True:
            source, sink = sockets(path, v6)
            with source, sink:
                self.assertTrue(exchange(source, sink))
                path.cut()
                out = path.stats()["up"]["out"]
                self.assertIsNone(exchange(source, sink, 0.2))
                self.assertEqual(path.stats()["up"]["out"], out)
                path.join()
                self.assertTrue(exchange(source, sink))

    def test_cut_loses_what_was_on_its_way(self):
        path = self.path(delay="1s")
        source, sink = sockets(path)
        with source, sink:
            source.sendto(b"lost", sink.getsockname())
            self.assertEqual(path.stats()["up"]["flying"], 1)
            path.cut()
            self.assertEqual(path.stats()["up"]["cut"], 1)
            path.set(delay="0")
            path.join()
            self.assertTrue(exchange(source, sink))
            self.assertEqual(path.stats()["up"]["out"], 1)

    def test_cut_one_way(self):
        path = self.path()
        path.tell("down cut")
        here, there = sockets(path)
        with here, there:
            self.assertTrue(exchange(here, there))
            self.assertIsNone(exchange(there, here, 0.2))

    def test_tcp_outlives_a_cut(self):
        path = self.path(delay="5ms", rate="50mbit")
        here, there = connection(path)
        with here, there, flood(here):
            receive(there, 0.3)
            path.cut()
            before = path.stats()["up"]
            until(lambda: path.stats()["up"]["cut"] > before["cut"], "packet to be sent again")
            self.assertEqual(path.stats()["up"]["out"], before["out"])
            path.join()
            until(lambda: path.stats()["up"]["out"] > before["out"] + 100, "data after the cut")
            self.assertGreater(receive(there, 0.3), 0)

    def test_block(self):
        path = self.path()
        for v6 in False, True:
            target = path.there.v6 if v6 else path.there.v4
            here, there = sockets(path, v6)
            with here, there:
                path.block("udp")
                self.assertIsNone(exchange(here, there, 0.2))
                self.assertIsNone(exchange(there, here, 0.2))
                self.assertTrue(ping(path.here, target, 1))
                for end in connection(path, v6):
                    end.close()
                path.unblock("udp")
                self.assertTrue(exchange(here, there))
                path.block("icmp")
                self.assertFalse(ping(path.here, target, 1, "-W", "0.2"))
                path.unblock("icmp")
        here, there = connection(path)
        with here, there:
            path.block("tcp")
            before = path.stats()
            here.send(b"x")
            until(lambda: path.stats()["up"]["blocked"] > before["up"]["blocked"] + 1, "packet to be sent again")
            self.assertEqual(path.stats()["up"]["out"], before["up"]["out"])
            self.assertTrue(ping(path.here, path.there.v4, 1))

    def test_mtu(self):
        path = self.path(up={"mtu": "1300"})
        for target, headers in (path.there.v4, 28), (path.there.v6, 48):
            self.assertTrue(ping(path.here, target, 1, "-s", str(1300 - headers)))
            self.assertFalse(ping(path.here, target, 1, "-s", str(1301 - headers), "-W", "0.2"))
        self.assertEqual(path.stats()["up"]["oversize"], 2)

    # ---- being told ----

    def test_refused(self):
        path = self.path(delay="1ms")
        for line in ("delay", "delay 50", "delay 50ms 60ms", "delay -1ms", "delay nan", "delay 2000000s",
                     "delay 1e300s", "jitter fast", "loss 1", "loss 101%", "loss 5% burst", "loss 5% burst 0",
                     "loss 5% burst 3 bad", "loss 5% burst 3 bad 4%", "loss 99% burst 1", "loss 5% bursts 3",
                     "reorder 1%", "duplicate 2", "rate 5", "rate 5mbit queue", "rate 5mbit queue many",
                     "rate 5mbit 64k", "mtu big", "block", "block sctp", "cut now", "sideways delay 1ms",
                     "up", "up stats", "", "seed", "seed x", "explode", "a b c d e f g h i"):
            with self.subTest(line), self.assertRaises(Refused):
                path.tell(line)
        self.assert_round_trip(ping(path.here, path.there.v4, 10), 2)

    def test_refused_line_changes_nothing(self):
        path = self.path(up={"loss": "100%"})
        with self.assertRaises(Refused):
            path.tell("loss 0% burst 0")
        self.assertFalse(ping(path.here, path.there.v4, 1, "-W", "0.2"))

    def test_clear(self):
        path = self.path(delay="200ms", loss="100%", mtu="100", rate="1kbit")
        path.cut()
        path.block("icmp")
        path.tell("clear")
        self.assert_round_trip(ping(path.here, path.there.v4, 10), 0)

    def test_usage(self):
        path = self.path()
        done = path.here.run(EMULATOR)
        self.assertEqual(done.returncode, 2)
        self.assertIn("loss SHARE", done.stderr)
        done = path.here.run(EMULATOR, "/tmp/x" + "y" * 200, "/nowhere", "a", "/nowhere", "b")
        self.assertEqual(done.returncode, 1)
