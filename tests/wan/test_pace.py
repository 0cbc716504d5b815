"""How soon the first byte passes after a change of address, and after an outage. What is seen is printed; only
what is far from the aim fails."""

import statistics
import time
import unittest

from harness import read_exactly
from roam import LONG, TestCase

CHANGES = 20 if LONG else 5


class Pace(TestCase):
    def tell(self, what, times, aim):
        print(f"\n    {what}: median {statistics.median(times) * 1000:.0f} ms, worst "
              f"{max(times) * 1000:.0f} ms of {len(times)} (aim {aim * 1000:.0f} ms) ... ", end="", flush=True)

    def clock_down(self, ends):
        """From the far end's write until it is read here."""
        client, server = ends
        began = time.monotonic()
        server.sendall(b"to here")
        self.assertEqual(read_exactly(client, 7), b"to here")
        return time.monotonic() - began

    def at(self, delay, round_trip, outages):
        path = self.tunnel(delay=delay, loss="1%")
        ends = self.connection()
        echo = self.echo_connection()
        words = f"{round_trip * 1000:.0f} ms, 1 % loss"
        up, down = [], []
        for _ in range(CHANGES):
            for clock, end, times in (self.clock_echo, echo, up), (self.clock_down, ends, down):
                path.here.renumber()
                times.append(clock(end))
                self.pass_time(5 * round_trip)  # both paths are looked into for so long
        self.tell(f"{words}: another address, asked from here, answered", up, round_trip + 0.1)
        self.tell(f"{words}: another address, from there to here", down, round_trip + 0.1)
        self.assertLess(max(up + down), 10 * (round_trip + 0.1))
        self.open_streams(10)
        for seconds in (1, 30, 300) if LONG else outages:
            firsts, echoes = [], []
            for _ in range(3 if LONG and seconds <= 30 else 1):
                path.cut()
                self.pass_time(seconds)
                self.streams.watch()
                path.join()
                came = time.monotonic()
                echoes.append(self.clock_echo(echo))
                self.streams.await_all()
                firsts += [at - came for at in self.streams.first.values()]
            self.tell(f"{words}: {seconds} s of nothing, first byte of each way", firsts, 3)
            self.tell(f"{words}: {seconds} s of nothing, asked from here, answered", echoes, 3)
            self.assertLess(max(firsts + echoes), 30)
        self.finish()

    def test_50(self):
        self.at("25ms", 0.05, [1, 6])

    def test_200(self):
        self.at("100ms", 0.2, [1])


if __name__ == "__main__":
    unittest.main()
